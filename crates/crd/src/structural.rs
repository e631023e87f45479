//! Whether a schema is structural.
//!
//! Upstream: `pkg/apiserver/schema/{validation,complete}.go`.

use crate::schema::Schema;
use meta::field::{Error, ErrorList, Path};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// All errors, sorted by their texts.
pub fn validate(path: &Path<'_>, s: &Schema) -> ErrorList {
    let mut errors = Vec::new();
    invariants(s, Level::Root, path, &mut errors);
    complete(s, Some(s), path, path, &mut errors);
    errors.sort_by_cached_key(Error::to_string);
    errors
}

fn invariants(s: &Schema, level: Level, path: &Path<'_>, errors: &mut ErrorList) {
    if s.ty == "array" && s.item().is_none() {
        errors.push(Error::required(&path.child("items"), "must be specified"));
    }
    if let Some(item) = s.item() {
        invariants(item, Level::Item, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (k, v) in &s.properties {
        invariants(v, Level::Field, &properties.key(k), errors);
    }
    let additional = path.child("additionalProperties");
    if s.additional_properties.is_some() {
        if level == Level::Root {
            errors.push(Error::forbidden(&additional, "must not be used at the root"));
        }
        if let Some(schema) = s.additional() {
            invariants(schema, Level::Field, &additional, errors);
        }
    }
    extensions(s, path, errors);
    let values = Skip { any_of: is_int_or_string(&s.any_of), first_all_of: is_all_of_int_or_string(s) };
    value_validation(s, values, level, path, errors);
    types(s, level, path, errors);
    let check_metadata = level == Level::Root || s.embedded_resource;
    if check_metadata {
        for name in ["kind", "apiVersion"] {
            if let Some(p) = s.property(name).filter(|p| p.ty != "string") {
                let at = properties.key(name);
                errors.push(Error::invalid(&at.child("type"), p.ty.clone(), "must be string"));
            }
        }
    }
    if let Some(metadata) = s.property("metadata") {
        let at = properties.key("metadata");
        if check_metadata && metadata.ty != "object" {
            errors.push(Error::invalid(&at.child("type"), metadata.ty.clone(), "must be object"));
        }
        if level == Level::Root && !is_plain_metadata(metadata) {
            let text = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(Error::forbidden(&at, text));
        }
    }
    if s.embedded_resource && !s.preserves() && s.properties.is_empty() {
        let text = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&properties, text));
    }
}

fn types(s: &Schema, level: Level, path: &Path<'_>, errors: &mut ErrorList) {
    let at = path.child("type");
    if s.embedded_resource && s.ty != "object" {
        let text = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if s.ty.is_empty() {
            Error::required(&at, text)
        } else {
            Error::invalid(&at, s.ty.clone(), text)
        });
    } else if s.ty.is_empty() && !s.int_or_string && !s.preserves() {
        let text = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(Error::required(&at, text));
    }
    if s.embedded_resource && s.additional_properties.is_some() {
        let text = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(Error::forbidden(&path.child("additionalProperties"), text));
    }
    if level == Level::Root && !s.ty.is_empty() && s.ty != "object" {
        errors.push(Error::invalid(&at, s.ty.clone(), "must be object at the root"));
    }
}

fn is_plain_metadata(s: &Schema) -> bool {
    let mut s = s.clone();
    let names = ["name", "generateName"].iter().filter(|n| s.properties.contains_key(**n)).count();
    if names > 0 && s.properties.len() == names {
        s.properties.clear();
    }
    s.ty = Default::default();
    s.default = None;
    s == Schema::default()
}

fn is_int_or_string(list: &[Schema]) -> bool {
    let is = |s: &Schema, ty: &str| *s == Schema { ty: ty.into(), ..Schema::default() };
    matches!(list, [a, b] if is(a, "integer") && is(b, "string"))
}

fn is_all_of_int_or_string(s: &Schema) -> bool {
    s.all_of.first().is_some_and(|first| is_int_or_string(&first.any_of))
}

fn extensions(s: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    let text = "must be false if x-kubernetes-int-or-string is true";
    if s.int_or_string && s.preserves() {
        errors.push(Error::invalid(&path.child("x-kubernetes-preserve-unknown-fields"), true, text));
    }
    if s.int_or_string && s.embedded_resource {
        errors.push(Error::invalid(&path.child("x-kubernetes-embedded-resource"), true, text));
    }
}

/// The two places where types are allowed in nested schemas: those of int-or-string.
#[derive(Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    first_all_of: bool,
}

