//! Pods that wait for a node: `pkg/scheduler/backend/queue`.
//!
//! A pod is in one of three places. In the active queue it is next: by priority, then by age. If no node took it,
//! it is set aside, until something happens that may help (`hints.rs`). Then it is active again, or first backs
//! off, if it failed shortly before: 1 s after the first failure, twice as long after each further one, 10 s at
//! most. If nobody else is waiting, it need not (KEP-5142), unless the failure was an error and not a matter of
//! its constraints.

use crate::pod::Pod;
use crate::status::{Plugin, PluginSet};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A pod that was set aside is tried after that long whatever happens: hints may have missed something.
const MAX_UNSCHEDULABLE: SignedDuration = SignedDuration::from_mins(5);
/// How often such pods are looked for.
const FLUSH_PERIOD: SignedDuration = SignedDuration::from_secs(30);

/// How long a pod backs off.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub initial: SignedDuration,
    /// At most.
    pub max: SignedDuration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: SignedDuration::from_secs(1), max: SignedDuration::from_secs(10) }
    }
}

impl Backoff {
    fn after(self, failures: u32) -> SignedDuration {
        let doubled = 1_i32.checked_shl(failures.saturating_sub(1)).filter(|factor| *factor > 0);
        doubled
            .and_then(|factor| self.initial.checked_mul(factor))
            .map_or(self.max, |after| after.min(self.max))
    }
}

/// A pod that waits, or is being placed.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The pod.
    pub pod: Arc<Pod>,
    /// When it was added, or last failed.
    since: Timestamp,
    /// In the order of being added, for pods of the same time.
    sequence: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first tried.
    pub first_attempt: Option<Timestamp>,
    /// How often no node took it.
    unschedulable: u32,
    /// How often in a row it failed by an error.
    errors: u32,
    /// Who rejected it.
    pub rejectors: PluginSet,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active,
    /// Until then.
    Backoff(Timestamp),
    /// The same, after an error.
    ErrorBackoff(Timestamp),
    Aside,
    InFlight,
}

type Rank = (Reverse<i32>, Timestamp, u64, Arc<str>);

impl Waiting {
    fn rank(&self) -> Rank {
        (Reverse(self.pod.class.priority), self.since, self.sequence, self.pod.uid.clone())
    }
}

/// How many pods are where, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Next.
    pub active: usize,
    /// Backing off.
    pub backoff: usize,
    /// Set aside.
    pub unschedulable: usize,
    /// Set aside because of gates.
    pub gated: usize,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    backoff_times: Backoff,
    pods: HashMap<Arc<str>, Waiting>,
    active: BTreeSet<Rank>,
    backoff: BTreeSet<(Timestamp, Rank)>,
    error_backoff: BTreeSet<(Timestamp, Rank)>,
    aside: BTreeSet<Arc<str>>,
    /// How many of those set aside each plugin rejected.
    rejected_by: [usize; Plugin::ALL.len()],
    next_flush: Option<Timestamp>,
    sequence: u64,
}

impl Queue {
    /// With times to back off.
    pub fn new(backoff_times: Backoff) -> Self {
        Self { backoff_times, ..Self::default() }
    }

    /// Adds a pod, or takes over its new state. A pod with gates is set aside.
    pub fn set(&mut self, now: Timestamp, pod: Arc<Pod>) {
        if let Some(waiting) = self.pods.get_mut(&pod.uid) {
            // The priority of a pod never changes, so neither does its place.
            waiting.pod = pod;
            return;
        }
        self.sequence += 1;
        let waiting = Waiting {
            since: now,
            sequence: self.sequence,
            attempts: 0,
            first_attempt: None,
            unschedulable: 0,
            errors: 0,
            rejectors: PluginSet::EMPTY,
            place: Place::InFlight,
            pod,
        };
        let uid = waiting.pod.uid.clone();
        self.pods.insert(uid.clone(), waiting);
        self.activate_ungated(&uid);
    }

    /// A pod that waits.
    pub fn get(&self, uid: &str) -> Option<&Waiting> {
        self.pods.get(uid)
    }

    /// Forgets a pod.
    pub fn remove(&mut self, uid: &str) -> Option<Waiting> {
        self.take_out(uid);
        self.pods.remove(uid)
    }

    /// Takes back a pod that was placed and could not be bound; it fails next.
    pub fn restore(&mut self, mut waiting: Waiting) {
        waiting.place = Place::InFlight;
        self.pods.insert(waiting.pod.uid.clone(), waiting);
    }

    /// The next pod: it stays known, until it is removed or fails.
    pub fn pop(&mut self, now: Timestamp) -> Option<Waiting> {
        self.flush(now);
        let rank = self.active.pop_first().or_else(|| self.backoff.pop_first().map(|(_, rank)| rank))?;
        let waiting = self.pods.get_mut(&rank.3)?;
        waiting.place = Place::InFlight;
        waiting.attempts += 1;
        waiting.first_attempt.get_or_insert(now);
        Some(waiting.clone())
    }

