//! `/stats/summary`: what the node and its pods use, as one document.
//!
//! Law: `k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go`.

use super::Server;
use super::metrics::pods;
use super::respond::{self, Answer};
use super::usage::{self, Container, Sample};
use crate::machine::Disk;
use crate::runtime::Runtime;
use crate::runtime::messages::{NetworkInterfaceUsage, NetworkUsage, Uint64Value};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What passed through the interfaces of sandboxes, by their ids.
type Networks = BTreeMap<String, NetworkUsage>;

/// Answers with the document.
pub(super) async fn answer(server: &Server) -> Answer {
    let (sample, networks) = tokio::join!(usage::sample(server), networks(&server.runtime));
    let disk = Disk::read(&server.kubelet.root_dir);
    let pid_max = Path::new("/proc/sys/kernel/pid_max");
    respond::json(&document(&server.node_name, &sample, &networks, disk, pid_max))
}

/// None where the runtime does not know: the rest of the document is true without them.
async fn networks(runtime: &Runtime) -> Networks {
    let stats = runtime.list_sandbox_stats().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the runtime does not say what passed through the networks of pods");
        Vec::new()
    });
    stats.into_iter().filter_map(|one| Some((one.attributes?.id, one.linux?.network?))).collect()
}

fn document(
    node_name: &str,
    sample: &Sample,
    networks: &Networks,
    disk: Option<Disk>,
    pid_max: &Path,
) -> Value {
    let node = &sample.node;
    let time = rfc3339(node.time);
    let fs = disk.map(|d| {
        json!({
            "time": time,
            "availableBytes": d.available,
            "capacityBytes": d.capacity,
            "usedBytes": d.used,
            "inodesFree": d.inodes_free,
            "inodes": d.inodes,
            "inodesUsed": d.inodes.saturating_sub(d.inodes_free),
        })
    });
    let pid_max: Option<u64> = std::fs::read_to_string(pid_max).ok().and_then(|t| t.trim().parse().ok());
    let whole = json!({
        "nodeName": node_name,
        "startTime": Timestamp::from_second(i64::try_from(node.started).unwrap_or_default()).ok(),
        "cpu": {
            "time": time,
            "usageNanoCores": sample.node_nano_cores,
            "usageCoreNanoSeconds": node.cpu_nanos,
        },
        "memory": {
            "time": time,
            "availableBytes": node.memory_available,
            "usageBytes": node.memory_total.saturating_sub(node.memory_free),
            "workingSetBytes": node.working_set(),
            "rssBytes": node.memory_rss,
            "pageFaults": node.page_faults,
            "majorPageFaults": node.major_page_faults,
        },
        "swap": {"time": time, "swapAvailableBytes": node.swap_free, "swapUsageBytes": node.swap_used},
        "fs": fs,
        "runtime": {"imageFs": fs, "containerFs": fs},
        "rlimit": {"time": time, "maxpid": pid_max, "curproc": node.processes},
    });
    let of_pod = |pod: &Container| {
        let mine = sample.containers.iter().filter(|c| c.uid == pod.uid && !c.name.is_empty());
        let containers: Vec<Value> = mine.map(container).collect();
        let own = json!({
            "podRef": {"name": pod.pod, "namespace": pod.namespace, "uid": pod.uid},
            "startTime": pod.started.and_then(|s| Timestamp::from_second(s).ok()),
            "containers": containers,
            "network": networks.get(&pod.sandbox).map(|usage| network(usage, pod.time)),
            "ephemeral-storage": {"time": rfc3339(pod.time), "usedBytes": pod.fs_used, "inodesUsed": pod.inodes_used},
        });
        merged(own, usage_of(pod))
    };
    let pods: Vec<Value> = pods(sample).iter().map(of_pod).collect();
    without_nulls(json!({"node": whole, "pods": pods}))
}

fn container(c: &Container) -> Value {
    let own = json!({
        "name": c.name,
        "startTime": c.started.and_then(|s| Timestamp::from_second(s).ok()),
        "rootfs": {"time": rfc3339(c.time), "usedBytes": c.fs_used, "inodesUsed": c.inodes_used},
    });
    merged(own, usage_of(c))
}

