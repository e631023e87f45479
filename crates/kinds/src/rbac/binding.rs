//! RoleBinding and ClusterRoleBinding.

use crate::check;
use crate::hooks::{Hooks, NameRule};
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use value::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) const ROLE_BINDING: Hooks = Hooks {
    default,
    validate_create: |_, b| validate(b, true),
    validate_update: |_, new, old| validate_update(new, old, true),
    name: NameRule::PathSegment,
    ..Hooks::NONE
};

pub(super) const CLUSTER_ROLE_BINDING: Hooks = Hooks {
    validate_create: |_, b| validate(b, false),
    validate_update: |_, new, old| validate_update(new, old, false),
    ..ROLE_BINDING
};

fn default(binding: &mut Value) {
    if let Some(role) = binding.object_at("roleRef") {
        check::default_text(role, "apiGroup", GROUP);
    }
    for subject in binding.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if matches!(subject.at("kind").str(), "User" | "Group") {
            check::default_text(subject, "apiGroup", GROUP);
        }
    }
}

fn validate_update(new: &Value, old: &Value, namespaced: bool) -> ErrorList {
    let mut errors = validate(new, namespaced);
    let role = new.at("roleRef");
    if ["apiGroup", "kind", "name"].iter().any(|n| role.at(n).str() != old.at("roleRef").at(n).str()) {
        errors.push(internal::invalid(&Path::new("roleRef"), "rbac.RoleRef", role, "cannot change roleRef"));
    }
    errors
}

fn validate(binding: &Value, namespaced: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let (role, path) = (binding.at("roleRef"), Path::new("roleRef"));
    let group = role.at("apiGroup").str();
    if group != GROUP {
        errors.push(Error::not_supported_in_order(&path.child("apiGroup"), group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = role.at("kind").str();
    if !kinds.contains(&kind) {
        errors.push(Error::not_supported_in_order(&path.child("kind"), kind, kinds));
    }
    check::required_path_segment(role.at("name").str(), &path.child("name"), &mut errors);
    let path = Path::new("subjects");
    for (i, subject) in binding.at("subjects").items().iter().enumerate() {
        validate_subject(subject, namespaced, &path.index(i), &mut errors);
    }
    errors
}

fn validate_subject(subject: &Value, namespaced: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let text = |name: &str| subject.at(name).str();
    if text("name").is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let group_path = path.child("apiGroup");
    match text("kind") {
        "ServiceAccount" => {
            if !text("name").is_empty() {
                check::dns1123_subdomain(text("name"), &path.child("name"), errors);
            }
            if !text("apiGroup").is_empty() {
                errors.push(Error::not_supported_in_order(&group_path, text("apiGroup"), &[""]));
            }
            if !namespaced && text("namespace").is_empty() {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if text("apiGroup") != GROUP {
                errors.push(Error::not_supported_in_order(&group_path, text("apiGroup"), &[GROUP]));
            }
        }
        other => {
            let known = ["ServiceAccount", "User", "Group"];
            errors.push(Error::not_supported_in_order(&path.child("kind"), other, &known));
        }
    }
}
