//! Read one object.

use crate::cache::Entry;
use crate::call::Call;
use crate::reply::Reply;
use crate::resource::{Hub, Served, Target};
use kinds::Row;
use meta::status::Status;
use std::sync::Arc;

/// Answers `GET` of an object.
pub(crate) async fn get(call: &Call, target: &Target, hub: &Arc<Hub>) -> Result<Reply, Status> {
    let served = &target.served;
    let accepted = call.negotiate_as(target.allows())?;
    check_options(call)?;
    let wanted = call.query.get("resourceVersion").unwrap_or("");
    check_key(&served.row, &call.info.namespace, &call.info.name)?;
    if wanted != "0" {
        // The store says so, which upstream's handler takes for its own fault.
        let revision = super::list::parse_revision(wanted)
            .map_err(|s| Status::plain_error(s.message.trim_start_matches("invalid resource version: ")))?;
        call.fresh(revision).await?;
    }
    let entry = find(served, hub, &call.info.namespace, &call.info.name)?;
    call.entry_reply(200, accepted, served, hub, &entry)
}

/// What can be asked of one object no more.
///
/// # Errors
/// 400.
pub(crate) fn check_options(call: &Call) -> Result<(), Status> {
    if call.query.bool("export") == Some(true) {
        return Err(Status::bad_request(
            "the export parameter, deprecated since v1.14, is no longer supported",
        ));
    }
    Ok(())
}

/// A name or namespace in a path that no key can be made of.
///
/// # Errors
/// 400 or 500.
pub(crate) fn check_key(row: &Row, namespace: &str, name: &str) -> Result<(), Status> {
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    let wrong = meta::names::content::path_segment_name(name);
    if wrong.is_empty() {
        return check_namespace(row, namespace, name);
    }
    let name = meta::quote::Quoted(name);
    Err(Status::bad_request(format!("Name parameter invalid: {name}: {}", wrong.join(";"))))
}

/// The same of the namespace alone, of which upstream's store finds fault with the key (`PrepareKey` in
/// `apiserver/pkg/storage/interfaces.go`); `name` is empty for a whole collection.
///
/// # Errors
/// 500.
pub(crate) fn check_namespace(row: &Row, namespace: &str, name: &str) -> Result<(), Status> {
    if !(row.namespaced && matches!(namespace, "." | "..")) {
        return Ok(());
    }
    let key = row.key(namespace, name).unwrap_or_default();
    // Where the store keeps its keys is not known there yet.
    let key = key.strip_prefix("/registry").unwrap_or(&key).trim_end_matches('/');
    Err(Status::plain_error(format!("invalid key: {}", meta::quote::Quoted(key))))
}

/// The cached object, or 404.
pub(crate) fn find(served: &Served, hub: &Hub, namespace: &str, name: &str) -> Result<Arc<Entry>, Status> {
    hub.get(namespace, name).ok_or_else(|| Status::not_found(&served.group_resource(), name))
}
