//! `pods/log`: the kubelet reads the log, the server passes it on.
//!
//! Upstream: `pkg/registry/core/pod/rest/log.go`, `k8s.io/apiserver/pkg/registry/generic/rest/streamer.go`.

use super::location;
use crate::body::ResponseBody;
use crate::call::Call;
use crate::nodes::Verify;
use crate::query::Query;
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use meta::field::{Error, ErrorList, Path};
use meta::gvk::{GroupKind, GroupResource};
use meta::status::Status;
use meta::time::Time;
use std::sync::Arc;
use streaming::{messages, websocket};
use value::Str;

/// How much of a kubelet's refusal is told, as upstream.
const REFUSAL_BYTES_MAX: usize = 50_000;

/// `PodLogOptions`.
#[derive(Debug, Default)]
pub(super) struct Options {
    container: Str,
    follow: bool,
    previous: bool,
    timestamps: bool,
    insecure: bool,
    since_seconds: Option<i64>,
    since_time: Option<Time>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<Str>,
}

/// Answers `GET` of a log.
pub(super) async fn answer(call: &Call, _target: &Target, _hub: &Arc<Hub>) -> Result<Reply, Status> {
    let name = call.info.name.as_str();
    let options = Options::read(&call.query)?;
    let errors = options.validate();
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), name, &errors));
    }
    let pod = location::object(call, "pods", name).await?;
    let container = location::container(&pod, &options.container)?;
    let node = pod.at("spec").at("nodeName").str();
    if node.is_empty() {
        return Ok(Reply { code: 204, content_type: "", body: ResponseBody::empty(), headers: Vec::new() });
    }
    let verify = if options.insecure { Verify::No } else { Verify::Yes };
    let backend = location::kubelet(call, node, verify).await?;
    let query = options.query();
    let joint = if query.is_empty() { "" } else { "?" };
    let path = format!("/containerLogs/{}/{name}/{container}{joint}{query}", call.info.namespace);
    let request = Request::get(&path)
        .header(header::HOST, backend.authority())
        .header(header::USER_AGENT, "kube-apiserver/v1.36")
        .body(Empty::<Bytes>::new())
        .map_err(Status::plain_error)?;
    let response = backend.send(request).await.map_err(|error| {
        Status::plain_error(format!("Get \"https://{}{path}\": {error}", backend.authority()))
    })?;
    if !(200..=206).contains(&response.status().as_u16()) {
        return Err(refusal(name, response).await);
    }
    if websocket::is_request(&call.headers) {
        let (streams, client) = (&call.api.streams, call.upgrade.clone());
        let sent = messages::send(streams, client, &call.headers, response.into_body());
        return super::upgrade_reply(call, sent);
    }
    let body = ResponseBody::Remote { body: response.into_body(), stop: call.api.shutdown_signal() };
    Ok(Reply { code: 200, content_type: "text/plain", body, headers: Vec::new() })
}

/// What a kubelet's error becomes (`GenericHttpResponseChecker`).
async fn refusal(name: &str, response: Response<Incoming>) -> Status {
    let code = response.status().as_u16();
    let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let body = body.map(|b| b.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    match code {
        500 => Status::internal_error(text),
        400 => Status::bad_request(text),
        _ => {
            let resource = GroupResource::new("", "pods/log");
            Status::generic_server_response(i32::from(code), "", &resource, name, &text, 0)
        }
    }
}

impl Options {
    pub(super) fn read(query: &Query) -> Result<Self, Status> {
        let is = |key: &str| query.bool(key).unwrap_or(false);
        let since_time = match query.get("sinceTime") {
            None | Some("" | "null") => None,
            Some(text) => Some(Time::parse(text).map_err(|e| Status::bad_request(e.to_string()))?),
        };
        Ok(Self {
            container: query.str("container"),
            follow: is("follow"),
            previous: is("previous"),
            timestamps: is("timestamps"),
            insecure: is("insecureSkipTLSVerifyBackend"),
            since_seconds: query.int("sinceSeconds")?,
            since_time,
            tail_lines: query.int("tailLines")?,
            limit_bytes: query.int("limitBytes")?,
            stream: query.get("stream").map(Str::from),
        })
    }

    /// `ValidatePodLogOptions` without the gate `PodLogsQuerySplitStreams`.
    pub(super) fn validate(&self) -> ErrorList {
        let at = |name| Path::new(name);
        let mut errors = ErrorList::new();
        if let Some(lines) = self.tail_lines.filter(|n| *n < 0) {
            errors.push(Error::invalid(&at("tailLines"), lines, "must be greater than or equal to 0"));
        }
        if let Some(bytes) = self.limit_bytes.filter(|n| *n < 1) {
            errors.push(Error::invalid(&at("limitBytes"), bytes, "must be greater than 0"));
        }
        match self.since_seconds {
            Some(_) if self.since_time.is_some() => {
                let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
                errors.push(Error::forbidden(&at(""), why));
            }
            Some(seconds) if seconds < 1 => {
                errors.push(Error::invalid(&at("sinceSeconds"), seconds, "must be greater than 0"));
            }
            _ => {}
        }
        if self.stream.is_some() {
            errors.push(Error::forbidden(&at("stream"), "may not be specified"));
        }
        errors
    }

    /// The options as kubelets read them, sorted by key.
    pub(super) fn query(&self) -> String {
        let since_time = self.since_time.map(|t| super::stream::escape(&t.truncated().to_string()));
        let number = |n: Option<i64>| n.map(|n| n.to_string());
        let flag = |is: bool| is.then(|| "true".to_owned());
        [
            ("follow", flag(self.follow)),
            ("limitBytes", number(self.limit_bytes)),
            ("previous", flag(self.previous)),
            ("sinceSeconds", number(self.since_seconds)),
            ("sinceTime", since_time),
            ("tailLines", number(self.tail_lines)),
            ("timestamps", flag(self.timestamps)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value?)))
        .collect::<Vec<_>>()
        .join("&")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(query: &str) -> String {
        match Options::read(&Query::parse(Some(query))) {
            Err(status) => format!("400 {}", status.message),
            Ok(options) => match options.validate() {
                errors if errors.is_empty() => options.query(),
                errors => meta::field::to_aggregate(&errors).unwrap_or_default(),
            },
        }
    }

    #[test]
    fn options() {
        for (query, want) in [
            ("", ""),
            (
                "follow=true&tailLines=5&timestamps=1&previous=false",
                "follow=true&tailLines=5&timestamps=true",
            ),
            (
                "sinceTime=2026-01-02T03:04:05.5Z&limitBytes=9",
                "limitBytes=9&sinceTime=2026-01-02T03%3A04%3A05Z",
            ),
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            ("stream=All", "stream: Forbidden: may not be specified"),
            ("tailLines=x", "400 strconv.ParseInt: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(check(query), want, "{query}");
        }
        let both = check("sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z");
        assert!(
            both.ends_with("Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"),
            "{both}"
        );
    }
}
