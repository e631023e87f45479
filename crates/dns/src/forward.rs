//! Names that are not the cluster's: the question goes on to the node's resolvers as it came.
//!
//! Good and bad answers are kept for a short while (`cache 30` of kubeadm's CoreDNS).

use crate::answer::{By, server_failure};
use crate::resolv_conf;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// How long one resolver may take (CoreDNS's read timeout).
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all of them together may take, after which the asker asks again (CoreDNS's default).
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many questions wait at once for resolvers (`max_concurrent 1000` of kubeadm's CoreDNS).
const WAITING_MAX: usize = 1_000;
/// How long an answer is kept at most.
const KEPT_MAX: Duration = Duration::from_secs(30);
/// How many answers are kept (CoreDNS's default capacity).
const ANSWERS_MAX: usize = 9_984;
/// The longest message over UDP that is taken in, in bytes.
const UDP_BYTES_MAX: usize = 4_096;

/// Who is asked about names that are not the cluster's.
#[derive(Clone, Debug)]
pub enum Upstreams {
    /// The resolvers that this file names, as it is at the time.
    File(PathBuf),
    /// These.
    Addresses(Vec<SocketAddr>),
}

#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    name: Name,
    kind: RecordType,
    class: DNSClass,
    /// With or without signatures (the DO bit), truncated or not.
    flavour: (bool, bool),
}

impl Asked {
    pub(crate) fn of(query: &Query, question: &[u8], by: By) -> Self {
        Self {
            name: query.name().to_lowercase(),
            kind: query.query_type(),
            class: query.query_class(),
            flavour: (wants_signatures(question), by == By::Udp),
        }
    }
}

struct Kept {
    until: Instant,
    at: Instant,
    message: Message,
}

pub(crate) struct Forwarder {
    upstreams: Upstreams,
    own: Vec<SocketAddr>,
    waiting: Semaphore,
    kept: Mutex<HashMap<Asked, Kept>>,
    servers: Mutex<(Option<SystemTime>, Vec<SocketAddr>)>,
}

impl Forwarder {
    pub(crate) fn new(upstreams: Upstreams, own: Vec<SocketAddr>) -> Self {
        Self {
            upstreams,
            own,
            waiting: Semaphore::new(WAITING_MAX),
            kept: Mutex::default(),
            servers: Mutex::default(),
        }
    }

    /// The answer to a question, or a failure.
    pub(crate) async fn answer(&self, question: &[u8], query: &Query, by: By) -> Vec<u8> {
        let Ok(_permit) = self.waiting.try_acquire() else { return server_failure(question) };
        let asked = Asked::of(query, question, by);
        if let Some(bytes) = self.recall(&asked, question, query) {
            return bytes;
        }
        let answer = tokio::time::timeout(TIMEOUT, self.ask_all(question, by)).await;
        match answer.ok().flatten() {
            Some(bytes) => {
                self.keep(asked, &bytes);
                bytes
            }
            None => server_failure(question),
        }
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let path = match &self.upstreams {
            Upstreams::Addresses(servers) => return servers.clone(),
            Upstreams::File(path) => path,
        };
        let changed = std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let mut servers = self.servers.lock();
        if servers.0 != changed || changed.is_none() {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            *servers = (changed, resolv_conf::servers(&text, &self.own));
        }
        servers.1.clone()
    }

    async fn ask_all(&self, question: &[u8], by: By) -> Option<Vec<u8>> {
        for server in self.servers() {
            let asking = async {
                match by {
                    By::Udp => ask_udp(server, question).await,
                    By::Tcp => ask_tcp(server, question).await,
                }
            };
            match tokio::time::timeout(TRY_TIMEOUT, asking).await {
                Ok(Ok(bytes)) => return Some(bytes),
                Ok(Err(error)) => tracing::debug!(%server, %error, "a resolver did not answer"),
                Err(_) => tracing::debug!(%server, "a resolver took too long"),
            }
        }
        None
    }

    pub(crate) fn recall(&self, asked: &Asked, question: &[u8], query: &Query) -> Option<Vec<u8>> {
        let kept = self.kept.lock();
        let found = kept.get(asked).filter(|kept| kept.until > Instant::now())?;
        let mut message = found.message.clone();
        let age = u32::try_from(found.at.elapsed().as_secs()).unwrap_or(u32::MAX);
        drop(kept);
        message.metadata.id = u16::from_be_bytes([question[0], question[1]]);
        // With the letters in the case in which they were asked for.
        message.queries = vec![query.clone()];
        let records =
            message.answers.iter_mut().chain(&mut message.authorities).chain(&mut message.additionals);
        for record in records {
            record.ttl = record.ttl.saturating_sub(age);
        }
        message.to_vec().ok()
    }

    pub(crate) fn keep(&self, asked: Asked, bytes: &[u8]) {
        let Ok(message) = Message::from_vec(bytes) else { return };
        let code = message.metadata.response_code;
        if message.metadata.truncation || !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return;
        }
        let records = message.answers.iter().chain(&message.authorities);
        let Some(seconds) = records.map(|record| record.ttl).min().filter(|seconds| *seconds > 0) else {
            return;
        };
        let at = Instant::now();
        let until = at + Duration::from_secs(seconds.into()).min(KEPT_MAX);
        let mut kept = self.kept.lock();
        if kept.len() >= ANSWERS_MAX {
            kept.retain(|_, kept| kept.until > at);
            if kept.len() >= ANSWERS_MAX {
                kept.clear();
            }
        }
        kept.insert(asked, Kept { until, at, message });
    }
}

fn wants_signatures(question: &[u8]) -> bool {
    Message::from_vec(question).ok().and_then(|m| m.edns).is_some_and(|edns| edns.flags().dnssec_ok)
}

fn unspecified(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Over a socket of its own: its port, which the kernel picks at random, is what a forger has to guess.
async fn ask_udp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(unspecified(server)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_answer(question, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(question);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if is_answer(question, &answer) { Ok(answer) } else { Err(std::io::Error::other("not the answer")) }
}

/// Whether a message answers a question: the same id, a response, to the same query.
pub(crate) fn is_answer(question: &[u8], answer: &[u8]) -> bool {
    answer.len() >= 12
        && question[..2] == answer[..2]
        && answer[2] & 0x80 != 0
        && match (Message::from_vec(question), Message::from_vec(answer)) {
            (Ok(question), Ok(answer)) => answer.queries.is_empty() || question.queries == answer.queries,
            _ => false,
        }
}
