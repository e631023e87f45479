//! Bodies: of requests as their connection brings them, of answers as bytes, chunks or a stream that is polled.

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The body of a request, before it is read.
#[derive(Debug)]
pub enum RequestBody {
    /// From an HTTP/1 connection.
    Http1(Incoming),
    /// From a stream of an HTTP/2 connection.
    Http2 {
        /// What brings it.
        stream: Received,
        /// How many bytes are still to come, if the headers said how many there are.
        remaining: Option<u64>,
    },
    /// From this process; empty once it is read.
    Bytes(Bytes),
}

/// For how long a stream stays open whose request was answered before it was read.
const LINGER: Duration = Duration::from_millis(100);

/// What a stream of an HTTP/2 connection brings. If it is given up before its end, it is reset a little later: clients
/// that are still sending would otherwise learn of the end together with the answer, and curl shows no answer then.
#[derive(Debug)]
pub struct Received(Option<RecvStream>);

impl Received {
    pub(crate) const fn new(stream: RecvStream) -> Self {
        Self(Some(stream))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let Some(stream) = &mut self.0 else { return Poll::Ready(None) };
        let data = ready!(stream.poll_data(cx));
        if let Some(Ok(data)) = &data {
            // There is always as much to give back as was taken.
            let _ = stream.flow_control().release_capacity(data.len());
        }
        Poll::Ready(data)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(stream) = self.0.take().filter(|stream| !stream.is_end_stream()) else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                drop(stream);
            });
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Http2 { stream, remaining } => {
                let data = match ready!(stream.poll_data(cx)) {
                    Some(Ok(data)) => data,
                    // The client needs no more of the answer than it has: RFC 9113 section 8.1.
                    Some(Err(error)) if error.reason() == Some(h2::Reason::NO_ERROR) => {
                        return Poll::Ready(None);
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    None => return Poll::Ready(None),
                };
                *remaining = remaining.map(|bytes| bytes.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2 { stream, .. } => stream.is_end_stream(),
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2 { stream, .. } if stream.is_end_stream() => SizeHint::with_exact(0),
            Self::Http2 { remaining, .. } => remaining.map(SizeHint::with_exact).unwrap_or_default(),
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// A source of bytes that come over time (a watch, a log).
pub trait ByteStream: Send {
    /// The next bytes; `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// Whether these bytes were all that there was, and whoever asked is woken when there are more: to ask again at
    /// once would be in vain.
    fn is_waiting(&self) -> bool {
        false
    }
}

/// A stream that is polled in a task of its own, where `work` is done: what it does may block. Dropping it ends it.
pub(crate) fn apart(mut stream: Box<dyn ByteStream>, work: &Handle) -> Box<dyn ByteStream> {
    let (sender, receiver) = mpsc::channel(1);
    let task = work.spawn(async move {
        // Room first: what is taken from the stream has somebody who waits for it.
        while let Ok(room) = sender.reserve().await {
            match std::future::poll_fn(|cx| stream.poll_next(cx)).await {
                Some(bytes) => room.send(bytes),
                None => return,
            }
        }
    });
    Box::new(Apart { receiver, task })
}

struct Apart {
    receiver: mpsc::Receiver<Bytes>,
    task: JoinHandle<()>,
}

impl ByteStream for Apart {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The body of a response.
pub enum ResponseBody {
    /// Known bytes.
    Full(Bytes),
    /// Known bytes in pieces, shared with whoever holds them.
    Chunks {
        /// What is still to be sent.
        parts: VecDeque<Bytes>,
        /// Its length in bytes.
        remaining: u64,
    },
    /// Bytes that are at hand but made piece by piece, since they are many: a list of everything there is would
    /// take its whole length of memory for each who asks.
    Pieces(Box<dyn Iterator<Item = Bytes> + Send>),
    /// Bytes that come over time.
    Stream(Box<dyn ByteStream>),
    /// Bytes that another server sends (a kubelet, a pod). When it breaks off, so does this: what is not
    /// whole must not look whole.
    Remote {
        /// What it sends.
        body: Incoming,
        /// Completes when this server is to stop.
        stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    },
}

impl ResponseBody {
    /// A body of the given pieces.
    pub fn chunks(parts: VecDeque<Bytes>) -> Self {
        let remaining = parts.iter().map(|p| p.len() as u64).sum();
        Self::Chunks { parts, remaining }
    }

    /// The bytes, where they are at hand. They can be sent all the same.
    pub fn to_vec(&mut self) -> Vec<u8> {
        if let Self::Pieces(pieces) = self {
            *self = Self::chunks(pieces.collect());
        }
        match self {
            Self::Full(bytes) => bytes.to_vec(),
            Self::Chunks { parts, .. } => parts.iter().flat_map(|p| p.iter().copied()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the frame that was polled last was all that there is by now, and the task is woken for the next.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.is_waiting())
    }

    /// No bytes.
    pub const fn empty() -> Self {
        Self::Full(Bytes::new())
    }
}

impl From<Vec<u8>> for ResponseBody {
    fn from(v: Vec<u8>) -> Self {
        Self::Full(v.into())
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = match self.get_mut() {
            Self::Full(b) if b.is_empty() => None,
            Self::Full(b) => Some(std::mem::take(b)),
            Self::Chunks { parts, remaining } => {
                let next = parts.pop_front();
                *remaining -= next.as_ref().map_or(0, |b| b.len() as u64);
                next
            }
            Self::Pieces(pieces) => pieces.next(),
            Self::Stream(s) => match s.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(next) => next,
            },
            Self::Remote { body, stop } => return poll_remote(body, stop.as_mut(), cx),
        };
        Poll::Ready(next.map(|b| Ok(Frame::data(b))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(b) => b.is_empty(),
            Self::Chunks { parts, .. } => parts.is_empty(),
            Self::Pieces(_) | Self::Stream(_) => false,
            Self::Remote { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(b) => SizeHint::with_exact(b.len() as u64),
            Self::Chunks { remaining, .. } => SizeHint::with_exact(*remaining),
            Self::Pieces(_) | Self::Stream(_) => SizeHint::default(),
            Self::Remote { body, .. } => body.size_hint(),
        }
    }
}

fn poll_remote(
    body: &mut Incoming,
    stop: Pin<&mut (dyn Future<Output = ()> + Send)>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
    loop {
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
            // Trailers.
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => break,
        }
    }
    stop.poll(cx).map(|()| Some(Err(io::Error::other("the server is stopping"))))
}
