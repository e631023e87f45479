//! One version of one object, as bytes, and the events that lead from version to version.

use super::watcher::Offer;
use bytes::Bytes;
use parking_lot::Mutex;
use schema::json::{JsonSplice, splice_json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use value::Str;

/// What reads need to know of an object without parsing it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// `metadata.labels`, sorted by key.
    pub labels: Box<[(Str, Str)]>,
    /// The kind's selectable fields other than name and namespace.
    pub fields: Box<[(Str, Str)]>,
    /// Whether this is of another version than the hub's, which somebody else would have to convert: the
    /// feed does not wait for that.
    pub unconverted: bool,
}

impl Head {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|i| self.labels[i].1.as_str())
    }

    /// The value of a selectable field; empty if the kind has none of that name.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str())
    }
}

impl meta::labels::Labels for Head {
    fn get(&self, key: &str) -> Option<&str> {
        self.label(key)
    }
}

/// How an object looks in a version that a webhook makes of it.
#[derive(Debug)]
pub struct View {
    /// Its labels and the selectable fields of that version.
    pub head: Arc<Head>,
    /// Its JSON, with `resourceVersion`, and a newline.
    pub line: Bytes,
}

/// How much of what reads encode is kept for the next: a resource of 100,000 objects is to be listed without
/// keeping all of it once more. What a write has encoded is kept besides.
const ENCODED_BYTES_MAX: usize = 32 << 20;

/// The bytes that reads have encoded of one resource and that are kept.
#[derive(Debug, Default)]
pub struct Budget(AtomicUsize);

impl Budget {
    fn take(&self, length: usize) -> bool {
        let fits = self.0.fetch_add(length, Ordering::Relaxed) + length <= ENCODED_BYTES_MAX;
        if !fits {
            self.give_back(length);
        }
        fits
    }

    fn give_back(&self, length: usize) {
        self.0.fetch_sub(length, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Encoded {
    bytes: Bytes,
    /// `None` for what a write has encoded.
    budget: Option<Arc<Budget>>,
}

impl Drop for Encoded {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.bytes.len());
        }
    }
}

/// A place for an encoding that is made when first asked for.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Empty,
    Kept(Encoded),
    /// Nothing is kept any more.
    Closed,
}

fn encoded(place: &Mutex<Place>, budget: &Arc<Budget>, make: impl FnOnce() -> Bytes) -> Bytes {
    if let Place::Kept(encoded) = &*place.lock() {
        return encoded.bytes.clone();
    }
    // Not under the lock: it may take long. Whoever else makes it makes the same.
    let bytes = make();
    let mut place = place.lock();
    if matches!(*place, Place::Empty) && budget.take(bytes.len()) {
        *place = Place::Kept(Encoded { bytes: bytes.clone(), budget: Some(budget.clone()) });
    }
    bytes
}

/// By version.
type Views = Mutex<Vec<(Str, Arc<View>)>>;

/// One version of an object.
#[derive(Debug)]
pub struct Entry {
    /// `<namespace>/<name>`, or `<name>` for cluster-scoped objects.
    pub key: Str,
    /// The revision of its write: its `resourceVersion`.
    pub revision: u64,
    /// The stored form, decrypted, without `resourceVersion`.
    pub stored: Bytes,
    /// Whether the store holds it in a form in which it would not be written today (another key).
    pub stale: bool,
    /// Labels and selectable fields.
    pub head: Arc<Head>,
    /// Served JSON of the hub version, with `resourceVersion` and a newline behind it.
    line: Mutex<Place>,
    /// Served protobuf (no envelope) of the hub version, with `resourceVersion`.
    protobuf: Mutex<Place>,
    /// What a webhook has made of it, by version. Boxed, since few kinds have one.
    views: OnceLock<Box<Views>>,
}

impl Entry {
    /// A version whose encodings are made when first asked for.
    pub fn new(key: Str, revision: u64, stored: Bytes, head: Head) -> Self {
        Self {
            key,
            revision,
            stored,
            stale: false,
            head: Arc::new(head),
            line: Mutex::default(),
            protobuf: Mutex::default(),
            views: OnceLock::new(),
        }
    }

