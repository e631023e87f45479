//! CPU and memory of containers and pods, in the numbers of Linux; the quality-of-service class.
//!
//! Pure. Upstream counterparts: `pkg/kubelet/cm/helpers_linux.go`, `pkg/kubelet/qos/policy.go`,
//! `pkg/apis/core/v1/helper/qos`.

use std::collections::BTreeMap;

use api::core::v1::{Container, Pod};
use api::{Quantity, amount, milli_amount};

use crate::runtime::messages::{HugepageLimit, LinuxContainerResources};
use crate::spec;

/// The scheduler's period in microseconds.
pub(crate) const CPU_PERIOD: i64 = 100_000;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const QUOTA_MIN: i64 = 1000;

pub(crate) const GUARANTEED: &str = "Guaranteed";
pub(crate) const BURSTABLE: &str = "Burstable";
pub(crate) const BEST_EFFORT: &str = "BestEffort";

/// Requests or limits.
pub(crate) type List = BTreeMap<String, Quantity>;

/// The class of a pod: the one that the server gave it, else what its resources say.
pub(crate) fn qos_class(pod: &Pod) -> &'static str {
    match pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) {
        Some(GUARANTEED) => return GUARANTEED,
        Some(BURSTABLE) => return BURSTABLE,
        Some(BEST_EFFORT) => return BEST_EFFORT,
        _ => {}
    }
    let parts: Vec<_> = match &spec::spec(pod).resources {
        Some(whole) => vec![whole.clone()],
        None => spec::init_containers(pod)
            .iter()
            .chain(spec::containers(pod))
            .map(|container| container.resources.clone().unwrap_or_default())
            .collect(),
    };
    let value = |list: &Option<List>, name: &str| {
        list.as_ref().and_then(|list| list.get(name)).map(milli_amount).filter(|value| *value > 0)
    };
    let names = ["cpu", "memory"];
    let is_any = parts.iter().any(|part| {
        names.iter().any(|name| value(&part.requests, name).or(value(&part.limits, name)).is_some())
    });
    if !is_any {
        return BEST_EFFORT;
    }
    let is_guaranteed = parts.iter().all(|part| {
        names.iter().all(|name| {
            let limit = value(&part.limits, name);
            limit.is_some() && value(&part.requests, name).or(limit) == limit
        })
    });
    if is_guaranteed { GUARANTEED } else { BURSTABLE }
}

fn find<'a>(container: &'a Container, limits: bool, name: &str) -> Option<&'a Quantity> {
    let resources = container.resources.as_ref()?;
    if limits { resources.limits.as_ref()?.get(name) } else { resources.requests.as_ref()?.get(name) }
}

pub(crate) fn request<'a>(container: &'a Container, name: &str) -> Option<&'a Quantity> {
    find(container, false, name)
}

pub(crate) fn limit<'a>(container: &'a Container, name: &str) -> Option<&'a Quantity> {
    find(container, true, name)
}

/// CPU shares for thousandths of a CPU.
pub(crate) fn shares(milli: i64) -> i64 {
    if milli <= 0 { SHARES_MIN } else { (milli.saturating_mul(1024) / 1000).clamp(SHARES_MIN, SHARES_MAX) }
}

/// CPU time a period for thousandths of a CPU; 0 is no limit.
pub(crate) fn quota(milli: i64) -> i64 {
    if milli <= 0 { 0 } else { (milli.saturating_mul(CPU_PERIOD) / 1000).max(QUOTA_MIN) }
}

/// What the kernel is to give one container. `memory` is the node's, in bytes.
pub(crate) fn container_resources(
    pod: &Pod,
    container: &Container,
    memory: u64,
    unified: bool,
) -> LinuxContainerResources {
    let cpu_limit = limit(container, "cpu").map_or(0, milli_amount);
    let cpu_request = request(container, "cpu").map_or(cpu_limit, milli_amount);
    let hugepage_limits = container
        .resources
        .iter()
        .flat_map(|resources| resources.limits.iter().flatten())
        .filter_map(|(name, quantity)| {
            let size = name.strip_prefix("hugepages-")?;
            Some(HugepageLimit { page_size: page_size(size), limit: amount(quantity).max(0).cast_unsigned() })
        })
        .collect();
    let mut resources = LinuxContainerResources {
        cpu_period: CPU_PERIOD,
        cpu_quota: quota(cpu_limit),
        cpu_shares: shares(cpu_request),
        memory_limit_in_bytes: limit(container, "memory").map_or(0, amount),
        oom_score_adj: oom_score(pod, container, memory),
        hugepage_limits,
        ..LinuxContainerResources::default()
    };
    if unified {
        // All processes of a container die together, as upstream has it on cgroup v2.
        resources.unified.insert("memory.oom.group".into(), "1".into());
    }
    resources
}

