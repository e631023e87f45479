//! Response bodies: bytes, chunks, or a stream that is polled.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A source of bytes that come over time (a watch, a log).
pub trait ByteStream: Send {
    /// The next bytes; `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
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
    /// Bytes that come over time.
    Stream(Box<dyn ByteStream>),
}

impl ResponseBody {
    /// A body of the given pieces.
    pub fn chunks(parts: VecDeque<Bytes>) -> Self {
        let remaining = parts.iter().map(|p| p.len() as u64).sum();
        Self::Chunks { parts, remaining }
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
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Full(b) if b.is_empty() => None,
            Self::Full(b) => Some(std::mem::take(b)),
            Self::Chunks { parts, remaining } => {
                let next = parts.pop_front();
                *remaining -= next.as_ref().map_or(0, |b| b.len() as u64);
                next
            }
            Self::Stream(s) => match s.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(next) => next,
            },
        };
        Poll::Ready(next.map(|b| Ok(Frame::data(b))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(b) => b.is_empty(),
            Self::Chunks { parts, .. } => parts.is_empty(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(b) => SizeHint::with_exact(b.len() as u64),
            Self::Chunks { remaining, .. } => SizeHint::with_exact(*remaining),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
