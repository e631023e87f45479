//! How a Job's pods are counted: noted in the status when they have ended, and counted when their finalizers are
//! gone. Mirrors `trackJobStatusAndRemoveFinalizers`.

use super::conditions::{self, COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, SUSPENDED};
use super::indexes::index_of;
use super::is_suspended;
use super::plan::{Decision, World};
use super::pods::{is_failed, is_in_range, is_indexed, is_tracked};
use super::policy::judge;
use super::tally::{Tally, uncounted};
use crate::workloads::pods;
use crate::workloads::replicaset::nonzero;
use api::Object;
use api::batch::v1::{Job, JobCondition, JobStatus};
use api::core::v1::Pod;
use api::meta::v1::Time;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// The most UIDs in the status: it stays below 20 KB.
const UNCOUNTED_PODS_MAX: usize = 500;

/// The second step.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The status to write before finalizers go.
    pub(super) status: JobStatus,
    /// The pods whose finalizers are to go then.
    pub(super) release: Vec<Arc<Pod>>,
    /// The condition by which the Job ends once everything is counted.
    pub(super) last: Option<JobCondition>,
    /// Events: reason and text.
    pub(super) events: Vec<(&'static str, &'static str)>,
}

/// What came of the work on pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of it was done.
    Done,
    /// Something failed.
    Failed,
}

/// The second step: notes in the status which pods have ended, before their finalizers go. `world` has the pods
/// from before the work, `after` those from after it.
pub(super) fn account(
    world: &World<'_>,
    decision: &Decision,
    outcome: Outcome,
    after: &[Arc<Pod>],
) -> Account {
    let (now, job) = (world.now, world.job);
    let spec = job.spec.clone().unwrap_or_default();
    let tally = world.tally(&spec);
    let active = after.iter().filter(|pod| api::pods::is_active(pod));
    let ready = active.clone().filter(|pod| api::pods::is_ready(pod)).count();
    let active = active.count();
    let number = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let mut account = Account { status: tally.status.clone(), ..Default::default() };
    account.status.start_time.clone_from(&decision.start_time);
    account.status.active = nonzero(active);
    account.status.ready = number(ready);
    account.status.terminating = number(after.iter().filter(|pod| pods::is_terminating(pod)).count());
    account.status.uncounted_terminated_pods.get_or_insert_default();

    // Pods that could not be deleted may yet come to another end: nothing is said before they are gone.
    let mut over = decision.verdict.clone().filter(|_| outcome == Outcome::Done && active == 0);
    if decision.verdict.is_none() {
        if decision.complete_if_idle && active == 0 {
            let text = "Reached expected number of succeeded pods".to_owned();
            over = Some(conditions::new(now, SUCCESS_CRITERIA_MET, "True", "CompletionsReached", text));
        } else if job.metadata.deletion_timestamp.is_none() {
            note_suspension(now, job, &mut account);
        }
    }
    let left = uids_with_finalizer(world.pods);
    drop_counted(&mut account.status, &left);
    note_ended(world, &tally, over.as_ref(), &mut account);
    if let Some(condition) = over {
        if condition.type_ == FAILURE_TARGET || condition.type_ == SUCCESS_CRITERIA_MET {
            if conditions::is_true(&account.status, &condition.type_).is_none() {
                account.status.conditions.get_or_insert_default().push(condition.clone());
            }
            let last = if condition.type_ == FAILURE_TARGET { FAILED } else { COMPLETE };
            account.last = Some(conditions::following(now, last, &condition));
        } else {
            account.last = Some(condition);
        }
        let uncounted = uncounted(&account.status);
        if uncounted.0.len() + uncounted.1.len() >= UNCOUNTED_PODS_MAX {
            account.last = None;
        }
    }
    account
}

fn note_suspension(now: Timestamp, job: &Job, account: &mut Account) {
    let (status, reason, text) = if is_suspended(job) {
        ("True", "JobSuspended", "Job suspended")
    } else {
        ("False", "JobResumed", "Job resumed")
    };
    let condition = conditions::new(now, SUSPENDED, status, reason, text.to_owned());
    if conditions::ensure(&mut account.status, condition) {
        if is_suspended(job) {
            account.status.start_time = None;
            account.events.push(("Suspended", text));
        } else {
            // The deadline is about the time of being continuously active.
            account.status.start_time = Some(Time(now));
            account.events.push(("Resumed", text));
        }
    }
}

