//! Connections: TLS, HTTP/1.1 and HTTP/2, and the fence around a request.

mod http2;
mod lanes;
mod pace;
mod turn;
mod wire;

pub(crate) use turn::apart;

use crate::body::{RequestBody, ResponseBody};
use crate::seldom::Seldom;
use http2::Http2;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
pub use lanes::Lanes;
use rustix::net::sockopt;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use streaming::handshake;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use turn::{Answering, BoxError, Signal, Turns};
pub use wire::Outflow;
use wire::{RECORD_BYTES, Wire};

/// How many connections are open at once; further ones wait in the listen queue. A node holds two, a
/// controller one: enough for 5,000 nodes.
const CONNECTIONS_MAX: u32 = 20_000;
/// How long a server that stops waits for its clients to take their answers.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
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
/// What a response may queue inside the HTTP/2 layer before its body is asked for no more: bounds what a watcher that
/// never reads can hold.
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
    fn handle(self: Arc<Self>, connection: Arc<Connection>, request: Request<RequestBody>) -> Answer;
}

/// Accepts connections for the `lanes` until `shutdown` completes, then lets the open requests of each connection
/// finish, for a while.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<dyn Handler>,
    lanes: Lanes,
    shutdown: tokio::sync::watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    if let Err(error) = prepare(&listener) {
        tracing::warn!(%error, "cannot have the kernel look after connections whose other end is gone");
    }
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let mut stop = shutdown.clone();
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            () = stopped(&mut stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
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
        // From the runtime that accepts to the one that serves.
        let stream = stream.into_std();
        lanes.next().spawn(async move {
            match stream.and_then(TcpStream::from_std) {
                Ok(stream) => connection(stream, remote, acceptor, handler, shutdown).await,
                Err(error) => tracing::debug!(%remote, %error, "cannot take a connection over"),
            }
            drop(permit);
        });
    }
    drop(listener);
    let all_ended = permits.acquire_many(CONNECTIONS_MAX);
    if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
        tracing::debug!("some clients do not take their answers, and are not waited for");
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
    shutdown: tokio::sync::watch::Receiver<bool>,
) {
    let Some(mut tls) = handshake::accept(stream, remote, acceptor).await else { return };
    tls.get_mut().1.set_buffer_limit(Some(RECORD_BYTES));
    let peer = tls.get_ref().1.peer_certificates().and_then(auth::Peer::new);
    let outflow = Arc::<Outflow>::default();
    let speaks_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let wire = Wire::new(tls, outflow.clone());
    let about = Arc::new(Connection { remote, peer, outflow });
    let result = if speaks_http2 {
        http2(wire, handler, about, shutdown).await
    } else {
        http1(wire, handler, about, shutdown).await
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "connection ended");
    }
}

async fn http1(
    wire: Wire,
    handler: Arc<dyn Handler>,
    about: Arc<Connection>,
    shutdown: tokio::sync::watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let service = service_fn(move |request: Request<Incoming>| {
        pace::works();
        let request = request.map(RequestBody::Http1);
        let answer = Answering::Here(handler.clone().handle(about.clone(), request));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // Of headers read, and of an answer that the client does not take.
        .max_buf_size(HEADER_BYTES_MAX as usize)
        .serve_connection(TokioIo::new(wire.clone()), service)
        .with_upgrades();
    in_turns(Turns::new(serving, wire, Arc::default()), shutdown, |serving| serving.graceful_shutdown()).await
}

async fn http2(
    wire: Wire,
    handler: Arc<dyn Handler>,
    about: Arc<Connection>,
    shutdown: tokio::sync::watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let signal = Arc::<Signal>::default();
    let preface = Http2::new(wire.clone(), handler, about, signal.clone());
    let serving = Box::pin(tokio::time::timeout(handshake::TIMEOUT, preface)).await??;
    let turns = Turns::new(serving, wire, signal);
    in_turns(turns, shutdown, |serving| serving.get_mut().graceful_shutdown()).await
}

/// Serves until the client goes, or the server is to stop: then what was asked is answered, and `end` says so.
async fn in_turns<C, E>(
    mut turns: Turns<C>,
    mut shutdown: tokio::sync::watch::Receiver<bool>,
    end: impl FnOnce(Pin<&mut C>),
) -> Result<(), BoxError>
where
    C: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    tokio::select! {
        result = &mut turns => result,
        () = Seldom::new(stopped(&mut shutdown)) => {
            end(turns.serving());
            turns.await
        }
    }
}
