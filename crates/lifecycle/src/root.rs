//! The root directory: made, marked as Corten's, told from directories that are not.

use crate::doctor::{self, Needs, size};
use crate::layout::{Layout, MARKER_FILE};
use crate::mounts;
use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Another text after each boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The store's reserve and a quarter of it for puts, without which it takes none; keys and the first logs.
const FIRST_START_BYTES: u64 = 24 << 20;
/// Made and removed to see whether it can be.
const PROBE_FILE: &str = ".corten-probe";
/// What mkfs leaves at the top of a file system: nobody's data, and fsck(8) wants it.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";
/// What a new disk has, and a server that ran without `up` may have left in a root; anything else is somebody's data.
const KNOWN_NAMES: [&str; 10] = [
    LOST_AND_FOUND,
    "pki",
    "store",
    "admin.conf",
    "admin.kubeconfig",
    "kubelet.conf",
    "controller-manager.conf",
    "scheduler.conf",
    "kube-proxy.conf",
    "registries",
];

/// [`prepare`]; but nothing is made for a new instance on a machine that is not fit for it.
pub(crate) fn prepare_checked(needs: &Needs) -> Result<()> {
    if !needs.layout.marker.is_file() {
        doctor::refuse(needs)?;
    }
    prepare(&needs.layout)
}

/// Makes the root and what the supervisor itself needs.
pub fn prepare(layout: &Layout) -> Result<()> {
    let root = &layout.root;
    make(root, 0o711)?;
    let held = mark(root).or_else(|error| {
        // It says more, if that is why.
        refuse_full_disk(root)?;
        Err(error)
    })?;
    if let Some(name) = held {
        bail!(
            "{} is neither empty nor a Corten root: it holds {name}; take another directory",
            root.display()
        );
    }
    make(&layout.run_dir, 0o711)?;
    forget_last_boot(layout, BOOT_ID)?;
    make(&layout.log_dir, 0o755)?;
    make(&layout.notify_dir, 0o700)
}

/// Marks a directory as a Corten root, unless it holds somebody's data: then this is the name of some.
fn mark(root: &Path) -> Result<Option<String>> {
    let marker = root.join(MARKER_FILE);
    if marker.exists() {
        return Ok(None);
    }
    let entries = std::fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
    for entry in entries {
        let name = entry.with_context(|| format!("cannot read {}", root.display()))?.file_name();
        if !KNOWN_NAMES.iter().any(|known| name == *known) {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    let text = "The root of a Corten cluster. `corten reset` removes it, and refuses directories without this file.\n";
    if let Err(error) = std::fs::write(&marker, text) {
        let _was_not_made = std::fs::remove_file(&marker);
        return Err(error).with_context(|| format!("cannot write {}", marker.display()));
    }
    Ok(None)
}

/// Makes the root of a server that runs without `up`, for `reset` to know it again. In a directory with somebody's
/// data, and on a disk that is full by now, it runs all the same: then `reset` refuses.
pub fn prepare_for_server(root: &Path) -> Result<()> {
    make(root, 0o711)?;
    let unmarked = match mark(root) {
        Ok(held) => held.map(|name| format!("it holds {name}, too")),
        Err(error) => Some(crate::error::text(&error)),
    };
    if let Some(why) = unmarked {
        tracing::warn!(root = %root.display(), why, "`corten reset` will not remove the root");
    }
    Ok(())
}

/// Refuses a disk without room for a first start. To be asked before there is a store: on a full disk a
/// cluster that is there must start, for objects to be deleted.
pub fn refuse_full_disk(root: &Path) -> Result<()> {
    make(root, 0o711)?;
    let file = root.join(PROBE_FILE);
    let write = || {
        match fallocate(&File::create(&file)?, FallocateFlags::empty(), 0, FIRST_START_BYTES) {
            // The file system cannot tell.
            Err(Errno::OPNOTSUPP) => Ok(()),
            tried => tried.map_err(std::io::Error::from),
        }
    };
    let written = write();
    let _was_not_made = std::fs::remove_file(&file);
    written.map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => anyhow!(
            "the file system of {} has no room for the {} that a first start takes: {error}; make room, or take another \
             directory by --root",
            root.display(),
            size(FIRST_START_BYTES)
        ),
        _ => anyhow!("cannot write in {}: {error}", root.display()),
    })
}

