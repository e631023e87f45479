//! Where objects are kept, and options of `corten store`.

use super::api::duration;
use super::instance::RootArgs;
use clap::{Args, Subcommand};
use lifecycle::layout::DEFAULT_ROOT;
use std::path::PathBuf;
use std::time::Duration;

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// In files below the root.
    Embedded,
    /// In an etcd cluster with these client URLs.
    Etcd(Vec<String>),
}

pub(super) fn parse_store(text: &str) -> Result<StoreKind, String> {
    match text.split_once('=') {
        None if text == "embedded" => Ok(StoreKind::Embedded),
        Some(("etcd", urls)) if !urls.is_empty() => {
            Ok(StoreKind::Etcd(urls.split(',').map(str::to_owned).collect()))
        }
        _ => Err("must be \"embedded\" or \"etcd=URL[,URL...]\"".into()),
    }
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
    /// How long events that come from etcd are kept, which does not tell their own time; 0 for ever
    #[arg(long, default_value = "1h0m0s", value_parser = duration)]
    pub(crate) event_ttl: Duration,
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
}
