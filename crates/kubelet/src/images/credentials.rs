//! Which credentials a pod, or anybody on this node, has for an image.
//!
//! Upstream counterparts: `pkg/credentialprovider/keyring.go`, `config.go` and `secrets`.

use api::core::v1::{Pod, Secret};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use reconcile::EventKind;
use serde_json::Value;

use crate::context::Context;
use crate::runtime::messages::AuthConfig;
use crate::spec;

/// What Docker called its registry; entries for it count for `docker.io`, too.
const DEFAULT_HOST: &str = "index.docker.io";
/// The file of credentials that all pods of the node may use, below the kubelet's root.
const NODE_FILE: &str = "config.json";

/// Base64 with or without `=` at its end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A Secret's place, and what it says of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PullSecret {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The SHA-256 of the credentials, as upstream's `hashAuthConfig`.
    pub(super) hash: String,
}

/// Something to try at a registry.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) auth: AuthConfig,
    /// The Secret that it is from; none if all pods of the node may use it.
    pub(super) secret: Option<PullSecret>,
}

/// The credentials for a repository, in the order to try them: those of the pod's Secrets, then the node's.
pub(super) async fn of_pod(context: &Context, pod: &Pod, repository: &str) -> Vec<Credential> {
    let mut entries = Vec::new();
    for reference in spec::spec(pod).image_pull_secrets.iter().flatten() {
        match context.secret(spec::namespace(pod), &reference.name, true).await {
            Ok(Some(secret)) => entries.extend(of_secret(&secret)),
            missing => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    reference.name
                );
                context.event(pod, EventKind::Warning, "FailedToRetrieveImagePullSecret", message);
                tracing::debug!(error = ?missing.err(), secret = reference.name, "cannot read a pull secret");
            }
        }
    }
    let mut found = lookup(entries, repository);
    found.extend(lookup(of_node(context), repository));
    found
}

/// What a Docker configuration says of one place.
#[derive(Clone, Debug)]
struct Entry {
    place: String,
    auth: AuthConfig,
    /// The SHA-256 of it.
    hash: String,
    secret: Option<PullSecret>,
}

fn of_secret(secret: &Secret) -> Vec<Entry> {
    let data = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|data| &data.0);
    let entries = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => data(".dockerconfigjson").map(|data| auths(data)),
        Some("kubernetes.io/dockercfg") => data(".dockercfg").map(|data| object(data)),
        _ => None,
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut entries = entries.unwrap_or_default();
    for entry in &mut entries {
        entry.secret = Some(PullSecret {
            uid: text(&secret.metadata.uid),
            namespace: text(&secret.metadata.namespace),
            name: text(&secret.metadata.name),
            hash: entry.hash.clone(),
        });
    }
    entries
}

fn of_node(context: &Context) -> Vec<Entry> {
    let path = context.config.root_dir.join(NODE_FILE);
    match std::fs::read(&path) {
        Ok(data) => auths(&data),
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "cannot read the node's credentials for images");
            }
            Vec::new()
        }
    }
}

/// The entries of a `config.json`.
fn auths(config: &[u8]) -> Vec<Entry> {
    let Ok(config) = serde_json::from_slice::<Value>(config) else { return Vec::new() };
    config.get("auths").map(entries).unwrap_or_default()
}

/// The entries of a `.dockercfg`.
fn object(config: &[u8]) -> Vec<Entry> {
    serde_json::from_slice(config).map(|config| entries(&config)).unwrap_or_default()
}

fn entries(config: &Value) -> Vec<Entry> {
    let entries = config.as_object().into_iter().flatten();
    entries.map(|(place, written)| entry(key(place), written)).collect()
}

/// The place that an entry is for, without what is only Docker's: `https://r.example/v1/` is `r.example`.
fn key(written: &str) -> String {
    let place =
        written.strip_prefix("https://").or_else(|| written.strip_prefix("http://")).unwrap_or(written);
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let path = path.strip_prefix("v1/").or_else(|| path.strip_prefix("v2/")).unwrap_or(path);
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

/// What is for a repository, the most specific first.
fn lookup(mut entries: Vec<Entry>, repository: &str) -> Vec<Credential> {
    entries.sort_by(|a, b| b.place.cmp(&a.place));
    let some = |fits: &dyn Fn(&str) -> bool| -> Vec<Credential> {
        let fitting = entries.iter().filter(|entry| fits(&entry.place));
        fitting.map(|entry| Credential { auth: entry.auth.clone(), secret: entry.secret.clone() }).collect()
    };
    let found = some(&|place| covers(place, repository));
    if found.is_empty() && repository.starts_with("docker.io/") {
        return some(&|place| place == DEFAULT_HOST);
    }
    found
}

/// Whether a registry, perhaps with patterns for labels of its host and with a path, covers an image.
fn covers(place: &str, image: &str) -> bool {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (image_host, image_path) = image.split_once('/').unwrap_or((image, ""));
    let ((host, port), (image_host, image_port)) = (split_port(host), split_port(image_host));
    let (labels, own): (Vec<_>, Vec<_>) = (host.split('.').collect(), image_host.split('.').collect());
    port == image_port
        && labels.len() == own.len()
        && labels.iter().zip(&own).all(|(pattern, label)| fits(pattern.as_bytes(), label.as_bytes()))
        && image_path.starts_with(path)
}

fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        // An address of IPv6 without a port ends with a bracket.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (host, ""),
    }
}

