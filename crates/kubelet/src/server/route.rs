//! From a path to its answer.

use super::access::User;
use super::respond::{self, Answer};
use super::{Server, files, logs, metrics, objects, stream, summary};
use http::{Method, Request};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// The query of a request, decoded.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: Option<&str>) -> Self {
        let unescape = |s: &str| percent_decode_str(&s.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(key), unescape(value))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A flag as the API server's parameters have them.
    pub(super) fn is(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| !(v == "0" || v.eq_ignore_ascii_case("false")))
    }
}

/// Answers one request.
pub(super) async fn answer(
    server: &Arc<Server>,
    peer: &Result<Option<User>, pki::Error>,
    request: Request<Incoming>,
) -> Answer {
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    if let Err(refusal) = server.access.check(peer, request.method(), &path, request.headers()).await {
        return refusal;
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts[..] {
        ["exec" | "attach" | "portForward" | "containerLogs", ..] => by_pod(server, &parts, request).await,
        _ if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            respond::text(405, "405: Method Not Allowed")
        }
        ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => respond::text(200, "ok"),
        ["pods"] => objects::pods(server),
        ["runningpods"] => objects::running_pods(server),
        ["configz"] => objects::configz(server),
        ["metrics"] => metrics::own(server),
        ["metrics", "cadvisor"] => metrics::cadvisor(server).await,
        ["metrics", "resource"] => metrics::resource(server).await,
        ["metrics", "probes"] => metrics::probes(),
        ["stats", "summary"] => summary::answer(server).await,
        ["logs", ..] => files::answer(server, &path).await,
        _ => respond::not_found(),
    }
}

/// `/<what>/<namespace>/<pod>[/<uid>][/<container>]`.
async fn by_pod(server: &Arc<Server>, parts: &[&str], request: Request<Incoming>) -> Answer {
    let query = Query::parse(request.uri().query());
    match *parts {
        ["containerLogs", namespace, pod, container] if *request.method() == Method::GET => {
            logs::answer(server, namespace, pod, container, &query).await
        }
        [_, ..] if !matches!(*request.method(), Method::GET | Method::POST) => {
            respond::text(405, "405: Method Not Allowed")
        }
        ["portForward", namespace, pod] => {
            stream::port_forward(server, namespace, pod, "", &query, request).await
        }
        ["portForward", namespace, pod, uid] => {
            stream::port_forward(server, namespace, pod, uid, &query, request).await
        }
        [what @ ("exec" | "attach"), namespace, pod, container] => {
            stream::command(server, what, (namespace, pod, "", container), &query, request).await
        }
        [what @ ("exec" | "attach"), namespace, pod, uid, container] => {
            stream::command(server, what, (namespace, pod, uid, container), &query, request).await
        }
        _ => respond::not_found(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let q = Query::parse(Some("command=sh&command=-c&command=echo+a%26b&input=1&tty=false"));
        assert_eq!(q.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo a&b"]);
        assert_eq!((q.is("input"), q.is("tty"), q.is("x")), (true, false, false));
    }
}
