use serde_json::{Value, json};

use super::*;
use crate::state::Found;
use crate::testing::{Runs, pod};

/// A plan, in words.
fn planned(spec: Value, runs: Runs) -> Vec<String> {
    with(spec, runs, &ProbeResults::default(), &Backoff::default()).0
}

fn with(spec: Value, runs: Runs, probes: &ProbeResults, crashes: &Backoff) -> (Vec<String>, Plan) {
    let pod = pod(spec);
    let state = runs.state(&pod);
    let plan = plan(&World {
        pod: &pod,
        state: &state,
        probes,
        crashes,
        failures: &BTreeMap::new(),
        sandbox_after: None,
        actuated: &Actuated::new(),
        is_resizing: false,
        resize_after: None,
        now: at(1000),
    });
    let words = plan.actions.iter().map(|action| match action {
        Action::KillPod => "kill pod".to_owned(),
        Action::ForgetInit => "forget init".to_owned(),
        Action::CreateSandbox { attempt, .. } => format!("sandbox {attempt}"),
        Action::Kill { name, message, .. } => format!("kill {name}: {message}"),
        Action::Resize(names) => format!("resize {}", names.join(" ")),
        Action::Start { name, restart_count, .. } => format!("start {name} {restart_count}"),
    });
    (words.collect(), plan)
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i"}]})
}

#[test]
fn sandboxes() {
    assert_eq!(planned(one("Always"), Runs::none()), ["sandbox 0"]);
    assert_eq!(planned(one("Always"), Runs::ready()), ["start a 0"]);
    assert_eq!(planned(one("Always"), Runs::dead().exited("a", 0)), ["sandbox 1"]);
    assert_eq!(planned(one("Always"), Runs::dead().running("a")), ["kill pod", "sandbox 1"]);
    assert_eq!(planned(one("Never"), Runs::dead()), ["sandbox 1"], "nothing ran in it");
    assert_eq!(planned(one("Never"), Runs::dead().exited("a", 1)), Vec::<String>::new(), "it ran once");
    assert_eq!(planned(one("OnFailure"), Runs::dead().exited("a", 0)), Vec::<String>::new());
    assert_eq!(planned(one("OnFailure"), Runs::dead().exited("a", 1)), ["sandbox 1"]);
    assert_eq!(planned(one("Always"), Runs::ready().without_address()), ["kill pod", "sandbox 1"]);
    let init = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    assert_eq!(planned(init, Runs::dead().exited("i", 0).exited("a", 0)), ["forget init", "sandbox 1"]);
}

#[test]
fn app_containers_by_policy() {
    let nothing = Vec::<String>::new();
    assert_eq!(planned(one("Always"), Runs::ready().running("a")), nothing);
    assert_eq!(planned(one("Always"), Runs::ready().exited("a", 0)), ["start a 1"]);
    assert_eq!(planned(one("OnFailure"), Runs::ready().exited("a", 0)), nothing);
    assert_eq!(planned(one("OnFailure"), Runs::ready().exited("a", 2)), ["start a 1"]);
    assert_eq!(planned(one("Never"), Runs::ready().exited("a", 2)), nothing);
    let rules = json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]});
    assert_eq!(planned(rules.clone(), Runs::ready().exited("a", 42)), ["start a 1"]);
    assert_eq!(planned(rules, Runs::ready().exited("a", 1)), nothing);
}

#[test]
fn init_containers_one_after_the_other() {
    let spec = || {
        json!({"restartPolicy": "Always", "initContainers": [{"name": "i1"}, {"name": "i2"}],
        "containers": [{"name": "a"}]})
    };
    let nothing = Vec::<String>::new();
    assert_eq!(planned(spec(), Runs::ready()), ["start i1 0"]);
    assert_eq!(planned(spec(), Runs::ready().running("i1")), nothing);
    assert_eq!(planned(spec(), Runs::ready().exited("i1", 1)), ["start i1 1"]);
    assert_eq!(planned(spec(), Runs::ready().exited("i1", 0)), ["start i2 0"]);
    assert_eq!(planned(spec(), Runs::ready().exited("i1", 0).exited("i2", 0)), ["start a 0"]);
    // The first may have been removed: the last tells.
    assert_eq!(planned(spec(), Runs::ready().exited("i2", 0)), ["start a 0"]);
    assert_eq!(planned(spec(), Runs::ready().running("a")), nothing);
    let mut never = spec();
    never["restartPolicy"] = json!("Never");
    assert_eq!(planned(never, Runs::ready().exited("i1", 1)), ["kill pod"]);
}

#[test]
fn sidecars_start_in_order_and_again() {
    let spec = || {
        json!({"restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always", "startupProbe": {}}, {"name": "i"}],
        "containers": [{"name": "a"}]})
    };
    let started = |runs: &str| {
        let mut probes = ProbeResults::default();
        probes.0.insert(runs.into(), Found { startup: Some(true), ..Found::default() });
        probes
    };
    let of = |runs: Runs, probes: &ProbeResults| with(spec(), runs, probes, &Backoff::default()).0;
    let nothing = Vec::<String>::new();
    let none = ProbeResults::default();
    assert_eq!(of(Runs::ready(), &none), ["start s 0"]);
    assert_eq!(of(Runs::ready().running("s"), &none), nothing, "its startup probe has not passed");
    assert_eq!(of(Runs::ready().running("s"), &started("s-0")), ["start i 0"]);
    let initialized = Runs::ready().running("s").exited("i", 0);
    assert_eq!(of(initialized, &started("s-0")), ["start a 0"]);
    let sidecar_died = Runs::ready().exited("s", 1).exited("i", 0).running("a");
    assert_eq!(of(sidecar_died, &none), ["start s 1"]);
    let over = Runs::ready().running("s").exited("i", 0).exited("a", 0);
    assert_eq!(of(over, &started("s-0")), ["kill pod"], "sidecars do not keep a pod alive");
}

