//! A disk in memory that SQLite writes to, which can lose power, fail to sync and be full.
//!
//! A SQLite VFS. Each file has what is durable and what was written since its last sync; a power cut keeps of
//! the latter any writes, in whole or in sectors, in any combination. Creating and deleting files is durable at
//! once (SQLite syncs the directory itself, which a VFS does not see apart).
#![allow(unsafe_code, reason = "SQLite's VFS is a table of C functions; only tests are linked with this")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::ffi;

const SECTOR: usize = 512;

/// Random numbers (xorshift64*).
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit as u64) as usize
    }
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    live: Vec<u8>,
    pending: Vec<Pending>,
}

enum Pending {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Pending {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                if contents.len() < at + bytes.len() {
                    contents.resize(at + bytes.len(), 0);
                }
                contents[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Truncate(length) => contents.truncate(*length),
        }
    }
}

/// What goes wrong, and when.
#[derive(Default)]
pub(crate) struct Plan {
    /// Power is cut at this operation (writes and syncs count).
    pub(crate) power_cut: Option<usize>,
    /// This sync fails, and the kernel then forgets what it could not write.
    pub(crate) failing_sync: Option<usize>,
    /// Bytes of all files together.
    pub(crate) capacity: Option<usize>,
}

#[derive(Default)]
struct State {
    files: HashMap<String, File>,
    plan: Plan,
    operations: usize,
    syncs: usize,
    off: bool,
}

/// A disk; use it by the name of its VFS.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    pub(crate) vfs: String,
}

impl SimDisk {
    /// A disk with nothing on it. It is never unregistered: SQLite keeps the pointer.
    pub(crate) fn new(name: &str) -> Self {
        let disk = Self { state: Arc::default(), vfs: name.into() };
        let name = CString::new(name).unwrap();
        // SAFETY: a null name asks for the default VFS, which exists and is never unregistered.
        let default = unsafe { &*ffi::sqlite3_vfs_find(std::ptr::null()) };
        let vfs = ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<Handle>() as c_int,
            mxPathname: 1024,
            pNext: std::ptr::null_mut(),
            zName: name.into_raw(),
            pAppData: Box::into_raw(Box::new(disk.state.clone())).cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: default.xRandomness,
            xSleep: default.xSleep,
            xCurrentTime: default.xCurrentTime,
            xGetLastError: None,
            xCurrentTimeInt64: default.xCurrentTimeInt64,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        // SAFETY: the table is complete for version 2 and, like all it points to, leaked.
        let registered = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) };
        assert_eq!(registered, ffi::SQLITE_OK);
        disk
    }

    /// An empty disk.
    pub(crate) fn format(&self) {
        *self.state.lock() = State::default();
    }

    pub(crate) fn plan(&self, plan: Plan) {
        let mut state = self.state.lock();
        (state.plan, state.operations, state.syncs) = (plan, 0, 0);
    }

    /// Whether what was planned has happened.
    pub(crate) fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Writes and syncs since the plan.
    pub(crate) fn operations(&self) -> usize {
        self.state.lock().operations
    }

    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().files.values().map(|file| file.live.len()).sum()
    }

    /// Turns power off and on again: of what was not synced, chance decides.
    pub(crate) fn power_cycle(&self, dice: &mut Dice) {
        let mut state = self.state.lock();
        state.off = false;
        state.plan = Plan::default();
        let mut names: Vec<_> = state.files.keys().cloned().collect();
        names.sort();
        for name in names {
            let Some(file) = state.files.get_mut(&name) else { continue };
            for pending in std::mem::take(&mut file.pending) {
                match (dice.below(4), &pending) {
                    (0, _) => {}
                    (1, Pending::Write(at, bytes)) => {
                        // Torn: some of its sectors.
                        let mut start = 0;
                        while start < bytes.len() {
                            let end = ((at + start) / SECTOR * SECTOR + SECTOR - at).min(bytes.len());
                            if dice.below(2) == 0 {
                                Pending::Write(at + start, bytes[start..end].to_vec())
                                    .apply(&mut file.durable);
                            }
                            start = end;
                        }
                    }
                    _ => pending.apply(&mut file.durable),
                }
            }
            file.live = file.durable.clone();
        }
    }
}

impl State {
    /// Counts an operation; returns whether power is gone now.
    fn operate(&mut self) -> bool {
        self.operations += 1;
        self.off |= self.plan.power_cut.is_some_and(|at| self.operations >= at);
        self.off
    }
}

/// What SQLite allocates for an open file: its methods, then ours.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    state: *const Mutex<State>,
    name: *mut String,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// The disk and the name behind an open file.
