//! A body that is sent as WebSocket messages, for clients that cannot read it otherwise (browsers).
//!
//! Upstream: `wsstream.Reader` in `k8s.io/streaming/pkg/httpstream/wsstream/stream.go`.

use crate::peer::{Reader, Writer, close_code};
use crate::streams::Activity;
use crate::upgrade::Outcome;
use crate::websocket::{self, Opcode};
use crate::{Error, Streams};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::ORIGIN;
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";

/// How the bytes are put into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    Base64,
    /// For what is text itself.
    Text,
}

/// The first protocol of the client's that is known here; a client may name none.
pub(crate) fn negotiate(headers: &HeaderMap) -> Result<(Option<&'static str>, Form), Error> {
    let offered = websocket::offered(headers);
    if offered.is_empty() {
        return Ok((None, Form::Binary));
    }
    let known = |name: &&str| match *name {
        BINARY => Some((Some(BINARY), Form::Binary)),
        BASE64 => Some((Some(BASE64), Form::Base64)),
        _ => None,
    };
    offered.iter().find_map(known).ok_or(Error::Upgrade("websocket: none of the client's protocols is known"))
}

/// Agrees to the client's request and sends the body.
///
/// # Errors
/// The request is no handshake, or there are too many connections.
pub fn send<B>(streams: &Streams, client: OnUpgrade, headers: &HeaderMap, body: B) -> Result<Outcome, Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let permit = streams.permit()?;
    let (protocol, form) = negotiate(headers)?;
    let switched = websocket::accept(headers, protocol)?;
    streams.spawn(permit, async move {
        let (client, activity) = (TokioIo::new(client.await?), Activity::default());
        transmit(client, body, form, &activity, activity.idle()).await
    });
    Ok(Outcome::Switched(switched))
}

/// As [`send`], for the events of a watch: each piece of the body is a message, and however long nothing happens, it
/// goes on. Upstream: `HandleWS` in `k8s.io/apiserver/pkg/endpoints/handlers/watch.go`.
///
/// # Errors
/// The handshake is refused, or there are too many connections.
pub fn send_events<B>(
    streams: &Streams,
    client: OnUpgrade,
    headers: &HeaderMap,
    body: B,
    is_text: bool,
) -> Result<Outcome, Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let permit = streams.permit()?;
    let switched = accept_events(headers)?;
    let form = if is_text { Form::Text } else { Form::Binary };
    streams.spawn(permit, async move {
        let client = TokioIo::new(client.await?);
        transmit(client, body, form, &Activity::default(), std::future::pending()).await
    });
    Ok(Outcome::Switched(switched))
}

/// Here upstream's handshake is that of `golang.org/x/net/websocket`, which knows no protocols and wants to know where
/// the client comes from.
fn accept_events(headers: &HeaderMap) -> Result<Response<()>, Error> {
    let refused = |code, why| Err(Error::Refused { code, why });
    let protocols = websocket::offered(headers);
    let switched = match websocket::accept(headers, protocols.first().copied()) {
        Err(Error::Upgrade(why)) => return refused(StatusCode::BAD_REQUEST, why),
        switched => switched?,
    };
    let origin = headers.get(ORIGIN).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !origin.starts_with('/') && origin.parse::<Uri>().map_or(true, |uri| uri.scheme().is_none()) {
        return refused(StatusCode::FORBIDDEN, "");
    }
    if protocols.len() > 1 {
        return refused(StatusCode::BAD_REQUEST, "");
    }
    Ok(switched)
}

/// Sends the body until it or the client ends, or it is given up.
async fn transmit<B>(
    client: impl AsyncRead + AsyncWrite,
    body: B,
    form: Form,
    activity: &Activity,
    given_up: impl Future<Output = ()>,
) -> Result<(), Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (read, write) = tokio::io::split(client);
    let client = Writer::new(write);
    let result = tokio::select! {
        result = listen(Reader::new(read), &client, activity) => result,
        result = speak(&client, body, form, activity) => result,
        () = given_up => Ok(()),
    };
    // Who has left is told in vain.
    let _ = client.close(close_code(&result)).await;
    result
}

async fn speak<B>(
    client: &Writer<impl AsyncWrite + Unpin>,
    mut body: B,
    form: Form,
    activity: &Activity,
) -> Result<(), Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(std::io::Error::other)?.into_data() else { continue };
        activity.touch();
        match form {
            Form::Binary => client.send(Opcode::Binary, &[&data]).await?,
            Form::Text => client.send(Opcode::Text, &[&data]).await?,
            Form::Base64 => client.send(Opcode::Text, &[STANDARD.encode(&data).as_bytes()]).await?,
        }
    }
    Ok(())
}

/// The client has nothing to say but that it is there, or that it goes.
async fn listen(
    mut client: Reader<impl AsyncRead + Unpin>,
    answers: &Writer<impl AsyncWrite + Unpin>,
    activity: &Activity,
) -> Result<(), Error> {
    while client.next(answers, activity).await?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;
    use http::header::SEC_WEBSOCKET_PROTOCOL;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, duplex};

    #[tokio::test]
    async fn a_body_is_sent() {
        for (form, want) in [
            (Form::Binary, &[0x82, 3, b'a', b'b', b'c', 0x88, 2, 3, 232][..]),
            (Form::Base64, &[0x81, 4, b'Y', b'W', b'J', b'j', 0x88, 2, 3, 232]),
            (Form::Text, &[0x81, 3, b'a', b'b', b'c', 0x88, 2, 3, 232]),
        ] {
            let (mut client, server) = duplex(1 << 10);
            let (body, activity) = (Full::new(Bytes::from("abc")), Activity::default());
            transmit(server, body, form, &activity, std::future::pending()).await.unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, want);
        }
    }

    #[test]
    fn protocols() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(text));
            negotiate(&headers).ok()
        };
        assert_eq!(of("x, base64.binary.k8s.io, binary.k8s.io"), Some((Some(BASE64), Form::Base64)));
        assert_eq!(of("binary.k8s.io"), Some((Some(BINARY), Form::Binary)));
        assert_eq!(of(""), Some((None, Form::Binary)));
        assert_eq!(of("x"), None);
    }

    #[test]
    fn handshakes_of_watches() {
        let of = |changes: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            let usual = [
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("origin", "https://example.com"),
            ];
            for (name, value) in usual.iter().chain(changes) {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            match accept_events(&headers) {
                Ok(response) => (
                    101,
                    response.headers().get(SEC_WEBSOCKET_PROTOCOL).map(|v| v.to_str().unwrap().to_owned()),
                ),
                Err(Error::Refused { code, why }) => (code.as_u16(), Some(why.to_owned())),
                Err(error) => panic!("{error}"),
            }
        };
        let refused = |code, why: &str| (code, Some(why.to_owned()));
        assert_eq!(of(&[]), (101, None));
        assert_eq!(of(&[("sec-websocket-protocol", "any")]), (101, Some("any".into())));
        assert_eq!(of(&[("sec-websocket-protocol", "a, b")]), refused(400, ""));
        for origin in ["", "null", "x y"] {
            assert_eq!(of(&[("origin", origin)]), refused(403, ""), "{origin}");
        }
        let version = "websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header";
        assert_eq!(of(&[("sec-websocket-version", "8")]), refused(400, version));
    }
}
