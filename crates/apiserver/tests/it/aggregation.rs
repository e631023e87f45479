//! A group that another server serves.

use crate::server::{Server, pki, until};
use apiserver::api::Options;
use apiserver::listen::Lanes;
use http::{HeaderMap, Method};
use pki::{AnyClientCertificate, HotCertificate, Leaf, Names, Usage};
use std::sync::Arc;
use tokio::net::TcpListener;
use value::Value;

const DEFINITION: &str = r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.example.org"},"spec":{"group":"example.org","scope":"Cluster","names":{"plural":"things","kind":"Thing"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}"#;
const THING: &str = r#"{"apiVersion":"example.org/v1","kind":"Thing","metadata":{"name":"a"}}"#;
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const ADMIN: [&str; 2] = ["admin", "system:masters"];

/// A server that believes the front proxy, at a port of this machine, under the name `s.n.svc`.
async fn remote() -> (Server, u16) {
    let server = Server::start(Options::default()).await;
    assert_eq!(server.call(Method::POST, DEFINITIONS, DEFINITION).await.0, 201);
    until(|| async { server.call(Method::GET, "/apis/example.org/v1", "").await.0 == 200 }).await;
    let now = jiff::Timestamp::now().as_second();
    let names = Names { dns: vec!["s.n.svc".into()], ..Names::default() };
    let subject = pki::Name::new("s.n.svc", &[]);
    let identity = pki().authority().issue(&subject, &names, Usage::Server, now, 3_600).unwrap();
    let clients = AnyClientCertificate::new(&[pki().front_proxy_authority().certificate()]);
    let tls = pki::server_config(HotCertificate::new(&identity).unwrap(), clients).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = server.api.stopping.subscribe();
    tokio::spawn(apiserver::listen::serve(listener, Arc::new(tls), server.api.clone(), Lanes::here(), stop));
    (server, port)
}

fn api_service(port: u16) -> String {
    use base64::Engine;
    let bundle = pki().authority().certificate().to_pem();
    let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
    format!(
        r#"{{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{{"name":"v1.example.org"}},"spec":{{"group":"example.org","version":"v1","groupPriorityMinimum":100,"versionPriority":10,"caBundle":"{bundle}","service":{{"namespace":"n","name":"s","port":{port}}}}}}}"#
    )
}

async fn condition(server: &Server, name: &str) -> String {
    let (_, object) = server.call(Method::GET, &format!("{API_SERVICES}/{name}"), "").await;
    let condition = object.at("status").at("conditions").items().first().cloned().unwrap_or_default();
    format!(
        "{} {} {}",
        condition.at("status").str(),
        condition.at("reason").str(),
        condition.at("message").str()
    )
}

#[tokio::test]
async fn our_own_groups_are_announced() {
    let server = Server::start(Options::default()).await;
    until(|| async { condition(&server, "v2.autoscaling").await.starts_with("True Local") }).await;
    let (_, list) = server.call(Method::GET, API_SERVICES, "").await;
    let names: Vec<&str> =
        list.at("items").items().iter().map(|o| o.at("metadata").at("name").str()).collect();
    assert!(
        names.contains(&"v1.") && names.contains(&"v1.apps") && !names.contains(&"v1.apiregistration.k8s.io")
    );
    assert_eq!(server.call(Method::POST, DEFINITIONS, DEFINITION).await.0, 201);
    until(|| async { condition(&server, "v1.example.org").await.starts_with("True Local") }).await;
    let definition = format!("{DEFINITIONS}/things.example.org");
    assert_eq!(server.call(Method::DELETE, &definition, "").await.0, 200);
    let path = format!("{API_SERVICES}/v1.example.org");
    until(|| async { server.call(Method::GET, &path, "").await.0 == 404 }).await;
}

