//! Binds claims to volumes, and says what becomes of volumes whose claims are gone.
//!
//! Watches PersistentVolumes, PersistentVolumeClaims, StorageClasses and, for what it tells, Pods. Owns
//! `spec.claimRef` and `status.phase` of volumes, `spec.volumeName` and the status of claims, the annotations
//! `pv.kubernetes.io/bind-completed` and `bound-by-controller`, and those that ask a driver to provision.
//! Claims that wait for their first consumer are bound by the scheduler. A binding is four writes, each of
//! which can be the last for now: what is missing is made up for the next time. What is to be done is decided
//! in [`plan`].
//!
//! Upstream: `pkg/controller/volume/persistentvolume`. No volume plugin of this process makes or deletes
//! volumes: that is for CSI drivers.

mod bind;
mod find;
mod plan;
#[cfg(test)]
mod tests;

use super::volume_protection::ephemeral_claim;
use crate::context::{Context, Tasks, spawn};
use api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use api::storage::v1::StorageClass;
use api::{Key, Object};
use client::{Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use plan::{ClaimPlan, Note, VolumePlan};
use reconcile::{Next, Queue, Reconcile, Recorder};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// One: two claims must not be given the same volume.
const WORKERS: usize = 1;
/// How often a claim or volume that waits is looked at, as `--pvclaimbinder-sync-period`.
const RESYNC: Duration = Duration::from_secs(15);

/// Starts the controller. Keys with a namespace are claims, those without are volumes.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let volumes = context.informers.get::<PersistentVolume>();
    let claims = context.informers.get::<PersistentVolumeClaim>();
    let classes = context.informers.get::<StorageClass>();
    let pods = context.informers.get::<Pod>();
    let (changed, waiting) = (queue.clone(), claims.clone());
    volumes.subscribe(move |change| {
        let volume = change.object();
        changed.add(volume.key());
        match volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) {
            Some(claim) => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                changed.add(Key::new(text(&claim.namespace), text(&claim.name)));
            }
            // It may be what one of them waits for.
            None => enqueue_unbound(&waiting, &changed),
        }
    });
    let changed = queue.clone();
    claims.subscribe(move |change| {
        let claim = change.object();
        changed.add(claim.key());
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        if !volume.is_empty() {
            changed.add(Key::new("", volume));
        }
    });
    let (changed, waiting) = (queue.clone(), claims.clone());
    classes.subscribe(move |_| enqueue_unbound(&waiting, &changed));
    let controller = Binder {
        client: context.client("persistent-volume-binder"),
        recorder: context.recorder("persistent-volume-binder", "persistentvolume-controller"),
        volumes: volumes.clone(),
        claims: claims.clone(),
        classes: classes.clone(),
        pods: pods.clone(),
    };
    let synced = async move {
        volumes.synced().await;
        claims.synced().await;
        classes.synced().await;
        pods.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn enqueue_unbound(claims: &Lister<PersistentVolumeClaim>, queue: &Queue) {
    for claim in claims.list() {
        if claim.spec.as_ref().is_none_or(|spec| spec.volume_name.as_deref().unwrap_or_default().is_empty()) {
            queue.add(claim.key());
        }
    }
}

struct Binder {
    client: Client,
    recorder: Recorder,
    volumes: Lister<PersistentVolume>,
    claims: Lister<PersistentVolumeClaim>,
    classes: Lister<StorageClass>,
    pods: Lister<Pod>,
}

impl Reconcile for Binder {
    fn name(&self) -> &'static str {
        "persistentvolume-binder"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            if key.namespace.is_empty() { self.volume(&key.name).await } else { self.claim(&key).await }
        })
    }
}

impl Binder {
    async fn claim(&self, key: &Key) -> reconcile::Result {
        let Some(claim) = self.claims.get_key(key) else { return Ok(Next::Done) };
        match self.plan(&claim).map_err(Error::Other)? {
            ClaimPlan::Bind(volume) => {
                self.bind(&volume, &claim).await?;
                Ok(Next::Done)
            }
            ClaimPlan::Phase { phase, note } => {
                if let Some(status) = bind::claim_status(&claim, phase, None) {
                    self.patch_claim(&claim, "status", &status).await?;
                }
                if let Some(note) = note {
                    self.tell(&*claim, &note);
                }
                // Lost claims stay lost.
                Ok(if phase == "Lost" { Next::Done } else { Next::After(RESYNC) })
            }
            ClaimPlan::Class(name) => {
                self.patch_claim(&claim, "", &json!({"spec": {"storageClassName": name}})).await?;
                Ok(Next::Done)
            }
            ClaimPlan::Provision { annotations, note } => {
                if let Some(annotations) = annotations {
                    self.patch_claim(&claim, "", &json!({"metadata": {"annotations": annotations}})).await?;
                }
                self.tell(&*claim, &note);
                Ok(Next::After(RESYNC))
            }
        }
    }

