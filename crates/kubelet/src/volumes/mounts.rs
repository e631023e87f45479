//! The kernel's mounts below a directory.

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

/// Mount points at or below `dir`, the deepest last.
pub(crate) fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let mut found: Vec<_> = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(unescape)
        .filter(|path| path.starts_with(dir))
        .collect();
    found.sort();
    Ok(found)
}

/// The kernel writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| after.get(..3)).flatten();
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match value {
            Some(value) => {
                bytes.push(value);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

pub(crate) fn is_mount_point(path: &Path) -> io::Result<bool> {
    Ok(below(path)?.first().is_some_and(|found| found == path))
}

/// Mounts an empty file system in memory, of at most `bytes` (the kernel's default, half of the memory, for 0). All may
/// write in it and delete what is theirs (01777), which is the kernel's default too and what pods see upstream.
pub(crate) fn tmpfs(path: &Path, bytes: u64) -> io::Result<()> {
    let options = if bytes == 0 { c"".to_owned() } else { size_option(bytes)? };
    let flags = MountFlags::empty();
    rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str()).map_err(io::Error::from)
}

fn size_option(bytes: u64) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(format!("size={bytes}")).map_err(io::Error::other)
}

/// Makes what lies at `from` visible at `to` too.
pub(crate) fn bind(from: &Path, to: &Path) -> io::Result<()> {
    rustix::mount::mount_bind(from, to).map_err(io::Error::from)
}

/// Unmounts all at and below `dir`; what is busy vanishes when its last user does.
///
/// # Errors
/// Something is still mounted: what lies there must not be deleted.
pub(crate) fn unmount_below(dir: &Path) -> io::Result<()> {
    for path in below(dir)?.iter().rev() {
        rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    match below(dir)?.first() {
        None => Ok(()),
        Some(left) => Err(io::Error::other(format!("{} is still mounted", left.display()))),
    }
}

/// Deletes a directory of which nothing may be mounted any more.
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    unmount_below(dir)?;
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_mount_table() {
        assert_eq!(unescape(br"/a\040b\134c"), PathBuf::from(r"/a b\c"));
        assert_eq!(unescape(br"/a\04"), PathBuf::from(r"/a\04"));
    }
}
