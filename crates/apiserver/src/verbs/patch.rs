//! Change an object by a patch: JSON patch, merge patch, strategic merge patch, server-side apply.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.

use crate::call::Call;
use crate::codec::Via;
use crate::managed::{self, Outcome};
use crate::negotiate::{route_consumes, unsupported_media_type};
use crate::reply::Reply;
use crate::resource::{Hub, Served, Target};
use crate::verbs::update::{self, Create};
use crate::write::{self, FieldValidation, Given, OptionsKind, WriteOptions};
use bytes::Bytes;
use http::header;
use meta::field::{Error, Path};
use meta::gvk::{GroupKind, GroupResource};
use meta::status::Status;
use std::sync::Arc;
use value::json_patch::{ApplyError, COPY_BYTES_MAX, JsonPatch, OPERATIONS_MAX};
use value::{Value, json, merge_patch, yaml};

/// The kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

const FORMS: [Form; 4] = [Form::Json, Form::Merge, Form::Strategic, Form::Apply];

/// Whether the route of a built-in kind takes the body's media type.
///
/// # Errors
/// 415.
pub(crate) fn route_takes(call: &Call) -> Result<(), Status> {
    let header = call.header(header::CONTENT_TYPE).unwrap_or("");
    route_consumes(Some(header), &FORMS.map(Form::media_type))
}

/// The same of the handler of custom resources, which knows no strategic merge.
///
/// # Errors
/// 415.
pub(crate) fn custom_takes(call: &Call) -> Result<(), Status> {
    custom_form(call).map(drop)
}

fn custom_form(call: &Call) -> Result<Form, Status> {
    form_of(call, FORMS.into_iter().filter(|f| *f != Form::Strategic))
}

/// The form that a patch of an object of a kind has.
fn form(call: &Call, served: &Served) -> Result<Form, Status> {
    if !served.codec.is_typed() {
        return custom_form(call);
    }
    route_takes(call)?;
    form_of(call, FORMS.into_iter())
}

/// The one of these forms that the body's media type names.
fn form_of(call: &Call, known: impl Iterator<Item = Form> + Clone) -> Result<Form, Status> {
    let header = call.header(header::CONTENT_TYPE).unwrap_or("");
    let media = header.split(';').next().unwrap_or_default().trim();
    let form = known.clone().find(|f| f.media_type() == media);
    form.ok_or_else(|| unsupported_media_type(known.map(Form::media_type)))
}

/// Answers `PATCH` of an object or of a subresource that holds the whole object.
pub(crate) async fn patch(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: &Bytes,
) -> Result<Reply, Status> {
    let served = &target.served;
    let form = form(call, served)?;
    let accepted = call.negotiate_as(target.allows())?;
    let asked = Asked::read(call, form, body)?;
    let mut make = |live: Option<&Value>| asked.apply(call, target, live);
    let create = if form == Form::Apply && target.sub.is_none() { Create::Yes } else { Create::No };
    let (code, written) = update::change(call, target, hub, &mut make, &asked.options, false, create).await?;
    call.entry_reply(code, accepted, served, hub, &written.entry)
}

/// The patch that a request asks for, with its options.
pub(crate) struct Asked {
    patch: Result<Patch, Status>,
    pub(crate) options: WriteOptions,
}

impl Asked {
    /// Reads the patch of a kind, or of a subresource of it.
    ///
    /// # Errors
    /// 415, and what is wrong with the options.
    pub(crate) fn new(call: &Call, served: &Served, body: &Bytes) -> Result<Self, Status> {
        Self::read(call, form(call, served)?, body)
    }

    fn read(call: &Call, form: Form, body: &Bytes) -> Result<Self, Status> {
        let options = WriteOptions::read(call, OptionsKind::Patch { apply: form == Form::Apply })?;
        if let Some(audit) = &call.audit {
            audit.request_patch(|| as_json(form, body));
        }
        Ok(Self { patch: Patch::read(form, body, options.validation), options })
    }

