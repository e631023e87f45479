//! Where objects are kept, and moving them from one store to another.

use crate::cli::{EtcdArgs, MigrateArgs, StoreKind};
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
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

/// How much is read of what may be a recovery key.
const RECOVERY_KEY_BYTES_MAX: u64 = 1 << 10;

/// `corten store restore-key`.
///
/// # Errors
/// A key is there, or what is read is no recovery key.
pub(crate) fn restore_key(root: &Path, input: &mut dyn Read, out: &mut dyn Write) -> Result<()> {
    let file = apiserver::encryption::own_file(root);
    if file.exists() {
        bail!("{} is there: if it is the wrong key, move it away first", file.display());
    }
    let mut text = String::new();
    input
        .take(RECOVERY_KEY_BYTES_MAX)
        .read_to_string(&mut text)
        .context("cannot read the recovery key from standard input")?;
    apiserver::encryption::restore(root, text.trim()).context("cannot put the key back")?;
    writeln!(out, "the key is in {} again: start the cluster", file.display())?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use apiserver::encryption::{Encryption, own_file};

    #[test]
    fn a_key_comes_back_from_what_was_shown() {
        let root = tempfile::tempdir().unwrap();
        let (_, shown) = Encryption::own(root.path()).unwrap();
        let (shown, file) = (shown.unwrap().to_string(), own_file(root.path()));
        let before = std::fs::read(&file).unwrap();
        let mut told = Vec::new();
        let mut restore = |text: &str| {
            restore_key(root.path(), &mut text.as_bytes(), &mut told).map_err(|error| format!("{error:#}"))
        };
        assert!(
            restore(&shown).unwrap_err().contains("is there: if it is the wrong key, move it away first")
        );
        std::fs::remove_file(&file).unwrap();
        assert!(restore("abc").unwrap_err().starts_with("cannot put the key back: "));
        assert!(!file.exists());
        restore(&format!("  {shown}\n")).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert!(String::from_utf8(told).unwrap().ends_with("again: start the cluster\n"));
    }
}
