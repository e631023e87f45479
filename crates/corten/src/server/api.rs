//! The API server in this process: keys, store, listener.

use crate::cli::{ApiArgs, InFlightArgs, ServerArgs, ServerOptions};
use anyhow::{Context, Result, anyhow, bail};
use apiserver::access::Access;
use apiserver::api::{Api, Config, Fairness, Options};
use apiserver::audit::{self, Audit, LogConfig};
use apiserver::encryption::Encryption;
use apiserver::flowcontrol::Limits;
use apiserver::listen::Lanes;
use apiserver::webhook::Credentials as WebhookCredentials;
use auth::{Authenticator, FrontProxy};
use pki::{AnyClientCertificate, ClientAuthorities, HotCertificate, Leaf, Pki, ServiceAccountKeys};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How often certificates are looked at: they are renewed months before they lapse.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3_600);

/// The API server, serving.
pub(crate) struct Running {
    /// Its door.
    pub(crate) api: Arc<Api>,
    /// The PEM of the authority that its certificate is of.
    pub(crate) authority: String,
    /// The folder of keys and certificates.
    pub(crate) pki_dir: PathBuf,
    audit: Option<Arc<Audit>>,
    serving: JoinHandle<()>,
    renewing: JoinHandle<()>,
    keeping: JoinHandle<()>,
}

/// Opens keys and store, and serves.
pub(crate) async fn start(
    args: &ServerArgs,
    flags: BTreeMap<String, String>,
    lanes: Lanes,
) -> Result<Running> {
    let now = jiff::Timestamp::now().as_second();
    let listener = TcpListener::bind(args.options.bind).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "; stop what uses the port, or take another by --bind",
            ErrorKind::AddrNotAvailable => {
                "; no interface of this machine has the address: give another by --bind"
            }
            _ => "",
        };
        anyhow!("cannot listen on {}: {error}{advice}", args.options.bind)
    })?;
    // Port 0 asks for any that is free.
    let port = listener.local_addr().context("cannot tell the port that is listened on")?.port();
    let advertise = args.options.advertised();
    if advertise.is_loopback() && args.only.is_none() {
        tracing::warn!(
            address = %advertise,
            "pods cannot reach the API server: Service kubernetes has no endpoints. Name an address of this machine by \
             --bind, or by --advertise-address where no default route tells it"
        );
    }
    // First, so that nothing is written for a server that cannot be: another one may use the store.
    let store = crate::store::open(&args.options.store, &args.root, &args.options.etcd).await?;
    let pki = Pki::open(&args.root, args.cluster.pki_config(advertise), now)
        .with_context(|| format!("cannot open the keys in {}", args.root.join("pki").display()))?;
    let server = format!("https://{}", std::net::SocketAddr::new(advertise, port));
    pki.kubeconfig(&pki::Client::SuperAdmin, &server, now).context("cannot write the admin's kubeconfig")?;
    let certificate =
        HotCertificate::new(pki.leaf(Leaf::ApiServer)).context("the API server's certificate")?;
    let authorities = [pki.authority().certificate(), pki.front_proxy_authority().certificate()];
    let tls = pki::server_config(certificate.clone(), AnyClientCertificate::new(&authorities))
        .context("cannot set up TLS")?;
    let keys = Arc::new(pki.service_account_keys().clone());
    let issuers = args.options.api.issuers(args.cluster.issuer());
    let access = Access::new(
        authenticator(&pki, keys.clone(), &issuers, &args.options.api)
            .context("cannot set up authentication")?,
        keys,
    );
    let config = Config {
        advertise_address: advertise,
        port,
        service_ranges: args.cluster.service_cluster_ip_range.iter().map(ToString::to_string).collect(),
        issuer: issuers.into_iter().next().unwrap_or_default(),
    };
    if args.options.has_own_key() {
        crate::store::check_own_key(&*store, &args.root).await?;
    }
    let mut options = options(&args.options, &args.root)?;
    options.lanes = Some(lanes.clone());
    options.flags = flags;
    let audit = options.audit.clone();
    let api = Api::start_with(config, store, access, options).await.context("cannot start the API server")?;
    trust(&api, &pki).context("cannot set up TLS towards kubelets and aggregated APIs")?;
    let bootstrap = apiserver::bootstrap::Options {
        host_name: host_name(),
        cluster_dns: if args.only.is_none() { args.cluster.dns_address() } else { None },
        client_ca: pki.authority().certificate().to_pem(),
        request_header_ca: pki.front_proxy_authority().certificate().to_pem(),
        server_url: server,
    };
    apiserver::bootstrap::run_with(&api, &bootstrap).await;
    let stop = api.stopping.subscribe();
    let serving = tokio::spawn(apiserver::listen::serve(listener, Arc::new(tls), api.clone(), lanes, stop));
    tracing::info!(address = %args.options.bind.ip(), port, "the API is served");
    let keeping = tokio::spawn(apiserver::bootstrap::keep(api.clone(), bootstrap));
    let authority = pki.authority().certificate().to_pem();
    let renewing = tokio::spawn(renew(api.clone(), pki, certificate));
    Ok(Running { api, authority, pki_dir: args.root.join("pki"), audit, serving, renewing, keeping })
}

impl Running {
    /// Ends it: open requests are answered first.
    pub(crate) async fn stop(self) -> Result<()> {
        self.keeping.abort();
        apiserver::bootstrap::leave(&self.api).await;
        self.api.stopping.send_replace(true);
        self.renewing.abort();
        let served = self.serving.await.context("the listener ended badly");
        if let Some(audit) = &self.audit {
            audit.close();
        }
        served
    }
}

