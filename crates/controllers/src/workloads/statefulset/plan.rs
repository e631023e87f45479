//! What a StatefulSet does next. Mirrors `updateStatefulSet` of
//! `pkg/controller/statefulset/stateful_set_control.go`.

use super::REVISION;
use super::identity::{has_identity, ordinal, ordinals, pod, replicas};
use super::retention::{is_stale, wanted_owners};
use crate::workloads::amounts::{Round, scaled};
use crate::workloads::history::label_of;
use crate::workloads::replicaset::nonzero;
use api::apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetStatus};
use api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use api::{Object, pods};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A revision of the template.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) template: PodTemplateSpec,
}

/// What is decided on.
pub(super) struct World<'a> {
    pub(super) now: Timestamp,
    pub(super) set: &'a StatefulSet,
    /// The pods that it controls.
    pub(super) pods: &'a [Arc<Pod>],
    /// The claims of its ordinals, by name.
    pub(super) claims: &'a BTreeMap<String, Arc<PersistentVolumeClaim>>,
    pub(super) current: &'a Revision,
    pub(super) update: &'a Revision,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Make the pod of an ordinal, after its claims.
    Create(i32, Box<Pod>),
    /// Make the claims that a pod waits for.
    CreateClaims(i32, Arc<Pod>),
    /// Give the pod's claims the owners that the retention policy wants.
    OwnClaims(i32, Arc<Pod>),
    /// Give the pod the labels of its name and ordinal.
    Identify(i32, Arc<Pod>),
    /// Delete the pod.
    Delete(Arc<Pod>),
}

/// Decides. Unless the set's pods may come and go in parallel, all that were decided on are one step: of a pod, and
/// of what belongs to it.
pub(super) fn plan(world: &World<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    if world.set.metadata.deletion_timestamp.is_none() {
        // The way ends early where something has to be awaited.
        let _ = steps(world, &mut actions);
    }
    actions
}

/// The end of the way for now.
struct Wait;

fn steps(world: &World<'_>, actions: &mut Vec<Action>) -> Result<(), Wait> {
    let wanted = ordinals(world.set);
    let mut kept: BTreeMap<i32, Option<&Arc<Pod>>> = wanted.clone().map(|ordinal| (ordinal, None)).collect();
    let mut condemned: BTreeMap<i32, &Arc<Pod>> = BTreeMap::new();
    for pod in world.pods {
        match ordinal(world.set, pod) {
            Some(ordinal) if wanted.contains(&ordinal) => {
                kept.insert(ordinal, Some(pod));
            }
            Some(ordinal) => {
                condemned.insert(ordinal, pod);
            }
            None => {}
        }
    }
    for (ordinal, pod) in &kept {
        keep(world, *ordinal, *pod, actions)?;
    }
    let present = kept.values().flatten().chain(condemned.values());
    let first_unavailable = present.copied().find(|pod| is_unavailable(world, pod)).map(|pod| pod.uid());
    for (ordinal, pod) in condemned.iter().rev() {
        own_claims(world, *ordinal, pod, actions);
    }
    for pod in condemned.into_values().rev() {
        condemn(world, pod, first_unavailable, actions)?;
    }
    update(world, &kept, actions);
    Ok(())
}

/// Whether pods come and go one by one.
fn is_ordered(set: &StatefulSet) -> bool {
    set.spec.as_ref().and_then(|spec| spec.pod_management_policy.as_deref()) != Some("Parallel")
}

fn wait_if_ordered(set: &StatefulSet) -> Result<(), Wait> {
    if is_ordered(set) { Err(Wait) } else { Ok(()) }
}

fn keep(
    world: &World<'_>,
    ordinal: i32,
    present: Option<&Arc<Pod>>,
    actions: &mut Vec<Action>,
) -> Result<(), Wait> {
    let set = world.set;
    let Some(present) = present else {
        let pod = new_pod(world, ordinal);
        let claims = super::identity::claim_names(set, ordinal).filter_map(|name| world.claims.get(&name));
        // A claim of the last pod of this name is about to be deleted with it: a new one is awaited.
        if !claims.into_iter().any(|claim| is_stale(claim, &pod)) {
            actions.push(Action::Create(ordinal, Box::new(pod)));
        }
        return wait_if_ordered(set);
    };
    if pods::is_terminal(present) {
        if !pods::is_terminating(present) {
            actions.push(Action::Delete(present.clone()));
        }
        return wait_if_ordered(set);
    }
    if pods::phase(present) == "Pending" {
        let mut names = super::identity::claim_names(set, ordinal);
        if names.any(|name| !world.claims.contains_key(&name)) {
            actions.push(Action::CreateClaims(ordinal, present.clone()));
        }
        own_claims(world, ordinal, present, actions);
    }
    if pods::is_terminating(present) || !is_available(world, present) {
        wait_if_ordered(set)?;
    }
    if !has_identity(present) {
        actions.push(Action::Identify(ordinal, present.clone()));
    }
    own_claims(world, ordinal, present, actions);
    Ok(())
}

fn own_claims(world: &World<'_>, ordinal: i32, pod: &Arc<Pod>, actions: &mut Vec<Action>) {
    let mut claims =
        super::identity::claim_names(world.set, ordinal).filter_map(|name| world.claims.get(&name));
    let action = Action::OwnClaims(ordinal, pod.clone());
    if claims.any(|claim| wanted_owners(claim, world.set, pod).is_some()) && !actions.contains(&action) {
        actions.push(action);
    }
}

