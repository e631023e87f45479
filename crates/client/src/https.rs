//! HTTPS, with connections kept and shared: HTTP/2 where the server speaks it.

use crate::transport::{ByteBody, Transport};
use crate::{Error, Kubeconfig};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::TryStreamExt;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::RwLock;
use pki::{Certificate, Identity, PrivateKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a quiet HTTP/2 connection is asked whether it lives, as client-go.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer may take before the connection is given up.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a token read from a file is used before the file is read again, as client-go.
const TOKEN_FILE_AGE_MAX: Duration = Duration::from_secs(60);
/// How long what a kubeconfig says is used before the file is looked at again.
const KUBECONFIG_AGE_MAX: Duration = Duration::from_secs(60);

/// An API server over HTTPS.
pub struct Https {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Scheme and authority, and a path that all paths are below (a proxy's).
    base: String,
    credentials: Credentials,
}

enum Credentials {
    /// By the client certificate, or none.
    Connection,
    Token(HeaderValue),
    TokenFile {
        path: PathBuf,
        last: RwLock<Option<(Instant, HeaderValue)>>,
    },
}

impl Https {
    /// As a kubeconfig says; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] if keys, certificates, token or address cannot be used.
    pub fn new(config: &Kubeconfig) -> Result<Self, Error> {
        let failed = |what: &dyn std::fmt::Display| Error::Kubeconfig(what.to_string());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let authorities = Certificate::all_from_pem(&text(&config.authorities)).map_err(|e| failed(&e))?;
        let identity = match &config.identity {
            Some((certificate, key)) => Some(Identity {
                certificate: Certificate::all_from_pem(&text(certificate))
                    .map_err(|e| failed(&e))?
                    .into_iter()
                    .next()
                    .ok_or_else(|| failed(&"client-certificate holds no certificate"))?,
                key: PrivateKey::from_pem(&text(key)).map_err(|e| failed(&e))?,
            }),
            None => None,
        };
        let roots: Vec<_> = authorities.iter().collect();
        let mut tls = pki::client_config(&roots, identity.as_ref()).map_err(|e| failed(&e))?;
        // The connector sets what it offers by ALPN.
        tls.alpn_protocols.clear();
        let uri: Uri =
            config.server.parse().map_err(|e| failed(&format!("server {:?}: {e}", config.server)))?;
        if uri.scheme_str() != Some("https") {
            return Err(failed(&format!("server {:?} is not https://", config.server)));
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        let builder = match &config.tls_server_name {
            Some(name) => {
                let name = rustls::pki_types::ServerName::try_from(name.clone())
                    .map_err(|e| failed(&format!("tls-server-name {name:?}: {e}")))?;
                builder.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name))
            }
            None => builder,
        };
        let connector = builder.enable_all_versions().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build(connector);
        let credentials = match (&config.token, &config.token_file) {
            (_, Some(path)) => Credentials::TokenFile { path: path.clone(), last: RwLock::new(None) },
            (Some(token), None) => Credentials::Token(bearer(token)?),
            (None, None) => Credentials::Connection,
        };
        let base = config.server.trim_end_matches('/').to_owned();
        Ok(Self { client, base, credentials })
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        match &self.credentials {
            Credentials::Connection => Ok(None),
            Credentials::Token(value) => Ok(Some(value.clone())),
            Credentials::TokenFile { path, last } => {
                if let Some((at, value)) = &*last.read()
                    && at.elapsed() < TOKEN_FILE_AGE_MAX
                {
                    return Ok(Some(value.clone()));
                }
                let token = std::fs::read_to_string(path)
                    .map_err(|e| Error::Kubeconfig(format!("cannot read {}: {e}", path.display())))?;
                let value = bearer(token.trim())?;
                *last.write() = Some((Instant::now(), value.clone()));
                Ok(Some(value))
            }
        }
    }

    async fn answer(&self, request: Request<Bytes>) -> Result<Response<ByteBody>, Error> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|e| Error::Other(format!("cannot ask for {path:?}: {e}")))?;
        if let Some(value) = self.authorization()? {
            parts.headers.insert(header::AUTHORIZATION, value);
        }
        let request = Request::from_parts(parts, Full::new(body));
        let response = self.client.request(request).await.map_err(|e| Error::Transport(chain(&e)))?;
        Ok(response.map(|body| -> ByteBody {
            Box::pin(body.into_data_stream().map_err(|e| Error::Transport(chain(&e))))
        }))
    }
}

