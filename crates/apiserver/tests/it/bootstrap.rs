//! The objects that every cluster has.

use crate::server::Server;
use apiserver::bootstrap;
use http::Method;
use std::time::Duration;

const ADMINISTRATORS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:cluster-admins";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";

fn options() -> bootstrap::Options {
    bootstrap::Options {
        host_name: "h".into(),
        cluster_dns: "10.96.0.10".parse().ok(),
        client_ca: "CA".into(),
        request_header_ca: "RH".into(),
        server_url: "https://10.0.0.1:6443".into(),
    }
}

async fn code(server: &Server, path: &str) -> u16 {
    server.call(Method::GET, path, "").await.0
}

/// Lets the cache show what was written.
async fn settle(server: &Server) {
    server.api.published.reached(server.store.revision().await.unwrap()).await;
}

/// By the role a cluster is known to be no longer new: who is bound once must be bound by then.
#[tokio::test]
async fn the_administrators_are_bound_before_there_is_their_role() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &options()).await;
    let mut revisions = Vec::new();
    for path in [ADMINISTRATORS, "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin"] {
        let (_, object) = server.call(Method::GET, path, "").await;
        revisions.push(object.at("metadata").at("resourceVersion").str().parse::<u64>().unwrap());
    }
    assert!(revisions[0] < revisions[1], "{revisions:?}");
}

#[tokio::test]
async fn are_made_and_come_back() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &options()).await;
    let flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
    for path in [
        "/api/v1/namespaces/kube-node-lease",
        "/api/v1/namespaces/default/services/kubernetes",
        "/api/v1/namespaces/kube-system/services/kube-dns",
        "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
        "/api/v1/namespaces/kube-public/configmaps/cluster-info",
        "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
        "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1",
        "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
        &format!("{flow}/flowschemas/kube-system-service-accounts"),
        &format!("{flow}/prioritylevelconfigurations/global-default"),
        ADMINISTRATORS,
    ] {
        assert_eq!(code(&server, path).await, 200, "{path}");
    }
    let (_, range) = server.call(Method::GET, "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", "").await;
    settle(&server).await;
    bootstrap::run_with(&server.api, &options()).await;
    let (_, again) = server.call(Method::GET, "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", "").await;
    assert_eq!(range.at("spec"), again.at("spec"));
    assert_eq!(again.at("status").at("conditions").items()[0].at("status").str(), "True");
    // What is deleted comes back, but not the administrators: who deletes their binding means it.
    let schema = format!("{flow}/flowschemas/probes");
    for path in [ADMINISTRATORS, &schema] {
        assert_eq!(server.call(Method::DELETE, path, "").await.0, 200);
    }
    settle(&server).await;
    bootstrap::run_with(&server.api, &options()).await;
    assert_eq!((code(&server, ADMINISTRATORS).await, code(&server, &schema).await), (404, 200));
}

#[tokio::test]
async fn endpoints_come_and_go_with_the_server() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &options()).await;
    let keeping = tokio::spawn(bootstrap::keep(server.api.clone(), options()));
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let there = async {
        loop {
            let (_, list) = server.call(Method::GET, leases, "").await;
            if !list.at("items").items().is_empty() {
                return list.at("items").items()[0].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let lease = tokio::time::timeout(Duration::from_secs(60), there).await.unwrap();
    let labels = lease.at("metadata").at("labels");
    assert_eq!(labels.at("apiserver.kubernetes.io/identity").str(), "kube-apiserver");
    // The lease is the last thing of a round.
    let (_, endpoints) = server.call(Method::GET, ENDPOINTS, "").await;
    let subset = &endpoints.at("subsets").items()[0];
    assert_eq!(subset.at("addresses").items()[0].at("ip").str(), "10.0.0.1");
    assert_eq!(subset.at("ports").items()[0].at("port").as_i64(), Some(6443));
    let (_, slice) = server.call(Method::GET, SLICE, "").await;
    assert_eq!(slice.at("endpoints").items().len(), 1);
    keeping.abort();
    settle(&server).await;
    bootstrap::leave(&server.api).await;
    let (_, endpoints) = server.call(Method::GET, ENDPOINTS, "").await;
    let (_, slice) = server.call(Method::GET, SLICE, "").await;
    assert!(endpoints.at("subsets").items().is_empty() && slice.at("endpoints").items().is_empty());
}

/// Who deletes the address of a Service by hand has it taken again, and is told.
#[tokio::test(start_paused = true)]
async fn addresses_of_services_are_repaired() {
    const ADDRESS: &str = "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1";
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &options()).await;
    settle(&server).await;
    assert_eq!(server.call(Method::DELETE, ADDRESS, "").await.0, 200);
    settle(&server).await;
    assert_eq!(code(&server, ADDRESS).await, 404);
    let keeping = tokio::spawn(bootstrap::keep(server.api.clone(), options()));
    let told = async {
        loop {
            let path = "/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=reason%3DClusterIPNotAllocated";
            let (_, events) = server.call(Method::GET, path, "").await;
            if let Some(event) = events.at("items").items().first() {
                return event.at("note").str().to_owned();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let note = tokio::time::timeout(Duration::from_secs(600), told).await.unwrap();
    assert_eq!(note, "Cluster IP [IPv4]: 10.96.0.1 is not allocated; repairing");
    let (_, address) = server.call(Method::GET, ADDRESS, "").await;
    assert_eq!(address.at("spec").at("parentRef").at("name").str(), "kubernetes");
    keeping.abort();
}
