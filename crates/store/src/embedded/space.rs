//! Room for deletes on a full disk: a file that holds blocks, given up when they are needed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// No more than this part of a small disk.
const DISK_PARTS: u64 = 4;

/// The reserve, held or given up.
pub(super) struct Reserve {
    path: PathBuf,
    /// How much there should be; 0 for no reserve.
    bytes: u64,
    held: Option<Hold>,
}

/// How much is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// All.
    Whole,
    /// Half of it, the other half being left for puts: the table has grown so far that there is no more, and
    /// must not grow further.
    Half,
}

impl Reserve {
    /// A reserve that is not taken yet.
    pub(super) fn new(directory: &Path, bytes: u64) -> Self {
        let disk = statvfs(directory).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        Self { path: directory.join("reserve"), bytes: bytes.min(disk / DISK_PARTS), held: None }
    }

    /// How much there should be.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the blocks back to the file system.
    pub(super) fn release(&mut self) {
        if self.held.take().is_some()
            && self.bytes > 0
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot give up the disk reserve");
        }
    }

    /// Takes them again, if that leaves room for puts.
    pub(super) fn restore(&mut self) -> Option<Hold> {
        if self.held.is_none() {
            self.held = if self.bytes == 0 { Some(Hold::Whole) } else { self.take() };
        }
        self.held
    }

    fn take(&self) -> Option<Hold> {
        let take = || -> io::Result<Hold> {
            // What is left of a process that was killed counts as free.
            let file = File::create(&self.path)?;
            let disk = statvfs(&self.path)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let (hold, bytes) = match free {
                free if free >= self.bytes / 4 * 5 => (Hold::Whole, self.bytes),
                free if free >= self.bytes / 4 * 3 => (Hold::Half, self.bytes / 2),
                _ => return Err(io::ErrorKind::StorageFull.into()),
            };
            fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
            Ok(hold)
        };
        take()
            .inspect_err(|error| {
                tracing::debug!(path = %self.path.display(), %error, "no room for the disk reserve");
                // Do not keep half of it from those who need it.
                let _ = fs::remove_file(&self.path);
            })
            .ok()
    }
}
