//! The cgroups of pods: `kubepods` below the configured root, a child for each class but `Guaranteed`, one per pod.
//!
//! Works on v1, on hybrid machines (v1 controllers beside an empty v2 tree) and on v2; with the cgroupfs driver or,
//! where the runtime says so, with systemd's names. Upstream counterpart: `pkg/kubelet/cm`.

use std::io;
use std::path::{Path, PathBuf};

use api::core::v1::Pod;

use crate::machine::Machine;
use crate::resources::{self, BEST_EFFORT, BURSTABLE, CPU_PERIOD, GUARANTEED};
use crate::spec;

const MOUNT: &str = "/sys/fs/cgroup";
/// The v1 hierarchies in which pods have limits; in the others the runtime makes what it needs.
const V1_LIMITED: [&str; 3] = ["cpu", "memory", "pids"];
/// The v2 controllers that pods need.
const V2_CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "cpuset", "io"];

/// The cgroups of the classes that have one.
const CLASS_BURSTABLE: &str = "burstable";
const CLASS_BEST_EFFORT: &str = "besteffort";

/// How the machine's cgroups are and where ours begin.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    mount: PathBuf,
    is_unified: bool,
    uses_systemd: bool,
    /// Below which `kubepods` lies: `/` or `/corten-x`.
    root: String,
}

impl Cgroups {
    /// Looks at the machine. `uses_systemd`: the runtime leaves its cgroups to systemd.
    pub(crate) fn read(root: &str, uses_systemd: bool) -> Self {
        let mount = PathBuf::from(MOUNT);
        let is_unified = mount.join("cgroup.controllers").exists();
        let root = format!("/{}", root.trim_matches('/'));
        Self { mount, is_unified, uses_systemd, root }
    }

    pub(crate) fn is_unified(&self) -> bool {
        self.is_unified
    }

    /// The pod's cgroup as the runtime is to be told.
    pub(crate) fn parent(&self, pod: &Pod) -> String {
        if self.uses_systemd {
            self.slices(pod).pop().unwrap_or_default()
        } else {
            self.names(pod).pop().unwrap_or_default()
        }
    }

    /// The cgroup of all pods.
    fn pods(&self) -> String {
        format!("{}/kubepods", self.root.trim_end_matches('/'))
    }

    /// Paths from `kubepods` to the pod's cgroup, as cgroupfs names them.
    fn names(&self, pod: &Pod) -> Vec<String> {
        let mut names = vec![self.pods()];
        if let Some(class) = class(pod) {
            names.push(format!("{}/{class}", self.pods()));
        }
        let parent = names.last().cloned().unwrap_or_default();
        names.push(format!("{parent}/pod{}", spec::uid(pod)));
        names
    }

