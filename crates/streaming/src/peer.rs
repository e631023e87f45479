//! The client at the other end of a WebSocket: its messages, and ours.

use crate::Error;
use crate::streams::Activity;
use crate::websocket::{self, Decoder, Event, Opcode};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

const READ_BYTES: usize = 32 << 10;

/// A piece of a message.
pub(crate) struct Data {
    pub(crate) first: bool,
    pub(crate) last: bool,
    pub(crate) payload: Bytes,
}

/// Reads what the client sends.
pub(crate) struct Reader<R> {
    read: R,
    decoder: Decoder,
    input: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(read: R) -> Self {
        Self { read, decoder: Decoder::default(), input: BytesMut::new() }
    }

    /// The connection, when nothing of what comes matters any more.
    pub(crate) fn into_inner(self) -> R {
        self.read
    }

    /// The next piece of a message; `None` when the client goes. Pings are answered on the way.
    ///
    /// # Errors
    /// The client's frames make no sense, or the connection broke.
    pub(crate) async fn next<W: AsyncWrite + Unpin>(
        &mut self,
        answers: &Writer<W>,
        activity: &Activity,
    ) -> Result<Option<Data>, Error> {
        loop {
            match self.decoder.next(&mut self.input)? {
                Some(Event::Data { first, last, payload }) => return Ok(Some(Data { first, last, payload })),
                Some(Event::Ping(payload)) => answers.send(Opcode::Pong, &[&payload]).await?,
                Some(Event::Pong) => {}
                Some(Event::Close) => return Ok(None),
                None => {
                    self.input.reserve(READ_BYTES);
                    if self.read.read_buf(&mut self.input).await? == 0 {
                        return Ok(None);
                    }
                    activity.touch();
                }
            }
        }
    }
}

/// Sends to the client; messages of several tasks do not mix.
pub(crate) struct Writer<W>(Mutex<W>);

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) fn new(write: W) -> Self {
        Self(Mutex::new(write))
    }

    /// Sends one frame.
    pub(crate) async fn send(&self, opcode: Opcode, parts: &[&[u8]]) -> Result<(), Error> {
        let frame = websocket::frame(opcode, parts);
        let mut write = self.0.lock().await;
        write.write_all(&frame).await?;
        Ok(write.flush().await?)
    }

    /// The connection, when nothing more is to be sent.
    pub(crate) fn into_inner(self) -> W {
        self.0.into_inner()
    }

    /// Says good-bye.
    pub(crate) async fn close(&self, code: u16) -> Result<(), Error> {
        self.send(Opcode::Close, &[&code.to_be_bytes()]).await?;
        Ok(self.0.lock().await.shutdown().await?)
    }
}

/// The code that tells how it went.
pub(crate) fn close_code<T>(result: &Result<T, Error>) -> u16 {
    if result.is_ok() { websocket::CLOSE_NORMAL } else { websocket::CLOSE_ERROR }
}
