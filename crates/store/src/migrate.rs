//! Moving keys between stores, and snapshots in a file.
//!
//! What moves are keys and values; revisions are new, and above all old ones, because the target's counter is
//! advanced past the source's head first: a client's old `resourceVersion` is then too old and never wrong.
//!
//! A snapshot file is a header (magic, format, store id, epoch, revision), records, an end mark with their
//! number, and a CRC-32 over everything before it. It is checked as a whole before anything is imported.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use bytes::Bytes;

use crate::{Action, Clock, Error, Expect, Key, KeyRange, KeyValue, Op, Outcome, Range, Store, Txn};

const MAGIC: &[u8; 8] = b"CORTENSN";
const FORMAT: u32 = 1;
/// Keys read at once.
const PAGE_KEYS: usize = 1000;
/// Operations and bytes written at once: well under the limits of every back end.
const WRITE_OPS: usize = 100;
const WRITE_BYTES: usize = 512 * 1024;
/// Stands for a key's length after the last record.
const END: u32 = u32::MAX;

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file.
    #[error("snapshot file: {0}")]
    Io(#[from] io::Error),
    /// The store.
    #[error("{0}")]
    Store(#[from] Error),
    /// The contents.
    #[error("the snapshot is damaged or no snapshot: {0}")]
    Damaged(String),
    /// A newer version has written it.
    #[error("the snapshot has format {0}, this version reads up to {FORMAT}")]
    NewerFormat(u32),
}

/// What was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The id of the store it comes from.
    pub id: u128,
    /// Its epoch.
    pub epoch: u64,
    /// The revision at which it was read.
    pub revision: u64,
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// How to move.
#[derive(Clone, Copy)]
pub struct Moving<'a> {
    /// Which keys.
    pub keys: &'a KeyRange,
    /// Times to live of keys whose own are not known, as etcd's: the first range that holds a key counts.
    pub ttls: &'a [(KeyRange, Duration)],
    /// Now, for what is left of a time to live.
    pub clock: &'a dyn Clock,
}

impl Moving<'_> {
    /// What is left of a key's time, if it has any; at least a second, so that it still goes with an event.
    fn ttl(&self, kv: &KeyValue) -> Option<Duration> {
        if let Some(expires) = kv.expires() {
            return Some(Duration::from_millis(expires.saturating_sub(self.clock.now()).max(1000)));
        }
        self.ttls.iter().find(|(keys, _)| keys.contains(kv.key())).map(|(_, ttl)| *ttl)
    }
}

/// Copies keys into a store that has none of them. Nobody may write to either meanwhile.
///
/// # Errors
/// `Invalid` if the target has keys in the range; what the stores say.
pub async fn copy(from: &dyn Store, to: &dyn Store, how: Moving<'_>) -> Result<Summary, Error> {
    must_be_empty(to, how.keys).await?;
    let mut summary = summary_of(from).await?;
    to.advance_to(summary.revision).await?;
    let mut writer = Writer::new(to);
    let mut keys = how.keys.clone();
    loop {
        let page = from.range(Range::new(keys.clone()).limit(PAGE_KEYS).at(summary.revision)).await?;
        for kv in &page.kvs {
            count(&mut summary, kv);
            writer.put(kv.key().clone(), kv.value().clone(), how.ttl(kv)).await?;
        }
        let Some(last) = page.kvs.last().filter(|_| page.more) else { break };
        keys = how.keys.after(last.key());
    }
    writer.flush().await?;
    Ok(summary)
}

