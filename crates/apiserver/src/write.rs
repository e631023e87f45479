//! What create, update, patch and apply share: options, decoding, the checks of every object, and the
//! commit.
//!
//! Upstream: `k8s.io/apiserver/pkg/registry/rest/{create,update,meta}.go` and
//! `pkg/registry/generic/registry/store.go`.

use crate::cache::Entry;
use crate::call::Call;
use crate::codec::Decoded;
use crate::negotiate::{Encoding, body_encoding};
use crate::resource::{Hub, Served, Target, head, set_resource_version};
use bytes::Bytes;
use http::header;
use kinds::hooks::{Context, NameRule};
use kinds::table::UpdateCheck;
use meta::field::{Error, ErrorList, Path};
use meta::gvk::GroupKind;
use meta::names::{self, NameUse};
use meta::object_meta::{self, Scope};
use meta::options::{self, PatchUse};
use meta::status::Status;
use std::sync::Arc;
use store::{Expect, Op, Outcome, Txn};
use value::{Str, Value};

/// How unknown and duplicate fields are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Not at all.
    Ignore,
    /// Told as warnings; the default.
    Warn,
    /// Refused.
    Strict,
}

/// Options of a write.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Who owns the fields that this write sets.
    pub manager: Str,
    /// How unknown fields are treated.
    pub validation: FieldValidation,
    /// Whether apply takes fields from other managers.
    pub force: Option<bool>,
    /// The options as admission sees them.
    pub tree: Value,
}

/// Whose options are read; the kind stands in error texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsKind {
    /// `CreateOptions`
    Create,
    /// `UpdateOptions`
    Update,
    /// `PatchOptions`
    Patch {
        /// Whether it is server-side apply.
        apply: bool,
    },
}

impl WriteOptions {
    /// Reads and checks the query.
    pub fn read(call: &Call, kind: OptionsKind) -> Result<Self, Status> {
        let q = &call.query;
        let mut tree = Value::object();
        let dry_run: Vec<Str> = q.all("dryRun").cloned().collect();
        let is_dry = !dry_run.is_empty();
        if is_dry {
            tree.set("dryRun", dry_run);
        }
        let force = q.bool("force");
        if let (Some(force), OptionsKind::Patch { .. }) = (force, kind) {
            tree.set("force", force);
        }
        let given = q.str("fieldManager");
        let validation = q.str("fieldValidation");
        for (key, text) in [("fieldManager", &given), ("fieldValidation", &validation)] {
            if !text.is_empty() {
                tree.set(key, text.clone());
            }
        }
        let (name, errors) = match kind {
            OptionsKind::Create => ("CreateOptions", options::validate_create_options(&tree)),
            OptionsKind::Update => ("UpdateOptions", options::validate_update_options(&tree)),
            OptionsKind::Patch { apply } => {
                let usage = if apply { PatchUse::Apply } else { PatchUse::Change };
                ("PatchOptions", options::validate_patch_options(&tree, usage))
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid(&GroupKind::new("meta.k8s.io", name), "", &errors));
        }
        tree.set("kind", name);
        tree.set("apiVersion", "meta.k8s.io/v1");
        Ok(Self {
            dry_run: is_dry,
            manager: if given.is_empty() {
                merge::managed::manager_from_user_agent(call.user_agent()).into()
            } else {
                given
            },
            validation: match validation.as_str() {
                "Ignore" => FieldValidation::Ignore,
                "Strict" => FieldValidation::Strict,
                _ => FieldValidation::Warn,
            },
            force,
            tree,
        })
    }
}

/// An object as a writer gave it, with defaults.
#[derive(Clone, Debug)]
pub struct Given {
    /// The object.
    pub object: Value,
    /// Whether it may hold empty lists and maps that JSON does not show. Hooks and plugins tell them from none; who
    /// owns fields, webhooks and policies do not see them, and storing the object drops them.
    pub has_unshown: bool,
    /// Whether defaults have taken its labels from its pod template.
    pub labels_of_template: bool,
}

