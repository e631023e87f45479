//! The file that events go to: written at once or from a queue, and rotated as upstream's lumberjack does.
//!
//! Upstream: `pkg/server/options/audit.go`, `plugin/pkg/audit/{log,buffered,truncate}`,
//! `gopkg.in/natefinch/lumberjack.v2`.

use super::{Counters, Error};
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

const MEBIBYTE: u64 = 1 << 20;
/// The time in the names of old files.
const BACKUP_TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// What the names of compressed files end with.
const COMPRESSED: &str = ".gz";

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An Event in JSON.
    Json,
    /// One line of text.
    Legacy,
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Soon, by somebody else: a request waits for nothing, and events are dropped when the buffer is full.
    Batch,
    /// Before the request goes on.
    Blocking,
    /// The same, and a request whose first event cannot be written is refused.
    BlockingStrict,
}

impl Format {
    /// From the flag `--audit-log-format`.
    ///
    /// # Errors
    /// The text for who set it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "legacy" => Ok(Self::Legacy),
            _ => Err(format!("invalid audit log format {text}, allowed formats are \"legacy,json\"")),
        }
    }
}

impl Mode {
    /// From the flag `--audit-log-mode`.
    ///
    /// # Errors
    /// The text for who set it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "batch" => Ok(Self::Batch),
            "blocking" => Ok(Self::Blocking),
            "blocking-strict" => Ok(Self::BlockingStrict),
            _ => Err(format!(
                "invalid audit log mode {text}, allowed modes are \"batch,blocking,blocking-strict\""
            )),
        }
    }
}

/// What upstream's flags `--audit-log-*` say.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `--audit-log-path`; `-` is the standard output.
    pub path: PathBuf,
    /// `--audit-log-maxage`: days that old files are kept; 0 is for ever.
    pub max_age_days: u32,
    /// `--audit-log-maxbackup`: how many old files are kept; 0 is all.
    pub max_backups: usize,
    /// `--audit-log-maxsize`: mebibytes after which a new file is begun; 0 is never.
    pub max_size_mebibytes: u64,
    /// `--audit-log-compress`: whether old files are compressed.
    pub compress: bool,
    /// `--audit-log-format`
    pub format: Format,
    /// `--audit-log-mode`
    pub mode: Mode,
    /// `--audit-log-batch-buffer-size`: events that wait to be written in batch mode.
    pub batch_buffer_size: usize,
    /// `--audit-log-truncate-enabled` and `--audit-log-truncate-max-event-size`, in bytes.
    pub truncate_event_bytes: Option<usize>,
}

impl LogConfig {
    /// Upstream's defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_age_days: 366,
            max_backups: 100,
            max_size_mebibytes: 100,
            compress: false,
            format: Format::Json,
            mode: Mode::Blocking,
            batch_buffer_size: 10_000,
            truncate_event_bytes: None,
        }
    }
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct Log {
    format: Format,
    mode: Mode,
    truncate_event_bytes: Option<usize>,
    counters: Arc<Counters>,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Direct(Mutex<Output>),
    Queue(Mutex<Queue>),
}

/// Lines on their way to the writer; empty once it is closed.
#[derive(Debug)]
struct Queue {
    sender: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
}

impl Log {
    pub(super) fn open(config: &LogConfig, counters: Arc<Counters>) -> Result<Self, Error> {
        let wrong = |error| Error::Log { path: config.path.clone(), error };
        let mut output = Output::open(config).map_err(wrong)?;
        let sink = match config.mode {
            Mode::Batch if config.batch_buffer_size == 0 => {
                let text = "invalid audit batch log buffer size 0, must be a positive number";
                return Err(Error::Config(text.into()));
            }
            Mode::Batch => {
                let (sender, lines): (_, Receiver<Vec<u8>>) = sync_channel(config.batch_buffer_size);
                let counters = counters.clone();
                let drain = move || {
                    for line in lines {
                        tell(&counters, output.write(&line));
                    }
                };
                let writer = std::thread::Builder::new().name("audit-log".into()).spawn(drain);
                Sink::Queue(Mutex::new(Queue { sender: Some(sender), writer: Some(writer.map_err(wrong)?) }))
            }
            Mode::Blocking | Mode::BlockingStrict => Sink::Direct(Mutex::new(output)),
        };
        let truncate_event_bytes = config.truncate_event_bytes;
        Ok(Self { format: config.format, mode: config.mode, truncate_event_bytes, counters, sink })
    }

