//! The objects that every cluster has: made when the server starts and put back when somebody deletes them.
//!
//! Upstream: `pkg/controlplane/controller`, `pkg/registry/rbac/rest`, `pkg/registry/flowcontrol/rest`, and what
//! kubeadm adds.

mod addresses;
mod approver;
mod configmaps;
pub mod endpoints;
mod flow;
mod identity;
mod services;

use crate::api::Api;
use crate::health::Hook;
use auth::UserInfo;
use auth::policy::Action;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use value::{Value, json};

/// How often it is looked after what must stay, as upstream's endpoint reconciler.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Objects that are seldom deleted are looked after every minute, as upstream's.
const ROUNDS_A_MINUTE: u64 = 6;

/// What the server may be told of the cluster, for the objects that say it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The name of this machine; empty for no Lease of this server's own.
    pub host_name: String,
    /// The address of the cluster's DNS, where it is built in: the Service `kube-dns` then has no selector.
    pub cluster_dns: Option<IpAddr>,
    /// The authority of client certificates (PEM).
    pub client_ca: String,
    /// The authority of front proxies (PEM).
    pub request_header_ca: String,
    /// Where new nodes find the server (`https://HOST:PORT`); empty for no `cluster-info`.
    pub server_url: String,
}

const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];

/// Source: `pkg/apis/scheduling/helpers.go`.
const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// The server's own identity, as upstream's loopback client.
pub fn loopback() -> Arc<UserInfo> {
    Arc::new(UserInfo::new("system:apiserver", &[auth::user::SYSTEM_MASTERS, auth::user::AUTHENTICATED]))
}

/// Makes what is missing, as far as the server knows it alone.
pub async fn run(api: &Arc<Api>) {
    run_with(api, &Options::default()).await;
}

/// Makes what is missing. What does not need each other is written at once: a new cluster is 190 objects, and a
/// slow disk takes ten milliseconds for each commit.
pub async fn run_with(api: &Arc<Api>, options: &Options) {
    services::tell_of_other_range(api);
    namespaces(api).await;
    tokio::join!(
        priority_classes(api),
        policies(api),
        flow(api),
        services::ensure(api, options),
        configmaps::ensure(api, options),
    );
}

/// Makes the namespaces of the system; deleted ones come back, as upstream's.
async fn namespaces(api: &Arc<Api>) {
    let missing = NAMESPACES.into_iter().filter(|name| find(api, "", "namespaces", "", name).is_none());
    let objects = missing.map(|name| object("v1", "Namespace", "", name)).collect::<Vec<_>>();
    let are_there = ensure_all(api, "/api/v1/namespaces", &objects).await;
    api.health.note(Hook::Namespaces, are_there);
}

/// Makes flow schemas and priority levels.
async fn flow(api: &Arc<Api>) {
    let are_there = flow::ensure(api).await;
    api.health.note(Hook::Flow, are_there);
}

async fn priority_classes(api: &Arc<Api>) {
    let classes = PRIORITY_CLASSES.map(|(name, value, description)| {
        let mut class = object("scheduling.k8s.io/v1", "PriorityClass", "", name);
        class.set("value", value);
        class.set("description", description);
        class
    });
    let are_there = ensure_all(api, "/apis/scheduling.k8s.io/v1/priorityclasses", &classes).await;
    api.health.note(Hook::PriorityClasses, are_there);
}

/// Keeps the endpoints of the Service `kubernetes` and this server's Lease current until the server stops.
/// To be started once the server listens.
pub async fn keep(api: Arc<Api>, options: Options) {
    let holder = format!("{}_{}", identity::name(&options.host_name), api.new_uid());
    let address = api.config.advertise_address;
    // Endpoints must be reachable by others.
    let is_reachable = !(address.is_loopback() || address.is_unspecified());
    if !is_reachable {
        tracing::warn!(%address, "pods cannot reach this server at its own address; advertise another");
    }
    for round in 1_u64.. {
        if !api.health.all_done() {
            // A full disk, say.
            run_with(&api, &options).await;
        }
        services::ensure(&api, &options).await;
        if round.is_multiple_of(ROUNDS_A_MINUTE) {
            namespaces(&api).await;
            flow(&api).await;
            addresses::repair(&api, &options.host_name).await;
        }
        if is_reachable && let Err(error) = endpoints::reconcile(&api, endpoints::Here::Yes).await {
            tracing::warn!(error, "cannot reconcile the endpoints of the Service kubernetes");
        }
        identity::renew(&api, &options.host_name, &holder).await;
        tokio::select! {
            () = tokio::time::sleep(KEEP_INTERVAL) => {}
            () = api.shutdown_signal() => return,
        }
    }
}

