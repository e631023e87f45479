//! `corten down` and `corten reset`.
//!
//! The way down: the supervisor has the node stop its pods, then ends node and server, then itself. What is
//! left after that, or when no supervisor lived, is found by its names and ended here: containers by their
//! shims, then containerd, shims, mounts, cgroups. Both ways end in the same place.

use crate::by_hand::{self, ByHand};
use crate::cgroups::Cgroups;
use crate::containerd::{Containerd, leftover_shims, running};
use crate::layout::{Layout, MARKER_FILE};
use crate::mounts;
use crate::processes::{self, Identity, Process};
use crate::root::LOST_AND_FOUND;
use crate::supervisor::{self, DRAIN, State};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Beyond the pods' own patience: the end of node, server and supervisor.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(60);
/// For containers that are stopped without their pods' grace periods being known: Kubernetes' default.
const CONTAINER_PATIENCE: Duration = Duration::from_secs(30);
/// Deeper trees of processes are nobody's.
const ANCESTORS_MAX: usize = 256;
/// How often people are told what `down` waits for, if it is something else than before.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// So many pods are named in a line; of a hundred the count says as much.
const PODS_NAMED_MAX: usize = 5;
/// For a process after its last signal.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What `down` needs from those who know pods and networks; `()` leaves it all to what `down` does by itself.
pub trait Hooks {
    /// The pods that run still, as people call them; `None` if the runtime does not answer. Called while containerd may
    /// run.
    fn running_pods(&mut self, _layout: &Layout) -> Option<BTreeSet<String>> {
        Some(BTreeSet::new())
    }

    /// Stops the pods that run although no node process does, over the CRI: gracefully, with their networks.
    /// Called while containerd runs.
    fn stop_pods(&mut self, _layout: &Layout) -> Result<()> {
        Ok(())
    }

    /// Removes tables, routes, rules, interfaces and CNI files of the instance. Called after the pods are gone.
    fn remove_network(&mut self, _layout: &Layout) -> Result<()> {
        Ok(())
    }

    /// Refuses to have the state removed while somebody else than the instance uses it. Called after the instance
    /// has ended.
    fn refuse_state_in_use(&mut self, _layout: &Layout) -> Result<()> {
        Ok(())
    }
}

impl Hooks for () {}

