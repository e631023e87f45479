//! Metrics in Prometheus' text format: the kubelet's own, and what containers use.
//!
//! Upstream: `pkg/kubelet/metrics/collectors/resource_metrics.go`, cAdvisor's `metrics/prometheus.go`.

use super::Server;
use super::node::Node;
use super::respond::{self, Answer};
use super::usage::{self, Container, Sample};
use crate::runtime::messages::ContainerState;
use std::fmt::Write;

/// Text in the making.
#[derive(Debug, Default)]
struct Text(String);

/// A family's kind.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Text {
    /// Begins a family.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Adds a value, with its time in nanoseconds since 1970 (0 for now).
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display, nanos: u64) {
        self.0.push_str(name);
        for (i, (key, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{key}=\"{value}\"", if i == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = write!(self.0, " {value}");
        if nanos > 0 {
            let _ = write!(self.0, " {}", nanos / 1_000_000);
        }
        self.0.push('\n');
    }

    fn answer(self) -> Answer {
        respond::bytes(200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", self.0)
    }
}

#[allow(clippy::cast_precision_loss)] // below a nanosecond in four months
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// `/metrics`.
pub(super) fn own(server: &Server) -> Answer {
    let pods = server.pods.list();
    let count = |wanted: ContainerState| {
        let runs = pods.iter().flat_map(|p| p.instances.values()).filter_map(|runs| runs.first());
        runs.filter(|run| run.state == wanted).count()
    };
    let mut out = Text::default();
    out.family("kubelet_node_name", Kind::Gauge, "[ALPHA] The node's name. The count is always 1.");
    out.value("kubelet_node_name", &[("node", &server.node_name)], 1, 0);
    out.family("kubelet_running_pods", Kind::Gauge, "[ALPHA] Number of pods that have a running pod sandbox");
    out.value("kubelet_running_pods", &[], pods.iter().filter(|p| p.sandbox.is_some()).count(), 0);
    out.family("kubelet_running_containers", Kind::Gauge, "[ALPHA] Number of containers currently running");
    for (state, name) in [
        (ContainerState::Created, "created"),
        (ContainerState::Exited, "exited"),
        (ContainerState::Running, "running"),
        (ContainerState::Unknown, "unknown"),
    ] {
        out.value("kubelet_running_containers", &[("container_state", name)], count(state), 0);
    }
    out.family(
        "kubelet_desired_pods",
        Kind::Gauge,
        "[ALPHA] The number of pods the kubelet is being instructed to run.",
    );
    out.value("kubelet_desired_pods", &[("static", "")], pods.len(), 0);
    process(&mut out);
    out.answer()
}

/// What this process uses (names of the Go client's process collector).
fn process(out: &mut Text) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold blanks.
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|f| f.parse().unwrap_or_default())
        .collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    out.family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Total user and system CPU time spent in seconds.",
    );
    out.value("process_cpu_seconds_total", &[], seconds((field(14) + field(15)) * 10_000_000), 0);
    out.family("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes.");
    out.value("process_resident_memory_bytes", &[], field(24) * page, 0);
    out.family("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory size in bytes.");
    out.value("process_virtual_memory_bytes", &[], field(23), 0);
    out.family(
        "process_start_time_seconds",
        Kind::Gauge,
        "Start time of the process since unix epoch in seconds.",
    );
    out.value(
        "process_start_time_seconds",
        &[],
        Node::read().started as f64 + seconds(field(22) * 10_000_000),
        0,
    );
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    out.family("process_open_fds", Kind::Gauge, "Number of open file descriptors.");
    out.value("process_open_fds", &[], files, 0);
}

/// `/metrics/probes`: probes are counted by the pod workers, which do not tell yet.
pub(super) fn probes() -> Answer {
    Text::default().answer()
}

/// `/metrics/resource`: what metrics-server reads.
pub(super) async fn resource(server: &Server) -> Answer {
    resource_text(&usage::sample(server).await).answer()
}

