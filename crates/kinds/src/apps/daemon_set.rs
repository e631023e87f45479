//! DaemonSet.
//!
//! Upstream's internal `spec.templateGeneration` is served as an annotation in `apps/v1`; the tree is in
//! the served form, so it is read and written there.

use super::deployment::rolling_text;
use super::replica_set;
use super::strategy::{int_or_percent, not_more_than_100_percent, or_zero, positive_int_or_percent};
use crate::check::{self, Selector};
use crate::core::pod;
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use value::Value;

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |_, ds| {
        prepare::reset_status(ds);
        prepare::template_create(ds, &["spec", "template"]);
        let given = template_generation(ds);
        set_template_generation(ds, given.max(1));
    },
    prepare_update: |_, new, old| {
        prepare::template_update(new, old, &["spec", "template"]);
        prepare::keep(new, old, "status");
        let template = |v: &Value| v.at("spec").at("template").clone();
        let changed = !semantic_equal(&template(new), &template(old));
        set_template_generation(new, template_generation(old).saturating_add(i64::from(changed)));
    },
    validate_create: |_, ds| validate(ds, None),
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        let path = Path::new("spec");
        check::immutable_selector(new, old, &path.child("selector"), &mut errors);
        errors.extend(validate(new, Some(old)));
        errors
    },
    warn_create: |_, ds| replica_set::pod_warnings(ds, None),
    warn_update: |_, new, old| {
        if template_generation(new) == template_generation(old) {
            Vec::new()
        } else {
            replica_set::pod_warnings(new, Some(old))
        }
    },
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        // Upstream keeps it in the spec.
        set_template_generation(new, template_generation(old));
    },
    validate_subresource: |_, new, old| validate_status(new, old),
    ..Hooks::NONE
};

fn template_generation(ds: &Value) -> i64 {
    ds.at("metadata").at("annotations").at(TEMPLATE_GENERATION).str().parse().unwrap_or(0)
}

fn set_template_generation(ds: &mut Value, n: i64) {
    if let Some(annotations) = ds.object_at("metadata").and_then(|m| m.object_at("annotations")) {
        annotations.set(TEMPLATE_GENERATION, n.to_string());
    }
}

fn default(ds: &mut Value) {
    // Upstream's internal type has a field for it, which its v1 form shows whatever it is.
    set_template_generation(ds, template_generation(ds));
    let Some(spec) = ds.object_at("spec") else { return };
    if let Some(strategy) = spec.object_at("updateStrategy") {
        check::default_text(strategy, "type", "RollingUpdate");
        let rolls = strategy.at("type").str() == "RollingUpdate";
        if (rolls || !strategy.at("rollingUpdate").is_null())
            && let Some(rolling) = strategy.object_at("rollingUpdate")
        {
            // Without rolling updates there is no default, but upstream's internal type has no pointers either.
            check::default(rolling, "maxUnavailable", i64::from(rolls));
            check::default(rolling, "maxSurge", 0);
        }
    }
    check::default(spec, "revisionHistoryLimit", 10);
    if let Some(template) = spec.object_at("template") {
        pod::default_pod_template(template);
    }
}

fn validate(ds: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (ds.at("spec"), Path::new("spec"));
    let (selector, selector_path) = (spec.at("selector"), path.child("selector"));
    let lenient = old.is_some_and(|o| check::selector_has_invalid_value(o.at("spec").at("selector")));
    check::label_selector_with(selector, lenient, &selector_path, &mut errors);
    let (template, template_path) = (spec.at("template"), path.child("template"));
    let labels = template.at("metadata").at("labels");
    if Selector::parse(selector).is_ok_and(|s| !s.matches(labels)) {
        let text = "`selector` does not match template `labels`";
        let path = template_path.child("metadata");
        errors.push(Error::invalid(&path.child("labels"), labels.clone(), text));
    }
    if !selector.is_null()
        && selector.at("matchLabels").is_empty()
        && selector.at("matchExpressions").is_empty()
    {
        errors.push(check::invalid_selector(
            &selector_path,
            selector,
            "empty selector is invalid for daemonset",
        ));
    }
    let options = pod::Options { old: old.map(|o| o.at("spec").at("template").clone()) };
    pod::validate_pod_template_spec(template, &template_path, &options, &mut errors);
    replica_set::always_running(template, "DaemonSet", &template_path, &mut errors);
    check::non_negative(spec.at("minReadySeconds"), &path.child("minReadySeconds"), &mut errors);
    let generation = Value::from(template_generation(ds));
    check::non_negative(&generation, &path.child("templateGeneration"), &mut errors);
    validate_strategy(spec.at("updateStrategy"), &path.child("updateStrategy"), &mut errors);
    check::non_negative(spec.at("revisionHistoryLimit"), &path.child("revisionHistoryLimit"), &mut errors);
    errors
}

fn validate_strategy(strategy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").str() {
        "OnDelete" => {}
        "RollingUpdate" if rolling.is_null() => {
            errors.push(Error::required(&path.child("rollingUpdate"), ""))
        }
        "RollingUpdate" => validate_rolling(rolling, &path.child("rollingUpdate"), errors),
        kind => {
            let shown =
                check::go_struct(&[("Type", check::go_text(kind)), ("RollingUpdate", rolling_text(rolling))]);
            let error = Error::not_supported_in_order(path, strategy.clone(), &["RollingUpdate", "OnDelete"]);
            errors.push(error.shown_as(shown));
        }
    }
}

fn validate_rolling(rolling: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let unavailable = or_zero(rolling.at("maxUnavailable"));
    let surge = or_zero(rolling.at("maxSurge"));
    positive_int_or_percent(&unavailable, &path.child("maxUnavailable"), errors);
    positive_int_or_percent(&surge, &path.child("maxSurge"), errors);
    not_more_than_100_percent(&unavailable, &path.child("maxUnavailable"), errors);
    not_more_than_100_percent(&surge, &path.child("maxSurge"), errors);
    match (int_or_percent(&unavailable) != 0, int_or_percent(&surge) != 0) {
        (true, true) => {
            let text = "may not be set when maxUnavailable is non-zero";
            errors.push(Error::invalid(&path.child("maxSurge"), surge, text));
        }
        (false, false) => {
            errors.push(Error::required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
        }
        _ => {}
    }
}

fn validate_status(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (status, path) = (new.at("status"), Path::new("status"));
    for name in [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ] {
        check::non_negative(status.at(name), &path.child(name), &mut errors);
    }
    replica_set::collision_count(new, old, &mut errors);
    errors
}
