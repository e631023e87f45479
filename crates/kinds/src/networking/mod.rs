//! The kinds of `networking.k8s.io`. Upstream: `pkg/apis/networking/{v1,validation}`,
//! `pkg/registry/networking`.

mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod service_cidr;

use crate::hooks::Hooks;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "ingresses" => ingress::HOOKS,
        "ingressclasses" => ingress_class::HOOKS,
        "ipaddresses" => ip_address::HOOKS,
        "networkpolicies" => network_policy::HOOKS,
        "servicecidrs" => service_cidr::HOOKS,
        _ => Hooks::NONE,
    }
}
