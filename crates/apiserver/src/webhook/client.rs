//! A small HTTPS client: one request at a time on a connection, connections kept for the next.
//!
//! HTTP/1.1 only, so that requests spread over the endpoints of a service. Upstream:
//! `k8s.io/apiserver/pkg/util/webhook`.

use super::credentials::Credential;
use super::service;
use crate::api::Api;
use crate::path;
use crate::trust;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use meta::gvk::GroupResource;
use meta::quote::Quoted;
use meta::status::Status;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use value::{Str, Value};

/// The largest answer that is read: an AdmissionReview holds a patch of an object of at most 3 MiB.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How many idle connections are kept for a webhook, and how long.
const IDLE_MAX: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Where a webhook is.
pub(crate) struct Endpoint {
    /// `host:port` of URLs and of the `Host` header.
    authority: String,
    /// Absolute, as Go's client joins it.
    path: String,
    server_name: ServerName<'static>,
    trust: pki::Trust,
    /// Made when it is first called: only then is known by what this server proves who it is.
    tls: OnceLock<Arc<ClientConfig>>,
    /// Namespace, name and port of the service behind `authority`.
    service: Option<(Str, Str, i64)>,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

type Connection = SendRequest<Full<Bytes>>;

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}{})", self.authority, self.path)
    }
}

/// Why there is no answer of use.
pub(crate) struct Unanswered {
    pub(crate) why: String,
    /// The code of the answer, or 503.
    pub(crate) code: i32,
}

struct Answer {
    code: u16,
    body: Bytes,
}

impl Endpoint {
    /// From a `clientConfig`.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn new(config: &Value) -> Result<Self, String> {
        let trust = trust::of_bundle(config.at("caBundle").str())?;
        let service = config.at("service");
        let (authority, path, host, service) = if service.is_null() {
            let uri: Uri = config.at("url").str().parse().map_err(|e| format!("Unparsable URL: {e}"))?;
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let authority = match (uri.authority(), uri.port_u16()) {
                (Some(authority), Some(_)) => authority.to_string(),
                (Some(authority), None) => format!("{authority}:443"),
                (None, _) => return Err("webhook configuration must have either service or URL".into()),
            };
            (authority, path::clean(uri.path()), host, None)
        } else {
            let (namespace, name) = (service.at("namespace").str(), service.at("name").str());
            let port = service.at("port").as_i64().filter(|p| *p != 0).unwrap_or(443);
            let host = format!("{name}.{namespace}.svc");
            let path = path::clean(service.at("path").str());
            (format!("{host}:{port}"), path, host, Some((namespace.into(), name.into(), port)))
        };
        let server_name =
            ServerName::try_from(host.clone()).map_err(|e| format!("{host} is no name of a server: {e}"))?;
        let (tls, idle) = (OnceLock::new(), Mutex::default());
        Ok(Self { authority, path, server_name, trust, tls, service, idle })
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    fn target(&self, timeout: Duration) -> String {
        format!("{}?timeout={}s", self.path, timeout.as_secs())
    }

    /// Sends a body and reads the answer's.
    ///
    /// # Errors
    /// Why there is none: in time, or of success.
    pub(crate) async fn ask(
        &self,
        api: &Api,
        body: Bytes,
        timeout: Duration,
        shown: Option<&Credential>,
    ) -> Result<Bytes, Unanswered> {
        let failed = |why: &str| {
            let url = format!("https://{}{}", self.authority, self.target(timeout));
            Unanswered { why: format!("Post {}: {why}", Quoted(&url)), code: 503 }
        };
        let answer = match tokio::time::timeout(timeout, self.post(api, body, timeout, shown)).await {
            Err(_) => return Err(failed("context deadline exceeded")),
            Ok(Err(why)) => return Err(failed(&why)),
            Ok(Ok(answer)) => answer,
        };
        if (200..300).contains(&answer.code) {
            return Ok(answer.body);
        }
        let text = String::from_utf8_lossy(&answer.body);
        let nothing = GroupResource::new("", "");
        let code = answer.code.into();
        let why = Status::generic_server_response(code, "POST", &nothing, "", text.trim(), 0).message;
        Err(Unanswered { why, code })
    }

