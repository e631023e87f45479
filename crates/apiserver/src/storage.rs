//! Between the store and the caches: errors, encryption, keys, and the feed.

use crate::cache::{Change, Entry, Published, Template};
use crate::resource::{Hub, Registry};
use arc_swap::ArcSwap;
use bytes::Bytes;
use meta::status::Status;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use store::{Event, KeyRange, Range, Store, WatchRequest};
use value::Str;

/// Encryption of stored values. `key` is authenticated with the value, so that values cannot be swapped.
pub trait Transform: Send + Sync + Debug {
    /// From the store's bytes to the plain ones.
    fn open(&self, key: &str, stored: &Bytes) -> Result<Opened, String>;
    /// From plain bytes to the store's.
    fn seal(&self, key: &str, plain: Bytes) -> Result<Bytes, String>;
}

/// A stored value after decryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The plain bytes.
    pub plain: Bytes,
    /// Whether it would be written otherwise today, so that the next write is to happen even if it changes
    /// nothing.
    pub stale: bool,
}

impl Opened {
    /// What is stored as it is meant to be.
    pub const fn plain(plain: Bytes) -> Self {
        Self { plain, stale: false }
    }
}

/// What a client is told when the store cannot.
pub fn status(error: &store::Error) -> Status {
    match error {
        store::Error::Compacted { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        store::Error::TooLarge { .. } => Status::request_entity_too_large(error),
        store::Error::Unavailable { .. } | store::Error::Fatal(_) => {
            Status::service_unavailable(error.to_string())
        }
        _ => Status::internal_error(error),
    }
}

/// How many keys one read of the initial load takes.
const LOAD_PAGE: usize = 10_000;

/// Reads all objects of a hub as they were at `revision`.
pub async fn load(store: &dyn Store, hub: &HubLoader<'_>, revision: u64) -> Result<Vec<Entry>, store::Error> {
    let prefix = format!("{}/", hub.prefix);
    let mut keys = KeyRange::prefix(prefix.as_bytes());
    let mut entries = Vec::new();
    loop {
        let page = store.range(Range::new(keys.clone()).limit(LOAD_PAGE).at(revision)).await?;
        for kv in &page.kvs {
            let Some(key) = kv.key().as_str() else { continue };
            if let Some(entry) = (hub.ingest)(key, kv.value(), kv.mod_revision()) {
                entries.push(entry);
            }
        }
        match page.kvs.last() {
            Some(last) if page.more => keys = keys.after(last.key()),
            _ => return Ok(entries),
        }
    }
}

/// What [`load`] needs of a hub that does not exist yet.
pub struct HubLoader<'a> {
    /// The key prefix without trailing slash.
    pub prefix: &'a str,
    /// From a stored key and value to an entry; `None` if it cannot be read (it is logged).
    pub ingest: &'a (dyn Fn(&str, &Bytes, u64) -> Option<Entry> + Send + Sync),
}

/// Written objects whose encodings are known already, on their way from the writer to the cache.
#[derive(Debug, Default)]
pub struct Prepared {
    entries: Mutex<HashMap<usize, Left>>,
    /// Held while the feed applies a batch.
    applying: Mutex<()>,
}

/// What a writer left.
#[derive(Debug)]
pub struct Left {
    /// What it was made for: a custom kind's may have given way to another one meanwhile, which reads otherwise.
    hub: Arc<Hub>,
    entry: Entry,
    template: Arc<Template>,
}

impl Prepared {
    /// Runs while the feed stands still: whatever it brings next meets the registry as it is left here.
    pub fn standing_still<T>(&self, f: impl FnOnce() -> T) -> T {
        let _applying = self.applying.lock();
        f()
    }

    /// Leaves what is known of the value that is about to be written. The value's address is its ticket:
    /// the store hands the same bytes to the feed.
    pub fn leave(&self, value: &Bytes, hub: Arc<Hub>, entry: Entry, template: Arc<Template>) {
        self.entries.lock().insert(value.as_ptr() as usize, Left { hub, entry, template });
    }

    /// Takes it back: the feed has come, or the write has failed.
    pub fn take(&self, value: &Bytes) -> Option<Left> {
        self.entries.lock().remove(&(value.as_ptr() as usize))
    }
}

/// Told what has changed: the kind and the key.
pub type Changed = Arc<dyn Fn(&Hub, &str) + Send + Sync>;

/// How long the feed waits before it follows the store again, at first and at most.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Follows the store after a revision. A store in another process may be away for a while: reads from the caches show
/// what was there before, and those that must be current wait.
async fn follow(store: &dyn Store, revision: u64) -> Result<store::Watch, store::Error> {
    let mut pause = RETRY_PAUSES.0;
    loop {
        let request = WatchRequest::after(KeyRange::prefix(&b"/registry/"[..]), revision);
        match store.watch(request).await {
            Err(error @ store::Error::Unavailable { .. }) => {
                tracing::warn!(%error, revision, "cannot follow the store; trying again");
                tokio::time::sleep(pause).await;
                pause = RETRY_PAUSES.1.min(pause * 2);
            }
            opened => return opened,
        }
    }
}

