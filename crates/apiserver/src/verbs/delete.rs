//! Delete an object, and a collection.
//!
//! Upstream: `Store.Delete`, `updateForGracefulDeletionAndFinalizers` and `DeleteCollection` in
//! `pkg/registry/generic/registry/store.go`, `BeforeDelete` in `pkg/registry/rest/delete.go`.

use crate::admission::{Attributes, Operation};
use crate::cache::Entry;
use crate::call::Call;
use crate::negotiate::{Encoding, body_encoding};
use crate::reply::Reply;
use crate::resource::{Hub, Served, Target};
use crate::verbs::{list, update};
use crate::write::{self, Committed, Written};
use bytes::Bytes;
use http::header;
use kinds::table::DeletePolicy;
use meta::gvk::{GroupKind, GroupResource};
use meta::options;
use meta::status::{Details, Status};
use std::sync::Arc;
use store::{Expect, Txn};
use value::{Str, Value};

/// How often a deletion is tried again when the object changes under it.
const CONFLICT_ATTEMPTS: usize = 64;
const FINALIZER_ORPHAN: &str = "orphan";
const FINALIZER_FOREGROUND: &str = "foregroundDeletion";

/// `DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) uid: Option<Str>,
    pub(crate) resource_version: Option<Str>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) propagation: Option<Str>,
    pub(crate) dry_run: bool,
    /// The options as a tree, for admission.
    pub(crate) tree: Value,
}

/// Reads the options from the body, or without one from the query.
pub(crate) fn options(call: &Call, body: &Bytes) -> Result<DeleteOptions, Status> {
    let mut tree = if body.is_empty() {
        let q = &call.query;
        let mut tree = Value::object();
        if let Some(seconds) = q.int("gracePeriodSeconds")? {
            tree.set("gracePeriodSeconds", seconds);
        }
        if let Some(orphan) = q.bool("orphanDependents") {
            tree.set("orphanDependents", orphan);
        }
        if let Some(policy) = q.get("propagationPolicy") {
            tree.set("propagationPolicy", policy);
        }
        let mut preconditions = Value::object();
        for name in ["uid", "resourceVersion"] {
            if let Some(given) = q.get(name).filter(|given| !given.is_empty()) {
                preconditions.set(name, given);
            }
        }
        if preconditions.as_object().is_some_and(|given| !given.is_empty()) {
            tree.set("preconditions", preconditions);
        }
        let dry_run: Vec<Str> = q.all("dryRun").cloned().collect();
        if !dry_run.is_empty() {
            tree.set("dryRun", dry_run);
        }
        tree
    } else {
        let encoding = body_encoding(call.header(header::CONTENT_TYPE), &Encoding::ALL)?;
        let tree = crate::codec::decode_delete_options(encoding, body)?;
        if let Some(audit) = &call.audit {
            audit.request_object(&Value::Null, || audit_json(tree.clone()));
        }
        tree
    };
    options_of(std::mem::take(&mut tree))
}

/// The options as the audit log tells them.
fn audit_json(mut tree: Value) -> Vec<u8> {
    tree.set("kind", "DeleteOptions");
    tree.set("apiVersion", "meta.k8s.io/v1");
    crate::codec::meta_json(&tree)
}

/// Checks options that are a tree already.
pub(crate) fn options_of(mut tree: Value) -> Result<DeleteOptions, Status> {
    if tree.is_null() {
        tree = Value::object();
    }
    let errors = options::validate_delete_options(&tree);
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &errors));
    }
    tree.set("kind", "DeleteOptions");
    tree.set("apiVersion", "meta.k8s.io/v1");
    let text = |v: &Value| v.as_str().map(Str::from);
    let preconditions = tree.at("preconditions");
    Ok(DeleteOptions {
        grace_period_seconds: tree.at("gracePeriodSeconds").as_i64(),
        uid: text(preconditions.at("uid")),
        resource_version: text(preconditions.at("resourceVersion")),
        orphan_dependents: tree.at("orphanDependents").as_bool(),
        propagation: text(tree.at("propagationPolicy")).filter(|p| !p.is_empty()),
        dry_run: !tree.at("dryRun").items().is_empty(),
        tree,
    })
}

/// How a deletion ended.
pub(crate) struct Deleted {
    /// The object as it is (still there, with a deletion timestamp) or last was.
    pub(crate) entry: Box<Entry>,
    /// Whether it is gone.
    pub(crate) gone: bool,
}

