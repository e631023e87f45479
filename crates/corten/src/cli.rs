//! The command line. Each file below has the options of a command, or of what several have in common.

mod api;
mod cluster;
mod image;
mod instance;
mod node;
mod server;
mod store;

pub(crate) use api::ApiArgs;
pub(crate) use cluster::ClusterArgs;
pub(crate) use instance::{InstallArgs, ReportArgs, UpArgs};
pub(crate) use node::{NodeArgs, NodeOptions};
pub(crate) use server::{InFlightArgs, Part, ServerArgs, ServerOptions};
pub(crate) use store::{EtcdArgs, MigrateArgs, StoreKind};

use crate::options::Up;
use anyhow::{Context, Result, anyhow};
use apiserver::listen::Lanes;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use image::ImageCommand;
use instance::{DoctorArgs, RootArgs};
use lifecycle::Layout;
use lifecycle::notify::Notifier;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{IsTerminal, Write};
use std::num::NonZero;
use std::sync::{Arc, LazyLock};
use store::StoreCommand;
use tracing_subscriber::EnvFilter;

/// Reserved, not used: pages are taken as they are touched.
const WORKER_STACK_BYTES: usize = 8 << 20;

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
                Some(remembered) => anyhow!("{}\n{remembered}", lifecycle::error::text(&error)),
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
        Command::Image(command) => command.run(out),
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
            args.options.check()?;
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
}
