//! The metadata of custom objects, at the root and in embedded resources.
//!
//! Upstream: `pkg/apiserver/schema/objectmeta`.

use crate::is_full;
use crate::prune::Track;
use crate::schema::Schema;
use meta::field::{Error, ErrorList, Path};
use meta::gvk::GroupVersion;
use meta::names;
use meta::object_meta::{self, Scope};
use schema::{TypeId, Types, Unknown};
use value::Value;

fn object_meta_type() -> Option<TypeId> {
    Types::builtin().by_go_name("k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta")
}

/// What to do with fields of metadata that have the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Refuse.
    Refuse,
    /// Drop the field: for what is stored.
    Drop,
}

/// Metadata as the Go type holds it, and its unknown fields (within it).
///
/// # Errors
/// Go's text, where a field has a wrong type.
pub fn decode(metadata: &Value, malformed: Malformed) -> Result<(Value, Vec<String>), String> {
    let types = Types::builtin();
    let Some(ty) = object_meta_type() else { return Ok((metadata.clone(), Vec::new())) };
    let read = |v: &Value| {
        let mut decoded = schema::decode_value(types, ty, v, Unknown::Report)?;
        if decoded.has_unshown {
            schema::shown_form(types, ty, &mut decoded.value);
        }
        Ok::<_, schema::DecodeError>(decoded)
    };
    match read(metadata) {
        Ok(decoded) => {
            let paths = decoded
                .strict_errors
                .iter()
                .filter_map(|e| Some(e.strip_prefix("unknown field \"")?.strip_suffix('"')?.to_owned()));
            Ok((tidy(decoded.value), paths.collect()))
        }
        Err(error) if malformed == Malformed::Refuse => Err(error.to_string()),
        Err(_) => {
            let Some(fields) = metadata.as_object() else {
                return Err(format!("invalid metadata: expected object, got {}", go_type(metadata)));
            };
            let mut kept = Value::object();
            for (k, v) in fields.iter() {
                let mut one = Value::object();
                one.set(k, v.clone());
                if read(&one).is_ok() {
                    kept.set(k, v.clone());
                }
            }
            let decoded = read(&kept).map_err(|e| e.to_string())?;
            Ok((tidy(decoded.value), Vec::new()))
        }
    }
}

fn tidy(mut metadata: Value) -> Value {
    if metadata.at("creationTimestamp").is_null() {
        metadata.remove("creationTimestamp");
    }
    metadata
}