/// Reads a body as an object of the target: strictly decoded, of the right kind and version, defaulted.
pub fn decode(
    call: &Call,
    served: &Served,
    body: &Bytes,
    validation: FieldValidation,
) -> Result<Given, Status> {
    let encoding = body_encoding(call.header(header::CONTENT_TYPE), &Encoding::ALL)?;
    let row = &served.row;
    let decoded = served.codec.decode(row, encoding, body, validation != FieldValidation::Ignore)?;
    accept_decoded(call, row, decoded, validation)
}

/// Turns strict errors into warnings or a refusal, and lays on the defaults.
pub fn accept_decoded(
    call: &Call,
    row: &kinds::Row,
    decoded: Decoded,
    validation: FieldValidation,
) -> Result<Given, Status> {
    let Decoded { mut object, has_unshown, strict } = decoded;
    if !strict.is_empty() {
        match validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => strict.iter().for_each(|text| {
                // What a YAML reader found is one error of several lines, but several warnings.
                let faults = text.strip_prefix("yaml: unmarshal errors:\n");
                faults.unwrap_or(text).lines().for_each(|fault| call.warn(fault.trim_start()));
            }),
            FieldValidation::Strict => {
                return Err(Status::bad_request(format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
                    strict.join(", "),
                    kind = row.kind,
                    version = row.version,
                )));
            }
        }
    }
    let has_labels = |object: &Value| !object.at("metadata").at("labels").is_empty();
    let had_labels = has_labels(&object);
    (row.hooks.default)(&mut object);
    let labels_of_template = !had_labels && has_labels(&object);
    Ok(Given { object, has_unshown, labels_of_template })
}

/// The context in which hooks run.
pub fn context(call: &Call, target: &Target) -> Context {
    Context {
        now: call.api.now().to_string().into(),
        user: call.user.name.clone(),
        user_info: call.user.to_value(),
        namespace: call.info.namespace.clone(),
        subresource: target.sub.as_ref().map(|s| s.name.clone()).unwrap_or_default(),
        labels_of_template: false,
    }
}

/// `metadata.namespace` must be that of the path, or is taken from it.
pub fn match_namespace(call: &Call, served: &Served, object: &mut Value) -> Result<(), Status> {
    let Some(metadata) = object.object_at("metadata") else { return Ok(()) };
    let wanted = if served.row.namespaced { call.info.namespace.as_str() } else { "" };
    let given = metadata.at("namespace").str();
    if given == wanted {
        return Ok(());
    }
    if given.is_empty() {
        metadata.set("namespace", wanted);
        return Ok(());
    }
    if wanted.is_empty() {
        metadata.remove("namespace");
        return Ok(());
    }
    Err(Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

/// The name in the body must be that of the path.
pub fn check_name(call: &Call, object: &Value) -> Result<(), Status> {
    let wanted = call.info.name.as_str();
    let given = object.at("metadata").at("name").str();
    if given.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )));
    }
    if given != wanted {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}

/// How a kind's names are checked.
pub fn name_errors(rule: NameRule, name: &str, usage: NameUse) -> Vec<String> {
    match rule {
        NameRule::DnsSubdomain => names::name_is_dns_subdomain(name, usage),
        NameRule::DnsLabel => names::name_is_dns_label(name, usage),
        NameRule::LongName if usage == NameUse::Prefix => Vec::new(),
        NameRule::LongName => names::content::dns1123_subdomain(name),
        NameRule::PathSegment => names::name_is_path_segment(name, usage),
        NameRule::PathSegmentLast | NameRule::Own => Vec::new(),
    }
}

