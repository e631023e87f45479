//! What several tests use.

use std::path::Path;

use api::core::v1::Pod;
use serde_json::{Value, json};

use crate::runtime::messages::{ContainerState, Labels};
use crate::spec;
use crate::state::{PodState, Run, Sandbox, label};

/// A pod of that specification, as a test needs it.
pub(crate) fn pod(spec: Value) -> Pod {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

/// A kubelet's settings whose files lie below `root`.
pub(crate) fn config(root: &Path) -> crate::Config {
    crate::Config {
        node_name: "n".into(),
        node_ips: vec!["192.0.2.1".parse().unwrap()],
        runtime_endpoint: format!("unix://{}/containerd.sock", root.display()),
        root_dir: root.join("kubelet"),
        pod_logs_dir: root.join("log/pods"),
        container_logs_dir: root.join("log/containers"),
        instance: String::new(),
        cgroup_root: "/".into(),
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".into(),
        resolv_conf: root.join("resolv.conf"),
        node_labels: std::collections::BTreeMap::new(),
        register_with_taints: Vec::new(),
        pods_max: 110,
        eviction_hard: crate::eviction::Thresholds::default(),
        server: crate::server::Config::default(),
    }
}

/// What a runtime says of a pod; all that ended did so at second 1000.
#[derive(Clone, Default)]
pub(crate) struct Runs(PodState);

impl Runs {
    /// Nothing at all.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// A sandbox that is ready.
    pub(crate) fn ready() -> Self {
        let sandbox = Sandbox {
            id: "s".into(),
            attempt: 0,
            is_ready: true,
            created_at: 1,
            ips: vec!["10.0.0.1".into()],
        };
        Self(PodState { sandboxes: vec![sandbox], runs: Vec::new() })
    }

    /// A sandbox that ended.
    pub(crate) fn dead() -> Self {
        let mut runs = Self::ready();
        runs.0.sandboxes[0].is_ready = false;
        runs
    }

    pub(crate) fn without_address(mut self) -> Self {
        self.0.sandboxes[0].ips.clear();
        self
    }

    pub(crate) fn running(self, name: &str) -> Self {
        self.add(name, ContainerState::Running, 0, Labels::new())
    }

    pub(crate) fn running_with(self, name: &str, hash: &str) -> Self {
        let version = (label::HASH_VERSION.to_owned(), spec::HASH_VERSION.to_owned());
        let annotations = [(label::HASH.to_owned(), hash.to_owned()), version].into();
        self.add(name, ContainerState::Running, 0, annotations)
    }

    pub(crate) fn exited(self, name: &str, code: i32) -> Self {
        self.add(name, ContainerState::Exited, code, Labels::new())
    }

    /// The newest run ended without having begun.
    pub(crate) fn never_began(mut self) -> Self {
        self.0.runs[0].started_at = 0;
        self
    }

    fn add(mut self, name: &str, state: ContainerState, exit_code: i32, annotations: Labels) -> Self {
        const SECOND: i64 = 1_000_000_000;
        let count = self.0.runs.iter().filter(|run| run.name == name).count();
        let is_exited = state == ContainerState::Exited;
        let run = Run {
            id: format!("{name}-{count}"),
            sandbox: "s".into(),
            name: name.into(),
            restart_count: u32::try_from(count).unwrap(),
            state,
            created_at: SECOND * 900,
            started_at: SECOND * 901,
            finished_at: if is_exited { SECOND * 1000 } else { 0 },
            exit_code,
            reason: if is_exited { if exit_code == 0 { "Completed" } else { "Error" } } else { "" }.into(),
            message: String::new(),
            image: "i".into(),
            image_ref: "sha256:i".into(),
            log_path: String::new(),
            annotations,
            user: None,
            message_path: None,
        };
        self.0.runs.insert(0, run);
        self
    }

    pub(crate) fn state(self, _: &Pod) -> PodState {
        self.0
    }
}