    fn plan(&self, claim: &PersistentVolumeClaim) -> Result<ClaimPlan, String> {
        let world = plan::World {
            volumes: &self.volumes.list(),
            volume: &|name| self.volumes.get("", name),
            class: &|name| self.classes.get("", name),
            classes: &self.classes.list(),
            waiting_pods: &|| self.waiting_pods(claim),
        };
        plan::claim(claim, &world)
    }

    async fn volume(&self, name: &str) -> reconcile::Result {
        let Some(volume) = self.volumes.get("", name) else { return Ok(Next::Done) };
        let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).unwrap_or_default();
        let key = Key::new(reference.namespace.unwrap_or_default(), reference.name.unwrap_or_default());
        let mut claim = self.claims.get_key(&key);
        let uid = reference.uid.unwrap_or_default();
        // Before a volume is given up the API server is asked: the cache may be behind.
        if !uid.is_empty() && claim.as_ref().is_none_or(|claim| claim.uid() != uid) {
            claim = match self.client.get::<PersistentVolumeClaim>(&key.namespace, &key.name).await {
                Ok(claim) => Some(Arc::new(claim)),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
        }
        match plan::volume(&volume, claim.as_deref()) {
            VolumePlan::Phase { phase, message, note } => {
                if let Some(status) = bind::volume_status(&volume, phase, &message) {
                    self.patch_volume(&volume, "status", &status).await?;
                }
                if let Some(note) = note {
                    self.tell(&*volume, &note);
                    return Ok(Next::After(RESYNC));
                }
            }
            VolumePlan::Unbind(patch) => drop(self.patch_volume(&volume, "", &patch).await?),
            VolumePlan::Tell { volume: first, claim: second } => {
                self.tell(&*volume, &first);
                if let Some(claim) = claim {
                    self.tell(&*claim, &second);
                }
            }
            // The claim's turn: its key was put into the queue with the volume's.
            VolumePlan::Nothing => {}
        }
        Ok(Next::Done)
    }

    /// The four writes of a binding, as far as they are still to be done.
    async fn bind(&self, volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), Error> {
        let mut volume = volume.clone();
        let mut claim = claim.clone();
        if let Some(patch) = bind::volume_to_claim(&volume, &claim) {
            volume = self.patch_volume(&volume, "", &patch).await?;
        }
        if let Some(status) = bind::volume_status(&volume, "Bound", "") {
            volume = self.patch_volume(&volume, "status", &status).await?;
        }
        if let Some(patch) = bind::claim_to_volume(&claim, &volume) {
            claim = self.patch_claim(&claim, "", &patch).await?;
        }
        if let Some(status) = bind::claim_status(&claim, "Bound", Some(&volume)) {
            self.patch_claim(&claim, "status", &status).await?;
        }
        Ok(())
    }

    async fn patch_claim(
        &self,
        claim: &PersistentVolumeClaim,
        subresource: &str,
        patch: &Value,
    ) -> Result<PersistentVolumeClaim, Error> {
        let patch = Patch::Update(at_version(claim, patch));
        self.client.patch_subresource(claim.namespace(), claim.name(), subresource, &patch).await
    }

    async fn patch_volume(
        &self,
        volume: &PersistentVolume,
        subresource: &str,
        patch: &Value,
    ) -> Result<PersistentVolume, Error> {
        let patch = Patch::Update(at_version(volume, patch));
        self.client.patch_subresource("", volume.name(), subresource, &patch).await
    }

    fn tell<K: Object>(&self, object: &K, note: &Note) {
        self.recorder.event(&api::reference(object), note.kind, note.reason, note.message.as_str());
    }

    /// The names of pods without a node that use the claim.
    fn waiting_pods(&self, claim: &PersistentVolumeClaim) -> Vec<String> {
        let uses = |pod: &Pod| {
            let spec = pod.spec.as_ref();
            let waits = spec.and_then(|s| s.node_name.as_deref()).unwrap_or_default().is_empty();
            waits
                && spec.into_iter().flat_map(|s| s.volumes.iter().flatten()).any(|volume| {
                    let named =
                        volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
                    named.or_else(|| ephemeral_claim(pod, volume)).as_deref() == Some(claim.name())
                })
        };
        let pods = self.pods.list_in(claim.namespace());
        pods.iter().filter(|pod| uses(pod)).map(|pod| pod.name().to_owned()).collect()
    }
}

/// The patch for the version that was looked at.
fn at_version<K: Object>(object: &K, patch: &Value) -> Value {
    let mut patch = patch.clone();
    patch["metadata"]["uid"] = object.uid().into();
    patch["metadata"]["resourceVersion"] = object.resource_version().into();
    patch
}
