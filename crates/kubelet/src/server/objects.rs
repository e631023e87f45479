//! What this kubelet knows: `/pods`, `/runningpods`, `/configz`.

use super::Server;
use super::respond::{self, Answer};
use crate::runtime::messages::ContainerState;
use serde_json::{Value, json};

fn list(items: Vec<Value>) -> Answer {
    respond::json(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}

/// The pods that this node is to run.
pub(super) fn pods(server: &Server) -> Answer {
    let pods = server.pods.list();
    list(pods.iter().filter_map(|entry| serde_json::to_value(&*entry.pod).ok()).map(bare).collect())
}

/// Items of lists name no kind.
fn bare(mut pod: Value) -> Value {
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("kind");
        pod.remove("apiVersion");
    }
    pod
}

/// The pods that have running containers, with these alone.
pub(super) fn running_pods(server: &Server) -> Answer {
    let of_entry = |entry: crate::pods::Entry| {
        let meta = &entry.pod.metadata;
        let spec = entry.pod.spec.clone().unwrap_or_default();
        let image =
            |name: &str| spec.containers.iter().find(|c| c.name == name).and_then(|c| c.image.clone());
        let running = |(name, runs): (&String, &Vec<crate::pods::Instance>)| {
            let is_running = runs.first().is_some_and(|run| run.state == ContainerState::Running);
            is_running.then(|| json!({"name": name, "image": image(name), "resources": {}}))
        };
        let containers: Vec<Value> = entry.instances.iter().filter_map(running).collect();
        let metadata = json!({"name": meta.name, "namespace": meta.namespace, "uid": meta.uid});
        (!containers.is_empty())
            .then(|| json!({"metadata": metadata, "spec": {"containers": containers}, "status": {}}))
    };
    list(server.pods.list().into_iter().filter_map(of_entry).collect())
}

/// The settings, under the names of upstream's `KubeletConfiguration`.
pub(super) fn configz(server: &Server) -> Answer {
    let config = &server.kubelet;
    respond::json(&json!({"kubeletconfig": {
        "address": config.server.address.map_or_else(|| "0.0.0.0".into(), |a| a.to_string()),
        "port": config.server.port,
        "authentication": {
            "x509": {},
            "webhook": {"enabled": true, "cacheTTL": "2m0s"},
            "anonymous": {"enabled": config.server.anonymous},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"},
        },
        "clusterDomain": config.cluster_domain,
        "clusterDNS": config.cluster_dns,
        "maxPods": config.pods_max,
        "evictionHard": config.eviction_hard.named(),
        "resolvConf": config.resolv_conf,
        "containerRuntimeEndpoint": config.runtime_endpoint,
        "cgroupRoot": config.cgroup_root,
        "podLogsDir": config.pod_logs_dir,
        "enableServer": true,
    }}))
}
