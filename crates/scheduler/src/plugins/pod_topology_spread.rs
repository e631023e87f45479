//! Pods of a kind spread over domains: `pkg/scheduler/framework/plugins/podtopologyspread`.

use super::MAX_NODE_SCORE;
use crate::cluster::{Cluster, Counted, NO_DOMAIN, NodeId};
use crate::pod::{Class, Pod, SpreadConstraint};
use crate::profile::Profile;
use crate::schedule::FactsOf;
use crate::status::{Plugin, Status};

/// The label by which each node is a domain of its own.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label by which a zone is a domain.
pub const ZONE: &str = "topology.kubernetes.io/zone";

const MISSING_LABEL: Status = Status::unresolvable(
    Plugin::PodTopologySpread,
    "node(s) didn't match pod topology spread constraints (missing required label)",
);
const SKEW: Status =
    Status::unschedulable(Plugin::PodTopologySpread, "node(s) didn't match pod topology spread constraints");

/// What pods without constraints of their own get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// Rather over nodes and zones (`defaultingType: System`).
    System,
    /// These, without selectors.
    List {
        /// Constraints that must hold.
        hard: Vec<SpreadConstraint>,
        /// Constraints that should.
        soft: Vec<SpreadConstraint>,
    },
}

impl Defaults {
    /// The constraints of a class of pods that has none of its own, if it belongs to somebody.
    fn of(&self, cluster: &mut Cluster, class: &Class, hard: bool) -> Vec<SpreadConstraint> {
        let defaults = match self {
            Self::System if hard => return Vec::new(),
            Self::System => vec![system(HOSTNAME, 3), system(ZONE, 5)],
            Self::List { hard: must, .. } if hard => must.clone(),
            Self::List { soft, .. } => soft.clone(),
        };
        if defaults.is_empty() {
            return defaults;
        }
        let Some(selector) = cluster.owners.selector(class) else { return Vec::new() };
        defaults
            .into_iter()
            .map(|default| SpreadConstraint { selector: selector.clone(), ..default })
            .collect()
    }
}

fn system(topology_key: &str, max_skew: i32) -> SpreadConstraint {
    SpreadConstraint {
        max_skew,
        topology_key: topology_key.into(),
        selector: crate::labels::Selector::NOTHING,
        min_domains: 1,
        honors_affinity: true,
        honors_taints: false,
    }
}

/// The constraints of a pod that must hold (or should), its own or its profile's.
fn constraints(
    cluster: &mut Cluster,
    class: &Class,
    defaults: &Defaults,
    hard: bool,
) -> Vec<SpreadConstraint> {
    let spread = &class.spread;
    if spread.hard.is_empty() && spread.soft.is_empty() {
        return defaults.of(cluster, class, hard);
    }
    if hard { spread.hard.to_vec() } else { spread.soft.to_vec() }
}

/// The constraints of a pod that must hold.
pub fn hard_constraints(cluster: &mut Cluster, class: &Class, profile: &Profile) -> Vec<SpreadConstraint> {
    constraints(cluster, class, &profile.default_constraints, true)
}

/// Whether a node counts for a constraint.
fn includes(constraint: &SpreadConstraint, facts: crate::placement::Facts) -> bool {
    (!constraint.honors_affinity || facts.matches_affinity())
        && (!constraint.honors_taints || facts.is_tolerated())
}

/// A constraint with where its pods are.
#[derive(Debug)]
struct Counting {
    constraint: SpreadConstraint,
    domains: usize,
    tally: usize,
}

fn counting(cluster: &mut Cluster, class: &Class, constraint: SpreadConstraint) -> Counting {
    let domains = cluster.domains(&constraint.topology_key);
    // Upstream counts nothing for a selector that selects everything.
    let selector = match constraint.selector.is_everything() {
        true => crate::labels::Selector::NOTHING,
        false => constraint.selector.clone(),
    };
    let tally = cluster.tally(&Counted::Selected(class.namespace.clone(), selector));
    Counting { constraint, domains, tally }
}

