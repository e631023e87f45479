//! The `scale` subresource: how many replicas, in one shape for all kinds that have them.
//!
//! Upstream: `ScaleREST` in `pkg/registry/{apps,core}/*/storage/storage.go`.

use crate::body::RequestBody;
use crate::call::Call;
use crate::codec::{Codec, Via};
use crate::door::read_body;
use crate::negotiate::{Accepted, Convert, unsupported_media_type};
use crate::render::typed_reply;
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use crate::verbs::{get, patch, update};
use crate::write::{self, FieldValidation, Given, OptionsKind, WriteOptions};
use bytes::Bytes;
use http::header;
use meta::field::{Error, Path};
use meta::gvk::GroupKind;
use meta::status::Status;
use std::sync::Arc;
use value::json_patch::{COPY_BYTES_MAX, JsonPatch};
use value::{Value, json, merge_patch};

const SCALE: &str = "k8s.io/api/autoscaling/v1.Scale";

/// Answers a request for a scale.
pub(super) async fn answer(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    verb: &str,
    body: RequestBody,
) -> Result<Reply, Status> {
    let accepted = call.negotiate()?;
    if verb == "get" {
        call.fresh(None).await?;
        let entry = get::find(&target.served, hub, &call.info.namespace, &call.info.name)?;
        let object = target.served.tree(hub, &entry);
        if let Some(paths) = crate::crd::scale_paths(&target.served)
            && !paths.scale_of(&object)?.1
        {
            return Err(paths.missing());
        }
        return reply(call, accepted, target, &object);
    }
    let body = read_body(call, body).await?;
    let kind = if verb == "patch" { OptionsKind::Patch { apply: false } } else { OptionsKind::Update };
    let options = WriteOptions::read(call, kind)?;
    let given = match verb {
        "patch" if target.served.codec.is_typed() => None,
        "patch" => {
            patch::custom_takes(call)?;
            None
        }
        _ => {
            let given =
                super::decode_action(call, &["autoscaling/v1"], "Scale", SCALE, &body, options.validation)?;
            write::check_name(call, &given)?;
            Some(given)
        }
    };
    let mut make = |live: Option<&Value>| {
        let live = live.ok_or_else(|| Status::not_found(&target.served.group_resource(), &call.info.name))?;
        match &given {
            Some(scale) => scaled(call, target, live, scale, &options),
            None => {
                let scale = patched(call, &scale_for(target, live)?, &body, options.validation)?;
                scaled(call, target, live, &scale, &options)
            }
        }
    };
    // It is the whole object that is written, by the main resource's rules.
    let whole = Target { served: target.served.clone(), sub: None };
    let (_, written) =
        update::change(call, &whole, hub, &mut make, &options, false, update::Create::No).await?;
    reply(call, accepted, target, &target.served.tree(hub, &written.entry))
}

fn reply(call: &Call, accepted: Accepted, target: &Target, object: &Value) -> Result<Reply, Status> {
    let scale = scale_for(target, object)?;
    match accepted.convert {
        Some(Convert::Table { beta }) => {
            Ok(Reply::json(200, accepted, json::to_vec(&printed(call, &scale, beta))))
        }
        _ => Ok(typed_reply(200, accepted, SCALE, &scale)),
    }
}

/// The scale as a Table: `kubectl get --subresource=scale`.
fn printed(call: &Call, scale: &Value, beta: bool) -> Value {
    let row = kinds::Row::custom("", "v1", "Scale", "scale");
    let mut line = Value::object();
    line.set("cells", Value::Array(kinds::columns::cells(&row, scale, call.api.now())));
    line.set("object", crate::render::partial(scale, beta));
    let mut metadata = Value::object();
    metadata.set("resourceVersion", scale.at("metadata").at("resourceVersion").clone());
    let mut table = crate::render::typed("Table", beta);
    table.set("metadata", metadata);
    table.set("columnDefinitions", kinds::columns::definitions(&row));
    table.set("rows", vec![line]);
    table
}

/// The scale of an object; custom kinds say where its parts stand.
fn scale_for(target: &Target, object: &Value) -> Result<Value, Status> {
    match crate::crd::scale_paths(&target.served) {
        Some(paths) => Ok(paths.scale_of(object)?.0),
        None => Ok(scale_of(object)),
    }
}