/// The default interface, and all of them. Runtimes that do not say when they looked did so `now`, in nanoseconds.
fn network(usage: &NetworkUsage, now: u64) -> Value {
    let value = |v: Option<Uint64Value>| v.map(|v| v.value);
    let interface = |i: &NetworkInterfaceUsage| {
        json!({
            "name": i.name,
            "rxBytes": value(i.rx_bytes),
            "rxErrors": value(i.rx_errors),
            "txBytes": value(i.tx_bytes),
            "txErrors": value(i.tx_errors),
        })
    };
    let all: Vec<Value> = usage.default_interface.iter().chain(&usage.interfaces).map(interface).collect();
    let time = rfc3339(u64::try_from(usage.timestamp).ok().filter(|time| *time > 0).unwrap_or(now));
    let default = usage.default_interface.as_ref().map_or_else(|| json!({}), interface);
    merged(default, json!({"time": time, "interfaces": all}))
}

fn usage_of(c: &Container) -> Value {
    let time = rfc3339(c.time);
    json!({
        "cpu": {"time": time, "usageNanoCores": c.nano_cores, "usageCoreNanoSeconds": c.cpu_nanos},
        "memory": {
            "time": time,
            "availableBytes": c.available,
            "usageBytes": c.memory_usage,
            "workingSetBytes": c.working_set,
            "rssBytes": c.rss,
            "pageFaults": c.page_faults,
            "majorPageFaults": c.major_page_faults,
        },
    })
}

fn merged(mut a: Value, b: Value) -> Value {
    if let (Some(a), Value::Object(b)) = (a.as_object_mut(), b) {
        a.extend(b);
    }
    a
}

fn rfc3339(nanos: u64) -> String {
    let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// Fields that are not known are absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document() {
        let c = Container {
            name: "c".into(),
            pod: "p".into(),
            namespace: "ns".into(),
            uid: "u".into(),
            time: 1_700_000_000_000_000_000,
            cpu_nanos: Some(7),
            started: Some(1_600_000_010),
            pod_started: Some(1_600_000_000),
            sandbox: "s".into(),
            ..Container::default()
        };
        let sample = Sample { containers: vec![c], ..Sample::default() };
        let interface = |name: &str, bytes| NetworkInterfaceUsage {
            name: name.into(),
            rx_bytes: Some(Uint64Value { value: bytes }),
            tx_errors: Some(Uint64Value { value: 0 }),
            ..Default::default()
        };
        let usage = NetworkUsage {
            timestamp: 1_700_000_000_000_000_000,
            default_interface: Some(interface("eth0", 5)),
            interfaces: vec![interface("eth1", 6)],
        };
        let networks = Networks::from([("s".into(), usage)]);
        let got = document("n", &sample, &networks, None, Path::new("/nonexistent"));
        assert_eq!(got["node"]["nodeName"], "n");
        assert!(got["node"].get("fs").is_none());
        let pod = &got["pods"][0];
        assert_eq!(pod["podRef"], json!({"name": "p", "namespace": "ns", "uid": "u"}));
        assert_eq!(
            pod["containers"][0]["cpu"],
            json!({"time": "2023-11-14T22:13:20Z", "usageCoreNanoSeconds": 7})
        );
        assert_eq!(pod["startTime"], "2020-09-13T12:26:40Z");
        assert_eq!(pod["containers"][0]["startTime"], "2020-09-13T12:26:50Z");
        let eth = |name: &str, bytes: u64| json!({"name": name, "rxBytes": bytes, "txErrors": 0});
        let all = json!({"time": "2023-11-14T22:13:20Z", "interfaces": [eth("eth0", 5), eth("eth1", 6)]});
        assert_eq!(pod["network"], merged(eth("eth0", 5), all));
        let without = document("n", &sample, &Networks::new(), None, Path::new("/nonexistent"));
        assert!(without["pods"][0].get("network").is_none());
        let now = 1_700_000_000_000_000_000;
        assert_eq!(network(&NetworkUsage::default(), now)["time"], "2023-11-14T22:13:20Z");
    }
}