    /// The same as systemd names slices, each below the one before it.
    fn slices(&self, pod: &Pod) -> Vec<String> {
        let prefix = self.root.trim_matches('/').replace('-', "_").replace('/', "-");
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}-") };
        let mut slices = vec![format!("{prefix}kubepods.slice")];
        let class = class(pod).map(|class| format!("-{class}")).unwrap_or_default();
        if !class.is_empty() {
            slices.push(format!("{prefix}kubepods{class}.slice"));
        }
        slices.push(format!("{prefix}kubepods{class}-pod{}.slice", spec::uid(pod).replace('-', "_")));
        slices
    }

    /// Gives all pods together the weight of the machine's processors, and its memory at most: without, they would
    /// weigh as much as a single process beside them. With systemd's names the runtime makes the group.
    ///
    /// Upstream counterpart: `enforceNodeAllocatableCgroups` of `pkg/kubelet/cm`.
    pub(crate) fn enforce(&self, machine: &Machine) -> io::Result<()> {
        let milli = i64::try_from(machine.cpus).unwrap_or(i64::MAX).saturating_mul(1000);
        let memory = i64::try_from(machine.memory).ok().filter(|bytes| *bytes > 0);
        self.make(&[self.pods()], &Limits { shares: resources::shares(milli), quota: None, memory })
    }

    /// Gives the classes their weights: burstable pods together what they ask for, best-effort ones next to nothing.
    ///
    /// Upstream counterpart: `setCPUCgroupConfig` of `pkg/kubelet/cm/qos_container_manager_linux.go`.
    pub(crate) fn weigh<'a>(&self, pods: impl Iterator<Item = &'a Pod>) -> io::Result<()> {
        let burstable = pods.filter(|pod| resources::qos_class(pod) == BURSTABLE);
        let asked =
            burstable.filter_map(|pod| resources::pod_amount(pod, false, "cpu")).fold(0, i64::saturating_add);
        for (class, milli) in [(CLASS_BURSTABLE, asked), (CLASS_BEST_EFFORT, 0)] {
            let names = [self.pods(), format!("{}/{class}", self.pods())];
            self.make(&names, &Limits { shares: resources::shares(milli), quota: None, memory: None })?;
        }
        Ok(())
    }

    /// Makes the pod's cgroup, with its limits. With systemd's names the runtime makes it.
    pub(crate) fn create(&self, pod: &Pod) -> io::Result<()> {
        self.make(&self.names(pod), &limits(pod))
    }

    /// Makes cgroups, each below the one before it, and limits the last.
    fn make(&self, names: &[String], limits: &Limits) -> io::Result<()> {
        if self.uses_systemd {
            return Ok(());
        }
        let own = names.last().map(String::as_str).unwrap_or_default();
        if self.is_unified {
            for name in names {
                self.make_v2(name)?;
            }
        } else {
            for base in V1_LIMITED.map(|hierarchy| self.mount.join(hierarchy)) {
                if base.is_dir() {
                    std::fs::create_dir_all(join(&base, own))?;
                }
            }
        }
        self.write(own, limits)
    }

    fn write(&self, name: &str, limits: &Limits) -> io::Result<()> {
        if self.is_unified {
            return write_limits_v2(&join(&self.mount, name), limits);
        }
        write_limits_v1(&self.mount, name, limits)
    }

    /// A cgroup that hands all controllers to its children.
    fn make_v2(&self, name: &str) -> io::Result<()> {
        let mut path = self.mount.clone();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            for controller in V2_CONTROLLERS {
                // What the kernel lacks, nobody limits.
                let _ = std::fs::write(path.join("cgroup.subtree_control"), format!("+{controller}"));
            }
            path.push(part);
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        for controller in V2_CONTROLLERS {
            let _ = std::fs::write(path.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        Ok(())
    }

    /// Writes the pod's limits anew.
    pub(crate) fn update(&self, pod: &Pod) -> io::Result<()> {
        if self.uses_systemd {
            return Ok(());
        }
        self.write(&self.names(pod).pop().unwrap_or_default(), &limits(pod))
    }

    /// Removes the pod's cgroups, when all of its processes are gone.
    pub(crate) fn remove(&self, pod: &Pod) {
        if self.uses_systemd {
            return;
        }
        let name = self.names(pod).pop().unwrap_or_default();
        for base in self.hierarchies() {
            remove_tree(&join(&base, &name));
        }
    }

    /// Removes all that belongs to this instance.
    pub(crate) fn remove_all(&self) {
        let root = self.root.trim_end_matches('/');
        for base in self.hierarchies() {
            remove_tree(&join(&base, &self.pods()));
            if !root.is_empty() {
                let _ = std::fs::remove_dir(join(&base, root));
            }
        }
    }

    fn hierarchies(&self) -> Vec<PathBuf> {
        if self.is_unified {
            return vec![self.mount.clone()];
        }
        let entries = std::fs::read_dir(&self.mount).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect()
    }
}

fn class(pod: &Pod) -> Option<&'static str> {
    match resources::qos_class(pod) {
        BURSTABLE => Some(CLASS_BURSTABLE),
        BEST_EFFORT => Some(CLASS_BEST_EFFORT),
        GUARANTEED => None,
        _ => None,
    }
}

fn join(base: &Path, name: &str) -> PathBuf {
    base.join(name.trim_start_matches('/'))
}

struct Limits {
    shares: i64,
    quota: Option<i64>,
    memory: Option<i64>,
}

/// What the pod as a whole may use: a limit only if every container has one.
fn limits(pod: &Pod) -> Limits {
    let limit = |name: &str| {
        resources::pod_amount(pod, true, name)
            .filter(|_| resources::is_limited(pod, name))
            .filter(|value| *value > 0)
    };
    Limits {
        shares: resources::shares(resources::pod_amount(pod, false, "cpu").unwrap_or(0)),
        quota: limit("cpu").map(resources::quota),
        memory: limit("memory"),
    }
}