/// All errors of a new object, after those that were found `first`.
pub fn validate_create(
    served: &Served,
    context: &Context,
    object: &Value,
    first: ErrorList,
) -> Result<(), Status> {
    let row = &served.row;
    let path = Path::new("metadata");
    let rule = |name: &str, usage: NameUse| name_errors(row.hooks.name, name, usage);
    if row.hooks.metadata_last {
        refuse(served, object, (row.hooks.validate_create)(context, object))?;
    }
    let mut errors = object_meta::validate(object.at("metadata"), scope(row), rule, &path);
    let found = first.len();
    errors.splice(0..0, first);
    errors.extend(finalizers(served, object.at("metadata"), &path));
    if !row.hooks.metadata_last {
        errors.extend((row.hooks.validate_create)(context, object));
    }
    if row.hooks.name == NameRule::Own {
        // What a kind itself says of its names stands where others have what all kinds say of them.
        let own = errors.get_mut(found..).unwrap_or_default();
        own.sort_by_key(|e| match e.field.as_str() {
            "metadata.generateName" => 0,
            "metadata.name" => 1,
            _ => 2,
        });
    }
    if served.codec.custom().is_some_and(crate::crd::Custom::is_terminating) {
        let text = "create not allowed while custom resource definition is terminating";
        let name = object.at("metadata").at("name").str();
        return Err(Status::forbidden(&served.group_resource(), name, text));
    }
    if let Some(custom) = custom_of(served) {
        custom.validate_create(object, &mut errors, &mut Vec::new());
    }
    refuse(served, object, errors)?;
    match row.hooks.name {
        NameRule::PathSegmentLast => {
            let errors =
                object_meta::validate(object.at("metadata"), scope(row), names::name_is_path_segment, &path);
            refuse(served, object, errors)
        }
        _ => Ok(()),
    }
}

/// The custom kind by whose schema objects are validated, unless that has been done before they were converted.
fn custom_of(served: &Served) -> Option<&crate::crd::Custom> {
    served.codec.custom().filter(|_| !crate::crd::is_judged(served))
}

/// What is wrong with a new object of a custom kind in the version of its request.
pub fn custom_errors(served: &Served, object: &Value) -> ErrorList {
    let Some(custom) = served.codec.custom() else { return ErrorList::new() };
    let rule = |name: &str, usage: NameUse| name_errors(served.row.hooks.name, name, usage);
    let metadata = object.at("metadata");
    let mut errors = object_meta::validate(metadata, scope(&served.row), rule, &Path::new("metadata"));
    // It is generated later.
    if !metadata.at("generateName").str().is_empty() {
        errors.retain(|error| error.field != "metadata.name");
    }
    custom.validate_create(object, &mut errors, &mut Vec::new());
    errors
}

/// The same of a changed object, or of its status.
pub fn custom_update_errors(
    served: &Served,
    subresource: &str,
    new: &Value,
    old: &Value,
    warnings: &mut Vec<String>,
) -> ErrorList {
    match (served.codec.custom(), subresource) {
        (None, _) => ErrorList::new(),
        (Some(custom), "status") => custom.validate_status(new, old, warnings),
        (Some(custom), _) => custom.validate_update(new, old, warnings),
    }
}

/// Texts for `Warning` headers about a custom object that is written.
pub fn custom_warnings(served: &Served, new: &Value, old: &Value) -> Vec<String> {
    match served.codec.custom() {
        Some(_) => crate::crd::Custom::finalizer_warnings(new, old),
        None => Vec::new(),
    }
}

/// All errors of an update, after those that were found `first`; `subresource` updates have their own hook.
pub fn validate_update(
    served: &Served,
    context: &Context,
    new: &Value,
    old: &Value,
    first: ErrorList,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let row = &served.row;
    let path = Path::new("metadata");
    let rule = |name: &str, usage: NameUse| names::name_is_path_segment(name, usage);
    let (new_meta, old_meta) = (new.at("metadata"), old.at("metadata"));
    let mut errors = object_meta::validate(new_meta, scope(row), rule, &path);
    errors.extend(object_meta::validate_update(new_meta, old_meta, &path));
    errors.extend(first);
    // The strategies check it once more, and clients see both.
    let checks = row.subresource(&context.subresource).map_or(row.update_meta, |s| s.update_meta);
    let update = || {
        let mut errors = object_meta::validate_update(new_meta, old_meta, &path);
        errors.extend(finalizers(served, new_meta, &path));
        errors
    };
    if checks.update == UpdateCheck::Ahead {
        errors.extend(update());
    }
    if checks.whole {
        let rule = |name: &str, usage: NameUse| name_errors(row.hooks.name, name, usage);
        errors.extend(object_meta::validate(new_meta, scope(row), rule, &path));
        errors.extend(finalizers(served, new_meta, &path));
    }
    if checks.update == UpdateCheck::First {
        errors.extend(update());
    }
    let hook = if context.subresource.is_empty() {
        row.hooks.validate_update
    } else {
        row.hooks.validate_subresource
    };
    errors.extend(hook(context, new, old));
    if checks.update == UpdateCheck::Last {
        errors.extend(update());
    }
    if custom_of(served).is_some() {
        errors.extend(custom_update_errors(served, &context.subresource, new, old, warnings));
    }
    refuse(served, new, errors)
}

