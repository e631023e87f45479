//! ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding.

use super::rules;
use crate::check;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, content};
use std::collections::HashSet;
use value::Value;

pub(super) const VALIDATING: Hooks = Hooks {
    default,
    validate_create: |_, b| validate_validating(b),
    validate_update: |_, b, _| validate_validating(b),
    ..Hooks::NONE
};

pub(super) const MUTATING: Hooks = Hooks {
    default,
    validate_create: |_, b| validate_mutating(b),
    validate_update: |_, b, _| validate_mutating(b),
    ..Hooks::NONE
};

fn default(binding: &mut Value) {
    let resources = binding.get_mut("spec").and_then(|s| s.get_mut("matchResources"));
    if let Some(resources) = resources.filter(|r| !r.is_null()) {
        rules::default_match_resources(resources);
    }
}

fn validate_common(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let policy = spec.at("policyName").str();
    let policy_path = path.child("policyName");
    if policy.is_empty() {
        errors.push(Error::required(&policy_path, ""));
    } else {
        check::invalid_each(policy, names::dns1123_subdomain(policy), &policy_path, errors);
    }
    validate_param_ref(spec.at("paramRef"), &path.child("paramRef"), errors);
    rules::validate_match_resources(spec.at("matchResources"), &path.child("matchResources"), errors);
}

fn validate_mutating(binding: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (binding.at("spec"), Path::new("spec"));
    validate_common(spec, &path, &mut errors);
    rules::validate_mutating_operations(
        spec.at("matchResources"),
        &path.child("matchResources"),
        &mut errors,
    );
    errors
}

fn validate_validating(binding: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (binding.at("spec"), Path::new("spec"));
    validate_common(spec, &path, &mut errors);
    let (actions, path) = (spec.at("validationActions"), path.child("validationActions"));
    let mut seen = HashSet::new();
    for (i, action) in actions.items().iter().enumerate() {
        rules::one_of(action, &["Audit", "Deny", "Warn"], &path.index(i), &mut errors);
        if !seen.insert(action.str()) {
            errors.push(Error::duplicate(&path.index(i), action.clone()));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        errors.push(Error::invalid(
            &path,
            actions.clone(),
            "must not contain both Deny and Warn (repeating the same validation failure information in the API \
             response and headers serves no purpose)",
        ));
    }
    if seen.is_empty() {
        errors.push(Error::required(&path, "at least one validation action is required"));
    }
    errors
}

fn validate_param_ref(param: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if param.is_null() {
        return;
    }
    let (name, selector) = (param.at("name").str(), param.at("selector"));
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    if !name.is_empty() {
        check::invalid_each(name, content::path_segment_name(name), &path.child("name"), errors);
        if !selector.is_null() {
            errors.push(Error::forbidden(&path.child("name"), EXCLUSIVE));
        }
    }
    if !selector.is_null() {
        check::label_selector(selector, &path.child("selector"), errors);
        if !name.is_empty() {
            errors.push(Error::forbidden(&path.child("selector"), EXCLUSIVE));
        }
    }
    if name.is_empty() && selector.is_null() {
        errors.push(Error::required(path, "one of name or selector must be specified"));
    }
    let action = param.at("parameterNotFoundAction").str();
    let path = path.child("parameterNotFoundAction");
    match action {
        "" => errors.push(Error::required(&path, "")),
        "Deny" | "Allow" => {}
        _ => errors.push(Error::not_supported_in_order(&path, action, &["Deny", "Allow"])),
    }
}
