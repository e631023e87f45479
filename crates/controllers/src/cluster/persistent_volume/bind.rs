//! The four writes of a binding, as merge patches; nothing where all is as it should be. Pure.

use super::find::{annotation, is_bound_to, phase};
use api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api::{Object, Resource};
use serde_json::{Value, json};

pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub(super) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// The volume points to the claim.
pub(super) fn volume_to_claim(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Value> {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).unwrap_or_default();
    let complete = is_bound_to(volume, claim) && reference.uid.as_deref() == Some(claim.uid());
    // Who found the volume by name wants it kept for the claim when that is gone.
    let mark = !is_bound_to(volume, claim) && annotation(volume, BOUND_BY_CONTROLLER).is_none();
    let mut patch = json!({});
    if !complete {
        patch["spec"]["claimRef"] = json!({
            "apiVersion": PersistentVolumeClaim::API_VERSION,
            "kind": PersistentVolumeClaim::KIND,
            "namespace": claim.namespace(),
            "name": claim.name(),
            "uid": claim.uid(),
            "resourceVersion": claim.resource_version(),
        });
    }
    if mark {
        patch["metadata"]["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
    }
    (patch != json!({})).then_some(patch)
}

/// The claim points to the volume.
pub(super) fn claim_to_volume(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Value> {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    let mut patch = json!({});
    if named != volume.name() {
        patch["spec"]["volumeName"] = volume.name().into();
        if annotation(claim, BOUND_BY_CONTROLLER).is_none() {
            patch["metadata"]["annotations"][BOUND_BY_CONTROLLER] = "yes".into();
        }
    }
    if annotation(claim, BIND_COMPLETED).is_none() {
        patch["metadata"]["annotations"][BIND_COMPLETED] = "yes".into();
    }
    (patch != json!({})).then_some(patch)
}

/// The volume's phase.
pub(super) fn volume_status(volume: &PersistentVolume, wanted: &str, message: &str) -> Option<Value> {
    if phase(volume) == wanted {
        return None;
    }
    let message = if message.is_empty() { Value::Null } else { message.into() };
    Some(json!({"status": {"phase": wanted, "message": message}}))
}

/// The claim's phase, and what it has of its volume.
pub(super) fn claim_status(
    claim: &PersistentVolumeClaim,
    wanted: &str,
    volume: Option<&PersistentVolume>,
) -> Option<Value> {
    let old = claim.status.clone().unwrap_or_default();
    let mut status = json!({});
    let becomes = old.phase.as_deref() != Some(wanted);
    if becomes {
        status["phase"] = wanted.into();
    }
    let spec = volume.and_then(|volume| volume.spec.as_ref());
    let modes = spec.and_then(|spec| spec.access_modes.clone());
    if old.access_modes.clone().unwrap_or_default() != modes.clone().unwrap_or_default() {
        status["accessModes"] = json!(modes);
    }
    // The size of what is bound already may be other than the device's for good reason.
    let capacity = spec.and_then(|spec| spec.capacity.clone());
    let gone = spec.is_none() && old.capacity.is_some();
    if gone || (spec.is_some() && becomes && old.capacity != capacity) {
        status["capacity"] = json!(capacity);
    }
    let class =
        spec.and_then(|spec| spec.volume_attributes_class_name.clone()).filter(|name| !name.is_empty());
    if old.current_volume_attributes_class_name != class {
        status["currentVolumeAttributesClassName"] = json!(class);
    }
    (status != json!({})).then(|| json!({ "status": status }))
}
