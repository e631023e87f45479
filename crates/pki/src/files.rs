//! Files that are there whole or not at all.

use crate::Error;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes `bytes` to `path` with mode 0600 so that after a crash the old or the new content is there:
/// temporary file beside it, fsync, rename, fsync of the folder. Makes missing folders (0700).
///
/// # Errors
/// [`Error::File`] with what was tried.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| Error::file("creating", dir, e))?;
    let temporary = dir.join(format!(".{name}.tmp"));
    // A leftover of a crash may be there with another mode: start from nothing.
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::file("removing", &temporary, e)),
        _ => {}
    }
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|e| Error::file("writing", path, e))
}

/// The content of `path`; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("reading", path, e)),
    }
}