/// Writes a snapshot of keys, all at one revision. The caller syncs the file.
///
/// # Errors
/// See [`SnapshotError`].
pub async fn export(
    from: &dyn Store,
    keys: &KeyRange,
    out: &mut (dyn Write + Send),
) -> Result<Summary, SnapshotError> {
    let mut summary = summary_of(from).await?;
    let mut out = Summed::new(out);
    out.write_all(MAGIC)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    out.write_all(&summary.id.to_le_bytes())?;
    out.write_all(&summary.epoch.to_le_bytes())?;
    out.write_all(&summary.revision.to_le_bytes())?;
    let mut rest = keys.clone();
    loop {
        let page = from.range(Range::new(rest).limit(PAGE_KEYS).at(summary.revision)).await?;
        for kv in &page.kvs {
            count(&mut summary, kv);
            out.write_all(&length(kv.key().len())?.to_le_bytes())?;
            out.write_all(&length(kv.value().len())?.to_le_bytes())?;
            out.write_all(&kv.create_revision().to_le_bytes())?;
            out.write_all(&kv.mod_revision().to_le_bytes())?;
            out.write_all(&kv.expires().unwrap_or(0).to_le_bytes())?;
            out.write_all(kv.key())?;
            out.write_all(kv.value())?;
        }
        let Some(last) = page.kvs.last().filter(|_| page.more) else { break };
        rest = keys.after(last.key());
    }
    out.write_all(&END.to_le_bytes())?;
    out.write_all(&summary.keys.to_le_bytes())?;
    let sum = out.sum.clone().finalize();
    out.inner.write_all(&sum.to_le_bytes())?;
    out.inner.flush()?;
    Ok(summary)
}

/// Reads a snapshot through and checks it.
///
/// # Errors
/// See [`SnapshotError`].
pub fn verify(input: &mut dyn Read) -> Result<Summary, SnapshotError> {
    let mut reader = Reader::open(input)?;
    while let Some(kv) = reader.next()? {
        count(&mut reader.summary, &kv);
    }
    reader.finish()
}

/// Puts a snapshot's keys into a store that has none of them.
///
/// The next revision is above both the snapshot's and `floor`. After a restore the old cluster's head is not
/// known, for it went on after the backup: give the snapshot's revision plus far more than it can have written
/// since (etcd's own tools advise a thousand million).
///
/// # Errors
/// See [`SnapshotError`].
pub async fn import(
    input: &mut (impl Read + Seek + Send),
    to: &dyn Store,
    how: Moving<'_>,
    floor: u64,
) -> Result<Summary, SnapshotError> {
    let start = input.stream_position()?;
    let checked = verify(&mut *input)?;
    input.seek(SeekFrom::Start(start))?;
    must_be_empty(to, how.keys).await?;
    to.advance_to(checked.revision.max(floor)).await?;
    let mut reader = Reader::open(input)?;
    let mut writer = Writer::new(to);
    while let Some(kv) = reader.next()? {
        if how.keys.contains(kv.key()) {
            let ttl = how.ttl(&kv);
            writer.put(kv.key().clone(), kv.value().clone(), ttl).await?;
        }
    }
    writer.flush().await?;
    Ok(checked)
}

async fn must_be_empty(store: &dyn Store, keys: &KeyRange) -> Result<(), Error> {
    match store.range(Range::new(keys.clone()).limit(1)).await?.kvs.first() {
        None => Ok(()),
        Some(kv) => Err(Error::Invalid(format!("the target is not empty: it has {:?}", kv.key()))),
    }
}

async fn summary_of(store: &dyn Store) -> Result<Summary, Error> {
    let identity = store.identity();
    let revision = store.revision().await?;
    Ok(Summary { id: identity.id, epoch: identity.epoch, revision, keys: 0, bytes: 0 })
}

fn count(summary: &mut Summary, kv: &KeyValue) {
    summary.keys += 1;
    summary.bytes += kv.bytes() as u64;
}

fn length(length: usize) -> io::Result<u32> {
    let fits = u32::try_from(length).ok().filter(|length| *length != END);
    fits.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a key or value of 4 GiB"))
}

/// Gathers puts into transactions.
struct Writer<'a> {
    store: &'a dyn Store,
    ops: Vec<Op>,
    bytes: usize,
}

