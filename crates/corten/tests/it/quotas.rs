//! What quotas count, by a whole control plane.

use crate::parts::{get, send};
use crate::process::{Api, until};
use http::Method;
use serde_json::json;

const NAMESPACE: &str = "/api/v1/namespaces/default";

/// Upstream: `pkg/quota/v1/install/update_filter.go`, "when scope changed".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_gets_a_deadline_leaves_a_quota_of_pods_without() {
    let root = tempfile::tempdir().unwrap();
    let server = Api::whole(root.path());
    let client = server.client();
    let used = async |name: &str| {
        get(&client, &format!("{NAMESPACE}/resourcequotas/{name}")).await["status"]["used"]["pods"].clone()
    };
    let scopes = ["Terminating", "NotTerminating"];
    for scope in scopes {
        let name = scope.to_lowercase();
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name},
            "spec": {"hard": {"pods": "5"}, "scopes": [scope]}});
        send(&client, Method::POST, &format!("{NAMESPACE}/resourcequotas"), "application/json", quota).await;
        until("a count", async || used(&name).await == "0").await;
    }
    let account = format!("{NAMESPACE}/serviceaccounts/default");
    until("an account", async || get(&client, &account).await.is_object()).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    send(&client, Method::POST, &format!("{NAMESPACE}/pods"), "application/json", pod).await;
    until("a pod counted", async || used("notterminating").await == "1").await;
    assert_eq!(used("terminating").await, "0");

    let deadline = json!({"spec": {"activeDeadlineSeconds": 3600}});
    let path = format!("{NAMESPACE}/pods/p");
    send(&client, Method::PATCH, &path, "application/merge-patch+json", deadline).await;
    until("a pod that moved", async || used("notterminating").await == "0").await;
    // Admission counts it each time that the patch is tried, until the controller has counted.
    until("one pod counted", async || used("terminating").await == "1").await;
}
