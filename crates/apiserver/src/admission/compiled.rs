//! What is made of all policies (or webhooks): made anew when one changes.
//!
//! Policies in the background, so that no request waits for a compiler: a change counts soon after it was made;
//! upstream takes up to a second. Webhooks by the request that sees the change, as upstream does
//! (`k8s.io/apiserver/pkg/admission/configuration/*_webhook_manager.go`): who took one away is not refused by it
//! any more, and there is little to compile.

use crate::api::Api;
use crate::call::Call;
use crate::resource::Hub;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use value::Value;

/// How long changes are gathered: policies and their bindings mostly come together.
const GATHER: Duration = Duration::from_millis(150);

/// The objects of each resource, in key order.
pub(super) type Objects = Vec<Vec<Value>>;

pub(super) struct Compiled<T>(Arc<Inner<T>>);

/// What was made, of which versions of the caches.
type Made<T> = (Arc<[u64]>, Arc<T>);

struct Inner<T> {
    group: &'static str,
    resources: &'static [&'static str],
    hubs: OnceLock<Vec<Arc<Hub>>>,
    make: fn(&Objects) -> T,
    /// Whether the request that sees a change waits until it counts.
    at_once: bool,
    made: Mutex<Option<Made<T>>>,
    busy: AtomicBool,
}

impl<T: Send + Sync + 'static> Compiled<T> {
    /// Something that is costly to make.
    pub(super) fn in_background(
        group: &'static str,
        resources: &'static [&'static str],
        make: fn(&Objects) -> T,
    ) -> Self {
        Self::new(group, resources, make, false)
    }

    /// Something that is quickly made.
    pub(super) fn at_once(
        group: &'static str,
        resources: &'static [&'static str],
        make: fn(&Objects) -> T,
    ) -> Self {
        Self::new(group, resources, make, true)
    }

    fn new(
        group: &'static str,
        resources: &'static [&'static str],
        make: fn(&Objects) -> T,
        at_once: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            group,
            resources,
            hubs: OnceLock::new(),
            make,
            at_once,
            made: Mutex::new(None),
            busy: AtomicBool::new(false),
        }))
    }

    /// What was made last.
    pub(super) fn get(&self, call: &Call) -> Option<Arc<T>> {
        let inner = &self.0;
        let hubs = inner.hubs(&call.api)?;
        let made = inner.made.lock().clone();
        let Some((versions, made)) = made else { return Some(inner.rebuild(hubs)) };
        if versions.iter().zip(hubs).all(|(v, hub)| *v == hub.cache.version()) {
            return Some(made);
        }
        if inner.at_once {
            return Some(inner.rebuild(hubs));
        }
        if !inner.busy.swap(true, Ordering::AcqRel) {
            let inner = inner.clone();
            let api = call.api.clone();
            call.api.work.spawn(async move {
                tokio::time::sleep(GATHER).await;
                // What changes from here on starts the next round.
                inner.busy.store(false, Ordering::Release);
                if let Some(hubs) = inner.hubs(&api) {
                    inner.rebuild(hubs);
                }
            });
        }
        Some(made)
    }
}

impl<T> Inner<T> {
    fn hubs(&self, api: &Api) -> Option<&[Arc<Hub>]> {
        if let Some(hubs) = self.hubs.get() {
            return Some(hubs);
        }
        let hubs: Option<Vec<Arc<Hub>>> = self.resources.iter().map(|r| api.hub(self.group, r)).collect();
        let hubs = hubs?;
        Some(self.hubs.get_or_init(|| hubs))
    }

    fn rebuild(&self, hubs: &[Arc<Hub>]) -> Arc<T> {
        // The versions first: what comes between is seen as a change later.
        let versions = hubs.iter().map(|hub| hub.cache.version()).collect();
        let objects = hubs.iter().map(|hub| super::objects::list(hub, "")).collect();
        let made = Arc::new((self.make)(&objects));
        *self.made.lock() = Some((versions, made.clone()));
        made
    }
}