/// What the flags say of encryption, audit and webhooks.
fn options(args: &ServerOptions, root: &Path) -> Result<Options> {
    let encryption = match &args.encryption_provider_config {
        Some(file) => Some(Encryption::from_file(file)?),
        None if args.has_own_key() => {
            let (encryption, recovery) = Encryption::own(root)?;
            if let Some(key) = recovery {
                let mut errors = std::io::stderr();
                let _nobody_reads = writeln!(errors, "{}", crate::up::recovery_text(&key));
            }
            Some(encryption)
        }
        None => {
            tracing::warn!(
                "secrets are stored as they are: other servers on this etcd would not have a key of this one's own. Give \
                 all of them the same by --encryption-provider-config"
            );
            None
        }
    };
    let audit = match (&args.audit.audit_policy_file, &args.audit.audit_log_path) {
        (Some(policy), Some(path)) => {
            let log = LogConfig {
                max_age_days: args.audit.audit_log_maxage,
                max_backups: args.audit.audit_log_maxbackup,
                max_size_mebibytes: args.audit.audit_log_maxsize,
                compress: args.audit.audit_log_compress,
                format: args.audit.audit_log_format,
                mode: args.audit.audit_log_mode,
                batch_buffer_size: args.audit.audit_log_batch_buffer_size,
                truncate_event_bytes: args
                    .audit
                    .audit_log_truncate_enabled
                    .then_some(args.audit.audit_log_truncate_max_event_size),
                ..LogConfig::new(path)
            };
            Some(Audit::open(&audit::Config { policy_file: policy.clone(), log })?)
        }
        (None, None) => None,
        (Some(_), None) => {
            tracing::warn!("there is an audit policy and no --audit-log-path: nothing is recorded");
            None
        }
        (None, Some(_)) => {
            tracing::warn!("there is an audit log and no --audit-policy-file: nothing is recorded");
            None
        }
    };
    let webhook_credentials = match &args.admission_control_config_file {
        Some(file) => {
            let failed = |e| anyhow::anyhow!("cannot use --admission-control-config-file: {e}");
            Some(Arc::new(WebhookCredentials::from_file(file).map_err(failed)?))
        }
        None => None,
    };
    Ok(Options {
        encryption,
        audit,
        admission: Arc::new(args.admission()?),
        webhook_credentials,
        fairness: fairness(&args.in_flight)?,
        settings: args.api.settings(),
        ..Options::default()
    })
}

fn fairness(args: &InFlightArgs) -> Result<Fairness> {
    let (reading, mutating) = (args.max_requests_inflight, args.max_mutating_requests_inflight);
    if !args.enable_priority_and_fairness {
        return Ok(Fairness::Off(Limits { reading, mutating }));
    }
    match reading.saturating_add(mutating) {
        0 => bail!("--max-requests-inflight and --max-mutating-requests-inflight: one must be more than 0"),
        seats => Ok(Fairness::On(seats)),
    }
}

/// This machine's name; empty if it has none.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Tells the server who it is towards kubelets and aggregated APIs.
fn trust(api: &Api, pki: &Pki) -> Result<(), pki::Error> {
    api.aggregation.identify(pki.leaf(Leaf::FrontProxyClient));
    api.nodes.trust(pki.leaf(Leaf::ApiServerKubeletClient), pki.authority().certificate())
}

/// Renews what is due, and serves the new certificate to new connections.
async fn renew(api: Arc<Api>, mut pki: Pki, certificate: Arc<HotCertificate>) {
    loop {
        tokio::time::sleep(RENEWAL_INTERVAL).await;
        let renewed = match pki.renew(jiff::Timestamp::now().as_second()) {
            Ok(renewed) => renewed,
            Err(error) => {
                tracing::error!(%error, "cannot renew certificates; trying again in an hour");
                continue;
            }
        };
        for (leaf, reason) in &renewed {
            tracing::info!(?leaf, ?reason, "certificate renewed");
        }
        // The node of this machine and its user read theirs again.
        match pki.renew_kubeconfigs(jiff::Timestamp::now().as_second()) {
            Ok(files) => {
                files.iter().for_each(|file| tracing::info!(file = %file.display(), "kubeconfig renewed"))
            }
            Err(error) => tracing::error!(%error, "cannot renew kubeconfigs; trying again in an hour"),
        }
        if renewed.iter().any(|(leaf, _)| *leaf == Leaf::ApiServer)
            && let Err(error) = certificate.replace(pki.leaf(Leaf::ApiServer))
        {
            tracing::error!(%error, "the renewed certificate cannot be served");
        }
        if let Err(error) = trust(&api, &pki) {
            tracing::error!(%error, "the renewed certificate cannot be shown to kubelets");
        }
    }
}

fn authenticator(
    pki: &Pki,
    keys: Arc<ServiceAccountKeys>,
    issuers: &[String],
    args: &ApiArgs,
) -> Result<Authenticator, pki::Error> {
    let client_authorities = ClientAuthorities::new(&[pki.authority().certificate()])?;
    let lower = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let front_proxy = FrontProxy {
        authorities: ClientAuthorities::new(&[pki.front_proxy_authority().certificate()])?,
        allowed_names: lower(&["front-proxy-client"]),
        username_headers: lower(&["x-remote-user"]),
        uid_headers: lower(&["x-remote-uid"]),
        group_headers: lower(&["x-remote-group"]),
        extra_prefixes: lower(&["x-remote-extra-"]),
    };
    Authenticator::new(auth::Config {
        client_authorities,
        front_proxy: Some(front_proxy),
        service_account_keys: keys,
        issuers: issuers.to_vec(),
        audiences: args.audiences(issuers),
        bootstrap_tokens: true,
        anonymous: args.anonymous(),
    })
}
