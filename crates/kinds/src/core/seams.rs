//! What kinds of other groups need of core: parts of claims, volumes and pods that they embed.

use meta::field::{ErrorList, Path};
use value::Value;

/// Defaults of a claim in `volumeClaimTemplates`.
pub fn default_claim_template(_claim: &mut Value) {}

/// All errors of the spec of a claim in `volumeClaimTemplates`.
pub fn validate_claim_spec(_spec: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}

/// Warnings for the spec of a claim whose path is `prefix`.
pub fn claim_spec_warnings(_spec: &Value, _prefix: &str) -> Vec<String> {
    Vec::new()
}

/// The name of a resource that a container can ask for (`ValidateContainerResourceName`).
pub fn validate_container_resource_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    crate::check::qualified_name(name, path, errors);
}

/// Limits and requests (`ValidateContainerResourceRequirements`); `path` is that of the requirements.
pub fn validate_resource_requirements(_resources: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}

/// Tolerations (`ValidateTolerations`).
pub fn validate_tolerations(_tolerations: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}

/// Defaults of the spec of a PersistentVolume, as a VolumeAttachment has it inline.
pub fn default_persistent_volume_spec(_spec: &mut Value) {}

/// The spec of a PersistentVolume inline (`ValidatePersistentVolumeSpec` with `validateInline`).
pub fn validate_inline_volume_spec(_spec: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}

/// A node selector (`ValidateNodeSelector`).
pub fn validate_node_selector(_selector: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}