fn resource_text(sample: &Sample) -> Text {
    let (mut out, node) = (Text::default(), &sample.node);
    let by_container =
        |out: &mut Text, name: &str, kind, help: &str, value: fn(&Container) -> Option<f64>| {
            out.family(name, kind, help);
            for c in sample.containers.iter().filter(|c| !c.name.is_empty()) {
                if let Some(value) = value(c) {
                    let labels =
                        [("container", c.name.as_str()), ("namespace", &c.namespace), ("pod", &c.pod)];
                    out.value(name, &labels, value, c.time);
                }
            }
        };
    by_container(
        &mut out,
        "container_cpu_usage_seconds_total",
        Kind::Counter,
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        |c| c.cpu_nanos.map(seconds),
    );
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    by_container(
        &mut out,
        "container_memory_working_set_bytes",
        Kind::Gauge,
        "[STABLE] Current working set of the container in bytes",
        |c| c.working_set.map(|n| n as f64),
    );
    out.family(
        "container_start_time_seconds",
        Kind::Gauge,
        "[STABLE] Start time of the container since unix epoch in seconds",
    );
    for c in sample.containers.iter().filter(|c| !c.name.is_empty()) {
        if let Some(started) = c.started {
            let labels = [("container", c.name.as_str()), ("namespace", &c.namespace), ("pod", &c.pod)];
            out.value("container_start_time_seconds", &labels, started, 0);
        }
    }
    out.family(
        "node_cpu_usage_seconds_total",
        Kind::Counter,
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    );
    out.value("node_cpu_usage_seconds_total", &[], seconds(node.cpu_nanos), node.time);
    out.family(
        "node_memory_working_set_bytes",
        Kind::Gauge,
        "[STABLE] Current working set of the node in bytes",
    );
    out.value("node_memory_working_set_bytes", &[], node.working_set(), node.time);
    out.family(
        "node_swap_usage_bytes",
        Kind::Gauge,
        "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
    );
    out.value("node_swap_usage_bytes", &[], node.swap_used, node.time);
    let pods = pods(sample);
    out.family(
        "pod_cpu_usage_seconds_total",
        Kind::Counter,
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
    );
    for pod in &pods {
        let labels = [("namespace", pod.namespace.as_str()), ("pod", &pod.pod)];
        out.value(
            "pod_cpu_usage_seconds_total",
            &labels,
            seconds(pod.cpu_nanos.unwrap_or_default()),
            pod.time,
        );
    }
    out.family(
        "pod_memory_working_set_bytes",
        Kind::Gauge,
        "[STABLE] Current working set of the pod in bytes",
    );
    for pod in &pods {
        let labels = [("namespace", pod.namespace.as_str()), ("pod", &pod.pod)];
        out.value("pod_memory_working_set_bytes", &labels, pod.working_set.unwrap_or_default(), pod.time);
    }
    out.family(
        "resource_scrape_error",
        Kind::Gauge,
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    out.value("resource_scrape_error", &[], u8::from(sample.failed), 0);
    out
}

/// Pods as sums of their containers.
pub(super) fn pods(sample: &Sample) -> Vec<Container> {
    let mut pods: Vec<Container> = Vec::new();
    let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or_default() + b.unwrap_or_default()),
    };
    for c in &sample.containers {
        if pods.last().is_none_or(|p| p.uid != c.uid) {
            pods.push(Container {
                pod: c.pod.clone(),
                namespace: c.namespace.clone(),
                uid: c.uid.clone(),
                sandbox: c.sandbox.clone(),
                started: c.pod_started,
                ..Container::default()
            });
        }
        let Some(pod) = pods.last_mut() else { continue };
        pod.time = pod.time.max(c.time);
        for (sum, one) in [
            (&mut pod.cpu_nanos, c.cpu_nanos),
            (&mut pod.nano_cores, c.nano_cores),
            (&mut pod.working_set, c.working_set),
            (&mut pod.memory_usage, c.memory_usage),
            (&mut pod.rss, c.rss),
            (&mut pod.page_faults, c.page_faults),
            (&mut pod.major_page_faults, c.major_page_faults),
            (&mut pod.fs_used, c.fs_used),
            (&mut pod.inodes_used, c.inodes_used),
        ] {
            *sum = add(*sum, one);
        }
    }
    pods
}

