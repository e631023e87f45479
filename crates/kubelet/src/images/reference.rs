//! Names of images: which are any, and what their parts are.
//!
//! The grammar is that of `github.com/distribution/reference`, with its texts; upstream's use of it is
//! `pkg/util/parsers/parsers.go`.

/// The registry of names without one, its old name, and where it keeps what belongs to nobody.
const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
/// As the library's `RepositoryNameTotalLengthMax`.
const PATH_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
/// The shortest hexadecimal part of a digest of an algorithm that is not known.
const DIGEST_DIGITS_MIN: usize = 32;
/// Digests that can be checked, with the length of their hexadecimal part.
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

const INVALID: &str = "invalid reference format";
const INVALID_DIGEST: &str = "invalid checksum digest format";

/// The parts of an image's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Registry and path: `docker.io/library/busybox`.
    pub(super) repository: String,
    /// `latest`, if there is neither a tag nor a digest.
    pub(super) tag: Option<String>,
    pub(super) digest: Option<String>,
}

/// Takes a name apart as users write it: registry and tag may be missing.
///
/// # Errors
/// It is no name; the text is what users are told.
pub(super) fn parse(name: &str) -> Result<Reference, String> {
    parse_normalized(name).map_err(|error| format!("couldn't parse image name {name:?}: {error}"))
}

fn parse_normalized(name: &str) -> Result<Reference, String> {
    if name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(format!("invalid repository name ({name}), cannot specify 64-byte hexadecimal strings"));
    }
    let (domain, rest) = split_domain(name);
    let path = rest.split(':').next().unwrap_or_default();
    if path.to_lowercase() != path {
        return Err(format!("{INVALID}: repository name ({path}) must be lowercase"));
    }
    let whole = format!("{domain}/{rest}");
    let Some((repository, tag, digest)) = split(&whole) else {
        let is_case = split(&whole.to_lowercase()).is_some();
        return Err(if is_case { "repository name must be lowercase".into() } else { INVALID.into() });
    };
    let path =
        repository.split_once('/').filter(|(first, _)| is_domain(first)).map_or(repository, |two| two.1);
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("repository name must not be more than {PATH_BYTES_MAX} characters"));
    }
    digest.map_or(Ok(()), check_digest)?;
    let tag = if tag.is_none() && digest.is_none() { Some("latest") } else { tag };
    let own = |text: Option<&str>| text.map(str::to_owned);
    Ok(Reference { repository: repository.to_owned(), tag: own(tag), digest: own(digest) })
}

/// The registry, and what follows it; the first part of a path is a registry if it looks like a host.
fn split_domain(name: &str) -> (&str, String) {
    let (domain, rest) = match name.split_once('/') {
        None => (DEFAULT_DOMAIN, name),
        Some((LEGACY_DEFAULT_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first =>
        {
            (first, rest)
        }
        Some(_) => (DEFAULT_DOMAIN, name),
    };
    let owner = if domain == DEFAULT_DOMAIN && !rest.contains('/') { OFFICIAL } else { "" };
    (domain, format!("{owner}{rest}"))
}

/// Repository, tag and digest of a name with a registry; nothing if it is none.
fn split(whole: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let (rest, digest) = match whole.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (whole, None),
    };
    let last = rest.rfind('/')?;
    let (repository, tag) = match rest[last..].find(':') {
        Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
        None => (rest, None),
    };
    let (first, path) = repository.split_once('/')?;
    let is_name = (is_domain(first) || is_path_component(first)) && path.split('/').all(is_path_component);
    (is_name && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)).then_some((repository, tag, digest))
}

/// A host name or an IPv6 address in brackets, with or without a port.
fn is_domain(text: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_address =
            !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        return is_address && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Lower case letters and digits, parted by one of `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |part: &str| matches!(part, "" | "." | "_" | "__") || part.bytes().all(|byte| byte == b'-');
    text.starts_with(is_plain) && text.ends_with(is_plain) && text.split(is_plain).all(is_separator)
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_BYTES_MAX
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

/// `algorithm:digits`, whatever the algorithm.
fn is_digest(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.split_once(':').is_some_and(|(algorithm, digits)| {
        algorithm.split(['-', '_', '+', '.']).all(is_word)
            && digits.len() >= DIGEST_DIGITS_MIN
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// What `github.com/opencontainers/go-digest` checks beyond the form.
fn check_digest(text: &str) -> Result<(), String> {
    let (algorithm, digits) = text.split_once(':').ok_or(INVALID_DIGEST)?;
    let known = ALGORITHMS.iter().find(|(name, _)| *name == algorithm);
    let (_, length) = known.ok_or("unsupported digest algorithm")?;
    if digits.len() != *length {
        return Err("invalid checksum digest length".into());
    }
    let is_lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_lower { Ok(()) } else { Err(INVALID_DIGEST.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_names() {
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let long = "a".repeat(256);
        let cases = [
            ("root", "docker.io/library/root latest -"),
            ("root:tag", "docker.io/library/root tag -"),
            ("user/repo:tag", "docker.io/user/repo tag -"),
            ("url:5000/repo", "url:5000/repo latest -"),
            ("url:5000/repo:1@sha256:D", "url:5000/repo 1 sha256:D"),
            ("root@sha256:D", "docker.io/library/root - sha256:D"),
            ("index.docker.io/x", "docker.io/library/x latest -"),
            ("localhost/x", "localhost/x latest -"),
            ("localhost:5000", "docker.io/library/localhost 5000 -"),
            ("[::1]:5000/x", "[::1]:5000/x latest -"),
            ("a_b.c/x", "a_b.c/x latest -"),
            ("a/b__c---d.e", "docker.io/a/b__c---d.e latest -"),
            ("x:1.0-A_b", "docker.io/library/x 1.0-A_b -"),
            // A first part in upper case can only be a host.
            ("UPPER/case", "UPPER/case latest -"),
            (
                "Bad Image!",
                "!invalid reference format: repository name (library/Bad Image!) must be lowercase",
            ),
            ("user/UPPER", "!invalid reference format: repository name (user/UPPER) must be lowercase"),
            ("bad image!", "!invalid reference format"),
            ("http://root", "!invalid reference format"),
            ("", "!invalid reference format"),
            ("a.b/", "!invalid reference format"),
            ("x:", "!invalid reference format"),
            ("x@sha256:12", "!invalid reference format"),
            ("a___b", "!invalid reference format"),
            ("a..b", "!invalid reference format"),
            ("-a", "!invalid reference format"),
            ("x@sha256:D0", "!invalid checksum digest length"),
            ("x@md5:D", "!unsupported digest algorithm"),
            ("D", "!invalid repository name (D), cannot specify 64-byte hexadecimal strings"),
            (long.as_str(), "!repository name must not be more than 255 characters"),
        ];
        for (name, expected) in cases {
            let (name, expected) = (name.replace('D', digits), expected.replace('D', digits));
            let found = match parse(&name) {
                Ok(Reference { repository, tag, digest }) => {
                    format!(
                        "{repository} {} {}",
                        tag.as_deref().unwrap_or("-"),
                        digest.as_deref().unwrap_or("-")
                    )
                }
                Err(error) => {
                    let prefix = format!("couldn't parse image name {name:?}: ");
                    error.strip_prefix(&prefix).map(|error| format!("!{error}")).unwrap_or(error)
                }
            };
            assert_eq!(found, expected, "{name}");
        }
    }
}