    /// Its JSON in the hub's version and a newline, which `make` encodes if nobody has.
    pub fn line(&self, budget: &Arc<Budget>, make: impl FnOnce() -> Bytes) -> Bytes {
        encoded(&self.line, budget, make)
    }

    /// Its protobuf without envelope.
    pub fn protobuf(&self, budget: &Arc<Budget>, make: impl FnOnce() -> Bytes) -> Bytes {
        encoded(&self.protobuf, budget, make)
    }

    /// How it looks in `version`, made when first asked for: a webhook is asked once for each version of
    /// an object, as upstream does by a cache for each version of a kind.
    ///
    /// # Errors
    /// The maker's; it is asked again then.
    pub fn view<E>(&self, version: &str, make: impl FnOnce() -> Result<View, E>) -> Result<Arc<View>, E> {
        let views = self.views.get_or_init(Box::default);
        let known = views.lock().iter().find(|(v, _)| v == version).map(|(_, view)| view.clone());
        if let Some(view) = known {
            return Ok(view);
        }
        // Not under the lock: it may take long.
        let made = Arc::new(make()?);
        let mut views = views.lock();
        if !views.iter().any(|(v, _)| v == version) {
            views.push((version.into(), made.clone()));
        }
        Ok(made)
    }

    /// The namespace; empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(self.key.as_str(), |(_, name)| name)
    }

    /// The same object under another revision: how a deletion shows it.
    pub fn at_revision(&self, revision: u64) -> Self {
        Self {
            key: self.key.clone(),
            revision,
            stored: self.stored.clone(),
            stale: self.stale,
            head: self.head.clone(),
            line: Mutex::default(),
            protobuf: Mutex::default(),
            views: OnceLock::new(),
        }
    }

    /// The same version once more, with no encodings made.
    pub fn twin(&self, revision: u64) -> Self {
        self.at_revision(revision)
    }

    /// Gives the entry its revision, and its JSON from what was encoded before the revision was known.
    pub fn publish(&mut self, revision: u64, template: &Template) {
        self.revision = revision;
        self.line = Mutex::new(Place::Kept(Encoded { bytes: template.fill(revision), budget: None }));
    }

    /// Keeps its encodings no longer: whoever still asks for one has it made for himself.
    pub(super) fn forget_encodings(&self) {
        *self.line.lock() = Place::Closed;
        *self.protobuf.lock() = Place::Closed;
    }
}

/// Encoded JSON of an object without `resourceVersion`, and where that belongs.
#[derive(Debug)]
pub struct Template {
    /// The JSON and a newline.
    line: Vec<u8>,
    /// Where; `None` if the object has no metadata.
    splice: Option<JsonSplice>,
    /// With the revision: made once, for the writer's answer and for the cache.
    filled: OnceLock<Bytes>,
}

impl Template {
    /// Of an object's JSON.
    pub fn new(mut json: Vec<u8>, splice: Option<JsonSplice>) -> Self {
        json.push(b'\n');
        Self { line: json, splice, filled: OnceLock::new() }
    }

    /// The JSON with the revision of the write, and a newline.
    pub fn fill(&self, revision: u64) -> Bytes {
        let fill = || {
            let Some(splice) = self.splice else { return self.line.clone().into() };
            let mut out = Vec::new();
            splice_json(&self.line, splice, revision, &mut out);
            out.into()
        };
        self.filled.get_or_init(fill).clone()
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was made, or came into a selection.
    Added,
    /// It changed.
    Modified,
    /// It was deleted, or left a selection.
    Deleted,
}

impl EventKind {
    /// The event type as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A step from one version of an object to the next.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub revision: u64,
    /// The object after it; for a deletion as it last was, under the deletion's revision.
    pub entry: Arc<Entry>,
    /// The object before it.
    pub prev: Option<Arc<Entry>>,
    /// The object before it under this event's revision: what those are shown whose selection it has left.
    left: OnceLock<Arc<Entry>>,
    /// While it is on its way to followers: those who come late share what the others are shown.
    pub(super) offered: Mutex<Weak<Offer>>,
}

impl Event {
    pub(super) fn new(kind: EventKind, revision: u64, entry: Arc<Entry>, prev: Option<Arc<Entry>>) -> Self {
        Self { kind, revision, entry, prev, left: OnceLock::new(), offered: Mutex::default() }
    }

