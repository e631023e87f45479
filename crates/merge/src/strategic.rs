//! Strategic merge patch.
//!
//! Maps merge; lists merge by key where the Go type's tags say so, else they are replaced. Directives in the
//! patch change that: `$patch: replace | delete`, `$setElementOrder/<list>`,
//! `$deleteFromPrimitiveList/<list>`, `$retainKeys`. Null deletes. Upstream: `StrategicMergeMapPatch` of
//! `k8s.io/apimachinery/pkg/util/strategicpatch`; its loops over lists are quadratic, ours go by index.

mod error;
mod facts;
mod list;

pub use error::Error;

use crate::DEPTH_MAX;
use crate::order::plain;
use facts::Facts;
use list::{Kind, Order, element_kind, merge_lists, partition};
use value::{Map, Value};

const DIRECTIVE: &str = "$patch";
const DELETE: &str = "delete";
const REPLACE: &str = "replace";
const MERGE: &str = "merge";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PREFIX: &str = "$deleteFromPrimitiveList";
const SET_ORDER_PREFIX: &str = "$setElementOrder";

/// Patches an object of a built-in type; the result is still to be decoded and defaulted.
///
/// # Errors
/// A malformed patch, as upstream words and classifies it.
pub fn apply(original: Value, patch: Value, ty: schema::TypeId) -> Result<Value, Error> {
    let original = object(original)?;
    let patch = match patch {
        Value::Object(m) => m,
        Value::Null => Map::new(),
        other => return Err(Error::no_object(&other)),
    };
    merge_maps(original, patch, Facts::of(ty), DEPTH_MAX).map(Value::Object)
}

/// The patch as it is once it has been laid on an object, which is how upstream shows it: without the directives that
/// were followed and the lists that were put in order, and what the object does not have without nulls.
pub fn laid_on(original: &Value, patch: Value) -> Value {
    let Value::Object(mut patch) = patch else { return patch };
    if patch.get(DIRECTIVE).and_then(Value::as_str) == Some(REPLACE) {
        patch.remove(DIRECTIVE);
        return Value::Object(patch);
    }
    patch.remove(RETAIN_KEYS);
    let ordered = patch.keys().filter_map(|key| key.strip_prefix(SET_ORDER_PREFIX)?.strip_prefix('/'));
    for list in ordered.map(str::to_owned).collect::<Vec<_>>() {
        patch.remove(&format!("{SET_ORDER_PREFIX}/{list}"));
        patch.remove(&list);
    }
    for (key, patch) in patch.iter_mut() {
        let old = original.at(key);
        if !same_type(old, patch) {
            discard_nulls(patch, DEPTH_MAX);
        } else if patch.as_object().is_some() {
            *patch = laid_on(old, std::mem::take(patch));
        }
    }
    Value::Object(patch)
}

fn object(v: Value) -> Result<Map, Error> {
    match v {
        Value::Object(m) => Ok(m),
        Value::Null => Ok(Map::new()),
        other => Err(Error::bad_arg_type("map[string]interface {}", &other)),
    }
}

