//! Controllers and scheduler, with the identities and settings that they run under.

use super::api::Running;
use super::door;
use crate::cli::{Part, ServerArgs, StoreKind};
use anyhow::{Context, Result};
use client::{Client, Https, Informers, Kubeconfig, ServiceAccountTransport};
use controllers::Clients;
use reconcile::Clock;
use reconcile::lease::Elector;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Upstream's names of the two components.
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";
/// How often a server with a store of its own renews its leases. Each renewal is a durable write, and there is hardly
/// ever somebody who watches; upstream's 2 s would be a write a second.
const OWN_STORE_RENEW_PERIOD: Duration = Duration::from_secs(5);

/// What controllers and scheduler need.
pub(crate) struct Managers {
    clients: Clients,
    root: Client,
    scheduler: Client,
    /// One set of caches for all of them.
    informers: Informers,
    config: controllers::Config,
    without: Vec<String>,
    scheduling: scheduler::Config,
    candidate: Candidate,
}

impl Managers {
    /// Through the door of the server in this process.
    pub(crate) fn in_process(args: &ServerArgs, server: &Running) -> Result<Self> {
        let user = |name: &str| door::component(&format!("system:{name}"));
        let root = door::client(&server.api, user(CONTROLLER_MANAGER), CONTROLLER_MANAGER);
        let api = server.api.clone();
        let clients: Clients = Arc::new(move |name| door::client(&api, door::service_account(name), name));
        let ca = server.pki_dir.join("ca.crt");
        let config = controllers::Config {
            root_ca: Some(server.authority.clone()),
            signer: Some((ca, server.pki_dir.join("ca.key"))),
            ..settings(args)
        };
        let candidate = match args.options.store {
            StoreKind::Embedded => Candidate::owner(&args.root),
            StoreKind::Etcd(_) => Candidate::one_of_many(),
        };
        Ok(Self {
            clients,
            scheduler: door::client(&server.api, user(SCHEDULER), SCHEDULER),
            informers: Informers::new(root.clone()),
            root,
            config,
            without: crate::controllers::without(&args.options.controllers),
            scheduling: args.options.scheduler(&candidate.identity)?,
            candidate,
        })
    }

    /// Over HTTPS: controllers by tokens of their service accounts, the scheduler as the file says.
    pub(crate) fn by_kubeconfig(args: &ServerArgs) -> Result<Self> {
        let path = args.kubeconfig.as_ref().context("--only controllers and scheduler need --kubeconfig")?;
        let kubeconfig = Kubeconfig::read(path)?;
        let root = Client::new(Arc::new(Https::new(&kubeconfig)?), CONTROLLER_MANAGER);
        let nobody = Kubeconfig { identity: None, token: None, token_file: None, ..kubeconfig.clone() };
        let https = Arc::new(Https::new(&nobody)?);
        let asker = root.clone();
        let clients: Clients = Arc::new(move |name| {
            let transport = ServiceAccountTransport::new(https.clone(), asker.clone(), "kube-system", name);
            Client::new(Arc::new(transport), name)
        });
        let authority = String::from_utf8_lossy(&kubeconfig.authorities).into_owned();
        let pki_dir = args.root.join("pki");
        let keys = |certificate: &str, key: &str| {
            let files = (pki_dir.join(certificate), pki_dir.join(key));
            (files.0.exists() && files.1.exists()).then_some(files)
        };
        let config = controllers::Config {
            root_ca: Some(authority),
            signer: keys("ca.crt", "ca.key"),
            ..settings(args)
        };
        let candidate = Candidate::one_of_many();
        Ok(Self {
            clients,
            scheduler: root.with_user_agent(SCHEDULER),
            informers: Informers::new(root.clone()),
            root,
            config,
            without: crate::controllers::without(&args.options.controllers),
            scheduling: args.options.scheduler(&candidate.identity)?,
            candidate,
        })
    }

