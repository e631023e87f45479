//! Keeps claims that pods use, volumes that are bound, and classes that either has, from being deleted under
//! them.
//!
//! Three controllers of one make: they own the finalizers `kubernetes.io/pvc-protection`, `pv-protection` and
//! `vac-protection`. They watch claims, volumes, VolumeAttributesClasses and pods.
//! Upstream: `pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}`.

use crate::context::{Context, Tasks, spawn};
use api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use api::storage::v1::VolumeAttributesClass;
use api::{Key, Object, owners, pods};
use client::{Change, Client, Error, ListOptions, Lister, Patch};
use futures_util::future::BoxFuture;
use reconcile::{Next, Queue, Reconcile};
use serde_json::json;
use std::sync::Arc;

const WORKERS: usize = 1;
const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";
const CLASS_FINALIZER: &str = "kubernetes.io/vac-protection";
/// The index of pods by the claims that they name.
const BY_CLAIM: &str = "claims";

/// Starts the protection of claims.
pub(crate) fn start_claims(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let claims = context.informers.get::<PersistentVolumeClaim>();
    let pods = context.informers.get::<Pod>();
    pods.add_index(BY_CLAIM, |pod| claims_of(pod).map(|key| key.to_string()).collect());
    let changed = queue.clone();
    claims.subscribe(move |change| changed.add(change.object().key()));
    let changed = queue.clone();
    pods.subscribe(move |change| {
        let pod = change.object();
        if matches!(change, Change::Deleted(_)) || pods::is_terminal(pod) || is_shut_down(pod) {
            claims_of(pod).for_each(|key| changed.add(key));
        }
    });
    let controller = ClaimProtection {
        client: context.client("pvc-protection-controller"),
        claims: claims.clone(),
        pods: pods.clone(),
    };
    let synced = async move {
        claims.synced().await;
        pods.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

/// Starts the protection of volumes.
pub(crate) fn start_volumes(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let volumes = context.informers.get::<PersistentVolume>();
    let changed = queue.clone();
    volumes.subscribe(move |change| changed.add(change.object().key()));
    let controller =
        VolumeProtection { client: context.client("pv-protection-controller"), volumes: volumes.clone() };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, async move { volumes.synced().await });
}

/// Starts the protection of VolumeAttributesClasses.
pub(crate) fn start_classes(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let classes = context.informers.get::<VolumeAttributesClass>();
    let claims = context.informers.get::<PersistentVolumeClaim>();
    let volumes = context.informers.get::<PersistentVolume>();
    let changed = queue.clone();
    classes.subscribe(move |change| changed.add(change.object().key()));
    // Whoever lets go of a class may have been the last.
    let changed = queue.clone();
    claims.subscribe(move |change| {
        if let Change::Deleted(old) | Change::Updated(old, _) = change {
            classes_of_claim(old).for_each(|name| changed.add(Key::new("", name)));
        }
    });
    let changed = queue.clone();
    volumes.subscribe(move |change| {
        if let Change::Deleted(old) | Change::Updated(old, _) = change {
            class_of_volume(old).into_iter().for_each(|name| changed.add(Key::new("", name)));
        }
    });
    let controller = ClassProtection {
        client: context.client("volumeattributesclass-protection-controller"),
        classes: classes.clone(),
        claims: claims.clone(),
        volumes: volumes.clone(),
    };
    let synced = async move {
        classes.synced().await;
        claims.synced().await;
        volumes.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

/// The classes that a claim has, wants, or is moving to.
fn classes_of_claim(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &str> {
    let (spec, status) = (claim.spec.as_ref(), claim.status.as_ref());
    let moving = status.and_then(|status| status.modify_volume_status.as_ref());
    let names = [
        spec.and_then(|spec| spec.volume_attributes_class_name.as_deref()),
        status.and_then(|status| status.current_volume_attributes_class_name.as_deref()),
        moving.and_then(|moving| moving.target_volume_attributes_class_name.as_deref()),
    ];
    names.into_iter().flatten().filter(|name| !name.is_empty())
}

fn class_of_volume(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.volume_attributes_class_name.as_deref().filter(|name| !name.is_empty())
}

/// The claim that is made for a generic ephemeral volume of a pod.
pub(super) fn ephemeral_claim(pod: &Pod, volume: &Volume) -> Option<String> {
    volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name(), volume.name))
}

fn claims_of(pod: &Pod) -> impl Iterator<Item = Key> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
        Some(Key::new(pod.namespace(), named.or_else(|| ephemeral_claim(pod, volume))?))
    })
}

fn is_shut_down(pod: &Pod) -> bool {
    pods::is_terminating(pod) && pod.metadata.deletion_grace_period_seconds == Some(0)
}

/// Whether the pod keeps the claim: it is on a node, and the volume is not only what is left of a pod that is
/// about to go together with its own claim.
fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let Some(spec) = pod.spec.as_ref().filter(|s| s.node_name.as_deref().is_some_and(|n| !n.is_empty()))
    else {
        return false;
    };
    spec.volumes.iter().flatten().any(|volume| {
        let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.as_str());
        let own = || {
            !is_shut_down(pod)
                && ephemeral_claim(pod, volume).as_deref() == Some(claim.name())
                && owners::is_controlled_by(&claim.metadata, pod)
        };
        named == Some(claim.name()) || own()
    })
}

