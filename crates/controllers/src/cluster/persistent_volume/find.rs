//! Which volume suits a claim best. Pure.
//! Upstream: `FindMatchingVolume` in `k8s.io/component-helpers/storage/volume/pv_helpers.go`, `index.go`.

use api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeSpec,
};
use api::storage::v1::StorageClass;
use api::{Object, Quantity, Selector};
use std::sync::Arc;

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(super) fn annotation<'a, K: Object>(object: &'a K, name: &str) -> Option<&'a str> {
    object.meta().annotations.as_ref()?.get(name).map(String::as_str)
}

/// The class that a claim names; empty if none.
pub(super) fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    let spec = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(claim, CLASS).or(spec).unwrap_or_default()
}

/// Whether a claim says nothing of its class, so that the default may be meant.
pub(super) fn lacks_class(claim: &PersistentVolumeClaim) -> bool {
    annotation(claim, CLASS).is_none()
        && claim.spec.as_ref().is_none_or(|spec| spec.storage_class_name.is_none())
}

fn class_of_volume(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(volume, CLASS).or(spec).unwrap_or_default()
}

/// The class that is meant where none is named: the newest of those that say so.
pub(super) fn default_class(classes: &[Arc<StorageClass>]) -> Option<&Arc<StorageClass>> {
    let says =
        |class: &&Arc<StorageClass>| DEFAULT_CLASS.iter().any(|a| annotation(&***class, a) == Some("true"));
    classes.iter().filter(says).min_by_key(|class| {
        let created = class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (std::cmp::Reverse(created), class.name().to_owned())
    })
}

pub(super) fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the volume is bound to the claim, or kept for it.
pub(super) fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(reference) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else { return false };
    reference.name.as_deref() == Some(claim.name())
        && reference.namespace.as_deref() == Some(claim.namespace())
        && reference.uid.as_deref().is_none_or(|uid| uid.is_empty() || uid == claim.uid())
}

fn storage(quantities: Option<&std::collections::BTreeMap<String, Quantity>>) -> meta::quantity::Quantity {
    let storage = quantities.and_then(|all| all.get("storage"));
    storage.and_then(|q| meta::quantity::Quantity::parse(&q.0).ok()).unwrap_or_default()
}

fn requested(claim: &PersistentVolumeClaimSpec) -> meta::quantity::Quantity {
    storage(claim.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
}

/// Whether one is a file system and the other a block device.
pub(super) fn modes_differ(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let claim = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let volume = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    claim.unwrap_or("Filesystem") != volume.unwrap_or("Filesystem")
}

fn access_fits(claim: &PersistentVolumeClaimSpec, volume: &PersistentVolumeSpec) -> bool {
    let offered = volume.access_modes.as_deref().unwrap_or_default();
    claim.access_modes.iter().flatten().all(|mode| offered.contains(mode))
}

fn attributes_class_differs(claim: &PersistentVolumeClaimSpec, volume: &PersistentVolumeSpec) -> bool {
    claim.volume_attributes_class_name.as_deref().unwrap_or_default()
        != volume.volume_attributes_class_name.as_deref().unwrap_or_default()
}

/// Why a volume that the claim names does not suit it.
pub(super) fn objection(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<String> {
    let (of_claim, of_volume) =
        (claim.spec.clone().unwrap_or_default(), volume.spec.clone().unwrap_or_default());
    Some(if volume.metadata.deletion_timestamp.is_some() {
        format!("the volume is marked for deletion {:?}", volume.name())
    } else if storage(of_volume.capacity.as_ref()) < requested(&of_claim) {
        "requested PV is too small".into()
    } else if class_of_volume(volume) != class_of_claim(claim) {
        "storageClassName does not match".into()
    } else if attributes_class_differs(&of_claim, &of_volume) {
        "volumeAttributesClassName does not match".into()
    } else if modes_differ(claim, volume) {
        "incompatible volumeMode".into()
    } else if !access_fits(&of_claim, &of_volume) {
        "incompatible accessMode".into()
    } else {
        return None;
    })
}

/// The volume that suits a claim best: one that is kept for it, else the smallest of those with the fewest
/// access modes. With `delay` only those that are kept for it count.
pub(super) fn best(
    claim: &PersistentVolumeClaim,
    volumes: &[Arc<PersistentVolume>],
    delay: bool,
) -> Result<Option<Arc<PersistentVolume>>, String> {
    let spec = claim.spec.clone().unwrap_or_default();
    let selector = match &spec.selector {
        Some(selector) => Some(Selector::try_from(selector).map_err(|error| {
            format!("error creating internal label selector for claim: {}: {error}", claim.key())
        })?),
        None => None,
    };
    let wanted = requested(&spec);
    let mut best: Option<(usize, bool, meta::quantity::Quantity, &Arc<PersistentVolume>)> = None;
    for volume in volumes {
        let Some(of_volume) = &volume.spec else { continue };
        let ours = is_bound_to(volume, claim);
        let size = storage(of_volume.capacity.as_ref());
        if (of_volume.claim_ref.is_some() && !ours)
            || size < wanted
            || modes_differ(claim, volume)
            || attributes_class_differs(&spec, of_volume)
            || volume.metadata.deletion_timestamp.is_some()
            || !access_fits(&spec, of_volume)
        {
            continue;
        }
        let suits = || {
            !delay
                && phase(volume) == "Available"
                && selector.as_ref().is_none_or(|s| s.matches(volume.metadata.labels.as_ref()))
                && class_of_volume(volume) == class_of_claim(claim)
        };
        if !ours && !suits() {
            continue;
        }
        let modes = of_volume.access_modes.as_ref().map_or(0, Vec::len);
        let better = best.as_ref().is_none_or(|(other_modes, other_ours, other_size, _)| {
            (modes, !ours, &size) < (*other_modes, !*other_ours, other_size)
        });
        if better {
            best = Some((modes, ours, size, volume));
        }
    }
    Ok(best.map(|(.., volume)| volume.clone()))
}
