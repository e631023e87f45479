//! `corten doctor`: what is missing on this machine or in Corten's way, with what to do about it.
//!
//! [`Facts`] are gathered once, [`judge`] is pure. `up` refuses to start over what is [`Outcome::Bad`], so that
//! people read one plain list instead of the first error of the first process.

mod addresses;
mod facts;
mod ports;

pub use addresses::{Network, Route, is_own};
pub use facts::{Facts, RuntimeFacts};
pub use ports::{Listener, Transport};

use crate::cgroups;
use crate::layout::Layout;
use crate::supervisor::Runtime;
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Images, logs and the store need room, however large the disk.
const DISK_BYTES_MIN: u64 = 1 << 30;
/// Corten, containerd and a few pods.
const MEMORY_BYTES_MIN: u64 = 448 << 20;
/// Each watched file or directory tree of a pod's container may take one; distributions' 128 is soon used up.
const INOTIFY_INSTANCES_MIN: u64 = 256;
/// Of rtnetlink, nf_tables' `fib` and `numgen`, pidfds.
const KERNEL_MIN: (u32, u32) = (5, 4);
/// Capabilities without which no container starts or no packet is routed (numbers of linux/capability.h).
const CAPABILITIES: [(u32, &str); 5] = [
    (12, "CAP_NET_ADMIN"),
    (13, "CAP_NET_RAW"),
    (18, "CAP_SYS_CHROOT"),
    (19, "CAP_SYS_PTRACE"),
    (21, "CAP_SYS_ADMIN"),
];
const CAP_SYS_RESOURCE: u32 = 24;
/// Who cannot share a machine with the default instance: same ports, same directories.
const OTHER_KUBELETS: [&str; 6] = ["kubelet", "k3s-server", "k3s-agent", "k0s", "rke2", "kubelite"];

/// What an instance wants of its machine.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Paths and names.
    pub layout: Layout,
    /// Where containers run.
    pub runtime: Runtime,
    /// Where its processes listen.
    pub ports: Vec<Port>,
    /// Addresses it gives out.
    pub ranges: Vec<Range>,
    /// Addresses that it answers on.
    pub addresses: Vec<OwnAddress>,
    /// The root's file system, as the node counts it.
    pub room: Room,
}

impl Needs {
    /// No more than paths and a runtime.
    pub fn of(layout: Layout, runtime: Runtime) -> Self {
        Self { layout, runtime, ports: vec![], ranges: vec![], addresses: vec![], room: Room::default() }
    }
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can be had.
    pub free: u64,
    /// All bytes.
    pub total: u64,
    /// Whether the node says that it has disk pressure.
    pub is_short: bool,
}

/// An address to listen on.
#[derive(Clone, Debug)]
pub struct Port {
    /// The unspecified address for all.
    pub address: IpAddr,
    /// Its number.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// For what, such as `API server`.
    pub what: String,
    /// What to do if it is taken.
    pub advice: String,
}

/// Addresses for pods or Services.
#[derive(Clone, Debug)]
pub struct Range {
    /// `10.244.0.0/16`.
    pub network: Network,
    /// For what, such as `pods`.
    pub what: String,
    /// The option that changes it.
    pub option: String,
}

/// An address that somebody gave and that the machine must have.
#[derive(Clone, Debug)]
pub struct OwnAddress {
    /// Without a port.
    pub address: IpAddr,
    /// Of what, such as `node`.
    pub what: String,
    /// The option that names it.
    pub option: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// It works, not as well as it could.
    Warning,
    /// `up` does not start so.
    Bad,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do; empty if it is good.
    pub advice: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.outcome {
            Outcome::Good => "ok",
            Outcome::Warning => "warning",
            Outcome::Bad => "BAD",
        };
        write!(f, "{mark:<8}{:<12}{}", self.name, self.found)?;
        if !self.advice.is_empty() {
            write!(f, "\n{:20}→ {}", "", self.advice)?;
        }
        Ok(())
    }
}

/// Looks at everything.
pub fn run(needs: &Needs) -> Vec<Check> {
    judge(needs, &Facts::gather(needs))
}

/// What is not as it should be; an error with all that is bad, if anything is.
pub(crate) fn refuse(needs: &Needs) -> anyhow::Result<Vec<Check>> {
    let checks = run(needs);
    let bad = checks.iter().filter(|c| c.outcome == Outcome::Bad);
    let lines: Vec<String> =
        bad.map(|c| format!("\n  {}: {}\n    → {}", c.name, c.found, c.advice)).collect();
    anyhow::ensure!(lines.is_empty(), "this machine is not ready for Corten:{}", lines.concat());
    Ok(checks.into_iter().filter(|c| c.outcome == Outcome::Warning).collect())
}

