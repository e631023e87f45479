//! What a DaemonSet does next. Mirrors `manage` and `rollingUpdate` of
//! `pkg/controller/daemon/{daemon_controller,update}.go`.

use super::template::{generation, target_node};
use super::{REVISION_HASH, TEMPLATE_GENERATION};
use crate::workloads::amounts::{Round, scaled};
use crate::workloads::history::label_of;
use crate::workloads::pods::node as node_of;
use crate::workloads::replicaset::nonzero;
use api::apps::v1::{DaemonSet, DaemonSetStatus};
use api::core::v1::{Node, Pod};
use api::placement::{is_selected, tolerates};
use api::{Object, pods};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The most pods made, and the most deleted, at one look: upstream's `BurstReplicas`.
const BURST_PODS_MAX: usize = 250;

/// The waits before a failed pod is deleted: 1 s, twice as long each time, 15 min at most; forgotten after twice
/// the longest.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(900);

/// What is decided on.
pub(super) struct World<'a> {
    pub(super) now: Timestamp,
    pub(super) set: &'a DaemonSet,
    pub(super) nodes: &'a [Arc<Node>],
    /// The pods that it controls.
    pub(super) pods: &'a [Arc<Pod>],
    /// The hash of its template's revision.
    pub(super) hash: &'a str,
    /// Nodes on which pods failed lately.
    pub(super) failures: &'a HashMap<String, Failure>,
}

/// How a node's pods failed lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) at: Timestamp,
    pub(super) wait: Duration,
}

impl Failure {
    /// One more.
    pub(super) fn next(before: Option<&Self>, now: Timestamp) -> Self {
        let before = before.filter(|failure| !failure.is_forgotten(now));
        let wait = before.map_or(BACKOFF_FIRST, |failure| (failure.wait * 2).min(BACKOFF_MAX));
        Self { at: now, wait }
    }

    /// Whether it was too long ago to matter.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        now.duration_since(self.at).unsigned_abs() > BACKOFF_MAX * 2
    }

    fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = SignedDuration::try_from(self.wait).ok()? - now.duration_since(self.at);
        left.is_positive().then(|| left.unsigned_abs())
    }
}

/// What is decided.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Nodes that are to get a pod.
    pub(super) create: Vec<String>,
    /// Pods to delete.
    pub(super) delete: Vec<Arc<Pod>>,
    /// Nodes whose failed pods are among those.
    pub(super) failed: Vec<String>,
    /// Events: whether it is a warning, its reason, its text.
    pub(super) events: Vec<(bool, &'static str, String)>,
    /// When to look again although nothing happened.
    pub(super) again: Option<Duration>,
}

/// Decides: first that each node has its pod, then, if all do, how the update goes on.
pub(super) fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    let by_node = by_node(world.pods);
    for node in world.nodes {
        manage(world, node, by_node.get(node.name()).map_or(&[], Vec::as_slice), &mut plan);
    }
    // Pods that wait for a node that is gone wait for ever.
    let known = |name: &str| world.nodes.iter().any(|node| node.name() == name);
    for pods in by_node.iter().filter(|(name, _)| !known(name)).map(|(_, pods)| pods) {
        plan.delete.extend(pods.iter().filter(|pod| node_of(pod).is_empty()).cloned());
    }
    if plan.create.is_empty() && plan.delete.is_empty() && strategy(world.set) != Some("OnDelete") {
        update(world, by_node, &mut plan);
    }
    plan.delete.retain(|pod| !pods::is_terminating(pod));
    plan.create.truncate(BURST_PODS_MAX);
    plan.delete.truncate(BURST_PODS_MAX);
    plan
}

/// The pods by the node that they are on, or are meant for; not those that have ended and go.
fn by_node(pods: &[Arc<Pod>]) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut all: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !(pods::is_terminal(pod) && pods::is_terminating(pod))) {
        if let Some(node) = target_node(pod) {
            all.entry(node.to_owned()).or_default().push(pod.clone());
        }
    }
    for pods in all.values_mut() {
        pods.sort_by(|one, other| by_age(one).cmp(&by_age(other)));
    }
    all
}

/// Scheduled pods first, then by age.
fn by_age(pod: &Pod) -> (bool, Option<Timestamp>, &str) {
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (node_of(pod).is_empty(), created, pod.name())
}

/// Whether a pod belongs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It does.
    Runs,
    /// None is to begin there, but one that runs may go on.
    GoesOn,
    /// It does not.
    No,
}

