//! Servers that somebody started by hand (`corten server`) on a root: no supervisor knows them, their command lines
//! tell which root they are of.

use crate::layout::{DEFAULT_ROOT, Layout};
use crate::processes::{self, Process};
use crate::supervisor::{self, State};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What Corten's processes are called.
pub(crate) const OWN_NAME: &str = "corten";
/// The command that runs a control plane.
const SERVER: &str = "server";
/// Parts of it that keep nothing in a root.
const ROOTLESS_PARTS: [&str; 2] = ["controllers", "scheduler"];

/// The servers on a root that its supervisor did not start.
pub(crate) fn by_hand(layout: &Layout) -> Vec<Process> {
    let Ok(root) = std::fs::metadata(&layout.root) else { return vec![] };
    let supervisor = supervisor::holder(layout);
    // Those of a supervisor that was killed are ending.
    let known = State::read(layout).map(|state| state.processes).unwrap_or_default();
    let is_known = |process: &Process| {
        supervisor.is_some_and(|supervisor| process.parent == supervisor.pid)
            || known.iter().any(|known| known.identity == Some(process.identity))
    };
    let mut all = processes::all();
    all.retain(|process| process.name == OWN_NAME && is_server_of(process, &root) && !is_known(process));
    all
}

fn is_server_of(process: &Process, root: &Metadata) -> bool {
    let arguments = process.arguments();
    if arguments.get(1).is_none_or(|command| command != SERVER)
        || option(&arguments, "--only").is_some_and(|part| ROOTLESS_PARTS.contains(&part))
    {
        return false;
    }
    let given = option(&arguments, "--root").unwrap_or(DEFAULT_ROOT);
    // A path means what it means to that process: in a container of its own it is another directory.
    let base = if given.starts_with('/') { "root" } else { "cwd" };
    let there = std::fs::metadata(format!("/proc/{}/{base}/{given}", process.identity.pid));
    there.is_ok_and(|there| (there.dev(), there.ino()) == (root.dev(), root.ino()))
}

/// The value of an option, `--name=value` or `--name value`.
pub(crate) fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(name) {
            Some("") => return arguments.next().map(String::as_str),
            Some(value) if value.starts_with('=') => return value.get(1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    /// A process that is called and told as a server is.
    fn start(directory: &std::path::Path, arguments: &[&str]) -> Child {
        let mut command = Command::new(directory.join(OWN_NAME));
        command.args(arguments).current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        child
    }

    #[test]
    fn whose_server_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        std::os::unix::fs::symlink("/bin/sh", path.join(OWN_NAME)).unwrap();
        for script in ["server", "node"] {
            std::fs::write(path.join(script), "echo; read line").unwrap();
        }
        let roots = ["mine", "other"].map(|name| Layout::open(path.join(name)).unwrap());
        roots.iter().for_each(|layout| std::fs::create_dir(&layout.root).unwrap());
        let [mine, other] = &roots;
        let absolute = format!("--root={}", mine.root.display());
        for (arguments, is_mine) in [
            (&["server", &absolute][..], true),
            (&["server", "--only", "api", "--root", "./mine"], true),
            (&["server", "--only=scheduler", "--root", "mine"], false),
            (&["server"], false),
            (&["node", &absolute], false),
        ] {
            let mut child = start(path, arguments);
            let found = |layout| by_hand(layout).iter().map(|p| p.identity.pid).collect::<Vec<_>>();
            let pid = i32::try_from(child.id()).unwrap();
            assert_eq!(found(mine), if is_mine { vec![pid] } else { vec![] }, "{arguments:?}");
            assert_eq!(found(other), [0; 0]);
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