/// An error for anybody but root, before anything is tried that would only say "permission denied".
pub fn refuse_others_than_root() -> anyhow::Result<()> {
    let user = rustix::process::geteuid();
    anyhow::ensure!(user.is_root(), "this takes root, and you are user {}: run it with sudo", user.as_raw());
    Ok(())
}

/// Judges the facts. Pure.
pub fn judge(needs: &Needs, facts: &Facts) -> Vec<Check> {
    let mut checks =
        vec![user(facts), capabilities(facts), kernel(facts), netfilter(facts), control_groups(facts)];
    checks.extend(runtime(facts));
    checks.extend(needs.ports.iter().filter_map(|port| taken(port, facts)));
    if !checks.iter().any(|c| c.name == PORTS) && !needs.ports.is_empty() {
        let mut numbers: Vec<String> = needs.ports.iter().map(|p| p.port.to_string()).collect();
        numbers.dedup();
        checks.push(good(PORTS, format!("{} free or ours", numbers.join(", "))));
    }
    checks.extend(addresses::judge(needs, facts));
    checks.extend([host_name(facts), disk(needs.room, &needs.layout.root), memory(facts), inotify(facts)]);
    checks.extend(neighbours(needs, facts));
    checks
}

const PORTS: &str = "ports";

fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, outcome: Outcome::Good, found: found.into(), advice: String::new() }
}

fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { name, outcome: Outcome::Warning, found: found.into(), advice: advice.into() }
}

fn bad(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { name, outcome: Outcome::Bad, found: found.into(), advice: advice.into() }
}

fn user(facts: &Facts) -> Check {
    match facts.user {
        0 => good("user", "root"),
        id => bad(
            "user",
            format!("user {id}, not root"),
            "run it as root: containers, networks and cgroups need it (sudo)",
        ),
    }
}

fn capabilities(facts: &Facts) -> Check {
    let has = |bit: u32| facts.capabilities & (1 << bit) != 0;
    let missing: Vec<&str> =
        CAPABILITIES.into_iter().filter(|(bit, _)| !has(*bit)).map(|(_, name)| name).collect();
    if !missing.is_empty() {
        return bad(
            "privileges",
            format!("{} missing", missing.join(", ")),
            "give the machine's container these capabilities (a privileged container has them)",
        );
    }
    if !has(CAP_SYS_RESOURCE) {
        return warning(
            "privileges",
            "CAP_SYS_RESOURCE missing",
            "it works, but the kernel may kill important containers first when memory runs out",
        );
    }
    good("privileges", "all")
}

fn kernel(facts: &Facts) -> Check {
    let numbers: Vec<u32> = facts
        .kernel
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok())
        .take(2)
        .collect();
    match numbers[..] {
        [major, minor] if (major, minor) < KERNEL_MIN => bad(
            "kernel",
            format!("Linux {}", facts.kernel),
            format!("Linux {}.{} or newer is needed", KERNEL_MIN.0, KERNEL_MIN.1),
        ),
        _ => good("kernel", format!("Linux {}", facts.kernel)),
    }
}

fn netfilter(facts: &Facts) -> Check {
    if facts.netfilter {
        return good("netfilter", "answers");
    }
    bad(
        "netfilter",
        "the kernel has no nfnetlink",
        "load nf_tables (modprobe nf_tables), or take a kernel with CONFIG_NF_TABLES",
    )
}

fn control_groups(facts: &Facts) -> Check {
    let name = "cgroups";
    let Some(groups) = &facts.cgroups else {
        return bad(name, "none are mounted", "mount them: mount -t cgroup2 none /sys/fs/cgroup");
    };
    let missing = groups.missing();
    if !missing.is_empty() {
        let advice = match groups.version {
            cgroups::Version::V2 => {
                "let the outer system delegate them (Delegate=yes), or enable them at the kernel's command line (cgroup_enable=memory)"
            }
            _ => {
                "mount them below /sys/fs/cgroup, or enable them at the kernel's command line (cgroup_enable=memory)"
            }
        };
        return bad(name, format!("{}, without {}", groups.version, missing.join(", ")), advice);
    }
    if let Some(error) = &facts.cgroups_unwritable {
        return bad(
            name,
            format!("{}, {error}", groups.version),
            "mount them read-write; in a container, give it its own writable cgroups",
        );
    }
    good(name, groups.version.to_string())
}

