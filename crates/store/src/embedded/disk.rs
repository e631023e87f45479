//! What is on disk: a SQLite file with a table of revisions.
//!
//! A row is one change: id = revision × 128 + its position in the transaction, the key, the value (NULL for a
//! deletion), the revision that created the key, when it expires, and a CRC-32 over all of it (SQLite checks
//! its log, not its pages). Rows that no readable revision shows are deleted; their ids are known from memory,
//! so there is no index.
//!
//! Format rule: `user_version` is raised when an older binary could not read what a newer one wrote; an older
//! binary refuses a newer format, a newer one reads all older ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::Options;
use crate::memory::FIRST_REVISION;
use crate::mvcc::{Index, Row};
use crate::{Event, Key, KeyValue};

/// The format this version writes.
pub const FORMAT: u32 = 1;
/// SQLite's `application_id` of our files: "CRTN".
const APPLICATION_ID: u32 = 0x4352_544e;
/// Bits of a row's id that hold the position: `TXN_OPS_MAX` fit.
const POSITION_BITS: u32 = 7;
/// The largest revision that fits a row's id; at a million writes a second it lasts two thousand years.
pub(super) const REVISION_MAX: u64 = (1 << (63 - POSITION_BITS)) - 1;
pub(super) const PAGE_BYTES: u64 = 4096;
/// SQLite's page cache: the log is only appended to, and old rows are removed where they cluster.
const CACHE_KIBIBYTES: i64 = 2048;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or the thread cannot be had.
    #[error("cannot {what} for the store in {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the store in {path} is in use by another process")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// A newer version has written it.
    #[error(
        "the store in {path} has format {found}, this version reads up to {FORMAT}: run the newer version, or \
         restore a backup made by this one"
    )]
    NewerFormat {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is no store.
    #[error(
        "{path} is no store of ours: it is damaged from its beginning, or another program's. Restore a backup of it, or \
         move it and {path}-wal away to begin with an empty cluster"
    )]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// Its contents are damaged.
    #[error(
        "the store in {path} is damaged: {what}. Keep a copy of it and of {path}-wal, then restore a backup of both, or \
         move them away to begin with an empty cluster"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Any other error of the disk.
    #[error("cannot open the store in {path}: {source}")]
    Sqlite {
        /// Where.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

/// Why a batch could not be written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// No space; nothing was written and the store is intact.
    Full,
    /// Anything else: the store must stop.
    Fatal(String),
}

/// What was on disk.
pub(super) struct Loaded {
    pub(super) index: Index,
    pub(super) revision: u64,
    pub(super) history: Vec<Event>,
    /// Rows that an interrupted compaction left.
    pub(super) garbage: Vec<Row>,
    pub(super) id: u128,
    pub(super) epoch: u64,
}

/// How far the file may grow.
#[derive(Debug, Clone, Copy)]
pub(super) enum Growth {
    /// Not at all: there is room in it, and none beside it.
    Not,
    /// Up to the quota.
    ToQuota,
    /// Beyond it by the reserve, so that deletes go through.
    IntoReserve,
}

/// The open file.
pub(super) struct Disk {
    sql: Connection,
    wal_pages: Arc<AtomicU32>,
    quota_pages: u64,
    reserve_pages: u64,
}

impl Disk {
    pub(super) fn open(options: &Options) -> Result<(Self, Loaded), OpenError> {
        let directory = &options.directory;
        create_directory(directory)?;
        let file = file(directory);
        if options.vfs.is_none() {
            create_file(&file)?;
        }
        let at = |source| open_error(source, &file);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = match &options.vfs {
            None => Connection::open_with_flags(&file, flags),
            Some(vfs) => Connection::open_with_flags_and_vfs(&file, flags, vfs.as_str()),
        };
        let mut sql = sql.map_err(at)?;
        prepare(&sql, options).map_err(at)?;
        check_format(&sql, &file)?;
        let wal_pages = Arc::new(AtomicU32::new(0));
        let counter = wal_pages.clone();
        sql.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            counter.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
        .map_err(at)?;
        let loaded = load(&sql, &file)?;
        let disk = Self {
            sql,
            wal_pages,
            quota_pages: options.quota_bytes / PAGE_BYTES,
            reserve_pages: options.reserve_bytes / PAGE_BYTES,
        };
        disk.limit(Growth::ToQuota).map_err(at)?;
        Ok((disk, loaded))
    }