/// Answers `DELETE` of an object.
pub(crate) async fn delete(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: &Bytes,
) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(target.allows())?;
    let options = options(call, body)?;
    warn(call, hub, &options);
    let deleted = delete_object(call, target, hub, &call.info.name, &options, Admit::Yes).await?;
    let code = if !deleted.gone && options.orphan_dependents == Some(false) { 202 } else { 200 };
    let served = &target.served;
    if !deleted.gone || served.row.returns_deleted {
        return call.entry_reply(code, accepted, served, hub, &deleted.entry);
    }
    let tree = hub.tree(&deleted.entry);
    let status = Status {
        details: Some(Box::new(Details {
            name: call.info.name.clone(),
            group: served.row.group.clone(),
            kind: served.row.plural.clone(),
            uid: tree.at("metadata").at("uid").str().into(),
            ..Details::default()
        })),
        ..Status::success(None)
    };
    call.status_reply(code, accepted, &status)
}

/// What cannot be converted to the version that is asked for is not deleted by it: upstream reads it first.
fn can_be_shown(served: &Served, entry: &Entry) -> Result<(), Status> {
    if served.takes_webhook(entry) { served.view(entry).map(drop) } else { Ok(()) }
}

fn warn(call: &Call, hub: &Hub, options: &DeleteOptions) {
    if options.propagation.is_none()
        && options.orphan_dependents.is_none()
        && let Some(text) = crate::special::delete_warning(&hub.row)
    {
        call.warn(text);
    }
}

/// Whether admission is asked about a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admit {
    /// As about any.
    Yes,
    /// It has let something pass of which this is the consequence: an eviction.
    No,
}

/// Deletes one object, or sets its deletion timestamp where finalizers or grace hold it.
pub(crate) async fn delete_object(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    name: &str,
    options: &DeleteOptions,
    admit: Admit,
) -> Result<Deleted, Status> {
    let served = &target.served;
    let namespace = call.info.namespace.as_str();
    crate::verbs::get::check_key(&served.row, namespace, name)?;
    crate::special::may_delete(&served.row, name)?;
    let mut attributes = Attributes::new(call, target, Operation::Delete, name, options.dry_run);
    attributes.options = options.tree.clone();
    let mut current = hub.get(namespace, name);
    let mut cached = true;
    for _ in 0..CONFLICT_ATTEMPTS {
        if current.is_none() {
            current = update::read_named(call, hub, namespace, name).await?;
            cached = false;
        }
        let Some(entry) = current.take() else {
            return Err(Status::not_found(&served.group_resource(), name));
        };
        can_be_shown(served, &entry)?;
        let old = hub.tree(&entry);
        let allowed = match preconditions(target, name, &old, options) {
            Ok(()) if admit == Admit::Yes => {
                call.api.admission.validate(call, &attributes, None, Some(&old)).await
            }
            refused => refused,
        };
        if allowed.is_err() && std::mem::take(&mut cached) {
            // What the cache shows may be old: no refusal that rests on it is final.
            current = update::read_named(call, hub, namespace, name).await?;
            if current.as_ref().is_none_or(|now| now.revision != entry.revision) {
                continue;
            }
        }
        allowed?;
        match plan(call, hub, &old, options) {
            Step::Keep => return Ok(Deleted { entry: entry.twin(entry.revision).into(), gone: false }),
            Step::Remove(last) => {
                if options.dry_run {
                    return Ok(Deleted { entry: entry.twin(entry.revision).into(), gone: true });
                }
                if let Some(written) = remove(call, hub, &last, entry.revision).await? {
                    return Ok(Deleted { entry: written.entry, gone: true });
                }
            }
            Step::Mark(mut new) => {
                crate::special::mark_deleted(&hub.row, &mut new);
                hub.codec.normalize(&mut new);
                let expect = Expect::Revision(entry.revision);
                if let Committed::Done(written) =
                    write::commit(call, hub, &mut new, expect, options.dry_run, None).await?
                {
                    let mut marked = written.entry;
                    if options.dry_run {
                        marked.revision = entry.revision;
                    }
                    if !goes_now(hub, &new) {
                        return Ok(Deleted { entry: marked, gone: false });
                    }
                    if options.dry_run {
                        return Ok(Deleted { entry: marked, gone: true });
                    }
                    // Without grace it goes at once; its followers have seen that it was asked to.
                    if let Some(written) = remove(call, hub, &new, marked.revision).await? {
                        return Ok(Deleted { entry: written.entry, gone: true });
                    }
                }
            }
        }
        current = update::read_named(call, hub, namespace, name).await?;
    }
    Err(Status::conflict(&served.group_resource(), name, update::MODIFIED))
}

