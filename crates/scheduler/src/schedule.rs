//! One decision: which node a pod goes to, or why none. Upstream: `pkg/scheduler/schedule_one.go`,
//! `schedulePod`, and `framework/runtime/framework.go` for the order of plugins.
//!
//! It is pure but for what it keeps for the next decision: which answer each node gives, how many pods of a kind
//! there are. The same cluster, pod, start and dice give the same decision.

use crate::cluster::{Cluster, NodeId, Slot};
use crate::nominated::Nominated;
use crate::placement::{Checks, Facts, Placement};
use crate::plugins::inter_pod_affinity::{self, Change, Required};
use crate::plugins::node_resources_fit::Asked;
use crate::plugins::pod_topology_spread::{self, Hard};
use crate::plugins::volume_binding::Claims;
use crate::plugins::volume_restrictions::Exclusive;
use crate::plugins::volume_zone::Zones;
use crate::plugins::{
    self, image_locality, node_resources_balanced_allocation, node_resources_fit, node_volume_limits,
};
use crate::pod::{Class, HostPort, Pod};
use crate::profile::Profile;
use crate::random::Random;
use crate::status::{Diagnosis, Plugin, PluginSet, Reason, Status};
use crate::volumes::Plan;
use std::sync::Arc;

/// Where a pod goes.
#[derive(Debug)]
pub enum Decision {
    /// To a node.
    Place {
        /// The node.
        node: NodeId,
        /// What binding its volumes takes there.
        volumes: Plan,
    },
    /// Nowhere.
    Reject(Box<Rejection>),
    /// There are no nodes.
    NoNodes,
}

/// Why a pod goes nowhere, with what it takes to try evictions.
#[derive(Debug)]
pub struct Rejection {
    /// What the nodes said.
    pub diagnosis: Diagnosis,
    /// What the pod asks for; absent if no node was looked at.
    pub(crate) asks: Option<Asks>,
}

const NODE_PORTS: Status =
    Status::unschedulable(Plugin::NodePorts, "node(s) didn't have free ports for the requested pod ports");
const CONFLICTING_AFFINITY: Status =
    Status::unresolvable(Plugin::NodeAffinity, "pod affinity terms conflict");
const DEVICES: Status = Status::unresolvable(
    Plugin::DynamicResources,
    "pod claims devices, which this scheduler does not allocate",
);
const NOT_NAMED: Reason = Reason::Fixed("node(s) didn't satisfy plugin(s) [NodeAffinity]");

/// Decides where a pod goes. `start` is where in the order of nodes to begin; it moves on, so that all nodes
/// get their turn although not all are looked at.
pub fn schedule(
    cluster: &mut Cluster,
    nominated: &Nominated,
    profile: &Profile,
    pod: &Pod,
    start: &mut usize,
    random: &mut Random,
) -> Decision {
    if cluster.node_count() == 0 {
        return Decision::NoNodes;
    }
    let asks = match Asks::new(cluster, profile, pod) {
        Ok(asks) => asks,
        Err(status) => {
            let diagnosis = Diagnosis::rejected(&status);
            return Decision::Reject(Box::new(Rejection { diagnosis, asks: None }));
        }
    };
    let mut diagnosis = Diagnosis::default();
    let mut feasible = Vec::new();
    // The node that others were evicted from for it comes first.
    if let Some(node) = nominated.node_of(&pod.uid).and_then(|name| cluster.find(name)) {
        asks.find(cluster, nominated, profile, pod, &[node], 0, &mut feasible, &mut diagnosis);
    }
    if feasible.is_empty() {
        diagnosis = Diagnosis::default();
        let named = pod.class.placement.node_names();
        let nodes = match named {
            None => cluster.nodes(),
            Some(names) => names.iter().filter_map(|name| cluster.find(name)).collect(),
        };
        diagnosis.absent = named.map(|_| NOT_NAMED);
        let from = if named.is_some() { 0 } else { *start };
        asks.find(cluster, nominated, profile, pod, &nodes, from, &mut feasible, &mut diagnosis);
        if named.is_some() {
            diagnosis.plugins.insert(Plugin::NodeAffinity);
        }
        *start = (*start + feasible.len() + diagnosis.nodes.len()) % cluster.node_count();
    }
    let node = match feasible.as_slice() {
        [] => return Decision::Reject(Box::new(Rejection { diagnosis, asks: Some(asks) })),
        [node] => *node,
        several => asks.best(cluster, profile, pod, several, random),
    };
    let volumes = asks.volumes(cluster, node);
    Decision::Place { node, volumes }
}

