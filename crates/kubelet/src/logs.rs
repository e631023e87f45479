//! Keeps the logs of containers from filling the disk.
//!
//! A log that has become large is renamed, and the runtime told to open a new one; of the old ones the last few are
//! kept. Upstream counterpart: `pkg/kubelet/logs/container_log_manager.go` (which also compresses them).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::context::Context;
use crate::runtime::messages::ContainerState;

/// As upstream's `containerLogMaxSize`.
const LOG_BYTES_MAX: u64 = 10 << 20;
/// As upstream's `containerLogMaxFiles`, the current one among them.
const LOG_FILES_MAX: usize = 5;
/// As upstream's `containerLogMonitorInterval`.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks at all logs again and again.
pub(crate) async fn run(context: Arc<Context>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        for entry in context.pods.list() {
            let running =
                entry.instances.values().flatten().filter(|run| run.state == ContainerState::Running);
            for run in running {
                if let Err(error) = rotate(&context, &run.id, &run.log_path).await {
                    tracing::warn!(log = %run.log_path.display(), %error, "cannot rotate a log");
                }
            }
        }
    }
}

/// How often a container was restarted that has logs in `dir`: where the runtime forgot all runs, as with a restart of
/// the machine, a new one must not write into the log of an old one.
///
/// Upstream counterpart: `calcRestartCountByLogDir` of `pkg/kubelet/kuberuntime`.
pub(crate) fn restart_count(dir: &Path) -> u32 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let number = |name: std::ffi::OsString| {
        let name = name.into_string().ok()?;
        let (number, rest) = name.split_once(".log")?;
        if rest.is_empty() || rest.starts_with('.') { number.parse::<u32>().ok() } else { None }
    };
    entries.filter_map(|entry| number(entry.file_name())).max().map_or(0, |last| last.saturating_add(1))
}

async fn rotate(context: &Context, id: &str, log: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    match std::fs::metadata(log) {
        Ok(meta) if meta.len() >= LOG_BYTES_MAX => {}
        Ok(_) => return Ok(()),
        // The runtime was told to reopen it and died: it is told again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    for old in surplus(rotated(log).map_err(text)?) {
        std::fs::remove_file(old).map_err(text)?;
    }
    let name = rotated_name(log, context.clock.now());
    let is_renamed = match std::fs::rename(log, &name) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error.to_string()),
    };
    if let Err(error) = context.runtime.reopen_container_log(id).await {
        // Back, or nobody would write to a file that anybody reads.
        if is_renamed {
            std::fs::rename(&name, log).map_err(text)?;
        }
        return Err(error.to_string());
    }
    Ok(())
}

fn rotated_name(log: &Path, now: Timestamp) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(now.strftime(".%Y%m%d-%H%M%S").to_string());
    name.into()
}

/// The logs that were renamed, the oldest first.
fn rotated(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(dir), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Those that go when one more is renamed.
fn surplus(mut rotated: Vec<PathBuf>) -> Vec<PathBuf> {
    rotated.truncate((rotated.len() + 2).saturating_sub(LOG_FILES_MAX));
    rotated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_by_their_logs() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(restart_count(&dir.path().join("none")), 0);
        for (name, expected) in
            [("x.log", 0), ("0.log", 1), ("10.log.20260101-000000.gz", 11), ("12.logs", 11), ("9.log", 11)]
        {
            std::fs::write(dir.path().join(name), "").unwrap();
            assert_eq!(restart_count(dir.path()), expected, "{name}");
        }
    }

    #[test]
    fn the_last_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        std::fs::write(&log, "").unwrap();
        std::fs::write(dir.path().join("10.log"), "").unwrap();
        let at = |second| rotated_name(&log, Timestamp::from_second(second).unwrap());
        assert!(at(0).ends_with("0.log.19700101-000000"));
        for second in 0..6 {
            std::fs::write(at(second), "").unwrap();
        }
        let gone = surplus(rotated(&log).unwrap());
        assert_eq!(gone, [at(0), at(1), at(2)], "three old ones, the one to be, and the new one are five");
        assert_eq!(surplus(vec![at(0)]), Vec::<PathBuf>::new());
    }
}
