//! Options of `corten server`.

use super::api::ApiArgs;
use super::cluster::{ClusterArgs, is_nowhere};
use super::store::{EtcdArgs, StoreKind, parse_store};
use anyhow::{Context, Result, anyhow, bail};
use apiserver::admission::Admission;
use apiserver::audit::{Format, Mode, check_policy};
use apiserver::encryption::Encryption;
use apiserver::webhook::Credentials as WebhookCredentials;
use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, Args, ValueEnum};
use lifecycle::layout::DEFAULT_ROOT;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Options of `corten server`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Run only this part
    #[arg(long, value_enum)]
    pub(crate) only: Option<Part>,
    /// Where state and keys are kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,
    /// How controllers or scheduler reach the API server, where they run without it
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Where controllers or scheduler tell their health, where they run without the API server: on this machine, by
    /// HTTPS; 0 for nowhere. If unset, 10257 and 10259
    #[arg(long)]
    pub(crate) secure_port: Option<u16>,
    #[command(flatten)]
    pub(crate) options: ServerOptions,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// A part of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The API server and its store
    Api,
    /// The controllers, by `--kubeconfig`
    Controllers,
    /// The scheduler, by `--kubeconfig`
    Scheduler,
}

/// What API server, controllers and scheduler are told, be they started by `server` or by `up`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Control plane")]
pub(crate) struct ServerOptions {
    /// Address and port to serve the API on
    #[arg(long, default_value = "0.0.0.0:6443")]
    pub(crate) bind: SocketAddr,
    /// The address that others in the cluster reach this server by; that of the default route if unset
    #[arg(long)]
    pub(crate) advertise_address: Option<IpAddr>,
    /// Controllers to run: `*` for all, `NAME` for one, `-NAME` for not that one
    #[arg(long, default_value = "*", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) controllers: Vec<String>,
    /// How many pods that have ended are kept; 0 for any number
    #[arg(long, default_value_t = 12_500)]
    pub(crate) terminated_pod_gc_threshold: usize,
    /// Where objects are kept: `embedded`, or `etcd=URL[,URL…]`
    #[arg(long, default_value = "embedded", value_parser = parse_store)]
    pub(crate) store: StoreKind,
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
    /// Which resources are encrypted at rest, and with which keys; if unset, secrets are with a key of this server's
    /// own in the embedded store, and nothing is in etcd
    #[arg(long)]
    pub(crate) encryption_provider_config: Option<PathBuf>,
    /// Settings of admission plugins: credentials for webhooks
    #[arg(long)]
    pub(crate) admission_control_config_file: Option<PathBuf>,
    /// Admission plugins that are to have no say, by upstream's names
    #[arg(long, value_delimiter = ',')]
    pub(crate) disable_admission_plugins: Vec<String>,
    /// What the scheduler is told: a KubeSchedulerConfiguration, kube-scheduler's --config
    #[arg(long)]
    pub(crate) scheduler_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
    #[command(flatten)]
    pub(crate) in_flight: InFlightArgs,
    /// Worker threads; 0 for one per core. Half as many, at least one, serve connections
    #[arg(long, default_value_t = 0, value_parser = RangedU64ValueParser::<usize>::new().range(..=1024))]
    pub(crate) threads: usize,
}

impl ServerOptions {
    /// The address that others reach the API server by. As upstream has it, an unspecified one is none.
    pub(crate) fn advertised(&self) -> IpAddr {
        self.advertise_address.filter(|ip| !ip.is_unspecified()).unwrap_or_else(|| match self.bind.ip() {
            ip if ip.is_unspecified() => crate::address::own(),
            ip => ip,
        })
    }

    /// Refuses an address that leads to no server, and files that cannot be read, before anything that runs is ended
    /// for them.
    pub(crate) fn check(&self) -> Result<()> {
        for (option, ip) in
            [("--bind", Some(self.bind.ip())), ("--advertise-address", self.advertise_address)]
        {
            if let Some(ip) = ip.filter(|ip| is_nowhere(*ip) && !ip.is_unspecified()) {
                bail!("invalid {option} {ip}: nobody can reach the API server by it");
            }
        }
        self.check_files()?;
        self.scheduler("")?;
        self.api.check()?;
        self.admission().map(drop)
    }