/// Waits for the supervisor's end and tells which pods it waits for; says whether it ended.
fn wait(
    supervisor: Identity,
    deadline: Instant,
    layout: &Layout,
    hooks: &mut dyn Hooks,
    told: &mut Told<'_>,
) -> bool {
    let mut before = Some(BTreeSet::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if supervisor.wait(left.min(LOOK_INTERVAL)) {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        let pods = hooks.running_pods(layout);
        if pods != before {
            told.pods(pods.as_ref());
            before = pods;
        }
    }
}

/// Stops everything of the instance, if there is one; state stays. `drain_patience` is the supervisor's, see
/// [`supervisor::Config::drain_patience`]. Works as well when the supervisor, or all of Corten, is dead.
pub fn down(
    layout: &Layout,
    drain_patience: Duration,
    hooks: &mut dyn Hooks,
    out: &mut dyn Write,
) -> Result<()> {
    if is_absent(layout, "stop", out) {
        return Ok(());
    }
    let _lock = stop(layout, drain_patience, hooks, out)?;
    for part in by_hand::find(layout) {
        let _nobody_reads = writeln!(out, "{} runs on", started_by_hand(&part));
    }
    Ok(())
}

/// Whether there is no root at all, which is told then.
fn is_absent(layout: &Layout, what: &str, out: &mut dyn Write) -> bool {
    let root = &layout.root;
    let is_absent = std::fs::symlink_metadata(root).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if is_absent {
        let elsewhere = "a cluster elsewhere is named by --root DIR";
        let _nobody_reads = writeln!(out, "nothing to {what} at {}; {elsewhere}", root.display());
    }
    is_absent
}

/// [`down`]; as long as the lock lives, nobody starts anything again.
fn stop(
    layout: &Layout,
    drain_patience: Duration,
    hooks: &mut dyn Hooks,
    out: &mut dyn Write,
) -> Result<supervisor::Lock> {
    known(layout)?;
    let mut told = Told { out, started: Instant::now() };
    if let Some(supervisor) = supervisor::holder(layout) {
        // The signal would end it in the midst of its work.
        if supervisor::is_ending(supervisor) {
            bail!(supervisor::told(layout, Some(supervisor)));
        }
        supervisor.signal(DRAIN)?;
        let deadline = Instant::now() + drain_patience + SUPERVISOR_PATIENCE;
        if !wait(supervisor, deadline, layout, hooks, &mut told) {
            tracing::warn!(pid = supervisor.pid, "the supervisor does not end; killing it");
            supervisor.signal(Signal::KILL)?;
            supervisor.wait(KILL_PATIENCE);
        }
        told.line("node and server stopped");
    }
    let lock = lock(layout)?;
    end_children(layout);
    if running(layout).is_some() && !leftover_shims(layout).is_empty() {
        told.pods(hooks.running_pods(layout).as_ref());
        // Whatever it cannot stop, the next step does.
        if let Err(error) = hooks.stop_pods(layout) {
            tracing::warn!(
                error = crate::error::text(&error),
                "pods cannot be stopped properly; killing what is left"
            );
        }
    }
    let killed = end_containers(layout)?;
    if killed > 0 {
        told.line(&format!("{killed} left-over processes of containers ended"));
    }
    // Rules may go only when nobody uses them any more, and must go although a pod was stubborn.
    hooks.remove_network(layout).context("cannot remove the network rules")?;
    if Containerd::stop(layout) {
        told.line("containerd stopped");
    }
    end_shims(layout);
    let mounts = mounts::unmount_below(&[&layout.run_dir, &layout.kubelet_dir, &layout.containerd_root])?;
    if mounts > 0 {
        told.line(&format!("{mounts} left-over mounts undone"));
    }
    remove_cgroups(layout)?;
    remove_runtime_files(layout)?;
    told.line("down");
    Ok(lock)
}

/// Removes the instance: [`down`], then all its files, if there are any. Refuses what is not marked as a Corten root.
pub fn reset(
    layout: &Layout,
    drain_patience: Duration,
    hooks: &mut dyn Hooks,
    out: &mut dyn Write,
) -> Result<()> {
    if is_absent(layout, "remove", out) {
        return Ok(());
    }
    let root = &layout.root;
    known(layout)?;
    let found = by_hand::find(layout);
    if !found.is_empty() {
        let told: Vec<String> = found.iter().map(started_by_hand).collect();
        let numbers: Vec<String> = found.iter().map(|part| part.process.identity.pid.to_string()).collect();
        bail!(
            "nothing was stopped or removed: on {} there runs {}; stop that (kill {}), then reset again",
            root.display(),
            told.join(", "),
            numbers.join(" ")
        );
    }
    let _lock = stop(layout, drain_patience, hooks, out)?;
    hooks.refuse_state_in_use(layout)?;
    let mut directories = layout.owned_outside();
    directories.push(root);
    // Whatever is mounted there may be somebody's disk: it is undone, never emptied.
    mounts::unmount_below(&directories)?;
    for directory in directories {
        remove_tree(directory)?;
    }
    for directory in layout.shared_outside() {
        let _somebody_uses_it = std::fs::remove_dir(directory);
    }
    let _nobody_reads = writeln!(out, "{} removed", root.display());
    Ok(())
}

fn started_by_hand(by_hand: &ByHand) -> String {
    let (part, pid) = (by_hand.part, by_hand.process.identity.pid);
    let command = match part {
        "server" | "node" => part.to_owned(),
        part => format!("server --only {part}"),
    };
    format!("a `corten {command}` that somebody started by hand (process {pid})")
}

/// Refuses a directory that no cluster is in.
fn known(layout: &Layout) -> Result<()> {
    match std::fs::symlink_metadata(&layout.marker) {
        Ok(marker) if marker.is_file() => Ok(()),
        _ => bail!(
            "{} is no Corten root (it has no {MARKER_FILE}); nothing was stopped or removed",
            layout.root.display()
        ),
    }
}

struct Told<'a> {
    out: &'a mut dyn Write,
    started: Instant,
}

impl Told<'_> {
    fn line(&mut self, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let _nobody_reads = writeln!(self.out, "{seconds:>7.2} s  {text}").and_then(|()| self.out.flush());
    }

    /// Which pods are waited for.
    fn pods(&mut self, pods: Option<&BTreeSet<String>>) {
        match pods {
            Some(pods) if pods.is_empty() => {}
            Some(pods) => self.line(&waiting_for(pods)),
            None => self.line("the container runtime does not answer; pods that it cannot stop are killed"),
        }
    }
}

