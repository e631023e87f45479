//! Real containers: a kubelet with a private containerd, and an API server that is only a map.
//!
//! Needs root, containerd, runc and a static busybox; without them the test says so and passes. Pods are in the
//! network of the machine, so no network is touched.
#![allow(clippy::unwrap_used)]

mod machine;
mod server;

use kubelet::Config;
use machine::Machine;
use serde_json::{Value, json};
use server::Server;
use tokio::sync::watch;
use tokio::task::JoinHandle;

struct Kubelet {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), kubelet::Error>>,
}

impl Kubelet {
    fn start(config: &Config, server: &Server) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task =
            tokio::spawn(kubelet::run(config.clone(), server.client(), watch::Sender::new(false), stopped));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }
}

fn pod(name: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1},
        "spec": {"nodeName": "node", "hostNetwork": true, "enableServiceLinks": false, "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5},
    });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object
}

fn container(name: &str, script: &str) -> Value {
    json!({"name": name, "image": "test.example/busybox:1", "imagePullPolicy": "Never",
        "command": ["/busybox", "sh", "-c", script], "terminationMessagePath": "/dev/termination-log"})
}

fn state<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let all = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    all.into_iter().find(|status| status["name"] == container).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_live_and_die() {
    let machine = match Machine::start().await {
        Ok(machine) => machine,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let config = machine.config();
    let server = Server::default();
    server.put(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "map", "namespace": "default"}, "data": {"key": "from the map"}}),
    );
    let kubelet = Kubelet::start(&config, &server);

    runs_once(&server).await;
    waits_after_crashes(&server).await;
    let id = keeps_running(&server, kubelet, &config).await;
    let running = kubelet::running_pods(&config).await.unwrap();
    assert!(running.contains("default/long") && !running.contains("default/once"), "{running:?}");
    let kubelet = Kubelet::start(&config, &server);
    is_adopted_and_ends(&server, &id).await;
    kubelet.stop().await;

    kubelet::stop_all(&config).await.unwrap();
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

/// An init container, a volume, the environment, the last word of a container.
async fn runs_once(server: &Server) {
    let mut main = container("main", "cat /map/key > /dev/termination-log; test \"$WHO\" = once");
    main["volumeMounts"] = json!([{"name": "map", "mountPath": "/map"}]);
    main["env"] = json!([{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    server.put(
        "pods",
        pod(
            "once",
            &json!({"restartPolicy": "Never", "containers": [main],
        "initContainers": [container("init", "true")],
        "volumes": [{"name": "map", "configMap": {"name": "map"}}]}),
        ),
    );
    let pod = server.wait("once", |pod| pod["status"]["phase"] == "Succeeded").await;
    let ended = &state(&pod, "main")["state"]["terminated"];
    assert_eq!((&ended["message"], &ended["exitCode"]), (&json!("from the map"), &json!(0)));
    assert_eq!(pod["status"]["initContainerStatuses"][0]["ready"], true);
}

async fn waits_after_crashes(server: &Server) {
    server.put("pods", pod("crash", &json!({"containers": [container("main", "exit 3")]})));
    let pod = server
        .wait("crash", |pod| state(pod, "main")["state"]["waiting"]["reason"] == "CrashLoopBackOff")
        .await;
    let status = state(&pod, "main");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert!(status["restartCount"].as_i64() >= Some(1), "the first restart is at once: {status}");
    assert_eq!(pod["status"]["phase"], "Running");
}

/// A pod with a probe; then the kubelet stops, and the pod goes on.
async fn keeps_running(server: &Server, kubelet: Kubelet, config: &Config) -> Value {
    let mut main = container("main", "trap 'exit 0' TERM; while true; do /busybox sleep 0.1; done");
    main["readinessProbe"] = json!({"exec": {"command": ["/busybox", "true"]}, "periodSeconds": 1});
    server.put("pods", pod("long", &json!({"containers": [main]})));
    let pod = server.wait("long", |pod| state(pod, "main")["ready"] == true).await;
    kubelet.stop().await;
    assert!(config.root_dir.join("pods/uid-long").is_dir());
    state(&pod, "main")["containerID"].clone()
}

async fn is_adopted_and_ends(server: &Server, id: &Value) {
    server.change("long", |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(5);
    });
    let pod = server.gone("long").await;
    let status = state(&pod, "main");
    assert_eq!(&status["containerID"], id, "the same container");
    assert_eq!((&status["restartCount"], &status["state"]["terminated"]["exitCode"]), (&json!(0), &json!(0)));
    assert_eq!(pod["status"]["phase"], "Succeeded");
}
