//! The scheduler without its surroundings: told of what happens, asked to do one pod at a time, it says what to
//! do. No I/O, no clock, no dice but its own: a run can be repeated from its seed.
//!
//! Upstream: `pkg/scheduler/{scheduler,schedule_one,eventhandlers}.go`. What upstream guards by locks and keeps
//! for pods "in flight" is not needed: a decision is made at once, and nothing happens meanwhile.

mod binding;
mod changes;

use crate::action::{Action, PodRef, SCHEDULER_ERROR, UNSCHEDULABLE};
use crate::cluster::{Cluster, NodeId};
use crate::hints::Event;
use crate::nominated::Nominated;
use crate::placement::{AddedAffinity, Placement};
use crate::pod::{Class, Pod};
use crate::preemption::{Budget, Outcome, Preemption};
use crate::profile::Profile;
use crate::queue::{Backoff, Pending, Queue, Waiting};
use crate::random::Random;
use crate::schedule::{Decision, Rejection, schedule};
use crate::status::{Plugin, PluginSet};
use crate::volumes::Plan;
use binding::Binding;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What is said of a pod that has no devices to give back before others are evicted for it
/// (`plugins/dynamicresources`, `PostFilter`).
const NO_CLAIMS: &str = "no new claims to deallocate";
/// What no node at all is told as.
const NO_NODES: &str = "no nodes available to schedule pods";

/// The scheduler.
#[derive(Debug)]
pub struct Engine {
    profiles: HashMap<Arc<str>, Profile>,
    cluster: Cluster,
    queue: Queue,
    nominated: Nominated,
    budgets: BTreeMap<api::Key, Budget>,
    bindings: HashMap<Arc<str>, Binding>,
    /// Of them, those that wait for volumes, and until when.
    waiting_for_volumes: BTreeMap<Arc<str>, Timestamp>,
    /// Pods for which others are being evicted: they wait until that is done.
    preempting: HashMap<Arc<str>, Preempting>,
    actions: Vec<Action>,
    start: usize,
    random: Random,
    shared: Shared,
}

#[derive(Debug, Default)]
struct Preempting {
    /// Whether something happened meanwhile that helps.
    helped: bool,
}

/// Classes and placements that pods share.
#[derive(Debug, Default)]
struct Shared {
    classes: HashSet<Arc<Class>>,
    placements: HashSet<Arc<Placement>>,
    /// At how many classes those that no pod has any more are looked for.
    sweep_at: usize,
}

/// Classes that no pod has are swept out when there are at least so many.
const SWEEP_CLASSES_MIN: usize = 4096;

impl Shared {
    /// The same pod with a class that it shares.
    fn share(&mut self, mut pod: Pod) -> Arc<Pod> {
        match self.classes.get(&pod.class) {
            Some(class) => pod.class = class.clone(),
            None => {
                self.sweep();
                let class = Arc::make_mut(&mut pod.class);
                match self.placements.get(&class.placement) {
                    Some(placement) => class.placement = placement.clone(),
                    None => drop(self.placements.insert(class.placement.clone())),
                }
                self.classes.insert(pod.class.clone());
            }
        }
        Arc::new(pod)
    }

    fn sweep(&mut self) {
        if self.classes.len() >= self.sweep_at.max(SWEEP_CLASSES_MIN) {
            self.classes.retain(|class| Arc::strong_count(class) > 1);
            self.placements.retain(|placement| Arc::strong_count(placement) > 1);
            self.sweep_at = self.classes.len() * 2;
        }
    }
}

impl Engine {
    /// For pods of some profiles; `seed` decides between equals.
    pub fn new(profiles: impl IntoIterator<Item = Profile>, backoff: Backoff, seed: u64) -> Self {
        Self {
            profiles: profiles.into_iter().map(|profile| (profile.name.clone(), profile)).collect(),
            cluster: Cluster::default(),
            queue: Queue::new(backoff),
            nominated: Nominated::default(),
            budgets: BTreeMap::new(),
            bindings: HashMap::new(),
            waiting_for_volumes: BTreeMap::new(),
            preempting: HashMap::new(),
            actions: Vec::new(),
            start: 0,
            random: Random::new(seed),
            shared: Shared::default(),
        }
    }

    /// The nodes and pods as they are seen here.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The same, to ask what would be decided.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// How many pods wait.
    pub fn pending(&self) -> Pending {
        self.queue.pending()
    }

    /// How many pods have a node and are being bound.
    pub fn binding_count(&self) -> usize {
        self.bindings.len()
    }