    /// No node took a pod, and these plugins said so; none: it was an error.
    pub fn fail(&mut self, now: Timestamp, uid: &str, rejectors: PluginSet) {
        self.take_out(uid);
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        waiting.rejectors = rejectors;
        waiting.since = now;
        if rejectors.is_empty() {
            waiting.errors += 1;
            self.requeue(uid, now);
        } else {
            waiting.unschedulable += 1;
            waiting.errors = 0;
            self.set_aside(uid);
        }
    }

    /// Something happened: of the pods set aside, those that `helps` names are tried again. Only pods that one
    /// of `interested` rejected are asked for.
    pub fn requeue_if(
        &mut self,
        now: Timestamp,
        interested: PluginSet,
        mut helps: impl FnMut(&Waiting) -> bool,
    ) {
        if !interested.iter().any(|plugin| self.rejected_by[plugin as usize] > 0) {
            return;
        }
        let asked = |uid: &&Arc<str>| {
            self.pods.get(&**uid).is_some_and(|pod| pod.rejectors.meets(interested) && helps(pod))
        };
        let helped: Vec<_> = self.aside.iter().filter(asked).cloned().collect();
        for uid in helped {
            self.requeue(&uid, now);
        }
    }

    /// Something happened that helps a pod that is set aside.
    pub fn requeue(&mut self, uid: &str, now: Timestamp) {
        self.take_out(uid);
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        let failures = if waiting.errors > 0 { waiting.errors } else { waiting.unschedulable };
        let until = align(waiting.since + self.backoff_times.after(failures));
        if failures == 0 || until < align(now) {
            self.activate_ungated(uid);
            return;
        }
        let rank = waiting.rank();
        if waiting.rejectors.is_empty() {
            waiting.place = Place::ErrorBackoff(until);
            self.error_backoff.insert((until, rank));
        } else {
            waiting.place = Place::Backoff(until);
            self.backoff.insert((until, rank));
        }
    }

    /// A pod that is set aside or backs off is next.
    pub fn activate(&mut self, uid: &str) {
        if self.pods.get(uid).is_some_and(|waiting| waiting.place != Place::InFlight) {
            self.take_out(uid);
            self.activate_ungated(uid);
        }
    }

    /// Whether a pod is set aside.
    pub fn is_aside(&self, uid: &str) -> bool {
        self.aside.contains(uid)
    }

    /// When something is to be done although nothing happens.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let backoff = self.error_backoff.first().map(|(until, _)| *until + WINDOW);
        let flush = self.next_flush.filter(|_| !self.aside.is_empty());
        [backoff, flush].into_iter().flatten().min()
    }

    /// Whether a pod can be had.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && self.backoff.is_empty()
    }

    /// How many pods are where.
    pub fn pending(&self) -> Pending {
        let gated = self.rejected_by[Plugin::SchedulingGates as usize];
        Pending {
            active: self.active.len(),
            backoff: self.backoff.len() + self.error_backoff.len(),
            unschedulable: self.aside.len().saturating_sub(gated),
            gated,
        }
    }

    fn flush(&mut self, now: Timestamp) {
        for from in [Place::Backoff as fn(Timestamp) -> Place, Place::ErrorBackoff] {
            loop {
                let queue =
                    if from(now) == Place::Backoff(now) { &self.backoff } else { &self.error_backoff };
                let Some((until, rank)) = queue.first() else { break };
                if *until >= align(now) {
                    break;
                }
                let uid = rank.3.clone();
                self.take_out(&uid);
                self.activate_ungated(&uid);
            }
        }
        let due = *self.next_flush.get_or_insert(now + FLUSH_PERIOD);
        if now >= due {
            self.next_flush = Some(now + FLUSH_PERIOD);
            self.requeue_if(now, PluginSet::ALL, |waiting| {
                now.duration_since(waiting.since) > MAX_UNSCHEDULABLE
            });
        }
    }

    fn activate_ungated(&mut self, uid: &str) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        if waiting.pod.class.gates.is_empty() {
            waiting.place = Place::Active;
            let rank = waiting.rank();
            self.active.insert(rank);
        } else {
            waiting.rejectors.insert(Plugin::SchedulingGates);
            self.set_aside(uid);
        }
    }

    fn set_aside(&mut self, uid: &str) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        waiting.place = Place::Aside;
        for plugin in waiting.rejectors.iter() {
            self.rejected_by[plugin as usize] += 1;
        }
        self.aside.insert(waiting.pod.uid.clone());
    }

    /// Takes a pod out of its place.
    fn take_out(&mut self, uid: &str) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        match waiting.place {
            Place::Active => {
                self.active.remove(&waiting.rank());
            }
            Place::Backoff(until) => {
                self.backoff.remove(&(until, waiting.rank()));
            }
            Place::ErrorBackoff(until) => {
                self.error_backoff.remove(&(until, waiting.rank()));
            }
            Place::Aside => {
                self.aside.remove(uid);
                for plugin in waiting.rejectors.iter() {
                    self.rejected_by[plugin as usize] -= 1;
                }
            }
            Place::InFlight => {}
        }
        waiting.place = Place::InFlight;
    }
}