/// What to do with a finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Add,
    /// Take it away, if the object is in nobody's use.
    Release,
}

fn step<K: Object>(object: &K, finalizer: &str) -> Step {
    let has = object.meta().finalizers.iter().flatten().any(|f| f == finalizer);
    match (object.meta().deletion_timestamp.is_some(), has) {
        (true, true) => Step::Release,
        (false, false) => Step::Add,
        _ => Step::Nothing,
    }
}

async fn set<K: Object>(client: &Client, object: &K, finalizer: &str, step: Step) -> Result<(), Error> {
    let mut finalizers = object.meta().finalizers.clone().unwrap_or_default();
    finalizers.retain(|f| f != finalizer);
    if step == Step::Add {
        finalizers.push(finalizer.to_owned());
    }
    let patch = Patch::Update(json!({"metadata": {
        "uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": finalizers,
    }}));
    match client.patch::<K>(object.namespace(), object.name(), &patch).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

struct ClaimProtection {
    client: Client,
    claims: Lister<PersistentVolumeClaim>,
    pods: Lister<Pod>,
}

impl Reconcile for ClaimProtection {
    fn name(&self) -> &'static str {
        "persistentvolumeclaim-protection"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(claim) = self.claims.get_key(&key) else { return Ok(Next::Done) };
            let step = step(&*claim, CLAIM_FINALIZER);
            if step == Step::Nothing {
                return Ok(Next::Done);
            }
            if step == Step::Release && self.is_used(&claim).await? {
                return Ok(Next::Done);
            }
            set(&self.client, &*claim, CLAIM_FINALIZER, step).await?;
            Ok(Next::Done)
        })
    }
}

impl ClaimProtection {
    async fn is_used(&self, claim: &PersistentVolumeClaim) -> Result<bool, Error> {
        if self.pods.by_index(BY_CLAIM, &claim.key().to_string()).iter().any(|pod| uses(pod, claim)) {
            return Ok(true);
        }
        // A pod that the cache does not show yet would lose its data.
        let live = self.client.list::<Pod>(claim.namespace(), &ListOptions::default()).await?;
        Ok(live.items.iter().any(|pod| uses(pod, claim)))
    }
}

struct VolumeProtection {
    client: Client,
    volumes: Lister<PersistentVolume>,
}

impl Reconcile for VolumeProtection {
    fn name(&self) -> &'static str {
        "persistentvolume-protection"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(volume) = self.volumes.get_key(&key) else { return Ok(Next::Done) };
            let step = step(&*volume, VOLUME_FINALIZER);
            let bound = volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
            if step != Step::Nothing && !(step == Step::Release && bound) {
                set(&self.client, &*volume, VOLUME_FINALIZER, step).await?;
            }
            Ok(Next::Done)
        })
    }
}

struct ClassProtection {
    client: Client,
    classes: Lister<VolumeAttributesClass>,
    claims: Lister<PersistentVolumeClaim>,
    volumes: Lister<PersistentVolume>,
}

impl Reconcile for ClassProtection {
    fn name(&self) -> &'static str {
        "volumeattributesclass-protection"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(class) = self.classes.get_key(&key) else { return Ok(Next::Done) };
            let step = step(&*class, CLASS_FINALIZER);
            let used = || {
                self.claims.list().iter().any(|claim| classes_of_claim(claim).any(|name| name == key.name))
                    || self.volumes.list().iter().any(|volume| class_of_volume(volume) == Some(&key.name))
            };
            if step == Step::Nothing || (step == Step::Release && used()) {
                return Ok(Next::Done);
            }
            set(&self.client, &*class, CLASS_FINALIZER, step).await?;
            Ok(Next::Done)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_a_claim() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"name": "p-data", "namespace": "n",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]}}))
        .expect("a claim");
        let pod = |uid: &str, node: &str, volume: serde_json::Value, grace: Option<i64>| -> Pod {
            let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": uid},
                "spec": {"nodeName": node, "containers": [], "volumes": [volume]}});
            if let Some(grace) = grace {
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            }
            serde_json::from_value(pod).expect("a pod")
        };
        let named = || json!({"name": "v", "persistentVolumeClaim": {"claimName": "p-data"}});
        let own = || json!({"name": "data", "ephemeral": {}});
        for (pod, used) in [
            (pod("u", "node", named(), None), true),
            (pod("u", "", named(), None), false),
            (pod("u", "node", named(), Some(0)), true),
            (pod("u", "node", own(), None), true),
            (pod("u", "node", own(), Some(30)), true),
            (pod("u", "node", own(), Some(0)), false),
            (pod("other", "node", own(), None), false),
            (pod("u", "node", json!({"name": "v", "emptyDir": {}}), None), false),
        ] {
            assert_eq!(uses(&pod, &claim), used, "{pod:?}");
        }
    }

    #[test]
    fn steps() {
        for (finalizers, deleted, expected) in [
            (json!([]), false, Step::Add),
            (json!([CLAIM_FINALIZER]), false, Step::Nothing),
            (json!(["x"]), true, Step::Nothing),
            (json!(["x", CLAIM_FINALIZER]), true, Step::Release),
        ] {
            let mut claim = json!({"metadata": {"name": "c", "finalizers": finalizers}});
            if deleted {
                claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
            assert_eq!(step(&claim, CLAIM_FINALIZER), expected);
        }
    }
}
