//! What a Job does next. Mirrors `syncJob` and `manageJob` of `pkg/controller/job/job_controller.go`, in three
//! steps between which the executor acts: `decide` about pods, `account` for those that ended, `settle` the
//! counters once their finalizers are gone (`account.rs`).

use super::backoff::{Backoff, finished};
use super::indexes::{Indexes, index_of};
use super::pods::{
    all_failures, indexed_pod, is_failed, is_in_range, is_indexed, plain_pod, replaces_failed_only,
};
use super::policy::{Verdict, enough, judge};
use super::tally::Tally;
use super::{conditions, is_suspended};
use crate::workloads::pods;
use api::Object;
use api::batch::v1::{Job, JobCondition, JobSpec};
use api::core::v1::Pod;
use api::meta::v1::Time;
use conditions::{FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The most pods made or deleted at one look.
pub(super) const PODS_AT_ONCE_MAX: usize = 500;

/// What to do about pods.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Work {
    /// Nothing.
    Rest,
    /// Make these.
    Create(Vec<Pod>),
    /// Delete these; they do not count as failures.
    Delete(Vec<Arc<Pod>>),
    /// Delete these as the Job is over; they are counted when their finalizers go.
    End(Vec<Arc<Pod>>),
}

/// The first step.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) work: Work,
    /// Why the Job is over, if it is: the condition that says so first.
    pub(super) verdict: Option<JobCondition>,
    /// Why it will be complete when no pod is active after the work.
    pub(super) complete_if_idle: bool,
    pub(super) start_time: Option<Time>,
    pub(super) backoff: Backoff,
    pub(super) again: Option<Duration>,
}

/// A Job as it is.
pub(super) struct World<'a> {
    pub(super) now: Timestamp,
    pub(super) job: &'a Job,
    /// Those that it controls, in whatever state.
    pub(super) pods: &'a [Arc<Pod>],
}

/// The first step: whether the Job is over, else which pods to make or delete.
pub(super) fn decide(world: &World<'_>, before: Backoff) -> Decision {
    let (now, job) = (world.now, world.job);
    let spec = job.spec.clone().unwrap_or_default();
    let tally = world.tally(&spec);
    let mut start_time = tally.status.start_time.clone();
    if !is_suspended(job) {
        start_time = start_time.or(Some(Time(now)));
    }
    let mut decision = Decision {
        work: Work::Rest,
        verdict: verdict(now, &tally, world.pods, start_time.as_ref(), is_suspended(job)),
        complete_if_idle: false,
        start_time,
        backoff: before.after(&tally.new_succeeded, &tally.new_failed),
        again: None,
    };
    if decision.verdict.is_some() {
        decision.work = Work::End(tally.active);
        return decision;
    }
    if let (Some(seconds), Some(start)) = (spec.active_deadline_seconds, &decision.start_time) {
        let left = SignedDuration::from_secs(seconds) - now.duration_since(start.0);
        decision.again = (!is_suspended(job)).then(|| left.unsigned_abs());
    }
    if job.metadata.deletion_timestamp.is_none() {
        manage(now, job, &tally, &mut decision);
    }
    decision.complete_if_idle = match spec.completions {
        None => tally.succeeded > 0,
        Some(completions) => tally.succeeded >= completions,
    };
    decision
}

