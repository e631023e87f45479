//! Processes as `/proc` shows them, told apart by number and start so that a reused number is no mistake.

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One process, for as long as it lives: the number alone is given to another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process number.
    pub pid: i32,
    /// Start, in clock ticks after boot (field 22 of proc_pid_stat(5)).
    pub start: u64,
}

/// What `/proc/PID` tells about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Number and start.
    pub identity: Identity,
    /// Number of the parent.
    pub parent: i32,
    /// The command's short name.
    pub name: String,
    /// `Z`, `S`, `R` ...
    pub state: char,
}

impl Process {
    /// Reads `/proc/PID/stat`; nothing if there is no such process.
    pub fn read(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses a line of proc_pid_stat(5). The name may itself hold blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            identity: Identity { pid: pid.parse().ok()?, start: fields.get(19)?.parse().ok()? },
            parent: fields.get(1)?.parse().ok()?,
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
        })
    }

    /// The arguments, the command first; empty for kernel threads and zombies.
    pub fn arguments(&self) -> Vec<String> {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.identity.pid)).unwrap_or_default();
        let mut arguments: Vec<String> =
            bytes.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        arguments.pop();
        arguments
    }

    /// Time since the start.
    pub fn age(&self) -> Duration {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = Duration::new(uptime.tv_sec.unsigned_abs(), uptime.tv_nsec.unsigned_abs() as u32);
        now.saturating_sub(Duration::from_millis(self.identity.start.saturating_mul(1_000) / ticks))
    }

    /// Memory in bytes, shared pages by share (`Pss` in proc_pid_smaps(5)).
    pub fn memory(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.identity.pid)).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("Pss:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
    }
}

impl Identity {
    /// The process of this number now.
    pub fn of(pid: i32) -> Option<Self> {
        Process::read(pid).map(|p| p.identity)
    }

    /// The calling process.
    pub fn own() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self::of(pid).unwrap_or(Self { pid, start: 0 })
    }

    /// The process if it lives, which a zombie does not.
    pub fn process(self) -> Option<Process> {
        Process::read(self.pid).filter(|p| p.identity == self && p.state != 'Z' && p.state != 'X')
    }

    /// Whether anything is left of it. A first thread that ended looks like a zombie while others of its
    /// process still end, with files and locks open.
    pub fn exists(self) -> bool {
        Process::read(self.pid).is_some_and(|p| p.identity == self)
    }

    /// A handle that cannot come to mean another process; nothing if the process is gone.
    pub fn open(self) -> Option<OwnedFd> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Only now is the number pinned, so the comparison counts.
        self.exists().then_some(fd)
    }

    /// Sends a signal; says whether the process was there.
    pub fn signal(self, signal: Signal) -> Result<bool> {
        let Some(fd) = self.open() else { return Ok(false) };
        match pidfd_send_signal(&fd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => {
                Err(error).with_context(|| format!("cannot send signal {signal:?} to process {}", self.pid))
            }
        }
    }

    /// Waits until the process is gone; says whether it is.
    pub fn wait(self, patience: Duration) -> bool {
        wait_all(&[self], patience).is_empty()
    }
}

/// All processes, as far as they can be read.
pub fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter_map(Process::read).collect()
}

/// Waits until all of `identities` are gone or the patience is; returns those that still run.
pub fn wait_all(identities: &[Identity], patience: Duration) -> Vec<Identity> {
    let deadline = Instant::now() + patience;
    let mut left: Vec<(Identity, OwnedFd)> =
        identities.iter().filter_map(|i| Some((*i, i.open()?))).collect();
    while !left.is_empty() {
        let Some(time) = deadline.checked_duration_since(Instant::now()) else { break };
        let mut fds: Vec<PollFd<'_>> = left.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)).collect();
        let timeout =
            rustix::event::Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        if poll(&mut fds, Some(&timeout)).is_err() {
            continue;
        }
        let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        left.retain(|_| !ended.next().unwrap_or(false));
    }
    left.into_iter().map(|(identity, _)| identity).collect()
}

/// Asks the processes to end and waits; returns those that still run.
pub fn end_within(identities: &[Identity], patience: Duration) -> Vec<Identity> {
    for identity in identities {
        let _gone_is_fine = identity.signal(Signal::TERM);
    }
    wait_all(identities, patience)
}

/// [`end_within`], then kills those that are left. Returns how many had to be killed.
pub fn end_all(identities: &[Identity], patience: Duration) -> usize {
    let left = end_within(identities, patience);
    for identity in &left {
        let _gone_is_fine = identity.signal(Signal::KILL);
    }
    wait_all(&left, patience);
    left.len()
}

/// The program's file in the directories that distributions and administrators install into.
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    PROGRAM_PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| executable(path))
}

/// Where programs are looked for, and the `PATH` of those that Corten starts.
pub const PROGRAM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn lines_of_stat() {
        let numbers = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 1000 100 18446744073709551615";
        let process = |name: &str, state| {
            Some(Process {
                identity: Identity { pid: 42, start: 9_876 },
                parent: 1,
                name: name.into(),
                state,
            })
        };
        for (line, expected) in [
            (format!("42 (corten) S {numbers}"), process("corten", 'S')),
            (format!("42 (a) b (c)) Z {numbers}"), process("a) b (c)", 'Z')),
            ("42 (corten) S 1".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(Process::parse(&line), expected, "{line}");
        }
    }

    #[test]
    fn a_process_is_ended_and_its_number_means_no_other() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = Identity::of(child.id() as i32).unwrap();
        assert_eq!(identity.process().unwrap().parent, Identity::own().pid);
        assert!(identity.process().unwrap().memory().unwrap() > 0);
        assert!(!Identity { start: identity.start + 1, ..identity }.signal(Signal::KILL).unwrap());
        assert_eq!(end_all(&[identity], Duration::from_secs(60)), 0);
        assert_eq!(identity.process(), None);
        child.wait().unwrap();
        assert!(!identity.signal(Signal::TERM).unwrap());
    }
}
