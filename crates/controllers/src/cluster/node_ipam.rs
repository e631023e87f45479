//! Gives every node ranges of pod addresses: one out of each of the cluster's ranges.
//!
//! Watches Nodes and ServiceCIDRs; owns `spec.podCIDR` and `spec.podCIDRs`, which are set once and never
//! change. What is handed out is kept in mind until the node shows it or is gone, so that no range is given
//! twice even if an answer was lost. Upstream: `pkg/controller/nodeipam/ipam/range_allocator.go`.

mod ranges;

use crate::context::{Context, Tasks, spawn};
use api::core::v1::Node;
use api::networking::v1::ServiceCIDR;
use api::{Key, Object};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use ranges::{Pool, Range};
use reconcile::{EventKind, Next, Queue, Reconcile, Recorder};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// One, as what is handed out depends on what was handed out before.
const WORKERS: usize = 1;

/// Starts the controller, if there are ranges to hand out.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let config = &context.config;
    let mut pools = Vec::new();
    for (address, bits) in &config.cluster_cidrs {
        let node_bits = if address.is_ipv6() { config.node_mask_size_v6 } else { config.node_mask_size_v4 };
        match Pool::new(*address, *bits, node_bits) {
            Ok(pool) => pools.push(pool),
            Err(error) => {
                tracing::error!(error, "nodes get no ranges of pod addresses out of {address}/{bits}");
            }
        }
    }
    if pools.is_empty() {
        return;
    }
    let queue = Queue::new();
    let nodes = context.informers.get::<Node>();
    let services = context.informers.get::<ServiceCIDR>();
    let changed = queue.clone();
    nodes.subscribe(move |change| {
        if !matches!(change, Change::Updated(_, node) if has_ranges(node)) {
            changed.add(change.object().key());
        }
    });
    let controller = NodeIpam {
        client: context.client("node-controller"),
        recorder: context.recorder("node-controller", "cidrAllocator"),
        nodes: nodes.clone(),
        services: services.clone(),
        pools: Mutex::new(pools),
        given: Mutex::default(),
    };
    let synced = async move {
        nodes.synced().await;
        services.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn has_ranges(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.pod_cidrs.as_deref()).is_some_and(|ranges| !ranges.is_empty())
}

fn ranges_of(node: &Node) -> impl Iterator<Item = Range> {
    let ranges = node.spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten());
    ranges.filter_map(|text| Range::parse(text))
}

struct NodeIpam {
    client: Client,
    recorder: Recorder,
    nodes: Lister<Node>,
    services: Lister<ServiceCIDR>,
    pools: Mutex<Vec<Pool>>,
    /// What was given to nodes that do not show it yet, by their names.
    given: Mutex<HashMap<String, Given>>,
}

/// What was given to a node.
struct Given {
    uid: String,
    ranges: Vec<Range>,
    /// Whether the API server has it for certain.
    written: bool,
}

impl Reconcile for NodeIpam {
    fn name(&self) -> &'static str {
        "node-ipam"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(node) = self.nodes.get_key(&key) else {
                self.forget(&key.name);
                return Ok(Next::Done);
            };
            if has_ranges(&node) {
                self.forget(&key.name);
                return Ok(Next::Done);
            }
            if node.metadata.deletion_timestamp.is_some() {
                return Ok(Next::Done);
            }
            let ranges = match self.give(&node) {
                Ok(Some(ranges)) => ranges,
                Ok(None) => return Ok(Next::Done),
                Err(error) => {
                    let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
                    let about = api::reference(&*node);
                    self.recorder.event(&about, EventKind::Normal, "CIDRNotAvailable", message);
                    return Err(Error::Other(error));
                }
            };
            let texts: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            let patch = json!({
                "metadata": {"uid": node.uid()},
                "spec": {"podCIDR": texts.first(), "podCIDRs": texts},
            });
            let node: Node = self.client.patch("", &key.name, &Patch::Strategic(patch)).await?;
            if let Some(given) = self.given.lock().get_mut(&key.name) {
                given.written = true;
            }
            tracing::info!(node = node.name(), ranges = texts.join(","), "pod addresses given");
            Ok(Next::Done)
        })
    }
}

impl NodeIpam {
    fn forget(&self, name: &str) {
        self.given.lock().remove(name);
    }

    /// The node's ranges; nothing if it has them and the cache only lags behind.
    fn give(&self, node: &Node) -> Result<Option<Vec<Range>>, String> {
        let mut given = self.given.lock();
        if let Some(given) = given.get(node.name()).filter(|given| given.uid == node.uid()) {
            return Ok((!given.written).then(|| given.ranges.clone()));
        }
        let nodes = self.nodes.list();
        let services = self.services.list();
        let service_ranges = services
            .iter()
            .flat_map(|service| service.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten()))
            .filter_map(|text| Range::parse(text));
        let used: Vec<Range> = nodes
            .iter()
            .flat_map(|node| ranges_of(node))
            .chain(given.values().flat_map(|given| given.ranges.iter().copied()))
            .chain(service_ranges)
            .collect();
        let mut pools = self.pools.lock();
        let ranges = pools
            .iter_mut()
            .map(|pool| {
                pool.next(&used).ok_or_else(|| {
                    format!(
                        "failed to allocate cidr from cluster cidr {}: CIDR allocation failed; there are no \
                         remaining CIDRs left to allocate in the accepted range",
                        pool.cluster()
                    )
                })
            })
            .collect::<Result<Vec<Range>, String>>()?;
        let entry = Given { uid: node.uid().to_owned(), ranges: ranges.clone(), written: false };
        given.insert(node.name().to_owned(), entry);
        Ok(Some(ranges))
    }
}
