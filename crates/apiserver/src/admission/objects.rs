//! Other objects that plugins look at: from the watch cache, and from the store where the cache may lag.

use crate::cache::{Entry, Query};
use crate::call::Call;
use crate::resource::Hub;
use meta::status::Status;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use store::Range;
use value::Value;

/// An object of the cache.
pub(super) fn find(call: &Call, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
    let hub = call.api.hub(group, resource)?;
    let entry = hub.get(namespace, name)?;
    Some(hub.tree(&entry))
}

/// An object of the cache, or of the store if the cache does not have it.
pub(super) async fn find_live(
    call: &Call,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, Status> {
    let Some(hub) = call.api.hub(group, resource) else { return Ok(None) };
    if let Some(entry) = hub.get(namespace, name) {
        return Ok(Some(hub.tree(&entry)));
    }
    Ok(read(call, &hub, namespace, name).await?.map(|entry| hub.tree(&entry)))
}

/// An object as the store has it now.
pub(super) async fn read(
    call: &Call,
    hub: &Hub,
    namespace: &str,
    name: &str,
) -> Result<Option<Entry>, Status> {
    let key = hub.store_key(namespace, name);
    let read = call.api.store.range(Range::key(key.as_bytes())).await;
    let read = read.map_err(|e| crate::storage::status(&e))?;
    Ok(read.kvs.first().and_then(|kv| hub.ingest(&key, kv.value(), kv.mod_revision())))
}

/// All objects of a namespace (empty for all) in the cache, in key order.
pub(super) fn list(hub: &Hub, namespace: &str) -> Vec<Value> {
    let page = hub.cache.list(Query { namespace, ..Query::default() });
    page.entries.iter().map(|entry| hub.tree(entry)).collect()
}

/// The containers of a pod spec: init, main, ephemeral.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|l| spec.at(l).items())
}

/// Appends to the list at `key`, which is made if need be.
pub(super) fn push(object: &mut Value, key: &str, item: Value) {
    if let Some(list) = object.get_mut(key).and_then(Value::as_array_mut) {
        list.push(item);
    } else {
        object.set(key, Value::Array(vec![item]));
    }
}

/// What is made of all objects of a resource, kept until one of them changes.
pub(super) struct Derived<T> {
    group: &'static str,
    resource: &'static str,
    hub: OnceLock<Arc<Hub>>,
    made: Mutex<Option<(u64, Arc<T>)>>,
}

impl<T> Derived<T> {
    pub(super) const fn new(group: &'static str, resource: &'static str) -> Self {
        Self { group, resource, hub: OnceLock::new(), made: Mutex::new(None) }
    }

    /// The stored side; `None` if the resource is not served. The hubs of built-in kinds live as long as
    /// the server.
    pub(super) fn hub(&self, call: &Call) -> Option<&Arc<Hub>> {
        if let Some(hub) = self.hub.get() {
            return Some(hub);
        }
        let hub = call.api.hub(self.group, self.resource)?;
        Some(self.hub.get_or_init(|| hub))
    }

    /// Whether there is no object at all.
    pub(super) fn is_empty(&self, call: &Call) -> bool {
        self.hub(call).is_none_or(|hub| hub.cache.is_empty())
    }

    /// What `make` makes of the objects; `None` if there are none.
    pub(super) fn get(&self, call: &Call, make: impl FnOnce(&Hub, Vec<Arc<Entry>>) -> T) -> Option<Arc<T>> {
        let hub = self.hub(call)?;
        if hub.cache.is_empty() {
            return None;
        }
        let version = hub.cache.version();
        if let Some((of, made)) = &*self.made.lock()
            && *of == version
        {
            return Some(made.clone());
        }
        let made = Arc::new(make(hub, hub.cache.list(Query::default()).entries));
        *self.made.lock() = Some((version, made.clone()));
        Some(made)
    }
}
