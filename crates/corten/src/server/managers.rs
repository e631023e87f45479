//! Controllers and scheduler, with the identities and settings that they run under.

use super::api::Running;
use super::door;
use crate::cli::{Part, ServerArgs, StoreKind};
use anyhow::{Context, Result, bail};
use client::{Client, Https, Informers, Kubeconfig, ServiceAccountTransport};
use controllers::Clients;
use reconcile::Clock;
use reconcile::lease::Elector;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Upstream's names of the two components.
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

/// What controllers and scheduler need.
pub(crate) struct Managers {
    clients: Clients,
    root: Client,
    scheduler: Client,
    /// One set of caches for all of them.
    informers: Informers,
    config: controllers::Config,
    without: Vec<String>,
    /// Whether others may want to lead: not so where the store is this process's own.
    has_rivals: bool,
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
            cluster_cidrs: cluster_cidrs(args),
            root_ca: Some(server.authority.clone()),
            signer: Some((ca, server.pki_dir.join("ca.key"))),
            service_account_key: Some(server.pki_dir.join("sa.key")),
            ..controllers::Config::default()
        };
        Ok(Self {
            clients,
            scheduler: door::client(&server.api, user(SCHEDULER), SCHEDULER),
            informers: Informers::new(root.clone()),
            root,
            config,
            without: crate::controllers::without(&args.options.controllers),
            has_rivals: args.options.store != StoreKind::Embedded,
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
        let service_account_key = pki_dir.join("sa.key");
        let config = controllers::Config {
            cluster_cidrs: cluster_cidrs(args),
            root_ca: Some(authority),
            signer: keys("ca.crt", "ca.key"),
            service_account_key: service_account_key.exists().then_some(service_account_key),
            ..controllers::Config::default()
        };
        Ok(Self {
            clients,
            scheduler: root.with_user_agent(SCHEDULER),
            informers: Informers::new(root.clone()),
            root,
            config,
            without: crate::controllers::without(&args.options.controllers),
            has_rivals: true,
        })
    }

    /// Runs the parts asked for until `stop` is true.
    ///
    /// # Errors
    /// If a part cannot go on, or no longer leads: then another one does, and this process must end.
    pub(crate) async fn run(self, only: Option<Part>, stop: watch::Receiver<bool>) -> Result<()> {
        let identity = identity();
        let controlling = self.control(&identity, stop.clone());
        let scheduling = self.schedule(&identity, stop.clone());
        match only {
            Some(Part::Scheduler) => scheduling.await,
            Some(Part::Controllers) => controlling.await,
            _ => tokio::try_join!(controlling, scheduling).map(drop),
        }
    }

    async fn schedule(&self, identity: &str, stop: watch::Receiver<bool>) -> Result<()> {
        let mut config = scheduler::Config::new(identity);
        if !self.has_rivals {
            config.leader_election = None;
        }
        config.seed = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
        scheduler::run(config, self.scheduler.clone(), self.informers.clone(), stop).await?;
        Ok(())
    }

    async fn control(&self, identity: &str, mut stop: watch::Receiver<bool>) -> Result<()> {
        let clock = Clock::system();
        let context = controllers::Context {
            clients: self.clients.clone(),
            informers: self.informers.clone(),
            clock: clock.clone(),
            config: Arc::new(self.config.clone()),
            stop: stop.clone(),
        };
        if !self.has_rivals {
            controllers::run(context, &self.without).await;
            return Ok(());
        }
        let elector = Elector::new(CONTROLLER_MANAGER, identity);
        let (leading, mut leads) = watch::channel(false);
        // The lease is given back once nothing is done under it any more.
        let (done, is_done) = watch::channel(false);
        let electing = elector.run(&self.root, &clock, &leading, is_done);
        let controlling = async {
            tokio::select! {
                _ = leads.wait_for(|leads| *leads) => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
            tokio::select! {
                () = controllers::run(context, &self.without) => Ok(()),
                _ = leads.wait_for(|leads| !*leads) => bail!("the lease of {CONTROLLER_MANAGER} is lost"),
            }
        };
        tokio::pin!(electing);
        tokio::select! {
            result = controlling => {
                done.send_replace(true);
                if result.is_ok() { electing.await; }
                result
            }
            () = &mut electing => Ok(()),
        }
    }
}

/// Who this process is among those that want to lead: host and a number of its own, as upstream.
fn identity() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}_{:x}", jiff::Timestamp::now().as_nanosecond())
}

fn cluster_cidrs(args: &ServerArgs) -> Vec<(IpAddr, u8)> {
    args.cluster.cluster_cidr.iter().map(|range| (range.address(), range.prefix())).collect()
}
