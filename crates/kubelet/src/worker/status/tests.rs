use serde_json::{Value, json};

use super::*;
use crate::state::Found;
use crate::testing::{Runs, pod};

struct Case {
    pod: Pod,
    runs: Runs,
    probes: ProbeResults,
    reasons: BTreeMap<String, Reason>,
    verdict: Option<Reason>,
    old: PodStatus,
}

impl Case {
    fn new(spec: Value, runs: Runs) -> Self {
        Self {
            pod: pod(spec),
            runs,
            probes: ProbeResults::default(),
            reasons: BTreeMap::new(),
            verdict: None,
            old: PodStatus::default(),
        }
    }

    fn status(self, is_ended: bool) -> PodStatus {
        let state = self.runs.state(&self.pod);
        let mut status = generate(&Inputs {
            pod: &self.pod,
            state: &state,
            probes: &self.probes,
            reasons: &self.reasons,
            old: &self.old,
            verdict: self.verdict.as_ref(),
            actuated: &Actuated::new(),
            trouble: None,
            is_ended,
            node_ips: &["192.0.2.1".parse().unwrap()],
            runtime_name: "containerd",
            now: Timestamp::from_second(2000).unwrap(),
        });
        if is_ended {
            end(&self.pod, &mut status);
        }
        status
    }
}

/// Phase, conditions that do not hold, and how each container is.
fn summary(status: &PodStatus) -> String {
    let no: Vec<_> = status
        .conditions
        .iter()
        .flatten()
        .filter(|condition| condition.status != "True")
        .map(|condition| format!("{}:{}", condition.type_, condition.reason.as_deref().unwrap_or("-")))
        .collect();
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let containers: Vec<_> = containers
        .map(|status| {
            let state = status.state.clone().unwrap_or_default();
            let word = match (state.waiting, state.running, state.terminated) {
                (Some(waiting), _, _) => waiting.reason.unwrap_or("waiting".into()),
                (_, Some(_), _) => "running".into(),
                (_, _, Some(ended)) => format!("{}({})", ended.reason.unwrap_or_default(), ended.exit_code),
                _ => "nothing".into(),
            };
            let ready = if status.ready { " ready" } else { "" };
            format!("{}={word}{ready}", status.name)
        })
        .collect();
    format!("{} [{}] {}", status.phase.clone().unwrap_or_default(), no.join(" "), containers.join(" "))
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}]})
}

#[test]
fn a_life() {
    let of = |policy: &str, runs: Runs| summary(&Case::new(one(policy), runs).status(false));
    assert_eq!(
        of("Always", Runs::none()),
        "Pending [PodReadyToStartContainers:- Ready:ContainersNotReady ContainersReady:ContainersNotReady] \
         a=ContainerCreating"
    );
    assert_eq!(
        of("Always", Runs::ready()),
        "Pending [Ready:ContainersNotReady ContainersReady:ContainersNotReady] a=ContainerCreating"
    );
    assert_eq!(of("Always", Runs::ready().running("a")), "Running [] a=running ready");
    assert_eq!(
        of("Always", Runs::ready().exited("a", 1)),
        "Running [Ready:ContainersNotReady ContainersReady:ContainersNotReady] a=Error(1)"
    );
    assert_eq!(
        of("Never", Runs::ready().exited("a", 0)),
        "Succeeded [Ready:PodCompleted ContainersReady:PodCompleted] a=Completed(0)"
    );
    assert_eq!(
        of("Never", Runs::ready().exited("a", 1)),
        "Failed [Ready:PodFailed ContainersReady:PodFailed] a=Error(1)"
    );
    assert_eq!(
        of("OnFailure", Runs::ready().exited("a", 1)),
        "Running [Ready:ContainersNotReady ContainersReady:ContainersNotReady] a=Error(1)"
    );
}

