//! The kinds of `admissionregistration.k8s.io`: webhooks and policies.
//!
//! Upstream: `pkg/apis/admissionregistration/{v1,validation}`, `pkg/registry/admissionregistration`.

mod binding;
mod match_conditions;
mod mutating_policy;
mod policy;
mod rules;
mod validating_policy;
mod webhook;

use crate::hooks::Hooks;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "mutatingwebhookconfigurations" => webhook::MUTATING,
        "validatingwebhookconfigurations" => webhook::VALIDATING,
        "validatingadmissionpolicies" => validating_policy::HOOKS,
        "validatingadmissionpolicybindings" => binding::VALIDATING,
        "mutatingadmissionpolicies" => mutating_policy::HOOKS,
        "mutatingadmissionpolicybindings" => binding::MUTATING,
        _ => Hooks::NONE,
    }
}
