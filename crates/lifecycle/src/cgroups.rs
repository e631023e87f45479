//! The control groups of the machine, v1, hybrid or v2: where they are, whether they can be used, groups of
//! our own in them.
//!
//! containerd lives in a group of its own, so that no limit of a service or a login session that Corten was
//! started from reaches it, and systemd's end of that service does not either.

use crate::mounts::Mount;
use anyhow::{Context, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Controllers that pods cannot do without.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

/// The last pause of those that are twice as long each: about a second together.
const REMOVE_PAUSE_MAX: Duration = Duration::from_millis(600);

/// Which of the kernel's two interfaces is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Controllers each in a tree of its own.
    V1,
    /// As v1, and an empty v2 tree beside.
    Hybrid,
    /// One tree.
    V2,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::Hybrid => "v1 (hybrid)",
            Self::V2 => "v2",
        })
    }
}

/// The mounted trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    /// What the trees are together.
    pub version: Version,
    /// Each tree's mount point and controllers; none for v2's own tree in a hybrid set-up.
    pub trees: Vec<Tree>,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its controllers, or `name=...` for a named one.
    pub controllers: Vec<String>,
}

impl Cgroups {
    /// The trees among the mounts; nothing if there are none. `v2_controllers` reads `cgroup.controllers` of
    /// a v2 tree.
    pub fn find(mounts: &[Mount], v2_controllers: impl Fn(&Path) -> String) -> Option<Self> {
        let mut trees: Vec<Tree> = Vec::new();
        let (mut v1, mut v2) = (false, false);
        for mount in mounts {
            let controllers: Vec<String> = match mount.kind.as_str() {
                "cgroup" => {
                    v1 = true;
                    let is_controller = |o: &&str| {
                        !["rw", "ro", "xattr", "noprefix", "clone_children"].contains(o)
                            && !o.contains("release_agent")
                    };
                    mount.options.split(',').filter(is_controller).map(str::to_owned).collect()
                }
                "cgroup2" => {
                    v2 = true;
                    v2_controllers(&mount.point).split_ascii_whitespace().map(str::to_owned).collect()
                }
                _ => continue,
            };
            // A second mount of the same tree is the same tree.
            if !trees.iter().any(|tree| tree.controllers == controllers && !controllers.is_empty()) {
                trees.push(Tree { point: mount.point.clone(), controllers });
            }
        }
        let version = match (v1, v2) {
            (true, true) => Version::Hybrid,
            (true, false) => Version::V1,
            (false, true) => Version::V2,
            (false, false) => return None,
        };
        Some(Self { version, trees })
    }

    /// The trees of this machine.
    pub fn own() -> Result<Option<Self>> {
        let read =
            |point: &Path| std::fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
        Ok(Self::find(&crate::mounts::own()?, read))
    }

    /// Which of the controllers that pods need are missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let has = |name: &str| self.trees.iter().any(|t| t.controllers.iter().any(|c| c == name));
        NEEDED.into_iter().filter(|name| !has(name)).collect()
    }

    /// Makes `group` (such as `/corten/containerd`) in every tree and opens its lists of processes.
    pub fn enter(&self, group: &str) -> Result<Vec<OwnedFd>> {
        let mut lists = Vec::new();
        for tree in &self.trees {
            let path = make(tree, group)?;
            let procs = path.join("cgroup.procs");
            let open = rustix::fs::open(&procs, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
            lists.push(open.with_context(|| format!("cannot open {}", procs.display()))?);
        }
        Ok(lists)
    }

    /// Processes in `group` and its descendants.
    pub fn processes(&self, group: &str) -> Vec<i32> {
        let mut pids: Vec<i32> = Vec::new();
        for tree in &self.trees {
            for dir in descendants(&within(&tree.point, group)) {
                let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()));
            }
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Removes `group` and its descendants from all trees. Groups with processes stay; they are returned.
    pub fn remove(&self, group: &str) -> Vec<PathBuf> {
        let groups = self.trees.iter().flat_map(|tree| descendants(&within(&tree.point, group)));
        groups.filter(|dir| !remove_dir(dir)).collect()
    }

    /// Removes `group` from the trees where nothing is in it, and leaves it in the others.
    pub(crate) fn remove_if_empty(&self, group: &str) {
        for tree in &self.trees {
            let _in_use = std::fs::remove_dir(within(&tree.point, group));
        }
    }
}

