//! The command line.

use crate::options::Up;
use anyhow::{Context, Result, anyhow, bail, ensure};
use apiserver::admission::Admission;
use apiserver::audit::{Format, Mode};
use apiserver::listen::Lanes;
use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use lifecycle::Layout;
use lifecycle::layout::DEFAULT_ROOT;
use lifecycle::notify::Notifier;
use network::Cidr;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use tracing_subscriber::EnvFilter;

/// Reserved, not used: pages are taken as they are touched.
const WORKER_STACK_BYTES: usize = 8 << 20;

/// Fewer than eight addresses are no range of Services, as upstream has it.
const SERVICE_RANGE_BITS_MIN: u8 = 3;

/// What `--version` shows: this program's version, then the line that upstream's programs answer with.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{}\nKubernetes {}", env!("CARGO_PKG_VERSION"), meta::KUBERNETES_VERSION));

/// Kubernetes for bare metal in one binary.
#[derive(Debug, Parser)]
#[command(name = "corten", version = VERSION.as_str(), about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a cluster on this machine: control plane, node, container runtime
    Up(UpArgs),
    /// Stop everything that `up` started; state stays
    Down(RootArgs),
    /// Stop everything and remove its state
    Reset(RootArgs),
    /// Show what runs, and how it fares
    Status(ReportArgs),
    /// Look at what this machine has and lacks
    Doctor(DoctorArgs),
    /// Install as a service of systemd
    Install(InstallArgs),
    /// Load and list images
    #[command(subcommand)]
    Image(ImageCommand),
    /// Care for what is stored
    #[command(subcommand)]
    Store(StoreCommand),
    /// Run the control plane, or one part of it, in the foreground
    Server(ServerArgs),
    /// Run the node agent in the foreground: kubelet, network, Service rules, DNS
    Node(NodeArgs),
    /// Print this program's version and that of the Kubernetes API it serves
    Version,
}

impl Command {
    /// Whether it is about what only root may see or change. The doctor tells everybody what it can.
    fn takes_root(&self) -> bool {
        match self {
            Self::Up(_)
            | Self::Down(_)
            | Self::Reset(_)
            | Self::Status(_)
            | Self::Install(_)
            | Self::Image(_)
            | Self::Node(_) => true,
            Self::Doctor(_) | Self::Store(_) | Self::Server(_) | Self::Version => false,
        }
    }
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

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// In files below the root.
    Embedded,
    /// In an etcd cluster with these client URLs.
    Etcd(Vec<String>),
}

fn parse_store(text: &str) -> Result<StoreKind, String> {
    match text.split_once('=') {
        None if text == "embedded" => Ok(StoreKind::Embedded),
        Some(("etcd", urls)) if !urls.is_empty() => {
            Ok(StoreKind::Etcd(urls.split(',').map(str::to_owned).collect()))
        }
        _ => Err("must be \"embedded\" or \"etcd=URL[,URL...]\"".into()),
    }
}

/// What all parts of a cluster must be told alike.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Addresses of pods, of which each node gets a part
    #[arg(long, default_value = "10.244.0.0/16", value_delimiter = ',')]
    pub(crate) cluster_cidr: Vec<Cidr>,
    /// Addresses of Services; the first range is primary
    #[arg(long, default_value = "10.96.0.0/16", value_delimiter = ',')]
    pub(crate) service_cluster_ip_range: Vec<Cidr>,
    /// The domain of the cluster's names
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
}