/// `2Mi` as the kernel names it: `2MB`.
fn page_size(size: &str) -> String {
    size.strip_suffix('i').map_or_else(|| size.to_owned(), |size| format!("{size}B"))
}

/// What a whole pod asks for: the greatest of what its init containers and what its others need together.
pub(crate) fn pod_amount(pod: &Pod, limits: bool, name: &str) -> Option<i64> {
    let read = |quantity: &Quantity| if name == "cpu" { milli_amount(quantity) } else { amount(quantity) };
    if let Some(whole) = &spec::spec(pod).resources {
        let list = if limits { &whole.limits } else { &whole.requests };
        if let Some(quantity) = list.as_ref().and_then(|list| list.get(name)) {
            return Some(read(quantity));
        }
    }
    let of = |container: &Container| {
        let own = find(container, limits, name);
        // What has no request of its own asks for its limit.
        let own = if limits { own } else { own.or_else(|| limit(container, name)) };
        own.map(read)
    };
    let mut sum = None;
    let mut add = |value: Option<i64>| sum = value.map(|value| sum.unwrap_or(0) + value).or(sum);
    spec::containers(pod).iter().for_each(|container| add(of(container)));
    let mut sidecars = 0;
    let mut peak = 0;
    for container in spec::init_containers(pod) {
        let value = of(container);
        if spec::is_sidecar(container) {
            add(value);
            sidecars += value.unwrap_or(0);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + value.unwrap_or(0));
        }
    }
    let overhead = spec::spec(pod).overhead.as_ref().and_then(|list| list.get(name)).map(read);
    let whole = match sum {
        None if peak == 0 => return overhead,
        None => peak,
        Some(sum) => sum.max(peak),
    };
    Some(whole + overhead.unwrap_or(0))
}

/// Whether every container has a limit: only then has the pod one.
pub(crate) fn is_limited(pod: &Pod, name: &str) -> bool {
    let whole = spec::spec(pod).resources.as_ref().and_then(|whole| whole.limits.as_ref());
    whole.is_some_and(|limits| limits.contains_key(name))
        || spec::init_containers(pod)
            .iter()
            .chain(spec::containers(pod))
            .all(|container| limit(container, name).is_some_and(|quantity| milli_amount(quantity) > 0))
}

/// How soon the kernel kills a container when memory is short.
fn oom_score(pod: &Pod, container: &Container, memory: u64) -> i64 {
    const CRITICAL: i32 = 2_000_001_000;
    const PROTECTED: i64 = -997;
    if spec::spec(pod).priority.is_some_and(|priority| priority >= CRITICAL) {
        return PROTECTED;
    }
    match qos_class(pod) {
        GUARANTEED => PROTECTED,
        BEST_EFFORT => 1000,
        _ => {
            let memory = i64::try_from(memory).unwrap_or(i64::MAX).max(1);
            let request =
                request(container, "memory").or_else(|| limit(container, "memory")).map_or(0, amount);
            let share = i128::from(request) * 1000 / i128::from(memory);
            // Between those that are guaranteed and those that ask for nothing.
            (1000 - i64::try_from(share).unwrap_or(1000)).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn classes_and_numbers() {
        let cases = [
            (json!({}), BEST_EFFORT, (2, 0, 0, 1000)),
            (json!({"requests": {"cpu": "100m", "memory": "1Gi"}}), BURSTABLE, (102, 0, 0, 750)),
            (json!({"limits": {"cpu": "500m", "memory": "1Gi"}}), GUARANTEED, (512, 50_000, 1 << 30, -997)),
            (json!({"limits": {"cpu": "5m"}}), BURSTABLE, (5, 1000, 0, 999)),
        ];
        for (resources, class, numbers) in cases {
            let pod = pod(json!({"containers": [{"name": "a", "resources": resources}]}));
            let made = container_resources(&pod, &spec::containers(&pod)[0], 4 << 30, false);
            let found = (made.cpu_shares, made.cpu_quota, made.memory_limit_in_bytes, made.oom_score_adj);
            assert_eq!((qos_class(&pod), found), (class, numbers), "{resources}");
        }
    }

    #[test]
    fn init_containers_count_at_their_peak() {
        let cpu = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let pod = pod(json!({
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": cpu("1")},
                {"name": "i", "resources": cpu("5")}],
            "containers": [{"name": "a", "resources": cpu("2")}]}));
        assert_eq!(pod_amount(&pod, false, "cpu"), Some(6000));
        assert_eq!(pod_amount(&pod, true, "cpu"), None);
    }
}
