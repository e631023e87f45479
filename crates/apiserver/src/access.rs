//! Authentication, impersonation and authorization of a request, over live snapshots of the policy.

use crate::api::Api;
use crate::call::Call;
use crate::door::Origin;
use crate::resource::{Hub, Target};
use auth::impersonation::Impersonator;
use auth::node::Graph;
use auth::rbac::Rbac;
use auth::{Attributes, Authenticator, Lookup, Selection, Verdict};
use meta::status::Status;
use meta::{fields, labels};
use parking_lot::RwLock;
use pki::ServiceAccountKeys;
use std::sync::Arc;
use value::Value;

/// The group whose objects are policy.
const POLICY_GROUP: &str = "rbac.authorization.k8s.io";
/// The resources that tell what a node needs.
const NODE_GRAPH: [(&str, &str); 4] = [
    ("", "pods"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "volumeattachments"),
    ("resource.k8s.io", "resourceslices"),
];

/// Keys of the audit log's annotations about what was decided, and why.
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

/// Who may do what, kept current by the feed.
pub struct Access {
    /// Who is calling.
    pub authenticator: Authenticator,
    /// The keys of service-account tokens.
    pub keys: Arc<ServiceAccountKeys>,
    impersonator: Impersonator,
    rbac: RwLock<Rbac>,
    nodes: RwLock<Graph>,
}

impl Access {
    /// With an authenticator, and no policy yet.
    pub fn new(authenticator: Authenticator, keys: Arc<ServiceAccountKeys>) -> Self {
        Self {
            authenticator,
            keys,
            impersonator: Impersonator::new(),
            rbac: RwLock::new(Rbac::new()),
            nodes: RwLock::new(Graph::new()),
        }
    }

    /// Reads the policy from the caches.
    pub fn load(&self, api: &Api) {
        for hub in api.registry.load().hubs().filter(|hub| Self::concerns(hub)) {
            for entry in hub.cache.list(crate::cache::Query::default()).entries {
                self.changed(hub, &entry.key);
            }
        }
    }

    /// Whether objects of this kind are policy, or tell what a node needs.
    fn concerns(hub: &Hub) -> bool {
        let (group, resource) = (hub.row.group.as_str(), hub.row.plural.as_str());
        group == POLICY_GROUP || NODE_GRAPH.contains(&(group, resource))
    }

    /// An object changed.
    pub fn changed(&self, hub: &Hub, key: &str) {
        if !Self::concerns(hub) {
            return;
        }
        let resource = hub.row.plural.as_str();
        let object = hub.cache.get(key).map(|entry| hub.tree(&entry));
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        match (hub.row.group == POLICY_GROUP, object) {
            (true, Some(object)) => self.rbac.write().upsert(resource, &object),
            (true, None) => self.rbac.write().remove(resource, namespace, name),
            (false, Some(object)) => self.nodes.write().upsert(resource, &object),
            (false, None) => self.nodes.write().remove(resource, namespace, name),
        }
    }

    /// Decides about a request.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        auth::authorize::authorize(&self.nodes.read(), &self.rbac.read(), attributes)
    }

    /// The RBAC policy as it is now. What runs in `f` must not authorize by this server: the policy is
    /// locked.
    pub fn with_rbac<T>(&self, f: impl FnOnce(&Rbac) -> T) -> T {
        f(&self.rbac.read())
    }

    /// The same with the relations of nodes.
    pub fn with_policy<T>(&self, f: impl FnOnce(&Graph, &Rbac) -> T) -> T {
        f(&self.nodes.read(), &self.rbac.read())
    }
}

impl Lookup for Api {
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let group = if resource == "csidrivers" { "storage.k8s.io" } else { "" };
        let hub = self.hub(group, resource)?;
        let entry = hub.get(namespace, name)?;
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
            if let Some(expiry) = connection.peer.as_ref().and_then(auth::Peer::expiry) {
                crate::metrics::certificate(expiry.saturating_sub(now));
            }
            Ok(())
        }
        Err(error) => {
            tracing::debug!(remote = %connection.remote, %error, "request refused");
            Err(Status::unauthorized("Unauthorized"))
        }
    }
}

/// Lets the caller act as somebody else.
pub(crate) fn impersonate(call: &mut Call) -> Result<(), Status> {
    let Some(wanted) = auth::impersonation::wanted_user(&mut call.headers)? else { return Ok(()) };
    let access = &call.api.access;
    let decide = |attributes: &Attributes<'_>| access.authorize(attributes);
    let found = access.impersonator.impersonate(&decide, &attributes(call), &wanted)?;
    if let Some(audit) = &call.audit {
        audit.impersonated(&found.user);
    }
    call.user = Arc::new(found.user);
    Ok(())
}

/// Refuses what the caller may not do.
pub(crate) fn authorize(call: &Call) -> Result<(), Status> {
    // Superusers are the hot path of tests and of nothing else, but the selectors below cost something.
    if call.user.in_group(auth::user::SYSTEM_MASTERS) {
        call.annotate(DECISION, "allow");
        call.annotate(REASON, "");
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
    let verdict = call.api.access.authorize(&attributes);
    call.annotate(DECISION, if verdict.allowed() { "allow" } else { "forbid" });
    call.annotate(REASON, &verdict.reason);
    if verdict.allowed() { Ok(()) } else { Err(attributes.forbidden(&verdict.reason)) }
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

/// Refuses what the caller may not do besides what it asks for.
pub(crate) fn refuse(call: &Call, attributes: &Attributes<'_>) -> Result<(), Status> {
    let verdict = call.api.access.authorize(attributes);
    if verdict.allowed() { Ok(()) } else { Err(attributes.forbidden(&verdict.reason)) }
}

/// Whether the caller may do the same with another verb.
pub(crate) fn verdict(call: &Call, verb: &str) -> Verdict {
    call.api.access.authorize(&Attributes { verb, ..attributes(call) })
}

/// Refuses an update or apply that would create, if the caller may not create.
pub(crate) fn authorize_create(call: &Call, target: &Target) -> Result<(), Status> {
    let subresource = target.sub.as_ref().map(|s| s.name.as_str()).unwrap_or_default();
    refuse(call, &Attributes { verb: "create", subresource, ..attributes(call) })
}