/// The scale of an object with `spec.replicas` and `spec.selector`.
fn scale_of(object: &Value) -> Value {
    let mut metadata = Value::object();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(v) = object.at("metadata").get(field) {
            metadata.set(field, v.clone());
        }
    }
    let mut spec = Value::object();
    let replicas = object.at("spec").at("replicas").int();
    if replicas != 0 {
        spec.set("replicas", replicas);
    }
    let mut status = Value::object();
    status.set("replicas", object.at("status").at("replicas").int());
    let selector = object.at("spec").at("selector");
    let is_label_selector =
        selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let text = if is_label_selector {
        meta::labels::Selector::from_label_selector(selector).map(|s| s.to_string()).unwrap_or_default()
    } else {
        meta::labels::Selector::from_set(selector).to_string()
    };
    if !text.is_empty() {
        status.set("selector", text);
    }
    let mut scale = Value::object();
    scale.set("kind", "Scale");
    scale.set("apiVersion", "autoscaling/v1");
    scale.set("metadata", metadata);
    scale.set("spec", spec);
    scale.set("status", status);
    scale
}

/// A scale with a patch, read as a scale again.
fn patched(call: &Call, scale: &Value, body: &Bytes, validation: FieldValidation) -> Result<Value, Status> {
    let media = call.header(header::CONTENT_TYPE).unwrap_or("").split(';').next().unwrap_or_default().trim();
    let bad = |e: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {e}"));
    let (patched, via) = match media {
        "application/json-patch+json" => {
            let patch = JsonPatch::parse(body).map_err(|e| bad(&e))?;
            let patched = patch.apply(scale.clone(), COPY_BYTES_MAX);
            (patched.map_err(|e| Status::bad_request(e.to_string()))?, Via::Document)
        }
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            let patch = json::parse(body).map_err(|e| bad(&e))?;
            let patched = merge_patch::apply(scale.clone(), patch);
            (patched.map_err(|e| Status::bad_request(e.to_string()))?, Via::Merged)
        }
        _ => {
            return Err(unsupported_media_type(
                [
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/strategic-merge-patch+json",
                ]
                .into_iter(),
            ));
        }
    };
    let (codec, row) = Codec::of_action("autoscaling/v1", "Scale", SCALE);
    let strict = validation == FieldValidation::Strict;
    let decoded = codec.decode_patched(&row, scale, patched, via, &[], strict)?;
    write::accept_decoded(call, &row, decoded, validation).map(|given| given.object)
}

/// The object with the replicas of the scale.
fn scaled(
    call: &Call,
    target: &Target,
    live: &Value,
    scale: &Value,
    options: &WriteOptions,
) -> Result<Given, Status> {
    let metadata = scale.at("metadata");
    let version = metadata.at("resourceVersion").str();
    let replicas = scale.at("spec").at("replicas").int();
    let paths = crate::crd::scale_paths(&target.served);
    if replicas < 0 && paths.is_none() {
        let path = Path::new("spec");
        let path = path.child("replicas");
        let errors = vec![Error::invalid(&path, replicas, "must be greater than or equal to 0")];
        return Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), &call.info.name, &errors));
    }
    let mut new = live.clone();
    if let Some(metadata) = new.object_at("metadata") {
        match version {
            "" => drop(metadata.remove("resourceVersion")),
            v => metadata.set("resourceVersion", v),
        }
    }
    if let Some(paths) = paths {
        paths.set_replicas(&mut new, replicas)?;
    } else if let Some(spec) = new.object_at("spec") {
        spec.set("replicas", replicas);
    }
    let mut new = Given { object: new, has_unshown: false, labels_of_template: false };
    crate::managed::update(call, target, Some(live), &mut new, options);
    keep_times(live, &mut new.object);
    Ok(new)
}

/// Upstream's handler of scales knows only the times of the entries that were there before.
fn keep_times(live: &Value, new: &mut Value) {
    let old = live.at("metadata").at("managedFields").items();
    let facts =
        |e: &Value| ["operation", "manager", "apiVersion", "subresource"].map(|f| e.at(f).str().to_owned());
    let Some(metadata) = new.object_at("metadata") else { return };
    let Some(entries) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) else { return };
    for entry in entries.iter_mut().filter(|e| e.at("subresource").str() == "scale") {
        match old.iter().find(|o| facts(o) == facts(entry)).and_then(|o| o.get("time")) {
            Some(time) => entry.set("time", time.clone()),
            None => drop(entry.remove("time")),
        }
    }
    entries.sort_by_cached_key(|e| {
        let [operation, manager, version, subresource] = facts(e);
        (operation, e.at("time").str().to_owned(), manager, version, subresource)
    });
}
