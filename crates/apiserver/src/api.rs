//! The server's shared state, and how it starts.

use crate::access::Access;
use crate::admission::Admission;
use crate::aggregation::Aggregation;
use crate::audit::Audit;
use crate::cache::{Cache, Published};
use crate::codec::Codec;
use crate::encryption::Encryption;
use crate::flowcontrol::{self, FlowControl, InFlight, Limits};
use crate::health::Health;
use crate::listen::Lanes;
use crate::managed::Tracking;
use crate::resource::{Hub, Registry, Served};
use crate::settings::Settings;
use crate::storage::{self, HubLoader, Prepared};
use arc_swap::ArcSwap;
use http::HeaderValue;
use kinds::certificates::X509;
use kinds::{Row, Table};
use meta::time::Time;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::Store;
use tokio::runtime::Handle;
use value::Str;

/// What the server must be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address that clients in the cluster reach it by.
    pub advertise_address: IpAddr,
    /// The port.
    pub port: u16,
    /// The first is primary.
    pub service_ranges: Vec<String>,
    /// Issuer of service-account tokens.
    pub issuer: String,
}

/// What the server may be given besides; without it, it does without.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Encryption at rest; `None` keeps everything plain.
    pub encryption: Option<Arc<Encryption>>,
    /// The audit log; `None` for none.
    pub audit: Option<Arc<Audit>>,
    /// Priority and fairness.
    pub fairness: Fairness,
    /// The admission plugins.
    pub admission: Arc<Admission>,
    /// What admission webhooks are shown; `None` for nothing.
    pub webhook_credentials: Option<Arc<crate::webhook::Credentials>>,
    /// The options of the command line that it was started by, by name, for `/flagz` to tell.
    pub flags: BTreeMap<String, String>,
    /// What an operator may set besides.
    pub settings: Settings,
    /// The threads that serve connections; `None` for the runtime that starts the server, where all else is done.
    pub lanes: Option<Lanes>,
}

/// Whether requests are sorted and queued (`--enable-priority-and-fairness`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fairness {
    /// They are only counted.
    Off(Limits),
    /// With so many seats for all requests together: upstream adds up the two limits.
    On(u32),
}

impl Default for Fairness {
    fn default() -> Self {
        let Limits { reading, mutating } = Limits::default();
        Self::On(reading + mutating)
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store's.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An object is encrypted with a key that is not there. Serving a world without it would be wrong.
    #[error(
        "cannot decrypt {key}: {error}; put the key back: into the file that --encryption-provider-config names, if that is how it was given; else as pki/encryption-config.yaml of the root (corten store restore-key makes it from the recovery key), which a server on etcd is to be told by --encryption-provider-config"
    )]
    Undecryptable {
        /// The store's key.
        key: String,
        /// Which key was tried and is missing.
        error: String,
    },
}

/// The server.
pub struct Api {
    /// What it was told.
    pub config: Config,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What is served.
    pub registry: Arc<ArcSwap<Registry>>,
    /// How far the caches are.
    pub published: Arc<Published>,
    /// Written objects on their way to the caches.
    pub prepared: Arc<Prepared>,
    /// The admission plugins.
    pub admission: Arc<Admission>,
    /// Authentication and authorization.
    pub access: Access,
    /// Encryption at rest.
    pub encryption: Arc<Encryption>,
    /// The audit log.
    pub audit: Option<Arc<Audit>>,
    /// Priority and fairness.
    pub flow: Option<Arc<FlowControl>>,
    /// What there is where that is off.
    pub in_flight: Option<InFlight>,
    /// What other servers serve.
    pub aggregation: Aggregation,
    /// What admission webhooks are shown.
    pub webhook_credentials: Option<Arc<crate::webhook::Credentials>>,
    /// The options of the command line that it was started by.
    pub flags: BTreeMap<String, String>,
    /// What an operator has set besides.
    pub settings: Settings,
    /// Definitions of custom resources that have changed.
    pub definitions: crate::crd::Queue,
    /// The way to kubelets.
    pub nodes: crate::nodes::Nodes,
    /// Connections that are passed on to kubelets and pods.
    pub streams: streaming::Streams,
    /// When it began.
    pub started: Time,
    /// How it fares.
    pub health: Health,
    /// Where that is done which takes long.
    pub work: Handle,
    /// Becomes true when the server is to stop.
    pub stopping: tokio::sync::watch::Sender<bool>,
    seed: AtomicU64,
}

