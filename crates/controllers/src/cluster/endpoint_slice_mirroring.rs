//! Shows Endpoints that people keep by hand as EndpointSlices, for all who read only those.
//!
//! Watches Endpoints, Services without a selector, and EndpointSlices; owns the slices that are labelled
//! `endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io`.
//! Upstream: `pkg/controller/endpointslicemirroring`.

mod plan;

use super::endpoint_slice::{MANAGED_BY, SERVICE_NAME, service_of};
use super::endpoints::{LEADER, annotation};
use super::service_pods::selector;
use crate::context::{Context, Tasks, spawn};
use crate::workloads::patch;
use crate::workloads::written::Written;
use api::core::v1::{Endpoints, Service};
use api::discovery::v1::EndpointSlice;
use api::meta::v1::DeleteOptions;
use api::{Key, Object};
use client::{Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use plan::Plan;
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder};
use std::sync::Arc;

/// As `--mirroring-concurrent-service-endpoint-syncs`.
const WORKERS: usize = 5;
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let services = context.informers.get::<Service>();
    let endpoints = context.informers.get::<Endpoints>();
    let slices = context.informers.get::<EndpointSlice>();
    slices
        .add_index(SERVICE_NAME, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    let changed = queue.clone();
    services.subscribe(move |change| changed.add(change.object().key()));
    let changed = queue.clone();
    endpoints.subscribe(move |change| changed.add(change.object().key()));
    let changed = queue.clone();
    slices.subscribe(move |change| {
        let slice = change.object();
        if is_ours(slice) {
            service_of(slice).into_iter().for_each(|key| changed.add(key));
        }
    });
    let controller = Mirroring {
        client: context.client("endpointslicemirroring-controller"),
        recorder: context
            .recorder("endpointslicemirroring-controller", "endpoint-slice-mirroring-controller"),
        clock: context.clock.clone(),
        services: services.clone(),
        endpoints: endpoints.clone(),
        slices: Written::new(slices.clone()),
    };
    let synced = async move {
        services.synced().await;
        endpoints.synced().await;
        slices.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn is_ours(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

struct Mirroring {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    services: Lister<Service>,
    endpoints: Lister<Endpoints>,
    slices: Written<EndpointSlice>,
}

impl Reconcile for Mirroring {
    fn name(&self) -> &'static str {
        "endpointslice-mirroring"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let mut slices = self.slices.see(&key, |lister| lister.by_index(SERVICE_NAME, &key.to_string()));
            slices.retain(|slice| slice.metadata.deletion_timestamp.is_none() && is_ours(slice));
            let endpoints = self.endpoints.get_key(&key).filter(|endpoints| is_mirrored(endpoints));
            let service = self.services.get_key(&key).filter(|service| selector(service).is_none());
            let (Some(endpoints), Some(_)) = (endpoints, service) else {
                if slices.is_empty() {
                    self.slices.forget(&key);
                }
                return self.delete(&key, slices).await.map(|()| Next::Done);
            };
            let plan = plan::plan(&endpoints, &slices);
            for (reason, message) in plan.notes() {
                self.recorder.event(&api::reference(&*endpoints), EventKind::Warning, reason, message);
            }
            self.execute(&key, plan).await?;
            Ok(Next::Done)
        })
    }
}

fn is_mirrored(endpoints: &Endpoints) -> bool {
    let skip = endpoints.metadata.labels.as_ref().and_then(|labels| labels.get(SKIP));
    skip.is_none_or(|skip| skip != "true") && annotation(endpoints, LEADER).is_none()
}

impl Mirroring {
    async fn execute(&self, key: &Key, plan: Plan) -> Result<(), Error> {
        for slice in plan.create {
            match self.client.create(&slice).await {
                Ok(slice) => drop(self.slices.stored(key, slice)),
                Err(error) if error.is_namespace_terminating() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        for (old, new) in plan.update {
            let Some(change) = patch::update(&*old, &new) else { continue };
            let patch = Patch::Update(change);
            let slice = self.client.patch::<EndpointSlice>(&key.namespace, old.name(), &patch).await?;
            self.slices.stored(key, slice);
        }
        self.delete(key, plan.delete).await
    }

    async fn delete(&self, key: &Key, slices: Vec<Arc<EndpointSlice>>) -> Result<(), Error> {
        for slice in slices {
            let options = DeleteOptions::default();
            match self.client.delete::<EndpointSlice>(&key.namespace, slice.name(), &options).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => self.slices.deleted(key, &*slice, self.clock.now()),
            }
        }
        Ok(())
    }
}
