//! The store in etcd (3.4 or newer), as upstream uses it.
//!
//! Keys and values are what the API server writes, so a cluster can go from kube-apiserver to Corten and back
//! on the same etcd. Comparisons are on `mod_revision`, long reads are paged at one revision, times to live are
//! shared leases, compaction is agreed with other API servers by upstream's key.
//!
//! Upstream counterpart: `k8s.io/apiserver/pkg/storage/etcd3`.

mod client;
mod compactor;
mod features;
pub mod fuzz;
mod lease;
mod proto;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

pub use client::EtcdOptions;

use crate::{
    Action, Answer, Error, Expect, Identity, Key, KeyRange, KeyValue, Outcome, Range, RangeResult, Size,
    Store, Txn, Watch, WatchRequest,
};
use client::Client;
use features::Features;
use lease::Leases;
use proto::{
    Compare, DeleteRangeRequest, Empty, HeaderResponse, PutRequest, RangeRequest, RangeResponse, Request,
    RequestOp, StatusResponse, TxnRequest, TxnResponse,
};

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const TXN: &str = "/etcdserverpb.KV/Txn";
const COMPACT: &str = "/etcdserverpb.KV/Compact";
const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// A long read starts with pages of so many keys...
const PAGE_KEYS_MIN: usize = 500;
/// ...which double up to this; as upstream's, so that one answer stays in bounds.
const PAGE_KEYS_MAX: usize = 10_000;
/// Writes under way at once while the counter is advanced.
const ADVANCE_WRITES: usize = 64;
/// What is written to advance the counter; outside of all that Kubernetes reads.
const ADVANCE_KEY: Bytes = Bytes::from_static(b"corten/advance");

/// How etcd names the alarm that stands from a full quota until somebody disarms it.
const NO_SPACE_ALARM: &str = "alarm:NOSPACE";

/// Who waits for a revision.
type Readers = Vec<oneshot::Sender<Result<u64, Error>>>;

/// A store in an etcd cluster.
pub struct EtcdStore {
    client: Arc<Client>,
    features: Features,
    leases: Leases,
    watches: watch::Registry,
    /// Who waits for the next reading of the revision; `None` when no reading is wanted.
    readers: Arc<Mutex<Option<Readers>>>,
    cluster: u64,
    compactor: Option<AbortHandle>,
}

impl EtcdStore {
    /// Connects; at least one member must answer. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// `Invalid` for the options, `Unavailable`, `Unsupported` for an etcd that is too old.
    pub async fn connect(options: &EtcdOptions) -> Result<Self, Error> {
        let client = Arc::new(Client::connect(options).await?);
        let features = Features::default();
        let cluster = features.probe(&client).await?;
        let compactor = options
            .compaction_interval
            .map(|interval| tokio::spawn(compactor::run(Arc::downgrade(&client), interval)).abort_handle());
        Ok(Self {
            client,
            features,
            leases: Leases::default(),
            watches: watch::Registry::default(),
            readers: Arc::default(),
            cluster,
            compactor,
        })
    }

    async fn read(&self, range: Range) -> Result<RangeResult, Error> {
        if range.keys.is_empty() {
            let revision = if range.revision == 0 { self.read_revision().await? } else { range.revision };
            return Ok(RangeResult { revision, count: range.count.then_some(0), ..RangeResult::default() });
        }
        let mut result = RangeResult { revision: range.revision, ..RangeResult::default() };
        let mut keys = range.keys.clone();
        let mut page = PAGE_KEYS_MIN;
        loop {
            let left = if range.limit == 0 { usize::MAX } else { range.limit - result.kvs.len() };
            let request = RangeRequest {
                key: start_of(&keys),
                range_end: end_of(&keys),
                limit: i64::try_from(left.min(page)).unwrap_or(i64::MAX),
                revision: i64::try_from(result.revision).unwrap_or(i64::MAX),
                count_only: false,
            };
            let answer: RangeResponse = self.client.read(RANGE, request).await?;
            let now = self.client.observe(answer.header);
            if result.revision == 0 {
                result.revision = now;
            }
            if range.count && result.count.is_none() {
                result.count = Some(answer.count.max(0).cast_unsigned());
            }
            result.kvs.extend(answer.kvs.into_iter().map(kv_from));
            let done = !answer.more || (range.limit > 0 && result.kvs.len() >= range.limit);
            let Some(last) = result.kvs.last().filter(|_| !done) else {
                result.more = answer.more;
                return Ok(result);
            };
            keys = keys.after(last.key());
            page = (page * 2).min(PAGE_KEYS_MAX);
        }
    }