/// Whether the object is the one that the caller means.
///
/// # Errors
/// A conflict: it is another one, or has changed.
pub(crate) fn preconditions(
    target: &Target,
    name: &str,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let metadata = old.at("metadata");
    let row = &target.served.row;
    if checks_itself(row) {
        return own_preconditions(target, name, metadata, options);
    }
    let kind = target.served.group_kind();
    let kind = GroupResource::new(kind.group, kind.kind);
    if let Some(uid) = &options.uid
        && uid != metadata.at("uid").str()
    {
        let text = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            metadata.at("uid").str()
        );
        return Err(Status::conflict(&kind, name, text));
    }
    if let Some(version) = &options.resource_version
        && version != metadata.at("resourceVersion").str()
    {
        let text = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
            metadata.at("resourceVersion").str()
        );
        return Err(Status::conflict(&kind, name, text));
    }
    Ok(())
}

/// Namespaces and definitions, whose deletion has a way of its own, compare themselves and word it otherwise.
fn checks_itself(row: &kinds::Row) -> bool {
    matches!(
        (row.group.as_str(), row.plural.as_str()),
        ("", "namespaces") | ("apiextensions.k8s.io", "customresourcedefinitions")
    )
}

fn own_preconditions(
    target: &Target,
    name: &str,
    metadata: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    for (what, given, field) in
        [("UID", &options.uid, "uid"), ("ResourceVersion", &options.resource_version, "resourceVersion")]
    {
        let own = metadata.at(field).str();
        if let Some(given) = given.as_ref().filter(|given| *given != own) {
            let text =
                format!("Precondition failed: {what} in precondition: {given}, {what} in object meta: {own}");
            return Err(Status::conflict(&target.served.group_resource(), name, text));
        }
    }
    Ok(())
}

/// Whether a graceful deletion that was just written has nothing to wait for.
fn goes_now(hub: &Hub, object: &Value) -> bool {
    let metadata = object.at("metadata");
    hub.row.graceful
        && metadata.at("deletionGracePeriodSeconds").int() == 0
        && metadata.at("finalizers").items().is_empty()
}

enum Step {
    /// It is being deleted already and nothing about that changes.
    Keep,
    /// It goes now; the object as it last is.
    Remove(Value),
    /// It stays for finalizers or grace; the object to be written.
    Mark(Value),
}

/// What a deletion does to the object now: pure.
fn plan(call: &Call, hub: &Hub, old: &Value, options: &DeleteOptions) -> Step {
    if let Some(new) = crate::crd::mark_deleted(&call.api, hub, old) {
        return Step::Mark(new);
    }
    let metadata = old.at("metadata");
    let deleting = !metadata.at("deletionTimestamp").is_null();
    let finalizers = finalizers_for_deletion(hub, old, options);
    let grace = crate::special::grace_period(&hub.row, old, options.grace_period_seconds);
    let mut changed = metadata.clone();
    let with = |metadata: Value| {
        let mut new = old.clone();
        new.set("metadata", metadata);
        new
    };
    let changed_finalizers = finalizers.is_some();
    if let Some(list) = finalizers {
        if list.is_empty() {
            changed.remove("finalizers");
        } else {
            changed.set("finalizers", list);
        }
    }
    let held = !changed.at("finalizers").items().is_empty() || crate::special::holds_deletion(&hub.row, old);
    let mut shortened = false;
    let grace_now = match (grace, deleting) {
        // Not a graceful kind: the period is nothing, however it was asked for.
        (None, _) => 0,
        (Some(asked), false) => asked.max(0),
        (Some(asked), true) => {
            // A shorter period than the one under way shortens it; a longer one does not.
            let running = metadata.at("deletionGracePeriodSeconds").as_i64().unwrap_or(0);
            shortened = options.grace_period_seconds.is_some() && asked < running;
            if !shortened {
                // A graceful deletion under way changes no finalizers any more.
                let stays = running > 0
                    || !metadata.at("finalizers").items().is_empty()
                    || crate::special::holds_deletion(&hub.row, old);
                return if stays { Step::Keep } else { Step::Remove(old.clone()) };
            }
            asked.max(0)
        }
    };
    if !held && grace_now == 0 && ((deleting && !shortened) || grace.is_none()) {
        return Step::Remove(with(changed));
    }
    if deleting && grace.is_none() && !changed_finalizers {
        return Step::Keep;
    }
    let now = call.api.now();
    let at = if deleting && grace.is_none() {
        metadata.at("deletionTimestamp").str().to_owned()
    } else {
        now.plus(meta::time::Duration::from_seconds(grace_now)).to_string()
    };
    changed.set("deletionTimestamp", at);
    changed.set("deletionGracePeriodSeconds", grace_now);
    if !deleting {
        let generation = changed.at("generation").int();
        if generation > 0 {
            changed.set("generation", generation + 1);
        }
    }
    Step::Mark(with(changed))
}

