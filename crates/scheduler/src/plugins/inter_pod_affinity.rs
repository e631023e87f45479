//! Pods near others, or not near them: `pkg/scheduler/framework/plugins/interpodaffinity`.

use super::MAX_NODE_SCORE;
use crate::cluster::{Cluster, Counted, NO_DOMAIN, NodeId, TermKind};
use crate::pod::{Class, Pod, Scope, Term};
use crate::status::{Plugin, Status};
use std::collections::BTreeMap;

const AFFINITY: Status =
    Status::unresolvable(Plugin::InterPodAffinity, "node(s) didn't match pod affinity rules");
const ANTI_AFFINITY: Status =
    Status::unschedulable(Plugin::InterPodAffinity, "node(s) didn't match pod anti-affinity rules");
const EXISTING_ANTI_AFFINITY: Status = Status::unschedulable(
    Plugin::InterPodAffinity,
    "node(s) didn't satisfy existing pods anti-affinity rules",
);

/// Pods by domain of one topology key.
#[derive(Debug)]
struct Counts {
    key: Box<str>,
    domains: usize,
    by_domain: Vec<i64>,
}

impl Counts {
    /// The pods of a tally.
    fn new(cluster: &mut Cluster, topology_key: &str, tally: usize) -> Self {
        let nodes = cluster.nodes();
        let tally = cluster.known_tally(tally);
        let counts: Vec<_> =
            nodes.iter().map(|node| (*node, tally.of(*node))).filter(|(_, n)| *n > 0).collect();
        Self::of_nodes(cluster, topology_key.into(), counts)
    }

    /// What nodes add to their domains.
    fn of_nodes(
        cluster: &mut Cluster,
        key: Box<str>,
        nodes: impl IntoIterator<Item = (NodeId, i64)>,
    ) -> Self {
        let domains = cluster.domains(&key);
        let known = cluster.known_domains(domains);
        let mut by_domain = vec![0; known.len()];
        for (node, count) in nodes {
            let domain = known.of(node);
            if domain != NO_DOMAIN {
                by_domain[domain as usize] += count;
            }
        }
        Self { key, domains, by_domain }
    }

    /// The pods in a node's domain; nothing if it lacks the label.
    fn of(&self, cluster: &Cluster, node: NodeId) -> Option<i64> {
        let domain = cluster.known_domains(self.domains).of(node);
        (domain != NO_DOMAIN).then(|| self.by_domain[domain as usize])
    }
}

/// What must hold for a pod, as the pods stand.
#[derive(Debug)]
pub struct Required {
    near: Vec<Counts>,
    /// The pods that all terms of `near` are about.
    near_pods: Option<usize>,
    /// Whether any node with the label has such a pod.
    near_any: bool,
    /// Whether the pod is one of those that it wants to be near: then the first may go anywhere.
    near_itself: bool,
    far: Vec<(Counts, usize)>,
    existing: Vec<Counts>,
}

/// By how much the domains of a node have more pods than counted.
#[derive(Clone, Debug, Default)]
pub struct Change {
    near: i64,
    far: Vec<i64>,
    existing: Vec<i64>,
    /// Anti-affinity terms, by a topology key that no pod on a node had.
    unforeseen: i64,
}