#[test]
fn init_containers() {
    let spec = |policy: &str| {
        json!({"restartPolicy": policy, "initContainers": [{"name": "i"}],
        "containers": [{"name": "a"}]})
    };
    let of = |policy: &str, runs: Runs| summary(&Case::new(spec(policy), runs).status(false));
    let not_yet =
        "[Initialized:ContainersNotInitialized Ready:ContainersNotReady ContainersReady:ContainersNotReady]";
    assert_eq!(of("Always", Runs::ready()), format!("Pending {not_yet} i=PodInitializing a=PodInitializing"));
    assert_eq!(
        of("Always", Runs::ready().running("i")),
        format!("Pending {not_yet} i=running a=PodInitializing")
    );
    assert_eq!(
        of("Always", Runs::ready().exited("i", 0)),
        "Pending [Ready:ContainersNotReady ContainersReady:ContainersNotReady] i=Completed(0) ready a=PodInitializing"
    );
    assert_eq!(
        of("Never", Runs::ready().exited("i", 1)),
        "Failed [Initialized:ContainersNotInitialized Ready:PodFailed ContainersReady:PodFailed] \
         i=Error(1) a=PodInitializing"
    );
    assert_eq!(
        of("Always", Runs::ready().exited("i", 1)),
        format!("Pending {not_yet} i=Error(1) a=PodInitializing")
    );
}

#[test]
fn crash_loops_wait_with_their_last_state() {
    let mut case = Case::new(one("Always"), Runs::ready().exited("a", 1));
    let reason = Reason { reason: "CrashLoopBackOff".into(), message: "back-off".into() };
    case.reasons.insert("a".into(), reason);
    let status = case.status(false);
    assert!(summary(&status).starts_with("Running"), "{}", summary(&status));
    let container = &status.container_statuses.unwrap()[0];
    let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 1);
}

#[test]
fn probes_make_ready_and_started() {
    let spec = json!({"containers": [{"name": "a", "readinessProbe": {}, "startupProbe": {}}]});
    let of = |found: Found| {
        let mut case = Case::new(spec.clone(), Runs::ready().running("a"));
        case.probes.0.insert("a-0".into(), found);
        let status = &case.status(false).container_statuses.unwrap()[0];
        (status.started.unwrap(), status.ready)
    };
    let found = |startup, readiness| Found { startup, readiness, liveness: None };
    assert_eq!(of(found(None, None)), (false, false));
    assert_eq!(of(found(Some(true), None)), (true, false));
    assert_eq!(of(found(Some(true), Some(true))), (true, true));
    assert_eq!(of(found(Some(false), Some(true))), (false, false));
}

#[test]
fn a_restart_of_the_kubelet_leaves_what_was_ready_ready() {
    let spec = json!({"containers": [{"name": "a", "readinessProbe": {}, "startupProbe": {}}]});
    let mut before = Case::new(spec.clone(), Runs::ready().running("a"));
    before
        .probes
        .0
        .insert("a-0".into(), Found { startup: Some(true), readiness: Some(true), liveness: None });
    let old = before.status(false);
    let mut after = Case::new(spec, Runs::ready().running("a"));
    after.old = old;
    assert_eq!(summary(&after.status(false)), "Running [] a=running ready");
}

#[test]
fn an_end_is_told_when_nothing_runs_any_more() {
    let verdict = Reason { reason: "DeadlineExceeded".into(), message: "too long".into() };
    let with = |runs: Runs| {
        let mut case = Case::new(one("Always"), runs);
        case.old.phase = Some("Running".into());
        case.verdict = Some(verdict.clone());
        case
    };
    let status = with(Runs::ready().running("a")).status(false);
    assert!(summary(&status).starts_with("Running"));
    assert_eq!((status.reason, status.message), (None, None), "what is said of the end comes with it");
    let mut before = with(Runs::ready().running("a"));
    before.old.reason = Some("Before".into());
    assert_eq!(before.status(false).reason.as_deref(), Some("Before"), "what was said stays");
    let status = with(Runs::ready().exited("a", 137)).status(true);
    assert!(summary(&status).starts_with("Failed"));
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(status.message.as_deref(), Some("too long"));
}

