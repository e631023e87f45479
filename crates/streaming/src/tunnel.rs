//! Port-forwarding over WebSocket: binary messages carry the bytes of a SPDY connection.
//!
//! Upstream: `TunnelingHandler` in `k8s.io/apiserver/pkg/util/proxy/streamtunnel.go`; KEP-4006.

use crate::peer::{Reader, Writer, close_code};
use crate::streams::{Activity, PARTING_TIMEOUT};
use crate::upgrade::Outcome;
use crate::websocket::{self, Opcode};
use crate::{Backend, Error, Streams};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How the names of tunneled protocols begin and end.
const PREFIX: &str = "SPDY/3.1+";
const SUFFIX: &str = ".k8s.io";
const READ_BYTES: usize = 32 << 10;
/// Which protocol is spoken within SPDY.
pub(crate) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// Whether the client wants a tunnel.
pub fn is_request(headers: &HeaderMap) -> bool {
    websocket::is_request(headers) && websocket::offered(headers).iter().any(|p| p.starts_with(PREFIX))
}

/// Turns a client's request for a WebSocket into one for SPDY, as the backend speaks it.
pub(crate) fn spdy_request(mut request: Request<Empty<Bytes>>, protocols: &[&str]) -> Request<Empty<Bytes>> {
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    for name in [header::SEC_WEBSOCKET_PROTOCOL, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
        headers.remove(name);
    }
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    headers.remove(&STREAM_PROTOCOL);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    for value in protocols.iter().filter_map(|p| HeaderValue::try_from(*p).ok()) {
        headers.append(&STREAM_PROTOCOL, value);
    }
    request
}

/// Passes a tunnel on.
///
/// # Errors
/// The backend is not reached or does not speak SPDY.
pub async fn pass(
    streams: &Streams,
    client: OnUpgrade,
    backend: &Backend,
    request: Request<Empty<Bytes>>,
) -> Result<Outcome, Error> {
    let permit = streams.permit()?;
    let headers = request.headers().clone();
    let tunneled = websocket::offered(&headers).into_iter();
    let protocols: Vec<&str> =
        tunneled.filter(|p| p.ends_with(SUFFIX)).filter_map(|p| p.strip_prefix(PREFIX)).collect();
    if protocols.is_empty() {
        return Err(Error::Upgrade("unable to upgrade: no tunneling spdy protocols provided"));
    }
    let mut answer = backend.send(spdy_request(request, &protocols)).await.map_err(Error::of_upgrade)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Outcome::Refused(answer));
    }
    let chosen = answer.headers().get(&STREAM_PROTOCOL).and_then(|v| v.to_str().ok());
    let chosen = chosen.map(|p| format!("{PREFIX}{}", p.trim()));
    let switched = websocket::accept(&headers, chosen.as_deref())?;
    let upgraded = hyper::upgrade::on(&mut answer);
    streams.spawn(permit, async move {
        let backend = upgraded.await?;
        let client = client.await?;
        pump(TokioIo::new(client), TokioIo::new(backend)).await
    });
    Ok(Outcome::Switched(switched))
}

async fn pump(
    client: impl AsyncRead + AsyncWrite,
    backend: impl AsyncRead + AsyncWrite,
) -> Result<(), Error> {
    let (client_read, client_write) = tokio::io::split(client);
    let (backend_read, mut backend_write) = tokio::io::split(backend);
    let (client, activity) = (Writer::new(client_write), Activity::default());
    let result = tokio::select! {
        result = unwrap(Reader::new(client_read), &client, &mut backend_write, &activity) => result,
        result = wrap(backend_read, &client, &activity) => result,
        () = activity.idle() => Ok(()),
    };
    // Who has left is told in vain, and who does not listen is not waited for.
    let parting = async { tokio::join!(client.close(close_code(&result)), backend_write.shutdown()) };
    let _ = tokio::time::timeout(PARTING_TIMEOUT, parting).await;
    result
}

async fn unwrap(
    mut client: Reader<impl AsyncRead + Unpin>,
    answers: &Writer<impl AsyncWrite + Unpin>,
    backend: &mut (impl AsyncWrite + Unpin),
    activity: &Activity,
) -> Result<(), Error> {
    while let Some(data) = client.next(answers, activity).await? {
        backend.write_all(&data.payload).await?;
        backend.flush().await?;
    }
    Ok(())
}

async fn wrap(
    mut backend: impl AsyncRead + Unpin,
    client: &Writer<impl AsyncWrite + Unpin>,
    activity: &Activity,
) -> Result<(), Error> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let n = backend.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        activity.touch();
        client.send(Opcode::Binary, &[&buffer[..n]]).await?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn messages_carry_bytes() {
        let (mut client, server) = duplex(1 << 10);
        let (mut backend, other) = duplex(1 << 10);
        let pumping = tokio::spawn(pump(server, other));
        client.write_all(&[0x82, 0x83, 0, 0, 0, 0, b'a', b'b', b'c']).await.unwrap();
        let mut got = [0; 3];
        backend.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"abc");
        backend.write_all(b"xy").await.unwrap();
        let mut got = [0; 4];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [0x82, 2, b'x', b'y']);
        // A ping is answered, and the end of the backend is told.
        client.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'?']).await.unwrap();
        let mut got = [0; 3];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [0x8a, 1, b'?']);
        drop(backend);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [0x88, 2, 3, 232]);
        pumping.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let (client, server) = duplex(1);
        let (backend, other) = duplex(1 << 10);
        let pumping = tokio::spawn(pump(server, other));
        drop(backend);
        pumping.await.unwrap().unwrap();
        drop(client);
    }

    #[test]
    fn requests() {
        let request = Request::get("/portForward/a/b")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io")
            .header("sec-websocket-key", "x")
            .body(Empty::new())
            .unwrap();
        assert!(is_request(request.headers()));
        let spdy = spdy_request(request, &["portforward.k8s.io"]);
        let text = format!("{} {:?}", spdy.method(), spdy.headers());
        let want = "POST {\"connection\": \"Upgrade\", \"upgrade\": \"SPDY/3.1\", \"x-stream-protocol-version\": \"portforward.k8s.io\"}";
        assert_eq!(text, want);
    }
}
