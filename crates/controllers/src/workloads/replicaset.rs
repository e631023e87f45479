//! ReplicaSets: as many pods of a template as wanted. Mirrors `pkg/controller/replicaset`.
//!
//! Watches ReplicaSets and pods; owns the pods whose controller a ReplicaSet is, and the ReplicaSet's status.
//! `plan` decides; `replicas.rs` carries out, for ReplicationControllers too.

use super::claim::{Claim, claim};
use super::pods;
use api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use api::core::v1::Pod;
use api::meta::v1::Time;
use api::{Selector, owners};
use jiff::Timestamp;
use std::sync::Arc;

/// The most pods made or deleted in one go; then others have their turn. As upstream's `BurstReplicas`.
pub(crate) const BURST_PODS_MAX: usize = 500;

/// The condition that tells of pods that could not be made or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// What a ReplicaSet does about the pods of its namespace.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Nobody's pods that it takes.
    pub(crate) adopt: Vec<Arc<Pod>>,
    /// Its pods that its selector no longer meets.
    pub(crate) release: Vec<Arc<Pod>>,
    /// Its pods, with those to adopt, that run or may yet run.
    pub(crate) active: Vec<Arc<Pod>>,
    /// Its pods that are being deleted and run still.
    pub(crate) terminating: Vec<Arc<Pod>>,
    /// Pods to make.
    pub(crate) create: usize,
    /// Pods to delete.
    pub(crate) delete: Vec<Arc<Pod>>,
}

/// Decides. `pods` are those that it controls and those that nobody does; `related` those of all ReplicaSets of
/// the same owner.
pub(crate) fn plan(now: Timestamp, set: &ReplicaSet, pods: &[Arc<Pod>], related: &[Arc<Pod>]) -> Plan {
    let mut plan = Plan::default();
    // The API server lets no invalid selector pass; what cannot be read selects nothing.
    let Ok(selector) = Selector::try_from(&set.spec_or_default().selector) else { return plan };
    for pod in pods {
        let selected = selector.matches(pod.metadata.labels.as_ref());
        if api::pods::is_active(pod) {
            match claim(&set.metadata, &pod.metadata, selected) {
                Claim::Own => plan.active.push(pod.clone()),
                Claim::Adopt => {
                    plan.adopt.push(pod.clone());
                    plan.active.push(pod.clone());
                }
                Claim::Release => plan.release.push(pod.clone()),
                Claim::Ignore => {}
            }
        } else if pods::is_terminating(pod) && selected && owners::is_controlled_by(&pod.metadata, set) {
            plan.terminating.push(pod.clone());
        }
    }
    if set.metadata.deletion_timestamp.is_none() {
        let wanted = wanted(set);
        plan.create = wanted.saturating_sub(plan.active.len()).min(BURST_PODS_MAX);
        let surplus = plan.active.len().saturating_sub(wanted).min(BURST_PODS_MAX);
        if surplus > 0 {
            plan.delete = pods::to_delete(now, plan.active.clone(), related, surplus);
        }
    }
    plan
}

fn wanted(set: &ReplicaSet) -> usize {
    usize::try_from(replicas(set)).unwrap_or_default()
}

/// The pods wanted.
pub(crate) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// The seconds of readiness after which a pod counts as available.
pub(crate) fn min_ready_seconds(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
}

/// The status after a plan was carried out, with the `failure` that it met. `terminating` is absent where the
/// kind does not count them.
pub(crate) fn status(
    now: Timestamp,
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: Option<usize>,
    failure: Option<&str>,
) -> ReplicaSetStatus {
    let spec = set.spec_or_default();
    let template = spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let labels = Selector::from_map(&template.and_then(|meta| meta.labels.clone()).unwrap_or_default());
    let count = |test: &dyn Fn(&Pod) -> bool| nonzero(active.iter().filter(|pod| test(pod)).count());
    let old = set.status.clone().unwrap_or_default();
    ReplicaSetStatus {
        replicas: i32::try_from(active.len()).unwrap_or(i32::MAX),
        fully_labeled_replicas: count(&|pod| labels.matches(pod.metadata.labels.as_ref())),
        ready_replicas: count(&api::pods::is_ready),
        available_replicas: count(&|pod| api::pods::is_available(pod, min_ready_seconds(set), now)),
        terminating_replicas: terminating.map(|count| i32::try_from(count).unwrap_or(i32::MAX)),
        observed_generation: set.metadata.generation,
        conditions: conditions(now, set, old.conditions, active.len(), failure),
    }
}