/// What each node says to a pod, and what each plugin gives to those that take it, times its weight: for tests and
/// for people who ask why.
#[derive(Debug, Default)]
pub struct Explanation {
    /// Nodes that do not take it.
    pub rejections: Vec<(NodeId, Status)>,
    /// Nodes that do; plugins that make no difference are left out.
    pub scores: Vec<(NodeId, Vec<(Plugin, i64)>)>,
}

/// Explains what would be decided about a pod if all nodes were looked at.
///
/// # Errors
/// If no node will do, whatever it is like.
pub fn explain(cluster: &mut Cluster, profile: &Profile, pod: &Pod) -> Result<Explanation, Status> {
    let asks = Asks::new(cluster, profile, pod)?;
    let mut explanation = Explanation::default();
    let mut feasible = Vec::new();
    for node in cluster.nodes().iter().copied() {
        match asks.filter(cluster, pod, node, cluster.slot(node), &Changes::default()) {
            Some(status) => explanation.rejections.push((node, status)),
            None => feasible.push(node),
        }
    }
    explanation.scores = feasible.iter().map(|node| (*node, Vec::new())).collect();
    for (plugin, weight) in &profile.weights {
        let scores = asks.score(cluster, profile, &pod.class, &feasible, *plugin);
        for ((_, scored), score) in explanation.scores.iter_mut().zip(scores.into_iter().flatten()) {
            scored.push((*plugin, score * weight));
        }
    }
    Ok(explanation)
}

/// What nodes answer to a placement: kept for all nodes, or found out for each (a DaemonSet's pods each name
/// another node, and are not worth a table).
#[derive(Clone, Debug)]
pub enum FactsOf {
    /// Kept: the place of the table.
    Kept(usize),
    /// Found out.
    Asked(Arc<Placement>),
}

impl FactsOf {
    /// What a node answers.
    pub fn of(&self, cluster: &Cluster, node: NodeId) -> Facts {
        match self {
            Self::Kept(table) => cluster.known_facts(*table).get(node as usize).copied().unwrap_or_default(),
            Self::Asked(placement) => {
                cluster.slot(node).node.as_ref().map_or_else(Facts::default, |node| placement.facts(node))
            }
        }
    }
}

/// What a pod asks for, ready to be held against many nodes: upstream's state after `PreFilter`.
#[derive(Debug)]
pub struct Asks {
    checks: Checks,
    filters: PluginSet,
    facts: FactsOf,
    resources: Option<Asked>,
    exclusive: Option<Exclusive>,
    limits_volumes: bool,
    claims: Option<Claims>,
    zones: Option<Zones>,
    spread: Option<Hard>,
    affinity: Option<Required>,
}

/// A node as it would be with some pods more or fewer: the domains that it is in change with it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    spread: Vec<i64>,
    affinity: Change,
    exclusive: i64,
}

impl Asks {
    /// Of a pod.
    ///
    /// # Errors
    /// If no node will do.
    pub fn new(cluster: &mut Cluster, profile: &Profile, pod: &Pod) -> Result<Self, Status> {
        let class = &*pod.class;
        let has = |plugin| profile.filters.has(plugin);
        let facts = match class.placement.node_names() {
            Some([]) if has(Plugin::NodeAffinity) => return Err(CONFLICTING_AFFINITY),
            Some(_) => FactsOf::Asked(class.placement.clone()),
            None => FactsOf::Kept(cluster.facts(&class.placement)),
        };
        let resources = || Asked::new(&class.requests.total, &profile.ignored_resources);
        let resources = has(Plugin::NodeResourcesFit).then(resources);
        let mut asks = Self {
            checks: profile.checks(),
            filters: profile.filters,
            facts,
            resources,
            exclusive: None,
            limits_volumes: has(Plugin::NodeVolumeLimits) && !class.claims.is_empty(),
            claims: None,
            zones: None,
            spread: None,
            affinity: None,
        };
        if !class.claims.is_empty() || !class.disks.is_empty() {
            if has(Plugin::VolumeRestrictions) {
                asks.exclusive = Some(Exclusive::new(cluster, class)?);
            }
            if has(Plugin::VolumeBinding) {
                asks.claims = Claims::new(cluster, class, &pod.uid)?;
            }
            if has(Plugin::VolumeZone) {
                asks.zones = Zones::new(cluster, class)?;
            }
        }
        if has(Plugin::PodTopologySpread) {
            asks.spread = Hard::new(cluster, class, &profile.default_constraints, &asks.facts);
        }
        if has(Plugin::InterPodAffinity) {
            asks.affinity = Required::new(cluster, class);
        }
        if class.claims_devices && has(Plugin::DynamicResources) {
            return Err(DEVICES);
        }
        Ok(asks)
    }