/// Whether the Job is over, with the condition to begin with: what was decided before, then failures, then
/// successes.
fn verdict(
    now: Timestamp,
    tally: &Tally<'_>,
    pods: &[Arc<Pod>],
    start: Option<&Time>,
    suspended: bool,
) -> Option<JobCondition> {
    let spec = tally.spec;
    if let Some(met) = conditions::is_true(&tally.status, SUCCESS_CRITERIA_MET) {
        return Some(met.clone());
    }
    if let Some(target) = conditions::is_true(&tally.status, FAILURE_TARGET) {
        return Some(conditions::following(now, FAILED, target));
    }
    let failure = |reason: &str, message: &str| {
        Some(conditions::new(now, FAILURE_TARGET, "True", reason, message.to_owned()))
    };
    let failed = pods.iter().filter(|pod| is_failed(spec, pod));
    let by_policy = failed.map(|pod| judge(spec, pod)).find_map(|verdict| match verdict {
        Verdict::FailJob(why) => Some(why),
        _ => None,
    });
    if let Some(why) = by_policy {
        return failure("PodFailurePolicy", &why);
    }
    let limit = spec.backoff_limit.unwrap_or(6);
    if tally.failed > limit || restarts_exceed(spec, pods, limit) {
        return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    let active_for = start.map(|start| now.duration_since(start.0));
    let deadline = spec.active_deadline_seconds.map(SignedDuration::from_secs);
    if !suspended && active_for.zip(deadline).is_some_and(|(passed, allowed)| passed >= allowed) {
        return failure("DeadlineExceeded", "Job was active longer than specified deadline");
    }
    if let Some(indexes) = &tally.failed_indexes {
        let failed = indexes.count();
        if spec.max_failed_indexes.is_some_and(|limit| failed > limit) {
            let text = "Job has exceeded the specified maximal number of failed indexes";
            return failure("MaxFailedIndexesExceeded", text);
        }
        if failed > 0 && failed + tally.succeeded_indexes.count() >= spec.completions.unwrap_or_default() {
            return failure("FailedIndexes", "Job has failed indexes");
        }
    }
    let rule = is_indexed(spec).then(|| enough(spec, &tally.succeeded_indexes)).flatten()?;
    Some(conditions::new(now, SUCCESS_CRITERIA_MET, "True", "SuccessPolicy", rule))
}

/// Containers that are restarted in place count as failures of their pod.
fn restarts_exceed(spec: &JobSpec, pods: &[Arc<Pod>], limit: i32) -> bool {
    let policy = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return false;
    }
    let running = pods.iter().filter(|pod| matches!(api::pods::phase(pod), "Running" | "Pending"));
    let restarts: i32 = running
        .filter_map(|pod| pod.status.as_ref())
        .flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        })
        .map(|container| container.restart_count)
        .sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn manage(now: Timestamp, job: &Job, tally: &Tally<'_>, decision: &mut Decision) {
    let spec = tally.spec;
    let active = tally.active.len();
    let wanted = if is_suspended(job) {
        0
    } else {
        let parallelism = usize::try_from(spec.parallelism.unwrap_or(1)).unwrap_or_default();
        match spec.completions {
            // Once one has succeeded no further ones begin.
            None if tally.succeeded > 0 => active,
            None => parallelism,
            Some(completions) => {
                usize::try_from(completions - tally.succeeded).unwrap_or_default().min(parallelism)
            }
        }
    };
    let mut surplus = surplus(now, spec, &tally.active, active.saturating_sub(wanted));
    if !surplus.is_empty() {
        if !is_suspended(job) {
            surplus.truncate(PODS_AT_ONCE_MAX);
        }
        decision.work = Work::Delete(surplus);
        return;
    }
    let held = if replaces_failed_only(spec) { tally.terminating.len() } else { 0 };
    let mut missing = wanted.saturating_sub(held + active).min(PODS_AT_ONCE_MAX);
    if is_suspended(job) || missing == 0 {
        return;
    }
    let mut wait = Duration::ZERO;
    let mut indexes = Vec::new();
    if spec.backoff_limit_per_index.is_none() {
        wait = decision.backoff.left(now);
    }
    if is_indexed(spec) {
        indexes = taken_indexes(tally).missing(missing, spec.completions.unwrap_or_default());
        if spec.backoff_limit_per_index.is_some() {
            let left = |index: &i32| {
                tally.to_replace.get(index).map_or(Duration::ZERO, |pod| {
                    Backoff { failures: all_failures(pod) + 1, last: Some(finished(pod)) }.left(now)
                })
            };
            let soonest = indexes.iter().map(left).min();
            indexes.retain(|index| left(index).is_zero());
            wait = if indexes.is_empty() { soonest.unwrap_or_default() } else { Duration::ZERO };
        }
        missing = indexes.len();
    }
    if !wait.is_zero() {
        decision.again = Some(decision.again.map_or(wait, |again| again.min(wait)));
        return;
    }
    let pods = if is_indexed(spec) {
        indexes
            .into_iter()
            .map(|index| indexed_pod(job, index, tally.to_replace.get(&index).map(|pod| &**pod)))
            .collect()
    } else {
        vec![plain_pod(job); missing]
    };
    decision.work = Work::Create(pods);
}

/// The indexes for which no pod is to be made.
fn taken_indexes(tally: &Tally<'_>) -> Indexes {
    let mut taken: BTreeSet<i32> = tally.active.iter().filter_map(|pod| index_of(pod)).collect();
    if replaces_failed_only(tally.spec) {
        taken.extend(tally.terminating.iter().filter_map(|pod| index_of(pod)));
    }
    let taken = tally.succeeded_indexes.union(&taken.into());
    match &tally.failed_indexes {
        Some(failed) => taken.union(failed),
        None => taken,
    }
}

/// Active pods that are too many: of a Job with indexes first those without one, with one out of range, and all
/// but the best of several with the same.
fn surplus(now: Timestamp, spec: &JobSpec, active: &[Arc<Pod>], at_least: usize) -> Vec<Arc<Pod>> {
    let mut gone: Vec<Arc<Pod>> = Vec::new();
    let mut rest: Vec<Arc<Pod>> = Vec::new();
    if is_indexed(spec) {
        let mut by_index: BTreeMap<i32, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in active {
            match index_of(pod).filter(|_| is_in_range(spec, pod)) {
                Some(index) => by_index.entry(index).or_default().push(pod.clone()),
                None => gone.push(pod.clone()),
            }
        }
        for same in by_index.into_values() {
            let ranked = pods::to_delete(now, same.clone(), &[], same.len() - 1);
            let best = same.into_iter().find(|pod| !ranked.iter().any(|other| other.uid() == pod.uid()));
            gone.extend(ranked);
            rest.extend(best);
        }
    } else {
        rest = active.to_vec();
    }
    let more = at_least.saturating_sub(gone.len());
    if more > 0 {
        gone.extend(pods::to_delete(now, rest, &[], more));
    }
    gone
}
