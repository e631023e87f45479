//! How many pods the engine places per CPU-second, by kinds of pods as upstream's scheduler_perf has them:
//! `cargo run --release -p scheduler --example bench -- [NODES] [PODS]`. Without API server: what is measured is
//! the decision, with what is counted along, and the taking in of each bound pod.

use api::core::v1::{Node, Pod};
use jiff::Timestamp;
use scheduler::action::Action;
use scheduler::engine::Engine;
use scheduler::profile::Profile;
use scheduler::queue::Backoff;
use serde_json::{Value, json};
use std::io::Write as _;

/// Zones that nodes are in.
const ZONES: usize = 10;

/// What makes a pod other than a plain one.
type Shape = fn(usize) -> Value;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let nodes = arguments.next().transpose()?.unwrap_or(5_000);
    let pods = arguments.next().transpose()?.unwrap_or(10_000);
    let mut out = std::io::stdout();
    writeln!(out, "{nodes} nodes, {pods} pods")?;
    let cases: [(&str, Shape); 9] = [
        ("plain", |_| json!({})),
        ("200 workloads, spread by default", workload),
        ("node affinity", node_affinity),
        ("spread over zones", |_| spread("DoNotSchedule")),
        ("preferred spread over zones", |_| spread("ScheduleAnyway")),
        ("pod affinity to the zone", |_| affinity("podAffinity", "topology.kubernetes.io/zone")),
        ("pod anti-affinity by node", |_| affinity("podAntiAffinity", "kubernetes.io/hostname")),
        ("preferred pod affinity", preferred),
        ("unschedulable", |_| json!({"spec": {"nodeSelector": {"none": "such"}}})),
    ];
    for (name, shape) in cases {
        // As many pods as nodes at most if each node takes one.
        let pods = if name.contains("anti") { pods.min(nodes) } else { pods };
        let mut engine = Engine::new([Profile::default()], Backoff::default(), 1);
        let now = Timestamp::UNIX_EPOCH;
        add_workloads(&mut engine, now);
        for index in 0..nodes {
            engine.set_node(now, &node(index)?);
        }
        let pods: Vec<Pod> = (0..pods).map(|index| pod(index, shape(index))).collect::<Result<_, _>>()?;
        let before = cpu_seconds()?;
        let mut placed = 0;
        for pod in &pods {
            engine.set_pod(now, pod);
        }
        while engine.step(now) {
            for action in engine.take_actions() {
                if let Action::Bind { pod, node, .. } = action {
                    placed += 1;
                    let index: usize = pod.uid.parse()?;
                    let mut bound = pods[index].clone();
                    bound.spec.get_or_insert_default().node_name = Some(node.to_string());
                    engine.set_pod(now, &bound);
                    engine.bound(now, &pod.uid, Ok(()));
                }
            }
        }
        let seconds = cpu_seconds()? - before;
        let rate = pods.len() as f64 / seconds;
        writeln!(out, "{name:<36} {placed:>7} placed {rate:>10.0} pods per CPU-second")?;
    }
    Ok(())
}

fn node(index: usize) -> Result<Node, serde_json::Error> {
    let amounts = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
    serde_json::from_value(json!({
        "metadata": {"name": format!("node-{index}"), "labels": {
            "kubernetes.io/hostname": format!("node-{index}"),
            "topology.kubernetes.io/zone": format!("zone-{}", index % ZONES),
        }},
        "status": {"allocatable": amounts, "capacity": amounts},
    }))
}

fn pod(index: usize, shape: Value) -> Result<Pod, serde_json::Error> {
    let mut pod = json!({
        "metadata": {"name": format!("pod-{index}"), "namespace": "bench", "uid": index.to_string(),
            "labels": {"app": "bench"}},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "c", "image": "pause",
            "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}]},
    });
    merge(&mut pod, shape);
    serde_json::from_value(pod)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn workload(index: usize) -> Value {
    let name = format!("set-{}", index % 200);
    json!({"metadata": {"labels": {"app": name}, "ownerReferences": [{"apiVersion": "apps/v1",
        "kind": "ReplicaSet", "name": name, "uid": name, "controller": true}]}})
}

fn add_workloads(engine: &mut Engine, now: Timestamp) {
    for index in 0..200 {
        let name = format!("set-{index}");
        let set = json!({"metadata": {"name": name, "namespace": "bench"},
            "spec": {"selector": {"matchLabels": {"app": name}}}});
        if let Ok(set) = serde_json::from_value(set) {
            engine.set_replica_set(now, &api::Key::new("bench", name), Some(&set));
        }
    }
}

fn node_affinity(_: usize) -> Value {
    json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": [{"key": "topology.kubernetes.io/zone",
            "operator": "In", "values": ["zone-1", "zone-2"]}]}]}}}}})
}

fn spread(action: &str) -> Value {
    json!({"spec": {"topologySpreadConstraints": [{"maxSkew": 5, "whenUnsatisfiable": action,
        "topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "bench"}}}]}})
}

fn affinity(kind: &str, key: &str) -> Value {
    json!({"spec": {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "bench"}},
            "namespaceSelector": {}}]}}}})
}

fn preferred(_: usize) -> Value {
    json!({"spec": {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": "bench"}}}}]}}}})
}

/// CPU time of this process: fields 14 and 15 of `/proc/self/stat`, in ticks of 10 ms (`proc(5)`).
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