fn waiting_for(pods: &BTreeSet<String>) -> String {
    let names: Vec<&str> = pods.iter().take(PODS_NAMED_MAX).map(String::as_str).collect();
    let s = if pods.len() == 1 { "" } else { "s" };
    let more = match pods.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("waiting for {} pod{s}: {}{more}", pods.len(), names.join(", "))
}

/// Children of a supervisor that was killed end by themselves; this waits for them.
fn end_children(layout: &Layout) {
    let state = State::read(layout).map(|s| s.processes).unwrap_or_default();
    let children: Vec<Identity> = state.iter().filter(|p| !p.outlives).filter_map(|p| p.identity).collect();
    processes::end_all(&children, KILL_PATIENCE);
}

fn lock(layout: &Layout) -> Result<supervisor::Lock> {
    match supervisor::take(layout)? {
        Ok(lock) => Ok(lock),
        Err(holder) => bail!(supervisor::told(layout, holder)),
    }
}

/// Ends what runs in the instance's containers; returns how many there were. A container in the host's PID
/// namespace leaves its children to the shim, so a second look follows the first.
fn end_containers(layout: &Layout) -> Result<usize> {
    let mut count = 0;
    for patience in [CONTAINER_PATIENCE, KILL_PATIENCE] {
        let shims: BTreeSet<i32> = leftover_shims(layout).iter().map(|i| i.pid).collect();
        let in_pods = Cgroups::own()?.map(|c| c.processes(&pods_cgroup(layout))).unwrap_or_default();
        let containers = containers(&processes::all(), &shims, &in_pods.into_iter().collect());
        processes::end_all(&containers, patience);
        count += containers.len();
    }
    Ok(count)
}

/// The processes to end: children of our shims, and what is in the pods' cgroup without any shim above it,
/// because its shim died. What has somebody else's shim above it is another cluster's: the cgroup of the
/// default root has upstream's name.
fn containers(all: &[Process], shims: &BTreeSet<i32>, in_pods: &BTreeSet<i32>) -> Vec<Identity> {
    let by_pid: BTreeMap<i32, &Process> = all.iter().map(|p| (p.identity.pid, p)).collect();
    let is_orphan = |process: &Process| {
        let mut above = by_pid.get(&process.parent);
        // Parents started before their children, so this ends; the bound is for a changing table.
        for _ in 0..ANCESTORS_MAX {
            match above {
                Some(p) if p.name.starts_with("containerd-shim") || p.name.starts_with("conmon") => {
                    return false;
                }
                Some(p) => above = by_pid.get(&p.parent),
                None => break,
            }
        }
        in_pods.contains(&process.identity.pid)
    };
    all.iter().filter(|p| shims.contains(&p.parent) || is_orphan(p)).map(|p| p.identity).collect()
}

fn pods_cgroup(layout: &Layout) -> String {
    format!("{}/kubepods", layout.cgroup_root.trim_end_matches('/'))
}

