//! Where objects are kept, and moving them from one store to another.

use crate::cli::{EtcdArgs, MigrateArgs, StoreKind};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::etcd::EtcdOptions;
use store::migrate::Moving;
use store::{EmbeddedStore, EtcdStore, KeyRange, Store, SystemClock};

/// All that upstream's API server keeps (`--etcd-prefix`).
const KEYS: &str = "/registry/";
/// What lapses by itself, and after which time upstream lets it (`--event-ttl`,
/// `DefaultEndpointReconcilerTTL`): a key's own time is not to be learnt from etcd with the key.
const LAPSING: [(&str, Duration); 2] =
    [("/registry/events/", Duration::from_secs(3_600)), ("/registry/masterleases/", Duration::from_secs(15))];

/// Opens a store.
///
/// # Errors
/// It cannot be opened or reached.
pub(crate) async fn open(kind: &StoreKind, root: &Path, etcd: &EtcdArgs) -> Result<Arc<dyn Store>> {
    match kind {
        StoreKind::Embedded => {
            let directory = root.join("store");
            let store = EmbeddedStore::open(&directory)
                .with_context(|| format!("cannot open the store in {}", directory.display()))?;
            Ok(Arc::new(store))
        }
        StoreKind::Etcd(endpoints) => {
            let options = EtcdOptions {
                ca_file: etcd.etcd_cafile.clone(),
                client_files: etcd.etcd_certfile.clone().zip(etcd.etcd_keyfile.clone()),
                ..EtcdOptions::new(endpoints.iter().cloned())
            };
            let store = EtcdStore::connect(&options)
                .await
                .with_context(|| format!("cannot connect to etcd at {}", endpoints.join(", ")))?;
            Ok(Arc::new(store))
        }
    }
}

/// `corten store migrate`: values go as they are, encrypted ones too.
///
/// # Errors
/// What the stores say, or that the target has objects.
pub(crate) async fn migrate(args: &MigrateArgs, out: &mut dyn Write) -> Result<()> {
    if args.from == args.to {
        bail!("--from and --to are the same store");
    }
    let from = open(&args.from, &args.root, &args.etcd).await?;
    let to = open(&args.to, &args.root, &args.etcd).await?;
    let ttls = LAPSING.map(|(prefix, ttl)| (KeyRange::prefix(prefix), ttl));
    let keys = KeyRange::prefix(KEYS);
    let how = Moving { keys: &keys, ttls: &ttls, clock: &SystemClock };
    let moved = store::migrate::copy(&*from, &*to, how).await.context("cannot move the objects")?;
    writeln!(out, "{} objects, {} bytes, as of revision {}", moved.keys, moved.bytes, moved.revision)?;
    let own = apiserver::encryption::own_file(&args.root);
    if args.from == StoreKind::Embedded && own.exists() {
        // A server on etcd does not look for it by itself: others on that etcd would not have the key.
        writeln!(
            out,
            "secrets are encrypted: start the server with --encryption-provider-config={}",
            own.display()
        )?;
    }
    Ok(())
}
