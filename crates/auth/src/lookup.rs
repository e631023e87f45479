//! Live objects, as far as authentication needs them.

use std::sync::Arc;
use value::Value;

/// Gives the current state of core objects. The API server answers from its watch cache; a cache that
/// lags may be asked for what it does not know yet, so an implementation should ask the store before it
/// says that an object does not exist.
pub trait Lookup {
    /// The object of the core group's `resource` (`serviceaccounts`, `pods`, `secrets`, `nodes`), in
    /// `namespace` (empty for cluster-scoped ones); `None` if it does not exist.
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
}

/// Knows nothing: for callers without bound tokens, and for tests.
impl Lookup for () {
    fn get(&self, _resource: &str, _namespace: &str, _name: &str) -> Option<Arc<Value>> {
        None
    }
}
