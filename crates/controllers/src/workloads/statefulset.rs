//! StatefulSets: pods with a name and storage each. Mirrors `pkg/controller/statefulset`.
//!
//! Watches StatefulSets, their ControllerRevisions, pods and claims; owns the pods and revisions whose controller
//! a StatefulSet is, the owners of their claims where the retention policy says so, and the StatefulSet's
//! status. `plan` decides.

mod identity;
mod plan;
mod retention;

use super::claim::{Claim, claim};
use super::control::{self, PodControl};
use super::history::{self, History, Revisions, Subject, template_of};
use super::written::Written;
use super::{patch, pods};
use crate::context::{Context, Tasks, spawn};
use api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec};
use api::core::v1::{PersistentVolumeClaim, Pod};
use api::{Key, Object, Selector};
use client::{Error, Patch};
use futures_util::future::BoxFuture;
use plan::{Action, Revision, World};
use reconcile::{EventKind, Next, Queue, Reconcile, Result};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const ACCOUNT: &str = "statefulset-controller";

/// The label of pods that names the revision of their template.
const REVISION: &str = "controller-revision-hash";
/// The label of revisions that has their hash.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";

/// How many StatefulSets are looked at at a time: upstream's `--concurrent-statefulset-syncs`.
const WORKERS: usize = 5;

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let (sets, pods) = (context.informers.get::<StatefulSet>(), context.informers.get::<Pod>());
    let claims = context.informers.get::<PersistentVolumeClaim>();
    let revisions = context.informers.get::<ControllerRevision>();
    control::index(&pods);
    let queue = Queue::new();
    control::follow(&sets, &queue);
    let selector = |set: &StatefulSet| set.spec.as_ref().map(|spec| spec.selector.clone());
    control::follow_owned(&pods, &sets, &queue, selector);
    control::follow_owned(&revisions, &sets, &queue, selector);
    let client = context.client(ACCOUNT);
    let controller = Controller {
        control: PodControl {
            client: client.clone(),
            recorder: context.recorder(ACCOUNT, ACCOUNT),
            clock: context.clock.clone(),
            pods: Written::new(pods.clone()),
        },
        history: History::new(client, context.clock.clone(), revisions.clone()),
        sets: Written::new(sets.clone()),
        claims: Written::new(claims.clone()),
    };
    let synced = async move {
        sets.synced().await;
        pods.synced().await;
        claims.synced().await;
        revisions.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

struct Controller {
    control: PodControl,
    history: History,
    sets: Written<StatefulSet>,
    claims: Written<PersistentVolumeClaim>,
}

impl Reconcile for Controller {
    fn name(&self) -> &'static str {
        ACCOUNT
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result> {
        Box::pin(self.look(key))
    }
}

impl Controller {
    async fn look(&self, key: Key) -> Result {
        let Some(set) = self.sets.get(&key) else {
            self.sets.forget(&key);
            self.claims.forget(&key);
            self.control.pods.forget(&key);
            self.history.forget(&key);
            return Ok(Next::Done);
        };
        let spec = set.spec.clone().unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let subject = Subject {
            owner: &*set,
            selector: &spec.selector,
            template: &spec.template,
            collisions: status.collision_count,
            label: REVISION_HASH,
        };
        let revisions = self.history.sync(&subject).await?;
        let (current, update) = named(&revisions, status.current_revision.as_deref(), &spec);
        self.claim_pods(&set, &spec).await?;
        let now = self.control.now();
        let (pods, claims) = (self.mine(&set, &spec), self.claims_of(&set));
        let world =
            World { now, set: &set, pods: &pods, claims: &claims, current: &current, update: &update };
        let acted = self.act(&set, &plan::plan(&world)).await;
        let after = self.mine(&set, &spec);
        let new = plan::status(&World { pods: &after, ..world }, revisions.collisions);
        if let Some(patch) = patch::status(&*set, &status, &new) {
            let client = &self.control.client;
            let patch = Patch::Update(patch);
            let patched = client.patch_subresource(&key.namespace, &key.name, "status", &patch).await?;
            self.sets.stored(&key, patched);
        }
        acted?;
        let live = history::label_values(&after, REVISION);
        let is_live =
            |revision: &ControllerRevision| revision.name() == current.name || live.contains(revision.name());
        let limit = spec.revision_history_limit.unwrap_or(10);
        self.history.truncate(&*set, &revisions.old, limit, is_live).await?;
        let wait = pods::next_available(now, &after, plan::min_ready_seconds(&set));
        Ok(wait.map_or(Next::Done, Next::After))
    }

    /// Adopts and releases pods: only those that have a name of the set are its.
    async fn claim_pods(&self, set: &StatefulSet, spec: &StatefulSetSpec) -> std::result::Result<(), Error> {
        let (mut adopt, mut release) = (Vec::new(), Vec::new());
        for pod in self.control.owned_and_orphans(set) {
            match claim(&set.metadata, &pod.metadata, is_member(set, spec, &pod)) {
                Claim::Adopt => adopt.push(pod),
                Claim::Release => release.push(pod),
                Claim::Own | Claim::Ignore => {}
            }
        }
        self.control.adopt(set, &adopt, &[]).await?;
        self.control.release(set, &release, &[]).await
    }

    fn mine(&self, set: &StatefulSet, spec: &StatefulSetSpec) -> Vec<Arc<Pod>> {
        let pods = self.control.owned_and_orphans(set).into_iter();
        pods.filter(|pod| claim(&set.metadata, &pod.metadata, is_member(set, spec, pod)) == Claim::Own)
            .collect()
    }

    /// The claims of all ordinals that are or have pods.
    fn claims_of(&self, set: &StatefulSet) -> BTreeMap<String, Arc<PersistentVolumeClaim>> {
        let pods = self.control.owned_and_orphans(set);
        let mut ordinals: BTreeSet<i32> = identity::ordinals(set).collect();
        ordinals.extend(pods.iter().filter_map(|pod| identity::ordinal(set, pod)));
        let names: Vec<String> =
            ordinals.into_iter().flat_map(|ordinal| identity::claim_names(set, ordinal)).collect();
        let namespace = set.namespace();
        let claims = self
            .claims
            .see(&set.key(), |lister| names.iter().filter_map(|name| lister.get(namespace, name)).collect());
        claims.into_iter().map(|claim| (claim.name().to_owned(), claim)).collect()
    }

    async fn act(&self, set: &StatefulSet, actions: &[Action]) -> std::result::Result<(), Error> {
        for action in actions {
            match action {
                Action::Create(ordinal, pod) => self.create(set, *ordinal, pod).await?,
                Action::CreateClaims(ordinal, pod) => self.create_claims(set, *ordinal, pod).await?,
                Action::OwnClaims(ordinal, pod) => {
                    let owned = self.own_claims(set, *ordinal, pod).await;
                    owned.inspect_err(|error| self.tell(set, pod, "Update", Some(error)))?;
                }
                Action::Identify(ordinal, pod) => {
                    let labels: BTreeMap<_, _> = identity::identity_labels(set, *ordinal).into();
                    let patch = json!({ "metadata": { "uid": pod.uid(), "labels": labels } });
                    let patched = self.control.patch(set, pod, patch).await;
                    self.tell(set, pod, "Update", patched.as_ref().err());
                    patched?;
                }
                Action::Delete(pod) => self.delete(set, pod).await?,
            }
        }
        Ok(())
    }

    async fn create(&self, set: &StatefulSet, ordinal: i32, pod: &Pod) -> std::result::Result<(), Error> {
        let claimed = self.create_claims(set, ordinal, pod).await;
        claimed.inspect_err(|error| self.tell(set, pod, "Create", Some(error)))?;
        let made = self.control.client.create(pod).await;
        match &made {
            // It is in the way, or was made a moment ago: what it is will be seen.
            Err(error) if error.is_already_exists() => {}
            Err(error) if error.is_namespace_terminating() => return Ok(()),
            other => self.tell(set, pod, "Create", other.as_ref().err()),
        }
        let made = self.control.pods.stored(&set.key(), made?);
        self.own_claims(set, ordinal, &made).await
    }

    async fn create_claims(
        &self,
        set: &StatefulSet,
        ordinal: i32,
        pod: &Pod,
    ) -> std::result::Result<(), Error> {
        let present = self.claims_of(set);
        for claim in identity::claims(set, ordinal) {
            if let Some(present) = present.get(claim.name()) {
                if present.metadata.deletion_timestamp.is_some() {
                    return Err(Error::Other(format!("pvc {} is being deleted", claim.name())));
                }
                continue;
            }
            let words = format!("Claim {} Pod {} in StatefulSet {}", claim.name(), pod.name(), set.name());
            match self.control.client.create(&claim).await {
                Ok(made) => {
                    self.claims.stored(&set.key(), made);
                    let text = format!("Create {words} success");
                    self.control.tell(set, EventKind::Normal, "SuccessfulCreate", &text);
                }
                Err(error) if error.is_already_exists() => return Err(error),
                Err(error) => {
                    let words = words.replacen(" Pod ", " for Pod ", 1);
                    let text = format!("Create {words} failed error: {error}");
                    self.control.tell(set, EventKind::Warning, "FailedCreate", &text);
                    return Err(Error::Other(format!("failed to create PVC {}: {error}", claim.name())));
                }
            }
        }
        Ok(())
    }

    async fn own_claims(&self, set: &StatefulSet, ordinal: i32, pod: &Pod) -> std::result::Result<(), Error> {
        let present = self.claims_of(set);
        for claim in identity::claim_names(set, ordinal).filter_map(|name| present.get(&name)) {
            if retention::is_conflicting(claim, set, pod) {
                let text = format!(
                    "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, \
                     the retention policy is ignored for this claim",
                    claim.name()
                );
                self.control.tell(set, EventKind::Warning, "ConflictingController", &text);
            }
            let Some(owners) = retention::wanted_owners(claim, set, pod) else { continue };
            let mut wanted = PersistentVolumeClaim::clone(claim);
            wanted.metadata.owner_references = Some(owners).filter(|owners| !owners.is_empty());
            let Some(patch) = patch::update(&**claim, &wanted) else { continue };
            let patch = Patch::Update(patch);
            let patched = self.control.client.patch(claim.namespace(), claim.name(), &patch).await;
            let failed = |error: Error| {
                let name = claim.name();
                Error::Other(format!("could not update claim {name} for delete policy ownerRefs: {error}"))
            };
            self.claims.stored(&set.key(), patched.map_err(failed)?);
        }
        Ok(())
    }

    async fn delete(&self, set: &StatefulSet, pod: &Pod) -> std::result::Result<(), Error> {
        let deleted = self.control.delete_quietly(set, pod).await;
        self.tell(set, pod, "Delete", deleted.as_ref().err());
        deleted
    }

    fn tell(&self, set: &StatefulSet, pod: &Pod, verb: &str, error: Option<&Error>) {
        let words = format!("{verb} Pod {} in StatefulSet {}", pod.name(), set.name());
        let (kind, reason, text) = match error {
            None => (EventKind::Normal, format!("Successful{verb}"), format!("{words} successful")),
            Some(error) => {
                (EventKind::Warning, format!("Failed{verb}"), format!("{words} failed error: {error}"))
            }
        };
        self.control.tell(set, kind, &reason, &text);
    }
}

/// The revision that the set's pods have had, and the one that they are to get.
fn named(revisions: &Revisions, current: Option<&str>, spec: &StatefulSetSpec) -> (Revision, Revision) {
    let update = Revision { name: revisions.current.name().to_owned(), template: spec.template.clone() };
    let past = revisions.old.iter().find(|revision| Some(revision.name()) == current);
    let past = past.and_then(|revision| {
        Some(Revision { name: revision.name().to_owned(), template: template_of(revision)? })
    });
    (past.unwrap_or_else(|| update.clone()), update)
}

fn is_member(set: &StatefulSet, spec: &StatefulSetSpec, pod: &Pod) -> bool {
    identity::ordinal(set, pod).is_some()
        && Selector::try_from(&spec.selector)
            .is_ok_and(|selector| selector.matches(pod.metadata.labels.as_ref()))
}

#[cfg(test)]
mod tests;
