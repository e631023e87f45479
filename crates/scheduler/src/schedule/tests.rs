#![allow(clippy::unwrap_used)]
use super::*;
use crate::engine::Engine;
use crate::placement::AddedAffinity;
use crate::queue::Backoff;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn engine(nodes: usize, spec: impl Fn(usize) -> Value) -> Engine {
    let mut engine = Engine::new([Profile::default()], Backoff::default(), 0);
    for index in 0..nodes {
        let node = json!({"metadata": {"name": format!("n{index:03}"), "labels": {"even": (index % 2).to_string()}},
            "spec": spec(index), "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
        engine.set_node(Timestamp::UNIX_EPOCH, &serde_json::from_value(node).unwrap());
    }
    engine
}

fn pod(spec: Value) -> Pod {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "a", "uid": "p"}, "spec": {"containers":
        [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Pod::new(&serde_json::from_value(pod).unwrap(), &AddedAffinity::default())
}

fn decide(engine: &mut Engine, pod: &Pod, start: &mut usize, seed: u64) -> Decision {
    let nominated = Nominated::default();
    schedule(engine.cluster_mut(), &nominated, &Profile::default(), pod, start, &mut Random::new(seed))
}

fn name_of(engine: &Engine, decision: &Decision) -> String {
    match decision {
        Decision::Place { node, .. } => engine.cluster().slot(*node).name.to_string(),
        other => panic!("it goes nowhere: {other:?}"),
    }
}

fn message(engine: &mut Engine, pod: &Pod) -> String {
    let nodes = engine.cluster().node_count();
    match decide(engine, pod, &mut 0, 0) {
        Decision::Reject(rejection) => rejection.diagnosis.message(nodes),
        other => panic!("it goes somewhere: {other:?}"),
    }
}

#[test]
fn a_part_of_many_nodes_is_enough_and_all_get_their_turn() {
    let mut engine = engine(400, |_| json!({}));
    let (mut start, mut seen) = (0, BTreeSet::new());
    let plain = pod(json!({}));
    for turn in 0..200 {
        let decision = decide(&mut engine, &plain, &mut start, turn);
        // 50 - 400/125 = 47 in a hundred.
        assert_eq!(start, (188 * (turn as usize + 1)) % 400);
        seen.insert(name_of(&engine, &decision));
    }
    assert!(seen.len() > 100, "only {} nodes were taken", seen.len());
}

#[test]
fn the_same_dice_give_the_same_node() {
    let mut engine = engine(50, |_| json!({}));
    let plain = pod(json!({}));
    let mut with = |seed| {
        let decision = decide(&mut engine, &plain, &mut 0, seed);
        name_of(&engine, &decision)
    };
    assert_eq!(with(1), with(1));
    assert!((0..50).map(&mut with).collect::<BTreeSet<_>>().len() > 10, "equals are chosen by dice");
}

#[test]
fn a_pod_that_names_its_nodes_is_held_against_no_others() {
    let mut engine = engine(3, |_| json!({"unschedulable": true}));
    let named = |names: &[&str]| {
        let terms: Vec<_> = names
            .iter()
            .map(
                |name| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}),
            )
            .collect();
        pod(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": terms}}}}))
    };
    for (names, told) in [
        (
            &["n001"][..],
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
        ),
        (&["gone"], "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."),
    ] {
        assert_eq!(message(&mut engine, &named(names)), told);
    }
    let conflicting =
        pod(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["n001"]},
            {"key": "metadata.name", "operator": "In", "values": ["n002"]}]}]}}}}));
    assert_eq!(message(&mut engine, &conflicting), "0/3 nodes are available: pod affinity terms conflict.");
}

#[test]
fn reasons_are_counted() {
    let mut engine = engine(4, |index| match index {
        0 => json!({"taints": [{"key": "k", "effect": "NoSchedule"}]}),
        1 => json!({"unschedulable": true}),
        _ => json!({}),
    });
    let big =
        pod(json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "5", "memory": "9Gi"}}}]}));
    assert_eq!(
        message(&mut engine, &big),
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, \
         2 Insufficient cpu, 2 Insufficient memory."
    );
    let claiming = pod(json!({"resourceClaims": [{"name": "gpu"}]}));
    assert!(message(&mut engine, &claiming).contains("claims devices"));
}

#[test]
fn a_place_that_is_promised_is_kept_for_pods_of_no_less_importance() {
    let mut engine = engine(1, |_| json!({}));
    let large = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]});
    let mut promised = pod(large.clone());
    promised.uid = "other".into();
    let mut nominated = Nominated::default();
    nominated.set(&Arc::new(promised), &"n000".into());
    let mut goes = |priority: i32| {
        let mut spec = large.clone();
        spec["priority"] = json!(priority);
        let profile = Profile::default();
        let cluster = engine.cluster_mut();
        let decision = schedule(cluster, &nominated, &profile, &pod(spec), &mut 0, &mut Random::new(0));
        matches!(decision, Decision::Place { .. })
    };
    assert!(!goes(0));
    assert!(goes(1));
}

#[test]
fn without_nodes_there_is_no_decision() {
    let mut engine = engine(0, |_| json!({}));
    assert!(matches!(decide(&mut engine, &pod(json!({})), &mut 0, 0), Decision::NoNodes));
}
