//! The HTTPS server on port 10250: logs, exec, attach, port-forward, metrics.
//!
//! Upstream: `pkg/kubelet/server/server.go`. Every request is authenticated (client certificate or token) and
//! authorized by the API server; then it is read-only, or passed on to the container runtime.

mod access;
mod attributes;
mod certificate;
mod files;
pub(crate) mod fuzz;
pub(crate) mod logs;
mod metrics;
mod node;
mod objects;
mod respond;
mod route;
mod stream;
mod summary;
mod usage;

use crate::pods::Pods;
use crate::runtime::Runtime;
use access::Access;
use certificate::Certificate;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use respond::Answer;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use streaming::{Streams, handshake};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// How many connections are open at once: the API server's, one for each exec and log, and scrapers'.
const CONNECTIONS_MAX: usize = 5_000;
/// How long a client may take to send a request's headers, as upstream's `ReadHeaderTimeout`.
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
const STREAMS_MAX: u32 = 250;
/// How long open requests may take to end when the kubelet stops.
const GRACE: Duration = Duration::from_secs(2);

/// Settings of the server.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The port; 0 for none.
    pub port: u16,
    /// The address to listen on; all of them if unset.
    pub address: Option<IpAddr>,
    /// The authority of client certificates (PEM); without it only tokens are believed.
    pub client_ca: Option<String>,
    /// The serving certificate and its key (PEM files). Unset: a certificate is asked of the cluster
    /// (`kubernetes.io/kubelet-serving`), and until it comes one of our own is shown.
    pub certificate_files: Option<(PathBuf, PathBuf)>,
    /// Where a certificate of the cluster is kept over restarts; `<root>/pki`.
    pub certificate_dir: PathBuf,
    /// Whether requests without credentials are those of `system:anonymous` (`--anonymous-auth`).
    pub anonymous: bool,
    /// The folder behind `/logs`; `/var/log`. Unset for none.
    pub system_logs: Option<PathBuf>,
}

/// What the answers are made of.
pub(crate) struct Server {
    pub(crate) node_name: String,
    pub(crate) kubelet: crate::Config,
    pub(crate) pods: Pods,
    pub(crate) runtime: Runtime,
    pub(crate) streams: Streams,
    access: Access,
    usage: usage::Usage,
}

/// Serves until `stop` becomes true.
///
/// # Errors
/// The port is taken, or the keys cannot be used.
pub(crate) async fn serve(
    kubelet: crate::Config,
    client: client::Client,
    pods: Pods,
    runtime: Runtime,
    certified: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let config = kubelet.server.clone();
    if config.port == 0 {
        certified.send_replace(true);
        return Ok(());
    }
    let address = config.address.unwrap_or(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 0]));
    let listener = listen(address, config.port).await?;
    let certificate = Certificate::open(&kubelet).map_err(io::Error::other)?;
    let tls = pki::server_config(certificate.hot(), pki::AnyClientCertificate::new(&[]))
        .map_err(io::Error::other)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let access = Access::new(client.clone(), &kubelet).map_err(io::Error::other)?;
    let renewing = tokio::spawn(certificate.keep(client, certified));
    let server = Arc::new(Server {
        node_name: kubelet.node_name.clone(),
        kubelet,
        pods,
        runtime,
        streams: Streams::new(stop.clone()),
        access,
        usage: usage::Usage::default(),
    });
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tracing::info!(port = config.port, "the kubelet's server listens");
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = stopped(&mut stop) => break,
        };
        let Some((stream, remote, permit)) = accepted else { continue };
        let (acceptor, server, stop) = (acceptor.clone(), server.clone(), stop.clone());
        tokio::spawn(async move {
            connection(stream, remote, acceptor, server, stop).await;
            drop(permit);
        });
    }
    renewing.abort();
    Ok(())
}

/// On all addresses of both families where the machine has both.
async fn listen(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::new(address, port)).await {
        Err(error)
            if address.is_ipv6() && address.is_unspecified() && error.kind() != io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await
        }
        result => result,
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, remote)) => Some((stream, remote, permit)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// Completes when the kubelet is to stop, or its owner is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|s| *s).await;
}

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: TlsAcceptor,
    server: Arc<Server>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(tls) = handshake::accept(stream, remote, acceptor).await else { return };
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let peer = Arc::new(server.access.peer(chain));
    let service = service_fn(move |request: Request<Incoming>| {
        let (server, peer) = (server.clone(), peer.clone());
        async move { Ok::<Answer, Infallible>(route::answer(&server, &peer, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(tls), service);
    tokio::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "connection ended");
    }
}
