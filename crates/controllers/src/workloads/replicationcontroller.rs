//! ReplicationControllers: ReplicaSets of the first days. Mirrors `pkg/controller/replication`; `replicas.rs`
//! carries out.

use super::control;
use super::replicas::Replicated;
use api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use api::core::v1::ReplicationController;
use api::meta::v1::LabelSelector;
use api::owners;
use client::Lister;
use std::sync::Arc;

impl Replicated for ReplicationController {
    const ACCOUNT: &'static str = "replication-controller";
    const COUNTS_TERMINATING: bool = false;

    fn view(&self) -> ReplicaSet {
        let spec = self.spec.clone().unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let conditions = status.conditions.map(|all| {
            let convert = |one: api::core::v1::ReplicationControllerCondition| ReplicaSetCondition {
                type_: one.type_,
                status: one.status,
                reason: one.reason,
                message: one.message,
                last_transition_time: one.last_transition_time,
            };
            all.into_iter().map(convert).collect()
        });
        ReplicaSet {
            metadata: self.metadata.clone(),
            spec: Some(ReplicaSetSpec {
                replicas: spec.replicas,
                min_ready_seconds: spec.min_ready_seconds,
                selector: LabelSelector { match_labels: spec.selector, match_expressions: None },
                template: spec.template,
            }),
            status: Some(ReplicaSetStatus {
                replicas: status.replicas,
                fully_labeled_replicas: status.fully_labeled_replicas,
                ready_replicas: status.ready_replicas,
                available_replicas: status.available_replicas,
                observed_generation: status.observed_generation,
                terminating_replicas: None,
                conditions,
            }),
        }
    }

    fn selector(&self) -> Option<LabelSelector> {
        let labels = self.spec.as_ref()?.selector.clone()?;
        Some(LabelSelector { match_labels: Some(labels), match_expressions: None })
    }

    fn siblings(lister: &Lister<Self>, set: &Self) -> Vec<Arc<Self>> {
        let owner = owners::controller_of(&set.metadata).map_or("", |reference| reference.uid.as_str());
        control::owned(lister, owner)
    }
}
