//! Create, update and patch.
//!
//! Upstream: `FieldManager.UpdateNoErrors` and the chain below it.

use super::cap::cap_updates;
use super::{Entry, Operation, Write, decode, encode, fast};
use crate::fields::Set;
use std::sync::LazyLock;
use value::Value;

/// Brings `new.metadata.managedFields` up to date for a write that is no apply. `live` is the stored object,
/// or an empty one on create. Whatever goes wrong, the write goes on: then nobody owns anything.
pub fn update(write: &Write<'_>, live: &Value, new: &mut Value) {
    let managed = match fast::update(write, live, new) {
        Some(managed) => Ok(managed),
        None => try_update(write, live, new),
    };
    let Some(metadata) = new.get_mut("metadata").filter(|m| m.as_object().is_some()) else { return };
    match managed.ok().flatten() {
        Some(list) => metadata.set("managedFields", list),
        None => {
            metadata.remove("managedFields");
        }
    }
}

/// The new managed fields; `None` if there are none.
///
/// # Errors
/// Why the objects cannot be compared.
pub(super) fn try_update(write: &Write<'_>, live: &Value, new: &Value) -> Result<Option<Value>, String> {
    let managed = decode_live_or_new(write, live, new);
    if managed.is_empty() && !live.at("metadata").at("uid").str().is_empty() {
        // Managed fields were taken off the object on purpose; only an apply starts them anew.
        return Ok(None);
    }
    let managed = track(write, live, new, managed, write.manager)?;
    Ok(encode(managed))
}

/// The managers before the write: those of the request, if it says any, else those of the live object.
fn decode_live_or_new(write: &Write<'_>, live: &Value, new: &Value) -> Vec<Entry> {
    let of = |object: &Value| decode(object.at("metadata").at("managedFields"));
    if !write.subresource.is_empty() {
        return of(live).unwrap_or_default();
    }
    if is_reset(new.at("metadata").at("managedFields")) {
        return Vec::new();
    }
    match of(new) {
        Ok(managed) if !managed.is_empty() => managed,
        _ => of(live).unwrap_or_default(),
    }
}

/// A list that is empty, but there, or holds one empty entry asks to forget all managers.
pub(super) fn is_reset(list: &Value) -> bool {
    match list {
        Value::Array(items) => match items.as_slice() {
            [] => true,
            [Value::Object(only)] => only.values().all(|v| v.is_null() || v.as_str() == Some("")),
            _ => false,
        },
        _ => false,
    }
}

/// Gives the writer what changed from `live` to `new`.
pub(super) fn track(
    write: &Write<'_>,
    live: &Value,
    new: &Value,
    mut managed: Vec<Entry>,
    manager: &str,
) -> Result<Vec<Entry>, String> {
    write
        .check_decoded(new)
        .map_err(|e| format!("failed to convert new object ({}) to smd typed: {e}", write.name_of(new)))?;
    if !std::ptr::eq(live, write.empty) {
        write.check_decoded(live).map_err(|e| {
            format!("failed to convert live object ({}) to smd typed: {e}", write.name_of(live))
        })?;
    }
    let taken = write.updater().update(live, new, &mut managed);
    let mut taken = taken.map_err(|e| match e {
        crate::updater::Error::Failed(why) => {
            format!("failed to update ManagedFields ({}): {why}", write.name_of(new))
        }
        crate::updater::Error::Conflicts(_) => "conflicts in an update".into(),
    })?;
    taken.subtract(stripped());
    if !taken.is_empty() {
        let identity = Write { manager, ..*write }.identity(Operation::Update);
        let time = Some(write.now.into());
        match managed.iter_mut().find(|e| e.identity == identity) {
            Some(previous) => {
                previous.set.merge(taken);
                previous.version = write.version.into();
                previous.time = time;
            }
            None => managed.push(Entry { identity, version: write.version.into(), set: taken, time }),
        }
    }
    cap_updates(&mut managed);
    Ok(managed)
}

/// What nobody owns: the metadata that names an object and that the server writes.
pub(super) fn stripped() -> &'static Set {
    static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
        Set::of_fields(&[
            &["apiVersion"],
            &["kind"],
            &["metadata"],
            &["metadata", "name"],
            &["metadata", "namespace"],
            &["metadata", "creationTimestamp"],
            &["metadata", "selfLink"],
            &["metadata", "uid"],
            &["metadata", "clusterName"],
            &["metadata", "generation"],
            &["metadata", "managedFields"],
            &["metadata", "resourceVersion"],
        ])
    });
    &STRIPPED
}
