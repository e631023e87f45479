//! What the machine is and has: processors, memory, disk, kernel, system.

use std::collections::BTreeMap;
use std::path::Path;

use api::Quantity;

use crate::config::Config;
use crate::eviction::{Signal, Thresholds};

/// The machine, as it was found when the kubelet started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) cpus: u64,
    /// Bytes.
    pub(crate) memory: u64,
    /// Bytes of the file system that pods' directories lie on.
    pub(crate) disk: u64,
    pub(crate) machine_id: String,
    pub(crate) system_uuid: String,
    pub(crate) boot_id: String,
    pub(crate) kernel: String,
    pub(crate) os_image: String,
    /// Bytes of huge pages, by the resource's name (`hugepages-2Mi`).
    pub(crate) huge_pages: BTreeMap<String, u64>,
}

impl Machine {
    /// Looks at the machine; what cannot be read is empty.
    pub(crate) fn read(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let name = rustix::system::uname();
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        Self {
            cpus,
            memory: meminfo(&text("/proc/meminfo"), "MemTotal"),
            disk: Disk::read(root).map_or(0, |disk| disk.capacity),
            machine_id: text("/etc/machine-id"),
            system_uuid: Some(text("/sys/class/dmi/id/product_uuid"))
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| text("/etc/machine-id")),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            kernel: name.release().to_string_lossy().into_owned(),
            os_image: os_image(&text("/etc/os-release")),
            huge_pages: huge_pages(),
        }
    }

    /// What the node has.
    pub(crate) fn capacity(&self, config: &Config) -> BTreeMap<String, Quantity> {
        let mut list: BTreeMap<String, Quantity> = [
            ("cpu".to_owned(), Quantity(self.cpus.to_string())),
            ("memory".to_owned(), Quantity(format!("{}Ki", self.memory / 1024))),
            ("ephemeral-storage".to_owned(), Quantity(format!("{}Ki", self.disk / 1024))),
            ("pods".to_owned(), Quantity(config.pods_max.to_string())),
        ]
        .into();
        for (name, bytes) in &self.huge_pages {
            list.insert(name.clone(), Quantity(bytes.to_string()));
        }
        list
    }

    /// What of it pods may have.
    pub(crate) fn allocatable(&self, config: &Config) -> BTreeMap<String, Quantity> {
        let mut list = self.capacity(config);
        let huge: u64 = self.huge_pages.values().sum();
        let kept = |signal, capacity| config.eviction_hard.reserved(signal, capacity);
        let memory =
            self.memory.saturating_sub(kept(Signal::MemoryAvailable, self.memory).saturating_add(huge));
        let disk = self.disk.saturating_sub(kept(Signal::NodeFsAvailable, self.disk));
        list.insert("memory".to_owned(), Quantity(format!("{}Ki", memory / 1024)));
        list.insert("ephemeral-storage".to_owned(), Quantity(disk.to_string()));
        list
    }
}

/// Room on a file system, in bytes and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// All of it, as upstream counts what a node has.
    pub capacity: u64,
    /// What is in use.
    pub used: u64,
    /// What can still be had: less than the rest, where the file system keeps something back.
    pub available: u64,
    pub(crate) inodes: u64,
    pub(crate) inodes_free: u64,
}

impl Disk {
    /// Of the file system that `path` is on, or its nearest parent that is there.
    pub fn read(path: &Path) -> Option<Self> {
        let stat = path.ancestors().find_map(|path| rustix::fs::statvfs(path).ok())?;
        Some(Self {
            capacity: stat.f_blocks.saturating_mul(stat.f_frsize),
            used: stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize),
            available: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
        })
    }

    /// What is used and what can be had together, the whole of df(1)'s percentage. What the file system keeps back is
    /// neither: counted as used, it would make a disk that reserves much look full for ever.
    pub(crate) fn usable(self) -> u64 {
        self.used.saturating_add(self.available)
    }

    /// Whether bytes or files are short where pods' directories lie.
    pub fn is_short(self, thresholds: &Thresholds) -> bool {
        self.is_below(thresholds, Signal::NodeFsAvailable, Signal::NodeFsInodesFree)
    }

    /// Whether they are where the runtime keeps images.
    pub(crate) fn is_short_of_images(self, thresholds: &Thresholds) -> bool {
        self.is_below(thresholds, Signal::ImageFsAvailable, Signal::ImageFsInodesFree)
    }

    fn is_below(self, thresholds: &Thresholds, bytes: Signal, files: Signal) -> bool {
        thresholds.is_below(bytes, self.available, self.usable())
            || thresholds.is_below(files, self.inodes_free, self.inodes)
    }
}

/// Bytes of memory that could be given to processes now.
pub(crate) fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(meminfo(&text, "MemAvailable"))
}

/// Whether memory is short.
pub(crate) fn is_memory_short(thresholds: &Thresholds, capacity: u64) -> bool {
    memory_available().is_some_and(|bytes| thresholds.is_below(Signal::MemoryAvailable, bytes, capacity))
}

/// Whether nearly all process ids are taken.
pub(crate) fn is_pids_short(thresholds: &Thresholds) -> bool {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let max = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|text| number(&text));
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    // The fourth field is runnable/all.
    let all = load.and_then(|text| number(text.split_whitespace().nth(3)?.split('/').nth(1)?));
    let (Some(max), Some(all)) = (max, all) else { return false };
    thresholds.is_below(Signal::PidAvailable, u64::saturating_sub(max, all), max)
}

/// A line of `/proc/meminfo` in bytes.
fn meminfo(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn os_image(release: &str) -> String {
    let line = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn huge_pages() -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kib =
            name.strip_prefix("hugepages-").and_then(|rest| rest.strip_suffix("kB")?.parse::<u64>().ok());
        let count = std::fs::read_to_string(entry.path().join("nr_hugepages"))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        let (Some(kib), Some(count)) = (kib, count) else { continue };
        let size = if kib >= 1 << 20 { format!("{}Gi", kib >> 20) } else { format!("{}Mi", kib >> 10) };
        found.insert(format!("hugepages-{size}"), count * kib * 1024);
    }
    found
}

/// The processor's architecture in Go's names.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_back_is_not_used() {
        let disk = |used, available| {
            Disk { capacity: 1000, used, available, inodes: 0, inodes_free: 0 }
                .is_short(&Thresholds::default())
        };
        assert_eq!((disk(500, 100), disk(500, 50), disk(0, 1000)), (false, true, false));
    }

    #[test]
    fn reads_memory_and_system() {
        let text = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    512 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), 16 << 20);
        assert_eq!(meminfo(text, "MemAvailable"), 512 << 10);
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
    }
}