    /// Writes a line. False if it is lost and must not be.
    pub(super) fn write(&self, line: impl Fn(Format, bool) -> Vec<u8>) -> bool {
        let mut text = line(self.format, false);
        if let Some(max) = self.truncate_event_bytes
            && text.len() > max
        {
            text = line(self.format, true);
            if text.len() > max {
                return self.lost("event is too large even after truncating");
            }
        }
        match &self.sink {
            Sink::Direct(output) => {
                let written = tell(&self.counters, output.lock().write(&text));
                written || self.mode != Mode::BlockingStrict
            }
            Sink::Queue(queue) => {
                let sent = queue.lock().sender.as_ref().is_some_and(|s| s.try_send(text).is_ok());
                sent || self.lost("audit buffer queue blocked")
            }
        }
    }

    /// Counts what is lost; a full buffer refuses no request.
    fn lost(&self, why: &str) -> bool {
        if self.counters.errors.fetch_add(1, Relaxed) == 0 {
            tracing::error!(why, "an audit event is dropped; further ones are only counted");
        }
        self.mode != Mode::BlockingStrict
    }
}

fn tell(counters: &Counters, written: io::Result<()>) -> bool {
    match written {
        Ok(()) => true,
        Err(error) => {
            counters.errors.fetch_add(1, Relaxed);
            tracing::error!(%error, "cannot write an audit event");
            false
        }
    }
}

impl Log {
    /// Writes what is in the queue, and takes nothing more.
    pub(super) fn close(&self) {
        if let Sink::Queue(queue) = &self.sink {
            let (sender, writer) = {
                let mut queue = queue.lock();
                (queue.sender.take(), queue.writer.take())
            };
            drop(sender);
            // A panic there has been logged.
            let _ = writer.map(JoinHandle::join);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

/// A file that is rotated, or the standard output.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    max_size: u64,
    max_backups: usize,
    max_age_days: u32,
    compress: bool,
    /// Held by who compresses: one at a time.
    compressing: Arc<Mutex<()>>,
}

impl Output {
    fn open(config: &LogConfig) -> io::Result<Self> {
        let mut output = Self {
            path: config.path.clone(),
            file: None,
            size: 0,
            max_size: config.max_size_mebibytes * MEBIBYTE,
            max_backups: config.max_backups,
            max_age_days: config.max_age_days,
            compress: config.compress,
            compressing: Arc::default(),
        };
        if config.path != Path::new("-") {
            if let Some(dir) = config.path.parent() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            output.append()?;
        }
        Ok(output)
    }

    fn append(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.path == Path::new("-") {
            return io::stdout().lock().write_all(line);
        }
        if self.max_size > 0 && length > self.max_size {
            let text = format!("write length {length} exceeds maximum file size {}", self.max_size);
            return Err(io::Error::other(text));
        }
        if self.max_size > 0 && self.size + length > self.max_size {
            self.rotate(jiff::Timestamp::now())?;
        }
        if self.file.is_none() {
            self.append()?;
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("the log is not open")) };
        file.write_all(line)?;
        self.size += length;
        Ok(())
    }

    /// Begins a new file; the old one gets the time into its name.
    fn rotate(&mut self, now: jiff::Timestamp) -> io::Result<()> {
        self.file = None;
        let (stem, extension) = self.names();
        let backup = format!("{stem}{}{extension}", now.strftime(BACKUP_TIME));
        std::fs::rename(&self.path, self.path.with_file_name(backup))?;
        self.append()?;
        let (kept, gone) = self.old_files(now)?;
        for name in gone {
            std::fs::remove_file(self.path.with_file_name(name))?;
        }
        if self.compress {
            let plain = kept.into_iter().filter(|name| !name.ends_with(COMPRESSED));
            self.compress(plain.map(|name| self.path.with_file_name(name)).collect())?;
        }
        Ok(())
    }

    /// Compresses old files, also those that an earlier end has left, without anybody waiting for it.
    fn compress(&self, files: Vec<PathBuf>) -> io::Result<()> {
        let compressing = self.compressing.clone();
        let work = move || {
            let _alone = compressing.lock();
            for file in files {
                match compress(&file) {
                    // It has expired or was compressed before its turn came.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        tracing::error!(file = %file.display(), %error, "cannot compress an audit log")
                    }
                    Ok(()) => {}
                }
            }
        };
        std::thread::Builder::new().name("audit-compress".into()).spawn(work).map(drop)
    }

