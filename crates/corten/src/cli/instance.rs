//! Options of commands that are about the whole instance on a root: `up`, `doctor`, `status`, `install`.

use super::cluster::ClusterArgs;
use super::node::NodeOptions;
use super::server::ServerOptions;
use clap::Args;
use lifecycle::layout::DEFAULT_ROOT;
use std::path::PathBuf;

/// Options of commands that are about the instance on a root.
#[derive(Clone, Debug, Args)]
pub(crate) struct RootArgs {
    /// Where state is kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,
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
    pub(super) root: PathBuf,
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
