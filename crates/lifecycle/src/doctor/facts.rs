//! What this machine is like.

use super::Needs;
use super::addresses::{self, Route};
use super::ports::{self, Listener};
use crate::cgroups::Cgroups;
use crate::containerd::{Programs, Version, overlay_works};
use crate::supervisor::{Runtime, State, holder};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// All that is judged.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Effective user.
    pub user: u32,
    /// Effective capabilities, a bit each.
    pub capabilities: u64,
    /// `uname -r`.
    pub kernel: String,
    /// Whether the kernel takes netfilter's netlink messages.
    pub netfilter: bool,
    /// Mounted control groups.
    pub cgroups: Option<Cgroups>,
    /// Why no group can be made.
    pub cgroups_unwritable: Option<String>,
    /// Programs or endpoint.
    pub runtime: RuntimeFacts,
    /// Sockets on the wanted ports.
    pub listeners: Vec<Listener>,
    /// The instance's processes, which may hold its ports.
    pub own_processes: BTreeSet<i32>,
    /// The host's routes.
    pub routes: Vec<Route>,
    /// Addresses that the machine must have and does not.
    pub lacking: BTreeSet<IpAddr>,
    /// `uname -n`.
    pub host_name: String,
    /// Physical memory.
    pub memory_bytes: u64,
    /// `fs.inotify.max_user_instances`.
    pub inotify_instances: u64,
    /// Numbers and names of all processes.
    pub processes: Vec<(i32, String)>,
}

/// What can run containers.
#[derive(Clone, Debug)]
pub enum RuntimeFacts {
    /// None is wanted.
    NotNeeded,
    /// Programs are missing: which.
    Missing(String),
    /// Corten's own.
    Programs {
        /// The daemon.
        containerd: PathBuf,
        /// Its version.
        version: Version,
        /// Whether overlayfs works there; unknown without rights.
        overlay: Option<bool>,
    },
    /// Somebody else's.
    Endpoint {
        /// Where it should be.
        endpoint: String,
        /// Whether it is.
        answers: bool,
    },
}

impl Facts {
    /// Looks at the machine. What cannot be looked at counts as absent.
    pub fn gather(needs: &Needs) -> Self {
        let system = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        let cgroups = Cgroups::own().ok().flatten();
        let probe = format!("{}/probe", needs.layout.own_cgroup);
        let cgroups_unwritable =
            cgroups.as_ref().and_then(|c| c.enter(&probe).err()).map(|error| crate::error::text(&error));
        if let Some(cgroups) = &cgroups {
            cgroups.remove(&probe);
            cgroups.remove_if_empty(&needs.layout.own_cgroup);
        }
        let mut listeners = ports::listeners();
        listeners.retain(|l| needs.ports.iter().any(|p| l.blocks(p.address, p.port, p.transport)));
        ports::name_processes(&mut listeners.iter_mut().collect::<Vec<_>>());
        Self {
            user: rustix::process::geteuid().as_raw(),
            capabilities: field("/proc/self/status", "CapEff:")
                .and_then(|v| u64::from_str_radix(&v, 16).ok())
                .unwrap_or(0),
            kernel: text(system.release()),
            netfilter: netfilter(),
            cgroups,
            cgroups_unwritable,
            runtime: runtime(needs),
            listeners,
            own_processes: own_processes(needs),
            routes: addresses::routes(),
            lacking: needs.addresses.iter().map(|a| a.address).filter(|a| !addresses::is_own(*a)).collect(),
            host_name: text(system.nodename()),
            memory_bytes: field("/proc/meminfo", "MemTotal:")
                .and_then(|v| v.parse::<u64>().ok())
                .unwrap_or(0)
                * 1_024,
            inotify_instances: std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances")
                .ok()
                .and_then(|v| v.trim().parse().ok())
                .unwrap_or(u64::MAX),
            processes: crate::processes::all().into_iter().map(|p| (p.identity.pid, p.name)).collect(),
        }
    }
}

fn own_processes(needs: &Needs) -> BTreeSet<i32> {
    let Some(holder) = holder(&needs.layout) else { return BTreeSet::new() };
    let state = State::read(&needs.layout).filter(|s| s.supervisor == holder);
    let children = state.into_iter().flat_map(|s| s.processes).filter_map(|p| Some(p.identity?.pid));
    children.chain([holder.pid]).collect()
}

/// The first word after `name` at the beginning of a line.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|l| l.strip_prefix(name))?;
    value.split_ascii_whitespace().next().map(str::to_owned)
}

/// Making the socket loads the module where there are modules.
fn netfilter() -> bool {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
    let protocol = Some(netlink::NETFILTER);
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).is_ok()
}

fn runtime(needs: &Needs) -> RuntimeFacts {
    match &needs.runtime {
        Runtime::None => RuntimeFacts::NotNeeded,
        Runtime::Endpoint(endpoint) => {
            let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
            RuntimeFacts::Endpoint { endpoint: endpoint.clone(), answers: UnixStream::connect(path).is_ok() }
        }
        Runtime::Own(options) => match Programs::find(options) {
            Err(error) => RuntimeFacts::Missing(crate::error::text(&error)),
            Ok(programs) => {
                let root = &needs.layout.containerd_root;
                // Only where the root is there already: looking makes nothing.
                let overlay = root.is_dir().then(|| overlay_works(root).ok()).flatten();
                RuntimeFacts::Programs { containerd: programs.containerd, version: programs.version, overlay }
            }
        },
    }
}
