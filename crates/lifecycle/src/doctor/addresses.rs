//! Whether the addresses that Corten gives out are free: compared with each other and with the host's routes.

use super::ports::parse_address;
use super::{Check, Facts, Needs, OwnAddress, bad, good, warning};
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::str::FromStr;

/// A range of addresses: all that begin with the first `length` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Any address in it.
    pub address: IpAddr,
    /// How many bits count.
    pub length: u8,
}

impl Network {
    fn bits(self) -> (bool, u128) {
        match self.address {
            IpAddr::V4(a) => (false, u128::from(a.to_bits()) << 96),
            IpAddr::V6(a) => (true, a.to_bits()),
        }
    }

    /// Whether they have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        let ((family, bits), (other_family, other_bits)) = (self.bits(), other.bits());
        let common = self.length.min(other.length);
        family == other_family && (common == 0 || (bits ^ other_bits) >> (128 - u32::from(common)) == 0)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range of addresses such as 10.244.0.0/16");
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let network = Self {
            address: address.parse().map_err(|_| wrong())?,
            length: length.parse().map_err(|_| wrong())?,
        };
        let max = if network.address.is_ipv4() { 32 } else { 128 };
        if network.length > max { Err(wrong()) } else { Ok(network) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A route of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub network: Network,
    /// By which interface.
    pub interface: String,
    /// Whether by a router.
    pub gateway: bool,
}

const GATEWAY: u32 = 0x2; // RTF_GATEWAY in linux/route.h
const REJECT: u32 = 0x200; // RTF_REJECT

/// Parses `/proc/net/route`.
pub(crate) fn parse_v4(text: &str) -> Vec<Route> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let flags = u32::from_str_radix(fields.get(3)?, 16).ok()?;
            let IpAddr::V4(mask) = parse_address(fields.get(7)?)? else { return None };
            let length = u8::try_from(mask.to_bits().count_ones()).ok()?;
            let network = Network { address: parse_address(fields.get(1)?)?, length };
            route(network, fields.first()?, flags)
        })
        .collect()
}

/// Parses `/proc/net/ipv6_route`, whose addresses are plain hexadecimal.
pub(crate) fn parse_v6(text: &str) -> Vec<Route> {
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let bits = u128::from_str_radix(fields.first()?, 16).ok()?;
            let length = u8::from_str_radix(fields.get(1)?, 16).ok()?;
            let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
            route(Network { address: IpAddr::V6(bits.into()), length }, fields.get(9)?, flags)
        })
        .collect()
}

fn route(network: Network, interface: &str, flags: u32) -> Option<Route> {
    // A route that refuses is no network, and the default route is everything.
    if flags & REJECT != 0 || network.length == 0 || interface == "lo" || interface == "*" {
        return None;
    }
    Some(Route { network, interface: interface.to_owned(), gateway: flags & GATEWAY != 0 })
}

/// The host's routes.
pub(crate) fn routes() -> Vec<Route> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
    [parse_v4(&read("route")), parse_v6(&read("ipv6_route"))].concat()
}

/// Whether the machine has the address. Nothing is sent.
pub fn is_own(address: IpAddr) -> bool {
    let bound = UdpSocket::bind((address, 0));
    !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

/// A network the host is in may not be given out. A route by a router that covers more than the range goes on
/// working beside it, for all but the range; one inside it is one of the cluster's own, to another node's pods.
pub(super) fn judge(needs: &Needs, facts: &Facts) -> Vec<Check> {
    let name = "addresses";
    let mut checks = Vec::new();
    for (place, range) in needs.ranges.iter().enumerate() {
        for other in &needs.ranges[..place] {
            if range.network.overlaps(other.network) {
                checks.push(bad(
                    name,
                    format!(
                        "{} for {} overlaps {} for {}",
                        range.network, range.what, other.network, other.what
                    ),
                    format!("choose another range by {} or {}", range.option, other.option),
                ));
            }
        }
        let is_own = |route: &Route| route.interface.starts_with(&needs.layout.interface_prefix);
        let overlapping = facts.routes.iter().filter(|r| !is_own(r) && r.network.overlaps(range.network));
        let (routed, direct): (Vec<_>, Vec<_>) = overlapping.partition(|route| route.gateway);
        let found = |routes: &[&Route]| {
            let first = routes.first()?;
            let more = match routes.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more of its routes"),
            };
            Some(format!(
                "{} for {} overlaps the host's {} on {}{more}",
                range.network, range.what, first.network, first.interface
            ))
        };
        let advice = format!("choose another range by {}", range.option);
        // Another cluster's pods have a route each: one line says it for all.
        checks.extend(found(&direct).map(|found| bad(name, found, advice.clone())));
        let wide: Vec<_> =
            routed.into_iter().filter(|route| route.network.length <= range.network.length).collect();
        let advice = format!("hosts with these addresses cannot be reached any more; {advice}");
        checks.extend(found(&wide).map(|found| warning(name, found, advice)));
    }
    for OwnAddress { address, what, option } in &needs.addresses {
        if facts.lacking.contains(address) {
            checks.push(bad(
                name,
                format!("no interface of this machine has {address}, the {what}'s address"),
                format!("name one that it has by {option} (`ip address` shows them)"),
            ));
        } else if address.is_loopback() {
            checks.push(warning(
                name,
                format!("the {what}'s address is {address}: pods and other machines cannot reach it"),
                format!("name one that they can by {option} (`ip address` shows them)"),
            ));
        }
    }
    if checks.is_empty() && !needs.ranges.is_empty() {
        let ranges: Vec<String> =
            needs.ranges.iter().map(|r| format!("{} for {}", r.network, r.what)).collect();
        checks.push(good(name, ranges.join(", ")));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn overlaps() {
        for (a, b, expected) in [
            ("10.244.0.0/16", "10.244.3.0/24", true),
            ("10.244.3.0/24", "10.0.0.0/8", true),
            ("10.244.0.0/16", "10.245.0.0/16", false),
            ("0.0.0.0/0", "10.245.0.0/16", true),
            ("10.0.0.1/32", "10.0.0.1/32", true),
            ("10.0.0.1/32", "10.0.0.2/32", false),
            ("fd00::/48", "fd00:0:0:1::/64", true),
            ("fd00::/48", "fd01::/48", false),
            ("::/0", "10.0.0.0/8", false),
        ] {
            assert_eq!(network(a).overlaps(network(b)), expected, "{a} {b}");
            assert_eq!(network(b).overlaps(network(a)), expected, "{b} {a}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129", ""] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_of_routes() {
        let v4 = "Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0101A8C0	0003	0	0	0	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	0003F40A	0501A8C0	0003	0	0	0	00FFFFFF	0	0	0
*	0000F40A	00000000	0200	0	0	0	0000FFFF	0	0	0
";
        let route = |text: &str, gateway| Route { network: network(text), interface: "eth0".into(), gateway };
        assert_eq!(parse_v4(v4), [route("192.168.1.0/24", false), route("10.244.3.0/24", true)]);
        let zeros = "00000000000000000000000000000000";
        let v6 = format!(
            "fd000000000000000000000000000000 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001     eth0
{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000001 80 {zeros} 00 {zeros} 00000000 00000004 00000000 80200001       lo
"
        );
        assert_eq!(parse_v6(&v6), [route("fd00::/64", false)]);
    }
}