    /// Looks for enough nodes that take the pod, and notes what the others said.
    #[allow(clippy::too_many_arguments)]
    fn find(
        &self,
        cluster: &Cluster,
        nominated: &Nominated,
        profile: &Profile,
        pod: &Pod,
        nodes: &[NodeId],
        start: usize,
        feasible: &mut Vec<NodeId>,
        diagnosis: &mut Diagnosis,
    ) {
        let enough = profile.nodes_to_find(nodes.len());
        let (late, early) = nodes.split_at(start.min(nodes.len()));
        for node in early.iter().chain(late).copied() {
            match self.filter_with_nominated(cluster, nominated, pod, node) {
                None => {
                    feasible.push(node);
                    if feasible.len() == enough {
                        return;
                    }
                }
                Some(status) => diagnosis.add(node, status),
            }
        }
    }

    /// Whether a node takes the pod, whether or not pods that are nominated to it and as important come too.
    fn filter_with_nominated(
        &self,
        cluster: &Cluster,
        nominated: &Nominated,
        pod: &Pod,
        node: NodeId,
    ) -> Option<Status> {
        let slot = cluster.slot(node);
        if nominated.on(&slot.name).is_empty() {
            return self.filter(cluster, pod, node, slot, &Changes::default());
        }
        self.filter_changed(cluster, nominated, pod, node, slot, &Changes::default())
    }

    /// The same for a node as it would be.
    pub(crate) fn filter_changed(
        &self,
        cluster: &Cluster,
        nominated: &Nominated,
        pod: &Pod,
        node: NodeId,
        slot: &Slot,
        changes: &Changes,
    ) -> Option<Status> {
        let important =
            |other: &&Arc<Pod>| other.class.priority >= pod.class.priority && other.uid != pod.uid;
        let coming: Vec<_> = nominated.on(&slot.name).iter().filter(important).collect();
        if !coming.is_empty() {
            let mut crowded = slot.clone();
            let mut more = changes.clone();
            for other in coming {
                crowded.add(other.clone());
                self.change(cluster, node, other, &pod.class, 1, &mut more);
            }
            let status = self.filter(cluster, pod, node, &crowded, &more);
            if status.is_some() {
                return status;
            }
        }
        self.filter(cluster, pod, node, slot, changes)
    }

    /// Whether a node takes the pod, by the first plugin that says no.
    fn filter(
        &self,
        cluster: &Cluster,
        pod: &Pod,
        node: NodeId,
        slot: &Slot,
        changes: &Changes,
    ) -> Option<Status> {
        let class = &*pod.class;
        let known = slot.node.as_deref()?;
        self.facts
            .of(cluster, node)
            .rejection(self.checks)
            .or_else(|| {
                (self.filters.has(Plugin::NodePorts) && !ports_free(class, &slot.ports)).then_some(NODE_PORTS)
            })
            .or_else(|| self.resources.as_ref().and_then(|asked| asked.filter(slot)))
            .or_else(|| {
                self.exclusive.as_ref().and_then(|asked| asked.filter(class, slot, changes.exclusive))
            })
            .or_else(|| {
                self.limits_volumes.then(|| node_volume_limits::filter(cluster, class, slot)).flatten()
            })
            .or_else(|| self.claims.as_ref().and_then(|claims| claims.filter(cluster, known).err()))
            .or_else(|| self.zones.as_ref().and_then(|zones| zones.filter(known)))
            .or_else(|| self.spread.as_ref().and_then(|spread| spread.filter(cluster, node, &changes.spread)))
            .or_else(|| {
                self.affinity.as_ref().and_then(|asked| asked.filter(cluster, node, &changes.affinity))
            })
    }

