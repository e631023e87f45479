//! What a Deployment does next. Mirrors `pkg/controller/deployment/{sync,rolling,recreate,rollback}.go`; where
//! upstream writes, reads back and goes on, here a copy of the sets is changed and what changed is the plan.

use super::revision::{REVISION, ROLLBACK_TO, annotation, is_of};
use super::scaling::{Limits, is_recreate};
use super::status;
use crate::workloads::replicaset;
use api::Object;
use api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use api::core::v1::Pod;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What is decided on.
pub(super) struct World<'a> {
    pub(super) now: Timestamp,
    pub(super) deployment: &'a Deployment,
    /// The ReplicaSets that it controls.
    pub(super) sets: Vec<Arc<ReplicaSet>>,
    /// Their pods, by the set's UID.
    pub(super) pods: HashMap<String, Vec<Arc<Pod>>>,
}

/// One step; a step that fails ends the plan.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Make a ReplicaSet.
    Create(Box<ReplicaSet>, Option<String>),
    /// Change one, and tell of how it was scaled.
    Update(Arc<ReplicaSet>, Box<ReplicaSet>, Vec<String>),
    /// Delete one that is history.
    Delete(Arc<ReplicaSet>),
    /// Change the Deployment itself: its template and annotations after a rollback.
    Replace(Box<Deployment>),
    /// Tell of something: whether it is a warning, its reason, its text.
    Event(bool, &'static str, String),
}

/// What is decided.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    /// The status when all that is done.
    pub(super) status: DeploymentStatus,
    /// The Deployment's revision by then.
    pub(super) revision: Option<String>,
    /// When to look again although nothing happened.
    pub(super) again: Option<Duration>,
}

/// Decides.
pub(super) fn plan(world: World<'_>) -> Plan {
    let mut rollout = Rollout::new(world);
    let spec = rollout.deployment.spec.clone().unwrap_or_default();
    let everything = spec.selector.match_labels.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
        && spec.selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    if everything {
        let text = "This deployment is selecting all pods. A non-empty selector is required.";
        rollout.actions.push(Action::Event(true, "SelectingAll", text.to_owned()));
        let mut status = rollout.status_or_default();
        status.observed_generation = rollout.deployment.metadata.generation;
        return rollout.finish(status);
    }
    if rollout.deployment.metadata.deletion_timestamp.is_some() {
        rollout.sync_revision();
        return rollout.finish_counted();
    }
    rollout.note_pause();
    if spec.paused == Some(true) {
        rollout.sync_revision();
        rollout.scale();
        rollout.clean_up();
        return rollout.finish_counted();
    }
    let rollback = annotation(&rollout.deployment.metadata, ROLLBACK_TO);
    if let Some(revision) = rollback.and_then(|text| text.parse().ok()) {
        rollout.roll_back(revision);
        return rollout.finish_counted();
    }
    rollout.sync_revision();
    if rollout.was_scaled() {
        rollout.scale();
        return rollout.finish_counted();
    }
    if is_recreate(&rollout.deployment) {
        rollout.recreate()
    } else {
        rollout.roll()
    }
    rollout.finish_with_progress()
}

/// A ReplicaSet, as read and as wanted.
pub(super) struct Working {
    pub(super) read: Option<Arc<ReplicaSet>>,
    pub(super) wanted: ReplicaSet,
    pub(super) events: Vec<String>,
}

pub(super) struct Rollout {
    pub(super) now: Timestamp,
    /// With the conditions and annotations that the plan gives it.
    pub(super) deployment: Deployment,
    pub(super) limits: Limits,
    /// By age, oldest first; a new one is last.
    pub(super) sets: Vec<Working>,
    /// The place of the set of the current template.
    pub(super) new: Option<usize>,
    /// The places of sets in the order in which they change.
    pub(super) changed: Vec<usize>,
    pub(super) pods: HashMap<String, Vec<Arc<Pod>>>,
    pub(super) actions: Vec<Action>,
}

impl Rollout {
    fn new(world: World<'_>) -> Self {
        let mut sets: Vec<Working> = world
            .sets
            .into_iter()
            .map(|set| Working { wanted: ReplicaSet::clone(&set), read: Some(set), events: Vec::new() })
            .collect();
        sets.sort_by(|one, other| by_age(&one.wanted).cmp(&by_age(&other.wanted)));
        let new = sets.iter().position(|set| is_of(world.deployment, &set.wanted));
        Self {
            now: world.now,
            limits: Limits::of(world.deployment),
            deployment: world.deployment.clone(),
            sets,
            new,
            changed: Vec::new(),
            pods: world.pods,
            actions: Vec::new(),
        }
    }

    pub(super) fn old(&self) -> impl Iterator<Item = usize> + use<> {
        let new = self.new;
        (0..self.sets.len()).filter(move |place| Some(*place) != new)
    }

    pub(super) fn size(&self, place: usize) -> i32 {
        replicaset::replicas(&self.sets[place].wanted)
    }

    pub(super) fn total_size(&self) -> i32 {
        (0..self.sets.len()).map(|place| self.size(place)).sum()
    }

    /// The available pods of a set, without those that are about to go.
    pub(super) fn available(&self, place: usize) -> i32 {
        let status = self.sets[place].wanted.status.as_ref();
        status.and_then(|status| status.available_replicas).unwrap_or_default().min(self.size(place))
    }

    /// Whether the status of a set is of its spec.
    pub(super) fn is_observed(&self, place: usize) -> bool {
        let set = &self.sets[place].wanted;
        let observed = set.status.as_ref().and_then(|status| status.observed_generation);
        observed.unwrap_or_default() >= set.metadata.generation.unwrap_or_default()
    }

    /// The status as it is by now, to change.
    pub(super) fn status(&mut self) -> &mut DeploymentStatus {
        self.deployment.status.get_or_insert_default()
    }

    pub(super) fn status_or_default(&self) -> DeploymentStatus {
        self.deployment.status.clone().unwrap_or_default()
    }

    pub(super) fn touch(&mut self, place: usize) {
        if !self.changed.contains(&place) {
            self.changed.push(place);
        }
    }

    fn finish_counted(self) -> Plan {
        let status = self.told(status::counts);
        self.finish(status)
    }

    fn finish_with_progress(self) -> Plan {
        let status = self.told(status::progress);
        self.finish(status)
    }

    fn told(
        &self,
        tell: impl Fn(Timestamp, &Deployment, &[&ReplicaSet], Option<&ReplicaSet>) -> DeploymentStatus,
    ) -> DeploymentStatus {
        let sets: Vec<&ReplicaSet> = self.sets.iter().map(|set| &set.wanted).collect();
        tell(self.now, &self.deployment, &sets, self.new.map(|place| sets[place]))
    }

    fn finish(mut self, status: DeploymentStatus) -> Plan {
        let mut actions = Vec::new();
        for place in std::mem::take(&mut self.changed) {
            let Working { read, wanted, mut events } = std::mem::replace(
                &mut self.sets[place],
                Working { read: None, wanted: ReplicaSet::default(), events: Vec::new() },
            );
            actions.push(match read {
                None => Action::Create(Box::new(wanted), events.pop()),
                Some(read) => Action::Update(read, Box::new(wanted), events),
            });
        }
        actions.append(&mut self.actions);
        let again = status::look_again(self.now, &self.deployment, &status);
        let revision = annotation(&self.deployment.metadata, REVISION).map(str::to_owned);
        Plan { actions, status, revision, again }
    }
}

fn by_age(set: &ReplicaSet) -> (Option<Timestamp>, &str) {
    (set.metadata.creation_timestamp.as_ref().map(|time| time.0), set.name())
}
