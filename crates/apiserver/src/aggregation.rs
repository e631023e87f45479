//! API aggregation: groups and versions that another server serves, announced by APIService objects.
//!
//! One loop (`controller`) does three things: APIServices of what this server serves itself are made
//! (`local`), those of others are judged (`availability`), and what the others say of themselves is fetched
//! (`documents`). A request finds its remote by group and version (`proxy`); while there is none, that costs
//! one load.
//!
//! Invariants:
//! - Requests are authenticated, sorted, audited and authorized here; the other server is told the user in
//!   `X-Remote-*` headers, on a connection that proves to be the front proxy's. The client's credentials
//!   never leave this server.
//! - A server that does not answer makes its own group unavailable and nothing else.
//!
//! Upstream: `k8s.io/kube-aggregator/pkg`, `cmd/kube-apiserver/app/aggregator.go`.

mod availability;
mod controller;
pub(crate) mod documents;
mod local;
mod order;
mod proxy;
mod tls;

pub(crate) use controller::follow;
pub(crate) use documents::Merged;
pub(crate) use local::priorities;
pub(crate) use order::{Place, Ties, ordered};
pub(crate) use proxy::{answer, target};

use arc_swap::{ArcSwap, ArcSwapOption};
use documents::Documents;
use rustls::ClientConfig;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::Notify;
use value::{Str, Value};

/// The group of the objects.
pub(crate) const GROUP: &str = "apiregistration.k8s.io";
/// Their resource.
pub(crate) const RESOURCE: &str = "apiservices";

/// What other servers serve.
#[derive(Default)]
pub struct Aggregation {
    remotes: ArcSwap<Vec<Arc<Remote>>>,
    identity: ArcSwapOption<tls::FrontProxy>,
    /// Told when something has changed that may matter.
    pub(crate) changed: Notify,
}

/// A group and version of another server.
#[derive(Debug)]
pub(crate) struct Remote {
    name: Str,
    group: Str,
    version: Str,
    group_priority: i64,
    version_priority: i64,
    service: Service,
    /// `None` where this server is no front proxy or the bundle makes no sense.
    tls: Option<Arc<ClientConfig>>,
    /// What it was made of.
    spec: Value,
    identity: Option<Arc<tls::FrontProxy>>,
    available: AtomicBool,
    documents: ArcSwap<Documents>,
}

/// `spec.service`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    namespace: Str,
    name: Str,
    port: i64,
}

impl Service {
    fn read(service: &Value) -> Self {
        Self {
            namespace: service.at("namespace").str().into(),
            name: service.at("name").str().into(),
            port: service.at("port").as_i64().filter(|p| *p > 0).unwrap_or(443),
        }
    }

    /// The name that its certificate must have.
    fn host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl Aggregation {
    /// From now on this server is `identity` towards the others (`front-proxy-client`). To be called at the
    /// start and whenever the certificate was renewed.
    pub fn identify(&self, identity: &pki::Identity) {
        self.identity.store(Some(Arc::new(tls::FrontProxy::new(identity))));
        self.changed.notify_one();
    }

    /// An object has changed; tells the loop if it matters. Slices are called after their Services.
    pub(crate) fn object_changed(&self, group: &str, resource: &str, key: &str) {
        let matters = match (group, resource) {
            (GROUP, RESOURCE) => true,
            ("", "services") | ("discovery.k8s.io", "endpointslices") => {
                let (namespace, name) = key.split_once('/').unwrap_or_default();
                let remotes = self.remotes.load();
                let behind = |s: &Service| s.namespace == namespace && name.starts_with(s.name.as_str());
                remotes.iter().any(|r| behind(&r.service))
            }
            _ => false,
        };
        if matters {
            self.changed.notify_one();
        }
    }

    /// The name of each remote, and whether it can be used.
    pub(crate) fn states(&self) -> Vec<(String, bool)> {
        let remotes = self.remotes.load();
        remotes.iter().map(|remote| (remote.name.to_string(), remote.is_available())).collect()
    }

    /// The remote of a group and version.
    fn find(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes.load();
        remotes.iter().find(|r| r.group == group && r.version == version).cloned()
    }
}

impl Remote {
    fn is_available(&self) -> bool {
        self.available.load(Relaxed)
    }

    /// `/apis/GROUP/VERSION`
    fn path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }
}
