//! What a PodDisruptionBudget's status says. Mirrors `trySync` and `updatePdbStatus` of
//! `pkg/controller/disruption/disruption.go`.

use crate::workloads::amounts::{Round, scaled};
use api::core::v1::Pod;
use api::meta::v1::{Condition, Time};
use api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use api::{IntOrString, Object, pods};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long an evicted pod may take to be seen as being deleted; after that it is believed to stay.
pub(super) const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";

/// What a budget counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The pods that are there.
    Pods,
    /// The pods that their controllers want.
    Scales,
}

/// By what the budget counts: a number of pods to keep needs nobody's word on how many there should be.
pub(super) fn basis(budget: &PodDisruptionBudget) -> Basis {
    let spec = budget.spec.as_ref();
    let kept = spec.and_then(|spec| spec.min_available.as_ref());
    let missing = spec.and_then(|spec| spec.max_unavailable.as_ref());
    match (missing, kept) {
        (None, Some(IntOrString::Int(_)) | None) => Basis::Pods,
        _ => Basis::Scales,
    }
}

/// What is decided.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) status: PodDisruptionBudgetStatus,
    /// Pods that were evicted and are there still.
    pub(super) not_deleted: Vec<Arc<Pod>>,
    /// When to look again although nothing happened.
    pub(super) again: Option<Duration>,
}

/// Decides. `expected` is how many pods there should be.
pub(super) fn plan(
    now: Timestamp,
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    expected: i32,
) -> Result<Plan, String> {
    let desired = desired(budget, expected)?;
    let (disrupted, not_deleted, again) = disrupted(now, budget, pods);
    let healthy = pods.iter().filter(|pod| {
        !pods::is_terminating(pod) && !disrupted.contains_key(pod.name()) && pods::is_ready(pod)
    });
    let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(disrupted).filter(|pods| !pods.is_empty()),
        observed_generation: budget.metadata.generation,
        conditions: budget.status.as_ref().and_then(|status| status.conditions.clone()),
    };
    if allowed > 0 {
        set(now, &mut status, "True", "SufficientPods", String::new());
    } else {
        set(now, &mut status, "False", "InsufficientPods", String::new());
    }
    Ok(Plan { status, not_deleted, again })
}

/// How many pods have to be healthy.
fn desired(budget: &PodDisruptionBudget, expected: i32) -> Result<i32, String> {
    let spec = budget.spec.clone().unwrap_or_default();
    let resolve = |amount: &IntOrString| {
        scaled(amount, expected, Round::Up).ok_or_else(|| {
            let IntOrString::String(text) = amount else { return "invalid value for IntOrString".to_owned() };
            format!("invalid value for IntOrString: invalid type: string is not a percentage: {text}")
        })
    };
    Ok(match (&spec.max_unavailable, &spec.min_available) {
        (Some(missing), _) => (expected - resolve(missing)?).max(0),
        (None, Some(kept)) => resolve(kept)?,
        (None, None) => 0,
    })
}

/// The pods that were evicted and have yet to be seen going, those that should have gone, and when to look again.
fn disrupted(
    now: Timestamp,
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
) -> (BTreeMap<String, Time>, Vec<Arc<Pod>>, Option<Duration>) {
    let known = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let (mut waiting, mut stayed, mut again) = (BTreeMap::new(), Vec::new(), None);
    for pod in pods.iter().filter(|pod| !pods::is_terminating(pod)) {
        let Some(since) = known.get(pod.name()) else { continue };
        let left = DELETION_TIMEOUT - now.duration_since(since.0);
        if left.is_negative() {
            stayed.push(pod.clone());
            continue;
        }
        let left = left.unsigned_abs();
        again = Some(again.map_or(left, |soonest: Duration| soonest.min(left)));
        waiting.insert(pod.name().to_owned(), since.clone());
    }
    (waiting, stayed, again)
}

/// The status when it cannot be known: nothing may be disrupted.
pub(super) fn fail_safe(
    now: Timestamp,
    budget: &PodDisruptionBudget,
    why: String,
) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    status.disruptions_allowed = Some(0);
    set(now, &mut status, "False", "SyncFailed", why);
    status
}

