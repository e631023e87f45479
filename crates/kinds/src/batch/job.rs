//! Job.

use super::{job_policies, job_status, job_update};
use crate::check::{self, Selector};
use crate::core::pod;
use crate::hooks::{Context, Hooks};
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::{Map, Value};

pub(super) const LEGACY_UID_LABEL: &str = "controller-uid";
pub(super) const LEGACY_NAME_LABEL: &str = "job-name";
pub(super) const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
pub(super) const NAME_LABEL: &str = "batch.kubernetes.io/job-name";

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |context, job| {
        generate_selector(job);
        if context.labels_of_template {
            let labels = job.at("spec").at("template").at("metadata").at("labels").clone();
            if let Some(metadata) = job.object_at("metadata") {
                metadata.set("labels", labels);
            }
        }
        prepare::reset_status(job);
        prepare::template_create(job, &["spec", "template"]);
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        prepare::template_update(new, old, &["spec", "template"]);
    },
    validate_create: |_, job| validate(job, None),
    validate_update: |_, new, old| {
        let mut errors = validate(new, Some(old));
        job_update::validate(new, old, &mut errors);
        errors
    },
    warn_create: |_, job| {
        let mut warnings = check::pod_name_warning(job);
        warnings.extend(spec_warnings(job.at("spec"), None, &Path::new("spec")));
        warnings
    },
    warn_update,
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, old| job_status::validate(new, old),
    ..Hooks::NONE
};

/// What a Job's `backoffLimit` is when each index has a limit of its own.
const UNLIMITED: i32 = i32::MAX;

fn default(job: &mut Value) {
    let labels = job.at("spec").at("template").at("metadata").at("labels").clone();
    let Some(spec) = job.object_at("spec") else { return };
    if spec.at("completions").is_null() && spec.at("parallelism").is_null() {
        spec.set("completions", 1);
    }
    check::default(spec, "parallelism", 1);
    let limit = if spec.at("backoffLimitPerIndex").is_null() { 6 } else { UNLIMITED };
    check::default(spec, "backoffLimit", limit);
    check::default(spec, "completionMode", "NonIndexed");
    check::default(spec, "suspend", false);
    let replacement = if spec.at("podFailurePolicy").is_null() { "TerminatingOrFailed" } else { "Failed" };
    check::default(spec, "podReplacementPolicy", replacement);
    check::default(spec, "manualSelector", false);
    default_policies(spec);
    if let Some(template) = spec.object_at("template") {
        pod::default_pod_template(template);
    }
    // The labels of the pods become those of a job that has none.
    if !labels.is_empty()
        && job.at("metadata").at("labels").is_empty()
        && let Some(metadata) = job.object_at("metadata")
    {
        metadata.set("labels", labels);
    }
}

/// Defaults inside a job's policies, which job templates have as well.
pub(super) fn default_policies(spec: &mut Value) {
    let rules =
        spec.get_mut("podFailurePolicy").and_then(|p| p.get_mut("rules")).and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let patterns = rule.get_mut("onPodConditions").and_then(Value::as_array_mut);
        for pattern in patterns.into_iter().flatten() {
            check::default_text(pattern, "status", "True");
        }
    }
}

fn generate_selector(job: &mut Value) {
    if job.at("spec").at("manualSelector").bool() {
        return;
    }
    let name = job.at("metadata").at("name").str().to_owned();
    let uid = job.at("metadata").at("uid").str().to_owned();
    let Some(spec) = job.object_at("spec") else { return };
    let labels =
        spec.object_at("template").and_then(|t| t.object_at("metadata")).and_then(|m| m.object_at("labels"));
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        for (key, value) in
            [(LEGACY_NAME_LABEL, &name), (NAME_LABEL, &name), (LEGACY_UID_LABEL, &uid), (UID_LABEL, &uid)]
        {
            labels.entry_or_insert_with(key, || value.as_str().into());
        }
    }
    let labels = spec.object_at("selector").and_then(|s| s.object_at("matchLabels"));
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        labels.entry_or_insert_with(UID_LABEL, || uid.as_str().into());
    }
}

fn warn_update(_: &Context, new: &Value, old: &Value) -> Vec<String> {
    let generation = |v: &Value| v.at("metadata").at("generation").int();
    if generation(new) == generation(old) {
        return Vec::new();
    }
    spec_warnings(new.at("spec"), Some(old.at("spec")), &Path::new("spec"))
}

