//! `v1.Status`: what a client gets in place of an object, and the server's error type.
//!
//! One constructor per function of `k8s.io/apimachinery/pkg/api/errors`, with the same texts.

use crate::field;
use crate::gvk::{GroupKind, GroupResource};
use crate::quote::Quoted;
use std::fmt;
use value::{Map, Str, Value};

/// The words of `reason`.
pub mod reason {
    #![allow(missing_docs)] // each is what it says

    pub const UNKNOWN: &str = "";
    pub const UNAUTHORIZED: &str = "Unauthorized";
    pub const FORBIDDEN: &str = "Forbidden";
    pub const NOT_FOUND: &str = "NotFound";
    pub const ALREADY_EXISTS: &str = "AlreadyExists";
    pub const CONFLICT: &str = "Conflict";
    pub const GONE: &str = "Gone";
    pub const INVALID: &str = "Invalid";
    pub const SERVER_TIMEOUT: &str = "ServerTimeout";
    pub const STORE_READ_ERROR: &str = "StorageReadError";
    pub const TIMEOUT: &str = "Timeout";
    pub const TOO_MANY_REQUESTS: &str = "TooManyRequests";
    pub const BAD_REQUEST: &str = "BadRequest";
    pub const METHOD_NOT_ALLOWED: &str = "MethodNotAllowed";
    pub const NOT_ACCEPTABLE: &str = "NotAcceptable";
    pub const REQUEST_ENTITY_TOO_LARGE: &str = "RequestEntityTooLarge";
    pub const UNSUPPORTED_MEDIA_TYPE: &str = "UnsupportedMediaType";
    pub const INTERNAL_ERROR: &str = "InternalError";
    pub const EXPIRED: &str = "Expired";
    pub const SERVICE_UNAVAILABLE: &str = "ServiceUnavailable";
}

/// The words of a cause's `reason` that are not a field's [`field::ErrorType`].
pub mod cause {
    #![allow(missing_docs)] // each is what it says

    pub const UNEXPECTED_SERVER_RESPONSE: &str = "UnexpectedServerResponse";
    pub const FIELD_MANAGER_CONFLICT: &str = "FieldManagerConflict";
    pub const RESOURCE_VERSION_TOO_LARGE: &str = "ResourceVersionTooLarge";
    pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
    pub const DISRUPTION_BUDGET: &str = "DisruptionBudget";
}

/// An answer about a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Whether it says `Success` (most do not).
    pub success: bool,
    /// The HTTP status; 0 is left out.
    pub code: i32,
    /// The machine-readable reason, of [`reason`] or (of webhooks) any other; empty is left out.
    pub reason: Str,
    /// The text for people.
    pub message: String,
    /// What it is about; `{}` and absence are different on the wire.
    pub details: Option<Box<Details>>,
    /// `metadata.continue`: by which token a list that cannot be continued as it was can be; empty is left out.
    pub continue_token: Str,
}

/// What a [`Status`] is about. Empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The object's name.
    pub name: Str,
    /// The API group.
    pub group: Str,
    /// The kind, or (as a rule) the resource.
    pub kind: Str,
    /// The object's UID.
    pub uid: Str,
    /// The single faults.
    pub causes: Vec<Cause>,
    /// When to try again, in seconds; not 0.
    pub retry_after_seconds: i32,
}

/// One fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The machine-readable reason.
    pub reason: Str,
    /// The text for people.
    pub message: String,
    /// The field's path.
    pub field: String,
}

impl Details {
    fn of(resource: &GroupResource, name: &str) -> Box<Self> {
        Box::new(Self {
            name: name.into(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..Self::default()
        })
    }

    fn retry(seconds: i32) -> Box<Self> {
        Box::new(Self { retry_after_seconds: seconds, ..Self::default() })
    }
}

impl Cause {
    /// A fault of a field.
    pub fn of(error: &field::Error) -> Self {
        Self { reason: Str::new_static(error.ty.reason()), message: error.body(), field: error.field.clone() }
    }

    /// A fault of no field.
    pub fn new(reason: impl Into<Str>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), field: String::new() }
    }
}

