//! IngressClass.

use crate::check;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default: |class| {
        let parameters = class.get_mut("spec").and_then(|s| s.get_mut("parameters"));
        if let Some(parameters) = parameters.filter(|p| !p.is_null()) {
            check::default(parameters, "scope", "Cluster");
        }
    },
    validate_create: |_, class| {
        let mut errors = ErrorList::new();
        validate(class, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        let controller = |v: &Value| Value::from(v.at("spec").at("controller").str());
        let path = Path::new("spec");
        check::immutable(&controller(new), &controller(old), &path.child("controller"), &mut errors);
        validate(new, &mut errors);
        errors
    },
    ..Hooks::NONE
};

/// Upstream's bound.
const CONTROLLER_MAX_BYTES: usize = 250;

fn validate(class: &Value, errors: &mut ErrorList) {
    let (spec, path) = (class.at("spec"), Path::new("spec"));
    let controller = spec.at("controller").str();
    if controller.len() > CONTROLLER_MAX_BYTES {
        errors.push(Error::too_long(&path.child("controller"), CONTROLLER_MAX_BYTES));
    }
    errors.extend(names::domain_prefixed_path(&path.child("controller"), controller));
    let parameters = spec.at("parameters");
    if !parameters.is_null() {
        validate_parameters(parameters, &path.child("parameters"), errors);
    }
}

/// Group, kind and name of a local reference.
pub(super) fn validate_reference(reference: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(group) = reference.at("apiGroup").as_str() {
        check::dns1123_subdomain(group, &path.child("apiGroup"), errors);
    }
    check::required_path_segment(reference.at("kind").str(), &path.child("kind"), errors);
    check::required_path_segment(reference.at("name").str(), &path.child("name"), errors);
}

fn validate_parameters(parameters: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    validate_reference(parameters, path, errors);
    let (scope, namespace) = (parameters.at("scope"), parameters.at("namespace"));
    let namespace_path = path.child("namespace");
    match scope.as_str() {
        None => errors.push(Error::required(&path.child("scope"), "")),
        Some("Namespace") => match namespace.as_str() {
            None => errors.push(Error::required(&namespace_path, "`parameters.scope` is set to 'Namespace'")),
            Some(name) => check::dns1123_label(name, &namespace_path, errors),
        },
        Some("Cluster") => {
            if !namespace.is_null() {
                errors.push(Error::forbidden(&namespace_path, "`parameters.scope` is set to 'Cluster'"));
            }
        }
        Some(other) => {
            let known = ["Cluster", "Namespace"];
            errors.push(Error::not_supported_in_order(&path.child("scope"), other, &known));
        }
    }
}
