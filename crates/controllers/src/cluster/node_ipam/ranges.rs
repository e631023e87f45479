//! Ranges of addresses, and which is free. Pure.
//! Upstream: `pkg/controller/nodeipam/ipam/cidrset`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// By how many bits a node's range may be narrower than the cluster's: 65,536 nodes, as upstream.
const NODE_BITS_MAX: u8 = 16;

/// A range, as CIDR notation has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    v6: bool,
    first: u128,
    bits: u8,
}

impl Range {
    /// The range that an address lies in.
    pub(super) fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let (v6, number) = match address {
            IpAddr::V4(address) => (false, u128::from(u32::from(address))),
            IpAddr::V6(address) => (true, u128::from(address)),
        };
        let width = if v6 { 128 } else { 32 };
        if bits > width {
            return None;
        }
        let range = Self { v6, first: 0, bits };
        Some(Self { first: number & !(range.size_minus_one()), ..range })
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        Self::new(address.parse().ok()?, bits.parse().ok()?)
    }

    const fn width(self) -> u8 {
        if self.v6 { 128 } else { 32 }
    }

    fn size_minus_one(self) -> u128 {
        match self.width() - self.bits {
            128 => u128::MAX,
            host_bits => (1 << host_bits) - 1,
        }
    }

    fn last(self) -> u128 {
        self.first | self.size_minus_one()
    }

    fn overlaps(self, other: Self) -> bool {
        self.v6 == other.v6 && self.first <= other.last() && other.first <= self.last()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = if self.v6 {
            IpAddr::V6(Ipv6Addr::from(self.first))
        } else {
            // An IPv4 range was made of 32 bits.
            IpAddr::V4(Ipv4Addr::from(u32::try_from(self.first).unwrap_or_default()))
        };
        write!(f, "{address}/{}", self.bits)
    }
}

/// A cluster's range, to be handed out in parts.
#[derive(Debug)]
pub(super) struct Pool {
    cluster: Range,
    node_bits: u8,
    /// Where the search goes on: what was given back is not given out again at once.
    next: u128,
}

impl Pool {
    pub(super) fn new(address: IpAddr, bits: u8, node_bits: u8) -> Result<Self, String> {
        let cluster = Range::new(address, bits).ok_or_else(|| format!("{bits} is no length of a prefix"))?;
        if node_bits < bits || node_bits > cluster.width() {
            return Err(format!(
                "the mask of nodes, {node_bits}, must be between {bits} and {}",
                cluster.width()
            ));
        }
        if node_bits - bits > NODE_BITS_MAX {
            return Err(format!(
                "the mask of nodes, {node_bits}, must be at most {NODE_BITS_MAX} bits longer than {bits}"
            ));
        }
        Ok(Self { cluster, node_bits, next: 0 })
    }

    pub(super) const fn cluster(&self) -> Range {
        self.cluster
    }

    /// A part that overlaps with nothing in `used`.
    pub(super) fn next(&mut self, used: &[Range]) -> Option<Range> {
        let count = 1_u128 << (self.node_bits - self.cluster.bits);
        let step = Range { bits: self.node_bits, ..self.cluster }.size_minus_one().wrapping_add(1);
        let used: Vec<Range> = used.iter().filter(|range| range.overlaps(self.cluster)).copied().collect();
        for offset in 0..count {
            let index = (self.next + offset) % count;
            let first = self.cluster.first + index.wrapping_mul(step);
            let range = Range { v6: self.cluster.v6, first, bits: self.node_bits };
            if !used.iter().any(|used| used.overlaps(range)) {
                self.next = (index + 1) % count;
                return Some(range);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::Dice;

    fn pool(cidr: &str, node_bits: u8) -> Pool {
        let (address, bits) = cidr.split_once('/').expect("a range");
        Pool::new(address.parse().expect("an address"), bits.parse().expect("bits"), node_bits)
            .expect("a pool")
    }

    #[test]
    fn ranges_are_read_and_written() {
        for (text, shown) in [
            ("10.244.3.7/24", Some("10.244.3.0/24")),
            ("fd00::1/64", Some("fd00::/64")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("::/0", Some("::/0")),
            ("10.0.0.0/33", None),
            ("x/8", None),
        ] {
            assert_eq!(Range::parse(text).map(|r| r.to_string()).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn parts_are_given_in_turn_around_what_is_used() {
        let mut pool = pool("10.244.0.0/22", 24);
        let used = [
            Range::parse("10.244.1.128/25").expect("a range"),
            Range::parse("10.96.0.0/16").expect("a range"),
        ];
        let mut given = used.to_vec();
        let mut texts = Vec::new();
        while let Some(range) = pool.next(&given) {
            given.push(range);
            texts.push(range.to_string());
        }
        assert_eq!(texts, ["10.244.0.0/24", "10.244.2.0/24", "10.244.3.0/24"]);
        // The first was given back.
        given.remove(2);
        assert_eq!(pool.next(&given).map(|r| r.to_string()).as_deref(), Some("10.244.0.0/24"));
        let mut v6 = self::pool("fd00:10:244::/56", 64);
        assert_eq!(v6.next(&[]).map(|r| r.to_string()).as_deref(), Some("fd00:10:244::/64"));
        assert_eq!(v6.next(&[]).map(|r| r.to_string()).as_deref(), Some("fd00:10:244:1::/64"));
        assert!(Pool::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 32, 64).is_err());
        assert!(Pool::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 24, 16).is_err());
    }

    #[test]
    fn no_part_is_ever_out_twice() {
        let mut dice = Dice::new(7);
        let mut pool = pool("10.0.0.0/20", 26);
        let mut out: Vec<Range> = Vec::new();
        for _ in 0..2_000 {
            if dice.one_in(3) && !out.is_empty() {
                out.swap_remove(dice.below(out.len()));
            } else if let Some(range) = pool.next(&out) {
                assert!(!out.iter().any(|other| other.overlaps(range)), "{range} is out twice");
                out.push(range);
            } else {
                assert_eq!(out.len(), 64);
            }
        }
    }
}