fn value_validation(s: &Schema, skip: Skip, level: Level, path: &Path<'_>, errors: &mut ErrorList) {
    if !skip.any_of {
        let any_of = path.child("anyOf");
        for (i, v) in s.any_of.iter().enumerate() {
            nested(v, Skip::default(), level, &any_of.index(i), errors);
        }
    }
    let all_of = path.child("allOf");
    for (i, v) in s.all_of.iter().enumerate() {
        let skip = Skip { any_of: skip.first_all_of && i == 0, first_all_of: false };
        nested(v, skip, level, &all_of.index(i), errors);
    }
    let one_of = path.child("oneOf");
    for (i, v) in s.one_of.iter().enumerate() {
        nested(v, Skip::default(), level, &one_of.index(i), errors);
    }
    if let Some(not) = &s.not {
        nested(not, Skip::default(), level, &path.child("not"), errors);
    }
    if !s.pattern.is_empty()
        && let Err(why) = cel::compile_regex(&s.pattern)
    {
        let text = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(Error::invalid(&path.child("pattern"), s.pattern.clone(), text));
    }
}

fn nested(v: &Schema, skip: Skip, level: Level, path: &Path<'_>, errors: &mut ErrorList) {
    value_validation(v, skip, level, path, errors);
    if let Some(item) = v.item() {
        nested(item, Skip::default(), level, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (k, p) in &v.properties {
        nested(p, Skip::default(), Level::Field, &properties.key(k), errors);
    }
    let mut forbid = |wrong: bool, field: &str, what: &str| {
        if wrong {
            let text = format!("must be {what} to be structural");
            errors.push(Error::forbidden(&path.child(field), text));
        }
    };
    forbid(!v.ty.is_empty(), "type", "empty");
    let additional = v.additional_properties.as_ref().is_some_and(|a| a.allows || a.schema.is_some());
    forbid(additional, "additionalProperties", "undefined");
    forbid(v.default.is_some(), "default", "undefined");
    forbid(!v.title.is_empty(), "title", "empty");
    forbid(!v.description.is_empty(), "description", "empty");
    forbid(v.nullable, "nullable", "false");
    forbid(v.preserves(), "x-kubernetes-preserve-unknown-fields", "false");
    forbid(v.embedded_resource, "x-kubernetes-embedded-resource", "false");
    forbid(v.int_or_string, "x-kubernetes-int-or-string", "false");
    forbid(!v.list_map_keys.is_empty(), "x-kubernetes-list-map-keys", "empty");
    forbid(v.list_type.is_some(), "x-kubernetes-list-type", "undefined");
    forbid(v.map_type.is_some(), "x-kubernetes-map-type", "undefined");
    forbid(!v.rules.is_empty(), "x-kubernetes-validations", "empty");
    if v.properties.contains_key("metadata") {
        let text = "must not be specified in a nested context";
        errors.push(Error::forbidden(&properties.key("metadata"), text));
    }
}

/// Whatever nested schemas `v` speak of must be specified in `s`.
fn complete(v: &Schema, s: Option<&Schema>, s_path: &Path<'_>, v_path: &Path<'_>, errors: &mut ErrorList) {
    let Some(s) = s else {
        errors.push(Error::required(s_path, format!("because it is defined in {v_path}")));
        return;
    };
    if let Some(not) = &v.not {
        nested_complete(not, s, s_path, &v_path.child("not"), errors);
    }
    for (name, list) in [("allOf", &v.all_of), ("anyOf", &v.any_of), ("oneOf", &v.one_of)] {
        let at = v_path.child(name);
        for (i, v) in list.iter().enumerate() {
            nested_complete(v, s, s_path, &at.index(i), errors);
        }
    }
}

fn nested_complete(v: &Schema, s: &Schema, s_path: &Path<'_>, v_path: &Path<'_>, errors: &mut ErrorList) {
    complete(v, Some(s), s_path, v_path, errors);
    if let Some(item) = v.item() {
        let (s_path, v_path) = (s_path.child("items"), v_path.child("items"));
        match s.item() {
            Some(s) => nested_complete(item, s, &s_path, &v_path, errors),
            None => complete(item, None, &s_path, &v_path, errors),
        }
    }
    let (s_properties, v_properties) = (s_path.child("properties"), v_path.child("properties"));
    for (k, v) in &v.properties {
        let (s_path, v_path) = (s_properties.key(k), v_properties.key(k));
        match s.property(k) {
            Some(s) => nested_complete(v, s, &s_path, &v_path, errors),
            None => complete(v, None, &s_path, &v_path, errors),
        }
    }
}