/// Above these an indexed job's status may not hold its failed indexes.
const COMPLETIONS_SOFT_LIMIT: i64 = 100_000;
const PARALLELISM_SOFT_LIMIT: i64 = 10_000;

/// Warnings for a job's spec.
pub(super) fn spec_warnings(spec: &Value, old: Option<&Value>, path: &Path<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if spec.at("completionMode").str() == "Indexed"
        && spec.at("completions").int() > COMPLETIONS_SOFT_LIMIT
        && spec.at("parallelism").int() > PARALLELISM_SOFT_LIMIT
    {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
             10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    let old = old.map(|o| o.at("template"));
    warnings.extend(pod::template_warnings(spec.at("template"), old, &path.child("template")));
    warnings
}

fn validate(job: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    validate_generated_selector(job, old, &mut errors);
    let (spec, path) = (job.at("spec"), Path::new("spec"));
    validate_spec(spec, old.map(|o| o.at("spec")), &path, &mut errors);
    let completions = spec.at("completions").int();
    if spec.at("completionMode").str() == "Indexed" && completions > 0 {
        let name = job.at("metadata").at("name").str();
        let host = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            let text = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(Error::invalid(&Path::new("metadata").child("name"), name, text));
        }
    }
    errors
}

fn validate_generated_selector(job: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (metadata, spec) = (job.at("metadata"), job.at("spec"));
    if spec.at("manualSelector").bool() || spec.at("selector").is_null() {
        return;
    }
    let (uid, name) = (metadata.at("uid").str(), metadata.at("name").str());
    if uid.is_empty() {
        errors.push(Error::required(&Path::new("metadata").child("uid"), ""));
    }
    let mut expected = vec![(LEGACY_UID_LABEL, uid), (LEGACY_NAME_LABEL, name)];
    // Jobs from before the prefixed labels go on without them.
    let had = |label: &str| {
        old.is_none_or(|o| o.path(&["spec", "template", "metadata", "labels"]).get(label).is_some())
    };
    if had(NAME_LABEL) && had(UID_LABEL) {
        expected.extend([(UID_LABEL, uid), (NAME_LABEL, name)]);
    }
    let path = Path::new("spec");
    let template_path = path.child("template");
    let labels_path = template_path.child("metadata");
    let labels_path = labels_path.child("labels");
    let labels = spec.at("template").at("metadata").at("labels");
    for (key, value) in &expected {
        match labels.get(key) {
            None => errors.push(Error::required(&labels_path.key(key), format!("must be '{value}'"))),
            Some(found) if found.str() != *value => {
                let text = format!("must be '{value}'");
                errors.push(Error::invalid(&labels_path.key(key), labels.clone(), text));
            }
            Some(_) => {}
        }
    }
    let expected: Map = expected.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
    let selector = spec.at("selector");
    if Selector::parse(selector).is_ok_and(|s| !s.matches(&Value::Object(expected))) {
        errors.push(check::invalid_selector(
            &path.child("selector"),
            selector,
            "`selector` not auto-generated",
        ));
    }
}

/// A job's spec with its selector.
pub(super) fn validate_spec(spec: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    validate_spec_but_selector(spec, old, path, errors);
    let selector = spec.at("selector");
    if selector.is_null() {
        errors.push(Error::required(&path.child("selector"), ""));
    } else {
        let lenient = old.is_some_and(|o| check::selector_has_invalid_value(o.at("selector")));
        check::label_selector_with(selector, lenient, &path.child("selector"), errors);
    }
    let labels = spec.at("template").at("metadata").at("labels");
    if Selector::parse(selector).is_ok_and(|s| !s.matches(labels)) {
        let text = "`selector` does not match template `labels`";
        let path = path.child("template");
        let path = path.child("metadata");
        errors.push(Error::invalid(&path.child("labels"), labels.clone(), text));
    }
}

/// Upstream's bounds on indexed jobs.
const INDEXED_PARALLELISM_MAX: i64 = 100_000;
const INDEXED_FAILED_MAX: i64 = 100_000;
const HIGH_COMPLETIONS_PARALLELISM_MAX: i64 = 10_000;
const HIGH_COMPLETIONS_FAILED_MAX: i64 = 10_000;
const MANAGED_BY_MAX_BYTES: usize = 63;

