//! Calls to etcd: connections, methods, and what their errors mean.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::proto::ResponseHeader;
use crate::Error;

/// As upstream's client: a peer that is silent for so long is probed...
const KEEPALIVE: Duration = Duration::from_secs(30);
/// ...and given up after this.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A call that has no answer by then will have none; etcd itself gives up proposals after about seven.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Reads are tried so often while no server can be reached, with growing pauses from this one on.
const READ_TRIES: u32 = 5;
const READ_PAUSE: Duration = Duration::from_millis(50);
/// Flow-control windows: lists are megabytes, and 64 KiB at a time would wait for each other.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Where etcd is and how to show who we are.
#[derive(Clone, Default)]
pub struct EtcdOptions {
    /// Client URLs of the members: `https://10.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// The certificate authority of the servers (PEM file).
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key (PEM files).
    pub client_files: Option<(PathBuf, PathBuf)>,
    /// How often to compact, as upstream's `--etcd-compaction-interval`; `None` for never.
    pub compaction_interval: Option<Duration>,
}

impl EtcdOptions {
    /// The usual settings: compaction every five minutes.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            compaction_interval: Some(Duration::from_secs(300)),
            ..Self::default()
        }
    }
}

/// A connection to a cluster.
#[derive(Debug)]
pub(super) struct Client {
    channel: Channel,
    /// One connection per member, for what is asked of each; made when first used.
    pub(super) members: Vec<(String, Channel)>,
    observed: AtomicU64,
    compacted: AtomicU64,
}

impl Client {
    pub(super) async fn connect(options: &EtcdOptions) -> Result<Self, Error> {
        if options.endpoints.is_empty() {
            return Err(Error::Invalid("no etcd endpoints are given".into()));
        }
        let tls = tls(options).await?;
        let mut endpoints = Vec::new();
        for url in &options.endpoints {
            endpoints.push(endpoint(url, tls.clone())?);
        }
        let members = options
            .endpoints
            .iter()
            .zip(&endpoints)
            .map(|(url, to)| (url.clone(), to.connect_lazy()))
            .collect();
        let channel = match &endpoints[..] {
            [one] => one.connect_lazy(),
            _ => Channel::balance_list(endpoints.into_iter()),
        };
        Ok(Self { channel, members, observed: AtomicU64::new(0), compacted: AtomicU64::new(0) })
    }

    pub(super) fn observed(&self) -> u64 {
        self.observed.load(Ordering::Acquire)
    }

    pub(super) fn compacted(&self) -> u64 {
        self.compacted.load(Ordering::Acquire)
    }

    /// Takes notice of a revision that etcd told.
    pub(super) fn observe(&self, header: Option<ResponseHeader>) -> u64 {
        let revision = header.map_or(0, |header| header.revision).max(0).cast_unsigned();
        self.observed.fetch_max(revision, Ordering::AcqRel);
        revision
    }

    pub(super) fn observe_compacted(&self, revision: u64) {
        self.compacted.fetch_max(revision, Ordering::AcqRel);
    }

    pub(super) fn grpc(&self) -> Grpc<Channel> {
        grpc(self.channel.clone())
    }

    /// A call that must not be repeated blindly.
    pub(super) async fn write<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Error>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        call(self.channel.clone(), path, request).await.map_err(|status| self.error(&status, true))
    }

    /// A call that changes nothing: tried again while no server can be reached.
    pub(super) async fn read<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Error>
    where
        Q: Message + Default + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut pause = READ_PAUSE;
        for _ in 1..READ_TRIES {
            match call(self.channel.clone(), path, request.clone()).await {
                Err(status) if status.code() == Code::Unavailable => {}
                answer => return answer.map_err(|status| self.error(&status, false)),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        call(self.channel.clone(), path, request).await.map_err(|status| self.error(&status, false))
    }

    /// What an error of etcd means. Its texts are its interface: codes are shared by several errors.
    pub(super) fn error(&self, status: &Status, write: bool) -> Error {
        let message = status.message();
        let has = |text: &str| message.contains(text);
        match status.code() {
            Code::OutOfRange if has("has been compacted") => Error::Compacted { compacted: self.compacted() },
            Code::OutOfRange if has("is a future revision") => {
                Error::FutureRevision { current: self.observed() }
            }
            Code::ResourceExhausted if has("database space exceeded") => Error::NoSpace,
            Code::InvalidArgument if has("request is too large") => {
                Error::TooLarge { bytes: 0, limit: crate::TXN_BYTES_MAX }
            }
            Code::InvalidArgument => Error::Invalid(message.into()),
            code => Error::Unavailable {
                message: format!("etcd: {code:?}: {message}"),
                // These are refused before they are proposed.
                maybe_applied: write
                    && !has("too many requests")
                    && !has("no leader")
                    && !is_unauthorized(code),
            },
        }
    }
}

fn is_unauthorized(code: Code) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied)
}

fn grpc(channel: Channel) -> Grpc<Channel> {
    // A list may be longer than gRPC's usual 4 MiB; how long is up to the limit of the range.
    Grpc::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
}

/// One call with a time limit.
pub(super) async fn call<Q, A>(channel: Channel, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let call = async move {
        let mut grpc = grpc(channel);
        grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(tonic::Request::new(request), path, ProstCodec::<Q, A>::default()).await?;
        Ok(answer.into_inner())
    };
    tokio::time::timeout(CALL_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no answer within {CALL_TIMEOUT:?}"))))
}

/// An error with its causes; tonic's own text is only "transport error".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn tls(options: &EtcdOptions) -> Result<Option<ClientTlsConfig>, Error> {
    if options.ca_file.is_none() && options.client_files.is_none() {
        return Ok(None);
    }
    let read = async |path: &PathBuf| {
        let read = tokio::fs::read(path).await;
        read.map_err(|error| Error::Invalid(format!("cannot read {}: {error}", path.display())))
    };
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &options.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca).await?));
    }
    if let Some((certificate, key)) = &options.client_files {
        tls = tls.identity(Identity::from_pem(read(certificate).await?, read(key).await?));
    }
    Ok(Some(tls))
}

fn endpoint(url: &str, tls: Option<ClientTlsConfig>) -> Result<Endpoint, Error> {
    let invalid =
        |error: tonic::transport::Error| Error::Invalid(format!("etcd endpoint {url}: {}", chain(&error)));
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(invalid)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if let Some(tls) = tls
        && url.starts_with("https")
    {
        endpoint = endpoint.tls_config(tls).map_err(invalid)?;
    }
    Ok(endpoint)
}