/// Finalizers of built-in kinds are qualified or one of the few that upstream knows
/// (`validateKubeFinalizerName`); groups that live beside upstream's core do not check it.
fn finalizers(served: &Served, metadata: &Value, path: &Path<'_>) -> ErrorList {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    // Kinds of these groups are validated by apimachinery alone, or (core) check it themselves.
    const OTHERS: [&str; 7] = [
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "policy",
    ];
    if OTHERS.contains(&served.row.group.as_str()) || !served.codec.is_typed() {
        return ErrorList::new();
    }
    let path = path.child("finalizers");
    let list = metadata.at("finalizers").items().iter().enumerate();
    list.filter(|(_, f)| !f.str().contains('/') && !STANDARD.contains(&f.str()))
        .map(|(i, f)| {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            Error::invalid(&path.index(i), f.str(), text)
        })
        .collect()
}

const fn scope(row: &kinds::Row) -> Scope {
    if row.namespaced { Scope::Namespaced } else { Scope::Cluster }
}

/// The errors of an object as an answer, if there are any.
///
/// # Errors
/// 422.
pub fn refuse(served: &Served, object: &Value, errors: ErrorList) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    let mut kind = served.group_kind();
    if served.codec.custom().is_some() {
        kind.kind = object.at("kind").str().into();
    }
    Err(Status::invalid(&kind, object.at("metadata").at("name").str(), &errors))
}

/// What the server alone writes into a new object's metadata.
pub fn fill_system_fields(call: &Call, object: &mut Value) {
    if let Some(metadata) = object.object_at("metadata") {
        metadata.set("creationTimestamp", call.api.now().to_string());
        metadata.set("uid", call.api.new_uid());
    }
}

/// What a writer has no say in: cleared before anything else sees the object.
pub fn wipe_system_fields(object: &mut Value) {
    if let Some(metadata) = object.object_at("metadata") {
        for field in
            ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
        {
            metadata.remove(field);
        }
    }
}

/// Owner references that name the same owner twice are kept once.
pub fn dedup_owner_references(call: &Call, object: &mut Value, after_admission: bool) {
    let Some(refs) = object.get_mut("metadata").and_then(|m| m.get_mut("ownerReferences")) else { return };
    let Some(list) = refs.as_array_mut() else { return };
    let mut kept: Vec<Value> = Vec::with_capacity(list.len());
    let mut doubles: Vec<String> = Vec::new();
    for reference in list.drain(..) {
        if kept.contains(&reference) {
            doubles.push(reference.at("uid").str().to_owned());
        } else {
            kept.push(reference);
        }
    }
    *list = kept;
    doubles.dedup();
    if doubles.is_empty() {
        return;
    }
    let list = doubles.join(", ");
    call.warn(if after_admission {
        format!(
            ".metadata.ownerReferences contains duplicate entries after mutating admission happens; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {list}"
        )
    } else {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {list}"
        )
    });
}

/// An object that has been written, or would have been.
pub struct Written {
    /// Its entry, with all encodings that were made on the way.
    pub entry: Box<Entry>,
}

/// How a commit ended.
pub enum Committed {
    /// Written (or, in a dry run, not).
    Done(Written),
    /// Somebody else was first: the object is not what it was when it was read.
    Conflict,
    /// The object is as it was, but what it was to be written with is not: addresses or ports were taken.
    Raced,
}

