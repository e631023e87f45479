//! One GET request to a container, as probes and hooks make it: no proxy, no verification of certificates, redirects
//! only within the host.
//!
//! Upstream counterpart: `pkg/probe/http`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::IntOrString;
use api::core::v1::{Container, HTTPGetAction};
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::text::{go_error, host_port};

/// As Go's client.
const REDIRECTS_MAX: usize = 10;
/// As much of an answer is read as upstream reads: 10 KiB.
const BODY_BYTES_MAX: usize = 10 << 10;

/// What Go says of a server that answers TLS with something else; hooks then try without.
pub(crate) const NO_TLS: &str = "http: server gave HTTP response to HTTPS client";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// The number of a port that may be given by its name.
pub(crate) fn port(wanted: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match wanted {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            match (named, name.parse()) {
                (Some(port), _) => port.container_port,
                (None, Ok(number)) => number,
                (None, Err(_)) => return Err(format!("couldn't find port: {name}")),
            }
        }
    };
    match u16::try_from(number) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("invalid port number: {number}")),
    }
}

/// Does what an action says. `purpose` is part of the user agent: `probe` or `lifecycle`.
pub(crate) async fn get(
    action: &HTTPGetAction,
    container: &Container,
    pod_ip: &str,
    purpose: &str,
    limit: Duration,
) -> Result<Answer, String> {
    let is_tls = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
    let port = port(&action.port, container)?;
    let path = action.path.as_deref().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let headers = headers(action, purpose)?;
    let target = Target { is_tls, host: host.to_owned(), port, path };
    let shown = target.to_string();
    tokio::time::timeout(limit, follow(target, headers))
        .await
        .unwrap_or_else(|_| {
            Err("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into())
        })
        .map_err(|error| format!("Get \"{shown}\": {error}"))
}

#[derive(Clone)]
struct Target {
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", host_port(&self.host, self.port), self.path)
    }
}

fn headers(action: &HTTPGetAction, purpose: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for header in action.http_headers.iter().flatten() {
        let name: HeaderName =
            header.name.parse().map_err(|_| format!("invalid header name {}", header.name))?;
        let value =
            HeaderValue::from_str(&header.value).map_err(|_| format!("invalid value of header {name}"))?;
        headers.append(name, value);
    }
    if !headers.contains_key(USER_AGENT) {
        let agent =
            HeaderValue::from_str(&format!("kube-{purpose}/1.36")).map_err(|error| error.to_string())?;
        headers.insert(USER_AGENT, agent);
    }
    match headers.get(ACCEPT) {
        None => {
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        }
        Some(value) if value.is_empty() => {
            headers.remove(ACCEPT);
        }
        Some(_) => {}
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

async fn follow(mut target: Target, headers: HeaderMap) -> Result<Answer, String> {
    for _ in 0..=REDIRECTS_MAX {
        let (answer, location) = once(&target, &headers).await?;
        let next = location.filter(|_| answer.status.is_redirection()).and_then(|to| redirect(&target, &to));
        let Some(next) = next else { return Ok(answer) };
        target = next;
    }
    Err(format!("stopped after {REDIRECTS_MAX} redirects"))
}

/// Where a redirect leads, if it is to the same host.
fn redirect(from: &Target, to: &str) -> Option<Target> {
    if to.starts_with('/') && !to.starts_with("//") {
        return Some(Target { path: to.to_owned(), ..from.clone() });
    }
    let uri: Uri = to.parse().ok()?;
    let is_tls = uri.scheme_str()? == "https";
    let host = uri.host()?.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    (host == from.host).then(|| Target { is_tls, host: host.to_owned(), port, path })
}

/// For fuzzing: a redirect from a container.
pub(crate) fn fuzz_redirect(to: &str) {
    let from = Target { is_tls: false, host: "10.0.0.1".to_owned(), port: 80, path: "/".to_owned() };
    if let Some(next) = redirect(&from, to) {
        assert_eq!(next.host, from.host, "it stays on the host");
    }
}

async fn once(target: &Target, headers: &HeaderMap) -> Result<(Answer, Option<String>), String> {
    let stream = dial(&target.host, target.port).await?;
    let ends = Ends::of(&stream);
    if target.is_tls {
        let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::new(tls()?));
        let stream = connector.connect(name, stream).await.map_err(|error| ends.tls_error(&error))?;
        return exchange(stream, ends, target, headers).await;
    }
    exchange(stream, ends, target, headers).await
}

/// Connects.
///
/// # Errors
/// In the words of Go's `net.OpError`.
pub(crate) async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| match error.raw_os_error() {
        Some(_) => format!("dial tcp {}: connect: {}", host_port(host, port), go_error(&error)),
        // Only the look-up of a name fails without a system call's error.
        None => format!("dial tcp: lookup {host}: no such host"),
    })
}

/// The addresses of a connection, which errors of it name.
#[derive(Clone, Copy)]
struct Ends(Option<(SocketAddr, SocketAddr)>);

impl Ends {
    fn of(stream: &TcpStream) -> Self {
        Self(stream.local_addr().ok().zip(stream.peer_addr().ok()))
    }

