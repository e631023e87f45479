//! Keeps the EndpointSlices of Services that select pods.
//!
//! Watches Services, Pods, Nodes and EndpointSlices; owns the slices that are labelled
//! `endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io`. What is to change is decided in
//! [`plan`], with as few writes as can be.
//!
//! Upstream: `pkg/controller/endpointslice`, `k8s.io/endpointslice`.

mod hints;
mod plan;
#[cfg(test)]
mod tests;

use super::service_pods;
use crate::context::{Context, Tasks, spawn};
use crate::workloads::patch;
use crate::workloads::written::Written;
use api::core::v1::{Node, Pod, Service};
use api::discovery::v1::EndpointSlice;
use api::meta::v1::DeleteOptions;
use api::{Key, Object};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use plan::{Plan, World, plan};
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder};
use std::sync::Arc;

/// How many Services are looked at side by side, as `--concurrent-service-endpoint-syncs`.
const WORKERS: usize = 5;
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let services = context.informers.get::<Service>();
    let pods = context.informers.get::<Pod>();
    let nodes = context.informers.get::<Node>();
    let slices = context.informers.get::<EndpointSlice>();
    slices
        .add_index(SERVICE_NAME, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    let changed = queue.clone();
    services.subscribe(move |change| changed.add(change.object().key()));
    let (changed, all) = (queue.clone(), services.clone());
    pods.subscribe(move |change| service_pods::enqueue(&all, change, &changed));
    let changed = queue.clone();
    slices.subscribe(move |change| {
        let (old, new) = match change {
            Change::Updated(old, new) => (Some(old), new),
            Change::Added(slice) | Change::Deleted(slice) => (None, slice),
        };
        let concerned = old.into_iter().chain([new]).filter(|slice| is_ours(slice));
        concerned.filter_map(|slice| service_of(slice)).for_each(|key| changed.add(key));
    });
    let controller = EndpointSliceController {
        client: context.client("endpointslice-controller"),
        recorder: context.recorder("endpointslice-controller", "endpoint-slice-controller"),
        clock: context.clock.clone(),
        services: services.clone(),
        pods: pods.clone(),
        nodes: nodes.clone(),
        slices: Written::new(slices.clone()),
    };
    let synced = async move {
        services.synced().await;
        pods.synced().await;
        nodes.synced().await;
        slices.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn label<'a>(slice: &'a EndpointSlice, name: &str) -> Option<&'a str> {
    slice.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

fn is_ours(slice: &EndpointSlice) -> bool {
    label(slice, MANAGED_BY) == Some(MANAGER)
}

pub(super) fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = label(slice, SERVICE_NAME).filter(|name| !name.is_empty())?;
    Some(Key::new(slice.namespace(), name))
}

struct EndpointSliceController {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    services: Lister<Service>,
    pods: Lister<Pod>,
    nodes: Lister<Node>,
    slices: Written<EndpointSlice>,
}

impl Reconcile for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(service) = self.services.get_key(&key) else {
                // Its slices have it as their owner and go with it.
                self.slices.forget(&key);
                return Ok(Next::Done);
            };
            let external = service.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("ExternalName");
            if external || service_pods::selector(&service).is_none() {
                return Ok(Next::Done);
            }
            let mut slices = self.slices.see(&key, |lister| lister.by_index(SERVICE_NAME, &key.to_string()));
            slices.retain(|slice| slice.metadata.deletion_timestamp.is_none() && is_ours(slice));
            let pods = service_pods::behind(&self.pods, &service);
            let node = |name: &str| self.nodes.get("", name);
            let plan = plan(&World { service: &service, pods: &pods, slices: &slices, node: &node });
            let unplaced = plan.unplaced.clone();
            if let Err(error) = self.execute(&key, &service, plan).await {
                let message = format!("Error updating Endpoint Slices for Service {key}: {error}");
                if !error.is_conflict() {
                    let about = api::reference(&*service);
                    self.recorder.event(&about, EventKind::Warning, "FailedToUpdateEndpointSlices", message);
                }
                return Err(error);
            }
            match unplaced.first() {
                None => Ok(Next::Done),
                Some((pod, node)) => {
                    Err(Error::Other(format!("skipping Pod {pod} for Service {key}: Node {node} Not Found")))
                }
            }
        })
    }
}

impl EndpointSliceController {
    async fn execute(&self, key: &Key, service: &Service, plan: Plan) -> Result<(), Error> {
        if service.metadata.deletion_timestamp.is_none() {
            for slice in plan.create {
                match self.client.create(&slice).await {
                    Ok(slice) => drop(self.slices.stored(key, slice)),
                    Err(error) if error.is_namespace_terminating() => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        }
        for (old, new) in plan.update {
            let Some(change) = patch::update(&*old, &new) else { continue };
            let patch = Patch::Update(change);
            let slice = self.client.patch::<EndpointSlice>(&key.namespace, old.name(), &patch).await?;
            self.slices.stored(key, slice);
        }
        for slice in plan.delete {
            let options = DeleteOptions::default();
            match self.client.delete::<EndpointSlice>(&key.namespace, slice.name(), &options).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => self.slices.deleted(key, &*slice, self.clock.now()),
            }
        }
        Ok(())
    }
}
