//! What the Node object says of the machine.

use api::core::v1::{
    ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus, NodeSystemInfo,
};
use api::meta::v1::Time;
use jiff::Timestamp;
use reconcile::EventKind;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::context::Context;
use crate::image_gc;
use crate::machine::{self, Disk};
use crate::runtime::messages::{Image, StatusResponse};

/// As upstream's `nodeStatusMaxImages` and `MaxNamesPerImageInNodeStatus`.
const IMAGES_MAX: usize = 50;
const IMAGE_NAMES_MAX: usize = 5;

/// The condition that says whether pods can run.
const READY: &str = "Ready";

/// How long the runtime may say nothing until it is taken for down, as upstream's `baseRuntimeSyncThreshold`.
const RUNTIME_SILENCE_MAX: Duration = Duration::from_secs(30);

/// A look at the node.
pub(super) struct Findings {
    pub(super) status: NodeStatus,
    /// Why pods cannot have a network.
    pub(super) network_error: Option<String>,
    pub(super) is_ready: bool,
}

/// Looks at the node; `old` says since when conditions hold.
pub(super) async fn findings(context: &Context, old: Option<&NodeStatus>) -> Findings {
    let runtime = tokio::time::timeout(RUNTIME_SILENCE_MAX, context.runtime.status(false)).await;
    let runtime = runtime.map_err(|_| format!("no answer in {RUNTIME_SILENCE_MAX:?}"));
    let runtime = runtime.and_then(|answer| answer.map_err(|error| error.to_string()));
    let (runtime_error, network_error) = match &runtime {
        Ok(status) => (missing(status, "RuntimeReady"), missing(status, "NetworkReady")),
        Err(error) => (Some(format!("container runtime is down: {error}")), Some(error.clone())),
    };
    // Of a runtime that does not answer, what it said before is told.
    let (images, runtime_version) = match &runtime {
        Ok(_) => {
            let images = context.runtime.list_images().await.unwrap_or_default();
            let version = context.runtime.version().await.unwrap_or_default();
            let version = format!("{}://{}", version.runtime_name, version.runtime_version);
            (Some(image_list(images)), version)
        }
        Err(_) => {
            let info = old.and_then(|old| old.node_info.as_ref());
            let version = info.map(|info| info.container_runtime_version.clone()).unwrap_or_default();
            (old.and_then(|old| old.images.clone()), version)
        }
    };
    let mut problems = Vec::new();
    problems.extend(runtime_error);
    problems
        .extend(network_error.as_ref().map(|error| format!("container runtime network not ready: {error}")));
    let features = runtime.as_ref().ok().and_then(|status| status.features);
    if let Some(features) = features {
        context.has_groups_policy.store(features.supplemental_groups_policy, Ordering::Relaxed);
    }
    let thresholds = &context.config.eviction_hard;
    let facts = Facts {
        problems,
        is_memory_short: machine::is_memory_short(thresholds, context.machine.memory),
        is_disk_short: is_disk_short(context).await,
        is_pids_short: machine::is_pids_short(thresholds),
        now: context.clock.now(),
    };
    let status = NodeStatus {
        addresses: Some(addresses(context)),
        capacity: Some(context.machine.capacity(&context.config)),
        allocatable: Some(context.machine.allocatable(&context.config)),
        conditions: Some(conditions(&facts, old)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(context.config.server.port) }),
        }),
        images,
        node_info: Some(node_info(context, runtime_version)),
        features: features.map(|features| NodeFeatures {
            supplemental_groups_policy: Some(features.supplemental_groups_policy),
        }),
        runtime_handlers: runtime.ok().map(handlers).filter(|handlers| !handlers.is_empty()),
        ..NodeStatus::default()
    };
    Findings { is_ready: facts.problems.is_empty(), status, network_error }
}

/// Of the node's own file system, and of that of images if they have thresholds.
async fn is_disk_short(context: &Context) -> bool {
    let thresholds = &context.config.eviction_hard;
    if Disk::read(&context.config.root_dir).is_some_and(|disk| disk.is_short(thresholds)) {
        return true;
    }
    if !thresholds.name_images() {
        return false;
    }
    match image_gc::disk(&context.runtime).await {
        Ok(disk) => disk.is_some_and(|disk| disk.is_short_of_images(thresholds)),
        Err(error) => {
            tracing::debug!(%error, "the runtime does not say where it keeps images");
            false
        }
    }
}

