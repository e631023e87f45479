//! Starting processes with what `std::process` leaves out: own session, own cgroup, and the parent's death.
#![allow(unsafe_code)] // `pre_exec` runs between fork and exec; see the SAFETY note.

use rustix::fd::OwnedFd;
use rustix::process::Signal;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How the child stands to its parent.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    /// A session of its own: no terminal's signal reaches it.
    pub(crate) new_session: bool,
    /// `cgroup.procs` files, open for writing, that the child enters before it becomes the program.
    pub(crate) cgroups: Vec<OwnedFd>,
    /// The child gets SIGTERM when the thread that started it ends, even by SIGKILL.
    pub(crate) ends_with_parent: bool,
}

/// Makes `command` start under these ties.
pub(crate) fn tie(command: &mut Command, ties: Ties) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        if ties.new_session {
            rustix::process::setsid()?;
        }
        for procs in &ties.cgroups {
            // "0" is the writer itself, in both versions (cgroup_procs_write_start in kernel/cgroup/cgroup.c).
            rustix::io::write(procs, b"0")?;
        }
        if ties.ends_with_parent {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            // The parent may have ended before the line above.
            if rustix::process::getppid() != Some(parent) {
                return Err(std::io::Error::from(rustix::io::Errno::SRCH));
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe things may happen: the closure makes plain system
    // calls on what was allocated and opened before, allocates nothing and takes no lock; errors are numbers.
    unsafe { command.pre_exec(prepare) };
}
