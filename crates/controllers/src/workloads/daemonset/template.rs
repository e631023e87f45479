//! The pods of a DaemonSet: bound to a node by affinity, and tolerating what befalls nodes. Facts:
//! `pkg/controller/daemon/util/daemonset_util.go`.

use super::{REVISION_HASH, TEMPLATE_GENERATION};
use crate::workloads::pods::{from_template, node as node_of};
use api::apps::v1::DaemonSet;
use api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration,
};
use api::owners;

/// The annotation by which `extensions/v1beta1` counted templates.
const GENERATION: &str = "deprecated.daemonset.template.generation";

/// The field by which a pod is bound to a node before the scheduler has seen it.
const NAME_FIELD: &str = "metadata.name";

/// What a daemon's pods tolerate, whatever their template says: key and effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// And those that use the node's network, for they may bring up the others'.
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The count of the set's templates, if it has one.
pub(super) fn generation(set: &DaemonSet) -> Option<String> {
    let text = set.metadata.annotations.as_ref()?.get(GENERATION)?;
    text.parse::<i64>().ok().map(|number| number.to_string())
}

/// A pod for a node.
pub(super) fn pod(set: &DaemonSet, hash: &str, node: &str) -> Pod {
    let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = from_template(&template, set, owners::controller_reference(set));
    let labels = pod.metadata.labels.get_or_insert_default();
    if let Some(generation) = generation(set) {
        labels.insert(TEMPLATE_GENERATION.to_owned(), generation);
    }
    labels.insert(REVISION_HASH.to_owned(), hash.to_owned());
    let spec = pod.spec.get_or_insert_default();
    tolerate(spec);
    bind(spec, node);
    pod
}

/// Adds the tolerations; one of the same key and effect is replaced, as it says less or the same.
pub(super) fn tolerate(spec: &mut PodSpec) {
    let on_host = spec.host_network == Some(true);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(on_host.then_some(TOLERATED_ON_HOST_NETWORK)) {
        let wanted = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Default::default()
        };
        let same = |present: &&mut Toleration| {
            present.key == wanted.key
                && present.effect == wanted.effect
                && present.operator == wanted.operator
                && present.value.as_deref().unwrap_or_default().is_empty()
        };
        match tolerations.iter_mut().find(same) {
            Some(present) => *present = wanted,
            None => tolerations.push(wanted),
        }
    }
}

/// Binds a pod to the node of that name, whatever its template's node affinity says: that was asked before.
fn bind(spec: &mut PodSpec, node: &str) {
    let term = NodeSelectorTerm {
        match_fields: Some(vec![NodeSelectorRequirement {
            key: NAME_FIELD.to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.to_owned()]),
        }]),
        match_expressions: None,
    };
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let node_affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    node_affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node that a pod is on, or is bound to.
pub(super) fn target_node(pod: &Pod) -> Option<&str> {
    let node = node_of(pod);
    if !node.is_empty() {
        return Some(node);
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let bound = fields.into_iter().find(|field| field.key == NAME_FIELD && field.operator == "In")?;
    match bound.values.as_deref() {
        Some([only]) => Some(only),
        _ => None,
    }
}
