//! Counts what ResourceQuotas limit, and writes it into their status.
//!
//! Admission records what is taken; this controller counts anew when something is given back, when a quota
//! changes, and now and then. Watches ResourceQuotas, Pods, Services, claims, and the metadata of whatever
//! else a quota counts, from when one does. Owns the status of ResourceQuotas together with admission: each
//! write holds for the version that was read. What counts as how much is in crate `quota`.
//!
//! Upstream: `pkg/controller/resourcequota`, `k8s.io/apiserver/pkg/quota/v1`.

mod count;

use super::discovery::{self, Catalog, Resource};
use crate::context::{Context, Tasks, spawn};
use api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceRequirements, Service};
use api::partial::Partial;
use api::resource::v1::ResourceClaim;
use api::{Key, Object, pods};
use client::{Change, Client, Error, Informers, Lister};
use count::{Counted, tree};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use quota::{Amounts, Evaluator, Kind};
use reconcile::{Clock, Next, Queue, Reconcile};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use value::Value;

/// How many quotas are counted side by side, as `--concurrent-resource-quota-syncs`.
const WORKERS: usize = 5;
/// How often a quota is counted though nothing was seen to change, as `--resource-quota-sync-period`.
const RESYNC: Duration = Duration::from_secs(5 * 60);
/// How many other resources are watched because quotas count them; the rest is listed when it is counted.
const WATCHED_MAX: usize = 100;

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let quotas = context.informers.get::<ResourceQuota>();
    let pods = context.informers.get::<Pod>();
    let services = context.informers.get::<Service>();
    let claims = context.informers.get::<PersistentVolumeClaim>();
    let devices = context.informers.get::<ResourceClaim>();
    let wake = Wake { quotas: quotas.clone(), queue: queue.clone() };
    let changed = queue.clone();
    quotas.subscribe(move |change| {
        // Not at changes of what is used: admission writes that before the object is there to be counted, and
        // counting in between would take it back.
        let is_new = match change {
            Change::Added(_) => true,
            Change::Updated(old, new) => old.spec != new.spec,
            Change::Deleted(_) => false,
        };
        if is_new {
            changed.add(change.object().key());
        }
    });
    let given_back = wake.clone();
    pods.subscribe(move |change| {
        let (old, pod) = match change {
            Change::Added(_) => return,
            Change::Deleted(pod) => return given_back.namespace(pod.namespace(), Duration::ZERO),
            Change::Updated(old, new) => (old, new),
        };
        // A pod that gets its node uses what it did.
        let has_changed =
            is_limited_in_time(old) != is_limited_in_time(pod) || resources(old) != resources(pod);
        if has_changed || pods::is_terminal(old) != pods::is_terminal(pod) {
            given_back.namespace(pod.namespace(), Duration::ZERO);
        }
        if pods::is_terminating(pod) && !pods::is_terminating(old) {
            // A pod that outlives its grace period is not counted any more.
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
            let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default() + 1);
            given_back.namespace(pod.namespace(), grace);
        }
    });
    given_back_by(&services, &wake, |service: &Service| service.spec.clone());
    given_back_by(&claims, &wake, |claim: &PersistentVolumeClaim| (claim.spec.clone(), claim.status.clone()));
    given_back_by(&devices, &wake, |claim: &ResourceClaim| claim.spec.clone());
    let controller = ResourceQuotaController {
        client: context.client("resourcequota-controller"),
        informers: context.informers.clone(),
        clock: context.clock.clone(),
        wake,
        quotas: quotas.clone(),
        pods: pods.clone(),
        services: services.clone(),
        claims: claims.clone(),
        devices: devices.clone(),
        others: Mutex::default(),
        catalog: tokio::sync::Mutex::default(),
    };
    let synced = async move {
        quotas.synced().await;
        pods.synced().await;
        services.synced().await;
        claims.synced().await;
        devices.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

/// Has the quotas of a namespace counted.
#[derive(Clone)]
struct Wake {
    quotas: Lister<ResourceQuota>,
    queue: Queue,
}

impl Wake {
    fn namespace(&self, namespace: &str, after: Duration) {
        for quota in self.quotas.list_in(namespace) {
            self.queue.add_after(quota.key(), after);
        }
    }
}

/// Counts when an object goes, or changes in what is counted of it.
fn given_back_by<K: Object, T: PartialEq + 'static>(lister: &Lister<K>, wake: &Wake, counted: fn(&K) -> T) {
    let wake = wake.clone();
    lister.subscribe(move |change| match change {
        Change::Deleted(object) => wake.namespace(object.namespace(), Duration::ZERO),
        Change::Updated(old, new) if counted(old) != counted(new) => {
            wake.namespace(new.namespace(), Duration::ZERO);
        }
        Change::Added(_) | Change::Updated(..) => {}
    });
}

/// What a pod asks for and has; both may change in place.
fn resources(pod: &Pod) -> Vec<Option<&ResourceRequirements>> {
    let spec = pod.spec.iter().flat_map(|spec| {
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.map(|container| container.resources.as_ref()).chain([spec.resources.as_ref()])
    });
    let status = pod.status.iter().flat_map(|status| {
        let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        containers.map(|container| container.resources.as_ref())
    });
    spec.chain(status).collect()
}

/// Which of the scopes `Terminating` and `NotTerminating` a pod is in; a running one may be given a deadline.
fn is_limited_in_time(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).is_some_and(|seconds| seconds >= 0)
}

