//! Compression of long answers for clients that ask for it.
//!
//! A list is compressed piece by piece as the connection takes it, so that no worker is held up by it.
//!
//! Upstream: `deferredResponseWriter` in
//! `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/writers.go`.

use crate::body::{ByteStream, ResponseBody};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Body;
use std::io::Write;
use std::task::{Context, Poll};

/// Answers shorter than this are sent as they are, as upstream.
const LENGTH_MIN: u64 = 128 << 10;
/// What is compressed at once: less than half a millisecond of work.
const PIECE_BYTES: usize = 64 << 10;

/// Whether a client takes compressed answers.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok());
    accepted.is_some_and(|list| list.split(',').any(|coding| coding.trim() == "gzip"))
}

/// The answer, compressed if it is long enough.
pub(crate) fn compress(response: Response<ResponseBody>) -> Response<ResponseBody> {
    // Only what is long is made piece by piece.
    let long = match response.body() {
        ResponseBody::Pieces(_) => true,
        body => body.size_hint().exact().is_some_and(|length| length > LENGTH_MIN),
    };
    // A range is one of the bytes as they are.
    let is_final = [header::CONTENT_ENCODING, header::CONTENT_RANGE];
    if !long || is_final.iter().any(|name| response.headers().contains_key(name)) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let pieces: Pieces = match body {
        ResponseBody::Full(bytes) => Box::new(std::iter::once(bytes)),
        ResponseBody::Chunks { parts, .. } => Box::new(parts.into_iter()),
        ResponseBody::Pieces(pieces) => pieces,
        other => return Response::from_parts(parts, other),
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let varies = HeaderValue::from_static("Accept-Encoding");
    if !parts.headers.get_all(header::VARY).iter().any(|value| *value == varies) {
        parts.headers.append(header::VARY, varies);
    }
    let encoder = Some(GzEncoder::new(Vec::with_capacity(PIECE_BYTES / 4), Compression::new(1)));
    Response::from_parts(parts, ResponseBody::Stream(Box::new(Gzip { pieces, first: Bytes::new(), encoder })))
}

type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

/// Pieces on their way through the encoder.
struct Gzip {
    pieces: Pieces,
    /// What of a piece is still to be compressed.
    first: Bytes,
    /// `None` at the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Gzip {
    fn next_piece(&mut self) -> Option<Bytes> {
        while self.first.is_empty() {
            self.first = self.pieces.next()?;
        }
        Some(self.first.split_to(self.first.len().min(PIECE_BYTES)))
    }
}

impl ByteStream for Gzip {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while let Some(piece) = self.next_piece() {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            // Writing to memory does not fail.
            let _ = encoder.write_all(&piece);
            let made = std::mem::take(encoder.get_mut());
            if !made.is_empty() {
                return Poll::Ready(Some(made.into()));
            }
        }
        let rest = self.encoder.take().and_then(|encoder| encoder.finish().ok());
        Poll::Ready(rest.map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;
    use std::collections::VecDeque;
    use std::io::Read;

    #[tokio::test]
    async fn long_answers_come_back_whole() {
        let text = |n: usize| (0..n).flat_map(|i| i.to_string().into_bytes()).collect::<Vec<u8>>();
        let long = text(100_000);
        let chunks: VecDeque<Bytes> = long.chunks(7_001).map(Bytes::copy_from_slice).collect();
        let bodies = [
            (ResponseBody::from(text(1_000)), false, text(1_000)),
            (ResponseBody::from(vec![0; 128 << 10]), false, vec![0; 128 << 10]),
            (ResponseBody::from(vec![0; 1 << 20]), true, vec![0; 1 << 20]),
            (ResponseBody::from(long.clone()), true, long.clone()),
            (ResponseBody::chunks(chunks.clone()), true, long.clone()),
            (ResponseBody::Pieces(Box::new(chunks.into_iter())), true, long),
        ];
        for (body, compressed, want) in bodies {
            let response = compress(Response::new(body));
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), compressed);
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let mut got = Vec::new();
            if compressed {
                assert!(bytes.len() < want.len());
                GzDecoder::new(&bytes[..]).read_to_end(&mut got).unwrap();
            } else {
                got = bytes.to_vec();
            }
            assert!(got == want);
        }
    }

    #[test]
    fn only_who_asks_gets_it() {
        let table =
            [("", false), ("gzip", true), ("deflate, gzip", true), ("br", false), ("gzip;q=0", false)];
        for (value, want) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(is_wanted(&headers), want, "{value}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