/// Why a condition of the runtime does not hold, in the words of Go's printing, which users search for.
fn missing(status: &StatusResponse, kind: &str) -> Option<String> {
    let conditions = status.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match conditions.iter().find(|condition| condition.r#type == kind) {
        Some(condition) if condition.status => None,
        Some(condition) => {
            Some(format!("{kind}=false reason:{} message:{}", condition.reason, condition.message))
        }
        None => Some(format!("{kind}=false")),
    }
}

fn addresses(context: &Context) -> Vec<NodeAddress> {
    let ips = context.config.node_ips.iter().map(|ip| ("InternalIP", ip.to_string()));
    let all = ips.chain([("Hostname", context.config.node_name.clone())]);
    all.map(|(kind, address)| NodeAddress { type_: kind.into(), address }).collect()
}

fn node_info(context: &Context, container_runtime_version: String) -> NodeSystemInfo {
    let machine = &context.machine;
    NodeSystemInfo {
        architecture: machine::architecture().into(),
        boot_id: machine.boot_id.clone(),
        container_runtime_version,
        kernel_version: machine.kernel.clone(),
        kube_proxy_version: String::new(),
        kubelet_version: meta::KUBERNETES_VERSION.into(),
        machine_id: machine.machine_id.clone(),
        operating_system: "linux".into(),
        os_image: machine.os_image.clone(),
        system_uuid: machine.system_uuid.clone(),
        ..NodeSystemInfo::default()
    }
}

fn handlers(status: StatusResponse) -> Vec<NodeRuntimeHandler> {
    status
        .runtime_handlers
        .into_iter()
        .map(|handler| NodeRuntimeHandler {
            name: Some(handler.name),
            features: handler.features.map(|features| NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(features.recursive_read_only_mounts),
                user_namespaces: Some(features.user_namespaces),
            }),
        })
        .collect()
}

/// The largest images, with a few names each.
fn image_list(mut images: Vec<Image>) -> Vec<ContainerImage> {
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    images
        .into_iter()
        .filter(|image| !image.repo_tags.is_empty() || !image.repo_digests.is_empty())
        .take(IMAGES_MAX)
        .map(|image| ContainerImage {
            names: Some(
                image.repo_digests.into_iter().chain(image.repo_tags).take(IMAGE_NAMES_MAX).collect(),
            ),
            size_bytes: i64::try_from(image.size).ok(),
        })
        .collect()
}

struct Facts {
    problems: Vec<String>,
    is_memory_short: bool,
    is_disk_short: bool,
    is_pids_short: bool,
    now: Timestamp,
}

