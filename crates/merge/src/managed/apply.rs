//! Server-side apply.
//!
//! Upstream: `FieldManager.Apply` and the chain below it.

use super::last_applied::{allowed_conflicts, refresh_annotation};
use super::update::{stripped, track};
use super::{Entry, Operation, Write, conflict, decode, encode};
use crate::typed::{Duplicates, go_value, validate};
use crate::updater::{Conflict, Error, Force};
use meta::status::Status;
use value::Value;

/// The manager that gets what was in the object before anybody applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager whose client-side applies are taken over.
const KUBECTL: &str = "kubectl";

/// What an apply gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The new object, still to be decoded and defaulted, without managed fields; `None` if it is the live
    /// one as it stands.
    pub object: Option<Value>,
    /// The value of `metadata.managedFields`; `None` if there are none.
    pub managed_fields: Option<Value>,
}

impl Applied {
    /// Puts the managed fields into the object, once it is decoded and defaulted (or the live one).
    pub fn put_managed_fields(managed_fields: Option<Value>, object: &mut Value) {
        let Some(list) = managed_fields else {
            if let Some(metadata) = object.get_mut("metadata") {
                metadata.remove("managedFields");
            }
            return;
        };
        if let Some(metadata) = object.object_at("metadata") {
            metadata.set("managedFields", list);
        }
    }
}

/// Applies `config` to the stored object, or to an empty one.
///
/// # Errors
/// The Status for the client: conflicts (unless `force` is given), a configuration of another kind or with
/// managed fields (400), one that does not fit the type (500, as upstream).
pub fn apply(write: &Write<'_>, live: &Value, config: &Value, force: Force) -> Result<Applied, Box<Status>> {
    let managed = decode(live.at("metadata").at("managedFields"))
        .map_err(|e| plain(format!("failed to decode managed fields: {e}")))?;
    check_config(write, config)?;

    let (object, managed) = if write.manager == KUBECTL {
        apply_for_kubectl(write, live, config, managed, force)?
    } else {
        try_apply(write, live, config, managed, force)?
    };
    let object = match write.manager {
        KUBECTL => refresh_annotation(object, live, config),
        _ => object,
    };
    Ok(Applied { object, managed_fields: encode(managed) })
}

/// Conflicts with what kubectl applied on the client's side are its own: it takes those fields.
fn apply_for_kubectl(
    write: &Write<'_>,
    live: &Value,
    config: &Value,
    managed: Vec<Entry>,
    force: Force,
) -> Result<(Option<Value>, Vec<Entry>), Failure> {
    let conflicts = match try_apply(write, live, config, managed.clone(), force) {
        Err(Failure::Conflicts(conflicts)) => conflicts,
        other => return other,
    };
    let Some(allowed) = allowed_conflicts(write, live) else { return Err(Failure::Conflicts(conflicts)) };
    let left: Vec<Conflict> = conflicts.into_iter().filter(|c| !allowed.has(&c.path.0)).collect();
    if left.is_empty() {
        return try_apply(write, live, config, managed, Force::Yes);
    }
    Err(Failure::Conflicts(left))
}

enum Failure {
    Conflicts(Vec<Conflict>),
    Status(Box<Status>),
}

impl From<Failure> for Box<Status> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflicts(conflicts) => Self::new(conflict::to_status(conflicts)),
            Failure::Status(status) => status,
        }
    }
}

fn plain(text: String) -> Box<Status> {
    Box::new(Status::plain_error(text))
}

/// What is wrong with managed fields that are no list of objects.
fn wrong_managed_fields(fields: &Value) -> Option<String> {
    match fields {
        Value::Null => None,
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find(|(_, item)| !matches!(item, Value::Null | Value::Object(_)))
            .map(|(i, item)| format!("[{i}]: expected map, got {}", go_value(item))),
        other => Some(format!(": expected list, got {}", go_value(other))),
    }
}

fn check_config(write: &Write<'_>, config: &Value) -> Result<(), Box<Status>> {
    let (version, kind) = (config.at("apiVersion").str(), config.at("kind").str());
    if version != write.version || kind != write.kind {
        let (group, version, kind) = match version.split_once('/') {
            Some((_, version)) if version.contains('/') => ("", "", ""),
            Some((group, version)) => (group, version, kind),
            None => ("", version, kind),
        };
        let text = format!("invalid object type: {group}/{version}, Kind={kind}");
        return Err(Box::new(Status::bad_request(text)));
    }
    Ok(())
}

fn try_apply(
    write: &Write<'_>,
    live: &Value,
    config: &Value,
    mut managed: Vec<Entry>,
    force: Force,
) -> Result<(Option<Value>, Vec<Entry>), Failure> {
    let failed = |text: String| Failure::Status(plain(text));
    if managed.is_empty() {
        managed = track(write, write.empty, live, managed, BEFORE_FIRST_APPLY)
            .map_err(|e| failed(format!("failed to create manager for existing fields: {e}")))?;
    }
    if let Value::Array(items) = config.at("metadata").at("managedFields")
        && items.iter().all(|i| i.as_object().is_some())
    {
        let status = Status::bad_request("metadata.managedFields must be nil");
        return Err(Failure::Status(Box::new(status)));
    }
    validate(&write.ty.schema, write.ty.id, config, Duplicates::Refused).map_err(|e| {
        failed(format!("failed to create typed patch object ({}): {e}", write.name_of(config)))
    })?;
    // They are no part of the type here, and are one of upstream's.
    if let Some(why) = wrong_managed_fields(config.at("metadata").at("managedFields")) {
        let name = write.name_of(config);
        return Err(failed(format!(
            "failed to create typed patch object ({name}): .metadata.managedFields{why}"
        )));
    }
    write
        .check_decoded(live)
        .map_err(|e| failed(format!("failed to create typed live object ({}): {e}", write.name_of(live))))?;

    let identity = write.identity(Operation::Apply);
    let applied = write.updater().apply(live, config, managed, &identity, force).map_err(|e| match e {
        Error::Conflicts(conflicts) => Failure::Conflicts(conflicts),
        Error::Failed(why) => failed(why),
    })?;
    let mut managed = applied.managers;
    if let Some(i) = managed.iter().position(|e| e.identity == identity) {
        managed[i].set.subtract(stripped());
        if applied.object.is_some() {
            managed[i].time = Some(write.now.into());
        }
        if managed[i].set.is_empty() {
            managed.remove(i);
        }
    }
    Ok((applied.object, managed))
}
