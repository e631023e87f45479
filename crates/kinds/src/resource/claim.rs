//! ResourceClaim and ResourceClaimTemplate.

use super::device_class::{CONFIGS_MAX, validate_configuration, validate_selectors};
use super::{by_name, claim_status, each, each_unique, itself, names};
use crate::check;
use crate::hooks::Hooks;
use crate::internal;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashMap;
use value::Value;

pub(super) const CLAIM: Hooks = Hooks {
    default: |claim| {
        if let Some(spec) = claim.get_mut("spec") {
            default_spec(spec);
        }
        let mut results = claim.get_mut("status");
        for name in ["allocation", "devices", "results"] {
            results = results.and_then(|v| v.get_mut(name));
        }
        for result in results.and_then(Value::as_array_mut).into_iter().flatten() {
            default_tolerations(result);
        }
    },
    prepare_create: |_, claim| prepare::reset_status(claim),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, claim| {
        let mut errors = ErrorList::new();
        validate_spec(claim.at("spec"), &Path::new("spec"), &mut errors);
        errors
    },
    validate_update: |_, new, old| immutable_spec("resource.ResourceClaimSpec", new, old),
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        prepare::reset_meta_for_status(new, old);
        claim_status::drop_deallocated(new, old);
    },
    validate_subresource: |_, new, old| claim_status::validate(new, old),
    ..Hooks::NONE
};

pub(super) const TEMPLATE: Hooks = Hooks {
    default: |template| {
        if let Some(spec) = template.get_mut("spec").and_then(|s| s.get_mut("spec")) {
            default_spec(spec);
        }
    },
    validate_create: |_, template| {
        let mut errors = ErrorList::new();
        validate_template(template, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        validate_template(new, &mut errors);
        errors.extend(immutable_spec("resource.ResourceClaimTemplateSpec", new, old));
        errors
    },
    ..Hooks::NONE
};

fn validate_template(template: &Value, errors: &mut ErrorList) {
    let (spec, path) = (template.at("spec"), Path::new("spec"));
    check::template_meta(spec.at("metadata"), &path.child("metadata"), errors);
    validate_spec(spec.at("spec"), &path.child("spec"), errors);
}

fn immutable_spec(kind: &str, new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    internal::immutable(kind, new.at("spec"), old.at("spec"), &Path::new("spec"), &mut errors);
    errors
}

fn default_spec(spec: &mut Value) {
    let requests = spec.get_mut("devices").and_then(|d| d.get_mut("requests")).and_then(Value::as_array_mut);
    for request in requests.into_iter().flatten() {
        if let Some(exactly) = request.get_mut("exactly").filter(|e| !e.is_null()) {
            default_request(exactly);
        }
        let subs = request.get_mut("firstAvailable").and_then(Value::as_array_mut);
        subs.into_iter().flatten().for_each(default_request);
    }
}

fn default_request(request: &mut Value) {
    check::default_text(request, "allocationMode", "ExactCount");
    if request.at("allocationMode").str() == "ExactCount" && request.at("count").int() == 0 {
        request.set("count", 1);
    }
    default_tolerations(request);
}

fn default_tolerations(of: &mut Value) {
    let tolerations = of.get_mut("tolerations").and_then(Value::as_array_mut);
    for toleration in tolerations.into_iter().flatten() {
        check::default_text(toleration, "operator", "Equal");
    }
}

/// Upstream's bounds.
pub(super) const REQUESTS_MAX: usize = 32;
const CONSTRAINTS_MAX: usize = 32;
const FIRST_AVAILABLE_MAX: usize = 8;

/// The requests of a claim, each with its alternatives.
pub(super) struct Requests<'a>(HashMap<&'a str, Vec<&'a str>>);

impl<'a> Requests<'a> {
    pub(super) fn of(spec: &'a Value) -> Self {
        let requests = spec.at("devices").at("requests").items().iter();
        Self(
            requests
                .map(|r| {
                    let subs = r.at("firstAvailable").items().iter().map(|s| s.at("name").str());
                    (r.at("name").str(), subs.collect())
                })
                .collect(),
        )
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, sub)) => self.0.get(request).is_some_and(|subs| subs.contains(&sub)),
        }
    }

    /// A reference to a request, or to one of its alternatives.
    pub(super) fn validate_reference(&self, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
        let text = "must be the name of a request in the claim or the name of a request and a subrequest separated \
                    by '/'";
        if name.matches('/').count() > 1 {
            errors.push(Error::invalid(path, name, text));
            return;
        }
        for part in name.split('/') {
            check::dns1123_label(part, path, errors);
        }
        if !self.has(name) {
            errors.push(Error::invalid(path, name, text));
        }
    }

    /// A list of such references.
    pub(super) fn validate_references(&self, list: &Value, path: &Path<'_>, errors: &mut ErrorList) {
        each_unique(list, REQUESTS_MAX, itself, path, errors, |name, path, errors| {
            self.validate_reference(name.str(), path, errors);
        });
    }
}

