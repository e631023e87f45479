//! ConfigMaps and Secrets.
//!
//! Upstream: `ValidateConfigMap`, `ValidateSecret` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/{configmap,secret}/strategy.go`.

use super::util::{finalizer_names, metadata_again};
use crate::certificates::{Block, checks, pem_blocks};
use crate::check::{self, default_text};
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta::Scope;
use value::{Value, json};

const DATA_MAX_BYTES: usize = 1024 * 1024;
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

pub(super) const CONFIG_MAPS: Hooks = Hooks {
    validate_create: |_, map| {
        let mut errors = ErrorList::new();
        finalizer_names(map, &mut errors);
        config_map(map, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        immutable(new, old, &["data", "binaryData"], &mut errors);
        metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
        config_map(new, &mut errors);
        errors
    },
    ..Hooks::NONE
};

pub(super) const SECRETS: Hooks = Hooks {
    default: default_secret,
    prepare_update: |_, new, old| {
        if new.at("type").str().is_empty() {
            let kind = old.at("type").clone();
            new.set("type", kind);
        }
    },
    validate_create: |_, secret| {
        let mut errors = ErrorList::new();
        finalizer_names(secret, &mut errors);
        validate_secret(secret, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        let (kind, before) = (new.at("type").str(), old.at("type").str());
        if kind != before {
            errors.push(super::util::invalid_named(&Path::new("type"), kind, "field is immutable"));
        }
        immutable(new, old, &["data"], &mut errors);
        metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
        validate_secret(new, &mut errors);
        errors
    },
    warn_create: |_, secret| tls_warnings(secret),
    warn_update: |_, new, _| tls_warnings(new),
    ..Hooks::NONE
};

/// An immutable object stays so, and these members stay as they are.
fn immutable(new: &Value, old: &Value, members: &[&str], errors: &mut ErrorList) {
    if !old.at("immutable").bool() {
        return;
    }
    if !new.at("immutable").bool() {
        errors.push(Error::forbidden(&Path::new("immutable"), IMMUTABLE));
    }
    for name in members {
        if !semantic_equal(new.at(name), old.at(name)) {
            errors.push(Error::forbidden(&Path::new(name), IMMUTABLE));
        }
    }
}

/// Keys of data; returns the bytes of all values.
fn keys(data: &Value, other: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (key, _) in data.entries() {
        let path = path.key(key);
        check::invalid_each(key, names::config_map_key(key), &path, errors);
        if other.get(key).is_some() {
            errors.push(Error::invalid(&path, key.as_str(), "duplicate of key present in binaryData"));
        }
    }
}

fn config_map(map: &Value, errors: &mut ErrorList) {
    let (data, binary) = (map.at("data"), map.at("binaryData"));
    keys(data, binary, &Path::new("data"), errors);
    keys(binary, &Value::Null, &Path::new("binaryData"), errors);
    let size: usize = data.entries().map(|(_, v)| v.str().len()).sum();
    if size.saturating_add(decoded_size(binary)) > DATA_MAX_BYTES {
        errors.push(Error::too_long(&Path::new(""), DATA_MAX_BYTES));
    }
}

fn decoded_size(data: &Value) -> usize {
    data.entries().map(|(_, v)| check::base64_len(v.str())).sum()
}

fn default_secret(secret: &mut Value) {
    default_text(secret, "type", "Opaque");
    if let Some(given) = secret.remove("stringData").filter(|v| !v.is_empty())
        && let Some(data) = secret.object_at("data")
    {
        for (key, v) in given.entries() {
            data.set(key, STANDARD.encode(v.str()));
        }
    }
}

fn validate_secret(secret: &Value, errors: &mut ErrorList) {
    let (data, path) = (secret.at("data"), Path::new("data"));
    keys(data, &Value::Null, &path, errors);
    if decoded_size(data) > DATA_MAX_BYTES {
        errors.push(Error::too_long(&path, DATA_MAX_BYTES));
    }
    let missing = |key: &str| data.get(key).is_none();
    let mut require = |key: &str| errors.push(Error::required(&path.key(key), ""));
    match secret.at("type").str() {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if secret.at("metadata").at("annotations").at(key).str().is_empty() {
                let path = Path::new("metadata");
                let path = path.child("annotations");
                errors.push(Error::required(&path.key(key), ""));
            }
        }
        "kubernetes.io/dockercfg" => json_object(data, ".dockercfg", &path, errors),
        "kubernetes.io/dockerconfigjson" => json_object(data, ".dockerconfigjson", &path, errors),
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            require("username");
            require("password");
        }
        "kubernetes.io/ssh-auth" if data.at("ssh-privatekey").str().is_empty() => {
            require("ssh-privatekey");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if missing(key) {
                    require(key);
                }
            }
        }
        _ => {}
    }
}

fn decoded(data: &Value, key: &str) -> Vec<u8> {
    STANDARD.decode(data.at(key).str()).unwrap_or_default()
}

/// A value that must be a JSON object.
fn json_object(data: &Value, key: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.key(key);
    if data.get(key).is_none() {
        errors.push(Error::required(&path, ""));
        return;
    }
    let problem = match json::parse(&decoded(data, key)) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(v) => {
            let kind = match v {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
        }
        Err(e) => e.to_string(),
    };
    errors.push(Error::invalid(&path, "<secret contents redacted>", problem));
}

/// What Go's `tls.X509KeyPair` says of a certificate and key.
fn tls_warnings(secret: &Value) -> Vec<String> {
    if secret.at("type").str() != "kubernetes.io/tls" {
        return Vec::new();
    }
    let data = secret.at("data");
    let blocks = |key: &str| pem_blocks(&String::from_utf8_lossy(&decoded(data, key)));
    let result = key_pair(&blocks("tls.crt"), &blocks("tls.key"));
    result.err().into_iter().collect()
}

fn key_pair(certificates: &[Block], keys: &[Block]) -> Result<(), String> {
    let kinds =
        |blocks: &[Block]| blocks.iter().map(|block| block.kind.clone()).collect::<Vec<_>>().join(" ");
    let Some(certificate) = certificates.iter().find(|block| block.kind == "CERTIFICATE") else {
        return Err(match certificates {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [one] if one.kind.ends_with("PRIVATE KEY") => {
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM \
                 inputs may have been switched"
                    .to_owned()
            }
            skipped => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of \
                 the following types: [{}]",
                kinds(skipped)
            ),
        });
    };
    let is_key = |block: &&Block| block.kind == "PRIVATE KEY" || block.kind.ends_with(" PRIVATE KEY");
    let Some(key) = keys.iter().find(is_key) else {
        return Err(match keys {
            [] => "tls: failed to find any PEM data in key input".to_owned(),
            [one] if one.kind == "CERTIFICATE" => {
                "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
            }
            skipped => format!(
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM \
                 blocks of the following types: [{}]",
                kinds(skipped)
            ),
        });
    };
    (checks().key_pair)(&certificate.bytes, &key.bytes)
}
