//! Empties namespaces that are being deleted, then lets them go.
//!
//! Watches Namespaces. Deletes everything that discovery finds in them, pods first (KEP-5080), says in the
//! namespace's conditions what is left, and takes the finalizer `kubernetes` out of its `spec`.
//! Owns `status.phase` and the five conditions of [`conditions`].
//!
//! Upstream: `pkg/controller/namespace`.

mod conditions;

use super::discovery::{self, Catalog, Resource};
use crate::context::{Context, Tasks, spawn};
use api::core::v1::{Namespace, Pod};
use api::{Key, Object, pods};
use bytes::Bytes;
use client::{Client, Error, ListOptions, Lister, Patch};
use conditions::{Left, Outcome};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use reconcile::{Clock, Next, Queue, Reconcile};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How many namespaces are emptied side by side, as `--concurrent-namespace-syncs`.
const WORKERS: usize = 10;
/// How many resources of one namespace are emptied side by side.
const RESOURCES_PARALLEL: usize = 8;
/// A namespace stays at least this long after its deletion: by then every API server has heard of it and
/// admits nothing new. Content is deleted from the start.
const GRACE: SignedDuration = SignedDuration::from_secs(5);
/// How long finalizers of content are given before the next look.
const FINALIZERS_ESTIMATE_SECONDS: i64 = 15;
/// How long after a failure content is looked at again.
const FAILURE_AFTER: Duration = Duration::from_secs(5);
/// What we take out of `spec.finalizers`.
const FINALIZER: &str = "kubernetes";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let namespaces = context.informers.get::<Namespace>();
    let added = queue.clone();
    namespaces.subscribe(move |change| {
        if change.object().metadata.deletion_timestamp.is_some() {
            added.add(change.object().key());
        }
    });
    let controller = NamespaceController {
        client: context.client("namespace-controller"),
        namespaces: namespaces.clone(),
        clock: context.clock.clone(),
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, async move { namespaces.synced().await });
}

struct NamespaceController {
    client: Client,
    namespaces: Lister<Namespace>,
    clock: Clock,
}

impl Reconcile for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            if self.namespaces.get_key(&key).is_none() {
                return Ok(Next::Done);
            }
            match self.delete(&key.name).await {
                // Gone under our hands is what we want.
                Err(error) if error.is_not_found() => Ok(Next::Done),
                other => other,
            }
        })
    }
}

impl NamespaceController {
    async fn delete(&self, name: &str) -> reconcile::Result {
        let mut namespace: Namespace = self.client.get("", name).await?;
        let Some(deleted_at) = namespace.metadata.deletion_timestamp.clone() else { return Ok(Next::Done) };
        let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase != Some("Terminating") {
            let patch = json!({"metadata": {"uid": namespace.uid()}, "status": {"phase": "Terminating"}});
            namespace = self.client.patch_subresource("", name, "status", &Patch::Update(patch)).await?;
        }
        if namespace.spec.iter().flat_map(|spec| &spec.finalizers).flatten().next().is_none() {
            return Ok(Next::Done);
        }
        let outcome = self.delete_content(name, deleted_at.0).await;
        let old = namespace.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        if let Some(conditions) = conditions::plan(self.clock.now(), old, &outcome) {
            let patch = json!({
                "metadata": {"uid": namespace.uid(), "resourceVersion": namespace.resource_version()},
                "status": {"conditions": conditions},
            });
            let patched: Result<Namespace, _> =
                self.client.patch_subresource("", name, "status", &Patch::Update(patch)).await;
            if let Err(error) = patched {
                tracing::debug!(namespace = name, %error, "namespace: cannot write conditions");
            }
        }
        if let Some(error) = outcome.error() {
            // The conditions tell it; a retry every so often suffices, and it must never be long.
            tracing::debug!(namespace = name, error, "namespace: some content could not be deleted");
            return Ok(Next::After(FAILURE_AFTER));
        }
        if outcome.estimate_seconds > 0 {
            let half = u64::try_from(outcome.estimate_seconds / 2 + 1).unwrap_or(1);
            return Ok(Next::After(Duration::from_secs(half)));
        }
        let age = self.clock.now().duration_since(deleted_at.0);
        if let Ok(wait) = Duration::try_from(GRACE - age)
            && !wait.is_zero()
        {
            return Ok(Next::After(wait));
        }
        self.finalize(&namespace).await.map(|()| Next::Done)
    }

