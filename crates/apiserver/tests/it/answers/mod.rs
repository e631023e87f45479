//! Answers that were compared with those of a kube-apiserver 1.36, a line each.

mod admission;
mod errors;
mod managers;
mod metadata;
mod options;
mod paths;
mod scale;

use crate::server::Server;
use apiserver::api::Options;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::BodyExt;
use value::{Value, json};

pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const JSON: &str = "application/json";

/// A server with what every cluster has.
pub(crate) async fn started() -> Server {
    let server = Server::start(Options::default()).await;
    apiserver::bootstrap::run(&server.api).await;
    server
}

/// Sends a body of a media type; the status and what the answer says at each of the paths.
pub(crate) async fn send(server: &Server, method: &str, path: &str, media: &str, body: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, media)
        .body(Bytes::from(body.to_owned()))
        .unwrap();
    let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, json::parse(&bytes).unwrap_or_default())
}

fn pointer<'v>(object: &'v Value, path: &str) -> &'v Value {
    path.split('/').skip(1).fold(object, |v, step| match (v, step.parse::<usize>()) {
        (Value::Array(list), Ok(i)) => list.get(i).unwrap_or(&Value::Null),
        _ => v.at(step),
    })
}

/// A request and what its answer holds at a path; JSON, empty for nothing.
pub(crate) type Line =
    (&'static str, &'static str, &'static str, &'static str, u16, &'static str, &'static str);

pub(crate) async fn check(server: &Server, lines: &[Line]) {
    for (method, path, media, body, code, at, want) in lines {
        let (got, answer) = send(server, method, path, media, body).await;
        let text = json::to_string(&answer);
        assert_eq!(got, *code, "{method} {path} {body}: {text}");
        let found = pointer(&answer, at);
        let found = if found.is_null() { String::new() } else { json::to_string(found) };
        assert_eq!(found, *want, "{method} {path} {body} at {at}: {text}");
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SCALERS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
