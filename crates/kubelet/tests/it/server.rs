//! An API server that is only a map: what a kubelet reads, watches and writes, without rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{ByteBody, Client, Error, Transport};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use http::{Method, Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

/// However slow the machine is, by then it has happened.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server; clones share the map.
#[derive(Clone)]
pub(crate) struct Server(Arc<Shared>);

struct Shared {
    objects: Mutex<Objects>,
    events: broadcast::Sender<Event>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Objects {
    version: u64,
    /// By resource and name.
    live: BTreeMap<(String, String), Value>,
    /// As they were when they were deleted.
    dead: BTreeMap<String, Value>,
}

#[derive(Clone)]
struct Event {
    resource: String,
    kind: &'static str,
    object: Value,
}

impl Default for Server {
    fn default() -> Self {
        let objects = Mutex::default();
        Self(Arc::new(Shared {
            objects,
            events: broadcast::Sender::new(1024),
            changes: watch::Sender::new(0),
        }))
    }
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        Client::new(Arc::new(self.clone()), "kubelet-it")
    }

    /// Puts in an object, new or not.
    pub(crate) fn put(&self, resource: &str, mut object: Value) -> Value {
        let mut objects = self.0.objects.lock();
        objects.version += 1;
        object["metadata"]["resourceVersion"] = json!(objects.version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let old = objects.live.insert((resource.to_owned(), name), object.clone());
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let _ = self.0.events.send(Event { resource: resource.to_owned(), kind, object: object.clone() });
        self.0.changes.send_replace(objects.version);
        object
    }

    /// Changes a pod.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut pod = self.get("pods", name).unwrap();
        change(&mut pod);
        self.put("pods", pod);
    }

    /// The pod, when it is as expected.
    pub(crate) async fn wait(&self, name: &str, expected: impl Fn(&Value) -> bool) -> Value {
        let found = || self.get("pods", name).filter(|pod| expected(pod));
        self.until(found, || format!("{name} is {:#}", self.get("pods", name).unwrap_or_default())).await
    }

    /// The pod as it was when it was deleted.
    pub(crate) async fn gone(&self, name: &str) -> Value {
        let found = || self.0.objects.lock().dead.get(name).cloned();
        self.until(found, || format!("{name} is still there")).await
    }

    async fn until(&self, found: impl Fn() -> Option<Value>, complaint: impl Fn() -> String) -> Value {
        let mut changes = self.0.changes.subscribe();
        let wait = async {
            loop {
                if let Some(found) = found() {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("{}", complaint()),
        }
    }

    fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.0.objects.lock().live.get(&(resource.to_owned(), name.to_owned())).cloned()
    }

    fn delete(&self, resource: &str, name: &str) -> Option<Value> {
        let mut objects = self.0.objects.lock();
        let mut object = objects.live.remove(&(resource.to_owned(), name.to_owned()))?;
        objects.version += 1;
        object["metadata"]["resourceVersion"] = json!(objects.version.to_string());
        objects.dead.insert(name.to_owned(), object.clone());
        let _ = self.0.events.send(Event {
            resource: resource.to_owned(),
            kind: "DELETED",
            object: object.clone(),
        });
        self.0.changes.send_replace(objects.version);
        Some(object)
    }

    /// What is there, then what comes; a bookmark between them.
    fn follow(&self, resource: String) -> ByteBody {
        let objects = self.0.objects.lock();
        let events = self.0.events.subscribe();
        let line = |kind: &str, object: &Value| {
            Bytes::from(format!("{}\n", json!({"type": kind, "object": object})))
        };
        let known = objects.live.iter().filter(|((of, _), _)| *of == resource);
        let mut first: Vec<_> = known.map(|(_, object)| line("ADDED", object)).collect();
        let template =
            objects.live.iter().find(|((of, _), _)| *of == resource).map(|(_, object)| object.clone());
        let (version, kind) = kinds(&resource);
        let (version, kind) = template.map_or((json!(version), json!(kind)), |object| {
            (object["apiVersion"].clone(), object["kind"].clone())
        });
        first.push(line(
            "BOOKMARK",
            &json!({"apiVersion": version, "kind": kind, "metadata": {
                "resourceVersion": objects.version.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"}}, "spec": {}}),
        ));
        let rest = stream::unfold((events, resource), move |(mut events, resource)| async move {
            loop {
                let event = events.recv().await.ok()?;
                if event.resource == resource {
                    return Some((line(event.kind, &event.object), (events, resource)));
                }
            }
        });
        stream::iter(first).chain(rest).map(Ok).boxed()
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<ByteBody> {
        let uri = request.uri();
        let mut parts: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
        // `api/v1` or `apis/GROUP/VERSION`.
        parts.drain(..if parts[0] == "api" { 2 } else { 3 });
        if parts[0] == "namespaces" && parts.len() > 2 {
            parts.drain(..2);
        }
        let resource = parts[0].to_owned();
        let name = parts.get(1).copied().unwrap_or_default();
        let body = serde_json::from_slice::<Value>(request.body()).unwrap_or_default();
        let query = uri.query().unwrap_or_default();
        let result = match *request.method() {
            Method::GET if query.contains("watch=true") => return reply(200, self.follow(resource)),
            Method::GET => self.get(&resource, name),
            Method::POST => Some(self.put(&resource, body)),
            Method::PATCH => self.get(&resource, name).map(|mut object| {
                merge(&mut object, body);
                self.put(&resource, object)
            }),
            Method::DELETE => self.delete(&resource, name),
            _ => None,
        };
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
            "message": format!("{resource} \"{name}\" not found"), "code": 404});
        let code = if result.is_some() { 200 } else { 404 };
        let body = Bytes::from(result.unwrap_or(status).to_string());
        reply(code, stream::iter([Ok(body)]).boxed())
    }
}

impl Transport for Server {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
        Box::pin(async move { Ok(self.answer(&request)) })
    }
}

fn kinds(resource: &str) -> (&'static str, &'static str) {
    match resource {
        "services" => ("v1", "Service"),
        "configmaps" => ("v1", "ConfigMap"),
        _ => ("v1", "Pod"),
    }
}

fn reply(code: u16, body: ByteBody) -> Response<ByteBody> {
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}

/// As much of a strategic merge as a kubelet's patches need: maps by key, conditions by type, other lists as a whole.
fn merge(old: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *old = patch;
        return;
    };
    if !old.is_object() {
        *old = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => {
                old.as_object_mut().unwrap().remove(&key);
            }
            Value::Array(items) if key == "conditions" => {
                for item in items {
                    let conditions = old[&key].as_array().cloned().unwrap_or_default();
                    let mut rest: Vec<_> =
                        conditions.into_iter().filter(|c| c["type"] != item["type"]).collect();
                    if item.get("$patch").is_none() {
                        rest.push(item);
                    }
                    old[&key] = json!(rest);
                }
            }
            Value::Array(items) => {
                old[&key] = items.into_iter().filter(|item| item.get("$patch").is_none()).collect();
            }
            value => merge(&mut old[&key], value),
        }
    }
}
