//! Answers: objects, lists and errors in the form that was negotiated.

use crate::body::ResponseBody;
use crate::negotiate::{Accepted, Allows, Encoding, negotiate};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use meta::status::Status;
use value::{Str, json, yaml};

/// How many headers most answers have, by the time that they are sent.
const HEADERS: usize = 8;

/// An answer before it is turned into an HTTP response.
pub struct Reply {
    /// The HTTP status.
    pub code: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: ResponseBody,
    /// Further headers.
    pub headers: Vec<(http::HeaderName, HeaderValue)>,
}

impl Reply {
    /// An answer of these bytes.
    pub fn bytes(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { code, content_type, body: ResponseBody::Full(body.into()), headers: Vec::new() }
    }

    /// Plain text.
    pub fn text(code: u16, text: impl Into<String>) -> Self {
        Self::bytes(code, "text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// Plain text that no browser is to take for anything else: what Go's `http.Error` writes, and health as a whole.
    pub fn text_only(code: u16, text: impl Into<String>) -> Self {
        let mut reply = Self::text(code, text);
        reply.headers.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        reply
    }

    /// What Go's mux says for a path that nothing serves.
    pub fn no_such_path() -> Self {
        Self::text_only(404, "404 page not found\n")
    }

    /// JSON bytes in the negotiated encoding. (Protobuf callers encode themselves.)
    pub fn json(code: u16, accepted: Accepted, mut body: Vec<u8>) -> Self {
        match accepted.encoding {
            Encoding::Yaml => {
                let object = json::parse(&body).unwrap_or_default();
                {
                    let mut out = Vec::new();
                    yaml::write(&object, &mut out);
                    Self::bytes(code, Encoding::Yaml.media_type(), out)
                }
            }
            Encoding::Json | Encoding::Protobuf => {
                // Upstream ends what is indented without a newline.
                if accepted.pretty {
                    body = indent(&body);
                } else {
                    body.push(b'\n');
                }
                Self::bytes(code, Encoding::Json.media_type(), body)
            }
        }
    }

    /// An error in the form that the client accepts, else in JSON.
    pub fn error(status: &Status, accept: Option<&str>, pretty: bool) -> Self {
        let code = u16::try_from(status.code).ok().filter(|c| *c >= 100).unwrap_or(500);
        let mut reply = match negotiate(accept, Allows::Plain, &Encoding::ALL) {
            // What upstream writes past all encoders: indented, without a newline.
            None => {
                let body = indent(&crate::codec::status_json(status));
                Self::bytes(code, Encoding::Json.media_type(), body)
            }
            Some(Accepted { encoding: Encoding::Protobuf, .. }) => {
                let body = crate::codec::status_protobuf(status);
                Self::bytes(code, Encoding::Protobuf.media_type(), body)
            }
            Some(accepted) => {
                let accepted = Accepted { pretty: accepted.pretty | pretty, ..accepted };
                Self::json(code, accepted, crate::codec::status_json(status))
            }
        };
        if let Some(seconds) = status.retry_after_seconds() {
            reply.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        reply
    }

    /// The HTTP response, with the warnings that gathered on the way.
    pub fn into_response(self, warnings: &[Str]) -> Response<ResponseBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        if !self.content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if self.code != 101 {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        }
        for (name, value) in self.headers {
            if name == header::CACHE_CONTROL {
                headers.remove(&name);
            }
            headers.append(name, value);
        }
        for text in warnings {
            if let Ok(value) = HeaderValue::from_str(&warning(text)) {
                headers.append(header::WARNING, value);
            }
        }
        response
    }
}

/// A `Warning` header (RFC 7234 section 5.5) as upstream prints it: code 299, agent `-`, the text quoted;
/// control characters are left out.
fn warning(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push_str("299 - \"");
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// Indents compact JSON by two spaces a level, in the order it is in.
pub fn indent(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let newline = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + depth * 2, b' ');
    };
    let mut bytes = compact.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        if in_string {
            out.push(b);
            in_string = escaped || b != b'"';
            escaped = !escaped && b == b'\\';
            continue;
        }
        match b {
            b'{' | b'[' => {
                out.push(b);
                let close = if b == b'{' { b'}' } else { b']' };
                if bytes.next_if_eq(&close).is_some() {
                    out.push(close);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(b);
            }
            b',' => {
                out.push(b);
                newline(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_string = true;
                out.push(b);
            }
            b'\n' => {}
            _ => out.push(b),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_without_touching_strings() {
        let got = indent(br#"{"a":{"b":[],"c":"x:{\"}"},"d":[1,{}]}"#);
        let want = "{\n  \"a\": {\n    \"b\": [],\n    \"c\": \"x:{\\\"}\"\n  },\n  \"d\": [\n    1,\n    {}\n  ]\n}";
        assert_eq!(String::from_utf8_lossy(&got), want);
    }

    #[test]
    fn warnings_are_quoted() {
        assert_eq!(warning("a \"b\" \\ c\n"), r#"299 - "a \"b\" \\ c""#);
    }
}