impl Status {
    fn failure(code: i32, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            success: false,
            code,
            reason: Str::new_static(reason),
            message: message.into(),
            details: None,
            continue_token: Str::default(),
        }
    }

    fn about(code: i32, reason: &'static str, message: String, details: Box<Details>) -> Self {
        Self { details: Some(details), ..Self::failure(code, reason, message) }
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} not found", Quoted(name));
        Self::about(404, reason::NOT_FOUND, message, Details::of(resource, name))
    }

    /// 409: there is such an object already.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} already exists", Quoted(name));
        Self::about(409, reason::ALREADY_EXISTS, message, Details::of(resource, name))
    }

    /// 401: we do not know who asks. An empty text becomes `not authorized`.
    pub fn unauthorized(text: &str) -> Self {
        Self::failure(401, reason::UNAUTHORIZED, if text.is_empty() { "not authorized" } else { text })
    }

    /// 403: who asks may not do this, or no one may.
    pub fn forbidden(resource: &GroupResource, name: &str, error: impl fmt::Display) -> Self {
        let message = if resource.is_empty() {
            format!("forbidden: {error}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {error}")
        } else {
            format!("{resource} {} is forbidden: {error}", Quoted(name))
        };
        Self::about(403, reason::FORBIDDEN, message, Details::of(resource, name))
    }

    /// 409: the object changed meanwhile, or a precondition does not hold.
    pub fn conflict(resource: &GroupResource, name: &str, error: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {error}", Quoted(name));
        Self::about(409, reason::CONFLICT, message, Details::of(resource, name))
    }

    /// 409: fields that are applied belong to other managers.
    pub fn apply_conflict(causes: Vec<Cause>, message: impl Into<String>) -> Self {
        let details = Box::new(Details { causes, ..Details::default() });
        Self::about(409, reason::CONFLICT, message.into(), details)
    }

    /// 410: gone for good; see [`Self::expired`].
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, reason::GONE, message)
    }

    /// 410: the resource version or continue token is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, reason::EXPIRED, message)
    }

    /// 422: the object is not valid.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[field::Error]) -> Self {
        let message = match field::to_aggregate(errors) {
            None => format!("{kind} {} is invalid", Quoted(name)),
            Some(all) => format!("{kind} {} is invalid: {all}", Quoted(name)),
        };
        let details = Box::new(Details {
            name: name.into(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors.iter().map(Cause::of).collect(),
            ..Details::default()
        });
        Self::about(422, reason::INVALID, message, details)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, reason::BAD_REQUEST, message)
    }

    /// 429: try again later.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> Self {
        Self::about(429, reason::TOO_MANY_REQUESTS, message.into(), Details::retry(retry_after_seconds))
    }

    /// 503.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, reason::SERVICE_UNAVAILABLE, message)
    }

    /// 405: the resource has no such verb.
    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        let message =
            format!("{action} is not supported on resources of kind {}", Quoted(&resource.to_string()));
        Self::about(405, reason::METHOD_NOT_ALLOWED, message, Details::of(resource, ""))
    }

    /// 500: a passing fault; try again.
    pub fn server_timeout(resource: &GroupResource, operation: &str, retry_after_seconds: i32) -> Self {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        let details = Box::new(Details { retry_after_seconds, ..*Details::of(resource, operation) });
        Self::about(500, reason::SERVER_TIMEOUT, message, details)
    }

    /// 500: a fault of the server's.
    pub fn internal_error(error: impl fmt::Display) -> Self {
        let error = error.to_string();
        let message = format!("Internal error occurred: {error}");
        let details = Box::new(Details { causes: vec![Cause::new("", error)], ..Details::default() });
        Self::about(500, reason::INTERNAL_ERROR, message, details)
    }

    /// 500 with the bare text and no reason: what upstream makes of an error that is no Status
    /// (`apiserver/pkg/endpoints/handlers/responsewriters.ErrorToAPIStatus`).
    pub fn plain_error(error: impl fmt::Display) -> Self {
        Self::failure(500, reason::UNKNOWN, error.to_string())
    }

    /// 504: the request took too long; it may still complete.
    pub fn timeout(message: impl fmt::Display, retry_after_seconds: i32) -> Self {
        let message = format!("Timeout: {message}");
        Self::about(504, reason::TIMEOUT, message, Details::retry(retry_after_seconds))
    }

    /// 504: a resource version from the future (`apiserver/pkg/storage.NewTooLargeResourceVersionError`).
    pub fn too_large_resource_version(minimum: u64, current: u64, retry_after_seconds: i32) -> Self {
        let message = format!("Too large resource version: {minimum}, current: {current}");
        Self::timeout(message, retry_after_seconds)
            .with_cause(Cause::new(cause::RESOURCE_VERSION_TOO_LARGE, "Too large resource version"))
    }

    /// 413.
    pub fn request_entity_too_large(message: impl fmt::Display) -> Self {
        Self::failure(413, reason::REQUEST_ENTITY_TOO_LARGE, format!("Request entity too large: {message}"))
    }

    /// 406: none of the accepted media types can be made. `accepted` are those that can
    /// (`apiserver/pkg/endpoints/handlers/negotiation`).
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::failure(406, reason::NOT_ACCEPTABLE, message)
    }

    /// 415: the body is of none of the `accepted` media types.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, reason::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// What is said about an HTTP status alone. `verb` is the HTTP method; `server_message` what the other
    /// side answered; see [`Self::unexpected_server_response`].
    pub fn generic_server_response(
        code: i32,
        verb: &str,
        resource: &GroupResource,
        name: &str,
        server_message: &str,
        retry_after_seconds: i32,
    ) -> Self {
        let (reason, mut message) = generic_text(code, verb, server_message);
        let verb = verb.to_lowercase();
        if !resource.is_empty() {
            message = if name.is_empty() {
                format!("{message} ({verb} {resource})")
            } else {
                format!("{message} ({verb} {resource} {name})")
            };
        }
        let details = Box::new(Details { retry_after_seconds, ..*Details::of(resource, name) });
        Self::about(code, reason, message, details)
    }

    /// [`Self::generic_server_response`] to an answer that is no Kubernetes answer, which it holds as a cause.
    pub fn unexpected_server_response(
        code: i32,
        verb: &str,
        resource: &GroupResource,
        name: &str,
        server_message: &str,
        retry_after_seconds: i32,
    ) -> Self {
        Self::generic_server_response(code, verb, resource, name, server_message, retry_after_seconds)
            .with_cause(Cause::new(cause::UNEXPECTED_SERVER_RESPONSE, server_message))
    }

    /// The success of a deletion and the like.
    pub fn success(details: Option<Details>) -> Self {
        Self { success: true, details: details.map(Box::new), ..Self::default() }
    }

    /// With one cause more.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The `Retry-After` to be sent, if any.
    pub fn retry_after_seconds(&self) -> Option<i32> {
        self.details.as_ref().map(|d| d.retry_after_seconds).filter(|&s| s > 0)
    }

    /// Whether it is of `reason`: says so, or has that reason's HTTP status and none that is known.
    /// Source: `errors.IsNotFound` and its like.
    pub fn is(&self, reason: &str) -> bool {
        self.reason == reason
            || match code_of(reason) {
                Some(429) => self.code == 429,
                Some(413) => self.code == 413,
                Some(code) => self.code == code && !is_known(&self.reason),
                None => false,
            }
    }

    /// Whether it says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        self.is(reason::NOT_FOUND)
    }

    /// Whether it says that there is such an object already.
    pub fn is_already_exists(&self) -> bool {
        self.is(reason::ALREADY_EXISTS)
    }

    /// Whether it says that the object changed meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.is(reason::CONFLICT)
    }

    /// The v1 Status as a tree.
    pub fn to_value(&self) -> Value {
        let mut status = Map::with_capacity(8);
        status.insert("kind", "Status");
        status.insert("apiVersion", "v1");
        let mut metadata = Value::object();
        if !self.continue_token.is_empty() {
            metadata.set("continue", self.continue_token.clone());
        }
        status.insert("metadata", metadata);
        status.insert("status", if self.success { "Success" } else { "Failure" });
        insert_string(&mut status, "message", &self.message);
        insert_string(&mut status, "reason", &self.reason);
        if let Some(details) = &self.details {
            status.insert("details", details.to_value());
        }
        insert_int(&mut status, "code", self.code);
        Value::Object(status)
    }

    /// Reads a v1 Status (a webhook's answer); `None` if the tree is no object. Takes what is there and
    /// never minds the rest.
    pub fn from_value(value: &Value) -> Option<Self> {
        value.as_object()?;
        Some(Self {
            success: value.at("status").str() == "Success",
            code: i32::try_from(value.at("code").int()).unwrap_or(0),
            reason: value.at("reason").str().into(),
            message: value.at("message").str().to_owned(),
            details: value
                .at("details")
                .as_object()
                .map(|_| Box::new(Details::from_value(value.at("details")))),
            continue_token: value.at("metadata").at("continue").str().into(),
        })
    }
}

