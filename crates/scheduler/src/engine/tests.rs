#![allow(clippy::unwrap_used)]
use super::*;
use api::Key;
use jiff::SignedDuration;
use serde_json::{Value, json};

/// An engine, and the time that passes for it.
struct Run {
    engine: Engine,
    now: Timestamp,
}

impl Run {
    fn new(nodes: &[&str]) -> Self {
        let engine = Engine::new([Profile::default()], Backoff::default(), 0);
        let mut run = Self { engine, now: Timestamp::from_second(1_000_000).unwrap() };
        for name in nodes {
            run.node(name);
        }
        run
    }

    fn node(&mut self, name: &str) {
        let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
        self.engine.set_node(self.now, &serde_json::from_value(node).unwrap());
    }

    /// A pod that asks for so many CPUs, with fields of its own.
    fn pod(&mut self, name: &str, cpu: u32, more: Value) {
        let mut pod = json!({"metadata": {"name": name, "namespace": "a", "uid": name}, "spec": {"containers":
            [{"name": "c", "resources": {"requests": {"cpu": cpu.to_string()}}}]}});
        for (part, fields) in more.as_object().unwrap() {
            match pod[part].as_object_mut() {
                Some(known) => known.extend(fields.as_object().unwrap().clone()),
                None => pod[part] = fields.clone(),
            }
        }
        self.engine.set_pod(self.now, &serde_json::from_value(pod).unwrap());
    }

    fn bound_pod(&mut self, name: &str, cpu: u32, node: &str, priority: i32) {
        self.pod(name, cpu, json!({"spec": {"nodeName": node, "priority": priority}}));
    }

    /// Places what can be placed; what is wanted then.
    fn actions(&mut self) -> Vec<String> {
        self.engine.tick(self.now);
        while self.engine.step(self.now) {}
        self.engine.take_actions().iter().map(told).collect()
    }

    fn pass(&mut self, milliseconds: i64) {
        self.now += SignedDuration::from_millis(milliseconds);
    }
}

fn told(action: &Action) -> String {
    let names = |pods: &[PodRef]| pods.iter().map(|pod| pod.name.to_string()).collect::<Vec<_>>().join(" ");
    match action {
        Action::Bind { pod, node, .. } => format!("bind {} to {node}", pod.name),
        Action::BindVolumes { pod, node, plan } => {
            let provision = plan.provision.iter().map(|claim| claim.key.name.clone()).collect::<Vec<_>>();
            let bind = plan.bind.iter().map(|(volume, claim)| format!("{}={}", claim.key.name, volume.name));
            format!(
                "volumes of {} on {node}: {}",
                pod.name,
                bind.chain(provision).collect::<Vec<_>>().join(" ")
            )
        }
        Action::Reject { pod, reason, message, nominated, .. } => {
            let nominated =
                nominated.as_ref().map(|node| format!(" nominated to {node:?}")).unwrap_or_default();
            format!("{reason} {}: {message}{nominated}", pod.name)
        }
        Action::SkipDeleting { pod, .. } => format!("skip {}", pod.name),
        Action::Evict { preemptor, node, victims, .. } => {
            format!("evict {} from {node} for {}", names(victims), preemptor.name)
        }
        Action::ClearNomination(pod) => format!("clear {}", pod.name),
    }
}

#[test]
fn a_pod_is_placed_once_and_counts_at_once() {
    let mut run = Run::new(&["n1"]);
    run.pod("a", 3, json!({}));
    run.pod("b", 3, json!({}));
    let actions = run.actions();
    assert_eq!(actions[0], "bind a to n1");
    assert!(
        actions[1].starts_with("Unschedulable b: 0/1 nodes are available: 1 Insufficient cpu."),
        "{actions:?}"
    );
    // What the API server says of the first changes nothing, nor does a heartbeat.
    run.engine.bound(run.now, "a", Ok(()));
    run.bound_pod("a", 3, "n1", 0);
    run.node("n1");
    assert_eq!(run.actions(), Vec::<String>::new());
    run.engine.remove_pod(run.now, "a");
    assert_eq!(run.actions(), ["bind b to n1"]);
}

#[test]
fn a_binding_that_fails_is_tried_again_after_a_while() {
    let mut run = Run::new(&["n1"]);
    run.pod("a", 3, json!({}));
    assert_eq!(run.actions(), ["bind a to n1"]);
    run.engine.bound(run.now, "a", Err("no".to_owned()));
    assert_eq!(run.actions(), ["SchedulerError a: no"]);
    run.pass(1000);
    assert_eq!(run.actions(), Vec::<String>::new());
    run.pass(1000);
    assert_eq!(run.actions(), ["bind a to n1"]);
    // Only the answer was lost.
    run.bound_pod("a", 3, "n1", 0);
    run.engine.bound(run.now, "a", Err("no answer".to_owned()));
    run.pass(60_000);
    assert_eq!(run.actions(), Vec::<String>::new());
    assert_eq!(run.engine.cluster().pod_count(), 1);
}

#[test]
fn a_pod_that_goes_while_it_is_bound_does_not_come_back() {
    let mut run = Run::new(&["n1"]);
    run.pod("a", 3, json!({}));
    assert_eq!(run.actions(), ["bind a to n1"]);
    run.engine.remove_pod(run.now, "a");
    run.engine.bound(run.now, "a", Err("not found".to_owned()));
    run.pass(60_000);
    assert_eq!(run.actions(), Vec::<String>::new());
    assert_eq!((run.engine.cluster().pod_count(), run.engine.binding_count()), (0, 0));
}

