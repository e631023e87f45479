//! The contract of a [`Store`] as tests. Every back end passes them; a new one is done when it does.
//!
//! Cases run one after the other on one store, each under its own prefix, and assume no other writers. Upstream
//! counterpart: `k8s.io/apiserver/pkg/storage/testing`.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "these are tests, run from other crates")]

mod concurrency;
mod expiry;
mod history;
mod reads;
mod watches;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    Batch, Event, KeyRange, ManualClock, Outcome, Range, RangeResult, Store, Txn, Watch, WatchRequest,
};

/// Nothing here takes so long; a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store under test.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its clock, if it has one that can be moved; without it, expiry is waited for.
    pub clock: Option<Arc<ManualClock>>,
}

/// Runs every case.
pub async fn run(subject: &Subject) {
    macro_rules! cases {
        ($($module:ident :: $case:ident),* $(,)?) => {$({
            tracing::debug!(case = stringify!($case));
            let case = Case {
                store: subject.store.clone(),
                clock: subject.clock.clone(),
                prefix: concat!("/", stringify!($case), "/"),
            };
            let ended = tokio::time::timeout(PATIENCE, Box::pin($module::$case(&case))).await;
            assert!(ended.is_ok(), "the case {} hangs", stringify!($case));
        })*};
    }
    cases![
        writes::revisions_count_changes,
        writes::conflicts_tell_the_current_key,
        writes::several_keys_are_one_change,
        writes::nonsense_is_refused,
        writes::limits_hold,
        writes::bytes_are_kept,
        reads::prefixes_are_exact,
        reads::pages_show_one_revision,
        reads::old_revisions_stay_readable,
        reads::wrong_revisions_are_told,
        watches::changes_come_in_order_with_what_was_before,
        watches::a_watch_resumes_anywhere_in_the_history,
        watches::transactions_come_whole,
        watches::only_the_keys_asked_for,
        watches::a_slow_watcher_misses_nothing,
        watches::progress_can_be_asked_for,
        watches::a_dropped_watch_is_gone,
        history::compaction_ends_history_but_not_keys,
        history::deleted_keys_can_be_compacted,
        history::the_counter_can_be_advanced,
        expiry::a_key_expires_with_an_event,
        expiry::a_later_put_takes_the_expiry_away,
        concurrency::increments_are_not_lost,
        concurrency::reads_follow_acknowledgements,
        concurrency::one_creator_wins,
    ];
}

/// One case's view of the store.
struct Case {
    store: Arc<dyn Store>,
    clock: Option<Arc<ManualClock>>,
    prefix: &'static str,
}

impl Case {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn all(&self) -> KeyRange {
        KeyRange::prefix(self.prefix)
    }

    async fn commit(&self, txn: Txn) -> u64 {
        match self.store.txn(txn).await.unwrap() {
            Outcome::Committed { revision } => revision,
            conflict @ Outcome::Conflict { .. } => panic!("unexpected {conflict:?}"),
        }
    }

    async fn put(&self, name: &str, value: &str) -> u64 {
        self.commit(Txn::put(self.key(name), value.to_owned())).await
    }

    async fn range(&self, range: Range) -> RangeResult {
        self.store.range(range).await.unwrap()
    }

    async fn value(&self, name: &str) -> Option<Bytes> {
        self.range(Range::key(self.key(name))).await.kvs.first().map(|kv| kv.value().clone())
    }

    async fn watch_after(&self, revision: u64) -> Watched {
        Watched::new(self.store.watch(WatchRequest::after(self.all(), revision)).await.unwrap(), revision)
    }

    async fn watch_from_now(&self) -> Watched {
        Watched::new(self.store.watch(WatchRequest::from_now(self.all())).await.unwrap(), 0)
    }
}

/// A watch whose batches are checked as they come.
struct Watched {
    watch: Watch,
    revision: u64,
}

impl Watched {
    fn new(watch: Watch, revision: u64) -> Self {
        Self { watch, revision }
    }

    async fn batch(&mut self) -> Batch {
        let batch = tokio::time::timeout(PATIENCE, self.watch.next()).await.unwrap().unwrap();
        let revisions: Vec<_> = batch.events.iter().map(Event::revision).collect();
        assert!(revisions.is_sorted(), "{revisions:?} are not in order");
        if let (Some(first), Some(last)) = (revisions.first(), revisions.last()) {
            assert!(*first > self.revision, "{first} comes after a batch of {}", self.revision);
            assert!(*last <= batch.revision, "{last} is beyond its batch's {}", batch.revision);
        }
        assert!(batch.revision >= self.revision, "{} after {}", batch.revision, self.revision);
        self.revision = batch.revision;
        batch
    }

    /// The next so many events.
    async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.batch().await.events);
        }
        assert_eq!(events.len(), count, "{events:?}");
        events
    }
}

/// An event in one line: `+key=value` created, `~key=value(before)` changed, `-key(before)` deleted.
fn line(event: &Event, prefix: &str) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let key = text(event.key());
    let key = key.strip_prefix(prefix).unwrap_or(&key);
    let before = event.prev().map(|prev| format!("({})", text(prev.value()))).unwrap_or_default();
    match event {
        Event::Put { kv, .. } => {
            let sign = if event.is_create() { '+' } else { '~' };
            format!("{sign}{key}={}{before}", text(kv.value()))
        }
        Event::Delete { .. } => format!("-{key}{before}"),
    }
}

fn lines(events: &[Event], prefix: &str) -> String {
    events.iter().map(|event| line(event, prefix)).collect::<Vec<_>>().join(" ")
}