/// An API server as a kubeconfig file says, which is read again: whoever issues its certificate replaces the file before
/// the certificate lapses.
///
/// New requests then travel by connections of their own; those that are open end where they are. As client-go's
/// `transport/cert_rotation.go`.
pub struct HttpsByFile {
    path: PathBuf,
    last: RwLock<Look>,
}

/// What the file said when it was looked at.
struct Look {
    at: Instant,
    contents: Vec<u8>,
    https: Arc<Https>,
}

impl HttpsByFile {
    /// As [`Https::new`] of the file.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`].
    pub fn new(path: &Path) -> Result<Self, Error> {
        let contents = read(path)?;
        let https = Arc::new(Https::new(&Kubeconfig::read(path)?)?);
        let last = RwLock::new(Look { at: Instant::now(), contents, https });
        Ok(Self { path: path.to_owned(), last })
    }

    fn current(&self, now: Instant) -> Arc<Https> {
        {
            let last = self.last.read();
            if now.saturating_duration_since(last.at) < KUBECONFIG_AGE_MAX {
                return last.https.clone();
            }
        }
        let mut last = self.last.write();
        last.at = now;
        match self.replaced(&last.contents) {
            Ok(None) => {}
            Ok(Some((contents, https))) => {
                tracing::info!(file = %self.path.display(), "the kubeconfig was replaced");
                last.contents = contents;
                last.https = Arc::new(https);
            }
            Err(error) => tracing::warn!(%error, "cannot read the kubeconfig again; what it said is kept"),
        }
        last.https.clone()
    }

    /// What the file says, if that is not what it said before.
    fn replaced(&self, before: &[u8]) -> Result<Option<(Vec<u8>, Https)>, Error> {
        let contents = read(&self.path)?;
        if contents == before {
            return Ok(None);
        }
        Ok(Some((contents, Https::new(&Kubeconfig::read(&self.path)?)?)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::Kubeconfig(format!("{}: {e}", path.display())))
}

impl Transport for HttpsByFile {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
        let https = self.current(Instant::now());
        Box::pin(async move { https.answer(request).await })
    }
}

impl Transport for Https {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
        Box::pin(self.answer(request))
    }
}

pub(crate) fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Error::Kubeconfig("the token holds bytes that a header cannot".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error and what it is due to.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = match refusal(cause) {
            Some(why) => format!("tls: failed to verify certificate: {why}"),
            None => format!("{text}: {cause}"),
        };
        source = cause.source();
    }
    text
}

/// Why the server's certificate was not taken, if that is the error.
fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    pki::refusal(error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_kubeconfig_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.conf");
        let authority = pki::Authority::create("ca", PrivateKey::generate().unwrap(), 0, 1).unwrap();
        let ca = authority.certificate().to_pem();
        std::fs::write(dir.path().join("ca.crt"), ca).unwrap();
        let write = |host: &str| {
            let text = format!(
                "current-context: c\ncontexts:\n- {{name: c, context: {{cluster: k, user: u}}}}\nclusters:\n\
                 - {{name: k, cluster: {{server: 'https://{host}:1', certificate-authority: ca.crt}}}}\nusers:\n\
                 - {{name: u, user: {{token: t}}}}\n"
            );
            std::fs::write(&path, text).unwrap();
        };
        write("a");
        let client = HttpsByFile::new(&path).unwrap();
        let start = Instant::now();
        let base = |seconds| client.current(start + Duration::from_secs(seconds)).base.clone();
        let first = client.current(start + Duration::from_secs(100));
        assert!(
            Arc::ptr_eq(&first, &client.current(start + Duration::from_secs(200))),
            "nothing has changed"
        );
        write("b");
        assert_eq!(base(201), "https://a:1", "it was looked at just before");
        assert_eq!(base(300), "https://b:1");
        std::fs::write(&path, "half a").unwrap();
        assert_eq!(base(400), "https://b:1");
        write("c");
        assert_eq!(base(500), "https://c:1");
    }
}
