//! References to images, as far as their tag is of interest.
//!
//! Upstream: `pkg/util/parsers` over `github.com/distribution/reference` (its grammar of references).

const NAME_MAX_BYTES: usize = 255;
const TAG_MAX_BYTES: usize = 128;

/// The pull policy that an image has by default: the tag `latest`, also an implied one, is always pulled.
pub(super) fn default_pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag of a reference: `latest` if it has neither tag nor digest, `None` if it has only a digest or is
/// no reference.
fn tag(image: &str) -> Option<&str> {
    if image.len() == 64 && image.bytes().all(is_lower_hex) {
        return None;
    }
    let (domain, rest) = split_domain(image);
    let end = rest.find([':', '@']).unwrap_or(rest.len());
    let (path, suffix) = rest.split_at(end);
    let (tag, digest) = match suffix.strip_prefix(':') {
        Some(suffix) => match suffix.split_once('@') {
            Some((tag, digest)) => (Some(tag), Some(digest)),
            None => (Some(suffix), None),
        },
        None => (None, suffix.strip_prefix('@')),
    };
    let valid = domain.is_none_or(is_domain)
        && path.len() <= NAME_MAX_BYTES
        && path.split('/').all(is_path_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    match (valid, tag, digest) {
        (true, Some(tag), _) => Some(tag),
        (true, None, None) => Some("latest"),
        _ => None,
    }
}

/// The registry, if the first element looks like one, and the rest.
fn split_domain(image: &str) -> (Option<&str>, &str) {
    match image.split_once('/') {
        Some((first, rest))
            if first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first =>
        {
            (Some(first), rest)
        }
        _ => (None, image),
    }
}

fn is_domain(domain: &str) -> bool {
    if let Some(rest) = domain.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return !address.is_empty()
            && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    host.split('.').all(is_domain_component) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_domain_component(component: &str) -> bool {
    !component.is_empty()
        && !component.starts_with('-')
        && !component.ends_with('-')
        && component.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Small letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_path_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let edges = bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    edges
        && component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX_BYTES
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// A digest of an algorithm that Go's library knows.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let digits = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == digits && hex.bytes().all(is_lower_hex)
}

const fn is_lower_hex(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::default_pull_policy;

    #[test]
    fn policies() {
        let digest = "a".repeat(64);
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.25", "IfNotPresent"),
            ("registry:5000/a/b", "Always"),
            ("registry.example/a/b:v1", "IfNotPresent"),
            ("[::1]:5000/a", "Always"),
            ("localhost/a__b/c-d", "Always"),
            (" ", "IfNotPresent"),
            ("", "IfNotPresent"),
            ("a/Nginx", "IfNotPresent"),
            ("NGINX", "IfNotPresent"),
            ("NG/nginx", "Always"),
            ("a..b", "IfNotPresent"),
            ("a___b", "IfNotPresent"),
            (digest.as_str(), "IfNotPresent"),
            (&format!("a@sha256:{digest}"), "IfNotPresent"),
            (&format!("a:latest@sha256:{digest}"), "Always"),
            ("a@sha256:00", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            assert_eq!(default_pull_policy(image), policy, "{image:?}");
        }
    }
}
