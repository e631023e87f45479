//! The watch cache: all objects of one resource as encoded bytes, their recent history, and who follows
//! them.
//!
//! One writer (the store's feed) applies events in revision order; readers take what they need under a
//! short read lock and never parse. Lists at an older revision are made by undoing the events since.
//! Invariants:
//! - an event reaches every follower whose selector it concerns, in order, exactly once, or the follower
//!   is ended: never a gap;
//! - nothing is visible here before the store has made it durable;
//! - the history is bounded in events and in bytes; what is older is answered with 410.
//!
//! Upstream: `k8s.io/apiserver/pkg/storage/cacher`.

mod entry;
mod selection;
mod watcher;

pub use entry::{Budget, Entry, Event, EventKind, Head, Template, View};
pub use selection::{Scope, Selection};
use watcher::{Effects, Offer};
pub use watcher::{End, Form, Item, Watcher};

use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use value::Str;

/// How many events a resource remembers. With objects of 300 bytes, as leases are, a client that reconnects after a
/// minute at 150 writes a second still finds its place.
const HISTORY_EVENTS_MAX: usize = 10_000;
/// How many bytes of old objects a resource remembers.
const HISTORY_BYTES_MAX: usize = 8 << 20;
/// Of how many events the encodings are kept, for those who are shown them a little later.
const FRESH_EVENTS: usize = 16;

/// The revision up to which every cache has seen every event.
#[derive(Debug, Default)]
pub struct Published {
    revision: AtomicU64,
    compacted: AtomicU64,
    changed: tokio::sync::Notify,
}

impl Published {
    /// The revision.
    pub fn get(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The revision before which no list is made any more. Watches are not bound by it: they go on from
    /// wherever the history still reaches.
    pub fn compacted(&self) -> u64 {
        self.compacted.load(Ordering::Acquire)
    }

    /// Says that no list before `revision` is to be made any more.
    pub fn compact(&self, revision: u64) {
        self.compacted.fetch_max(revision, Ordering::AcqRel);
    }

    /// Says that all events up to `revision` have been applied.
    pub fn advance(&self, revision: u64) {
        if self.revision.fetch_max(revision, Ordering::AcqRel) < revision {
            self.changed.notify_waiters();
        }
    }

    /// Waits until `revision` has been applied.
    pub async fn reached(&self, revision: u64) {
        loop {
            let changed = self.changed.notified();
            if self.get() >= revision {
                return;
            }
            changed.await;
        }
    }
}

/// What a read at an old revision can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    /// The oldest revision that is still known.
    pub oldest: u64,
}

/// One page of objects.
#[derive(Debug)]
pub struct Page {
    /// The objects in key order.
    pub entries: Vec<Arc<Entry>>,
    /// The revision that the page shows.
    pub revision: u64,
    /// How many more objects there are behind the page; `None` if unknown (a selector was applied).
    pub remaining: Option<u64>,
    /// Whether there are more; with a selector, perhaps none of them is selected.
    pub more: bool,
}

/// What to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Only this namespace; empty for all.
    pub namespace: &'a str,
    /// Only keys behind this one.
    pub after: Option<&'a str>,
    /// At most so many objects; 0 for all.
    pub limit: usize,
    /// Which objects.
    pub selection: Option<&'a Selection>,
    /// Nobody asks how many objects are left.
    pub uncounted: bool,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Str, Arc<Entry>>,
    /// The length of all objects as they are stored.
    bytes: usize,
    history: VecDeque<Arc<Event>>,
    history_bytes: usize,
    /// Events up to this revision may have been forgotten.
    forgotten: u64,
    /// The revision of the newest event.
    applied: u64,
    /// All followers are looked at when the history is forgotten up to here: once in its whole length.
    sweep_at: u64,
    /// How many followers were cut for reading too slowly.
    cut: AtomicU64,
}

/// The cache of one resource.
#[derive(Debug)]
pub struct Cache {
    state: Arc<RwLock<State>>,
    watchers: Mutex<HashMap<Scope, Vec<Arc<Watcher>>>>,
    /// The selectable field by which followers are indexed besides namespace and name (`spec.nodeName`).
    trigger: Option<Str>,
    published: Arc<Published>,
    budget: Arc<Budget>,
}

impl Cache {
    /// A cache of objects as they are at `revision`.
    pub fn new(
        published: Arc<Published>,
        trigger: Option<Str>,
        revision: u64,
        objects: impl IntoIterator<Item = Entry>,
    ) -> Self {
        let objects: BTreeMap<_, _> = objects.into_iter().map(|e| (e.key.clone(), Arc::new(e))).collect();
        let bytes = objects.values().map(|e| e.stored.len()).sum();
        let state = State { objects, bytes, forgotten: revision, ..State::default() };
        Self {
            state: Arc::new(RwLock::new(state)),
            watchers: Mutex::default(),
            trigger,
            published,
            budget: Arc::default(),
        }
    }

