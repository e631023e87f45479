//! What a Job does next. Mirrors `syncJob`, `manageJob` and `trackJobStatusAndRemoveFinalizers` of
//! `pkg/controller/job/job_controller.go`, in three steps between which the executor acts: `decide` about pods,
//! `account` for those that ended, `settle` the counters once their finalizers are gone.

use super::backoff::{Backoff, finished};
use super::indexes::{COMPLETION_INDEX, Indexes, index_of};
use super::policy::{Verdict, enough, judge};
use super::{TRACKING, conditions, is_suspended};
use crate::workloads::pods;
use crate::workloads::replicaset::nonzero;
use api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use api::meta::v1::Time;
use api::{Object, owners};
use conditions::{COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, SUSPENDED};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The most pods made or deleted at one look, and the most UIDs in the status: it stays below 20 KB.
pub(super) const PODS_AT_ONCE_MAX: usize = 500;
pub(super) const UNCOUNTED_PODS_MAX: usize = 500;

/// The longest beginning of a name that the API server ends (`MaxGeneratedNameLength`).
const GENERATED_NAME_CHARACTERS_MAX: usize = 58;

const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

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

/// What is known of the pods.
struct Tally<'a> {
    spec: &'a JobSpec,
    status: JobStatus,
    active: Vec<Arc<Pod>>,
    terminating: Vec<Arc<Pod>>,
    succeeded: i32,
    failed: i32,
    succeeded_before: Indexes,
    succeeded_indexes: Indexes,
    failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that is to be tried again.
    to_replace: BTreeMap<i32, Arc<Pod>>,
    new_succeeded: Vec<Arc<Pod>>,
    new_failed: Vec<Arc<Pod>>,
}

impl<'a> World<'a> {
    fn tally(&self, spec: &'a JobSpec) -> Tally<'a> {
        let status = self.job.status.clone().unwrap_or_default();
        let (uncounted_succeeded, uncounted_failed) = uncounted(&status);
        let fresh = |known: &HashSet<String>, test: &dyn Fn(&Pod) -> bool| -> Vec<Arc<Pod>> {
            let mine = self.pods.iter().filter(|pod| is_tracked(pod) && !known.contains(pod.uid()));
            mine.filter(|pod| is_in_range(spec, pod) && test(pod)).cloned().collect()
        };
        let new_succeeded = fresh(&uncounted_succeeded, &|pod| api::pods::phase(pod) == "Succeeded");
        let new_failed = fresh(&uncounted_failed, &|pod| is_failed(spec, pod));
        let counted = new_failed.iter().filter(|pod| judge(spec, pod).counts()).count();
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let active: Vec<_> = self.pods.iter().filter(|pod| api::pods::is_active(pod)).cloned().collect();
        let mut tally = Tally {
            spec,
            succeeded: status.succeeded.unwrap_or_default()
                + number(new_succeeded.len() + uncounted_succeeded.len()),
            failed: status.failed.unwrap_or_default() + number(counted + uncounted_failed.len()),
            status,
            active,
            terminating: self.pods.iter().filter(|pod| pods::is_terminating(pod)).cloned().collect(),
            succeeded_before: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            to_replace: BTreeMap::new(),
            new_succeeded,
            new_failed,
        };
        if is_indexed(spec) {
            tally.count_indexes(self.pods);
        }
        tally
    }
}

impl Tally<'_> {
    fn count_indexes(&mut self, pods: &[Arc<Pod>]) {
        let completions = self.spec.completions.unwrap_or_default();
        let before = |text: &Option<String>| Indexes::parse(text.as_deref().unwrap_or_default(), completions);
        let of = |test: &dyn Fn(&Pod) -> bool| -> Indexes {
            let mine = pods.iter().filter(|pod| is_tracked(pod) && is_in_range(self.spec, pod) && test(pod));
            mine.filter_map(|pod| index_of(pod)).collect::<BTreeSet<i32>>().into()
        };
        self.succeeded_before = before(&self.status.completed_indexes);
        self.succeeded_indexes =
            self.succeeded_before.union(&of(&|pod| api::pods::phase(pod) == "Succeeded"));
        self.succeeded = self.succeeded_indexes.count();
        if let Some(limit) = self.spec.backoff_limit_per_index {
            let failed = of(&|pod| fails_index(self.spec, pod, limit));
            let failed = before(&self.status.failed_indexes).union(&failed);
            let active: HashSet<i32> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
            let tracked = pods.iter().filter(|pod| is_tracked(pod) && is_in_range(self.spec, pod));
            for pod in tracked.filter(|pod| is_failed(self.spec, pod)) {
                let Some(index) = index_of(pod) else { continue };
                if self.succeeded_indexes.has(index) || failed.has(index) || active.contains(&index) {
                    continue;
                }
                let later = self.to_replace.get(&index).is_none_or(|last| {
                    all_failures(last) <= all_failures(pod) && finished(pod) >= finished(last)
                });
                if later {
                    self.to_replace.insert(index, pod.clone());
                }
            }
            self.failed_indexes = Some(failed);
        }
    }
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
        indexes.into_iter().map(|index| indexed_pod(job, tally, index)).collect()
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

fn uncounted(status: &JobStatus) -> (HashSet<String>, HashSet<String>) {
    let pods = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let set = |list: Option<Vec<String>>| list.into_iter().flatten().collect();
    (set(pods.succeeded), set(pods.failed))
}

/// Whether the pod is yet to be counted.
pub(super) fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Whether the pod's index is one of the Job's, where it has indexes.
fn is_in_range(spec: &JobSpec, pod: &Pod) -> bool {
    !is_indexed(spec) || index_of(pod).is_some_and(|index| index < spec.completions.unwrap_or_default())
}

fn replaces_failed_only(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// A pod that is deleted counts as failed, unless only those that have come to their end do.
fn is_failed(spec: &JobSpec, pod: &Pod) -> bool {
    match api::pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => api::pods::is_terminating(pod) && !replaces_failed_only(spec),
    }
}

fn fails_index(spec: &JobSpec, pod: &Pod, limit: i32) -> bool {
    is_failed(spec, pod)
        && match judge(spec, pod) {
            Verdict::FailIndex => true,
            Verdict::Ignore => false,
            Verdict::Count | Verdict::FailJob(_) => failures(pod, FAILURES) >= limit,
        }
}

fn failures(pod: &Pod, annotation: &str) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation));
    text.and_then(|text| text.parse().ok()).filter(|count| *count >= 0).unwrap_or_default()
}