#[tokio::test]
async fn another_servers_group_is_served_as_ours() {
    let (remote, port) = remote().await;
    let server = Server::start(Options::default()).await;
    server.api.aggregation.identify(pki().leaf(Leaf::FrontProxyClient));
    let (code, made) = server.call(Method::POST, API_SERVICES, &api_service(port)).await;
    assert_eq!(code, 201, "{}", made.at("message").str());
    until(|| async {
        condition(&server, "v1.example.org").await
            == "False ServiceNotFound service/s in \"n\" is not present"
    })
    .await;
    let things = "/apis/example.org/v1/things";
    let (code, _, body) = server.call_as(&ADMIN, Method::GET, things, "").await;
    assert_eq!((code, &*body), (503, &b"service unavailable\n"[..]));

    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}"#;
    assert_eq!(server.call(Method::POST, "/api/v1/namespaces", namespace).await.0, 201);
    let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"type":"ExternalName","externalName":"localhost"}}"#;
    assert_eq!(server.call(Method::POST, "/api/v1/namespaces/n/services", service).await.0, 201);
    until(|| async { condition(&server, "v1.example.org").await == "True Passed all checks passed" }).await;

    // Requests go through, under the caller's name.
    assert_eq!(server.call(Method::POST, things, THING).await.0, 201);
    let (_, there) = remote.call(Method::GET, &format!("{things}/a"), "").await;
    assert_eq!(there.at("kind").str(), "Thing");
    let visitor = ["visitor", "system:authenticated"];
    let (code, _, body) = server.call_as(&visitor, Method::GET, things, "").await;
    let refused = value::json::parse(&body).unwrap();
    assert_eq!(code, 403);
    assert!(refused.at("message").str().contains("User \"visitor\" cannot list"));

    // It stands in the documents.
    let groups = |list: &Value| -> Vec<String> {
        list.at("groups").items().iter().map(|g| g.at("name").str().to_owned()).collect()
    };
    let (_, list) = server.call(Method::GET, "/apis", "").await;
    assert_eq!(groups(&list).last().map(String::as_str), Some("example.org"));
    let (_, group) = server.call(Method::GET, "/apis/example.org", "").await;
    assert_eq!(group.at("preferredVersion").at("groupVersion").str(), "example.org/v1");
    let (_, version) = server.call(Method::GET, "/apis/example.org/v1", "").await;
    assert_eq!(version.at("resources").items()[0].at("name").str(), "things");
    let aggregated = || async {
        let mut headers = HeaderMap::new();
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        headers.insert(http::header::ACCEPT, accept.parse().unwrap());
        let list = server.get_with("/apis", headers).await;
        let item = list.at("items").items().last().cloned().unwrap_or_default();
        let version = item.at("versions").items().first().cloned().unwrap_or_default();
        let resource = version.at("resources").items().first().map(|r| r.at("resource").str().to_owned());
        (item.at("metadata").at("name").str().to_owned(), version.at("freshness").str().to_owned(), resource)
    };
    until(|| async { aggregated().await == ("example.org".into(), "Current".into(), Some("things".into())) })
        .await;
    until(|| async {
        let (_, index) = server.call(Method::GET, "/openapi/v3", "").await;
        let url = index.at("paths").at("apis/example.org/v1").at("serverRelativeURL").str().to_owned();
        !url.is_empty() && server.call(Method::GET, &url, "").await.1.at("paths").at(things) != &Value::Null
    })
    .await;
    until(|| async {
        let (_, document) = server.call(Method::GET, "/openapi/v2", "").await;
        let paths = document.at("paths");
        !paths.at(things).is_null() && !paths.at("/api/v1/pods").is_null()
    })
    .await;

    // Without a bundle those count whom the machine believes.
    let path = format!("{API_SERVICES}/v1.example.org");
    let (_, mut object) = server.call(Method::GET, &path, "").await;
    if let Some(spec) = object.object_at("spec") {
        spec.set("caBundle", Value::Null);
    }
    let body = String::from_utf8(value::json::to_vec(&object)).unwrap();
    let (code, answer) = server.call(Method::PUT, &path, &body).await;
    assert_eq!(code, 200, "{answer:?}");
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    until(|| async {
        let told = condition(&server, "v1.example.org").await;
        told.starts_with("False FailedDiscoveryCheck failing or missing response from ")
            && told.ends_with(unknown)
    })
    .await;
    let (_, _, metrics) = server.call_as(&["admin", "system:masters"], Method::GET, "/metrics", "").await;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    // All tests of this process are counted together.
    for start in [
        "aggregator_unavailable_apiservice{name=\"v1.example.org\"} 1",
        "aggregator_unavailable_apiservice_total{name=\"v1.example.org\",reason=\"FailedDiscoveryCheck\"} ",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(start)), "{start}");
    }
    drop(remote);
}