    /// The patched object, defaulted, with its managed fields.
    ///
    /// # Errors
    /// The patch is none, which counts once there is something that it is for; or it does not fit the object.
    pub(crate) fn apply(&self, call: &Call, target: &Target, live: Option<&Value>) -> Result<Given, Status> {
        let patch = self.patch.as_ref().map_err(Clone::clone)?;
        patch.apply(call, target, live, &self.options)
    }
}

/// The patch as the audit log tells it.
fn as_json(form: Form, body: &Bytes) -> Vec<u8> {
    if form == Form::Apply
        && let Ok(tree) = yaml::parse(body)
    {
        return json::to_vec(&tree);
    }
    body.to_vec()
}

/// A patch and what field validation finds fault with in it.
struct Patch {
    change: Change,
    faults: Vec<String>,
}

enum Change {
    Json(JsonPatch),
    Merge(Value),
    Strategic(Value),
    Apply {
        config: Value,
        /// What a strict reader of the YAML says.
        duplicate: Option<String>,
    },
}

impl Patch {
    fn read(form: Form, body: &Bytes, validation: FieldValidation) -> Result<Self, Status> {
        let checked = validation != FieldValidation::Ignore;
        let decoding = |e: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {e}"));
        let mut faults = Vec::new();
        let change = match form {
            Form::Json => {
                let patch = if checked {
                    let strict = JsonPatch::parse_strict(body).map_err(|e| decoding(&e))?;
                    faults.extend(strict.faults.iter().map(|fault| format!("json patch {fault}")));
                    strict.patch
                } else {
                    JsonPatch::parse(body).map_err(|e| Status::bad_request(e.to_string()))?
                };
                if patch.len() > OPERATIONS_MAX {
                    return Err(Status::request_entity_too_large(format!(
                        "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
                        patch.len()
                    )));
                }
                Change::Json(patch)
            }
            Form::Merge => {
                let patch = map_patch(body, &mut faults).map_err(|e| decoding(&e))?;
                if patch.is_null() {
                    return Err(Status::bad_request("Invalid JSON Patch"));
                }
                Change::Merge(patch)
            }
            Form::Strategic => match map_patch(body, &mut faults).map_err(Status::bad_request)? {
                Value::Null => Change::Strategic(Value::object()),
                patch => Change::Strategic(patch),
            },
            Form::Apply => {
                let refused = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
                let (config, fault) = yaml::parse_noting(body)
                    .map_err(|e| refused(format!("error converting YAML to JSON: {e}")))?;
                if !matches!(config, Value::Object(_) | Value::Null) {
                    return Err(refused(format!(
                        "error unmarshaling JSON: while decoding JSON: {}",
                        not_a_map(&config)
                    )));
                }
                let duplicate = fault.map(|e| e.to_string());
                Change::Apply { config, duplicate }
            }
        };
        if !checked {
            faults.clear();
        }
        Ok(Self { change, faults })
    }

