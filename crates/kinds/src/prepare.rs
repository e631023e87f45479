//! What strategies do before validation, for all kinds.

use crate::core::pod;
use value::Value;

/// Clears the status of a new object.
pub(crate) fn reset_status(object: &mut Value) {
    object.set("status", Value::object());
}

/// Puts back a member that the writer has no say in.
pub(crate) fn keep(new: &mut Value, old: &Value, name: &str) {
    match old.get(name) {
        Some(v) => new.set(name, v.clone()),
        None => {
            new.remove(name);
        }
    }
}

/// Puts back the labels.
pub(crate) fn keep_labels(new: &mut Value, old: &Value) {
    if let Some(metadata) = new.object_at("metadata") {
        keep(metadata, old.at("metadata"), "labels");
    }
}

/// Puts back the metadata but for managed fields (upstream's `metav1.ResetObjectMetaForStatus`).
pub(crate) fn reset_meta_for_status(new: &mut Value, old: &Value) {
    if let Some(metadata) = new.object_at("metadata") {
        for name in [
            "deletionTimestamp",
            "generation",
            "selfLink",
            "labels",
            "annotations",
            "finalizers",
            "ownerReferences",
        ] {
            keep(metadata, old.at("metadata"), name);
        }
    }
}

/// Drops what gates that are off hide, from the pod template of a new object.
pub(crate) fn template_create(object: &mut Value, path: &[&str]) {
    if let Some(template) = path.iter().try_fold(object, |v, k| v.get_mut(k)) {
        pod::drop_disabled_template_fields(template, None);
    }
}

/// The same for a changed object: what the old one has may stay.
pub(crate) fn template_update(new: &mut Value, old: &Value, path: &[&str]) {
    let old = old.path(path);
    if let Some(template) = path.iter().try_fold(new, |v, k| v.get_mut(k)) {
        pod::drop_disabled_template_fields(template, Some(old));
    }
}
