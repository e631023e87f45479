//! Asks the runtime how a pod stands; what cannot change any more is asked once.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use api::core::v1::Pod;

use crate::context::Context;
use crate::runtime;
use crate::runtime::messages::{ContainerFilter, ContainerState, PodSandboxFilter, PodSandboxState};
use crate::server::logs::Printer;
use crate::state::{PodState, Run, Sandbox, label};

/// As much of a termination message as upstream reads.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// ...and of a log that stands in for one.
const LOG_MESSAGE_BYTES_MAX: u64 = 2048;
const LOG_MESSAGE_LINES_MAX: usize = 80;

/// What was found before.
#[derive(Default)]
pub(crate) struct Observer {
    runs: BTreeMap<String, Run>,
    addresses: BTreeMap<String, Vec<String>>,
}

impl Observer {
    /// The state of the pod with that UID.
    pub(crate) async fn observe(&mut self, context: &Context, uid: &str) -> Result<PodState, runtime::Error> {
        let selector = BTreeMap::from([(label::POD_UID.to_owned(), uid.to_owned())]);
        let filter = PodSandboxFilter { label_selector: selector.clone(), ..PodSandboxFilter::default() };
        let listed = context.runtime.list_sandboxes(filter).await?;
        let mut sandboxes = Vec::with_capacity(listed.len());
        for sandbox in listed {
            let is_ready = sandbox.state() == PodSandboxState::Ready;
            let ips = if is_ready { self.addresses_of(context, &sandbox.id).await? } else { Vec::new() };
            let attempt = sandbox.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
            sandboxes.push(Sandbox {
                id: sandbox.id,
                attempt,
                is_ready,
                created_at: sandbox.created_at,
                ips,
            });
        }
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.attempt)));
        self.addresses.retain(|id, _| sandboxes.iter().any(|sandbox| sandbox.id == *id));

        let filter = ContainerFilter { label_selector: selector, ..ContainerFilter::default() };
        let listed = context.runtime.list_containers(filter).await?;
        self.runs.retain(|id, _| listed.iter().any(|container| container.id == *id));
        let mut runs = Vec::with_capacity(listed.len());
        for container in listed {
            let state = container.state();
            let known = self.runs.get(&container.id).filter(|run| run.state == state);
            if let Some(run) =
                known.filter(|run| matches!(run.state, ContainerState::Running | ContainerState::Exited))
            {
                runs.push(run.clone());
                continue;
            }
            let status = match context.runtime.container_status(&container.id, false).await {
                Ok((status, _)) => status,
                // Removed since it was listed.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let mut run = Run::new(&container, status);
            if run.is_exited() {
                read_message(&mut run).await;
            }
            self.runs.insert(run.id.clone(), run.clone());
            runs.push(run);
        }
        runs.sort_by_key(|run| std::cmp::Reverse((run.created_at, run.restart_count)));
        Ok(PodState { sandboxes, runs })
    }

    async fn addresses_of(&mut self, context: &Context, id: &str) -> Result<Vec<String>, runtime::Error> {
        if let Some(known) = self.addresses.get(id) {
            return Ok(known.clone());
        }
        let status = match context.runtime.sandbox_status(id, false).await {
            Ok((status, _)) => status,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let network = status.network.unwrap_or_default();
        let first = Some(network.ip).filter(|ip| !ip.is_empty());
        let ips: Vec<_> =
            first.into_iter().chain(network.additional_ips.into_iter().map(|ip| ip.ip)).collect();
        if !ips.is_empty() {
            self.addresses.insert(id.to_owned(), ips.clone());
        }
        Ok(ips)
    }
}

/// Reads what the container left as its last word.
async fn read_message(run: &mut Run) {
    let path = run.message_path.clone();
    let falls_back =
        run.annotations.get(label::MESSAGE_POLICY).map(String::as_str) == Some("FallbackToLogsOnError");
    let log = run.log_path.clone();
    let use_log = falls_back && run.exit_code != 0;
    // Files of containers may be on slow disks.
    let read = tokio::task::spawn_blocking(move || {
        let message = path.and_then(|path| tail(Path::new(&path), MESSAGE_BYTES_MAX).ok());
        let message = message.filter(|message| !message.is_empty());
        message.or_else(|| use_log.then(|| last_lines(Path::new(&log)))?)
    });
    if let Ok(Some(message)) = read.await {
        run.message = if run.message.is_empty() { message } else { format!("{}: {message}", run.message) };
    }
}

/// The end of a file.
fn tail(path: &Path, bytes: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut data = Vec::new();
    file.take(bytes).read_to_end(&mut data)?;
    Ok(String::from_utf8_lossy(&data).into_owned())
}

/// The last lines of a container's log, as `kubectl logs` shows them.
fn last_lines(path: &Path) -> Option<String> {
    // Each line has some 40 bytes of time and stream before it.
    let text = tail(path, LOG_MESSAGE_BYTES_MAX + 48 * LOG_MESSAGE_LINES_MAX as u64).ok()?;
    let lines: Vec<_> = text.lines().collect();
    let mut printer = Printer::new(None, false, None);
    let mut message = Vec::new();
    for line in &lines[lines.len().saturating_sub(LOG_MESSAGE_LINES_MAX)..] {
        printer.line(line.as_bytes(), &mut message);
    }
    let surplus = message.len().saturating_sub(LOG_MESSAGE_BYTES_MAX as usize);
    Some(String::from_utf8_lossy(&message[surplus..]).into_owned()).filter(|message| !message.is_empty())
}

/// Where a container's log is: `<pod's logs>/CONTAINER/N.log`.
pub(crate) fn log_path(context: &Context, pod: &Pod, run: &Run) -> std::path::PathBuf {
    if run.log_path.is_empty() {
        return context.log_dir(pod).join(&run.name).join(format!("{}.log", run.restart_count));
    }
    run.log_path.clone().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let line = |text: &str| format!("2026-01-01T00:00:00.000000000Z stderr F {text}\n");
        std::fs::write(&path, line("a") + &line("b c")).unwrap();
        assert_eq!(last_lines(&path).unwrap(), "a\nb c\n");
        assert_eq!(tail(&path, 4).unwrap(), "b c\n");
        let partial = "2026-01-01T00:00:00.000000000Z stdout P DONE\n";
        std::fs::write(&path, partial).unwrap();
        assert_eq!(last_lines(&path).unwrap(), "DONE");
        std::fs::write(&path, line("a") + &line(&"b".repeat(LOG_MESSAGE_BYTES_MAX as usize - 1))).unwrap();
        assert_eq!(last_lines(&path).unwrap(), "b".repeat(LOG_MESSAGE_BYTES_MAX as usize - 1) + "\n");
    }
}
