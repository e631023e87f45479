//! Nothing is made in a namespace that does not exist or is going; some namespaces cannot go.
//!
//! The fast path (the cache shows the namespace and it is not going) is decided in `handles`, so that it
//! costs no future. Upstream: `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`.

use super::{AsyncPlugin, Attributes, Operation, objects};
use crate::call::Call;
use crate::resource::Hub;
use futures_util::future::BoxFuture;
use meta::gvk::GroupResource;
use meta::quote::Quoted;
use meta::status::{Cause, Status, cause};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use value::{Str, Value};

/// Namespaces without which a cluster does not work.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// How long after a namespace was deleted its state is read from the store.
const LIVE_AFTER_DELETE: Duration = Duration::from_secs(30);
/// How many deleted namespaces are remembered for that, as upstream.
const DELETED_MAX: usize = 100;

#[derive(Default)]
pub(super) struct NamespaceLifecycle {
    hub: OnceLock<Arc<Hub>>,
    deleted: Mutex<HashMap<Str, Instant>>,
    deleted_count: AtomicUsize,
}

impl AsyncPlugin for NamespaceLifecycle {
    fn handles(&self, call: &Call, a: &Attributes) -> bool {
        if is_namespace(a) {
            return a.operation == Operation::Delete;
        }
        if a.namespace.is_empty()
            || !matches!(a.operation, Operation::Create | Operation::Update)
            || (a.resource.group == "authorization.k8s.io"
                && a.resource.resource == "localsubjectaccessreviews")
        {
            return false;
        }
        let Some(hub) = self.hub(call) else { return false };
        match hub.cache.get(&a.namespace) {
            None => true,
            Some(entry) => {
                let going = entry.head.field("status.phase") == "Terminating";
                (going && a.operation == Operation::Create) || self.was_deleted(&a.namespace)
            }
        }
    }

    fn admit<'a>(
        &'a self,
        call: &'a Call,
        a: &'a mut Attributes,
        _object: &'a mut Value,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.check(call, a))
    }

    fn validate<'a>(
        &'a self,
        _call: &'a Call,
        a: &'a Attributes,
        _object: Option<&'a Value>,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        // It only mutates upstream; deletions have no object to admit and are asked about here.
        Box::pin(async move {
            if a.operation != Operation::Delete {
                return Ok(());
            }
            if IMMORTAL.contains(&a.name.as_str()) {
                let resource = GroupResource::new("", "namespaces");
                return Err(Status::forbidden(&resource, &a.name, "this namespace may not be deleted"));
            }
            self.remember(&a.name);
            Ok(())
        })
    }
}

fn is_namespace(a: &Attributes) -> bool {
    a.resource.group.is_empty() && a.resource.resource == "namespaces"
}

impl NamespaceLifecycle {
    fn hub(&self, call: &Call) -> Option<&Arc<Hub>> {
        if let Some(hub) = self.hub.get() {
            return Some(hub);
        }
        let hub = call.api.hub("", "namespaces")?;
        Some(self.hub.get_or_init(|| hub))
    }

    fn remember(&self, name: &Str) {
        let now = Instant::now();
        let mut deleted = self.deleted.lock();
        deleted.retain(|_, since| now.duration_since(*since) < LIVE_AFTER_DELETE);
        if deleted.len() < DELETED_MAX {
            deleted.insert(name.clone(), now);
        }
        self.deleted_count.store(deleted.len(), Ordering::Relaxed);
    }

    fn was_deleted(&self, name: &str) -> bool {
        // Mostly nothing was: then not even the lock is taken.
        self.deleted_count.load(Ordering::Relaxed) > 0
            && self.deleted.lock().get(name).is_some_and(|since| since.elapsed() < LIVE_AFTER_DELETE)
    }

    async fn check(&self, call: &Call, a: &Attributes) -> Result<(), Status> {
        let Some(hub) = self.hub(call) else { return Ok(()) };
        let cached = hub.cache.get(&a.namespace);
        let going = |phase: &str| phase == "Terminating";
        let terminating = match cached {
            Some(entry) if going(entry.head.field("status.phase")) => true,
            _ => match objects::read(call, hub, "", &a.namespace).await? {
                Some(entry) => going(entry.head.field("status.phase")),
                None => return Err(missing(&a.namespace)),
            },
        };
        if !terminating || a.operation != Operation::Create {
            return Ok(());
        }
        let text = format!(
            "unable to create new content in namespace {} because it is being terminated",
            a.namespace
        );
        let cause = Cause {
            reason: Str::new_static(cause::NAMESPACE_TERMINATING),
            message: format!("namespace {} is being terminated", a.namespace),
            field: "metadata.namespace".into(),
        };
        Err(a.forbidden(text).with_cause(cause))
    }
}

/// Why nothing can be in a namespace that is not there. What cannot stand in a path is nothing that upstream's client
/// asks for (`Request.Name` in client-go's `rest/request.go`).
fn missing(namespace: &str) -> Status {
    let wrong = meta::names::content::path_segment_name(namespace);
    if wrong.is_empty() {
        return Status::not_found(&GroupResource::new("", "namespaces"), namespace);
    }
    let (name, wrong) = (Quoted(namespace), wrong.join(" "));
    Status::internal_error(format!("invalid resource name {name}: [{wrong}]"))
}