    /// How much of what reads encode is kept.
    pub const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The object at `key`.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).cloned()
    }

    /// The revision of the newest event that was applied here: it changes with every change of an object.
    pub fn version(&self) -> u64 {
        self.state.read().applied
    }

    /// How many followers were cut for reading too slowly.
    pub fn cut(&self) -> u64 {
        self.state.read().cut.load(Ordering::Relaxed)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// How many objects there are, and how many bytes they have as they are stored.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.objects.len(), state.bytes)
    }

    /// How many follow changes of this object (or, without a name, of a new one), but for those who follow by
    /// a field.
    pub fn followers(&self, namespace: &str, name: &str) -> usize {
        let watchers = self.watchers.lock();
        let count = |scope: &Scope| watchers.get(scope).map_or(0, Vec::len);
        if watchers.is_empty() {
            return 0;
        }
        let mut total = count(&Scope::All);
        if !namespace.is_empty() {
            total += count(&Scope::Namespace(namespace.into()));
        }
        if !name.is_empty() {
            let key = if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}").into() };
            total += count(&Scope::Object(key));
        }
        total
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A page of the newest state.
    pub fn list(&self, query: Query<'_>) -> Page {
        let state = self.state.read();
        // An event can have been applied here but not yet published.
        let revision = self.published.get().max(state.applied);
        let (start, end) = query.bounds(state.is_namespaced());
        match checked_range(&state.objects, &start, end.as_deref()) {
            Some(range) => {
                let objects = range.map(|(_, entry)| entry);
                // As upstream's index: of objects with other values it does not even know that they are there.
                match self.required(query.selection) {
                    None => collect(objects, query, revision),
                    Some((field, value)) => {
                        let indexed = objects.filter(|entry| entry.head.field(field) == value);
                        collect(indexed, query, revision)
                    }
                }
            }
            None => Page { entries: Vec::new(), revision, remaining: Some(0), more: false },
        }
    }

    /// A page of the state as it was at `revision`, which must have been published.
    pub fn list_at(&self, revision: u64, query: Query<'_>) -> Result<Page, TooOld> {
        let state = self.state.read();
        let oldest = state.forgotten.max(self.published.compacted());
        if revision < oldest {
            return Err(TooOld { oldest });
        }
        let newer = state.history.iter().rev().take_while(|e| e.revision > revision);
        // Undo newest first: what remains for a key is its state before the oldest of these events.
        let mut undo: BTreeMap<&Str, Option<&Arc<Entry>>> = BTreeMap::new();
        for event in newer {
            undo.insert(&event.entry.key, event.prev.as_ref());
        }
        let (start, end) = query.bounds(state.is_namespaced());
        let Some(range) = checked_range(&state.objects, &start, end.as_deref()) else {
            return Ok(Page { entries: Vec::new(), revision, remaining: Some(0), more: false });
        };
        let undo: Vec<(&Str, Option<&Arc<Entry>>)> =
            undo.into_iter().filter(|(k, _)| contains(&start, end.as_deref(), k)).collect();
        Ok(collect(overlay(range, undo.into_iter()), query, revision))
    }

    /// Follows the resource from `revision` on (events after it); `None` for "from now on".
    pub fn watch(
        &self,
        selection: Selection,
        scope: Scope,
        revision: Option<u64>,
    ) -> Result<Arc<Watcher>, TooOld> {
        let oldest = self.state.read().forgotten;
        if revision.is_some_and(|revision| revision < oldest) {
            return Err(TooOld { oldest });
        }
        let watcher = Arc::new(Watcher::new(selection, &scope, self.state.clone(), revision));
        follow(&mut self.watchers.lock(), scope, &watcher);
        Ok(watcher)
    }

    /// Follows the resource after showing the state of now: the first `limit` objects, and the follower.
    pub fn list_and_watch(
        &self,
        selection: Selection,
        scope: Scope,
        namespace: &str,
        limit: usize,
    ) -> (Page, Arc<Watcher>) {
        let watcher = Arc::new(Watcher::new(selection, &scope, self.state.clone(), None));
        // The order of locks is watchers, then state: `apply` holds both, so no event is missed or doubled.
        let mut watchers = self.watchers.lock();
        let selection = Some(watcher.selection());
        let page = self.list(Query { namespace, limit, selection, uncounted: true, ..Query::default() });
        follow(&mut watchers, scope, &watcher);
        (page, watcher)
    }

    /// Applies one event of the feed and offers it to the followers. Called in revision order by one
    /// writer.
    pub fn apply(&self, event: Change) {
        let mut watchers = self.watchers.lock();
        let mut state = self.state.write();
        let Some(event) = state.apply(event) else { return };
        let forgotten = state.forgotten;
        let sweeps = forgotten >= state.sweep_at;
        if sweeps {
            state.sweep_at = event.revision;
        }
        drop(state);
        if watchers.is_empty() {
            return;
        }
        let mut effects = Effects::default();
        let offered = Offer::of(&event);
        let mut offer = |scope: &Scope| {
            let Some(list) = watchers.get_mut(scope) else { return };
            list.retain(|w| w.offer(&offered, forgotten, &mut effects));
            if list.is_empty() {
                watchers.remove(scope);
            }
        };
        let key = &event.entry.key;
        offer(&Scope::All);
        offer(&Scope::Object(key.clone()));
        if let Some((namespace, _)) = key.split_once('/') {
            offer(&Scope::Namespace(namespace.into()));
        }
        if let Some(field) = &self.trigger {
            let now = event.entry.head.field(field);
            offer(&Scope::Field(now.into()));
            let before = event.prev.as_ref().map(|p| p.head.field(field)).unwrap_or_default();
            if event.prev.is_some() && before != now {
                offer(&Scope::Field(before.into()));
            }
        }
        if sweeps {
            watchers.retain(|_, list| {
                list.retain(|w| w.keeps_up(forgotten, &mut effects));
                !list.is_empty()
            });
        }
        drop(watchers);
        if effects.cut > 0 {
            self.state.read().cut.fetch_add(effects.cut, Ordering::Relaxed);
        }
        effects.wake.into_iter().for_each(Waker::wake);
    }

    /// The trigger field and the value that it must have, if a selection demands one.
    fn required<'a>(&'a self, selection: Option<&'a Selection>) -> Option<(&'a str, &'a str)> {
        let field = self.trigger.as_deref()?;
        Some((field, selection?.required_field(field)?))
    }

    /// The narrowest scope by which a follower of this namespace and name can be indexed.
    pub fn scope(&self, namespaced: bool, selection: &Selection) -> Scope {
        let (namespace, name) = (&selection.namespace, &selection.name);
        if !name.is_empty() {
            if !namespaced {
                return Scope::Object(name.clone());
            }
            if !namespace.is_empty() {
                return Scope::Object(format!("{namespace}/{name}").into());
            }
        }
        if let Some((_, value)) = self.required(Some(selection)) {
            return Scope::Field(value.into());
        }
        if namespace.is_empty() { Scope::All } else { Scope::Namespace(namespace.clone()) }
    }

    /// Ends all followers, as when the resource is no longer served.
    pub fn close(&self) {
        for watcher in self.watchers.lock().drain().flat_map(|(_, list)| list) {
            watcher.end(End::Closed);
        }
    }
}

