//! What all parts of a kubelet share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use api::core::v1::{ConfigMap, Node, ObjectReference, Pod, Secret, Service};
use client::{Client, Lister};
use parking_lot::RwLock;
use reconcile::{Clock, EventKind, Recorder};
use tokio::sync::watch;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::fields::Surroundings;
use crate::images::Records;
use crate::machine::Machine;
use crate::objects::Objects;
use crate::pods::Pods;
use crate::runtime::Runtime;
use crate::spec;

/// How the network of pods stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// The runtime was not asked yet.
    Unknown,
    Ready,
    /// Why there is none.
    Missing(String),
}

/// The one of a process.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) runtime: Runtime,
    /// The runtime's name (`containerd`): the scheme of container ids.
    pub(crate) runtime_name: String,
    pub(crate) client: Client,
    pub(crate) pods: Pods,
    pub(crate) services: Lister<Service>,
    /// This node's object.
    pub(crate) node: Lister<Node>,
    /// What volumes are made of.
    pub(crate) config_maps: Objects<ConfigMap>,
    pub(crate) secrets: Objects<Secret>,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine,
    pub(crate) cgroups: Cgroups,
    /// Whether the runtime knows of `supplementalGroupsPolicy`.
    pub(crate) has_groups_policy: AtomicBool,
    /// Whether pods can have a network.
    pub(crate) network: RwLock<Network>,
    /// Whether this kubelet said that its node is ready.
    pub(crate) is_ready_told: watch::Sender<bool>,
    /// Whether what the pods were like when it started was told anew: before, their objects say what was true for the
    /// kubelet before it.
    pub(crate) are_pods_told: watch::Sender<bool>,
    /// Image pulls, few at a time.
    pub(crate) pulls: Arc<tokio::sync::Semaphore>,
    /// With which credentials images were pulled.
    pub(crate) records: Arc<Records>,
}

impl Context {
    /// `<root>/pods/UID`.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.config.root_dir.join("pods").join(uid)
    }

    /// `<logs>/NAMESPACE_NAME_UID`.
    pub(crate) fn log_dir(&self, pod: &Pod) -> PathBuf {
        let name = format!("{}_{}_{}", spec::namespace(pod), spec::name(pod), spec::uid(pod));
        self.config.pod_logs_dir.join(name)
    }

    /// Has the classes of pods weigh what the pods of now ask for.
    pub(crate) fn weigh_classes(&self) {
        let entries = self.pods.list();
        let live = entries.iter().map(|entry| &*entry.pod).filter(|pod| !api::pods::is_terminal(pod));
        if let Err(error) = self.cgroups.weigh(live) {
            tracing::warn!(%error, "cannot set the weights of pods' classes");
        }
    }

    /// What the pod's fields tell of its surroundings.
    pub(crate) fn surroundings(&self, pod: &Pod, pod_ips: &[String]) -> Surroundings {
        let node_ips: Vec<_> = self.config.node_ips.iter().map(ToString::to_string).collect();
        let pod_ips = if spec::is_host_network(pod) { node_ips.clone() } else { pod_ips.to_vec() };
        Surroundings { node_ips, pod_ips, allocatable: self.machine.allocatable(&self.config) }
    }

    /// A ConfigMap as it is now; `None` if it is not there and need not be.
    ///
    /// # Errors
    /// In upstream's words, which say what is missing.
    pub(crate) async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        is_optional: bool,
    ) -> Result<Option<ConfigMap>, String> {
        found(self.client.get(namespace, name).await, "configmap", name, is_optional)
    }

    /// A Secret; as [`Self::config_map`].
    pub(crate) async fn secret(
        &self,
        namespace: &str,
        name: &str,
        is_optional: bool,
    ) -> Result<Option<Secret>, String> {
        found(self.client.get(namespace, name).await, "secret", name, is_optional)
    }

    /// Tells of the pod.
    pub(crate) fn event(&self, pod: &Pod, kind: EventKind, reason: &str, message: impl Into<String>) {
        self.recorder.event(&api::reference(pod), kind, reason, message);
    }

    /// Tells of a container of the pod.
    pub(crate) fn container_event(
        &self,
        pod: &Pod,
        container: &str,
        kind: EventKind,
        reason: &str,
        message: impl Into<String>,
    ) {
        let list = match spec::find(pod, container).map(|(kind, _)| kind) {
            Some(spec::Kind::Init | spec::Kind::Sidecar) => "initContainers",
            Some(spec::Kind::Ephemeral) => "ephemeralContainers",
            _ => "containers",
        };
        let field_path = Some(format!("spec.{list}{{{container}}}"));
        let about = ObjectReference { field_path, ..api::reference(pod) };
        self.recorder.event(&about, kind, reason, message);
    }
}

fn found<K>(
    result: Result<K, client::Error>,
    kind: &str,
    name: &str,
    is_optional: bool,
) -> Result<Option<K>, String> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() && is_optional => Ok(None),
        Err(error) if error.is_not_found() => Err(format!("{kind} \"{name}\" not found")),
        Err(error) => Err(error.to_string()),
    }
}
