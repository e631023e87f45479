//! The Services' rules on this node: what is wanted, what the kernel has, and the way from one to the other.

use super::conntrack;
use super::element::{Backend, Frontend};
use super::kernel::Kernel;
use super::plan::{Node, RuleSet, plan_host_ports, plan_node, plan_redirects, plan_service_ranges};
use super::rules::{Changes, Owner, Rules};
use super::skeleton::Layout;
use crate::cidr::Cidr;
use crate::cni::HostPort;
use crate::nft::Refused;
use std::collections::BTreeMap;
use std::io;

/// What the rules depend on besides objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The name of the tables; has to differ between instances on a machine.
    pub table: String,
    /// The ranges of all pods of the cluster.
    pub cluster_cidrs: Vec<Cidr>,
    /// Frontends that are served on the node itself, and where.
    pub redirects: Vec<(Frontend, Backend)>,
    /// Node ports answer at all addresses of the node, not just at those of its Node object.
    pub node_ports_everywhere: bool,
}

/// The Services' rules in the kernel.
pub struct ServiceRules {
    config: ProxyConfig,
    kernel: Kernel,
    rules: Rules,
    node: Node,
    masquerade_pods: bool,
    /// Changes that the kernel has not seen; none if what it has is not known.
    pending: Option<Vec<Changes>>,
}

impl ServiceRules {
    /// The rules in the namespace of this thread; what is there stays until the first commit.
    pub fn open(config: ProxyConfig) -> io::Result<Self> {
        let kernel = Kernel::open(config.table.clone())?;
        let mut rules = Rules::default();
        rules.set(&Owner::Redirects, plan_redirects(&config.redirects));
        Ok(Self { config, kernel, rules, node: Node::default(), masquerade_pods: false, pending: None })
    }

    /// The node, as plans should see it.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Sets what is known of the node. Plans of Services made for another are to be made again.
    pub fn set_node(&mut self, node: Node) {
        self.set(&Owner::Node, plan_node(&node));
        self.node = node;
    }

    /// Whether the pods' network is Corten's own, so that they go out under the node's address.
    pub fn set_masquerade_pods(&mut self, masquerade: bool) {
        if self.masquerade_pods != masquerade {
            self.masquerade_pods = masquerade;
            self.pending = None;
        }
    }

    /// Sets a Service's rules; empty ones for a Service that is gone.
    pub fn set_service(&mut self, key: &api::Key, rules: RuleSet) {
        self.set(&Owner::Service(key.clone()), rules);
    }

    /// Sets the ports of the node that lead to pods.
    pub fn set_host_ports(&mut self, ports: &[HostPort]) {
        self.set(&Owner::HostPorts, plan_host_ports(ports));
    }

    /// Sets the ranges of cluster IPs: what is sent to addresses in them that no Service has is dropped. They must not
    /// overlap.
    pub fn set_service_cidrs(&mut self, cidrs: &[Cidr]) {
        self.set(&Owner::ServiceRanges, plan_service_ranges(cidrs));
    }

    /// The Services that have rules.
    pub fn services(&self) -> Vec<api::Key> {
        let services = self.rules.owners().filter_map(|owner| match owner {
            Owner::Service(key) => Some(key.clone()),
            _ => None,
        });
        services.collect()
    }

    /// The health check ports of Services, and how many of their endpoints are ready on this node.
    pub fn health_checks(&self) -> BTreeMap<api::Key, (u16, usize)> {
        self.rules.health_checks()
    }

    /// What the kernel has may differ from what is thought: the next commit looks.
    pub fn distrust(&mut self) {
        self.pending = None;
    }

    /// Whether the tables are there as they were made.
    pub fn is_whole(&mut self) -> io::Result<bool> {
        self.kernel.is_whole()
    }

    /// Whether the kernel holds just what is wanted: each element is read and compared.
    pub fn is_exact(&mut self) -> io::Result<bool> {
        self.kernel.is_exact(self.rules.elements()).map_err(refused)
    }

    /// Makes the kernel do what is wanted: in one transaction, or not at all.
    pub fn commit(&mut self) -> io::Result<()> {
        let pending = self.pending.take();
        let concern_udp = match &pending {
            None => {
                self.kernel.synchronise(self.layout(), self.rules.elements()).map_err(refused)?;
                true
            }
            Some(all) => {
                let changes = merged(all);
                self.kernel.apply(&changes).map_err(refused)?;
                changes.concern_udp()
            }
        };
        self.pending = Some(Vec::new());
        if concern_udp {
            // The rules are right in any case; stale connections end by their timeouts at the latest.
            match conntrack::clean(self.kernel.socket(), &self.rules.udp(), &self.node) {
                Ok(removed) => tracing::debug!(removed, "stale connections"),
                Err(error) => tracing::warn!(%error, "cannot remove stale connections of UDP"),
            }
        }
        Ok(())
    }

    /// Whether there is anything to commit.
    pub fn is_committed(&self) -> bool {
        self.pending.as_ref().is_some_and(|changes| changes.iter().all(Changes::is_empty))
    }

    fn set(&mut self, owner: &Owner, rules: RuleSet) {
        let changes = self.rules.set(owner, rules);
        if let Some(pending) = &mut self.pending
            && !changes.is_empty()
        {
            pending.push(changes);
        }
    }

    fn layout(&self) -> Layout {
        Layout {
            cluster_cidrs: self.config.cluster_cidrs.clone(),
            node_ports_everywhere: self.config.node_ports_everywhere,
            masquerade_pods: self.masquerade_pods,
        }
    }
}

/// Removes the tables of this name.
pub(crate) fn remove_tables(table: &str) -> io::Result<()> {
    Kernel::open(table.to_owned())?.remove().map_err(refused)
}

/// Changes one after the other as one: from the first value to the last.
fn merged(all: &[Changes]) -> Changes {
    let mut merged = Changes::default();
    for changes in all {
        merged.append(changes);
    }
    merged
}

fn refused(error: Refused) -> io::Error {
    io::Error::new(error.source.kind(), format!("the kernel refused the Service rules: {error}"))
}
