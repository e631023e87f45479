//! What is to become of a claim and of a volume. Pure.
//! Upstream: `syncUnboundClaim`, `syncBoundClaim`, `syncVolume` in `persistentvolume/pv_controller.go`.

use super::bind::{BIND_COMPLETED, BOUND_BY_CONTROLLER};
use super::find::{
    annotation, best, class_of_claim, default_class, is_bound_to, lacks_class, modes_differ, objection, phase,
};
use api::Object;
use api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api::storage::v1::StorageClass;
use reconcile::EventKind;
use serde_json::{Value, json};
use std::sync::Arc;

/// Set by the scheduler: the claim's first pod goes to that node.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONERS: [&str; 2] =
    ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Provisioners of this prefix were part of upstream; there are none any more.
const BUILT_IN: &str = "kubernetes.io/";

/// What is there besides a claim.
pub(super) struct World<'a> {
    pub(super) volumes: &'a [Arc<PersistentVolume>],
    pub(super) volume: &'a dyn Fn(&str) -> Option<Arc<PersistentVolume>>,
    pub(super) class: &'a dyn Fn(&str) -> Option<Arc<StorageClass>>,
    pub(super) classes: &'a [Arc<StorageClass>],
    /// The pods that use the claim and have no node yet.
    pub(super) waiting_pods: &'a dyn Fn() -> Vec<String>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) kind: EventKind,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn note(kind: EventKind, reason: &'static str, message: impl Into<String>) -> Note {
    Note { kind, reason, message: message.into() }
}

/// What is to become of a claim.
#[derive(Debug, PartialEq)]
pub(super) enum ClaimPlan {
    Bind(Arc<PersistentVolume>),
    Phase {
        phase: &'static str,
        note: Option<Note>,
    },
    /// It gets the default class that was not there when it was made.
    Class(String),
    /// A driver is asked for a volume.
    Provision {
        annotations: Option<Value>,
        note: Note,
    },
}

/// What is to become of a volume.
#[derive(Debug, PartialEq)]
pub(super) enum VolumePlan {
    Nothing,
    Phase {
        phase: &'static str,
        message: String,
        note: Option<Note>,
    },
    /// It is free again, by this patch.
    Unbind(Value),
    /// It cannot be bound to the claim that it is kept for.
    Tell {
        volume: Note,
        claim: Note,
    },
}

const fn pending(note: Note) -> ClaimPlan {
    ClaimPlan::Phase { phase: "Pending", note: Some(note) }
}

/// Decides on a claim.
pub(super) fn claim(claim: &PersistentVolumeClaim, world: &World<'_>) -> Result<ClaimPlan, String> {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    if annotation(claim, BIND_COMPLETED).is_some() {
        return Ok(bound_claim(claim, named, world));
    }
    if named.is_empty() {
        return unnamed_claim(claim, world);
    }
    let Some(volume) = (world.volume)(named) else {
        return Ok(ClaimPlan::Phase { phase: "Pending", note: None });
    };
    if volume.spec.as_ref().is_none_or(|spec| spec.claim_ref.is_none()) {
        return Ok(match objection(&volume, claim) {
            Some(why) => {
                let text = format!("Cannot bind to requested volume {named:?}: {why}");
                pending(note(EventKind::Warning, "VolumeMismatch", text))
            }
            None => ClaimPlan::Bind(volume),
        });
    }
    if is_bound_to(&volume, claim) {
        return Ok(ClaimPlan::Bind(volume));
    }
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).unwrap_or_default();
    let text = format!(
        "volume {named:?} already bound to a different claim {:?}.",
        format!("{}/{}", reference.namespace.unwrap_or_default(), reference.name.unwrap_or_default())
    );
    Ok(pending(note(EventKind::Warning, "FailedBinding", text)))
}

