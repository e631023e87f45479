//! What clients ask an API server most, so many times: the run of which `make profile` keeps a record.
//! `cargo run --release -p client --example load -- KUBECONFIG [COUNT]`. Reads are many times the writes, as everywhere;
//! objects are small and middling, of built-in and of custom kinds, in JSON and in protobuf.

use bytes::Bytes;
use client::{Https, Kubeconfig, Transport};
use futures_util::future::try_join_all;
use futures_util::stream::StreamExt;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections, each with a request at a time.
const CONNECTIONS: usize = 16;
/// Watches for each connection.
const WATCHES: usize = 30;
/// Updates that each of the watches is shown.
const UPDATES: usize = 40;
/// How long all of it may take.
const TIME_MAX: Duration = Duration::from_secs(900);

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const CORE: &str = "/api/v1/namespaces/default";

type Failure = Box<dyn Error + Send + Sync>;

/// A kind of objects, and how many of `COUNT` there are.
struct Kind {
    collection: &'static str,
    is_custom: bool,
    share: usize,
    /// Without metadata.
    body: fn() -> Value,
}

const KINDS: [Kind; 6] = [
    Kind {
        collection: "/api/v1/namespaces/default/configmaps",
        is_custom: false,
        share: 4,
        body: config_map,
    },
    Kind { collection: "/api/v1/namespaces/default/secrets", is_custom: false, share: 1, body: secret },
    Kind { collection: "/api/v1/namespaces/default/pods", is_custom: false, share: 2, body: pod },
    Kind {
        collection: "/apis/apps/v1/namespaces/default/deployments",
        is_custom: false,
        share: 1,
        body: deployment,
    },
    Kind {
        collection: "/apis/coordination.k8s.io/v1/namespaces/default/leases",
        is_custom: false,
        share: 1,
        body: lease,
    },
    Kind {
        collection: "/apis/example.com/v1/namespaces/default/widgets",
        is_custom: true,
        share: 1,
        body: widget,
    },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let kubeconfig = arguments.next().ok_or("usage: load KUBECONFIG [COUNT]")?;
    let count = arguments.next().map_or(Ok(1000), |count| count.parse())?;
    tokio::time::timeout(TIME_MAX, load(Path::new(&kubeconfig), count)).await?
}

async fn load(kubeconfig: &Path, count: usize) -> Result<(), Failure> {
    let config = Kubeconfig::read(kubeconfig)?;
    let connect = |_| Ok(Arc::new(Https::new(&config)?));
    let callers = (0..CONNECTIONS).map(connect).collect::<Result<Vec<_>, Failure>>()?;
    prepare(&callers[0]).await?;
    for kind in &KINDS {
        write(&callers, kind, count * kind.share).await?;
    }
    for kind in &KINDS {
        read(&callers, kind, count * kind.share).await?;
    }
    watch(&callers).await?;
    for kind in &KINDS {
        let delete = |caller: Arc<Https>, i| async move {
            ask(&caller, request(Method::DELETE, &kind.path(i), JSON, None)?).await.map(drop)
        };
        each(&callers, count * kind.share / 2, delete).await?;
    }
    Ok(())
}

/// Creates, and what changes objects.
async fn write(callers: &[Arc<Https>], kind: &'static Kind, count: usize) -> Result<(), Failure> {
    let create = |caller: Arc<Https>, i| async move {
        let mut object = (kind.body)();
        object["metadata"] =
            json!({"name": name(i), "labels": {"app": "load", "part": format!("{}", i % 10)}});
        let body = object.to_string().into();
        ask(&caller, request(Method::POST, kind.collection, JSON, Some((JSON, body)))?).await.map(drop)
    };
    each(callers, count, create).await?;
    let replace = |caller: Arc<Https>, i| async move {
        let form = if kind.is_custom { JSON } else { PROTOBUF };
        let object = ask(&caller, to_get(&kind.path(i), form)?).await?;
        // Of a pod that is taken by the scheduler meanwhile, an older form is refused.
        answer(&caller, request(Method::PUT, &kind.path(i), form, Some((form, object)))?).await.map(drop)
    };
    each(callers, count / 2, replace).await?;
    let merge = |caller: Arc<Https>, i| async move {
        let patch = json!({"metadata": {"annotations": {"load": format!("{i}")}}}).to_string().into();
        ask(&caller, request(Method::PATCH, &kind.path(i), JSON, Some((MERGE, patch)))?).await.map(drop)
    };
    each(callers, count / 2, merge).await?;
    let apply = |caller: Arc<Https>, i| async move {
        let mut object = json!({"metadata": {"name": name(i), "labels": {"applied": "yes"}}});
        let of_kind = (kind.body)();
        for field in ["apiVersion", "kind"] {
            object[field] = of_kind[field].clone();
        }
        let path = kind.path(i) + "?fieldManager=load&force=true";
        let body = object.to_string().into();
        ask(&caller, request(Method::PATCH, &path, JSON, Some((APPLY, body)))?).await.map(drop)
    };
    each(callers, count / 2, apply).await
}

