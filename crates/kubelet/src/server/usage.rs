//! What containers use, as the runtime tells it, and how fast.
//!
//! Of containers that ended nothing is told: they use nothing, and runtimes list them with empty figures (upstream:
//! `removeTerminatedContainers` of `pkg/kubelet/stats/cri_stats_provider.go`).

use super::Server;
use super::node::Node;
use crate::runtime::messages::{
    self, ContainerFilter, ContainerState, ContainerStats, PodSandbox, PodSandboxFilter, Uint64Value,
};
use crate::runtime::{self, Runtime};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

/// What one container used until now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) pod: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    /// The sandbox that it is in.
    pub(super) sandbox: String,
    pub(super) image: String,
    /// Nanoseconds since 1970 of the figures of the processor; of the look where there are none yet.
    pub(super) time: u64,
    pub(super) cpu_nanos: Option<u64>,
    pub(super) nano_cores: Option<u64>,
    pub(super) working_set: Option<u64>,
    pub(super) memory_usage: Option<u64>,
    pub(super) rss: Option<u64>,
    pub(super) available: Option<u64>,
    pub(super) page_faults: Option<u64>,
    pub(super) major_page_faults: Option<u64>,
    pub(super) fs_used: Option<u64>,
    pub(super) inodes_used: Option<u64>,
    /// When it was created, in seconds since 1970.
    pub(super) started: Option<i64>,
    /// When its sandbox was.
    pub(super) pod_started: Option<i64>,
}

/// Everything at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) node: Node,
    pub(super) node_nano_cores: Option<u64>,
    pub(super) containers: Vec<Container>,
    /// Whether the runtime did not say.
    pub(super) failed: bool,
}

/// Remembers the figures of the processor, for rates.
#[derive(Debug, Default)]
pub(super) struct Usage {
    last: Mutex<HashMap<String, Meter>>,
}

/// A counter at two times: rates are of what lies between.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    before: (u64, u64),
    now: (u64, u64),
}

impl Meter {
    /// Takes a reading. One at the same time, or after a restart of the counter, does not move it back.
    fn read(&mut self, time: u64, value: u64) {
        if time > self.now.0 {
            self.before = if value >= self.now.1 { self.now } else { (0, 0) };
            self.now = (time, value);
        }
    }

    /// Billionths of a core.
    fn rate(&self) -> Option<u64> {
        let ((t0, v0), (t1, v1)) = (self.before, self.now);
        let nanos = t1.checked_sub(t0).filter(|n| t0 > 0 && *n > 0)?;
        u64::try_from(u128::from(v1 - v0) * 1_000_000_000 / u128::from(nanos)).ok()
    }
}

/// The node's own meter.
const NODE: &str = "";

/// Reads all figures.
pub(super) async fn sample(server: &Server) -> Sample {
    let node = Node::read();
    let known = list(&server.runtime).await;
    let failed = known.is_err();
    if let Err(error) = &known {
        tracing::warn!(%error, "the runtime does not say what containers use");
    }
    let mut containers = running(known.unwrap_or_default(), node.time);
    for container in &mut containers {
        describe(server, container);
    }
    let mut last = server.usage.last.lock();
    last.retain(|id, _| id == NODE || containers.iter().any(|c| c.id == *id));
    for container in &mut containers {
        if let Some(nanos) = container.cpu_nanos {
            let meter = last.entry(container.id.clone()).or_default();
            meter.read(container.time, nanos);
            container.nano_cores = container.nano_cores.or_else(|| meter.rate());
        }
    }
    let meter = last.entry(NODE.into()).or_default();
    meter.read(node.time, node.cpu_nanos);
    Sample { node, node_nano_cores: meter.rate(), containers, failed }
}

/// What the runtime says of all containers.
#[derive(Clone, Debug, Default)]
struct Known {
    stats: Vec<ContainerStats>,
    containers: Vec<messages::Container>,
    sandboxes: Vec<PodSandbox>,
}

async fn list(runtime: &Runtime) -> Result<Known, runtime::Error> {
    let (stats, containers, sandboxes) = tokio::try_join!(
        runtime.list_container_stats(),
        runtime.list_containers(ContainerFilter::default()),
        runtime.list_sandboxes(PodSandboxFilter::default()),
    )?;
    Ok(Known { stats, containers, sandboxes })
}

/// What the containers use that run, sorted by pod.
fn running(known: Known, now: u64) -> Vec<Container> {
    let is_running = |c: &messages::Container| c.state == i32::from(ContainerState::Running);
    let running: BTreeMap<&str, &messages::Container> =
        known.containers.iter().filter(|c| is_running(c)).map(|c| (c.id.as_str(), c)).collect();
    let made: BTreeMap<&str, i64> = known.sandboxes.iter().map(|s| (s.id.as_str(), s.created_at)).collect();
    let seconds = |nanos: i64| Some(nanos / 1_000_000_000).filter(|seconds| *seconds > 0);
    let mut found: Vec<Container> = Vec::new();
    for stats in known.stats {
        let Some(mut one) = container(stats) else { continue };
        let Some(of) = running.get(one.id.as_str()) else { continue };
        one.sandbox.clone_from(&of.pod_sandbox_id);
        one.started = seconds(of.created_at);
        one.pod_started = made.get(of.pod_sandbox_id.as_str()).copied().and_then(seconds);
        if one.time == 0 {
            one.time = now;
        }
        found.push(one);
    }
    found.sort_by(|a, b| {
        (&a.namespace, &a.pod, &a.uid, &a.name).cmp(&(&b.namespace, &b.pod, &b.uid, &b.name))
    });
    found
}

