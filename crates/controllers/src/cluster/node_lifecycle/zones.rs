//! How bad it is in each zone, and how fast its nodes may be tainted. Pure.
//!
//! If much of a zone is silent, it is more likely the network than the nodes: then slowly, or not at all.

use api::core::v1::Node;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Nodes per second whose pods are evicted, as `--node-eviction-rate`.
const RATE: f64 = 0.1;
/// The same in a large zone of which much is silent, as `--secondary-node-eviction-rate`; none in small ones.
const SECONDARY_RATE: f64 = 0.01;
/// A zone of more nodes is large, as `--large-cluster-size-threshold`.
const LARGE_NODES: usize = 50;
/// Much of a zone is silent from this share on, as `--unhealthy-zone-threshold`, and from this number of nodes.
const UNHEALTHY_SHARE: f64 = 0.55;
const UNHEALTHY_NODES_MIN: usize = 3;
/// How many nodes may be tainted at once after a quiet time.
const BURST: f64 = 1.0;

const REGION_LABELS: [&str; 2] =
    ["failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"];
const ZONE_LABELS: [&str; 2] = ["failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"];

/// The node's region and zone.
pub(super) fn zone_of(node: &Node) -> String {
    let labels = node.metadata.labels.as_ref();
    let first =
        |names: [&str; 2]| names.iter().find_map(|name| labels?.get(*name)).cloned().unwrap_or_default();
    let (region, zone) = (first(REGION_LABELS), first(ZONE_LABELS));
    if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\0:{zone}") }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Normal,
    /// Much of it is silent.
    Partial,
    /// All of it is.
    Full,
}

/// How many nodes of a zone are ready, and how many are not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) ready: usize,
    pub(super) not_ready: usize,
}

impl Count {
    const fn all(self) -> usize {
        self.ready + self.not_ready
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of nodes are small")]
    fn state(self) -> State {
        if self.ready == 0 && self.not_ready > 0 {
            State::Full
        } else if self.not_ready >= UNHEALTHY_NODES_MIN
            && self.not_ready as f64 / self.all() as f64 >= UNHEALTHY_SHARE
        {
            State::Partial
        } else {
            State::Normal
        }
    }
}

/// A zone's allowance.
#[derive(Debug)]
struct Zone {
    rate: f64,
    tokens: f64,
    at: Timestamp,
}

/// What became of the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing unusual.
    None,
    /// Everything is silent now: nobody is to be evicted.
    AllSilent,
    /// Something is heard again.
    HeardAgain,
}

/// All zones.
#[derive(Debug, Default)]
pub(super) struct Zones {
    zones: BTreeMap<String, Zone>,
    all_silent: bool,
}

impl Zones {
    /// Takes in how many nodes are ready where.
    pub(super) fn look(&mut self, now: Timestamp, counts: &BTreeMap<String, Count>) -> Turn {
        self.zones.retain(|name, _| counts.contains_key(name));
        let all_silent = !counts.is_empty() && counts.values().all(|count| count.state() == State::Full);
        let turn = match (self.all_silent, all_silent) {
            (false, true) => Turn::AllSilent,
            (true, false) => Turn::HeardAgain,
            _ => Turn::None,
        };
        self.all_silent = all_silent;
        for (name, count) in counts {
            let rate = match count.state() {
                _ if all_silent => 0.0,
                State::Normal | State::Full => RATE,
                State::Partial if count.all() > LARGE_NODES => SECONDARY_RATE,
                State::Partial => 0.0,
            };
            let zone = self.zones.entry(name.clone()).or_insert(Zone { rate, tokens: BURST, at: now });
            zone.refill(now);
            zone.rate = rate;
        }
        turn
    }

    /// Whether one more node of the zone may be tainted now.
    pub(super) fn take(&mut self, zone: &str) -> bool {
        let Some(zone) = self.zones.get_mut(zone) else { return false };
        let allowed = zone.rate > 0.0 && zone.tokens >= 1.0;
        if allowed {
            zone.tokens -= 1.0;
        }
        allowed
    }
}

impl Zone {
    fn refill(&mut self, now: Timestamp) {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.tokens = passed.mul_add(self.rate, self.tokens).min(BURST);
        self.at = now;
    }
}