struct ResourceQuotaController {
    client: Client,
    informers: Informers,
    clock: Clock,
    wake: Wake,
    quotas: Lister<ResourceQuota>,
    pods: Lister<Pod>,
    services: Lister<Service>,
    claims: Lister<PersistentVolumeClaim>,
    devices: Lister<ResourceClaim>,
    /// What else is counted, by `resource.group`.
    others: Mutex<HashMap<String, Lister<Partial>>>,
    catalog: tokio::sync::Mutex<Catalog>,
}

impl Reconcile for ResourceQuotaController {
    fn name(&self) -> &'static str {
        "resourcequota"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(quota) = self.quotas.get_key(&key) else { return Ok(Next::Done) };
            let counted = self.count(&quota).await;
            let mut failed = None;
            let counted = counted.unwrap_or_else(|(counted, error)| {
                failed = Some(error);
                counted
            });
            if let Some(status) = count::status(&quota, &counted) {
                // The role has no `get`; the status takes nothing else from the object, and the cached one
                // is whole but for its managed fields, which are kept if they are not sent.
                let mut tree = json!(*quota);
                tree["status"] = status;
                self.client
                    .put_subresource::<ResourceQuota>(&key.namespace, &key.name, "status", &tree)
                    .await?;
            }
            failed.map_or(Ok(Next::After(RESYNC)), Err)
        })
    }
}

impl ResourceQuotaController {
    /// What is used of what the quota limits; with an error, of the part that could be counted.
    async fn count(&self, quota: &ResourceQuota) -> Result<Counted, (Counted, Error)> {
        let namespace = quota.namespace();
        let quota_tree = tree(quota);
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let names: Vec<&str> = hard.keys().map(String::as_str).collect();
        let now = self.clock.now();
        let now = meta::time::Time::from_unix(now.as_second(), 0);
        let mut counted = Counted::default();
        let mut add = |evaluator: &Evaluator, objects: Vec<Value>| {
            let mine = objects.iter().filter(|object| quota::matches(evaluator, &quota_tree, object));
            counted.add(evaluator, &names, mine.map(|object| evaluator.usage(object, now)));
        };
        let wanted = |evaluator: &Evaluator| names.iter().any(|name| evaluator.counts(name));
        let pods = Evaluator::new("", "pods");
        if wanted(&pods) {
            add(&pods, self.pods.list_in(namespace).iter().map(|pod| tree(&**pod)).collect());
        }
        let services = Evaluator::new("", "services");
        if wanted(&services) {
            add(&services, self.services.list_in(namespace).iter().map(|s| tree(&**s)).collect());
        }
        let claims = Evaluator::new("", "persistentvolumeclaims");
        if wanted(&claims) {
            add(&claims, self.claims.list_in(namespace).iter().map(|c| tree(&**c)).collect());
        }
        let devices = Evaluator::new("resource.k8s.io", "resourceclaims");
        if wanted(&devices) {
            add(&devices, self.devices.list_in(namespace).iter().map(|c| tree(&**c)).collect());
        }
        let scoped = quota.spec.as_ref().is_some_and(|spec| {
            spec.scopes.as_ref().is_some_and(|scopes| !scopes.is_empty()) || spec.scope_selector.is_some()
        });
        let mut failed = None;
        for (group, resource) in count::others(&names) {
            let evaluator = Evaluator::new(group, resource);
            if evaluator.kind != Kind::Other {
                continue;
            }
            match self.count_objects(group, resource, namespace).await {
                // Scopes are about pods and claims; nothing else has them.
                Ok(Some(count)) => {
                    let one: Amounts = evaluator.usage(&Value::Null, now);
                    let count = if scoped { 0 } else { count };
                    counted.add(&evaluator, &names, std::iter::repeat_n(one, count));
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err((counted, error)),
            None => Ok(counted),
        }
    }

    /// How many objects of a resource a namespace has; nothing if there is no such resource.
    async fn count_objects(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
    ) -> Result<Option<usize>, Error> {
        // Counted where the quota was found: by another cache it might not be seen to be there itself.
        if (group, resource) == ("", "resourcequotas") {
            return Ok(Some(self.quotas.list_in(namespace).len()));
        }
        let Some(found) = self.find(group, resource).await? else { return Ok(None) };
        if !found.namespaced {
            return Ok(None);
        }
        let lister = {
            let mut others = self.others.lock();
            let name = format!("{resource}.{group}");
            if others.len() < WATCHED_MAX || others.contains_key(&name) {
                Some(others.entry(name).or_insert_with(|| self.follow(&found)).clone())
            } else {
                None
            }
        };
        match lister {
            Some(lister) => {
                lister.synced().await;
                Ok(Some(lister.list_in(namespace).len()))
            }
            None => Ok(Some(discovery::list(&self.client, &found, namespace).await?.len())),
        }
    }

    fn follow(&self, resource: &Resource) -> Lister<Partial> {
        let lister = self.informers.metadata(&resource.group, &resource.version, &resource.plural);
        let wake = self.wake.clone();
        lister.subscribe(move |change| {
            if let Change::Deleted(object) = change {
                wake.namespace(object.namespace(), Duration::ZERO);
            }
        });
        lister
    }

    async fn find(&self, group: &str, resource: &str) -> Result<Option<Resource>, Error> {
        let mut catalog = self.catalog.lock().await;
        let find = |catalog: &Catalog| {
            let fits =
                |r: &&Resource| r.group == group && r.plural == resource && r.can("list") && r.can("watch");
            catalog.preferred().find(fits).cloned()
        };
        if let Some(found) = find(&catalog) {
            return Ok(Some(found));
        }
        *catalog = discovery::discover(&self.client).await?;
        Ok(find(&catalog))
    }
}