/// Removes what a reboot would have removed from `/run`: a root elsewhere keeps its `run` over a power cut, and
/// with it bundles, sockets and process numbers of a machine that is no more.
fn forget_last_boot(layout: &Layout, boot_id: &str) -> Result<()> {
    let file = layout.run_dir.join("boot-id");
    let now = std::fs::read_to_string(boot_id).with_context(|| format!("cannot read {boot_id}"))?;
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    if before == now {
        return Ok(());
    }
    if !before.is_empty() {
        mounts::unmount_below(&[&layout.run_dir])?;
        std::fs::remove_dir_all(&layout.run_dir)
            .with_context(|| format!("cannot remove {}", layout.run_dir.display()))?;
        make(&layout.run_dir, 0o711)?;
    }
    // Durable before anything else is here: without it nothing tells what is stale.
    let write = || {
        let mut file = File::create(&file)?;
        file.write_all(now.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Shows the recovery key of encryption at rest, if nobody was shown it yet, and forgets it once it is written.
pub(crate) fn show_recovery_key(layout: &Layout, out: &mut dyn Write) {
    let file = &layout.recovery_key;
    let Ok(text) = std::fs::read_to_string(file) else { return };
    if let Err(error) = writeln!(out, "\n{text}").and_then(|()| out.flush()) {
        tracing::warn!(file = %file.display(), %error, "cannot show the recovery key; the next `up` does");
        return;
    }
    if let Err(error) = std::fs::remove_file(file) {
        tracing::warn!(file = %file.display(), %error, "cannot remove the recovery key that was told");
    }
}

fn make(directory: &Path, mode: u32) -> Result<()> {
    let make = DirBuilder::new().recursive(true).mode(mode).create(directory);
    make.with_context(|| format!("cannot make the directory {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reboot_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path().join("root")).unwrap();
        std::fs::create_dir_all(&layout.containerd_state).unwrap();
        let boot = dir.path().join("boot");
        let boot = boot.to_str().unwrap();
        let mut there = |id: &str| {
            std::fs::write(boot, id).unwrap();
            forget_last_boot(&layout, boot).unwrap();
            layout.containerd_state.exists()
        };
        assert_eq!(["one", "one", "two", "two"].map(&mut there), [true, true, false, false]);
    }

    #[test]
    fn a_key_that_nobody_was_shown_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let mut shown = Vec::new();
        show_recovery_key(&layout, &mut shown);
        assert_eq!(shown, b"", "there is none");
        std::fs::write(&layout.recovery_key, "k-e-y").unwrap();
        show_recovery_key(&layout, &mut [0_u8; 3].as_mut_slice());
        assert!(layout.recovery_key.exists(), "it did not fit");
        show_recovery_key(&layout, &mut shown);
        assert_eq!(shown, b"\nk-e-y\n");
        assert!(!layout.recovery_key.exists());
    }

    #[test]
    fn a_root_is_marked_and_foreign_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path().join("a/b")).unwrap();
        prepare(&layout).unwrap();
        assert!(layout.marker.exists());
        prepare(&layout).unwrap();

        let server = Layout::open(dir.path().join("server")).unwrap();
        std::fs::create_dir_all(&server.pki_dir).unwrap();
        prepare(&server).unwrap();

        let disk = Layout::open(dir.path().join("disk")).unwrap();
        std::fs::create_dir_all(disk.root.join("lost+found")).unwrap();
        prepare(&disk).unwrap();

        let server = dir.path().join("c/d");
        prepare_for_server(&server).unwrap();
        assert!(server.join(MARKER_FILE).exists());

        let foreign = Layout::open(dir.path().join("foreign")).unwrap();
        std::fs::create_dir_all(foreign.root.join("photos")).unwrap();
        let error = prepare(&foreign).unwrap_err().to_string();
        assert!(error.ends_with("it holds photos; take another directory"), "{error}");
        prepare_for_server(&foreign.root).unwrap();
        assert!(!foreign.marker.exists());
    }
}
