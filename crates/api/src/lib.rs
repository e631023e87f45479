//! Typed objects of Kubernetes for controllers, the scheduler and the node, and what each of them needs to
//! know of an object: its key, its owner, whether a pod is ready.
//!
//! The types are those of the `k8s-openapi` crate (v1.36); nothing else in the project names that crate.
//! Invariants: no I/O, no clock. A typed object may lack fields that a newer server knows: it is read, and
//! written by patch, apply or create, never put back whole.

mod object;
pub mod owners;
pub mod partial;
pub mod placement;
pub mod pods;
mod selector;

pub use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
pub use k8s_openapi::{ByteString, Metadata, Resource};
pub use object::{Key, Object, ScopeKind, amount, decode, decode_lenient, milli_amount, reference};
pub use selector::Selector;

macro_rules! groups {
    ($($(#[$doc:meta])* $group:ident { $($version:ident),+ })+) => {$(
        $(#[$doc])*
        pub mod $group {$(
            #[doc = concat!("`", stringify!($group), "/", stringify!($version), "`.")]
            pub mod $version {
                pub use k8s_openapi::api::$group::$version::*;
            }
        )+}
    )+};
}

groups! {
    /// Admission webhooks and policies.
    admissionregistration { v1 }
    /// Workloads.
    apps { v1 }
    /// Tokens.
    authentication { v1 }
    /// Access reviews.
    authorization { v1 }
    /// Horizontal scaling.
    autoscaling { v1, v2 }
    /// Jobs.
    batch { v1 }
    /// Certificate signing requests.
    certificates { v1, v1alpha1, v1beta1 }
    /// Leases.
    coordination { v1 }
    /// Pods, services, nodes and what goes with them.
    core { v1 }
    /// Endpoint slices.
    discovery { v1 }
    /// Events.
    events { v1 }
    /// Priority and fairness.
    flowcontrol { v1 }
    /// Ingress, network policies, Service addresses.
    networking { v1 }
    /// Runtime classes.
    node { v1 }
    /// Disruption budgets.
    policy { v1 }
    /// Roles and bindings.
    rbac { v1 }
    /// Dynamic resources.
    resource { v1 }
    /// Priority classes.
    scheduling { v1 }
    /// Storage classes, attachments, drivers.
    storage { v1 }
}

/// `meta/v1`: what all objects share.
pub mod meta {
    /// `meta/v1`.
    pub mod v1 {
        pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::*;
    }
}
