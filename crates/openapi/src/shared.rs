//! Parameters that many operations have: version 2 says each once, and refers to it.
//!
//! Upstream: `k8s.io/kube-openapi/pkg/builder/parameters.go`.

use crate::tree::object;
use std::fmt::Write as _;
use value::{Map, Str, Value, json};

/// The order in which upstream writes the members of what it makes names from.
const MEMBERS: [&str; 7] = ["uniqueItems", "type", "description", "name", "in", "required", "schema"];

/// Puts references in the places of parameters; what they refer to, by name.
pub(crate) fn share(paths: &mut [(Str, Value)]) -> Map {
    let mut shared = Map::new();
    for (_, item) in paths {
        let Value::Object(item) = item else { continue };
        for (key, value) in item.iter_mut() {
            let list = if key == "parameters" { Some(value) } else { value.get_mut("parameters") };
            let Some(Value::Array(list)) = list else { continue };
            for parameter in list.iter_mut().filter(|p| is_shared(p)) {
                let name = name(parameter);
                let target = object([("$ref", format!("#/parameters/{name}").into())]);
                shared.insert(name, std::mem::replace(parameter, target));
            }
        }
    }
    shared
}

/// Whether a parameter says nothing of one kind. Two stay where kubectl up to 1.27 looks for them.
fn is_shared(parameter: &Value) -> bool {
    let (place, name) = (parameter.at("in").str(), parameter.at("name").str());
    match place {
        "body" => parameter.at("schema").at("$ref").str().starts_with("#/definitions/io.k8s.apimachinery"),
        "query" => !matches!(name, "name" | "fieldValidation" | "dryRun"),
        _ => name != "name",
    }
}

/// `limit-1NfNmdNH`: the parameter's name, and a hash of all that it says.
fn name(parameter: &Value) -> String {
    let mut text = String::new();
    for member in MEMBERS {
        if let Some(value) = parameter.get(member) {
            let begin = if text.is_empty() { '{' } else { ',' };
            // Writing to a string does not fail.
            let _ = write!(text, "{begin}\"{member}\":{}", json::to_string(value));
        }
    }
    text.push('}');
    format!("{}-{}", parameter.at("name").str(), hash(&text))
}

/// FNV-1 with 64 bits, of which six bytes are written in base64 for URLs.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let step = |hash: u64, byte: u8| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (1..=8).map(|n| char::from(DIGITS[(hash >> (64 - 6 * n) & 63) as usize])).collect()
}
