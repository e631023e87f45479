//! Structs as upstream prints them in error texts.
//!
//! Upstream validates its internal types, which have no JSON names: an error on a struct shows Go's field
//! names, in Go's order, empty fields included. `internal_types.txt` has one line per internal struct of
//! `pkg/apis/*/types.go`: the name, then `GoName:type` per field (`GoName=jsonName:type` where the JSON name
//! is not the Go name with a small initial, `+type` for an embedded struct).

use crate::check;
use crate::equal::semantic_equal;
use meta::field::{Error, ErrorList, Path};
use meta::quote::{go_json, json_string};
use std::collections::HashMap;
use std::sync::LazyLock;
use value::Value;

static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    include_str!("internal_types.txt")
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.filter_map(Field::parse).collect()))
        })
        .collect()
});

struct Field {
    /// Empty for an embedded struct.
    go: &'static str,
    json: String,
    kind: &'static str,
}

impl Field {
    fn parse(word: &'static str) -> Option<Self> {
        if let Some(kind) = word.strip_prefix('+') {
            return Some(Self { go: "", json: String::new(), kind });
        }
        let (names, kind) = word.split_once(':')?;
        let (go, json) = names.split_once('=').map_or_else(|| (names, camel(names)), |(g, j)| (g, j.into()));
        Some(Self { go, json, kind })
    }
}

/// A Go name as JSON has it by convention: `NodeID` is `nodeID`, `TTY` is `tty`.
fn camel(go: &str) -> String {
    let capitals = go.bytes().take_while(u8::is_ascii_uppercase).count();
    let small = if capitals == go.len() || capitals == 1 { capitals } else { capitals.saturating_sub(1) };
    let (head, tail) = go.split_at(small);
    head.to_ascii_lowercase() + tail
}

/// The text of a value of an internal type, e.g. `core.PodSpec`; plain JSON for a type that is not known.
pub(crate) fn text(kind: &str, v: &Value) -> String {
    let mut out = String::new();
    write(&mut out, kind, v);
    out
}

/// An error on a struct.
pub(crate) fn invalid(path: &Path<'_>, kind: &str, v: &Value, detail: &str) -> Error {
    Error::invalid(path, v.clone(), detail).shown_as(text(kind, v))
}

/// That a struct does not change; `kind` is empty for what prints as it is.
pub(crate) fn immutable(kind: &str, new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    // A struct that is pointed to is not the same as none.
    let is_struct = TYPES.contains_key(kind);
    if semantic_equal(new, old) && !(is_struct && new.is_null() != old.is_null()) {
        return;
    }
    let error = Error::invalid(path, new.clone(), "field is immutable");
    errors.push(if kind.is_empty() || new.is_null() { error } else { error.shown_as(text(kind, new)) });
}

fn write(out: &mut String, kind: &str, v: &Value) {
    if let Some(kind) = kind.strip_prefix('*') {
        return if v.is_null() { out.push_str("null") } else { write(out, kind, v) };
    }
    if let Some(item) = kind.strip_prefix("[]") {
        let Some(items) = v.as_array() else { return out.push_str("null") };
        return write_all(out, ('[', ']'), items.iter(), |out, v| write(out, item, v));
    }
    if let Some(item) = kind.strip_prefix("{}") {
        let Some(map) = v.as_object() else { return out.push_str("null") };
        return write_all(out, ('{', '}'), map.iter(), |out, (k, v)| {
            out.push_str(&json_string(k));
            out.push(':');
            write(out, item, v);
        });
    }
    match kind {
        "string" => out.push_str(&json_string(v.str())),
        "bool" => out.push_str(if v.bool() { "true" } else { "false" }),
        "int" | "intstr" if v.is_null() => out.push('0'),
        "quantity" if v.is_null() => out.push_str("\"0\""),
        "selector" => out.push_str(&check::selector_text(v)),
        _ => match TYPES.get(kind) {
            Some(_) if kind == "core.PodSpec" => write_struct(out, kind, &with_host_fields(v)),
            Some(_) => write_struct(out, kind, v),
            None => out.push_str(&go_json(v)),
        },
    }
}

fn write_all<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(close);
}

