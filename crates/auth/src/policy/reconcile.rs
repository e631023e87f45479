//! What a start changes: missing objects are made, missing rules and subjects added; nothing is taken away,
//! and what carries `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone.

use super::AUTOUPDATE;
use crate::rbac::{Rule, covers};
use value::Value;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make this object (and its namespace, if need be).
    Create(Value),
    /// Replace the stored object by this one (it keeps the stored `resourceVersion`).
    Update(Value),
    /// A role reference cannot be changed: delete the stored binding, then make this one.
    Recreate(Value),
}

/// The changes that bring the stored objects in line with `wanted`. `stored` finds the stored object of a
/// wanted one.
pub fn plan(wanted: &[Value], stored: impl Fn(&Value) -> Option<Value>) -> Vec<Action> {
    wanted
        .iter()
        .filter_map(|wanted| match stored(wanted) {
            None => Some(Action::Create(wanted.clone())),
            Some(stored) => reconcile(wanted, stored),
        })
        .collect()
}

fn reconcile(wanted: &Value, stored: Value) -> Option<Action> {
    if stored.path(&["metadata", "annotations", AUTOUPDATE]).str() == "false" {
        return None;
    }
    let mut merged = stored.clone();
    for key in ["annotations", "labels"] {
        merge_missing(&mut merged, wanted, key);
    }
    if wanted.get("roleRef").is_some() {
        if wanted.at("roleRef") != stored.at("roleRef") {
            return Some(Action::Recreate(wanted.clone()));
        }
        add_missing(&mut merged, "subjects", wanted.at("subjects").items());
    } else {
        reconcile_rules(&mut merged, wanted);
    }
    (merged != stored).then_some(Action::Update(merged))
}

fn reconcile_rules(merged: &mut Value, wanted: &Value) {
    let aggregated = |role: &Value| !role.at("aggregationRule").is_null();
    if !(aggregated(merged) && aggregated(wanted)) {
        let read =
            |role: &Value| -> Vec<Rule> { role.at("rules").items().iter().map(Rule::from_value).collect() };
        let missing: Vec<Value> = covers(&read(merged), &read(wanted)).iter().map(Rule::to_value).collect();
        append(merged, "rules", missing);
    }
    match (aggregated(wanted), aggregated(merged)) {
        (false, true) => {
            merged.remove("aggregationRule");
        }
        (true, _) => {
            let selectors = wanted.path(&["aggregationRule", "clusterRoleSelectors"]).items();
            if let Some(rule) = merged.object_at("aggregationRule") {
                add_missing(rule, "clusterRoleSelectors", selectors);
            }
        }
        (false, false) => {}
    }
}

/// Adds entries of `metadata.KEY` that are not there; those that are keep their value.
fn merge_missing(merged: &mut Value, wanted: &Value, key: &str) {
    for (name, value) in wanted.at("metadata").at(key).entries() {
        let target = merged.object_at("metadata").and_then(|m| m.object_at(key));
        if let Some(target) = target.filter(|t| t.get(name).is_none()) {
            target.set(name, value.clone());
        }
    }
}

fn add_missing(target: &mut Value, key: &str, wanted: &[Value]) {
    let missing = wanted.iter().filter(|w| !target.at(key).items().contains(w)).cloned().collect();
    append(target, key, missing);
}

fn append(target: &mut Value, key: &str, mut more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    match target.get_mut(key) {
        Some(Value::Array(list)) => list.append(&mut more),
        _ => target.set(key, Value::Array(more)),
    }
}