/// Says whether the group is gone. The kernel counts a process for a moment after its end has been told, and
/// has no word for when it stops (v1); runc waits in the same way (`RemovePath` in its libcontainer/cgroups).
fn remove_dir(dir: &Path) -> bool {
    let mut pause = Duration::from_millis(1);
    loop {
        match std::fs::remove_dir(dir) {
            Ok(()) => return true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy && pause < REMOVE_PAUSE_MAX => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(_) => return false,
        }
    }
}

fn make(tree: &Tree, group: &str) -> Result<PathBuf> {
    let mut path = tree.point.clone();
    for name in group.split('/').filter(|name| !name.is_empty()) {
        let parent = path.clone();
        path.push(name);
        match std::fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make the cgroup {}", path.display()));
            }
        }
        // A new v1 cpuset is empty, and nothing may enter it before it has processors and memory.
        if tree.controllers.iter().any(|c| c == "cpuset") && !parent.join("cgroup.subtree_control").exists() {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let copy = || std::fs::write(path.join(file), std::fs::read(parent.join(file))?);
                copy().with_context(|| format!("cannot copy {file} into the cgroup {}", path.display()))?;
            }
        }
    }
    Ok(path)
}

fn within(point: &Path, group: &str) -> PathBuf {
    point.join(group.trim_start_matches('/'))
}

/// The directory and those below it, innermost first.
fn descendants(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = found.get(next) {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let below: Vec<PathBuf> =
            entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect();
        found.extend(below);
        next += 1;
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, kind: &str, options: &str) -> Mount {
        Mount { point: point.into(), kind: kind.into(), options: options.into() }
    }

    #[test]
    fn kinds_of_machines() {
        let v1 =
            [mount("/c/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"), mount("/c/memory", "cgroup", "rw,memory")];
        let named = mount("/c/systemd", "cgroup", "rw,xattr,name=systemd");
        let v2 = mount("/c", "cgroup2", "rw,nsdelegate");
        let found = |mounts: &[Mount], v2: &str| {
            Cgroups::find(mounts, |_| v2.to_owned()).map(|c| (c.version, c.trees.len(), c.missing()))
        };
        assert_eq!(found(&[], ""), None);
        assert_eq!(found(&v1, ""), Some((Version::V1, 2, vec!["pids"])));
        let hybrid = [&v1[..], &[named, v2.clone()]].concat();
        assert_eq!(found(&hybrid, ""), Some((Version::Hybrid, 4, vec!["pids"])));
        assert_eq!(
            found(std::slice::from_ref(&v2), "cpuset cpu io memory pids"),
            Some((Version::V2, 1, vec![]))
        );
        assert_eq!(found(&[v2.clone(), v2], "memory\n"), Some((Version::V2, 1, vec!["cpu", "pids"])));
    }

    #[test]
    fn groups_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree { point: dir.path().to_owned(), controllers: vec!["cpuset".into()] };
        for (file, text) in [("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n")] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let made = make(&tree, "/a/b").unwrap();
        assert_eq!(made, dir.path().join("a/b"));
        assert_eq!(std::fs::read_to_string(made.join("cpuset.cpus")).unwrap(), "0-1\n");
        std::fs::write(made.join("cgroup.procs"), "7\n9\n").unwrap();
        let cgroups = Cgroups { version: Version::V1, trees: vec![tree] };
        assert_eq!(cgroups.processes("/a"), [7, 9]);
        // A real group's files do not hold it; these do, so both groups stay.
        assert_eq!(cgroups.remove("/a"), ["a/b", "a"].map(|g| dir.path().join(g)));
    }
}
