//! Entry points for fuzzing: any bytes, no panic, and the promises that are asserted.

use crate::peer::{Reader, Writer};
use crate::streams::Activity;
use crate::translate::{self, Numbers, Server};
use crate::{messages, spdy, tunnel, upgrade, websocket};
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;

/// The streams of a command as they are opened.
const NUMBERS: Numbers = Numbers { error: 1, stdin: 3, stdout: 5, stderr: 7, resize: 9 };

/// The result of work that waits for nothing: its connections are slices and vectors.
fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits for bytes that are there"),
    }
}

/// What a client of `kubectl exec` sends: no more comes out than went in, on the two streams that it may use.
pub fn command_client(data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    let (client, server) = (Writer::new(Vec::new()), Server { write: Mutex::new(Vec::new()) });
    let mut reader = Reader::new(first.chain(second));
    let _ = now(translate::client_to_server(&mut reader, &client, &server, NUMBERS, &Activity::default()));
    let mut sent = BytesMut::from(server.write.into_inner().as_slice());
    let (mut decoder, mut length) = (spdy::Decoder::default(), 0);
    while let Some(event) = decoder.next(&mut sent).expect("what is sent can be read") {
        let spdy::Event::Data { stream, payload, .. } = event else { panic!("only data is sent") };
        assert!([NUMBERS.stdin, NUMBERS.resize].contains(&stream), "stream {stream}");
        length += payload.len();
    }
    assert!(sent.is_empty() && length <= data.len());
}

/// What a runtime answers to `exec`: it always ends with a status, of bounded length.
pub fn command_server(data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    let (client, server) = (Writer::new(Vec::new()), Server { write: Mutex::new(Vec::new()) });
    let read = first.chain(second);
    let status = now(translate::server_to_client(read, &client, &server, NUMBERS, &Activity::default()));
    assert!(
        status.is_ok_and(|status| !status.is_empty() && status.len() <= data.len().max(64))
            || !data.is_empty()
    );
}

/// The headers of a request (`NAME:VALUE` lines) that asks for another protocol.
pub fn handshake(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|b| *b == b'\n') {
        let mut parts = line.splitn(2, |b| *b == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let offered = websocket::offered(&headers);
    let _ = (upgrade::is_upgrade(&headers), tunnel::is_request(&headers), translate::is_request(&headers));
    if let Ok((protocol, _)) = messages::negotiate(&headers) {
        assert!(protocol.is_none_or(|protocol| offered.contains(&protocol)), "one of the client's");
    }
    if let Ok(answer) = websocket::accept(&headers, offered.first().copied()) {
        assert!(websocket::is_request(&headers));
        // RFC 6455 section 4.2.2: base64 of a SHA-1.
        let key = answer.headers().get(http::header::SEC_WEBSOCKET_ACCEPT);
        assert_eq!(key.map(HeaderValue::len), Some(28));
    }
}