/// Whether a node has the labels of all constraints.
fn has_all_labels(cluster: &Cluster, all: &[Counting], node: NodeId) -> bool {
    all.iter().all(|counting| cluster.known_domains(counting.domains).of(node) != NO_DOMAIN)
}

/// The constraints that must hold, as the pods stand.
#[derive(Debug)]
pub struct Hard {
    all: Vec<Counting>,
    skews: Vec<Skew>,
}

/// How pods are spread by one constraint.
#[derive(Debug)]
struct Skew {
    /// By domain: its pods, or [`ABSENT`] if no node of it counts.
    counts: Vec<i64>,
    /// The two domains with the fewest pods.
    fewest: [(u32, i64); 2],
    /// How many domains count.
    domains: i64,
    /// 1 if the pod itself counts.
    itself: i64,
}

const ABSENT: i64 = -1;

impl Hard {
    /// Of a pod; nothing if it has none.
    pub fn new(cluster: &mut Cluster, class: &Class, defaults: &Defaults, facts: &FactsOf) -> Option<Self> {
        let constraints = constraints(cluster, class, defaults, true);
        if constraints.is_empty() {
            return None;
        }
        let all: Vec<_> = constraints.into_iter().map(|one| counting(cluster, class, one)).collect();
        let nodes = cluster.nodes();
        let cluster = &*cluster;
        let mut counts: Vec<Vec<i64>> =
            all.iter().map(|counting| vec![ABSENT; cluster.known_domains(counting.domains).len()]).collect();
        for node in nodes.iter().copied().filter(|node| has_all_labels(cluster, &all, *node)) {
            let facts = facts.of(cluster, node);
            for (counting, counts) in all.iter().zip(&mut counts) {
                if includes(&counting.constraint, facts) {
                    let domain = cluster.known_domains(counting.domains).of(node);
                    let count = &mut counts[domain as usize];
                    *count = (*count).max(0) + cluster.known_tally(counting.tally).of(node);
                }
            }
        }
        let itself = |counting: &Counting| i64::from(counting.constraint.selector.matches(&class.labels));
        let skews =
            all.iter().zip(counts).map(|(counting, counts)| Skew::new(counts, itself(counting))).collect();
        Some(Self { all, skews })
    }

    /// Whether a node takes the pod; `deltas` are by how much its domains have more pods than counted.
    pub fn filter(&self, cluster: &Cluster, node: NodeId, deltas: &[i64]) -> Option<Status> {
        for (at, (counting, skew)) in self.all.iter().zip(&self.skews).enumerate() {
            let domain = cluster.known_domains(counting.domains).of(node);
            if domain == NO_DOMAIN {
                return Some(MISSING_LABEL);
            }
            let delta = deltas.get(at).copied().unwrap_or_default();
            let counted = skew.counts[domain as usize];
            let here = counted.max(0) + delta;
            let elsewhere = skew.fewest[usize::from(skew.fewest[0].0 == domain)].1;
            let mut fewest = if counted == ABSENT { elsewhere } else { elsewhere.min(here) };
            if skew.domains < counting.constraint.min_domains.into() {
                fewest = 0;
            }
            if here + skew.itself - fewest > counting.constraint.max_skew.into() {
                return Some(SKEW);
            }
        }
        None
    }

    /// Notes that a pod would come to a node (`sign` 1) or go.
    pub fn change(
        &self,
        cluster: &Cluster,
        node: NodeId,
        pod: &Pod,
        facts: crate::placement::Facts,
        sign: i64,
        deltas: &mut Vec<i64>,
    ) {
        if !has_all_labels(cluster, &self.all, node) {
            return;
        }
        deltas.resize(self.all.len(), 0);
        let namespace = cluster.namespace(&pod.class.namespace);
        for (counting, delta) in self.all.iter().zip(deltas) {
            if includes(&counting.constraint, facts)
                && cluster.known_tally(counting.tally).counts(pod, namespace)
            {
                *delta += sign;
            }
        }
    }
}

