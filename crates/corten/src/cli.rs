//! The command line.

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Reserved, not used: pages are taken as they are touched.
const WORKER_STACK_BYTES: usize = 8 << 20;

/// Kubernetes for bare metal in one binary.
#[derive(Debug, Parser)]
#[command(name = "corten", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane, or one part of it, in the foreground
    Server(ServerArgs),
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

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is no address range such as 10.244.0.0/16");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    if bits > max { Err(wrong()) } else { Ok((address, bits)) }
}

/// Options of `corten server`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Run only this part
    #[arg(long, value_enum)]
    pub(crate) only: Option<Part>,
    /// Where state and keys are kept
    #[arg(long, default_value = "/var/lib/corten")]
    pub(crate) root: PathBuf,
    /// Address and port to serve the API on
    #[arg(long, default_value = "0.0.0.0:6443")]
    pub(crate) bind: SocketAddr,
    /// The address that others in the cluster reach this server by; that of the default route if unset
    #[arg(long)]
    pub(crate) advertise_address: Option<IpAddr>,
    /// How controllers or scheduler reach the API server, where they run without it
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Addresses of pods, of which each node gets a part
    #[arg(long, default_value = "10.244.0.0/16", value_delimiter = ',', value_parser = parse_cidr)]
    pub(crate) cluster_cidr: Vec<(IpAddr, u8)>,
    /// Controllers to run: `*` for all, `-NAME` for all but one
    #[arg(long, default_value = "*", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) controllers: Vec<String>,
    /// Addresses of Services, the first range is primary
    #[arg(long, default_value = "10.96.0.0/16", value_delimiter = ',')]
    pub(crate) service_cluster_ip_range: Vec<String>,
    /// Where objects are kept: `embedded`, or `etcd=URL[,URL…]`
    #[arg(long, default_value = "embedded", value_parser = parse_store)]
    pub(crate) store: StoreKind,
    /// Authority of etcd's certificates (PEM)
    #[arg(long)]
    pub(crate) etcd_cafile: Option<PathBuf>,
    /// Certificate for etcd (PEM)
    #[arg(long, requires = "etcd_keyfile")]
    pub(crate) etcd_certfile: Option<PathBuf>,
    /// Key of the certificate for etcd (PEM)
    #[arg(long, requires = "etcd_certfile")]
    pub(crate) etcd_keyfile: Option<PathBuf>,
    /// Worker threads; 0 for one per core
    #[arg(long, default_value_t = 0)]
    pub(crate) threads: usize,
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> Result<()> {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("CORTEN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    match cli.command {
        Command::Server(args) => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            // Objects nest up to a hundred levels and more, and what walks them is recursive.
            runtime.thread_stack_size(WORKER_STACK_BYTES);
            if args.threads > 0 {
                runtime.worker_threads(args.threads);
            }
            let runtime = runtime.enable_all().build().context("cannot start the async runtime")?;
            runtime.block_on(crate::server::run(&args))
        }
    }
}
