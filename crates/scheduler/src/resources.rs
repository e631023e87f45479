//! Amounts of resources as integers, and what a pod asks for.
//!
//! Upstream: `pkg/scheduler/framework/types.go` (`Resource`), `k8s.io/component-helpers/resource/helpers.go`
//! (`PodRequests`), `pkg/scheduler/util/pod_resources.go`.

use api::Quantity;
use api::core::v1::{Container, ContainerStatus, Pod, PodSpec, ResourceRequirements};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a container that asks for no CPU counts as when nodes are scored, in thousandths of a core.
pub const DEFAULT_MILLI_CPU_REQUEST: i64 = 100;
/// What a container that asks for no memory counts as when nodes are scored, in bytes.
pub const DEFAULT_MEMORY_REQUEST: i64 = 200 * 1024 * 1024;

/// Amounts of resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// Thousandths of a core.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Of a node: how many pods it takes.
    pub pods: i64,
    /// Extended resources, huge pages, attachable volumes: sorted by name.
    pub scalars: Vec<(Arc<str>, i64)>,
}

impl Resources {
    /// Of a list as objects have it.
    pub fn new(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let mut resources = Self::default();
        for (name, quantity) in list.into_iter().flatten() {
            match name.as_str() {
                "cpu" => resources.milli_cpu = api::milli_amount(quantity),
                "memory" => resources.memory = api::amount(quantity),
                "ephemeral-storage" => resources.ephemeral_storage = api::amount(quantity),
                "pods" => resources.pods = api::amount(quantity),
                name if is_scalar(name) => resources.scalars.push((name.into(), api::amount(quantity))),
                _ => {}
            }
        }
        resources
    }

    /// The amount of a scalar resource.
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.iter().find(|(known, _)| **known == *name).map_or(0, |(_, amount)| *amount)
    }

    /// Whether nothing is asked for: then only the number of pods limits.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.ephemeral_storage == 0 && self.scalars.is_empty()
    }

    /// Adds (`sign` 1) or takes away (`sign` -1) what a pod asks for.
    pub fn add(&mut self, other: &Self, sign: i64) {
        self.milli_cpu += sign * other.milli_cpu;
        self.memory += sign * other.memory;
        self.ephemeral_storage += sign * other.ephemeral_storage;
        for (name, amount) in &other.scalars {
            match self.scalars.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(at) => self.scalars[at].1 += sign * amount,
                Err(at) => self.scalars.insert(at, (name.clone(), sign * amount)),
            }
        }
    }

    fn raise_to(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, amount) in &other.scalars {
            match self.scalars.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(at) => self.scalars[at].1 = self.scalars[at].1.max(*amount),
                Err(at) => self.scalars.insert(at, (name.clone(), *amount)),
            }
        }
    }
}

/// Whether a resource is one of those that are counted one by one (`schedutil.IsScalarResourceName`).
fn is_scalar(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    (!native && !name.starts_with("requests."))
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}

/// Whether a resource is an extended one, which `ignoredResources` of a profile may name.
pub(crate) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// What a pod asks for, in three countings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    /// What it asks for.
    pub total: Resources,
    /// CPU and memory that it counts as on its node when nodes are scored: each container counts as
    /// something (`PodInfo.CalculateResource`).
    pub non_zero: (i64, i64),
    /// The same for the pod that is being placed. Upstream's score does not look at what a pod as a whole asks
    /// for (`calculatePodResourceRequest`, of which `NewFit` leaves the gate off).
    pub scored: (i64, i64),
}

/// What a pod asks for. A container that is being resized counts with the most of what it was given, has and
/// shall have (KEP-1287), unless the node said that it never fits.
pub fn requests(pod: &Pod) -> Requests {
    let Some(spec) = &pod.spec else { return Requests::default() };
    let pod_level = pod_level(pod, spec);
    let total = with_pod_level(containers(pod, spec, None), &pod_level, spec);
    let defaulted = containers(pod, spec, Some((true, true)));
    let scored = with_pod_level(defaulted, &None, spec);
    let non_zero = match &pod_level {
        None => scored.clone(),
        Some(level) => {
            let asked = |cpu: bool| {
                let name = if cpu { "cpu" } else { "memory" };
                let overhead = spec.overhead.as_ref().is_some_and(|overhead| overhead.contains_key(name));
                level.contains_key(name) || overhead || asks(spec, name)
            };
            with_pod_level(containers(pod, spec, Some((!asked(true), !asked(false)))), &pod_level, spec)
        }
    };
    Requests {
        total,
        non_zero: (non_zero.milli_cpu, non_zero.memory),
        scored: (scored.milli_cpu, scored.memory),
    }
}

