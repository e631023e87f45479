//! Role and ClusterRole.

use crate::check::{self, Selector};
use crate::hooks::{Hooks, NameRule};
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const ROLE: Hooks = Hooks {
    validate_create: |_, role| validate_rules(role, true),
    validate_update: |_, role, _| validate_rules(role, true),
    name: NameRule::PathSegment,
    ..Hooks::NONE
};

pub(super) const CLUSTER_ROLE: Hooks = Hooks {
    validate_create: |_, role| validate_cluster_role(role, false),
    validate_update: |_, new, old| validate_cluster_role(new, has_invalid_selector(old)),
    name: NameRule::PathSegment,
    ..Hooks::NONE
};

fn validate_rules(role: &Value, namespaced: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("rules");
    for (i, rule) in role.at("rules").items().iter().enumerate() {
        validate_rule(rule, namespaced, &path.index(i), &mut errors);
    }
    errors
}

fn validate_rule(rule: &Value, namespaced: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let empty = |name: &str| rule.at(name).items().is_empty();
    if empty("verbs") {
        errors.push(Error::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    if !empty("nonResourceURLs") {
        let (urls, path) = (rule.at("nonResourceURLs"), path.child("nonResourceURLs"));
        if namespaced {
            let text = "namespaced rules cannot apply to non-resource URLs";
            errors.push(Error::invalid(&path, urls.clone(), text));
        }
        if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
            let text = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(Error::invalid(&path, urls.clone(), text));
        }
        return;
    }
    if empty("apiGroups") {
        let text = "resource rules must supply at least one api group";
        errors.push(Error::required(&path.child("apiGroups"), text));
    }
    if empty("resources") {
        let text = "resource rules must supply at least one resource";
        errors.push(Error::required(&path.child("resources"), text));
    }
}

fn validate_cluster_role(role: &Value, lenient: bool) -> ErrorList {
    let mut errors = validate_rules(role, false);
    let aggregation = role.at("aggregationRule");
    if aggregation.is_null() {
        return errors;
    }
    let path = Path::new("aggregationRule");
    let path = path.child("clusterRoleSelectors");
    let selectors = aggregation.at("clusterRoleSelectors").items();
    if selectors.is_empty() {
        let text = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(Error::required(&path, text));
    }
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i);
        check::label_selector_with(selector, lenient, &path, &mut errors);
        if Selector::parse(selector).is_err() {
            // Upstream shows the selector that could not be made.
            errors.push(Error::invalid(&path, Value::Null, "invalid label selector."));
        }
    }
    errors
}

fn has_invalid_selector(role: &Value) -> bool {
    let mut errors = ErrorList::new();
    for selector in role.at("aggregationRule").at("clusterRoleSelectors").items() {
        check::label_selector(selector, &Path::new(""), &mut errors);
    }
    !errors.is_empty()
}
