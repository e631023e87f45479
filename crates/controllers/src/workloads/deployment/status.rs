//! The status of a Deployment: counts, conditions, progress. Texts are upstream's
//! (`pkg/controller/deployment/progress.go`), as `kubectl rollout status` and `describe` show them.

use super::scaling::Limits;
use crate::workloads::replicaset::nonzero;
use api::Object;
use api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use api::meta::v1::Time;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

pub(super) const AVAILABLE: &str = "Available";
pub(super) const PROGRESSING: &str = "Progressing";
pub(super) const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(super) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const PAUSED: &str = "DeploymentPaused";
pub(super) const RESUMED: &str = "DeploymentResumed";
pub(super) const CREATE_FAILED: &str = "ReplicaSetCreateError";
pub(super) const CREATED: &str = "NewReplicaSetCreated";
pub(super) const FOUND: &str = "FoundNewReplicaSet";
const UPDATED: &str = "ReplicaSetUpdated";

/// A second more than the deadline, so that the look after it comes after it.
const SLACK: Duration = Duration::from_secs(1);

/// A condition as of now.
pub(super) fn condition(
    now: Timestamp,
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(Time(now)),
        last_update_time: Some(Time(now)),
    }
}

/// The condition of a type.
pub(super) fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Sets a condition, unless status and reason are what they were.
pub(super) fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    let present = find(status, &condition.type_).filter(|present| present.status == condition.status);
    if let Some(present) = present {
        if present.reason == condition.reason {
            return;
        }
        condition.last_transition_time = present.last_transition_time.clone();
    }
    remove(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}

/// Takes a condition away.
pub(super) fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

/// The counts over all sets, and whether enough pods are available.
pub(super) fn counts(
    now: Timestamp,
    deployment: &Deployment,
    sets: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
) -> DeploymentStatus {
    let limits = Limits::of(deployment);
    let old = deployment.status.as_ref();
    let total = |of: &dyn Fn(&api::apps::v1::ReplicaSetStatus) -> i32| -> i32 {
        sets.iter().filter_map(|set| set.status.as_ref()).map(of).sum()
    };
    let available = total(&|status| status.available_replicas.unwrap_or_default());
    let wanted: i32 = sets.iter().map(|set| crate::workloads::replicaset::replicas(set)).sum();
    let some = |count: i32| nonzero(usize::try_from(count).unwrap_or_default());
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(total(&|status| status.replicas)),
        updated_replicas: some(new.and_then(|set| set.status.as_ref()).map_or(0, |status| status.replicas)),
        ready_replicas: some(total(&|status| status.ready_replicas.unwrap_or_default())),
        available_replicas: some(available),
        unavailable_replicas: some(wanted - available),
        terminating_replicas: terminating(sets),
        collision_count: old.and_then(|status| status.collision_count),
        conditions: old.and_then(|status| status.conditions.clone()),
    };
    let (value, reason, message) = if available >= limits.fewest_available() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status, condition(now, AVAILABLE, value, reason, message.to_owned()));
    status
}

/// Unknown while a set that has been looked at does not tell.
fn terminating(sets: &[&ReplicaSet]) -> Option<i32> {
    let mut count = 0;
    for status in sets.iter().filter_map(|set| set.status.as_ref()) {
        match status.terminating_replicas {
            Some(some) => count += some,
            None if status.observed_generation.unwrap_or_default() == 0 => {}
            None => return None,
        }
    }
    Some(count)
}

/// Adds to the counts how the rollout comes along.
pub(super) fn progress(
    now: Timestamp,
    deployment: &Deployment,
    sets: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
) -> DeploymentStatus {
    let mut status = counts(now, deployment, sets, new);
    let old = deployment.status.clone().unwrap_or_default();
    let current = find(&old, PROGRESSING);
    let done_before = status.replicas == status.updated_replicas
        && current.is_some_and(|condition| condition.reason.as_deref() == Some(NEW_SET_AVAILABLE));
    match deadline(deployment) {
        None => remove(&mut status, PROGRESSING),
        Some(deadline) if !done_before => {
            estimate(now, deployment, &old, &mut status, new, deadline);
        }
        Some(_) => {}
    }
    let failure = |set: &ReplicaSet| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE).cloned()
    };
    match new.and_then(failure).or_else(|| sets.iter().find_map(|set| failure(set))) {
        None => remove(&mut status, REPLICA_FAILURE),
        Some(failure) => {
            let failed = DeploymentCondition {
                type_: failure.type_,
                status: failure.status,
                reason: failure.reason,
                message: failure.message,
                last_update_time: failure.last_transition_time.clone(),
                last_transition_time: failure.last_transition_time,
            };
            set(&mut status, failed);
        }
    }
    status
}