    /// Writes the events and removes the rows, durably, or does nothing.
    pub(super) fn commit(&self, events: &[Event], garbage: &[Row], compacted: u64) -> Result<(), WriteError> {
        let result = if let ([event], []) = (events, garbage) {
            // One statement is its own transaction; this is the way of a lone writer.
            self.insert(event, 0)
        } else {
            self.commit_many(events, garbage, compacted)
        };
        result.map_err(|error| {
            if !self.sql.is_autocommit()
                && let Err(error) = self.sql.execute_batch("ROLLBACK")
            {
                return WriteError::Fatal(format!("roll back a failed commit: {error}"));
            }
            write_error(&error)
        })
    }

    fn commit_many(&self, events: &[Event], garbage: &[Row], compacted: u64) -> rusqlite::Result<()> {
        self.sql.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let (mut revision, mut position) = (0, 0);
        for event in events {
            position = if event.revision() == revision { position + 1 } else { 0 };
            revision = event.revision();
            self.insert(event, position)?;
        }
        if !garbage.is_empty() {
            self.set("compacted", compacted)?;
            let mut delete = self.sql.prepare_cached("DELETE FROM log WHERE id = ?1")?;
            for row in garbage {
                delete.execute([row_id(row.revision, row.position)])?;
            }
        }
        self.sql.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn insert(&self, event: &Event, position: u8) -> rusqlite::Result<()> {
        let row = DiskRow::of(event, position);
        let mut insert = self.sql.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        insert.execute(params![row.id, row.key, row.value, row.created, row.expires, row.checksum()])?;
        Ok(())
    }

    /// Durably moves the counter; what came before is gone.
    pub(super) fn advance(&self, revision: u64) -> Result<(), WriteError> {
        self.set("compacted", revision).map_err(|error| write_error(&error))
    }

    fn set(&self, name: &str, value: u64) -> rusqlite::Result<()> {
        let mut set = self.sql.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
        set.execute(params![name, value.to_string()])?;
        Ok(())
    }

    /// Pages in the log that are not in the table yet.
    pub(super) fn wal_pages(&self) -> u32 {
        self.wal_pages.load(Ordering::Relaxed)
    }

    /// Moves the log's pages to the table, so that the log starts again from its beginning.
    pub(super) fn checkpoint(&self) -> Result<(), WriteError> {
        self.fold("PRAGMA wal_checkpoint(PASSIVE)")
    }

    /// As [`Disk::checkpoint`], and gives the log's blocks back to the file system.
    pub(super) fn checkpoint_and_shrink(&self) -> Result<(), WriteError> {
        self.fold("PRAGMA wal_checkpoint(TRUNCATE)")
    }

    fn fold(&self, pragma: &str) -> Result<(), WriteError> {
        let moved = self.sql.prepare_cached(pragma);
        let moved = moved.and_then(|mut statement| statement.query_row([], |_| Ok(())));
        self.wal_pages.store(0, Ordering::Relaxed);
        match moved.map_err(|error| write_error(&error)) {
            // The log stays as it is and grows on; the next commit says so if it cannot.
            Err(WriteError::Full) => Ok(()),
            other => other,
        }
    }

    /// Sets how large the file may become; never less than it is.
    pub(super) fn limit(&self, growth: Growth) -> rusqlite::Result<()> {
        let pages = match growth {
            Growth::Not => self.pages()?,
            Growth::ToQuota => self.quota_pages,
            Growth::IntoReserve => self.quota_pages.saturating_add(self.reserve_pages),
        };
        let pages = i64::try_from(pages).unwrap_or(i64::MAX).clamp(16, i64::from(u32::MAX) - 1);
        self.sql.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    }

    /// Pages that can be written within the limit: those the file may grow by, and those free in it.
    pub(super) fn pages_left(&self) -> rusqlite::Result<u64> {
        Ok(self.number("PRAGMA max_page_count")?.saturating_sub(self.pages()?) + self.free_pages()?)
    }

    /// Bytes of the file and bytes of it in use.
    pub(super) fn size(&self) -> rusqlite::Result<(u64, u64)> {
        let pages = self.pages()?;
        Ok((pages * PAGE_BYTES, pages.saturating_sub(self.free_pages()?) * PAGE_BYTES))
    }

    /// Pages in the file that can be used again.
    fn free_pages(&self) -> rusqlite::Result<u64> {
        self.number("PRAGMA freelist_count")
    }

    fn pages(&self) -> rusqlite::Result<u64> {
        self.number("PRAGMA page_count")
    }

    fn number(&self, pragma: &str) -> rusqlite::Result<u64> {
        self.sql.query_row(pragma, [], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))
    }
}

