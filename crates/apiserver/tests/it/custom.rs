//! Custom kinds as they come and go.

use crate::server::{Server, until};
use apiserver::api::Options;
use http::Method;
use value::Value;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A definition of cluster-scoped `things` in a group of their own, with a status that has a default.
fn definition(group: &str, annotations: &str) -> String {
    let schema = r#"{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-preserve-unknown-fields":true},"status":{"type":"object","default":{"phase":"Pending"},"properties":{"phase":{"type":"string"}}}}}"#;
    format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"things.{group}","annotations":{annotations}}},"spec":{{"group":"{group}","scope":"Cluster","names":{{"plural":"things","kind":"Thing"}},"versions":[{{"name":"v1","served":true,"storage":true,"subresources":{{"status":{{}}}},"schema":{{"openAPIV3Schema":{schema}}}}}]}}}}"#
    )
}

fn condition<'a>(definition: &'a Value, ty: &str) -> &'a Value {
    let conditions = definition.at("status").at("conditions").items();
    conditions.iter().find(|c| c.at("type").str() == ty).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_it_established_finds_it_served() {
    let server = Server::start(Options::default()).await;
    for i in 0..20 {
        let group = format!("g{i}.example.com");
        let (code, _) = server.call(Method::POST, DEFINITIONS, &definition(&group, "{}")).await;
        assert_eq!(code, 201);
        let path = format!("{DEFINITIONS}/things.{group}");
        let established = || async {
            let (_, definition) = server.call(Method::GET, &path, "").await;
            condition(&definition, "Established").at("status").str() == "True"
        };
        until(established).await;
        let things = format!("/apis/{group}/v1/things");
        let thing = format!(
            r#"{{"apiVersion":"{group}/v1","kind":"Thing","metadata":{{"name":"a"}},"status":{{"phase":"Done"}}}}"#
        );
        // The status of a new object is nobody's to write, and has its default.
        let (code, made) = server.call(Method::POST, &things, &thing).await;
        assert_eq!((code, made.at("status").at("phase").str()), (201, "Pending"));
        let (_, read) = server.call(Method::GET, &format!("{things}/a"), "").await;
        assert_eq!(read, made);
    }
}

/// Upstream's tests find a kind in discovery and change its definition at once: what is written afterwards would be a
/// conflict for them.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_it_in_discovery_sees_it_established() {
    let server = Server::start(Options::default()).await;
    for i in 0..20 {
        let group = format!("d{i}.example.com");
        let (code, _) = server.call(Method::POST, DEFINITIONS, &definition(&group, "{}")).await;
        assert_eq!(code, 201);
        let version = format!("/apis/{group}/v1");
        until(|| async { server.call(Method::GET, &version, "").await.0 == 200 }).await;
        let (_, definition) = server.call(Method::GET, &format!("{DEFINITIONS}/things.{group}"), "").await;
        assert_eq!(condition(&definition, "Established").at("status").str(), "True", "{group}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_the_project_tell_of_their_approval() {
    const APPROVAL: &str = "KubernetesAPIApprovalPolicyConformant";
    let server = Server::start(Options::default()).await;
    for (group, annotation, want) in [
        (
            "a.k8s.io",
            "unapproved, a trial",
            ("False", "UnapprovedAnnotation", r#"not approved: "unapproved, a trial""#),
        ),
        (
            "b.k8s.io",
            "https://example.com/1",
            ("True", "ApprovedAnnotation", "approved in https://example.com/1"),
        ),
        ("c.example.com", "", ("", "", "")),
    ] {
        let annotations = format!(r#"{{"api-approved.kubernetes.io":"{annotation}"}}"#);
        let (code, made) = server.call(Method::POST, DEFINITIONS, &definition(group, &annotations)).await;
        assert_eq!(code, 201, "{}", made.at("message").str());
        let path = format!("{DEFINITIONS}/things.{group}");
        until(|| async {
            let (_, definition) = server.call(Method::GET, &path, "").await;
            condition(&definition, "Established").at("status").str() == "True"
        })
        .await;
        let (_, definition) = server.call(Method::GET, &path, "").await;
        let told = condition(&definition, APPROVAL);
        assert_eq!(
            (told.at("status").str(), told.at("reason").str(), told.at("message").str()),
            want,
            "{group}"
        );
    }
}