/// Decides whether a pod of the set belongs on the node.
pub(super) fn fit(set: &DaemonSet, node: &Node) -> Fit {
    let Some(mut spec) = set.spec.as_ref().and_then(|spec| spec.template.spec.clone()) else {
        return Fit::No;
    };
    if spec.node_name.as_ref().is_some_and(|name| !name.is_empty() && name != node.name()) {
        return Fit::No;
    }
    super::template::tolerate(&mut spec);
    if !is_selected(&spec, node) {
        return Fit::No;
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if tolerates(tolerations, taints, &["NoSchedule", "NoExecute"]) {
        Fit::Runs
    } else if tolerates(tolerations, taints, &["NoExecute"]) {
        Fit::GoesOn
    } else {
        Fit::No
    }
}

fn manage(world: &World<'_>, node: &Node, on_node: &[Arc<Pod>], plan: &mut Plan) {
    let fit = fit(world.set, node);
    if fit == Fit::No {
        plan.delete.extend(on_node.iter().filter(|pod| !pods::is_terminating(pod)).cloned());
        return;
    }
    if fit == Fit::Runs && on_node.is_empty() {
        plan.create.push(node.name().to_owned());
        return;
    }
    let mut running = Vec::new();
    for pod in on_node.iter().filter(|pod| !pods::is_terminating(pod)) {
        match pods::phase(pod) {
            "Failed" => {
                if let Some(left) = world.failures.get(node.name()).and_then(|last| last.left(world.now)) {
                    plan.again = Some(plan.again.map_or(left, |again| again.min(left)));
                    continue;
                }
                let (place, name) = (pod.key(), node.name());
                let text = format!("Found failed daemon pod {place} on node {name}, will try to kill it");
                plan.events.push((true, "FailedDaemonPod", text));
                plan.failed.push(node.name().to_owned());
                plan.delete.push(pod.clone());
            }
            "Succeeded" => {
                let (place, name) = (pod.key(), node.name());
                let text =
                    format!("Found succeeded daemon pod {place} on node {name}, will try to delete it");
                plan.events.push((false, "SucceededDaemonPod", text));
                plan.delete.push(pod.clone());
            }
            _ => running.push(pod.clone()),
        }
    }
    if max_surge(world.set, 1) == 0 {
        plan.delete.extend(running.into_iter().skip(1));
        return;
    }
    if running.is_empty() && fit == Fit::Runs {
        plan.create.push(node.name().to_owned());
    }
    if running.len() > 1 {
        keep_old_and_new(world, running, plan);
    }
}

/// While an update surges, a node has an old pod and a new one; the old one goes when the new one can take over.
fn keep_old_and_new(world: &World<'_>, running: Vec<Arc<Pod>>, plan: &mut Plan) {
    let (mut new, mut old): (Option<Arc<Pod>>, Option<Arc<Pod>>) = (None, None);
    for pod in running {
        let has_hash = label_of(&pod.metadata, REVISION_HASH) == Some(world.hash);
        let slot = if has_hash { &mut new } else { &mut old };
        match slot {
            None => *slot = Some(pod),
            Some(_) => plan.delete.push(pod),
        }
    }
    if let (Some(new), Some(old)) = (new, old)
        && (!pods::is_ready(&old) || is_available(world, &new))
    {
        plan.delete.push(old);
    }
}

fn is_available(world: &World<'_>, pod: &Pod) -> bool {
    pods::is_available(pod, min_ready_seconds(world.set), world.now)
}

/// The seconds of readiness after which a pod counts as available.
pub(super) fn min_ready_seconds(set: &DaemonSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
}

fn strategy(set: &DaemonSet) -> Option<&str> {
    set.spec.as_ref()?.update_strategy.as_ref()?.type_.as_deref()
}

fn max_surge(set: &DaemonSet, nodes: i32) -> i32 {
    if strategy(set) == Some("OnDelete") {
        return 0;
    }
    let rolling = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref());
    rolling.and_then(|rolling| scaled(rolling.max_surge.as_ref()?, nodes, Round::Up)).unwrap_or_default()
}

fn max_unavailable(set: &DaemonSet, nodes: i32) -> i32 {
    let rolling = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref());
    rolling
        .and_then(|rolling| scaled(rolling.max_unavailable.as_ref()?, nodes, Round::Up))
        .unwrap_or_default()
}

/// Whether the pod is of the template as it is.
fn is_updated(world: &World<'_>, pod: &Pod) -> bool {
    let by_generation = generation(world.set)
        .is_some_and(|number| label_of(&pod.metadata, TEMPLATE_GENERATION) == Some(number.as_str()));
    by_generation || label_of(&pod.metadata, REVISION_HASH) == Some(world.hash)
}

/// A node's pods during an update.
enum Pair {
    /// Several of a kind: something is going on.
    Unclear,
    /// At most one of each.
    Pods { new: Option<Arc<Pod>>, old: Option<Arc<Pod>> },
}