fn bound_claim(claim: &PersistentVolumeClaim, named: &str, world: &World<'_>) -> ClaimPlan {
    let lost = |reason, message: &str| ClaimPlan::Phase {
        phase: "Lost",
        note: (claim.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Lost"))
            .then(|| note(EventKind::Warning, reason, message)),
    };
    if named.is_empty() {
        let text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lost("ClaimLost", text);
    }
    let Some(volume) = (world.volume)(named) else {
        return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    if reference.is_none_or(|reference| reference.uid.as_deref() == Some(claim.uid())) {
        return ClaimPlan::Bind(volume);
    }
    let text = "Two claims are bound to the same volume, this one is bound incorrectly";
    lost("ClaimMisbound", text)
}

fn unnamed_claim(claim: &PersistentVolumeClaim, world: &World<'_>) -> Result<ClaimPlan, String> {
    let class_name = class_of_claim(claim);
    let class = (world.class)(class_name);
    let delay = class.as_ref().and_then(|c| c.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
    if let Some(volume) = best(claim, world.volumes, delay)? {
        return Ok(ClaimPlan::Bind(volume));
    }
    if lacks_class(claim)
        && let Some(class) = default_class(world.classes)
    {
        return Ok(ClaimPlan::Class(class.name().to_owned()));
    }
    if delay && annotation(claim, SELECTED_NODE).is_none() {
        let pods = (world.waiting_pods)();
        let (reason, text) = match pods.as_slice() {
            [] => {
                ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned())
            }
            [pod] => ("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
            pods => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
        };
        return Ok(pending(note(EventKind::Normal, reason, text)));
    }
    if class_name.is_empty() {
        let text = "no persistent volumes available for this claim and no storage class is set";
        return Ok(pending(note(EventKind::Normal, "FailedBinding", text)));
    }
    Ok(provision(claim, class_name, class.as_deref()))
}

fn provision(claim: &PersistentVolumeClaim, name: &str, class: Option<&StorageClass>) -> ClaimPlan {
    let failed = |text: String| pending(note(EventKind::Warning, "ProvisioningFailed", text));
    let Some(class) = class else {
        return failed(format!("storageclass.storage.k8s.io {name:?} not found"));
    };
    let provisioner = class.provisioner.as_str();
    if provisioner.starts_with(BUILT_IN) {
        return failed(format!("no volume plugin matched name: {provisioner}"));
    }
    let asked = PROVISIONERS.iter().all(|name| annotation(claim, name) == Some(provisioner));
    let annotations: serde_json::Map<String, Value> =
        PROVISIONERS.iter().map(|name| ((*name).to_owned(), provisioner.into())).collect();
    let text = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered."
    );
    ClaimPlan::Provision {
        annotations: (!asked).then_some(Value::Object(annotations)),
        note: note(EventKind::Normal, "ExternalProvisioning", text),
    }
}

/// Decides on a volume, with the claim that it points to as that is now.
pub(super) fn volume(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> VolumePlan {
    let set = |phase| VolumePlan::Phase { phase, message: String::new(), note: None };
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let uid = reference.and_then(|reference| reference.uid.as_deref()).unwrap_or_default();
    if uid.is_empty() {
        return set("Available");
    }
    let Some(claim) = claim.filter(|claim| claim.uid() == uid) else { return released(volume) };
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    if named == volume.name() {
        return set("Bound");
    }
    if named.is_empty() {
        if !modes_differ(claim, volume) {
            return VolumePlan::Nothing;
        }
        let tell = |text| note(EventKind::Warning, "VolumeMismatch", text);
        return VolumePlan::Tell {
            volume: tell(format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {:?} due to incompatible volumeMode.",
                claim.name()
            )),
            claim: tell(format!(
                "Cannot bind PersistentVolume {:?} to requested PersistentVolumeClaim due to incompatible volumeMode.",
                volume.name()
            )),
        };
    }
    // The claim got another volume. One that was made for it is needed by nobody.
    if annotation(volume, PROVISIONED_BY).is_some() && policy(volume) == "Delete" {
        return released(volume);
    }
    VolumePlan::Unbind(if annotation(volume, BOUND_BY_CONTROLLER).is_some() {
        json!({"spec": {"claimRef": null}, "metadata": {"annotations": {BOUND_BY_CONTROLLER: null}}})
    } else {
        // A person wants it kept for a claim of that name.
        json!({"spec": {"claimRef": {"uid": null, "resourceVersion": null}}})
    })
}

fn policy(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or("Retain")
}

/// A volume whose claim is gone: drivers delete theirs when they see it released.
fn released(volume: &PersistentVolume) -> VolumePlan {
    let failed = |reason, message: String| VolumePlan::Phase {
        phase: "Failed",
        note: (phase(volume) != "Failed").then(|| note(EventKind::Warning, reason, message.clone())),
        message,
    };
    let released = VolumePlan::Phase { phase: "Released", message: String::new(), note: None };
    match (phase(volume), policy(volume)) {
        ("Released" | "Failed", "Delete") => {
            let driver = annotation(volume, PROVISIONED_BY).unwrap_or_default();
            if !driver.is_empty() && !driver.starts_with(BUILT_IN) {
                return VolumePlan::Nothing;
            }
            let why = "no deletable volume plugin matched";
            let text = format!("error getting deleter volume plugin for volume {:?}: {why}", volume.name());
            failed("VolumeFailedDelete", text)
        }
        ("Released" | "Failed", "Recycle") => {
            failed("VolumeFailedRecycle", "No recycler plugin found for the volume!".into())
        }
        ("Released" | "Failed", _) => VolumePlan::Nothing,
        _ => released,
    }
}
