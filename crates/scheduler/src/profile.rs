//! How pods of one scheduler name are placed: which plugins, with which weights and arguments.

use crate::DEFAULT_SCHEDULER_NAME;
use crate::placement::{AddedAffinity, Checks};
use crate::plugins::inter_pod_affinity;
use crate::plugins::node_resources_fit::{Ignored, Strategy, Weighted};
use crate::plugins::pod_topology_spread::Defaults;
use crate::status::{Plugin, PluginSet};
use std::sync::Arc;

/// A profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// `spec.schedulerName` of the pods that it is for.
    pub name: Arc<str>,
    /// The plugins that reject nodes or pods.
    pub filters: PluginSet,
    /// The plugins that score nodes, with their weights.
    pub weights: Vec<(Plugin, i64)>,
    /// Of how many nodes in a hundred the best is taken; 0: fewer the more nodes there are.
    pub percentage_of_nodes_to_score: i32,
    /// What every pod gets besides its own node affinity.
    pub added_affinity: AddedAffinity,
    /// What pods without constraints of their own get.
    pub default_constraints: Defaults,
    /// How preferences of other pods count.
    pub inter_pod_affinity: inter_pod_affinity::Settings,
    /// What makes a node good.
    pub strategy: Strategy,
    /// The resources that it looks at.
    pub scored_resources: Vec<Weighted>,
    /// The resources whose even use is looked at.
    pub balanced_resources: Vec<Weighted>,
    /// Resources that are not held against nodes.
    pub ignored_resources: Ignored,
    /// Of how many nodes in a hundred, and of how many at least, evictions are tried out.
    pub preemption_candidates: (i32, i32),
    /// How long a pod's volumes may take to be bound, in seconds.
    pub volume_bind_timeout_seconds: i64,
}

impl Default for Profile {
    /// Upstream's defaults: `pkg/scheduler/apis/config/v1/default_plugins.go`, `defaults.go`.
    fn default() -> Self {
        let resources =
            || ["cpu", "memory"].map(|resource| Weighted { resource: resource.into(), weight: 1 }).to_vec();
        Self {
            name: DEFAULT_SCHEDULER_NAME.into(),
            filters: PluginSet::ALL,
            weights: vec![
                (Plugin::TaintToleration, 3),
                (Plugin::NodeAffinity, 2),
                (Plugin::NodeResourcesFit, 1),
                (Plugin::PodTopologySpread, 2),
                (Plugin::InterPodAffinity, 2),
                (Plugin::NodeResourcesBalancedAllocation, 1),
                (Plugin::ImageLocality, 1),
            ],
            percentage_of_nodes_to_score: 0,
            added_affinity: AddedAffinity::default(),
            default_constraints: Defaults::System,
            inter_pod_affinity: inter_pod_affinity::Settings { hard_weight: 1, ignore_existing: false },
            strategy: Strategy::LeastAllocated,
            scored_resources: resources(),
            balanced_resources: resources(),
            ignored_resources: Ignored::default(),
            preemption_candidates: (10, 100),
            volume_bind_timeout_seconds: 600,
        }
    }
}

/// However few of the nodes are enough, it is not fewer than that.
const MIN_FEASIBLE_NODES_TO_FIND: usize = 100;
/// However many nodes there are, it is not fewer in a hundred than that.
const MIN_FEASIBLE_NODES_PERCENTAGE_TO_FIND: i64 = 5;

impl Profile {
    /// Which checks of a placement it makes.
    pub fn checks(&self) -> Checks {
        Checks::new(self.filters)
    }

    /// How many nodes that take a pod are enough (`numFeasibleNodesToFind`).
    pub fn nodes_to_find(&self, nodes: usize) -> usize {
        if nodes < MIN_FEASIBLE_NODES_TO_FIND {
            return nodes;
        }
        let percentage = match i64::from(self.percentage_of_nodes_to_score) {
            0 => (50 - nodes as i64 / 125).max(MIN_FEASIBLE_NODES_PERCENTAGE_TO_FIND),
            given => given,
        };
        ((nodes as i64 * percentage / 100) as usize).max(MIN_FEASIBLE_NODES_TO_FIND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_to_find() {
        // Cases of upstream's schedule_one_test.go, TestNumFeasibleNodesToFind.
        for (percentage, nodes, wanted) in
            [(0, 10, 10), (40, 10, 10), (0, 1000, 420), (40, 1000, 400), (0, 6000, 300), (40, 6000, 2400)]
        {
            let profile = Profile { percentage_of_nodes_to_score: percentage, ..Profile::default() };
            assert_eq!(profile.nodes_to_find(nodes), wanted, "{percentage} {nodes}");
        }
    }
}
