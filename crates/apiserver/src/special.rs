//! The kinds that are exceptions: what cannot be told by a row.
//!
//! This folder alone names kinds; its length is a figure that is tracked.

mod binding;
mod claims;
mod components;
pub(crate) mod connect;
mod eviction;
pub mod pods;
mod rbac;
mod reviews;
mod scale;
mod services;
mod token;

pub(crate) use scale::Scales;
pub(crate) use services::service_address;

use crate::body::RequestBody;
use crate::call::Call;
use crate::codec::Codec;
use crate::negotiate::{Encoding, body_encoding};
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use crate::write::FieldValidation;
use bytes::Bytes;
use kinds::Row;
use meta::field::ErrorList;
use meta::gvk::GroupResource;
use meta::status::Status;
use store::Txn;
use value::Value;

/// What is written together with an object: addresses and ports that it takes or gives back.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    /// The transaction's further operations.
    pub(crate) txn: Option<Txn>,
}

/// Takes what an object needs from shared ranges (Service addresses and node ports). Nothing is stored
/// before the object is: when somebody else took the same meanwhile, the commit fails and this runs again.
///
/// # Errors
/// What is asked for is taken or outside the range.
pub(crate) async fn allocate(
    call: &Call,
    hub: &Hub,
    object: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Reservation, Status> {
    if allocates(hub) {
        services::allocate(call, object, old, dry_run).await
    } else {
        Ok(Reservation::default())
    }
}

/// Whether objects of this kind take something that is shared, so that a write may have to be tried again.
pub(crate) fn allocates(hub: &Hub) -> bool {
    hub.row.group.is_empty() && hub.row.plural == "services"
}

/// What goes together with a deleted object.
///
/// # Errors
/// The store's.
pub(crate) async fn release(call: &Call, hub: &Hub, last: &Value) -> Result<Option<Txn>, Status> {
    match (hub.row.group.as_str(), hub.row.plural.as_str()) {
        ("", "services") => services::release(call, last).await,
        _ => Ok(None),
    }
}

/// The grace period of a deletion; `None` for kinds that go at once.
pub fn grace_period(row: &Row, object: &Value, asked: Option<i64>) -> Option<i64> {
    row.graceful.then(|| pods::grace_period(object, asked))
}

/// What a deletion that has to wait writes besides the metadata: a namespace is Terminating, and knows no
/// grace period.
pub fn mark_deleted(row: &Row, object: &mut Value) {
    if row.group.is_empty() && row.plural == "namespaces" {
        if let Some(metadata) = object.object_at("metadata") {
            metadata.remove("deletionGracePeriodSeconds");
        }
        if let Some(status) = object.object_at("status") {
            status.set("phase", "Terminating");
        }
    }
}

/// Refuses the deletion of what the server itself needs: the system's priority classes.
///
/// # Errors
/// 403.
pub fn may_delete(row: &Row, name: &str) -> Result<(), Status> {
    let system = matches!(name, "system-node-critical" | "system-cluster-critical");
    if system && row.group == "scheduling.k8s.io" && row.plural == "priorityclasses" {
        let resource = GroupResource::new("scheduling.k8s.io", "priorityclasses");
        let why = "this is a system priority class and cannot be deleted";
        return Err(Status::forbidden(&resource, name, why));
    }
    Ok(())
}

/// A warning for who deletes an object without saying what becomes of its dependents.
pub fn delete_warning(row: &Row) -> Option<&'static str> {
    (row.group == "batch" && row.plural == "jobs").then_some(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning",
    )
}

/// Whether the kind itself holds the object although no finalizer does (namespaces: `spec.finalizers`).
pub fn holds_deletion(row: &Row, object: &Value) -> bool {
    row.group.is_empty()
        && row.plural == "namespaces"
        && !object.at("spec").at("finalizers").items().is_empty()
}

/// Answers a request for a kind that is not stored: reviews and the like.
///
/// # Errors
/// What the kind says.
pub(crate) async fn virtual_kind(
    call: &Call,
    target: &Target,
    verb: &str,
    body: RequestBody,
) -> Result<Reply, Status> {
    let row = &target.served.row;
    if !call.info.name_in_path().is_empty() && !row.has_verb("get") {
        return Err(crate::route::not_found());
    }
    match (row.group.as_str(), row.plural.as_str()) {
        ("authentication.k8s.io" | "authorization.k8s.io", _) => reviews::create(call, target, body).await,
        ("", "bindings") => match call.api.hub("", "pods") {
            Some(hub) => binding::create(call, target, &hub, body).await,
            None => Err(crate::route::not_found()),
        },
        ("", "componentstatuses") => components::answer(call, target, verb).await,
        _ => Err(crate::route::method_not_allowed()),
    }
}

/// Answers a request for a subresource that is more than a view of the object.
///
/// # Errors
/// What the subresource says.
pub(crate) async fn subresource(
    call: &Call,
    target: &Target,
    verb: &str,
    body: RequestBody,
) -> Result<Reply, Status> {
    let row = &target.served.row;
    let (Some(sub), Some(hub)) = (&target.sub, &target.served.hub) else {
        return Err(crate::route::not_found());
    };
    match (row.group.as_str(), row.plural.as_str(), sub.name.as_str()) {
        (_, _, "scale") => scale::answer(call, target, hub, verb, body).await,
        ("", "pods", "binding") => binding::create(call, target, hub, body).await,
        ("", "pods", "eviction") => eviction::create(call, target, hub, body).await,
        ("", "serviceaccounts", "token") => token::create(call, target, body).await,
        ("", "pods" | "services" | "nodes", _) => connect::answer(call, target, hub, body).await,
        _ => Err(crate::route::not_found()),
    }
}

/// Checks that only the RBAC objects' own writers need; called before an object is stored.
///
/// # Errors
/// The refusal.
pub(crate) fn check_write(call: &Call, hub: &Hub, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    if hub.row.group == auth::rbac::GROUP {
        return rbac::check(call, &hub.row.plural, new, old);
    }
    Ok(())
}

/// Errors that need more than the object to be found; they stand before those of the kind's own validation.
pub(crate) fn errors(
    call: &Call,
    hub: &Hub,
    subresource: &str,
    new: &Value,
    old: Option<&Value>,
) -> ErrorList {
    match hub.row.group.as_str() {
        "resource.k8s.io" => claims::errors(call, &hub.row.plural, subresource, new, old),
        _ => ErrorList::new(),
    }
}

/// Reads the body of a subresource that has a kind of its own, in one of the versions of the same shape; a body
/// that names none is of the first.
fn decode_action(
    call: &Call,
    api_versions: &[&str],
    kind: &str,
    go_type: &str,
    body: &Bytes,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let encoding = body_encoding(call.header(http::header::CONTENT_TYPE), &Encoding::ALL)?;
    let said = Codec::said_version(encoding, body).unwrap_or_default();
    let api_version =
        api_versions.iter().find(|v| **v == said).or(api_versions.first()).copied().unwrap_or_default();
    let (codec, row) = Codec::of_action(api_version, kind, go_type);
    let decoded = codec.decode(&row, encoding, body, validation != FieldValidation::Ignore)?;
    let mut given = crate::write::accept_decoded(call, &row, decoded, validation)?;
    if given.has_unshown {
        codec.shown_form(&mut given.object);
    }
    call.audit_object(&codec, &given.object);
    Ok(given.object)
}