/// Upstream's types, reasons and messages.
fn conditions(facts: &Facts, old: Option<&NodeStatus>) -> Vec<NodeCondition> {
    let pressures = [
        (
            "MemoryPressure",
            facts.is_memory_short,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        (
            "DiskPressure",
            facts.is_disk_short,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        (
            "PIDPressure",
            facts.is_pids_short,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
    ];
    let mut all: Vec<_> = pressures
        .into_iter()
        .map(|(kind, holds, yes, no)| {
            let (reason, message) = if holds { yes } else { no };
            condition(kind, holds, reason, message.to_owned(), facts.now, old)
        })
        .collect();
    let ready = if facts.problems.is_empty() {
        condition(READY, true, "KubeletReady", "kubelet is posting ready status".into(), facts.now, old)
    } else {
        condition(READY, false, "KubeletNotReady", aggregate(&facts.problems), facts.now, old)
    };
    all.push(ready);
    all
}

/// Several errors as Go's aggregate prints them.
fn aggregate(problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn condition(
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Timestamp,
    old: Option<&NodeStatus>,
) -> NodeCondition {
    let status = if holds { "True" } else { "False" };
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let before =
        old.and_then(|old| old.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind));
    let since = before
        .filter(|before| before.status == status)
        .and_then(|before| before.last_transition_time.clone());
    NodeCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: since.or(Some(Time(now))),
    }
}

/// Whether two statuses say the same, but for the time of the look.
pub(super) fn is_same(old: &NodeStatus, new: &NodeStatus) -> bool {
    let differs = |old: &Map<String, Value>, new: &Map<String, Value>| {
        new.iter().any(|(key, value)| key != "conditions" && old.get(key) != Some(value))
    };
    let find = |kind: &str| old.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let conditions_hold = new.conditions.iter().flatten().all(|condition| {
        find(&condition.type_).is_some_and(|old| {
            (&old.status, &old.reason, &old.message)
                == (&condition.status, &condition.reason, &condition.message)
        })
    });
    conditions_hold && !differs(&object(old), &object(new))
}

fn object(status: &NodeStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// A strategic merge patch: what others say of the node stays.
pub(super) fn patch(old: &NodeStatus, new: &NodeStatus) -> Value {
    let old = object(old);
    let mut patch = Map::new();
    for (key, value) in object(new) {
        if old.get(&key) == Some(&value) {
            continue;
        }
        let value = match (key.as_str(), value) {
            ("addresses", Value::Array(items)) => {
                Value::Array(items.into_iter().chain([json!({"$patch": "replace"})]).collect())
            }
            (_, value) => value,
        };
        patch.insert(key, value);
    }
    Value::Object(patch)
}

/// Tells what changed of the node's conditions.
pub(super) fn tell(context: &Context, old: Option<&NodeStatus>, new: Option<&NodeStatus>) {
    let name = &context.config.node_name;
    for reason in changes(old, new) {
        tracing::info!(node = name, reason, "the node's condition changed");
        super::tell(context, EventKind::Normal, reason, format!("Node {name} status is now: {reason}"));
    }
}

/// The reasons of the events that upstream sends: of pressures at the first look too, of readiness only when it changes.
fn changes(old: Option<&NodeStatus>, new: Option<&NodeStatus>) -> Vec<&'static str> {
    const REASONS: [(&str, &str, &str); 4] = [
        ("MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
        ("DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure"),
        ("PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID"),
        (READY, "NodeReady", "NodeNotReady"),
    ];
    let holds = |status: Option<&NodeStatus>, kind: &str| {
        let condition = status?.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
        Some(condition.status == "True")
    };
    let change = |(kind, yes, no): (&str, &'static str, &'static str)| {
        let (before, now) = (holds(old, kind), holds(new, kind)?);
        let is_news = before != Some(now) && (before.is_some() || kind != READY);
        is_news.then_some(if now { yes } else { no })
    };
    REASONS.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(problems: &[&str], second: i64) -> Facts {
        Facts {
            problems: problems.iter().map(ToString::to_string).collect(),
            is_memory_short: false,
            is_disk_short: true,
            is_pids_short: false,
            now: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn conditions_keep_their_time() {
        let status = |facts: &Facts, old: Option<&NodeStatus>| NodeStatus {
            conditions: Some(conditions(facts, old)),
            ..NodeStatus::default()
        };
        let first = status(&facts(&["a", "b"], 1), None);
        let ready = &first.conditions.as_ref().unwrap()[3];
        assert_eq!((ready.status.as_str(), ready.message.as_deref()), ("False", Some("[a, b]")));
        let second = status(&facts(&["a", "b"], 2), Some(&first));
        assert!(is_same(&first, &second));
        let ready = &second.conditions.as_ref().unwrap()[3];
        assert_eq!(ready.last_transition_time.as_ref().unwrap().0.as_second(), 1);
        assert_eq!(ready.last_heartbeat_time.as_ref().unwrap().0.as_second(), 2);
        let third = status(&facts(&[], 3), Some(&second));
        assert!(!is_same(&second, &third));
        assert_eq!(third.conditions.unwrap()[1].status, "True", "disk pressure");
    }
    #[test]
    fn events_as_upstream_sends_them() {
        let status =
            |facts: &Facts| NodeStatus { conditions: Some(conditions(facts, None)), ..NodeStatus::default() };
        let (unready, ready) = (status(&facts(&["a"], 1)), status(&facts(&[], 2)));
        let first = ["NodeHasSufficientMemory", "NodeHasDiskPressure", "NodeHasSufficientPID"];
        assert_eq!(changes(None, Some(&unready)), first);
        assert_eq!(changes(Some(&unready), Some(&ready)), ["NodeReady"]);
        assert_eq!(changes(Some(&ready), Some(&unready)), ["NodeNotReady"]);
        let empty = status(&Facts { is_disk_short: false, ..facts(&[], 3) });
        assert_eq!(changes(Some(&ready), Some(&empty)), ["NodeHasNoDiskPressure"]);
        assert_eq!(changes(Some(&empty), Some(&empty)), Vec::<&str>::new());
    }
}
