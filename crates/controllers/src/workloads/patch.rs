//! Patches that say only what changes, so that fields which the typed structs do not know survive.

use api::Object;
use api::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The merge patch (RFC 7386) that turns `old` into `new`; nothing if they are equal. Lists are replaced whole.
pub(crate) fn difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, wanted) in new {
        match old.get(key) {
            None => Some(wanted.clone()),
            Some(present) => difference(present, wanted),
        }
        .map(|change| patch.insert(key.clone(), change));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// As JSON. What is given are API types, whose maps have text keys; nothing in them can fail to serialize.
pub(crate) fn tree(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// A merge patch of a whole object from what was read to what is wanted. It holds for the version that was
/// read only: whoever wrote in between makes it a conflict, and the object is looked at anew.
pub(crate) fn update<K: Object>(read: &K, wanted: &K) -> Option<Value> {
    difference(&tree(read), &tree(wanted)).map(|patch| at_version(read.meta(), patch))
}

/// A merge patch of nothing, likewise.
pub(crate) fn nothing<K: Object>(read: &K) -> Value {
    at_version(read.meta(), json!({}))
}

/// A merge patch of the status, likewise.
pub(crate) fn status<K: Object>(read: &K, old: &impl Serialize, new: &impl Serialize) -> Option<Value> {
    difference(&tree(old), &tree(new)).map(|change| at_version(read.meta(), json!({ "status": change })))
}

fn at_version(meta: &ObjectMeta, mut patch: Value) -> Value {
    if let (Some(version), Some(uid)) = (&meta.resource_version, &meta.uid) {
        patch["metadata"]["resourceVersion"] = json!(version);
        patch["metadata"]["uid"] = json!(uid);
    }
    patch
}

/// The strategic merge patch by which `owner` becomes the object's controller. The API server refuses it if
/// the object has another controller by then, or is another one of that name.
pub(crate) fn adopt(owner: &OwnerReference, object: &ObjectMeta, finalizers: &[&str]) -> Value {
    let mut patch = json!({ "metadata": { "uid": object.uid, "ownerReferences": [tree(owner)] } });
    if !finalizers.is_empty() {
        patch["metadata"]["finalizers"] = json!(finalizers);
    }
    patch
}

/// The strategic merge patch that takes the owner off the object.
pub(crate) fn release(owner_uid: &str, object: &ObjectMeta, finalizers: &[&str]) -> Value {
    let mut patch = json!({ "metadata": {
        "uid": object.uid,
        "ownerReferences": [{ "$patch": "delete", "uid": owner_uid }],
    } });
    if !finalizers.is_empty() {
        patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!(finalizers);
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        for (old, new, patch) in [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
            (json!({"a": 1}), json!({}), Some(json!({"a": null}))),
            (
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"b": 1, "d": 3}}),
                Some(json!({"a": {"c": null, "d": 3}})),
            ),
            (json!({"a": [1, 2]}), json!({"a": [1]}), Some(json!({"a": [1]}))),
            (json!({}), json!({"a": {}}), Some(json!({"a": {}}))),
        ] {
            assert_eq!(difference(&old, &new), patch, "{old} to {new}");
        }
    }
}