/// Ends the shims. Their sockets lie outside of the state, in one directory for all containerds of the host;
/// each bundle says which is its own.
fn end_shims(layout: &Layout) {
    let bundles = layout.containerd_state.join("io.containerd.runtime.v2.task");
    let namespaces = entries(&bundles);
    for address in namespaces.iter().flat_map(|n| entries(n)).map(|bundle| bundle.join("address")) {
        let text = std::fs::read_to_string(address).unwrap_or_default();
        if let Some(socket) =
            text.trim().strip_prefix("unix://").filter(|s| s.starts_with("/run/containerd/s/"))
        {
            let _was_gone = std::fs::remove_file(socket);
        }
    }
    processes::end_all(&leftover_shims(layout), KILL_PATIENCE);
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

fn remove_cgroups(layout: &Layout) -> Result<()> {
    let Some(cgroups) = Cgroups::own()? else { return Ok(()) };
    for group in [&pods_cgroup(layout), &layout.own_cgroup] {
        // What joined a group without being a container of ours, an operator's shell for one, stays.
        let left = cgroups.remove(group);
        if let Some(first) = left.first() {
            tracing::warn!(group = %first.display(), count = left.len(), "cgroups stay: processes are in them");
        }
    }
    Ok(())
}

/// What a reboot would forget, and a new start must not find.
fn remove_runtime_files(layout: &Layout) -> Result<()> {
    for directory in [&layout.containerd_state, &layout.runc_root, &layout.notify_dir] {
        remove_tree(directory)?;
    }
    for file in [&layout.supervisor_state, &layout.cni_socket] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is to be removed of the top of a file system: not what mkfs made.
fn but_lost_and_found(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.retain(|path| !path.ends_with(LOST_AND_FOUND));
    paths
}

/// A `reset` that was interrupted can be done again, for what has no mark is refused.
fn mark_last(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort_by_key(|path| path.ends_with(MARKER_FILE));
    paths
}

/// Removes a directory in which nothing is mounted. What is itself a mount point, or reached by a link, is
/// emptied and stays.
fn remove_tree(directory: &Path) -> Result<()> {
    let real = match directory.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.with_context(|| format!("cannot look up {}", directory.display()))?,
    };
    let mounts = mounts::own()?;
    if let Some(mounted) = mounts::below(&mounts, &[&real]).first() {
        bail!("{} is mounted; nothing below {} was removed", mounted.display(), real.display());
    }
    let is_mount_point = mounts.iter().any(|m| m.point == real);
    let entries = if is_mount_point { but_lost_and_found(entries(&real)) } else { entries(&real) };
    for path in mark_last(entries) {
        let is_directory = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir());
        let removed = if is_directory { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    if real == directory && !is_mount_point {
        return std::fs::remove_dir(&real).with_context(|| format!("cannot remove {}", real.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_containers_end() {
        let process = |pid, parent, name: &str| Process {
            identity: Identity { pid, start: 0 },
            parent,
            name: name.into(),
            state: 'S',
        };
        let all = [
            process(1, 0, "init"),
            process(10, 1, "containerd-shim"),
            process(11, 10, "pause"),
            process(12, 11, "worker"),
            process(20, 1, "containerd-shim"),
            process(21, 20, "foreign"),
            process(22, 21, "foreign-worker"),
            process(30, 1, "orphan"),
            process(31, 30, "orphan-worker"),
            process(40, 1, "sshd"),
        ];
        let ended = containers(&all, &BTreeSet::from([10]), &BTreeSet::from([11, 12, 21, 22, 30, 31]));
        assert_eq!(ended.iter().map(|i| i.pid).collect::<Vec<_>>(), [11, 30, 31]);
    }

    #[test]
    fn only_corten_roots_are_reset() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("r");
        let layout = Layout::new(&root).unwrap();
        let mut told = Vec::new();
        down(&layout, Duration::ZERO, &mut (), &mut told).unwrap();
        reset(&layout, Duration::ZERO, &mut (), &mut told).unwrap();
        let elsewhere = format!("at {}; a cluster elsewhere is named by --root DIR\n", root.display());
        let nothing = format!("nothing to stop {elsewhere}nothing to remove {elsewhere}");
        assert_eq!(String::from_utf8(told).unwrap(), nothing);
        let reset = || reset(&layout, Duration::ZERO, &mut (), &mut Vec::new()).unwrap_err().to_string();
        let down = || down(&layout, Duration::ZERO, &mut (), &mut Vec::new()).unwrap_err().to_string();
        std::fs::create_dir(&root).unwrap();
        for said in [reset(), down()] {
            assert!(
                said.ends_with("is no Corten root (it has no .corten-root); nothing was stopped or removed")
            );
        }
        assert!(root.is_dir());
    }

    #[test]
    fn pods_that_are_waited_for() {
        let pods = |count: usize| (0..count).map(|number| format!("default/{number}")).collect();
        assert_eq!(waiting_for(&pods(1)), "waiting for 1 pod: default/0");
        assert_eq!(
            waiting_for(&pods(7)),
            "waiting for 7 pods: default/0, default/1, default/2, default/3, default/4 and 2 more"
        );
    }

    #[test]
    fn the_mark_goes_last() {
        let paths = |names: &[&str]| names.iter().map(|name| Path::new("/r").join(name)).collect::<Vec<_>>();
        assert_eq!(mark_last(paths(&["b", MARKER_FILE, "a"])), paths(&["b", "a", MARKER_FILE]));
        assert_eq!(but_lost_and_found(paths(&["a", LOST_AND_FOUND, "b"])), paths(&["a", "b"]));
    }

    #[test]
    fn links_are_emptied_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        std::fs::create_dir_all(real.join("a/b")).unwrap();
        std::fs::write(real.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/", real.join("a/link")).unwrap();
        std::os::unix::fs::symlink(&real, real.with_file_name("link")).unwrap();
        remove_tree(&real.with_file_name("link")).unwrap();
        assert_eq!(entries(&real), Vec::<PathBuf>::new());
        remove_tree(&real).unwrap();
        assert!(!real.exists());
        remove_tree(&real).unwrap();
    }
}