impl ClusterArgs {
    /// Refuses ranges that no cluster can have, as upstream's API server and controller manager do.
    pub(crate) fn check(&self) -> Result<()> {
        let nodes = controllers::Config::default();
        let wrong = meta::names::dns1123_subdomain(&self.cluster_domain);
        ensure!(wrong.is_empty(), "invalid --cluster-domain {:?}: {}", self.cluster_domain, wrong.join("; "));
        for (option, ranges) in [
            ("--cluster-cidr", &self.cluster_cidr),
            ("--service-cluster-ip-range", &self.service_cluster_ip_range),
        ] {
            if let Some(range) =
                ranges.iter().find(|range| is_nowhere(range.address()) || range.address().is_loopback())
            {
                bail!(
                    "invalid {option} {range}: nothing can be reached by addresses such as {}",
                    range.address()
                );
            }
        }
        for range in &self.cluster_cidr {
            let of_node = match range.address() {
                IpAddr::V4(_) => nodes.node_mask_size_v4,
                IpAddr::V6(_) => nodes.node_mask_size_v6,
            };
            ensure!(
                range.prefix() <= of_node,
                "invalid --cluster-cidr {range}: the mask size of the cluster CIDR must be less than or equal to the \
                 node CIDR mask size of its family, which is {of_node}; take a /{of_node} or a larger range"
            );
        }
        // Upstream: `cmd/kube-apiserver/app/options/{completion,validation}.go`.
        let services = &self.service_cluster_ip_range;
        ensure!(services.len() <= 2, "--service-cluster-ip-range must not contain more than two entries");
        if let [first, second] = services[..] {
            ensure!(
                first.address().is_ipv4() != second.address().is_ipv4(),
                "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family"
            );
        }
        for range in services {
            let bits = if range.address().is_ipv4() { 32 } else { 128 };
            ensure!(
                range.prefix() <= bits - SERVICE_RANGE_BITS_MIN,
                "invalid --service-cluster-ip-range {range}: the service cluster IP range must be at least {} IP \
                 addresses",
                1 << SERVICE_RANGE_BITS_MIN
            );
        }
        Ok(())
    }

    /// Refuses Services of an IP family that no pod has, as kubeadm does for `podSubnet` and `serviceSubnet`.
    pub(crate) fn check_families(&self) -> Result<()> {
        let is_served = |service: &Cidr| {
            self.cluster_cidr.iter().any(|pods| pods.address().is_ipv4() == service.address().is_ipv4())
        };
        if let Some(range) = self.service_cluster_ip_range.iter().find(|range| !is_served(range)) {
            bail!(
                "--service-cluster-ip-range has {range}, and --cluster-cidr has no addresses of its IP family: no pod \
                 could be behind such a Service; give ranges of the same families to both"
            );
        }
        Ok(())
    }

    /// Who issues service-account tokens, as kubeadm names it.
    pub(crate) fn issuer(&self) -> String {
        format!("https://kubernetes.default.svc.{}", self.cluster_domain)
    }

    /// What the API server's certificate must name: this machine, and the Service `kubernetes` by its addresses.
    pub(crate) fn pki_config(&self, advertise: IpAddr) -> pki::Config {
        pki::Config {
            addresses: vec![advertise],
            service_addresses: self
                .service_cluster_ip_range
                .iter()
                .filter_map(|range| range.nth(1))
                .collect(),
            cluster_domain: self.cluster_domain.clone(),
            ..pki::Config::default()
        }
    }

    /// Where Services' DNS is: the tenth address of the primary range, as kubeadm's.
    pub(crate) fn dns_address(&self) -> Option<IpAddr> {
        self.service_cluster_ip_range.first()?.nth(10)
    }
}

/// Options of `corten node`.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeArgs {
    /// Where state is kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,
    /// The kubelet's kubeconfig; `<root>/kubelet.conf` if unset
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig of Service rules and DNS; `<root>/kube-proxy.conf` if unset
    #[arg(long)]
    pub(crate) proxy_kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What a node is told, be it started by itself or by `up`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeOptions {
    /// The Node's name; the machine's host name if unset
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// The node's addresses, one of each family; those of the default routes if unset
    #[arg(long, value_delimiter = ',')]
    pub(crate) node_ip: Vec<IpAddr>,
    /// Labels that the node registers with: `KEY=VALUE`
    #[arg(long, value_delimiter = ',', value_parser = parse_label)]
    pub(crate) node_labels: Vec<(String, String)>,
    /// The container runtime's socket, such as `unix:///run/crio/crio.sock`; if unset that of Corten's own
    /// containerd, which `corten up` starts
    #[arg(long)]
    pub(crate) container_runtime_endpoint: Option<String>,
    /// The kubelet's port
    #[arg(long, default_value_t = 10250)]
    pub(crate) kubelet_port: u16,
    /// The port of the health of Service rules; 0 for none
    #[arg(long, default_value_t = 10256)]
    pub(crate) healthz_port: u16,
}

