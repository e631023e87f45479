//! A Service's endpoints as a node uses them. Mirrors pkg/proxy/endpointslicecache.go and topology.go.

use super::element::Backend;
use super::plan::Node;
use crate::cidr::Family;
use crate::protocol::Protocol;
use api::discovery::v1::EndpointSlice;
use std::collections::BTreeMap;

/// An endpoint of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) backend: Backend,
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    pub(crate) local: bool,
    zones: Vec<String>,
    nodes: Vec<String>,
}

/// The port of a Service, as slices refer to it.
pub(crate) type PortKey = (String, Protocol);

/// The endpoints of each port of a family, sorted, each once.
pub(crate) fn by_port<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &Node,
) -> BTreeMap<PortKey, Vec<Endpoint>> {
    let mut ports: BTreeMap<PortKey, BTreeMap<Backend, Endpoint>> = BTreeMap::new();
    let address_type = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    for slice in slices.into_iter().filter(|slice| slice.address_type == address_type) {
        for port in slice.ports.iter().flatten() {
            let number = port.port.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
            let protocol = Protocol::parse(port.protocol.as_deref().unwrap_or_default());
            let (Some(name), Some(number), Some(protocol)) = (port.name.as_ref(), number, protocol) else {
                continue;
            };
            let endpoints = ports.entry((name.clone(), protocol)).or_default();
            for endpoint in
                slice.endpoints.iter().flatten().filter_map(|endpoint| read(endpoint, number, node))
            {
                // An address may be in two slices, or in use by a new pod while the old one is still
                // terminating: the one that is not terminating counts.
                if !endpoint.terminating || !endpoints.contains_key(&endpoint.backend) {
                    endpoints.insert(endpoint.backend, endpoint);
                }
            }
        }
    }
    ports.into_iter().map(|(port, endpoints)| (port, endpoints.into_values().collect())).collect()
}

fn read(endpoint: &api::discovery::v1::Endpoint, port: u16, node: &Node) -> Option<Endpoint> {
    let address = endpoint.addresses.first()?.parse().ok()?;
    let conditions = endpoint.conditions.as_ref();
    let hints = endpoint.hints.as_ref();
    let zones = hints.and_then(|hints| hints.for_zones.as_ref());
    let nodes = hints.and_then(|hints| hints.for_nodes.as_ref());
    Some(Endpoint {
        backend: Backend { address, port },
        ready: conditions.and_then(|conditions| conditions.ready).unwrap_or(true),
        serving: conditions.and_then(|conditions| conditions.serving).unwrap_or(true),
        terminating: conditions.and_then(|conditions| conditions.terminating).unwrap_or(false),
        local: endpoint.node_name.as_deref().is_some_and(|name| !name.is_empty() && name == node.name),
        zones: zones.map_or_else(Vec::new, |zones| zones.iter().map(|zone| zone.name.clone()).collect()),
        nodes: nodes.map_or_else(Vec::new, |nodes| nodes.iter().map(|node| node.name.clone()).collect()),
    })
}

/// Which endpoints a port uses on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usable {
    /// For traffic policy `Cluster`; empty if no traffic has that policy.
    pub(crate) cluster: Vec<Backend>,
    /// For traffic policy `Local`; empty if no traffic has that policy.
    pub(crate) local: Vec<Backend>,
    /// Those of both that are on this node.
    pub(crate) on_node: Vec<Backend>,
    /// Whether any traffic can be served anywhere in the cluster.
    pub(crate) any: bool,
}

/// Chooses among a port's endpoints: ready ones, near ones if hints say so, terminating ones that still serve
/// if none is ready.
pub(crate) fn usable(endpoints: &[Endpoint], uses_cluster: bool, uses_local: bool, node: &Node) -> Usable {
    let mut usable = Usable::default();
    let last_resort = |endpoint: &&Endpoint| endpoint.serving && endpoint.terminating;
    let mut chosen: Vec<&Endpoint> = Vec::new();
    if uses_cluster {
        let near = Near::of(endpoints, node);
        let mut cluster: Vec<&Endpoint> =
            endpoints.iter().filter(|endpoint| endpoint.ready && near.has(endpoint, node)).collect();
        if cluster.is_empty() {
            cluster = endpoints.iter().filter(last_resort).collect();
        }
        usable.any = !cluster.is_empty();
        usable.cluster = cluster.iter().map(|endpoint| endpoint.backend).collect();
        chosen = cluster;
    }
    if uses_local {
        usable.any |= endpoints.iter().any(|endpoint| endpoint.ready || last_resort(&endpoint));
        let mut local: Vec<&Endpoint> =
            endpoints.iter().filter(|endpoint| endpoint.local && endpoint.ready).collect();
        if local.is_empty() {
            local = endpoints.iter().filter(|endpoint| endpoint.local).filter(last_resort).collect();
        }
        usable.local = local.iter().map(|endpoint| endpoint.backend).collect();
        chosen.extend(local);
    }
    usable.on_node =
        chosen.into_iter().filter(|endpoint| endpoint.local).map(|endpoint| endpoint.backend).collect();
    usable.on_node.sort_unstable();
    usable.on_node.dedup();
    usable
}

/// How near endpoints have to be, by the hints of all ready ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near {
    Anywhere,
    Zone,
    Node,
}

impl Near {
    /// A hint counts only if each ready endpoint has one and at least one is for this node or zone.
    fn of(endpoints: &[Endpoint], node: &Node) -> Self {
        let mut ready = endpoints.iter().filter(|endpoint| endpoint.ready).peekable();
        if ready.peek().is_none() {
            return Self::Anywhere;
        }
        let (mut all_nodes, mut my_node, mut all_zones, mut my_zone) = (true, false, true, false);
        for endpoint in ready {
            all_nodes &= !endpoint.nodes.is_empty();
            my_node |= endpoint.nodes.contains(&node.name);
            all_zones &= !endpoint.zones.is_empty();
            my_zone |= endpoint.zones.contains(&node.zone);
        }
        if all_nodes && my_node {
            Self::Node
        } else if all_zones && my_zone {
            Self::Zone
        } else {
            Self::Anywhere
        }
    }

    fn has(self, endpoint: &Endpoint, node: &Node) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Zone => endpoint.zones.contains(&node.zone),
            Self::Node => endpoint.nodes.contains(&node.name),
        }
    }
}
