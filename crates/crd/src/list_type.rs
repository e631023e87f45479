//! Lists that are sets or maps hold nothing twice.
//!
//! Upstream: `pkg/apiserver/schema/listtype/validation.go`.

use crate::is_full;
use crate::schema::Schema;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashMap;
use value::{Value, json};

/// All duplicates in the lists of an object.
pub fn validate(path: &Path<'_>, s: &Schema, object: &Value) -> ErrorList {
    let mut errors = Vec::new();
    walk(path, s, object, &mut errors);
    errors
}

fn walk(path: &Path<'_>, s: &Schema, x: &Value, errors: &mut ErrorList) {
    if is_full(errors) {
        return;
    }
    match x {
        Value::Object(map) => {
            for (k, v) in map.iter() {
                if let Some(a) = s.additional() {
                    walk(&path.key(k), a, v, errors);
                }
                if let Some(p) = s.property(k) {
                    walk(&path.child(k), p, v, errors);
                }
            }
        }
        Value::Array(list) => {
            match s.list_type.as_deref() {
                Some("set") => {
                    for i in repeated(list.iter()) {
                        if is_full(errors) {
                            return;
                        }
                        errors.push(Error::duplicate(&path.index(i), list[i].clone()));
                    }
                }
                Some("map") => map_list(path, s, list, errors),
                _ => {}
            }
            if let Some(item) = s.item() {
                for (i, v) in list.iter().enumerate() {
                    walk(&path.index(i), item, v, errors);
                }
            }
        }
        _ => {}
    }
}

/// Positions where a value stands for the second time.
fn repeated<'v>(list: impl ExactSizeIterator<Item = &'v Value>) -> Vec<usize> {
    if list.len() <= 1 {
        return Vec::new();
    }
    let mut seen: HashMap<Vec<u8>, u32> = HashMap::with_capacity(list.len());
    let mut found = Vec::new();
    for (i, v) in list.enumerate() {
        let count = seen.entry(json::to_vec(v)).or_default();
        *count = count.saturating_add(1);
        if *count == 2 {
            found.push(i);
        }
    }
    found
}

fn map_list(path: &Path<'_>, s: &Schema, list: &[Value], errors: &mut ErrorList) {
    for (i, v) in list.iter().enumerate() {
        if !matches!(v, Value::Null | Value::Object(_)) {
            let text = "must be an object for an array of list-type map";
            errors.push(Error::invalid(&path.index(i), v.clone(), text));
            return;
        }
    }
    let keys: Vec<Value> = list.iter().map(|v| keys_of(s, v)).collect();
    for i in repeated(keys.iter()) {
        if is_full(errors) {
            return;
        }
        errors.push(Error::duplicate(&path.index(i), keys[i].clone()));
    }
}

/// The keys of an item of a list that is a map.
pub(crate) fn keys_of(s: &Schema, item: &Value) -> Value {
    let mut keys = Value::object();
    for k in &s.list_map_keys {
        if let Some(v) = item.get(k) {
            keys.set(k, v.clone());
        }
    }
    keys
}
