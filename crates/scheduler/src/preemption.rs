//! Which pods to evict for a more important one: `pkg/scheduler/framework/preemption/preemption.go`,
//! `plugins/defaultpreemption/default_preemption.go`.

use crate::cluster::{Cluster, NodeId, Slot};
use crate::labels::Selector;
use crate::nominated::Nominated;
use crate::pod::Pod;
use crate::profile::Profile;
use crate::random::Random;
use crate::schedule::{Asks, Changes, Rejection};
use crate::status::{Diagnosis, Plugin, Reason, Status};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A disruption budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The namespace of its pods.
    pub namespace: Box<str>,
    /// Its pods.
    pub selector: Selector,
    /// How many of them may go now.
    pub allowed: i32,
    /// Those that are going and are counted already.
    pub disrupted: BTreeSet<Box<str>>,
}

impl Budget {
    /// Of the object.
    pub fn new(budget: &api::policy::v1::PodDisruptionBudget) -> Self {
        let status = budget.status.as_ref();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref()).into_iter().flatten();
        Self {
            namespace: api::Object::namespace(budget).into(),
            selector: Selector::new(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
            allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or_default(),
            disrupted: disrupted.map(|(name, _)| name.as_str().into()).collect(),
        }
    }

    fn covers(&self, pod: &Pod) -> bool {
        *self.namespace == *pod.class.namespace
            && !pod.class.labels.is_empty()
            && !self.selector.is_everything()
            && self.selector.matches(&pod.class.labels)
            && !self.disrupted.contains(&*pod.name)
    }
}

/// What comes of it.
#[derive(Debug)]
pub enum Outcome {
    /// Pods are to be evicted, and the pod is nominated to their node.
    Evict {
        /// The node.
        node: NodeId,
        /// The pods, the most important first.
        victims: Vec<Arc<Pod>>,
    },
    /// It does not help: the text, and whether a former nomination is void.
    Helpless {
        /// What is added to the message.
        message: String,
        /// Whether the pod is nominated to no node any more.
        clears_nomination: bool,
    },
}

const NO_VICTIMS: Status =
    Status::unresolvable(Plugin::DefaultPreemption, "No preemption victims found for incoming pod");
const NOT_HELPFUL: Reason = Reason::Fixed("Preemption is not helpful for scheduling");

/// What a try needs to know.
#[derive(Debug)]
pub struct Preemption<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Pods that are nominated to nodes.
    pub nominated: &'a Nominated,
    /// The pod's profile.
    pub profile: &'a Profile,
    /// Disruption budgets.
    pub budgets: Vec<&'a Budget>,
    /// The time: a pod that has not started yet counts as starting now.
    pub now: jiff::Timestamp,
}

/// The victims on one node.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// The pods to evict, the most important first.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them a budget protects.
    pub violations: usize,
}

