//! What an operator has set: options of `kube-apiserver`.

use crate::server::{Server, until};
use apiserver::api::Options;
use apiserver::bootstrap;
use apiserver::settings::{PortRange, Settings};
use http::Method;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::MemoryStore;
use value::Value;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn with(settings: Settings) -> Options {
    Options { settings, ..Options::default() }
}

/// A server with the namespace `default`.
async fn start(store: Arc<MemoryStore>, options: Options) -> Server {
    let server = Server::on(store, options).await.unwrap();
    bootstrap::run_with(&server.api, &bootstrap::Options::default()).await;
    server
}

fn node_ports(range: &str) -> Options {
    with(Settings { node_ports: PortRange::parse(range).unwrap(), ..Settings::default() })
}

/// A new Service of type NodePort, which asks for a port or (0) for any.
async fn service(server: &Server, port: i64) -> (u16, Value) {
    let body = format!(
        r#"{{"metadata":{{"generateName":"s-"}},"spec":{{"type":"NodePort","ports":[{{"port":80,"nodePort":{port}}}]}}}}"#
    );
    server.call(Method::POST, SERVICES, &body).await
}

fn port(service: &Value) -> i64 {
    service.at("spec").at("ports").items().first().map_or(0, |port| port.at("nodePort").int())
}

/// Upstream: `portallocator/allocator.go`, `portallocator/controller/repair.go`.
#[tokio::test]
async fn node_ports_are_of_the_range() {
    let store = Arc::new(MemoryStore::new());
    let server = start(store.clone(), node_ports("31000-31009")).await;
    let mut taken = BTreeSet::new();
    for _ in 0..10 {
        let (code, service) = service(&server, 0).await;
        assert_eq!(code, 201, "{service:?}");
        taken.insert(port(&service));
    }
    assert_eq!(taken, (31_000..=31_009).collect());
    let (code, full) = service(&server, 0).await;
    let why = "Internal error occurred: failed to allocate a nodePort: range is full";
    assert_eq!((code, full.at("message").str()), (500, why));

    // Another range: Services keep what they have, and nobody else gets it.
    drop(server);
    let server = start(store, node_ports("31005-31010")).await;
    let (code, last) = service(&server, 0).await;
    assert_eq!((code, port(&last)), (201, 31_010));
    for (asked, why) in [
        (31_007, "provided port is already allocated"),
        (31_000, "provided port is not in the valid range. The range of valid ports is 31005-31010"),
    ] {
        let (code, refused) = service(&server, asked).await;
        assert_eq!(code, 422);
        assert!(refused.at("message").str().ends_with(why), "{refused:?}");
    }
    let (_, list) = server.call(Method::GET, SERVICES, "").await;
    let outside = list.at("items").items().iter().find(|service| port(service) == 31_001).unwrap();
    let path = format!("{SERVICES}/{}", outside.at("metadata").at("name").str());
    let mut labelled = outside.clone();
    labelled.object_at("metadata").unwrap().set("labels", value::json::parse(br#"{"a":"b"}"#).unwrap());
    let body = value::json::to_string(&labelled);
    let (code, changed) = server.call(Method::PUT, &path, &body).await;
    assert_eq!((code, port(&changed)), (200, 31_001));
    assert_eq!(server.call(Method::DELETE, &path, "").await.0, 200);
}

/// Upstream: `plugin/pkg/admission/defaulttolerationseconds`.
#[tokio::test]
async fn pods_bear_a_lost_node_for_as_long_as_was_set() {
    let settings = Settings {
        not_ready_toleration_seconds: 7,
        unreachable_toleration_seconds: 0,
        ..Settings::default()
    };
    let server = start(Arc::new(MemoryStore::new()), with(settings)).await;
    let account = r#"{"metadata":{"name":"default"}}"#;
    server.call(Method::POST, "/api/v1/namespaces/default/serviceaccounts", account).await;
    let body = r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    let (code, pod) = server.call(Method::POST, "/api/v1/namespaces/default/pods", body).await;
    assert_eq!(code, 201, "{pod:?}");
    let tolerations = pod.at("spec").at("tolerations").items();
    let seconds: Vec<_> =
        tolerations.iter().map(|t| (t.at("key").str(), t.at("tolerationSeconds").int())).collect();
    assert_eq!(seconds, [("node.kubernetes.io/not-ready", 7), ("node.kubernetes.io/unreachable", 0)]);
}

#[tokio::test]
async fn events_lapse_when_they_were_told_to() {
    let server = start(
        Arc::new(MemoryStore::new()),
        with(Settings { event_ttl: Duration::from_secs(1), ..Settings::default() }),
    )
    .await;
    let path = "/api/v1/namespaces/default/events";
    let body = r#"{"metadata":{"name":"e"},"involvedObject":{"namespace":"default"}}"#;
    assert_eq!(server.call(Method::POST, path, body).await.0, 201);
    let map = r#"{"metadata":{"name":"m"}}"#;
    assert_eq!(server.call(Method::POST, "/api/v1/namespaces/default/configmaps", map).await.0, 201);
    let event = format!("{path}/e");
    until(async || server.call(Method::GET, &event, "").await.0 == 404).await;
    assert_eq!(server.call(Method::GET, "/api/v1/namespaces/default/configmaps/m", "").await.0, 200);
}

/// Upstream: `pkg/registry/core/serviceaccount/storage/token.go`, `pkg/serviceaccount/openidmetadata.go`.
#[tokio::test]
async fn tokens_live_no_longer_than_they_may() {
    let settings = Settings {
        token_expiration_max_seconds: Some(3_600),
        jwks_uri: Some("https://keys.example.com/jwks".into()),
        ..Settings::default()
    };
    let server = start(Arc::new(MemoryStore::new()), with(settings)).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    assert_eq!(server.call(Method::POST, accounts, r#"{"metadata":{"name":"a"}}"#).await.0, 201);
    let asked = r#"{"spec":{"expirationSeconds":7200}}"#;
    let (code, token) = server.call(Method::POST, &format!("{accounts}/a/token"), asked).await;
    assert_eq!(code, 201, "{token:?}");
    assert_eq!(token.at("spec").at("expirationSeconds").int(), 3_600);
    let (_, document) = server.call(Method::GET, "/.well-known/openid-configuration", "").await;
    assert_eq!(document.at("jwks_uri").str(), "https://keys.example.com/jwks");
}
