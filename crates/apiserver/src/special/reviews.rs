//! Reviews: questions about users and their rights, answered from the policy and never stored.
//!
//! Upstream: `pkg/registry/{authentication,authorization}`.

use crate::body::RequestBody;
use crate::call::Call;
use crate::door::read_body;
use crate::negotiate::Allows;
use crate::reply::Reply;
use crate::resource::{Served, Target};
use crate::write::{self, OptionsKind, WriteOptions};
use crate::{codec, render};
use auth::authorize::Access;
use meta::gvk::GroupKind;
use meta::status::Status;
use value::Value;

/// Answers `POST` of a review.
pub(super) async fn create(call: &Call, target: &Target, body: RequestBody) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(Allows::Metadata)?;
    let served = &target.served;
    let options = WriteOptions::read(call, OptionsKind::Create)?;
    let body = read_body(call, body).await?;
    if served.row.namespaced && call.info.namespace.is_empty() {
        return Err(Status::bad_request("namespace is required on this type: "));
    }
    let mut given = write::decode(call, served, &body, options.validation)?;
    write::wipe_system_fields(&mut given.object);
    write::match_namespace(call, served, &mut given.object)?;
    call.audit_object(&served.codec, &given.object);
    crate::managed::update(call, target, None, &mut given, &options);
    let mut object = given.object;
    let context = write::context(call, target);
    let errors = (served.row.hooks.validate_create)(&context, &object);
    if !errors.is_empty() {
        // Upstream names no kind here.
        let kind = GroupKind::new(served.row.group.clone(), "");
        return Err(Status::invalid(&kind, "", &errors));
    }
    answer(call, served, &mut object)?;
    served.codec.normalize(&mut object);
    let go_type = codec::internal_type(&served.row.group, &served.row.kind);
    let whole = || render::tree_reply(201, accepted, served, &object);
    render::once_reply(201, accepted, &object, &go_type, whole)
}

/// Fills in `status`.
fn answer(call: &Call, served: &Served, object: &mut Value) -> Result<(), Status> {
    let api = &call.api;
    let status = match served.row.plural.as_str() {
        "tokenreviews" => {
            let now = api.now().unix_seconds();
            auth::tokens::review(&api.access.authenticator, object.at("spec"), &**api, now)?
        }
        "selfsubjectreviews" => {
            let mut status = Value::object();
            status.set("userInfo", call.user.to_value());
            // The answer is an object of its own, as that of rules: nothing of what was asked is in it.
            let mut metadata = Value::object();
            metadata.set("creationTimestamp", api.now().to_string());
            object.set("metadata", metadata);
            status
        }
        "selfsubjectrulesreviews" => {
            let namespace = object.at("spec").at("namespace").str();
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            let rules = api.access.with_rbac(|rbac| auth::rbac::rules_review(rbac, &call.user, namespace));
            object.set("spec", Value::object());
            object.set("metadata", Value::object());
            rules.to_value()
        }
        "selfsubjectaccessreviews" => {
            let access = Access::of_self((*call.user).clone(), object.at("spec"));
            access.status(&api.access.authorize(&access.attributes()))
        }
        _ => {
            let access = Access::of_subject(object.at("spec"));
            access.status(&api.access.authorize(&access.attributes()))
        }
    };
    object.set("status", status);
    Ok(())
}