fn validate_spec(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (devices, path) = (spec.at("devices"), path.child("devices"));
    let requests = Requests::of(spec);
    each_unique(
        devices.at("requests"),
        REQUESTS_MAX,
        by_name,
        &path.child("requests"),
        errors,
        validate_request,
    );
    let constraints_path = path.child("constraints");
    each(
        devices.at("constraints"),
        CONSTRAINTS_MAX,
        &constraints_path,
        errors,
        |constraint, path, errors| {
            requests.validate_references(constraint.at("requests"), &path.child("requests"), errors);
            let (matching, distinct) = (constraint.at("matchAttribute"), constraint.at("distinctAttribute"));
            if let Some(name) = matching.as_str() {
                names::fully_qualified(name, &path.child("matchAttribute"), errors);
            } else if let Some(name) = distinct.as_str() {
                names::fully_qualified(name, &path.child("distinctAttribute"), errors);
            } else {
                let text = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields \
                        are set";
                errors.push(Error::required(path, text));
            }
        },
    );
    each(devices.at("config"), CONFIGS_MAX, &path.child("config"), errors, |config, path, errors| {
        requests.validate_references(config.at("requests"), &path.child("requests"), errors);
        validate_configuration(config, false, path, errors);
    });
}

fn validate_request(request: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::dns1123_label(request.at("name").str(), &path.child("name"), errors);
    let (first, exactly) = (request.at("firstAvailable"), request.at("exactly"));
    match (first.items().is_empty(), exactly.is_null()) {
        (true, true) => {
            errors.push(Error::required(path, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (false, false) => {
            let text =
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(Error::invalid(path, Value::Null, text));
        }
        (false, true) => {
            let path = path.child("firstAvailable");
            each_unique(first, FIRST_AVAILABLE_MAX, by_name, &path, errors, |sub, path, errors| {
                check::dns1123_label(sub.at("name").str(), &path.child("name"), errors);
                validate_wanted(sub, path, errors);
            });
        }
        (true, false) => validate_wanted(exactly, &path.child("exactly"), errors),
    }
}

/// What is asked for: class, selectors, how many, and what is put up with.
fn validate_wanted(wanted: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (class, class_path) = (wanted.at("deviceClassName").str(), path.child("deviceClassName"));
    if class.is_empty() {
        errors.push(Error::required(&class_path, ""));
    } else {
        check::dns1123_subdomain(class, &class_path, errors);
    }
    validate_selectors(wanted.at("selectors"), false, &path.child("selectors"), errors);
    let (mode, count) = (wanted.at("allocationMode").str(), wanted.at("count").int());
    match mode {
        "All" => {
            if count != 0 {
                let text = "must not be specified when allocationMode is 'All'";
                errors.push(Error::invalid(&path.child("count"), count, text));
            }
        }
        "ExactCount" => {
            if count <= 0 {
                errors.push(Error::invalid(&path.child("count"), count, "must be greater than zero"));
            }
        }
        _ => {
            let known = ["All", "ExactCount"];
            errors.push(Error::not_supported_in_order(&path.child("allocationMode"), mode, &known));
        }
    }
    let path = path.child("tolerations");
    for (i, toleration) in wanted.at("tolerations").items().iter().enumerate() {
        validate_toleration(toleration, &path.index(i), errors);
    }
}

pub(super) const TAINT_EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

fn validate_toleration(toleration: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let text = |name: &str| toleration.at(name).str();
    if !text("key").is_empty() {
        check::qualified_name(text("key"), &path.child("key"), errors);
    }
    let (value, value_path) = (text("value"), path.child("value"));
    match text("operator") {
        "Exists" => {
            if !value.is_empty() {
                errors.push(Error::invalid(&value_path, value, "must be empty for operator `Exists`"));
            }
        }
        "Equal" => check::invalid_each(value, meta::names::label_value(value), &value_path, errors),
        "" => errors.push(Error::required(&path.child("operator"), "")),
        other => {
            let known = ["Equal", "Exists"];
            errors.push(Error::not_supported_in_order(&path.child("operator"), other, &known));
        }
    }
    let effect = text("effect");
    if !effect.is_empty() && !TAINT_EFFECTS.contains(&effect) {
        errors.push(Error::not_supported_in_order(&path.child("effect"), effect, &TAINT_EFFECTS));
    }
}
