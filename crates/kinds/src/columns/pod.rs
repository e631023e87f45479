//! Pods: upstream's `printPod`.

use super::format::{age, name, none, since};
use meta::time::Time;
use value::Value;

/// What the containers of a pod tell together.
struct Summary<'a> {
    pod: &'a Value,
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: &'a str,
}

pub(super) fn cells(pod: &Value, now: Time) -> Vec<Value> {
    let s = summarize(pod);
    let (spec, status) = (pod.at("spec"), pod.at("status"));
    let mut restarts = s.restarts.to_string();
    if s.restarts != 0 && !s.last_restart.is_empty() {
        restarts = format!("{} ({} ago)", s.restarts, since(&s.last_restart.into(), now));
    }
    let ip = status.at("podIPs").items().first().map_or("", |i| i.at("ip").str());
    vec![
        name(pod),
        format!("{}/{}", s.ready, s.total).into(),
        s.reason.into(),
        restarts.into(),
        age(pod, now),
        none(ip),
        none(spec.at("nodeName").str()),
        none(status.at("nominatedNodeName").str()),
        readiness_gates(spec, status).into(),
    ]
}

/// A row's `Completed` condition for pods that have ended.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match pod.at("status").at("phase").str() {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    let mut condition = Value::object();
    condition.set("type", "Completed");
    condition.set("status", "True");
    condition.set("reason", reason);
    condition.set("message", message);
    Some(Value::Array(vec![condition]))
}

fn readiness_gates(spec: &Value, status: &Value) -> String {
    let gates = spec.at("readinessGates").items();
    if gates.is_empty() {
        return "<none>".into();
    }
    let conditions = status.at("conditions").items();
    let is_true = |gate: &&Value| {
        let of_type = conditions.iter().find(|c| c.at("type").str() == gate.at("conditionType").str());
        of_type.is_some_and(|c| c.at("status").str() == "True")
    };
    format!("{}/{}", gates.iter().filter(is_true).count(), gates.len())
}

fn has_condition(pod: &Value, ty: &str) -> bool {
    let conditions = pod.at("status").at("conditions").items();
    conditions.iter().any(|c| c.at("type").str() == ty && c.at("status").str() == "True")
}

fn summarize(pod: &Value) -> Summary<'_> {
    let (spec, status) = (pod.at("spec"), pod.at("status"));
    let phase = status.at("phase").str();
    let mut reason = status.at("reason").str();
    if reason.is_empty() {
        reason = phase;
    }
    let gated = |c: &Value| c.at("type").str() == "PodScheduled" && c.at("reason").str() == "SchedulingGated";
    if status.at("conditions").items().iter().any(gated) {
        reason = "SchedulingGated";
    }
    let sidecars = spec.at("initContainers").items().iter().filter(|c| is_sidecar(c)).count();
    let mut s = Summary {
        pod,
        reason: reason.to_owned(),
        ready: 0,
        total: spec.at("containers").items().len() + sidecars,
        restarts: 0,
        last_restart: "",
    };
    let initializing = s.init_containers();
    if !initializing || has_condition(pod, "Initialized") {
        s.containers(initializing);
    }
    let deleted = !pod.at("metadata").at("deletionTimestamp").is_null();
    if deleted && status.at("reason").str() == "NodeLost" {
        s.reason = "Unknown".into();
    } else if deleted && !matches!(phase, "Failed" | "Succeeded") {
        s.reason = "Terminating".into();
    }
    s
}

fn is_sidecar(container: &Value) -> bool {
    container.at("restartPolicy").str() == "Always"
}

/// Why a container ended: its reason, else its signal, else its exit code.
fn ended(terminated: &Value) -> String {
    let (reason, signal) = (terminated.at("reason").str(), terminated.at("signal").int());
    match (reason, signal) {
        ("", 0) => format!("ExitCode:{}", terminated.at("exitCode").int()),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

impl<'a> Summary<'a> {
    fn restarted(&mut self, container: &'a Value) {
        self.restarts += container.at("restartCount").int();
        let finished = container.path(&["lastState", "terminated", "finishedAt"]).str();
        if finished > self.last_restart {
            self.last_restart = finished;
        }
    }

    /// Whether the init containers are still at it.
    fn init_containers(&mut self) -> bool {
        let specs = self.pod.at("spec").at("initContainers").items();
        let statuses = self.pod.at("status").at("initContainerStatuses").items();
        for (i, container) in statuses.iter().enumerate() {
            self.restarted(container);
            let spec = specs.iter().find(|c| c.at("name").str() == container.at("name").str());
            let sidecar = spec.is_some_and(is_sidecar);
            let (terminated, waiting) =
                (container.path(&["state", "terminated"]), container.path(&["state", "waiting"]));
            if !terminated.is_null() && terminated.at("exitCode").int() == 0 {
                continue;
            }
            if sidecar && container.at("started").bool() {
                self.ready += usize::from(container.at("ready").bool());
                continue;
            }
            let why = waiting.at("reason").str();
            self.reason = if !terminated.is_null() {
                format!("Init:{}", ended(terminated))
            } else if !matches!(why, "" | "PodInitializing") {
                format!("Init:{why}")
            } else {
                format!("Init:{i}/{}", specs.len())
            };
            return true;
        }
        false
    }

    fn containers(&mut self, _initializing: bool) {
        self.restarts = 0;
        self.last_restart = "";
        let specs = self.pod.at("spec").at("initContainers").items();
        let init = self.pod.at("status").at("initContainerStatuses").items();
        for container in init {
            if specs.iter().any(|c| is_sidecar(c) && c.at("name").str() == container.at("name").str()) {
                self.restarted(container);
            }
        }
        let (mut running, mut error) = (false, String::new());
        for container in self.pod.at("status").at("containerStatuses").items().iter().rev() {
            self.restarted(container);
            let state = container.at("state");
            let terminated = state.at("terminated");
            let waiting = state.at("waiting").at("reason").str();
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if !terminated.is_null() {
                self.reason = ended(terminated);
                if terminated.at("exitCode").int() != 0 {
                    error.clone_from(&self.reason);
                }
            } else if container.at("ready").bool() && !state.at("running").is_null() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && has_condition(self.pod, "Ready") {
                self.reason = "Running".into();
            } else if !error.is_empty() {
                self.reason = error;
            } else if running {
                self.reason = "NotReady".into();
            }
        }
    }
}
