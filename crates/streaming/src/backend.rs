//! Where requests are passed on to: connections, and one request on each.

use crate::Error;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a connection may take to be made, as upstream's dialer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take, as upstream's transport.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A host and a port, and whether to speak TLS to it.
#[derive(Clone, Debug)]
pub struct Backend {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How to trust it; `None` for plain HTTP. ALPN must offer nothing but HTTP/1.1: see [`http1_only`].
    pub tls: Option<Arc<ClientConfig>>,
}

/// The same, for connections that speak HTTP/1.1: HTTP/2 knows no upgrades.
pub fn http1_only(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Backend {
    /// Host and port as URLs and errors write them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        let address = self.authority();
        let dial = |source| Error::Dial { address: address.clone(), source };
        let dialing = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(DIAL_TIMEOUT, dialing)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(dial)?;
        // Key strokes are not to wait for each other.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(|_| Error::Name(self.host.clone()))?;
        let shaking = TlsConnector::from(tls.clone()).connect(name, stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| Error::Tls { address, source })?;
        Ok(Box::new(stream))
    }

    /// Sends a request on a connection of its own and gives the answer as soon as its head is there. The
    /// connection lasts as long as the answer's body, or what it is upgraded to. `Host` must be set.
    ///
    /// # Errors
    /// The backend is not reached, or does not speak HTTP.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Incoming>, Error>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a backend broke");
            }
        });
        Ok(sender.send_request(request).await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;
    use http_body_util::Empty;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// What is told depends on who reads the answer, in Go: its client, or `http.ReadResponse`.
    #[tokio::test]
    async fn a_backend_that_goes_before_it_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let backend = Backend { host: "127.0.0.1".into(), port, tls: None };
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
        };
        let request = Request::get("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
        let (answer, ()) = tokio::join!(backend.send(request), answering);
        let error = answer.unwrap_err();
        assert_eq!(error.to_string(), "EOF");
        assert_eq!(error.of_upgrade().to_string(), "unexpected EOF");
    }
}