#[test]
fn probes_kill() {
    let failed = |liveness, startup| {
        let mut probes = ProbeResults::default();
        probes.0.insert("a-0".into(), Found { liveness, startup, readiness: None });
        probes
    };
    let of = |policy: &str, probes: &ProbeResults| {
        with(one(policy), Runs::ready().running("a"), probes, &Backoff::default()).0
    };
    assert_eq!(
        of("Always", &failed(Some(false), None)),
        ["kill a: Container a failed liveness probe, will be restarted", "start a 1"]
    );
    // Nothing would be left of the pod: upstream ends it as a whole.
    assert_eq!(of("Never", &failed(None, Some(false))), ["kill pod"]);
    assert_eq!(of("Always", &failed(Some(true), Some(true))), Vec::<String>::new());
}

#[test]
fn another_image_is_another_container() {
    let spec = |image: &str| json!({"containers": [{"name": "a", "image": image}]});
    let runs = || Runs::ready().running_with("a", &spec::hash(&spec::containers(&pod(spec("i")))[0]));
    assert_eq!(planned(spec("i"), runs()), Vec::<String>::new());
    assert_eq!(
        planned(spec("j"), runs()),
        ["kill a: Container a definition changed, will be restarted", "start a 1"]
    );
    let unknown_version = Runs::ready().running("a");
    assert_eq!(planned(spec("j"), unknown_version), Vec::<String>::new());
}

#[test]
fn crashes_wait() {
    let now = at(1000);
    let mut crashes = Backoff::default();
    crashes.next("a", now, now);
    let (words, plan) = with(one("Always"), Runs::ready().exited("a", 1), &ProbeResults::default(), &crashes);
    assert_eq!(words, Vec::<String>::new());
    assert_eq!(plan.crashed["a"], "back-off 10s restarting failed container=a pod=p_n(u)");
    assert_eq!(plan.wake, Some(at(1010)));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The plan for a pod one of whose containers could not be started, at second 1000.
fn after_failure(spec: Value, runs: Runs, name: &str, failure: Failure, crashes: &Backoff) -> Plan {
    let pod = pod(spec);
    plan(&World {
        pod: &pod,
        state: &runs.state(&pod),
        probes: &ProbeResults::default(),
        crashes,
        failures: &[(name.to_owned(), failure)].into(),
        sandbox_after: None,
        actuated: &Actuated::new(),
        is_resizing: false,
        resize_after: None,
        now: at(1000),
    })
}

/// A start that failed with a run that ended is a crash: tried again at once, then ever later.
#[test]
fn failed_starts_wait() {
    let until = at(1005);
    let of = |runs: Runs, attempt: u32, crashes: &Backoff| {
        let failure = Failure { attempt, until, target: None };
        let plan = after_failure(one("Always"), runs, "a", failure, crashes);
        (plan.actions.len(), plan.crashed.len(), plan.wake)
    };
    let none = Backoff::default();
    assert_eq!(of(Runs::ready(), 0, &none), (0, 0, Some(until)), "no image");
    assert_eq!(
        of(Runs::ready().exited("a", 1), 1, &none),
        (0, 0, Some(until)),
        "no image for the second run"
    );
    assert_eq!(of(Runs::ready().exited("a", 128), 0, &none), (1, 0, None), "no such command");
    let mut crashes = Backoff::default();
    crashes.next("a", at(1000), at(1000));
    assert_eq!(of(Runs::ready().exited("a", 128), 0, &crashes), (0, 1, Some(at(1010))), "again");
}

/// An ephemeral container that had no target to join waits, but not once the target runs: a target that keeps crashing
/// may be gone by the end of the wait.
#[test]
fn ephemeral_containers_wait_for_their_target() {
    let spec = || {
        json!({"restartPolicy": "Never", "containers": [{"name": "a"}],
        "ephemeralContainers": [{"name": "e", "targetContainerName": "a"}]})
    };
    let until = at(1005);
    let cases = [
        (Runs::ready().exited("a", 1), None, false),
        (Runs::ready().running("a"), None, true),
        (Runs::ready().running("a"), Some(0), false),
        (Runs::ready().exited("a", 1).running("a"), Some(0), true),
        (Runs::ready().running("a").exited("a", 1), Some(0), false),
    ];
    for (number, (runs, target, is_tried)) in cases.into_iter().enumerate() {
        let failure = Failure { attempt: 0, until, target };
        let plan = after_failure(spec(), runs, "e", failure, &Backoff::default());
        let is_planned =
            plan.actions.iter().any(|action| matches!(action, Action::Start { name, .. } if name == "e"));
        assert_eq!((is_planned, plan.wake), (is_tried, (!is_tried).then_some(until)), "{number}");
    }
}

#[test]
fn ephemeral_containers_run_once() {
    let spec = || {
        json!({"containers": [{"name": "a"}], "ephemeralContainers": [{"name": "e"}],
        "initContainers": [{"name": "i"}]})
    };
    assert_eq!(planned(spec(), Runs::ready().running("i")), ["start e 0"]);
    let over = Runs::ready().running("a").exited("e", 1).exited("i", 0);
    assert_eq!(planned(spec(), over), Vec::<String>::new());
}
