//! Files that are there whole or not at all.

use crate::{Error, Secret};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` with mode 0600 so that after a crash the old or the new content is there:
/// temporary file beside it, fsync, rename, fsync of the folder. Makes missing folders (0700).
///
/// # Errors
/// [`Error::File`] with what was tried.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_all(&[(path.to_owned(), Secret::new(bytes))])
}

/// Writes several files like [`write_private`], which become visible in this order. The fsyncs run side by
/// side, because file systems join those: a first start would otherwise wait for the disk forty times.
pub(crate) fn write_all(files: &[(PathBuf, Secret)]) -> Result<(), Error> {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|(path, _)| path.parent()).collect();
    for dir in &folders {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| Error::file("creating", dir, e))?;
    }
    let temporary = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.tmp"))
    };
    in_parallel(files, |(path, bytes)| {
        let temporary = temporary(path);
        // A leftover of a crash may be there with another mode: start from nothing.
        match fs::remove_file(&temporary) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::file("removing", &temporary, e)),
            _ => {}
        }
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes.expose())?;
            file.sync_all()
        };
        write().map_err(|e| Error::file("writing", path, e))
    })?;
    for (path, _) in files {
        fs::rename(temporary(path), path).map_err(|e| Error::file("renaming to", path, e))?;
    }
    let folders: Vec<&Path> = folders.into_iter().collect();
    in_parallel(&folders, |dir| {
        let sync = || File::open(dir)?.sync_all();
        sync().map_err(|e| Error::file("syncing", dir, e))
    })
}

/// Runs `work` on all items, each in a thread of its own if there are several (there are some twenty at
/// most); the first error counts.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), Error> + Sync) -> Result<(), Error> {
    if let [one] = items {
        return work(one);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(|| work(item))).collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The content of `path`; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("reading", path, e)),
    }
}