fn of<'a>(file: *mut ffi::sqlite3_file) -> (&'a Mutex<State>, &'a str) {
    // SAFETY: SQLite calls only with files that `open` has filled in and `close` has not.
    unsafe {
        let handle = &*file.cast::<Handle>();
        (&*handle.state, &*handle.name)
    }
}

fn state_of<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Arc<Mutex<State>> {
    // SAFETY: `pAppData` is the leaked box that `SimDisk::new` put there.
    unsafe { &*(*vfs).pAppData.cast::<Arc<Mutex<State>>>() }
}

fn text(name: *const c_char) -> String {
    // SAFETY: SQLite passes file names as C strings.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let name = if name.is_null() { "temporary".to_owned() } else { text(name) };
    let state = state_of(vfs);
    // SAFETY: `file` has `szOsFile` bytes; `out` may be null.
    unsafe {
        (*file).pMethods = std::ptr::null();
        if state.lock().off {
            return ffi::SQLITE_IOERR;
        }
        state.lock().files.entry(name.clone()).or_default();
        let handle = file.cast::<Handle>();
        (*handle).state = Arc::as_ptr(state);
        (*handle).name = Box::into_raw(Box::new(name));
        (*handle).base.pMethods = &raw const METHODS;
        if !out.is_null() {
            *out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the name was boxed by `open`, and a file is closed once.
    drop(unsafe { Box::from_raw((*file.cast::<Handle>()).name) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int) -> c_int {
    let mut state = state_of(vfs).lock();
    if state.operate() {
        return ffi::SQLITE_IOERR;
    }
    match state.files.remove(&text(name)) {
        Some(_) => ffi::SQLITE_OK,
        None => ffi::SQLITE_IOERR_DELETE_NOENT,
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _: c_int,
    out: *mut c_int,
) -> c_int {
    let exists = state_of(vfs).lock().files.contains_key(&text(name));
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *out = c_int::from(exists) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: `out` has `length` bytes, and the name is copied only if it fits with its end.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > length as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: *mut c_void,
    amount: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (state, name) = of(file);
    let state = state.lock();
    // SAFETY: `out` has `amount` bytes.
    let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), amount as usize) };
    out.fill(0);
    let Some(file) = state.files.get(name).filter(|_| !state.off) else { return ffi::SQLITE_IOERR_READ };
    let rest = file.live.get(at as usize..).unwrap_or_default();
    let there = rest.len().min(out.len());
    out[..there].copy_from_slice(&rest[..there]);
    if there == out.len() { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (state, name) = of(file);
    let mut state = state.lock();
    // SAFETY: `from` has `amount` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), amount as usize) };
    if state.off {
        return ffi::SQLITE_IOERR_WRITE;
    }
    let others: usize =
        state.files.iter().filter(|(other, _)| *other != name).map(|(_, file)| file.live.len()).sum();
    let capacity = state.plan.capacity;
    let off = state.operate();
    let Some(file) = state.files.get_mut(name) else { return ffi::SQLITE_IOERR_WRITE };
    let length = file.live.len().max(at as usize + bytes.len());
    if length > file.live.len() && capacity.is_some_and(|capacity| others + length > capacity) {
        return ffi::SQLITE_FULL;
    }
    // With the power goes this write too, but a part of it may have come through.
    let write = Pending::Write(at as usize, bytes.to_vec());
    write.apply(&mut file.live);
    file.pending.push(write);
    if off { ffi::SQLITE_IOERR_WRITE } else { ffi::SQLITE_OK }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    let (state, name) = of(file);
    let mut state = state.lock();
    let off = state.operate();
    let Some(file) = state.files.get_mut(name) else { return ffi::SQLITE_IOERR_TRUNCATE };
    let truncate = Pending::Truncate(length as usize);
    truncate.apply(&mut file.live);
    file.pending.push(truncate);
    if off { ffi::SQLITE_IOERR_TRUNCATE } else { ffi::SQLITE_OK }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let (state, name) = of(file);
    let mut state = state.lock();
    state.syncs += 1;
    let fails = state.plan.failing_sync == Some(state.syncs);
    if state.operate() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    let Some(file) = state.files.get_mut(name) else { return ffi::SQLITE_IOERR_FSYNC };
    if fails {
        // As Linux does: the pages are marked clean, stay readable and never reach the disk.
        file.pending.clear();
        return ffi::SQLITE_IOERR_FSYNC;
    }
    for pending in std::mem::take(&mut file.pending) {
        pending.apply(&mut file.durable);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    let (state, name) = of(file);
    let size = state.lock().files.get(name).map_or(0, |file| file.live.len());
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *out = size as ffi::sqlite3_int64 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_lock(_: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *out = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR as c_int
}

unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    // What SQLite assumes of every disk on Unix: a torn write spoils no byte outside of it.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}
