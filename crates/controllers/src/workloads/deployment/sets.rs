//! The sets of a rollout: the one of the current template, their revisions and sizes.

use super::plan::{Rollout, Working};
use super::revision::{self, REVISION, annotate, annotate_new, annotate_size, annotation};
use super::scaling::is_recreate;
use super::status;
use crate::workloads::hash::{POD_TEMPLATE_HASH, hash};
use crate::workloads::pods;
use api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use api::meta::v1::ObjectMeta;
use api::{Object, owners};

/// The longest name of a ReplicaSet: a DNS subdomain.
const NAME_CHARACTERS_MAX: usize = 253;

impl Rollout {
    /// Notes a pause, or its end, so that it does not count against the deadline.
    pub(super) fn note_pause(&mut self) {
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
    pub(super) fn sync_revision(&mut self) {
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

    pub(super) fn next_revision(&self) -> i64 {
        let past = self.old().filter_map(|place| revision::revision(&self.sets[place].wanted)).max();
        past.unwrap_or_default().max(0).saturating_add(1)
    }

    /// Makes the set of the current template, if there is none.
    pub(super) fn create_new(&mut self) {
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
    pub(super) fn resize(&mut self, place: usize, size: i32) -> bool {
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
    pub(super) fn note_size(&mut self, place: usize) {
        if annotate_size(&mut self.sets[place].wanted, self.limits.replicas, self.limits.most()) {
            self.touch(place);
        }
    }
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
