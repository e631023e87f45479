//! One cache per resource for all who read in a process.

use crate::informer::{Source, start};
use crate::lister::Lister;
use crate::options::ListOptions;
use crate::scope::{Reading, Scope};
use crate::typed::{Client, collection, path};
use api::Object;
use api::partial::Partial;
use parking_lot::Mutex;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

const JSON: &str = "application/json";
/// Metadata only (`meta/v1` PartialObjectMetadata).
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// The caches of a process. Clones share them.
#[derive(Clone)]
pub struct Informers {
    client: Client,
    shared: Arc<Shared>,
    scope: Scope,
}

/// The caches that all share, and for how long.
#[derive(Default)]
struct Shared {
    caches: Mutex<HashMap<TypeId, Box<dyn Any + Send + Sync>>>,
    scope: Scope,
}

impl std::fmt::Debug for Informers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Informers").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Informers {
    /// Caches that are filled through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, shared: Arc::default(), scope: Scope::default() }
    }

    /// The same caches for one who reads them for a while: what it subscribed to, and caches of its own, end with the
    /// [`Reading`].
    pub fn scoped(&self) -> (Self, Reading) {
        let (reading, scope) = Scope::new();
        (Self { scope, ..self.clone() }, reading)
    }

    /// Other caches, filled through `client`, that end with the [`Reading`] of these.
    #[must_use]
    pub fn with_client(&self, client: Client) -> Self {
        let scope = self.scope.clone();
        let shared = Shared { caches: Mutex::default(), scope: scope.clone() };
        Self { client, shared: Arc::new(shared), scope }
    }

    /// What the caches are filled through: for reads that must not be old, and for what is done under the
    /// identity of the process itself.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// All objects of a kind. The first caller starts it (within an async runtime), the others share it.
    pub fn get<K: Object>(&self) -> Lister<K> {
        let mut caches = self.shared.caches.lock();
        let entry = caches.entry(TypeId::of::<K>()).or_insert_with(|| {
            let source =
                Source { path: path::<K>("", "", ""), options: ListOptions::default(), accept: JSON };
            let lister: Lister<K> = start(self.client.clone(), source, self.shared.scope.clone());
            Box::new(lister)
        });
        let lister = entry.downcast_ref::<Lister<K>>().expect("the entry of a type is a lister of that type");
        lister.within(self.scope.clone())
    }

    /// Some objects of a kind, of one namespace or (if it is empty) of all: a cache of its own.
    pub fn filtered<K: Object>(&self, namespace: &str, options: ListOptions) -> Lister<K> {
        let source = Source { path: path::<K>(namespace, "", ""), options, accept: JSON };
        start(self.client.clone(), source, self.scope.clone())
    }

    /// The metadata of all objects of a resource, whatever its kind: a cache of its own.
    pub fn metadata(&self, group: &str, version: &str, plural: &str) -> Lister<Partial> {
        let path = collection(group, version, plural, "");
        let source = Source { path, options: ListOptions::default(), accept: PARTIAL };
        start(self.client.clone(), source, self.scope.clone())
    }
}
