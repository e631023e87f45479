//! Lease. Upstream: `pkg/apis/coordination/validation`, `pkg/registry/coordination/lease`.

use crate::check;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use value::Value;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    if plural == "leases" { HOOKS } else { Hooks::NONE }
}

/// Behind a gate that is off (CoordinatedLeaderElection); who has them keeps them.
const GATED: [&str; 2] = ["strategy", "preferredHolder"];

const HOOKS: Hooks = Hooks {
    prepare_create: |_, lease| {
        if let Some(spec) = lease.object_at("spec") {
            GATED.iter().for_each(|name| drop(spec.remove(name)));
        }
    },
    prepare_update: |_, new, old| {
        if let Some(spec) = new.object_at("spec") {
            for name in GATED.iter().filter(|n| old.at("spec").at(n).is_null()) {
                spec.remove(name);
            }
        }
    },
    validate_create: |_, lease| validate(lease),
    validate_update: |_, lease, _| validate(lease),
    ..Hooks::NONE
};

fn validate(lease: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (lease.at("spec"), Path::new("spec"));
    let duration = spec.at("leaseDurationSeconds");
    if !duration.is_null() && duration.int() <= 0 {
        let path = path.child("leaseDurationSeconds");
        errors.push(Error::invalid(&path, duration.clone(), "must be greater than 0"));
    }
    check::non_negative(spec.at("leaseTransitions"), &path.child("leaseTransitions"), &mut errors);
    let strategy = spec.at("strategy");
    if !strategy.is_null() {
        let path = path.child("strategy");
        let path = path.child("strategy");
        if strategy.str().contains('/') {
            check::qualified_name(strategy.str(), &path, &mut errors);
        } else if strategy.str() != "OldestEmulationVersion" {
            let known = ["OldestEmulationVersion"];
            errors.push(Error::not_supported_in_order(&path, strategy.clone(), &known));
        }
    }
    if !spec.at("preferredHolder").str().is_empty() && strategy.str().is_empty() {
        let text = "may only be specified if `strategy` is defined";
        errors.push(Error::forbidden(&path.child("preferredHolder"), text));
    }
    errors
}
