//! Each part of the control plane alone, over HTTPS, under the identity that upstream's has.

use crate::process::{Api, Process, until};
use crate::wire::get_of_anybody;
use client::Client;
use http::Method;
use pki::Pki;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

const PODS: &str = "/api/v1/namespaces/default/pods";

pub async fn get(client: &Client, path: &str) -> Value {
    let answer = client.raw(Method::GET, path, None).await;
    answer.map_or(Value::Null, |body| serde_json::from_slice(&body).unwrap())
}

pub async fn send(client: &Client, method: Method, path: &str, media: &str, body: Value) {
    client.raw(method, path, Some((media, body.to_string().into()))).await.unwrap();
}

/// Writes the kubeconfig of a component.
fn kubeconfig(root: &Path, component: &pki::Client<'_>, api: &Api) -> String {
    let config = pki::Config { addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ..pki::Config::default() };
    let now = jiff::Timestamp::now().as_second();
    let server = client::Kubeconfig::read(&api.kubeconfig).unwrap().server;
    let pki = Pki::open(root, config, now).unwrap();
    pki.kubeconfig(component, &server, now).unwrap().to_str().unwrap().to_owned()
}

/// Makes a Node `n` that takes pods.
async fn make_node(client: &Client) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    send(client, Method::POST, "/api/v1/nodes", "application/json", node).await;
    let room = json!({"cpu": "4", "memory": "4Gi", "pods": "10"});
    let ready = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady"}]);
    let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": ready}});
    send(client, Method::PATCH, "/api/v1/nodes/n/status", "application/merge-patch+json", status).await;
}

