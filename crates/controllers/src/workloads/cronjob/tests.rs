//! CronJobs at times.

use super::plan::{Plan, World, plan};
use crate::workloads::testing::meta;
use api::Object;
use api::batch::v1::{CronJob, Job};
use api::meta::v1::Time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

fn time(text: &str) -> Timestamp {
    format!("2026-05-19T{text}Z").parse().expect("a time")
}

/// A CronJob that was made at 10:00.
fn cron(spec: Value, status: Value) -> CronJob {
    let mut all = json!({ "schedule": "0 * * * *", "concurrencyPolicy": "Allow",
        "jobTemplate": { "metadata": { "labels": { "a": "b" } }, "spec": { "template": {} } } });
    all.as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
    let mut metadata = meta("tick");
    metadata.creation_timestamp = Some(Time(time("10:00:00")));
    CronJob {
        metadata,
        spec: serde_json::from_value(all).expect("a spec"),
        status: Some(serde_json::from_value(status).expect("a status")),
    }
}

fn job(name: &str, condition: Option<&str>, minute: u32) -> Arc<Job> {
    let at = format!("2026-05-19T10:{minute:02}:00Z");
    let conditions: Vec<_> =
        condition.map(|kind| json!({ "type": kind, "status": "True" })).into_iter().collect();
    let status = json!({ "startTime": at, "completionTime": at, "conditions": conditions });
    Arc::new(Job { metadata: meta(name), spec: None, status: serde_json::from_value(status).ok() })
}

fn look(now: &str, cron: &CronJob, jobs: &[Arc<Job>], missing: &[&str]) -> Plan {
    let missing: HashSet<String> = missing.iter().map(|&uid| uid.to_owned()).collect();
    plan(&World { now: time(now), cron, jobs, missing: &missing, zone: &TimeZone::UTC })
}

fn told(plan: &Plan) -> String {
    let mut words: Vec<String> = plan.events.iter().map(|(_, reason, _)| (*reason).to_owned()).collect();
    words.extend(plan.clean.iter().map(|job| format!("-{}", job.name())));
    words.extend(plan.replace.iter().map(|job| format!("~{}", job.name.clone().unwrap_or_default())));
    words.extend(plan.create.iter().map(|(_, time)| format!("+{}", time.strftime("%H:%M"))));
    words.join(" ")
}

#[test]
fn times() {
    let busy = json!({ "active": [{ "name": "old", "uid": "uid-old" }], "lastScheduleTime": "2026-05-19T10:00:00Z" });
    let done = json!({ "lastScheduleTime": "2026-05-19T11:00:00Z" });
    for (what, now, spec, status, expected) in [
        ("too early", "10:59:59", json!({}), json!({}), ""),
        ("now", "11:00:00", json!({}), json!({}), "+11:00"),
        ("late", "11:59:59", json!({}), json!({}), "+11:00"),
        ("the last of several", "15:30:00", json!({}), json!({}), "+15:00"),
        ("once", "11:00:01", json!({}), done, ""),
        ("suspended", "11:00:00", json!({ "suspend": true }), json!({}), ""),
        ("in time", "11:00:09", json!({ "startingDeadlineSeconds": 10 }), json!({}), "+11:00"),
        ("too late", "11:00:11", json!({ "startingDeadlineSeconds": 10 }), json!({}), ""),
        ("allow", "11:00:00", json!({}), busy.clone(), "+11:00"),
        ("forbid", "11:00:00", json!({ "concurrencyPolicy": "Forbid" }), busy.clone(), "JobAlreadyActive"),
        ("replace", "11:00:00", json!({ "concurrencyPolicy": "Replace" }), busy, "~old +11:00"),
        (
            "many missed",
            "15:00:30",
            json!({ "schedule": "* * * * *" }),
            json!({}),
            "TooManyMissedTimes +15:00",
        ),
        ("zone", "10:30:00", json!({ "timeZone": "Asia/Kolkata" }), json!({}), "+10:30"),
        ("no zone", "11:00:00", json!({ "timeZone": "No/Where" }), json!({}), "UnknownTimeZone"),
        ("no schedule", "11:00:00", json!({ "schedule": "x" }), json!({}), "UnparseableSchedule"),
        ("never", "11:00:00", json!({ "schedule": "0 0 31 2 *" }), json!({}), ""),
    ] {
        assert_eq!(
            told(&look(now, &cron(spec, status), &[job("old", None, 0)], &[]))
                .replace("UnexpectedJob ", "")
                .replace("UnexpectedJob", ""),
            expected,
            "{what}"
        );
    }
}

#[test]
fn it_is_looked_at_when_the_time_has_come() {
    let wait =
        |now: &str, status: Value| look(now, &cron(json!({}), status), &[], &[]).again.expect("a wait");
    assert_eq!(wait("10:15:00", json!({})).as_millis(), 45 * 60_000 + 100);
    assert_eq!(wait("11:00:00", json!({})).as_millis(), 60 * 60_000 + 100);
    let done = json!({ "lastScheduleTime": "2026-05-19T11:00:00Z" });
    assert_eq!(wait("11:20:00", done).as_millis(), 40 * 60_000 + 100);
}

#[test]
fn jobs_are_of_the_template() {
    let made = |spec: Value| *look("11:00:00", &cron(spec, json!({})), &[], &[]).create.expect("a job").0;
    let utc = made(json!({}));
    assert_eq!(utc.name(), format!("tick-{}", time("11:00:00").as_second() / 60));
    let scheduled = |job: &Job| job.metadata.annotations.clone().expect("annotations").into_values().next();
    assert_eq!(scheduled(&utc).as_deref(), Some("2026-05-19T11:00:00Z"));
    let berlin = made(json!({ "timeZone": "Europe/Berlin" }));
    assert_eq!(scheduled(&berlin).as_deref(), Some("2026-05-19T13:00:00+02:00"));
    assert_eq!(utc.metadata.labels, Some([("a".to_owned(), "b".to_owned())].into()));
    assert_eq!(utc.metadata.owner_references.expect("an owner")[0].controller, Some(true));
}

#[test]
fn history() {
    let status = json!({ "active": [
        { "name": "a", "uid": "uid-a" }, { "name": "run", "uid": "uid-run" }, { "name": "gone", "uid": "uid-gone" }] });
    let limits = json!({ "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0, "suspend": true });
    let jobs = [
        job("b", Some("Complete"), 20),
        job("a", Some("Complete"), 10),
        job("f", Some("Failed"), 5),
        job("run", None, 30),
    ];
    let plan = look("10:40:00", &cron(limits, status), &jobs, &["uid-gone"]);
    assert_eq!(told(&plan), "MissingJob -a -f");
    let active: Vec<_> = plan.status.active.iter().flatten().filter_map(|job| job.name.as_deref()).collect();
    assert_eq!(active, ["run"]);
    assert_eq!(plan.status.last_successful_time, Some(Time(time("10:20:00"))));
    let status = json!({ "active": [{ "name": "b", "uid": "uid-b" }] });
    let plan = look("10:40:00", &cron(json!({ "suspend": true }), status), &jobs[..1], &[]);
    assert_eq!((told(&plan).as_str(), plan.status.active), ("SawCompletedJob", None));
}
