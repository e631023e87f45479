//! Addresses out of the node's ranges, as the host-local plugin gives them: one of each range, in a circle, so
//! that an address rests for as long as possible before another pod gets it.

use crate::cidr::{Cidr, Family};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A range is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address is left in {0}")]
pub(crate) struct Full(pub(crate) Cidr);

/// Which addresses of the node are in use.
#[derive(Default)]
pub(crate) struct Pool {
    ranges: Vec<Cidr>,
    used: BTreeSet<IpAddr>,
    last: BTreeMap<Cidr, u128>,
}

impl Pool {
    /// The ranges from which addresses are given: at most one of a family counts. Addresses given from
    /// other ranges before stay in use.
    pub(crate) fn set_ranges(&mut self, ranges: &[Cidr]) {
        self.ranges = Family::ALL
            .into_iter()
            .filter_map(|family| ranges.iter().find(|range| range.family() == family).copied())
            .collect();
    }

    /// The ranges.
    pub(crate) fn ranges(&self) -> &[Cidr] {
        &self.ranges
    }

    /// Notes that an address is in use, as found on disk.
    pub(crate) fn mark(&mut self, address: IpAddr) {
        self.used.insert(address);
    }

    /// Where the circle goes on, as found on disk: after the address that was given last.
    pub(crate) fn resume_after(&mut self, address: IpAddr) {
        for range in &self.ranges {
            if let Some(offset) = range.offset(address) {
                self.last.insert(*range, offset);
            }
        }
    }

    /// Takes an address of each range, or none at all.
    pub(crate) fn allocate(&mut self) -> Result<Vec<IpAddr>, Full> {
        let mut taken = Vec::new();
        for range in &self.ranges {
            let offset = next(*range, &self.used, self.last.get(range).copied()).ok_or(Full(*range))?;
            let address = range.nth(offset).ok_or(Full(*range))?;
            taken.push((*range, offset, address));
        }
        for (range, offset, address) in &taken {
            self.last.insert(*range, *offset);
            self.used.insert(*address);
        }
        Ok(taken.into_iter().map(|(_, _, address)| address).collect())
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: IpAddr) {
        self.used.remove(&address);
    }
}

/// The first free offset after `last`, going round once. The network's own address is never given (in IPv6 it
/// is the routers' anycast address, RFC 4291 2.6.1), nor IPv4's broadcast address.
fn next(range: Cidr, used: &BTreeSet<IpAddr>, last: Option<u128>) -> Option<u128> {
    let (first, end) = match (range.family(), range.span()) {
        (_, span @ (0 | 1)) => (0, span),
        (Family::V4, span) => (1, span - 1),
        (Family::V6, span) => (1, span),
    };
    let in_range = used.range(range.address()..=range.last()).count() as u128;
    let start = last.map_or(first, |last| last.saturating_add(1)).max(first);
    // Of in_range + 1 candidates one is free; more need not be tried.
    (start..=end)
        .chain(first..start.min(end.saturating_add(1)))
        .take(in_range as usize + 1)
        .find(|offset| range.nth(*offset).is_some_and(|address| !used.contains(&address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(ranges: &[&str]) -> Pool {
        let mut pool = Pool::default();
        pool.set_ranges(&ranges.iter().map(|range| range.parse().unwrap()).collect::<Vec<_>>());
        pool
    }

    fn take(pool: &mut Pool) -> String {
        match pool.allocate() {
            Ok(addresses) => addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
            Err(full) => full.to_string(),
        }
    }

    #[test]
    fn round_and_round() {
        let mut pool = pool(&["10.0.0.0/29"]);
        for expected in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            assert_eq!(take(&mut pool), expected);
        }
        pool.release("10.0.0.1".parse().unwrap());
        for expected in ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1"] {
            assert_eq!(take(&mut pool), expected);
        }
        assert_eq!(take(&mut pool), "no address is left in 10.0.0.0/29");
        pool.release("10.0.0.3".parse().unwrap());
        assert_eq!(take(&mut pool), "10.0.0.3");
    }

    #[test]
    fn both_or_none() {
        let mut pool = pool(&["fd00::/64", "10.0.0.0/30", "10.9.0.0/24"]);
        assert_eq!(take(&mut pool), "10.0.0.1 fd00::1");
        assert_eq!(take(&mut pool), "10.0.0.2 fd00::2");
        assert_eq!(take(&mut pool), "no address is left in 10.0.0.0/30");
        pool.release("10.0.0.1".parse().unwrap());
        assert_eq!(take(&mut pool), "10.0.0.1 fd00::3");
    }

    #[test]
    fn small_ranges_and_restarts() {
        let mut one = pool(&["10.0.0.9/32"]);
        assert_eq!(take(&mut one), "10.0.0.9");
        assert_eq!(take(&mut one), "no address is left in 10.0.0.9/32");
        let mut restarted = pool(&["10.0.0.0/29"]);
        restarted.mark("10.0.0.5".parse().unwrap());
        restarted.resume_after("10.0.0.4".parse().unwrap());
        assert_eq!(take(&mut restarted), "10.0.0.6");
        assert_eq!(take(&mut restarted), "10.0.0.1");
        let mut nothing = pool(&[]);
        assert_eq!(nothing.allocate(), Ok(Vec::new()));
    }
}
