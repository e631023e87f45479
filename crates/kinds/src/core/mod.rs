//! The kinds of the core group.

pub mod pod;

use crate::hooks::Hooks;
use meta::field::{ErrorList, Path};
use value::Value;

/// The hooks of a kind of the core group, by its plural name.
pub(crate) fn hooks(_plural: &str) -> Hooks {
    Hooks::NONE
}

/// Defaults of a claim in `volumeClaimTemplates`.
pub fn default_claim_template(_claim: &mut Value) {}

/// All errors of the spec of a claim in `volumeClaimTemplates`.
pub fn validate_claim_spec(_spec: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}

/// Warnings for the spec of a claim whose path is `prefix`.
pub fn claim_spec_warnings(_spec: &Value, _prefix: &str) -> Vec<String> {
    Vec::new()
}

/// The name of a resource that a container can ask for.
pub fn validate_container_resource_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    crate::check::qualified_name(name, path, errors);
}
