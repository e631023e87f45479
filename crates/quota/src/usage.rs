//! How much of what an object uses.
//!
//! Upstream: `pkg/quota/v1/evaluator/core`, `k8s.io/apiserver/pkg/quota/v1/generic`.

use crate::amounts::{Amounts, add, of_pod_with_overhead, quantity, raise};
use meta::quantity::{Format, Quantity};
use meta::time::{Duration, Time};
use std::collections::{BTreeMap, BTreeSet};
use value::{Str, Value};

/// Behind the name of a device class: how many of its devices claims ask for.
const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// What a claim of all devices counts as: the most it can be given.
const ALL_DEVICES: i64 = 32;
const BY_CLASS: &str = ".storageclass.storage.k8s.io/";

/// What is counted in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pods: what their containers ask for.
    Pods,
    /// Services: node ports and load balancers.
    Services,
    /// Claims of volumes: storage.
    Claims,
    /// Claims of devices: devices by class.
    DeviceClaims,
    /// Whatever else: how many there are.
    Other,
}

/// What is counted for one resource.
#[derive(Clone, Debug)]
pub struct Evaluator {
    /// In which way.
    pub kind: Kind,
    /// `count/<resource>.<group>`.
    count: Str,
    /// The old name of the same count, for the resources that have one.
    legacy: Option<&'static str>,
}

impl Evaluator {
    /// For the objects of a resource.
    pub fn new(group: &str, resource: &str) -> Self {
        let kind = match (group, resource) {
            ("", "pods") => Kind::Pods,
            ("", "services") => Kind::Services,
            ("", "persistentvolumeclaims") => Kind::Claims,
            ("resource.k8s.io", "resourceclaims") => Kind::DeviceClaims,
            _ => Kind::Other,
        };
        let legacy = match (group, resource) {
            ("", "configmaps") => Some("configmaps"),
            ("", "resourcequotas") => Some("resourcequotas"),
            ("", "replicationcontrollers") => Some("replicationcontrollers"),
            ("", "secrets") => Some("secrets"),
            _ => None,
        };
        let dot = if group.is_empty() { "" } else { "." };
        Self { kind, count: format!("count/{resource}{dot}{group}").into(), legacy }
    }

    /// Whether a resource of a quota is about these objects.
    pub fn counts(&self, name: &str) -> bool {
        if name == self.count {
            return true;
        }
        match self.kind {
            Kind::Pods => {
                matches!(
                    name,
                    "pods"
                        | "cpu"
                        | "memory"
                        | "ephemeral-storage"
                        | "requests.cpu"
                        | "requests.memory"
                        | "requests.ephemeral-storage"
                        | "limits.cpu"
                        | "limits.memory"
                        | "limits.ephemeral-storage"
                ) || name.starts_with("hugepages-")
                    || name.starts_with("requests.hugepages-")
                    || is_extended(name)
            }
            Kind::Services => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
            Kind::Claims => ["persistentvolumeclaims", "requests.storage"].iter().any(|base| {
                name.strip_suffix(base).is_some_and(|rest| rest.is_empty() || rest.ends_with(BY_CLASS))
            }),
            Kind::DeviceClaims => name.ends_with(DEVICES),
            Kind::Other => self.legacy == Some(name),
        }
    }