#[test]
fn deleted_pods_end_as_their_containers_did() {
    let of = |runs: Runs| summary(&Case::new(one("Always"), runs).status(true));
    assert!(of(Runs::dead().exited("a", 0)).starts_with("Succeeded"));
    assert!(of(Runs::dead().exited("a", 137)).starts_with("Failed"));
    let never_ran = of(Runs::none());
    assert!(
        never_ran.starts_with("Failed") && never_ran.ends_with("a=ContainerStatusUnknown(137)"),
        "{never_ran}"
    );
}

#[test]
fn what_ended_stays_ended() {
    let mut case = Case::new(one("Always"), Runs::ready().running("a"));
    case.old.phase = Some("Succeeded".into());
    assert!(summary(&case.status(false)).starts_with("Succeeded"));
}

#[test]
fn gates() {
    let mut spec = one("Always");
    spec["readinessGates"] = json!([{"conditionType": "x/y"}]);
    let mut case = Case::new(spec.clone(), Runs::ready().running("a"));
    assert_eq!(
        summary(&Case::new(spec, Runs::ready().running("a")).status(false)),
        "Running [Ready:ReadinessGatesNotReady] a=running ready"
    );
    let gate = json!({"conditions": [{"type": "x/y", "status": "True"}]});
    case.pod.status = Some(serde_json::from_value(gate).unwrap());
    let status = case.status(false);
    assert_eq!(summary(&status), "Running [] a=running ready");
    assert_eq!(status.conditions.unwrap().len(), 6);
}

#[test]
fn lost_containers() {
    let mut case = Case::new(one("Always"), Runs::ready());
    case.old = Case::new(one("Always"), Runs::ready().running("a")).status(false);
    let status = &case.status(false).container_statuses.unwrap()[0];
    assert_eq!(status.restart_count, 1);
    let last = status.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.reason.as_deref(), last.exit_code), (Some(STATUS_UNKNOWN), KILLED));
}

#[test]
fn counts_go_on_where_runs_are_forgotten() {
    let next = |old: PodStatus| {
        let mut case = Case::new(one("Always"), Runs::ready());
        case.old = old;
        next_restart_count(&case.status(false), "a")
    };
    let of = |runs: Runs| Case::new(one("Always"), runs).status(false);
    let counted = |mut status: PodStatus, count| {
        status.container_statuses.as_mut().unwrap()[0].restart_count = count;
        status
    };
    assert_eq!(next(PodStatus::default()), 0);
    assert_eq!(next(of(Runs::ready())), 0);
    let runs = counted(of(Runs::ready().running("a")), 4);
    assert_eq!(next(runs.clone()), 5);
    let mut runs_again = runs;
    runs_again.container_statuses.as_mut().unwrap()[0].last_state = Some(lost("once before"));
    assert_eq!(next(runs_again), 5);
    assert_eq!(next(counted(of(Runs::ready().exited("a", 1)), 4)), 5);
    // It waits for its pause, as its status told.
    let mut waits = counted(of(Runs::ready().exited("a", 1)), 4);
    let status = &mut waits.container_statuses.as_mut().unwrap()[0];
    status.last_state = status.state.replace(waiting("CrashLoopBackOff", ""));
    assert_eq!(next(waits), 5);
    assert_eq!(next_restart_count(&PodStatus::default(), "a"), 0);
}

#[test]
fn what_never_began_began_in_1970() {
    let case =
        Case::new(json!({"containers": [{"name": "a"}]}), Runs::ready().exited("a", 128).never_began());
    let state = case.status(false).container_statuses.unwrap()[0].state.clone().unwrap();
    let shown = serde_json::to_value(state.terminated).unwrap();
    assert_eq!(shown["startedAt"], "1970-01-01T00:00:00Z");
    assert_eq!(shown["finishedAt"], "1970-01-01T00:16:40Z");
}
