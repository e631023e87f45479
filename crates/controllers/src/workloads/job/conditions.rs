//! Conditions of Jobs (KEP-3998: what is decided first, what is final).

use api::batch::v1::{JobCondition, JobStatus};
use api::meta::v1::Time;
use jiff::Timestamp;

pub(super) const SUSPENDED: &str = "Suspended";
pub(super) const COMPLETE: &str = "Complete";
pub(super) const FAILED: &str = "Failed";
pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";

/// A condition as of now.
pub(super) fn new(now: Timestamp, kind: &str, status: &str, reason: &str, message: String) -> JobCondition {
    JobCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// A condition of another type for the same reason.
pub(super) fn following(now: Timestamp, kind: &str, condition: &JobCondition) -> JobCondition {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    new(now, kind, "True", &text(&condition.reason), text(&condition.message))
}

/// The condition of a type, if it holds.
pub(super) fn is_true<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    let conditions = status.conditions.iter().flatten();
    conditions.into_iter().find(|condition| condition.type_ == kind && condition.status == "True")
}

/// Whether the Job has ended.
pub(super) fn is_finished(status: &JobStatus) -> bool {
    [COMPLETE, FAILED].iter().any(|kind| is_true(status, kind).is_some())
}

/// Sets a condition; whether anything changed. What was never true need not be said to be false.
pub(super) fn ensure(status: &mut JobStatus, condition: JobCondition) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    let changed = match conditions.iter_mut().find(|present| present.type_ == condition.type_) {
        Some(present) => {
            let same = present.status == condition.status
                && present.reason == condition.reason
                && present.message == condition.message;
            if !same {
                *present = condition;
            }
            !same
        }
        None if condition.status == "False" => false,
        None => {
            conditions.push(condition);
            true
        }
    };
    if conditions.is_empty() {
        status.conditions = None;
    }
    changed
}