fn runtime(facts: &Facts) -> Vec<Check> {
    let name = "runtime";
    match &facts.runtime {
        RuntimeFacts::NotNeeded => vec![],
        RuntimeFacts::Missing(error) => {
            vec![bad(
                name,
                error.clone(),
                "Debian and Ubuntu: apt-get install containerd runc; or name a running one by --container-runtime-endpoint",
            )]
        }
        RuntimeFacts::Endpoint { endpoint, answers: true } => vec![good(name, format!("{endpoint} answers"))],
        RuntimeFacts::Endpoint { endpoint, answers: false } => vec![bad(
            name,
            format!("nothing answers on {endpoint}"),
            "start that runtime, or leave the endpoint out and Corten starts its own containerd",
        )],
        RuntimeFacts::Programs { containerd, version, overlay } => {
            let mut checks = vec![good(name, format!("containerd {version} in {}", containerd.display()))];
            if *overlay == Some(false) {
                checks.push(warning(
                    "layers",
                    "overlayfs does not work in the root's file system; each image layer is copied",
                    "put the root on ext4, XFS or btrfs",
                ));
            }
            checks
        }
    }
}

fn taken(port: &Port, facts: &Facts) -> Option<Check> {
    let other = facts.listeners.iter().find(|l| l.blocks(port.address, port.port, port.transport))?;
    if other.process.as_ref().is_some_and(|(pid, _)| facts.own_processes.contains(pid)) {
        return None;
    }
    Some(bad(PORTS, taken_by(port, other), port.advice.clone()))
}

fn taken_by(port: &Port, other: &Listener) -> String {
    let who = match &other.process {
        Some((pid, name)) => format!("{name} (process {pid})"),
        None => "a process that /proc does not show".into(),
    };
    let place = match port.address {
        address if address.is_unspecified() => format!("port {}", port.port),
        address => SocketAddr::new(address, port.port).to_string(),
    };
    format!("{} {place} for the {} is taken by {who}", port.transport, port.what)
}

/// By whom a port is taken, with what to do; for one that could not be had.
pub fn taken_port(port: &Port) -> Option<String> {
    let mut listeners = ports::listeners();
    listeners.retain(|listener| listener.blocks(port.address, port.port, port.transport));
    let mut other = listeners.into_iter().next()?;
    ports::name_processes(&mut [&mut other]);
    Some(format!("{}; {}", taken_by(port, &other), port.advice))
}

fn host_name(facts: &Facts) -> Check {
    let name = "host name";
    let host = facts.host_name.to_lowercase();
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if host.len() <= 253 && host.split('.').all(label) {
        return good(name, facts.host_name.clone());
    }
    bad(
        name,
        format!("{:?} cannot be a node's name", facts.host_name),
        "hostnamectl set-hostname, letters, digits and hyphens; or --node-name",
    )
}

/// Judges the room on the file system of `root`.
pub(crate) fn disk(Room { free, total, is_short }: Room, root: &Path) -> Check {
    let found = format!("{} of {} free at {}", size(free), size(total), root.display());
    if total > 0 && (free < DISK_BYTES_MIN || is_short) {
        return warning(
            "disk",
            found,
            "make room: where little is free no pods are placed (--eviction-hard says how little), and a full disk takes no writes",
        );
    }
    good("disk", found)
}

fn memory(facts: &Facts) -> Check {
    let found = size(facts.memory_bytes);
    if facts.memory_bytes < MEMORY_BYTES_MIN {
        return warning("memory", found, "512 MB are enough for Corten and a few small pods");
    }
    good("memory", found)
}

fn inotify(facts: &Facts) -> Check {
    let found = format!("{} instances a user", facts.inotify_instances);
    if facts.inotify_instances < INOTIFY_INSTANCES_MIN {
        return warning(
            "inotify",
            found,
            "pods that watch files may fail: sysctl fs.inotify.max_user_instances=8192",
        );
    }
    good("inotify", found)
}

fn neighbours(needs: &Needs, facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    let is_kubelet = |name: &str| OTHER_KUBELETS.contains(&name);
    if let Some((pid, name)) = facts.processes.iter().find(|(_, name)| is_kubelet(name)) {
        let found = format!("{name} (process {pid}) runs here");
        checks.push(if needs.layout.is_default() {
            bad(
                "neighbours",
                found,
                "stop that Kubernetes, or take another root and network namespace by --root",
            )
        } else {
            warning("neighbours", found, "two nodes of one machine need a network namespace each")
        });
    }
    if let Some((pid, name)) = facts.processes.iter().find(|(_, name)| name == "firewalld") {
        checks.push(warning(
            "firewall",
            format!("{name} (process {pid}) runs here"),
            "it may drop what pods send: let the pods' and Services' addresses pass, or switch it off",
        ));
    }
    checks
}

/// In binary units.
pub(crate) fn size(bytes: u64) -> String {
    let (number, unit) = match bytes {
        b if b >= 1 << 30 => (b as f64 / f64::from(1 << 30), "GiB"),
        b => (b as f64 / f64::from(1 << 20), "MiB"),
    };
    format!("{number:.1} {unit}")
}

#[cfg(test)]
mod tests;
