//! A Job's status, which must be consistent with its spec and with what it was.

use super::indexes;
use crate::check;
use crate::equal::semantic_equal;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

/// A job with what one asks of it.
struct View<'a> {
    spec: &'a Value,
    status: &'a Value,
}

impl<'a> View<'a> {
    fn new(job: &'a Value) -> Self {
        Self { spec: job.at("spec"), status: job.at("status") }
    }

    fn is(&self, condition: &str, status: &str) -> bool {
        let conditions = self.status.at("conditions").items();
        conditions.iter().any(|c| c.at("type").str() == condition && c.at("status").str() == status)
    }

    fn has(&self, condition: &str) -> bool {
        self.is(condition, "True")
    }

    fn finished(&self) -> bool {
        self.has("Complete") || self.has("Failed")
    }

    fn indexed(&self) -> bool {
        self.spec.at("completionMode").str() == "Indexed"
    }
}

/// What changed between two statuses: upstream looks only at what did, so that old jobs can go on.
struct Changed {
    finished: bool,
    complete: bool,
    failed: bool,
    failure_target: bool,
    success_criteria: bool,
    completed_indexes: bool,
    failed_indexes: bool,
    active: bool,
    start_time: bool,
    completion_time: bool,
    uncounted: bool,
    ready: bool,
    terminating: bool,
}

impl Changed {
    fn between(new: &View<'_>, old: &View<'_>) -> Self {
        let differs = |name: &str| !semantic_equal(new.status.at(name), old.status.at(name));
        let turned = |condition: &str| new.has(condition) != old.has(condition);
        Self {
            finished: new.finished() != old.finished(),
            complete: turned("Complete"),
            failed: turned("Failed"),
            failure_target: turned("FailureTarget"),
            success_criteria: turned("SuccessCriteriaMet"),
            completed_indexes: new.status.at("completedIndexes").str()
                != old.status.at("completedIndexes").str(),
            failed_indexes: differs("failedIndexes"),
            active: new.status.at("active").int() != old.status.at("active").int(),
            start_time: differs("startTime"),
            completion_time: differs("completionTime"),
            uncounted: differs("uncountedTerminatedPods"),
            ready: differs("ready"),
            terminating: differs("terminating"),
        }
    }
}

pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (new, old) = (View::new(new), View::new(old));
    let changed = Changed::between(&new, &old);
    let path = Path::new("status");
    validate_counts(&new, &path, &mut errors);
    validate_terminal(&new, &changed, &path, &mut errors);
    validate_finished(&new, &changed, &path, &mut errors);
    validate_indexes(&new, &changed, &path, &mut errors);
    validate_rest(&new, &changed, &path, &mut errors);
    validate_progress(&new, &old, &changed, &path, &mut errors);
    errors
}

fn on_conditions(path: &Path<'_>, text: impl Into<String>) -> Error {
    Error::invalid(&path.child("conditions"), Value::Null, text).without_value()
}

fn on(path: &Path<'_>, job: &View<'_>, name: &str, text: impl Into<String>) -> Error {
    Error::invalid(&path.child(name), job.status.at(name).clone(), text)
}

fn validate_counts(job: &View<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        check::non_negative(job.status.at(name), &path.child(name), errors);
    }
    let path = path.child("uncountedTerminatedPods");
    let mut seen = HashSet::new();
    for list in ["succeeded", "failed"] {
        let path = path.child(list);
        for (i, uid) in job.status.at("uncountedTerminatedPods").at(list).items().iter().enumerate() {
            if uid.str().is_empty() {
                errors.push(Error::invalid(&path.index(i), uid.clone(), "must not be empty"));
            } else if !seen.insert(uid.str()) {
                errors.push(Error::duplicate(&path.index(i), uid.clone()));
            }
        }
    }
}

fn validate_terminal(job: &View<'_>, changed: &Changed, path: &Path<'_>, errors: &mut ErrorList) {
    let complete = job.has("Complete");
    let (start, completion) = (job.status.at("startTime"), job.status.at("completionTime"));
    if (changed.complete || changed.failed) && complete && job.has("Failed") {
        errors.push(on_conditions(path, "cannot set Complete=True and Failed=true conditions"));
    }
    if (changed.complete || changed.failure_target) && complete && job.has("FailureTarget") {
        errors.push(on_conditions(path, "cannot set Complete=True and FailureTarget=true conditions"));
    }
    if changed.complete || changed.completion_time {
        if !completion.is_null() && !complete {
            let text = "cannot set completionTime when there is no Complete=True condition";
            errors.push(on(path, job, "completionTime", text));
        }
        if completion.is_null() && complete {
            let text = "completionTime is required for Complete jobs";
            errors.push(Error::required(&path.child("completionTime"), text));
        }
    }
    // Both are RFC 3339 in UTC with whole seconds, so their order is that of their texts.
    let both = !start.is_null() && !completion.is_null();
    if (changed.start_time || changed.completion_time) && both && completion.str() < start.str() {
        errors.push(on(path, job, "completionTime", "must be equal to or after `startTime`"));
    }
    if (changed.failed || changed.failed_indexes) && job.has("Failed") && !job.has("FailureTarget") {
        let text = "cannot set Failed=True condition without the FailureTarget=true condition";
        errors.push(on_conditions(path, text));
    }
    if (changed.complete || changed.success_criteria) && complete && !job.has("SuccessCriteriaMet") {
        let text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        errors.push(on_conditions(path, text));
    }
}

