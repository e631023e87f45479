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

/// All errors of PodLogOptions.
pub fn validate_log_options(options: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(lines) = options.at("tailLines").as_i64().filter(|n| *n < 0) {
        let text = "must be greater than or equal to 0";
        errors.push(Error::invalid(&Path::new("tailLines"), lines, text));
    }
    let mut at_least_one = |name: &str| {
        if let Some(n) = options.at(name).as_i64().filter(|n| *n < 1) {
            errors.push(Error::invalid(&Path::new(name), n, "must be greater than 0"));
        }
    };
    at_least_one("limitBytes");
    if options.at("sinceTime").is_null() {
        at_least_one("sinceSeconds");
    } else if !options.at("sinceSeconds").is_null() {
        let text = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(Error::forbidden(&Path::new(""), text));
    }
    if !options.at("stream").is_null() {
        errors.push(Error::forbidden(&Path::new("stream"), "may not be specified"));
    }
    errors
}
