//! VolumeAttachment.

use super::validate_driver_name;
use crate::check;
use crate::hooks::Hooks;
use crate::internal;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default: |a| {
        let source = a.get_mut("spec").and_then(|s| s.get_mut("source"));
        let inline = source.and_then(|s| s.get_mut("inlineVolumeSpec")).filter(|s| !s.is_null());
        if let Some(spec) = inline {
            crate::core::default_persistent_volume_spec(spec);
        }
    },
    prepare_create: |_, a| prepare::reset_status(a),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, a| validate(a),
    validate_update: |_, new, old| validate_update(new, old),
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        prepare::reset_meta_for_status(new, old);
    },
    validate_subresource: |_, new, old| validate_update(new, old),
    ..Hooks::NONE
};

/// Upstream's bounds.
const METADATA_MAX_BYTES: usize = 256 * 1024;
const ERROR_MAX_BYTES: usize = 1024;

fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = validate(new);
    let kind = "storage.VolumeAttachmentSpec";
    internal::immutable(kind, new.at("spec"), old.at("spec"), &Path::new("spec"), &mut errors);
    errors
}

fn validate(attachment: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (attachment.at("spec"), Path::new("spec"));
    validate_driver_name(spec.at("attacher").str(), &path.child("attacher"), &mut errors);
    validate_source(spec.at("source"), &path.child("source"), &mut errors);
    check::dns1123_subdomain(spec.at("nodeName").str(), &path.child("nodeName"), &mut errors);
    validate_status(attachment.at("status"), &mut errors);
    if let Some(name) = spec.at("source").at("persistentVolumeName").as_str() {
        check::dns1123_subdomain(name, &Path::new("spec.source.persistentVolumeName"), &mut errors);
    }
    errors
}

fn validate_source(source: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let (inline, name) = (source.at("inlineVolumeSpec"), source.at("persistentVolumeName"));
    match (inline.is_null(), name.is_null()) {
        (true, true) => errors.push(Error::required(path, ONE)),
        (false, false) => errors.push(Error::forbidden(path, ONE)),
        (true, false) => {
            if name.str().is_empty() {
                let text = "must specify non empty persistentVolumeName";
                errors.push(Error::required(&path.child("persistentVolumeName"), text));
            }
        }
        (false, true) => {
            crate::core::validate_inline_volume_spec(inline, &path.child("inlineVolumeSpec"), errors);
        }
    }
}

fn validate_status(status: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    let metadata = status.at("attachmentMetadata");
    let size: usize = metadata.entries().map(|(k, v)| k.len() + v.str().len()).sum();
    if size > METADATA_MAX_BYTES {
        errors.push(Error::too_long(&path.child("attachmentMetadata"), METADATA_MAX_BYTES));
    }
    for name in ["attachError", "detachError"] {
        let (error, path) = (status.at(name), path.child(name));
        if error.at("message").str().len() > ERROR_MAX_BYTES {
            // Upstream names the bound of the metadata here.
            errors.push(Error::too_long(&path.child("message"), METADATA_MAX_BYTES));
        }
        let code = error.at("errorCode");
        if code.int() < 0 {
            let text = meta::names::inclusive_range_error(0, i32::MAX.into());
            errors.push(Error::invalid(&path.child("errorCode"), code.clone(), text));
        }
    }
}
