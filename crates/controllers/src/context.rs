//! What a controller gets.

use client::{Client, Informers};
use reconcile::{Clock, Queue, Reconcile, Recorder};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Gives a client that acts as a service account of `kube-system`.
pub type Clients = Arc<dyn Fn(&str) -> Client + Send + Sync>;

/// What the administrator decides: flags of `kube-controller-manager`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--cluster-cidr`: whence nodes get their pod addresses, IPv4 and IPv6; empty if they get none.
    pub cluster_cidrs: Vec<(IpAddr, u8)>,
    /// `--node-cidr-mask-size-ipv4`.
    pub node_mask_size_v4: u8,
    /// `--node-cidr-mask-size-ipv6`.
    pub node_mask_size_v6: u8,
    /// `--root-ca-file`: what pods trust the API server by (PEM).
    pub root_ca: Option<String>,
    /// `--cluster-signing-cert-file`, `--cluster-signing-key-file`: what signs certificate requests.
    pub signer: Option<(PathBuf, PathBuf)>,
    /// `--terminated-pod-gc-threshold`.
    pub terminated_pods_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster_cidrs: Vec::new(),
            node_mask_size_v4: 24,
            node_mask_size_v6: 64,
            root_ca: None,
            signer: None,
            terminated_pods_max: 12_500,
        }
    }
}

/// What all controllers share. Clones share it too.
#[derive(Clone)]
pub struct Context {
    /// A client for each identity.
    pub clients: Clients,
    /// The caches.
    pub informers: Informers,
    /// The clock.
    pub clock: Clock,
    /// What the administrator decides.
    pub config: Arc<Config>,
    /// True when all have to end.
    pub stop: watch::Receiver<bool>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Context {
    /// A client that acts as service account `name` of `kube-system`.
    pub fn client(&self, name: &str) -> Client {
        (self.clients)(name)
    }

    /// Writes events as `component`, under identity `name`.
    pub fn recorder(&self, name: &str, component: &str) -> Recorder {
        Recorder::new(self.client(name), component, "", self.clock.clone())
    }
}

/// The tasks of controllers.
pub type Tasks = JoinSet<()>;

/// A row of the table of controllers.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name, as `kube-controller-manager --controllers` has it: `deployment-controller`.
    pub name: &'static str,
    /// Subscribes to caches and spawns what it runs.
    pub start: fn(&Context, &mut Tasks),
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Spawns the workers of a controller, which begin once `synced` has ended: the caches it reads are whole.
pub(crate) fn spawn(
    context: &Context,
    tasks: &mut Tasks,
    queue: Queue,
    controller: Arc<dyn Reconcile>,
    workers: usize,
    synced: impl Future<Output = ()> + Send + 'static,
) {
    let stop = context.stop.clone();
    let mut stopped = context.stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = synced => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        reconcile::run(queue, controller, workers, stop).await;
    });
}
