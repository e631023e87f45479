//! Compaction and the counter.

use super::{Case, lines};
use crate::{Error, Expect, Range, Txn, Watch, WatchRequest};

pub(super) async fn compaction_ends_history_but_not_keys(case: &Case) {
    let quiet = case.put("quiet", "q").await;
    for i in 0..10 {
        case.put("a", &i.to_string()).await;
    }
    let middle = case.store.revision().await.unwrap();
    for i in 10..15 {
        case.put("a", &i.to_string()).await;
    }
    case.store.compact(middle).await.unwrap();
    assert!(case.store.compacted_revision() >= middle);

    let error = case.store.range(Range::new(case.all()).at(middle - 1)).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
    let at = case.range(Range::key(case.key("a")).at(middle)).await;
    assert_eq!(at.kvs[0].value(), "9", "the revision compacted to is readable");
    let kv = case.range(Range::key(case.key("quiet"))).await.kvs.remove(0);
    assert_eq!(kv.mod_revision(), quiet, "a key that nobody changes outlives any history");

    let too_old = match case.store.watch(WatchRequest::after(case.all(), quiet)).await {
        Ok(watch) => ends(watch).await,
        Err(error) => error,
    };
    assert!(matches!(too_old, Error::Compacted { compacted } if compacted >= middle), "{too_old:?}");
    let mut watched = case.watch_after(middle).await;
    let events = lines(&watched.events(5).await, case.prefix);
    assert!(events.ends_with("~a=11(10) ~a=12(11) ~a=13(12) ~a=14(13)"), "{events}");

    let error = case.store.compact(middle).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");
}

async fn ends(mut watch: Watch) -> Error {
    loop {
        match watch.next().await {
            Ok(batch) => assert!(batch.events.is_empty(), "{batch:?} comes from a compacted history"),
            Err(error) => return error,
        }
    }
}

pub(super) async fn deleted_keys_can_be_compacted(case: &Case) {
    case.put("a", "1").await;
    case.commit(Txn::delete(case.key("a"), Expect::Any)).await;
    case.put("b", "1").await;
    let last = case.commit(Txn::delete(case.key("b"), Expect::Any)).await;
    case.store.compact(last).await.unwrap();
    assert!(case.range(Range::new(case.all()).counted()).await.kvs.is_empty());
    assert_eq!(case.store.revision().await.unwrap(), last, "the counter does not go back with the rows");
    let again = case.commit(Txn::create(case.key("a"), "2")).await;
    assert_eq!(again, last + 1);
}

pub(super) async fn the_counter_can_be_advanced(case: &Case) {
    let before = case.put("a", "1").await;
    let mut open = case.watch_from_now().await;
    case.store.advance_to(before + 50).await.unwrap();
    assert!(case.store.revision().await.unwrap() >= before + 50);
    case.store.advance_to(before).await.unwrap();
    let after = case.put("b", "2").await;
    assert!(after > before + 50);
    assert_eq!(case.value("a").await.unwrap(), "1");
    assert_eq!(lines(&open.events(1).await, case.prefix), "+b=2");
}