impl Api {
    /// Reads everything from the store, and follows it from there on. The server is ready when this
    /// returns.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(
        config: Config,
        store: Arc<dyn Store>,
        access: Access,
    ) -> Result<Arc<Self>, StartError> {
        Self::start_with(config, store, access, Options::default()).await
    }

    /// The same with what it may be given besides.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_with(
        config: Config,
        store: Arc<dyn Store>,
        access: Access,
        options: Options,
    ) -> Result<Arc<Self>, StartError> {
        kinds::certificates::install(X509 {
            request: pki::checks::request,
            certificate: pki::checks::certificate,
            key_pair: pki::checks::key_pair,
        });
        let encryption = options.encryption.unwrap_or_else(Encryption::none);
        let revision = store.revision().await?;
        let published = Arc::new(Published::default());
        published.advance(revision);
        let registry = build_registry(&*store, &published, &encryption, revision).await?;
        let registry = Arc::new(ArcSwap::from_pointee(registry));
        let stopping = tokio::sync::watch::Sender::new(false);
        let api = Arc::new(Self {
            config,
            store: store.clone(),
            registry: registry.clone(),
            published: published.clone(),
            prepared: Arc::default(),
            admission: options.admission,
            access,
            encryption: encryption.clone(),
            audit: options.audit,
            aggregation: Aggregation::default(),
            webhook_credentials: options.webhook_credentials,
            flags: options.flags,
            settings: options.settings,
            flow: match options.fairness {
                Fairness::Off(_) => None,
                Fairness::On(seats) => Some(FlowControl::new(seats)),
            },
            in_flight: match options.fairness {
                Fairness::Off(limits) => Some(InFlight::new(limits)),
                Fairness::On(_) => None,
            },
            definitions: crate::crd::Queue::default(),
            nodes: crate::nodes::Nodes::default(),
            streams: streaming::Streams::new(stopping.subscribe()),
            started: now(),
            health: Health::default(),
            work: Handle::current(),
            stopping,
            seed: AtomicU64::new(u64::from_le_bytes(
                *uuid::Uuid::new_v4().as_bytes().first_chunk().expect("16 bytes"),
            )),
        });
        api.access.load(&api);
        let weak = Arc::downgrade(&api);
        let changed = Arc::new(move |hub: &Hub, key: &str| {
            if let Some(api) = weak.upgrade() {
                api.access.changed(hub, key);
                api.aggregation.object_changed(&hub.row.group, &hub.row.plural, key);
                if let Some(flow) = api.flow.as_ref().filter(|_| hub.row.group == flowcontrol::GROUP) {
                    flow.changed.notify_one();
                }
                if crate::crd::is_definition(&hub.row) {
                    api.definitions.add(key);
                }
            }
        });
        let feed = storage::feed(store, registry, published, api.prepared.clone(), changed, revision);
        let (fed, stopping) = (Arc::downgrade(&api), api.stopping.clone());
        // Connections wait for what it brings: where they have one thread, no other is woken for it.
        let lanes = options.lanes.unwrap_or_else(Lanes::here);
        lanes.next().spawn(async move {
            let error = feed.await;
            // Without its feed a server would show an old world: it must not go on.
            tracing::error!(%error, "the store's feed has ended; stopping");
            if let Some(api) = fed.upgrade() {
                api.health.feed_ended(&error);
            }
            stopping.send_replace(true);
        });
        tokio::spawn(encryption.follow(api.stopping.subscribe()));
        if let Some(flow) = api.flow.clone() {
            tokio::spawn(flowcontrol::follow(api.clone(), flow));
        }
        crate::crd::run(&api).await;
        tokio::spawn(crate::aggregation::follow(api.clone()));
        tokio::spawn(crate::compaction::run(api.clone()));
        Ok(api)
    }

    /// The stored side of a resource.
    pub fn hub(&self, group: &str, resource: &str) -> Option<Arc<Hub>> {
        self.registry.load().hub(group, resource).cloned()
    }

    /// The time.
    pub fn now(&self) -> Time {
        now()
    }

    /// A number below `n`, for jitter; not for secrets.
    pub fn dice(&self, n: u64) -> u64 {
        self.random() % n.max(1)
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        let mut z = self.seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A name for a request. Unlike a UID it need not be hard to guess, and asks the kernel for nothing.
    pub(crate) fn new_audit_id(&self) -> HeaderValue {
        let bytes = (u128::from(self.random()) << 64 | u128::from(self.random())).to_ne_bytes();
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let mut buffer = uuid::Uuid::encode_buffer();
        let text: &str = id.hyphenated().encode_lower(&mut buffer);
        let mut id = HeaderValue::from_str(text).expect("hexadecimal digits");
        // HTTP/2 keeps a place among those that come again for all but the sensitive (RFC 7541, 7.1.3).
        id.set_sensitive(true);
        id
    }

    /// A new UID.
    pub fn new_uid(&self) -> Str {
        let mut buffer = uuid::Uuid::encode_buffer();
        Str::from(&*uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer))
    }

    /// Asks the store to tell soon how far it is.
    pub async fn request_progress(&self) {
        let keys = store::KeyRange::prefix(&b"/registry/"[..]);
        if let Err(error) = self.store.request_progress(&keys).await {
            tracing::debug!(%error, "the store does not tell its progress");
        }
    }

    /// Completes when the server is to stop.
    pub fn shutdown_signal(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut stopping = self.stopping.subscribe();
        Box::pin(async move {
            // An error means that the server is gone, which is the same.
            let _ = stopping.wait_for(|s| *s).await;
        })
    }
}

