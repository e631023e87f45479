//! Log files of bounded size. The processes write to them directly, appending, so that a log goes on when the
//! supervisor is gone; a full file is copied aside and emptied, which appending writers do not notice.

use anyhow::{Context, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// As the kubelet's default for containers' logs (`containerLogMaxSize`).
pub(crate) const LOG_BYTES_MAX: u64 = 10 << 20;
/// Full files kept beside the one that is written.
const OLD_LOGS_MAX: u32 = 2;
/// How much of a log is told when its process did not start.
const TAIL_BYTES: u64 = 4_096;
const TAIL_LINES: usize = 8;

/// Opens a log for appending.
pub(crate) fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot open the log {}", path.display()))
}

/// Empties the log if it is larger than `bytes_max`, keeping copies `PATH.1`, `PATH.2`. A line written between
/// the copy and the emptying is lost.
pub(crate) fn rotate(path: &Path, bytes_max: u64) -> Result<()> {
    if !std::fs::metadata(path).is_ok_and(|m| m.len() > bytes_max) {
        return Ok(());
    }
    let old = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    for number in (1..OLD_LOGS_MAX).rev() {
        match std::fs::rename(old(number), old(number + 1)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot rename {}", old(number).display()));
            }
            _ => {}
        }
    }
    std::fs::copy(path, old(1)).with_context(|| format!("cannot copy {}", path.display()))?;
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|f| f.set_len(0)).with_context(|| format!("cannot empty {}", path.display()))
}

/// The last lines of a log, introduced, for a message about its process.
pub(crate) fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    // Who is started again and again says the same again and again.
    lines.dedup();
    if lines.is_empty() {
        return format!("its log {} is empty", path.display());
    }
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("its log {} ends with:\n  {}", path.display(), last.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn full_logs_are_put_aside_and_writers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut writer = open(&path).unwrap();
        for round in ["first", "second", "third", "fourth"] {
            writeln!(writer, "{round}").unwrap();
            rotate(&path, 3).unwrap();
        }
        rotate(&path, 3).unwrap();
        writeln!(writer, "x").unwrap();
        rotate(&path, 3).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).ok();
        assert_eq!(
            ["x.log", "x.log.1", "x.log.2", "x.log.3"].map(read),
            [Some("x\n".into()), Some("fourth\n".into()), Some("third\n".into()), None]
        );
    }

    #[test]
    fn the_tail_is_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        assert!(tail(&path).ends_with("x.log is empty"));
        std::fs::write(&path, "a\nb\nb\n\nb\n").unwrap();
        assert!(tail(&path).ends_with("ends with:\n  a\n  b"));
        std::fs::write(&path, (0..10_000).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
        assert!(
            tail(&path)
                .ends_with("ends with:\n  9992\n  9993\n  9994\n  9995\n  9996\n  9997\n  9998\n  9999")
        );
    }
}
