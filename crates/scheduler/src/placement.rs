//! What a pod asks of a node whatever runs there: its name, labels, taints. Pods that ask the same share one
//! [`Placement`], and what every node answers is kept (`cluster::Cluster::facts`), so that a cycle looks it up.
//!
//! Upstream: `pkg/scheduler/framework/plugins/{nodeunschedulable,tainttoleration,nodeaffinity}`. There is nothing to
//! do for `nodename`: a pod that names its node is bound, and never looked at here.

use crate::labels::{NodeSelector, Selector};
use crate::node::Node;
use crate::status::{Plugin, Status};
use api::core::v1::{PodSpec, PreferredSchedulingTerm};

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// They are not placed.
    NoSchedule,
    /// They are placed if nowhere else.
    PreferNoSchedule,
    /// They are not placed, and evicted.
    NoExecute,
}

impl Effect {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    key: Box<str>,
    value: Box<str>,
    effect: Effect,
}

impl Taint {
    /// Of a node's taint; one without a known effect does nothing.
    pub fn new(taint: &api::core::v1::Taint) -> Option<Self> {
        let value = taint.value.as_deref().unwrap_or_default().into();
        Some(Self { key: taint.key.as_str().into(), value, effect: Effect::parse(&taint.effect)? })
    }
}

/// The taint that a cordoned node counts as having.
const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

/// What a pod tolerates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Toleration {
    /// Empty: any.
    key: Box<str>,
    /// Absent: any value (`Exists`).
    value: Option<Box<str>>,
    /// Absent: any.
    effect: Option<Effect>,
}

impl Toleration {
    /// None for an operator that is not known: it tolerates nothing.
    fn new(toleration: &api::core::v1::Toleration) -> Option<Self> {
        let value = match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => Some(toleration.value.as_deref().unwrap_or_default().into()),
            "Exists" => None,
            _ => return None,
        };
        let effect = match toleration.effect.as_deref().unwrap_or_default() {
            "" => None,
            effect => Some(Effect::parse(effect)?),
        };
        Some(Self { key: toleration.key.as_deref().unwrap_or_default().into(), value, effect })
    }

    fn tolerates(&self, key: &str, value: &str, effect: Effect) -> bool {
        self.effect.is_none_or(|tolerated| tolerated == effect)
            && (self.key.is_empty() || *self.key == *key)
            && self.value.as_deref().is_none_or(|tolerated| tolerated == value)
    }
}

/// Affinity that a profile adds to each of its pods (`NodeAffinityArgs.addedAffinity`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddedAffinity {
    required: Option<NodeSelector>,
    preferred: Box<[(i32, NodeSelector)]>,
}

impl AddedAffinity {
    /// Of the configuration.
    pub fn new(affinity: &api::core::v1::NodeAffinity) -> Self {
        let required = affinity.required_during_scheduling_ignored_during_execution.as_ref();
        let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_deref();
        Self {
            required: required.map(|selector| NodeSelector::new(&selector.node_selector_terms)),
            preferred: preferences(preferred.unwrap_or_default()),
        }
    }
}

/// What a pod asks of a node whatever runs there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    labels: Option<Selector>,
    affinity: Option<NodeSelector>,
    added: AddedAffinity,
    preferred: Box<[(i32, NodeSelector)]>,
    tolerations: Box<[Toleration]>,
}

/// What a node answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// One bit per [`CHECKS`] that fails.
    failures: u8,
    /// The sum of the weights of what the pod prefers and the node has.
    pub preferred: i32,
    /// How many of the node's `PreferNoSchedule` taints the pod does not tolerate.
    pub unpreferred: u16,
}

const UNSCHEDULABLE: u8 = 1;
const TAINTS: u8 = 1 << 1;
const ENFORCED: u8 = 1 << 2;
const AFFINITY: u8 = 1 << 3;

