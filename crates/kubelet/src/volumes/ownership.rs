//! Giving a volume to the pod's group (`fsGroup`).
//!
//! Upstream counterpart: `pkg/volume/volume_linux.go`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

/// Gives all at and below `path` to `group`: to read, and unless `read_only` to write. Links are not followed.
pub(crate) fn give(path: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mut mode = meta.mode() & 0o7777 | if read_only { 0o440 } else { 0o660 };
    if meta.is_dir() {
        mode |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group, read_only)?;
        }
    }
    Ok(())
}

/// Whether a volume is already the group's, as far as its topmost directory tells (`OnRootMismatch`).
pub(crate) fn is_given(path: &Path, group: u32, read_only: bool) -> bool {
    let wanted = 0o2110 | if read_only { 0o440 } else { 0o660 };
    fs::metadata(path).is_ok_and(|meta| meta.gid() == group && meta.mode() & wanted == wanted)
}
