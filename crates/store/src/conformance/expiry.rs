//! Time to live.

use std::time::Duration;

use super::{Case, lines};
use crate::{Txn, WatchRequest};

/// Etcd's leases last whole seconds, and at least two with its default election time.
const TTL: Duration = Duration::from_secs(2);

pub(super) async fn a_key_expires_with_an_event(case: &Case) {
    let mut watched = case.watch_from_now().await;
    let put = case.commit(Txn::create(case.key("a"), "1").ttl(TTL)).await;
    case.commit(Txn::create(case.key("stays"), "1")).await;
    if let Some(clock) = &case.clock {
        clock.advance(TTL - Duration::from_millis(1));
        assert!(case.value("a").await.is_some(), "too early");
        clock.advance(Duration::from_millis(1));
    }
    let events = watched.events(3).await;
    assert_eq!(lines(&events, case.prefix), "+a=1 +stays=1 -a(1)");
    assert!(events[2].revision() > put + 1, "an expiry has its own revision");
    assert!(case.value("a").await.is_none());
    assert!(case.value("stays").await.is_some());
}

pub(super) async fn a_later_put_takes_the_expiry_away(case: &Case) {
    let from = case.commit(Txn::create(case.key("a"), "1").ttl(TTL)).await;
    case.put("a", "2").await;
    case.commit(Txn::create(case.key("b"), "1").ttl(TTL)).await;
    let mut watched =
        super::Watched::new(case.store.watch(WatchRequest::after(case.all(), from)).await.unwrap(), from);
    if let Some(clock) = &case.clock {
        clock.advance(TTL);
    }
    // `b` went into the store last and expires last, so once it is gone `a` would be too.
    assert_eq!(lines(&watched.events(3).await, case.prefix), "~a=2(1) +b=1 -b(1)");
    assert_eq!(case.value("a").await.unwrap(), "2");
}
