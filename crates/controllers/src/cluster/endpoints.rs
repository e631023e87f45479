//! Keeps the Endpoints of Services that select pods: what EndpointSlices have replaced, for old clients.
//!
//! Watches Services, Pods and Endpoints; owns the Endpoints named as such a Service.
//! Upstream: `pkg/controller/endpoint`, `k8s.io/endpointslice` has no part in it.

mod subsets;

use super::service_pods::{self, has_cluster_ip, selector};
use crate::context::{Context, Tasks, spawn};
use crate::workloads::patch;
use crate::workloads::written::Written;
use api::core::v1::{Endpoints, Pod, Service};
use api::meta::v1::{DeleteOptions, ObjectMeta};
use api::{Key, Object};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many Services are looked at side by side, as `--concurrent-endpoint-syncs`.
const WORKERS: usize = 5;
/// How many addresses an Endpoints object holds; more are cut off, and the annotation says so.
const ADDRESSES_MAX: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
pub(super) const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
pub(super) const MANAGER: &str = "endpoint-controller";
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";
/// On Endpoints that old components elect their leader by; those belong to no Service.
pub(super) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let services = context.informers.get::<Service>();
    let pods = context.informers.get::<Pod>();
    let endpoints = context.informers.get::<Endpoints>();
    let changed = queue.clone();
    services.subscribe(move |change| changed.add(change.object().key()));
    let (changed, all) = (queue.clone(), services.clone());
    pods.subscribe(move |change| service_pods::enqueue(&all, change, &changed));
    let (changed, all) = (queue.clone(), endpoints.clone());
    endpoints.subscribe(move |change| match change {
        // What is there at the start may be left over from a Service that is gone. What is made later without
        // a Service is somebody's own.
        Change::Added(endpoints) if !all.has_synced() && annotation(endpoints, LEADER).is_none() => {
            changed.add(endpoints.key());
        }
        Change::Deleted(endpoints) => changed.add(endpoints.key()),
        Change::Added(_) | Change::Updated(..) => {}
    });
    let controller = EndpointsController {
        client: context.client("endpoint-controller"),
        recorder: context.recorder("endpoint-controller", "endpoint-controller"),
        clock: context.clock.clone(),
        services: services.clone(),
        pods: pods.clone(),
        endpoints: Written::new(endpoints.clone()),
    };
    let synced = async move {
        services.synced().await;
        pods.synced().await;
        endpoints.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

pub(super) fn annotation<'a>(endpoints: &'a Endpoints, name: &str) -> Option<&'a str> {
    endpoints.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

struct EndpointsController {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    services: Lister<Service>,
    pods: Lister<Pod>,
    endpoints: Written<Endpoints>,
}

impl Reconcile for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let current = self.endpoints.get(&key);
            let Some(service) = self.services.get_key(&key) else {
                self.endpoints.forget(&key);
                return self.remove(&key, current).await;
            };
            let external = service.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("ExternalName");
            if external || selector(&service).is_none() {
                return Ok(Next::Done);
            }
            let pods = service_pods::behind(&self.pods, &service);
            let wanted = plan(&service, &pods, current.as_deref());
            let result = match (&current, wanted) {
                (_, None) => return Ok(Next::Done),
                (None, Some(wanted)) => match self.client.create(&wanted).await {
                    Err(error) if error.is_namespace_terminating() => return Ok(Next::Done),
                    other => other.map_err(|error| ("FailedToCreateEndpoint", "create", error)),
                },
                (Some(current), Some(wanted)) => {
                    let Some(change) = patch::update(&**current, &wanted) else { return Ok(Next::Done) };
                    let patched = self.client.patch(&key.namespace, &key.name, &Patch::Update(change)).await;
                    patched.map_err(|error| ("FailedToUpdateEndpoint", "update", error))
                }
            };
            match result {
                Ok(endpoints) => drop(self.endpoints.stored(&key, endpoints)),
                Err((reason, verb, error)) => {
                    if !error.is_conflict() {
                        let message = format!("Failed to {verb} endpoint {key}: {error}");
                        self.recorder.event(&api::reference(&*service), EventKind::Warning, reason, message);
                    }
                    return Err(error);
                }
            }
            Ok(Next::Done)
        })
    }
}

