//! What a kubelet is told by whoever starts it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use api::core::v1::Taint;

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the Node object.
    pub node_name: String,
    /// The node's addresses, the preferred first; at most one of each family.
    pub node_ips: Vec<IpAddr>,
    /// The container runtime's socket: `unix:///run/containerd/containerd.sock`.
    pub runtime_endpoint: String,
    /// Where volumes and the like of pods lie; upstream's `--root-dir`, `/var/lib/kubelet`.
    pub root_dir: PathBuf,
    /// Where the logs of containers are written; `/var/log/pods`.
    pub pod_logs_dir: PathBuf,
    /// Where links to logs by the names of pods are made, for log shippers; `/var/log/containers`.
    pub container_logs_dir: PathBuf,
    /// What tells several nodes on one machine apart; empty for the default one.
    pub instance: String,
    /// The cgroup below which `kubepods` is made: `/` on a node of its own.
    pub cgroup_root: String,
    /// Addresses of the cluster's DNS, for pods with DNS policy `ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster: `cluster.local`.
    pub cluster_domain: String,
    /// The node's own resolver configuration: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// Labels that the node registers with.
    pub node_labels: BTreeMap<String, String>,
    /// Taints that the node registers with.
    pub register_with_taints: Vec<Taint>,
    /// How many pods may be here; upstream's default is 110.
    pub pods_max: u32,
    /// Below what the node tells pressure.
    pub eviction_hard: crate::eviction::Thresholds,
    /// The HTTPS server's settings.
    pub server: crate::server::Config,
}
