//! What a Deployment does next. Mirrors `pkg/controller/deployment/{sync,rolling,recreate,rollback}.go`; where
//! upstream writes, reads back and goes on, here a copy of the sets is changed and what changed is the plan.

use super::revision::{
    self, REVISION, ROLLBACK_TO, annotate, annotate_new, annotate_size, annotation, is_of,
};
use super::scaling::{self, Limits, desired_replicas, is_recreate};
use super::status;
use crate::workloads::hash::{POD_TEMPLATE_HASH, drop_hash, hash};
use crate::workloads::{pods, replicaset};
use api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use api::core::v1::Pod;
use api::meta::v1::ObjectMeta;
use api::{Object, owners};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest name of a ReplicaSet: a DNS subdomain.
const NAME_CHARACTERS_MAX: usize = 253;

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
struct Working {
    read: Option<Arc<ReplicaSet>>,
    wanted: ReplicaSet,
    events: Vec<String>,
}

struct Rollout {
    now: Timestamp,
    /// With the conditions and annotations that the plan gives it.
    deployment: Deployment,
    limits: Limits,
    /// By age, oldest first; a new one is last.
    sets: Vec<Working>,
    /// The place of the set of the current template.
    new: Option<usize>,
    /// The places of sets in the order in which they change.
    changed: Vec<usize>,
    pods: HashMap<String, Vec<Arc<Pod>>>,
    actions: Vec<Action>,
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

    fn old(&self) -> impl Iterator<Item = usize> + use<> {
        let new = self.new;
        (0..self.sets.len()).filter(move |place| Some(*place) != new)
    }

    fn size(&self, place: usize) -> i32 {
        replicaset::replicas(&self.sets[place].wanted)
    }

    fn total_size(&self) -> i32 {
        (0..self.sets.len()).map(|place| self.size(place)).sum()
    }

    /// The available pods of a set, without those that are about to go.
    fn available(&self, place: usize) -> i32 {
        let status = self.sets[place].wanted.status.as_ref();
        status.and_then(|status| status.available_replicas).unwrap_or_default().min(self.size(place))
    }

    /// Whether the status of a set is of its spec.
    fn is_observed(&self, place: usize) -> bool {
        let set = &self.sets[place].wanted;
        let observed = set.status.as_ref().and_then(|status| status.observed_generation);
        observed.unwrap_or_default() >= set.metadata.generation.unwrap_or_default()
    }

    /// The status as it is by now, to change.
    fn status(&mut self) -> &mut DeploymentStatus {
        self.deployment.status.get_or_insert_default()
    }

    fn status_or_default(&self) -> DeploymentStatus {
        self.deployment.status.clone().unwrap_or_default()
    }

    fn touch(&mut self, place: usize) {
        if !self.changed.contains(&place) {
            self.changed.push(place);
        }
    }

