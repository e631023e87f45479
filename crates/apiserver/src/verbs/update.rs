//! Replace an object, and the loop that every change of an existing object runs through.
//!
//! Upstream: `Store.Update` in `pkg/registry/generic/registry/store.go`, `BeforeUpdate` in
//! `pkg/registry/rest/update.go`.

use crate::admission::{Attributes, Operation};
use crate::cache::Entry;
use crate::call::Call;
use crate::crd::Judged;
use crate::door::BYTES_HERE_MAX;
use crate::reply::Reply;
use crate::resource::{Hub, Served, Target};
use crate::verbs::{create, delete, get};
use crate::write::{self, Committed, Given, OptionsKind, WriteOptions, Written};
use crate::{managed, special};
use bytes::Bytes;
use meta::field::{Error, Path};
use meta::gvk::GroupKind;
use meta::status::Status;
use std::sync::Arc;
use store::{Expect, Range};
use value::Value;

/// How often a change that names no version is tried again when somebody else was first.
const CONFLICT_ATTEMPTS: usize = 64;

/// What upstream says when an object changed meanwhile.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Answers `PUT` of an object or of a subresource that holds the whole object.
pub(crate) async fn update(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: &Bytes,
) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(target.allows())?;
    let options = WriteOptions::read(call, OptionsKind::Update)?;
    let served = &target.served;
    let mut given = write::decode(call, served, body, options.validation)?;
    write::match_namespace(call, served, &mut given.object)?;
    call.audit_object(&served.codec, &given.object);
    write::check_name(call, &given.object)?;
    write::dedup_owner_references(call, &mut given.object, false);
    let mut make = |live: Option<&Value>| {
        check_uid(call, target, &given.object, live.unwrap_or(&Value::Null), options.dry_run)?;
        let mut new = given.clone();
        managed::update(call, target, live, &mut new, &options);
        Ok(new)
    };
    let (code, written) = change(call, target, hub, &mut make, &options, true, Create::IfAllowed).await?;
    call.entry_reply(code, accepted, served, hub, &written.entry)
}

/// A UID in the body is a precondition.
///
/// # Errors
/// 409.
pub(crate) fn check_uid(
    call: &Call,
    target: &Target,
    given: &Value,
    live: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    let (given, live) = (given.at("metadata").at("uid").str(), live.at("metadata").at("uid").str());
    if given.is_empty() || given == live {
        return Ok(());
    }
    let row = &target.served.row;
    let key = row.key(&call.info.namespace, &call.info.name).unwrap_or_default();
    // Upstream's dry run checks before it knows where the store keeps its keys.
    let key = if dry_run { key.strip_prefix("/registry").unwrap_or(&key) } else { &key };
    let text = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {live}"
    );
    Err(Status::conflict(&target.served.group_resource(), &call.info.name, text))
}

/// Whether a change may make the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    /// If the kind allows it (`create_on_update`).
    IfAllowed,
    /// Always: server-side apply.
    Yes,
    /// Never.
    No,
}

/// Makes the new object from the live one (both in the served version), or from nothing.
pub(crate) type Make<'a> = dyn FnMut(Option<&Value>) -> Result<Given, Status> + Send + 'a;

/// Changes an object: reads it, makes the new one, admits, prepares, checks and commits it; again from the
/// start if somebody else was first and the new object names no version. Answers with the HTTP status and
/// the object.
pub(crate) async fn change(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    make: &mut Make<'_>,
    options: &WriteOptions,
    versions_count: bool,
    create: Create,
) -> Result<(u16, Written), Status> {
    let served = &target.served;
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    get::check_key(&served.row, namespace, name)?;
    let mut current = hub.get(namespace, name);
    // What the cache shows may be old: neither an error nor a change of nothing that rests on it is final.
    let mut cached = true;
    for attempt in 1.. {
        if current.is_none() {
            current = read_through(call, hub).await?;
            cached = false;
        }
        let Some(entry) = current.take() else {
            let allowed = match create {
                Create::Yes => true,
                Create::IfAllowed => served.row.create_on_update && target.sub.is_none(),
                Create::No => false,
            };
            if !allowed {
                return Err(Status::not_found(&served.group_resource(), name));
            }
            let mut given = make(None)?;
            // It must make sense, and is of no consequence.
            write::given_revision(&given.object)?;
            if let Some(metadata) = given.object.object_at("metadata") {
                metadata.remove("resourceVersion");
            }
            crate::access::authorize_create(call, target)?;
            let written = create::create_object(call, target, hub, given, options).await?;
            return Ok((201, written));
        };
        if entry.stored.len() > BYTES_HERE_MAX {
            crate::listen::apart(&call.api).await;
        }
        let tried = change_once(call, target, hub, &entry, make, options, versions_count).await;
        let unwritten = match &tried {
            Ok(Tried::Done(written)) => written.entry.revision == entry.revision,
            Ok(_) => false,
            Err(_) => true,
        };
        if unwritten && std::mem::take(&mut cached) {
            current = read_through(call, hub).await?;
            if current.as_ref().is_none_or(|now| now.revision != entry.revision || now.stale) {
                continue;
            }
        }
        match tried? {
            Tried::Done(written) | Tried::Gone(written) => return Ok((200, written)),
            Tried::Raced if attempt < CONFLICT_ATTEMPTS => current = Some(entry),
            Tried::Raced => {
                return Err(Status::server_timeout(&served.group_resource(), "update", 1));
            }
            Tried::Conflict { named_version } => {
                // What the cache showed was old, or somebody is quicker: read the store itself.
                current = read_through(call, hub).await?;
                if current.as_ref().is_some_and(|c| c.revision == entry.revision)
                    || (named_version && current.is_some() && attempt > 1)
                    || attempt == CONFLICT_ATTEMPTS
                {
                    return Err(Status::conflict(&served.group_resource(), name, MODIFIED));
                }
            }
        }
    }
    unreachable!("the loop returns")
}