fn set(now: Timestamp, status: &mut PodDisruptionBudgetStatus, value: &str, reason: &str, message: String) {
    let generation = status.observed_generation;
    let conditions = status.conditions.get_or_insert_default();
    let present = conditions.iter().position(|condition| condition.type_ == DISRUPTION_ALLOWED);
    let condition = Condition {
        type_: DISRUPTION_ALLOWED.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: match present.map(|place| &conditions[place]) {
            Some(condition) if condition.status == value => condition.last_transition_time.clone(),
            _ => Time(now),
        },
    };
    match present {
        Some(place) => conditions[place] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::{at, meta, pod};
    use serde_json::{Value, json};

    fn budget(spec: Value) -> PodDisruptionBudget {
        PodDisruptionBudget { metadata: meta("pdb"), spec: serde_json::from_value(spec).ok(), status: None }
    }

    fn ready(count: usize) -> Vec<Arc<Pod>> {
        (0..count).map(|number| pod(&format!("p{number}")).ready(at(1)).build()).collect()
    }

    #[test]
    fn budgets() {
        for (spec, healthy, expected, desired, allowed) in [
            (json!({ "minAvailable": 2 }), 3, 3, 2, 1),
            (json!({ "minAvailable": 2 }), 1, 3, 2, 0),
            (json!({ "minAvailable": 0 }), 0, 0, 0, 0),
            (json!({ "minAvailable": "50%" }), 5, 5, 3, 2),
            (json!({ "maxUnavailable": 1 }), 3, 3, 2, 1),
            (json!({ "maxUnavailable": 1 }), 2, 3, 2, 0),
            (json!({ "maxUnavailable": "30%" }), 10, 10, 7, 3),
            (json!({ "maxUnavailable": 9 }), 3, 3, 0, 3),
            (json!({}), 3, 3, 0, 3),
        ] {
            let plan = plan(at(9), &budget(spec.clone()), &ready(healthy), expected).expect("a plan");
            let status = plan.status;
            assert_eq!(
                (status.desired_healthy, status.disruptions_allowed),
                (Some(desired), Some(allowed)),
                "{spec}"
            );
            let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
            assert_eq!(status.conditions.expect("conditions")[0].reason, reason, "{spec}");
        }
        assert!(plan(at(9), &budget(json!({ "minAvailable": "x" })), &[], 3).is_err());
    }

    #[test]
    fn what_a_budget_counts_by() {
        for (spec, expected) in [
            (json!({ "minAvailable": 2 }), Basis::Pods),
            (json!({ "minAvailable": "2%" }), Basis::Scales),
            (json!({ "maxUnavailable": 2 }), Basis::Scales),
        ] {
            assert_eq!(basis(&budget(spec)), expected);
        }
    }

    #[test]
    fn evicted_pods_do_not_count_until_they_are_believed_to_stay() {
        let mut budget = budget(json!({ "minAvailable": 1 }));
        let evicted = json!({ "disruptedPods": { "p0": Time(at(100)), "gone": Time(at(100)) },
            "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, "disruptionsAllowed": 0 });
        budget.status = serde_json::from_value(evicted).ok();
        let soon = plan(at(130), &budget, &ready(3), 3).expect("a plan");
        assert_eq!((soon.status.current_healthy, soon.again), (Some(2), Some(Duration::from_secs(90))));
        assert_eq!(soon.status.disrupted_pods.expect("pods").into_keys().collect::<Vec<_>>(), ["p0"]);
        let late = plan(at(300), &budget, &ready(3), 3).expect("a plan");
        assert_eq!((late.status.current_healthy, late.not_deleted.len()), (Some(3), 1));
        assert_eq!(late.status.disrupted_pods, None);
    }

    #[test]
    fn a_condition_keeps_its_time_while_it_holds() {
        let mut budget = budget(json!({ "minAvailable": 1 }));
        budget.status = Some(plan(at(5), &budget, &ready(3), 3).expect("a plan").status);
        let later = plan(at(9), &budget, &ready(3), 3).expect("a plan").status;
        assert_eq!(later.conditions.expect("conditions")[0].last_transition_time, Time(at(5)));
        let failed = fail_safe(at(11), &budget, "no scale".into());
        let condition = &failed.conditions.expect("conditions")[0];
        assert_eq!(
            (condition.reason.as_str(), condition.last_transition_time.clone()),
            ("SyncFailed", Time(at(11)))
        );
        assert_eq!(failed.disruptions_allowed, Some(0));
    }
}
