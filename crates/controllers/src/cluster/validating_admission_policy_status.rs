//! Tells which expressions of a ValidatingAdmissionPolicy do not fit the types of what they are about.
//!
//! Watches ValidatingAdmissionPolicies; owns their `status.observedGeneration` and `status.typeChecking` (KEP-3488).
//! A policy is looked at once for each generation, with the schemas that are served then. What is told changes nothing
//! of what the policy does. Upstream: `pkg/controller/validatingadmissionpolicystatus`.

mod check;
mod matched;
mod schema;

use self::check::Check;
use self::matched::Kind;
use super::discovery::{self, Catalog};
use crate::context::{Context, Tasks, spawn};
use api::admissionregistration::v1::{ExpressionWarning, ValidatingAdmissionPolicy};
use api::{Key, Object, Resource};
use bytes::Bytes;
use client::{Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use http::Method;
use reconcile::{Next, Queue, Reconcile};
use serde_json::{Value, json};
use std::sync::Arc;

const WORKERS: usize = 5;
const ACCOUNT: &str = "validatingadmissionpolicy-status-controller";
const MANAGER: &str = "validatingadmissionpolicy-status";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let policies = context.informers.get::<ValidatingAdmissionPolicy>();
    let changed = queue.clone();
    policies.subscribe(move |change| changed.add(change.object().key()));
    let controller = PolicyStatus { client: context.client(ACCOUNT), policies: policies.clone() };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, async move { policies.synced().await });
}

struct PolicyStatus {
    client: Client,
    policies: Lister<ValidatingAdmissionPolicy>,
}

impl Reconcile for PolicyStatus {
    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(policy) = self.policies.get_key(&key) else { return Ok(Next::Done) };
            if is_observed(&policy) {
                return Ok(Next::Done);
            }
            let generation = policy.metadata.generation.unwrap_or_default();
            let object = status(&key.name, generation, &self.check(policy).await?);
            let apply = Patch::Apply { manager: MANAGER.into(), force: true, object };
            let kept =
                self.client.patch_subresource::<ValidatingAdmissionPolicy>("", &key.name, "status", &apply);
            kept.await?;
            Ok(Next::Done)
        })
    }
}

fn is_observed(policy: &ValidatingAdmissionPolicy) -> bool {
    let observed = policy.status.as_ref().and_then(|status| status.observed_generation);
    policy.metadata.generation.unwrap_or_default() <= observed.unwrap_or_default()
}

/// What is applied. `typeChecking` is there without warnings, too: it tells that the check is done.
fn status(name: &str, generation: i64, warnings: &[ExpressionWarning]) -> Value {
    let mut checking = json!({});
    if !warnings.is_empty() {
        checking["expressionWarnings"] = json!(warnings);
    }
    json!({
        "apiVersion": ValidatingAdmissionPolicy::API_VERSION, "kind": ValidatingAdmissionPolicy::KIND,
        "metadata": {"name": name},
        "status": {"observedGeneration": generation, "typeChecking": checking},
    })
}

impl PolicyStatus {
    async fn check(&self, policy: Arc<ValidatingAdmissionPolicy>) -> Result<Vec<ExpressionWarning>, Error> {
        let catalog = match matched::rules(&policy) {
            [] => Catalog::default(),
            _ => discovery::discover(&self.client).await?,
        };
        let kinds = matched::kinds(matched::rules(&policy), &catalog);
        let params = matched::params(&policy);
        let mut check = Check::new(policy);
        if kinds.is_empty() {
            return Ok(check.warnings());
        }
        if let Some(kind) = params {
            let document = self.document(&kind).await;
            check = apart(check, move |check| check.set_params(&kind, document.as_deref())).await?;
        }
        // A document has all kinds of a group's version.
        for kinds in kinds.chunk_by(|a, b| (&a.group, &a.version) == (&b.group, &b.version)) {
            let Some(document) = self.document(&kinds[0]).await else { continue };
            let kinds = kinds.to_vec();
            check = apart(check, move |check| check.add(&kinds, &document)).await?;
        }
        Ok(check.warnings())
    }

    /// What the API server's OpenAPI has about a kind. A kind without is not checked, as upstream.
    async fn document(&self, kind: &Kind) -> Option<Bytes> {
        let answer = self.client.raw(Method::GET, &kind.document_path(), None).await;
        answer.inspect_err(|error| tracing::debug!(%kind, %error, "a policy's types have no schema")).ok()
    }
}

/// Reading a document of a megabyte and checking many expressions take long; other controllers do not wait for it.
async fn apart(mut check: Check, work: impl FnOnce(&mut Check) + Send + 'static) -> Result<Check, Error> {
    let done = tokio::task::spawn_blocking(move || {
        work(&mut check);
        check
    });
    done.await.map_err(|error| Error::Other(format!("cannot check the types of a policy: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied() {
        let warning =
            ExpressionWarning { field_ref: "spec.validations[0].expression".into(), warning: "w".into() };
        let cases = [
            (vec![], json!({})),
            (
                vec![warning],
                json!({"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning": "w"}]}),
            ),
        ];
        for (warnings, checking) in cases {
            let expected = json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": "p"}, "status": {"observedGeneration": 3, "typeChecking": checking},
            });
            assert_eq!(status("p", 3, &warnings), expected);
        }
    }

    #[test]
    fn each_generation_is_looked_at_once() {
        for (generation, status, expected) in [
            (1, json!(null), false),
            (1, json!({"typeChecking": {}}), false),
            (2, json!({"observedGeneration": 1}), false),
            (2, json!({"observedGeneration": 2}), true),
            (2, json!({"observedGeneration": 3}), true),
        ] {
            let policy = json!({"metadata": {"generation": generation}, "status": status});
            let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy).expect("a policy");
            assert_eq!(is_observed(&policy), expected, "{policy:?}");
        }
    }
}
