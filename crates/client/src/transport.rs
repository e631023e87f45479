//! How a request travels.

use crate::Error;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt;
use http::{Request, Response};
use std::pin::Pin;

/// The bytes of an answer, as they come.
pub type ByteBody = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// The longest answer that is taken in whole, in bytes: lists are the largest, and are asked for in pages.
pub(crate) const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// A way to an API server, under one identity.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request whose URI is a path with a query; the answer's body may go on for hours (watches).
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>>;
}

/// Takes in a body whole.
pub(crate) async fn collect(mut body: ByteBody) -> Result<Bytes, Error> {
    let Some(first) = body.next().await.transpose()? else { return Ok(Bytes::new()) };
    let Some(second) = body.next().await.transpose()? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    while let Some(more) = body.next().await.transpose()? {
        if whole.len() + more.len() > RESPONSE_BYTES_MAX {
            return Err(Error::Decode(format!("the answer is longer than {RESPONSE_BYTES_MAX} bytes")));
        }
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}