/// Gets, lists, and what a client asks before it knows the server.
async fn read(callers: &[Arc<Https>], kind: &'static Kind, count: usize) -> Result<(), Failure> {
    let get = |caller: Arc<Https>, i| async move {
        let form = if i % 3 == 2 && !kind.is_custom { PROTOBUF } else { JSON };
        ask(&caller, to_get(&kind.path(i % count), form)?).await.map(drop)
    };
    each(callers, count * 8, get).await?;
    let list = |caller: Arc<Https>, i: usize| async move {
        let form = [JSON, TABLE, if kind.is_custom { JSON } else { PROTOBUF }][i % 3];
        let query =
            ["", "?limit=500", "?labelSelector=part%3D3", "?fieldSelector=metadata.name%3Dload-000007"]
                [i % 4];
        ask(&caller, to_get(&format!("{}{query}", kind.collection), form)?).await.map(drop)
    };
    each(callers, 24, list).await?;
    let discover = |caller: Arc<Https>, i| async move {
        let path = ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version", "/readyz"][i % 7];
        ask(&caller, to_get(path, JSON)?).await.map(drop)
    };
    each(callers, 70, discover).await
}

/// Many watches that share connections, and updates that go to all of them.
async fn watch(callers: &[Arc<Https>]) -> Result<(), Failure> {
    let object = format!("{CORE}/configmaps/{}", name(1));
    let path = format!("{CORE}/configmaps?watch=true&fieldSelector=metadata.name%3D{}", name(1));
    let mut watches = Vec::new();
    for caller in callers {
        for i in 0..WATCHES {
            let form = if i % 4 == 3 { "application/vnd.kubernetes.protobuf;stream=watch" } else { JSON };
            let body = caller.send(to_get(&path, form)?).await?.into_body();
            watches.push(tokio::spawn(async move { body.take(UPDATES).for_each(|_| async {}).await }));
        }
    }
    for i in 0..=UPDATES {
        let patch = json!({"data": {"stamp": format!("{i}")}}).to_string().into();
        ask(&callers[0], request(Method::PATCH, &object, JSON, Some((MERGE, patch)))?).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    try_join_all(watches).await?;
    Ok(())
}

/// Does it `count` times, on all connections at once.
async fn each<F>(
    callers: &[Arc<Https>],
    count: usize,
    act: impl Fn(Arc<Https>, usize) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let (next, act) = (&AtomicUsize::new(0), &act);
    let take_turns = callers.iter().map(|caller| async move {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return Ok(());
            }
            act(caller.clone(), i).await?;
        }
    });
    try_join_all(take_turns).await.map(drop)
}

/// Makes a custom kind.
async fn prepare(caller: &Https) -> Result<(), Failure> {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "minimum": 0, "default": 1},
        "parts": {"type": "array", "items": {"type": "object", "properties": {
            "name": {"type": "string", "maxLength": 63}, "weight": {"type": "integer"}}}},
        "text": {"type": "string"}}, "x-kubernetes-validations": [{"rule": "self.size < 100"}]}}});
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let object = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"}}});
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    ask(caller, request(Method::POST, path, JSON, Some((JSON, object.to_string().into())))?).await?;
    while !answer(caller, to_get("/apis/example.com/v1", JSON)?).await?.0.is_success() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The answer's body. An answer that is no success is a failure.
async fn ask(caller: &Https, request: Request<Bytes>) -> Result<Bytes, Failure> {
    let what = format!("{} {}", request.method(), request.uri());
    let (status, answer) = answer(caller, request).await?;
    if status.is_success() {
        return Ok(answer);
    }
    Err(format!("{what}: {status}: {}", String::from_utf8_lossy(&answer)).into())
}

async fn answer(caller: &Https, request: Request<Bytes>) -> Result<(StatusCode, Bytes), Failure> {
    let response = caller.send(request).await?;
    let status = response.status();
    let mut pieces = response.into_body();
    let mut answer = Vec::new();
    while let Some(piece) = pieces.next().await {
        answer.extend_from_slice(&piece?);
    }
    Ok((status, answer.into()))
}

fn to_get(path: &str, accept: &str) -> Result<Request<Bytes>, Failure> {
    request(Method::GET, path, accept, None)
}

/// With a body of a media type, or without one.
fn request(
    method: Method,
    path: &str,
    accept: &str,
    body: Option<(&str, Bytes)>,
) -> Result<Request<Bytes>, Failure> {
    let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
    let request = request.header(header::USER_AGENT, "load/1 (linux/amd64)");
    Ok(match body {
        Some((media_type, body)) => request.header(header::CONTENT_TYPE, media_type).body(body)?,
        None => request.body(Bytes::new())?,
    })
}

impl Kind {
    fn path(&self, i: usize) -> String {
        format!("{}/{}", self.collection, name(i))
    }
}

fn name(i: usize) -> String {
    format!("load-{i:06}")
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"payload": "x".repeat(1024)}})
}

fn secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "stringData": {"user": "a", "password": "b"}})
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "spec": template_spec()})
}

fn deployment() -> Value {
    // Without replicas, so that what is counted is what was asked for.
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0,
        "selector": {"matchLabels": {"app": "load"}},
        "template": {"metadata": {"labels": {"app": "load"}}, "spec": template_spec()}}})
}

fn template_spec() -> Value {
    json!({"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "example.com/main:1.0", "args": ["--port=8080"],
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "MODE", "value": "fast"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "emptyDir": {}}]})
}

fn lease() -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "spec": {"holderIdentity": "node-1", "leaseDurationSeconds": 40, "renewTime": "2026-01-01T00:00:00.000000Z"}})
}

fn widget() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"size": 3, "text": "a few words",
        "parts": [{"name": "one", "weight": 1}, {"name": "two", "weight": 2}]}})
}
