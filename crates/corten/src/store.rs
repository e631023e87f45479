//! Where objects are kept, and moving them from one store to another.

use crate::cli::{EtcdArgs, MigrateArgs, StoreKind};
use anyhow::{Context, Result, bail};
use apiserver::bootstrap::endpoints::{LEASE_TIME, LEASES};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use store::etcd::EtcdOptions;
use store::migrate::Moving;
use store::{EmbeddedStore, EtcdStore, KeyRange, Range, Store, SystemClock};

/// All that upstream's API server keeps (`--etcd-prefix`).
const KEYS: &str = "/registry/";
/// What lapses after `--event-ttl`.
const EVENTS: &str = "/registry/events/";

/// Opens a store.
///
/// # Errors
/// It cannot be opened or reached.
pub(crate) async fn open(kind: &StoreKind, root: &Path, etcd: &EtcdArgs) -> Result<Arc<dyn Store>> {
    match kind {
        StoreKind::Embedded => Ok(Arc::new(open_embedded(root)?)),
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

/// Whether a store has no objects: that of a server that does not run, or an etcd.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn is_empty(kind: &StoreKind, root: &Path, etcd: &EtcdArgs) -> Result<bool> {
    // Looking makes nothing.
    if *kind == StoreKind::Embedded && !store::embedded::file(&root.join("store")).exists() {
        return Ok(true);
    }
    block_on(async { Ok(!has_objects(&*open(kind, root, etcd).await?).await?) })
}

async fn has_objects(store: &dyn Store) -> Result<bool> {
    let some = store.range(Range::prefix(KEYS).limit(1)).await;
    Ok(!some.context("cannot look whether there are objects in the store")?.kvs.is_empty())
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start a runtime")?.block_on(future)
}

fn open_embedded(root: &Path) -> Result<EmbeddedStore> {
    let directory = root.join("store");
    EmbeddedStore::open(&directory)
        .with_context(|| format!("cannot open the store in {}", directory.display()))
}

/// What encrypted values begin with.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// That the server may make a key of its own: it has one, or nothing needs the one that it had.
///
/// # Errors
/// The key is lost, or the store cannot be read.
pub(crate) async fn check_own_key(store: &dyn Store, root: &Path) -> Result<()> {
    let file = apiserver::encryption::own_file(root);
    if file.exists() {
        return Ok(());
    }
    let secrets = store.range(Range::prefix("/registry/secrets/")).await;
    let secrets = secrets.context("cannot look whether secrets are encrypted")?;
    if secrets.kvs.iter().any(|secret| secret.value().starts_with(ENCRYPTED)) {
        bail!(
            "secrets in the store are encrypted, and their key is missing: put {} back, or make it again from the \
             recovery key by `corten store restore-key --root {}`",
            file.display(),
            root.display()
        );
    }
    Ok(())
}

/// [`check_own_key`] for the embedded store of a root whose server does not run.
///
/// # Errors
/// As there, or the store cannot be opened.
pub(crate) fn check_own_key_below(root: &Path) -> Result<()> {
    if apiserver::encryption::own_file(root).exists() || !root.join("store").exists() {
        return Ok(());
    }
    block_on(async { check_own_key(&open_embedded(root)?, root).await })
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

/// That no API server, of whatever make, uses an etcd: each has a lease in it.
async fn refuse_used(store: &dyn Store, name: &str) -> Result<()> {
    let leases = store.range(Range::prefix(LEASES)).await.context("cannot look who uses the store")?;
    let addresses: Vec<_> = leases
        .kvs
        .iter()
        .filter_map(|lease| std::str::from_utf8(lease.key().as_ref()).ok()?.strip_prefix(LEASES))
        .collect();
    if !addresses.is_empty() {
        bail!(
            "{name} is used by API servers, whose addresses are {}: what they write from now on would be lost. Stop \
             them first (`corten down`); those that were killed are forgotten after 15 seconds",
            addresses.join(", ")
        );
    }
    Ok(())
}

/// `corten store migrate`: values go as they are, encrypted ones too.
///
/// # Errors
/// What the stores say, that they are used, or that the target has objects.
pub(crate) async fn migrate(args: &MigrateArgs, out: &mut dyn Write) -> Result<()> {
    let directory = args.root.join("store");
    if args.from == args.to {
        bail!("--from and --to are the same store");
    }
    if args.from == StoreKind::Embedded && !store::embedded::file(&directory).exists() {
        bail!("there is no store in {}: is {} the right --root?", directory.display(), args.root.display());
    }
    let from = open(&args.from, &args.root, &args.etcd).await?;
    let to = open(&args.to, &args.root, &args.etcd).await?;
    for (kind, store) in [(&args.from, &from), (&args.to, &to)] {
        if let StoreKind::Etcd(endpoints) = kind {
            refuse_used(&**store, &endpoints.join(",")).await?;
        }
    }
    // A key's own time is not to be learnt from etcd with the key.
    let ttls: Vec<_> = [(EVENTS, args.event_ttl), (LEASES, LEASE_TIME)]
        .into_iter()
        .filter(|(_, ttl)| !ttl.is_zero())
        .map(|(prefix, ttl)| (KeyRange::prefix(prefix), ttl))
        .collect();
    let keys = KeyRange::prefix(KEYS);
    let how = Moving { keys: &keys, ttls: &ttls, clock: &SystemClock };
    if args.to == StoreKind::Embedded && has_objects(&*to).await? {
        bail!(
            "{} has objects already: if they may be lost, move it away and run this again",
            directory.display()
        );
    }
    let moved = store::migrate::copy(&*from, &*to, how).await.context("cannot move the objects")?;
    drop((from, to));
    writeln!(out, "{} objects, {} bytes, as of revision {}", moved.keys, moved.bytes, moved.revision)?;
    match &args.from {
        // Who went on from it would not notice what is missing.
        StoreKind::Embedded => {
            let aside = store::embedded::put_aside(&directory).with_context(|| {
                format!("everything was moved, but the old store in {} is as before", directory.display())
            })?;
            writeln!(out, "what was there before is in {}, which nothing reads any more", aside.display())?;
        }
        StoreKind::Etcd(endpoints) => {
            writeln!(out, "in {} everything is as before: start no server on it again", endpoints.join(","))?;
        }
    }
    let own = apiserver::encryption::own_file(&args.root);
    if args.from == StoreKind::Embedded && own.exists() {
        // A server on etcd does not look for it by itself: others on that etcd would not have the key.
        writeln!(
            out,
            "secrets are encrypted: start the server with --encryption-provider-config={}",
            own.display()
        )?;
    }
    if args.to == StoreKind::Embedded && args.from != StoreKind::Embedded {
        writeln!(
            out,
            "secrets that are not encrypted yet are with their next change; to change all of them at once: kubectl get \
             secrets --all-namespaces -o json | kubectl replace -f -"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use apiserver::encryption::{Encryption, own_file};

    #[tokio::test]
    async fn a_lost_key_is_not_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let store = store::MemoryStore::new();
        let put = async |value: &'static str| {
            store.txn(store::Txn::put("/registry/secrets/default/a", value)).await.unwrap();
        };
        put("k8s\0plain").await;
        assert!(check_own_key(&store, root.path()).await.is_ok());
        put("k8s:enc:secretbox:v1:corten-1:x").await;
        let error = check_own_key(&store, root.path()).await.unwrap_err().to_string();
        assert!(error.contains("corten store restore-key --root"), "{error}");
        Encryption::own(root.path()).unwrap();
        assert!(check_own_key(&store, root.path()).await.is_ok());
    }

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