impl Skew {
    fn new(counts: Vec<i64>, itself: i64) -> Self {
        let mut fewest = [(NO_DOMAIN, i32::MAX.into()); 2];
        let mut domains = 0;
        for (domain, count) in counts.iter().enumerate().filter(|(_, count)| **count != ABSENT) {
            domains += 1;
            if *count < fewest[0].1 {
                fewest = [(domain as u32, *count), fewest[0]];
            } else if *count < fewest[1].1 {
                fewest[1] = (domain as u32, *count);
            }
        }
        Self { counts, fewest, domains, itself }
    }
}

/// Scores nodes by the constraints that should hold; nothing if the pod has none.
pub fn score(
    cluster: &mut Cluster,
    class: &Class,
    defaults: &Defaults,
    facts: &FactsOf,
    feasible: &[NodeId],
) -> Option<Vec<i64>> {
    let constraints = constraints(cluster, class, defaults, false);
    if constraints.is_empty() {
        return None;
    }
    // The system's own constraints do not ask that nodes have the labels.
    let own = !class.spread.hard.is_empty() || !class.spread.soft.is_empty();
    let needs_labels = own || *defaults != Defaults::System;
    let all: Vec<_> = constraints.into_iter().map(|one| counting(cluster, class, one)).collect();
    let nodes = cluster.nodes();
    let cluster = &*cluster;
    let ignored = |node: NodeId| needs_labels && !has_all_labels(cluster, &all, node);
    let counted = feasible.iter().filter(|node| !ignored(**node)).count();

    let mut sums = vec![0.0; feasible.len()];
    for counting in &all {
        let domains = cluster.known_domains(counting.domains);
        let tally = cluster.known_tally(counting.tally);
        let spread_by_node = *counting.constraint.topology_key == *HOSTNAME;
        let mut counts = Vec::new();
        let size = match spread_by_node {
            true => counted,
            false => {
                counts = vec![ABSENT; domains.len()];
                // Nodes without the label are a domain too.
                let mut unlabelled = 0;
                for node in feasible.iter().copied().filter(|node| !ignored(*node)) {
                    match domains.of(node) {
                        NO_DOMAIN => unlabelled = 1,
                        domain => counts[domain as usize] = 0,
                    }
                }
                for node in nodes.iter().copied().filter(|node| !ignored(*node)) {
                    let domain = domains.of(node);
                    if domain != NO_DOMAIN
                        && counts[domain as usize] != ABSENT
                        && includes(&counting.constraint, facts.of(cluster, node))
                    {
                        counts[domain as usize] += tally.of(node);
                    }
                }
                unlabelled + counts.iter().filter(|count| **count != ABSENT).count()
            }
        };
        let weight = ((size + 2) as f64).ln();
        for (sum, node) in sums.iter_mut().zip(feasible) {
            let domain = domains.of(*node);
            if domain != NO_DOMAIN {
                let count = if spread_by_node { tally.of(*node) } else { counts[domain as usize] };
                *sum += count as f64 * weight + f64::from(counting.constraint.max_skew - 1);
            }
        }
    }
    let scores = sums.iter().zip(feasible).map(|(sum, node)| (!ignored(*node)).then(|| sum.round() as i64));
    Some(normalize(scores.collect()))
}

/// The fewer pods, the better; nodes that were ignored get nothing.
fn normalize(scores: Vec<Option<i64>>) -> Vec<i64> {
    let known = || scores.iter().copied().flatten();
    let most = known().max().unwrap_or_default().max(0);
    let least = known().min().unwrap_or_default();
    let score = |score: Option<i64>| match score {
        None => 0,
        Some(_) if most == 0 => MAX_NODE_SCORE,
        Some(score) => MAX_NODE_SCORE * (most + least - score) / most,
    };
    scores.iter().copied().map(score).collect()
}
