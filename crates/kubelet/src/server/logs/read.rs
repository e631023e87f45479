//! A log file that is read to its end, or as long as its container writes.

use super::parse::{Printer, TailSearch};
use bytes::Bytes;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::io::{self, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc::Sender;

const READ_BYTES: usize = 64 << 10;
const TAIL_BLOCK_BYTES: u64 = 64 << 10;
/// A longer line is no line of the runtime's, which cuts them at 16 KiB.
const LINE_BYTES_MAX: usize = 1 << 20;
/// How often it is looked whether a container that is silent still runs.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// An open log.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    inode: u64,
    /// What was read of a line that has no end yet.
    line: Vec<u8>,
}

impl Reader {
    /// Opens a log at its beginning, or at its last lines.
    ///
    /// # Errors
    /// The file's.
    pub(super) async fn open(path: &Path, tail_lines: Option<u64>) -> io::Result<Self> {
        let mut file = File::open(path).await?;
        let metadata = file.metadata().await?;
        if let Some(lines) = tail_lines {
            let start = tail(&mut file, metadata.len(), lines).await?;
            file.seek(SeekFrom::Start(start)).await?;
        }
        Ok(Self { path: path.to_owned(), file, inode: metadata.ino(), line: Vec::new() })
    }

    /// Sends what is there; with `is_running` also what comes until the container has ended.
    pub(super) async fn send(
        mut self,
        mut printer: Printer,
        is_running: Option<Box<dyn Fn() -> bool + Send + Sync>>,
        to: Sender<io::Result<Bytes>>,
    ) {
        let changes = is_running.as_ref().and_then(|_| Changes::of(&self.path).ok());
        let mut buffer = vec![0; READ_BYTES];
        loop {
            // Asked before reading: what an ended container wrote is there already.
            let goes_on = is_running.as_ref().is_some_and(|is_running| is_running());
            let n = match self.file.read(&mut buffer).await {
                Ok(n) => n,
                Err(error) => {
                    let _ = to.send(Err(error)).await;
                    return;
                }
            };
            let mut out = Vec::new();
            self.take(&buffer[..n], &mut printer, &mut out);
            let ends = n == 0 && !goes_on;
            if ends && !self.line.is_empty() {
                printer.line(&std::mem::take(&mut self.line), &mut out);
            }
            if !out.is_empty() && to.send(Ok(out.into())).await.is_err() {
                return;
            }
            if ends || printer.is_done() {
                return;
            }
            if n == 0 && !self.reopened().await {
                tokio::select! {
                    () = wait(changes.as_ref()) => {}
                    () = tokio::time::sleep(LOOK_INTERVAL) => {}
                    () = to.closed() => return,
                }
            }
        }
    }

    /// Prints the whole lines, keeps the rest.
    fn take(&mut self, mut bytes: &[u8], printer: &mut Printer, out: &mut Vec<u8>) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            if printer.is_done() {
                return;
            }
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.line.is_empty() {
                printer.line(line, out);
            } else {
                self.line.extend_from_slice(line);
                printer.line(&std::mem::take(&mut self.line), out);
            }
        }
        if self.line.len() + bytes.len() <= LINE_BYTES_MAX {
            self.line.extend_from_slice(bytes);
        }
    }

    /// Goes on with the new file when the log was rotated.
    async fn reopened(&mut self) -> bool {
        // Between rename and reopening there is no file: it is looked again later.
        let Ok(metadata) = tokio::fs::metadata(&self.path).await else { return false };
        if metadata.ino() == self.inode {
            return false;
        }
        let Ok(file) = File::open(&self.path).await else { return false };
        (self.file, self.inode) = (file, metadata.ino());
        self.line.clear();
        true
    }
}

/// Where the last lines begin.
async fn tail(file: &mut File, length: u64, lines: u64) -> io::Result<u64> {
    let (mut search, mut end) = (TailSearch::new(lines), length);
    let mut block = vec![0; TAIL_BLOCK_BYTES as usize];
    while end > 0 {
        let begin = end.saturating_sub(TAIL_BLOCK_BYTES);
        let size = usize::try_from(end - begin).unwrap_or(block.len()).min(block.len());
        file.seek(SeekFrom::Start(begin)).await?;
        file.read_exact(&mut block[..size]).await?;
        if let Some(at) = search.block(&block[..size]) {
            return Ok(begin + at as u64);
        }
        end = begin;
    }
    Ok(0)
}

/// Tells when something is written to a folder's files, or they are renamed.
struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    fn of(path: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let folder = path.parent().unwrap_or(path);
        inotify::add_watch(&fd, folder, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        // Deprecated because a type may change its mind about its descriptor; an `OwnedFd` does not.
        #[allow(deprecated)]
        Ok(Self(AsyncFd::new(fd)?))
    }
}

/// Completes at the next change; without a watch (there are as many as there may be) never.
async fn wait(changes: Option<&Changes>) {
    let Some(Changes(fd)) = changes else { return std::future::pending().await };
    let Ok(mut guard) = fd.readable().await else { return std::future::pending().await };
    let mut buffer = [0; 4 << 10];
    // All that happened since counts as one change.
    while rustix::io::read(fd.get_ref(), &mut buffer).is_ok_and(|n| n > 0) {}
    guard.clear_ready();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_log_is_followed_over_its_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let append = |text: &str| {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("2026-01-01T00:00:00Z stdout F a\n2026-01-01T00:00:00Z stdout F b\n2026-01-01T00:00:00Z std");
        let running = Arc::new(AtomicBool::new(true));
        let is_running = running.clone();
        let (sender, mut receiver) = mpsc::channel(4);
        let reader = Reader::open(&path, Some(1)).await.unwrap();
        let printer = Printer::new(None, false, None);
        let sending = reader.send(printer, Some(Box::new(move || is_running.load(Ordering::SeqCst))), sender);
        let sending = tokio::spawn(sending);
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "b\n");
        append("out F c\n");
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "c\n");
        std::fs::rename(&path, dir.path().join("0.log.20260101-000000")).unwrap();
        append("2026-01-01T00:00:00Z stderr F d\n");
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "d\n");
        append("2026-01-01T00:00:00Z stderr F without an end");
        running.store(false, Ordering::SeqCst);
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "without an end\n");
        assert!(receiver.recv().await.is_none());
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn a_log_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, "2026-01-01T00:00:00Z stdout F line\n".repeat(20_000)).unwrap();
        let (sender, mut receiver) = mpsc::channel(4);
        let reader = Reader::open(&path, Some(15_000)).await.unwrap();
        tokio::spawn(reader.send(Printer::new(None, false, None), None, sender));
        let mut all = Vec::new();
        while let Some(piece) = receiver.recv().await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(all.len(), 15_000 * 5);
    }
}
