//! Makes the claims of generic ephemeral volumes: volumes that live and die with their pod (KEP-1698).
//!
//! Watches Pods and claims; the claims that it makes are owned by the pods, and go with them.
//! Upstream: `pkg/controller/volume/ephemeral`.

use super::volume_protection::ephemeral_claim;
use crate::context::{Context, Tasks, spawn};
use api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use api::meta::v1::ObjectMeta;
use api::{Key, Object, owners, pods};
use client::{Change, Client, Error, Lister};
use futures_util::future::BoxFuture;
use reconcile::{EventKind, Next, Queue, Reconcile, Recorder};
use std::sync::Arc;

/// As `--concurrent-ephemeralvolume-syncs`.
const WORKERS: usize = 5;

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let pods = context.informers.get::<Pod>();
    let claims = context.informers.get::<PersistentVolumeClaim>();
    let changed = queue.clone();
    pods.subscribe(move |change| {
        if matches!(change, Change::Added(pod) if volumes(pod).next().is_some()) {
            changed.add(change.object().key());
        }
    });
    let changed = queue.clone();
    claims.subscribe(move |change| {
        // Deleted while its pod still needs it.
        if let Change::Deleted(claim) = change
            && let Some(owner) = owners::controller_of(&claim.metadata).filter(|owner| owner.kind == "Pod")
        {
            changed.add(Key::new(claim.namespace(), owner.name.as_str()));
        }
    });
    let controller = EphemeralVolumes {
        client: context.client("ephemeral-volume-controller"),
        recorder: context.recorder("ephemeral-volume-controller", "ephemeral_volume"),
        pods: pods.clone(),
        claims: claims.clone(),
    };
    let synced = async move {
        pods.synced().await;
        claims.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter(|volume| volume.ephemeral.is_some())
}

struct EphemeralVolumes {
    client: Client,
    recorder: Recorder,
    pods: Lister<Pod>,
    claims: Lister<PersistentVolumeClaim>,
}

impl Reconcile for EphemeralVolumes {
    fn name(&self) -> &'static str {
        "ephemeral-volume"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(pod) = self.pods.get_key(&key).filter(|pod| pods::is_active(pod)) else {
                return Ok(Next::Done);
            };
            for volume in volumes(&pod) {
                let Some(claim) = claim(&pod, volume) else { continue };
                if let Err(error) = self.ensure(&pod, claim).await {
                    let message = format!("ephemeral volume {}: {error}", volume.name);
                    let about = api::reference(&*pod);
                    self.recorder.event(&about, EventKind::Warning, "EphemeralVolumeCreateFailed", message);
                    return Err(error);
                }
            }
            Ok(Next::Done)
        })
    }
}

impl EphemeralVolumes {
    async fn ensure(&self, pod: &Pod, claim: PersistentVolumeClaim) -> Result<(), Error> {
        if let Some(existing) = self.claims.get_key(&claim.key()) {
            if owners::is_controlled_by(&existing.metadata, pod) {
                return Ok(());
            }
            return Err(Error::Other(format!(
                "PVC {} was not created for pod {} (pod is not owner)",
                claim.key(),
                pod.key()
            )));
        }
        match self.client.create(&claim).await {
            // The cache will show whose it is.
            Err(error) if error.is_namespace_terminating() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The claim of a volume.
fn claim(pod: &Pod, volume: &Volume) -> Option<PersistentVolumeClaim> {
    let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
    let given = template.metadata.clone().unwrap_or_default();
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: ephemeral_claim(pod, volume),
            namespace: Some(pod.namespace().to_owned()),
            labels: given.labels,
            annotations: given.annotations,
            owner_references: Some(vec![owners::controller_reference(pod)]),
            ..ObjectMeta::default()
        },
        spec: Some(template.spec.clone()),
        status: None,
    })
}
