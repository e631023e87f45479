//! ReplicaSet, and the template rules that it shares with Deployment.

use crate::check::{self, Selector};
use crate::core::pod;
use crate::hooks::{Context, Hooks};
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |_, rs| {
        prepare::reset_status(rs);
        prepare::template_create(rs, &["spec", "template"]);
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        prepare::template_update(new, old, &["spec", "template"]);
    },
    validate_create: |_, rs| validate(rs, None),
    validate_update: |_, new, old| {
        let mut errors = validate(new, Some(old));
        let path = Path::new("spec");
        check::immutable_selector(new, old, &path.child("selector"), &mut errors);
        errors
    },
    warn_create: |_, rs| {
        let mut warnings = check::pod_name_warning(rs);
        warnings.extend(pod_warnings(rs, None));
        warnings
    },
    warn_update,
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, _| validate_status(new),
    ..Hooks::NONE
};

fn default(rs: &mut Value) {
    if let Some(spec) = rs.object_at("spec") {
        check::default(spec, "replicas", 1);
        if let Some(template) = spec.object_at("template") {
            pod::default_pod_template(template);
        }
    }
}

fn validate(rs: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = rs.at("spec");
    let path = Path::new("spec");
    check::non_negative(spec.at("replicas"), &path.child("replicas"), &mut errors);
    check::non_negative(spec.at("minReadySeconds"), &path.child("minReadySeconds"), &mut errors);
    selector_and_template(spec, old.map(|o| o.at("spec")), &path, &mut errors);
    errors
}

/// The selector, and that the template's labels match it.
pub(super) fn selector_and_template(
    spec: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let selector = spec.at("selector");
    required_selector(selector, "empty selector is invalid for deployment", &path.child("selector"), errors);
    match Selector::parse(selector) {
        Err(_) => {
            errors.push(check::invalid_selector(&path.child("selector"), selector, "invalid label selector"))
        }
        Ok(parsed) => {
            let (template, path) = (spec.at("template"), path.child("template"));
            let labels = template.at("metadata").at("labels");
            if !parsed.is_empty() && !parsed.matches(labels) {
                let text = "`selector` does not match template `labels`";
                errors.push(Error::invalid(&path.child("metadata").child("labels"), labels.clone(), text));
            }
            let options = pod::Options { old: old.map(|o| o.at("template").clone()) };
            pod::validate_pod_template_spec(template, &path, &options, errors);
            always_running(template, "ReplicaSet", &path, errors);
        }
    }
}

/// A selector that must be there and must not be empty.
pub(super) fn required_selector(selector: &Value, empty: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if selector.is_null() {
        errors.push(Error::required(path, ""));
        return;
    }
    check::label_selector(selector, path, errors);
    if selector.at("matchLabels").is_empty() && selector.at("matchExpressions").is_empty() {
        errors.push(check::invalid_selector(path, selector, empty));
    }
}

/// Pods that are always restarted and never time out.
pub(super) fn always_running(template: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let (spec, path) = (template.at("spec"), path.child("spec"));
    if spec.at("restartPolicy").str() != "Always" {
        let policy = spec.at("restartPolicy").str();
        errors.push(Error::not_supported_in_order(&path.child("restartPolicy"), policy, &["Always"]));
    }
    if !spec.at("activeDeadlineSeconds").is_null() {
        let text = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(Error::forbidden(&path.child("activeDeadlineSeconds"), text));
    }
}

/// Warnings for the template at `spec.template`.
pub(super) fn pod_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = Path::new("spec");
    let template = |v: &Value| v.at("spec").at("template").clone();
    pod::template_warnings(&template(new), old.map(template).as_ref(), &spec.child("template"))
}

/// Warnings for the template, if the object changed in a way that its generation counts.
pub(super) fn warn_update(_: &Context, new: &Value, old: &Value) -> Vec<String> {
    let generation = |v: &Value| v.at("metadata").at("generation").int();
    if generation(new) == generation(old) { Vec::new() } else { pod_warnings(new, Some(old)) }
}

fn validate_status(rs: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (status, path) = (rs.at("status"), Path::new("status"));
    for name in [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ] {
        check::non_negative(status.at(name), &path.child(name), &mut errors);
    }
    for name in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        not_greater(status, name, "replicas", "cannot be greater than status.replicas", &path, &mut errors);
    }
    let text = "cannot be greater than readyReplicas";
    not_greater(status, "availableReplicas", "readyReplicas", text, &path, &mut errors);
    errors
}

/// That one number of a status is not above another.
pub(super) fn not_greater(
    status: &Value,
    name: &str,
    bound: &str,
    text: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if status.at(name).int() > status.at(bound).int() {
        errors.push(Error::invalid(&path.child(name), status.at(name).int(), text));
    }
}

/// That a collision count did not fall.
pub(super) fn collision_count(new: &Value, old: &Value, errors: &mut ErrorList) {
    let count = |v: &Value| v.at("status").at("collisionCount").clone();
    let (new, old) = (count(new), count(old));
    if !old.is_null() && (new.is_null() || new.int() < old.int()) {
        let path = Path::new("status");
        errors.push(Error::invalid(&path.child("collisionCount"), new.int(), "cannot be decremented"));
    }
}
