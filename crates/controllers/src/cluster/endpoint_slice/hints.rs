//! Hints where traffic should stay: `spec.trafficDistribution` (KEP-4444, KEP-3015). Pure.
//! Upstream: `k8s.io/endpointslice/trafficdist`.

use api::core::v1::Service;
use api::discovery::v1::{Endpoint, EndpointHints, ForNode, ForZone};

/// How near traffic should stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distribution {
    /// Anywhere: no hints.
    Anywhere,
    /// `PreferSameZone`, and its older name `PreferClose`.
    SameZone,
    /// `PreferSameNode`.
    SameNode,
}

impl Distribution {
    pub(super) fn of(service: &Service) -> Self {
        match service.spec.as_ref().and_then(|spec| spec.traffic_distribution.as_deref()) {
            Some("PreferClose" | "PreferSameZone") => Self::SameZone,
            Some("PreferSameNode") => Self::SameNode,
            _ => Self::Anywhere,
        }
    }

    /// Sets the hints of endpoints; whether any changed.
    pub(super) fn apply(self, endpoints: &mut [Endpoint]) -> bool {
        let mut changed = false;
        for endpoint in endpoints {
            let wanted = self.wanted(endpoint);
            if !same(endpoint.hints.as_ref(), wanted.as_ref()) {
                endpoint.hints = wanted;
                changed = true;
            }
        }
        changed
    }

    fn wanted(self, endpoint: &Endpoint) -> Option<EndpointHints> {
        // Nobody is led to what is not ready.
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).filter(|ready| *ready)?;
        let zone = endpoint.zone.clone().filter(|_| self != Self::Anywhere);
        let node = endpoint.node_name.clone().filter(|_| self == Self::SameNode);
        if zone.is_none() && node.is_none() {
            return None;
        }
        Some(EndpointHints {
            for_zones: zone.map(|name| vec![ForZone { name }]),
            for_nodes: node.map(|name| vec![ForNode { name }]),
        })
    }
}

fn same(a: Option<&EndpointHints>, b: Option<&EndpointHints>) -> bool {
    fn parts(hints: Option<&EndpointHints>) -> (&[ForZone], &[ForNode], bool) {
        let zones = hints.and_then(|h| h.for_zones.as_deref()).unwrap_or_default();
        let nodes = hints.and_then(|h| h.for_nodes.as_deref()).unwrap_or_default();
        (zones, nodes, hints.is_some())
    }
    parts(a) == parts(b)
}
