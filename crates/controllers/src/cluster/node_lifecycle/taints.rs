//! Which taints and labels a node is to have. Pure.

use api::core::v1::{Node, Taint};
use api::meta::v1::Time;
use jiff::Timestamp;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
pub(super) const NO_EXECUTE: &str = "NoExecute";

/// Which condition in which state is shown by which taint.
const OF_CONDITIONS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
/// Labels and their older names, which are to say the same.
const LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// The node with the `NoSchedule` taints of its conditions and the older names of its labels; nothing if it is
/// so already.
pub(super) fn follow(node: &Node, now: Timestamp) -> Option<Node> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let mut wanted: Vec<&str> = OF_CONDITIONS
        .iter()
        .filter(|(kind, status, _)| conditions.iter().any(|c| c.type_ == *kind && c.status == *status))
        .map(|(_, _, key)| *key)
        .collect();
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push(UNSCHEDULABLE);
    }
    let is_ours = |taint: &Taint| {
        taint.effect == NO_SCHEDULE
            && (taint.key == UNSCHEDULABLE || OF_CONDITIONS.iter().any(|(_, _, key)| *key == taint.key))
    };
    let mut new = node.clone();
    let spec = new.spec.get_or_insert_default();
    let mut taints = spec.taints.take().unwrap_or_default();
    taints.retain(|taint| !is_ours(taint) || wanted.contains(&taint.key.as_str()));
    for key in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == NO_SCHEDULE) {
            taints.push(new_taint(key, NO_SCHEDULE, now));
        }
    }
    spec.taints = (!taints.is_empty()).then_some(taints);
    if let Some(labels) = &mut new.metadata.labels {
        for (label, older) in LABELS {
            if let Some(value) = labels.get(label).cloned() {
                labels.insert(older.to_owned(), value);
            }
        }
    }
    let same_taints = taints_of(&new) == taints_of(node);
    (!same_taints || new.metadata.labels != node.metadata.labels).then_some(new)
}

/// The node with a `NoExecute` taint more and others less; nothing if it is so already.
pub(super) fn swap(node: &Node, add: Option<&str>, remove: &[&str], now: Timestamp) -> Option<Node> {
    let mut taints = taints_of(node).to_vec();
    taints.retain(|taint| taint.effect != NO_EXECUTE || !remove.contains(&taint.key.as_str()));
    if let Some(key) = add
        && !has_no_execute(node, key)
    {
        taints.push(new_taint(key, NO_EXECUTE, now));
    }
    if taints == taints_of(node) {
        return None;
    }
    let mut new = node.clone();
    new.spec.get_or_insert_default().taints = (!taints.is_empty()).then_some(taints);
    Some(new)
}

pub(super) fn has_no_execute(node: &Node, key: &str) -> bool {
    taints_of(node).iter().any(|taint| taint.key == key && taint.effect == NO_EXECUTE)
}

fn taints_of(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn new_taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added: Some(Time(now)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::at;
    use serde_json::{Value, json};

    fn node(spec: &Value, conditions: &[(&str, &str)], labels: &Value) -> Node {
        let conditions: Vec<Value> =
            conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        serde_json::from_value(json!({"metadata": {"name": "n", "labels": labels}, "spec": spec,
            "status": {"conditions": conditions}}))
        .expect("a node")
    }

    fn shown(node: Option<Node>) -> Option<Vec<String>> {
        let taints =
            |node: Node| taints_of(&node).iter().map(|t| format!("{}:{}", t.key, t.effect)).collect();
        node.map(taints)
    }

    #[test]
    fn conditions_are_shown_by_taints() {
        let none = json!({});
        let bare = json!({});
        let not_ready = json!({"taints": [{"key": NOT_READY, "effect": "NoSchedule"}]});
        let own = json!({"taints": [{"key": "mine", "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoExecute"}]});
        let cordoned = json!({"unschedulable": true});
        type Case<'a> = (&'a Value, &'a [(&'a str, &'a str)], Option<Vec<&'a str>>);
        let cases: Vec<Case<'_>> = vec![
            (&bare, &[("Ready", "True")], None),
            (&bare, &[("Ready", "False")], Some(vec!["node.kubernetes.io/not-ready:NoSchedule"])),
            (&not_ready, &[("Ready", "False")], None),
            (&not_ready, &[("Ready", "Unknown")], Some(vec!["node.kubernetes.io/unreachable:NoSchedule"])),
            (&not_ready, &[("Ready", "True")], Some(vec![])),
            (&own, &[("Ready", "True")], None),
            (&cordoned, &[], Some(vec!["node.kubernetes.io/unschedulable:NoSchedule"])),
            (
                &bare,
                &[("DiskPressure", "True"), ("PIDPressure", "True"), ("NetworkUnavailable", "False")],
                Some(vec![
                    "node.kubernetes.io/disk-pressure:NoSchedule",
                    "node.kubernetes.io/pid-pressure:NoSchedule",
                ]),
            ),
        ];
        for (spec, conditions, expected) in cases {
            let expected = expected.map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(
                shown(follow(&node(spec, conditions, &none), at(1))),
                expected,
                "{spec} {conditions:?}"
            );
        }
    }

    #[test]
    fn older_labels_follow() {
        let labels = json!({"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "other"});
        let new = follow(&node(&json!({}), &[], &labels), at(1)).expect("a change");
        assert_eq!(new.metadata.labels.as_ref().expect("labels")["beta.kubernetes.io/os"], "linux");
        assert_eq!(follow(&new, at(2)), None);
    }

    #[test]
    fn swapping() {
        let spec = json!({"taints": [{"key": NOT_READY, "effect": "NoExecute"}, {"key": "x", "effect": "NoExecute"}]});
        let node = node(&spec, &[], &json!({}));
        let swapped = swap(&node, Some(UNREACHABLE), &[NOT_READY], at(1));
        let expected = vec!["x:NoExecute".to_owned(), "node.kubernetes.io/unreachable:NoExecute".to_owned()];
        assert_eq!(shown(swapped), Some(expected));
        assert_eq!(swap(&node, Some(NOT_READY), &[UNREACHABLE], at(1)), None);
        assert_eq!(
            shown(swap(&node, None, &[NOT_READY, UNREACHABLE], at(1))),
            Some(vec!["x:NoExecute".to_owned()])
        );
    }
}
