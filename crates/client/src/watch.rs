//! What a watch brings: a JSON document a line.

use crate::{ByteBody, Error};
use api::Object;
use api::meta::v1::Status;
use bytes::BytesMut;
use futures_util::Stream;
use serde::Deserialize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The longest line, in bytes: an object of the largest size that the server takes, and what goes around it.
const LINE_BYTES_MAX: usize = 16 << 20;

/// What happened to an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
#[serde(bound = "K: Object")]
pub enum Event<K> {
    /// It is there now, or was when the watch began.
    Added(K),
    /// It is other than it was.
    Modified(K),
    /// It is gone; its last state.
    Deleted(K),
    /// Nothing: the watch has come as far as the object's resource version.
    Bookmark(K),
    /// The watch ends.
    Error(Box<Status>),
}

/// The events of one watch. It ends when the server ends it.
pub struct EventStream<K> {
    body: ByteBody,
    buffer: BytesMut,
    /// Up to where the buffer has been looked at for an end of line.
    seen: usize,
    kind: std::marker::PhantomData<fn() -> K>,
}

impl<K: Object> EventStream<K> {
    pub(crate) fn new(body: ByteBody) -> Self {
        Self { body, buffer: BytesMut::new(), seen: 0, kind: std::marker::PhantomData }
    }

    fn line(&mut self) -> Option<BytesMut> {
        let end = self.buffer[self.seen..].iter().position(|byte| *byte == b'\n');
        match end {
            Some(at) => {
                let line = self.buffer.split_to(self.seen + at + 1);
                self.seen = 0;
                Some(line)
            }
            None => {
                self.seen = self.buffer.len();
                None
            }
        }
    }
}

impl<K: Object> Stream for EventStream<K> {
    type Item = Result<Event<K>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(line) = this.line() {
                let event = api::decode_lenient(&line);
                return Poll::Ready(Some(
                    event.map_err(|e| Error::Decode(format!("{} event: {e}", K::KIND))),
                ));
            }
            if this.buffer.len() > LINE_BYTES_MAX {
                let text = format!("an event of a watch is longer than {LINE_BYTES_MAX} bytes");
                return Poll::Ready(Some(Err(Error::Decode(text))));
            }
            match ready!(this.body.as_mut().poll_next(cx)) {
                Some(Ok(bytes)) if this.buffer.is_empty() => this.buffer = BytesMut::from(bytes),
                Some(Ok(bytes)) => this.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::core::v1::ConfigMap;
    use bytes::Bytes;
    use futures_util::StreamExt;

    #[tokio::test]
    async fn lines_may_be_cut_anywhere() {
        let text = concat!(
            r#"{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}}"#,
            "\n",
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#,
            "\n"
        );
        for step in [1, 7, 1000] {
            let parts: Vec<_> =
                text.as_bytes().chunks(step).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            let body: ByteBody = Box::pin(futures_util::stream::iter(parts));
            let events: Vec<_> = EventStream::<ConfigMap>::new(body).collect().await;
            assert_eq!(events.len(), 2);
            assert!(matches!(&events[0], Ok(Event::Added(map)) if map.name() == "a"));
            assert!(matches!(&events[1], Ok(Event::Error(status)) if status.code == Some(410)));
        }
    }
}