fn validate_finished(job: &View<'_>, changed: &Changed, path: &Path<'_>, errors: &mut ErrorList) {
    if !job.finished() {
        return;
    }
    if (changed.finished || changed.active) && job.status.at("active").int() > 0 {
        errors.push(on(path, job, "active", "active>0 is invalid for finished job"));
    }
    let never_ran = job.spec.at("suspend").bool()
        && !job.spec.at("completions").is_null()
        && job.spec.at("completions").int() == 0;
    let started = !job.status.at("startTime").is_null();
    if (changed.finished || changed.start_time) && !never_ran && !started {
        errors.push(Error::required(&path.child("startTime"), "startTime is required for finished job"));
    }
    let uncounted = job.status.at("uncountedTerminatedPods");
    if (changed.finished || changed.uncounted)
        && ["failed", "succeeded"].iter().any(|l| !uncounted.at(l).is_empty())
    {
        let shown = crate::internal::text("batch.UncountedTerminatedPods", uncounted);
        let error = on(path, job, "uncountedTerminatedPods", "must be empty for finished job");
        errors.push(error.shown_as(shown));
    }
}

fn validate_indexes(job: &View<'_>, changed: &Changed, path: &Path<'_>, errors: &mut ErrorList) {
    let completions = job.spec.at("completions");
    let (completed, failed) = (job.status.at("completedIndexes"), job.status.at("failedIndexes"));
    let per_index = !job.spec.at("backoffLimitPerIndex").is_null();
    if changed.completed_indexes
        && !completions.is_null()
        && let Err(e) = indexes::count(completed.str(), completions.int())
    {
        let detail = format!("error parsing completedIndexes: {e}");
        errors.push(Error::invalid(&path.child("completedIndexes"), completed.str(), detail));
    }
    if changed.failed_indexes
        && !completions.is_null()
        && per_index
        && !failed.is_null()
        && let Err(e) = indexes::count(failed.str(), completions.int())
    {
        errors.push(on(path, job, "failedIndexes", format!("error parsing failedIndexes: {e}")));
    }
    if changed.completed_indexes && !completed.str().is_empty() && !job.indexed() {
        let text = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(on(path, job, "completedIndexes", text));
    }
    if changed.failed_indexes && !per_index && !failed.is_null() {
        let text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(on(path, job, "failedIndexes", text));
    }
    if (changed.failed_indexes || changed.completed_indexes)
        && !completions.is_null()
        && !failed.is_null()
        && let Err(e) = indexes::disjoint(completed.str(), failed.str(), completions.int())
    {
        errors.push(on(path, job, "failedIndexes", e));
    }
}

fn validate_rest(job: &View<'_>, changed: &Changed, path: &Path<'_>, errors: &mut ErrorList) {
    let finished = job.finished();
    if (changed.finished || changed.terminating) && job.status.at("terminating").int() > 0 && finished {
        errors.push(on(path, job, "terminating", "terminating>0 is invalid for finished job"));
    }
    let ready = job.status.at("ready");
    if (changed.ready || changed.active) && !ready.is_null() && ready.int() > job.status.at("active").int() {
        errors.push(on(path, job, "ready", "cannot set more ready pods than active"));
    }
    let met = job.has("SuccessCriteriaMet");
    if met && job.has("Failed") {
        errors.push(on_conditions(path, "cannot set SuccessCriteriaMet=True and Failed=true conditions"));
    }
    if met && job.has("FailureTarget") {
        let text = "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions";
        errors.push(on_conditions(path, text));
    }
    if !job.spec.at("successPolicy").is_null() && !met && job.has("Complete") {
        let text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        errors.push(on_conditions(path, text));
    }
}

fn validate_progress(
    new: &View<'_>,
    old: &View<'_>,
    changed: &Changed,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    for condition in ["Failed", "Complete", "FailureTarget"] {
        if old.has(condition) && !new.has(condition) {
            errors
                .push(on_conditions(path, format!("cannot disable the terminal {condition}=True condition")));
        }
    }
    let fell = |name: &str| new.status.at(name).int() < old.status.at(name).int();
    if fell("failed") {
        let n = new.status.at("failed").int();
        errors.push(Error::invalid(&path.child("failed"), n, "cannot decrease the failed counter"));
    }
    let elastic = new.indexed() && new.spec.at("completions") == new.spec.at("parallelism");
    if !elastic && fell("succeeded") {
        let n = new.status.at("succeeded").int();
        errors.push(Error::invalid(&path.child("succeeded"), n, "cannot decrease the succeeded counter"));
    }
    let (before, after) = (old.status.at("completionTime"), new.status.at("completionTime"));
    if !before.is_null() && !after.is_null() && before != after {
        errors.push(on(path, new, "completionTime", "field is immutable"));
    }
    let resuming = old.has("Suspended") && new.is("Suspended", "False");
    if changed.start_time
        && !resuming
        && !old.status.at("startTime").is_null()
        && !new.spec.at("suspend").bool()
    {
        let text = "field is immutable for unsuspended job once set";
        errors.push(on(path, new, "startTime", text));
    }
    let (was_met, met) = (old.has("SuccessCriteriaMet"), new.has("SuccessCriteriaMet"));
    if was_met && !met {
        errors.push(on_conditions(path, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if old.has("Complete") && !was_met && met {
        let text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(on_conditions(path, text));
    }
}
