//! A pod on a node is changed to what the node says it can do.

use crate::server::{Server, until};
use apiserver::api::Options;
use http::Method;

const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"status":{"allocatable":{"cpu":"4","memory":"4Gi","pods":"9"}}}"#;
const NAMESPACE: &str = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"s"}}"#;
const ACCOUNT: &str = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"nodeName":"n","resources":{"requests":{"cpu":"1"}},"containers":[{"name":"c","image":"i"}]}}"#;

#[tokio::test]
async fn a_bound_pod_needs_the_features_of_its_node() {
    let server = Server::start(Options::default()).await;
    let pods = "/api/v1/namespaces/s/pods";
    let accounts = "/api/v1/namespaces/s/serviceaccounts";
    let objects =
        [("/api/v1/nodes", NODE), ("/api/v1/namespaces", NAMESPACE), (accounts, ACCOUNT), (pods, POD)];
    for (path, object) in objects {
        let (code, made) = server.call(Method::POST, path, object).await;
        assert_eq!(code, 201, "{path}: {}", made.at("message").str());
    }
    let path = format!("{pods}/p/resize");
    let resize = |mut pod: value::Value| {
        let text = r#"{"requests":{"cpu":"2"}}"#;
        let resources = value::json::parse(text.as_bytes()).unwrap();
        if let Some(spec) = pod.object_at("spec") {
            spec.set("resources", resources);
        }
        String::from_utf8(value::json::to_vec(&pod)).unwrap()
    };
    let (_, pod) = server.call(Method::GET, &format!("{pods}/p"), "").await;
    let (code, refused) = server.call(Method::PUT, &path, &resize(pod.clone())).await;
    let want = r#"pods "p" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which are not available on node "n""#;
    assert_eq!((code, refused.at("message").str()), (403, want));
    let (_, mut node) = server.call(Method::GET, "/api/v1/nodes/n", "").await;
    if let Some(status) = node.object_at("status") {
        let declared = vec!["Another", "InPlacePodLevelResourcesVerticalScaling"];
        status.set("declaredFeatures", declared.into_iter().map(value::Value::from).collect::<Vec<_>>());
    }
    let node = String::from_utf8(value::json::to_vec(&node)).unwrap();
    let (code, changed) = server.call(Method::PUT, "/api/v1/nodes/n/status", &node).await;
    assert_eq!(code, 200, "{}", changed.at("message").str());
    // Admission looks at what has been published, which may be a moment behind.
    until(|| async { server.call(Method::PUT, &path, &resize(pod.clone())).await.0 == 200 }).await;
    let (_, resized) = server.call(Method::GET, &format!("{pods}/p"), "").await;
    assert_eq!(resized.at("spec").at("resources").at("requests").at("cpu").str(), "2");
}
