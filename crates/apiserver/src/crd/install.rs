//! Putting custom kinds into the registry and taking them out.

use super::kind::{Custom, Kind};
use super::rows;
use crate::api::Api;
use crate::cache::{Cache, Entry};
use crate::codec::Codec;
use crate::managed::Tracking;
use crate::resource::{Hub, Registry, Served};
use crate::storage::{self, HubLoader};
use aws_lc_rs::digest::{Digest, SHA256, digest};
use kinds::Row;
use std::sync::Arc;
use value::{Str, Value, json};

/// What is served of a definition now.
pub(super) struct Installed {
    /// The digest of what it was made of: another one must be made anew.
    made_of: Digest,
    kind: Arc<Kind>,
    group: Str,
    plural: Str,
}

impl Installed {
    pub(super) fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    pub(super) fn group(&self) -> &Str {
        &self.group
    }

    pub(super) fn plural(&self) -> &Str {
        &self.plural
    }

    /// Whether it still says what the definition says.
    pub(super) fn is_current(&self, definition: &Value) -> bool {
        self.made_of.as_ref() == made_of(definition).as_ref()
    }
}

fn made_of(definition: &Value) -> Digest {
    let mut facts = Vec::new();
    let (uid, names) = (definition.at("metadata").at("uid"), definition.at("status").at("acceptedNames"));
    for fact in [uid, definition.at("spec"), names] {
        json::write(fact, &mut facts);
    }
    digest(&SHA256, &facts)
}

/// Serves a definition; what was served of it before ends.
///
/// # Errors
/// The store's.
pub(super) async fn install(api: &Arc<Api>, definition: &Value) -> Result<Option<Installed>, store::Error> {
    let kind = Arc::new(rows::kind_of(api, definition));
    let rows = rows::rows(definition, &kind);
    let Some(hub_row) = rows::hub_row(&rows, &kind) else { return Ok(None) };
    let (group, plural) = (hub_row.group.clone(), hub_row.plural.clone());
    let codec = |row: &Row| {
        let custom = Custom { all: kind.clone(), version: row.version.clone() };
        Codec::custom_kind(row, custom)
    };
    let hub_codec = codec(&hub_row);
    let transform = api.encryption.transform(&group, &plural);
    let Some(prefix) = hub_row.storage.as_ref().map(|s| s.prefix.clone()) else { return Ok(None) };
    // Nobody writes objects of a kind that is not served, so those can be read without haste.
    let loaded = match api.hub(&group, &plural) {
        Some(_) => None,
        None => {
            let revision = api.store.revision().await?;
            let ingest = |key: &str, value: &bytes::Bytes, revision: u64| {
                storage::ingest(&prefix, &hub_codec, &*transform, &hub_row, key, value, revision)
            };
            let loader = HubLoader { prefix: &prefix, ingest: &ingest };
            Some((storage::load(&*api.store, &loader, revision).await?, revision))
        }
    };
    let make_hub = |entries: Vec<Entry>, revision: u64| {
        let cache = Cache::new(api.published.clone(), None, revision, entries);
        Arc::new(Hub { row: hub_row.clone(), codec: hub_codec.clone(), cache, transform: transform.clone() })
    };
    let make_served = |hub: &Arc<Hub>| -> Vec<Arc<Served>> {
        let served = rows.iter().filter(|(_, served)| *served);
        served
            .map(|(row, _)| {
                let codec = codec(row);
                let tracking = Tracking::new(row, codec.merge_type(), codec.empty());
                Arc::new(Served { row: row.clone(), codec, hub: Some(hub.clone()), tracking })
            })
            .collect()
    };
    api.prepared.standing_still(|| {
        let registry = api.registry.load_full();
        let old = registry.hub(&group, &plural).cloned();
        let hub = match (&old, loaded) {
            (Some(old), _) => {
                let revision = api.published.get();
                make_hub(reread(old, &hub_codec, &hub_row), revision)
            }
            (None, Some((entries, revision))) => make_hub(entries, revision.max(api.published.get())),
            (None, None) => make_hub(Vec::new(), api.published.get()),
        };
        api.registry.store(Arc::new(replaced(&registry, &group, &plural, make_served(&hub), Some(hub))));
        if let Some(old) = old {
            old.cache.close();
        }
    });
    api.aggregation.changed.notify_one();
    Ok(Some(Installed { made_of: made_of(definition), kind, group, plural }))
}

/// The objects of an old hub as the new one reads them.
fn reread(old: &Hub, codec: &Codec, row: &Row) -> Vec<Entry> {
    let page = old.cache.list(crate::cache::Query::default());
    let read = |entry: &Arc<Entry>| {
        let object = codec.peek_stored(&entry.stored).ok()?;
        let head = crate::resource::peeked_head(codec, row, &object);
        Some(Entry::new(entry.key.clone(), entry.revision, entry.stored.clone(), head))
    };
    page.entries.iter().filter_map(read).collect()
}

/// Serves a resource no longer.
pub(super) fn remove(api: &Api, installed: &Installed) {
    let (group, plural) = (&installed.group, &installed.plural);
    api.prepared.standing_still(|| {
        let registry = api.registry.load_full();
        let old = registry.hub(group, plural).cloned();
        api.registry.store(Arc::new(replaced(&registry, group, plural, Vec::new(), None)));
        if let Some(old) = old {
            old.cache.close();
        }
    });
    api.aggregation.changed.notify_one();
}

/// The registry with other versions of one resource: custom groups stand behind the built-in ones, by name.
fn replaced(
    registry: &Registry,
    group: &str,
    plural: &str,
    served: Vec<Arc<Served>>,
    hub: Option<Arc<Hub>>,
) -> Registry {
    let kept = registry.iter().filter(|s| !(s.row.group == group && s.row.plural == plural));
    let mut all: Vec<Arc<Served>> = kept.cloned().chain(served).collect();
    all.sort_by(|a, b| order(&a.row).cmp(&order(&b.row)));
    let mut new = Registry::new(all);
    // Hubs of which no version is served stay hubs: their objects change all the same.
    let unserved = registry.hubs().filter(|h| !(h.row.group == group && h.row.plural == plural)).cloned();
    for hub in unserved.chain(hub) {
        new.add_hub(hub);
    }
    new
}

/// Built-in rows keep their order (the sort is stable).
fn order(row: &Row) -> (bool, &str) {
    if row.is_custom() { (true, &row.group) } else { (false, "") }
}
