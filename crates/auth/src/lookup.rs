//! Live objects, as far as authentication needs them.

use std::sync::Arc;
use value::Value;

/// Gives the current state of core objects. The API server answers from its watch cache; a cache that
/// lags may be asked for what it does not know yet, so an implementation should ask the store before it
/// says that an object does not exist.
pub trait Lookup {
    /// The object of `resource` in `namespace` (empty for cluster-scoped ones); `None` if it does not exist.
    /// Authentication and tokens ask for `serviceaccounts`, `pods`, `secrets` and `nodes`; NodeRestriction also
    /// for `persistentvolumeclaims`, `persistentvolumes` and `csidrivers`, the only ones not of the core group.
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
}

/// Knows nothing: for callers without bound tokens, and for tests.
impl Lookup for () {
    fn get(&self, _resource: &str, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        None
    }
}

/// Objects in memory, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Objects(std::collections::HashMap<String, Arc<Value>>);

#[cfg(test)]
impl Objects {
    pub(crate) fn put(&mut self, resource: &str, json: &str) {
        self.put_tree(resource, value::json::parse(json.as_bytes()).unwrap());
    }

    pub(crate) fn put_tree(&mut self, resource: &str, object: Value) {
        let metadata = object.at("metadata");
        let key = format!("{resource} {}/{}", metadata.at("namespace").str(), metadata.at("name").str());
        self.0.insert(key, Arc::new(object));
    }
}

#[cfg(test)]
impl Lookup for Objects {
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.get(&format!("{resource} {namespace}/{name}")).cloned()
    }
}
