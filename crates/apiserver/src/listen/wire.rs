//! The bytes of a connection. What a turn of its task writes is gathered and goes out at the turn's end, so
//! that an event for fifty watches of one connection costs a few TLS records and one system call, not fifty.

use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What is left free before what is gathered. A record's text begins five bytes behind the beginning of its memory, and
/// what goes from one place of a page to five bytes behind the same place of another takes AMD's processors twenty times
/// as long as other copies, by the instruction that the C library uses (`rep movsb`).
const GAP_BYTES: usize = 64;

/// How much is gathered: what makes a TLS record of 16 KiB, with its header, its type and its tag. It is also all
/// that a peer that never reads makes us hold, encrypted: nothing is gathered while that waits.
pub(super) const RECORD_BYTES: usize = (16 << 10) - GAP_BYTES;

/// How far the other end has taken what it was sent. What comes over time is made piece by piece, as it is taken: a
/// thousand that never read would be held a thousand times the same.
#[derive(Debug, Default)]
pub struct Outflow {
    /// How often all that there was has been sent.
    sent: AtomicU64,
    is_awaited: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Outflow {
    /// How often all that there was has been sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Ready once all has been sent more often than so.
    pub(crate) fn poll_sent(&self, before: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        // Both orders are total: whoever sends either sees this or is seen to have sent.
        self.is_awaited.store(true, Ordering::SeqCst);
        if self.sent() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    fn all_sent(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// A connection, shared by who speaks HTTP on it and who ends the turns.
#[derive(Clone, Debug)]
pub(super) struct Wire(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    tls: TlsStream<TcpStream>,
    /// Behind a gap; without one when there is nothing.
    gathered: Vec<u8>,
    /// Whether a turn is under way, at whose end all is sent. Upgraded connections have no turns.
    in_turn: bool,
    outflow: Arc<Outflow>,
}

impl Wire {
    pub(super) fn new(tls: TlsStream<TcpStream>, outflow: Arc<Outflow>) -> Self {
        Self(Arc::new(Mutex::new(State { tls, gathered: Vec::new(), in_turn: false, outflow })))
    }

    /// Begins a turn: flushing waits for its end.
    pub(super) fn begin_turn(&self) {
        self.0.lock().in_turn = true;
    }

    /// Ends a turn: sends what it has gathered, as far as the peer takes it.
    pub(super) fn end_turn(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        state.in_turn = false;
        state.send(cx)
    }
}

impl State {
    /// How many bytes are gathered.
    fn gathered(&self) -> usize {
        self.gathered.len().saturating_sub(GAP_BYTES)
    }

    /// Hands what is gathered to TLS, and that to the socket. Ready when nothing is left.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let result = loop {
            let Some(rest) = self.gathered.get(GAP_BYTES + sent..).filter(|rest| !rest.is_empty()) else {
                break Poll::Ready(Ok(()));
            };
            match Pin::new(&mut self.tls).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if sent == self.gathered() {
            // Most connections are idle at any time: they hold no buffer.
            self.gathered = Vec::new();
        } else {
            self.gathered.drain(GAP_BYTES..GAP_BYTES + sent);
        }
        ready!(result)?;
        ready!(Pin::new(&mut self.tls).poll_flush(cx))?;
        self.outflow.all_sent();
        Poll::Ready(Ok(()))
    }

    /// Takes what the record has room for.
    fn write(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.gathered() >= RECORD_BYTES || !self.in_turn && self.gathered() > 0 {
            ready!(self.send(cx))?;
        }
        if !self.in_turn {
            return Pin::new(&mut self.tls).poll_write_vectored(cx, bufs);
        }
        let (before, room) = (self.gathered(), RECORD_BYTES - self.gathered());
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(room);
        if before == 0 {
            // Nothing is gathered for a peer that has not taken what was sent before.
            ready!(self.send(cx))?;
            self.gathered.reserve(GAP_BYTES + length.max(1 << 10));
            self.gathered.resize(GAP_BYTES, 0);
        } else if length > self.gathered.capacity() - self.gathered.len() {
            // More than one answer: as a rule they are many.
            self.gathered.reserve_exact(room);
        }
        for buf in bufs {
            let room = RECORD_BYTES - self.gathered();
            self.gathered.extend_from_slice(buf.get(..room).unwrap_or(buf));
        }
        Poll::Ready(Ok(length))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().write(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.in_turn { Poll::Ready(Ok(())) } else { state.send(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        ready!(state.send(cx))?;
        Pin::new(&mut state.tls).poll_shutdown(cx)
    }
}