fn note_ended(world: &World<'_>, tally: &Tally<'_>, over: Option<&JobCondition>, account: &mut Account) {
    let spec = tally.spec;
    let (known_succeeded, known_failed) = uncounted(&tally.status);
    let (mut succeeded, mut failed) = (BTreeSet::new(), Vec::new());
    let mut succeeded_uids = Vec::new();
    let mut room = UNCOUNTED_PODS_MAX.saturating_sub({
        let (one, other) = uncounted(&account.status);
        one.len() + other.len()
    });
    let mut pods: Vec<&Arc<Pod>> = world.pods.iter().filter(|pod| is_tracked(pod)).collect();
    if is_indexed(spec) {
        pods.sort_by_key(|pod| index_of(pod));
    }
    let all_failed = over.is_some_and(|over| over.type_ != SUCCESS_CRITERIA_MET);
    for pod in pods {
        let has_failed = is_failed(spec, pod);
        let ended = world.job.metadata.deletion_timestamp.is_some()
            || over.is_some()
            || api::pods::phase(pod) == "Succeeded"
            || (has_failed && !is_awaiting_replacement(tally, pod));
        if !ended {
            continue;
        }
        if room == 0 {
            break;
        }
        account.release.push(pod.clone());
        let uid = pod.uid().to_owned();
        if api::pods::phase(pod) == "Succeeded" && !known_failed.contains(&uid) {
            if is_indexed(spec) {
                let index = index_of(pod).filter(|_| is_in_range(spec, pod));
                if let Some(index) = index.filter(|index| !tally.succeeded_before.has(*index)) {
                    room -= usize::from(succeeded.insert(index));
                }
            } else if !known_succeeded.contains(&uid) {
                succeeded_uids.push(uid);
                room -= 1;
            }
        } else if (has_failed || all_failed)
            && !known_failed.contains(&uid)
            && is_in_range(spec, pod)
            && judge(spec, pod).counts()
        {
            failed.push(uid);
            room -= 1;
        }
    }
    let status = &mut account.status;
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    extend(&mut uncounted.succeeded, succeeded_uids);
    extend(&mut uncounted.failed, failed);
    if is_indexed(spec) {
        let indexes = tally.succeeded_before.union(&succeeded.into());
        status.succeeded = nonzero(usize::try_from(indexes.count()).unwrap_or_default());
        status.completed_indexes = Some(indexes.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = tally.failed_indexes.as_ref().map(ToString::to_string);
    }
}

/// Whether the pod stays as the memory of its index's failures until its replacement is there.
fn is_awaiting_replacement(tally: &Tally<'_>, pod: &Pod) -> bool {
    index_of(pod).and_then(|index| tally.to_replace.get(&index)).is_some_and(|last| last.uid() == pod.uid())
}

fn extend(list: &mut Option<Vec<String>>, more: Vec<String>) {
    if !more.is_empty() {
        list.get_or_insert_default().extend(more);
    }
}

/// The third step: counts the pods whose finalizers are gone, and ends the Job if all are counted. `after` are
/// the pods by then.
pub(super) fn settle(
    now: Timestamp,
    mut status: JobStatus,
    last: Option<&JobCondition>,
    after: &[Arc<Pod>],
) -> JobStatus {
    drop_counted(&mut status, &uids_with_finalizer(after));
    let (succeeded, failed) = uncounted(&status);
    let idle = status.terminating.unwrap_or_default() == 0;
    if let Some(last) = last.filter(|_| succeeded.is_empty() && failed.is_empty() && idle) {
        conditions::ensure(&mut status, last.clone());
        if last.type_ == COMPLETE {
            status.completion_time = Some(Time(now));
        }
    }
    status
}

/// Moves UIDs whose pods have no finalizer any more into the counters.
fn drop_counted(status: &mut JobStatus, left: &HashSet<String>) {
    let mut pods = status.uncounted_terminated_pods.take().unwrap_or_default();
    let count = |list: &mut Option<Vec<String>>| {
        let all = list.take().unwrap_or_default();
        let (kept, counted): (Vec<String>, Vec<String>) = all.into_iter().partition(|uid| left.contains(uid));
        *list = Some(kept).filter(|list| !list.is_empty());
        counted.len()
    };
    let (succeeded, failed) = (count(&mut pods.succeeded), count(&mut pods.failed));
    let add = |number: Option<i32>, more: usize| {
        nonzero(usize::try_from(number.unwrap_or_default()).unwrap_or_default() + more)
    };
    status.succeeded = add(status.succeeded, succeeded);
    status.failed = add(status.failed, failed);
    status.uncounted_terminated_pods = Some(pods);
}

fn uids_with_finalizer(pods: &[Arc<Pod>]) -> HashSet<String> {
    pods.iter().filter(|pod| is_tracked(pod)).map(|pod| pod.uid().to_owned()).collect()
}