impl NodeOptions {
    /// Refuses what no node can be told, as upstream's kubelet does.
    pub(crate) fn check(&self) -> Result<()> {
        let name = crate::node::node_name(self)?;
        let wrong = meta::names::dns1123_subdomain(&name);
        ensure!(wrong.is_empty(), "invalid --node-name {name:?}: {}", wrong.join("; "));
        for (key, value) in &self.node_labels {
            let mut wrong = meta::names::qualified_name(key);
            wrong.extend(meta::names::label_value(value));
            ensure!(wrong.is_empty(), "invalid --node-labels {key}={value}: {}", wrong.join("; "));
            // Upstream's kubelet refuses the same; the API server would refuse the Node.
            ensure!(
                !auth::node::is_forbidden_label(key),
                "invalid --node-labels {key}={value}: a node may not give itself labels of kubernetes.io and k8s.io, but \
                 for those of kubelet.kubernetes.io and node.kubernetes.io and a few such as \
                 topology.kubernetes.io/zone; kubectl label node {name} gives it others"
            );
        }
        // Upstream: `validateNodeIP` of `pkg/kubelet/kubelet_node_status.go`.
        for ip in &self.node_ip {
            let plain = ip.to_canonical();
            ensure!(
                !is_nowhere(plain) && !plain.is_loopback(),
                "invalid --node-ip {ip}: others cannot reach a node by it"
            );
        }
        // Upstream: `ParseNodeIPArgument` of `k8s.io/component-helpers/node/util`.
        if let [first, second, ..] = self.node_ip[..] {
            ensure!(
                self.node_ip.len() == 2 && first.is_ipv4() != second.is_ipv4(),
                "invalid --node-ip: a node has one address, or one of each IP family"
            );
        }
        ensure!(
            self.kubelet_port != 0,
            "invalid --kubelet-port 0: the API server must know where to find the kubelet"
        );
        Ok(())
    }
}

/// Whether packets to the address lead to no machine in particular.
fn is_nowhere(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    ip.is_unspecified() || ip.is_multicast() || is_link_local
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is no label such as KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Options of `corten up`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    /// Where state is kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,
    /// Return once all is up, and leave it running
    #[arg(long)]
    pub(crate) detach: bool,
    /// Run the supervisor, reporting to the process that waits for it
    #[arg(long, hide = true)]
    pub(crate) supervise: bool,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Options of `corten doctor`: those of an `up` that change what it needs.
#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Where state is kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    root: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl From<DoctorArgs> for UpArgs {
    fn from(args: DoctorArgs) -> Self {
        let DoctorArgs { root, server, node, cluster } = args;
        Self { root, detach: false, supervise: false, server, node, cluster }
    }
}

/// Options of commands that are about the instance on a root.
#[derive(Clone, Debug, Args)]
pub(crate) struct RootArgs {
    /// Where state is kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,
}

/// How etcd is reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct EtcdArgs {
    /// Authority of etcd's certificates (PEM)
    #[arg(long)]
    pub(crate) etcd_cafile: Option<PathBuf>,
    /// Certificate for etcd (PEM)
    #[arg(long, requires = "etcd_keyfile")]
    pub(crate) etcd_certfile: Option<PathBuf>,
    /// Key of the certificate for etcd (PEM)
    #[arg(long, requires = "etcd_certfile")]
    pub(crate) etcd_keyfile: Option<PathBuf>,
}

/// The audit log.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    /// The audit policy; without it there is no audit log
    #[arg(long, requires = "audit_log_path")]
    pub(crate) audit_policy_file: Option<PathBuf>,
    /// Where the audit log is written; `-` for the standard output
    #[arg(long, requires = "audit_policy_file")]
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

/// Options of `corten status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `corten install`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Take it away again; state stays
    #[arg(long)]
    pub(crate) remove: bool,
    /// Do not start it, neither now nor at boot
    #[arg(long)]
    pub(crate) no_enable: bool,
    /// Further options of `corten up`
    #[arg(last = true)]
    pub(crate) up_options: Vec<String>,
}

/// What is done about images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Load images from OCI or Docker archives into the container runtime. The kubelet does not collect them: nobody
    /// could pull them again
    Import {
        /// The archives, gzipped or not; `-` is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        root: RootArgs,
    },
    /// List the container runtime's images
    List {
        #[command(flatten)]
        root: RootArgs,
    },
}

/// What is done about what is stored.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy a cluster's objects into an empty store: from `embedded` to etcd, or back. No server may run on
    /// either meanwhile
    Migrate(MigrateArgs),
    /// Put the key for secrets at rest back, from the recovery key that `up` showed; it is read from standard input
    RestoreKey(RootArgs),
}