fn create_directory(directory: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    if directory.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    // The entry in the parent must not go with a power cut either.
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = made.and_then(|()| parent.map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all()));
    synced.map_err(|source| OpenError::Io {
        what: "make the directory",
        path: directory.to_path_buf(),
        source,
    })
}

/// Makes the file before SQLite does, because secrets lie in it: nobody else may read it, whatever the
/// directory allows. SQLite gives its log the same mode, and syncs the directory when it makes the log.
fn create_file(file: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file);
    made.map(drop).map_err(|source| OpenError::Io { what: "make the file", path: file.to_path_buf(), source })
}

fn prepare(sql: &Connection, options: &Options) -> rusqlite::Result<()> {
    sql.set_prepared_statement_cache_capacity(32);
    // Whoever has the lock keeps it until he ends: say so at once.
    sql.busy_timeout(Duration::ZERO)?;
    // The first page decides: its size cannot be changed later, and reading it takes the lock for good.
    sql.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES}; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -{CACHE_KIBIBYTES};"
    ))?;
    let mode: String = sql.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(format!("the journal mode is {mode}, not wal")),
        ));
    }
    sql.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    let tables: i64 = sql.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        return Ok(());
    }
    let (id, epoch) = options.identity.unwrap_or_else(|| (uuid::Uuid::new_v4().as_u128(), 0));
    let id = uuid::Uuid::from_u128(id);
    sql.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE log (id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB, created INTEGER NOT NULL,
                           expires INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
         INSERT INTO meta VALUES ('id', '{id}'), ('epoch', '{epoch}'), ('compacted', '0');
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {FORMAT};
         COMMIT;"
    ))
}

fn check_format(sql: &Connection, file: &Path) -> Result<(), OpenError> {
    let pragma = |name: &str| {
        let value = sql.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u32>(0));
        value.map_err(|source| open_error(source, file))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(OpenError::NotAStore { path: file.to_path_buf() });
    }
    match pragma("user_version")? {
        found if found > FORMAT => Err(OpenError::NewerFormat { path: file.to_path_buf(), found }),
        _ => Ok(()),
    }
}

fn load(sql: &Connection, file: &Path) -> Result<Loaded, OpenError> {
    let at = |source| open_error(source, file);
    let damaged = |what: String| OpenError::Damaged { path: file.to_path_buf(), what };
    let meta = |name: &str| {
        let value =
            sql.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get::<_, String>(0));
        value.optional().map_err(at)?.ok_or_else(|| damaged(format!("{name} is missing")))
    };
    let number = |name: &str| {
        meta(name)?.parse::<u64>().map_err(|error| damaged(format!("{name} is no number: {error}")))
    };
    let compacted = number("compacted")?;
    let id =
        meta("id")?.parse::<uuid::Uuid>().map_err(|error| damaged(format!("its id is no UUID: {error}")))?;
    let mut loaded = Loaded {
        index: Index::default(),
        revision: compacted.max(FIRST_REVISION),
        history: Vec::new(),
        garbage: Vec::new(),
        id: id.as_u128(),
        epoch: number("epoch")?,
    };
    loaded.index.set_compacted(compacted);
    let mut superseded = Vec::new();
    let mut statement =
        sql.prepare("SELECT id, key, value, created, expires, checksum FROM log ORDER BY id").map_err(at)?;
    let mut rows = statement.query([]).map_err(at)?;
    while let Some(row) = rows.next().map_err(at)? {
        let (row, checksum) = DiskRow::read(row).map_err(at)?;
        if row.checksum() != checksum {
            return Err(damaged(format!("the checksum of row {} is wrong", row.id)));
        }
        let Some(event) = row.replay(&mut loaded.index) else { continue };
        loaded.revision = loaded.revision.max(event.revision());
        if event.revision() > compacted {
            loaded.history.push(event);
        } else if event.prev().is_some() || matches!(event, Event::Delete { .. }) {
            superseded.push(event.key().clone());
        }
    }
    for key in superseded {
        loaded.index.prune(&key, &mut loaded.garbage);
    }
    Ok(loaded)
}

