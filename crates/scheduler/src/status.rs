//! Why a node does not take a pod, and how that is told: `pkg/scheduler/framework/types.go` (`FitError`),
//! `staging/src/k8s.io/kube-scheduler/framework/interface.go` (`Status`).

use crate::cluster::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The plugins, by upstream's names; those that reject a pod decide which events may help it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Plugin {
    /// Pods with gates wait.
    SchedulingGates,
    /// Cordoned nodes.
    NodeUnschedulable,
    /// Pods that name their node.
    NodeName,
    /// Taints.
    TaintToleration,
    /// Node selectors and affinity.
    NodeAffinity,
    /// Host ports.
    NodePorts,
    /// Resources.
    NodeResourcesFit,
    /// Disks and claims that one pod only may use.
    VolumeRestrictions,
    /// Volumes that a driver can attach.
    NodeVolumeLimits,
    /// Claims and where their volumes are.
    VolumeBinding,
    /// Zones of volumes.
    VolumeZone,
    /// Spreading over domains.
    PodTopologySpread,
    /// Affinity between pods.
    InterPodAffinity,
    /// Claims of devices: rejected, as long as they are not allocated here.
    DynamicResources,
    /// Eviction of lesser pods.
    DefaultPreemption,
    /// Balance of resources (score only).
    NodeResourcesBalancedAllocation,
    /// Images that a node has (score only).
    ImageLocality,
}

impl Plugin {
    /// All of them, in upstream's default order.
    pub const ALL: [Self; 17] = [
        Self::SchedulingGates,
        Self::NodeUnschedulable,
        Self::NodeName,
        Self::TaintToleration,
        Self::NodeAffinity,
        Self::NodePorts,
        Self::NodeResourcesFit,
        Self::VolumeRestrictions,
        Self::NodeVolumeLimits,
        Self::VolumeBinding,
        Self::VolumeZone,
        Self::PodTopologySpread,
        Self::InterPodAffinity,
        Self::DynamicResources,
        Self::DefaultPreemption,
        Self::NodeResourcesBalancedAllocation,
        Self::ImageLocality,
    ];

    /// The name in configurations and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::SchedulingGates => "SchedulingGates",
            Self::NodeUnschedulable => "NodeUnschedulable",
            Self::NodeName => "NodeName",
            Self::TaintToleration => "TaintToleration",
            Self::NodeAffinity => "NodeAffinity",
            Self::NodePorts => "NodePorts",
            Self::NodeResourcesFit => "NodeResourcesFit",
            Self::VolumeRestrictions => "VolumeRestrictions",
            Self::NodeVolumeLimits => "NodeVolumeLimits",
            Self::VolumeBinding => "VolumeBinding",
            Self::VolumeZone => "VolumeZone",
            Self::PodTopologySpread => "PodTopologySpread",
            Self::InterPodAffinity => "InterPodAffinity",
            Self::DynamicResources => "DynamicResources",
            Self::DefaultPreemption => "DefaultPreemption",
            Self::NodeResourcesBalancedAllocation => "NodeResourcesBalancedAllocation",
            Self::ImageLocality => "ImageLocality",
        }
    }
}

/// A set of plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PluginSet(u32);

impl PluginSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(u32::MAX);

    /// Of some plugins.
    pub const fn of(plugins: &[Plugin]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < plugins.len() {
            bits |= 1 << plugins[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether one is in it.
    pub const fn has(self, plugin: Plugin) -> bool {
        self.0 & (1 << plugin as u8) != 0
    }

    /// Adds one.
    pub const fn insert(&mut self, plugin: Plugin) {
        self.0 |= 1 << plugin as u8;
    }

    /// Takes one out.
    pub const fn remove(&mut self, plugin: Plugin) {
        self.0 &= !(1 << plugin as u8);
    }

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any is in both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Plugin> {
        Plugin::ALL.into_iter().filter(move |plugin| self.has(*plugin))
    }
}

/// What events say and people grep for: texts equal upstream's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A fixed text.
    Fixed(&'static str),
    /// A text made up for the occasion.
    Text(Arc<str>),
}

impl Reason {
    fn text(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Text(text) => text,
        }
    }
}

/// Why a node (or all of them) rejects a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who says so.
    pub plugin: Plugin,
    /// Whether evicting pods from the node might help.
    pub resolvable: bool,
    /// The texts.
    pub reasons: Reasons,
}

/// One reason mostly; several resources may be short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reasons {
    /// The only one.
    One(Reason),
    /// Some.
    Many(Vec<Reason>),
}

