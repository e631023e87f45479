//! Controllers and scheduler, with the identities and settings that they run under.

use super::api::Running;
use super::door;
use crate::cli::{Part, ServerArgs};
use anyhow::{Context, Result};
use client::{Client, Https, Informers, Kubeconfig, ServiceAccountTransport};
use controllers::Clients;
use reconcile::Clock;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Upstream's names of the two components.
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

/// What controllers and scheduler need.
pub(crate) struct Managers {
    clients: Clients,
    scheduler: Client,
    /// One set of caches for all of them.
    informers: Informers,
    config: controllers::Config,
    without: Vec<String>,
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
            informers: Informers::new(root),
            config,
            without: without(&args.controllers),
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
            informers: Informers::new(root),
            config,
            without: without(&args.controllers),
        })
    }

    /// Runs the parts asked for until `stop` is true.
    pub(crate) async fn run(self, only: Option<Part>, stop: watch::Receiver<bool>) {
        let context = controllers::Context {
            clients: self.clients,
            informers: self.informers.clone(),
            clock: Clock::system(),
            config: Arc::new(self.config),
            stop: stop.clone(),
        };
        let controlling = async {
            if only != Some(Part::Scheduler) {
                controllers::run(context, &self.without).await;
            }
        };
        let scheduling = async {
            if only != Some(Part::Controllers) {
                let _ = (&self.scheduler, &stop);
            }
        };
        tokio::join!(controlling, scheduling);
    }
}

fn cluster_cidrs(args: &ServerArgs) -> Vec<(IpAddr, u8)> {
    args.cluster.cluster_cidr.iter().map(|range| (range.address(), range.prefix())).collect()
}

/// The names that `--controllers` takes out: `*,-NAME`.
fn without(controllers: &[String]) -> Vec<String> {
    controllers.iter().filter_map(|name| name.strip_prefix('-').map(str::to_owned)).collect()
}
