//! HTTP/2: a connection's exchanges of a request and its answer, over the `h2` crate.
//!
//! hyper has a server on the same crate; it makes a task of each request and asks for the room of each piece before
//! it sends it. Here an answer that is at hand is sent where its request is accepted, and a piece of a watch is given
//! away without asking.

use super::pace;
use super::turn::{Answering, Signal};
use super::wire::Wire;
use super::{Connection, HEADER_BYTES_MAX, Handler, STREAM_SEND_BUFFER_BYTES, STREAMS_MAX};
use crate::body::{Received, RequestBody, ResponseBody};
use crate::seldom::Seldom;
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What a client may send of a request before it is read, and of all its requests: what hyper allows.
const WINDOW_BYTES: u32 = 1 << 20;
/// How often a client may do what the protocol forbids on a stream, as hyper.
const ERRORS_MAX: usize = 1024;

/// How many requests are begun before it is looked whether other connections wait.
const BEGUN_MAX: usize = 16;
/// How long a connection without requests is kept, at least; at most twice as long. Upstream: 90 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// A connection: accepts requests and sends answers for as long as it is polled.
pub(super) struct Http2 {
    connection: h2::server::Connection<Wire, Piece>,
    handler: Arc<dyn Handler>,
    about: Arc<Connection>,
    /// Those that wait for something.
    exchanges: FuturesUnordered<CatchUnwind<AssertUnwindSafe<Exchange>>>,
    /// Raised by what is sent as well, which is written before the connection is asked for more.
    signal: Arc<Signal>,
    idle: Seldom<Sleep>,
    /// Whether a request was accepted, or one that waited was done, since the last look.
    was_used: bool,
}

impl Http2 {
    /// Waits for the client's preface.
    ///
    /// # Errors
    /// What the client says is not HTTP/2, or the connection broke.
    pub(super) async fn new(
        wire: Wire,
        handler: Arc<dyn Handler>,
        about: Arc<Connection>,
        signal: Arc<Signal>,
    ) -> Result<Self, h2::Error> {
        let connection = Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_local_error_reset_streams(Some(ERRORS_MAX))
            .handshake(wire)
            .await?;
        let idle = Seldom::new(tokio::time::sleep(IDLE_TIMEOUT));
        Ok(Self {
            connection,
            handler,
            about,
            exchanges: FuturesUnordered::new(),
            signal,
            idle,
            was_used: false,
        })
    }

    /// Accepts no more requests; the connection is done once those that there are have been answered.
    pub(super) fn graceful_shutdown(&mut self) {
        self.connection.graceful_shutdown();
    }

    /// Ends a connection that nobody uses. It is looked at seldom, so that no request pays for it.
    fn end_if_idle(&mut self, cx: &mut Context<'_>) {
        while Pin::new(&mut self.idle).poll(cx).is_ready() {
            if !std::mem::take(&mut self.was_used) && self.exchanges.is_empty() {
                self.graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            self.idle.change().reset(Instant::now() + IDLE_TIMEOUT);
        }
    }

    /// Goes on with those that wait, as far as they can. What panics ends alone.
    fn exchange(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(_)) = self.exchanges.poll_next_unpin(cx) {
            self.was_used = true;
        }
    }

    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Piece>, cx: &mut Context<'_>) {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let remaining = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let request = request.map(|stream| RequestBody::Http2 { stream: Received::new(stream), remaining });
        let answer = self.handler.clone().handle(self.about.clone(), request);
        let mut exchange = Exchange::Answering { answering: Answering::Here(answer), respond };
        if Pin::new(&mut exchange).poll(cx).is_pending() {
            self.exchanges.push(AssertUnwindSafe(exchange).catch_unwind());
        }
    }
}

impl Future for Http2 {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        pace::wakes();
        this.exchange(cx);
        let mut begun = 0;
        loop {
            this.signal.lower();
            let Poll::Ready(accepted) = this.connection.poll_accept(cx) else { break };
            let Some(accepted) = accepted else { return Poll::Ready(Ok(())) };
            let (request, respond) = accepted?;
            this.was_used = true;
            this.begin(request, respond, cx);
            begun += 1;
            if begun == BEGUN_MAX {
                cx.waker().wake_by_ref();
                break;
            }
        }
        // Whatever was woken before the signal was lowered.
        this.exchange(cx);
        this.end_if_idle(cx);
        Poll::Pending
    }
}

