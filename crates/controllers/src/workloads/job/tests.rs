//! Jobs from begin to end, in a small world.

use super::account::{Account, Outcome, account, settle};
use super::backoff::Backoff;
use super::conditions::{self, is_finished};
use super::indexes::{COMPLETION_INDEX, index_of};
use super::plan::{Decision, Work, World, decide};
use super::pods::is_tracked;
use super::{TRACKING, status_of};
use crate::workloads::testing::{Dice, PodBuilder, at, labels, meta, pod, selector};
use api::Object;
use api::batch::v1::{Job, JobSpec};
use api::core::v1::{Pod, PodStatus};
use api::meta::v1::Time;
use serde_json::{Value, json};
use std::sync::Arc;

fn job(part: Value) -> Job {
    let mut spec = json!({
        "parallelism": 2, "completions": 3, "backoffLimit": 6, "completionMode": "NonIndexed",
        "template": { "metadata": { "labels": { "job": "work" } }, "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "main", "image": "work:1" }] } },
    });
    for (key, value) in part.as_object().expect("a map") {
        spec[key] = value.clone();
    }
    spec.as_object_mut().expect("a map").retain(|_, value| !value.is_null());
    let spec: JobSpec = serde_json::from_value(spec).expect("a spec");
    let spec = JobSpec { selector: Some(selector("job=work")), ..spec };
    Job { metadata: meta("work"), spec: Some(spec), status: None }
}

fn mine(name: &str) -> PodBuilder {
    pod(name).labels("job=work").owned_by(&job(json!({}))).finalizer(TRACKING)
}

fn with_index(name: &str, index: i32) -> PodBuilder {
    mine(name).annotation(COMPLETION_INDEX, &index.to_string())
}

fn look(job: &Job, pods: &[Arc<Pod>]) -> Decision {
    decide(&World { now: at(1_000), job, pods }, Backoff::default())
}

fn told(work: &Work) -> String {
    let names = |pods: &[Arc<Pod>]| pods.iter().map(|pod| pod.name()).collect::<Vec<_>>().join(" ");
    match work {
        Work::Rest => "rest".into(),
        Work::Create(pods) => {
            let indexes: Vec<_> = pods.iter().filter_map(index_of).map(|index| index.to_string()).collect();
            format!("create {} {}", pods.len(), indexes.join(" "))
        }
        Work::Delete(pods) => format!("delete {}", names(pods)),
        Work::End(pods) => format!("end {}", names(pods)),
    }
}

#[test]
fn work() {
    let done = |name: &str| mine(name).phase("Succeeded").build();
    let running = |name: &str| mine(name).node("a").ready(at(900)).build();
    let failed =
        |name: &str, second| mine(name).phase("Failed").condition("Ready", "False", at(second)).build();
    for (what, spec, pods, expected) in [
        ("begin", json!({}), vec![], "create 2 "),
        ("go on", json!({}), vec![running("a"), done("b")], "create 1 "),
        ("not more than remain", json!({}), vec![done("a"), done("b")], "create 1 "),
        ("enough run", json!({}), vec![running("a"), running("b")], "rest"),
        ("all done", json!({}), vec![done("a"), done("b"), done("c")], "rest"),
        ("too many run", json!({ "parallelism": 1 }), vec![running("a"), mine("b").build()], "delete b"),
        ("suspended", json!({ "suspend": true }), vec![running("a")], "delete a"),
        ("work queue begins", json!({ "completions": null }), vec![], "create 2 "),
        ("work queue ends", json!({ "completions": null }), vec![done("a"), running("b")], "rest"),
        ("wait after a failure", json!({}), vec![failed("a", 999)], "rest"),
        ("replace a failure", json!({}), vec![failed("a", 900)], "create 2 "),
        ("too many failures", json!({ "backoffLimit": 0 }), vec![failed("a", 1), running("b")], "end b"),
        ("replace at once", json!({}), vec![mine("a").terminating(at(900)).build()], "create 2 "),
        (
            "replace when over",
            json!({ "podReplacementPolicy": "Failed" }),
            vec![mine("a").terminating(at(900)).build()],
            "create 1 ",
        ),
        ("deadline", json!({ "activeDeadlineSeconds": 0 }), vec![running("a")], "end a"),
    ] {
        assert_eq!(told(&look(&job(spec), &pods).work), expected, "{what}");
    }
}

#[test]
fn work_by_index() {
    let indexed = |part: Value| {
        let mut spec = json!({ "completionMode": "Indexed", "completions": 5, "parallelism": 3 });
        spec.as_object_mut().expect("a map").extend(part.as_object().expect("a map").clone());
        job(spec)
    };
    let failed = |name: &str, index: i32, count: i32| {
        with_index(name, index)
            .annotation("batch.kubernetes.io/job-index-failure-count", &count.to_string())
            .phase("Failed")
            .condition("Ready", "False", at(900))
    };
    let per_index = json!({ "backoffLimitPerIndex": 1, "maxFailedIndexes": 1, "backoffLimit": 99 });
    for (what, job, pods, expected) in [
        ("begin", indexed(json!({})), vec![], "create 3 0 1 2"),
        (
            "next",
            indexed(json!({})),
            vec![with_index("a", 0), with_index("b", 1).phase("Succeeded")],
            "create 2 2 3",
        ),
        ("twice", indexed(json!({})), vec![with_index("a", 0).ready(at(1)), with_index("b", 0)], "delete b"),
        ("beyond", indexed(json!({})), vec![with_index("a", 7)], "delete a"),
        ("again", indexed(per_index.clone()), vec![failed("a", 1, 0)], "create 3 0 1 2"),
        ("no more", indexed(per_index.clone()), vec![failed("a", 1, 1)], "create 3 0 2 3"),
        (
            "too many indexes",
            indexed(per_index),
            vec![failed("a", 1, 1), failed("b", 2, 1), with_index("c", 0)],
            "end c",
        ),
        (
            "some are enough",
            indexed(json!({ "successPolicy": { "rules": [{ "succeededIndexes": "0" }] } })),
            vec![with_index("a", 0).phase("Succeeded"), with_index("b", 1)],
            "end b",
        ),
    ] {
        let pods: Vec<_> = pods.into_iter().map(PodBuilder::build).collect();
        assert_eq!(told(&look(&job, &pods).work), expected, "{what}");
    }
}

#[test]
fn pods_with_an_index_know_it() {
    let mut job = job(json!({ "completionMode": "Indexed", "backoffLimitPerIndex": 3 }));
    job.metadata.name = Some("x".repeat(70));
    let Work::Create(pods) = look(&job, &[]).work else { panic!("no pods") };
    let pod = tree(&pods[1]);
    assert_eq!(pod["metadata"]["generateName"], format!("{}-1-", "x".repeat(55)));
    assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
    assert_eq!(pod["metadata"]["labels"], json!({ "job": "work", COMPLETION_INDEX: "1" }));
    let annotations = json!({ COMPLETION_INDEX: "1", "batch.kubernetes.io/job-index-failure-count": "0" });
    assert_eq!(pod["metadata"]["annotations"], annotations);
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!((owner["kind"].as_str(), owner["blockOwnerDeletion"].as_bool()), (Some("Job"), Some(true)));
    let field = json!({ "fieldRef": { "fieldPath": format!("metadata.labels['{COMPLETION_INDEX}']") } });
    let env = json!([{ "name": "JOB_COMPLETION_INDEX", "valueFrom": field }]);
    assert_eq!(pod["spec"]["containers"][0]["env"], env);
    assert_eq!(pod["spec"]["hostname"], format!("{}-1", "x".repeat(70)));
}

fn tree(pod: &Pod) -> Value {
    serde_json::to_value(pod).expect("JSON")
}

/// One look whose steps all go well.
fn whole_look(job: &Job, pods: &[Arc<Pod>]) -> (Account, api::batch::v1::JobStatus) {
    let world = World { now: at(1_000), job, pods };
    let decision = decide(&world, Backoff::default());
    let after: Vec<Arc<Pod>> = match &decision.work {
        Work::Rest | Work::Create(_) => pods.to_vec(),
        Work::Delete(_) | Work::End(_) => {
            pods.iter().filter(|pod| !api::pods::is_active(pod)).cloned().collect()
        }
    };
    let account = account(&world, &decision, Outcome::Done, &after);
    let released = after.iter().filter(|pod| !account.release.iter().any(|gone| gone.uid() == pod.uid()));
    let released: Vec<_> = released.cloned().collect();
    let status = settle(at(1_000), account.status.clone(), account.last.as_ref(), &released);
    (account, status)
}

fn reasons(status: &api::batch::v1::JobStatus) -> Vec<String> {
    let all = status.conditions.iter().flatten();
    all.map(|one| format!("{} {}", one.type_, one.reason.clone().unwrap_or_default())).collect()
}

#[test]
fn ends_are_noted_before_they_are_counted() {
    let job = job(json!({}));
    let pods = [
        mine("a").phase("Succeeded").build(),
        mine("b").phase("Failed").build(),
        mine("c").node("n").ready(at(1)).build(),
    ];
    let (account, status) = whole_look(&job, &pods);
    let uncounted = account.status.uncounted_terminated_pods.clone().expect("pods");
    assert_eq!(uncounted.succeeded, Some(vec!["uid-a".into()]));
    assert_eq!(uncounted.failed, Some(vec!["uid-b".into()]));
    assert_eq!((account.status.succeeded, account.status.failed), (None, None));
    assert_eq!(
        (status.succeeded, status.failed, status.active, status.ready),
        (Some(1), Some(1), Some(1), Some(1))
    );
    assert_eq!(status.start_time, Some(Time(at(1_000))));
    // What was noted is not noted again, whoever crashed in between.
    let noted = Job { status: Some(account.status.clone()), ..job };
    let (again, status) = whole_look(&noted, &pods);
    assert_eq!(again.status.uncounted_terminated_pods, account.status.uncounted_terminated_pods);
    assert_eq!((status.succeeded, status.failed), (Some(1), Some(1)));
}

#[test]
fn ends_of_jobs() {
    let done = |name: &str| mine(name).phase("Succeeded").build();
    let (_, status) = whole_look(&job(json!({})), &[done("a"), done("b"), done("c")]);
    assert_eq!(reasons(&status), ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"]);
    assert_eq!((status.succeeded, status.completion_time), (Some(3), Some(Time(at(1_000)))));

    let failed = job(json!({ "backoffLimit": 0 }));
    let (_, status) =
        whole_look(&failed, &[mine("a").phase("Failed").build(), mine("b").ready(at(1)).build()]);
    assert_eq!(reasons(&status), ["FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded"]);
    assert_eq!((status.failed, status.completion_time), (Some(2), None));

    let policy = json!({ "completionMode": "Indexed", "completions": 3, "successPolicy": {
        "rules": [{ "succeededCount": 1 }] } });
    let pods = [with_index("a", 1).phase("Succeeded").build(), with_index("b", 0).ready(at(1)).build()];
    let (_, status) = whole_look(&job(policy), &pods);
    assert_eq!(reasons(&status), ["SuccessCriteriaMet SuccessPolicy", "Complete SuccessPolicy"]);
    assert_eq!(
        (status.succeeded, status.failed, status.completed_indexes),
        (Some(1), None, Some("1".into()))
    );
}

#[test]
fn suspension() {
    let suspended = job(json!({ "suspend": true }));
    let (account, status) = whole_look(&suspended, &[]);
    assert_eq!((reasons(&status), status.start_time.clone()), (vec!["Suspended JobSuspended".into()], None));
    assert_eq!(account.events, [("Suspended", "Job suspended")]);
    let resumed = Job { status: Some(status), ..job(json!({})) };
    let (account, status) = whole_look(&resumed, &[]);
    assert_eq!(reasons(&status), ["Suspended JobResumed"]);
    assert_eq!(status.conditions.expect("conditions")[0].status, "False");
    assert_eq!(account.events, [("Resumed", "Job resumed")]);
    assert_eq!(status.start_time, Some(Time(at(1_000))));
}

/// Pods start, succeed, fail and vanish, and the controller crashes between its steps; in the end exactly the
/// pods that ended are counted, and never do more run than may.
#[test]
fn every_end_is_counted_once() {
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let completions = 1 + dice.below(6);
        let parallelism = 1 + dice.below(4);
        let mode = if dice.one_in(2) { "Indexed" } else { "NonIndexed" };
        let mut job = job(json!({
            "completions": completions, "parallelism": parallelism, "backoffLimit": 4, "completionMode": mode,
        }));
        let mut pods: Vec<Pod> = Vec::new();
        let (mut born, mut succeeded, mut failed) = (0, 0, 0);
        for step in 1..3_000 {
            let now = at(i64::from(step) * 100);
            for slot in &mut pods {
                if api::pods::is_active(slot) && !api::pods::is_terminating(slot) {
                    let phase = match dice.below(8) {
                        0 => "Succeeded",
                        1 => "Failed",
                        _ => "Running",
                    };
                    slot.status = Some(PodStatus { phase: Some(phase.into()), ..Default::default() });
                }
            }
            // Pods that were asked to go fail and vanish, once nothing holds them.
            for slot in &mut pods {
                if api::pods::is_terminating(slot) && !api::pods::is_terminal(slot) {
                    slot.status = Some(PodStatus { phase: Some("Failed".into()), ..Default::default() });
                }
            }
            pods.retain(|pod| is_tracked(pod) || !api::pods::is_terminating(pod));
            let before: Vec<Arc<Pod>> = pods.iter().cloned().map(Arc::new).collect();
            let world = World { now, job: &job, pods: &before };
            let decision = decide(&world, Backoff::default());
            let fails = dice.one_in(6);
            match &decision.work {
                Work::Rest => {}
                Work::Create(new) => {
                    for pod in new.iter().take(if fails { 1 } else { new.len() }) {
                        born += 1;
                        let mut pod = pod.clone();
                        pod.metadata.name = Some(format!("p{born}"));
                        pod.metadata.uid = Some(format!("uid-p{born}"));
                        pod.metadata.labels = Some(labels("job=work"));
                        pods.push(pod);
                    }
                }
                Work::Delete(gone) | Work::End(gone) => {
                    for gone in gone.iter().take(if fails { 1 } else { gone.len() }) {
                        let pod = pods.iter_mut().find(|pod| pod.uid() == gone.uid()).expect("the pod");
                        pod.metadata.deletion_timestamp = Some(Time(now));
                        if matches!(decision.work, Work::Delete(_)) {
                            pod.metadata.finalizers = None;
                        }
                    }
                }
            }
            let after: Vec<Arc<Pod>> = pods.iter().cloned().map(Arc::new).collect();
            let outcome = if fails { Outcome::Failed } else { Outcome::Done };
            let account = account(&world, &decision, outcome, &after);
            let active = after.iter().filter(|pod| api::pods::is_active(pod)).count();
            assert!(active <= parallelism, "seed {seed} step {step}");
            if dice.one_in(5) {
                continue;
            }
            job.status = Some(account.status.clone());
            let mut crashed = false;
            for gone in &account.release {
                if dice.one_in(9) {
                    crashed = true;
                    break;
                }
                let pod = pods.iter_mut().find(|pod| pod.uid() == gone.uid()).expect("the pod");
                pod.metadata.finalizers = None;
                match api::pods::phase(gone) {
                    "Succeeded" => succeeded += 1,
                    _ => failed += 1,
                }
            }
            if crashed {
                continue;
            }
            let after: Vec<Arc<Pod>> = pods.iter().cloned().map(Arc::new).collect();
            let status = settle(now, account.status, account.last.as_ref(), &after);
            job.status = Some(status.clone());
            if is_finished(&status) {
                break;
            }
        }
        let status = status_of(&job);
        assert!(is_finished(&status), "seed {seed}: {status:?}");
        assert_eq!(status.failed.unwrap_or_default(), failed, "seed {seed}: failed");
        if mode == "NonIndexed" {
            assert_eq!(status.succeeded.unwrap_or_default(), succeeded, "seed {seed}: succeeded");
        }
        if conditions::is_true(&status, conditions::COMPLETE).is_some() {
            assert!(status.succeeded.unwrap_or_default() >= i32::try_from(completions).expect("small"));
            assert!(failed <= 4, "seed {seed}");
        } else {
            assert!(failed > 4, "seed {seed}");
        }
    }
}