    /// Refuses files that cannot be read, or make no sense.
    fn check_files(&self) -> Result<()> {
        if let Some(file) = &self.audit.audit_policy_file {
            check_policy(file).context("invalid --audit-policy-file")?;
        }
        if let Some(file) = &self.encryption_provider_config {
            Encryption::from_file(file).context("invalid --encryption-provider-config")?;
        }
        if let Some(file) = &self.admission_control_config_file {
            let invalid = |error| anyhow!("invalid --admission-control-config-file: {error}");
            WebhookCredentials::from_file(file).map_err(invalid)?;
        }
        Ok(())
    }

    /// The admission plugins that have a say.
    pub(crate) fn admission(&self) -> Result<Admission> {
        Admission::without(&self.disable_admission_plugins)
            .map_err(|error| anyhow!("invalid --disable-admission-plugins: {error}"))
    }

    /// What the scheduler is told, `identity` being this process among those that want to lead.
    pub(crate) fn scheduler(&self, identity: &str) -> Result<scheduler::Config> {
        let Some(file) = &self.scheduler_config else { return Ok(scheduler::Config::new(identity)) };
        let read = || -> Result<scheduler::Config> {
            let tree = value::yaml::parse(&std::fs::read(file)?)?;
            let configuration = serde_json::from_slice(&value::json::to_vec(&tree))?;
            Ok(scheduler::Config::from_configuration(identity, &configuration)?)
        };
        read().with_context(|| format!("cannot read {}, the --scheduler-config", file.display()))
    }

    /// Refuses to begin a store on a disk that is full.
    pub(crate) fn refuse_full_disk(&self, root: &Path) -> Result<()> {
        if self.store != StoreKind::Embedded || store::embedded::file(&root.join("store")).exists() {
            return Ok(());
        }
        lifecycle::root::refuse_full_disk(root)
    }

    /// Whether secrets are encrypted with a key that the server makes for itself. Other servers on an etcd would
    /// not have it.
    pub(crate) fn has_own_key(&self) -> bool {
        self.encryption_provider_config.is_none() && self.store == StoreKind::Embedded
    }
}

/// The audit log.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    /// The audit policy; without it, or without --audit-log-path, there is no audit log
    #[arg(long)]
    pub(crate) audit_policy_file: Option<PathBuf>,
    /// Where the audit log is written; `-` for the standard output
    #[arg(long)]
    pub(crate) audit_log_path: Option<PathBuf>,
    /// Days that old files are kept; 0 for ever
    #[arg(long, default_value_t = 366)]
    pub(crate) audit_log_maxage: u32,
    /// How many old files are kept; 0 for all
    #[arg(long, default_value_t = 100)]
    pub(crate) audit_log_maxbackup: usize,
    /// Mebibytes after which a new file is begun; 0 for never
    #[arg(long, default_value_t = 100)]
    pub(crate) audit_log_maxsize: u64,
    /// Compress old files
    #[arg(long)]
    pub(crate) audit_log_compress: bool,
    /// How an event is written: `json` or `legacy`
    #[arg(long, default_value = "json", value_parser = Format::parse)]
    pub(crate) audit_log_format: Format,
    /// When an event is written: `batch`, `blocking` or `blocking-strict`
    #[arg(long, default_value = "blocking", value_parser = Mode::parse)]
    pub(crate) audit_log_mode: Mode,
    /// Events that wait to be written in batch mode
    #[arg(long, default_value_t = 10_000)]
    pub(crate) audit_log_batch_buffer_size: usize,
    /// Take the objects out of events that are too large
    #[arg(long)]
    pub(crate) audit_log_truncate_enabled: bool,
    /// How many bytes are too large
    #[arg(long, default_value_t = 102_400)]
    pub(crate) audit_log_truncate_max_event_size: usize,
}

/// How many requests are served at once.
#[derive(Clone, Debug, Args)]
pub(crate) struct InFlightArgs {
    /// Sort requests by priority and let them wait fairly; else those over the limits are refused
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) enable_priority_and_fairness: bool,
    /// Requests at once that read; 0 for any number
    #[arg(long, default_value_t = 400)]
    pub(crate) max_requests_inflight: u32,
    /// Requests at once that write; 0 for any number. With fairness, both limits together are its seats
    #[arg(long, default_value_t = 200)]
    pub(crate) max_mutating_requests_inflight: u32,
}
