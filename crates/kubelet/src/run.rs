//! Beginning and end of a kubelet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Informers, ListOptions};
use reconcile::{Clock, Recorder};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::context::{Context, Network};
use crate::machine::Machine;
use crate::manager::stopped;
use crate::objects::Objects;
use crate::pods::Pods;
use crate::runtime::messages::{CgroupDriver, ContainerFilter, ContainerState, PodSandboxFilter};
use crate::runtime::{self, Runtime};
use crate::state::label;
use crate::volumes::mounts;
use crate::{image_gc, images, logs, manager, node, server};

/// Images that are pulled at once; the others wait.
const PULLS_MAX: usize = 5;
/// Between tries to reach the runtime when the kubelet starts.
const RUNTIME_RETRY: Duration = Duration::from_millis(200);
/// For the runtime to answer a question that costs it nothing, when all pods are to be ended by it.
const STOP_RUNTIME_PATIENCE: Duration = Duration::from_secs(10);
/// How long a container has to end when all of them are to: what its pod asks for, within these bounds. The upper one is
/// what Kubernetes gives by default; somebody waits for `down`.
const STOP_GRACE_MIN: Duration = Duration::from_secs(2);
const STOP_GRACE_MAX: Duration = Duration::from_secs(30);

/// Why a kubelet cannot run.
#[derive(Debug)]
pub enum Error {
    /// A directory cannot be made or taken away.
    Directory(PathBuf, std::io::Error),
    /// The container runtime cannot be used.
    Runtime(String),
    /// The HTTPS server failed.
    Server(std::io::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path, error) => write!(f, "cannot use the directory {}: {error}", path.display()),
            Self::Runtime(error) => write!(f, "cannot use the container runtime: {error}"),
            Self::Server(error) => write!(f, "the kubelet's server failed: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<runtime::Error> for Error {
    fn from(error: runtime::Error) -> Self {
        Self::Runtime(format!("{}: {}", error.call, error))
    }
}

/// How long being ready waits for the serving certificate.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(5);

/// Runs the kubelet until `stop` becomes true; pods go on running without it. `ready` becomes true once this kubelet has
/// told how the node and its pods are (what their objects say before may be long past), and can be asked for logs.
///
/// # Errors
/// What it cannot do without is missing.
pub async fn run(
    config: Config,
    client: Client,
    ready: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    for dir in [&config.root_dir, &config.pod_logs_dir, &config.container_logs_dir] {
        std::fs::create_dir_all(dir).map_err(|error| Error::Directory(dir.clone(), error))?;
    }
    let runtime = Runtime::new(&config.runtime_endpoint)?;
    let connected = tokio::select! {
        connected = connect(&runtime) => connected,
        () = stopped(&mut stop) => return Ok(()),
    };
    let Connected { runtime_name, uses_systemd, has_groups_policy } = connected;
    let clock = Clock::system();
    let informers = Informers::new(client.clone());
    let pods = Pods::default();
    let (changed, changes) = mpsc::unbounded_channel();
    let context = Arc::new(Context {
        machine: Machine::read(&config.root_dir),
        cgroups: Cgroups::read(&config.cgroup_root, uses_systemd),
        recorder: Recorder::new(client.clone(), "kubelet", &config.node_name, clock.clone()),
        services: informers.get(),
        node: informers.filtered("", ListOptions::fields(format!("metadata.name={}", config.node_name))),
        config_maps: Objects::new(informers.clone(), "configmap", changed.clone()),
        secrets: Objects::new(informers.clone(), "secret", changed),
        is_ready_told: watch::Sender::new(false),
        are_pods_told: watch::Sender::new(false),
        network: parking_lot::RwLock::new(Network::Unknown),
        pulls: Arc::new(Semaphore::new(PULLS_MAX)),
        records: Arc::new(images::Records::new(&config.root_dir)),
        config: config.clone(),
        runtime: runtime.clone(),
        runtime_name,
        has_groups_policy: has_groups_policy.into(),
        client: client.clone(),
        pods: pods.clone(),
        clock,
    });
    images::settle(&context).await;
    let certified = watch::Sender::new(false);
    let told = tokio::spawn(say_when_told(context.clone(), certified.subscribe(), ready));
    let serve = server::serve(config, client, pods, runtime, certified, stop.clone());
    let work = async {
        tokio::join!(
            node::run(context.clone(), stop.clone()),
            manager::run(context.clone(), &informers, changes, stop.clone())
        );
        Ok(())
    };
    let serve = async { serve.await.map_err(Error::Server) };
    let cleaners = [tokio::spawn(logs::run(context.clone())), tokio::spawn(image_gc::run(context.clone()))];
    let result = tokio::try_join!(serve, work).map(|_| ());
    cleaners.iter().for_each(JoinHandle::abort);
    told.abort();
    result
}

async fn say_when_told(
    context: Arc<Context>,
    mut certified: watch::Receiver<bool>,
    ready: watch::Sender<bool>,
) {
    for told in [&context.is_ready_told, &context.are_pods_told] {
        // It lives as long as the context.
        let _ = told.subscribe().wait_for(|told| *told).await;
    }
    // The API server believes nothing else: there were no logs yet. Where nobody approves, there never are.
    let _ = tokio::time::timeout(CERTIFICATE_PATIENCE, certified.wait_for(|certified| *certified)).await;
    ready.send_replace(true);
}

/// What a runtime says of itself at first.
struct Connected {
    runtime_name: String,
    uses_systemd: bool,
    has_groups_policy: bool,
}

/// Waits for the runtime; returns its name, and whether it leaves cgroups to systemd.
async fn connect(runtime: &Runtime) -> Connected {
    let mut is_told = false;
    loop {
        match runtime.version().await {
            Ok(version) => {
                let driver = runtime.cgroup_driver().await.unwrap_or(None);
                tracing::info!(
                    name = version.runtime_name,
                    version = version.runtime_version,
                    "connected to the runtime"
                );
                let features = runtime.status(false).await.ok().and_then(|status| status.features);
                return Connected {
                    runtime_name: version.runtime_name,
                    uses_systemd: driver == Some(CgroupDriver::Systemd),
                    has_groups_policy: features.is_some_and(|f| f.supplemental_groups_policy),
                };
            }
            Err(error) if !is_told => {
                tracing::warn!(%error, "waiting for the container runtime: `corten up` starts one, --container-runtime-endpoint names another");
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RUNTIME_RETRY).await;
    }
}

/// Ends all pods of this node and takes away what they have on it: for the end of the whole cluster.
///
/// # Errors
/// Something is left; it may be called again.
pub async fn stop_all(config: &Config) -> Result<(), Error> {
    let runtime = Runtime::new(&config.runtime_endpoint)?;
    // What hangs would keep each call for minutes.
    match tokio::time::timeout(STOP_RUNTIME_PATIENCE, runtime.version()).await {
        Ok(version) => drop(version?),
        Err(_) => {
            let seconds = STOP_RUNTIME_PATIENCE.as_secs();
            return Err(Error::Runtime(format!("it does not answer within {seconds} s")));
        }
    }
    let containers = runtime.list_containers(ContainerFilter::default()).await?;
    let stops = containers.iter().map(|c| runtime.stop_container(&c.id, stop_grace(&c.annotations)));
    for result in futures_util::future::join_all(stops).await {
        if let Err(error) = result.or_else(ignore_absent) {
            tracing::warn!(%error, "cannot stop a container");
        }
    }
    for sandbox in runtime.list_sandboxes(PodSandboxFilter::default()).await? {
        runtime.stop_sandbox(&sandbox.id).await.or_else(ignore_absent)?;
        runtime.remove_sandbox(&sandbox.id).await.or_else(ignore_absent)?;
    }
    let dirs = [config.root_dir.join("pods"), config.pod_logs_dir.clone(), config.container_logs_dir.clone()];
    for dir in dirs {
        mounts::remove_dir(&dir).map_err(|error| Error::Directory(dir.clone(), error))?;
    }
    Cgroups::read(&config.cgroup_root, false).remove_all();
    Ok(())
}

/// The pods that have a running container, as `NAMESPACE/NAME`.
///
/// # Errors
/// The runtime does not tell.
pub async fn running_pods(config: &Config) -> Result<BTreeSet<String>, Error> {
    let runtime = Runtime::new(&config.runtime_endpoint)?;
    let containers = runtime.list_containers(ContainerFilter::default()).await?;
    let running = containers.iter().filter(|container| container.state() == ContainerState::Running);
    let name = |labels: &BTreeMap<String, String>| {
        Some(format!("{}/{}", labels.get(label::POD_NAMESPACE)?, labels.get(label::POD_NAME)?))
    };
    Ok(running.filter_map(|container| name(&container.labels)).collect())
}

/// From the annotations with which the container was made.
fn stop_grace(annotations: &BTreeMap<String, String>) -> Duration {
    let asked = annotations.get(label::TERMINATION_GRACE).and_then(|seconds| seconds.parse().ok());
    asked.map_or(STOP_GRACE_MIN, Duration::from_secs).clamp(STOP_GRACE_MIN, STOP_GRACE_MAX)
}

fn ignore_absent(error: runtime::Error) -> Result<(), runtime::Error> {
    if error.is_not_found() { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_given_the_time_that_they_ask_for_within_bounds() {
        for (asked, given) in
            [(None, 2), (Some("0"), 2), (Some("20"), 20), (Some("3600"), 30), (Some("x"), 2)]
        {
            let annotation = |text: &str| (label::TERMINATION_GRACE.to_owned(), text.to_owned());
            let annotations = asked.map(annotation).into_iter().collect();
            assert_eq!(stop_grace(&annotations), Duration::from_secs(given), "{asked:?}");
        }
    }
}