/// A condition that is there already keeps its text and time, as upstream's does.
fn conditions(
    now: Timestamp,
    set: &ReplicaSet,
    old: Option<Vec<ReplicaSetCondition>>,
    active: usize,
    failure: Option<&str>,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    let failed_before = conditions.iter().any(|condition| condition.type_ == REPLICA_FAILURE);
    match failure {
        None => conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
        Some(message) if !failed_before => conditions.push(ReplicaSetCondition {
            type_: REPLICA_FAILURE.into(),
            status: "True".into(),
            reason: Some(if active < wanted(set) { "FailedCreate" } else { "FailedDelete" }.into()),
            message: Some(message.into()),
            last_transition_time: Some(Time(now)),
        }),
        Some(_) => {}
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// Fields of a status that Go leaves out when they are 0.
pub(crate) fn nonzero(count: usize) -> Option<i32> {
    (count > 0).then(|| i32::try_from(count).unwrap_or(i32::MAX))
}

/// What the spec says, for objects that have one by validation.
trait SpecOrDefault {
    fn spec_or_default(&self) -> std::borrow::Cow<'_, api::apps::v1::ReplicaSetSpec>;
}

impl SpecOrDefault for ReplicaSet {
    fn spec_or_default(&self) -> std::borrow::Cow<'_, api::apps::v1::ReplicaSetSpec> {
        self.spec.as_ref().map_or_else(Default::default, std::borrow::Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dice, PodBuilder, at, meta, pod, selector, template};
    use super::*;
    use api::Object;
    use api::apps::v1::ReplicaSetSpec;

    fn set(replicas: i32) -> ReplicaSet {
        ReplicaSet {
            metadata: meta("web"),
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                selector: selector("app=web"),
                template: Some(template("app=web", "web:1")),
                ..Default::default()
            }),
            status: None,
        }
    }

    fn mine(name: &str) -> PodBuilder {
        pod(name).labels("app=web").owned_by(&set(0))
    }

    #[test]
    fn plans() {
        let other = ReplicaSet { metadata: meta("other"), ..set(0) };
        let pods = [
            mine("running").node("a").ready(at(0)).build(),
            mine("new").build(),
            mine("failed").phase("Failed").build(),
            mine("going").terminating(at(1)).build(),
            mine("strayed").labels("app=db").build(),
            pod("orphan").labels("app=web").build(),
            pod("unrelated").labels("app=db").build(),
            pod("others").labels("app=web").owned_by(&other).build(),
        ];
        for (replicas, create, delete) in
            [(3, 0, &[][..]), (5, 2, &[]), (1, 0, &["new", "orphan"]), (0, 0, &["running", "new", "orphan"])]
        {
            let plan = plan(at(10), &set(replicas), &pods, &[]);
            let names = |pods: &[Arc<Pod>]| pods.iter().map(|pod| pod.name().to_owned()).collect::<Vec<_>>();
            assert_eq!(names(&plan.active), ["running", "new", "orphan"]);
            assert_eq!(names(&plan.adopt), ["orphan"]);
            assert_eq!(names(&plan.release), ["strayed"]);
            assert_eq!(names(&plan.terminating), ["going"]);
            assert_eq!(
                (plan.create, names(&plan.delete)),
                (create, delete.iter().map(|&n| n.into()).collect())
            );
        }
    }

    #[test]
    fn a_set_that_is_deleted_does_nothing() {
        let mut set = set(3);
        set.metadata.deletion_timestamp = Some(Time(at(5)));
        let plan = plan(at(10), &set, &[mine("a").build(), pod("b").labels("app=web").build()], &[]);
        assert_eq!((plan.active.len(), plan.adopt.len(), plan.create, plan.delete.len()), (1, 0, 0, 0));
    }

    #[test]
    fn bursts_are_bounded() {
        assert_eq!(plan(at(0), &set(2_000), &[], &[]).create, BURST_PODS_MAX);
    }

    #[test]
    fn statuses() {
        let mut set = set(3);
        let pods = [mine("a").ready(at(0)).build(), mine("b").ready(at(95)).build(), mine("c").build()];
        if let Some(spec) = &mut set.spec {
            spec.min_ready_seconds = Some(10);
        }
        let status = status(at(100), &set, &pods, Some(0), Some("no room"));
        assert_eq!(status.replicas, 3);
        assert_eq!(status.fully_labeled_replicas, Some(3));
        assert_eq!((status.ready_replicas, status.available_replicas), (Some(2), Some(1)));
        assert_eq!((status.terminating_replicas, status.observed_generation), (Some(0), Some(1)));
        let condition = &status.conditions.expect("a condition")[0];
        assert_eq!((condition.type_.as_str(), condition.status.as_str()), ("ReplicaFailure", "True"));
        assert_eq!(condition.message.as_deref(), Some("no room"));
    }

    #[test]
    fn a_failure_that_is_over_is_gone() {
        let mut set = set(1);
        set.status = Some(status(at(1), &set, &[], Some(0), Some("no room")));
        assert_eq!(status(at(2), &set, &[], Some(0), None).conditions, None);
    }

    /// Pods start, fail and vanish; whatever happens, there are never more active pods than wanted after a
    /// plan was carried out, and in peace there are exactly as many.
    #[test]
    fn it_converges() {
        for seed in 0..50 {
            let mut dice = Dice::new(seed);
            let mut pods: Vec<Arc<Pod>> = Vec::new();
            let mut born = 0;
            for step in 0..60 {
                let set = set(i32::try_from(dice.below(8)).expect("small"));
                let peace = step > 50;
                if !peace && !pods.is_empty() {
                    let place = dice.below(pods.len());
                    let builder = |pod: &Arc<Pod>| mine(pod.name()).node("a");
                    match dice.below(5) {
                        0 => drop(pods.remove(place)),
                        1 => pods[place] = builder(&pods[place]).phase("Failed").build(),
                        2 => pods[place] = builder(&pods[place]).terminating(at(step)).build(),
                        3 => pods[place] = pod(pods[place].name()).labels("app=web").build(),
                        _ => pods[place] = builder(&pods[place]).ready(at(step)).build(),
                    }
                }
                let plan = plan(at(step), &set, &pods, &[]);
                assert!(plan.create == 0 || plan.delete.is_empty(), "seed {seed}: both ways at once");
                pods.retain(|pod| !plan.delete.iter().any(|gone| gone.name() == pod.name()));
                for slot in &mut pods {
                    if plan.adopt.iter().any(|taken| taken.name() == slot.name()) {
                        *slot = mine(slot.name()).build();
                    }
                }
                for _ in 0..plan.create {
                    born += 1;
                    pods.push(mine(&format!("p{born}")).build());
                }
                let active = pods.iter().filter(|pod| api::pods::is_active(pod)).count();
                assert_eq!(active, wanted(&set), "seed {seed} step {step}");
            }
        }
    }
}
