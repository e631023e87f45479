//! The table of kinds, with their defaults and validation.
//!
//! Invariants: no I/O, no clock, no HTTP; nothing outside this crate (and `apiserver/src/special`) names
//! a kind. A kind is a row, a schema, and perhaps a file of hooks.

mod admissionregistration;
mod apps;
mod autoscaling;
mod batch;
pub mod cel;
mod check;
pub mod columns;
pub mod convert;
pub mod core;
mod defaults;
pub mod equal;
mod go_url;
pub mod hooks;
mod internal;
mod networking;
mod prepare;
pub mod table;

pub use table::{Row, Table};

use hooks::Hooks;

/// The hooks of a built-in kind.
fn hooks_of(group: &str, version: &str, plural: &str) -> Hooks {
    match group {
        "" => core::hooks(plural),
        "admissionregistration.k8s.io" => admissionregistration::hooks(plural),
        "apps" => apps::hooks(plural),
        "autoscaling" => autoscaling::hooks(version, plural),
        "batch" => batch::hooks(plural),
        "networking.k8s.io" => networking::hooks(plural),
        _ => Hooks::NONE,
    }
}