fn estimate(
    now: Timestamp,
    deployment: &Deployment,
    old: &DeploymentStatus,
    status: &mut DeploymentStatus,
    new: Option<&ReplicaSet>,
    deadline: SignedDuration,
) {
    let subject = new.map_or_else(
        || format!("Deployment {:?}", deployment.name()),
        |set| format!("ReplicaSet {:?}", set.name()),
    );
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        set(status, condition(now, PROGRESSING, "True", NEW_SET_AVAILABLE, message));
    } else if advanced(old, status) {
        // Each step forward counts anew against the deadline, so the condition is replaced even where status and
        // reason stay; only the time of the last change of status is kept.
        let mut forward = condition(now, PROGRESSING, "True", UPDATED, format!("{subject} is progressing."));
        if let Some(present) = find(old, PROGRESSING).filter(|present| present.status == "True") {
            forward.last_transition_time = present.last_transition_time.clone();
        }
        remove(status, PROGRESSING);
        set(status, forward);
    } else if timed_out(now, status, deadline) {
        let message = format!("{subject} has timed out progressing.");
        set(status, condition(now, PROGRESSING, "False", TIMED_OUT, message));
    }
}

/// Whether all pods are new and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Limits::of(deployment).replicas;
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|count| count.unwrap_or_default() == wanted)
        && status.observed_generation >= deployment.metadata.generation
}

fn advanced(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = Option::unwrap_or_default;
    let outdated = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || outdated(new) < outdated(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

fn timed_out(now: Timestamp, status: &DeploymentStatus, deadline: SignedDuration) -> bool {
    let Some(condition) = find(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(NEW_SET_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => condition.last_update_time.as_ref().is_none_or(|last| now.duration_since(last.0) > deadline),
    }
}

/// How long a rollout may stand still; nothing where nobody wants to know.
pub(super) fn deadline(deployment: &Deployment) -> Option<SignedDuration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != i32::MAX).then(|| SignedDuration::from_secs(seconds.into()))
}

/// When a rollout that stands still is to be looked at again.
pub(super) fn look_again(
    now: Timestamp,
    deployment: &Deployment,
    status: &DeploymentStatus,
) -> Option<Duration> {
    let deadline = deadline(deployment)?;
    let condition = find(status, PROGRESSING)?;
    if is_complete(deployment, status) || condition.reason.as_deref() == Some(TIMED_OUT) {
        return None;
    }
    let left = deadline - now.duration_since(condition.last_update_time.as_ref()?.0);
    Some(if left.is_positive() { left.unsigned_abs() + SLACK } else { SLACK })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{available, deployment, set as replica_set};
    use super::*;
    use crate::workloads::testing::at;

    fn reason(status: &DeploymentStatus, kind: &str) -> String {
        let condition = find(status, kind).expect("a condition");
        format!("{} {}", condition.status, condition.reason.clone().unwrap_or_default())
    }

    #[test]
    fn a_rollout_is_told_from_begin_to_end() {
        let mut deployment = deployment(2, "1", "0");
        let mut told = Vec::new();
        for (second, ready) in [(0, 0), (10, 0), (20, 1), (700, 1), (800, 2), (900, 2)] {
            let new = available(replica_set("web-x", 2, "web:1"), 2, ready);
            let status = progress(at(second), &deployment, &[&new], Some(&new));
            told.push(format!("{} | {}", reason(&status, AVAILABLE), reason(&status, PROGRESSING)));
            deployment.status = Some(status);
        }
        assert_eq!(
            told,
            [
                "False MinimumReplicasUnavailable | True ReplicaSetUpdated",
                "False MinimumReplicasUnavailable | True ReplicaSetUpdated",
                "False MinimumReplicasUnavailable | True ReplicaSetUpdated",
                "False MinimumReplicasUnavailable | False ProgressDeadlineExceeded",
                "True MinimumReplicasAvailable | True NewReplicaSetAvailable",
                "True MinimumReplicasAvailable | True NewReplicaSetAvailable",
            ]
        );
        let status = deployment.status.expect("a status");
        let condition = find(&status, PROGRESSING).expect("a condition");
        assert_eq!(condition.message.as_deref(), Some("ReplicaSet \"web-x\" has successfully progressed."));
        assert_eq!(condition.last_update_time, Some(Time(at(800))));
    }

    #[test]
    fn a_standstill_is_looked_at_after_its_deadline() {
        let mut deployment = deployment(2, "1", "0");
        let new = available(replica_set("web-x", 2, "web:1"), 2, 0);
        deployment.status = Some(progress(at(0), &deployment, &[&new], Some(&new)));
        let status = deployment.status.clone().expect("a status");
        assert_eq!(look_again(at(180), &deployment, &status), Some(Duration::from_secs(421)));
        assert_eq!(look_again(at(900), &deployment, &status), Some(SLACK));
    }

    #[test]
    fn failures_of_sets_are_shown() {
        let deployment = deployment(2, "1", "0");
        let mut old = replica_set("old", 1, "web:0");
        old.status = Some(crate::workloads::replicaset::status(at(5), &old, &[], Some(0), Some("quota")));
        let new = available(replica_set("web-x", 2, "web:1"), 2, 0);
        let status = progress(at(9), &deployment, &[&old, &new], Some(&new));
        assert_eq!(reason(&status, REPLICA_FAILURE), "True FailedCreate");
    }
}
