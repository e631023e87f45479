//! DaemonSets from begin to end, in a small world.

use super::plan::{Failure, Fit, Plan, World, fit, plan, status};
use super::template::{self, target_node};
use super::{REVISION_HASH, TEMPLATE_GENERATION};
use crate::workloads::testing::{Dice, PodBuilder, at, meta, pod};
use api::Object;
use api::apps::v1::DaemonSet;
use api::core::v1::{Node, Pod};
use api::meta::v1::Time;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

fn set(surge: u32, unavailable: u32) -> DaemonSet {
    let spec = json!({
        "selector": { "matchLabels": { "app": "agent" } },
        "template": { "metadata": { "labels": { "app": "agent" } },
            "spec": { "containers": [{ "name": "main", "image": "agent:1" }] } },
        "updateStrategy": { "type": "RollingUpdate",
            "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } },
    });
    DaemonSet {
        metadata: meta("agent"),
        spec: Some(serde_json::from_value(spec).expect("a spec")),
        status: None,
    }
}

fn node(name: &str, taints: Value) -> Arc<Node> {
    let spec = json!({ "taints": taints });
    Arc::new(Node { metadata: meta(name), spec: serde_json::from_value(spec).ok(), status: None })
}

fn nodes(count: usize) -> Vec<Arc<Node>> {
    (0..count).map(|number| node(&format!("n{number}"), json!([]))).collect()
}

fn mine(name: &str, node: &str, hash: &str) -> PodBuilder {
    let labels = format!("app=agent,{REVISION_HASH}={hash}");
    pod(name).labels(&labels).owned_by(&set(0, 1)).node(node)
}

fn look(set: &DaemonSet, nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Plan {
    plan(&World { now: at(100), set, nodes, pods, hash: "new", failures: &HashMap::new() })
}

fn told(plan: &Plan) -> String {
    let deleted: Vec<_> = plan.delete.iter().map(|pod| pod.name()).collect();
    format!("+{} -{}", plan.create.join(" "), deleted.join(" "))
}

#[test]
fn each_node_has_its_pod() {
    let ready = |name: &str, node: &str| mine(name, node, "new").ready(at(1));
    let unbound = |name: &str, node: &str| {
        let bound = template::pod(&set(0, 1), "new", node);
        mine(name, "", "new").change(|pod| pod.spec = bound.spec)
    };
    for (what, pods, expected) in [
        ("none yet", vec![], "+n0 n1 -"),
        ("one yet", vec![ready("a", "n0")], "+n1 -"),
        ("not scheduled yet", vec![ready("a", "n0"), unbound("b", "n1")], "+ -"),
        ("going", vec![ready("a", "n0"), ready("b", "n1").terminating(at(5))], "+ -"),
        ("gone", vec![ready("a", "n0"), ready("b", "n1").phase("Failed").terminating(at(5))], "+n1 -"),
        ("failed", vec![ready("a", "n0"), ready("b", "n1").phase("Failed")], "+ -b"),
        (
            "two",
            vec![ready("b", "n0").created(at(9)), ready("a", "n0").created(at(5)), ready("c", "n1")],
            "+ -b",
        ),
        ("lost", vec![ready("a", "n0"), ready("b", "n1"), unbound("c", "n9")], "+ -c"),
    ] {
        let pods: Vec<_> = pods.into_iter().map(PodBuilder::build).collect();
        assert_eq!(told(&look(&set(0, 1), &nodes(2), &pods)), expected, "{what}");
    }
}

#[test]
fn taints() {
    let taint = |key: &str, effect: &str| node("n", json!([{ "key": key, "effect": effect }]));
    for (node, expected) in [
        (node("n", json!([])), Fit::Runs),
        (taint("dedicated", "NoSchedule"), Fit::GoesOn),
        (taint("dedicated", "NoExecute"), Fit::No),
        (taint("dedicated", "PreferNoSchedule"), Fit::Runs),
        (taint("node.kubernetes.io/not-ready", "NoExecute"), Fit::Runs),
        (taint("node.kubernetes.io/unschedulable", "NoSchedule"), Fit::Runs),
        (taint("node.kubernetes.io/network-unavailable", "NoSchedule"), Fit::GoesOn),
    ] {
        assert_eq!(fit(&set(0, 1), &node), expected, "{node:?}");
    }
    let mut set = set(0, 1);
    let spec = set.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()).expect("a spec");
    spec.host_network = Some(true);
    assert_eq!(fit(&set, &taint("node.kubernetes.io/network-unavailable", "NoSchedule")), Fit::Runs);
    spec_of(&mut set).node_name = Some("other".into());
    assert_eq!(fit(&set, &node("n", json!([]))), Fit::No);
}

fn spec_of(set: &mut DaemonSet) -> &mut api::core::v1::PodSpec {
    set.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()).expect("a spec")
}