    /// Notes a pause, or its end, so that it does not count against the deadline.
    fn note_pause(&mut self) {
        let status = self.status_or_default();
        let reason =
            status::find(&status, status::PROGRESSING).and_then(|condition| condition.reason.as_deref());
        if status::deadline(&self.deployment).is_none() || reason == Some(status::TIMED_OUT) {
            return;
        }
        let paused = self.deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true));
        let (reason, text) = match (paused, reason == Some(status::PAUSED)) {
            (true, false) => (status::PAUSED, "Deployment is paused"),
            (false, true) => (status::RESUMED, "Deployment is resumed"),
            _ => return,
        };
        let condition = status::condition(self.now, status::PROGRESSING, "Unknown", reason, text.to_owned());
        status::set(self.status(), condition);
    }

    /// Brings annotations of the new set up to date, if there is one.
    fn sync_revision(&mut self) {
        let Some(place) = self.new else { return };
        let next = self.next_revision();
        let seconds = self.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let set = &mut self.sets[place].wanted;
        let mut changed = annotate_new(&self.deployment, set, next);
        if let Some(spec) = set
            .spec
            .as_mut()
            .filter(|spec| spec.min_ready_seconds.unwrap_or_default() != seconds.unwrap_or_default())
        {
            spec.min_ready_seconds = seconds;
            changed = true;
        }
        let (name, revision) =
            (set.name().to_owned(), annotation(&set.metadata, REVISION).map(str::to_owned));
        if changed {
            self.touch(place);
        }
        if let Some(revision) = revision {
            annotate(&mut self.deployment.metadata, REVISION, &revision);
        }
        let known = status::find(&self.status_or_default(), status::PROGRESSING).is_some();
        if status::deadline(&self.deployment).is_some() && !known {
            let text = format!("Found new replica set {name:?}");
            let condition = status::condition(self.now, status::PROGRESSING, "True", status::FOUND, text);
            status::set(self.status(), condition);
        }
    }

    fn next_revision(&self) -> i64 {
        let past = self.old().filter_map(|place| revision::revision(&self.sets[place].wanted)).max();
        past.unwrap_or_default().max(0).saturating_add(1)
    }

    /// Makes the set of the current template, if there is none.
    fn create_new(&mut self) {
        if self.new.is_some() {
            return;
        }
        let revision = self.next_revision();
        let mut set = new_set(&self.deployment);
        let size = if is_recreate(&self.deployment) {
            self.limits.replicas
        } else {
            self.limits.new_size(0, self.total_size())
        };
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(size);
        }
        annotate_new(&self.deployment, &mut set, revision);
        annotate_size(&mut set, self.limits.replicas, self.limits.most());
        annotate(&mut self.deployment.metadata, REVISION, &revision.to_string());
        if status::deadline(&self.deployment).is_some() {
            let text = format!("Created new replica set {:?}", set.name());
            let condition = status::condition(self.now, status::PROGRESSING, "True", status::CREATED, text);
            status::set(self.status(), condition);
        }
        let event = (size > 0).then(|| format!("Scaled up replica set {} from 0 to {size}", set.name()));
        let place = self.sets.len();
        self.sets.push(Working { read: None, wanted: set, events: event.into_iter().collect() });
        self.touch(place);
        self.new = Some(place);
    }

    /// Gives a set a size; whether that is another than it had.
    fn resize(&mut self, place: usize, size: i32) -> bool {
        let old = self.size(place);
        if old == size {
            return false;
        }
        self.note_size(place);
        let set = &mut self.sets[place];
        let way = if old < size { "up" } else { "down" };
        set.events.push(format!("Scaled {way} replica set {} from {old} to {size}", set.wanted.name()));
        set.wanted.spec.get_or_insert_default().replicas = Some(size);
        self.touch(place);
        true
    }

    /// Notes on a set what size of the whole it was scaled for.
    fn note_size(&mut self, place: usize) {
        if annotate_size(&mut self.sets[place].wanted, self.limits.replicas, self.limits.most()) {
            self.touch(place);
        }
    }

    /// Whether somebody changed the Deployment's size since its sets were last scaled.
    fn was_scaled(&self) -> bool {
        (0..self.sets.len()).filter(|place| self.size(*place) > 0).any(|place| {
            desired_replicas(&self.sets[place].wanted).is_some_and(|size| size != self.limits.replicas)
        })
    }

    /// Follows the Deployment's size: by the only set that has pods, or by all in proportion.
    fn scale(&mut self) {
        let mut active: Vec<usize> = (0..self.sets.len()).filter(|place| self.size(*place) > 0).collect();
        let latest = || self.new.or_else(|| self.old().last());
        let only = match active[..] {
            [] => latest(),
            [one] => Some(one),
            _ => None,
        };
        if active.len() < 2 {
            if let Some(place) = only.filter(|place| self.size(*place) != self.limits.replicas) {
                self.resize(place, self.limits.replicas);
            }
            return;
        }
        if self.new.is_some_and(|place| self.is_saturated(place)) {
            for place in self.old().filter(|place| active.contains(place)).collect::<Vec<_>>() {
                self.resize(place, 0);
            }
            return;
        }
        if is_recreate(&self.deployment) {
            return;
        }
        let allowed = if self.limits.replicas > 0 { self.limits.most() } else { 0 };
        let to_add = allowed - active.iter().map(|place| self.size(*place)).sum::<i32>();
        // What is left over by rounding goes to the largest; among equals to the newest when growing, taken
        // from the oldest when shrinking.
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|place| std::cmp::Reverse(self.size(*place)));
        let status_replicas = self.status_or_default().replicas.unwrap_or_default();
        let mut added = 0;
        let mut sizes = Vec::new();
        for place in active {
            let set = &self.sets[place].wanted;
            let share = scaling::proportion(self.limits, set, status_replicas, to_add, added);
            sizes.push((place, self.size(place) + share));
            added += share;
        }
        if let Some((_, size)) = sizes.first_mut().filter(|_| to_add != 0) {
            *size = (*size + to_add - added).max(0);
        }
        for (place, size) in sizes {
            self.note_size(place);
            self.resize(place, size);
        }
    }

    fn is_saturated(&self, place: usize) -> bool {
        let wanted = self.limits.replicas;
        self.size(place) == wanted
            && desired_replicas(&self.sets[place].wanted) == Some(wanted)
            && self.available(place) == wanted
    }

    /// One step of a rolling update: first up, then down.
    fn roll(&mut self) {
        self.create_new();
        let Some(new) = self.new else { return };
        let size = self.size(new);
        let wanted = if size > self.limits.replicas {
            self.limits.replicas
        } else {
            self.limits.new_size(size, self.total_size())
        };
        if size != self.limits.replicas && self.resize(new, wanted) {
            return;
        }
        if self.shrink_old(new) {
            return;
        }
        self.clean_up_when_complete();
    }

    /// Takes pods off old sets, so many that enough stay available: first those that are not available anyway.
    /// While a set has yet to follow its last change, nobody knows how many are (upstream does not wait, and can
    /// take away too many).
    fn shrink_old(&mut self, new: usize) -> bool {
        if (0..self.sets.len()).any(|place| !self.is_observed(place)) {
            return false;
        }
        let old: Vec<usize> = self.old().filter(|place| self.size(*place) > 0).collect();
        let fewest = self.limits.fewest_available();
        let new_unavailable = self.size(new) - self.available(new);
        let mut to_clean = self.total_size() - fewest - new_unavailable;
        if old.is_empty() || to_clean <= 0 {
            return false;
        }
        let mut shrunk = false;
        for &place in &old {
            let unhealthy = (self.size(place) - self.available(place)).clamp(0, to_clean);
            if unhealthy > 0 {
                shrunk |= self.resize(place, self.size(place) - unhealthy);
                to_clean -= unhealthy;
            }
        }
        let mut to_shrink = (0..self.sets.len())
            .filter(|place| *place == new || old.contains(place))
            .map(|place| self.available(place))
            .sum::<i32>()
            - fewest;
        for &place in &old {
            let count = self.size(place).min(to_shrink);
            if count > 0 {
                shrunk |= self.resize(place, self.size(place) - count);
                to_shrink -= count;
            }
        }
        shrunk
    }

    /// One step of replacing all at once: old pods first have to be gone.
    fn recreate(&mut self) {
        let mut shrunk = false;
        for place in self.old().filter(|place| self.size(*place) > 0).collect::<Vec<_>>() {
            shrunk |= self.resize(place, 0);
        }
        if shrunk || self.old_pods_run() {
            return;
        }
        self.create_new();
        if let Some(new) = self.new.filter(|new| self.size(*new) != self.limits.replicas) {
            self.resize(new, self.limits.replicas);
        }
        self.clean_up_when_complete();
    }

    fn old_pods_run(&self) -> bool {
        self.old().any(|place| {
            let set = &self.sets[place].wanted;
            set.status.as_ref().is_some_and(|status| status.replicas > 0)
                || self.pods.get(set.uid()).into_iter().flatten().any(|pod| !api::pods::is_terminal(pod))
        })
    }

    fn clean_up_when_complete(&mut self) {
        if status::is_complete(&self.deployment, &self.status_or_default()) {
            self.clean_up();
        }
    }

    /// Deletes the oldest sets beyond the history's limit, if they are empty and known to be.
    fn clean_up(&mut self) {
        let limit = self.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return };
        let mut old: Vec<Arc<ReplicaSet>> =
            self.old().filter_map(|place| self.sets[place].read.clone()).filter(|set| !goes(set)).collect();
        // Stable: the sets are by age, which decides where revisions do not.
        old.sort_by_key(|set| revision::revision(set).unwrap_or_default());
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        for set in old.into_iter().take(surplus).filter(|set| is_empty(set)) {
            self.actions.push(Action::Delete(set));
        }
    }

    /// Goes back to an earlier revision (0: the one before). Only what wrote `extensions/v1beta1` asks for it so;
    /// `kubectl rollout undo` patches the template itself.
    fn roll_back(&mut self, to: i64) {
        self.sync_revision();
        let mut wanted = self.deployment.clone();
        wanted.metadata.annotations.get_or_insert_default().remove(ROLLBACK_TO);
        let name = self.deployment.name().to_owned();
        let sets = || self.sets.iter().map(|set| &set.wanted);
        let to = if to == 0 { revision::last_revision(sets()) } else { to };
        let found = sets().find(|set| to != 0 && revision::revision(set) == Some(to));
        let event = match found {
            None if to == 0 => {
                (true, "DeploymentRollbackRevisionNotFound", "Unable to find last revision.".to_owned())
            }
            None => {
                let text = "Unable to find the revision to rollback to.";
                (true, "DeploymentRollbackRevisionNotFound", text.to_owned())
            }
            Some(set) if is_of(&self.deployment, set) => {
                let text = format!(
                    "The rollback revision contains the same template as current deployment {name:?}"
                );
                (true, "DeploymentRollbackTemplateUnchanged", text)
            }
            Some(set) => {
                let mut template =
                    set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
                if let Some(meta) = &mut template.metadata {
                    meta.labels = meta.labels.take().map(drop_hash);
                }
                wanted.spec.get_or_insert_default().template = template;
                wanted.metadata.annotations =
                    Some(revision::annotations_after_rollback(&wanted.metadata, &set.metadata));
                (false, "DeploymentRollback", format!("Rolled back deployment {name:?} to revision {to}"))
            }
        };
        self.actions.push(Action::Replace(Box::new(wanted)));
        self.actions.push(Action::Event(event.0, event.1, event.2));
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

fn goes(set: &ReplicaSet) -> bool {
    set.metadata.deletion_timestamp.is_some()
}

fn is_empty(set: &ReplicaSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    replicaset::replicas(set) == 0
        && status.replicas == 0
        && status.observed_generation.unwrap_or_default() >= set.metadata.generation.unwrap_or_default()
}

/// The set of the Deployment's template, without a size.
fn new_set(deployment: &Deployment) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = hash(&spec.template, collisions);
    let (mut template, mut selector) = (spec.template, spec.selector);
    let meta = template.metadata.get_or_insert_default();
    meta.labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
    let labels = meta.labels.clone();
    selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
    let mut base = deployment.name();
    let room = NAME_CHARACTERS_MAX - 1 - hash.len();
    base = base.get(..room).unwrap_or(base);
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}{hash}", pods::name_prefix(base))),
            namespace: deployment.metadata.namespace.clone(),
            labels,
            owner_references: Some(vec![owners::controller_reference(deployment)]),
            ..Default::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }
}
