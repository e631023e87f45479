//! Sums of what the containers of a pod ask for.
//!
//! Upstream: `k8s.io/component-helpers/resource/helpers.go`, and the copies of it in the plugins.

use meta::quantity::Quantity;
use std::collections::BTreeMap;
use value::{Str, Value};

/// Amounts by name of resource.
pub type Amounts = BTreeMap<Str, Quantity>;

/// An amount in an object; zero if it cannot be read.
pub fn quantity(value: &Value) -> Quantity {
    Quantity::from_value(value).unwrap_or_default()
}

/// A resource list.
pub fn amounts(list: &Value) -> Amounts {
    list.entries().map(|(name, v)| (name.clone(), quantity(v))).collect()
}

/// Adds `more` to `sum`.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => drop(sum.insert(name.clone(), amount.clone())),
        }
    }
}

/// Takes for each name the larger amount.
pub fn raise(sum: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        match sum.get_mut(name) {
            Some(sum) if *sum >= *amount => {}
            Some(sum) => *sum = amount.clone(),
            None => drop(sum.insert(name.clone(), amount.clone())),
        }
    }
}

/// Which resources a pod may ask for as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodLevel {
    /// CPU and memory: LimitRanger.
    Compute,
    /// CPU, memory and huge pages: everybody else.
    WithHugePages,
}

/// What the pod asks for without its overhead; `list` is `requests` or `limits`.
pub fn of_pod(spec: &Value, list: &str, level: PodLevel) -> Amounts {
    of_running_pod(spec, &Value::Null, list, level)
}

/// The same for a pod with a status: of what a container asks for and what it still has, the more.
fn of_running_pod(spec: &Value, status: &Value, list: &str, level: PodLevel) -> Amounts {
    let own = |c: &Value| {
        let mut asked = amounts(c.at("resources").at(list));
        let statuses =
            ["containerStatuses", "initContainerStatuses"].iter().flat_map(|l| status.at(l).items());
        for status in statuses.filter(|s| s.at("name") == c.at("name")) {
            raise(&mut asked, &amounts(status.at("resources").at(list)));
            if list == "requests" {
                raise(&mut asked, &amounts(status.at("allocatedResources")));
            }
        }
        asked
    };
    let mut sum = Amounts::new();
    for container in spec.at("containers").items() {
        add(&mut sum, &own(container));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in spec.at("initContainers").items() {
        let own = own(container);
        if container.at("restartPolicy").str() == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut init, &sidecars);
        } else {
            let mut needed = sidecars.clone();
            add(&mut needed, &own);
            raise(&mut init, &needed);
        }
    }
    raise(&mut sum, &init);
    for (name, v) in spec.at("resources").at(list).entries() {
        let known = matches!(name.as_str(), "cpu" | "memory")
            || (level == PodLevel::WithHugePages && name.starts_with("hugepages-"));
        if known {
            sum.insert(name.clone(), quantity(v));
        }
    }
    sum
}

/// What the pod asks for with its overhead (`PodRequests`, `PodLimits`).
pub fn of_pod_with_overhead(spec: &Value, status: &Value, list: &str) -> Amounts {
    let mut sum = of_running_pod(spec, status, list, PodLevel::WithHugePages);
    let overhead = amounts(spec.at("overhead"));
    if list == "requests" {
        add(&mut sum, &overhead);
    } else {
        // A limit that is not there stays unlimited.
        for (name, amount) in &overhead {
            if let Some(limit) = sum.get_mut(name)
                && !limit.is_zero()
            {
                limit.add(amount);
            }
        }
    }
    sum
}
