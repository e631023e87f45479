//! The kinds that are exceptions: what cannot be told by a row.
//!
//! This folder alone names kinds; its length is a figure that is tracked.

pub mod pods;

use crate::call::Call;
use crate::door::Body;
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use kinds::Row;
use meta::status::Status;
use value::Value;

/// Addresses and ports taken for an object that is about to be stored; given back when it is not.
#[derive(Debug, Default)]
pub struct Reservation {}

impl Reservation {
    /// The object is stored: what was taken stays taken.
    pub const fn keep(self) {}
}

/// Takes what an object needs from shared ranges (Service addresses and node ports).
///
/// # Errors
/// What is asked for is taken or outside the range.
pub async fn allocate(
    _call: &Call,
    _hub: &Hub,
    _object: &mut Value,
    _old: Option<&Value>,
    _dry_run: bool,
) -> Result<Reservation, Status> {
    Ok(Reservation::default())
}

/// Gives back what a deleted object had taken.
pub const fn release(_call: &Call, _hub: &Hub, _last: &Value) {}

/// The grace period of a deletion; `None` for kinds that go at once.
pub fn grace_period(row: &Row, object: &Value, asked: Option<i64>) -> Option<i64> {
    row.graceful.then(|| pods::grace_period(object, asked))
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
pub async fn virtual_kind(call: &Call, target: &Target, verb: &str, body: Body) -> Result<Reply, Status> {
    let _ = (call, target, verb, body);
    Err(crate::route::method_not_allowed())
}

/// Answers a request for a subresource that is more than a view of the object.
///
/// # Errors
/// What the subresource says.
pub async fn subresource(call: &Call, target: &Target, verb: &str, body: Body) -> Result<Reply, Status> {
    let _ = (call, target, verb, body);
    Err(crate::route::method_not_allowed())
}