/// Has what happens offered to one more, and no longer to those of its scope who have left.
fn follow(watchers: &mut HashMap<Scope, Vec<Arc<Watcher>>>, scope: Scope, watcher: &Arc<Watcher>) {
    let list = watchers.entry(scope).or_default();
    list.retain(|w| !w.is_ended());
    list.push(watcher.clone());
}

/// A change as the store reports it.
#[derive(Debug)]
pub enum Change {
    /// An object was made or replaced.
    Put(Arc<Entry>),
    /// An object was deleted.
    Delete {
        /// Its key.
        key: Str,
        /// The revision of the deletion.
        revision: u64,
    },
}

impl State {
    /// Whether keys begin with a namespace: all of a resource do, or none.
    fn is_namespaced(&self) -> bool {
        let gone = || self.history.back().map(|event| &event.entry.key);
        self.objects.keys().next().or_else(gone).is_some_and(|key| key.contains('/'))
    }

    fn apply(&mut self, change: Change) -> Option<Arc<Event>> {
        let event = match change {
            Change::Put(entry) => {
                let prev = self.objects.insert(entry.key.clone(), entry.clone());
                self.bytes += entry.stored.len();
                self.bytes -= prev.as_ref().map_or(0, |p| p.stored.len());
                let kind = if prev.is_some() { EventKind::Modified } else { EventKind::Added };
                Event::new(kind, entry.revision, entry, prev)
            }
            Change::Delete { key, revision } => {
                let prev = self.objects.remove(&key)?;
                self.bytes -= prev.stored.len();
                let entry = Arc::new(prev.at_revision(revision));
                Event::new(EventKind::Deleted, revision, entry, Some(prev))
            }
        };
        let event = Arc::new(event);
        self.applied = event.revision;
        self.history_bytes += event.weight();
        self.history.push_back(event.clone());
        if let Some(event) = self.history.iter().nth_back(FRESH_EVENTS) {
            event.forget_encodings();
        }
        while self.history.len() > HISTORY_EVENTS_MAX || self.history_bytes > HISTORY_BYTES_MAX {
            let Some(old) = self.history.pop_front() else { break };
            self.history_bytes -= old.weight();
            self.forgotten = old.revision;
        }
        Some(event)
    }
}