fn insert_string(map: &mut Map, key: &str, text: &str) {
    if !text.is_empty() {
        map.insert(key, text);
    }
}

fn insert_int(map: &mut Map, key: &str, n: i32) {
    if n != 0 {
        map.insert(key, n);
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut details = Map::new();
        insert_string(&mut details, "name", &self.name);
        insert_string(&mut details, "group", &self.group);
        insert_string(&mut details, "kind", &self.kind);
        insert_string(&mut details, "uid", &self.uid);
        if !self.causes.is_empty() {
            details.insert("causes", self.causes.iter().map(Cause::to_value).collect::<Vec<_>>());
        }
        insert_int(&mut details, "retryAfterSeconds", self.retry_after_seconds);
        Value::Object(details)
    }

    fn from_value(value: &Value) -> Self {
        Self {
            name: value.at("name").str().into(),
            group: value.at("group").str().into(),
            kind: value.at("kind").str().into(),
            uid: value.at("uid").str().into(),
            causes: value.at("causes").items().iter().map(Cause::from_value).collect(),
            retry_after_seconds: i32::try_from(value.at("retryAfterSeconds").int()).unwrap_or(0),
        }
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = Map::new();
        insert_string(&mut cause, "reason", &self.reason);
        insert_string(&mut cause, "message", &self.message);
        insert_string(&mut cause, "field", &self.field);
        Value::Object(cause)
    }

    fn from_value(value: &Value) -> Self {
        Self {
            reason: value.at("reason").str().into(),
            message: value.at("message").str().to_owned(),
            field: value.at("field").str().to_owned(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

fn generic_text(code: i32, verb: &str, server_message: &str) -> (&'static str, String) {
    let (reason, message) = match code {
        409 if verb == "POST" => (reason::ALREADY_EXISTS, "the server reported a conflict"),
        409 => (reason::CONFLICT, "the server reported a conflict"),
        404 => (reason::NOT_FOUND, "the server could not find the requested resource"),
        400 => (reason::BAD_REQUEST, "the server rejected our request for an unknown reason"),
        401 => (reason::UNAUTHORIZED, "the server has asked for the client to provide credentials"),
        403 => (reason::FORBIDDEN, server_message),
        406 if server_message.is_empty() || server_message == "unknown" => (
            reason::NOT_ACCEPTABLE,
            "the server was unable to respond with a content type that the client supports",
        ),
        406 => (reason::NOT_ACCEPTABLE, server_message),
        415 => (reason::UNSUPPORTED_MEDIA_TYPE, server_message),
        405 => {
            (reason::METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource")
        }
        422 => (reason::INVALID, "the server rejected our request due to an error in our request"),
        503 => (reason::SERVICE_UNAVAILABLE, "the server is currently unable to handle the request"),
        504 => (
            reason::TIMEOUT,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        429 => (
            reason::TOO_MANY_REQUESTS,
            "the server has received too many requests and has asked us to try again later",
        ),
        500.. => {
            let message = format!(
                "an error on the server ({}) has prevented the request from succeeding",
                Quoted(server_message)
            );
            return (reason::INTERNAL_ERROR, message);
        }
        _ => {
            let message = format!(
                "the server responded with the status code {code} but did not return more information"
            );
            return (reason::UNKNOWN, message);
        }
    };
    (reason, message.to_owned())
}

/// The HTTP status that means a reason by itself.
fn code_of(reason: &str) -> Option<i32> {
    Some(match reason {
        reason::UNAUTHORIZED => 401,
        reason::FORBIDDEN => 403,
        reason::NOT_FOUND => 404,
        reason::CONFLICT => 409,
        reason::GONE => 410,
        reason::INVALID => 422,
        reason::TIMEOUT => 504,
        reason::TOO_MANY_REQUESTS => 429,
        reason::BAD_REQUEST => 400,
        reason::METHOD_NOT_ALLOWED => 405,
        reason::NOT_ACCEPTABLE => 406,
        reason::REQUEST_ENTITY_TOO_LARGE => 413,
        reason::UNSUPPORTED_MEDIA_TYPE => 415,
        reason::INTERNAL_ERROR => 500,
        reason::SERVICE_UNAVAILABLE => 503,
        _ => return None,
    })
}

fn is_known(reason: &str) -> bool {
    code_of(reason).is_some()
        || matches!(
            reason,
            reason::ALREADY_EXISTS | reason::SERVER_TIMEOUT | reason::STORE_READ_ERROR | reason::EXPIRED
        )
}