    /// What the names of old files begin and end with.
    fn names(&self) -> (String, String) {
        let part =
            |p: Option<&std::ffi::OsStr>| p.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let extension = part(self.path.extension());
        let extension = if extension.is_empty() { extension } else { format!(".{extension}") };
        (format!("{}-", part(self.path.file_stem())), extension)
    }

    /// The old files: those that stay and those that go.
    fn old_files(&self, now: jiff::Timestamp) -> io::Result<(Vec<String>, Vec<String>)> {
        let dir = self.path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (stem, extension) = self.names();
        let mut old = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let plain = name.strip_suffix(COMPRESSED).unwrap_or(&name);
            let time = plain.strip_prefix(&stem).and_then(|n| n.strip_suffix(&extension));
            let time = time.and_then(|t| jiff::civil::DateTime::strptime(BACKUP_TIME, t).ok());
            if let Some(time) = time {
                old.push((time, name));
            }
        }
        let gone = expired(old.clone(), now, self.max_backups, self.max_age_days);
        let kept = old.into_iter().map(|(_, name)| name).filter(|name| !gone.contains(name)).collect();
        Ok((kept, gone))
    }
}

/// Puts a compressed file in the place of a plain one.
fn compress(file: &Path) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(COMPRESSED);
    let mut plain = File::open(file)?;
    let target = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&name)?;
    let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(file)
}

