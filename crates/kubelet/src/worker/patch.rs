//! The difference between two statuses of a pod, as a strategic merge patch of its API object.
//!
//! Pure. Only what changed is sent: conditions of others that we have not seen stay as they are.

use api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// Lists that are merged by a key unless the patch says otherwise.
const MERGED_LISTS: [&str; 3] = ["podIPs", "hostIPs", "resourceClaimStatuses"];

/// What makes `old` `new`; `None` if they are the same.
pub(crate) fn status_patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (old, new) = (object(old), object(new));
    let mut changed = Map::new();
    for (key, value) in &new {
        if old.get(key) == Some(value) {
            continue;
        }
        let patch = match (key.as_str(), value) {
            ("conditions", Value::Array(conditions)) => changed_conditions(old.get(key), conditions),
            (name, Value::Array(items)) if MERGED_LISTS.contains(&name) => {
                let replace = json!({"$patch": "replace"});
                Value::Array(items.iter().cloned().chain([replace]).collect())
            }
            _ => value.clone(),
        };
        if patch != json!([]) {
            changed.insert(key.clone(), patch);
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changed.insert(key.clone(), Value::Null);
    }
    (!changed.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changed}))
}

fn object(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Conditions are merged by type, field by field: what is gone must be said.
fn changed_conditions(old: Option<&Value>, new: &[Value]) -> Value {
    let find =
        |kind: &Value| old.and_then(Value::as_array)?.iter().find(|condition| condition["type"] == *kind);
    let mut changed = Vec::new();
    for condition in new {
        let before = find(&condition["type"]);
        if before == Some(condition) {
            continue;
        }
        let mut patch = condition.clone();
        for gone in ["reason", "message"] {
            if condition.get(gone).is_none() && before.is_some_and(|before| before.get(gone).is_some()) {
                patch[gone] = Value::Null;
            }
        }
        changed.push(patch);
    }
    let is_gone = |kind: &Value| !new.iter().any(|condition| condition["type"] == *kind);
    for before in old.and_then(Value::as_array).into_iter().flatten() {
        if is_gone(&before["type"]) {
            changed.push(json!({"$patch": "delete", "type": before["type"]}));
        }
    }
    Value::Array(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_changed() {
        let old = status(json!({"phase": "Pending", "reason": "X", "podIPs": [{"ip": "1.1.1.1"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "No"}, {"type": "Gate", "status": "True"}]}));
        let new = status(json!({"phase": "Running", "podIPs": [{"ip": "1.1.1.2"}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Gate", "status": "True"}]}));
        let patch = status_patch("u", &old, &new).unwrap();
        assert_eq!(
            patch,
            json!({"metadata": {"uid": "u"}, "status": {
                "phase": "Running", "reason": null,
                "podIPs": [{"ip": "1.1.1.2"}, {"$patch": "replace"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null}]}})
        );
        assert_eq!(status_patch("u", &new, &new), None);
        let gone = status(json!({"phase": "Running", "podIPs": [{"ip": "1.1.1.2"}],
            "conditions": [{"type": "Ready", "status": "True"}]}));
        let patch = status_patch("u", &new, &gone).unwrap();
        assert_eq!(patch["status"], json!({"conditions": [{"$patch": "delete", "type": "Gate"}]}));
    }
}