impl Required {
    /// Of a pod; nothing if neither it nor pods on nodes ask for anything.
    pub fn new(cluster: &mut Cluster, class: &Class) -> Option<Self> {
        let existing = existing_anti_affinity(cluster, class);
        let own = class.affinity.as_deref();
        let near: &[Term] = own.map(|affinity| &*affinity.required).unwrap_or_default();
        let far: &[Term] = own.map(|affinity| &*affinity.required_anti).unwrap_or_default();
        if existing.is_empty() && near.is_empty() && far.is_empty() {
            return None;
        }
        let scopes: Box<[Scope]> = near.iter().map(|term| term.scope.clone()).collect();
        let namespace = cluster.namespace(&class.namespace);
        let near_itself = !near.is_empty() && scopes.iter().all(|scope| scope.has(class, namespace));
        let near_pods = (!near.is_empty()).then(|| cluster.tally(&Counted::InScopes(scopes)));
        let near: Vec<_> = match near_pods {
            None => Vec::new(),
            Some(tally) => near.iter().map(|term| Counts::new(cluster, &term.topology_key, tally)).collect(),
        };
        let near_any = near.iter().any(|counts| counts.by_domain.iter().any(|count| *count > 0));
        let far = far.iter().map(|term| {
            let tally = cluster.tally(&Counted::InScopes([term.scope.clone()].into()));
            (Counts::new(cluster, &term.topology_key, tally), tally)
        });
        let far = far.collect();
        Some(Self { near, near_pods, near_any, near_itself, far, existing })
    }

    /// Whether a node takes the pod.
    pub fn filter(&self, cluster: &Cluster, node: NodeId, change: &Change) -> Option<Status> {
        if !self.is_near(cluster, node, change) {
            return Some(AFFINITY);
        }
        let delta = |deltas: &[i64], at: usize| deltas.get(at).copied().unwrap_or_default();
        for (at, (counts, _)) in self.far.iter().enumerate() {
            if counts.of(cluster, node).is_some_and(|count| count + delta(&change.far, at) > 0) {
                return Some(ANTI_AFFINITY);
            }
        }
        for (at, counts) in self.existing.iter().enumerate() {
            if counts.of(cluster, node).is_some_and(|count| count + delta(&change.existing, at) > 0) {
                return Some(EXISTING_ANTI_AFFINITY);
            }
        }
        (change.unforeseen > 0).then_some(EXISTING_ANTI_AFFINITY)
    }

    fn is_near(&self, cluster: &Cluster, node: NodeId, change: &Change) -> bool {
        let mut there = true;
        for counts in &self.near {
            match counts.of(cluster, node) {
                None => return false,
                Some(count) => there &= count + change.near > 0,
            }
        }
        if there {
            return true;
        }
        let any = if change.near < 0 { self.any_but(cluster, node, change.near) } else { self.near_any };
        !any && change.near <= 0 && self.near_itself
    }

    /// Whether there are such pods if some of a node's domains were gone.
    fn any_but(&self, cluster: &Cluster, node: NodeId, delta: i64) -> bool {
        self.near.iter().any(|counts| {
            let here = cluster.known_domains(counts.domains).of(node) as usize;
            let left = |(domain, count): (usize, &i64)| count + if domain == here { delta } else { 0 } > 0;
            counts.by_domain.iter().enumerate().any(left)
        })
    }

    /// Notes that a pod would come to a node (`sign` 1) or go; `class` is the pod that is being placed.
    pub fn change(
        &self,
        cluster: &Cluster,
        node: NodeId,
        pod: &Pod,
        class: &Class,
        sign: i64,
        change: &mut Change,
    ) {
        let namespace = cluster.namespace(&pod.class.namespace);
        let counts = |tally: usize| cluster.known_tally(tally).counts(pod, namespace);
        if self.near_pods.is_some_and(counts) {
            change.near += sign;
        }
        change.far.resize(self.far.len(), 0);
        for ((_, tally), delta) in self.far.iter().zip(&mut change.far) {
            if counts(*tally) {
                *delta += sign;
            }
        }
        let Some(affinity) = &pod.class.affinity else { return };
        change.existing.resize(self.existing.len(), 0);
        let namespace = cluster.namespace(&class.namespace);
        let Some(labels) = cluster.slot(node).node.as_ref().map(|node| &node.labels) else { return };
        for term in affinity.required_anti.iter().filter(|term| term.scope.has(class, namespace)) {
            if labels.get(&term.topology_key).is_none() {
                continue;
            }
            match self.existing.iter().position(|counts| counts.key == term.topology_key) {
                Some(at) => change.existing[at] += sign,
                None => change.unforeseen += sign,
            }
        }
    }
}

