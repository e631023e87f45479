//! Files of kind `EncryptionConfiguration`.
//!
//! Upstream: `k8s.io/apiserver/pkg/apis/apiserver/v1/types_encryption.go`, its `validation`, and
//! `server/options/encryptionconfig/config.go`.

use super::cipher::Cipher;
use super::provider::{Chain, Key, Provider};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::field::{Error, ErrorList, Path, to_aggregate};
use std::sync::Arc;
use value::{Str, Value, yaml};

const GROUP: &str = "apiserver.config.k8s.io";
const VERSIONS: [&str; 1] = ["v1"];
const AES_KEY_BYTES: [usize; 3] = [16, 24, 32];
const SECRETBOX_KEY_BYTES: [usize; 1] = [32];
const MASKS: &str = "*";

/// Which providers each resource has. `*` stands for all resources of a group, `*` and `*` for all there are.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<(Str, Str, Vec<Arc<Provider>>)>,
}

impl Rules {
    fn find(&self, group: &str, resource: &str) -> Option<&Vec<Arc<Provider>>> {
        self.rules.iter().find(|(g, r, _)| g == group && r == resource).map(|(_, _, p)| p)
    }

    /// The providers of a resource: its own, else its group's, else those of everything.
    pub(super) fn chain(&self, group: &str, resource: &str) -> Arc<Chain> {
        let found = self.find(group, resource).or_else(|| self.find(group, MASKS));
        let found = found.or_else(|| self.find(MASKS, MASKS));
        Arc::new(Chain { providers: found.cloned().unwrap_or_default() })
    }
}

/// Reads and checks a file.
pub(super) fn parse(text: &[u8]) -> Result<Rules, String> {
    let file = yaml::parse_strict(text).map_err(|e| format!("error while loading file: {e}"))?;
    let (api_version, kind) = (file.at("apiVersion").str(), file.at("kind").str());
    let known = VERSIONS.iter().any(|v| api_version == format!("{GROUP}/{v}"));
    if !known || kind != "EncryptionConfiguration" {
        return Err(format!("no kind {kind:?} is registered for version {api_version:?}"));
    }
    fields(&file, "", &["apiVersion", "kind", "resources"])?;
    shape(&file)?;
    let errors = validate(&file);
    if let Some(text) = to_aggregate(&errors) {
        return Err(text);
    }
    build(&file)
}

/// Refuses what the kind does not know: a mistyped `provider` must not leave secrets in the clear.
fn fields(object: &Value, path: &str, known: &[&str]) -> Result<(), String> {
    if object.as_object().is_none() {
        return Err(format!("{path}: expected an object"));
    }
    match object.entries().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, _)) if path.is_empty() => Err(format!("strict decoding error: unknown field {key:?}")),
        Some((key, _)) => Err(format!("strict decoding error: unknown field \"{path}.{key}\"")),
        None => Ok(()),
    }
}

