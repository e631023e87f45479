//! What a CronJob does next. Mirrors `syncCronJob` of `pkg/controller/cronjob/cronjob_controllerv2.go`.

use super::schedule::Schedule;
use api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job, JobStatus};
use api::core::v1::ObjectReference;
use api::meta::v1::{ObjectMeta, Time};
use api::{Object, owners, reference};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long after a time of the schedule it is looked at: clocks differ a little.
const SLACK: SignedDuration = SignedDuration::from_millis(100);

/// From so many missed times on something is wrong.
const MISSED_TIMES_MAX: i64 = 100;

/// The annotation of a Job that says which time of the schedule it is for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// What is decided on.
pub(super) struct World<'a> {
    pub(super) now: Timestamp,
    pub(super) cron: &'a CronJob,
    /// The Jobs whose controller it is.
    pub(super) jobs: &'a [Arc<Job>],
    /// The UIDs of active Jobs that the API server does not know any more.
    pub(super) missing: &'a HashSet<String>,
    /// The zone of schedules that name none.
    pub(super) zone: &'a TimeZone,
}

/// An event: whether it is a warning, its reason, its text.
pub(super) type Event = (bool, &'static str, String);

/// What is decided.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Jobs to delete: beyond the history's limits.
    pub(super) clean: Vec<Arc<Job>>,
    /// Jobs that have to go before the next one begins.
    pub(super) replace: Vec<ObjectReference>,
    /// The Job to make, and the time that it is for.
    pub(super) create: Option<(Box<Job>, Timestamp)>,
    /// The status, if all but the creation went well.
    pub(super) status: CronJobStatus,
    pub(super) events: Vec<Event>,
    /// When to look again.
    pub(super) again: Option<Duration>,
}

/// Decides.
pub(super) fn plan(world: &World<'_>) -> Plan {
    let cron = world.cron;
    let spec = cron.spec.clone();
    let mut plan = Plan { status: cron.status.clone().unwrap_or_default(), ..Plan::default() };
    clean(world.jobs, &spec, &mut plan);
    note(world, &mut plan);
    if cron.metadata.deletion_timestamp.is_none() {
        start(world, &spec, &mut plan);
    }
    plan
}

/// Finished Jobs beyond the limits, the oldest first.
fn clean(jobs: &[Arc<Job>], spec: &CronJobSpec, plan: &mut Plan) {
    let limits =
        [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
    for (condition, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut finished: Vec<_> = jobs.iter().filter(|job| finished_as(job) == Some(condition)).collect();
        finished.sort_by_key(|job| {
            let start = status(job).start_time.map(|time| time.0);
            (start.is_none(), start, job.name().to_owned())
        });
        let surplus = finished.len().saturating_sub(limit);
        for job in finished.into_iter().take(surplus).filter(|job| job.metadata.deletion_timestamp.is_none())
        {
            drop_active(&mut plan.status, job.uid());
            plan.clean.push(job.clone());
        }
    }
}

/// Notes which Jobs have ended.
fn note(world: &World<'_>, plan: &mut Plan) {
    for job in world.jobs {
        let active = is_active(&plan.status, job.uid());
        let Some(condition) = finished_as(job) else {
            if !active && job.metadata.deletion_timestamp.is_none() {
                let text = format!("Saw a job that the controller did not create or forgot: {}", job.name());
                plan.events.push((true, "UnexpectedJob", text));
            }
            continue;
        };
        if active {
            drop_active(&mut plan.status, job.uid());
            let text = format!("Saw completed job: {}, condition: {condition}", job.name());
            plan.events.push((false, "SawCompletedJob", text));
        }
        if condition == "Complete" {
            let completed = status(job).completion_time;
            let last = &mut plan.status.last_successful_time;
            *last = last.clone().max(completed);
        }
    }
    let active = plan.status.active.clone().unwrap_or_default();
    for gone in active.iter().filter(|job| world.missing.contains(uid(job))) {
        let name = gone.name.as_deref().unwrap_or_default();
        plan.events.push((false, "MissingJob", format!("Active job went missing: {name}")));
        drop_active(&mut plan.status, uid(gone));
    }
}

fn start(world: &World<'_>, spec: &CronJobSpec, plan: &mut Plan) {
    let (now, cron) = (world.now, world.cron);
    let named = spec.time_zone.as_deref().map(|name| (name, TimeZone::get(name)));
    let zone = match &named {
        None => world.zone,
        Some((_, Ok(zone))) => zone,
        Some((name, Err(error))) => {
            plan.events.push((true, "UnknownTimeZone", format!("invalid timeZone: {name:?}: {error}")));
            return;
        }
    };
    if spec.suspend == Some(true) {
        return;
    }
    let text = &spec.schedule;
    if text.contains("TZ") {
        let words = format!(
            "CRON_TZ or TZ used in schedule {text:?} is not officially supported, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        );
        plan.events.push((true, "UnsupportedSchedule", words));
    }
    let schedule = match Schedule::parse(text, zone) {
        Ok(schedule) => schedule,
        Err(error) => {
            let words = format!("unparseable schedule: {text:?} : {error}");
            plan.events.push((true, "UnparseableSchedule", words));
            return;
        }
    };
    let due = due(now, earliest(now, cron, spec), &schedule);
    let from =
        due.map_or_else(|| last(cron).unwrap_or(now), |due| due.time.max(last(cron).unwrap_or(due.time)));
    plan.again = schedule
        .next(from)
        .map(|next| next.duration_since(now) + SLACK)
        .map(|wait| if wait.is_positive() { wait.unsigned_abs() } else { Duration::ZERO });
    let Some(due) = due else { return };
    if due.missed > MISSED_TIMES_MAX {
        let words =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.events.push((true, "TooManyMissedTimes", words.to_owned()));
    }
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if deadline.is_some_and(|deadline| now.duration_since(due.time) > deadline) {
        let time = jiff::fmt::strtime::format("%a, %d %b %Y %H:%M:%S +0000", due.time).unwrap_or_default();
        plan.events.push((true, "MissSchedule", format!("Missed scheduled time to start a job: {time}")));
        return;
    }
    let name = job_name(cron, due.time);
    let active = plan.status.active.clone().unwrap_or_default();
    let begun = active.iter().any(|job| job.name.as_deref() == Some(name.as_str()));
    if begun || plan.status.last_schedule_time == Some(Time(due.time)) {
        return;
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let words =
                "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.events.push((false, "JobAlreadyActive", words.to_owned()));
            return;
        }
        Some("Replace") => plan.replace = active,
        _ => {}
    }
    let zone = named.and_then(|(_, zone)| zone.ok()).unwrap_or(TimeZone::UTC);
    plan.create = Some((Box::new(new_job(cron, spec, name, due.time, &zone)), due.time));
}

/// A time of the schedule that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    time: Timestamp,
    /// How many have come, about, if times are as far apart as the first two.
    missed: i64,
}