#[test]
fn lesser_pods_are_evicted_and_their_place_is_kept() {
    let mut run = Run::new(&["n1", "n2"]);
    run.bound_pod("low", 2, "n1", 0);
    run.bound_pod("lower", 2, "n1", -1);
    run.bound_pod("high", 4, "n2", 100);
    run.pod("vip", 2, json!({"spec": {"priority": 10}}));
    assert_eq!(
        run.actions(),
        [
            "evict lower from n1 for vip",
            "Unschedulable vip: 0/2 nodes are available: 2 Insufficient cpu. nominated to \"n1\"",
        ]
    );
    run.engine.evicted(run.now, "vip", Ok(()));
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "n1", "priority": -1},
        "status": {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}});
    run.pod("lower", 2, leaving);
    run.pod("vip", 2, json!({"spec": {"priority": 10}, "status": {"nominatedNodeName": "n1"}}));
    assert_eq!(run.actions(), Vec::<String>::new());
    run.engine.remove_pod(run.now, "lower");
    // One of less importance does not take the place, though it is the only one to ask.
    run.pod("low2", 2, json!({"spec": {"priority": 5}}));
    let actions = run.actions();
    assert!(actions.contains(&"bind vip to n1".to_owned()), "{actions:?}");
    assert!(!actions.iter().any(|action| action.starts_with("bind low2")), "{actions:?}");
}

#[test]
fn eviction_does_not_help_everybody() {
    let mut run = Run::new(&["n1"]);
    run.bound_pod("high", 4, "n1", 100);
    let none = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    run.pod("a", 2, json!({}));
    assert_eq!(
        run.actions(),
        [format!("Unschedulable a: 0/1 nodes are available: 1 Insufficient cpu. {none}")]
    );
    run.pod("b", 5, json!({"spec": {"priority": 1000}}));
    let helpless = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(
        run.actions(),
        [format!("Unschedulable b: 0/1 nodes are available: 1 Insufficient cpu. {helpless}")]
    );
    run.pod("c", 2, json!({"spec": {"priority": 1000, "preemptionPolicy": "Never"}}));
    let never = "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.";
    assert_eq!(
        run.actions(),
        [format!("Unschedulable c: 0/1 nodes are available: 1 Insufficient cpu. {never}")]
    );
}

#[test]
fn gated_and_foreign_pods_are_left_alone() {
    let mut run = Run::new(&["n1"]);
    run.pod("gated", 1, json!({"spec": {"schedulingGates": [{"name": "wait"}]}}));
    run.pod("foreign", 1, json!({"spec": {"schedulerName": "other"}}));
    run.pod("leaving", 1, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    assert_eq!(run.actions(), ["skip leaving"]);
    run.pod("gated", 1, json!({}));
    assert_eq!(run.actions(), ["bind gated to n1"]);
}

#[test]
fn without_nodes_pods_wait() {
    let mut run = Run::new(&[]);
    run.pod("a", 1, json!({}));
    assert_eq!(run.actions(), ["Unschedulable a: no nodes available to schedule pods"]);
    run.node("n1");
    run.pass(2000);
    assert_eq!(run.actions(), ["bind a to n1"]);
}

fn claim(run: &mut Run, annotations: Value, volume: &str) {
    let claim = json!({"metadata": {"name": "data", "namespace": "a", "uid": "c", "annotations": annotations},
        "spec": {"storageClassName": "wait", "volumeName": volume, "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
    run.engine.set_claim(run.now, &Key::new("a", "data"), Some(&serde_json::from_value(claim).unwrap()));
}

fn with_claim() -> Run {
    let mut run = Run::new(&["n1"]);
    run.pod(
        "a",
        1,
        json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}}),
    );
    let actions = run.actions();
    assert!(actions[0].contains("persistentvolumeclaim \"data\" not found"), "{actions:?}");
    let class = json!({"metadata": {"name": "wait"}, "provisioner": "example.com/p",
        "volumeBindingMode": "WaitForFirstConsumer"});
    run.engine.set_storage_class(
        run.now,
        &Key::new("", "wait"),
        Some(&serde_json::from_value(class).unwrap()),
    );
    claim(&mut run, json!({}), "");
    assert_eq!(run.actions(), ["volumes of a on n1: data"]);
    run.engine.volumes_written(run.now, "a", Ok(()));
    run
}

#[test]
fn a_volume_is_made_where_the_pod_goes() {
    let mut run = with_claim();
    claim(&mut run, json!({"volume.kubernetes.io/selected-node": "n1"}), "");
    run.pass(60_000);
    assert_eq!(run.actions(), Vec::<String>::new());
    let annotations =
        json!({"volume.kubernetes.io/selected-node": "n1", "pv.kubernetes.io/bind-completed": "yes"});
    claim(&mut run, annotations, "pv");
    assert_eq!(run.actions(), ["bind a to n1"]);
}

#[test]
fn a_volume_that_cannot_be_made_there_sets_the_pod_free() {
    let mut run = with_claim();
    claim(&mut run, json!({"volume.kubernetes.io/selected-node": "n1"}), "");
    claim(&mut run, json!({}), "");
    let actions = run.actions();
    assert!(actions[0].ends_with("provisioning failed for PVC \"data\""), "{actions:?}");
    run.pass(2000);
    assert_eq!(run.actions(), ["volumes of a on n1: data"]);
}

#[test]
fn a_volume_that_does_not_come_is_not_waited_for_forever() {
    let mut run = with_claim();
    claim(&mut run, json!({"volume.kubernetes.io/selected-node": "n1"}), "");
    assert_eq!(run.engine.wake_at(), Some(run.now + SignedDuration::from_secs(600)));
    run.pass(600_000);
    let actions = run.actions();
    assert!(actions[0].ends_with("binding volumes: context deadline exceeded"), "{actions:?}");
}
