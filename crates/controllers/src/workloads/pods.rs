//! What the controllers of workloads share about pods: made from a template, ranked for deletion, awaited.
//! Facts: `pkg/controller/controller_utils.go`.

use api::core::v1::{Pod, PodTemplateSpec};
use api::meta::v1::{ObjectMeta, OwnerReference, Time};
use api::{Object, pods};
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest name of a pod: a DNS subdomain (RFC 1123).
const NAME_CHARACTERS_MAX: usize = 253;

/// The annotation by which users say which pods are to go first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A pod of a template, to be named by the API server.
pub(crate) fn from_template(
    template: &PodTemplateSpec,
    owner: &impl Object,
    reference: OwnerReference,
) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(name_prefix(owner.name())),
            namespace: Some(owner.namespace().to_owned()),
            labels: meta.labels.filter(|labels| !labels.is_empty()),
            annotations: meta.annotations.filter(|annotations| !annotations.is_empty()),
            finalizers: meta.finalizers.filter(|finalizers| !finalizers.is_empty()),
            owner_references: Some(vec![reference]),
            ..Default::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// What the names of an owner's pods begin with.
pub(crate) fn name_prefix(owner: &str) -> String {
    if owner.len() < NAME_CHARACTERS_MAX { format!("{owner}-") } else { owner.to_owned() }
}

/// Whether its deletion was asked for and it still runs.
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pods::is_terminating(pod) && !pods::is_terminal(pod)
}

/// The node that it was given to; empty before.
pub(crate) fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// When the first of the pods that are ready becomes available; nothing if none will by waiting.
pub(crate) fn next_available(now: Timestamp, pods: &[Arc<Pod>], min_ready_seconds: i32) -> Option<Duration> {
    let wait = jiff::SignedDuration::from_secs(min_ready_seconds.max(0).into());
    pods.iter()
        .filter_map(|pod| ready_since(pod))
        .map(|since| wait - now.duration_since(since))
        .filter(|left| left.is_positive())
        .min()
        .map(jiff::SignedDuration::unsigned_abs)
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = pods::condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// The `count` pods that are missed least, of `pods`. `related` are the pods of all sets of the same owner:
/// where several of them share a node, one of those goes.
pub(crate) fn to_delete(
    now: Timestamp,
    mut pods: Vec<Arc<Pod>>,
    related: &[Arc<Pod>],
    count: usize,
) -> Vec<Arc<Pod>> {
    if count < pods.len() {
        let mut neighbours: HashMap<&str, usize> = HashMap::new();
        for pod in related.iter().filter(|pod| pods::is_active(pod)) {
            *neighbours.entry(node(pod)).or_default() += 1;
        }
        pods.sort_by_cached_key(|pod| {
            Worth::of(now, pod, neighbours.get(node(pod)).copied().unwrap_or_default())
        });
        pods.truncate(count);
    }
    pods
}

/// How much a pod is worth, least first. Upstream's comparison (`ActivePodsWithRanks`) decides pods of like
/// age by UID even where restarts differ, which is no order in the mathematical sense; here restarts come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    scheduled: bool,
    phase: u8,
    ready: bool,
    cost: i32,
    neighbours: Reverse<usize>,
    ready_age: Option<i64>,
    restarts: Reverse<i32>,
    sidecar_restarts: Reverse<i32>,
    age: Option<i64>,
    uid: String,
}

impl Worth {
    fn of(now: Timestamp, pod: &Pod, neighbours: usize) -> Self {
        let (restarts, sidecar_restarts) = restarts(pod);
        Self {
            scheduled: !node(pod).is_empty(),
            phase: match pods::phase(pod) {
                "Running" => 2,
                "Unknown" => 1,
                _ => 0,
            },
            ready: pods::is_ready(pod),
            cost: deletion_cost(pod),
            neighbours: Reverse(neighbours),
            ready_age: ready_since(pod).map(|since| magnitude(now, since)),
            restarts: Reverse(restarts),
            sidecar_restarts: Reverse(sidecar_restarts),
            age: pod.metadata.creation_timestamp.as_ref().map(|Time(created)| magnitude(now, *created)),
            uid: pod.uid().to_owned(),
        }
    }
}

/// Ages count by their magnitude only (KEP-2185), so that the newest pods are not always those that go.
fn magnitude(now: Timestamp, then: Timestamp) -> i64 {
    let age = now.duration_since(then).as_nanos();
    if age > 0 { age.ilog2().into() } else { -1 }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let text =
        pod.metadata.annotations.as_ref().and_then(|all| all.get(DELETION_COST)).map_or("", String::as_str);
    let canonical =
        text == "0" || text.starts_with('-') || text.starts_with(|c: char| ('1'..='9').contains(&c));
    if canonical { text.parse().unwrap_or_default() } else { 0 }
}

/// The most restarts of a container, and of a sidecar.
fn restarts(pod: &Pod) -> (i32, i32) {
    let Some(status) = &pod.status else { return (0, 0) };
    let most = status.container_statuses.iter().flatten().map(|status| status.restart_count).max();
    let sidecars: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| container.name.as_str())
        .collect();
    let most_of_sidecars = status
        .init_container_statuses
        .iter()
        .flatten()
        .filter(|status| sidecars.contains(&status.name.as_str()))
        .map(|status| status.restart_count)
        .max();
    (most.unwrap_or_default(), most_of_sidecars.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, pod};
    use super::*;

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().map(|pod| pod.name()).collect()
    }

    #[test]
    fn the_least_missed_go_first() {
        let now = at(10_000);
        let pods = vec![
            pod("ready-old").node("a").ready(at(10)).build(),
            pod("ready-new").node("a").ready(at(9_990)).build(),
            pod("ready-cheap").node("a").ready(at(10)).annotation(DELETION_COST, "-5").build(),
            pod("ready-dear").node("a").ready(at(9_990)).annotation(DELETION_COST, "100").build(),
            pod("not-ready").node("a").phase("Running").build(),
            pod("pending").node("a").build(),
            pod("unscheduled").build(),
            pod("restarted").node("a").ready(at(10)).restarts(3).build(),
        ];
        let order = to_delete(now, pods.clone(), &[], 7);
        assert_eq!(
            names(&order),
            ["unscheduled", "pending", "not-ready", "ready-cheap", "ready-new", "restarted", "ready-old"]
        );
    }

    #[test]
    fn crowded_nodes_give_first() {
        let lone = pod("lone").node("a").ready(at(9_990)).build();
        let crowded = pod("crowded").node("b").ready(at(10)).build();
        let sibling = pod("sibling").node("b").ready(at(10)).build();
        let related = [lone.clone(), crowded.clone(), sibling];
        let order = to_delete(at(10_000), vec![lone, crowded], &related, 1);
        assert_eq!(names(&order), ["crowded"]);
    }

    #[test]
    fn deletion_costs() {
        for (text, cost) in
            [("5", 5), ("-5", -5), ("0", 0), ("+5", 0), ("05", 0), ("", 0), ("x", 0), ("1e3", 0)]
        {
            assert_eq!(deletion_cost(&pod("a").annotation(DELETION_COST, text).build()), cost, "{text}");
        }
    }

    #[test]
    fn availability_is_awaited() {
        let pods = [
            pod("a").ready(at(100)).build(),
            pod("b").ready(at(95)).build(),
            pod("c").ready(at(10)).build(),
            pod("d").build(),
        ];
        assert_eq!(next_available(at(100), &pods, 10), Some(Duration::from_secs(5)));
        assert_eq!(next_available(at(200), &pods, 10), None);
        assert_eq!(next_available(at(100), &pods, 0), None);
    }
}