    async fn write(&self, txn: Txn) -> Result<Outcome, Error> {
        txn.validate()?;
        let mut request = TxnRequest::default();
        for op in txn.ops() {
            let key = watch::bytes(&op.key);
            match op.expect {
                Expect::Any => {}
                Expect::Absent => request.compare.push(Compare::mod_revision(key.clone(), 0)),
                Expect::Revision(revision) => {
                    let revision = i64::try_from(revision).unwrap_or(i64::MAX);
                    request.compare.push(Compare::mod_revision(key.clone(), revision));
                }
            }
            let get = RangeRequest { key: key.clone(), ..RangeRequest::default() };
            request.failure.push(RequestOp { request: Some(Request::Range(get)) });
            let change = match &op.action {
                Action::Check => continue,
                Action::Delete => Request::DeleteRange(DeleteRangeRequest { key }),
                Action::Put { value, ttl } => {
                    let lease = match ttl {
                        None => 0,
                        // A lease that is granted and not used ends by itself.
                        Some(ttl) => self.leases.get(&self.client, *ttl).await.map_err(not_applied)?,
                    };
                    Request::Put(PutRequest { key, value: value.clone(), lease })
                }
            };
            request.success.push(RequestOp { request: Some(change) });
        }
        let answer: TxnResponse = self.client.write(TXN, request).await?;
        let revision = self.client.observe(answer.header);
        if answer.succeeded {
            return Ok(Outcome::Committed { revision });
        }
        Ok(Outcome::Conflict { revision, current: conflict(answer.responses) })
    }

    /// A linearizable reading of the revision, shared by all who ask while the one before is under way.
    async fn read_revision(&self) -> Result<u64, Error> {
        let (sender, receiver) = oneshot::channel();
        let start = {
            let mut readers = self.readers.lock();
            let start = readers.is_none();
            readers.get_or_insert_default().push(sender);
            start
        };
        if start {
            tokio::spawn(serve_revision(self.client.clone(), self.readers.clone()));
        }
        receiver.await.unwrap_or_else(|_| Err(Error::unavailable("the reading of the revision was dropped")))
    }

    async fn advance(&self, revision: u64) -> Result<(), Error> {
        let start = self.read_revision().await?;
        let mut missing = revision.saturating_sub(start);
        if missing == 0 {
            return Ok(());
        }
        let mut writes = JoinSet::new();
        while missing > 0 || !writes.is_empty() {
            while missing > 0 && writes.len() < ADVANCE_WRITES {
                let client = self.client.clone();
                let put = PutRequest { key: ADVANCE_KEY, value: Bytes::new(), lease: 0 };
                writes.spawn(async move { client.write::<_, HeaderResponse>(PUT, put).await });
                missing -= 1;
            }
            if let Some(written) = writes.join_next().await {
                let answer = written.map_err(|error| Error::unavailable(error.to_string()))??;
                self.client.observe(answer.header);
            }
        }
        self.write(Txn::delete(Key::from(&ADVANCE_KEY[..]), Expect::Any)).await.map(drop)
    }
}

/// Reads the revision for those who wait, and again for those who came meanwhile.
async fn serve_revision(client: Arc<Client>, readers: Arc<Mutex<Option<Readers>>>) {
    loop {
        let waiting = {
            let mut readers = readers.lock();
            match readers.as_mut().map(std::mem::take) {
                Some(waiting) if !waiting.is_empty() => waiting,
                _ => {
                    *readers = None;
                    return;
                }
            }
        };
        // Any range will do: its header tells the revision at which it was made.
        let request = RangeRequest { key: ADVANCE_KEY, count_only: true, ..RangeRequest::default() };
        let answer = client.read::<_, RangeResponse>(RANGE, request).await;
        let revision = answer.map(|answer| client.observe(answer.header));
        for reader in waiting {
            let _ = reader.send(revision.clone());
        }
    }
}

