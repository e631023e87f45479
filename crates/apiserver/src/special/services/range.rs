//! A network that Services take their addresses from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }

    pub(super) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceRange {
    pub(super) family: Family,
    base: u128,
    prefix: u32,
}

impl fmt::Display for ServiceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.prefix)
    }
}

impl ServiceRange {
    /// From `10.96.0.0/16`; `None` if it is no network.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let family = Family::of(address);
        let prefix: u32 = prefix.parse().ok().filter(|p| *p <= bits(family))?;
        let host = bits(family) - prefix;
        let base = number(address);
        let base = if host >= 128 { 0 } else { base >> host << host };
        Some(Self { family, base, prefix })
    }

    /// How many addresses there are, the network's own and (in IPv4) the broadcast left out of use.
    fn size(&self) -> u128 {
        let host = (bits(self.family) - self.prefix).min(64);
        1 << host
    }

    /// The offsets for addresses that are chosen by the server: above the part that is left for people to
    /// choose from (KEP-3070: between 16 and 256 addresses).
    pub(super) fn dynamic(&self) -> (u128, u128) {
        let size = self.size();
        let last = if self.family == Family::V4 { size.saturating_sub(1) } else { size };
        let static_part = (size / 16).clamp(16, 256);
        let low = if static_part < last { static_part } else { 1 };
        (low.min(last), last)
    }

    /// The address at an offset.
    pub(super) fn at(&self, offset: u128) -> IpAddr {
        let n = self.base + offset;
        match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(n).unwrap_or(u32::MAX))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(n)),
        }
    }

    /// The network's address.
    pub(super) fn first(&self) -> IpAddr {
        self.at(0)
    }

    /// Whether an address can be given to a Service.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        if Family::of(address) != self.family {
            return false;
        }
        let n = number(address);
        let (_, last) = self.dynamic();
        n > self.base && n < self.base + last
    }
}

const fn bits(family: Family) -> u32 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = ServiceRange::parse("10.96.0.7/16").expect("a network");
        assert_eq!((range.first().to_string(), range.prefix), ("10.96.0.0".into(), 16));
        assert_eq!(range.dynamic(), (256, 65_535));
        assert_eq!(range.at(256).to_string(), "10.96.1.0");
        let inside = |ip: &str| range.contains(ip.parse().expect("an address"));
        assert_eq!(
            ["10.96.0.0", "10.96.0.1", "10.96.255.254", "10.96.255.255", "10.97.0.1", "fd00::1"].map(inside),
            [false, true, true, false, false, false]
        );
        let small = ServiceRange::parse("10.0.0.0/28").expect("a network");
        assert_eq!(small.dynamic(), (1, 15));
        let six = ServiceRange::parse("fd00::/112").expect("a network");
        assert_eq!((six.dynamic(), six.at(1).to_string()), ((256, 65_536), "fd00::1".into()));
        assert!(ServiceRange::parse("10.0.0.0/33").is_none() && ServiceRange::parse("x").is_none());
    }
}
