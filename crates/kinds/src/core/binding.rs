//! Bindings of pods to nodes, and options of pod logs: bodies of requests that are not stored.
//!
//! Upstream: `ValidatePodBinding`, `ValidatePodLogOptions` in `pkg/apis/core/validation/validation.go`.

use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks =
    Hooks { validate_create: |_, binding| validate_binding(binding), ..Hooks::NONE };

/// All errors of a Binding.
pub fn validate_binding(binding: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (target, path) = (binding.at("target"), Path::new("target"));
    let kind = target.at("kind").str();
    if !kind.is_empty() && kind != "Node" {
        errors.push(Error::not_supported_in_order(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    super::util::require(target, "name", &path, &mut errors);
    errors
}
