//! Connections of UDP that go to endpoints that are no more: without a connection to break, a client would
//! send there for ever. Mirrors pkg/proxy/conntrack/cleanup.go; nf_conntrack_netlink by `linux/netfilter/
//! nfnetlink_conntrack.h`.

use super::element::{Backend, Frontend};
use super::plan::Node;
use crate::cidr::{Family, from_octets};
use crate::netlink::{Socket, attribute, is};
use crate::protocol::Protocol;
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;

const MESSAGE_GET: u16 = (1 << 8) | 1;
const MESSAGE_DELETE: u16 = (1 << 8) | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_V4_SOURCE: u16 = 1;
const IP_V4_DESTINATION: u16 = 2;
const IP_V6_SOURCE: u16 = 3;
const IP_V6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;

/// A connection as it is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The destination that the client meant.
    pub(crate) to: Frontend,
    /// Who answers.
    pub(crate) answers: Backend,
}

/// Which flows are stale: bound to what no longer serves their frontend. A frontend that is not known, or
/// has no endpoints, has no stale flows.
pub(crate) fn is_stale(flow: &Flow, wanted: &HashMap<Frontend, BTreeSet<Backend>>, node: &Node) -> bool {
    let stale = |frontend: &Frontend| wanted.get(frontend).map(|backends| !backends.contains(&flow.answers));
    if let Some(stale) = stale(&flow.to) {
        return stale;
    }
    let unspecified = Family::of(flow.to.address).unspecified();
    let is_own = node.addresses.contains(&flow.to.address);
    is_own && stale(&Frontend { address: unspecified, ..flow.to }).unwrap_or(false)
}

/// Removes stale flows; returns how many there were.
pub(crate) fn clean(
    socket: &mut Socket,
    wanted: &HashMap<Frontend, BTreeSet<Backend>>,
    node: &Node,
) -> io::Result<usize> {
    if wanted.is_empty() {
        return Ok(0);
    }
    let mut removed = 0;
    for family in Family::ALL {
        let number = match family {
            Family::V4 => 2,
            Family::V6 => 10,
        };
        let fixed = [number, 0, 0, 0];
        for message in socket.dump(MESSAGE_GET, &fixed, |_| {})? {
            let attributes = message.body.get(4..).unwrap_or_default();
            let Some(flow) = flow_of(attributes).filter(|flow| is_stale(flow, wanted, node)) else {
                continue;
            };
            let Some(original) = attribute(attributes, TUPLE_ORIGINAL) else { continue };
            let deleted = socket.request(MESSAGE_DELETE, 0, &fixed, |buffer| {
                buffer.nest(TUPLE_ORIGINAL, |buffer| buffer.raw(original));
                if let Some(zone) = attribute(attributes, ZONE) {
                    buffer.put(ZONE, zone);
                }
            });
            match deleted {
                Ok(()) => removed += 1,
                Err(error) if is(&error, Errno::NOENT) => {} // it ended by itself
                Err(error) => return Err(error),
            }
            tracing::debug!(?flow, "a stale connection was removed");
        }
    }
    Ok(removed)
}

fn flow_of(attributes: &[u8]) -> Option<Flow> {
    let original = attribute(attributes, TUPLE_ORIGINAL)?;
    let reply = attribute(attributes, TUPLE_REPLY)?;
    let protocol = attribute(original, TUPLE_PROTOCOL)?;
    if attribute(protocol, PROTOCOL_NUMBER)?.first() != Some(&Protocol::Udp.number()) {
        return None;
    }
    Some(Flow {
        to: Frontend {
            address: address(original, [IP_V4_DESTINATION, IP_V6_DESTINATION])?,
            protocol: Protocol::Udp,
            port: port(original, PROTOCOL_DESTINATION_PORT)?,
        },
        answers: Backend {
            address: address(reply, [IP_V4_SOURCE, IP_V6_SOURCE])?,
            port: port(reply, PROTOCOL_SOURCE_PORT)?,
        },
    })
}

/// For fuzzing: all that is read of a tracked connection.
pub(crate) fn fuzz_flow(attributes: &[u8]) {
    let _ = flow_of(attributes);
}

fn address(tuple: &[u8], kinds: [u16; 2]) -> Option<IpAddr> {
    let ip = attribute(tuple, TUPLE_IP)?;
    kinds.iter().find_map(|kind| attribute(ip, *kind)).and_then(from_octets)
}

fn port(tuple: &[u8], kind: u16) -> Option<u16> {
    let bytes = attribute(attribute(tuple, TUPLE_PROTOCOL)?, kind)?;
    bytes.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staleness() {
        let frontend = |address: &str, port| Frontend {
            address: address.parse().unwrap(),
            protocol: Protocol::Udp,
            port,
        };
        let backend = |address: &str| Backend { address: address.parse().unwrap(), port: 5353 };
        let node = Node { addresses: vec!["192.0.2.1".parse().unwrap()], ..Node::default() };
        let wanted = HashMap::from([
            (frontend("10.96.0.10", 53), BTreeSet::from([backend("10.244.0.1")])),
            (frontend("0.0.0.0", 30053), BTreeSet::from([backend("10.244.0.1")])),
        ]);
        for (to, answers, stale) in [
            (frontend("10.96.0.10", 53), backend("10.244.0.1"), false),
            (frontend("10.96.0.10", 53), backend("10.244.0.2"), true),
            (frontend("10.96.0.10", 53), backend("10.96.0.10"), true), // from before it had endpoints
            (frontend("10.96.0.11", 53), backend("10.244.0.2"), false),
            (frontend("192.0.2.1", 30053), backend("10.244.0.2"), true),
            (frontend("192.0.2.1", 30053), backend("10.244.0.1"), false),
            (frontend("192.0.2.9", 30053), backend("10.244.0.2"), false), // not this node
        ] {
            assert_eq!(is_stale(&Flow { to, answers }, &wanted, &node), stale, "{to} by {answers}");
        }
    }
}
