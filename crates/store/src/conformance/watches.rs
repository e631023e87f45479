//! Watches.

use super::{Case, Watched, line, lines};
use crate::{Error, Event, Expect, KeyRange, Txn, WatchRequest};

pub(super) async fn changes_come_in_order_with_what_was_before(case: &Case) {
    let mut watched = case.watch_from_now().await;
    let created = case.put("a", "1").await;
    case.put("b", "x").await;
    case.put("a", "2").await;
    case.commit(Txn::delete(case.key("a"), Expect::Any)).await;
    let last = case.put("a", "3").await;
    let events = watched.events(5).await;
    assert_eq!(lines(&events, case.prefix), "+a=1 +b=x ~a=2(1) -a(2) +a=3");
    let revisions: Vec<_> = events.iter().map(Event::revision).collect();
    assert_eq!(revisions, (created..=last).collect::<Vec<_>>());
    let prev = events[2].prev().unwrap();
    assert_eq!((prev.mod_revision(), prev.create_revision()), (created, created));
}

pub(super) async fn a_watch_resumes_anywhere_in_the_history(case: &Case) {
    let start = case.store.revision().await.unwrap();
    for i in 0..6 {
        case.put("a", &i.to_string()).await;
    }
    case.commit(Txn::delete(case.key("a"), Expect::Any)).await;
    for from in 0..7 {
        let mut watched = case.watch_after(start + from).await;
        let events = watched.events(7 - usize::try_from(from).unwrap()).await;
        assert_eq!(events[0].revision(), start + from + 1);
        assert_eq!(events[0].prev().is_some(), from > 0, "{}", line(&events[0], case.prefix));
    }
    // From the future: nothing before it is told.
    let mut watched = case.watch_after(start + 9).await;
    for i in 0..4 {
        case.put("b", &i.to_string()).await;
    }
    assert_eq!(lines(&watched.events(2).await, case.prefix), "~b=2(1) ~b=3(2)");
}

pub(super) async fn transactions_come_whole(case: &Case) {
    let start = case.store.revision().await.unwrap();
    let mut live = case.watch_from_now().await;
    for round in 0..20 {
        let mut txn = Txn::put(case.key("0"), round.to_string());
        for i in 1..5 {
            txn = txn.and(Txn::put(case.key(&i.to_string()), round.to_string()));
        }
        case.commit(txn).await;
    }
    let mut later = case.watch_after(start).await;
    for watched in [&mut live, &mut later] {
        let mut seen = 0;
        while seen < 100 {
            let batch = watched.batch().await;
            for chunk in batch.events.chunks(5) {
                assert_eq!(chunk.len(), 5);
                assert!(chunk.iter().all(|event| event.revision() == chunk[0].revision()));
            }
            seen += batch.events.len();
        }
    }
}

pub(super) async fn only_the_keys_asked_for(case: &Case) {
    let watch = |keys| case.store.watch(WatchRequest::from_now(keys));
    let mut one = Watched::new(watch(KeyRange::key(case.key("a"))).await.unwrap(), 0);
    let mut prefix = Watched::new(watch(KeyRange::prefix(case.key("a/"))).await.unwrap(), 0);
    let mut span =
        Watched::new(watch(KeyRange::between(case.key("a0"), Some(case.key("b").into()))).await.unwrap(), 0);
    let mut everything = Watched::new(watch(KeyRange::prefix("")).await.unwrap(), 0);
    for name in ["a", "a/", "a/b", "a0", "a1", "b", "a"] {
        case.put(name, "").await;
    }
    assert_eq!(lines(&one.events(2).await, case.prefix), "+a= ~a=()");
    assert_eq!(lines(&prefix.events(2).await, case.prefix), "+a/= +a/b=");
    assert_eq!(lines(&span.events(2).await, case.prefix), "+a0= +a1=");
    assert_eq!(everything.events(7).await.len(), 7);
}

pub(super) async fn a_slow_watcher_misses_nothing(case: &Case) {
    /// Above any queue's length.
    const EVENTS: usize = 10_000;
    let mut slow = case.watch_from_now().await;
    for chunk in 0..EVENTS / 100 {
        let mut txn = Txn::put(case.key("0"), chunk.to_string());
        for i in 1..100 {
            txn = txn.and(Txn::put(case.key(&i.to_string()), chunk.to_string()));
        }
        case.commit(txn).await;
    }
    let events = slow.events(EVENTS).await;
    for (i, event) in events.iter().enumerate() {
        let Event::Put { kv, .. } = event else { panic!("{event:?}") };
        assert_eq!(**kv.value(), *(i / 100).to_string().as_bytes(), "event {i}");
    }
    // And it goes on live.
    case.put("live", "1").await;
    assert_eq!(lines(&slow.events(1).await, case.prefix), "+live=1");
}

pub(super) async fn progress_can_be_asked_for(case: &Case) {
    let mut watched = case.watch_from_now().await;
    case.put("a", "1").await;
    // Another prefix: the watch is told nothing of it but the revision.
    let elsewhere = case.commit(Txn::put("/elsewhere", "1")).await;
    assert!(case.store.revision().await.unwrap() >= elsewhere);
    match case.store.request_progress(&case.all()).await {
        Ok(()) => {}
        Err(Error::Unsupported(reason)) => {
            tracing::warn!(reason, "progress requests are not tested");
            return;
        }
        Err(error) => panic!("{error}"),
    }
    let mut events = Vec::new();
    while watched.revision < elsewhere {
        events.extend(watched.batch().await.events);
    }
    assert_eq!(lines(&events, case.prefix), "+a=1");
}

pub(super) async fn a_dropped_watch_is_gone(case: &Case) {
    for _ in 0..50 {
        drop(case.watch_from_now().await);
    }
    let mut kept = case.watch_from_now().await;
    case.put("a", "1").await;
    assert_eq!(kept.events(1).await.len(), 1);
}