fn write_limits_v1(mount: &Path, name: &str, limits: &Limits) -> io::Result<()> {
    let write = |hierarchy: &str, file: &str, value: i64| {
        let path = join(&mount.join(hierarchy), name).join(file);
        if path.exists() { std::fs::write(path, value.to_string()) } else { Ok(()) }
    };
    write("cpu", "cpu.shares", limits.shares)?;
    if let Some(quota) = limits.quota {
        write("cpu", "cpu.cfs_period_us", CPU_PERIOD)?;
        write("cpu", "cpu.cfs_quota_us", quota)?;
    }
    if let Some(memory) = limits.memory {
        write("memory", "memory.limit_in_bytes", memory)?;
    }
    Ok(())
}

fn write_limits_v2(path: &Path, limits: &Limits) -> io::Result<()> {
    let write = |file: &str, value: String| {
        let path = path.join(file);
        if path.exists() { std::fs::write(path, value) } else { Ok(()) }
    };
    write("cpu.weight", weight(limits.shares).to_string())?;
    if let Some(quota) = limits.quota {
        write("cpu.max", format!("{quota} {CPU_PERIOD}"))?;
    }
    if let Some(memory) = limits.memory {
        write("memory.max", memory.to_string())?;
    }
    Ok(())
}

/// The weight of v2 for shares of v1: 2..262144 onto 1..10000.
fn weight(shares: i64) -> i64 {
    1 + (shares - 2) * 9999 / 262_142
}

/// Removes a cgroup with all below it; directories only, the files go with them.
fn remove_tree(path: &Path) {
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    if let Err(error) = std::fs::remove_dir(path) {
        tracing::debug!(path = %path.display(), %error, "cannot remove a cgroup");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn names_by_driver_and_class() {
        let best = pod(json!({"containers": [{"name": "a"}]}));
        let limits = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let guaranteed = pod(json!({"containers": [{"name": "a", "resources": limits}]}));
        let cgroups = |root: &str, uses_systemd| Cgroups {
            mount: PathBuf::from("/nowhere"),
            is_unified: true,
            uses_systemd,
            root: format!("/{}", root.trim_matches('/')),
        };
        assert_eq!(cgroups("/", false).parent(&best), "/kubepods/besteffort/podu");
        assert_eq!(cgroups("/corten-x", false).parent(&guaranteed), "/corten-x/kubepods/podu");
        assert_eq!(cgroups("/", true).parent(&best), "kubepods-besteffort-podu.slice");
        assert_eq!(cgroups("/corten", true).parent(&guaranteed), "corten-kubepods-podu.slice");
    }

    #[test]
    fn all_pods_weigh_as_much_as_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine { cpus: 4, memory: 8 << 30, ..Machine::default() };
        let files = [
            (true, "corten/kubepods/cpu.weight", "157"),
            (true, "corten/kubepods/memory.max", "8589934592"),
            (false, "cpu/corten/kubepods/cpu.shares", "4096"),
            (false, "memory/corten/kubepods/memory.limit_in_bytes", "8589934592"),
        ];
        for (is_unified, file, expected) in files {
            let path = dir.path().join(file);
            // The kernel makes the files; here somebody else must.
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            let root = "/corten".to_owned();
            let cgroups = Cgroups { mount: dir.path().into(), is_unified, uses_systemd: false, root };
            cgroups.enforce(&machine).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected, "{file}");
        }
    }

    #[test]
    fn classes_weigh_what_their_pods_ask_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = |class: &str| dir.path().join("cpu/kubepods").join(class).join("cpu.shares");
        for class in [CLASS_BURSTABLE, CLASS_BEST_EFFORT] {
            std::fs::create_dir_all(file(class).parent().unwrap()).unwrap();
            std::fs::write(file(class), "1024").unwrap();
        }
        let asks = |resources| pod(json!({"containers": [{"name": "a", "resources": resources}]}));
        let pods = [
            asks(json!({"requests": {"cpu": "500m"}})),
            asks(json!({"requests": {"cpu": "1500m"}})),
            asks(json!({"limits": {"cpu": "1", "memory": "1Gi"}})),
            asks(json!({})),
        ];
        let root = "/".to_owned();
        let cgroups = Cgroups { mount: dir.path().into(), is_unified: false, uses_systemd: false, root };
        cgroups.weigh(pods.iter()).unwrap();
        let shares = |class| std::fs::read_to_string(file(class)).unwrap();
        assert_eq!([CLASS_BURSTABLE, CLASS_BEST_EFFORT].map(shares), ["2048", "2"]);
    }

    #[test]
    fn weights() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 39, 10_000]);
    }
}