impl Query<'_> {
    /// The keys that the query is about: from (excluded if the query continues after a key) and up to. Who asks
    /// for one name is not to pay for all others: kubelets and `kubectl wait` follow objects by name.
    fn bounds(&self, namespaced: bool) -> (Bound<String>, Option<String>) {
        let name = self.selection.map_or("", |s| s.name.as_str());
        let (first, end) = match (self.namespace, name) {
            ("", "") => (String::new(), None),
            ("", _) if namespaced => (String::new(), None),
            ("", name) => (name.to_owned(), Some(format!("{name}\0"))),
            // `0` follows `/` in ASCII: the first key behind all keys of the namespace.
            (namespace, "") => (format!("{namespace}/"), Some(format!("{namespace}0"))),
            (namespace, name) => (format!("{namespace}/{name}"), Some(format!("{namespace}/{name}\0"))),
        };
        match self.after {
            Some(after) if after >= first.as_str() => (Bound::Excluded(after.into()), end),
            _ => (Bound::Included(first), end),
        }
    }
}

/// `BTreeMap::range` panics on an empty interval; this says `None`.
fn checked_range<'a>(
    objects: &'a BTreeMap<Str, Arc<Entry>>,
    start: &Bound<String>,
    end: Option<&str>,
) -> Option<impl Iterator<Item = (&'a Str, &'a Arc<Entry>)>> {
    let from = match start {
        Bound::Included(s) => Bound::Included(s.as_str()),
        Bound::Excluded(s) => Bound::Excluded(s.as_str()),
        Bound::Unbounded => Bound::Unbounded,
    };
    if let (Bound::Included(s) | Bound::Excluded(s), Some(e)) = (from, end)
        && s >= e
    {
        return None;
    }
    Some(objects.range::<str, _>((from, end.map_or(Bound::Unbounded, Bound::Excluded))))
}

fn contains(start: &Bound<String>, end: Option<&str>, key: &str) -> bool {
    let behind_start = match start {
        Bound::Included(s) => key >= s.as_str(),
        Bound::Excluded(s) => key > s.as_str(),
        Bound::Unbounded => true,
    };
    behind_start && end.is_none_or(|e| key < e)
}

/// `base` with the keys of `over` as `over` says: replaced or left out. Both are sorted by key.
fn overlay<'a>(
    base: impl Iterator<Item = (&'a Str, &'a Arc<Entry>)>,
    over: impl Iterator<Item = (&'a Str, Option<&'a Arc<Entry>>)>,
) -> impl Iterator<Item = &'a Arc<Entry>> {
    let (mut base, mut over) = (base.peekable(), over.peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (base.peek(), over.peek()) {
                (Some((b, _)), Some((o, _))) => b.cmp(o),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return None,
            };
            if order.is_lt() {
                return base.next().map(|(_, entry)| entry);
            }
            if order.is_eq() {
                base.next();
            }
            if let Some((_, Some(entry))) = over.next() {
                return Some(entry);
            }
        }
    })
}

fn collect<'a>(mut objects: impl Iterator<Item = &'a Arc<Entry>>, query: Query<'_>, revision: u64) -> Page {
    let limit = if query.limit == 0 { usize::MAX } else { query.limit };
    let mut entries = Vec::with_capacity(limit.min(64));
    let selection = query.selection.filter(|s| !s.is_everything());
    let mut more = false;
    for entry in objects.by_ref() {
        if selection.is_some_and(|s| !s.matches(entry)) {
            continue;
        }
        entries.push(entry.clone());
        if entries.len() == limit {
            // Upstream does not look whether what is left is selected.
            more = objects.next().is_some();
            break;
        }
    }
    let remaining = match (more, selection) {
        (false, _) => Some(0),
        (true, selection) if query.uncounted || selection.is_some() => None,
        (true, _) => Some(1 + objects.count() as u64),
    };
    Page { entries, revision, remaining, more }
}

#[cfg(test)]
mod tests;
