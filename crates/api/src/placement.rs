//! Whether a pod may run on a node, as far as the pod's spec and the node's labels and taints say. Facts:
//! `component-helpers/scheduling/corev1`. The scheduler, which asks this of thousands of nodes at once, has a form of its
//! own.

use crate::Object;
use crate::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration};
use std::collections::BTreeMap;

/// Whether the node meets the pod's node selector and required node affinity.
pub fn is_selected(spec: &PodSpec, node: &Node) -> bool {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let plain = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.map(|required| &required.node_selector_terms);
    plain && terms.is_none_or(|terms| terms.iter().any(|term| meets(term, node.name(), labels)))
}

/// A term without conditions selects nothing.
fn meets(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|one| holds(one, labels.get(&one.key).map(String::as_str)))
        && fields.iter().all(|one| one.key == "metadata.name" && holds(one, Some(name)))
}

fn holds(requirement: &NodeSelectorRequirement, present: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = present.is_some_and(|present| values.iter().any(|value| value == present));
    let numbers = || Some((present?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => present.is_some(),
        "DoesNotExist" => present.is_none(),
        "Gt" => numbers().is_some_and(|(present, bound)| present > bound),
        "Lt" => numbers().is_some_and(|(present, bound)| present < bound),
        _ => false,
    }
}

/// Whether all of the taints with one of these effects are tolerated.
pub fn tolerates(tolerations: &[Toleration], taints: &[Taint], effects: &[&str]) -> bool {
    let mut pertinent = taints.iter().filter(|taint| effects.contains(&taint.effect.as_str()));
    pertinent.all(|taint| tolerations.iter().any(|toleration| covers(toleration, taint)))
}

/// An empty effect, or key with `Exists`, covers every one.
fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref() {
            None | Some("" | "Equal") => text(&toleration.value) == text(&taint.value),
            Some("Exists") => true,
            Some(_) => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selection() {
        let node = json!({ "metadata": { "name": "one", "labels": { "zone": "a", "cores": "8" } } });
        let node: Node = serde_json::from_value(node).expect("a node");
        let affinity = |terms: serde_json::Value| {
            json!({ "containers": [], "affinity": { "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } } })
        };
        let one = |key: &str, operator: &str, values: &[&str]| {
            affinity(
                json!([{ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }]),
            )
        };
        let field = |name: &str| json!([{ "key": "metadata.name", "operator": "In", "values": [name] }]);
        for (spec, expected) in [
            (json!({ "containers": [] }), true),
            (json!({ "containers": [], "nodeSelector": { "zone": "a" } }), true),
            (json!({ "containers": [], "nodeSelector": { "zone": "b" } }), false),
            (one("zone", "In", &["a", "b"]), true),
            (one("zone", "NotIn", &["a"]), false),
            (one("rack", "NotIn", &["a"]), true),
            (one("zone", "Exists", &[]), true),
            (one("zone", "DoesNotExist", &[]), false),
            (one("cores", "Gt", &["4"]), true),
            (one("cores", "Lt", &["4"]), false),
            (one("zone", "Gt", &["4"]), false),
            (affinity(json!([{}])), false),
            (affinity(json!([{ "matchFields": field("one") }])), true),
            (affinity(json!([{ "matchFields": field("two") }])), false),
            (affinity(json!([{ "matchFields": field("two") }, { "matchFields": field("one") }])), true),
        ] {
            let spec: PodSpec = serde_json::from_value(spec.clone()).expect("a spec");
            assert_eq!(is_selected(&spec, &node), expected, "{spec:?}");
        }
    }

    #[test]
    fn tolerance() {
        let taints: Vec<Taint> = serde_json::from_value(json!([
            { "key": "a", "value": "1", "effect": "NoSchedule" },
            { "key": "b", "effect": "NoExecute" },
            { "key": "c", "effect": "PreferNoSchedule" },
        ]))
        .expect("taints");
        let both = ["NoSchedule", "NoExecute"];
        for (tolerations, expected) in [
            (json!([]), false),
            (json!([{ "operator": "Exists" }]), true),
            (json!([{ "key": "a", "value": "1" }, { "key": "b", "operator": "Exists" }]), true),
            (json!([{ "key": "a", "value": "2" }, { "key": "b" }]), false),
            (json!([{ "key": "a", "operator": "Exists", "effect": "NoExecute" }, { "key": "b" }]), false),
            (json!([{ "key": "a", "value": "1", "effect": "NoSchedule" }, { "key": "b" }]), true),
        ] {
            let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).expect("tolerations");
            assert_eq!(tolerates(&tolerations, &taints, &both), expected, "{tolerations:?}");
        }
        assert!(tolerates(&[], &taints, &["Other"]));
    }
}
