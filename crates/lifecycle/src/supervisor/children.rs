//! The processes themselves: started, told apart by a handle, listened to.

use super::logs;
use super::{Child, Config, Runtime};
use crate::containerd::{Containerd, Origin};
use crate::image;
use crate::notify;
use crate::processes::Identity;
use crate::spawn::{Ties, tie};
use anyhow::{Context, Result, bail};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) identity: Identity,
    /// Readable when it ended.
    pub(crate) handle: OwnedFd,
    /// To be reaped; an adopted process is not ours to reap.
    pub(crate) child: Option<std::process::Child>,
}

impl Running {
    fn new(identity: Identity, child: Option<std::process::Child>) -> Result<Self> {
        let handle = identity.open().context("it ended at once")?;
        Ok(Self { identity, handle, child })
    }

    /// How it ended, once its handle is readable.
    pub(crate) fn ending(mut self) -> String {
        match self.child.as_mut().map(std::process::Child::wait) {
            Some(Ok(status)) => status.to_string(),
            _ => "it ended".into(),
        }
    }
}

/// Starts a child of the supervisor.
pub(crate) fn start(config: &Config, child: &Child) -> Result<Running> {
    let log = logs::open(&config.needs.layout.log_file(&child.name))?;
    let errors = log.try_clone().context("cannot share the log")?;
    let mut command = Command::new(&config.executable);
    command.args(&child.arguments).env(notify::VARIABLE, config.needs.layout.notify_socket(&child.name));
    command.stdin(Stdio::null()).stdout(log).stderr(errors).current_dir("/");
    // Ctrl-C reaches the supervisor only, which ends its children in order.
    command.process_group(0);
    tie(&mut command, Ties { ends_with_parent: true, ..Ties::default() });
    let process = command.spawn().with_context(|| format!("cannot start {}", config.executable.display()))?;
    let identity = i32::try_from(process.id()).ok().and_then(Identity::of).context("it ended at once")?;
    Running::new(identity, Some(process))
}

/// The runtime, started or found, with the sandbox image in it.
#[derive(Debug)]
pub(crate) struct RuntimeUp {
    /// Somebody else's runtime is not watched.
    pub(crate) running: Option<Running>,
    pub(crate) detail: String,
    pub(crate) warning: Option<String>,
    pub(crate) image: Option<Duration>,
}

/// Brings up the runtime. Blocks for as long as that takes.
pub(crate) fn start_runtime(config: &Config) -> Result<RuntimeUp> {
    let options = match &config.needs.runtime {
        Runtime::Own(options) => options,
        Runtime::None => bail!("no runtime is configured"),
        Runtime::Endpoint(endpoint) => {
            let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
            std::os::unix::net::UnixStream::connect(path)
                .with_context(|| format!("no container runtime answers on {endpoint}; start it, or leave the endpoint out and Corten starts its own"))?;
            return Ok(RuntimeUp { running: None, detail: endpoint.clone(), warning: None, image: None });
        }
    };
    let layout = &config.needs.layout;
    let containerd = Containerd::ensure(options, layout)?;
    let before = Instant::now();
    let imported = image::ensure_sandbox_image(&containerd, layout)?;
    let image = imported.then(|| before.elapsed());
    let found = match containerd.origin {
        Origin::Started => "started",
        Origin::Adopted | Origin::AdoptedDiffering => "found running",
    };
    let warning = (containerd.origin == Origin::AdoptedDiffering).then(|| {
        "containerd runs with a configuration other than this one would give it; it keeps that until `corten down` \
         and `corten up`"
            .to_owned()
    });
    let detail = format!("{found}, {}, {}", containerd.programs.version, containerd.snapshotter);
    Ok(RuntimeUp {
        running: Some(Running::new(containerd.identity, containerd.child)?),
        detail,
        warning,
        image,
    })
}
