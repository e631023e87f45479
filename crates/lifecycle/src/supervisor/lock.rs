//! One supervisor per root: a lock that ends with its holder, however that ends.

use crate::layout::Layout;
use crate::processes::Identity;
use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// A child that is between `fork` and `exec` has the descriptor too, and closing ours would leave the lock to it.
    fn drop(&mut self) {
        // Closing is what is left if it fails.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Who looks for the holder has the lock for a moment: how often and after which pauses one whose holder is gone is
/// tried again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// Takes the root's lock; gives the holder if there is one.
pub(crate) fn take(layout: &Layout) -> Result<std::result::Result<Lock, Option<Identity>>> {
    for _ in 0..TRIES {
        match try_take(layout)? {
            Err(Some(identity)) if !identity.exists() => std::thread::sleep(PAUSE),
            Err(None) => std::thread::sleep(PAUSE),
            done => return Ok(done),
        }
    }
    try_take(layout)
}

fn try_take(layout: &Layout) -> Result<std::result::Result<Lock, Option<Identity>>> {
    let path = &layout.lock;
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let mut file = open.with_context(|| format!("cannot open the lock {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Err(read(&mut file))),
        Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
    let own = Identity::own();
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{} {}", own.pid, own.start)
    };
    write(&mut file).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Ok(Lock(file)))
}

const SUPERVISOR: &str = "supervisor";

/// The supervisor that runs on the root.
pub fn holder(layout: &Layout) -> Option<Identity> {
    let mut file = File::open(&layout.lock).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => read(&mut file).filter(|identity| identity.exists()),
        Err(_) => None,
        Ok(()) => {
            drop(Lock(file));
            None
        }
    }
}

/// Whether the holder is no supervisor but ends one, or what it left.
pub(crate) fn is_ending(holder: Identity) -> bool {
    name(holder) != SUPERVISOR
}

/// What the holder is: a supervisor, `down` or `reset`.
pub(crate) fn name(holder: Identity) -> &'static str {
    match word(holder).as_deref() {
        Some("down") => "down",
        Some("reset") => "reset",
        _ => SUPERVISOR,
    }
}

/// `up`, `down` or `reset`; it may be gone with the process.
fn word(holder: Identity) -> Option<String> {
    holder.process()?.arguments().get(1).cloned()
}

/// What to tell somebody who does not get the lock.
pub(crate) fn told(layout: &Layout, holder: Option<Identity>) -> String {
    let root = layout.root.display();
    let who = match holder {
        Some(identity) => {
            let command =
                word(identity).map_or_else(|| "a command".into(), |word| format!("`corten {word}`"));
            format!("{command} (process {})", identity.pid)
        }
        None => format!("something that holds the lock {}", layout.lock.display()),
    };
    format!(
        "{who} is at work on {root}: wait until it is done (`corten status --root {root}` shows how far it is), then run \
         this again"
    )
}

fn read(file: &mut File) -> Option<Identity> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let (pid, start) = text.trim().split_once(' ')?;
    Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::Process;
    use std::process::Stdio;

    #[test]
    fn who_ends_is_no_supervisor() {
        let dir = tempfile::tempdir().unwrap();
        let runs = |word: &str| {
            std::fs::write(dir.path().join(word), "echo; read line").unwrap();
            let mut shell = std::process::Command::new("sh");
            shell.arg(word).current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = shell.spawn().unwrap();
            child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            let identity = Process::read(child.id().try_into().unwrap()).unwrap().identity;
            let found = (name(identity), is_ending(identity));
            drop(child.stdin.take());
            child.wait().unwrap();
            found
        };
        let expected = [("down", true), ("reset", true), ("supervisor", false)];
        assert_eq!(["down", "reset", "up"].map(runs), expected);
    }

    #[test]
    fn one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        assert_eq!(holder(&layout), None);
        let lock = take(&layout).unwrap().unwrap();
        assert_eq!(take(&layout).unwrap().unwrap_err(), Some(Identity::own()));
        let told = told(&layout, Some(Identity::own()));
        assert!(told.contains(&format!("(process {}) is at work on", std::process::id())), "{told}");
        assert_eq!(holder(&layout), Some(Identity::own()));
        // As a child has it that has not come to its `exec`.
        let inherited = lock.0.try_clone().unwrap();
        drop(lock);
        assert_eq!(holder(&layout), None);
        take(&layout).unwrap().unwrap();
        drop(inherited);
    }

    #[test]
    fn who_looks_is_no_holder() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        drop(take(&layout).unwrap().unwrap());
        let looker = File::open(&layout.lock).unwrap();
        flock(&looker, FlockOperation::LockShared).unwrap();
        // Of a process that is gone: no start is so early.
        std::fs::write(&layout.lock, format!("{} 0\n", std::process::id())).unwrap();
        let taker = std::thread::spawn(move || take(&layout).unwrap().is_ok());
        std::thread::sleep(PAUSE);
        flock(&looker, FlockOperation::Unlock).unwrap();
        assert!(taker.join().unwrap());
    }
}