fn pair(world: &World<'_>, on_node: &[Arc<Pod>]) -> Pair {
    let staying = on_node.iter().filter(|pod| !pods::is_terminating(pod)).cloned();
    let (new, old): (Vec<_>, Vec<_>) = staying.partition(|pod| is_updated(world, pod));
    if new.len() > 1 || old.len() > 1 {
        return Pair::Unclear;
    }
    Pair::Pods { new: new.into_iter().next(), old: old.into_iter().next() }
}

fn update(world: &World<'_>, mut by_node: BTreeMap<String, Vec<Arc<Pod>>>, plan: &mut Plan) {
    let runs: Vec<&str> =
        world.nodes.iter().filter(|node| fit(world.set, node) == Fit::Runs).map(|node| node.name()).collect();
    for name in &runs {
        by_node.entry((*name).to_owned()).or_default();
    }
    let desired = i32::try_from(runs.len()).unwrap_or(i32::MAX);
    let surge = max_surge(world.set, desired);
    let mut unavailable = max_unavailable(world.set, desired);
    if desired > 0 && surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    let room = |limit: i32, used: usize| usize::try_from(limit).unwrap_or_default().saturating_sub(used);
    if surge == 0 {
        update_in_place(world, &by_node, |used| room(unavailable, used), plan);
    } else {
        update_by_surge(world, &by_node, &runs, |used| room(surge, used), plan);
    }
}

/// Deletes old pods: all that are not available anyway, and as many others as may be missing.
fn update_in_place(
    world: &World<'_>,
    by_node: &BTreeMap<String, Vec<Arc<Pod>>>,
    room: impl Fn(usize) -> usize,
    plan: &mut Plan,
) {
    let mut missing = 0;
    let mut candidates = Vec::new();
    for on_node in by_node.values() {
        match pair(world, on_node) {
            Pair::Pods { new: Some(new), old: None } => missing += usize::from(!is_available(world, &new)),
            Pair::Pods { new: None, old: Some(old) } if is_available(world, &old) => candidates.push(old),
            Pair::Pods { new: None, old: Some(old) } => {
                missing += 1;
                plan.delete.push(old);
            }
            _ => missing += 1,
        }
    }
    candidates.truncate(room(missing));
    plan.delete.append(&mut candidates);
}

/// Makes new pods beside old ones, as many as may be more, and beside all that are not available anyway.
fn update_by_surge(
    world: &World<'_>,
    by_node: &BTreeMap<String, Vec<Arc<Pod>>>,
    runs: &[&str],
    room: impl Fn(usize) -> usize,
    plan: &mut Plan,
) {
    let (mut surging, mut available) = (0, 0);
    let (mut candidates, mut misplaced) = (Vec::new(), Vec::new());
    for (name, on_node) in by_node {
        let Pair::Pods { new, old } = pair(world, on_node) else {
            surging += 1;
            continue;
        };
        let judged = old.as_ref().or(new.as_ref());
        available += usize::from(judged.is_some_and(|pod| is_available(world, pod)));
        match (new, old) {
            (_, None) => {}
            (Some(new), Some(old)) if is_available(world, &new) => plan.delete.push(old),
            (Some(_), Some(_)) => surging += 1,
            (None, Some(old)) => match (is_available(world, &old), runs.contains(&name.as_str())) {
                (false, false) => plan.delete.push(old),
                (false, true) => plan.create.push(name.clone()),
                (true, false) => misplaced.push(old),
                (true, true) => candidates.push(name.clone()),
            },
        }
    }
    misplaced.truncate(available.saturating_sub(runs.len()));
    plan.delete.append(&mut misplaced);
    candidates.truncate(room(surging));
    plan.create.append(&mut candidates);
}

/// The status.
pub(super) fn status(world: &World<'_>, collisions: Option<i32>) -> DaemonSetStatus {
    let by_node = by_node(world.pods);
    let old = world.set.status.clone().unwrap_or_default();
    let mut status = DaemonSetStatus {
        observed_generation: world.set.metadata.generation,
        collision_count: collisions,
        conditions: old.conditions,
        ..Default::default()
    };
    let (mut updated, mut available) = (0, 0);
    for node in world.nodes {
        let pod = by_node.get(node.name()).and_then(|pods| pods.first());
        if fit(world.set, node) != Fit::Runs {
            status.number_misscheduled += i32::from(pod.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = pod else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pods::is_ready(pod));
        available += usize::from(is_available(world, pod));
        updated += usize::from(is_updated(world, pod));
    }
    let desired = usize::try_from(status.desired_number_scheduled).unwrap_or_default();
    status.updated_number_scheduled = nonzero(updated);
    status.number_available = nonzero(available);
    status.number_unavailable = nonzero(desired - available);
    status
}
