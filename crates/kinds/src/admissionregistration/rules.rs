//! Which requests a webhook or policy is for.

use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::names::content;
use std::collections::HashSet;
use value::Value;

pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
pub(super) const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MUTATING_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

/// A value that, if it is there, must be one of a set.
pub(super) fn one_of(v: &Value, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    if !v.is_null() && !known.contains(&v.str()) {
        errors.push(Error::not_supported_in_order(path, v.clone(), known));
    }
}

/// The same for a value that must be there.
pub(super) fn required_one_of(v: &Value, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    if v.is_null() {
        errors.push(Error::required(path, ""));
    } else {
        one_of(v, known, path, errors);
    }
}

/// Defaults of a list of rules.
pub(super) fn default_rules(rules: Option<&mut Value>) {
    for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
        check::default(rule, "scope", "*");
    }
}

/// Defaults of MatchResources.
pub(super) fn default_match_resources(resources: &mut Value) {
    check::default(resources, "matchPolicy", "Equivalent");
    check::default(resources, "namespaceSelector", Value::object());
    check::default(resources, "objectSelector", Value::object());
    default_rules(resources.get_mut("resourceRules"));
    default_rules(resources.get_mut("excludeResourceRules"));
}

/// Errors of MatchResources.
pub(super) fn validate_match_resources(resources: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if resources.is_null() {
        return;
    }
    required_one_of(resources.at("matchPolicy"), &MATCH_POLICIES, &path.child("matchPolicy"), errors);
    for name in ["namespaceSelector", "objectSelector"] {
        if resources.at(name).is_null() {
            errors.push(Error::required(&path.child(name), ""));
        } else {
            check::label_selector(resources.at(name), &path.child(name), errors);
        }
    }
    for name in ["resourceRules", "excludeResourceRules"] {
        let path = path.child(name);
        for (i, rule) in resources.at(name).items().iter().enumerate() {
            validate_named_rule(rule, &path.index(i), errors);
        }
    }
}

/// Operations that a mutation can have nothing to do with.
pub(super) fn validate_mutating_operations(resources: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("resourceRules");
    for operation in resources.at("resourceRules").items().iter().flat_map(|r| r.at("operations").items()) {
        one_of(operation, &MUTATING_OPERATIONS, &path.child("operations"), errors);
    }
}

fn validate_named_rule(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let names_path = path.child("resourceNames");
    let mut seen = HashSet::new();
    for (i, name) in rule.at("resourceNames").items().iter().enumerate() {
        let path = names_path.index(i);
        check::invalid_each(name.str(), content::path_segment_name(name.str()), &path, errors);
        if !seen.insert(name.str()) {
            errors.push(Error::duplicate(&path, name.clone()));
        }
    }
    validate_rule(rule, path, errors);
}

/// Errors of a rule with its operations.
pub(super) fn validate_rule(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let operations = rule.at("operations");
    required_list(operations, "operations", &path.child("operations"), errors);
    let operations_path = path.child("operations");
    for (i, operation) in operations.items().iter().enumerate() {
        one_of(operation, &OPERATIONS, &operations_path.index(i), errors);
    }
    required_list(rule.at("apiGroups"), "API groups", &path.child("apiGroups"), errors);
    let versions_path = path.child("apiVersions");
    required_list(rule.at("apiVersions"), "API versions", &versions_path, errors);
    for (i, version) in rule.at("apiVersions").items().iter().enumerate() {
        if version.str().is_empty() {
            errors.push(Error::required(&versions_path.index(i), ""));
        }
    }
    validate_resources(rule.at("resources"), &path.child("resources"), errors);
    one_of(rule.at("scope"), &SCOPES, &path.child("scope"), errors);
}

fn required_list(list: &Value, what: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let items = list.items();
    if items.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if items.len() > 1 && items.iter().any(|v| v.str() == "*") {
        let text = format!("if '*' is present, must not specify other {what}");
        errors.push(Error::invalid(path, list.clone(), text));
    }
}

fn validate_resources(resources: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let items = resources.items();
    if items.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let (mut all_of, mut of_all) = (HashSet::new(), HashSet::new());
    let (mut everything, mut star, mut plain) = (false, false, false);
    for (i, item) in items.iter().enumerate() {
        let path = path.index(i);
        let text = item.str();
        everything |= text == "*/*";
        star |= text == "*";
        if text.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let Some((resource, sub)) = text.split_once('/') else {
            // Upstream remembers only the last one.
            plain = text != "*";
            continue;
        };
        if all_of.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {text}");
            errors.push(Error::invalid(&path, text, detail));
        }
        if of_all.contains(sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {text}");
            errors.push(Error::invalid(&path, text, detail));
        }
        if sub == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            of_all.insert(sub);
        }
    }
    if items.len() > 1 && everything {
        let text = "if '*/*' is present, must not specify other resources";
        errors.push(Error::invalid(path, resources.clone(), text));
    }
    if star && plain {
        let text = "if '*' is present, must not specify other resources without subresources";
        errors.push(Error::invalid(path, resources.clone(), text));
    }
}