    /// Notes that another pod would come to a node (`sign` 1) or go.
    pub(crate) fn change(
        &self,
        cluster: &Cluster,
        node: NodeId,
        other: &Pod,
        class: &Class,
        sign: i64,
        changes: &mut Changes,
    ) {
        if let Some(spread) = &self.spread {
            spread.change(cluster, node, other, self.facts.of(cluster, node), sign, &mut changes.spread);
        }
        if let Some(affinity) = &self.affinity {
            affinity.change(cluster, node, other, class, sign, &mut changes.affinity);
        }
        if let Some(exclusive) = &self.exclusive {
            changes.exclusive += exclusive.change(class, other, sign);
        }
    }

    /// What binding the pod's volumes takes on a node that takes it.
    fn volumes(&self, cluster: &Cluster, node: NodeId) -> Plan {
        let node = cluster.slot(node).node.as_deref();
        let plan = self.claims.as_ref().zip(node).map(|(claims, node)| claims.filter(cluster, node));
        plan.and_then(Result::ok).unwrap_or_default()
    }

    /// The best of some nodes; the dice decide between equals.
    fn best(
        &self,
        cluster: &mut Cluster,
        profile: &Profile,
        pod: &Pod,
        feasible: &[NodeId],
        random: &mut Random,
    ) -> NodeId {
        let mut totals = vec![0; feasible.len()];
        for (plugin, weight) in &profile.weights {
            let scores = self.score(cluster, profile, &pod.class, feasible, *plugin);
            for (total, score) in totals.iter_mut().zip(scores.iter().flatten()) {
                *total += score * weight;
            }
        }
        let most = totals.iter().copied().max().unwrap_or_default();
        let ties = totals.iter().filter(|total| **total == most).count();
        let chosen = random.below(ties.max(1));
        let best = totals.iter().zip(feasible).filter(|(total, _)| **total == most).nth(chosen);
        best.map_or(feasible[0], |(_, node)| *node)
    }

    /// What a plugin gives each node, from 0 to 100; nothing if it makes no difference.
    fn score(
        &self,
        cluster: &mut Cluster,
        profile: &Profile,
        class: &Class,
        feasible: &[NodeId],
        plugin: Plugin,
    ) -> Option<Vec<i64>> {
        let facts = |score: fn(Facts) -> i64, reverse: bool, cluster: &Cluster| {
            let mut scores: Vec<i64> =
                feasible.iter().map(|node| score(self.facts.of(cluster, *node))).collect();
            plugins::normalize(&mut scores, reverse);
            Some(scores)
        };
        match plugin {
            Plugin::TaintToleration => facts(|facts| facts.unpreferred.into(), true, cluster),
            Plugin::NodeAffinity if !class.placement.has_preferences() => None,
            Plugin::NodeAffinity => facts(|facts| facts.preferred.into(), false, cluster),
            Plugin::NodeResourcesFit => {
                let (strategy, resources) = (&profile.strategy, &profile.scored_resources);
                let score = |node: &NodeId| {
                    node_resources_fit::score(cluster.slot(*node), &class.requests, strategy, resources)
                };
                Some(feasible.iter().map(score).collect())
            }
            Plugin::NodeResourcesBalancedAllocation => {
                let resources = &profile.balanced_resources;
                if !node_resources_balanced_allocation::applies(&class.requests, resources) {
                    return None;
                }
                let score = |node: &NodeId| {
                    node_resources_balanced_allocation::score(cluster.slot(*node), &class.requests, resources)
                };
                Some(feasible.iter().map(score).collect())
            }
            Plugin::PodTopologySpread => pod_topology_spread::score(
                cluster,
                class,
                &profile.default_constraints,
                &self.facts,
                feasible,
            ),
            Plugin::InterPodAffinity => {
                inter_pod_affinity::score(cluster, class, profile.inter_pod_affinity, feasible)
            }
            Plugin::ImageLocality => image_locality::score(cluster, class, feasible),
            _ => None,
        }
    }
}

fn ports_free(class: &Class, taken: &[HostPort]) -> bool {
    class.ports.iter().all(|port| !taken.iter().any(|taken| taken.conflicts(port)))
}

#[cfg(test)]
mod tests;