impl<'a> Writer<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self { store, ops: Vec::new(), bytes: 0 }
    }

    async fn put(&mut self, key: Key, value: Bytes, ttl: Option<Duration>) -> Result<(), Error> {
        let bytes = key.len() + value.len();
        if self.ops.len() >= WRITE_OPS || self.bytes + bytes > WRITE_BYTES {
            self.flush().await?;
        }
        self.bytes += bytes;
        self.ops.push(Op { key, expect: Expect::Absent, action: Action::Put { value, ttl } });
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let mut ops = std::mem::take(&mut self.ops).into_iter();
        let Some(first) = ops.next() else { return Ok(()) };
        match self.store.txn(Txn { first, rest: ops.collect() }).await? {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Conflict { .. } => Err(Error::Invalid("somebody else writes to the target".into())),
        }
    }
}

/// A writer that sums up what goes through.
struct Summed<'a> {
    inner: &'a mut (dyn Write + Send),
    sum: crc32fast::Hasher,
}

impl<'a> Summed<'a> {
    fn new(inner: &'a mut (dyn Write + Send)) -> Self {
        Self { inner, sum: crc32fast::Hasher::new() }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes)
    }
}

/// Reads a snapshot record by record.
struct Reader<'a, R: Read + ?Sized> {
    inner: &'a mut R,
    sum: crc32fast::Hasher,
    summary: Summary,
    ended: bool,
    records: u64,
}

impl<'a, R: Read + ?Sized> Reader<'a, R> {
    fn open(inner: &'a mut R) -> Result<Self, SnapshotError> {
        let summary = Summary { id: 0, epoch: 0, revision: 0, keys: 0, bytes: 0 };
        let mut reader = Self { inner, sum: crc32fast::Hasher::new(), summary, ended: false, records: 0 };
        if &reader.array::<8>()? != MAGIC {
            return Err(SnapshotError::Damaged("it does not begin as one".into()));
        }
        let format = u32::from_le_bytes(reader.array()?);
        if format > FORMAT {
            return Err(SnapshotError::NewerFormat(format));
        }
        reader.summary.id = u128::from_le_bytes(reader.array()?);
        reader.summary.epoch = u64::from_le_bytes(reader.array()?);
        reader.summary.revision = u64::from_le_bytes(reader.array()?);
        Ok(reader)
    }

    fn next(&mut self) -> Result<Option<KeyValue>, SnapshotError> {
        if self.ended {
            return Ok(None);
        }
        let key = u32::from_le_bytes(self.array()?);
        if key == END {
            self.ended = true;
            let records = u64::from_le_bytes(self.array()?);
            return if records == self.records {
                Ok(None)
            } else {
                Err(SnapshotError::Damaged(format!("{} of {records} records", self.records)))
            };
        }
        self.records += 1;
        let value = u32::from_le_bytes(self.array()?);
        let create_revision = u64::from_le_bytes(self.array()?);
        let mod_revision = u64::from_le_bytes(self.array()?);
        let expires = u64::from_le_bytes(self.array()?);
        let key = self.bytes(key)?;
        let value = self.bytes(value)?;
        let kv = KeyValue::new(key.into(), value.into(), create_revision, mod_revision);
        Ok(Some(kv.with_row(0, expires)))
    }

    fn finish(mut self) -> Result<Summary, SnapshotError> {
        let sum = self.sum.clone().finalize();
        if u32::from_le_bytes(self.array()?) != sum {
            return Err(SnapshotError::Damaged("its checksum is wrong".into()));
        }
        Ok(self.summary)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(ended)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    /// Reads so many bytes without believing that they are there.
    fn bytes(&mut self, length: u32) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = Vec::new();
        self.inner.take(u64::from(length)).read_to_end(&mut bytes)?;
        if bytes.len() != length as usize {
            return Err(SnapshotError::Damaged("it ends early".into()));
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }
}

fn ended(error: io::Error) -> SnapshotError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return SnapshotError::Damaged("it ends early".into());
    }
    SnapshotError::Io(error)
}