impl Status {
    /// Evicting pods might help.
    pub const fn unschedulable(plugin: Plugin, text: &'static str) -> Self {
        Self { plugin, resolvable: true, reasons: Reasons::One(Reason::Fixed(text)) }
    }

    /// Evicting pods cannot help (`UnschedulableAndUnresolvable`).
    pub const fn unresolvable(plugin: Plugin, text: &'static str) -> Self {
        Self { plugin, resolvable: false, reasons: Reasons::One(Reason::Fixed(text)) }
    }

    /// The same, with a text made up for the occasion.
    pub fn unresolvable_because(plugin: Plugin, text: impl Into<Arc<str>>) -> Self {
        Self { plugin, resolvable: false, reasons: Reasons::One(Reason::Text(text.into())) }
    }

    /// The reasons.
    pub fn reasons(&self) -> &[Reason] {
        match &self.reasons {
            Reasons::One(reason) => std::slice::from_ref(reason),
            Reasons::Many(reasons) => reasons,
        }
    }
}

/// Why no node takes a pod.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// What each node that was looked at said.
    pub nodes: Vec<(NodeId, Status)>,
    /// What is said of nodes that were not looked at.
    pub absent: Option<Reason>,
    /// Why no node was looked at at all.
    pub pre_filter: Option<String>,
    /// Who rejected: their events may help.
    pub plugins: PluginSet,
    /// What came of attempts to make room: of each that was made, in order.
    pub post_filter: Vec<String>,
}

impl Diagnosis {
    /// No node was looked at: the pod itself is rejected.
    pub fn rejected(status: &Status) -> Self {
        let text: Vec<_> = status.reasons().iter().map(Reason::text).collect();
        Self {
            pre_filter: Some(text.join(", ")),
            plugins: PluginSet::of(&[status.plugin]),
            ..Self::default()
        }
    }

    /// Notes what a node said.
    pub fn add(&mut self, node: NodeId, status: Status) {
        self.plugins.insert(status.plugin);
        self.nodes.push((node, status));
    }

    /// The message of the event and the condition, for a cluster of so many nodes:
    /// `0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.`
    pub fn message(&self, nodes: usize) -> String {
        let mut text = format!("0/{nodes} nodes are available:");
        match &self.pre_filter {
            Some(reason) => text += &format!(" {reason}."),
            None => {
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                for reason in self.nodes.iter().flat_map(|(_, status)| status.reasons()) {
                    *counts.entry(reason.text()).or_default() += 1;
                }
                if let Some(reason) = &self.absent
                    && self.nodes.len() < nodes
                {
                    *counts.entry(reason.text()).or_default() += nodes - self.nodes.len();
                }
                // Upstream sorts the finished texts, so "10 …" comes before "9 …".
                let mut parts: Vec<_> =
                    counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
                parts.sort();
                if !parts.is_empty() {
                    text += &format!(" {}.", parts.join(", "));
                }
            }
        }
        if !self.post_filter.is_empty() {
            text += &format!(" {}", self.post_filter.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.add(0, Status::unresolvable(Plugin::TaintToleration, "node(s) had untolerated taint(s)"));
        let cpu = Reason::Fixed("Insufficient cpu");
        let both = Reasons::Many(vec![cpu.clone(), Reason::Text("Insufficient example.com/gpu".into())]);
        diagnosis.add(1, Status { plugin: Plugin::NodeResourcesFit, resolvable: true, reasons: both });
        diagnosis.add(2, Status::unschedulable(Plugin::NodeResourcesFit, "Insufficient cpu"));
        diagnosis.post_filter = vec!["no claims".into(), "preemption: no".into()];
        assert_eq!(
            diagnosis.message(3),
            "0/3 nodes are available: 1 Insufficient example.com/gpu, 1 node(s) had untolerated taint(s), \
             2 Insufficient cpu. no claims, preemption: no"
        );
        diagnosis.absent = Some(Reason::Fixed("node(s) didn't satisfy plugin(s) [NodeAffinity]"));
        assert!(diagnosis.message(5).contains("2 node(s) didn't satisfy plugin(s) [NodeAffinity]"));
        let rejected =
            Diagnosis::rejected(&Status::unresolvable(Plugin::NodeAffinity, "pod affinity terms conflict"));
        assert_eq!(rejected.message(2), "0/2 nodes are available: pod affinity terms conflict.");
        assert_eq!(rejected.plugins.iter().collect::<Vec<_>>(), [Plugin::NodeAffinity]);
    }
}
