//! What may change in a Job's spec.

use super::job;
use crate::check;
use crate::equal::semantic_equal;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let template_mutable = is_template_mutable(old);
    let (new, old) = (new.at("spec"), old.at("spec"));
    let path = Path::new("spec");
    job::validate_spec(new, Some(old), &path, errors);
    validate_completions(new, old, &path.child("completions"), errors);
    if !semantic_equal(new.at("selector"), old.at("selector")) {
        let path = path.child("selector");
        errors.push(check::invalid_selector(&path, new.at("selector"), "field is immutable"));
    }
    validate_template(new, old, template_mutable, &path, errors);
    for (name, kind) in [
        ("completionMode", ""),
        ("podFailurePolicy", "batch.PodFailurePolicy"),
        ("backoffLimitPerIndex", ""),
        ("managedBy", ""),
        ("successPolicy", "batch.SuccessPolicy"),
    ] {
        internal::immutable(kind, new.at(name), old.at(name), &path.child(name), errors);
    }
}

/// A job that is suspended and has no running pods.
fn is_template_mutable(job: &Value) -> bool {
    let status = job.at("status");
    let suspended = status
        .at("conditions")
        .items()
        .iter()
        .any(|c| c.at("type").str() == "Suspended" && c.at("status").str() == "True");
    job.at("spec").at("suspend").bool()
        && (status.at("startTime").is_null() || suspended)
        && status.at("active").int() == 0
}

fn validate_completions(new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (completions, before) = (new.at("completions"), old.at("completions"));
    if new.at("completionMode").str() != "Indexed" {
        check::immutable(completions, before, path, errors);
        return;
    }
    if completions != before && !completions.is_null() && completions.int() != new.at("parallelism").int() {
        // Upstream's root of the path is its first segment.
        let text = "can only be modified in tandem with spec.parallelism";
        errors.push(Error::invalid(path, completions.clone(), text));
    }
}

fn validate_template(new: &Value, old: &Value, mutable: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let template = new.at("template");
    let mut before = old.at("template").clone();
    if mutable {
        take_scheduling(&mut before, template);
    }
    if !mutable || !old.at("suspend").bool() {
        internal::immutable("core.PodTemplateSpec", template, &before, &path.child("template"), errors);
        return;
    }
    let pod = template.at("spec");
    let mut before = before.at("spec").clone();
    take_resources(&mut before, pod);
    internal::immutable("core.PodSpec", pod, &before, &path.child("template.spec"), errors);
}

/// Puts into the old template what may change of the new one: where its pods go.
fn take_scheduling(old: &mut Value, new: &Value) {
    if let Some(metadata) = old.object_at("metadata") {
        for name in ["annotations", "labels"] {
            crate::prepare::keep(metadata, new.at("metadata"), name);
        }
    }
    let new = new.at("spec");
    let Some(old) = old.object_at("spec") else { return };
    for name in ["nodeSelector", "tolerations", "schedulingGates"] {
        crate::prepare::keep(old, new, name);
    }
    match (new.at("affinity").is_null(), old.at("affinity").is_null()) {
        (true, false) => {
            if let Some(affinity) = old.get_mut("affinity") {
                affinity.remove("nodeAffinity");
            }
            if old.at("affinity").is_empty() {
                old.remove("affinity");
            }
        }
        (false, _) => {
            if let Some(affinity) = old.object_at("affinity") {
                crate::prepare::keep(affinity, new.at("affinity"), "nodeAffinity");
            }
        }
        (true, true) => {}
    }
}

/// Puts into the old pod the resources of the new one's containers.
fn take_resources(old: &mut Value, new: &Value) {
    for list in ["containers", "initContainers"] {
        let news = new.at(list).items();
        let Some(olds) = old.get_mut(list).and_then(Value::as_array_mut) else { continue };
        if olds.len() != news.len() {
            continue;
        }
        for (old, new) in olds.iter_mut().zip(news) {
            if old.at("name") == new.at("name") {
                crate::prepare::keep(old, new, "resources");
            }
        }
    }
}