fn all_failures(pod: &Pod) -> i32 {
    failures(pod, FAILURES).saturating_add(failures(pod, IGNORED_FAILURES))
}

fn plain_pod(job: &Job) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = pods::from_template(&template, job, owners::controller_reference(job));
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == TRACKING) {
        finalizers.push(TRACKING.to_owned());
    }
    pod
}

fn indexed_pod(job: &Job, tally: &Tally<'_>, index: i32) -> Pod {
    let mut pod = plain_pod(job);
    let text = index.to_string();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(COMPLETION_INDEX.to_owned(), text.clone());
    if tally.spec.backoff_limit_per_index.is_some() {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(last) = tally.to_replace.get(&index) {
            counted = failures(last, FAILURES);
            ignored = failures(last, IGNORED_FAILURES);
            if judge(tally.spec, last).counts() { counted += 1 } else { ignored += 1 }
        }
        annotations.insert(FAILURES.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED_FAILURES.to_owned(), ignored.to_string());
        }
    }
    pod.metadata.labels.get_or_insert_default().insert(COMPLETION_INDEX.to_owned(), text);
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{}-{index}", job.name()));
    spec.init_containers.iter_mut().flatten().for_each(tell_index);
    spec.containers.iter_mut().for_each(tell_index);
    let ending = format!("-{index}-");
    let name = job.name();
    let room = GENERATED_NAME_CHARACTERS_MAX - ending.len();
    pod.metadata.generate_name = Some(format!("{}{ending}", name.get(..room).unwrap_or(name)));
    pod
}

fn tell_index(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == "JOB_COMPLETION_INDEX") {
        return;
    }
    env.push(EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: format!("metadata.labels['{COMPLETION_INDEX}']"),
                api_version: None,
            }),
            ..Default::default()
        }),
    });
}