impl Preemption<'_> {
    /// Decides what to evict for a pod that no node takes.
    pub fn decide(&self, pod: &Pod, rejection: &Rejection, random: &mut Random) -> Outcome {
        if let Some(message) = self.ineligible(pod, &rejection.diagnosis) {
            return Outcome::Helpless { message: format!("preemption: {message}"), clears_nomination: false };
        }
        let mut told = Diagnosis { absent: Some(NOT_HELPFUL), ..Diagnosis::default() };
        let candidates = match &rejection.asks {
            None => Vec::new(),
            Some(asks) => self.candidates(pod, asks, &rejection.diagnosis, &mut told, random),
        };
        match self.pick(candidates) {
            Some(Candidate { node, victims, .. }) => Outcome::Evict { node, victims },
            None => {
                let message = format!("preemption: {}", told.message(self.cluster.node_count()));
                Outcome::Helpless { message, clears_nomination: true }
            }
        }
    }

    /// Why a pod may not evict others now.
    fn ineligible(&self, pod: &Pod, diagnosis: &Diagnosis) -> Option<&'static str> {
        if pod.class.never_preempts {
            return Some("not eligible due to preemptionPolicy=Never.");
        }
        let node = self.cluster.find(self.nominated.node_of(&pod.uid)?)?;
        // If its node can never take it, it may look for another.
        let said = diagnosis.nodes.iter().find(|(known, _)| *known == node);
        if said.is_none_or(|(_, status)| !status.resolvable) {
            return None;
        }
        let leaving = |other: &Arc<Pod>| self.is_lesser(other, pod) && other.terminating && other.preempted;
        let waits = self.cluster.slot(node).pods.iter().any(leaving);
        waits.then_some("not eligible due to a terminating pod on the nominated node.")
    }

    fn is_lesser(&self, other: &Pod, pod: &Pod) -> bool {
        other.class.priority < pod.class.priority
    }

    /// Tries nodes on which evictions might help, from a random one on, until there are enough.
    fn candidates(
        &self,
        pod: &Pod,
        asks: &Asks,
        diagnosis: &Diagnosis,
        told: &mut Diagnosis,
        random: &mut Random,
    ) -> Vec<Candidate> {
        let resolvable = diagnosis.nodes.iter().filter(|(_, status)| status.resolvable);
        let nodes: Vec<NodeId> = resolvable.map(|(node, _)| *node).collect();
        if nodes.is_empty() {
            return Vec::new();
        }
        let (percentage, least) = self.profile.preemption_candidates;
        let share = nodes.len() * usize::try_from(percentage).unwrap_or_default() / 100;
        let enough = share.max(usize::try_from(least).unwrap_or_default()).min(nodes.len());
        let offset = random.below(nodes.len());
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut peaceful = false;
        for at in 0..nodes.len() {
            let node = nodes[(offset + at) % nodes.len()];
            match self.victims(pod, asks, node) {
                Ok(candidate) => {
                    peaceful |= candidate.violations == 0;
                    candidates.push(candidate);
                    if peaceful && candidates.len() >= enough {
                        break;
                    }
                }
                Err(status) => told.add(node, status),
            }
        }
        // Upstream keeps so many of either kind; those without violations come first.
        candidates.sort_by_key(|candidate| candidate.violations > 0);
        candidates
    }

    /// The fewest and least important pods of a node without which the pod fits.
    ///
    /// # Errors
    /// If it does not fit without any of them.
    pub fn victims(&self, pod: &Pod, asks: &Asks, node: NodeId) -> Result<Candidate, Status> {
        let mut slot = self.cluster.slot(node).clone();
        let mut changes = Changes::default();
        let mut lesser: Vec<_> =
            slot.pods.iter().filter(|other| self.is_lesser(other, pod)).cloned().collect();
        if lesser.is_empty() {
            return Err(NO_VICTIMS);
        }
        let mut leave = |slot: &mut Slot, other: &Arc<Pod>, sign: i64| {
            match sign {
                1 => slot.add(other.clone()),
                _ => drop(slot.remove(&other.uid)),
            }
            asks.change(self.cluster, node, other, &pod.class, sign, &mut changes);
            asks.filter_changed(self.cluster, self.nominated, pod, node, slot, &changes)
        };
        let mut status = None;
        for other in &lesser {
            status = leave(&mut slot, other, -1);
        }
        if let Some(status) = status {
            return Err(status);
        }
        // The most important stay if they can; those whose budget is spent before others.
        lesser.sort_by_key(|other| self.importance(other));
        let (violating, peaceful) = self.split_by_budgets(lesser);
        let mut victims = Vec::new();
        let mut violations = 0;
        let from_violating = violating.len();
        for (at, other) in violating.into_iter().chain(peaceful).enumerate() {
            if leave(&mut slot, &other, 1).is_some() {
                leave(&mut slot, &other, -1);
                violations += usize::from(at < from_violating);
                victims.push(other);
            }
        }
        victims.sort_by_key(|other| self.importance(other));
        match victims.is_empty() {
            // It fits as things are: then something changed, and it will be tried anew.
            true => Err(NO_VICTIMS),
            false => Ok(Candidate { node, victims, violations }),
        }
    }

    /// The most important first: by priority, then by how long it runs.
    fn importance(&self, pod: &Pod) -> (Reverse<i32>, jiff::Timestamp) {
        (Reverse(pod.class.priority), pod.started.unwrap_or(self.now))
    }

    /// Pods whose eviction violates a budget, and the others.
    fn split_by_budgets(&self, pods: Vec<Arc<Pod>>) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
        let mut allowed: Vec<_> = self.budgets.iter().map(|budget| budget.allowed).collect();
        let mut violates = |pod: &Arc<Pod>| {
            let mut violated = false;
            for (budget, allowed) in self.budgets.iter().zip(&mut allowed) {
                if budget.covers(pod) {
                    *allowed -= 1;
                    violated |= *allowed < 0;
                }
            }
            violated
        };
        pods.into_iter().partition(|pod| violates(pod))
    }

    /// The node where eviction does the least harm (`pickOneNodeForPreemption`).
    fn pick(&self, candidates: Vec<Candidate>) -> Option<Candidate> {
        candidates.into_iter().min_by_key(|candidate| {
            let priorities = || candidate.victims.iter().map(|pod| i64::from(pod.class.priority));
            let highest = priorities().max().unwrap_or(i64::MIN);
            // Each victim weighs, however low its priority.
            let sum: i64 = priorities().map(|priority| priority + i64::from(i32::MAX) + 1).sum();
            let important = candidate.victims.iter().filter(|pod| i64::from(pod.class.priority) == highest);
            let earliest = important.map(|pod| pod.started.unwrap_or(self.now)).min();
            (candidate.violations, highest, sum, candidate.victims.len(), Reverse(earliest))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Class;

    /// Victims by priority and start in seconds.
    fn candidate(node: NodeId, violations: usize, victims: &[(i32, i64)]) -> Candidate {
        let pod = |(priority, started): &(i32, i64)| {
            Arc::new(Pod {
                uid: Arc::default(),
                name: Arc::default(),
                class: Arc::new(Class { priority: *priority, ..Class::default() }),
                node: Arc::default(),
                nominated: Arc::default(),
                terminating: false,
                preempted: false,
                started: jiff::Timestamp::from_second(*started).ok(),
            })
        };
        Candidate { node, violations, victims: victims.iter().map(pod).collect() }
    }

    #[test]
    fn the_node_where_eviction_does_the_least_harm() {
        let (cluster, nominated, profile) = (Cluster::default(), Nominated::default(), Profile::default());
        let now = jiff::Timestamp::UNIX_EPOCH;
        let (cluster, nominated, profile, budgets) = (&cluster, &nominated, &profile, Vec::new());
        let preemption = Preemption { cluster, nominated, profile, budgets, now };
        // As upstream's TestPickOneNodeForPreemption has them, rule after rule.
        for (rule, candidates, wanted) in [
            ("fewest violations", [candidate(1, 1, &[(0, 9)]), candidate(2, 0, &[(9, 9), (9, 9)])], 2),
            (
                "least of the highest priorities",
                [candidate(1, 0, &[(5, 9)]), candidate(2, 0, &[(4, 9), (4, 9)])],
                2,
            ),
            (
                "least sum of priorities",
                [candidate(1, 0, &[(5, 9), (4, 9)]), candidate(2, 0, &[(5, 9), (3, 9)])],
                2,
            ),
            // Negative priorities weigh too: one victim is better than two.
            ("fewest pods", [candidate(1, 0, &[(-1, 9), (-1, 9)]), candidate(2, 0, &[(-1, 9)])], 2),
            ("latest start", [candidate(1, 0, &[(5, 3), (4, 9)]), candidate(2, 0, &[(5, 4), (4, 1)])], 2),
            ("the first of equals", [candidate(1, 0, &[(5, 3)]), candidate(2, 0, &[(5, 3)])], 1),
        ] {
            let picked = preemption.pick(candidates.into());
            assert_eq!(picked.map(|candidate| candidate.node), Some(wanted), "{rule}");
        }
    }
}