#[test]
fn pods_are_bound_to_their_node() {
    let mut set = set(0, 1);
    set.metadata.annotations =
        Some([("deprecated.daemonset.template.generation".to_owned(), "3".to_owned())].into());
    let pod = template::pod(&set, "abc", "n1");
    let labels = pod.metadata.labels.clone().expect("labels");
    assert_eq!((labels[REVISION_HASH].as_str(), labels[TEMPLATE_GENERATION].as_str()), ("abc", "3"));
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("agent-"));
    assert_eq!(target_node(&pod), Some("n1"));
    let spec = serde_json::to_value(pod.spec).expect("JSON");
    assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(6));
    let exists =
        json!({ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute" });
    assert_eq!(spec["tolerations"][0], exists);
}

#[test]
fn updates_in_place() {
    let old = |name: &str, node: &str| mine(name, node, "old").ready(at(1));
    let new = |name: &str, node: &str| mine(name, node, "new").ready(at(1));
    for (what, unavailable, pods, expected) in [
        ("one at a time", 1, vec![old("a", "n0"), old("b", "n1"), old("c", "n2")], "+ -a"),
        ("two at a time", 2, vec![old("a", "n0"), old("b", "n1"), old("c", "n2")], "+ -a b"),
        ("wait", 1, vec![mine("a", "n0", "new"), old("b", "n1"), old("c", "n2")], "+ -"),
        (
            "wait for its end",
            1,
            vec![old("a", "n0").terminating(at(9)), old("b", "n1"), old("c", "n2")],
            "+ -",
        ),
        ("go on", 1, vec![new("a", "n0"), old("b", "n1"), old("c", "n2")], "+ -b"),
        (
            "broken ones at once",
            1,
            vec![mine("a", "n0", "old"), old("b", "n1"), mine("c", "n2", "old")],
            "+ -a c",
        ),
        ("done", 1, vec![new("a", "n0"), new("b", "n1"), new("c", "n2")], "+ -"),
    ] {
        let pods: Vec<_> = pods.into_iter().map(PodBuilder::build).collect();
        assert_eq!(told(&look(&set(0, unavailable), &nodes(3), &pods)), expected, "{what}");
    }
    let mut on_delete = set(0, 1);
    on_delete.spec.as_mut().expect("a spec").update_strategy =
        serde_json::from_value(json!({ "type": "OnDelete" })).ok();
    assert_eq!(told(&look(&on_delete, &nodes(1), &[old("a", "n0").build()])), "+ -");
}

#[test]
fn updates_by_surge() {
    let old = |name: &str, node: &str| mine(name, node, "old").ready(at(1));
    let new = |name: &str, node: &str| mine(name, node, "new");
    for (what, pods, expected) in [
        ("one more", vec![old("a", "n0"), old("b", "n1")], "+n0 -"),
        ("wait", vec![old("a", "n0"), new("x", "n0"), old("b", "n1")], "+ -"),
        ("take over", vec![old("a", "n0"), new("x", "n0").ready(at(2)), old("b", "n1")], "+ -a"),
        ("go on", vec![new("x", "n0").ready(at(2)), old("b", "n1")], "+n1 -"),
        ("broken ones", vec![mine("a", "n0", "old"), mine("b", "n1", "old")], "+n0 n1 -"),
    ] {
        let pods: Vec<_> = pods.into_iter().map(PodBuilder::build).collect();
        assert_eq!(told(&look(&set(1, 0), &nodes(2), &pods)), expected, "{what}");
    }
}

#[test]
fn failed_pods_are_deleted_ever_more_slowly() {
    let (set, nodes, pods) = (set(0, 1), nodes(1), [mine("a", "n0", "new").phase("Failed").build()]);
    let mut failures = HashMap::new();
    let mut deleted = Vec::new();
    for second in 0..20 {
        let now = at(second);
        let plan =
            plan(&World { now, set: &set, nodes: &nodes, pods: &pods, hash: "new", failures: &failures });
        if let Some(node) = plan.failed.first() {
            failures.insert(node.clone(), Failure::next(failures.get(node), now));
            deleted.push(second);
        } else {
            assert!(plan.again.is_some_and(|wait| wait <= Duration::from_secs(16)));
        }
    }
    assert_eq!(deleted, [0, 1, 3, 7, 15]);
}

#[test]
fn statuses() {
    let mut nodes = nodes(3);
    nodes.push(node("tainted", json!([{ "key": "x", "effect": "NoSchedule" }])));
    let pods = [
        mine("a", "n0", "new").ready(at(1)).build(),
        mine("b", "n1", "old").build(),
        mine("c", "tainted", "old").ready(at(1)).build(),
    ];
    let set = set(0, 1);
    let world =
        World { now: at(9), set: &set, nodes: &nodes, pods: &pods, hash: "new", failures: &HashMap::new() };
    let status = status(&world, None);
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (3, 2));
    assert_eq!((status.number_misscheduled, status.number_ready), (1, 1));
    assert_eq!((status.updated_number_scheduled, status.number_available), (Some(1), Some(1)));
    assert_eq!((status.number_unavailable, status.observed_generation), (Some(2), Some(1)));
}

