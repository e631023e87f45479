//! The history and who watches it.
//!
//! A watcher is *synced* (each publish puts matching events in its queue) or *behind* (it reads the history at
//! its own pace until it has caught up). A queue that is full turns a synced watcher into one that is behind,
//! so a slow reader costs a bounded queue and gets `Compacted` in the end, never a gap.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::history::{History, HistoryLimits};
use crate::{Batch, Error, Event, Key, KeyRange, WatchRequest, WatchSource};

/// Events waiting for one watcher, at most; then it falls behind and reads from the history.
const WATCH_QUEUE_EVENTS_MAX: usize = 4096;
/// Events of the history looked at under one hold of the lock.
const CATCH_UP_EVENTS_MAX: usize = 4096;

/// All watchers of a store and the history they resume from.
pub(crate) struct Hub(Mutex<State>);

struct State {
    history: History,
    dispatched: u64,
    compacted: u64,
    watchers: Watchers,
    failed: Option<Error>,
}

/// Who watches what, such that finding the watchers of a key does not walk over all of them.
#[derive(Default)]
struct Watchers {
    prefixes: HashMap<Key, Vec<Arc<Watcher>>>,
    /// Lengths of the prefixes that are watched, with how many there are.
    lengths: BTreeMap<usize, usize>,
    /// Watches of single keys and odd ranges.
    others: Vec<Arc<Watcher>>,
}

struct Watcher {
    keys: KeyRange,
    inbox: Mutex<Inbox>,
}

struct Inbox {
    queue: VecDeque<Event>,
    /// The queue holds all events up to here that have not been taken.
    through: u64,
    /// A publish is putting events beyond `through` in the queue.
    filling: bool,
    /// Not taking part in publishes; to read the history from this revision on.
    behind: Option<u64>,
    /// First revision wanted.
    from: u64,
    progress_due: bool,
    error: Option<Error>,
    waker: Option<Waker>,
}

impl Hub {
    pub(crate) fn new(
        revision: u64,
        compacted: u64,
        events: Vec<Event>,
        limits: HistoryLimits,
        now: u64,
    ) -> Self {
        let mut history = History::new(limits);
        if !events.is_empty() {
            history.mark(revision, now);
        }
        for event in events {
            history.push(event);
        }
        Self(Mutex::new(State {
            history,
            dispatched: revision,
            compacted,
            watchers: Watchers::default(),
            failed: None,
        }))
    }

