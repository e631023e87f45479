//! The kinds of `rbac.authorization.k8s.io`. Upstream: `pkg/apis/rbac/{v1,validation}`, `pkg/registry/rbac`.

mod binding;
mod role;

use crate::hooks::Hooks;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "roles" => role::ROLE,
        "clusterroles" => role::CLUSTER_ROLE,
        "rolebindings" => binding::ROLE_BINDING,
        "clusterrolebindings" => binding::CLUSTER_ROLE_BINDING,
        _ => Hooks::NONE,
    }
}
