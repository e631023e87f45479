//! Follows everything that can be collected: a watch of metadata per resource, begun and ended as discovery
//! says what is served.

use super::graph::{Change, Deletion, Identity, Owner, Seen};
use super::{FOREGROUND, ORPHAN, Shared};
use crate::cluster::discovery::{self, Resource};
use api::meta::v1::{ObjectMeta, OwnerReference};
use api::partial::Partial;
use client::Lister;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often it is asked what is served, as upstream; a changed definition of a custom resource asks sooner.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);
/// How long a wish for discovery waits for others like it.
const DISCOVERY_PAUSE: Duration = Duration::from_secs(1);

/// A resource by its group, version and plural.
type Name = (String, String, String);

/// Runs until `stop`; says in `whole` when all that was served at first has been shown.
pub(super) async fn run(shared: Arc<Shared>, whole: watch::Sender<bool>, mut stop: watch::Receiver<bool>) {
    let mut monitors: HashMap<Name, Lister<Partial>> = HashMap::new();
    let mut waiting = JoinSet::new();
    loop {
        match discovery::discover(&shared.client).await {
            Ok(catalog) => {
                sync(&shared, &mut monitors, &catalog);
                *shared.catalog.write() = Arc::new(catalog);
            }
            Err(error) => tracing::warn!(%error, "garbage collector: cannot find out what is served"),
        }
        if !*whole.borrow() && !monitors.is_empty() {
            let monitors: Vec<Lister<Partial>> = monitors.values().cloned().collect();
            let whole = whole.clone();
            waiting.spawn(async move {
                for monitor in monitors {
                    monitor.synced().await;
                }
                whole.send_replace(true);
            });
        }
        let again = async {
            tokio::select! {
                () = tokio::time::sleep(DISCOVERY_INTERVAL) => {}
                () = shared.unknown_kind.notified() => tokio::time::sleep(DISCOVERY_PAUSE).await,
            }
        };
        tokio::select! {
            () = again => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    for monitor in monitors.into_values() {
        monitor.stop();
    }
}

fn sync(shared: &Arc<Shared>, monitors: &mut HashMap<Name, Lister<Partial>>, catalog: &discovery::Catalog) {
    let wanted: HashMap<Name, &Resource> = catalog
        .preferred()
        .filter(|resource| is_collected(resource))
        .map(|r| ((r.group.clone(), r.version.clone(), r.plural.clone()), r))
        .collect();
    monitors.retain(|name, monitor| {
        // What a silent server serves may be back any moment.
        let silent = catalog.stale.iter().any(|gv| *gv == format!("{}/{}", name.0, name.1));
        let keep = silent || wanted.contains_key(name);
        if !keep {
            monitor.stop();
        }
        keep
    });
    for (name, resource) in wanted {
        monitors.entry(name).or_insert_with(|| follow(shared, resource));
    }
}

fn is_collected(resource: &Resource) -> bool {
    let event = resource.plural == "events" && matches!(resource.group.as_str(), "" | "events.k8s.io");
    !event && ["delete", "list", "watch"].iter().all(|verb| resource.can(verb))
}

fn follow(shared: &Arc<Shared>, resource: &Resource) -> Lister<Partial> {
    let lister = shared.informers.metadata(&resource.group, &resource.version, &resource.plural);
    // The monitors' task holds the listers, and the listers hold their subscribers.
    let (shared, kind, api_version) = (Arc::downgrade(shared), resource.kind.clone(), resource.api_version());
    let adds_kinds = matches!(resource.plural.as_str(), "customresourcedefinitions" | "apiservices");
    lister.subscribe(move |change| {
        let Some(shared) = shared.upgrade() else { return };
        let identity = identity(&kind, &api_version, &change.object().metadata);
        shared.apply(match change {
            client::Change::Deleted(_) => Change::Deleted(identity),
            client::Change::Updated(old, _) if old.metadata.uid.as_deref() != Some(&*identity.uid) => {
                // One went and another came under its name while the watch was broken.
                shared.apply(Change::Deleted(self::identity(&kind, &api_version, &old.metadata)));
                seen(identity, &change.object().metadata)
            }
            client::Change::Added(object) | client::Change::Updated(_, object) => {
                seen(identity, &object.metadata)
            }
        });
        if adds_kinds {
            shared.unknown_kind.notify_one();
        }
    });
    lister
}

fn seen(identity: Identity, meta: &ObjectMeta) -> Change {
    let has = |name: &str| meta.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    let deletion = match meta.deletion_timestamp {
        None => Deletion::No,
        Some(_) if has(ORPHAN) => Deletion::Orphan,
        Some(_) if has(FOREGROUND) => Deletion::Foreground,
        Some(_) => Deletion::Other,
    };
    let owners = meta.owner_references.iter().flatten().map(owner).collect();
    Change::Seen(Seen { identity, owners, deletion })
}

fn identity(kind: &str, api_version: &str, meta: &ObjectMeta) -> Identity {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Identity {
        kind: kind.to_owned(),
        api_version: api_version.to_owned(),
        namespace: text(&meta.namespace),
        name: text(&meta.name),
        uid: meta.uid.as_deref().unwrap_or_default().into(),
    }
}

/// An owner as the graph keeps it.
pub(super) fn owner(reference: &OwnerReference) -> Owner {
    Owner {
        api_version: reference.api_version.clone(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
        uid: reference.uid.as_str().into(),
        blocking: reference.block_owner_deletion == Some(true),
    }
}