/// An update that is disturbed by failures keeps its bounds and ends.
#[test]
fn updates_keep_their_bounds_and_end() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let surge = u32::try_from(dice.below(3)).expect("small");
        let unavailable = if surge == 0 { 1 + u32::try_from(dice.below(2)).expect("small") } else { 0 };
        let (set, nodes) = (set(surge, unavailable), nodes(1 + dice.below(6)));
        let mut pods: Vec<Pod> = nodes
            .iter()
            .map(|node| {
                Pod::clone(&mine(&format!("old-{}", node.name()), node.name(), "old").ready(at(0)).build())
            })
            .collect();
        let mut born = 0;
        for step in 1..400 {
            let now = at(step);
            let seen: Vec<_> = pods.iter().cloned().map(Arc::new).collect();
            let world =
                World { now, set: &set, nodes: &nodes, pods: &seen, hash: "new", failures: &HashMap::new() };
            let plan = plan(&world);
            for gone in &plan.delete {
                let pod = pods.iter_mut().find(|pod| pod.uid() == gone.uid()).expect("the pod");
                pod.metadata.deletion_timestamp = Some(Time(now));
            }
            for node in &plan.create {
                born += 1;
                pods.push(Pod::clone(&mine(&format!("p{born}"), node, "new").created(now).build()));
            }
            let available =
                pods.iter().filter(|pod| api::pods::is_ready(pod) && api::pods::is_active(pod)).count();
            let least = nodes.len().saturating_sub(usize::try_from(unavailable).expect("small"));
            assert!(available >= least, "seed {seed} step {step}");
            let active = pods.iter().filter(|pod| api::pods::is_active(pod)).count();
            assert!(
                active <= nodes.len() + usize::try_from(surge).expect("small"),
                "seed {seed} step {step}"
            );
            pods.retain(|pod| pod.metadata.deletion_timestamp.is_none() || !dice.one_in(2));
            for slot in &mut pods {
                if !api::pods::is_ready(slot) && dice.one_in(3) {
                    slot.status.clone_from(&pod("x").ready(now).build().status);
                }
            }
        }
        let updated = pods.iter().filter(|pod| pod.name().starts_with('p') && api::pods::is_ready(pod));
        assert_eq!((updated.count(), pods.len()), (nodes.len(), nodes.len()), "seed {seed}");
    }
}
