//! JSON merge patch (RFC 7386), as `github.com/evanphx/json-patch` applies it.

use crate::{Map, Value};
use std::cmp::Ordering;
use std::fmt;

/// A patch that is neither an object nor a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPatch;

impl fmt::Display for InvalidPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid JSON Patch")
    }
}

impl std::error::Error for InvalidPatch {}

/// Merges a patch into a document: objects member by member, nulls remove, anything else replaces.
///
/// As upstream, and unlike the RFC, what is new loses its null members also inside lists; a list as the
/// whole patch is taken as the result.
///
/// # Errors
/// If the patch is null or a scalar.
pub fn apply(mut document: Value, mut patch: Value) -> Result<Value, InvalidPatch> {
    if !matches!(patch, Value::Object(_) | Value::Array(_)) {
        return Err(InvalidPatch);
    }
    match (&mut document, patch) {
        (Value::Object(target), Value::Object(changes)) => {
            merge(target, changes);
            return Ok(document);
        }
        (_, other) => patch = other,
    }
    prune_nulls(&mut patch);
    Ok(patch)
}

/// Merges with a stack of what is still to be merged, as documents may be deep.
fn merge(target: &mut Map, changes: Map) {
    let mut todo = vec![(target, changes)];
    while let Some((target, changes)) = todo.pop() {
        let later = merge_level(target, changes);
        // Both are in key order.
        let mut later = later.into_iter().peekable();
        for (key, value) in target.iter_mut() {
            let Some((_, changes)) = later.next_if(|(k, _)| k == key) else { continue };
            match (value, changes) {
                (Value::Object(target), Value::Object(changes)) => todo.push((target, changes)),
                (Value::Object(_), _) => unreachable!("only objects wait to be merged into objects"),
                (value, mut changes) => {
                    prune_nulls(&mut changes);
                    *value = changes;
                }
            }
        }
    }
}

/// Merges one level in one pass over both sides, and returns the changes to members that stay.
fn merge_level(target: &mut Map, changes: Map) -> Vec<(crate::Str, Value)> {
    let mut merged = Vec::with_capacity(target.len().max(changes.len()));
    let mut later = Vec::new();
    let mut old = std::mem::take(target).into_iter().peekable();
    for (key, change) in changes {
        while let Some(entry) = old.next_if(|(k, _)| k < &key) {
            merged.push(entry);
        }
        let same = old.next_if(|(k, _)| k.cmp(&key) == Ordering::Equal);
        match (same, change) {
            (_, Value::Null) => {}
            (Some((key, Value::Object(m))), change @ Value::Object(_)) => {
                merged.push((key.clone(), Value::Object(m)));
                later.push((key, change));
            }
            // Upstream prunes what replaces a scalar or a list, but not a list or scalar that replaces
            // an object.
            (Some((key, Value::Object(_))), change) => merged.push((key, change)),
            (_, mut change) => {
                prune_nulls(&mut change);
                merged.push((key, change));
            }
        }
    }
    merged.extend(old);
    *target = Map::from_sorted(merged);
    later
}

/// Removes null members of all objects; nulls in lists stay.
fn prune_nulls(value: &mut Value) {
    let mut todo = vec![value];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(m) => {
                m.retain(|_, v| !v.is_null());
                todo.extend(m.iter_mut().map(|(_, v)| v));
            }
            Value::Array(a) => todo.extend(a.iter_mut()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[track_caller]
    fn check(document: &str, patch: &str, expect: &str) {
        let parse = |s: &str| json::parse(s.as_bytes()).unwrap();
        let shown = match apply(parse(document), parse(patch)) {
            Ok(value) => json::to_string(&value),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn rfc_7386_examples() {
        check(r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        check(r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#);
        check(r#"{"a":"b"}"#, r#"{"a":null}"#, "{}");
        check(r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#);
        check(r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        check(r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#);
        check(r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#);
        check(r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
        check(r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#);
        check("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#);
    }

    #[test]
    fn upstream_departures() {
        check(r#"{"a":1}"#, "null", "Invalid JSON Patch");
        check(r#"{"a":1}"#, "\"x\"", "Invalid JSON Patch");
        check(r#"{"a":1}"#, r#"[1,null,{"b":null}]"#, "[1,null,{}]");
        check(r#"{"a":1}"#, r#"{"a":[null,{"b":null,"c":[{"d":null}]}]}"#, r#"{"a":[null,{"c":[{}]}]}"#);
        check(r#"{"a":{}}"#, r#"{"a":[null,{"b":null}]}"#, r#"{"a":[null,{"b":null}]}"#);
    }
}