/// Whether a label fits a pattern of Go's `filepath.Match`, as far as names of hosts have use for one: `*` and `?`.
fn fits(mut pattern: &[u8], mut label: &[u8]) -> bool {
    // Where the last `*` stands, and what it has not swallowed yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, label) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                star = Some((rest, label));
                pattern = rest;
            }
            ([a, rest @ ..], [b, more @ ..]) if *a == b'?' || a == b => (pattern, label) = (rest, more),
            _ => {
                let Some((rest, [_, more @ ..])) = star else { return false };
                star = Some((rest, more));
                (pattern, label) = (rest, more);
            }
        }
    }
}

fn entry(place: String, written: &Value) -> Entry {
    let text = |key: &str| written[key].as_str().unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let encoded: String = text("auth").chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let decoded = LENIENT.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, secret)) = decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        (username, password) = (user.to_owned(), secret.to_owned());
    }
    let hash = hash(&[("username", &username), ("password", &password), ("email", &text("email"))]);
    Entry { place, auth: AuthConfig { username, password, ..AuthConfig::default() }, hash, secret: None }
}

/// The SHA-256 of an object in Go's JSON, without what is empty.
fn hash(fields: &[(&str, &str)]) -> String {
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    let fields: Vec<String> = given
        .map(|(name, value)| {
            let text = Value::from(*value).to_string();
            let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
            format!("\"{name}\":{}", text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"))
        })
        .collect();
    pki::sha256_hex(format!("{{{}}}", fields.join(",")).as_bytes())
}

/// For fuzzing: the Docker configuration of a pull secret, and a repository.
pub(super) fn fuzz(config: &[u8], repository: &str) {
    let entries: Vec<Entry> = auths(config).into_iter().chain(object(config)).collect();
    assert!(lookup(entries.clone(), repository).len() <= entries.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries() {
        let cases = [
            ("docker.io", "docker.io/library/busybox", true),
            ("https://index.docker.io/v1/", "docker.io/library/busybox", false),
            ("*.example.com", "a.example.com/x", true),
            ("*.example.com", "a.b.example.com/x", false),
            ("a*c.?.example", "abbc.d.example/x", true),
            ("a*c.?.example", "abbc.dd.example/x", false),
            ("a*c.?.example", "abb.d.example/x", false),
            ("*a*", "bab/x", true),
            ("r.example/team", "r.example/team/app", true),
            ("http://r.example/v2/team", "r.example/team/app", true),
            ("r.example/team", "r.example/other/app", false),
            ("r.example:5000", "r.example/x", false),
            ("r.*:5000", "r.example:5000/x", true),
            ("*.*", "r.example:5000/x", false),
            ("[::1]:5000", "[::1]:5000/x", true),
            ("[::1]", "[::1]/x", true),
        ];
        for (place, image, expected) in cases {
            assert_eq!(covers(&key(place), image), expected, "{place} {image}");
        }
    }

    #[test]
    fn the_most_specific_is_tried_first_and_the_default_last() {
        let config = r#"{"auths": {
            "https://r.example/v1/": {"auth": "aG9zdDpw"}, "r.example/a": {"username": "path"},
            "*.example": {"username": "any"}, "other": {}, "https://index.docker.io/v1/": {"username": "hub"}
        }}"#;
        let entries = auths(config.as_bytes());
        let users = |repository| {
            let found = lookup(entries.clone(), repository);
            found.into_iter().map(|found| found.auth.username).collect::<Vec<_>>()
        };
        assert_eq!(users("r.example/a/b"), ["path", "host", "any"]);
        assert_eq!(users("r.example/b"), ["host", "any"]);
        assert_eq!(users("docker.io/library/b"), ["hub"]);
        assert_eq!(users("quay.io/b"), [""; 0]);
    }

    #[test]
    fn secrets_say_what_they_are() {
        let secret = |kind: &str, key: &str, config: &str| -> Secret {
            let data = base64::engine::general_purpose::STANDARD.encode(config);
            let metadata = serde_json::json!({"name": "s", "namespace": "n", "uid": "u"});
            let object = serde_json::json!({"metadata": metadata, "type": kind, "data": {key: data}});
            serde_json::from_value(object).unwrap()
        };
        let (new, old) = (r#"{"auths": {"r": {"auth": "dTpw"}}}"#, r#"{"r": {"auth": "dTpwOmE="}}"#);
        let password = |secret: &Secret| of_secret(secret).first().map(|e| e.auth.password.clone());
        let json = secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", new);
        assert_eq!(password(&json).as_deref(), Some("p"));
        let cfg = secret("kubernetes.io/dockercfg", ".dockercfg", old);
        assert_eq!(password(&cfg).as_deref(), Some("p:a"));
        assert_eq!(password(&secret("Opaque", ".dockerconfigjson", new)), None);
        assert_eq!(password(&secret("kubernetes.io/dockercfg", ".dockercfg", "[")), None);

        let own = of_secret(&json).remove(0).secret.unwrap();
        assert_eq!((own.uid.as_str(), own.namespace.as_str(), own.name.as_str()), ("u", "n", "s"));
        assert_eq!(own.hash, pki::sha256_hex(br#"{"username":"u","password":"p"}"#));
        let odd = pki::sha256_hex(br#"{"username":"\u003c\u0026\u003e","email":"e"}"#);
        assert_eq!(hash(&[("username", "<&>"), ("password", ""), ("email", "e")]), odd);
    }
}
