//! exec, attach and port-forward: the runtime prepares them and gives a URL, the connection is passed on there.
//!
//! Upstream: `getExec`, `getAttach`, `getPortForward` in `pkg/kubelet/server/server.go`.

use super::Server;
use super::respond::{self, Answer};
use super::route::Query;
use crate::pods::Entry;
use crate::runtime::messages::{AttachRequest, ContainerState, ExecRequest, PortForwardRequest};
use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use std::io;
use streaming::{Backend, Error, Outcome, translate, tunnel, upgrade};

/// `exec` and `attach` of a container: namespace, pod, UID (may be empty) and container.
pub(super) async fn command(
    server: &Server,
    what: &str,
    (namespace, pod, uid, container): (&str, &str, &str, &str),
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let wanted = match wanted(query) {
        Ok(wanted) => wanted,
        Err(why) => return respond::text(400, why),
    };
    let Some(entry) = find(server, namespace, pod, uid) else {
        return respond::text(404, "pod does not exist");
    };
    let run = entry.instance(container, false).filter(|run| run.state == ContainerState::Running);
    let Some(run) = run else {
        return respond::text(404, format!("container not found ({container:?})"));
    };
    let url = if what == "exec" {
        let cmd: Vec<String> = query.all("command").map(str::to_owned).collect();
        let translate::Wanted { stdin, stdout, stderr, tty } = wanted;
        server
            .runtime
            .exec(ExecRequest { container_id: run.id.clone(), cmd, tty, stdin, stdout, stderr })
            .await
    } else {
        let tty = has_terminal(&entry, container);
        let translate::Wanted { stdin, stdout, stderr, .. } = wanted;
        let stderr = stderr && !tty;
        server
            .runtime
            .attach(AttachRequest { container_id: run.id.clone(), stdin, tty, stdout, stderr })
            .await
    };
    pass(server, url, request, Kind::Command(wanted)).await
}

/// `portForward` of a pod.
pub(super) async fn port_forward(
    server: &Server,
    namespace: &str,
    pod: &str,
    uid: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let is_tunnel = tunnel::is_request(request.headers());
    let ports = match ports(query) {
        Ok(ports) => ports,
        Err(why) => return respond::text(400, why),
    };
    if ports.is_empty() && streaming::websocket::is_request(request.headers()) && !is_tunnel {
        return respond::text(400, "query parameter \"port\" is required");
    }
    let Some(entry) = find(server, namespace, pod, uid) else {
        return respond::text(404, "pod does not exist");
    };
    let Some(sandbox) = entry.sandbox else {
        return respond::text(404, format!("sandbox of pod \"{pod}_{namespace}\" is not running"));
    };
    let url = server.runtime.port_forward(PortForwardRequest { pod_sandbox_id: sandbox, port: ports }).await;
    pass(server, url, request, Kind::PortForward).await
}

fn find(server: &Server, namespace: &str, pod: &str, uid: &str) -> Option<Entry> {
    let is_it = |entry: &Entry| uid.is_empty() || entry.pod.metadata.uid.as_deref() == Some(uid);
    server.pods.by_name(namespace, pod).filter(is_it)
}

/// Attaching follows what the container was made with.
fn has_terminal(entry: &Entry, container: &str) -> bool {
    let Some(spec) = &entry.pod.spec else { return false };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    containers.filter(|c| c.name == container).any(|c| c.tty == Some(true))
        || ephemeral.filter(|c| c.name == container).any(|c| c.tty == Some(true))
}

/// Which streams the client asks for (`remotecommand.NewOptions`).
pub(super) fn wanted(query: &Query) -> Result<translate::Wanted, &'static str> {
    let is = |key: &str| query.get(key) == Some("1");
    let tty = is("tty");
    // A terminal has one output.
    let wanted =
        translate::Wanted { stdin: is("input"), stdout: is("output"), stderr: is("error") && !tty, tty };
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return Err("you must specify at least 1 of stdin, stdout, stderr");
    }
    Ok(wanted)
}