    /// An error of a connection that stood, in Go's words.
    fn io_error(self, error: &io::Error) -> String {
        match (error.kind(), error.raw_os_error(), self.0) {
            (io::ErrorKind::UnexpectedEof, ..) => "EOF".into(),
            (_, Some(_), Some((local, remote))) => {
                format!("read tcp {local}->{remote}: read: {}", go_error(error))
            }
            _ => go_error(error),
        }
    }

    fn tls_error(self, error: &io::Error) -> String {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                NO_TLS.to_owned()
            }
            _ => self.io_error(error),
        }
    }

    fn http_error(self, error: &hyper::Error) -> String {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
        match cause {
            Some(cause) => self.io_error(cause),
            None if error.is_incomplete_message() => "EOF".into(),
            None if error.is_parse() => {
                "net/http: HTTP/1.x transport connection broken: malformed HTTP response".into()
            }
            None => error.to_string(),
        }
    }
}

async fn exchange<S>(
    stream: S,
    ends: Ends,
    target: &Target,
    headers: &HeaderMap,
) -> Result<(Answer, Option<String>), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let text = |error: hyper::Error| ends.http_error(&error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let driver = tokio::spawn(connection);
    let mut request = Request::get(&target.path)
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("invalid path: {error}"))?;
    request.headers_mut().clone_from(headers);
    if !headers.contains_key(HOST) {
        let host = HeaderValue::from_str(&host_port(&target.host, target.port))
            .map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
    }
    let response = sender.send_request(request).await.map_err(text)?;
    let status = response.status();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Longer bodies are nobody's failure; what is beyond the limit is not read.
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    driver.abort();
    Ok((Answer { status, body }, location))
}

/// TLS as probes have it: whoever answers is believed, because it is the container that is asked for its health.
fn tls() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(pki::AnyServer::new()).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_host() {
        let from = Target { is_tls: false, host: "10.0.0.1".into(), port: 80, path: "/a".into() };
        let to = |text: &str| redirect(&from, text).map(|target| target.to_string());
        assert_eq!(to("/b?x").as_deref(), Some("http://10.0.0.1:80/b?x"));
        assert_eq!(to("https://10.0.0.1/c").as_deref(), Some("https://10.0.0.1:443/c"));
        assert_eq!(to("http://10.0.0.2/c"), None);
        assert_eq!(to("//10.0.0.2/c"), None);
    }

    /// What a probe of a server that does this to each connection says of it, with its port as `P`.
    async fn told(
        scheme: &str,
        limit: Duration,
        serve: impl Fn(std::net::TcpStream) + Send + 'static,
    ) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        let action: HTTPGetAction =
            serde_json::from_value(serde_json::json!({"port": port, "path": "/x", "scheme": scheme}))
                .unwrap();
        let error = get(&action, &Container::default(), "127.0.0.1", "probe", limit).await.unwrap_err();
        let own = own_port(&error);
        error.replace(&port.to_string(), "P").replace(&own, "L")
    }

    /// The port of the client's end, if the text names it.
    fn own_port(text: &str) -> String {
        let found = text.split("read tcp 127.0.0.1:").nth(1).and_then(|rest| rest.split("->").next());
        found.unwrap_or("no port").to_owned()
    }

    /// The texts of Go 1.26's net/http.
    #[tokio::test]
    async fn failures_in_gos_words() {
        use std::io::{Read, Write};
        let long = Duration::from_secs(600);
        let read =
            |stream: &mut std::net::TcpStream| stream.read(&mut [0; 1024]).map(drop).unwrap_or_default();
        let refused = {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            dial("127.0.0.1", port).await.unwrap_err().replace(&port.to_string(), "P")
        };
        assert_eq!(refused, "dial tcp 127.0.0.1:P: connect: connection refused");
        let unknown = dial("no.such.host.invalid", 80).await.unwrap_err();
        assert_eq!(unknown, "dial tcp: lookup no.such.host.invalid: no such host");
        let closed = told("HTTP", long, move |mut stream| read(&mut stream)).await;
        assert_eq!(closed, "Get \"http://127.0.0.1:P/x\": EOF");
        // Closing with something unread is a reset.
        let reset = told("HTTP", long, |stream| stream.peek(&mut [0]).map(drop).unwrap_or_default()).await;
        let text = "read tcp 127.0.0.1:L->127.0.0.1:P: read: connection reset by peer";
        assert_eq!(reset, format!("Get \"http://127.0.0.1:P/x\": {text}"));
        let late = told("HTTP", Duration::from_millis(50), std::mem::forget).await;
        let text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        assert_eq!(late, format!("Get \"http://127.0.0.1:P/x\": {text}"));
        let plain = told("HTTPS", long, move |mut stream| {
            read(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        assert_eq!(plain.await, format!("Get \"https://127.0.0.1:P/x\": {NO_TLS}"));
    }

    #[test]
    fn ports_by_name() {
        let container: Container = serde_json::from_value(
            serde_json::json!({"name": "a", "ports": [{"name": "web", "containerPort": 81}]}),
        )
        .unwrap();
        assert_eq!(port(&IntOrString::String("web".into()), &container), Ok(81));
        assert_eq!(port(&IntOrString::String("82".into()), &container), Ok(82));
        assert_eq!(port(&IntOrString::Int(0), &container), Err("invalid port number: 0".into()));
        assert!(port(&IntOrString::String("x".into()), &container).is_err());
    }
}