    async fn post(
        &self,
        api: &Api,
        body: Bytes,
        timeout: Duration,
        shown: Option<&Credential>,
    ) -> Result<Answer, String> {
        while let Some(connection) = self.take_idle() {
            match self.exchange(connection, body.clone(), timeout, shown).await {
                // The other side may have closed it meanwhile: not a failure, the next one is tried.
                Err(Broken { sent_nothing: true, .. }) => {}
                other => return other.map_err(|e| e.why),
            }
        }
        let connection = self.connect(api, shown).await?;
        self.exchange(connection, body, timeout, shown).await.map_err(|e| e.why)
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        idle.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < IDLE_TIME);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX && !connection.is_closed() {
            idle.push((connection, Instant::now()));
        }
    }

    async fn connect(&self, api: &Api, shown: Option<&Credential>) -> Result<Connection, String> {
        let tls = match self.tls.get() {
            Some(tls) => tls.clone(),
            None => {
                let made = tls(self.trust.clone(), shown)?;
                self.tls.get_or_init(|| made).clone()
            }
        };
        let address = match &self.service {
            Some((namespace, name, port)) => service::resolve(api, namespace, name, *port)?,
            None => self.authority.clone(),
        };
        let dial = |e: &dyn std::fmt::Display| format!("dial tcp {address}: {e}");
        let stream = TcpStream::connect(&address).await.map_err(|e| match e.kind() {
            std::io::ErrorKind::ConnectionRefused => dial(&"connect: connection refused"),
            _ => dial(&e),
        })?;
        // Small requests and answers: they are not to wait for each other.
        let _ = stream.set_nodelay(true);
        let connector = TlsConnector::from(tls);
        let stream = connector.connect(self.server_name.clone(), stream).await.map_err(|e| tls_error(&e))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a webhook broke");
            }
        });
        Ok(sender)
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        body: Bytes,
        timeout: Duration,
        shown: Option<&Credential>,
    ) -> Result<Answer, Broken> {
        let broken = |why: String| Broken { why, sent_nothing: false };
        if let Err(error) = connection.ready().await {
            return Err(Broken { why: error.to_string(), sent_nothing: true });
        }
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.target(timeout))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .header(header::USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(body))
            .map_err(|e| broken(e.to_string()))?;
        if let Some(value) = shown.and_then(|s| s.authorization.clone()) {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = match connection.try_send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                let sent_nothing = error.message().is_some();
                return Err(Broken { why: error.error().to_string(), sent_nothing });
            }
        };
        let code = response.status().as_u16();
        let mut body = response.into_body();
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|e| broken(e.to_string()))?.into_data() else { continue };
            if read.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(broken(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            read.extend_from_slice(&data);
        }
        self.keep(connection);
        Ok(Answer { code, body: read.freeze() })
    }
}

struct Broken {
    why: String,
    /// The request has not left, so that it can be sent again.
    sent_nothing: bool,
}

/// Why there is no TLS, in upstream's words for the usual mistake.
fn tls_error(error: &std::io::Error) -> String {
    let refusal = error.get_ref().and_then(|e| e.downcast_ref()).and_then(pki::refusal);
    refusal.map_or_else(|| error.to_string(), |why| format!("tls: failed to verify certificate: {why}"))
}

fn tls(trust: pki::Trust, shown: Option<&Credential>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust));
    let config = match shown.and_then(|s| s.certificate.as_ref()) {
        Some((chain, key)) => config
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|e| format!("cannot use the client certificate: {e}"))?,
        None => config.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (config, want) in [
            (r#"{"url":"https://h:1"}"#, "h:1 /?timeout=5s"),
            (r#"{"url":"https://h//x/../y/"}"#, "h:443 /y?timeout=5s"),
            (r#"{"service":{"namespace":"n","name":"s"}}"#, "s.n.svc:443 /?timeout=5s"),
            (r#"{"service":{"namespace":"n","name":"s","port":8,"path":"/a/"}}"#, "s.n.svc:8 /a?timeout=5s"),
        ] {
            let endpoint = Endpoint::new(&value::json::parse(config.as_bytes()).unwrap()).unwrap();
            let found = format!("{} {}", endpoint.authority(), endpoint.target(Duration::from_secs(5)));
            assert_eq!(found, want, "{config}");
        }
    }
}
