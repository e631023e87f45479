//! The loop that keeps APIServices and remotes what they should be.

use super::availability::{Condition, Judgement, judge};
use super::documents::Documents;
use super::local::{self, Action};
use super::{GROUP, RESOURCE, Remote, Service};
use crate::api::Api;
use crate::bootstrap;
use crate::cache::{Query, Selection};
use crate::health::Hook;
use arc_swap::ArcSwap;
use http::Method;
use meta::labels::Selector;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use value::Value;

/// How often remotes are asked again when nothing has changed, as upstream's resync.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How long changes gather.
const GATHER: Duration = Duration::from_millis(50);
/// How many requests must fail before a remote counts as down, as upstream.
const ATTEMPTS: usize = 5;

/// Follows the objects until the server stops.
pub(crate) async fn follow(api: Arc<Api>) {
    let mut stopping = api.shutdown_signal();
    let mut starting = true;
    loop {
        let announced = announce(&api, std::mem::take(&mut starting)).await;
        load(&api);
        if announced {
            api.health.note(Hook::ApiServices, true);
        }
        judge_all(&api).await;
        let idle = api.aggregation.remotes.load().is_empty();
        tokio::select! {
            () = &mut stopping => return,
            () = api.aggregation.changed.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(RECHECK_INTERVAL), if !idle || !announced => {}
        }
    }
}

fn objects(api: &Api) -> Vec<Value> {
    let Some(hub) = api.hub(GROUP, RESOURCE) else { return Vec::new() };
    hub.cache.list(Query::default()).entries.iter().map(|entry| hub.tree(entry)).collect()
}

/// Makes and removes the APIServices of our own; false if some could not be written.
async fn announce(api: &Arc<Api>, starting: bool) -> bool {
    let collection = format!("/apis/{GROUP}/v1/{RESOURCE}");
    let served = local::served(&api.registry.load());
    let mut announced = true;
    for action in local::plan(&served, &objects(api), starting) {
        let name = |o: &Value| o.at("metadata").at("name").str().to_owned();
        let (method, path, body) = match &action {
            Action::Create(object) => (Method::POST, collection.clone(), Some(object)),
            Action::Update(object) => (Method::PUT, format!("{collection}/{}", name(object)), Some(object)),
            Action::Delete(name) => (Method::DELETE, format!("{collection}/{name}"), None),
        };
        announced &= send(api, method, &path, body).await;
    }
    announced
}

/// Whether it was done.
async fn send(api: &Arc<Api>, method: Method, path: &str, body: Option<&Value>) -> bool {
    match bootstrap::call(api, method, path, body).await {
        // Somebody else was first: the event brings it here again.
        Ok((200 | 201 | 404 | 409, _)) => return true,
        Ok((code, answer)) => {
            tracing::error!(path, code, message = answer.at("message").str(), "cannot write an APIService");
        }
        Err(error) => tracing::error!(path, %error, "cannot write an APIService"),
    }
    false
}

/// Takes over which groups are remote. What is known of a remote stays while its spec does.
fn load(api: &Api) {
    let aggregation = &api.aggregation;
    let old = aggregation.remotes.load_full();
    let identity = aggregation.identity.load_full();
    let as_before = |r: &Remote| match (&r.identity, &identity) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (before, now) => before.is_none() && now.is_none(),
    };
    let is_remote = |o: &Value| !o.at("spec").at("service").is_null();
    let remotes = objects(api).into_iter().filter(is_remote).map(|object| {
        let (spec, name) = (object.at("spec"), object.at("metadata").at("name").str());
        let before = old.iter().find(|r| r.name == name && r.spec == *spec);
        if let Some(known) = before.filter(|r| as_before(r)) {
            return known.clone();
        }
        let service = Service::read(spec.at("service"));
        let tls = identity.as_ref().and_then(|f| match f.config(spec, &service) {
            Ok(tls) => Some(tls),
            Err(error) => {
                tracing::warn!(name, error, "an API cannot be reached");
                None
            }
        });
        Arc::new(Remote {
            name: name.into(),
            group: spec.at("group").str().into(),
            version: spec.at("version").str().into(),
            group_priority: spec.at("groupPriorityMinimum").int(),
            version_priority: spec.at("versionPriority").int(),
            service,
            tls,
            spec: spec.clone(),
            identity: identity.clone(),
            // The same server under a renewed certificate of ours.
            available: AtomicBool::new(before.is_some_and(|r| r.is_available())),
            documents: before.map_or_else(Default::default, |r| ArcSwap::new(r.documents.load_full())),
        })
    });
    let remotes: Vec<Arc<Remote>> = remotes.collect();
    if !(remotes.is_empty() && old.is_empty()) {
        aggregation.remotes.store(Arc::new(remotes));
    }
}

/// Writes the condition of every APIService; all remotes are asked at the same time.
async fn judge_all(api: &Arc<Api>) {
    let remotes = api.aggregation.remotes.load_full();
    let judged = remotes.iter().map(|remote| async move {
        let condition = judge_one(api, remote).await;
        if condition.available {
            remote.documents.store(Arc::new(Documents::fetch(remote, api).await));
        }
        if remote.available.swap(condition.available, Relaxed) && !condition.available {
            let (reason, message) = (condition.reason, condition.message.as_str());
            tracing::warn!(api = %remote.name, reason, message, "an API is down");
        }
        (remote.name.clone(), condition)
    });
    let mut conditions = futures_util::future::join_all(judged).await;
    let now = api.now().to_string();
    for object in objects(api) {
        let name = object.at("metadata").at("name").str();
        let condition = match conditions.iter().position(|(of, _)| of == name) {
            Some(at) => conditions.swap_remove(at).1,
            None if object.at("spec").at("service").is_null() => Condition::local(),
            // It has just come.
            None => continue,
        };
        if let Some(new) = condition.apply(&object, &now) {
            if Condition::holds(&object) && !condition.available {
                crate::metrics::unavailable(name, condition.reason);
            }
            let path = format!("/apis/{GROUP}/v1/{RESOURCE}/{name}/status");
            send(api, Method::PUT, &path, Some(&new)).await;
        }
    }
}

async fn judge_one(api: &Arc<Api>, remote: &Arc<Remote>) -> Condition {
    let Service { namespace, name, .. } = &remote.service;
    let service = api.hub("", "services").and_then(|hub| {
        let entry = hub.get(namespace, name)?;
        Some(hub.tree(&entry))
    });
    let judged = judge(&remote.service, service.as_ref(), &slices(api, namespace, name));
    if let Judgement::Clear(condition) = judged {
        return condition;
    }
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..ATTEMPTS {
        let (api, remote) = (api.clone(), remote.clone());
        asked.spawn(async move { remote.check(&api).await });
    }
    let mut last = String::new();
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(())) => return Condition::passed(),
            Ok(Err(error)) => last = error,
            Err(error) => last = error.to_string(),
        }
    }
    Condition::no("FailedDiscoveryCheck", last)
}

fn slices(api: &Api, namespace: &str, service: &str) -> Vec<Value> {
    let Some(hub) = api.hub("discovery.k8s.io", "endpointslices") else { return Vec::new() };
    let Ok(labels) = Selector::parse(&format!("kubernetes.io/service-name={service}")) else {
        return Vec::new();
    };
    let selection = Selection { labels: Some(labels), ..Selection::default() };
    let page = hub.cache.list(Query { namespace, selection: Some(&selection), ..Query::default() });
    page.entries.iter().map(|entry| hub.tree(entry)).collect()
}
