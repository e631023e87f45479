//! The table of kinds, with their defaults and validation.
//!
//! Invariants: no I/O, no clock, no HTTP; nothing outside this crate (and `apiserver/src/special`) names
//! a kind. A kind is a row, a schema, and perhaps a file of hooks.

mod admissionregistration;
mod apiregistration;
mod apps;
mod autoscaling;
mod batch;
pub mod certificates;
mod check;
pub mod columns;
pub mod convert;
mod coordination;
pub mod core;
mod defaults;
mod discovery;
pub mod equal;
mod events;
pub mod expressions;
mod flowcontrol;
mod go_url;
pub mod hooks;
mod internal;
mod networking;
mod node;
mod node_labels;
mod policy;
mod prepare;
mod rbac;
mod resource;
pub mod reviews;
mod scheduling;
mod storage;
pub mod table;

pub use table::{Row, Table};

use hooks::Hooks;

/// The hooks of a built-in kind.
fn hooks_of(group: &str, version: &str, plural: &str) -> Hooks {
    match group {
        "" | "events.k8s.io" if plural == "events" => {
            if group.is_empty() {
                events::CORE
            } else {
                events::EVENTS
            }
        }
        "" => core::hooks(plural),
        "admissionregistration.k8s.io" => admissionregistration::hooks(plural),
        "apiregistration.k8s.io" => apiregistration::hooks(plural),
        "apps" => apps::hooks(plural),
        "authorization.k8s.io" => reviews::hooks(plural),
        "autoscaling" => autoscaling::hooks(version, plural),
        "batch" => batch::hooks(plural),
        "certificates.k8s.io" => certificates::hooks(plural),
        "coordination.k8s.io" => coordination::hooks(plural),
        "discovery.k8s.io" => discovery::hooks(plural),
        "flowcontrol.apiserver.k8s.io" => flowcontrol::hooks(plural),
        "networking.k8s.io" => networking::hooks(plural),
        "node.k8s.io" => node::hooks(plural),
        "policy" => policy::hooks(plural),
        "rbac.authorization.k8s.io" => rbac::hooks(plural),
        "resource.k8s.io" => resource::hooks(plural),
        "scheduling.k8s.io" => scheduling::hooks(plural),
        "storage.k8s.io" => storage::hooks(plural),
        _ => Hooks::NONE,
    }
}