/// What Go's `%T` prints of an untyped value.
pub fn go_type(v: &Value) -> &'static str {
    match v {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_integer() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Brings the metadata of embedded resources into form; tells the paths of unknown fields, sorted.
///
/// # Errors
/// A type that cannot be, unless malformed fields are dropped.
pub fn coerce(
    path: &Path<'_>,
    object: &mut Value,
    s: &Schema,
    is_root: bool,
    malformed: Malformed,
    track: Track,
) -> Result<Vec<String>, Error> {
    let mut unknown = Vec::new();
    walk(path, object, s, is_root || s.embedded_resource, malformed, track, &mut unknown)?;
    unknown.sort_unstable();
    Ok(unknown)
}

fn walk(
    path: &Path<'_>,
    x: &mut Value,
    s: &Schema,
    is_resource: bool,
    malformed: Malformed,
    track: Track,
    unknown: &mut Vec<String>,
) -> Result<(), Error> {
    match x {
        Value::Object(map) => {
            if is_resource {
                for key in ["apiVersion", "kind"] {
                    let Some(v) = map.get(key).filter(|v| v.as_str().is_none()) else { continue };
                    if malformed == Malformed::Refuse {
                        return Err(Error::invalid(&path.child(key), v.clone(), "must be a string"));
                    }
                    map.remove(key);
                }
                if let Some(metadata) = map.get_mut("metadata") {
                    let at = path.child("metadata");
                    match decode(metadata, malformed) {
                        Ok((form, paths)) => {
                            *metadata = form;
                            if track == Track::Paths {
                                unknown.extend(paths.into_iter().map(|p| format!("{at}.{p}")));
                            }
                        }
                        Err(why) if malformed == Malformed::Refuse => {
                            return Err(Error::invalid(&at, metadata.clone(), why));
                        }
                        Err(_) => {}
                    }
                }
            }
            for (k, v) in map.iter_mut() {
                if let Some(p) = s.property(k) {
                    walk(&path.child(k), v, p, p.embedded_resource, malformed, track, unknown)?;
                } else if let Some(a) = s.additional() {
                    walk(&path.key(k), v, a, a.embedded_resource, malformed, track, unknown)?;
                }
            }
        }
        Value::Array(list) => {
            let Some(item) = s.item() else { return Ok(()) };
            for (i, v) in list.iter_mut().enumerate() {
                walk(&path.index(i), v, item, item.embedded_resource, malformed, track, unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// All errors of embedded resources (and of the root, if `is_root`).
pub fn validate(path: &Path<'_>, object: &Value, s: &Schema, is_root: bool) -> ErrorList {
    let mut errors = Vec::new();
    check(path, object, s, is_root || s.embedded_resource, &mut errors);
    errors
}

fn check(path: &Path<'_>, x: &Value, s: &Schema, is_resource: bool, errors: &mut ErrorList) {
    if is_full(errors) {
        return;
    }
    match x {
        Value::Object(map) => {
            if is_resource {
                resource(path, x, errors);
            }
            for (k, v) in map.iter() {
                if let Some(p) = s.property(k) {
                    check(&path.child(k), v, p, p.embedded_resource, errors);
                } else if let Some(a) = s.additional() {
                    check(&path.key(k), v, a, a.embedded_resource, errors);
                }
            }
        }
        Value::Array(list) => {
            let Some(item) = s.item() else { return };
            for (i, v) in list.iter().enumerate() {
                check(&path.index(i), v, item, item.embedded_resource, errors);
            }
        }
        _ => {}
    }
}

fn resource(path: &Path<'_>, x: &Value, errors: &mut ErrorList) {
    for key in ["apiVersion", "kind"] {
        if x.get(key).is_none() {
            errors.push(Error::required(&path.child(key), ""));
        }
    }
    if let Some(v) = x.get("apiVersion") {
        let at = path.child("apiVersion");
        match v.as_str() {
            None => errors.push(Error::invalid(&at, v.clone(), "must be a string")),
            Some("") => errors.push(Error::invalid(&at, "", "must not be empty")),
            Some(text) => {
                if let Err(why) = GroupVersion::parse(text) {
                    errors.push(Error::invalid(&at, text, why.to_string()));
                }
            }
        }
    }
    if let Some(v) = x.get("kind") {
        let at = path.child("kind");
        match v.as_str() {
            None => errors.push(Error::invalid(&at, v.clone(), "must be a string")),
            Some("") => errors.push(Error::invalid(&at, "", "must not be empty")),
            Some(text) => {
                let wrong = names::dns1035_label(&text.to_lowercase());
                if !wrong.is_empty() {
                    let text_wrong =
                        format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                    errors.push(Error::invalid(&at, text, text_wrong));
                }
            }
        }
    }
    if let Some(v) = x.get("metadata") {
        let at = path.child("metadata");
        match decode(v, Malformed::Refuse) {
            Err(why) => errors.push(Error::invalid(&at, v.clone(), why)),
            Ok((mut metadata, _)) => {
                if metadata.at("name").str().is_empty() {
                    metadata.set("name", "fakename");
                }
                let scope = if metadata.at("namespace").str().is_empty() {
                    Scope::Cluster
                } else {
                    Scope::Namespaced
                };
                errors.extend(object_meta::validate(&metadata, scope, names::name_is_path_segment, &at));
            }
        }
    }
}