/// Whether any container asks for a resource.
fn asks(spec: &PodSpec, name: &str) -> bool {
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.filter_map(|c| c.resources.as_ref()?.requests.as_ref()).any(|requests| requests.contains_key(name))
}

type List = BTreeMap<String, Quantity>;

/// Requests of the pod as a whole (KEP-2837): CPU, memory and huge pages.
fn pod_level(pod: &Pod, spec: &PodSpec) -> Option<List> {
    let supported = |name: &str| name == "cpu" || name == "memory" || name.starts_with("hugepages-");
    let asked = spec.resources.as_ref()?.requests.as_ref()?;
    let mut level: List =
        asked.iter().filter(|(name, _)| supported(name)).map(|(n, q)| (n.clone(), q.clone())).collect();
    let status = pod.status.as_ref();
    if let Some(actuated) = status.and_then(|status| status.resources.as_ref()) {
        let allocated = status.and_then(|status| status.allocated_resources.as_ref());
        for (name, quantity) in &mut level {
            let all = [actuated.requests.as_ref(), allocated]
                .into_iter()
                .flatten()
                .filter_map(|list| list.get(name));
            let spec = (!is_resize_infeasible(pod)).then(|| quantity.clone());
            let most = all.cloned().chain(spec).max_by_key(api::milli_amount);
            if let Some(most) = most {
                *quantity = most;
            }
        }
    }
    (!level.is_empty()).then_some(level)
}

fn with_pod_level(mut total: Resources, level: &Option<List>, spec: &PodSpec) -> Resources {
    if let Some(level) = level {
        let whole = Resources::new(Some(level));
        if level.contains_key("cpu") {
            total.milli_cpu = whole.milli_cpu;
        }
        if level.contains_key("memory") {
            total.memory = whole.memory;
        }
        for (name, amount) in whole.scalars {
            match total.scalars.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => total.scalars[at].1 = amount,
                Err(at) => total.scalars.insert(at, (name, amount)),
            }
        }
    }
    total.add(&Resources::new(spec.overhead.as_ref()), 1);
    total
}

/// Containers run at once, init containers one after another beside the sidecars started before them
/// (KEP-753). `defaults`: whether CPU and memory that a container does not ask for are made up.
fn containers(pod: &Pod, spec: &PodSpec, defaults: Option<(bool, bool)>) -> Resources {
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&container_requests(pod, container, statuses(pod, false), defaults), 1);
    }
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let sidecar = is_sidecar(container);
        let known = if sidecar { statuses(pod, true) } else { &[] };
        let mut asked = container_requests(pod, container, known, defaults);
        if sidecar {
            total.add(&asked, 1);
            sidecars.add(&asked, 1);
            peak.raise_to(&sidecars);
        } else {
            asked.add(&sidecars, 1);
            peak.raise_to(&asked);
        }
    }
    total.raise_to(&peak);
    total
}

/// Whether an init container keeps running beside the others.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn statuses(pod: &Pod, init: bool) -> &[ContainerStatus] {
    let Some(status) = &pod.status else { return &[] };
    let list = if init { &status.init_container_statuses } else { &status.container_statuses };
    list.as_deref().unwrap_or_default()
}

fn container_requests(
    pod: &Pod,
    container: &Container,
    statuses: &[ContainerStatus],
    defaults: Option<(bool, bool)>,
) -> Resources {
    let asked = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let status = statuses.iter().find(|status| status.name == container.name);
    let mut resources = match status.and_then(|status| Some((status, status.resources.as_ref()?))) {
        None => Resources::new(asked),
        Some((status, actuated)) => effective(pod, asked, status, actuated),
    };
    if let Some((cpu, memory)) = defaults {
        let has = |name: &str| asked.is_some_and(|asked| asked.contains_key(name));
        if cpu && !has("cpu") && resources.milli_cpu == 0 {
            resources.milli_cpu = DEFAULT_MILLI_CPU_REQUEST;
        }
        if memory && !has("memory") && resources.memory == 0 {
            resources.memory = DEFAULT_MEMORY_REQUEST;
        }
    }
    resources
}

