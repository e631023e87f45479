//! The kinds of `apps`. Upstream: `pkg/apis/apps/{v1,validation}`, `pkg/registry/apps`.

mod controller_revision;
mod daemon_set;
mod deployment;
mod replica_set;
mod stateful_set;
mod strategy;

pub(crate) use strategy::{not_more_than_100_percent, positive_int_or_percent};

use crate::hooks::Hooks;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "deployments" => deployment::HOOKS,
        "replicasets" => replica_set::HOOKS,
        "statefulsets" => stateful_set::HOOKS,
        "daemonsets" => daemon_set::HOOKS,
        "controllerrevisions" => controller_revision::HOOKS,
        _ => Hooks::NONE,
    }
}
