//! What admission does, and what it is asked.

use super::{ACCOUNTS, JSON, PODS, check, send, started};
use crate::server::{Server, until};
use apiserver::admission::Admission;
use apiserver::api::Options;
use std::sync::Arc;

const LIMITS: &str = "/api/v1/namespaces/default/limitranges";

/// What is left of a pod's requests, with the limits of its namespace and without.
#[tokio::test]
async fn a_plugin_that_is_off_has_no_say() {
    let limits =
        r#"{"metadata":{"name":"a"},"spec":{"limits":[{"type":"Container","default":{"cpu":"1"}}]}}"#;
    let account = r#"{"metadata":{"name":"default"}}"#;
    let pod = r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    for (off, resources) in [
        (&[][..], r#"{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}"#),
        // Upstream has `AlwaysPullImages` off without being told.
        (&["LimitRanger", "AlwaysPullImages"], "{}"),
    ] {
        let admission = Arc::new(Admission::without(off).unwrap());
        let server = Server::start(Options { admission, ..Options::default() }).await;
        apiserver::bootstrap::run(&server.api).await;
        check(
            &server,
            &[
                ("POST", LIMITS, JSON, limits, 201, "/metadata/name", r#""a""#),
                ("POST", ACCOUNTS, JSON, account, 201, "/metadata/name", r#""default""#),
                // Plugins look at the cache, which is as new as a list then.
                ("GET", LIMITS, JSON, "", 200, "/items/0/metadata/name", r#""a""#),
                ("POST", PODS, JSON, pod, 201, "/spec/containers/0/resources", resources),
            ],
        )
        .await;
    }
    assert_eq!(Admission::without(&["Limits"]).unwrap_err(), r#"admission plugin "Limits" is unknown"#);
}

#[tokio::test]
async fn evictions_are_not_asked_about_as_deletions() {
    let server = started().await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = r#"{"metadata":{"name":"p"},"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["DELETE"],"resources":["pods"]}]},"validations":[{"expression":"false"}]}}"#;
    let binding = r#"{"metadata":{"name":"p"},"spec":{"policyName":"p","validationActions":["Deny"]}}"#;
    let account = r#"{"metadata":{"name":"default"}}"#;
    let pod = r#"{"metadata":{"name":"a"},"spec":{"nodeName":"n","automountServiceAccountToken":false,"containers":[{"name":"c","image":"i"}]}}"#;
    for (path, body) in [
        (format!("{group}/validatingadmissionpolicies"), policy),
        (format!("{group}/validatingadmissionpolicybindings"), binding),
        ("/api/v1/namespaces/default/serviceaccounts".to_owned(), account),
        ("/api/v1/namespaces/default/pods".to_owned(), pod),
    ] {
        assert_eq!(send(&server, "POST", &path, JSON, body).await.0, 201, "{path}");
    }
    let item = "/api/v1/namespaces/default/pods/a";
    until(async || send(&server, "DELETE", &format!("{item}?dryRun=All"), JSON, "").await.0 == 422).await;
    let eviction = r#"{"metadata":{"name":"a"}}"#;
    assert_eq!(send(&server, "POST", &format!("{item}/eviction"), JSON, eviction).await.0, 201);
}