/// The checks in upstream's order, of which the first that fails is told.
static CHECKS: [(u8, Status); 4] = [
    (UNSCHEDULABLE, Status::unresolvable(Plugin::NodeUnschedulable, "node(s) were unschedulable")),
    (TAINTS, Status::unresolvable(Plugin::TaintToleration, "node(s) had untolerated taint(s)")),
    (
        ENFORCED,
        Status::unresolvable(Plugin::NodeAffinity, "node(s) didn't match scheduler-enforced node affinity"),
    ),
    (
        AFFINITY,
        Status::unresolvable(Plugin::NodeAffinity, "node(s) didn't match Pod's node affinity/selector"),
    ),
];

/// Which checks a profile makes.
#[derive(Clone, Copy, Debug)]
pub struct Checks(u8);

impl Checks {
    /// Those of the plugins that a profile has.
    pub fn new(plugins: crate::status::PluginSet) -> Self {
        let made = CHECKS.iter().filter(|(_, status)| plugins.has(status.plugin));
        Self(made.fold(0, |bits, (bit, _)| bits | bit))
    }
}

impl Facts {
    /// The first check that fails.
    pub fn rejection(self, checks: Checks) -> Option<Status> {
        let failed = self.failures & checks.0;
        if failed == 0 {
            return None;
        }
        Some(CHECKS[failed.trailing_zeros() as usize].1.clone())
    }

    /// Whether the node matches the pod's own selector and affinity.
    pub fn matches_affinity(self) -> bool {
        self.failures & AFFINITY == 0
    }

    /// Whether the pod tolerates all taints that keep pods off.
    pub fn is_tolerated(self) -> bool {
        self.failures & TAINTS == 0
    }
}

impl Placement {
    /// What a pod asks for, with what its profile adds.
    pub fn new(spec: &PodSpec, added: &AddedAffinity) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred =
            affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref());
        let labels = spec.node_selector.as_ref().filter(|labels| !labels.is_empty());
        Self {
            labels: labels.map(Selector::from_map),
            affinity: required.map(|selector| NodeSelector::new(&selector.node_selector_terms)),
            added: added.clone(),
            preferred: preferences(preferred.unwrap_or_default()),
            tolerations: spec.tolerations.iter().flatten().filter_map(Toleration::new).collect(),
        }
    }

    /// What a node answers.
    pub fn facts(&self, node: &Node) -> Facts {
        let mut failures = 0;
        if node.unschedulable && !self.tolerates(UNSCHEDULABLE_TAINT, "", Effect::NoSchedule) {
            failures |= UNSCHEDULABLE;
        }
        let mut unpreferred = 0;
        for taint in &node.taints {
            if !self.tolerates(&taint.key, &taint.value, taint.effect) {
                match taint.effect {
                    Effect::PreferNoSchedule => unpreferred += 1,
                    Effect::NoSchedule | Effect::NoExecute => failures |= TAINTS,
                }
            }
        }
        let matches = |selector: &NodeSelector| selector.matches(&node.name, &node.labels);
        if !self.added.required.as_ref().is_none_or(matches) {
            failures |= ENFORCED;
        }
        let labels = self.labels.as_ref().is_none_or(|selector| selector.matches(&node.labels));
        if !labels || !self.affinity.as_ref().is_none_or(matches) {
            failures |= AFFINITY;
        }
        let preferences = self.added.preferred.iter().chain(&self.preferred);
        let preferred = preferences.filter(|(_, term)| matches(term)).map(|(weight, _)| weight).sum();
        Facts { failures, preferred, unpreferred }
    }

    /// The only nodes that can match, if the required affinity names them (a DaemonSet's pods).
    pub fn node_names(&self) -> Option<&[Box<str>]> {
        self.affinity.as_ref().and_then(NodeSelector::names)
    }

    /// Whether it prefers some nodes.
    pub fn has_preferences(&self) -> bool {
        !self.preferred.is_empty() || !self.added.preferred.is_empty()
    }

    /// Whether a cordoned node takes the pod.
    pub fn tolerates_unschedulable(&self) -> bool {
        self.tolerates(UNSCHEDULABLE_TAINT, "", Effect::NoSchedule)
    }

    fn tolerates(&self, key: &str, value: &str, effect: Effect) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(key, value, effect))
    }
}

