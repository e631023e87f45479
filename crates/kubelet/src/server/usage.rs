//! What containers use, as the runtime tells it, and how fast.

use super::Server;
use super::node::Node;
use crate::runtime::messages::{ContainerStats, Uint64Value};
use parking_lot::Mutex;
use std::collections::HashMap;

/// What one container used until now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) pod: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) image: String,
    /// Nanoseconds since 1970 of the figures of the processor.
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
    /// Seconds since 1970.
    pub(super) started: Option<i64>,
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
    let stats = server.runtime.list_container_stats().await;
    let failed = stats.is_err();
    if let Err(error) = &stats {
        tracing::warn!(%error, "the runtime does not say what containers use");
    }
    let mut containers: Vec<Container> =
        stats.unwrap_or_default().into_iter().filter_map(container).collect();
    containers.sort_by(|a, b| (&a.namespace, &a.pod, &a.name).cmp(&(&b.namespace, &b.pod, &b.name)));
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
    let started = found.state.and_then(|s| s.running).and_then(|r| r.started_at);
    container.started = started.map(|t| t.0.as_second());
    container.image = found.image;
}

#[cfg(test)]
mod tests {
    use super::*;

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