    /// The patched object, defaulted, with its managed fields.
    fn apply(
        &self,
        call: &Call,
        target: &Target,
        live: Option<&Value>,
        options: &WriteOptions,
    ) -> Result<Given, Status> {
        let served = &target.served;
        if let Change::Apply { config, duplicate } = &self.change {
            let mut given = match managed::apply(call, target, live, config, options)? {
                Outcome::Unchanged(object) => {
                    check_config(call, duplicate.as_deref(), options)?;
                    Given { object, has_unshown: false, labels_of_template: false }
                }
                Outcome::Changed(mut object) => {
                    served.codec.check_applied(config, &mut object)?;
                    check_config(call, duplicate.as_deref(), options)?;
                    let live = live.unwrap_or(&Value::Null);
                    let decoded =
                        served.codec.decode_patched(&served.row, live, object, Via::Applied, &[], false)?;
                    write::accept_decoded(call, &served.row, decoded, FieldValidation::Ignore)?
                }
            };
            let uid = given.object.at("metadata").at("uid").str();
            if live.is_none() && !uid.is_empty() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(Status::conflict(&served.group_resource(), &call.info.name, why));
            }
            self.place(call, target, &mut given.object)?;
            return Ok(given);
        }
        let Some(live) = live else {
            return Err(Status::not_found(&served.group_resource(), &call.info.name));
        };
        let patched = match &self.change {
            Change::Json(patch) => {
                patch.apply(live.clone(), COPY_BYTES_MAX).map_err(|e| json_patch_status(&e))?
            }
            Change::Merge(patch) => merge_patch::apply(live.clone(), patch.clone())
                .map_err(|e| Status::bad_request(e.to_string()))?,
            Change::Strategic(patch) => served.codec.strategic_merge(live, patch)?,
            Change::Apply { .. } => live.clone(),
        };
        let via = match &self.change {
            Change::Strategic(patch) => Via::Tree(patch),
            Change::Merge(patch) => Via::Merged(patch),
            _ => Via::Document,
        };
        let strict = options.validation == FieldValidation::Strict;
        let decoded = served.codec.decode_patched(&served.row, live, patched, via, &self.faults, strict)?;
        let mut given = write::accept_decoded(call, &served.row, decoded, options.validation)?;
        keep_version(target, &mut given.object)?;
        managed::update(call, target, Some(live), &mut given, options);
        self.place(call, target, &mut given.object)?;
        Ok(given)
    }

    /// A patch cannot move the object.
    fn place(&self, call: &Call, target: &Target, object: &mut Value) -> Result<(), Status> {
        write::match_namespace(call, &target.served, object)?;
        write::check_name(call, object)
    }
}

/// A custom object stays of the version of the request: a subresource keeps it, the whole object is refused.
fn keep_version(target: &Target, object: &mut Value) -> Result<(), Status> {
    let wanted = target.served.row.api_version();
    let given = object.at("apiVersion").str();
    if target.served.codec.is_typed() || given == wanted {
        return Ok(());
    }
    if target.sub.is_some() {
        object.set("apiVersion", wanted);
        return Ok(());
    }
    let errors = vec![Error::invalid(&Path::new("apiVersion"), given, format!("must be {wanted}"))];
    let group = given.split_once('/').map_or("", |(group, _)| group);
    let kind = GroupKind::new(group, object.at("kind").str());
    Err(Status::invalid(&kind, object.at("metadata").at("name").str(), &errors))
}

/// Minds a key that comes twice in an applied configuration. Unknown fields are a matter of the type.
fn check_config(call: &Call, duplicate: Option<&str>, options: &WriteOptions) -> Result<(), Status> {
    match (duplicate, options.validation) {
        (None, _) | (_, FieldValidation::Ignore) => {}
        (Some(duplicate), FieldValidation::Warn) => {
            duplicated_key(duplicate).lines().for_each(|fault| call.warn(fault.trim_start()));
        }
        (Some(duplicate), FieldValidation::Strict) => {
            return Err(Status::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: {duplicate}"
            )));
        }
    }
    Ok(())
}

/// A duplicate as warnings name it.
fn duplicated_key(text: &str) -> &str {
    text.strip_prefix("yaml: ").unwrap_or(text).trim_start_matches("unmarshal errors:\n  ")
}

/// A patch that must be an object or null, and the members that come twice in it.
fn map_patch(body: &Bytes, faults: &mut Vec<String>) -> Result<Value, String> {
    let mut duplicates = json::Duplicates::new();
    let patch = json::parse_with(body, &mut duplicates).map_err(|e| e.to_string())?;
    faults.extend(duplicates.iter().map(ToString::to_string));
    match &patch {
        Value::Object(_) | Value::Null => Ok(patch),
        other => Err(not_a_map(other)),
    }
}

fn not_a_map(value: &Value) -> String {
    format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", go_kind(value))
}

/// What Go's decoder calls a JSON value.
const fn go_kind(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A JSON patch that does not fit the object is the object's fault (422), a broken one the sender's (400).
fn json_patch_status(error: &ApplyError) -> Status {
    Status::generic_server_response(422, "", &GroupResource::default(), "", &error.to_string(), 0)
}