/// `/metrics/cadvisor`.
pub(super) async fn cadvisor(server: &Server) -> Answer {
    let sample = usage::sample(server).await;
    let mut out = Text::default();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cadvisor_text(&sample, cpus, &mut out);
    out.answer()
}

/// A family of cAdvisor's: name, kind, help, value.
type Family = (&'static str, Kind, &'static str, fn(&Container) -> Option<f64>);

#[allow(clippy::cast_precision_loss)] // bytes below 2^53
const FAMILIES: [Family; 7] = [
    ("container_cpu_usage_seconds_total", Kind::Counter, "Cumulative cpu time consumed in seconds.", |c| {
        c.cpu_nanos.map(seconds)
    }),
    ("container_memory_working_set_bytes", Kind::Gauge, "Current working set in bytes.", |c| {
        c.working_set.map(|n| n as f64)
    }),
    (
        "container_memory_usage_bytes",
        Kind::Gauge,
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |c| c.memory_usage.map(|n| n as f64),
    ),
    ("container_memory_rss", Kind::Gauge, "Size of RSS in bytes.", |c| c.rss.map(|n| n as f64)),
    (
        "container_fs_usage_bytes",
        Kind::Gauge,
        "Number of bytes that are consumed by the container on this filesystem.",
        |c| c.fs_used.map(|n| n as f64),
    ),
    (
        "container_start_time_seconds",
        Kind::Gauge,
        "Start time of the container since unix epoch in seconds.",
        |c| c.started.map(|n| n as f64),
    ),
    ("container_last_seen", Kind::Gauge, "Last time a container was seen by the exporter", |c| {
        Some((c.time / 1_000_000_000) as f64)
    }),
];

fn cadvisor_text(sample: &Sample, cpus: usize, out: &mut Text) {
    for (name, kind, help, value) in FAMILIES {
        out.family(name, kind, help);
        for c in &sample.containers {
            let Some(value) = value(c) else { continue };
            let id = format!("/kubepods/pod{}/{}", c.uid, c.id);
            let mut labels = vec![
                ("container", c.name.as_str()),
                ("id", &id),
                ("image", &c.image),
                ("name", &c.id),
                ("namespace", &c.namespace),
                ("pod", &c.pod),
            ];
            if name == "container_cpu_usage_seconds_total" {
                labels.insert(1, ("cpu", "total"));
            }
            out.value(name, &labels, value, c.time);
        }
    }
    out.family("machine_cpu_cores", Kind::Gauge, "Number of logical CPU cores.");
    out.value("machine_cpu_cores", &[], cpus, 0);
    out.family("machine_memory_bytes", Kind::Gauge, "Amount of memory installed on the machine.");
    out.value("machine_memory_bytes", &[], sample.node.memory_total, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        let container = |name: &str, cpu| Container {
            id: format!("id-{name}"),
            name: name.into(),
            pod: "p".into(),
            namespace: "ns".into(),
            uid: "u".into(),
            time: 1_700_000_000_123_456_789,
            cpu_nanos: Some(cpu),
            working_set: Some(10),
            ..Container::default()
        };
        Sample {
            containers: vec![container("a", 1_500_000_000), container("b", 500_000_000)],
            ..Sample::default()
        }
    }

    #[test]
    fn what_metrics_server_reads() {
        let text = resource_text(&sample()).0;
        for line in [
            r#"container_cpu_usage_seconds_total{container="a",namespace="ns",pod="p"} 1.5 1700000000123"#,
            r#"pod_cpu_usage_seconds_total{namespace="ns",pod="p"} 2 1700000000123"#,
            r#"pod_memory_working_set_bytes{namespace="ns",pod="p"} 20 1700000000123"#,
            "resource_scrape_error 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut out = Text::default();
        out.value("m", &[("a", "\"\\\n")], 1, 0);
        assert_eq!(out.0, "m{a=\"\\\"\\\\\\n\"} 1\n");
    }
}
