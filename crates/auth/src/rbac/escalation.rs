//! Nobody gives what they do not have: the checks on writing roles and bindings.
//!
//! Upstream: `pkg/registry/rbac/escalation_check.go`, `pkg/registry/rbac/*/policybased`.

use super::{GROUP, Missing, Rbac, RoleRef, Rule, aggregate_texts, compact, covers};
use crate::user::SYSTEM_MASTERS;
use crate::{Attributes, UserInfo, Verdict};
use meta::gvk::GroupResource;
use meta::quote::{Quoted, quote_all};
use meta::status::Status;
use std::collections::BTreeSet;
use value::Value;

/// Why a role or binding may not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EscalationError {
    /// It gives rights that the writer does not have; the text for a 403.
    Escalation(String),
    /// The binding's role is not there; a 404 (or, for an unknown kind, a 500).
    Role(Missing),
    /// The binding's role has no name, or no namespace, which is what this says; a 400.
    Unnamed(&'static str),
}

impl EscalationError {
    /// The answer to the request that writes `name` of `resource` (`roles`, `clusterrolebindings`, …).
    pub fn status(&self, resource: &str, name: &str) -> Status {
        let resource = GroupResource::new(GROUP, resource);
        match self {
            Self::Escalation(text) => Status::forbidden(&resource, name, text),
            Self::Role(Missing::Role { name, .. }) => Status::not_found(&resource, name),
            Self::Role(missing @ Missing::Kind(_)) => Status::plain_error(missing.text(None)),
            Self::Unnamed(what) => Status::bad_request(format!("{what} parameter required.")),
        }
    }
}

/// Whether `user` may write the role `role` by a request for `resource` (`roles` or `clusterroles`),
/// `namespace` (empty for ClusterRoles) and `request_name` (the name in the path; empty in a create).
/// `authorize` is the server's whole authorizer, asked for `escalate`; let it decide by this same `rbac`, not by
/// locking it again. `old` is the stored role on update: a
/// change of nothing but owners and finalizers is let through.
///
/// # Errors
/// [`EscalationError::Escalation`].
#[allow(clippy::too_many_arguments)] // all of one request; a struct would only name them again
pub fn check_role(
    rbac: &Rbac,
    authorize: &dyn Fn(&Attributes<'_>) -> Verdict,
    user: &UserInfo,
    resource: &str,
    namespace: &str,
    request_name: &str,
    role: &Value,
    old: Option<&Value>,
) -> Result<(), EscalationError> {
    let escalate = Attributes::resource(user, "escalate", GROUP, resource).named(namespace, request_name);
    if user.in_group(SYSTEM_MASTERS) || authorize(&escalate).allowed() {
        return Ok(());
    }
    if old.is_some_and(|old| only_collector_fields_differ(role, old)) {
        return Ok(());
    }
    let rules: Vec<Rule> = role.at("rules").items().iter().map(Rule::from_value).collect();
    confirm(rbac, user, resource, namespace, &rules)?;
    // Whoever touches an aggregation rule gets whatever matches it, now or later: full authority is needed.
    let aggregated = |role: &Value| !role.path(&["aggregationRule", "clusterRoleSelectors"]).is_empty();
    if aggregated(role) || old.is_some_and(aggregated) {
        let text = "must have cluster-admin privileges to use the aggregationRule";
        confirm(rbac, user, resource, namespace, &full_authority())
            .map_err(|_| EscalationError::Escalation(text.into()))?;
    }
    Ok(())
}

/// Whether `user` may bind `role` by a binding in `namespace` (empty for a ClusterRoleBinding; `resource`
/// is `rolebindings` or `clusterrolebindings`). `authorize` is asked for `bind`. On update the caller first
/// asks [`only_collector_fields_differ`].
///
/// # Errors
/// [`EscalationError`].
pub fn check_binding(
    rbac: &Rbac,
    authorize: &dyn Fn(&Attributes<'_>) -> Verdict,
    user: &UserInfo,
    resource: &str,
    namespace: &str,
    role: &RoleRef,
) -> Result<(), EscalationError> {
    if user.in_group(SYSTEM_MASTERS) {
        return Ok(());
    }
    let of_kind = match role.kind.as_str() {
        "ClusterRole" => Some("clusterroles"),
        "Role" => Some("roles"),
        _ => None,
    };
    if let Some(roles) = of_kind {
        let bind = Attributes::resource(user, "bind", &role.api_group, roles).named(namespace, &role.name);
        if authorize(&bind).allowed() {
            return Ok(());
        }
    }
    if role.kind == "Role" && namespace.is_empty() {
        return Err(EscalationError::Unnamed("Namespace"));
    }
    if of_kind.is_some() && role.name.is_empty() {
        return Err(EscalationError::Unnamed("Name"));
    }
    let rules = rbac.role_rules(role, namespace).map_err(EscalationError::Role)?;
    confirm(rbac, user, resource, namespace, rules)
}

fn confirm(
    rbac: &Rbac,
    user: &UserInfo,
    resource: &str,
    namespace: &str,
    wanted: &[Rule],
) -> Result<(), EscalationError> {
    let (owned, unresolved) = rbac.rules_for(user, namespace);
    let missing = covers(&owned, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = compact(missing).iter().map(Rule::describe).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut text = format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        Quoted(&user.name),
        quote_all(&user.groups, " "),
        lines.join("\n")
    );
    if !unresolved.is_empty() {
        let texts: Vec<String> = unresolved.iter().map(|m| m.text(Some(resource))).collect();
        text.push_str(&format!("; resolution errors: [{}]", aggregate_texts(&texts)));
    }
    Err(EscalationError::Escalation(text))
}

fn full_authority() -> [Rule; 2] {
    let star = || vec!["*".into()];
    [
        Rule { verbs: star(), api_groups: star(), resources: star(), ..Rule::default() },
        Rule { verbs: star(), non_resource_urls: star(), ..Rule::default() },
    ]
}

/// Whether two states of an object differ only in what garbage collection needs (and in bookkeeping).
pub fn only_collector_fields_differ(new: &Value, old: &Value) -> bool {
    let strip = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata") {
            for key in ["ownerReferences", "finalizers", "managedFields", "selfLink"] {
                metadata.remove(key);
            }
        }
        object
    };
    strip(new) == strip(old)
}