/// Two profiles, of which one packs pods onto few nodes, and a Lease of another name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheduler_goes_by_its_configuration() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("scheduler.yaml");
    let configuration = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
        leaderElection: {resourceName: packing}\nprofiles:\n- schedulerName: packer\n  pluginConfig:\n  \
        - name: NodeResourcesFit\n    args: {scoringStrategy: {type: MostAllocated}}\n";
    std::fs::write(&file, configuration).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--scheduler-config", file];
    let api = Api::whole_with(root.path(), &arguments);
    let client = api.client();
    make_node(&client).await;
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    until("a service account", async || get(&client, account).await != Value::Null).await;
    for scheduler in ["default-scheduler", "packer"] {
        let containers = json!([{"name": "c", "image": "i"}]);
        let tolerations = json!([{"operator": "Exists"}]);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": scheduler}, "spec": {
            "schedulerName": scheduler, "containers": containers, "tolerations": tolerations}});
        send(&client, Method::POST, PODS, "application/json", pod).await;
    }
    let node = async |pod: &str| get(&client, &format!("{PODS}/{pod}")).await["spec"]["nodeName"].clone();
    until("a pod on the node", async || node("packer").await == "n").await;
    assert_eq!(node("default-scheduler").await, Value::Null, "no profile is of that name");
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/packing";
    assert_ne!(get(&client, lease).await, Value::Null);
    api.process.end();

    std::fs::write(file, "apiVersion: v1\nkind: Foo\n").unwrap();
    let refused = Process::refused(root.path(), &arguments);
    assert!(refused.contains("scheduler.yaml, the --scheduler-config: "), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_make_pods_and_the_scheduler_binds_them() {
    let root = tempfile::tempdir().unwrap();
    let api = Api::start(root.path(), &[]);
    let client = api.client();
    make_node(&client).await;
    let labels = json!({"app": "a"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    send(&client, Method::POST, deployments, "application/json", deployment).await;
    let pods = async || get(&client, PODS).await["items"].as_array().cloned().unwrap_or_default();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let holder = async |name: &str| {
        let lease = get(&client, &format!("{leases}/{name}")).await;
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!((pods().await.len(), holder("kube-controller-manager").await), (0, String::new()));

    let path = kubeconfig(root.path(), &pki::Client::ControllerManager, &api);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = ["--only=controllers", "--kubeconfig", &path, "--secure-port", &port.to_string()];
    let controllers = Process::server(root.path(), "controllers", &arguments);
    assert_eq!(get_of_anybody(port, "/healthz").await, (200, "ok".into()));
    assert_eq!(get_of_anybody(port, "/x").await.0, 404);
    let refused = Process::refused(root.path(), &arguments);
    assert!(refused.contains(&format!("cannot listen on 127.0.0.1:{port}: ")), "{refused}");
    until("two pods", async || pods().await.len() == 2).await;
    assert!(pods().await.iter().all(|pod| pod["spec"]["nodeName"].is_null()), "{}", controllers.log());
    assert_ne!(holder("kube-controller-manager").await, "");
    assert_eq!(holder("kube-scheduler").await, "");

    let path = kubeconfig(root.path(), &pki::Client::Scheduler, &api);
    let scheduler = Process::server(
        root.path(),
        "scheduler",
        &["--only=scheduler", "--kubeconfig", &path, "--secure-port=0"],
    );
    until("bound pods", async || pods().await.iter().all(|pod| pod["spec"]["nodeName"] == "n")).await;
    assert_ne!(holder("kube-scheduler").await, "");

    // Told to end, each gives its lease back, so that the next need not wait for it to lapse.
    scheduler.end();
    assert_eq!(holder("kube-scheduler").await, "");
    controllers.end();
    assert_eq!(holder("kube-controller-manager").await, "");
}

/// Controllers that another one's Lease has ended begin again when it lapses, and the server goes on meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_the_lease_leads_again() {
    let root = tempfile::tempdir().unwrap();
    let server = Api::whole(root.path());
    let client = server.client();
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager";
    let spec = async || get(&client, lease).await["spec"].clone();
    until("a leader", async || spec().await["holderIdentity"].is_string()).await;
    let before = spec().await;
    let labels = json!({"app": "a"});
    let set = |replicas: u8| {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "s"}, "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        }})
    };
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    send(&client, Method::POST, sets, "application/json", set(1)).await;
    let pods = async || get(&client, PODS).await["items"].as_array().map_or(0, Vec::len);
    until("a pod", async || pods().await == 1).await;

    let taken = json!({"spec": {"holderIdentity": "another", "leaseDurationSeconds": 1}});
    send(&client, Method::PATCH, lease, "application/merge-patch+json", taken).await;
    until("no leader", async || server.process.log().contains("its controllers have ended")).await;
    let path = format!("{sets}/s");
    send(&client, Method::PATCH, &path, "application/merge-patch+json", json!({"spec": {"replicas": 3}}))
        .await;
    until("three pods", async || pods().await == 3).await;
    let after = spec().await;
    assert_eq!(after["holderIdentity"], before["holderIdentity"]);
    let transitions = |spec: &Value| spec["leaseTransitions"].as_i64().unwrap_or_default();
    assert!(transitions(&after) > transitions(&before), "{after}");
}

/// What runs with the store leads before what runs beside it, and goes on leading after a crash without waiting for its
/// own leases to lapse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_store_leads() {
    let root = tempfile::tempdir().unwrap();
    let start = || Api::whole(root.path());
    let names = ["kube-controller-manager", "kube-scheduler"];
    let spec = async |client: &Client, name: &str| {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}");
        get(client, &path).await["spec"].clone()
    };
    let server = start();
    let client = server.client();
    let mut before = Vec::new();
    for name in names {
        until("a leader", async || spec(&client, name).await["holderIdentity"].is_string()).await;
        before.push(spec(&client, name).await);
    }
    let own = format!("_{}", root.path().canonicalize().unwrap().display());
    assert!(before.iter().all(|spec| spec["holderIdentity"].as_str().unwrap().ends_with(&own)), "{before:?}");

    let elsewhere = tempfile::tempdir().unwrap();
    for (part, component) in
        [("controllers", pki::Client::ControllerManager), ("scheduler", pki::Client::Scheduler)]
    {
        let path = kubeconfig(root.path(), &component, &server);
        let rival = Process::server(
            elsewhere.path(),
            part,
            &["--only", part, "--kubeconfig", &path, "--secure-port=0"],
        );
        until("one who waits", async || rival.log().contains("another one leads; waiting")).await;
        rival.end();
    }

    server.process.kill();
    let server = start();
    let client = server.client();
    for (name, before) in names.iter().zip(before) {
        let renewed = |spec: &Value| spec["renewTime"].as_str().unwrap_or_default().to_owned();
        until("a renewal", async || renewed(&spec(&client, name).await) > renewed(&before)).await;
        let after = spec(&client, name).await;
        for field in ["holderIdentity", "acquireTime", "leaseTransitions"] {
            assert_eq!(after[field], before[field], "{name}");
        }
    }
}
