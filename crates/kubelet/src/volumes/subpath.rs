//! Parts of volumes, such that a pod cannot lead the node out of its volume by a link.
//!
//! The kernel resolves the path below the volume (`openat2` with `RESOLVE_BENEATH`), and what it found is bound,
//! by its descriptor, to a place that no pod can write. Upstream counterpart: `pkg/volume/util/subpath`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::mounts;

/// Makes `sub` of `volume` (a directory is made if there is nothing) visible at `target`.
pub(crate) fn bind(volume: &Path, sub: &str, target: &Path) -> io::Result<()> {
    if mounts::is_mount_point(target)? {
        // From a container before: a link may have changed since.
        mounts::unmount_below(target)?;
    }
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let found = open(&root, sub)?;
    let is_dir = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode).is_dir();
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if is_dir {
        fs::create_dir_all(target)?;
    } else if !target.exists() {
        fs::File::create(target)?;
    }
    mounts::bind(Path::new(&format!("/proc/self/fd/{}", found.as_raw_fd())), target)
}

fn open_beneath(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(
        root.as_fd(),
        path,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(io::Error::from)
}

fn open(root: &OwnedFd, sub: &str) -> io::Result<OwnedFd> {
    match open_beneath(root, Path::new(sub)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(root, sub),
        result => result,
    }
}

/// Makes the missing directories one by one, each below the one that the kernel found.
fn make(root: &OwnedFd, sub: &str) -> io::Result<OwnedFd> {
    let mode = rustix::fs::fstat(root)?.st_mode & 0o7777;
    let mut done = std::path::PathBuf::from(".");
    let mut last = open_beneath(root, &done)?;
    for part in Path::new(sub).components() {
        let Component::Normal(part) = part else { continue };
        done.push(part);
        last = match open_beneath(root, &done) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                rustix::fs::mkdirat(last.as_fd(), part, Mode::from_raw_mode(mode))?;
                let made = open_beneath(root, &done)?;
                // The mask of this process does not apply.
                let path = format!("/proc/self/fd/{}", made.as_raw_fd());
                rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())?;
                made
            }
            result => result?,
        };
    }
    Ok(last)
}

/// Refuses paths that are none of a part of a volume, in upstream's words.
pub(crate) fn check(sub: &str) -> Result<(), String> {
    if sub.starts_with('/') {
        return Err(format!("error SubPath `{sub}` must not be an absolute path"));
    }
    if Path::new(sub).components().any(|part| part == Component::ParentDir) {
        return Err(format!("unable to provision SubPath `{sub}`: must not contain '..'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_keeps_paths_inside() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        fs::create_dir(&volume).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        std::os::unix::fs::symlink("in", volume.join("link")).unwrap();
        fs::create_dir(volume.join("in")).unwrap();
        let root = rustix::fs::open(&volume, OFlags::PATH, Mode::empty()).unwrap();
        assert!(open(&root, "link").is_ok());
        assert!(open(&root, "out").is_err());
        assert!(open(&root, "out/passwd").is_err());
        assert!(open(&root, "a/b").is_ok());
        assert!(volume.join("a/b").is_dir());
        assert!(check("/a").is_err() && check("a/../b").is_err() && check("a/b").is_ok());
    }
}