fn write_struct(out: &mut String, kind: &str, v: &Value) {
    out.push('{');
    let start = out.len();
    write_fields(out, start, kind, v);
    out.push('}');
}

fn write_fields(out: &mut String, start: usize, kind: &str, v: &Value) {
    for field in TYPES.get(kind).into_iter().flatten() {
        match (field.go, field.kind) {
            ("", "typemeta") => {}
            ("", "objectmeta") => write_metadata(out, start, v.at("metadata")),
            ("", kind) => write_fields(out, start, kind, v),
            (go, kind) => {
                separate(out, start);
                out.push_str(&json_string(go));
                out.push(':');
                write(out, kind, v.at(&field.json));
            }
        }
    }
}

fn separate(out: &mut String, start: usize) {
    if out.len() > start {
        out.push(',');
    }
}

/// An embedded ObjectMeta: it has JSON names, and leaves out what is empty.
fn write_metadata(out: &mut String, start: usize, metadata: &Value) {
    for name in [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ] {
        if !metadata.at(name).is_empty() {
            separate(out, start);
            out.push_str(&json_string(name));
            out.push(':');
            match name {
                "ownerReferences" => write_ordered(out, metadata.at(name), &OWNER_REFERENCE, 4),
                "managedFields" => write_ordered(out, metadata.at(name), &MANAGED_FIELDS, 0),
                _ => out.push_str(&go_json(metadata.at(name))),
            }
        }
    }
}

/// An ObjectMeta alone.
pub(crate) fn metadata(metadata: &Value) -> String {
    let mut out = String::from("{");
    write_metadata(&mut out, 1, metadata);
    out.push('}');
    out
}

const OWNER_REFERENCE: [&str; 6] = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
const MANAGED_FIELDS: [&str; 7] =
    ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"];

/// A list of objects whose members come in Go's order, the first `always` of them also when they are empty.
fn write_ordered(out: &mut String, list: &Value, names: &[&str], always: usize) {
    out.push('[');
    let list_start = out.len();
    for item in list.items() {
        separate(out, list_start);
        out.push('{');
        let start = out.len();
        for (i, name) in names.iter().enumerate() {
            let v = item.at(name);
            if v.is_null() && i >= always {
                continue;
            }
            separate(out, start);
            out.push_str(&json_string(name));
            out.push(':');
            out.push_str(&if v.is_null() { json_string("") } else { go_json(v) });
        }
        out.push('}');
    }
    out.push(']');
}

/// The internal PodSecurityContext holds what `v1` has beside it in the pod's spec.
fn with_host_fields(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let names = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
    let fields: Vec<(&str, Value)> =
        names.iter().map(|n| (*n, spec.at(n).clone())).filter(|(_, v)| !v.is_null()).collect();
    if (!fields.is_empty() || !spec.at("securityContext").is_null())
        && let Some(context) = spec.object_at("securityContext")
    {
        for (name, v) in fields {
            context.set(name, v);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::{camel, text};
    use value::json::parse;

    #[test]
    fn metadata_in_the_order_of_go() {
        let tree = r#"{"managedFields":[{"apiVersion":"v1","fieldsV1":{},"manager":"m","operation":"Update"}],"name":"n","ownerReferences":[{"blockOwnerDeletion":true,"kind":"K","name":"o"}]}"#;
        let want = r#"{"name":"n","ownerReferences":[{"apiVersion":"","kind":"K","name":"o","uid":"","blockOwnerDeletion":true}],"managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsV1":{}}]}"#;
        assert_eq!(super::metadata(&parse(tree.as_bytes()).unwrap()), want);
    }

    #[test]
    fn names() {
        for (go, json) in [("NodeID", "nodeID"), ("TTY", "tty"), ("DNSPolicy", "dnsPolicy"), ("Name", "name")]
        {
            assert_eq!(camel(go), json);
        }
    }

    #[test]
    fn structs_as_go_prints_them() {
        let v = parse(br#"{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}"#).expect("valid JSON");
        assert_eq!(
            text("policy.PodDisruptionBudgetSpec", &v),
            "{\"MinAvailable\":1,\"Selector\":{\"matchLabels\":{\"a\":\"b\"}},\"MaxUnavailable\":null,\
             \"UnhealthyPodEvictionPolicy\":null}"
        );
    }
}
