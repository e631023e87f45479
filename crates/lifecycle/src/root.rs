//! The root directory: made, marked as Corten's, told from directories that are not.

use crate::doctor::{self, Needs};
use crate::layout::Layout;
use crate::mounts;
use anyhow::{Context, Result, bail};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Another text after each boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What a server that ran without `up` may have left in a root; anything else is somebody's data.
const KNOWN_NAMES: [&str; 9] = [
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
    if !layout.marker.exists() {
        let entries = std::fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
        for entry in entries {
            let name = entry.with_context(|| format!("cannot read {}", root.display()))?.file_name();
            if !KNOWN_NAMES.iter().any(|known| name == *known) {
                bail!(
                    "{} is neither empty nor a Corten root: it holds {}; take another directory",
                    root.display(),
                    name.to_string_lossy()
                );
            }
        }
        let text = "The root of a Corten cluster. `corten reset` removes it, and refuses directories without this file.\n";
        std::fs::write(&layout.marker, text)
            .with_context(|| format!("cannot write {}", layout.marker.display()))?;
    }
    make(&layout.run_dir, 0o711)?;
    forget_last_boot(layout, BOOT_ID)?;
    make(&layout.log_dir, 0o755)?;
    make(&layout.notify_dir, 0o700)
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

        let foreign = Layout::open(dir.path().join("foreign")).unwrap();
        std::fs::create_dir_all(foreign.root.join("photos")).unwrap();
        let error = prepare(&foreign).unwrap_err().to_string();
        assert!(error.ends_with("it holds photos; take another directory"), "{error}");
        assert!(!foreign.marker.exists());
    }
}
