//! Connections as a client that is up to no good has them: how much it takes at once is up to the test.

use bytes::Bytes;
use client::Kubeconfig;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pki::{Certificate, Identity, PrivateKey};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a server is, and who one is there.
pub struct Wire {
    tls: rustls::ClientConfig,
    address: SocketAddr,
}

/// An HTTP/2 connection: many requests at once.
pub type Multiplexed = http2::SendRequest<Empty<Bytes>>;

impl Wire {
    pub fn new(config: &Kubeconfig) -> Self {
        let certificate =
            |pem: &[u8]| Certificate::all_from_pem(std::str::from_utf8(pem).unwrap()).unwrap().remove(0);
        let (certificate_pem, key_pem) = config.identity.as_ref().unwrap();
        let key = PrivateKey::from_pem(std::str::from_utf8(key_pem).unwrap()).unwrap();
        let identity = Identity { certificate: certificate(certificate_pem), key };
        let tls = pki::client_config(&[&certificate(&config.authorities)], Some(&identity)).unwrap();
        let uri: Uri = config.server.parse().unwrap();
        Self { tls, address: uri.authority().unwrap().as_str().parse().unwrap() }
    }

    async fn connect(&self, protocol: &[u8], receive_bytes: Option<u32>) -> TokioIo<TlsStream<TcpStream>> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        TokioIo::new(TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap())
    }

    /// A connection that takes so much of one answer, and of all together, before somebody reads.
    pub async fn http2(&self, stream_bytes: u32, connection_bytes: u32) -> Multiplexed {
        let io = self.connect(b"h2", None).await;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(stream_bytes).initial_connection_window_size(connection_bytes);
        let (sender, connection) = builder.handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// The answer to one GET over a connection of its own, whose socket takes little unless somebody reads.
    pub async fn http1_get(&self, path: &str, receive_bytes: u32) -> Response<Incoming> {
        let io = self.connect(b"http/1.1", Some(receive_bytes)).await;
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(get(path)).await.unwrap()
    }
}

pub fn get(path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("https://server{path}");
    Request::get(uri)
        .header("host", "server")
        .header("accept", "application/json")
        .body(Empty::new())
        .unwrap()
}

/// Reads an answer to its end.
pub async fn read(answer: Response<Incoming>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// The status line's code and the body that this machine answers on a port to a client who believes anybody.
pub async fn get_of_anybody(port: u16, path: &str) -> (u16, String) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(pki::AnyServer::new())
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let io = TokioIo::new(TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap());
    let (mut sender, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}
