//! Watches: one gRPC stream each, on the shared connection.
//!
//! A stream of its own makes a progress request an affair of one watch, and lets HTTP/2 hold back one slow
//! reader without the others.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic_prost::ProstCodec;

use super::client::{Client, chain};
use super::proto::{
    Empty, Event as ProtoEvent, WatchCreateRequest, WatchRequest as ProtoRequest, WatchRequestUnion,
    WatchResponse,
};
use super::{end_of, kv_from, start_of};
use crate::{Batch, Error, Event, Key, KeyRange, WatchRequest, WatchSource};

const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// Progress requests under way for one watch; more would ask the same.
const REQUESTS_MAX: usize = 4;
const DELETE: i32 = 1;

/// Open watches, to be asked for progress.
#[derive(Default)]
pub(super) struct Registry(Mutex<Vec<(KeyRange, mpsc::WeakSender<ProtoRequest>)>>);

impl Registry {
    fn add(&self, keys: &KeyRange, sender: &mpsc::Sender<ProtoRequest>) {
        let mut watches = self.0.lock();
        watches.retain(|(_, sender)| sender.strong_count() > 0);
        watches.push((keys.clone(), sender.downgrade()));
    }

    pub(super) fn request_progress(&self, keys: &KeyRange) {
        let watches = self.0.lock();
        let senders =
            watches.iter().filter(|(watched, _)| watched == keys).filter_map(|(_, sender)| sender.upgrade());
        for sender in senders {
            // Full: such requests are under way already, and a later answer serves this one too.
            let _ = sender.try_send(ProtoRequest { request: Some(WatchRequestUnion::Progress(Empty {})) });
        }
    }
}

/// Opens a watch; returns once etcd has it.
pub(super) async fn open(
    client: Arc<Client>,
    registry: &Registry,
    request: &WatchRequest,
    progress_trusted: bool,
) -> Result<EtcdWatch, Error> {
    let create = WatchCreateRequest {
        key: start_of(&request.keys),
        range_end: end_of(&request.keys),
        start_revision: i64::try_from(request.from).unwrap_or(i64::MAX),
        progress_notify: request.progress && progress_trusted,
        prev_kv: true,
        fragment: true,
    };
    let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
    let first = ProtoRequest { request: Some(WatchRequestUnion::Create(create)) };
    let requests = stream::iter([first]).chain(stream::unfold(receiver, async |mut receiver| {
        let next = receiver.recv().await?;
        Some((next, receiver))
    }));
    let mut grpc = client.grpc();
    grpc.ready().await.map_err(|error| Error::unavailable(chain(&error)))?;
    let mut outgoing = tonic::Request::new(requests);
    // A member that is cut off from its leader must end the watch instead of staying silent.
    outgoing.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    let codec = ProstCodec::<ProtoRequest, WatchResponse>::default();
    let answer = grpc.streaming(outgoing, PathAndQuery::from_static(WATCH), codec).await;
    let responses = answer.map_err(|status| client.error(&status, false))?.into_inner();
    let before = request.from.saturating_sub(1);
    let mut watch = EtcdWatch::new(Box::pin(responses), client, before, progress_trusted, sender);
    let created = match watch.responses.next().await {
        Some(Ok(response)) => response,
        Some(Err(status)) => return Err(watch.client.error(&status, false)),
        None => return Err(Error::unavailable("etcd closed the watch")),
    };
    watch.check(&created)?;
    registry.add(&request.keys, &watch._sender);
    Ok(watch)
}

type Responses = Pin<Box<dyn Stream<Item = Result<WatchResponse, tonic::Status>> + Send>>;

pub(super) struct EtcdWatch {
    responses: Responses,
    client: Arc<Client>,
    /// Events of a response that etcd has cut in pieces.
    fragments: Vec<ProtoEvent>,
    /// Of the last batch.
    revision: u64,
    progress_trusted: bool,
    /// Keeps the request side of the stream open; progress requests go through it.
    _sender: mpsc::Sender<ProtoRequest>,
}

impl EtcdWatch {
    /// The watch that these are the responses to, of events after a revision.
    pub(super) fn new(
        responses: Responses,
        client: Arc<Client>,
        revision: u64,
        progress_trusted: bool,
        sender: mpsc::Sender<ProtoRequest>,
    ) -> Self {
        Self { responses, client, fragments: Vec::new(), revision, progress_trusted, _sender: sender }
    }

    /// Whether etcd has ended the watch.
    fn check(&self, response: &WatchResponse) -> Result<(), Error> {
        if !response.canceled && response.compact_revision == 0 {
            return Ok(());
        }
        if response.compact_revision > 0 {
            let compacted = response.compact_revision.cast_unsigned();
            self.client.observe_compacted(compacted);
            return Err(Error::Compacted { compacted });
        }
        Err(Error::unavailable(format!("etcd ended the watch: {}", response.cancel_reason)))
    }

    /// The batch that a response is or completes.
    fn batch(&mut self, response: WatchResponse) -> Result<Option<Batch>, Error> {
        self.check(&response)?;
        let now = self.client.observe(response.header);
        if response.events.is_empty() && self.fragments.is_empty() {
            // A progress marker: the only response whose header speaks for the watch and not for the store.
            let marker = !response.created && self.progress_trusted && now > self.revision;
            self.revision = if marker { now } else { self.revision };
            return Ok((!response.created && self.progress_trusted)
                .then_some(Batch { revision: self.revision, events: Vec::new() }));
        }
        self.fragments.extend(response.events);
        if response.fragment {
            return Ok(None);
        }
        let events = std::mem::take(&mut self.fragments).into_iter().map(event);
        let events = events
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::unavailable("etcd sent half an event"))?;
        self.revision = events.last().map_or(self.revision, Event::revision);
        Ok(Some(Batch { revision: self.revision, events }))
    }
}

impl WatchSource for EtcdWatch {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        loop {
            let response = match self.responses.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Err(Error::unavailable("etcd closed the watch"))),
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Err(self.client.error(&status, false))),
                Poll::Ready(Some(Ok(response))) => response,
            };
            match self.batch(response) {
                Ok(None) => {}
                Ok(Some(batch)) => return Poll::Ready(Ok(batch)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn event(event: ProtoEvent) -> Option<Event> {
    let kv = event.kv?;
    let prev = event.prev_kv.map(kv_from);
    Some(if event.kind == DELETE {
        Event::Delete { key: Key::from(&kv.key[..]), revision: kv.mod_revision.max(0).cast_unsigned(), prev }
    } else {
        Event::Put { kv: kv_from(kv), prev }
    })
}

/// Bytes of a key; a copy, because etcd's messages own theirs.
pub(super) fn bytes(key: &[u8]) -> Bytes {
    Bytes::copy_from_slice(key)
}