/// Takes this server out of the endpoints: clients go to others, or are refused at once. To be called before
/// the server stops, when `keep` no longer runs.
pub async fn leave(api: &Arc<Api>) {
    if let Err(error) = endpoints::reconcile(api, endpoints::Here::No).await {
        tracing::warn!(error, "cannot take this server out of the endpoints of the Service kubernetes");
    }
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Upstream's policy and our own.
async fn policies(api: &Arc<Api>) {
    let are_there = administrators(api).await && {
        let (upstream, own) = tokio::join!(policy(api), own_policy(api));
        upstream && own
    };
    api.health.note(Hook::Policy, are_there);
}

/// Binds the administrators, once, in a new cluster: whoever unbinds them means it. Their role comes after them: a
/// cluster that has it is not new.
async fn administrators(api: &Arc<Api>) -> bool {
    if find(api, auth::rbac::GROUP, "clusterroles", "", "cluster-admin").is_some() {
        return true;
    }
    ensure(api, &format!("{RBAC}/clusterrolebindings"), &auth::policy::administrators()).await
}

/// What this server needs beyond upstream's policy.
async fn own_policy(api: &Arc<Api>) -> bool {
    ensure(api, &format!("{RBAC}/clusterroles"), &approver::role()).await
        & ensure(api, &format!("{RBAC}/clusterrolebindings"), &approver::binding()).await
}

/// Makes and repairs the RBAC policy.
async fn policy(api: &Arc<Api>) -> bool {
    let stored = |object: &Value| {
        let hub = api.hub(auth::rbac::GROUP, auth::policy::resource_of(object))?;
        let metadata = object.at("metadata");
        let key = hub.cache_key(metadata.at("namespace").str(), metadata.at("name").str());
        Some(hub.tree(&*hub.cache.get(&key)?))
    };
    let actions = auth::policy::plan(auth::policy::objects(), stored);
    join_all(actions.into_iter().map(|action| act(api, action))).await.into_iter().all(|done| done)
}

async fn act(api: &Arc<Api>, action: Action) -> bool {
    let (Action::Create(object) | Action::Update(object) | Action::Recreate(object)) = &action;
    let metadata = object.at("metadata");
    let namespace = metadata.at("namespace").str();
    let scope = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    let resource = auth::policy::resource_of(object);
    let collection = format!("/apis/{}/v1{scope}/{resource}", auth::rbac::GROUP);
    let item = format!("{collection}/{}", metadata.at("name").str());
    let result = match &action {
        Action::Create(_) => return ensure(api, &collection, object).await,
        Action::Update(_) => call(api, Method::PUT, &item, Some(object)).await,
        Action::Recreate(_) => match call(api, Method::DELETE, &item, None).await {
            Ok(_) => call(api, Method::POST, &collection, Some(object)).await,
            Err(error) => Err(error),
        },
    };
    report(result, &item)
}

/// Whether it was done; says so if it was not.
fn report(result: Result<(u16, Value), http::Error>, path: &str) -> bool {
    match result {
        Ok((200..=299, _)) => return true,
        Ok((code, answer)) => {
            tracing::error!(
                path,
                code,
                message = answer.at("message").str(),
                "cannot repair an object of the system"
            );
        }
        Err(error) => tracing::error!(path, %error, "cannot repair an object of the system"),
    }
    false
}

/// An object with a name, and a namespace unless that is empty.
fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    let mut metadata = Value::object();
    metadata.set("name", name);
    if !namespace.is_empty() {
        metadata.set("namespace", namespace);
    }
    let mut object = Value::object();
    object.set("apiVersion", api_version);
    object.set("kind", kind);
    object.set("metadata", metadata);
    object
}

/// An object of maps with these entries.
fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let mut map = Value::object();
    for (key, value) in entries {
        map.set(key, value);
    }
    map
}

/// An object as the cache has it.
fn find(api: &Api, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
    let hub = api.hub(group, resource)?;
    let entry = hub.get(namespace, name)?;
    Some(hub.tree(&entry))
}

/// Makes objects of one collection unless they are there; false if one is not there then.
async fn ensure_all(api: &Arc<Api>, collection: &str, objects: &[Value]) -> bool {
    let made = join_all(objects.iter().map(|object| ensure(api, collection, object))).await;
    made.into_iter().all(|is_there| is_there)
}

/// Makes an object unless it is there; false if it is not there then.
async fn ensure(api: &Arc<Api>, collection: &str, object: &Value) -> bool {
    match call(api, Method::POST, collection, Some(object)).await {
        Ok((201 | 409, _)) => return true,
        Ok((code, answer)) => {
            let name = object.at("metadata").at("name").str();
            tracing::error!(
                collection,
                name,
                code,
                message = answer.at("message").str(),
                "cannot make an object of the system"
            );
        }
        Err(error) => tracing::error!(collection, %error, "cannot make an object of the system"),
    }
    false
}

/// Sends a JSON request through the door as the server itself; a patch is a merge patch, unless it names a
/// field manager of its own: then it is applied.
///
/// # Errors
/// When request or answer make no sense, which is a bug.
pub async fn call(
    api: &Arc<Api>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), http::Error> {
    let bytes = body.map(json::to_vec).unwrap_or_default();
    let content_type = match method {
        Method::PATCH if path.contains("?fieldManager=") => "application/apply-patch+yaml",
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::USER_AGENT, "kube-apiserver/v1.36")
        .body(Bytes::from(bytes))?;
    let response = api.call(loopback(), request).await;
    let code = response.status().as_u16();
    // What breaks off is a stream of another server, which no object of the system comes from.
    let body = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    Ok((code, json::parse(&body).unwrap_or_default()))
}
