//! What an answer that is no success says.
//!
//! Upstream counterparts: `newUnstructuredResponseError` of `client-go/rest/request.go`, `NewGenericServerResponse` of
//! `apimachinery/pkg/api/errors`.

use api::meta::v1::{Status, StatusCause, StatusDetails};
use http::{HeaderMap, Method, StatusCode, header};

use crate::Error;

/// How much of a text is told.
const TEXT_BYTES_MAX: usize = 2048;

/// The cause by which a caller knows that the text is not the server's.
pub(crate) const UNEXPECTED: &str = "UnexpectedServerResponse";

/// The error of such an answer: its `Status`, or what its code alone says where it has none, as of a proxy before the
/// server.
pub(crate) fn failure(method: &Method, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let given = serde_json::from_slice(body).ok();
    let mut status = given
        .filter(|status: &Status| status.status.as_deref() == Some("Failure"))
        .unwrap_or_else(|| generic(method, code, headers, body));
    status.code.get_or_insert(code.as_u16().into());
    Error::Status(Box::new(status))
}

fn generic(method: &Method, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Status {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_text = header(header::CONTENT_TYPE).is_none_or(|kind| kind.starts_with("text/"));
    let text = String::from_utf8_lossy(&body[..body.len().min(TEXT_BYTES_MAX)]).trim().to_owned();
    let text = if is_text { text } else { "unknown".to_owned() };
    let (reason, message) = meaning(method, code, &text);
    Status {
        status: Some("Failure".into()),
        message: Some(message),
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        code: Some(code.as_u16().into()),
        details: Some(StatusDetails {
            causes: Some(vec![StatusCause {
                reason: Some(UNEXPECTED.into()),
                message: Some(text),
                ..StatusCause::default()
            }]),
            retry_after_seconds: header(header::RETRY_AFTER).and_then(|value| value.parse().ok()),
            ..StatusDetails::default()
        }),
        ..Status::default()
    }
}

/// Reason and text of a code.
fn meaning(method: &Method, code: StatusCode, text: &str) -> (&'static str, String) {
    let (reason, message) = match code.as_u16() {
        400 => ("BadRequest", "the server rejected our request for an unknown reason"),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials"),
        403 => ("Forbidden", text),
        404 => ("NotFound", "the server could not find the requested resource"),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
        406 if text.is_empty() || text == "unknown" => {
            ("NotAcceptable", "the server was unable to respond with a content type that the client supports")
        }
        406 => ("NotAcceptable", text),
        409 if method == Method::POST => ("AlreadyExists", "the server reported a conflict"),
        409 => ("Conflict", "the server reported a conflict"),
        415 => ("UnsupportedMediaType", text),
        422 => ("Invalid", "the server rejected our request due to an error in our request"),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        500.. => {
            let message =
                format!("an error on the server ({text:?}) has prevented the request from succeeding");
            return ("InternalError", message);
        }
        other => {
            let message = format!(
                "the server responded with the status code {other} but did not return more information"
            );
            return ("", message);
        }
    };
    (reason, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(method: &Method, code: u16, kind: &str, body: &str) -> Error {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
        failure(method, StatusCode::from_u16(code).unwrap(), &headers, body.as_bytes())
    }

    #[test]
    fn what_a_server_says_is_told() {
        let said = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","message":"no","code":409}"#;
        let error = error(&Method::PUT, 409, "application/json", said);
        assert!(error.is_conflict() && error.unexpected().is_none());
        assert_eq!(error.to_string(), "no");
    }

    #[test]
    fn what_says_nothing_is_told_by_its_code() {
        let cases = [
            (
                Method::GET,
                503,
                "text/plain",
                "service unavailable\n",
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            (
                Method::GET,
                404,
                "text/plain",
                "404 page not found",
                "NotFound",
                "the server could not find the requested resource",
            ),
            (
                Method::GET,
                502,
                "text/html; charset=utf-8",
                "bad gateway",
                "InternalError",
                "an error on the server (\"bad gateway\") has prevented the request from succeeding",
            ),
            (
                Method::GET,
                500,
                "application/json",
                "{\"error\":1}",
                "InternalError",
                "an error on the server (\"unknown\") has prevented the request from succeeding",
            ),
            (Method::GET, 403, "text/plain", "not you", "Forbidden", "not you"),
            (Method::POST, 409, "text/plain", "", "AlreadyExists", "the server reported a conflict"),
            (Method::PUT, 409, "text/plain", "", "Conflict", "the server reported a conflict"),
        ];
        for (method, code, kind, body, reason, text) in cases {
            let error = error(&method, code, kind, body);
            assert_eq!(
                (error.code(), error.reason(), &*error.to_string()),
                (Some(code.into()), Some(reason), text)
            );
            let said = if kind.starts_with("text/") { body.trim() } else { "unknown" };
            assert_eq!(error.unexpected(), Some(said));
        }
        let odd = error(&Method::GET, 302, "text/html", "elsewhere");
        assert_eq!(
            odd.to_string(),
            "the server responded with the status code 302 but did not return more information"
        );
    }

    #[test]
    fn when_to_come_again() {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, "7".parse().unwrap())]);
        let error = failure(&Method::GET, StatusCode::TOO_MANY_REQUESTS, &headers, b"slow down");
        assert_eq!(error.retry_after(), Some(7));
    }
}
