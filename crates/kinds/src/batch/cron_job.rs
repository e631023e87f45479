//! CronJob.

use super::cron;
use super::job;
use crate::check;
use crate::core::pod;
use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use value::Value;

const TEMPLATE: [&str; 4] = ["spec", "jobTemplate", "spec", "template"];

/// Eleven characters of a job's name are the controller's.
const NAME_MAX_BYTES: usize = 52;

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |_, c| {
        prepare::reset_status(c);
        prepare::template_create(c, &TEMPLATE);
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        prepare::template_update(new, old, &TEMPLATE);
    },
    validate_create: |_, c| {
        let mut errors = validate(c, None);
        let name = c.at("metadata").at("name").str();
        if name.len() > NAME_MAX_BYTES {
            let path = Path::new("metadata");
            errors.push(Error::invalid(&path.child("name"), name, "must be no more than 52 characters"));
        }
        errors
    },
    validate_update: |_, new, old| validate(new, Some(old)),
    warn_create: |_, c| {
        let mut warnings = check::pod_name_warning(c);
        warnings.extend(warnings_of(c, None));
        warnings
    },
    warn_update: |_, new, old| {
        let generation = |v: &Value| v.at("metadata").at("generation").int();
        let mut warnings =
            if generation(new) == generation(old) { Vec::new() } else { warnings_of(new, Some(old)) };
        if new.at("spec").at("schedule").str().contains("TZ") {
            warnings.push(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                 https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                    .into(),
            );
        }
        warnings
    },
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    ..Hooks::NONE
};

fn default(c: &mut Value) {
    let Some(spec) = c.object_at("spec") else { return };
    check::default_text(spec, "concurrencyPolicy", "Allow");
    check::default(spec, "suspend", false);
    check::default(spec, "successfulJobsHistoryLimit", 3);
    check::default(spec, "failedJobsHistoryLimit", 1);
    if let Some(job) = spec.object_at("jobTemplate").and_then(|t| t.object_at("spec")) {
        job::default_policies(job);
        if let Some(template) = job.object_at("template") {
            pod::default_pod_template(template);
        }
    }
}

fn warnings_of(new: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = |v: &Value| v.at("spec").at("jobTemplate").at("spec").clone();
    let path = Path::new("spec");
    let path = path.child("jobTemplate");
    job::spec_warnings(&spec(new), old.map(spec).as_ref(), &path.child("spec"))
}

fn validate(c: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (c.at("spec"), Path::new("spec"));
    let old = old.map(|o| o.at("spec"));
    let schedule = spec.at("schedule").str();
    if schedule.is_empty() {
        errors.push(Error::required(&path.child("schedule"), ""));
    } else {
        let zone_allowed = old.is_some_and(|o| o.at("schedule").str().contains("TZ"));
        validate_schedule(schedule, zone_allowed, spec.at("timeZone"), &path.child("schedule"), &mut errors);
    }
    check::non_negative(
        spec.at("startingDeadlineSeconds"),
        &path.child("startingDeadlineSeconds"),
        &mut errors,
    );
    if old.is_none_or(|o| o.at("timeZone") != spec.at("timeZone")) {
        validate_time_zone(spec.at("timeZone"), &path.child("timeZone"), &mut errors);
    }
    let policy_path = path.child("concurrencyPolicy");
    match spec.at("concurrencyPolicy").str() {
        "Allow" | "Forbid" | "Replace" => {}
        "" => errors.push(Error::required(&policy_path, "")),
        other => {
            let known = ["Allow", "Forbid", "Replace"];
            errors.push(Error::not_supported_in_order(&policy_path, other, &known));
        }
    }
    let template = |v: &Value| v.at("jobTemplate").at("spec").clone();
    let old_template = old.map(template);
    validate_template(&template(spec), old_template.as_ref(), &path.child("jobTemplate"), &mut errors);
    for name in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::non_negative(spec.at(name), &path.child(name), &mut errors);
    }
    errors
}

fn validate_schedule(
    schedule: &str,
    zone_allowed: bool,
    time_zone: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if let Err(text) = cron::parse(schedule) {
        errors.push(Error::invalid(path, schedule, text));
    }
    if !schedule.contains("TZ") {
        return;
    }
    if !zone_allowed {
        let text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(Error::invalid(path, schedule, text));
    } else if !time_zone.is_null() {
        let text = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(Error::invalid(path, schedule, text));
    }
}

fn validate_time_zone(zone: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(name) = zone.as_str() else { return };
    if name.is_empty() {
        errors.push(Error::invalid(path, name, "timeZone must be nil or non-empty string"));
        return;
    }
    if !name.split('/').all(is_zone_part) {
        errors.push(Error::invalid(path, name, format!("unknown time zone {name}")));
        return;
    }
    if name.eq_ignore_ascii_case("Local") {
        let text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(Error::invalid(path, name, text));
    }
    if let Err(text) = cron::load_location(name) {
        errors.push(Error::invalid(path, name, text));
    }
}

/// Upstream's bound on a part of a time zone's name.
const ZONE_PART_MAX_BYTES: usize = 14;

fn is_zone_part(part: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
    !matches!(part, "" | "." | "..")
        && !part.starts_with('-')
        && part.len() <= ZONE_PART_MAX_BYTES
        && part.bytes().all(known)
}

fn validate_template(spec: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("spec");
    job::validate_spec_but_selector(spec, old, &path, errors);
    let selector = spec.at("selector");
    if !selector.is_null() {
        errors.push(check::invalid_selector(
            &path.child("selector"),
            selector,
            "`selector` will be auto-generated",
        ));
    }
    if spec.at("manualSelector").bool() {
        errors.push(Error::not_supported_in_order(&path.child("manualSelector"), true, &["nil", "false"]));
    }
}