/// Pods on nodes that do not want to be near the pod, by each of their topology keys.
fn existing_anti_affinity(cluster: &mut Cluster, class: &Class) -> Vec<Counts> {
    let mut holders: BTreeMap<Box<str>, Vec<(NodeId, u32)>> = BTreeMap::new();
    for (held, nodes) in cluster.held_terms(class) {
        if held.kind == TermKind::RequiredAnti {
            let all = holders.entry(held.term.topology_key.clone()).or_default();
            all.extend(nodes.iter().map(|(node, pods)| (*node, *pods)));
        }
    }
    let counts = holders.into_iter().map(|(key, nodes)| {
        let nodes = nodes.into_iter().map(|(node, pods)| (node, i64::from(pods)));
        Counts::of_nodes(cluster, key, nodes)
    });
    let mut counts: Vec<_> = counts.collect();
    counts.retain(|counts| counts.by_domain.iter().any(|count| *count > 0));
    counts
}

/// How the preferences of existing pods count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a required term of an existing pod counts as (`hardPodAffinityWeight`).
    pub hard_weight: i32,
    /// Whether only preferences of the pod itself count (`ignorePreferredTermsOfExistingPods`).
    pub ignore_existing: bool,
}

/// Scores nodes by preferences, of the pod and of pods on nodes; nothing if there are none.
pub fn score(
    cluster: &mut Cluster,
    class: &Class,
    settings: Settings,
    feasible: &[NodeId],
) -> Option<Vec<i64>> {
    let own = class.affinity.as_deref();
    let near = own.map(|affinity| &*affinity.preferred).unwrap_or_default();
    let far = own.map(|affinity| &*affinity.preferred_anti).unwrap_or_default();
    if settings.ignore_existing && near.is_empty() && far.is_empty() {
        return None;
    }
    let mut by_key: BTreeMap<Box<str>, Vec<(NodeId, i64)>> = BTreeMap::new();
    for (held, nodes) in cluster.held_terms(class) {
        let weight = match held.kind {
            TermKind::RequiredAnti => 0,
            TermKind::Required => settings.hard_weight,
            TermKind::Preferred(weight) => weight,
        };
        if weight != 0 {
            let all = by_key.entry(held.term.topology_key.clone()).or_default();
            all.extend(nodes.iter().map(|(node, pods)| (*node, i64::from(*pods) * i64::from(weight))));
        }
    }
    let mut scores: Vec<Counts> = Vec::new();
    for (key, nodes) in by_key {
        scores.push(Counts::of_nodes(cluster, key, nodes));
    }
    let preferences = near.iter().map(|(weight, term)| (i64::from(*weight), term));
    for (weight, term) in preferences.chain(far.iter().map(|(weight, term)| (-i64::from(*weight), term))) {
        let tally = cluster.tally(&Counted::InScopes([term.scope.clone()].into()));
        let mut counts = Counts::new(cluster, &term.topology_key, tally);
        counts.by_domain.iter_mut().for_each(|count| *count *= weight);
        scores.push(counts);
    }
    if scores.iter().all(|counts| counts.by_domain.iter().all(|score| *score == 0)) {
        return None;
    }
    let cluster = &*cluster;
    let sum = |node: &NodeId| scores.iter().filter_map(|counts| counts.of(cluster, *node)).sum();
    Some(normalize(feasible.iter().map(sum).collect()))
}

fn normalize(mut scores: Vec<i64>) -> Vec<i64> {
    let least = scores.iter().copied().min().unwrap_or_default();
    let span = scores.iter().copied().max().unwrap_or_default() - least;
    for score in &mut scores {
        *score = match span {
            0 => 0,
            span => (MAX_NODE_SCORE as f64 * ((*score - least) as f64 / span as f64)) as i64,
        };
    }
    scores
}