/// A row of the log.
struct DiskRow<'a> {
    id: i64,
    key: &'a [u8],
    value: Option<&'a [u8]>,
    created: i64,
    expires: i64,
}

impl<'a> DiskRow<'a> {
    fn of(event: &'a Event, position: u8) -> Self {
        let id = row_id(event.revision(), position);
        match event {
            Event::Put { kv, .. } => Self {
                id,
                key: kv.key(),
                value: Some(kv.value()),
                created: integer(kv.create_revision()),
                expires: integer(kv.expires().unwrap_or(0)),
            },
            Event::Delete { key, .. } => Self { id, key, value: None, created: 0, expires: 0 },
        }
    }

    fn read(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<(Self, i64)> {
        let key = row.get_ref(1)?.as_blob()?;
        let value = row.get_ref(2)?.as_blob_or_null()?;
        Ok((Self { id: row.get(0)?, key, value, created: row.get(3)?, expires: row.get(4)? }, row.get(5)?))
    }

    /// Over every column, so that a flipped bit anywhere is seen.
    fn checksum(&self) -> i64 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.id.to_le_bytes());
        sum.update(&self.created.to_le_bytes());
        sum.update(&self.expires.to_le_bytes());
        sum.update(&(self.key.len() as u64).to_le_bytes());
        sum.update(self.key);
        sum.update(&[u8::from(self.value.is_some())]);
        sum.update(self.value.unwrap_or_default());
        i64::from(sum.finalize())
    }

    fn replay(&self, index: &mut Index) -> Option<Event> {
        let id = self.id.cast_unsigned();
        let (revision, position) = (id >> POSITION_BITS, (id & ((1 << POSITION_BITS) - 1)) as u8);
        let Some(value) = self.value else {
            return index.delete(self.key, Row { revision, position });
        };
        let key = Key::from(self.key);
        let created = self.created.cast_unsigned();
        let kv = KeyValue::new(key, Bytes::copy_from_slice(value), created, revision);
        Some(index.put(Arc::new(kv.with_row(position, self.expires.cast_unsigned()))))
    }
}

fn row_id(revision: u64, position: u8) -> i64 {
    integer(revision << POSITION_BITS | u64::from(position))
}

/// The file of the store in a directory.
pub fn file(directory: &Path) -> PathBuf {
    directory.join("store.db")
}

/// Gives the file of a closed store another name beside it, so that nothing goes on from it; returns that.
///
/// # Errors
/// It cannot be renamed; or it was not closed, and what is in its log is not in it.
pub fn put_aside(directory: &Path) -> io::Result<PathBuf> {
    let (file, log) = (file(directory), directory.join("store.db-wal"));
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(io::Error::other(format!("{} has not been written back", log.display())));
    }
    let mut names = (1..=u32::MAX).map(|number| directory.join(format!("moved-{number}.db")));
    let free = names.find(|name| !name.exists()).ok_or_else(|| io::Error::other("no name is free"))?;
    fs::rename(&file, &free)?;
    fs::File::open(directory)?.sync_all()?;
    Ok(free)
}

/// Whether a process has the store in this file open.
pub fn is_in_use(file: &Path) -> bool {
    let looked = || {
        let sql = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        sql.busy_timeout(Duration::ZERO)?;
        sql.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    let code = looked().err().and_then(|error| error.sqlite_error_code());
    matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn write_error(error: &rusqlite::Error) -> WriteError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => WriteError::Full,
        _ => WriteError::Fatal(error.to_string()),
    }
}

fn open_error(source: rusqlite::Error, file: &Path) -> OpenError {
    let path = file.to_path_buf();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, what: source.to_string() },
        Some(ErrorCode::NotADatabase) => OpenError::NotAStore { path },
        _ => OpenError::Sqlite { path, source },
    }
}
