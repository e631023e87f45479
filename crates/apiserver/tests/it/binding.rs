//! A pod gets its node, and is evicted.

use crate::server::Server;
use apiserver::api::Options;
use http::Method;
use value::json;

const PODS: &str = "/api/v1/namespaces/default/pods";
const BINDING: &str =
    r#"{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}"#;

/// A node and a pod.
async fn start() -> Server {
    let server = Server::start(Options::default()).await;
    let objects = [
        ("/api/v1/namespaces", r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}}"#),
        (
            "/api/v1/namespaces/default/serviceaccounts",
            r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#,
        ),
        ("/api/v1/nodes", r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}}"#),
        (
            PODS,
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"i"}]}}"#,
        ),
    ];
    for (path, object) in objects {
        let (code, answer) = server.call(Method::POST, path, object).await;
        assert_eq!(code, 201, "{}", answer.at("message").str());
    }
    server
}

#[tokio::test]
async fn a_bound_pod_is_not_nominated_any_more() {
    let server = start().await;
    let path = format!("{PODS}/p");
    let (_, mut pod) = server.call(Method::GET, &path, "").await;
    pod.object_at("status").unwrap().set("nominatedNodeName", "other");
    let body = String::from_utf8(json::to_vec(&pod)).unwrap();
    let (code, pod) = server.call(Method::PUT, &format!("{path}/status"), &body).await;
    assert_eq!((code, pod.at("status").at("nominatedNodeName").str()), (200, "other"));
    assert_eq!(server.call(Method::POST, &format!("{path}/binding"), BINDING).await.0, 201);
    server.api.published.reached(server.store.revision().await.unwrap()).await;
    let (_, pod) = server.call(Method::GET, &path, "").await;
    assert_eq!(pod.at("spec").at("nodeName").str(), "n");
    assert!(pod.at("status").at("nominatedNodeName").is_null());
    let conditions = pod.at("status").at("conditions").items();
    assert!(
        conditions.iter().any(|c| c.at("type").str() == "PodScheduled" && c.at("status").str() == "True")
    );
}

/// Owners tell an eviction from a failure by it: a Job that ignores disruptions, for one.
#[tokio::test]
async fn an_evicted_pod_says_so() {
    let server = start().await;
    let path = format!("{PODS}/p");
    assert_eq!(server.call(Method::POST, &format!("{path}/binding"), BINDING).await.0, 201);
    let evict = |version: &str| {
        format!(
            r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"p"}},
                "deleteOptions":{{"preconditions":{{"resourceVersion":"{version}"}}}}}}"#
        )
    };
    let eviction = format!("{path}/eviction");
    let (code, answer) = server.call(Method::POST, &eviction, &evict("1")).await;
    assert_eq!(code, 409);
    assert!(
        answer.at("message").str().contains("the ResourceVersion in the precondition (1) does not match")
    );
    server.api.published.reached(server.store.revision().await.unwrap()).await;
    let (_, pod) = server.call(Method::GET, &path, "").await;
    let version = pod.at("metadata").at("resourceVersion").str();
    let (code, answer) = server.call(Method::POST, &eviction, &evict(version)).await;
    assert_eq!(code, 201, "{}", answer.at("message").str());
    server.api.published.reached(server.store.revision().await.unwrap()).await;
    let (_, pod) = server.call(Method::GET, &path, "").await;
    assert!(!pod.at("metadata").at("deletionTimestamp").is_null());
    let conditions = pod.at("status").at("conditions").items();
    let target = conditions.iter().find(|c| c.at("type").str() == "DisruptionTarget").unwrap();
    assert_eq!(
        (target.at("status").str(), target.at("reason").str(), target.at("message").str()),
        ("True", "EvictionByEvictionAPI", "Eviction API: evicting")
    );
    assert!(conditions.iter().any(|c| c.at("type").str() == "PodScheduled"));
}