    /// How a follower sees the event who is shown only what is selected; `None` if it does not concern him.
    ///
    /// # Errors
    /// Those of `selects`.
    pub fn seen<E>(
        &self,
        mut selects: impl FnMut(&Entry) -> Result<bool, E>,
    ) -> Result<Option<EventKind>, E> {
        let was = self.prev.as_ref().map_or(Ok(false), |p| selects(p))?;
        let is = self.kind != EventKind::Deleted && selects(&self.entry)?;
        Ok(match (was, is) {
            (false, false) => None,
            (false, true) => Some(EventKind::Added),
            (true, true) => Some(EventKind::Modified),
            (true, false) => Some(EventKind::Deleted),
        })
    }

    /// The object to show to a follower who sees the event as `kind`: what has left his selection as it
    /// last matched, under the revision at which it left.
    pub fn shown(&self, kind: EventKind) -> &Arc<Entry> {
        match &self.prev {
            Some(prev) if kind == EventKind::Deleted && self.kind != EventKind::Deleted => {
                self.left.get_or_init(|| Arc::new(prev.at_revision(self.revision)))
            }
            _ => &self.entry,
        }
    }

    /// Lets go of what only this event has encoded, and of what is gone since. The last version of an object
    /// goes with the event that replaces it.
    pub(super) fn forget_encodings(&self) {
        let gone = (self.kind == EventKind::Deleted).then_some(&self.entry);
        self.prev.iter().chain(self.left.get()).chain(gone).for_each(|entry| entry.forget_encodings());
    }

    /// How many bytes the history keeps for this event, its encodings not counted.
    pub(super) fn weight(&self) -> usize {
        const OVERHEAD_BYTES: usize = 512;
        OVERHEAD_BYTES + self.prev.as_ref().map_or(0, |p| p.stored.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_encode_is_kept_within_the_budget() {
        let budget = Arc::<Budget>::default();
        let made = AtomicUsize::new(0);
        let entry = |n: usize| Entry::new(n.to_string().into(), 1, Bytes::new(), Head::default());
        let read = |entry: &Entry| {
            entry.line(&budget, || {
                made.fetch_add(1, Ordering::Relaxed);
                vec![0; ENCODED_BYTES_MAX / 2].into()
            })
        };
        let (first, second, third) = (entry(1), entry(2), entry(3));
        for _ in 0..2 {
            [&first, &second, &third].iter().for_each(|entry| drop(read(entry)));
        }
        assert_eq!(made.load(Ordering::Relaxed), 4);
        drop(first);
        read(&third);
        read(&third);
        assert_eq!(made.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn what_is_gone_keeps_no_encodings() {
        let budget = Arc::<Budget>::default();
        let entry = Entry::new("a".into(), 1, Bytes::new(), Head::default());
        let made = AtomicUsize::new(0);
        let read = || {
            entry.line(&budget, || {
                made.fetch_add(1, Ordering::Relaxed);
                Bytes::from_static(b"line")
            })
        };
        assert_eq!((read(), read(), made.load(Ordering::Relaxed)), ("line".into(), "line".into(), 1));
        entry.forget_encodings();
        assert_eq!((read(), read(), made.load(Ordering::Relaxed)), ("line".into(), "line".into(), 3));
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn names() {
        let namespaced = Entry::new("a/b".into(), 1, Bytes::from_static(b"xyz"), Head::default());
        assert_eq!((namespaced.namespace(), namespaced.name()), ("a", "b"));
        let cluster = Entry::new("b".into(), 1, Bytes::new(), Head::default());
        assert_eq!((cluster.namespace(), cluster.name()), ("", "b"));
    }
}
