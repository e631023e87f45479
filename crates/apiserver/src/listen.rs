//! Connections: TLS, HTTP/1.1 and HTTP/2, and the fence around a request.

mod turn;
mod wire;

pub(crate) use turn::apart;

use crate::body::ResponseBody;
use crate::seldom::Seldom;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::sockopt;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use turn::{Answering, Turns, Works};
pub use wire::Outflow;
use wire::{RECORD_BYTES, Wire};

/// How many connections are open at once; further ones wait in the listen queue. A node holds two, a
/// controller one: enough for 5,000 nodes.
const CONNECTIONS_MAX: usize = 20_000;
/// How long a client may take for its TLS handshake, as upstream.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send a request's headers, as upstream's `ReadHeaderTimeout`.
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// After how long without a word the other end's kernel is asked whether it is there, how often, and after how
/// many unanswered questions the connection ends. The kernel asks, so that it costs the server nothing; upstream
/// leaves it to the kernel as well.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// Requests at once on one HTTP/2 connection: client-go multiplexes all its watches on one. Upstream: 100.
const STREAMS_MAX: u32 = 250;
/// What a response may queue inside the HTTP/2 layer before the handler is asked to wait: bounds what a
/// watcher that never reads can hold.
const STREAM_SEND_BUFFER_BYTES: usize = 16 << 10;
/// The largest header block. Go's default is 1 MiB; no client of Kubernetes comes near this.
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Connection {
    /// The address it came from.
    pub remote: SocketAddr,
    /// The certificates that it proved to hold (judged by the handler, not by TLS).
    pub peer: Option<auth::Peer>,
    /// How far it has taken what it was sent.
    pub outflow: Arc<Outflow>,
}

/// A boxed answer.
pub type Answer = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Must not panic: the other requests of the connection would end with it.
    fn handle(self: Arc<Self>, connection: Arc<Connection>, request: Request<Incoming>) -> Answer;
}

/// Accepts connections until `shutdown` completes, then lets the open requests of each connection finish.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<dyn Handler>,
    shutdown: tokio::sync::watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    if let Err(error) = prepare(&listener) {
        tracing::warn!(%error, "cannot have the kernel look after connections whose other end is gone");
    }
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stop = shutdown.clone();
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            () = stopped(&mut stop) => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        let (stream, remote) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                // Out of file descriptors or a client that left at once: wait, the others go on.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (acceptor, handler, shutdown) = (acceptor.clone(), handler.clone(), shutdown.clone());
        tokio::spawn(async move {
            connection(stream, remote, acceptor, handler, shutdown).await;
            drop(permit);
        });
    }
}

/// Connections take these over from their listener.
fn prepare(listener: &TcpListener) -> std::io::Result<()> {
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(listener, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(listener, KEEPALIVE_PROBES)?;
    Ok(())
}

/// Completes when the server is to stop, or its owner is gone.
async fn stopped(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|s| *s).await;
}

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: TlsAcceptor,
    handler: Arc<dyn Handler>,
    mut shutdown: tokio::sync::watch::Receiver<bool>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    // Boxed: what a handshake keeps is not to be kept for as long as the connection lasts.
    let handshake = Box::pin(tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)));
    let mut tls = match handshake.await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return tracing::debug!(%remote, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%remote, "TLS handshake timed out"),
    };
    tls.get_mut().1.set_buffer_limit(Some(RECORD_BYTES));
    let peer = tls.get_ref().1.peer_certificates().and_then(auth::Peer::new);
    let outflow = Arc::<Outflow>::default();
    let wire = Wire::new(tls, outflow.clone());
    let connection = Arc::new(Connection { remote, peer, outflow });
    let service = service_fn(move |request| {
        let answer = Answering::Here(handler.clone().handle(connection.clone(), request));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let works = Works::default();
    let mut builder = auto::Builder::new(works.clone());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // Of headers read, and of an answer that the client does not take.
        .max_buf_size(HEADER_BYTES_MAX as usize);
    builder
        .http2()
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(STREAM_SEND_BUFFER_BYTES)
        .max_header_list_size(HEADER_BYTES_MAX);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(wire.clone()), service);
    let mut turns = Turns::new(serving, works, wire);
    let result = tokio::select! {
        result = &mut turns => result,
        () = Seldom::new(stopped(&mut shutdown)) => {
            turns.serving().graceful_shutdown();
            turns.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "connection ended");
    }
}
