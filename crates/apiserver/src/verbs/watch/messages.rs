//! A watch that is sent over something with messages of its own.

use crate::body::ResponseBody;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The events of a watch one by one: lines of text, or what follows its length of four bytes.
pub(super) struct Messages {
    body: ResponseBody,
    rest: Bytes,
    is_text: bool,
}

impl Messages {
    pub(super) fn new(body: ResponseBody, is_text: bool) -> Self {
        Self { body, rest: Bytes::new(), is_text }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.is_text {
            let end = self.rest.iter().position(|byte| *byte == b'\n')?;
            return Some(self.rest.split_to(end + 1));
        }
        let (length, _) = self.rest.split_first_chunk::<4>()?;
        let end = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(4)?;
        let whole = (end <= self.rest.len()).then(|| self.rest.split_to(end))?;
        Some(whole.slice(4..))
    }
}

impl Body for Messages {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(event) = self.next() {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    // A piece holds whole events.
                    self.rest =
                        if self.rest.is_empty() { data } else { [&self.rest[..], &data].concat().into() };
                }
                other => return Poll::Ready(other),
            }
        }
    }
}
