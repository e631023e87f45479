//! The kinds of `storage.k8s.io`. Upstream: `pkg/apis/storage/{v1,validation}`, `pkg/registry/storage`.

mod classes;
mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod volume_attachment;

use crate::check;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "storageclasses" => classes::STORAGE_CLASS,
        "volumeattributesclasses" => classes::VOLUME_ATTRIBUTES_CLASS,
        "csidrivers" => csi_driver::HOOKS,
        "csinodes" => csi_node::HOOKS,
        "csistoragecapacities" => csi_storage_capacity::HOOKS,
        "volumeattachments" => volume_attachment::HOOKS,
        _ => Hooks::NONE,
    }
}

/// Upstream's bound on a CSI driver's name.
const DRIVER_NAME_MAX_BYTES: usize = 63;

/// The name of a CSI driver.
pub(crate) fn validate_driver_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    if name.len() > DRIVER_NAME_MAX_BYTES {
        errors.push(Error::too_long(path, DRIVER_NAME_MAX_BYTES));
    }
    check::invalid_each(name, meta::names::dns1123_subdomain(&name.to_lowercase()), path, errors);
}
