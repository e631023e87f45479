//! A value without, or with nothing but, the items of a set.
//!
//! Upstream: structured-merge-diff `typed/remove.go`. Known oddities are kept: a container of which everything was
//! removed becomes null where it is the whole value, and stays as an empty one where it is in another.

use super::to_set::to_field_set;
use super::{Form, item};
use crate::DEPTH_MAX;
use crate::fields::{PathElement, Set};
use crate::types::{ListRelation, Schema, TypeId};
use value::{Map, Value};

/// The value without these items and what is in them.
pub fn remove_items(schema: &Schema, ty: TypeId, v: &Value, items: &Set) -> Value {
    remove(schema, ty, v, items, DEPTH_MAX)
}

fn remove(schema: &Schema, ty: TypeId, v: &Value, items: &Set, depth: usize) -> Value {
    if depth == 0 {
        return v.clone();
    }
    match (schema.atom(ty).form_of(v), v) {
        (Form::Scalar(_) | Form::None, _) => v.clone(),
        (Form::List(list), Value::Array(values)) if list.relation != ListRelation::Atomic => {
            let mut out = Vec::with_capacity(values.len());
            for v in values {
                let found = item::path_element(schema, list, v).ok();
                match found.as_ref().and_then(|e| items.node(e)) {
                    Some(node) if node.member => {}
                    Some(node) => out.push(remove_within(schema, list.element, v, &node.below, depth - 1)),
                    None => out.push(v.clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Form::Map(map), Value::Object(m)) if !map.atomic => {
            let mut out = Vec::with_capacity(m.len());
            for (key, v) in m.iter() {
                // Without a set to look into, which is the usual case, nothing is copied but pointers.
                match items.node(&PathElement::Field(key.clone())) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        let kept = match map.type_of(key) {
                            Some(entry) => remove_within(schema, entry, v, &node.below, depth - 1),
                            None => Value::Null,
                        };
                        out.push((key.clone(), kept));
                    }
                    None => out.push((key.clone(), v.clone())),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Object(Map::from_entries(out, |_| {})) }
        }
        (Form::List(_) | Form::Map(_), _) => Value::Null,
    }
}

/// What stays of a part of which items are removed: an empty container if nothing does.
fn remove_within(schema: &Schema, ty: TypeId, v: &Value, items: &Set, depth: usize) -> Value {
    match (remove(schema, ty, v, items, depth), v) {
        (Value::Null, Value::Object(_)) => Value::object(),
        (Value::Null, Value::Array(_)) => Value::Array(Vec::new()),
        (kept, _) => kept,
    }
}

/// Nothing but these items, with what is in them and with the key fields of list items on the way.
pub fn extract_items(schema: &Schema, ty: TypeId, v: &Value, items: &Set) -> Value {
    let mut items = items.clone();
    if let Ok(present) = to_field_set(schema, ty, v) {
        let mut keys = Set::new();
        items.for_each(&mut |path| {
            if !present.has(path) {
                return;
            }
            for (i, element) in path.iter().enumerate() {
                let PathElement::Key(fields) = element else { continue };
                for (name, _) in fields {
                    let mut key_path = path.get(..=i).unwrap_or_default().to_vec();
                    key_path.push(PathElement::Field(name.clone()));
                    keys.insert(&key_path);
                }
            }
        });
        items.merge(keys);
    }
    extract(schema, ty, v, &items, DEPTH_MAX)
}

fn extract(schema: &Schema, ty: TypeId, v: &Value, items: &Set, depth: usize) -> Value {
    if depth == 0 {
        return v.clone();
    }
    match (schema.atom(ty).form_of(v), v) {
        (Form::List(list), Value::Array(values))
            if list.relation != ListRelation::Atomic && !values.is_empty() =>
        {
            let mut out = Vec::new();
            for v in values {
                let found = item::path_element(schema, list, v).ok();
                let Some(node) = found.as_ref().and_then(|e| items.node(e)) else { continue };
                out.push(if node.below.is_empty() {
                    v.clone()
                } else {
                    extract(schema, list.element, v, &node.below, depth - 1)
                });
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Form::Map(map), Value::Object(m)) if !map.atomic && !m.is_empty() => {
            let mut out = Vec::new();
            for (key, v) in m.iter() {
                let Some(node) = items.node(&PathElement::Field(key.clone())) else { continue };
                let Some(entry) = map.type_of(key) else { continue };
                // Upstream looks for a whole entry's items in the set of its parent, not of the entry.
                let within = if node.member { items } else { &node.below };
                out.push((key.clone(), extract(schema, entry, v, within, depth - 1)));
            }
            if out.is_empty() { Value::Null } else { Value::Object(Map::from_entries(out, |_| {})) }
        }
        (Form::List(_), Value::Array(_)) | (Form::Map(_), Value::Object(_)) | (Form::Scalar(_), _) => {
            v.clone()
        }
        _ => Value::Null,
    }
}
