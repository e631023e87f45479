//! Response bodies: bytes, chunks, or a stream that is polled.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A source of bytes that come over time (a watch, a log).
pub trait ByteStream: Send {
    /// The next bytes; `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// A stream that is polled in a task of its own: what it does may block. Dropping it ends it.
pub(crate) fn apart(mut stream: Box<dyn ByteStream>) -> Box<dyn ByteStream> {
    let (sender, receiver) = mpsc::channel(1);
    let task = tokio::spawn(async move {
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