/// A request and its answer.
enum Exchange {
    /// The answer is in the making.
    Answering { answering: Answering, respond: SendResponse<Piece> },
    /// Its body is being sent, which comes over time or is long.
    Sending { stream: SendStream<Piece>, body: ResponseBody, unsent: Arc<Unsent> },
}

impl Future for Exchange {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        pace::works();
        if let Self::Answering { answering, respond } = &mut *self {
            let Poll::Ready(response) = Pin::new(answering).poll(cx) else {
                // A client that wants the answer no more ends its making.
                return respond.poll_reset(cx).map(drop);
            };
            match respond_with(respond, response) {
                Ok(Some((stream, body))) => *self = Self::Sending { stream, body, unsent: Arc::default() },
                Ok(None) => return Poll::Ready(()),
                Err(error) => {
                    tracing::debug!(%error, "cannot send an answer");
                    respond.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
            }
        }
        let Self::Sending { stream, body, unsent } = &mut *self else { return Poll::Ready(()) };
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            ready!(unsent.poll_room(cx));
            let (bytes, is_last) = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => (frame.into_data().unwrap_or_default(), body.is_end_stream()),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the body of an answer breaks off");
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                None => (Bytes::new(), true),
            };
            pace::sends();
            let sent = stream.send_data(Piece::counted(bytes, unsent), is_last);
            if sent.is_err() || is_last {
                return Poll::Ready(());
            }
            if body.is_waiting() {
                return Poll::Pending;
            }
        }
    }
}

/// Sends an answer's headers, and its body if it is at hand. Else the body is to be sent.
fn respond_with(
    respond: &mut SendResponse<Piece>,
    response: Response<ResponseBody>,
) -> Result<Option<(SendStream<Piece>, ResponseBody)>, h2::Error> {
    let (mut parts, body) = response.into_parts();
    parts.headers.entry(header::DATE).or_insert_with(date);
    let is_empty = body.is_end_stream();
    if !is_empty && let Some(length) = body.size_hint().exact() {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let mut stream = respond.send_response(Response::from_parts(parts, ()), is_empty)?;
    match body {
        _ if is_empty => Ok(None),
        // Whoever made it has it in memory as it is: there is nothing to wait for.
        ResponseBody::Full(bytes) => stream.send_data(Piece { bytes, unsent: None }, true).map(|()| None),
        body => Ok(Some((stream, body))),
    }
}

/// How much of an answer's body was given away and not sent yet: what a client that does not read makes us hold.
#[derive(Debug, Default)]
struct Unsent {
    bytes: AtomicUsize,
    task: AtomicWaker,
}

impl Unsent {
    /// Ready once there is room for more.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let has_room = || self.bytes.load(Ordering::SeqCst) < STREAM_SEND_BUFFER_BYTES;
        if has_room() {
            return Poll::Ready(());
        }
        // First register, then look: what is sent in between wakes.
        self.task.register(cx.waker());
        if has_room() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Bytes on their way.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    unsent: Option<Arc<Unsent>>,
}

impl Piece {
    fn counted(bytes: Bytes, unsent: &Arc<Unsent>) -> Self {
        unsent.bytes.fetch_add(bytes.len(), Ordering::SeqCst);
        Self { bytes, unsent: Some(unsent.clone()) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(unsent) = &self.unsent {
            let before = unsent.bytes.fetch_sub(count, Ordering::SeqCst);
            // Who waits has seen more.
            if before >= STREAM_SEND_BUFFER_BYTES && before - count < STREAM_SEND_BUFFER_BYTES {
                unsent.task.wake();
            }
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // Of a stream that was reset.
        if !self.bytes.is_empty() {
            self.advance(self.bytes.len());
        }
    }
}

/// The `Date` of an answer, which is made once a second.
fn date() -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
    }
    let now = Timestamp::now();
    LAST.with_borrow_mut(|(second, value)| {
        if *second != now.as_second() {
            let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
            if let Some(made) = text.ok().and_then(|text| HeaderValue::try_from(text).ok()) {
                (*second, *value) = (now.as_second(), made);
            }
        }
        value.clone()
    })
}