/// The feed: follows the store from `revision` on and applies every change to its cache. Ends with an error of the
/// store that does not pass, or once the store has forgotten what comes next.
pub async fn feed(
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    published: Arc<Published>,
    prepared: Arc<Prepared>,
    changed: Changed,
    mut revision: u64,
) -> store::Error {
    let mut watch = match follow(&*store, revision).await {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    let mut routes = Routes::default();
    loop {
        let batch = match watch.next().await {
            Ok(batch) => batch,
            Err(error @ store::Error::Unavailable { .. }) => {
                tracing::warn!(%error, revision, "the store's feed broke; following it again");
                match follow(&*store, revision).await {
                    Ok(again) => watch = again,
                    Err(error) => return error,
                }
                continue;
            }
            Err(error) => return error,
        };
        let _applying = prepared.applying.lock();
        let registry = registry.load_full();
        for event in batch.events {
            let Some(key) = event.key().as_str() else { continue };
            let Some((hub, key)) = routes.find(&registry, key) else { continue };
            let change = match &event {
                Event::Put { kv, .. } => {
                    let left = prepared.take(kv.value()).filter(|left| Arc::ptr_eq(&left.hub, &hub));
                    let entry = match left {
                        Some(Left { mut entry, template, .. }) => {
                            entry.publish(kv.mod_revision(), &template);
                            Some(entry)
                        }
                        None => {
                            hub.ingest(kv.key().as_str().unwrap_or_default(), kv.value(), kv.mod_revision())
                        }
                    };
                    match entry {
                        Some(entry) => Change::Put(Arc::new(entry)),
                        // It cannot be read, so it is not there for anybody.
                        None => Change::Delete { key: key.into(), revision: event.revision() },
                    }
                }
                Event::Delete { .. } => Change::Delete { key: key.into(), revision: event.revision() },
            };
            hub.cache.apply(change);
            changed(&hub, key);
        }
        revision = revision.max(batch.revision);
        published.advance(batch.revision);
    }
}

/// From key prefixes to hubs; made anew when the registry changes.
#[derive(Default)]
struct Routes {
    /// Kept, so that no other one comes to lie where it lay.
    of: Option<Arc<Registry>>,
    hubs: HashMap<Str, Arc<Hub>>,
}

impl Routes {
    /// The hub of a stored key, and the key within it.
    fn find<'k>(&mut self, registry: &Arc<Registry>, key: &'k str) -> Option<(Arc<Hub>, &'k str)> {
        if self.of.as_ref().is_none_or(|of| !Arc::ptr_eq(of, registry)) {
            self.of = Some(registry.clone());
            self.hubs = registry
                .hubs()
                .filter_map(|h| Some((h.row.storage.as_ref()?.prefix.clone(), h.clone())))
                .collect();
        }
        // Prefixes have two or three segments behind "/registry": the longest that is known wins, since
        // "/registry/services/specs" and "/registry/services/endpoints" share their first.
        let mut ends = key.match_indices('/').map(|(i, _)| i).skip(2).take(3).collect::<Vec<_>>();
        ends.reverse();
        ends.into_iter().find_map(|end| Some((self.hubs.get(&key[..end])?.clone(), &key[end + 1..])))
    }
}

impl Hub {
    /// From a stored key and value to an entry; what cannot be read is logged and left out.
    pub fn ingest(&self, key: &str, value: &Bytes, revision: u64) -> Option<Entry> {
        ingest(
            self.row.storage.as_ref()?.prefix.as_str(),
            &self.codec,
            &*self.transform,
            &self.row,
            key,
            value,
            revision,
        )
    }
}

/// See [`Hub::ingest`]; for a hub that does not exist yet.
pub fn ingest(
    prefix: &str,
    codec: &crate::codec::Codec,
    transform: &dyn Transform,
    row: &kinds::Row,
    key: &str,
    value: &Bytes,
    revision: u64,
) -> Option<Entry> {
    let name = key.strip_prefix(prefix)?.strip_prefix('/')?;
    let read = || {
        let Opened { plain, stale } = transform.open(key, value)?;
        let mut object = codec.peek_stored(&plain)?;
        if let Some(storage) = &row.storage {
            (storage.default)(&mut object);
        }
        let head = crate::resource::peeked_head(codec, row, &object);
        let mut entry = Entry::new(name.into(), revision, plain, head);
        entry.stale = stale;
        Ok::<_, String>(entry)
    };
    read().map_err(|error| tracing::error!(key, revision, error, "cannot read a stored object")).ok()
}
