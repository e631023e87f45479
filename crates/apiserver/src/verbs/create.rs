//! Make an object.

use crate::admission::{Attributes, Operation};
use crate::call::Call;
use crate::crd::Judged;
use crate::reply::Reply;
use crate::resource::{Hub, Served, Target};
use crate::write::{self, Committed, Given, OptionsKind, WriteOptions, Written};
use crate::{managed, special};
use bytes::Bytes;
use kinds::hooks::{Context, Generated};
use meta::names;
use meta::status::Status;
use std::sync::Arc;
use store::Expect;
use value::Value;

/// How often a generated name that is taken is made anew, as upstream (KEP-4420).
const GENERATE_NAME_ATTEMPTS: usize = 8;

/// How often a create is tried again when shared ranges change under it.
const RACE_ATTEMPTS: usize = 64;

/// Answers `POST` to a collection.
pub(crate) async fn create(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: &Bytes,
) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(target.allows())?;
    crate::negotiate::body_encoding(
        call.header(http::header::CONTENT_TYPE),
        &crate::negotiate::Encoding::ALL,
    )?;
    let options = WriteOptions::read(call, OptionsKind::Create)?;
    let mut given = write::decode(call, &target.served, body, options.validation)?;
    write::wipe_system_fields(&mut given.object);
    write::match_namespace(call, &target.served, &mut given.object)?;
    call.audit_object(&target.served.codec, &given.object);
    write::dedup_owner_references(call, &mut given.object, false);
    managed::update(call, target, None, &mut given, &options);
    let written = create_object(call, target, hub, given, &options).await?;
    call.entry_reply(201, accepted, &target.served, hub, &written.entry)
}

/// Makes an object of the served version: from admission to the commit.
pub(crate) async fn create_object(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    given: Given,
    options: &WriteOptions,
) -> Result<Written, Status> {
    let served = &target.served;
    let Given { mut object, labels_of_template, .. } = given;
    let mut judge = |object: &Value| write::custom_errors(served, object);
    let judged = Judged::convert(served, &mut object, &mut judge)?;
    let name = object.at("metadata").at("name").str().to_owned();
    let mut attributes = Attributes::new(call, target, Operation::Create, &name, options.dry_run);
    call.api.admission.admit(call, &mut attributes, &mut object, None).await?;
    if let Some(judged) = judged {
        judged.tell(served, &object, &mut judge)?;
    }
    write::dedup_owner_references(call, &mut object, true);
    let generate = object.at("metadata").at("generateName").str().to_owned();
    let generated =
        name.is_empty() && object.at("metadata").at("name").str().is_empty() && !generate.is_empty();
    let again = generated || special::allocates(hub);
    for attempt in 1.. {
        let mut object = if again { object.clone() } else { std::mem::take(&mut object) };
        if generated && let Some(metadata) = object.object_at("metadata") {
            metadata.set(
                "name",
                match hub.row.hooks.generated {
                    Generated::Random => {
                        names::generate_name(&generate, std::array::from_fn(|_| call.api.dice(u64::MAX)))
                    }
                    Generated::AsGiven => generate.clone(),
                },
            );
        }
        // For each name that is generated upstream copies the object, whose maps are its own then.
        let shared = labels_of_template && !generated;
        let result = store_new(call, target, hub, object, shared, &mut attributes, options).await;
        let taken = result.as_ref().is_err_and(Status::is_already_exists);
        match result {
            _ if generated && taken && attempt < GENERATE_NAME_ATTEMPTS => {}
            Ok(Stored::Done(written)) => return Ok(written),
            Ok(Stored::Raced) if again && attempt < RACE_ATTEMPTS => {}
            Ok(Stored::Raced) => {
                return Err(Status::server_timeout(&served.group_resource(), "create", 1));
            }
            Err(status) => return Err(status),
        }
    }
    unreachable!("the loop returns")
}

enum Stored {
    Done(Written),
    /// What it needs besides its own key was taken by somebody else meanwhile.
    Raced,
}

async fn store_new(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    mut object: Value,
    labels_of_template: bool,
    attributes: &mut Attributes,
    options: &WriteOptions,
) -> Result<Stored, Status> {
    let served = &target.served;
    let context = Context { labels_of_template, ..write::context(call, target) };
    let reserved = special::allocate(call, hub, &mut object, None, options.dry_run).await?;
    begin_create(call, served, hub, &context, &mut object)?;
    attributes.name = object.at("metadata").at("name").str().into();
    call.api.admission.validate(call, attributes, Some(&object), None).await?;
    if !options.dry_run && given_revision_is_set(&object) {
        return Err(Status::plain_error("resourceVersion should not be set on objects to be created"));
    }
    let result = write::commit(call, hub, &mut object, Expect::Absent, options.dry_run, reserved.txn).await;
    let name = attributes.name.as_str();
    match result {
        Ok(Committed::Done(written)) => {
            if options.dry_run && exists(hub, &object) {
                return Err(Status::already_exists(&served.group_resource(), name));
            }
            Ok(Stored::Done(written))
        }
        Ok(Committed::Conflict) => Err(already_exists(served, hub, &object, name)),
        Ok(Committed::Raced) => Ok(Stored::Raced),
        Err(status) => Err(status),
    }
}

/// Sets what the server sets and checks everything: upstream's `BeforeCreate`.
pub(crate) fn begin_create(
    call: &Call,
    served: &Served,
    hub: &Hub,
    context: &Context,
    object: &mut Value,
) -> Result<(), Status> {
    crate::special::check_write(call, hub, object, None)?;
    write::fill_system_fields(call, object);
    let row = &served.row;
    row.prepare_create(context, object);
    hub.codec.normalize(object);
    for warning in (row.hooks.warn_prepared)(context, object) {
        call.warn(warning);
    }
    let first = special::errors(call, hub, "", object, None);
    write::validate_create(served, context, object, first)?;
    write::custom_warnings(served, object, &Value::Null).into_iter().for_each(|text| call.warn(text));
    for warning in (row.hooks.warn_create)(context, object) {
        call.warn(warning);
    }
    Ok(())
}

/// Whether it names a version; upstream lets pass what is none.
fn given_revision_is_set(object: &Value) -> bool {
    object.at("metadata").at("resourceVersion").str().parse::<u64>().is_ok_and(|version| version != 0)
}

fn exists(hub: &Hub, object: &Value) -> bool {
    let metadata = object.at("metadata");
    hub.get(metadata.at("namespace").str(), metadata.at("name").str()).is_some()
}

fn already_exists(served: &Served, hub: &Hub, object: &Value, name: &str) -> Status {
    let metadata = object.at("metadata");
    let key = hub.cache_key(metadata.at("namespace").str(), metadata.at("name").str());
    let mut status = Status::already_exists(&served.group_resource(), name);
    if let Some(entry) = hub.cache.get(&key)
        && !hub.tree(&entry).at("metadata").at("deletionTimestamp").is_null()
    {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}