/// The ports of a query, as `port=80,81` or several times.
pub(super) fn ports(query: &Query) -> Result<Vec<i32>, String> {
    let texts = query.all("port").flat_map(|text| text.split(','));
    let port = |text: &str| {
        let port: Option<u16> = text.parse().ok().filter(|p| *p > 0);
        port.map(i32::from).ok_or_else(|| format!("unable to parse {text:?} as a port"))
    };
    texts.map(port).collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Command(translate::Wanted),
    PortForward,
}

/// Passes the connection on to the runtime's URL.
async fn pass(
    server: &Server,
    url: Result<String, crate::runtime::Error>,
    mut request: Request<Incoming>,
    kind: Kind,
) -> Answer {
    let url = match url {
        Ok(url) => url,
        Err(error) if error.is_not_found() => return respond::text(404, error.message),
        Err(error) => return respond::text(500, error.to_string()),
    };
    let Some((backend, uri)) = backend(&url) else {
        return respond::text(500, format!("the runtime's streaming URL {url:?} is not understood"));
    };
    if !upgrade::is_upgrade(request.headers()) {
        return respond::text(400, "Upgrade request required");
    }
    let client = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let mut onward = Request::new(Empty::<Bytes>::new());
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = uri;
    *onward.headers_mut() = parts.headers;
    onward.headers_mut().remove(header::CONTENT_LENGTH);
    onward.headers_mut().remove(header::AUTHORIZATION);
    if let Ok(host) = HeaderValue::try_from(backend.authority()) {
        onward.headers_mut().insert(header::HOST, host);
    }
    let outcome = match kind {
        Kind::Command(wanted) if translate::is_request(onward.headers()) => {
            translate::pass(&server.streams, client, backend, onward, wanted)
        }
        Kind::PortForward if tunnel::is_request(onward.headers()) => {
            tunnel::pass(&server.streams, client, &backend, onward).await
        }
        _ => upgrade::pass(&server.streams, client, &backend, onward).await,
    };
    match outcome {
        Ok(Outcome::Switched(response)) => respond::switched(response),
        Ok(Outcome::Refused(response)) => response.map(|body| body.map_err(io::Error::other).boxed_unsync()),
        Err(Error::TooMany) => respond::text(429, "too many streaming connections"),
        Err(Error::Upgrade(why)) => respond::text(400, why),
        Err(error) => respond::text(500, error.to_string()),
    }
}

/// Where a URL leads, and what is asked for there.
pub(super) fn backend(url: &str) -> Option<(Backend, Uri)> {
    let uri: Uri = url.parse().ok()?;
    // A runtime serves its streams on loopback, without TLS.
    if uri.scheme_str() != Some("http") {
        return None;
    }
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let path = uri.path_and_query()?.as_str().parse().ok()?;
    Some((Backend { host, port: uri.port_u16().unwrap_or(80), tls: None }, path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_of_runtimes() {
        let (to, path) = backend("http://127.0.0.1:4321/exec/abc").unwrap();
        assert_eq!((to.authority().as_str(), path.to_string().as_str()), ("127.0.0.1:4321", "/exec/abc"));
        assert_eq!(backend("http://[::1]:1/x").unwrap().0.authority(), "[::1]:1");
        assert!(backend("https://127.0.0.1:1/x").is_none());
        assert!(backend("/exec/abc").is_none());
    }

    #[test]
    fn ports_of_queries() {
        let read = |text| ports(&Query::parse(Some(text)));
        assert_eq!(read("port=80%2C81&port=443"), Ok(vec![80, 81, 443]));
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("port=0"), Err("unable to parse \"0\" as a port".into()));
    }

    #[test]
    fn streams_of_queries() {
        let read = |text| wanted(&Query::parse(Some(text))).map(|w| (w.stdin, w.stdout, w.stderr, w.tty));
        assert_eq!(read("input=1&output=1&error=1"), Ok((true, true, true, false)));
        assert_eq!(read("output=1&error=1&tty=1"), Ok((false, true, false, true)));
        assert!(read("tty=1").is_err());
    }
}
