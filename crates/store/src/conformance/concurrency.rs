//! Many writers.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Case;
use crate::{Event, Outcome, Range, Store, Txn};

const WRITERS: u64 = 16;
const ROUNDS: u64 = 25;

/// Adds one to a counter; returns (value, revision).
async fn increment(store: &Arc<dyn Store>, key: &str) -> (u64, u64) {
    let mut current = store.range(Range::key(key)).await.unwrap().kvs.pop();
    loop {
        let value =
            current.as_ref().map_or(0, |kv| std::str::from_utf8(kv.value()).unwrap().parse().unwrap()) + 1;
        let expected = current.as_ref().map_or(0, |kv| kv.mod_revision());
        let txn = Txn::put(key, value.to_string()).expect(crate::Expect::mod_revision(expected));
        match store.txn(txn).await.unwrap() {
            Outcome::Committed { revision } => return (value, revision),
            Outcome::Conflict { current: mut now, .. } => current = now.pop().unwrap(),
        }
    }
}

pub(super) async fn increments_are_not_lost(case: &Case) {
    let mut watched = case.watch_from_now().await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, key) = (case.store.clone(), case.key("counter"));
        writers.spawn(async move {
            let mut done = Vec::new();
            for _ in 0..ROUNDS {
                done.push(increment(&store, &key).await);
            }
            done
        });
    }
    let mut done: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    done.sort_unstable();
    let values: Vec<_> = done.iter().map(|(value, _)| *value).collect();
    assert_eq!(values, (1..=WRITERS * ROUNDS).collect::<Vec<_>>(), "each value was written once");
    assert!(done.is_sorted_by_key(|(_, revision)| *revision), "revisions follow the order of the writes");

    let events = watched.events(done.len()).await;
    for ((value, revision), event) in done.iter().zip(&events) {
        let Event::Put { kv, prev } = event else { panic!("{event:?}") };
        assert_eq!((kv.mod_revision(), &**kv.value()), (*revision, value.to_string().as_bytes()));
        assert_eq!(prev.is_some(), *value > 1);
    }
}

pub(super) async fn reads_follow_acknowledgements(case: &Case) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, key) = (case.store.clone(), case.key(&writer.to_string()));
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let outcome = store.txn(Txn::put(key.clone(), round.to_string())).await.unwrap();
                let revision = outcome.committed().unwrap();
                let read = store.range(Range::key(key.clone())).await.unwrap();
                assert!(read.revision >= revision, "{} was read after {revision} was told", read.revision);
                assert_eq!(read.kvs[0].mod_revision(), revision);
                assert!(store.revision().await.unwrap() >= revision);
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
}

pub(super) async fn one_creator_wins(case: &Case) {
    for round in 0..10 {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, key) = (case.store.clone(), case.key(&round.to_string()));
            writers.spawn(async move { store.txn(Txn::create(key, writer.to_string())).await.unwrap() });
        }
        let outcomes = writers.join_all().await;
        let won: Vec<_> = outcomes.iter().filter_map(Outcome::committed).collect();
        assert_eq!(won.len(), 1);
        for outcome in &outcomes {
            if let Outcome::Conflict { current, .. } = outcome {
                assert_eq!(current[0].as_ref().unwrap().mod_revision(), won[0]);
            }
        }
    }
}