enum Tried {
    Done(Written),
    /// Done as well: nothing held the object any more, and it is gone.
    Gone(Written),
    /// What it needs besides its own key was taken by somebody else meanwhile.
    Raced,
    Conflict {
        /// Whether the new object insists on a version.
        named_version: bool,
    },
}

/// The object as the store has it now.
pub(crate) async fn read_through(call: &Call, hub: &Arc<Hub>) -> Result<Option<Arc<Entry>>, Status> {
    read_named(call, hub, &call.info.namespace, &call.info.name).await
}

/// An object as the store has it now, by its name.
pub(crate) async fn read_named(
    call: &Call,
    hub: &Arc<Hub>,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<Entry>>, Status> {
    let key = hub.store_key(namespace, name);
    let read = call.api.store.range(Range::key(key.as_bytes())).await;
    let read = read.map_err(|e| crate::storage::status(&e))?;
    Ok(read.kvs.first().and_then(|kv| hub.ingest(&key, kv.value(), kv.mod_revision())).map(Arc::new))
}

async fn change_once(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    entry: &Entry,
    make: &mut Make<'_>,
    options: &WriteOptions,
    versions_count: bool,
) -> Result<Tried, Status> {
    let served = &target.served;
    let mut old = hub.try_tree(entry)?;
    let mut live = old.clone();
    served.try_from_hub(&mut live)?;
    served.codec.stamp(&mut live);
    if writes_status_of_version(target) {
        old = live.clone();
        served.to_hub(&mut old)?;
    }
    let mut new = make(Some(&live))?.object;
    let admission = &call.api.admission;
    let mut attributes = Attributes::new(call, target, Operation::Update, &call.info.name, options.dry_run);
    let scale = special::Scales::of(target);
    // It is the whole object that is written through a scale.
    let subresource = target.sub.as_ref().filter(|_| scale.is_none()).map_or("", |sub| sub.name.as_str());
    let mut warnings = Vec::new();
    let mut judge = |new: &Value| {
        warnings.clear();
        write::custom_update_errors(served, subresource, new, &live, &mut warnings)
    };
    let judged = if let Some(scale) = &scale {
        let old = scale.with_owners(&live)?;
        admission.admit(call, &mut attributes, &mut new, Some(&old)).await?;
        new = scale.write(call, &live, &new)?;
        Judged::convert(served, &mut new, &mut judge)?
    } else {
        let judged = Judged::convert(served, &mut new, &mut judge)?;
        admission.admit(call, &mut attributes, &mut new, Some(&old)).await?;
        judged
    };
    if let Some(judged) = judged {
        judged.tell(served, &new, &mut judge)?;
    }
    warnings.into_iter().for_each(|text| call.warn(text));
    // By the main resource's rules.
    let target = scale.as_ref().map_or(target, |scale| &scale.whole);
    write::dedup_owner_references(call, &mut new, true);
    let given = write::given_revision(&new)?;
    let unconditional = given == 0;
    if unconditional && !served.row.unconditional_update {
        let path = Path::new("metadata");
        let path = path.child("resourceVersion");
        let errors = vec![Error::invalid(&path, 0_i64, "must be specified for an update")];
        // Upstream names the resource here, where others name the kind.
        let kind = GroupKind::new(served.row.group.clone(), served.row.plural.clone());
        return Err(Status::invalid(&kind, &call.info.name, &errors));
    }
    if unconditional {
        write::stamp_revision(&mut new, entry.revision);
    } else if given != entry.revision {
        return Ok(Tried::Conflict { named_version: true });
    }
    let context = write::context(call, target);
    let reserved = if target.sub.is_none() {
        special::allocate(call, hub, &mut new, Some(&old), options.dry_run).await?
    } else {
        special::Reservation::default()
    };
    begin_update(call, target, hub, &context, &mut new, &old)?;
    if let Some(scale) = &scale {
        let (new, old) = (scale.read_hub(&new)?, scale.read_hub(&old)?);
        admission.validate(call, &attributes, Some(&new), Some(&old)).await?;
    } else {
        admission.validate(call, &attributes, Some(&new), Some(&old)).await?;
    }
    let named_version = !unconditional && versions_count;
    if delete::is_finished(hub, &new, &old) {
        if options.dry_run {
            return Ok(Tried::Done(write::unwritten(hub, &new, entry.revision)));
        }
        return match delete::remove(call, hub, &new, entry.revision).await? {
            // The answer shows the object as this update left it, under the version it was read at.
            Some(mut written) => {
                written.entry.revision = entry.revision;
                Ok(Tried::Gone(written))
            }
            None => Ok(Tried::Conflict { named_version }),
        };
    }
    if !options.dry_run && write::is_same(hub, &mut new, entry) {
        return Ok(Tried::Done(write::unwritten(hub, &new, entry.revision)));
    }
    match write::commit(call, hub, &mut new, Expect::Revision(entry.revision), options.dry_run, reserved.txn)
        .await?
    {
        Committed::Done(mut written) => {
            if options.dry_run {
                written.entry.revision = entry.revision;
            }
            Ok(Tried::Done(written))
        }
        Committed::Conflict => Ok(Tried::Conflict { named_version }),
        Committed::Raced => Ok(Tried::Raced),
    }
}

/// Whether a custom object's status is written through another version than the stored one. All but the status is
/// kept then as that version knows it, and the rest is lost: each version has a store of its own upstream, which
/// converts what it reads (`crdConversionRESTOptionsGetter` in apiextensions' `customresource_handler.go`).
fn writes_status_of_version(target: &Target) -> bool {
    let served = &target.served;
    let is_status = target.sub.as_ref().is_some_and(|sub| sub.name == "status");
    is_status && served.codec.custom().is_some() && !served.is_hub()
}

/// The generation of a custom object counts what changes in the version of the request: what the stored version
/// adds by defaults of its own, and the other does not know, is no change there.
fn recount_generation(served: &Served, new: &mut Value, old: &Value) -> Result<(), Status> {
    let before = old.at("metadata").at("generation");
    let counted = new.at("metadata").at("generation") != before;
    if !counted || served.codec.custom().is_none() || served.is_hub() {
        return Ok(());
    }
    let in_version = |object: &Value| {
        let mut object = object.clone();
        served.try_from_hub(&mut object).map(|()| object)
    };
    if !served.row.is_new_generation(&in_version(new)?, &in_version(old)?)
        && let Some(metadata) = new.object_at("metadata")
    {
        metadata.set("generation", before.clone());
    }
    Ok(())
}

/// Takes over what an update cannot change, and checks everything: upstream's `BeforeUpdate`.
fn begin_update(
    call: &Call,
    target: &Target,
    hub: &Hub,
    context: &kinds::hooks::Context,
    new: &mut Value,
    old: &Value,
) -> Result<(), Status> {
    let (row, old_meta) = (&target.served.row, old.at("metadata"));
    if let Some(metadata) = new.object_at("metadata") {
        let mut keep = |field: &str| match old_meta.get(field) {
            Some(v) if !v.is_null() => metadata.set(field, v.clone()),
            _ => drop(metadata.remove(field)),
        };
        keep("generation");
    }
    if context.subresource.is_empty() {
        row.prepare_update(context, new, old);
    } else {
        row.prepare_subresource(context, new, old);
    }
    recount_generation(&target.served, new, old)?;
    if let Some(metadata) = new.object_at("metadata") {
        if metadata.at("uid").str().is_empty() {
            metadata.set("uid", old_meta.at("uid").clone());
        }
        for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            match old_meta.get(field) {
                Some(v) if !v.is_null() => metadata.set(field, v.clone()),
                _ if field == "creationTimestamp" => drop(metadata.remove(field)),
                _ => {}
            }
        }
    }
    hub.codec.normalize(new);
    crate::special::check_write(call, hub, new, Some(old))?;
    let mut warnings = Vec::new();
    let first = crate::special::errors(call, hub, &context.subresource, new, Some(old));
    write::validate_update(&target.served, context, new, old, first, &mut warnings)?;
    if context.subresource != "status" {
        warnings.extend(write::custom_warnings(&target.served, new, old));
    }
    warnings.into_iter().for_each(|text| call.warn(text));
    if context.subresource.is_empty() {
        for warning in (row.hooks.warn_update)(context, new, old) {
            call.warn(warning);
        }
    }
    Ok(())
}