    /// Appends to the history, lets readers see the revision, wakes watchers; in this order for everybody.
    pub(crate) fn publish(&self, revision: u64, events: &mut Vec<Event>, now: u64, show: impl FnOnce()) {
        let (mut touched, mut wake) = (Vec::new(), Vec::new());
        {
            let mut state = self.0.lock();
            show();
            state.dispatched = revision;
            if !events.is_empty() {
                state.history.mark(revision, now);
            }
            for event in events.drain(..) {
                state.watchers.offer(&event, &mut touched);
                state.history.push(event);
            }
            wake.extend(touched.into_iter().filter_map(|watcher| watcher.filled(revision)));
        }
        wake.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn watch(hub: &Arc<Self>, request: &WatchRequest) -> Result<HubWatch, Error> {
        let mut state = hub.0.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let newest = state.dispatched.max(state.compacted);
        let from = if request.from == 0 { newest + 1 } else { request.from };
        if from <= state.compacted {
            return Err(Error::Compacted { compacted: state.compacted });
        }
        let synced = from > state.dispatched;
        let inbox = Inbox {
            queue: VecDeque::new(),
            through: state.dispatched,
            filling: false,
            behind: (!synced).then_some(from),
            from,
            progress_due: false,
            error: None,
            waker: None,
        };
        let watcher = Arc::new(Watcher { keys: request.keys.clone(), inbox: Mutex::new(inbox) });
        state.watchers.add(watcher.clone());
        Ok(HubWatch { hub: hub.clone(), watcher })
    }

    pub(crate) fn request_progress(&self, keys: &KeyRange) {
        let mut wake = Vec::new();
        {
            let state = self.0.lock();
            for watcher in state.watchers.of_range(keys) {
                let mut inbox = watcher.inbox.lock();
                inbox.progress_due = true;
                if inbox.behind.is_none() {
                    inbox.through = state.dispatched;
                }
                wake.extend(inbox.waker.take());
            }
        }
        wake.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn compaction_due(&self, now: u64) -> Option<u64> {
        let state = self.0.lock();
        state.history.due(now).filter(|due| *due > state.compacted)
    }

    pub(crate) fn next_compaction(&self) -> Option<u64> {
        self.0.lock().history.next_due()
    }

    pub(crate) fn compact(&self, revision: u64, events_max: usize) -> (u64, Vec<Key>) {
        let mut keys = Vec::new();
        let mut state = self.0.lock();
        let reached = state.history.cut(revision, events_max, &mut keys);
        state.compacted = state.compacted.max(reached);
        (reached, keys)
    }

    pub(crate) fn fail(&self, error: &Error) {
        let mut wake = Vec::new();
        {
            let mut state = self.0.lock();
            state.failed = Some(error.clone());
            for watcher in state.watchers.all() {
                let mut inbox = watcher.inbox.lock();
                inbox.error = Some(error.clone());
                wake.extend(inbox.waker.take());
            }
        }
        wake.into_iter().for_each(Waker::wake);
    }

    /// Reads on from the history for a watcher that is behind. Returns whether there is something to deliver.
    fn catch_up(&self, watcher: &Watcher) -> bool {
        let state = self.0.lock();
        let mut inbox = watcher.inbox.lock();
        let Some(next) = inbox.behind else { return true };
        if next <= state.compacted {
            inbox.error = Some(Error::Compacted { compacted: state.compacted });
            return true;
        }
        let mut scanned = next - 1;
        let mut complete = true;
        for (looked, event) in state.history.since(next).enumerate() {
            let full = looked >= CATCH_UP_EVENTS_MAX || inbox.queue.len() >= WATCH_QUEUE_EVENTS_MAX;
            if full && event.revision() != scanned {
                complete = false;
                break;
            }
            scanned = event.revision();
            if watcher.keys.contains(event.key()) {
                inbox.queue.push_back(event.clone());
            }
        }
        if complete {
            inbox.behind = None;
            inbox.through = state.dispatched;
        } else {
            inbox.behind = Some(scanned + 1);
            inbox.through = scanned;
        }
        complete || !inbox.queue.is_empty()
    }
}

impl Watchers {
    fn add(&mut self, watcher: Arc<Watcher>) {
        if watcher.keys.is_prefix() {
            let prefix = watcher.keys.start().clone();
            *self.lengths.entry(prefix.len()).or_default() += 1;
            self.prefixes.entry(prefix).or_default().push(watcher);
        } else {
            self.others.push(watcher);
        }
    }

    fn remove(&mut self, watcher: &Arc<Watcher>) {
        if !watcher.keys.is_prefix() {
            self.others.retain(|other| !Arc::ptr_eq(other, watcher));
            return;
        }
        let prefix = watcher.keys.start();
        if let Some(same) = self.prefixes.get_mut(prefix) {
            same.retain(|other| !Arc::ptr_eq(other, watcher));
            if same.is_empty() {
                self.prefixes.remove(prefix);
            }
        }
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Watcher>> {
        self.prefixes.values().flatten().chain(&self.others)
    }

    fn of_range<'a>(&'a self, keys: &'a KeyRange) -> impl Iterator<Item = &'a Arc<Watcher>> {
        let prefixed = self.prefixes.get(keys.start()).into_iter().flatten();
        prefixed.chain(&self.others).filter(move |watcher| watcher.keys == *keys)
    }

    /// Puts an event in the queues of those that watch its key.
    fn offer(&self, event: &Event, touched: &mut Vec<Arc<Watcher>>) {
        let key = event.key();
        for length in self.lengths.keys().take_while(|length| **length <= key.len()) {
            for watcher in self.prefixes.get(&key[..*length]).into_iter().flatten() {
                watcher.offer(event, touched);
            }
        }
        for watcher in self.others.iter().filter(|watcher| watcher.keys.contains(key)) {
            watcher.offer(event, touched);
        }
    }
}

impl Watcher {
    fn offer(self: &Arc<Self>, event: &Event, touched: &mut Vec<Arc<Self>>) {
        let mut inbox = self.inbox.lock();
        if inbox.behind.is_some() || event.revision() < inbox.from {
            return;
        }
        if inbox.queue.len() >= WATCH_QUEUE_EVENTS_MAX {
            // Only whole revisions are delivered, so what came of this one is left to the history too.
            let dropped = event.revision();
            while inbox.queue.back().is_some_and(|event| event.revision() == dropped) {
                inbox.queue.pop_back();
            }
            inbox.behind = Some(dropped);
            inbox.through = dropped - 1;
            return;
        }
        inbox.queue.push_back(event.clone());
        if !std::mem::replace(&mut inbox.filling, true) {
            touched.push(self.clone());
        }
    }

    /// What a publish offered is complete.
    fn filled(&self, revision: u64) -> Option<Waker> {
        let mut inbox = self.inbox.lock();
        inbox.filling = false;
        if inbox.behind.is_none() {
            inbox.through = revision;
        }
        inbox.waker.take()
    }
}

impl Inbox {
    /// What can be delivered now.
    fn take(&mut self) -> Vec<Event> {
        if self.filling {
            // A publish is under way, perhaps amid a transaction.
            let ready = self.queue.partition_point(|event| event.revision() <= self.through);
            return self.queue.drain(..ready).collect();
        }
        self.queue.drain(..).collect()
    }
}

/// A watch of a [`Hub`].
pub(crate) struct HubWatch {
    hub: Arc<Hub>,
    watcher: Arc<Watcher>,
}

impl WatchSource for HubWatch {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        loop {
            {
                let mut inbox = self.watcher.inbox.lock();
                let events = inbox.take();
                if !events.is_empty() {
                    return Poll::Ready(Ok(Batch { revision: inbox.through, events }));
                }
                if let Some(error) = &inbox.error {
                    return Poll::Ready(Err(error.clone()));
                }
                if inbox.behind.is_none() {
                    if std::mem::take(&mut inbox.progress_due) {
                        return Poll::Ready(Ok(Batch { revision: inbox.through, events: Vec::new() }));
                    }
                    if !inbox.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        inbox.waker = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
            self.hub.catch_up(&self.watcher);
        }
    }
}

impl Drop for HubWatch {
    fn drop(&mut self) {
        self.hub.0.lock().watchers.remove(&self.watcher);
    }
}