/// Encodes and stores an object if its key is still as `expect` says.
pub async fn commit(
    call: &Call,
    hub: &Arc<Hub>,
    object: &mut Value,
    expect: Expect,
    dry_run: bool,
    more: Option<Txn>,
) -> Result<Committed, Status> {
    let metadata = object.at("metadata");
    let (namespace, name) = (metadata.at("namespace").str(), metadata.at("name").str());
    let (store_key, cache_key) = (hub.store_key(namespace, name), hub.cache_key(namespace, name));
    if !dry_run {
        clear_for_storage(object);
    }
    hub.codec.stored_form(object);
    let plain = Bytes::from(hub.codec.to_stored(object));
    hub.default(object);
    let entry = Entry::new(cache_key, 0, plain.clone(), head(&hub.row, object));
    if dry_run {
        return Ok(Committed::Done(Written { entry: entry.into() }));
    }
    let sealed = hub.transform.seal(&store_key, plain).map_err(Status::internal_error)?;
    let template = Arc::new(hub.codec.template(object));
    call.api.prepared.leave(&sealed, hub.clone(), entry.twin(0), template.clone());
    let ttl = Some(call.api.settings.event_ttl).filter(|ttl| hub.row.lapses && !ttl.is_zero());
    let action = store::Action::Put { value: sealed.clone(), ttl };
    let mut txn = Txn::new(Op { key: store_key.as_bytes().into(), expect, action });
    if let Some(more) = more {
        txn = txn.and(more);
    }
    match call.api.store.txn(txn).await {
        Ok(Outcome::Committed { revision }) => {
            let mut entry = entry;
            entry.publish(revision, &template);
            Ok(Committed::Done(Written { entry: entry.into() }))
        }
        Ok(Outcome::Conflict { current, .. }) => {
            call.api.prepared.take(&sealed);
            let own = current.first().and_then(Option::as_ref);
            Ok(if expect.met_by(own.map(|kv| &**kv)) { Committed::Raced } else { Committed::Conflict })
        }
        Err(error) => {
            // The feed may still bring it; then it is read from the stored bytes.
            call.api.prepared.take(&sealed);
            Err(crate::storage::status(&error))
        }
    }
}

/// Removes what is never stored (`PrepareObjectForStorage`); a dry run shows it.
fn clear_for_storage(object: &mut Value) {
    if let Some(metadata) = object.object_at("metadata") {
        metadata.remove("resourceVersion");
        metadata.remove("selfLink");
    }
}

/// `resourceVersion` as a writer gave it: 0 for none.
pub fn given_revision(object: &Value) -> Result<u64, Status> {
    let text = object.at("metadata").at("resourceVersion").str();
    if text.is_empty() || text == "0" {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let quoted = meta::quote::quote(text);
        Status::plain_error(format!("strconv.ParseUint: parsing {quoted}: invalid syntax"))
    })
}

/// Puts an object's revision into its tree.
pub fn stamp_revision(object: &mut Value, revision: u64) {
    set_resource_version(object, revision);
}

/// An object that was not written: what is there already, or the last state of what is gone.
pub fn unwritten(hub: &Hub, object: &Value, revision: u64) -> Written {
    let metadata = object.at("metadata");
    let key = hub.cache_key(metadata.at("namespace").str(), metadata.at("name").str());
    let mut object = object.clone();
    if let Some(metadata) = object.object_at("metadata") {
        metadata.remove("resourceVersion");
    }
    hub.codec.stored_form(&mut object);
    let plain = Bytes::from(hub.codec.to_stored(&object));
    hub.default(&mut object);
    Written { entry: Entry::new(key, revision, plain, head(&hub.row, &object)).into() }
}

/// Whether the object would be stored exactly as it is: then nothing is written.
pub fn is_same(hub: &Hub, object: &mut Value, entry: &Entry) -> bool {
    if entry.stale {
        return false;
    }
    clear_for_storage(object);
    hub.codec.stored_form(object);
    hub.codec.to_stored(object) == entry.stored
}
