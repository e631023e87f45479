//! What the network of a node is told at its start.

use crate::cidr::Cidr;
use crate::cni::AgentConfig;
use crate::proxy::{Backend, Frontend, ProxyConfig};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The network of a node. All paths and names belong to one instance.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node_name: String,
    /// The instance id; empty for the default root. Part of the names of tables.
    pub instance: String,
    /// How the names of host interfaces begin; see [`AgentConfig::interface_prefix`].
    pub interface_prefix: String,
    /// The agent's directory; must survive restarts of Corten.
    pub state: PathBuf,
    /// The unix socket on which the agent answers the plugin.
    pub socket: PathBuf,
    /// The runtime's directory of network configurations (`/etc/cni/net.d`).
    pub cni_configurations: PathBuf,
    /// The runtime's directory of plugins (`/opt/cni/bin`).
    pub cni_plugins: PathBuf,
    /// The running binary, to be the plugin.
    pub binary: PathBuf,
    /// The ranges of all pods of the cluster.
    pub cluster_cidrs: Vec<Cidr>,
    /// The ranges of cluster IPs; those of ServiceCIDRs are added.
    pub service_cidrs: Vec<Cidr>,
    /// Addresses to add to the loopback interface: the cluster DNS listens there.
    pub local_addresses: Vec<IpAddr>,
    /// Frontends that are served on the node itself, and where: the cluster DNS.
    pub redirects: Vec<(Frontend, Backend)>,
    /// Where `/healthz` is served; kube-proxy's is 0.0.0.0:10256.
    pub health_address: Option<SocketAddr>,
    /// Node ports answer at all addresses of the node, not just at those of its Node object.
    pub node_ports_everywhere: bool,
}

impl Config {
    /// The agent's part.
    pub fn agent(&self) -> AgentConfig {
        AgentConfig {
            interface_prefix: self.interface_prefix.clone(),
            state: self.state.clone(),
            socket: self.socket.clone(),
            configurations: self.cni_configurations.clone(),
            plugins: self.cni_plugins.clone(),
            binary: self.binary.clone(),
        }
    }

    /// The rules' part.
    pub fn proxy(&self) -> ProxyConfig {
        let table =
            if self.instance.is_empty() { "corten".to_owned() } else { format!("corten-{}", self.instance) };
        ProxyConfig {
            table,
            cluster_cidrs: self.cluster_cidrs.clone(),
            redirects: self.redirects.clone(),
            node_ports_everywhere: self.node_ports_everywhere,
        }
    }
}