    /// What is to be done since the last call.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Engine::tick`] although nothing happens.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let volumes = self.waiting_for_volumes.values().min().copied();
        [self.queue.wake_at(), volumes].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp) {
        self.check_bindings(now);
    }

    /// Places the next pod; false if none is to be placed now.
    pub fn step(&mut self, now: Timestamp) -> bool {
        let Some(waiting) = self.queue.pop(now) else { return false };
        let pod = waiting.pod.clone();
        if pod.terminating {
            let scheduler = pod.class.scheduler.clone();
            self.queue.remove(&pod.uid);
            self.withdraw(now, &pod.uid);
            self.actions.push(Action::SkipDeleting { pod: PodRef::from(&*pod), scheduler });
            return true;
        }
        let Some(profile) = self.profiles.get(&pod.class.scheduler) else {
            self.queue.remove(&pod.uid);
            return true;
        };
        let cluster = &mut self.cluster;
        match schedule(cluster, &self.nominated, profile, &pod, &mut self.start, &mut self.random) {
            Decision::Place { node, volumes } => self.place(now, &waiting, node, volumes),
            Decision::NoNodes => {
                self.queue.fail(now, &pod.uid, PluginSet::EMPTY);
                self.reject(now, &pod, UNSCHEDULABLE, NO_NODES.to_owned(), Some(Arc::default()));
            }
            Decision::Reject(rejection) => self.try_preemption(now, &pod, *rejection),
        }
        true
    }

    /// A pod goes to a node: it counts as there, and is bound.
    fn place(&mut self, now: Timestamp, waiting: &Waiting, node: NodeId, plan: Plan) {
        let pod = &waiting.pod;
        self.queue.remove(&pod.uid);
        self.cluster.assume(pod, node);
        self.withdraw(now, &pod.uid);
        let name = self.cluster.slot(node).name.clone();
        self.begin_binding(waiting.clone(), name, plan);
    }

    fn try_preemption(&mut self, now: Timestamp, pod: &Arc<Pod>, rejection: Rejection) {
        let Some(profile) = self.profiles.get(&pod.class.scheduler) else { return };
        let Rejection { mut diagnosis, asks } = rejection;
        let mut nomination = None;
        if profile.filters.has(Plugin::DynamicResources) && !pod.class.claims_devices {
            diagnosis.post_filter.push(NO_CLAIMS.to_owned());
        }
        if profile.filters.has(Plugin::DefaultPreemption) {
            let budgets = self.budgets.values().collect();
            let (cluster, nominated) = (&self.cluster, &self.nominated);
            let preemption = Preemption { cluster, nominated, profile, budgets, now };
            let rejection = Rejection { diagnosis, asks };
            let outcome = preemption.decide(pod, &rejection, &mut self.random);
            diagnosis = rejection.diagnosis;
            match outcome {
                Outcome::Evict { node, victims } => {
                    let node = self.cluster.slot(node).name.clone();
                    nomination = Some(node.clone());
                    diagnosis.post_filter.clear();
                    self.evict(pod, node, &victims);
                }
                Outcome::Helpless { message, clears_nomination } => {
                    diagnosis.post_filter.push(message);
                    nomination = clears_nomination.then(Arc::default);
                }
            }
        }
        self.queue.fail(now, &pod.uid, diagnosis.plugins);
        let message = diagnosis.message(self.cluster.node_count());
        self.reject(now, pod, UNSCHEDULABLE, message, nomination);
    }

    fn evict(&mut self, pod: &Arc<Pod>, node: Arc<str>, victims: &[Arc<Pod>]) {
        // Pods of less importance that are nominated there have to look elsewhere.
        let lesser = |other: &&Arc<Pod>| other.class.priority < pod.class.priority;
        let displaced: Vec<_> = self.nominated.on(&node).iter().filter(lesser).cloned().collect();
        for other in displaced {
            self.nominated.remove(&other.uid);
            self.actions.push(Action::ClearNomination(PodRef::from(&*other)));
        }
        let victims: Vec<_> = victims
            .iter()
            .filter(|victim| !victim.terminating)
            .map(|victim| PodRef::from(&**victim))
            .collect();
        if victims.is_empty() {
            return;
        }
        self.preempting.insert(pod.uid.clone(), Preempting::default());
        let scheduler = pod.class.scheduler.clone();
        self.actions.push(Action::Evict { preemptor: PodRef::from(&**pod), scheduler, node, victims });
    }

    /// Tells that a pod goes nowhere, and to which node it is nominated from now on, if that changes.
    fn reject(
        &mut self,
        now: Timestamp,
        pod: &Arc<Pod>,
        reason: &'static str,
        message: String,
        nomination: Option<Arc<str>>,
    ) {
        // What was written last need not have been seen yet.
        let known = self.nominated.node_of(&pod.uid).cloned().unwrap_or_default();
        let nominated = nomination.filter(|node| *node != known || *node != pod.nominated);
        if let Some(node) = &nominated {
            self.nominate(now, pod, node);
        }
        let scheduler = pod.class.scheduler.clone();
        self.actions.push(Action::Reject {
            pod: PodRef::from(&**pod),
            scheduler,
            reason,
            message,
            nominated,
        });
    }

    /// Nominates a pod to a node; an empty name to none. What was promised to it elsewhere is free.
    fn nominate(&mut self, now: Timestamp, pod: &Arc<Pod>, node: &Arc<str>) {
        let before = self.nominated.remove(&pod.uid);
        self.nominated.set(pod, node);
        if let Some((_, before)) = before.filter(|(_, before)| before != node) {
            self.promise_broken(now, pod, before);
        }
    }

    /// Nominates a pod to no node any more.
    fn withdraw(&mut self, now: Timestamp, uid: &str) {
        if let Some((pod, node)) = self.nominated.remove(uid) {
            self.promise_broken(now, &pod, node);
        }
    }

    /// Eviction for a pod was asked for, or could not be.
    pub fn evicted(&mut self, now: Timestamp, uid: &str, result: Result<(), String>) {
        let Some(Preempting { helped }) = self.preempting.remove(uid) else { return };
        match result {
            Ok(()) if helped => self.queue.requeue(uid, now),
            Ok(()) => {}
            Err(_) => self.queue.activate(uid),
        }
    }

    /// Something happened: pods that it may help are tried again.
    fn happened(&mut self, now: Timestamp, event: Event<'_>) {
        let Self { cluster, profiles, queue, preempting, nominated, .. } = self;
        queue.requeue_if(now, event.interested(), |waiting| {
            let Some(profile) = profiles.get(&waiting.pod.class.scheduler) else { return false };
            let promised = nominated.node_of(&waiting.pod.uid);
            let helps = event.helps(cluster, profile, &waiting.pod, promised, waiting.rejectors);
            match preempting.get_mut(&waiting.pod.uid) {
                Some(preempting) => {
                    preempting.helped |= helps;
                    false
                }
                None => helps,
            }
        });
    }

    /// A place that was promised to a pod is free, as if it had been there and gone: pods that are no more
    /// important may take it.
    fn promise_broken(&mut self, now: Timestamp, pod: &Pod, node: Arc<str>) {
        let Self { cluster, profiles, queue, .. } = self;
        let gone = Pod { node, ..pod.clone() };
        let event = Event::PodDeleted(&gone);
        queue.requeue_if(now, event.interested(), |waiting| {
            let profile = profiles.get(&waiting.pod.class.scheduler);
            waiting.pod.class.priority <= gone.class.priority
                && profile.is_some_and(|profile| {
                    event.helps(cluster, profile, &waiting.pod, None, waiting.rejectors)
                })
        });
    }

    /// Binding a pod failed: it counts as gone from the node, and is tried again later.
    fn binding_failed(&mut self, now: Timestamp, binding: Binding, message: String) {
        let Binding { waiting, plan, .. } = binding;
        self.cluster.volumes.forget(&plan);
        if !self.cluster.is_assumed(&waiting.pod.uid) {
            // It was bound after all, and only the answer was lost; or it is gone.
            return;
        }
        if let Some(gone) = self.cluster.remove_pod(&waiting.pod.uid) {
            self.happened(now, Event::PodDeleted(&gone));
        }
        let pod = waiting.pod.clone();
        self.queue.restore(waiting);
        self.queue.fail(now, &pod.uid, PluginSet::EMPTY);
        self.reject(now, &pod, SCHEDULER_ERROR, message, Some(Arc::default()));
    }

    fn project(&mut self, pod: &api::core::v1::Pod) -> Arc<Pod> {
        static NOTHING: std::sync::LazyLock<AddedAffinity> = std::sync::LazyLock::new(AddedAffinity::default);
        let name = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
        let profile = self.profiles.get(name.unwrap_or(crate::DEFAULT_SCHEDULER_NAME));
        let added = profile.map_or(&*NOTHING, |profile| &profile.added_affinity);
        let pod = Pod::new(pod, added);
        self.shared.share(pod)
    }
}

#[cfg(test)]
mod tests;