fn container(stats: ContainerStats) -> Option<Container> {
    let value = |v: Option<Uint64Value>| v.map(|v| v.value);
    let attributes = stats.attributes?;
    let label = |key: &str| attributes.labels.get(key).cloned().unwrap_or_default();
    let (cpu, memory) = (stats.cpu.unwrap_or_default(), stats.memory.unwrap_or_default());
    let layer = stats.writable_layer.unwrap_or_default();
    Some(Container {
        name: label("io.kubernetes.container.name"),
        pod: label("io.kubernetes.pod.name"),
        namespace: label("io.kubernetes.pod.namespace"),
        uid: label("io.kubernetes.pod.uid"),
        id: attributes.id,
        time: u64::try_from(cpu.timestamp).unwrap_or_default(),
        cpu_nanos: value(cpu.usage_core_nano_seconds),
        nano_cores: value(cpu.usage_nano_cores).filter(|n| *n > 0),
        working_set: value(memory.working_set_bytes),
        memory_usage: value(memory.usage_bytes),
        rss: value(memory.rss_bytes),
        available: value(memory.available_bytes),
        page_faults: value(memory.page_faults),
        major_page_faults: value(memory.major_page_faults),
        fs_used: value(layer.used_bytes),
        inodes_used: value(layer.inodes_used),
        ..Container::default()
    })
}

/// What the pod knows of a container.
fn describe(server: &Server, container: &mut Container) {
    let Some(entry) = server.pods.by_uid(&container.uid) else { return };
    let status = entry.pod.status.clone().unwrap_or_default();
    let all =
        [status.container_statuses, status.init_container_statuses, status.ephemeral_container_statuses];
    let Some(found) = all.into_iter().flatten().flatten().find(|s| s.name == container.name) else { return };
    container.image = found.image;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a runtime says of a container of pod `p`, which has a sandbox of the same id as its UID.
    fn known(cases: &[(&str, &str, ContainerState, Option<i64>)]) -> Known {
        let mut known = Known::default();
        for (uid, name, state, time) in cases {
            let id = format!("{uid}-{name}-{state:?}");
            let labels = [
                ("io.kubernetes.container.name", *name),
                ("io.kubernetes.pod.name", "p"),
                ("io.kubernetes.pod.namespace", "ns"),
                ("io.kubernetes.pod.uid", *uid),
            ];
            let attributes = messages::ContainerAttributes {
                id: id.clone(),
                labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
                ..Default::default()
            };
            let cpu = time.map(|timestamp| messages::CpuUsage { timestamp, ..Default::default() });
            known.stats.push(ContainerStats { attributes: Some(attributes), cpu, ..Default::default() });
            known.containers.push(messages::Container {
                id,
                pod_sandbox_id: (*uid).into(),
                state: (*state).into(),
                created_at: 5_000_000_000,
                ..Default::default()
            });
            known.sandboxes.push(PodSandbox {
                id: (*uid).into(),
                created_at: 4_000_000_000,
                ..Default::default()
            });
        }
        known
    }

    #[test]
    fn what_ended_uses_nothing() {
        use ContainerState::{Created, Exited, Running, Unknown};
        let known = known(&[
            ("u2", "b", Running, Some(9)),
            ("u1", "a", Exited, None),
            ("u1", "a", Running, Some(7)),
            ("u2", "a", Running, None),
            ("u1", "b", Created, None),
            ("u1", "c", Unknown, Some(7)),
            ("u3", "a", Exited, Some(0)),
        ]);
        let found: Vec<_> = running(known, 8)
            .into_iter()
            .map(|c| (c.uid, c.name, c.sandbox, c.time, c.started, c.pod_started))
            .collect();
        let wanted = [("u1", "a", "u1", 7), ("u2", "a", "u2", 8), ("u2", "b", "u2", 9)];
        let wanted = wanted.map(|(uid, name, sandbox, time)| {
            (uid.to_owned(), name.to_owned(), sandbox.to_owned(), time, Some(5), Some(4))
        });
        assert_eq!(found, wanted);
    }

    #[test]
    fn rates() {
        let mut meter = Meter::default();
        meter.read(1_000_000_000, 500);
        assert_eq!(meter.rate(), None);
        meter.read(3_000_000_000, 1_000_000_500);
        assert_eq!(meter.rate(), Some(500_000_000));
        meter.read(3_000_000_000, 7);
        assert_eq!(meter.rate(), Some(500_000_000));
        meter.read(4_000_000_000, 7);
        assert_eq!(meter.rate(), None);
        meter.read(5_000_000_000, 8);
        assert_eq!(meter.rate(), Some(1));
    }
}
