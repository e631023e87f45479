//! What kinds of other groups need of core: parts of claims, volumes and pods that they embed.

use super::{options, pv, pvc, resources, scheduling};
use meta::field::{ErrorList, Path};
use value::Value;

/// Defaults of a claim in `volumeClaimTemplates`.
pub fn default_claim_template(claim: &mut Value) {
    pvc::default_claim(claim);
}

/// All errors of the spec of a claim in `volumeClaimTemplates`.
pub fn validate_claim_spec(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    pvc::validate_spec(spec, &pvc::Options::default(), path, errors);
}

/// Warnings for the spec of a claim whose path is `prefix`.
pub fn claim_spec_warnings(spec: &Value, prefix: &str) -> Vec<String> {
    pvc::spec_warnings(spec, &Path::new(prefix))
}

/// The name of a resource that a container can ask for (`ValidateContainerResourceName`).
pub fn validate_container_resource_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    resources::container_resource_name(name, path, errors);
}

/// Limits and requests (`ValidateContainerResourceRequirements`); `path` is that of the requirements.
pub fn validate_resource_requirements(requirements: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let none = resources::Claims::new(std::iter::empty());
    let around = resources::Around { claims: &none, indivisible_huge_pages: false };
    resources::requirements(requirements, resources::container_resource_name, &around, path, errors);
}

/// Tolerations (`ValidateTolerations`).
pub fn validate_tolerations(tolerations: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let allow = options::Allow::default();
    scheduling::tolerations(tolerations, allow.toleration_comparisons, path, errors);
}

/// Defaults of the spec of a PersistentVolume, as a VolumeAttachment has it inline.
pub fn default_persistent_volume_spec(spec: &mut Value) {
    pv::default_inline_spec(spec);
}

/// The spec of a PersistentVolume inline (`ValidatePersistentVolumeSpec` with `validateInline`).
pub fn validate_inline_volume_spec(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    pv::validate_spec(spec, &pv::Scope { name: "", inline: true, lenient: false }, path, errors);
}

/// A node selector (`ValidateNodeSelector`).
pub fn validate_node_selector(selector: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    scheduling::node_selector(selector, false, path, errors);
}
