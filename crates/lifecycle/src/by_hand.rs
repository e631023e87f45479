//! Parts of a cluster that somebody started by hand (`corten server`, `corten node`) on a root: no supervisor knows them,
//! their command lines tell which root they are of.

use crate::layout::{DEFAULT_ROOT, Layout};
use crate::processes::{self, Process};
use crate::supervisor::{self, State};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What Corten's processes are called.
pub(crate) const OWN_NAME: &str = "corten";
/// The command that runs a control plane.
const SERVER: &str = "server";
/// The command that runs a kubelet.
const NODE: &str = "node";
/// Parts of the control plane that keep nothing in a root: they are of the one that their kubeconfig is in.
const ROOTLESS_PARTS: [&str; 2] = ["controllers", "scheduler"];

/// A process, and what of a cluster it is: `server`, `node`, or the part of a control plane that is all it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByHand {
    pub(crate) process: Process,
    pub(crate) part: &'static str,
}

/// What runs on a root and was not started by its supervisor.
pub(crate) fn find(layout: &Layout) -> Vec<ByHand> {
    let Ok(root) = std::fs::metadata(&layout.root) else { return vec![] };
    let supervisor = supervisor::holder(layout);
    // Those of a supervisor that was killed are ending.
    let known = State::read(layout).map(|state| state.processes).unwrap_or_default();
    let is_known = |process: &Process| {
        supervisor.is_some_and(|supervisor| process.parent == supervisor.pid)
            || known.iter().any(|known| known.identity == Some(process.identity))
    };
    let all = processes::all().into_iter().filter(|process| process.name == OWN_NAME && !is_known(process));
    all.filter_map(|process| part_of(&process, &root).map(|part| ByHand { process, part })).collect()
}

/// What a process is of the cluster on a root, if it is anything.
fn part_of(process: &Process, root: &Metadata) -> Option<&'static str> {
    let arguments = process.arguments();
    let command = arguments.get(1)?;
    let only = option(&arguments, "--only");
    let rootless = ROOTLESS_PARTS.into_iter().find(|part| Some(*part) == only);
    // A path means what it means to that process: in a container of its own it is another directory.
    let is_root = |path: &str| {
        let base = if path.starts_with('/') { "root" } else { "cwd" };
        let there = std::fs::metadata(format!("/proc/{}/{base}/{path}", process.identity.pid));
        there.is_ok_and(|there| (there.dev(), there.ino()) == (root.dev(), root.ino()))
    };
    match (command.as_str(), rootless) {
        (SERVER, Some(part)) => {
            let directory = Path::new(option(&arguments, "--kubeconfig")?).parent()?.to_str()?;
            is_root(if directory.is_empty() { "." } else { directory }).then_some(part)
        }
        (SERVER, None) => is_root(option(&arguments, "--root").unwrap_or(DEFAULT_ROOT)).then_some(SERVER),
        (NODE, _) => is_root(option(&arguments, "--root").unwrap_or(DEFAULT_ROOT)).then_some(NODE),
        _ => None,
    }
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
        for (arguments, part) in [
            (&["server", &absolute][..], "server"),
            (&["server", "--only", "api", "--root", "./mine"], "server"),
            (&["server", "--only=scheduler", "--root", "mine"], ""),
            (&["server", "--only=scheduler", "--kubeconfig=mine/scheduler.conf"], "scheduler"),
            (&["server", "--only=controllers", "--kubeconfig", "scheduler.conf", "--root=mine"], ""),
            (&["server"], ""),
            (&["node", &absolute], "node"),
            (&["node"], ""),
        ] {
            let mut child = start(path, arguments);
            let pid = i32::try_from(child.id()).unwrap();
            let found = |layout| {
                let all = find(layout);
                assert!(all.iter().all(|found| found.process.identity.pid == pid), "{all:?}");
                all.iter().map(|found| found.part).collect::<String>()
            };
            assert_eq!(found(mine), part, "{arguments:?}");
            assert_eq!(found(other), "");
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