impl Store for EtcdStore {
    fn range(&self, range: Range) -> Answer<'_, RangeResult> {
        Answer::future(self.read(range))
    }

    fn txn(&self, txn: Txn) -> Answer<'_, Outcome> {
        Answer::future(self.write(txn))
    }

    fn watch(&self, request: WatchRequest) -> Answer<'_, Watch> {
        Answer::future(async move {
            let opened = watch::open(self.client.clone(), &self.watches, &request, self.features.progress());
            opened.await.map(Watch::new)
        })
    }

    fn revision(&self) -> Answer<'_, u64> {
        Answer::future(self.read_revision())
    }

    fn observed_revision(&self) -> u64 {
        self.client.observed()
    }

    fn request_progress(&self, keys: &KeyRange) -> Answer<'_, ()> {
        if self.features.progress() {
            self.watches.request_progress(keys);
            return Answer::ready(Ok(()));
        }
        Answer::future(async move {
            if self.features.should_ask() {
                self.features.probe(&self.client).await?;
            }
            // Watches that are open already go without; the caller reads from the store as for an old etcd.
            Err(Error::Unsupported("this etcd's progress notifications cannot be trusted".into()))
        })
    }

    fn compact(&self, revision: u64) -> Answer<'_, ()> {
        Answer::future(compactor::compact(&self.client, revision))
    }

    fn compacted_revision(&self) -> u64 {
        self.client.compacted()
    }

    fn advance_to(&self, revision: u64) -> Answer<'_, ()> {
        Answer::future(self.advance(revision))
    }

    fn size(&self) -> Answer<'_, Size> {
        Answer::future(async move {
            let status: StatusResponse = self.client.read(STATUS, Empty {}).await?;
            Ok(Size {
                keys: None,
                data_bytes: None,
                disk_bytes: status.db_size.max(0).cast_unsigned(),
                disk_used_bytes: status.db_size_in_use.max(0).cast_unsigned(),
            })
        })
    }

    fn health(&self) -> Answer<'_, ()> {
        Answer::future(async move {
            self.read_revision().await?;
            let status: StatusResponse = self.client.read(STATUS, Empty {}).await?;
            if status.errors.iter().any(|error| error.contains(NO_SPACE_ALARM)) {
                return Err(Error::NoSpace);
            }
            Ok(())
        })
    }

    fn identity(&self) -> Identity {
        Identity { backend: "etcd", id: u128::from(self.cluster), epoch: 0 }
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        if let Some(compactor) = &self.compactor {
            compactor.abort();
        }
    }
}

impl std::fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EtcdStore(cluster {:x})", self.cluster)
    }
}

/// What the keys of a transaction that was not made hold.
fn conflict(responses: Vec<proto::ResponseOp>) -> Vec<Option<Arc<KeyValue>>> {
    responses.into_iter().map(|op| op.range.and_then(|mut range| range.kvs.pop()).map(kv_from)).collect()
}

/// A failure before the transaction was sent.
fn not_applied(error: Error) -> Error {
    match error {
        Error::Unavailable { message, .. } => Error::Unavailable { message, maybe_applied: false },
        other => other,
    }
}

/// Etcd's form of a range's start: a zero byte where every key may be in it.
fn start_of(keys: &KeyRange) -> Bytes {
    if keys.start().is_empty() { Bytes::from_static(b"\0") } else { watch::bytes(keys.start()) }
}

/// Etcd's form of a range's end: empty for a single key, a zero byte for no end.
fn end_of(keys: &KeyRange) -> Bytes {
    match keys.end() {
        None => Bytes::from_static(b"\0"),
        Some(end) if end.strip_suffix(b"\0").is_some_and(|key| *key == **keys.start()) => Bytes::new(),
        Some(end) => watch::bytes(end),
    }
}

/// A key of etcd's as ours. The value is copied: a slice would keep the whole answer it came in alive.
fn kv_from(kv: proto::KeyValue) -> Arc<KeyValue> {
    Arc::new(KeyValue::new(
        Key::from(&kv.key[..]),
        Bytes::copy_from_slice(&kv.value),
        kv.create_revision.max(0).cast_unsigned(),
        kv.mod_revision.max(0).cast_unsigned(),
    ))
}