/// The finalizers that the propagation policy leads to; `None` if they stay as they are.
fn finalizers_for_deletion(hub: &Hub, old: &Value, options: &DeleteOptions) -> Option<Vec<Value>> {
    let list = old.at("metadata").at("finalizers").items();
    let has = |name: &str| list.iter().any(|f| f.str() == name);
    if hub.row.delete == DeletePolicy::Unsupported {
        return None;
    }
    let policy = options.propagation.as_deref();
    let orphan = match (options.orphan_dependents, policy) {
        (Some(orphan), _) => orphan,
        (None, Some(policy)) => policy == "Orphan",
        (None, None) => {
            has(FINALIZER_ORPHAN) || (!has(FINALIZER_FOREGROUND) && hub.row.delete == DeletePolicy::Orphan)
        }
    };
    let foreground = match (options.orphan_dependents, policy) {
        (Some(_), _) => false,
        (None, Some(policy)) => policy == "Foreground",
        (None, None) => !has(FINALIZER_ORPHAN) && has(FINALIZER_FOREGROUND),
    };
    let mut new: Vec<Value> = list
        .iter()
        .filter(|f| !matches!(f.str(), FINALIZER_ORPHAN | FINALIZER_FOREGROUND))
        .cloned()
        .collect();
    if orphan {
        new.push(FINALIZER_ORPHAN.into());
    }
    if foreground {
        new.push(FINALIZER_FOREGROUND.into());
    }
    let same = new.len() == list.len() && new.iter().all(|f| list.contains(f));
    (!same).then_some(new)
}

/// Whether nothing holds a deleted object any more after an update (`ShouldDeleteDuringUpdate` of
/// `apiserver/pkg/registry/generic/registry/store.go`).
pub(crate) fn is_finished(hub: &Hub, new: &Value, old: &Value) -> bool {
    let metadata = old.at("metadata");
    !metadata.at("deletionTimestamp").is_null()
        && metadata.at("deletionGracePeriodSeconds").as_i64().unwrap_or(0) == 0
        && new.at("metadata").at("finalizers").items().is_empty()
        && !crate::special::holds_deletion(&hub.row, new)
}

/// Takes the object out of the store if it is still at `revision`; `None` if it is not.
pub(crate) async fn remove(
    call: &Call,
    hub: &Arc<Hub>,
    last: &Value,
    revision: u64,
) -> Result<Option<Written>, Status> {
    let metadata = last.at("metadata");
    let key = hub.store_key(metadata.at("namespace").str(), metadata.at("name").str());
    let mut txn = Txn::delete(key.as_bytes(), Expect::Revision(revision));
    if let Some(more) = crate::special::release(call, hub, last).await? {
        txn = txn.and(more);
    }
    let outcome = call.api.store.txn(txn).await.map_err(|e| crate::storage::status(&e))?;
    let Some(revision) = outcome.committed() else { return Ok(None) };
    Ok(Some(write::unwritten(hub, last, revision)))
}

/// Answers `DELETE` of a collection with the list of what was deleted.
pub(crate) async fn delete_collection(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: &Bytes,
) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(target.allows())?;
    let mut list_options = list::options(call, &target.served, false)?;
    // Upstream lists in pages: a version that says no more is meant exactly.
    let is_whole = list_options.limit == 0;
    if is_whole && list_options.resource_version_match.is_empty() {
        list_options.limit = usize::MAX;
    }
    let options = options(call, body)?;
    warn(call, hub, &options);
    let page = list::page(call, &target.served, hub, &list_options).await?;
    for entry in &page.entries {
        can_be_shown(&target.served, entry)?;
    }
    for entry in &page.entries {
        match delete_object(call, target, hub, entry.name(), &options, Admit::Yes).await {
            Ok(_) => {}
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status),
        }
    }
    let meta = list::meta_of(call, &page);
    call.list_reply(accepted, &target.served, hub, page.entries, meta)
}
