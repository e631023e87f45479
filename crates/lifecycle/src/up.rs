//! `corten up`: in the foreground, or detached with somebody who waits until all is up.

use crate::doctor::{self, Check, Needs, Outcome};
use crate::layout::Layout;
use crate::root;
use crate::spawn::{Ties, tie};
use crate::supervisor::{self, Config, Make, PATIENCE, Report, State, logs};
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Instant;

/// A report is a line; a log's end in it is some kilobytes.
const REPORT_BYTES_MAX: usize = 64 << 10;

/// Runs the supervisor in this process, telling people on `out`; `make` as in [`supervisor::run`].
pub fn foreground(config: Config, make: &mut Make<'_>, out: &mut dyn Write) -> Result<()> {
    let layout = config.needs.layout.clone();
    let is_journal = config.systemd.is_heard();
    warn_of_disk(&config.needs, out);
    supervisor::run(config, make, &mut |report| {
        if !is_journal && is_up(report) {
            root::show_recovery_key(&layout, out);
        }
        report.print(out);
        if matches!(report, Report::Ready { .. }) {
            let _nobody_reads = writeln!(out, "\nCtrl-C ends Corten; containers run on until `corten down`.");
        }
    })
}

/// Runs the supervisor in this process, which [`detached`] started, telling it on standard output.
pub fn supervise_for_waiting_parent(config: Config, make: &mut Make<'_>) -> Result<()> {
    supervisor::run(config, make, &mut |report| {
        let mut line = serde_json::to_vec(report).unwrap_or_default();
        line.push(b'\n');
        // Whoever waited may have gone; the cluster comes up all the same.
        let mut stdout = std::io::stdout();
        let _nobody_reads = stdout.write_all(&line).and_then(|()| stdout.flush());
        if report.is_last() {
            close_stdout();
        }
    })
}

/// Ends the pipe to the parent, which waits for that.
fn close_stdout() {
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let _stays_open = rustix::stdio::dup2_stdout(null);
    }
}

/// Starts `executable arguments...`, which must call [`supervise_for_waiting_parent`], in a session of its
/// own, and tells on `out` how it comes up until it is up.
pub fn detached(needs: &Needs, executable: &Path, arguments: &[OsString], out: &mut dyn Write) -> Result<()> {
    root::prepare_checked(needs)?;
    warn_of_disk(needs, out);
    let layout = &needs.layout;
    let log_path = layout.log_file("supervisor");
    let mut command = Command::new(executable);
    command.args(arguments).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(logs::open(&log_path)?);
    tie(&mut command, Ties { new_session: true, ..Ties::default() });
    let mut child = command.spawn().with_context(|| format!("cannot start {}", executable.display()))?;
    let mut reports = Lines::new(child.stdout.take().context("the supervisor has no standard output")?);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match reports.next(deadline)? {
            Next::Line(line) => match serde_json::from_slice::<Report>(&line) {
                Ok(Report::Failed(message)) => bail!(message),
                Ok(report) => {
                    // Not by the supervisor: whoever waited for it may have gone.
                    if is_up(&report) {
                        root::show_recovery_key(layout, out);
                    }
                    report.print(out);
                    if report.is_last() {
                        return Ok(());
                    }
                }
                Err(_) => tracing::debug!(line = %String::from_utf8_lossy(&line), "not a report"),
            },
            Next::End => {
                let status = child.wait().context("cannot wait for the supervisor")?;
                bail!("the supervisor ended before all was up ({status}); {}", logs::tail(&log_path));
            }
            Next::Late => bail!(
                "not everything is up after {} s; it goes on trying: see `corten status`, `corten doctor` and {}\n{}",
                PATIENCE.as_secs(),
                layout.log_dir.display(),
                awaited(layout).join("\n")
            ),
        }
    }
}

/// A full disk keeps a cluster from coming up, and those who wait for it are not to look for that elsewhere.
fn warn_of_disk(needs: &Needs, out: &mut dyn Write) {
    let Check { found, advice, .. } = match doctor::disk(needs.room, &needs.layout.root) {
        check if check.outcome == Outcome::Good => return,
        check => check,
    };
    let _nobody_reads = writeln!(out, "warning: {found}; {advice}");
}

/// Whether there is a cluster now whose secrets the recovery key opens.
fn is_up(report: &Report) -> bool {
    matches!(report, Report::Ready { .. } | Report::AlreadyUp { .. })
}

/// The processes that are not ready, with what each wrote last.
fn awaited(layout: &Layout) -> Vec<String> {
    let processes = State::read(layout).map(|state| state.processes).unwrap_or_default();
    let waiting = processes.iter().filter(|process| !process.ready);
    waiting.map(|p| format!("{} is not ready; {}", p.name, logs::tail(&layout.log_file(&p.name)))).collect()
}

enum Next {
    Line(Vec<u8>),
    End,
    Late,
}

struct Lines {
    pipe: ChildStdout,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(pipe: ChildStdout) -> Self {
        Self { pipe, buffer: Vec::new() }
    }

    fn next(&mut self, deadline: Instant) -> Result<Next> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                self.buffer.truncate(end);
                return Ok(Next::Line(std::mem::replace(&mut self.buffer, rest)));
            }
            let time = deadline.saturating_duration_since(Instant::now());
            if time.is_zero() || self.buffer.len() > REPORT_BYTES_MAX {
                return Ok(Next::Late);
            }
            let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
            let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error).context("cannot wait for the supervisor"),
            }
            let mut chunk = [0; 4_096];
            match self.pipe.read(&mut chunk).context("cannot hear the supervisor")? {
                0 => return Ok(Next::End),
                length => self.buffer.extend_from_slice(&chunk[..length]),
            }
        }
    }
}
