//! Nobody gives rights that they do not have: the check of what writes roles and bindings.
//!
//! Upstream: `pkg/registry/rbac/*/policybased`.

use crate::call::Call;
use auth::rbac::{EscalationError, RoleRef, check_binding, check_role, only_collector_fields_differ};
use meta::status::Status;
use value::Value;

/// Refuses a write of an RBAC object that would escalate; `old` is `None` on create.
///
/// # Errors
/// 403 with what is missing, or 404 for a binding to a role that does not exist.
pub(crate) fn check(call: &Call, resource: &str, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let access = &call.api.access;
    let namespace = call.info.namespace.as_str();
    let metadata = new.at("metadata");
    let refused = |error: &EscalationError| error.status(resource, metadata.at("name").str());
    access.with_policy(|nodes, rbac| {
        let decide = |attributes: &auth::Attributes<'_>| auth::authorize::authorize(nodes, rbac, attributes);
        let result = match resource {
            "roles" | "clusterroles" => {
                let name = call.info.name_in_path();
                check_role(rbac, &decide, &call.user, resource, namespace, name, new, old)
            }
            _ => {
                if old.is_some_and(|old| only_collector_fields_differ(new, old)) {
                    return Ok(());
                }
                let role = RoleRef::from_value(new.at("roleRef"));
                check_binding(rbac, &decide, &call.user, resource, namespace, &role)
            }
        };
        result.map_err(|e| refused(&e))
    })
}