/// The time.
pub(crate) fn now() -> Time {
    let now = jiff::Timestamp::now();
    Time::from_unix(now.as_second(), now.subsec_nanosecond().unsigned_abs())
}

/// The field by which followers of a resource are indexed: kubelets follow the pods of their node.
fn trigger(row: &Row) -> Option<Str> {
    row.fields.fields.iter().map(|f| &f.label).find(|f| *f == "spec.nodeName").cloned()
}

async fn build_registry(
    store: &dyn Store,
    published: &Arc<Published>,
    encryption: &Arc<Encryption>,
    revision: u64,
) -> Result<Registry, StartError> {
    let table = Table::builtin();
    let mut hubs: HashMap<Str, Arc<Hub>> = HashMap::new();
    // Rows that are stored as they are come first: they are the hubs of the others.
    let (own, converted): (Vec<_>, Vec<_>) = table
        .rows()
        .iter()
        .filter_map(|row| Some((row, row.storage.as_ref()?)))
        .partition(|(_, storage)| storage.convert.is_none());
    for (row, storage) in own.into_iter().chain(converted) {
        if hubs.contains_key(&storage.prefix) {
            continue;
        }
        let row =
            if storage.convert.is_none() { crate::crd::with_hooks(row) } else { Arc::new(stored_row(row)) };
        let codec = Codec::typed(&row);
        let transform = encryption.transform(&storage.group, &row.plural);
        let undecryptable = Mutex::new(None);
        let ingest = |key: &str, value: &bytes::Bytes, revision: u64| {
            if let Err(error) = transform.open(key, value) {
                undecryptable.lock().get_or_insert((key.to_owned(), error));
                return None;
            }
            storage::ingest(&storage.prefix, &codec, &*transform, &row, key, value, revision)
        };
        let loader = HubLoader { prefix: &storage.prefix, ingest: &ingest };
        let entries = storage::load(store, &loader, revision).await?;
        if let Some((key, error)) = undecryptable.lock().take() {
            return Err(StartError::Undecryptable { key, error });
        }
        let cache = Cache::new(published.clone(), trigger(&row), revision, entries);
        let hub = Hub { row, codec: codec.clone(), cache, transform: transform.clone() };
        hubs.insert(storage.prefix.clone(), Arc::new(hub));
    }
    let served = table.rows().iter().map(|row| {
        let hub = row.storage.as_ref().and_then(|s| hubs.get(&s.prefix)).cloned();
        let row = crate::crd::with_hooks(row);
        let codec = Codec::typed(&row);
        let tracking = Tracking::new(&row, codec.merge_type(), codec.empty());
        Arc::new(Served { row, codec, hub, tracking })
    });
    Ok(Registry::new(served))
}

/// The row of a stored version that is not served itself: the served one's, under the stored names.
fn stored_row(row: &Row) -> Row {
    let mut row = row.clone();
    if let Some(storage) = &mut row.storage {
        storage.convert = None;
        row.group = storage.group.clone();
        row.version = storage.version.clone();
        row.go_type = storage.go_type.clone();
    }
    row
}