/// Which old files go: all but the newest so many, and those that are too old.
fn expired(
    mut old: Vec<(jiff::civil::DateTime, String)>,
    now: jiff::Timestamp,
    max_backups: usize,
    max_age_days: u32,
) -> Vec<String> {
    old.sort_by(|a, b| b.cmp(a));
    let limit = now.as_second() - i64::from(max_age_days) * 86_400;
    let second = |t: &jiff::civil::DateTime| {
        t.to_zoned(jiff::tz::TimeZone::UTC).map_or(i64::MAX, |t| t.timestamp().as_second())
    };
    let gone = old.into_iter().enumerate().filter(|(i, (time, _))| {
        (max_backups > 0 && *i >= max_backups) || (max_age_days > 0 && second(time) < limit)
    });
    gone.map(|(_, (_, name))| name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn old_files_go_by_number_and_age() {
        let now: jiff::Timestamp = "2026-03-10T00:00:00Z".parse().unwrap();
        let days = ["2026-03-09", "2026-03-01", "2026-03-05", "2025-01-01"];
        let old = || {
            days.iter()
                .map(|d| (format!("{d}T12:00:00").parse().unwrap(), (*d).to_owned()))
                .collect::<Vec<_>>()
        };
        let check = |backups, age, want: &[&str]| assert_eq!(expired(old(), now, backups, age), want);
        check(0, 0, &[]);
        check(2, 0, &["2026-03-01", "2025-01-01"]);
        check(0, 6, &["2026-03-01", "2025-01-01"]);
        check(0, 30, &["2025-01-01"]);
        check(1, 366, &["2026-03-05", "2026-03-01", "2025-01-01"]);
        check(9, 9999, &[]);
    }

    #[test]
    fn full_files_are_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/audit.log");
        let mut config = LogConfig::new(&path);
        config.max_size_mebibytes = 1;
        config.max_backups = 1;
        let log = Log::open(&config, Arc::default()).unwrap();
        let line = |byte: u8| move |_: Format, _: bool| vec![byte; 600 << 10];
        assert!(log.write(line(b'a')) && log.write(line(b'b')));
        let names = || {
            let names = std::fs::read_dir(path.parent().unwrap()).unwrap();
            let mut names: Vec<String> =
                names.map(|n| n.unwrap().file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        let two = names();
        assert_eq!(two.len(), 2);
        assert!(two[0].starts_with("audit-20") && two[0].ends_with(".log") && two[0].len() == 33, "{two:?}");
        assert_eq!(std::fs::read(&path).unwrap()[0], b'b');
        assert!(log.write(|_, _| vec![0; 2 << 20]), "only a strict log refuses");
        assert_eq!(log.counters.errors.load(Relaxed), 1);
    }

    #[test]
    fn old_files_are_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        // An earlier end has left this one.
        std::fs::write(dir.path().join("audit-2026-03-09T12-00-00.000.log"), "left").unwrap();
        let config =
            LogConfig { max_size_mebibytes: 1, max_age_days: 0, compress: true, ..LogConfig::new(&path) };
        let mut output = Output::open(&config).unwrap();
        output.write(&vec![b'a'; 600 << 10]).unwrap();
        output.write(&vec![b'b'; 600 << 10]).unwrap();
        let (old, gone) = loop {
            let (old, gone) = output.old_files(jiff::Timestamp::now()).unwrap();
            if old.iter().all(|name| name.ends_with(".log.gz")) {
                break (old, gone);
            }
            std::thread::yield_now();
        };
        // Whoever compresses is done with the last one.
        drop(output.compressing.lock());
        assert_eq!((old.len(), gone.len()), (2, 0));
        let text = |name: &str| {
            let mut text = Vec::new();
            let file = File::open(dir.path().join(name)).unwrap();
            io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
            text
        };
        assert_eq!(text("audit-2026-03-09T12-00-00.000.log.gz"), b"left");
        let new = old.iter().find(|name| !name.contains("2026-03-09")).unwrap();
        assert_eq!(text(new), vec![b'a'; 600 << 10]);
        output.max_backups = 1;
        assert_eq!(
            output.old_files(jiff::Timestamp::now()).unwrap().1,
            ["audit-2026-03-09T12-00-00.000.log.gz"]
        );
    }

    #[test]
    fn queued_lines_are_written_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let config = LogConfig { mode: Mode::Batch, ..LogConfig::new(&path) };
        let log = Log::open(&config, Arc::default()).unwrap();
        for i in 0..100 {
            assert!(log.write(|_, _| format!("{i}\n").into_bytes()));
        }
        log.close();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 100);
        assert!(log.write(|_, _| Vec::new()), "only a strict log refuses");
        let config = LogConfig { batch_buffer_size: 0, ..config };
        assert!(Log::open(&config, Arc::default()).is_err());
    }

    #[test]
    fn long_events_lose_their_objects() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let config = LogConfig { truncate_event_bytes: Some(10), ..LogConfig::new(&path) };
        let log = Log::open(&config, Arc::default()).unwrap();
        assert!(log.write(|_, bare| if bare { b"short\n".to_vec() } else { b"much too long\n".to_vec() }));
        assert!(log.write(|_, _| b"much too long\n".to_vec()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short\n");
        assert_eq!(log.counters.errors.load(Relaxed), 1);
    }
}