/// Options of `corten store migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Where the objects are: `embedded`, or `etcd=URL[,URL…]`
    #[arg(long, value_parser = parse_store)]
    pub(crate) from: StoreKind,
    /// Where they go, which must be empty
    #[arg(long, value_parser = parse_store)]
    pub(crate) to: StoreKind,
    /// Where state and keys are kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
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
    /// Where objects are kept: `embedded`, or `etcd=URL[,URL…]`
    #[arg(long, default_value = "embedded", value_parser = parse_store)]
    pub(crate) store: StoreKind,
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
    /// Which resources are encrypted at rest, and with which keys; secrets with a key of this server's own if
    /// unset
    #[arg(long)]
    pub(crate) encryption_provider_config: Option<PathBuf>,
    /// Settings of admission plugins: credentials for webhooks
    #[arg(long)]
    pub(crate) admission_control_config_file: Option<PathBuf>,
    /// Admission plugins that are to have no say, by upstream's names
    #[arg(long, value_delimiter = ',')]
    pub(crate) disable_admission_plugins: Vec<String>,
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
        for (option, file) in [
            ("--audit-policy-file", &self.audit.audit_policy_file),
            ("--encryption-provider-config", &self.encryption_provider_config),
            ("--admission-control-config-file", &self.admission_control_config_file),
        ] {
            if let Some(file) = file {
                std::fs::read(file)
                    .with_context(|| format!("cannot read {}, the {option}", file.display()))?;
            }
        }
        self.admission().map(drop)
    }

    /// The admission plugins that have a say.
    pub(crate) fn admission(&self) -> Result<Admission> {
        Admission::without(&self.disable_admission_plugins)
            .map_err(|error| anyhow!("invalid --disable-admission-plugins: {error}"))
    }

    /// Whether secrets are encrypted with a key that the server makes for itself. Other servers on an etcd would
    /// not have it.
    pub(crate) fn has_own_key(&self) -> bool {
        self.encryption_provider_config.is_none() && self.store == StoreKind::Embedded
    }
}

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
    #[command(flatten)]
    pub(crate) options: ServerOptions,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> Result<()> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let given = matches.subcommand().map_or(&matches, |(_, given)| given);
    let filter = EnvFilter::try_from_env("CORTEN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // On a full disk a log line is lost. Telling that on the same standard error would panic.
    log.with_ansi(is_terminal).with_target(false).log_internal_errors(false).init();
    if cli.command.takes_root() {
        lifecycle::doctor::refuse_others_than_root()?;
    }
    let out = &mut std::io::stdout();
    match cli.command {
        Command::Up(args) => {
            let layout = Layout::open(&args.root)?;
            let up = Up::with_last(&layout, args, given)?;
            let remembered = up.remembered(&layout);
            let result = up
                .check()
                .and_then(|()| up.refuse_other_ranges(&layout))
                .and_then(|()| up.refuse_other_node(&layout))
                .and_then(|()| crate::up::up(&up, layout, out));
            result.map_err(|error| match remembered {
                Some(remembered) => anyhow!("{error:#}\n{remembered}"),
                None => error,
            })
        }
        Command::Down(args) => crate::up::down(&args.root, out),
        Command::Reset(args) => crate::up::reset(&args.root, out),
        Command::Status(args) => crate::up::status(&args, out),
        Command::Doctor(args) => {
            let layout = Layout::open(&args.root)?;
            let up = Up::with_last(&layout, args.into(), given)?;
            up.check()?;
            crate::up::doctor(&up, layout, out)
        }
        Command::Install(args) => crate::up::install(&args, out),
        Command::Image(ImageCommand::Import { files, root }) => {
            let layout = Layout::open(&root.root)?;
            for line in lifecycle::image::import(&lifecycle::containerd::Options::default(), &layout, &files)?
            {
                let _nobody_reads = writeln!(out, "{line}");
            }
            Ok(())
        }
        Command::Image(ImageCommand::List { root }) => {
            let layout = Layout::open(&root.root)?;
            let images = lifecycle::image::list(&lifecycle::containerd::Options::default(), &layout)?;
            let width = images.iter().map(|image| image.name.len()).max().unwrap_or_default();
            for image in images {
                let (name, digest, size) = (image.name, image.digest, image.size);
                let _nobody_reads = writeln!(out, "{name:<width$}  {digest}  {size}");
            }
            Ok(())
        }
        Command::Store(StoreCommand::Migrate(args)) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.context("cannot start the async runtime")?.block_on(crate::store::migrate(&args, out))
        }
        Command::Store(StoreCommand::RestoreKey(args)) => {
            crate::store::restore_key(&args.root, &mut std::io::stdin(), out)
        }
        Command::Server(args) => {
            open_files();
            args.cluster.check()?;
            crate::controllers::check(&args.options.controllers)?;
            let threads = match args.options.threads {
                0 => std::thread::available_parallelism().map_or(1, NonZero::get),
                threads => threads,
            };
            let lanes = Lanes::start(threads / 2, WORKER_STACK_BYTES).context("cannot start threads")?;
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            // Objects nest up to a hundred levels and more, and what walks them is recursive.
            runtime.thread_stack_size(WORKER_STACK_BYTES).worker_threads(threads);
            let runtime = runtime.enable_all().build().context("cannot start the async runtime")?;
            runtime.block_on(crate::server::run(&args, crate::options::flags(given), &notifier()?, lanes))
        }
        Command::Node(args) => {
            args.node.check()?;
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.enable_all().build().context("cannot start the async runtime")?;
            runtime.block_on(crate::node::run(&args, &Arc::new(notifier()?)))
        }
        Command::Version => {
            let _nobody_reads = write!(out, "{}", Cli::command().render_version());
            Ok(())
        }
    }
}

