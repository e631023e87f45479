//! What decoding does to a custom object: unknown fields and impossible nulls go, defaults come.
//!
//! Upstream: `pkg/apiserver/schema/{pruning,defaulting}`. Objects nest at most as deep as the JSON parser
//! admits; every walk follows the schema, whose depth is bounded, except where a schema ends.

use crate::schema::Schema;
use std::fmt::Write;
use value::{Str, Value};

/// Fields that every object has.
fn is_meta(field: &str) -> bool {
    matches!(field, "apiVersion" | "kind" | "metadata")
}

/// Where in the object a walk stands, and what it found unknown.
struct Unknown {
    path: String,
    found: Option<Vec<String>>,
    /// How long the texts of what was found are.
    bytes: usize,
}

/// How many bytes of paths are told; what comes after is left out.
const PATH_BYTES_MAX: usize = 4 << 20;

impl Unknown {
    fn key(&mut self, key: &str) -> usize {
        let len = self.path.len();
        if self.found.is_some() {
            if len > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
        }
        len
    }

    fn index(&mut self, i: usize) -> usize {
        let len = self.path.len();
        if self.found.is_some() {
            let _ = write!(self.path, "[{i}]");
        }
        len
    }

    fn record(&mut self, key: &str) {
        let len = self.key(key);
        if let Some(found) = &mut self.found
            && self.bytes <= PATH_BYTES_MAX
        {
            self.bytes += self.path.len();
            found.push(self.path.clone());
        }
        self.path.truncate(len);
    }
}

/// What an object is pruned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The paths of unknown fields are wanted.
    Paths,
    /// They are not.
    Nothing,
}

/// Removes the fields that the schema does not specify; tells their paths, sorted. `is_root` keeps the fields
/// that every object has.
pub fn prune(object: &mut Value, schema: &Schema, is_root: bool, track: Track) -> Vec<String> {
    let found = (track == Track::Paths).then(Vec::new);
    let mut unknown = Unknown { path: String::new(), found, bytes: 0 };
    walk(object, Some(schema), is_root || schema.embedded_resource, &mut unknown, true);
    let mut found = unknown.found.unwrap_or_default();
    found.sort_unstable();
    found
}

fn walk(x: &mut Value, s: Option<&Schema>, is_resource: bool, unknown: &mut Unknown, at_root: bool) {
    if let Some(s) = s.filter(|s| s.preserves()) {
        return skip(x, s, is_resource, unknown);
    }
    match x {
        Value::Object(map) => {
            let Some(s) = s else {
                for key in map.keys() {
                    unknown.record(key);
                }
                map.retain(|_, _| false);
                return;
            };
            map.retain(|k, v| {
                if is_resource && is_meta(k) {
                    return true;
                }
                let below = s.property(k).map(Some);
                let below = below.or_else(|| s.additional_properties.as_ref().map(|a| a.schema.as_deref()));
                let Some(below) = below else {
                    if !is_meta(k) || !at_root {
                        unknown.record(k);
                    }
                    return false;
                };
                let len = unknown.key(k);
                walk(v, below, below.is_some_and(|b| b.embedded_resource), unknown, false);
                unknown.path.truncate(len);
                true
            });
        }
        Value::Array(list) => {
            let item = s.and_then(Schema::item);
            for (i, v) in list.iter_mut().enumerate() {
                let len = unknown.index(i);
                walk(v, item, item.is_some_and(|s| s.embedded_resource), unknown, false);
                unknown.path.truncate(len);
            }
        }
        _ => {}
    }
}

/// Below a schema that keeps unknown fields: only what it specifies is pruned.
fn skip(x: &mut Value, s: &Schema, is_resource: bool, unknown: &mut Unknown) {
    match x {
        Value::Object(map) => {
            for (k, v) in map.iter_mut() {
                if is_resource && is_meta(k) {
                    continue;
                }
                let below = s.property(k).map(Some);
                let below = below.or_else(|| s.additional_properties.as_ref().map(|a| a.schema.as_deref()));
                if let Some(below) = below {
                    let len = unknown.key(k);
                    walk(v, below, below.is_some_and(|b| b.embedded_resource), unknown, false);
                    unknown.path.truncate(len);
                }
            }
        }
        Value::Array(list) => {
            if let Some(item) = s.item() {
                for (i, v) in list.iter_mut().enumerate() {
                    let len = unknown.index(i);
                    skip(v, item, item.embedded_resource, unknown);
                    unknown.path.truncate(len);
                }
            }
        }
        _ => {}
    }
}

fn is_impossible(x: &Value, s: &Schema) -> bool {
    x.is_null() && !s.nullable
}

/// Removes nulls where none may stand and no default replaces them.
pub fn prune_nulls(x: &mut Value, s: &Schema) {
    match x {
        Value::Object(map) => map.retain(|k, v| {
            if let Some(p) = s.property(k) {
                if is_impossible(v, p) {
                    return p.default.is_some();
                }
                prune_nulls(v, p);
            } else if let Some(a) = s.additional() {
                if is_impossible(v, a) {
                    return a.default.is_some();
                }
                prune_nulls(v, a);
            }
            true
        }),
        Value::Array(list) => {
            if let Some(item) = s.item() {
                list.iter_mut().for_each(|v| prune_nulls(v, item));
            }
        }
        _ => {}
    }
}

/// Lays on the defaults.
pub fn default(x: &mut Value, s: &Schema) {
    match x {
        Value::Object(map) => {
            for (k, p) in &s.properties {
                let Some(default) = &p.default else { continue };
                if map.get(k).is_none_or(|v| is_impossible(v, p)) {
                    map.insert(k.clone(), default.clone());
                }
            }
            for (k, v) in map.iter_mut() {
                if let Some(p) = s.property(k) {
                    self::default(v, p);
                } else if let Some(a) = s.additional() {
                    if is_impossible(v, a) {
                        *v = a.default.clone().unwrap_or_default();
                    }
                    self::default(v, a);
                }
            }
        }
        Value::Array(list) => {
            let Some(item) = s.item() else { return };
            for v in list {
                if is_impossible(v, item) {
                    *v = item.default.clone().unwrap_or_default();
                }
                self::default(v, item);
            }
        }
        _ => {}
    }
}

/// The unknown fields as strict decoding words them.
pub fn words(paths: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    paths.into_iter().map(|p| format!("unknown field \"{p}\""))
}

/// A field's name for tests of meta fields in other modules.
pub(crate) fn is_type_meta(field: &Str) -> bool {
    matches!(field.as_str(), "apiVersion" | "kind")
}