fn shape(file: &Value) -> Result<(), String> {
    for (i, rule) in file.at("resources").items().iter().enumerate() {
        let path = format!("resources[{i}]");
        fields(rule, &path, &["resources", "providers"])?;
        for (j, provider) in rule.at("providers").items().iter().enumerate() {
            let path = format!("{path}.providers[{j}]");
            fields(provider, &path, &["aesgcm", "aescbc", "secretbox", "identity", "kms"])?;
            for (name, keys) in provider.entries() {
                let path = format!("{path}.{name}");
                match name.as_str() {
                    "identity" => fields(keys, &path, &[])?,
                    "kms" => return Err(format!("{path}: KMS plugins are not supported")),
                    _ => {
                        fields(keys, &path, &["keys"])?;
                        for (k, key) in keys.at("keys").items().iter().enumerate() {
                            fields(key, &format!("{path}.keys[{k}]"), &["name", "secret"])?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

fn validate(file: &Value) -> ErrorList {
    let root = Path::new("resources");
    let mut errors = ErrorList::new();
    let at_least_one =
        |path: &Path<'_>, what: &str| vec![Error::required(path, format!("at least one {what} is required"))];
    if file.at("resources").items().is_empty() {
        return at_least_one(&root, "resources");
    }
    for (i, rule) in file.at("resources").items().iter().enumerate() {
        let root = root.index(i);
        let (resources, providers) = (root.child("resources"), root.child("providers"));
        let names = rule.at("resources");
        if names.items().is_empty() {
            errors.extend(at_least_one(&resources, &resources.to_string()));
        }
        errors.extend(overlap(names, &resources));
        for (j, name) in names.items().iter().enumerate() {
            if let Some(why) = bad_name(name.str()) {
                errors.push(Error::invalid(&resources.index(j), name.clone(), why));
            }
        }
        if rule.at("providers").items().is_empty() {
            errors.extend(at_least_one(&providers, &providers.to_string()));
        }
        for (j, provider) in rule.at("providers").items().iter().enumerate() {
            errors.extend(validate_provider(provider, &providers.index(j)));
        }
    }
    errors
}

fn overlap(names: &Value, path: &Path<'_>) -> ErrorList {
    let all: Vec<(&str, &str)> = names.items().iter().map(|n| group_resource(n.str())).collect();
    let pairs = || {
        let all = &all;
        (0..all.len()).flat_map(move |i| (0..i).map(move |j| (all[i], all[j])))
    };
    let mut errors = ErrorList::new();
    if pairs().any(|(a, b)| a == b) {
        let why = "the same resource cannot be specified multiple times";
        errors.push(Error::invalid(path, names.clone(), why));
    }
    let everything = (MASKS, MASKS);
    let masks = |((ag, ar), (bg, br)): (_, _)| {
        (ag, ar) != (bg, br)
            && ((ag, ar) == everything || (bg, br) == everything || ag == bg && (ar == MASKS || br == MASKS))
    };
    if pairs().any(masks) {
        let why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
        errors.push(Error::invalid(path, names.clone(), why));
    }
    errors
}

/// `secrets`, `deployments.apps`, `*.apps`, `*.` (the core group), `*.*`.
fn group_resource(text: &str) -> (&str, &str) {
    text.split_once('.').map_or(("", text), |(resource, group)| (group, resource))
}

fn bad_name(name: &str) -> Option<&'static str> {
    let (group, resource) = group_resource(name);
    if name.chars().any(char::is_uppercase) {
        return Some("resource name should not contain capital letters");
    }
    Some(match (name, group) {
        ("*", _) => {
            "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
        }
        ("apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations", _) => {
            "resources which do not have REST API/s cannot be encrypted"
        }
        (_, "events.k8s.io") => {
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
        }
        (_, "extensions") => "'extensions' group has been removed and cannot be used for encryption",
        (_, MASKS) if resource != MASKS => "encrypting the same resource across groups is not supported",
        _ => return None,
    })
}

fn validate_provider(provider: &Value, path: &Path<'_>) -> ErrorList {
    let mut set = provider.entries().filter(|(_, v)| !v.is_null());
    let shown = || Value::from("REDACTED");
    let Some((name, settings)) = set.next() else {
        let why = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity";
        return vec![Error::invalid(path, shown(), why)];
    };
    if set.next().is_some() {
        let why =
            "more than one provider specified in a single element, should split into different list elements";
        return vec![Error::invalid(path, shown(), why)];
    }
    let sizes: &[usize] = match name.as_str() {
        "identity" => return ErrorList::new(),
        "secretbox" => &SECRETBOX_KEY_BYTES,
        _ => &AES_KEY_BYTES,
    };
    let path = path.child(name);
    let path = path.child("keys");
    if settings.at("keys").items().is_empty() {
        return vec![Error::required(&path, "at least one keys is required")];
    }
    let keys = settings.at("keys").items().iter().enumerate();
    keys.flat_map(|(i, key)| validate_key(key, &path.index(i), sizes)).collect()
}

fn validate_key(key: &Value, path: &Path<'_>, sizes: &[usize]) -> ErrorList {
    let mut errors = ErrorList::new();
    if key.at("name").str().is_empty() {
        errors.push(Error::required(&path.child("name"), "name is a mandatory field for a key"));
    }
    let path = path.child("secret");
    let secret = key.at("secret").str();
    if secret.is_empty() {
        errors.push(Error::required(&path, "secret is a mandatory field for a key"));
        return errors;
    }
    match STANDARD.decode(secret) {
        Err(_) => errors.push(Error::invalid(&path, "REDACTED", "secrets must be base64 encoded")),
        Ok(bytes) if !sizes.contains(&bytes.len()) => {
            let sizes = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let why = format!(
                "secret is not of the expected length, got {}, expected one of [{sizes}]",
                bytes.len()
            );
            errors.push(Error::invalid(&path, "REDACTED", why));
        }
        Ok(_) => {}
    }
    errors
}

fn build(file: &Value) -> Result<Rules, String> {
    let mut rules = Rules::default();
    for rule in file.at("resources").items() {
        let providers = rule.at("providers").items().iter().map(|p| provider(p).map(Arc::new));
        let providers = providers.collect::<Result<Vec<_>, _>>()?;
        for name in rule.at("resources").items() {
            let (group, resource) = group_resource(name.str());
            let masked =
                |by: &str| Err(format!("resource {:?} is masked by earlier rule {by:?}", name.str()));
            if rules.find(group, MASKS).is_some() {
                return masked(&format!("*.{group}"));
            }
            if rules.find(MASKS, MASKS).is_some() {
                return masked("*.*");
            }
            match rules.rules.iter_mut().find(|(g, r, _)| g == group && r == resource) {
                // The same resource in a further rule: its providers stand behind the others.
                Some((_, _, list)) => list.extend(providers.iter().cloned()),
                None => rules.rules.push((group.into(), resource.into(), providers.clone())),
            }
        }
    }
    Ok(rules)
}

fn provider(provider: &Value) -> Result<Provider, String> {
    type Make = fn(&[u8]) -> Result<Cipher, String>;
    let kinds: [(&str, &str, &str, Make); 3] = [
        ("aesgcm", "k8s:enc:aesgcm:v1:", "AES", Cipher::gcm),
        ("aescbc", "k8s:enc:aescbc:v1:", "AES", Cipher::cbc),
        ("secretbox", "k8s:enc:secretbox:v1:", "Secretbox", Cipher::secretbox),
    ];
    let found = kinds.iter().find(|(name, ..)| !provider.at(name).is_null());
    let Some((name, prefix, called, make)) = found else { return Ok(Provider::Identity) };
    let keys = provider.at(name).at("keys").items().iter().map(|key| {
        let name = key.at("name").str();
        let secret = zeroize::Zeroizing::new(
            STANDARD
                .decode(key.at("secret").str())
                .map_err(|e| format!("could not obtain secret for named key {name}: {e}"))?,
        );
        let cipher =
            make(&secret).map_err(|e| format!("error while creating cipher for named key {name}: {e}"))?;
        Ok::<_, String>(Key { prefix: format!("{prefix}{name}:"), cipher })
    });
    Ok(Provider::Keys { prefix, called, keys: keys.collect::<Result<Vec<_>, _>>()? })
}