/// The last time of the schedule that has come since `earliest`. Long ago, the way there is shortened by a guess
/// of how many times it has been; a guess that goes too far (times are not evenly apart) is made anew, shorter.
fn due(now: Timestamp, earliest: Timestamp, schedule: &Schedule) -> Option<Due> {
    let first = schedule.next(earliest).filter(|first| *first <= now)?;
    let Some(second) = schedule.next(first).filter(|second| *second <= now) else {
        return Some(Due { time: first, missed: 1 });
    };
    let apart = second.duration_since(first).as_secs().max(1);
    let missed = now.duration_since(first).as_secs() / apart + 1;
    let mut time = first;
    let mut ahead = missed - 2;
    while ahead > 0 {
        let guess = SignedDuration::from_secs(ahead.saturating_mul(apart));
        let found = first.checked_add(guess).ok().and_then(|guess| schedule.next(guess));
        if let Some(found) = found.filter(|found| *found <= now) {
            time = found;
            break;
        }
        ahead /= 2;
    }
    while let Some(next) = schedule.next(time).filter(|next| *next <= now) {
        time = next;
    }
    Some(Due { time, missed })
}

/// From when on times count: since the last one that was followed, and no longer ago than a Job may begin late.
fn earliest(now: Timestamp, cron: &CronJob, spec: &CronJobSpec) -> Timestamp {
    let since = last(cron).unwrap_or(now);
    let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    deadline.and_then(|deadline| now.checked_sub(deadline).ok()).map_or(since, |limit| limit.max(since))
}

/// The last time that was followed, or when the CronJob was made.
fn last(cron: &CronJob) -> Option<Timestamp> {
    let status = cron.status.as_ref();
    let scheduled = status.and_then(|status| status.last_schedule_time.as_ref());
    scheduled.or(cron.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

/// A name for each minute: who makes a Job twice is told that it is there.
fn job_name(cron: &CronJob, time: Timestamp) -> String {
    format!("{}-{}", cron.name(), time.as_second() / 60)
}

fn new_job(cron: &CronJob, spec: &CronJobSpec, name: String, time: Timestamp, zone: &TimeZone) -> Job {
    let template = spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), rfc3339(time, zone));
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cron.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owners::controller_reference(cron)]),
            ..Default::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// As Go prints it: `Z` for UTC.
fn rfc3339(time: Timestamp, zone: &TimeZone) -> String {
    let local = time.to_zoned(zone.clone());
    if local.offset().is_zero() {
        return Time(time).0.to_string();
    }
    local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The reference of an active Job.
pub(super) fn active_reference(job: &Job) -> ObjectReference {
    reference(job)
}

/// Whether a Job is among the active.
pub(super) fn is_active(status: &CronJobStatus, job: &str) -> bool {
    status.active.iter().flatten().any(|active| uid(active) == job)
}

/// Takes a Job off the active.
pub(super) fn drop_active(status: &mut CronJobStatus, job: &str) {
    let active = status.active.take().unwrap_or_default();
    let left: Vec<_> = active.into_iter().filter(|active| uid(active) != job).collect();
    status.active = Some(left).filter(|left| !left.is_empty());
}

/// The UID in a reference.
pub(super) fn uid(reference: &ObjectReference) -> &str {
    reference.uid.as_deref().unwrap_or_default()
}

fn status(job: &Job) -> JobStatus {
    job.status.clone().unwrap_or_default()
}

/// The condition by which a Job has finished, if it has.
fn finished_as(job: &Job) -> Option<&'static str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    ["Complete", "Failed"].into_iter().find(|kind| {
        conditions.iter().any(|condition| condition.type_ == *kind && condition.status == "True")
    })
}
