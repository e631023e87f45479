//! ReplicationControllers.
//!
//! Upstream: `ValidateReplicationController*` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/replicationcontroller/strategy.go`.

use super::pod::{self, Options};
use super::util::{finalizer_names, non_negative, unsupported};
use crate::check::{self, default};
use crate::equal::semantic_equal;
use crate::hooks::{Hooks, NameRule};
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use value::Value;

const NON_CONVERTIBLE: &str = "non-convertible.kubernetes.io";

pub(super) const HOOKS: Hooks = Hooks {
    default: default_controller,
    prepare_create: |_, controller| {
        prepare::reset_status(controller);
        prepare::template_create(controller, &["spec", "template"]);
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        prepare::template_update(new, old, &["spec", "template"]);
    },
    validate_create: |_, controller| validate(controller, None),
    validate_update: |_, new, old| {
        let mut errors = validate(new, Some(old));
        unconvertible(new, old, &mut errors);
        errors
    },
    warn_create: |_, controller| {
        let mut warnings = check::pod_name_warning(controller);
        warnings.extend(template_warnings(controller));
        warnings
    },
    warn_update: |_, new, old| {
        let generation = |v: &Value| v.at("metadata").at("generation").int();
        // Upstream passes the templates in the wrong order: the old one is warned of.
        if generation(new) == generation(old) { Vec::new() } else { template_warnings(old) }
    },
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, _| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        status(new.at("status"), &mut errors);
        errors
    },
    name: NameRule::LongName,
    ..Hooks::NONE
};

fn template_warnings(controller: &Value) -> Vec<String> {
    let path = Path::new("spec");
    pod::template_warnings(controller.at("spec").at("template"), None, &path.child("template"))
}

fn default_controller(controller: &mut Value) {
    let labels = controller.path(&["spec", "template", "metadata", "labels"]).clone();
    if !labels.is_null()
        && let Some(metadata) = controller.object_at("metadata")
        && metadata.at("labels").is_empty()
    {
        metadata.set("labels", labels.clone());
    }
    let Some(spec) = controller.object_at("spec") else { return };
    if !labels.is_null() && spec.at("selector").is_empty() {
        spec.set("selector", labels);
    }
    default(spec, "replicas", 1);
    if let Some(template) = spec.get_mut("template").filter(|t| !t.is_null()) {
        pod::default_pod_template(template);
    }
}

fn validate(controller: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    finalizer_names(controller, &mut errors);
    let (spec, path) = (controller.at("spec"), Path::new("spec"));
    non_negative(spec.at("minReadySeconds"), &path.child("minReadySeconds"), &mut errors);
    if spec.at("selector").is_empty() {
        errors.push(Error::required(&path.child("selector"), ""));
    }
    let replicas_path = path.child("replicas");
    if spec.at("replicas").is_null() {
        errors.push(Error::required(&replicas_path, ""));
    } else {
        non_negative(spec.at("replicas"), &replicas_path, &mut errors);
    }
    let (template, path) = (spec.at("template"), path.child("template"));
    if template.is_null() {
        errors.push(Error::required(&path, ""));
        return errors;
    }
    let labels = template.at("metadata").at("labels");
    if spec.at("selector").entries().any(|(k, v)| labels.get(k) != Some(v)) {
        let path = path.child("metadata");
        let text = "`selector` does not match template `labels`";
        errors.push(Error::invalid(&path.child("labels"), labels.clone(), text));
    }
    let options = Options { old: old.map(|o| o.at("spec").at("template").clone()) };
    pod::validate_pod_template_spec(template, &path, &options, &mut errors);
    let path = path.child("spec");
    let policy = template.at("spec").at("restartPolicy").str();
    if policy != "Always" {
        errors.push(unsupported(&path.child("restartPolicy"), policy, &["Always"]));
    }
    if !template.at("spec").at("activeDeadlineSeconds").is_null() {
        let text = "activeDeadlineSeconds in ReplicationController is not Supported";
        errors.push(Error::forbidden(&path.child("activeDeadlineSeconds"), text));
    }
    errors
}

/// What came from a ReplicaSet and cannot be said here must not change.
fn unconvertible(new: &Value, old: &Value, errors: &mut ErrorList) {
    for (key, v) in old.at("metadata").at("annotations").entries() {
        let Some(field) = key.strip_prefix(NON_CONVERTIBLE).and_then(|k| k.strip_prefix('/')) else {
            continue;
        };
        if field.contains("selector") {
            let selector = |v: &Value| v.at("spec").at("selector").clone();
            if !semantic_equal(&selector(new), &selector(old)) {
                let path = Path::new("spec");
                let text = "cannot update non-convertible selector";
                errors.push(Error::invalid(&path.child("selector"), selector(new), text));
            }
        } else if !field.contains('/') {
            let mut error = Error::not_found(&Path::new(field), v.str());
            error.detail = "unknown non-convertible field".into();
            errors.push(error);
        }
    }
}

fn status(status: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    for name in
        ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"]
    {
        non_negative(status.at(name), &path.child(name), errors);
    }
    let mut bound = |name: &str, by: &str, text: &str| {
        if status.at(name).int() > status.at(by).int() {
            errors.push(Error::invalid(&path.child(name), status.at(name).int(), text));
        }
    };
    for name in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        bound(name, "replicas", "cannot be greater than status.replicas");
    }
    bound("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
}