    /// What an object must say to be counted at all.
    ///
    /// # Errors
    /// What it does not say, as a person is told.
    pub fn constraints(&self, required: &[&Str], object: &Value) -> Result<(), String> {
        let spec = object.at("spec");
        if self.kind != Kind::Pods || has_pod_level_resources(spec) {
            return Ok(());
        }
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let containers = ["containers", "initContainers"].iter().flat_map(|l| spec.at(l).items());
        for container in containers {
            let resources = container.at("resources");
            for name in required {
                let (list, resource) = match name.as_str() {
                    "cpu" | "requests.cpu" => ("requests", "cpu"),
                    "memory" | "requests.memory" => ("requests", "memory"),
                    "limits.cpu" => ("limits", "cpu"),
                    "limits.memory" => ("limits", "memory"),
                    _ => continue,
                };
                if resources.at(list).get(resource).is_none() {
                    missing.entry(name).or_default().insert(container.at("name").str());
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let told = missing.into_iter().map(|(name, containers)| {
            format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
        });
        Err(format!("must specify {}", told.collect::<Vec<_>>().join("; ")))
    }

    /// What the object uses.
    pub fn usage(&self, object: &Value, now: Time) -> Amounts {
        let one = || Quantity::new(1, Format::DecimalSi);
        let mut usage = Amounts::new();
        usage.insert(self.count.clone(), one());
        match self.kind {
            Kind::Pods => pod(object, now, &mut usage),
            Kind::Services => service(object.at("spec"), &mut usage),
            Kind::Claims => claim(object, &mut usage),
            Kind::DeviceClaims => devices(object, &mut usage),
            Kind::Other => {
                if let Some(name) = self.legacy {
                    usage.insert(name.into(), one());
                }
            }
        }
        usage
    }
}

fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    name.starts_with("requests.")
        && (!native || name.starts_with("requests.deviceclass.resource.kubernetes.io/"))
}

fn has_pod_level_resources(spec: &Value) -> bool {
    let known = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    ["requests", "limits"]
        .iter()
        .any(|list| spec.at("resources").at(list).entries().any(|(name, _)| known(name)))
}

/// Whether the pod ends by itself.
pub fn is_terminating(pod: &Value) -> bool {
    pod.at("spec").at("activeDeadlineSeconds").as_i64().is_some_and(|s| s >= 0)
}

/// Whether a claim's status changes what it uses.
pub fn replenishes(new: &Value, old: &Value) -> bool {
    let of = |claim: &Value, field: &str| claim.at("status").at(field).clone();
    ["allocatedResources", "currentVolumeAttributesClassName", "modifyVolumeStatus"]
        .iter()
        .any(|field| of(new, field) != of(old, field))
}

/// Whether a pod still uses anything.
fn is_alive(pod: &Value, now: Time) -> bool {
    if matches!(pod.at("status").at("phase").str(), "Failed" | "Succeeded") {
        return false;
    }
    let metadata = pod.at("metadata");
    let grace = metadata.at("deletionGracePeriodSeconds").as_i64();
    let (Ok(at), Some(grace)) = (Time::parse(metadata.at("deletionTimestamp").str()), grace) else {
        return true;
    };
    now <= at.plus(Duration::from_seconds(grace))
}

fn pod(pod: &Value, now: Time, usage: &mut Amounts) {
    if !is_alive(pod, now) {
        return;
    }
    usage.insert("pods".into(), Quantity::new(1, Format::DecimalSi));
    let sum = |list: &str| of_pod_with_overhead(pod.at("spec"), pod.at("status"), list);
    for (name, amount) in sum("requests") {
        let known = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        if known || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount.clone());
        } else if !name.starts_with("deviceclass.resource.kubernetes.io/")
            && (!name.contains('/') || name.contains("kubernetes.io/"))
        {
            continue;
        }
        usage.insert(format!("requests.{name}").into(), amount);
    }
    for (name, amount) in sum("limits") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            usage.insert(format!("limits.{name}").into(), amount);
        }
    }
}

fn service(spec: &Value, usage: &mut Amounts) {
    let count = |n: usize| Quantity::new(i64::try_from(n).unwrap_or(i64::MAX), Format::DecimalSi);
    let ports = spec.at("ports").items();
    let allocated = || ports.iter().filter(|p| p.at("nodePort").int() != 0).count();
    let (node_ports, balancers) = match spec.at("type").str() {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if spec.at("allocateLoadBalancerNodePorts").as_bool() == Some(false) => {
            (allocated(), 1)
        }
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    usage.insert("services".into(), count(1));
    usage.insert("services.nodeports".into(), count(node_ports));
    usage.insert("services.loadbalancers".into(), count(balancers));
}

fn claim(claim: &Value, usage: &mut Amounts) {
    let one = Quantity::new(1, Format::DecimalSi);
    let annotation = claim.at("metadata").at("annotations").get("volume.beta.kubernetes.io/storage-class");
    let class = annotation.unwrap_or_else(|| claim.at("spec").at("storageClassName")).str();
    let mut put = |name: &str, amount: &Quantity| {
        usage.insert(name.into(), amount.clone());
        if !class.is_empty() {
            usage.insert(format!("{class}{BY_CLASS}{name}").into(), amount.clone());
        }
    };
    put("persistentvolumeclaims", &one);
    let Some(asked) = claim.path(&["spec", "resources", "requests"]).get("storage") else { return };
    let mut storage = quantity(asked);
    if let Some(allocated) = claim.path(&["status", "allocatedResources"]).get("storage") {
        storage = storage.max(quantity(allocated));
    }
    storage.round_up(0);
    put("requests.storage", &storage);
}

/// Devices by class. Of alternatives the largest number of each class counts.
fn devices(claim: &Value, usage: &mut Amounts) {
    let asked = |request: &Value| {
        let count = match request.at("allocationMode").str() {
            "ExactCount" => request.at("count").int(),
            "All" => ALL_DEVICES,
            _ => 0,
        };
        let name: Str = format!("{}{DEVICES}", request.at("deviceClassName").str()).into();
        (name, Quantity::new(count, Format::DecimalSi))
    };
    for request in claim.path(&["spec", "devices", "requests"]).items() {
        let alternatives = request.at("firstAvailable").items();
        let mut wanted = Amounts::new();
        if alternatives.is_empty() {
            wanted.extend(Some(request.at("exactly")).filter(|e| !e.is_null()).map(asked));
        }
        for alternative in alternatives {
            raise(&mut wanted, &Amounts::from([asked(alternative)]));
        }
        add(usage, &wanted);
    }
}

#[cfg(test)]
mod tests;
