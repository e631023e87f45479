//! Sockets and limits.

use crate::answer::{Alias, By, Outcome, answer, server_failure};
use crate::forward::{Forwarder, Upstreams};
use crate::zone::Zone;
use api::core::v1::Service;
use api::discovery::v1::EndpointSlice;
use client::Informers;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};

/// The longest question over UDP, in bytes.
const QUESTION_BYTES_MAX: usize = 4_096;
/// How many TCP connections are open at once.
const CONNECTIONS_MAX: usize = 200;
/// How long a TCP connection may be quiet (RFC 7766 section 6.2.3: a few seconds).
const IDLE_TIMEOUT: Duration = Duration::from_secs(8);
/// How many questions one TCP connection may ask.
const QUESTIONS_PER_CONNECTION_MAX: usize = 1_000;

/// What the node decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The cluster's domain: `cluster.local`.
    pub domain: String,
    /// Who is asked about other names.
    pub upstreams: Upstreams,
}

struct Server {
    zone: Zone,
    forwarder: Forwarder,
    connections: Arc<Semaphore>,
}

/// Answers until `stop` is true. It begins once the caches are whole: a wrong "no such name" would be kept
/// by who asked.
///
/// # Errors
/// If an address cannot be listened on, or the domain is no name.
pub async fn run(
    config: Config,
    informers: &Informers,
    mut stop: watch::Receiver<bool>,
) -> Result<(), std::io::Error> {
    let (services, slices) = (informers.get::<Service>(), informers.get::<EndpointSlice>());
    let zone = Zone::new(&config.domain, services.clone(), slices.clone())
        .ok_or_else(|| std::io::Error::other(format!("{:?} is no domain name", config.domain)))?;
    tokio::select! {
        () = async { services.synced().await; slices.synced().await } => {}
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    }
    let server = Arc::new(Server {
        zone,
        forwarder: Forwarder::new(config.upstreams, config.listen.clone()),
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for address in &config.listen {
        let failed = |e: std::io::Error| std::io::Error::other(format!("cannot listen on {address}: {e}"));
        let udp = UdpSocket::bind(address).await.map_err(failed)?;
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        tasks.spawn(serve_udp(server.clone(), Arc::new(udp)));
        tasks.spawn(serve_tcp(server.clone(), tcp));
    }
    tracing::info!(addresses = ?config.listen, domain = config.domain, "the cluster's DNS answers");
    let _ = stop.wait_for(|stop| *stop).await;
    tasks.shutdown().await;
    Ok(())
}

async fn serve_udp(server: Arc<Server>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; QUESTION_BYTES_MAX];
    loop {
        // An error here is about a packet sent before (ICMP), not about the socket.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let question = &buffer[..length];
        match answer(&server.zone, question, By::Udp) {
            Outcome::Reply(bytes) => {
                let _ = socket.send_to(&bytes, from).await;
            }
            Outcome::Complete(alias) => {
                let (server, socket) = (server.clone(), socket.clone());
                tokio::spawn(async move {
                    if let Some(bytes) = complete(&server, *alias, By::Udp).await {
                        let _ = socket.send_to(&bytes, from).await;
                    }
                });
            }
            Outcome::Forward(query) => {
                let (server, socket, question) = (server.clone(), socket.clone(), question.to_vec());
                tokio::spawn(async move {
                    let bytes = server.forwarder.answer(&question, &query, By::Udp).await;
                    let _ = socket.send_to(&bytes, from).await;
                });
            }
            Outcome::Drop => {}
        }
    }
}

async fn complete(server: &Server, alias: Alias, by: By) -> Option<Vec<u8>> {
    let found = server.forwarder.answer(&alias.question()?, &alias.query, by).await;
    alias.complete(&found, by)
}

async fn serve_tcp(server: Arc<Server>, listener: TcpListener) {
    loop {
        let Ok(permit) = server.connections.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a DNS connection");
                // Out of descriptors, as a rule: others must end first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let server = server.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let _ = converse(&server, stream).await;
        });
    }
}

async fn converse(server: &Server, mut stream: TcpStream) -> std::io::Result<()> {
    for _ in 0..QUESTIONS_PER_CONNECTION_MAX {
        let reading = async {
            let mut question = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut question).await?;
            Ok::<_, std::io::Error>(question)
        };
        let question = tokio::time::timeout(IDLE_TIMEOUT, reading).await??;
        let bytes = match answer(&server.zone, &question, By::Tcp) {
            Outcome::Reply(bytes) => bytes,
            Outcome::Forward(query) => server.forwarder.answer(&question, &query, By::Tcp).await,
            Outcome::Complete(alias) => match complete(server, *alias, By::Tcp).await {
                Some(bytes) => bytes,
                None => return Ok(()),
            },
            Outcome::Drop => return Ok(()),
        };
        let bytes = if bytes.len() > usize::from(u16::MAX) { server_failure(&question) } else { bytes };
        let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        tokio::time::timeout(IDLE_TIMEOUT, stream.write_all(&framed)).await??;
    }
    Ok(())
}