/// Lets this process open as many files as it is allowed to, for a connection is one: what a shell gives at first is
/// 1,024, for the sake of programs that call `select`. Go programs do the same at their start.
fn open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "cannot raise the limit of open files from {:?}", limit.current);
    }
}

/// The way to say that this process is ready, to the supervisor or to systemd.
pub(crate) fn notifier() -> Result<Notifier> {
    Notifier::new(std::env::var(lifecycle::notify::VARIABLE).ok().as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_name_the_kubernetes_that_is_served() {
        let text = Cli::command().render_version();
        let lines: Vec<_> = text.lines().collect();
        let own = concat!("corten ", env!("CARGO_PKG_VERSION"));
        assert_eq!(lines, [own, &format!("Kubernetes {}", meta::KUBERNETES_VERSION)]);
    }

    /// The doctor takes every option of an `up` but those that say how to run.
    #[test]
    fn options_of_the_doctor() {
        let command = Cli::command();
        let options = |name: &str| {
            let command = command.find_subcommand(name).expect("a command");
            command.get_arguments().filter_map(|argument| argument.get_long()).collect::<Vec<_>>()
        };
        let (mut up, doctor) = (options("up"), options("doctor"));
        assert!(up.contains(&"detach"));
        up.retain(|option| !matches!(*option, "detach" | "supervise"));
        assert_eq!(doctor, up);
    }

    #[test]
    fn ranges_that_hold_no_node() {
        let check = |ranges: &[&str]| {
            let cluster_cidr = ranges.iter().map(|range| range.parse().unwrap()).collect();
            let cluster = ClusterArgs { cluster_cidr, ..Up::usual().cluster.clone() };
            cluster.check().map_err(|error| error.to_string())
        };
        for good in [&["10.0.0.0/24"][..], &["10.0.0.0/8", "fd00::/48"], &["fd00::/64"]] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        let error = check(&["10.0.0.0/16", "fd00::/65"]).unwrap_err();
        assert!(
            error.starts_with("invalid --cluster-cidr fd00::/65: the mask size of the cluster CIDR must"),
            "{error}"
        );
        let services = |ranges: &[&str]| {
            let service_cluster_ip_range = ranges.iter().map(|range| range.parse().unwrap()).collect();
            let cluster = ClusterArgs { service_cluster_ip_range, ..Up::usual().cluster.clone() };
            cluster.check().map_err(|error| error.to_string())
        };
        for good in [&["10.0.0.0/29"][..], &["10.0.0.0/8", "fd00::/125"]] {
            assert_eq!(services(good), Ok(()), "{good:?}");
        }
        for (bad, why) in [
            (&["10.0.0.0/30"][..], "at least 8 IP addresses"),
            (&["10.0.0.0/24", "fd00::/126"], "invalid --service-cluster-ip-range fd00::/126"),
            (&["10.0.0.0/24", "10.1.0.0/24"], "must be of different IP family"),
            (
                &["169.254.20.0/24"],
                "invalid --service-cluster-ip-range 169.254.20.0/24: nothing can be reached",
            ),
            (&["10.0.0.0/24", "fd00::/112", "fd01::/112"], "must not contain more than two entries"),
        ] {
            let error = services(bad).unwrap_err();
            assert!(error.contains(why), "{bad:?}: {error}");
        }
        assert!(
            check(&["127.0.0.0/8"]).unwrap_err().starts_with("invalid --cluster-cidr 127.0.0.0/8: nothing")
        );
        for (domain, good) in
            [("cluster.local", true), ("k8s", true), ("-x-", false), ("a b", false), ("", false)]
        {
            let cluster = ClusterArgs { cluster_domain: domain.into(), ..Up::usual().cluster.clone() };
            assert_eq!(cluster.check().is_ok(), good, "{domain}");
        }
        assert!(check(&["10.0.0.0/25"]).unwrap_err().ends_with("which is 24; take a /24 or a larger range"));
    }

    #[test]
    fn families_and_names_that_no_cluster_can_have() {
        let families = |pods: &[&str], services: &[&str]| {
            let cidrs = |ranges: &[&str]| ranges.iter().map(|range| range.parse().unwrap()).collect();
            let (cluster_cidr, service_cluster_ip_range) = (cidrs(pods), cidrs(services));
            let cluster =
                ClusterArgs { cluster_cidr, service_cluster_ip_range, ..Up::usual().cluster.clone() };
            cluster.check_families().map_err(|error| error.to_string())
        };
        assert_eq!(families(&["10.0.0.0/16"], &["10.1.0.0/16"]), Ok(()));
        assert_eq!(families(&["10.0.0.0/16", "fd00::/48"], &["10.1.0.0/16"]), Ok(()));
        let error = families(&["fd00::/48"], &["10.1.0.0/16"]).unwrap_err();
        assert!(
            error.starts_with("--service-cluster-ip-range has 10.1.0.0/16, and --cluster-cidr has no"),
            "{error}"
        );
        assert!(families(&["10.0.0.0/16"], &["10.1.0.0/16", "fd00::/112"]).is_err());

        let node = |change: &dyn Fn(&mut NodeOptions)| {
            let mut options = Up::usual().node.clone();
            options.node_name = Some("n".into());
            change(&mut options);
            options.check().map_err(|error| error.to_string())
        };
        assert_eq!(node(&|_| {}), Ok(()));
        let label = |value: &str| vec![("a".to_owned(), value.to_owned())];
        assert_eq!(node(&|options| options.node_labels = label("")), Ok(()));
        let key = |key: &str| vec![(key.to_owned(), String::new())];
        assert_eq!(node(&|options| options.node_labels = key("topology.kubernetes.io/zone")), Ok(()));
        let address = |ip: &str| node(&|options| options.node_ip = vec![ip.parse().unwrap()]);
        assert_eq!(address("192.0.2.1"), Ok(()));
        for (error, why) in [
            (
                node(&|options| options.node_name = Some("UPPER_case".into())),
                "invalid --node-name \"UPPER_case\": a",
            ),
            (
                node(&|options| options.node_labels = label("b=c")),
                "invalid --node-labels a=b=c: a valid label must",
            ),
            (node(&|options| options.kubelet_port = 0), "invalid --kubelet-port 0: "),
            (
                node(&|options| options.node_labels = key("node-role.kubernetes.io/control-plane")),
                "invalid --node-labels node-role.kubernetes.io/control-plane=: a node may not give itself",
            ),
            (address("0.0.0.0"), "invalid --node-ip 0.0.0.0: others cannot"),
            (address("fe80::1"), "invalid --node-ip fe80::1: others cannot"),
            (
                node(&|options| {
                    options.node_ip = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).into()
                }),
                "invalid --node-ip: a node has one address",
            ),
            (address("224.0.0.1"), "invalid --node-ip 224.0.0.1: others cannot"),
            (address("127.0.0.1"), "invalid --node-ip 127.0.0.1: others cannot"),
            (address("::1"), "invalid --node-ip ::1: others cannot"),
            (address("::ffff:127.0.0.2"), "invalid --node-ip ::ffff:127.0.0.2: others cannot"),
        ] {
            let error = error.unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