/// Terms with weights; those without either count for nothing.
fn preferences(terms: &[PreferredSchedulingTerm]) -> Box<[(i32, NodeSelector)]> {
    let weighted = terms.iter().filter(|term| term.weight != 0);
    weighted.map(|term| (term.weight, NodeSelector::new(std::slice::from_ref(&term.preference)))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::status::PluginSet;
    use serde_json::{Value, json};

    fn facts(spec: Value, node: Value) -> Facts {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let placement = Placement::new(&serde_json::from_value(spec).unwrap(), &AddedAffinity::default());
        placement.facts(&Node::new(&serde_json::from_value(node).unwrap()))
    }

    #[test]
    fn taints_and_tolerations() {
        let taint = |effect: &str| json!({"key": "dedicated", "value": "user1", "effect": effect});
        // Cases of upstream's taint_toleration_test.go.
        for (toleration, effect, tolerated) in [
            (json!({"key": "dedicated", "operator": "Equal", "value": "user1"}), "NoSchedule", true),
            (json!({"key": "dedicated", "value": "user2", "effect": "NoSchedule"}), "NoSchedule", false),
            (json!({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}), "NoSchedule", false),
            (json!({"operator": "Exists"}), "NoExecute", true),
            (json!({"key": "other", "operator": "Exists"}), "NoSchedule", false),
            (json!({"key": "dedicated", "operator": "Gt", "value": "1"}), "NoSchedule", false),
            (json!({"key": "other", "operator": "Exists"}), "PreferNoSchedule", true),
        ] {
            let spec = json!({"tolerations": [toleration]});
            let facts =
                facts(spec.clone(), json!({"metadata": {"name": "a"}, "spec": {"taints": [taint(effect)]}}));
            assert_eq!(facts.is_tolerated(), tolerated, "{spec} {effect}");
            assert_eq!(facts.unpreferred, u16::from(effect == "PreferNoSchedule"), "{spec}");
        }
    }

    #[test]
    fn the_first_check_that_fails_is_told() {
        let spec = json!({"nodeSelector": {"zone": "a"}});
        let node = |unschedulable: bool, taints: Value| json!({"metadata": {"name": "a"}, "spec": {"unschedulable": unschedulable, "taints": taints}});
        let taint = json!([{"key": "k", "effect": "NoSchedule"}]);
        let all = Checks::new(PluginSet::ALL);
        let told = |facts: Facts, checks| facts.rejection(checks).map(|status| status.plugin);
        let cordoned = facts(spec.clone(), node(true, taint.clone()));
        assert_eq!(told(cordoned, all), Some(Plugin::NodeUnschedulable));
        let without = Checks::new(PluginSet::of(&[Plugin::TaintToleration]));
        assert_eq!(told(cordoned, without), Some(Plugin::TaintToleration));
        assert_eq!(told(facts(spec, node(false, json!([]))), all), Some(Plugin::NodeAffinity));
        let tolerant = json!({"tolerations": [{"key": UNSCHEDULABLE_TAINT, "operator": "Exists"}]});
        assert!(facts(tolerant, node(true, json!([]))).rejection(all).is_none());
    }

    #[test]
    fn preferences_add_up() {
        let term = |weight: i32, zone: &str| {
            json!({"weight": weight, "preference": {"matchExpressions":
                [{"key": "zone", "operator": "In", "values": [zone]}]}})
        };
        let spec = json!({"affinity": {"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [term(5, "a"), term(3, "b"), term(2, "a")]}}});
        let node = json!({"metadata": {"name": "a", "labels": {"zone": "a"}}});
        assert_eq!(facts(spec, node).preferred, 7);
    }
}
