//! A pod's interface in the kernel. A pair of virtual interfaces, one end in the pod; no bridge. The pod has
//! its address alone (/32, /128) and a default route by a gateway that is nowhere assigned: a permanent
//! neighbour entry says which Ethernet address it has, so neither ARP nor neighbour discovery is needed. The
//! node has a route to each pod's address.

use super::record::Record;
use super::spec::gateway;
use crate::cidr::{Cidr, Family};
use crate::link::{Link, Links, Route, Scope, VethEnd};
use crate::namespace::{Namespace, set_sysctl};
use std::io;
use std::net::IpAddr;

/// Makes the interface. What an earlier attempt left behind is removed first.
pub(crate) fn attach(record: &Record, namespace: &Namespace) -> io::Result<()> {
    let mut links = Links::open()?;
    links.remove(&record.host_interface)?;
    let here = VethEnd { name: &record.host_interface, mac: record.attachment.mac("host") };
    let there = VethEnd { name: &record.attachment.interface, mac: record.attachment.mac("pod") };
    links
        .add_veth(&here, &there, namespace.descriptor(), record.mtu, &record.pod)
        .map_err(|error| while_doing("make the veth pair", error))?;
    // The end that is switched on last is ready at once, the other one when the kernel gets round to it: what
    // the pod sends must not be lost, and what it is sent is waited for.
    let made = outside(record, &mut links)
        .and_then(|()| inside(record, namespace))
        .and_then(|()| links.wait_until_ready(&record.host_interface));
    if made.is_err() {
        // The first error is what is to be told; an end that cannot be removed is removed at the next DEL.
        let _ = links.remove(&record.host_interface);
    }
    made
}

/// Removes the interface; it may be gone already, with its namespace.
pub(crate) fn detach(record: &Record) -> io::Result<()> {
    Links::open()?.remove(&record.host_interface)
}

/// What is missing of an attachment; `None` if all is there.
pub(crate) fn missing(record: &Record, namespace: &Namespace) -> io::Result<Option<String>> {
    let mut links = Links::open()?;
    let Some(host) = links.by_name(&record.host_interface)? else {
        return Ok(Some(format!("the node has no interface {}", record.host_interface)));
    };
    if !host.up {
        return Ok(Some(format!("the interface {} is down", record.host_interface)));
    }
    namespace.enter(|| {
        let name = &record.attachment.interface;
        let mut links = Links::open()?;
        let Some(link) = links.by_name(name)? else {
            return Ok(Some(format!("the container has no interface {name}")));
        };
        if !link.up {
            return Ok(Some(format!("the container's interface {name} is down")));
        }
        let addresses = links.addresses()?;
        let absent = record.addresses.iter().find(|address| !addresses.contains(&(link.index, **address)));
        Ok(absent.map(|address| format!("the container's interface {name} has no address {address}")))
    })
}

fn inside(record: &Record, namespace: &Namespace) -> io::Result<()> {
    let name = &record.attachment.interface;
    let work = || {
        let mut links = Links::open()?;
        if let Some(lo) = links.by_name("lo")? {
            links.set_up(lo.index)?;
        }
        let link = expect_link(&mut links, name)?;
        if record.addresses.iter().any(IpAddr::is_ipv6) {
            // Some runtimes switch IPv6 off in new namespaces.
            set_sysctl(&format!("ipv6/conf/{name}/disable_ipv6"), "0")?;
        }
        for address in &record.addresses {
            links.add_address(link.index, Cidr::host(*address), Scope::Universe)?;
        }
        links.set_up(link.index)?;
        for family in families(record) {
            let gateway = gateway(family);
            links.set_neighbour(link.index, gateway, record.attachment.mac("host"))?;
            let default = Cidr::new(family.unspecified(), 0)
                .ok_or_else(|| io::Error::other("no default destination"))?;
            links.set_route(&Route {
                destination: default,
                gateway: Some(gateway),
                link: Some(link.index),
                scope: Scope::Universe,
                on_link: true,
                priority: 0,
            })?;
        }
        Ok(())
    };
    namespace.enter(work).map_err(|error| while_doing("set up the container's interface", error))
}

fn outside(record: &Record, links: &mut Links) -> io::Result<()> {
    let name = &record.host_interface;
    let mut work = || {
        let link = expect_link(links, name)?;
        if families(record).any(|family| family == Family::V4) {
            // A pod may send from its own address only.
            set_sysctl(&format!("ipv4/conf/{name}/rp_filter"), "1")?;
            if record.host_ports.iter().any(|port| port.reaches_loopback()) {
                // From 127.0.0.1 on the node to the pod; the rules keep others away from 127.0.0.0/8.
                set_sysctl(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
            }
        }
        links.set_up(link.index)?;
        for address in &record.addresses {
            links.set_neighbour(link.index, *address, record.attachment.mac("pod"))?;
            links.set_route(&Route {
                destination: Cidr::host(*address),
                gateway: None,
                link: Some(link.index),
                scope: Scope::Link,
                on_link: false,
                priority: 0,
            })?;
        }
        Ok(())
    };
    work().map_err(|error| while_doing("set up the node's interface", error))
}

fn families(record: &Record) -> impl Iterator<Item = Family> {
    Family::ALL
        .into_iter()
        .filter(|family| record.addresses.iter().any(|address| Family::of(*address) == *family))
}

fn expect_link(links: &mut Links, name: &str) -> io::Result<Link> {
    links.by_name(name)?.ok_or_else(|| io::Error::other(format!("there is no interface {name}")))
}

fn while_doing(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what}: {error}"))
}