fn effective(
    pod: &Pod,
    asked: Option<&List>,
    status: &ContainerStatus,
    actuated: &ResourceRequirements,
) -> Resources {
    let mut most = Resources::new(actuated.requests.as_ref());
    most.raise_to(&Resources::new(status.allocated_resources.as_ref()));
    if !is_resize_infeasible(pod) {
        most.raise_to(&Resources::new(asked));
    }
    most
}

fn is_resize_infeasible(pod: &Pod) -> bool {
    api::pods::condition(pod, "PodResizePending")
        .is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(spec: Value, status: Value) -> Requests {
        requests(&serde_json::from_value(json!({"spec": spec, "status": status})).unwrap())
    }

    fn container(cpu: &str, memory: &str) -> Value {
        json!({"name": format!("c{cpu}"), "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    fn sidecar(cpu: &str, memory: &str) -> Value {
        let mut container = container(cpu, memory);
        container["restartPolicy"] = json!("Always");
        container
    }

    #[test]
    fn containers_add_up_and_init_containers_peak() {
        // The example of upstream's computePodResourceRequest.
        let spec = json!({
            "initContainers": [container("2", "1Gi"), container("2", "3Gi")],
            "containers": [container("2", "1Gi"), container("1", "1Gi")],
        });
        let total = of(spec, json!({})).total;
        assert_eq!((total.milli_cpu, total.memory), (3000, 3 << 30));
    }

    #[test]
    fn sidecars_run_beside_both() {
        for (init, cpu) in [
            (json!([sidecar("1", "0")]), 3000),
            // The init container runs beside the sidecar started before it.
            (json!([sidecar("1", "0"), container("5", "0")]), 6000),
            (json!([container("5", "0"), sidecar("1", "0")]), 5000),
        ] {
            let spec = json!({"initContainers": init, "containers": [container("2", "0")]});
            assert_eq!(of(spec, json!({})).total.milli_cpu, cpu);
        }
    }

    #[test]
    fn overhead_and_pod_level_requests() {
        let spec = json!({
            "containers": [container("2", "1Gi"), {"name": "b"}],
            "overhead": {"cpu": "250m"},
        });
        let asked = of(spec, json!({}));
        assert_eq!(asked.total.milli_cpu, 2250);
        assert_eq!(asked.non_zero, (2350, (1 << 30) + DEFAULT_MEMORY_REQUEST));
        let spec = json!({
            "containers": [{"name": "a"}, {"name": "b"}],
            "resources": {"requests": {"cpu": "3", "memory": "1Gi"}},
        });
        let asked = of(spec, json!({}));
        assert_eq!((asked.total.milli_cpu, asked.total.memory), (3000, 1 << 30));
        assert_eq!(asked.non_zero, (3000, 1 << 30));
    }

    #[test]
    fn a_resize_counts_with_the_most_unless_infeasible() {
        let spec = json!({"containers": [container("4", "1Gi")]});
        let status = |reason: &str| {
            json!({
                "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
                "containerStatuses": [{"name": "c4", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "resources": {"requests": {"cpu": "1"}}, "allocatedResources": {"cpu": "2"}}],
            })
        };
        assert_eq!(of(spec.clone(), status("Deferred")).total.milli_cpu, 4000);
        assert_eq!(of(spec, status("Infeasible")).total.milli_cpu, 2000);
    }

    #[test]
    fn scalars() {
        let spec = json!({"containers": [{"name": "a", "resources": {"requests":
            {"example.com/gpu": "2", "hugepages-2Mi": "4Mi", "unknown": "7"}}}]});
        let total = of(spec, json!({})).total;
        assert_eq!(total.scalar("example.com/gpu"), 2);
        assert_eq!(total.scalar("hugepages-2Mi"), 4 << 20);
        assert_eq!(total.scalars.len(), 2);
        assert!(!total.is_zero());
    }
}