impl EndpointsController {
    async fn remove(&self, key: &Key, current: Option<Arc<Endpoints>>) -> reconcile::Result {
        let Some(current) = current.filter(|e| annotation(e, LEADER).is_none()) else {
            return Ok(Next::Done);
        };
        let options = DeleteOptions::default();
        match self.client.delete::<Endpoints>(&key.namespace, &key.name, &options).await {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(()) | Err(Error::Status(_)) => {
                self.endpoints.deleted(key, &*current, self.clock.now());
                Ok(Next::Done)
            }
            Err(error) => Err(error),
        }
    }
}

/// The Endpoints as they are to be; nothing if they are so.
fn plan(service: &Service, pods: &[Arc<Pod>], current: Option<&Endpoints>) -> Option<Endpoints> {
    let mut subsets = subsets::of(service, pods);
    let cut = subsets::truncate(&mut subsets, ADDRESSES_MAX);
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if !has_cluster_ip(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut wanted = current.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: Some(service.name().to_owned()),
            namespace: Some(service.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    let mut annotations: BTreeMap<String, String> = wanted.metadata.annotations.take().unwrap_or_default();
    annotations.remove(TRIGGER_TIME);
    annotations.remove(OVER_CAPACITY);
    if cut {
        annotations.insert(OVER_CAPACITY.into(), "truncated".into());
    }
    let had_annotations = current.is_some_and(|current| current.metadata.annotations.is_some());
    wanted.metadata.annotations = (had_annotations || !annotations.is_empty()).then_some(annotations);
    wanted.metadata.labels = Some(labels);
    wanted.subsets = (!subsets.is_empty()).then_some(subsets);
    (current != Some(&wanted)).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "n", "labels": {"app": "web"}},
            "spec": {"clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
                          {"name": "metrics", "port": 81, "targetPort": 9090, "protocol": "TCP"}]},
        }))
        .expect("a service")
    }

    fn pod(name: &str, ip: &str, ready: bool) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "n", "uid": name},
                "spec": {"nodeName": "node", "containers": []},
                "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": "fd00::1"}, {"ip": ip}],
                    "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
            }))
            .expect("a pod"),
        )
    }

    #[test]
    fn ports_with_the_same_pods_share_a_subset() {
        let pods = [pod("b", "10.0.0.10", true), pod("a", "10.0.0.9", true), pod("c", "10.0.0.3", false)];
        let wanted = plan(&service(), &pods, None).expect("endpoints");
        let tree = serde_json::to_value(&wanted.subsets).expect("JSON");
        let ips = |field: &str| -> Vec<&str> {
            tree[0][field].as_array().into_iter().flatten().filter_map(|a| a["ip"].as_str()).collect()
        };
        assert_eq!(tree.as_array().map(Vec::len), Some(1));
        assert_eq!(ips("addresses"), ["10.0.0.9", "10.0.0.10"]);
        assert_eq!(ips("notReadyAddresses"), ["10.0.0.3"]);
        assert_eq!(tree[0]["ports"].as_array().map(Vec::len), Some(2));
        assert_eq!(tree[0]["addresses"][0]["targetRef"]["kind"], "Pod");
        let labels = wanted.metadata.labels.clone().expect("labels");
        assert_eq!(labels.get(MANAGED_BY).map(String::as_str), Some(MANAGER));
        assert_eq!(plan(&service(), &pods, Some(&wanted)), None);
        let mut headless = service();
        headless.spec.as_mut().expect("a spec").cluster_ip = Some("None".into());
        let labels = plan(&headless, &pods, Some(&wanted)).and_then(|e| e.metadata.labels).expect("labels");
        assert_eq!(labels.get(HEADLESS).map(String::as_str), Some(""));
    }

    #[test]
    fn too_many_addresses_are_cut_off() {
        let pods: Vec<_> = (0..1005)
            .map(|i| pod(&format!("p{i}"), &format!("10.0.{}.{}", i / 250, i % 250), i >= 10))
            .collect();
        let wanted = plan(&service(), &pods, None).expect("endpoints");
        assert_eq!(annotation(&wanted, OVER_CAPACITY), Some("truncated"));
        let subset = &wanted.subsets.as_ref().expect("subsets")[0];
        let count = |list: &Option<Vec<_>>| list.as_ref().map_or(0, Vec::len);
        assert_eq!((count(&subset.addresses), count(&subset.not_ready_addresses)), (995, 5));
        let fewer = plan(&service(), &pods[..500], Some(&wanted)).expect("endpoints");
        assert_eq!(annotation(&fewer, OVER_CAPACITY), None);
    }
}
