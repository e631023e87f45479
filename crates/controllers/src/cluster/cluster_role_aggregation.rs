//! Gives ClusterRoles that aggregate others the rules of those.
//!
//! Watches ClusterRoles; owns `rules` of those with an `aggregationRule`.
//! Upstream: `pkg/controller/clusterroleaggregation`.

use crate::context::{Context, Tasks, spawn};
use api::rbac::v1::{ClusterRole, PolicyRule};
use api::{Key, Object, Resource, Selector};
use client::{Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use reconcile::{Next, Queue, Reconcile};
use serde_json::json;
use std::sync::Arc;

const WORKERS: usize = 5;
const MANAGER: &str = "clusterrole-aggregation-controller";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let roles = context.informers.get::<ClusterRole>();
    let (changed, all) = (queue.clone(), roles.clone());
    roles.subscribe(move |_| {
        // Any role may be part of any other that aggregates.
        let aggregating = all.list().into_iter().filter(|role| role.aggregation_rule.is_some());
        aggregating.for_each(|role| changed.add(role.key()));
    });
    let controller = ClusterRoleAggregation {
        client: context.client("clusterrole-aggregation-controller"),
        roles: roles.clone(),
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, async move { roles.synced().await });
}

struct ClusterRoleAggregation {
    client: Client,
    roles: Lister<ClusterRole>,
}

impl Reconcile for ClusterRoleAggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(role) = self.roles.get_key(&key) else { return Ok(Next::Done) };
            let Some(rules) = plan(&role, &self.roles.list())? else { return Ok(Next::Done) };
            let object = json!({
                "apiVersion": ClusterRole::API_VERSION, "kind": "ClusterRole",
                "metadata": {"name": key.name}, "rules": rules,
            });
            let apply = Patch::Apply { manager: MANAGER.into(), force: true, object };
            self.client.patch::<ClusterRole>("", &key.name, &apply).await?;
            Ok(Next::Done)
        })
    }
}

/// The rules that the role is to have; nothing if it has them, or aggregates nothing.
fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Result<Option<Vec<PolicyRule>>, Error> {
    let Some(aggregation) = &role.aggregation_rule else { return Ok(None) };
    let mut rules: Vec<PolicyRule> = Vec::new();
    // Caches list in order of names.
    for selector in aggregation.cluster_role_selectors.iter().flatten() {
        let selector = Selector::try_from(selector)
            .map_err(|error| Error::Other(format!("the aggregation rule of {}: {error}", role.name())))?;
        let parts = all.iter().filter(|part| part.name() != role.name());
        for part in parts.filter(|part| selector.matches(part.metadata.labels.as_ref())) {
            for rule in part.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Ok((rules != role.rules.as_deref().unwrap_or_default()).then_some(rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_gathered_once_each() {
        let role = |name: &str, labels: serde_json::Value, verbs: &[&str]| -> Arc<ClusterRole> {
            let rules: Vec<_> =
                verbs.iter().map(|verb| json!({"verbs": [verb], "resources": ["pods"]})).collect();
            let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules});
            Arc::new(serde_json::from_value(role).expect("a role"))
        };
        let mut sum: ClusterRole = serde_json::from_value(json!({
            "metadata": {"name": "sum", "labels": {"to": "sum"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "sum"}}, {"matchLabels": {"x": "y"}}]},
        }))
        .expect("a role");
        let all = [
            role("a", json!({"to": "sum"}), &["get", "list"]),
            role("b", json!({"to": "sum", "x": "y"}), &["list", "watch"]),
            role("c", json!({"to": "other"}), &["delete"]),
            role("sum", json!({"to": "sum"}), &["create"]),
        ];
        let rules = plan(&sum, &all).expect("selectors").expect("rules");
        let verbs: Vec<&str> = rules.iter().map(|rule| rule.verbs[0].as_str()).collect();
        assert_eq!(verbs, ["get", "list", "watch"]);
        sum.rules = Some(rules);
        assert_eq!(plan(&sum, &all).expect("selectors"), None);
        assert_eq!(plan(&all[0], &all).expect("none"), None);
    }
}
