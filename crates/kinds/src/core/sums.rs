//! What the containers of a pod ask for together, and the class of service that follows.
//!
//! Upstream: `k8s.io/component-helpers/resource/helpers.go`, `pkg/apis/core/helper/qos`.

use super::util::{is_sidecar, quantity};
use meta::quantity::Quantity;
use std::collections::BTreeMap;
use value::Value;

/// Amounts by name of resource.
pub(super) type Amounts = BTreeMap<String, Quantity>;

fn add(sum: &mut Amounts, list: &Value) {
    for (name, v) in list.entries() {
        add_one(sum, name, quantity(v));
    }
}

fn add_one(sum: &mut Amounts, name: &str, amount: Quantity) {
    match sum.get_mut(name) {
        Some(sum) => sum.add(&amount),
        None => {
            sum.insert(name.to_owned(), amount);
        }
    }
}

fn raise(sum: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        match sum.get_mut(name) {
            Some(sum) if *sum >= *amount => {}
            Some(sum) => *sum = amount.clone(),
            None => {
                sum.insert(name.clone(), amount.clone());
            }
        }
    }
}

/// The sum over containers and sidecars, or what an init container needs if that is more; `list` is
/// `requests` or `limits` (`AggregateContainerRequests`, `AggregateContainerLimits`).
pub(super) fn aggregate(spec: &Value, list: &str) -> Amounts {
    let mut sum = Amounts::new();
    for container in spec.at("containers").items() {
        add(&mut sum, container.at("resources").at(list));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in spec.at("initContainers").items() {
        let own = container.at("resources").at(list);
        if is_sidecar(container) {
            add(&mut sum, own);
            add(&mut sidecars, own);
            continue;
        }
        // It runs beside the sidecars before it; what it does not ask for itself, they need at the end too.
        let mut needed = Amounts::new();
        add(&mut needed, own);
        for (name, amount) in &mut needed {
            if let Some(beside) = sidecars.get(name) {
                amount.add(beside);
            }
        }
        raise(&mut init, &needed);
    }
    raise(&mut init, &sidecars);
    raise(&mut sum, &init);
    sum
}

/// The class of service of a pod (`ComputePodQOS`).
pub(super) fn qos_class(spec: &Value) -> &'static str {
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut guaranteed = true;
    let own = spec.at("resources");
    if own.is_null() {
        for list in ["containers", "initContainers"] {
            for container in spec.at(list).items() {
                let resources = container.at("resources");
                add_compute(&mut requests, resources.at("requests"));
                guaranteed &= add_compute(&mut limits, resources.at("limits")) == 2;
            }
        }
    } else {
        add_compute(&mut requests, own.at("requests"));
        let limited = add_compute(&mut limits, own.at("limits"));
        guaranteed = own.at("limits").is_empty() || limited == 2;
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    guaranteed &= requests.iter().all(|(name, amount)| limits.get(name) == Some(amount));
    if guaranteed && requests.len() == limits.len() { "Guaranteed" } else { "Burstable" }
}

/// Adds CPU and memory; says how many of the two there were.
fn add_compute(sum: &mut Amounts, list: &Value) -> usize {
    let mut count = 0;
    for name in ["cpu", "memory"] {
        let amount = quantity(list.at(name));
        if amount.sign() > 0 {
            count += 1;
            add_one(sum, name, amount);
        }
    }
    count
}