/// Takes a pod away: of the highest ordinal first, while those below are well, or it is the one that is not. One
/// that has ended will never be well, so nobody waits for it (upstream does, for ever, if two of them have).
fn condemn(
    world: &World<'_>,
    pod: &Arc<Pod>,
    first_unavailable: Option<&str>,
    actions: &mut Vec<Action>,
) -> Result<(), Wait> {
    if pods::is_terminating(pod) {
        return wait_if_ordered(world.set);
    }
    if !is_available(world, pod) && !pods::is_terminal(pod) && first_unavailable != Some(pod.uid()) {
        wait_if_ordered(world.set)?;
    }
    actions.push(Action::Delete(pod.clone()));
    wait_if_ordered(world.set)
}

/// The pod of an ordinal: of the template before the update below the partition, else of the new one.
fn new_pod(world: &World<'_>, ordinal: i32) -> Pod {
    let rolls = strategy(world.set) == Some("RollingUpdate");
    let old = rolls && ordinal < ordinals(world.set).start.saturating_add(partition(world.set));
    let revision = if old { world.current } else { world.update };
    pod(world.set, &revision.template, &revision.name, ordinal)
}

fn strategy(set: &StatefulSet) -> Option<&str> {
    set.spec.as_ref()?.update_strategy.as_ref()?.type_.as_deref()
}

fn rolling(set: &StatefulSet) -> Option<&RollingUpdateStatefulSetStrategy> {
    set.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref()
}

fn partition(set: &StatefulSet) -> i32 {
    rolling(set).and_then(|rolling| rolling.partition).unwrap_or_default()
}

/// Replaces old pods, from the highest ordinal down to the partition: one after the other is well, or as many as
/// may be unavailable.
fn update(world: &World<'_>, kept: &BTreeMap<i32, Option<&Arc<Pod>>>, actions: &mut Vec<Action>) {
    if strategy(world.set) == Some("OnDelete") {
        return;
    }
    let lowest = ordinals(world.set).start.saturating_add(partition(world.set));
    let is_old = |pod: &Pod| {
        label_of(&pod.metadata, REVISION) != Some(world.update.name.as_str()) && !pods::is_terminating(pod)
    };
    let well = |pod: &Option<&Arc<Pod>>| pod.is_some_and(|pod| !is_unavailable(world, pod));
    let Some(limit) = max_unavailable(world.set) else {
        for (_, pod) in kept.iter().rev().filter(|(ordinal, _)| **ordinal >= lowest) {
            if let Some(old) = pod.filter(|pod| is_old(pod)) {
                actions.push(Action::Delete(old.clone()));
                return;
            }
            if !well(pod) {
                return;
            }
        }
        return;
    };
    let unavailable = kept.values().filter(|pod| !well(pod)).count();
    let room = usize::try_from(limit).unwrap_or_default().saturating_sub(unavailable);
    let old = kept.iter().rev().filter(|(ordinal, _)| **ordinal >= lowest).filter_map(|(_, pod)| *pod);
    actions.extend(old.filter(|pod| is_old(pod)).take(room).map(|pod| Action::Delete(pod.clone())));
}

fn max_unavailable(set: &StatefulSet) -> Option<i32> {
    let amount = rolling(set)?.max_unavailable.as_ref()?;
    Some(scaled(amount, replicas(set), Round::Down).unwrap_or(1).max(1))
}

fn is_available(world: &World<'_>, pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_available(pod, min_ready_seconds(world.set), world.now)
}

fn is_unavailable(world: &World<'_>, pod: &Pod) -> bool {
    !is_available(world, pod) || pods::is_terminating(pod)
}

/// The seconds of readiness after which a pod counts as available.
pub(super) fn min_ready_seconds(set: &StatefulSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
}

/// The status.
pub(super) fn status(world: &World<'_>, collisions: Option<i32>) -> StatefulSetStatus {
    let set = world.set;
    let count = |test: &dyn Fn(&Pod) -> bool| world.pods.iter().filter(|pod| test(pod)).count();
    let of = |revision: &Revision| {
        nonzero(count(&|pod| {
            label_of(&pod.metadata, REVISION) == Some(revision.name.as_str()) && !pods::is_terminating(pod)
        }))
    };
    let is_ready = |pod: &Pod| pods::phase(pod) == "Running" && pods::is_ready(pod);
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let mut status = StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: number(world.pods.len()),
        ready_replicas: nonzero(count(&is_ready)),
        // Go prints this one even if it is 0.
        available_replicas: Some(number(count(&|pod| is_available(world, pod)))),
        current_replicas: of(world.current),
        updated_replicas: of(world.update),
        current_revision: Some(world.current.name.clone()),
        update_revision: Some(world.update.name.clone()),
        collision_count: Some(collisions.unwrap_or_default()),
        conditions: set.status.as_ref().and_then(|status| status.conditions.clone()),
    };
    let all = replicas(set);
    let done = [
        status.updated_replicas.unwrap_or_default(),
        status.ready_replicas.unwrap_or_default(),
        status.replicas,
    ];
    if strategy(set) == Some("RollingUpdate") && done.iter().all(|count| *count == all) {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
    status
}
