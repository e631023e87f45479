//! Read one object.

use crate::cache::Entry;
use crate::call::Call;
use crate::reply::Reply;
use crate::resource::{Hub, Served, Target};
use meta::status::Status;
use std::sync::Arc;

/// Answers `GET` of an object.
pub(crate) async fn get(call: &Call, target: &Target, hub: &Arc<Hub>) -> Result<Reply, Status> {
    let served = &target.served;
    let accepted = call.negotiate_as(target.allows())?;
    let wanted = call.query.get("resourceVersion").unwrap_or("");
    if wanted != "0" {
        call.fresh(super::list::parse_revision(wanted)?).await?;
    }
    let entry = find(served, hub, &call.info.namespace, &call.info.name)?;
    call.entry_reply(200, accepted, served, hub, &entry)
}

/// The cached object, or 404.
pub(crate) fn find(served: &Served, hub: &Hub, namespace: &str, name: &str) -> Result<Arc<Entry>, Status> {
    hub.cache
        .get(&hub.cache_key(namespace, name))
        .ok_or_else(|| Status::not_found(&served.group_resource(), name))
}
