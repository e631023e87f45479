//! Room for deletes on a full disk: a file that holds blocks, given up when they are needed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

/// The reserve, held or given up.
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Takes the reserve if the disk has room for it.
    pub(super) fn new(directory: &Path, bytes: u64) -> Self {
        let mut reserve = Self { path: directory.join("reserve"), bytes, held: false };
        reserve.restore();
        reserve
    }

    /// Gives the blocks back to the file system.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.held)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot give up the disk reserve");
        }
    }

    /// Takes them again; false when there is no room.
    pub(super) fn restore(&mut self) -> bool {
        if self.held || self.bytes == 0 {
            return true;
        }
        let taken = File::create(&self.path)
            .and_then(|file| Ok(fallocate(&file, FallocateFlags::empty(), 0, self.bytes)?));
        match taken {
            Ok(()) => self.held = true,
            Err(error) => {
                tracing::debug!(path = %self.path.display(), %error, "no room for the disk reserve");
                // Do not keep half of it from those who need it.
                let _ = fs::remove_file(&self.path);
            }
        }
        self.held
    }
}
