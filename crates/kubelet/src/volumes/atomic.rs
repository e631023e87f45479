//! Files that change all at once.
//!
//! The layout is upstream's (`pkg/volume/util/atomic_writer.go`), which programs in containers rely on: files lie in
//! a directory with a time in its name, `..data` is a link to it, and each visible name a link through `..data`. An
//! update is one rename of that link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) data: Bytes,
    /// Permission bits.
    pub(crate) mode: u32,
    /// The owner, if it is not root.
    pub(crate) user: Option<u32>,
}

/// Files by their path in the volume.
pub(crate) type Files = BTreeMap<String, File>;

/// Makes `dir` hold exactly `files`; returns whether anything changed.
pub(crate) fn write(dir: &Path, files: &Files, group: Option<u32>, now: Timestamp) -> io::Result<bool> {
    for path in files.keys() {
        check(path)?;
    }
    let old = fs::read_link(dir.join(DATA)).ok();
    let old_dir = old.as_ref().map(|old| dir.join(old));
    if let Some(old_dir) = &old_dir
        && is_same(old_dir, files)?
    {
        return Ok(false);
    }
    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    let name = format!("{stamp}.{:09}", now.subsec_nanosecond());
    let next = dir.join(&name);
    fs::create_dir(&next)?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        write_file(&next.join(path), file)?;
    }
    if let Some(group) = group {
        give_to_group(&next, group)?;
    }
    let link = dir.join(DATA_NEXT);
    let _ = fs::remove_file(&link);
    symlink(&name, &link)?;
    fs::rename(&link, dir.join(DATA))?;

    let wanted: BTreeSet<&str> = files.keys().map(|path| top(path)).collect();
    for name in &wanted {
        let visible = dir.join(name);
        if fs::symlink_metadata(&visible).is_err() {
            symlink(Path::new(DATA).join(name), &visible)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let is_stale_link = !text.starts_with("..") && !wanted.contains(text.as_ref());
        if is_stale_link {
            fs::remove_file(entry.path())?;
        }
        let is_old_dir = text.starts_with("..") && text != DATA && entry.path() != next;
        if is_old_dir && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(true)
}

/// Refuses paths that leave the volume or hide in our own names.
fn check(path: &str) -> io::Result<()> {
    let parts: Vec<_> = Path::new(path).components().collect();
    let is_plain = !parts.is_empty() && parts.iter().all(|part| matches!(part, Component::Normal(_)));
    if is_plain && !path.starts_with("..") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path in a volume: {path}")))
}

fn top(path: &str) -> &str {
    path.split('/').find(|part| !part.is_empty()).unwrap_or(path)
}

fn is_same(dir: &Path, files: &Files) -> io::Result<bool> {
    let mut known = Vec::new();
    if !dir.is_dir() {
        return Ok(false);
    }
    list(dir, &mut known)?;
    if known.len() != files.len() {
        return Ok(false);
    }
    for (path, file) in files {
        match fs::read(dir.join(path)) {
            Ok(data) if data == file.data => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn list(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn write_file(path: &Path, file: &File) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, &file.data)?;
    // Not left to the mask of this process.
    fs::set_permissions(path, fs::Permissions::from_mode(file.mode))?;
    if let Some(user) = file.user {
        chown(path, Some(user), None)?;
    }
    Ok(())
}

/// Lets a group read: directories keep it for what is made in them.
///
/// Upstream counterpart: `SetVolumeOwnership` of `pkg/volume/volume_linux.go`, for volumes that are only read.
fn give_to_group(path: &Path, group: u32) -> io::Result<()> {
    super::ownership::give(path, group, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |data: &str| File { data: Bytes::from(data.to_owned()), mode: 0o640, user: None };
        list.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
    }

    #[test]
    fn files_change_all_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).ok();

        assert!(write(dir.path(), &files(&[("a", "1"), ("d/e", "2")]), None, at(1)).unwrap());
        assert_eq!((read("a"), read("d/e")), (Some("1".into()), Some("2".into())));
        assert_eq!(fs::read_link(dir.path().join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o640);

        assert!(!write(dir.path(), &files(&[("a", "1"), ("d/e", "2")]), None, at(2)).unwrap());
        assert!(write(dir.path(), &files(&[("a", "3"), ("f", "4")]), None, at(3)).unwrap());
        assert_eq!((read("a"), read("d/e"), read("f")), (Some("3".into()), None, Some("4".into())));
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 4, "no remains: {names:?}");
        assert!(write(dir.path(), &Files::new(), None, at(4)).unwrap());
        assert_eq!(read("a"), None);
    }

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../a", "/a", "a/../../b", "..data", ""] {
            assert!(write(dir.path(), &files(&[(path, "")]), None, Timestamp::UNIX_EPOCH).is_err(), "{path}");
        }
    }
}