    /// Runs the parts asked for until `stop` is true.
    ///
    /// # Errors
    /// If the scheduler cannot go on. A part that no longer leads waits until it does again.
    pub(crate) async fn run(self, only: Option<Part>, stop: watch::Receiver<bool>) -> Result<()> {
        let controlling = self.control(stop.clone());
        let scheduling = self.schedule(stop.clone());
        match only {
            Some(Part::Scheduler) => scheduling.await,
            Some(Part::Controllers) => {
                controlling.await;
                Ok(())
            }
            _ => tokio::join!(controlling, scheduling).1,
        }
    }

    async fn schedule(&self, stop: watch::Receiver<bool>) -> Result<()> {
        let mut config = self.scheduling.clone();
        config.leader_election = config.leader_election.map(|elector| self.candidate.adapt(elector));
        config.seed = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
        scheduler::run(config, self.scheduler.clone(), self.informers.clone(), stop).await?;
        Ok(())
    }

    async fn control(&self, mut stop: watch::Receiver<bool>) {
        let clock = Clock::system();
        let context = controllers::Context {
            clients: self.clients.clone(),
            informers: self.informers.clone(),
            clock: clock.clone(),
            config: Arc::new(self.config.clone()),
            stop: stop.clone(),
        };
        let elector = self.candidate.elector(CONTROLLER_MANAGER);
        let (leading, mut leads) = watch::channel(false);
        // The lease is given back once nothing is done under it any more.
        let (done, is_done) = watch::channel(false);
        let electing = elector.run(&self.root, &clock, &leading, is_done);
        let controlling = async {
            loop {
                tokio::select! {
                    _ = leads.wait_for(|leads| *leads) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                // Whoever leads instead begins with what is stored; so do these when they lead again.
                let (informers, _reading) = self.informers.scoped();
                let context = controllers::Context { informers, ..context.clone() };
                tokio::select! {
                    () = controllers::run(context, &self.without) => return,
                    _ = leads.wait_for(|leads| !*leads) => {
                        tracing::warn!("the lease of {CONTROLLER_MANAGER} is lost; its controllers have ended");
                    }
                }
            }
        };
        tokio::pin!(electing);
        tokio::select! {
            () = controlling => {
                done.send_replace(true);
                electing.await;
            }
            () = &mut electing => {}
        }
    }
}

/// This process among those that want to lead.
struct Candidate {
    identity: String,
    has_own_store: bool,
}

impl Candidate {
    /// One among others like it: host and a number of its own, as upstream.
    fn one_of_many() -> Self {
        let identity = format!("{}_{:x}", host(), jiff::Timestamp::now().as_nanosecond());
        Self { identity, has_own_store: false }
    }

    /// The process that has the store of this root open: the only one. It is the same after a crash, so that it goes
    /// on leading at once instead of waiting until its own lease lapses.
    fn owner(root: &Path) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Self { identity: format!("{}_{}", host(), root.display()), has_own_store: true }
    }

    fn elector(&self, lease: &str) -> Elector {
        self.adapt(Elector::new(lease, &self.identity))
    }

    fn adapt(&self, usual: Elector) -> Elector {
        if !self.has_own_store {
            return usual;
        }
        // While the store takes no writes, nobody else can take the lease either: controllers whose deletes make room
        // on a full disk go on.
        Elector { renew_deadline: Duration::MAX, renew_period: OWN_STORE_RENEW_PERIOD, ..usual }
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the controllers are told on the command line.
fn settings(args: &ServerArgs) -> controllers::Config {
    let cluster = &args.cluster;
    controllers::Config {
        cluster_cidrs: cluster.cluster_cidr.iter().map(|range| (range.address(), range.prefix())).collect(),
        node_mask_size_v4: cluster.node_cidr_mask_size_ipv4,
        node_mask_size_v6: cluster.node_cidr_mask_size_ipv6,
        terminated_pods_max: args.options.terminated_pod_gc_threshold,
        ..controllers::Config::default()
    }
}