fn merge_maps(mut original: Map, mut patch: Map, facts: Facts, depth: usize) -> Result<Map, Error> {
    if depth == 0 {
        return Err(Error::Other("exceeded max depth".into()));
    }
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some(REPLACE) => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some(DELETE) => Ok(Map::new()),
            _ => Err(Error::bad_patch_type(&directive.clone(), patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered(&mut original, &mut patch, facts, depth)?;

    for (key, patch) in patch {
        let listed = key.strip_prefix(DELETE_FROM_PREFIX).map(|rest| rest.strip_prefix('/'));
        let key = match listed {
            None => key.as_str(),
            Some(Some(list)) => list,
            Some(None) => return Err(Error::BadRequest("invalid patch format of primitive list".into())),
        };
        let deletes = listed.is_some();
        if patch.is_null() {
            original.remove(key);
            continue;
        }
        let Some(old) = original.get_mut(key).filter(|old| same_type(old, &patch)) else {
            if !deletes {
                put(&mut original, key, patch);
            }
            continue;
        };
        match (old, patch) {
            (Value::Object(old), Value::Object(patch)) => {
                let field = facts.field(key)?;
                if field.strategy()? != REPLACE {
                    let merged = merge_maps(std::mem::take(old), patch, field.facts(), depth - 1)?;
                    *old = merged;
                } else {
                    *old = patch;
                }
            }
            (Value::Array(old), Value::Array(patch)) => {
                let field = facts.list_field(key)?;
                if deletes || field.strategy()? == MERGE {
                    *old = merge_lists(std::mem::take(old), patch, &field, deletes, depth - 1)?.list;
                } else {
                    *old = patch;
                }
            }
            (_, patch) => put(&mut original, key, patch),
        }
    }
    Ok(original)
}

/// Sets a key to a value of the patch, without directives and nulls.
fn put(original: &mut Map, key: &str, mut patch: Value) {
    discard_nulls(&mut patch, DEPTH_MAX);
    if strip_directives(&mut patch, DEPTH_MAX) {
        original.insert(key, patch);
    } else {
        original.remove(key);
    }
}

/// Removes what holds a directive; says whether the value itself stays.
fn strip_directives(v: &mut Value, depth: usize) -> bool {
    match v {
        Value::Object(m) if depth > 0 => {
            if m.contains_key(DIRECTIVE) {
                return false;
            }
            m.retain(|_, v| strip_directives(v, depth - 1));
        }
        Value::Array(items) if depth > 0 => items.retain_mut(|v| strip_directives(v, depth - 1)),
        _ => {}
    }
    true
}

fn discard_nulls(v: &mut Value, depth: usize) {
    match v {
        Value::Object(m) if depth > 0 => m.retain(|_, v| {
            discard_nulls(v, depth - 1);
            !v.is_null()
        }),
        Value::Array(items) if depth > 0 => items.iter_mut().for_each(|v| discard_nulls(v, depth - 1)),
        _ => {}
    }
}

fn same_type(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// `$retainKeys`: nothing but these keys stays.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), Error> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || Error::BadRequest("invalid patch format of retainKeys".into());
    let Value::Array(keys) = keys else { return Err(bad()) };
    let keys: std::collections::HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    for (key, v) in patch.iter() {
        let is_directive = key.starts_with(DELETE_FROM_PREFIX) || key.starts_with(SET_ORDER_PREFIX);
        if !v.is_null() && !is_directive && !keys.contains(key.as_str()) {
            return Err(bad());
        }
    }
    original.retain(|key, _| keys.contains(key));
    Ok(())
}

/// `$setElementOrder/<list>`: merges these lists and brings them into that order.
fn merge_ordered(original: &mut Map, patch: &mut Map, facts: Facts, depth: usize) -> Result<(), Error> {
    let directives: Vec<_> = patch.keys().filter(|k| k.starts_with(SET_ORDER_PREFIX)).cloned().collect();
    for directive in directives {
        let order = match patch.remove(&directive) {
            Some(Value::Array(order)) => order,
            Some(other) => return Err(Error::bad_arg_type("[]interface {}", &other)),
            None => continue,
        };
        let Some(key) = directive.strip_prefix(SET_ORDER_PREFIX).and_then(|rest| rest.strip_prefix('/'))
        else {
            return Err(Error::BadRequest("invalid patch format of setElementOrder list".into()));
        };
        let list = |v: Option<&Value>| match v {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items.clone())),
            Some(other) => Err(Error::bad_arg_type("[]interface {}", other)),
        };
        let (live, patched) = (list(original.get(key))?, list(patch.get(key))?);
        let field = facts.list_field(key)?;
        check_order(patched.as_deref().unwrap_or_default(), &order, field.merge_key())?;
        let kind =
            element_kind(&[live.as_deref().unwrap_or_default(), patched.as_deref().unwrap_or_default()]);
        let mut server_order = live.clone().unwrap_or_default();
        let merged = match (&live, patched) {
            (None, None) => continue,
            (Some(live), None) => live.clone(),
            (None, Some(patched)) => {
                let mut v = Value::Array(patched);
                strip_directives(&mut v, depth);
                match v {
                    Value::Array(items) => items,
                    _ => continue,
                }
            }
            (Some(live), Some(patched)) if field.strategy()? == MERGE => {
                let merged = merge_lists(live.clone(), patched, &field, false, depth - 1)?;
                server_order = merged.server;
                merged.list
            }
            (Some(_), Some(patched)) => patched,
        };
        let (ours, servers) = partition(merged, &order, field.merge_key())?;
        let kind = kind?;
        let sorted =
            Order { kind, merge_key: field.merge_key() }.normalize(ours, servers, &order, &server_order)?;
        original.insert(key, sorted);
        patch.remove(key);
    }
    Ok(())
}

/// Whether the items of a patch stand in the order that the directive gives.
fn check_order(patch: &[Value], order: &[Value], merge_key: &str) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::with_capacity(patch.len());
    for v in patch {
        if merge_key.is_empty() {
            kept.push(v);
            continue;
        }
        let Value::Object(m) = v else { return Err(Error::bad_arg_type("map[string]interface {}", v)) };
        if m.get(DIRECTIVE).and_then(Value::as_str) != Some(DELETE) {
            kept.push(v);
        }
    }
    let (mut i, mut j) = (0, 0);
    while let (Some(v), Some(next)) = (kept.get(i), order.get(j)) {
        if v.as_object().is_some_and(|m| m.contains_key(DIRECTIVE)) {
            i += 1;
            continue;
        }
        if list::is_same_item(v, next, merge_key)? {
            i += 1;
        }
        j += 1;
    }
    if i < kept.len() && j >= order.len() {
        return Err(Error::Other(format!(
            "The order in patch list:\n{}\n doesn't match {SET_ORDER_PREFIX} list:\n{}\n",
            plain(&Value::Array(patch.to_vec())),
            plain(&Value::Array(order.to_vec())),
        )));
    }
    Ok(())
}

impl Kind {
    fn of(v: &Value) -> Self {
        match v {
            Value::Object(_) => Self::Map,
            _ => Self::Scalar,
        }
    }
}

#[cfg(test)]
mod tests;
