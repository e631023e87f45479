//! How much a request costs: a seat, or more for long lists and for changes that many follow.
//!
//! Upstream: `k8s.io/apiserver/pkg/util/flowcontrol/request`.

use super::queueset::Work;
use crate::call::Call;

const LIST_SEATS_MAX: u64 = 100;
const MUTATING_SEATS_MAX: u32 = 10;
const BYTES_PER_SEAT: u64 = 100_000;
/// What a list holds in memory at once at most, since it is sent as it is made.
const LIST_BYTES_MAX: u64 = 1_000_000;
const WATCHES_PER_SEAT: usize = 10;
/// What an event costs one seat's worth of followers.
const EVENT_NANOSECONDS: u64 = 5_000_000;

/// `widest` is what the level allows at most; 0 if it says nothing.
pub(super) fn estimate(call: &Call, widest: u32) -> Work {
    if !call.info.is_resource {
        return Work::seats(1);
    }
    match call.info.verb.as_str() {
        "list" | "watch" => Work::seats(list(call, widest)),
        "create" | "update" | "patch" | "delete" => {
            let followers = followers(call);
            if followers < WATCHES_PER_SEAT { Work::seats(1) } else { mutating(followers, widest) }
        }
        _ => Work::seats(1),
    }
}

fn list(call: &Call, widest: u32) -> u32 {
    let info = &call.info;
    if !info.name.is_empty() {
        return 1;
    }
    if info.verb == "watch" {
        let version = call.query.get("resourceVersion").unwrap_or("");
        let sends = call.query.bool("sendInitialEvents") == Some(true) || matches!(version, "" | "0");
        if !sends {
            return 1;
        }
    }
    let registry = call.api.registry.load();
    let Some(hub) = registry.hub(&info.group, &info.resource) else { return 1 };
    let (count, bytes) = hub.cache.size();
    let limit = call.query.get("limit").and_then(|l| l.parse::<u64>().ok()).filter(|l| *l > 0);
    seats_of_list(count as u64, bytes as u64, limit, widest)
}

fn seats_of_list(count: u64, bytes: u64, limit: Option<u64>, widest: u32) -> u32 {
    if count == 0 {
        return 1;
    }
    let shown = limit.map_or(count, |l| l.min(count));
    let held = (shown * (bytes / count)).min(LIST_BYTES_MAX);
    let most = if widest == 0 { LIST_SEATS_MAX } else { LIST_SEATS_MAX.min(widest.into()) };
    u32::try_from(held.div_ceil(BYTES_PER_SEAT).min(most)).unwrap_or(1).max(1)
}

/// How many follow what the request changes.
fn followers(call: &Call) -> usize {
    let info = &call.info;
    // A token is no event.
    if info.subresource == "token" {
        return 0;
    }
    let registry = call.api.registry.load();
    registry
        .hub(&info.group, &info.resource)
        .map_or(0, |hub| hub.cache.followers(&info.namespace, &info.name))
}

fn mutating(followers: usize, widest: u32) -> Work {
    let seats = u32::try_from(followers.div_ceil(WATCHES_PER_SEAT)).unwrap_or(u32::MAX);
    let nanoseconds = u64::from(seats).saturating_mul(EVENT_NANOSECONDS);
    let most = if widest == 0 { MUTATING_SEATS_MAX } else { MUTATING_SEATS_MAX.min(widest) };
    let last = seats.min(most).max(1);
    Work { initial: 1, last, last_nanoseconds: nanoseconds / u64::from(last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_cost_by_their_bytes() {
        let table = [
            ((0, 0, None, 0), 1),
            ((10, 10_000, None, 0), 1),
            ((1_000, 1_000_000, None, 0), 10),
            ((1_000, 6_000_000, None, 0), 10),
            ((1_000, 1_000_000, Some(150), 0), 2),
            ((1_000, 1_000_000, Some(5_000), 0), 10),
            ((1_000, 1_000_000, None, 3), 3),
        ];
        for ((count, bytes, limit, widest), want) in table {
            assert_eq!(seats_of_list(count, bytes, limit, widest), want);
        }
    }

    #[test]
    fn changes_cost_by_their_followers() {
        let work = |last, ms: u64| Work { initial: 1, last, last_nanoseconds: ms * 1_000_000 };
        assert_eq!(mutating(10, 0), work(1, 5));
        assert_eq!(mutating(25, 0), work(3, 5));
        assert_eq!(mutating(1_000, 0), work(10, 50));
        assert_eq!(mutating(1_000, 4), work(4, 125));
    }
}
