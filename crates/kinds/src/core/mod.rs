//! The kinds of the core group.
//!
//! | what | where |
//! |---|---|
//! | pods: strategy, and what workloads use | `pod`, `pod_template` |
//! | their spec, part by part | `pod_spec`, `container`, `env`, `probes`, `volumes`, `security`, `windows`, `scheduling` |
//! | changes, status, resize | `pod_update`, `pod_status`, `container_status`, `pod_resize` |
//! | defaults, gates that are off, what old pods may keep, warnings | `pod_defaults`, `gates`, `options`, `pod_warnings`, `overlap` |
//! | other kinds | a file each |

mod annotations;
pub mod binding;
mod config;
mod container;
mod container_status;
mod diff;
mod endpoints;
mod env;
mod gates;
mod image;
mod limit_range;
mod namespace;
mod node;
mod options;
mod overlap;
pub mod pod;
mod pod_defaults;
mod pod_resize;
mod pod_spec;
mod pod_status;
mod pod_template;
mod pod_update;
mod pod_warnings;
mod probes;
mod projected;
mod pv;
mod pvc;
mod quota;
mod replication_controller;
mod resources;
mod scheduling;
mod seams;
mod security;
mod service;
mod service_account;
pub mod service_ips;
mod service_rules;
mod sums;
mod util;
mod volume_sources;
mod volumes;
mod windows;

pub use seams::*;
pub(crate) use util::{changed_metadata, whole_metadata};

use crate::hooks::Hooks;

/// The hooks of a kind of the core group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "bindings" => binding::HOOKS,
        "configmaps" => config::CONFIG_MAPS,
        "endpoints" => endpoints::HOOKS,
        "limitranges" => limit_range::HOOKS,
        "namespaces" => namespace::HOOKS,
        "nodes" => node::HOOKS,
        "persistentvolumeclaims" => pvc::HOOKS,
        "persistentvolumes" => pv::HOOKS,
        "pods" => pod::HOOKS,
        "podtemplates" => pod_template::HOOKS,
        "replicationcontrollers" => replication_controller::HOOKS,
        "resourcequotas" => quota::HOOKS,
        "secrets" => config::SECRETS,
        "serviceaccounts" => service_account::HOOKS,
        "services" => service::HOOKS,
        _ => Hooks::NONE,
    }
}