/// Pods whose time comes within a second come together, the most important first.
const WINDOW: SignedDuration = SignedDuration::from_secs(1);

fn align(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Class;

    fn pod(uid: &str, priority: i32, gates: &[&str]) -> Arc<Pod> {
        let gates = gates.iter().map(|gate| (*gate).into()).collect();
        let class = Arc::new(Class { priority, gates, ..Class::default() });
        Arc::new(Pod {
            uid: uid.into(),
            name: uid.into(),
            class,
            node: Arc::default(),
            nominated: Arc::default(),
            terminating: false,
            preempted: false,
            started: None,
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("a time")
    }

    fn popped(queue: &mut Queue, seconds: i64) -> Option<String> {
        queue.pop(at(seconds)).map(|waiting| waiting.pod.uid.to_string())
    }

    const FIT: PluginSet = PluginSet::of(&[Plugin::NodeResourcesFit]);

    #[test]
    fn the_most_important_comes_first_then_the_oldest() {
        let mut queue = Queue::default();
        for (uid, priority) in [("a", 0), ("b", 10), ("c", 10), ("d", -1)] {
            queue.set(at(0), pod(uid, priority, &[]));
        }
        let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue, 0)).collect();
        assert_eq!(order, ["b", "c", "a", "d"]);
    }

    #[test]
    fn a_pod_that_failed_waits_for_what_helps() {
        let mut queue = Queue::default();
        queue.set(at(0), pod("a", 0, &[]));
        assert_eq!(popped(&mut queue, 0).as_deref(), Some("a"));
        queue.fail(at(0), "a", FIT);
        assert_eq!(popped(&mut queue, 60), None);
        queue.requeue_if(at(60), PluginSet::of(&[Plugin::NodePorts]), |_| true);
        assert_eq!(popped(&mut queue, 60), None);
        queue.requeue_if(at(60), FIT, |_| false);
        assert_eq!(popped(&mut queue, 60), None);
        queue.requeue_if(at(60), FIT, |_| true);
        assert_eq!(popped(&mut queue, 60).as_deref(), Some("a"));
    }

    #[test]
    fn a_pod_that_failed_lately_lets_others_pass_but_none_waits_in_vain() {
        let mut queue = Queue::default();
        queue.set(at(0), pod("a", 10, &[]));
        assert!(popped(&mut queue, 0).is_some());
        queue.fail(at(0), "a", FIT);
        queue.set(at(0), pod("b", 0, &[]));
        queue.requeue_if(at(0), FIT, |_| true);
        assert_eq!(queue.pending(), Pending { active: 1, backoff: 1, ..Pending::default() });
        assert_eq!(popped(&mut queue, 0).as_deref(), Some("b"));
        assert_eq!(popped(&mut queue, 0).as_deref(), Some("a"));
    }

    #[test]
    fn after_an_error_a_pod_backs_off_ever_longer() {
        let mut queue = Queue::default();
        queue.set(at(0), pod("a", 0, &[]));
        let mut now = 0;
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(popped(&mut queue, now).as_deref(), Some("a"));
            queue.fail(at(now), "a", PluginSet::EMPTY);
            assert_eq!(popped(&mut queue, now + wait), None);
            assert_eq!(queue.wake_at(), Some(at(now + wait + 1)));
            now += wait + 1;
        }
    }

    #[test]
    fn after_five_minutes_a_pod_is_tried_whatever_happens() {
        let mut queue = Queue::default();
        queue.set(at(0), pod("a", 0, &[]));
        assert!(popped(&mut queue, 0).is_some());
        queue.fail(at(0), "a", FIT);
        let mut waited = 0;
        while popped(&mut queue, waited).is_none() {
            waited = queue.wake_at().map_or(i64::MAX, |wake| wake.as_second() - 1_000_000);
        }
        assert_eq!(waited, 330);
    }

    #[test]
    fn gates_hold_a_pod_back() {
        let mut queue = Queue::default();
        queue.set(at(0), pod("a", 0, &["wait"]));
        assert_eq!(popped(&mut queue, 0), None);
        assert_eq!(queue.pending(), Pending { gated: 1, ..Pending::default() });
        queue.set(at(1), pod("a", 0, &[]));
        queue.requeue("a", at(1));
        assert_eq!(popped(&mut queue, 1).as_deref(), Some("a"));
        assert!(queue.remove("a").is_some());
    }
}