/// A job's spec but for its selector, as job templates have it.
pub(super) fn validate_spec_but_selector(
    spec: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        check::non_negative(spec.at(name), &path.child(name), errors);
    }
    let per_index = spec.at("backoffLimitPerIndex");
    let max_failed = spec.at("maxFailedIndexes");
    if !max_failed.is_null() && per_index.is_null() {
        errors
            .push(Error::required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    if let Some(manager) = spec.at("managedBy").as_str() {
        let path = path.child("managedBy");
        errors.extend(names::domain_prefixed_path(&path, manager));
        if manager.len() > MANAGED_BY_MAX_BYTES {
            errors.push(Error::too_long(&path, MANAGED_BY_MAX_BYTES));
        }
    }
    validate_completion_mode(spec, path, errors);
    job_policies::validate(spec, path, errors);
    let options = pod::Options { old: old.map(|o| o.at("template").clone()) };
    pod::validate_pod_template_spec(spec.at("template"), &path.child("template"), &options, errors);
    validate_restart_policy(spec, path, errors);
}

fn validate_completion_mode(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mode = spec.at("completionMode");
    let (per_index, max_failed) = (spec.at("backoffLimitPerIndex"), spec.at("maxFailedIndexes"));
    if mode.is_null() || mode.str() == "NonIndexed" {
        for (name, v) in [("backoffLimitPerIndex", per_index), ("maxFailedIndexes", max_failed)] {
            if !v.is_null() {
                errors.push(Error::invalid(&path.child(name), v.clone(), "requires indexed completion mode"));
            }
        }
        return;
    }
    if mode.str() != "Indexed" {
        let known = ["NonIndexed", "Indexed"];
        errors.push(Error::not_supported_in_order(&path.child("completionMode"), mode.clone(), &known));
        return;
    }
    let (completions, parallelism) = (spec.at("completions"), spec.at("parallelism"));
    let too_high = |errors: &mut ErrorList, name: &str, v: &Value, text: String| {
        errors.push(Error::invalid(&path.child(name), v.clone(), text));
    };
    if completions.is_null() {
        errors.push(Error::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    if parallelism.int() > INDEXED_PARALLELISM_MAX {
        let text = format!(
            "must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
        );
        too_high(errors, "parallelism", parallelism, text);
    }
    if !completions.is_null() && max_failed.int() > completions.int() {
        too_high(errors, "maxFailedIndexes", max_failed, "must be less than or equal to completions".into());
    }
    if max_failed.int() > INDEXED_FAILED_MAX {
        let text = format!("must be less than or equal to {INDEXED_FAILED_MAX}");
        too_high(errors, "maxFailedIndexes", max_failed, text);
    }
    if completions.int() <= COMPLETIONS_SOFT_LIMIT || per_index.is_null() {
        return;
    }
    if max_failed.is_null() {
        let text = format!("must be specified when completions is above {COMPLETIONS_SOFT_LIMIT}");
        errors.push(Error::required(&path.child("maxFailedIndexes"), text));
    }
    for (name, v, max) in [
        ("parallelism", parallelism, HIGH_COMPLETIONS_PARALLELISM_MAX),
        ("maxFailedIndexes", max_failed, HIGH_COMPLETIONS_FAILED_MAX),
    ] {
        if v.int() > max {
            let text = format!(
                "must be less than or equal to {max} when completions are above {COMPLETIONS_SOFT_LIMIT} and used \
                 with backoff limit per index"
            );
            too_high(errors, name, v, text);
        }
    }
}

fn validate_restart_policy(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("template");
    let path = path.child("spec");
    let path = path.child("restartPolicy");
    match spec.at("template").at("spec").at("restartPolicy").str() {
        "Always" | "" => {
            errors.push(Error::required(&path, "valid values: \"OnFailure\", \"Never\""));
        }
        "Never" => {}
        "OnFailure" => {
            if !spec.at("podFailurePolicy").is_null() {
                let text = "only \"Never\" is supported when podFailurePolicy is specified";
                errors.push(Error::invalid(&path, "OnFailure", text));
            }
        }
        other => errors.push(Error::not_supported_in_order(&path, other, &["OnFailure", "Never"])),
    }
}