    async fn delete_content(&self, namespace: &str, deleted_at: Timestamp) -> Outcome {
        let mut outcome = Outcome::default();
        let catalog = match discovery::discover(&self.client).await {
            Ok(catalog) => catalog,
            Err(error) => {
                outcome.discovery = Some(error.to_string());
                Catalog::default()
            }
        };
        if let Some(text) = catalog.failure() {
            outcome.discovery =
                Some(format!("Discovery failed for some groups, {} failing: {text}", catalog.stale.len()));
        }
        let all = catalog.preferred().filter(|resource| resource.namespaced && resource.can("delete"));
        let (pods, others): (Vec<Resource>, Vec<Resource>) = all.cloned().partition(is_pods);
        for resource in &pods {
            outcome.add(resource, self.empty(resource, namespace, deleted_at).await);
        }
        // Whatever pods may still need (secrets, policies) stays until they are gone.
        if !outcome.remaining.is_empty() {
            return outcome;
        }
        let results: Vec<(Resource, Left)> = stream::iter(others)
            .map(|resource| async move {
                let left = self.empty(&resource, namespace, deleted_at).await;
                (resource, left)
            })
            .buffer_unordered(RESOURCES_PARALLEL)
            .collect()
            .await;
        for (resource, left) in results {
            outcome.add(&resource, left);
        }
        outcome
    }

    /// Deletes all objects of a resource in the namespace, and sees what is left.
    async fn empty(&self, resource: &Resource, namespace: &str, deleted_at: Timestamp) -> Left {
        let mut left = Left::default();
        if is_pods(resource) {
            match self.grace_seconds(namespace).await {
                Ok(seconds) if self.clock.now().duration_since(deleted_at).as_secs() < seconds => {
                    left.estimate_seconds = seconds;
                }
                Ok(_) => {}
                Err(error) => return left.failed(&error),
            }
        }
        if let Err(error) = self.delete_all(resource, namespace).await {
            return left.failed(&error);
        }
        if !resource.can("list") {
            return left;
        }
        match discovery::list(&self.client, resource, namespace).await {
            Ok(items) => left.items(resource, namespace, &items, FINALIZERS_ESTIMATE_SECONDS),
            Err(error) if is_unsupported(&error) => left,
            Err(error) => left.failed(&error),
        }
    }

    async fn delete_all(&self, resource: &Resource, namespace: &str) -> Result<(), Error> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        let body = Bytes::from(options.to_string());
        if resource.can("deletecollection") {
            let path = resource.path(namespace, "");
            match self.client.raw(Method::DELETE, &path, Some(("application/json", body))).await {
                Err(error) if is_unsupported(&error) => {}
                other => return other.map(drop),
            }
        }
        if !resource.can("list") {
            return Ok(());
        }
        for item in discovery::list(&self.client, resource, namespace).await? {
            let deleted =
                discovery::delete(&self.client, resource, namespace, &item.name, "Background", ("", ""));
            match deleted.await {
                Err(error) if !is_unsupported(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The longest grace period of the namespace's pods.
    async fn grace_seconds(&self, namespace: &str) -> Result<i64, Error> {
        let list = self.client.list::<Pod>(namespace, &ListOptions::default()).await?;
        let running = list.items.iter().filter(|pod| !pods::is_terminal(pod));
        let grace = running.filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds);
        Ok(grace.max().unwrap_or_default().max(0))
    }

    async fn finalize(&self, namespace: &Namespace) -> Result<(), Error> {
        // Only by PUT: the subresource takes the whole object and looks at `spec.finalizers` alone.
        let path = format!("/api/v1/namespaces/{}", namespace.name());
        let answer = self.client.raw(Method::GET, &path, None).await?;
        let mut tree: serde_json::Value =
            serde_json::from_slice(&answer).map_err(|e| Error::Decode(e.to_string()))?;
        if tree["metadata"]["uid"] != namespace.uid() {
            return Ok(());
        }
        if let Some(finalizers) = tree["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        self.client.put_subresource::<Namespace>("", namespace.name(), "finalize", &tree).await.map(drop)
    }
}

fn is_pods(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "pods"
}

fn is_unsupported(error: &Error) -> bool {
    error.is_not_found() || error.code() == Some(405)
}
