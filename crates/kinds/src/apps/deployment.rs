//! Deployment.

use super::replica_set;
use super::strategy::{int_or_percent, not_more_than_100_percent, or_zero, positive_int_or_percent};
use crate::check;
use crate::core::pod;
use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |_, d| {
        prepare::reset_status(d);
        prepare::template_create(d, &["spec", "template"]);
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        prepare::template_update(new, old, &["spec", "template"]);
    },
    validate_create: |_, d| validate(d, None),
    validate_update: |_, new, old| {
        let mut errors = validate(new, Some(old));
        let path = Path::new("spec");
        check::immutable_selector(new, old, &path.child("selector"), &mut errors);
        errors
    },
    warn_create: |_, d| {
        let mut warnings = check::pod_name_warning(d);
        warnings.extend(replica_set::pod_warnings(d, None));
        warnings
    },
    warn_update: replica_set::warn_update,
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        prepare::keep_labels(new, old);
    },
    validate_subresource: |_, new, old| validate_status(new, old),
    ..Hooks::NONE
};

fn default(d: &mut Value) {
    let Some(spec) = d.object_at("spec") else { return };
    check::default(spec, "replicas", 1);
    if let Some(strategy) = spec.object_at("strategy") {
        check::default_text(strategy, "type", "RollingUpdate");
        if strategy.at("type").str() == "RollingUpdate"
            && let Some(rolling) = strategy.object_at("rollingUpdate")
        {
            check::default(rolling, "maxUnavailable", "25%");
            check::default(rolling, "maxSurge", "25%");
        }
    }
    check::default(spec, "revisionHistoryLimit", 10);
    check::default(spec, "progressDeadlineSeconds", 600);
    if let Some(template) = spec.object_at("template") {
        pod::default_pod_template(template);
    }
}

fn validate(d: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (d.at("spec"), Path::new("spec"));
    check::non_negative(spec.at("replicas"), &path.child("replicas"), &mut errors);
    replica_set::selector_and_template(spec, old.map(|o| o.at("spec")), &path, &mut errors);
    validate_strategy(spec.at("strategy"), &path.child("strategy"), &mut errors);
    check::non_negative(spec.at("minReadySeconds"), &path.child("minReadySeconds"), &mut errors);
    check::non_negative(spec.at("revisionHistoryLimit"), &path.child("revisionHistoryLimit"), &mut errors);
    let deadline = spec.at("progressDeadlineSeconds");
    if !deadline.is_null() {
        let path = path.child("progressDeadlineSeconds");
        check::non_negative(deadline, &path, &mut errors);
        if deadline.int() <= spec.at("minReadySeconds").int() {
            errors.push(Error::invalid(&path, deadline.clone(), "must be greater than minReadySeconds"));
        }
    }
    errors
}

fn validate_strategy(strategy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let rolling = strategy.at("rollingUpdate");
    let path_rolling = path.child("rollingUpdate");
    match strategy.at("type").str() {
        "Recreate" => {
            if !rolling.is_null() {
                let text = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(Error::forbidden(&path_rolling, text));
            }
        }
        "RollingUpdate" if rolling.is_null() => {
            errors.push(Error::required(&path_rolling, "this should be defaulted and never be nil"));
        }
        "RollingUpdate" => validate_rolling(rolling, &path_rolling, errors),
        kind => {
            let shown =
                check::go_struct(&[("Type", check::go_text(kind)), ("RollingUpdate", rolling_text(rolling))]);
            let error = Error::not_supported_in_order(path, strategy.clone(), &["Recreate", "RollingUpdate"]);
            errors.push(error.shown_as(shown));
        }
    }
}

/// The struct as Go prints it.
pub(super) fn rolling_text(rolling: &Value) -> String {
    if rolling.is_null() {
        return "null".into();
    }
    check::go_struct(&[
        ("MaxUnavailable", check::json(&or_zero(rolling.at("maxUnavailable")))),
        ("MaxSurge", check::json(&or_zero(rolling.at("maxSurge")))),
    ])
}

fn validate_rolling(rolling: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let unavailable = or_zero(rolling.at("maxUnavailable"));
    let surge = or_zero(rolling.at("maxSurge"));
    positive_int_or_percent(&unavailable, &path.child("maxUnavailable"), errors);
    positive_int_or_percent(&surge, &path.child("maxSurge"), errors);
    if int_or_percent(&unavailable) == 0 && int_or_percent(&surge) == 0 {
        let text = "may not be 0 when `maxSurge` is 0";
        errors.push(Error::invalid(&path.child("maxUnavailable"), unavailable.clone(), text));
    }
    not_more_than_100_percent(&unavailable, &path.child("maxUnavailable"), errors);
}

fn validate_status(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (status, path) = (new.at("status"), Path::new("status"));
    for name in [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ] {
        check::non_negative(status.at(name), &path.child(name), &mut errors);
    }
    for name in ["updatedReplicas", "readyReplicas", "availableReplicas"] {
        let text = "cannot be greater than status.replicas";
        replica_set::not_greater(status, name, "replicas", text, &path, &mut errors);
    }
    let text = "cannot be greater than readyReplicas";
    replica_set::not_greater(status, "availableReplicas", "readyReplicas", text, &path, &mut errors);
    replica_set::collision_count(new, old, &mut errors);
    errors
}
