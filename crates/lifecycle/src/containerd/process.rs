//! The running containerd: found by its socket, adopted or started, ended.

use super::{Options, Programs, Settings, render};
use crate::cgroups::Cgroups;
use crate::layout::Layout;
use crate::notify::{self, Message};
use crate::processes::{self, Identity, PROGRAM_PATH};
use crate::spawn::{Ties, tie};
use crate::supervisor::logs;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A start with a large image store on a slow disk takes seconds; one that needs longer hangs.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How often a containerd built without notifications is dialled while it starts.
const DIAL_INTERVAL: Duration = Duration::from_millis(200);
/// A containerd that does not say its version in this time answers nobody.
const ANSWER_SECONDS: u32 = 10;
/// containerd ends at once; its plug-ins get this long.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// How a containerd came to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Started now.
    Started,
    /// Was running with the same configuration.
    Adopted,
    /// Was running with another configuration; it keeps that until `down` and `up`.
    AdoptedDiffering,
}

/// A containerd that answers.
#[derive(Debug)]
pub struct Containerd {
    /// The daemon's process.
    pub identity: Identity,
    /// How it came to be ours.
    pub origin: Origin,
    /// To be reaped, if this process is its parent.
    pub child: Option<Child>,
    /// Its client and version.
    pub programs: Programs,
    /// Where layers are stacked, as `ctr` must be told.
    pub snapshotter: String,
}

impl Containerd {
    /// Adopts the containerd that answers on the layout's socket, or starts one.
    pub fn ensure(options: &Options, layout: &Layout) -> Result<Self> {
        let programs = Programs::find(options)?;
        prepare_directories(layout)?;
        let started_with = std::fs::read_to_string(&layout.containerd_config).unwrap_or_default();
        if let Some(identity) = running(layout) {
            if answers(&programs, layout) {
                let settings = programs.settings(options, layout)?;
                let same = started_with == render(&settings, layout);
                let origin = if same { Origin::Adopted } else { Origin::AdoptedDiffering };
                let snapshotter =
                    snapshotter_of(&started_with).unwrap_or(settings.snapshotter.name()).to_owned();
                return Ok(Self { identity, origin, child: None, programs, snapshotter });
            }
            // Containers hang on their shims, not on the daemon: a dead daemon is better than a deaf one.
            tracing::warn!(
                pid = identity.pid,
                "containerd does not answer for {ANSWER_SECONDS} s; starting it anew"
            );
            processes::end_all(&[identity], STOP_PATIENCE);
        }
        let settings = programs.settings(options, layout)?;
        start(programs, &settings, layout)
    }

    /// A command of `ctr` for the containers and images of Kubernetes.
    pub fn ctr(programs: &Programs, layout: &Layout) -> Command {
        let mut command = Command::new(&programs.ctr);
        command.arg("--address").arg(&layout.containerd_socket).args(["--namespace", "k8s.io"]);
        command.env("PATH", PROGRAM_PATH).stdin(Stdio::null());
        command
    }

    /// Ends the daemon of the layout, if it runs. Containers and shims are not touched. Says whether it ran.
    pub fn stop(layout: &Layout) -> bool {
        let Some(identity) = running(layout) else { return false };
        processes::end_all(&[identity], STOP_PATIENCE);
        true
    }
}

/// The process that listens on the layout's socket: the kernel knows who called listen(2).
pub fn running(layout: &Layout) -> Option<Identity> {
    let stream = UnixStream::connect(&layout.containerd_socket).ok()?;
    let credentials = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Identity::of(credentials.pid.as_raw_nonzero().get())
}

/// Shims of the layout's containers, whether or not their containerd lives.
pub fn leftover_shims(layout: &Layout) -> Vec<Identity> {
    let socket = layout.containerd_socket.to_string_lossy();
    let ours = |arguments: &[String]| arguments.windows(2).any(|w| w[0] == "-address" && w[1] == socket);
    processes::all()
        .into_iter()
        .filter(|p| p.name.starts_with("containerd-shim") && ours(&p.arguments()))
        .map(|p| p.identity)
        .collect()
}

fn answers(programs: &Programs, layout: &Layout) -> bool {
    let mut command = Containerd::ctr(programs, layout);
    let seconds = format!("{ANSWER_SECONDS}s");
    command.args(["--timeout", &seconds, "--connect-timeout", &seconds, "version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn prepare_directories(layout: &Layout) -> Result<()> {
    let private = [&layout.containerd_root, &layout.containerd_state, &layout.notify_dir];
    let public = [&layout.registry_config_dir, &layout.cni_conf_dir, &layout.cni_bin_dir, &layout.log_dir];
    let directories = private.iter().map(|d| (d, 0o711)).chain(public.iter().map(|d| (d, 0o755)));
    for (directory, mode) in directories {
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    Ok(())
}

fn start(programs: Programs, settings: &Settings, layout: &Layout) -> Result<Containerd> {
    let config = &layout.containerd_config;
    std::fs::write(config, render(settings, layout))
        .with_context(|| format!("cannot write {}", config.display()))?;
    let log_path = layout.log_file("containerd");
    let log = logs::open(&log_path)?;
    let notify_path = layout.notify_socket("containerd");
    let notifications = notify::Listener::bind(&notify_path)?;
    let cgroups = match Cgroups::own()? {
        Some(cgroups) => cgroups.enter(&format!("{}/containerd", layout.own_cgroup))?,
        None => bail!("no control groups are mounted on /sys/fs/cgroup"),
    };

    let mut command = Command::new(&programs.containerd);
    command.arg("--config").arg(config);
    command.env("PATH", PROGRAM_PATH).env(notify::VARIABLE, &notify_path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
    tie(&mut command, Ties { new_session: true, cgroups, ends_with_parent: false });
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", programs.containerd.display()))?;
    let identity =
        i32::try_from(child.id()).ok().and_then(Identity::of).context("containerd ended at once")?;
    if let Err(error) = wait_until_ready(&mut child, identity, &notifications, layout) {
        processes::end_all(&[identity], STOP_PATIENCE);
        let _reaped = child.wait();
        return Err(error.context(logs::tail(&log_path)));
    }
    let snapshotter = settings.snapshotter.name().to_owned();
    Ok(Containerd { identity, origin: Origin::Started, child: Some(child), programs, snapshotter })
}

/// Waits for the notification. One built without it is dialled instead.
fn wait_until_ready(
    child: &mut Child,
    identity: Identity,
    notifications: &notify::Listener,
    layout: &Layout,
) -> Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    let process = identity.open().context("containerd ended at once")?;
    while Instant::now() < deadline {
        let mut fds = [PollFd::new(&notifications.0, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: DIAL_INTERVAL.subsec_nanos().into() };
        let quiet = matches!(poll(&mut fds, Some(&timeout)), Ok(0));
        if let Some(status) = child.try_wait().context("cannot wait for containerd")? {
            bail!("containerd ended while it started: {status}");
        }
        if notifications.receive().contains(&Message::Ready) || (quiet && running(layout).is_some()) {
            return Ok(());
        }
    }
    bail!("containerd is not ready after {} s", START_PATIENCE.as_secs())
}

fn snapshotter_of(config: &str) -> Option<&str> {
    config.lines().find_map(|l| l.strip_prefix("snapshotter = '")?.strip_suffix('\''))
}
