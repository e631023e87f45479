//! Routes to the pods of other nodes on the same link, and the node's routes of last resort.
//!
//! Not done: nodes behind a router. They will get a VXLAN device here; until then they are reported.

use crate::cidr::{Cidr, Family};
use crate::link::{Links, Route, Scope};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

/// Corten's routes among others for the same destination: the kernel's default for IPv6, above that of
/// IPv4, so that somebody else's route for the same range is preferred.
const PRIORITY: u32 = 1024;

/// What is known of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) pod_cidrs: Vec<Cidr>,
}

/// What the routes depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) peers: Vec<Peer>,
    /// This node's own ranges.
    pub(crate) own: Vec<Cidr>,
}

/// Routes, and the nodes to which there can be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) routes: Vec<Route>,
    pub(crate) unreachable: Vec<String>,
}

/// The routes as they should be. `on_link` says by which interface an address is reached without a gateway.
pub(crate) fn plan(wanted: &Wanted, on_link: &BTreeMap<IpAddr, u32>) -> Plan {
    let mut plan = Plan::default();
    for own in &wanted.own {
        // Addresses that no pod has must not go out by the default route, and come back by the next node.
        plan.routes.push(Route {
            destination: *own,
            gateway: None,
            link: None,
            scope: Scope::Universe,
            on_link: false,
            priority: PRIORITY,
        });
    }
    for peer in &wanted.peers {
        for cidr in &peer.pod_cidrs {
            let of_family = peer.addresses.iter().filter(|address| Family::of(**address) == cidr.family());
            let near = of_family.filter_map(|address| Some((*address, *on_link.get(address)?))).next();
            let Some((gateway, link)) = near else {
                plan.unreachable.push(peer.name.clone());
                continue;
            };
            plan.routes.push(Route {
                destination: *cidr,
                gateway: Some(gateway),
                link: Some(link),
                scope: Scope::Universe,
                on_link: false,
                priority: PRIORITY,
            });
        }
    }
    plan.unreachable.dedup();
    plan
}

/// Makes the routes of this instance those of the plan. Returns the nodes to which there is no way.
pub(crate) fn synchronise(wanted: &Wanted, cluster_cidrs: &[Cidr]) -> io::Result<Vec<String>> {
    let mut links = Links::open()?;
    let mut on_link = BTreeMap::new();
    for address in wanted.peers.iter().flat_map(|peer| &peer.addresses) {
        if let Some(link) = links.on_link(*address)? {
            on_link.insert(*address, link);
        }
    }
    let plan = plan(wanted, &on_link);
    let present: Vec<Route> =
        links.routes()?.into_iter().filter(|route| is_ours(route, cluster_cidrs)).collect();
    for route in &present {
        let replaced = plan.routes.iter().any(|planned| planned.destination == route.destination);
        if !plan.routes.contains(route) && (!replaced || route.link.is_none()) {
            links.remove_route(route)?;
        }
    }
    for route in plan.routes.iter().filter(|route| !present.contains(route)) {
        if let Err(error) = links.set_route(route) {
            // One node's wrong address must not keep the others from theirs.
            tracing::warn!(destination = %route.destination, gateway = ?route.gateway, %error, "cannot set a route");
        }
    }
    Ok(plan.unreachable)
}

/// Lets cluster IPs be reached from the node itself where no default route would lead them anywhere: the
/// kernel looks for a route before it lets rules change the destination. A family that the machine does not
/// have is no fault. Other ranges lose their routes once `all_known`.
pub(crate) fn route_services(service_cidrs: &[Cidr], all_known: bool) -> io::Result<()> {
    let mut links = Links::open()?;
    let Some(lo) = links.by_name("lo")? else { return Ok(()) };
    let present = service_routes(&mut links, lo.index)?;
    for cidr in service_cidrs {
        if present.iter().any(|route| route.destination == *cidr) {
            continue;
        }
        // One of Corten's own may be of a range that is no more, or of a part.
        let is_own = present.iter().any(|route| route.destination.overlaps(*cidr));
        if !is_own && links.is_routed(cidr.last())? {
            continue;
        }
        if let Err(error) = links.set_route(&service_route(*cidr, lo.index)) {
            tracing::debug!(%cidr, %error, "cannot route cluster IPs");
        }
    }
    let mut stale = present.iter().filter(|route| all_known && !service_cidrs.contains(&route.destination));
    stale.try_for_each(|route| links.remove_route(route))
}

/// Removes all routes of this instance.
pub(crate) fn teardown(cluster_cidrs: &[Cidr]) -> io::Result<()> {
    synchronise(&Wanted::default(), cluster_cidrs)?;
    let mut links = Links::open()?;
    let Some(lo) = links.by_name("lo")? else { return Ok(()) };
    service_routes(&mut links, lo.index)?.iter().try_for_each(|route| links.remove_route(route))
}

/// The routes of cluster IPs: no other route of Corten's leads to the loopback interface.
fn service_routes(links: &mut Links, lo: u32) -> io::Result<Vec<Route>> {
    Ok(links.routes()?.into_iter().filter(|route| route.link == Some(lo)).collect())
}

fn service_route(cidr: Cidr, lo: u32) -> Route {
    Route {
        destination: cidr,
        gateway: None,
        link: Some(lo),
        scope: Scope::Link,
        on_link: false,
        priority: PRIORITY,
    }
}

/// Routes to nodes and of last resort, in this instance's ranges; those to pods belong to the agent.
fn is_ours(route: &Route, cluster_cidrs: &[Cidr]) -> bool {
    (route.gateway.is_some() || route.link.is_none())
        && cluster_cidrs.iter().any(|cidr| cidr.covers(route.destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far() {
        let peer = |name: &str, address: &str, cidrs: &[&str]| Peer {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
            pod_cidrs: cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect(),
        };
        let wanted = Wanted {
            peers: vec![
                peer("near", "192.0.2.2", &["10.244.2.0/24"]),
                peer("far", "198.51.100.1", &["10.244.3.0/24"]),
                peer("new", "192.0.2.3", &[]),
                peer("half", "192.0.2.4", &["10.244.4.0/24", "fd00:4::/64"]),
            ],
            own: vec!["10.244.1.0/24".parse().unwrap()],
        };
        let on_link = ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
            .into_iter()
            .map(|address| (address.parse().unwrap(), 7))
            .collect();
        let plan = plan(&wanted, &on_link);
        let routes: Vec<String> = plan
            .routes
            .iter()
            .map(|route| match route.gateway {
                Some(gateway) => format!("{} via {gateway}", route.destination),
                None => format!("{} nowhere", route.destination),
            })
            .collect();
        assert_eq!(
            routes,
            ["10.244.1.0/24 nowhere", "10.244.2.0/24 via 192.0.2.2", "10.244.4.0/24 via 192.0.2.4"]
        );
        assert_eq!(plan.unreachable, ["far", "half"]);
    }
}
