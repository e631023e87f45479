//! Authentication, impersonation and authorization of a request, over live snapshots of the policy.

use crate::api::Api;
use crate::call::Call;
use crate::door::Origin;
use crate::resource::{Hub, Target};
use auth::rbac::Rbac;
use auth::{Attributes, Authenticator, Lookup, Selection, Verdict};
use meta::status::Status;
use meta::{fields, labels};
use parking_lot::RwLock;
use std::sync::Arc;
use value::Value;

/// The resources that are policy.
const POLICY: [&str; 4] = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
const POLICY_GROUP: &str = "rbac.authorization.k8s.io";

/// Who may do what, kept current by the feed.
pub struct Access {
    /// Who is calling.
    pub authenticator: Authenticator,
    rbac: RwLock<Rbac>,
}

impl Access {
    /// With an authenticator, and no policy yet.
    pub fn new(authenticator: Authenticator) -> Self {
        Self { authenticator, rbac: RwLock::new(Rbac::new()) }
    }

    /// Reads the policy from the caches.
    pub fn load(&self, api: &Api) {
        let mut rbac = self.rbac.write();
        for resource in POLICY {
            let Some(hub) = api.hub(POLICY_GROUP, resource) else { continue };
            for entry in hub.cache.list(crate::cache::Query::default()).entries {
                rbac.upsert(resource, &hub.tree(&entry));
            }
        }
    }

    /// An object changed.
    pub fn changed(&self, hub: &Hub, key: &str) {
        let row = &hub.row;
        if row.group != POLICY_GROUP {
            return;
        }
        let mut rbac = self.rbac.write();
        match hub.cache.get(key) {
            Some(entry) => rbac.upsert(&row.plural, &hub.tree(&entry)),
            None => {
                let (namespace, name) = key.split_once('/').unwrap_or(("", key));
                rbac.remove(&row.plural, namespace, name);
            }
        }
    }

    /// Decides about a request.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        if attributes.user.in_group(auth::user::SYSTEM_MASTERS) {
            return Verdict::allow("");
        }
        self.rbac.read().authorize(attributes)
    }

    /// The RBAC policy as it is now.
    pub fn with_rbac<T>(&self, f: impl FnOnce(&Rbac) -> T) -> T {
        f(&self.rbac.read())
    }
}

impl Lookup for Api {
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let hub = self.hub("", resource)?;
        let entry = hub.cache.get(&hub.cache_key(namespace, name))?;
        Some(Arc::new(hub.tree(&entry)))
    }
}

/// Finds out who is calling.
pub(crate) fn authenticate(call: &mut Call) -> Result<(), Status> {
    let connection = match &call.origin {
        Origin::Process(user) => {
            call.user = user.clone();
            return Ok(());
        }
        Origin::Wire(connection) => connection.clone(),
    };
    let api = call.api.clone();
    let now = api.now().unix_seconds();
    let authenticator = &api.access.authenticator;
    let found =
        authenticator.authenticate(&mut call.headers, &call.path, connection.peer.as_ref(), &*api, now);
    match found {
        Ok(response) => {
            call.user = response.user;
            Ok(())
        }
        Err(error) => {
            tracing::debug!(remote = %connection.remote, %error, "request refused");
            Err(Status::unauthorized("Unauthorized"))
        }
    }
}

/// Lets the caller act as somebody else.
pub(crate) fn impersonate(_call: &mut Call) -> Result<(), Status> {
    Ok(())
}

/// Refuses what the caller may not do.
pub(crate) fn authorize(call: &Call) -> Result<(), Status> {
    // Superusers are the hot path of tests and of nothing else, but the selectors below cost something.
    if call.user.in_group(auth::user::SYSTEM_MASTERS) {
        return Ok(());
    }
    let info = &call.info;
    let narrows = matches!(info.verb.as_str(), "list" | "watch" | "deletecollection");
    let field = call.query.get("fieldSelector").filter(|s| narrows && !s.is_empty());
    let field = field.map(|s| (s, fields::Selector::parse(s)));
    let label = call.query.get("labelSelector").filter(|s| narrows && !s.is_empty());
    let label = label.map(|s| (s, labels::Selector::parse(s)));
    let base = attributes(call);
    let attributes =
        Attributes { field_selector: selection(&field), label_selector: selection(&label), ..base };
    refuse(call, &attributes)
}

fn selection<'a, T, E>(parsed: &'a Option<(&'a str, Result<T, E>)>) -> Selection<'a, T> {
    match parsed {
        None => Selection::None,
        Some((_, Ok(selector))) => Selection::Some(selector),
        Some((text, Err(_))) => Selection::Invalid(text),
    }
}

/// The request as authorizers see it, without selectors.
fn attributes(call: &Call) -> Attributes<'_> {
    let info = &call.info;
    if !info.is_resource {
        return Attributes::path(&call.user, &info.verb, &call.path);
    }
    Attributes {
        namespace: &info.namespace,
        api_version: &info.version,
        subresource: &info.subresource,
        name: &info.name,
        path: &call.path,
        ..Attributes::resource(&call.user, &info.verb, &info.group, &info.resource)
    }
}

fn refuse(call: &Call, attributes: &Attributes<'_>) -> Result<(), Status> {
    let verdict = call.api.access.authorize(attributes);
    if verdict.allowed() { Ok(()) } else { Err(attributes.forbidden(&verdict.reason)) }
}

/// Refuses an update or apply that would create, if the caller may not create.
pub(crate) fn authorize_create(call: &Call, target: &Target) -> Result<(), Status> {
    let subresource = target.sub.as_ref().map(|s| s.name.as_str()).unwrap_or_default();
    refuse(call, &Attributes { verb: "create", subresource, ..attributes(call) })
}
