//! What others must know to trust the cluster: aggregated API servers its authorities, new nodes its address.
//!
//! Upstream: `pkg/controlplane/controller/clusterauthenticationtrust`, `cmd/kubeadm/app/phases/bootstraptoken`.

use super::{Options, call, ensure as make, find, map, object, report};
use crate::api::Api;
use crate::health::Hook;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use std::sync::Arc;
use value::Value;

/// Makes them, and brings the authorities up to date.
pub(super) async fn ensure(api: &Arc<Api>, options: &Options) {
    let mut are_there = true;
    if !options.client_ca.is_empty() {
        let name = "extension-apiserver-authentication";
        are_there &= put(api, "kube-system", name, authentication(options)).await;
    }
    if !options.server_url.is_empty() {
        let kubeconfig = map([("kubeconfig", kubeconfig(options).into())]);
        are_there &= put(api, "kube-public", "cluster-info", kubeconfig).await;
        let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-public";
        are_there &= make(api, &format!("{rbac}/roles"), &role()).await;
        are_there &= make(api, &format!("{rbac}/rolebindings"), &binding()).await;
    }
    if find(api, "", "configmaps", "kube-system", TRACKING).is_none() {
        let today = api.now().to_string().chars().take("2026-01-01".len()).collect::<String>();
        are_there &= put(api, "kube-system", TRACKING, map([("since", today.into())])).await;
    }
    api.health.note(Hook::Authorities, are_there);
}

/// Since when the use of legacy tokens is noted (`pkg/controlplane/controller/legacytokentracking`).
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";

/// Sets the given keys; others (signatures of bootstrap tokens) are left alone.
async fn put(api: &Arc<Api>, namespace: &str, name: &str, data: Value) -> bool {
    let collection = format!("/api/v1/namespaces/{namespace}/configmaps");
    let Some(found) = find(api, "", "configmaps", namespace, name) else {
        let mut map = object("v1", "ConfigMap", namespace, name);
        map.set("data", data);
        return make(api, &collection, &map).await;
    };
    if data.entries().all(|(key, value)| found.at("data").at(key) == value) {
        return true;
    }
    let path = format!("{collection}/{name}");
    report(call(api, Method::PATCH, &path, Some(&map([("data", data)]))).await, &path)
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const ROLE: &str = "kubeadm:bootstrap-signer-clusterinfo";

/// Who has no certificate yet may read where the cluster is: what is in it is public, and signed by bootstrap
/// tokens.
fn role() -> Value {
    let list = |text: &str| Value::Array(vec![text.into()]);
    let rule = map([
        ("apiGroups", list("")),
        ("resources", list("configmaps")),
        ("resourceNames", list("cluster-info")),
        ("verbs", list("get")),
    ]);
    let mut role = object(RBAC, "Role", "kube-public", ROLE);
    role.set("rules", Value::Array(vec![rule]));
    role
}

fn binding() -> Value {
    let group = "rbac.authorization.k8s.io";
    let anonymous =
        map([("kind", "User".into()), ("apiGroup", group.into()), ("name", "system:anonymous".into())]);
    let role = map([("apiGroup", group.into()), ("kind", "Role".into()), ("name", ROLE.into())]);
    let mut binding = object(RBAC, "RoleBinding", "kube-public", ROLE);
    binding.set("roleRef", role);
    binding.set("subjects", Value::Array(vec![anonymous]));
    binding
}

fn authentication(options: &Options) -> Value {
    let mut data = map([("client-ca-file", options.client_ca.as_str().into())]);
    if !options.request_header_ca.is_empty() {
        for (key, value) in [
            ("requestheader-client-ca-file", options.request_header_ca.as_str()),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
            ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ] {
            data.set(key, value);
        }
    }
    data
}

/// A kubeconfig without a user, as kubeadm writes it.
fn kubeconfig(options: &Options) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: {}\n  name: \"\"\n\
         contexts: null\ncurrent-context: \"\"\nkind: Config\nusers: null\n",
        STANDARD.encode(&options.client_ca),
        options.server_url
    )
}
