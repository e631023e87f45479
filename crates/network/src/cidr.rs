//! Address ranges in CIDR notation.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The two families of IP; each has rules, addresses and routes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bits of an address: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address of all zeros.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// A range of addresses; host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The range of this length around an address; `None` for a length its family does not have.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let family = Family::of(address);
        (prefix <= family.bits())
            .then(|| Self { address: from_number(family, number(address) & mask(family, prefix)), prefix })
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        Self { address, prefix: Family::of(address).bits() }
    }

    /// The first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The length of the network part.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The family.
    pub fn family(self) -> Family {
        Family::of(self.address)
    }

    /// The last address.
    pub fn last(self) -> IpAddr {
        let family = self.family();
        from_number(family, number(self.address) | (all(family) & !mask(family, self.prefix)))
    }

    /// Whether an address is in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family()
            && number(address) & mask(self.family(), self.prefix) == number(self.address)
    }

    /// Whether a whole range is in the range.
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether they have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// How many addresses follow the first one.
    pub fn span(self) -> u128 {
        number(self.last()) - number(self.address)
    }

    /// The address at an offset from the first one; `None` beyond the range.
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        (offset <= self.span()).then(|| from_number(self.family(), number(self.address) + offset))
    }

    /// How far an address of the range is from the first one.
    pub fn offset(self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| number(address) - number(self.address))
    }
}

/// The ranges that no other one covers: the same addresses, each once.
pub(crate) fn outermost(cidrs: &[Cidr]) -> Vec<Cidr> {
    let mut outer: Vec<Cidr> = Vec::new();
    for cidr in cidrs {
        if !outer.iter().any(|other| other.covers(*cidr)) {
            outer.retain(|other| !cidr.covers(*other));
            outer.push(*cidr);
        }
    }
    outer
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address range like 10.244.0.0/16")]
pub struct NotACidr(String);

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, NotACidr> {
        let parsed = text
            .trim()
            .split_once('/')
            .and_then(|(address, prefix)| Self::new(address.parse().ok()?, prefix.parse().ok()?));
        parsed.ok_or_else(|| NotACidr(text.to_owned()))
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The octets of an address in network order.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address with these octets; `None` unless they are 4 or 16.
pub(crate) fn from_octets(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

/// The octets of a mask of this length.
pub(crate) fn mask_octets(family: Family, prefix: u8) -> Vec<u8> {
    octets(from_number(family, mask(family, prefix)))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn from_number(family: Family, number: u128) -> IpAddr {
    match family {
        // The upper bits are zero: every caller masks by `all` of the family.
        Family::V4 => Ipv4Addr::from(number as u32).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

fn all(family: Family) -> u128 {
    match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    }
}

fn mask(family: Family, prefix: u8) -> u128 {
    let host = u32::from(family.bits() - prefix.min(family.bits()));
    all(family) & u128::MAX.checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, first, last, span) in [
            ("10.244.3.7/24", "10.244.3.0", "10.244.3.255", 255),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.1", 0),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", u128::from(u32::MAX)),
            ("fd00:10::5/64", "fd00:10::", "fd00:10::ffff:ffff:ffff:ffff", u128::from(u64::MAX)),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", u128::MAX),
        ] {
            let cidr: Cidr = text.parse().unwrap();
            assert_eq!(cidr.address().to_string(), first, "{text}");
            assert_eq!(cidr.last().to_string(), last, "{text}");
            assert_eq!(cidr.span(), span, "{text}");
            assert_eq!(cidr.nth(span), Some(cidr.last()), "{text}");
            assert!(cidr.contains(cidr.last()) && cidr.contains(cidr.address()), "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0.0", "x/8", "fd00::/129", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn containment() {
        let cidr: Cidr = "10.244.0.0/16".parse().unwrap();
        assert!(cidr.contains("10.244.255.255".parse().unwrap()));
        assert!(!cidr.contains("10.245.0.0".parse().unwrap()));
        assert!(!cidr.contains("::1".parse().unwrap()));
        assert!(cidr.covers("10.244.9.0/24".parse().unwrap()));
        assert!(!cidr.covers("10.0.0.0/8".parse().unwrap()));
        assert!(cidr.overlaps("10.0.0.0/8".parse().unwrap()));
        assert!(!cidr.overlaps("10.245.0.0/16".parse().unwrap()));
        let all = ["10.1.0.0/24", "10.0.0.0/8", "10.2.0.0/24", "fd00::/64", "10.0.0.0/8", "fd00::/48"];
        let outer = outermost(&all.map(|range| range.parse().unwrap()));
        assert_eq!(outer.iter().map(Cidr::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "fd00::/48"]);
        assert_eq!(cidr.nth(1 << 16), None);
        assert_eq!(cidr.offset("10.244.1.0".parse().unwrap()), Some(256));
    }
}
