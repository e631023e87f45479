//! Answers of the kubelet's server.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use serde_json::Value;
use std::io;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(super) type Answer = Response<Body>;

/// Bytes of a media type.
pub(super) fn bytes(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Plain text.
pub(super) fn text(code: u16, text: impl Into<String>) -> Answer {
    bytes(code, "text/plain; charset=utf-8", text.into())
}

/// An object.
pub(super) fn json(value: &Value) -> Answer {
    bytes(200, "application/json", value.to_string())
}

/// The 101 that a client gets.
pub(super) fn switched(response: Response<()>) -> Answer {
    response.map(|()| Empty::new().map_err(|never| match never {}).boxed_unsync())
}

/// What Go's mux says for a path that nothing serves.
pub(super) fn not_found() -> Answer {
    text(404, "404 page not found\n")
}
