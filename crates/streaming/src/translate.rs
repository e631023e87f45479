//! exec and attach over WebSocket (`v5.channel.k8s.io`), translated to SPDY (`v4.channel.k8s.io`).
//!
//! Only version 5 can tell the end of stdin over WebSocket, and runtimes do not speak it; SPDY can tell it in
//! any version. Upstream: `StreamTranslatorHandler` in `k8s.io/apiserver/pkg/util/proxy/streamtranslator.go`,
//! `k8s.io/client-go/tools/remotecommand/v4.go`; KEP-4006.

use crate::peer::{Data, Reader, Writer};
use crate::streams::{Activity, part};
use crate::tunnel::spdy_request;
use crate::upgrade::Outcome;
use crate::websocket::{self, Opcode};
use crate::{Backend, Error, Streams, spdy};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

/// What the client speaks.
const WEBSOCKET_PROTOCOL: &str = "v5.channel.k8s.io";
/// What the backend speaks.
const SPDY_PROTOCOL: &str = "v4.channel.k8s.io";
/// Channels of a message, its first byte (`apimachinery/pkg/util/remotecommand/constants.go`).
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
const READ_BYTES: usize = 32 << 10;
/// The largest Status of how a command ended, and the largest refusal of a backend that is told.
const STATUS_BYTES_MAX: usize = 64 << 10;
/// How often the backend is asked whether it is there, as upstream.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long the last message may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Which streams the client asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// To the command.
    pub stdin: bool,
    /// From it.
    pub stdout: bool,
    /// From it; with a terminal there is none.
    pub stderr: bool,
    /// Whether there is a terminal, whose size may change.
    pub tty: bool,
}

/// Whether the client speaks what is translated here.
pub fn is_request(headers: &HeaderMap) -> bool {
    websocket::is_request(headers) && websocket::offered(headers).contains(&WEBSOCKET_PROTOCOL)
}

/// Agrees to the client's request and passes its streams on. What goes wrong afterwards is told on the error
/// channel, as upstream does.
///
/// # Errors
/// The request is no handshake, or there are too many connections.
pub fn pass(
    streams: &Streams,
    client: OnUpgrade,
    backend: Backend,
    request: Request<Empty<Bytes>>,
    wanted: Wanted,
) -> Result<Outcome, Error> {
    let permit = streams.permit()?;
    let switched = websocket::accept(request.headers(), Some(WEBSOCKET_PROTOCOL))?;
    let request = spdy_request(request, &[SPDY_PROTOCOL]);
    streams.spawn(permit, async move {
        let client = TokioIo::new(client.await?);
        let (read, write) = tokio::io::split(client);
        let client = Writer::new(write);
        // An empty message tells the client that it is connected.
        let hello = [(wanted.stdout, STDOUT), (wanted.stderr, STDERR), (true, ERROR)];
        let lowest = hello.iter().find(|(is, _)| *is).map_or(ERROR, |(_, channel)| *channel);
        client.send(Opcode::Binary, &[&[lowest]]).await?;
        let mut read = Reader::new(read);
        let status = match connect(&backend, request).await {
            Ok(backend) => run(&mut read, &client, backend, wanted).await,
            Err(status) => Some(status),
        };
        let farewell = async {
            if let Some(status) = status {
                client.send(Opcode::Binary, &[&[ERROR], &status]).await?;
            }
            client.close(websocket::CLOSE_NORMAL).await
        };
        let told = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await.unwrap_or(Ok(()));
        part(read.into_inner(), client.into_inner()).await;
        told
    });
    Ok(Outcome::Switched(switched))
}

/// The upgraded connection to the backend, or the Status that says why there is none.
async fn connect(
    backend: &Backend,
    request: Request<Empty<Bytes>>,
) -> Result<TokioIo<hyper::upgrade::Upgraded>, Bytes> {
    let url = format!("https://{}{}", backend.authority(), request.uri());
    let mut answer = backend.send(request).await.map_err(|error| {
        internal_error(&format!("error sending request: Post \"{url}\": {}", error.of_upgrade()))
    })?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut answer).await;
        return upgraded.map(TokioIo::new).map_err(|e| internal_error(&e.to_string()));
    }
    let body = Limited::new(answer.into_body(), STATUS_BYTES_MAX).collect().await;
    let body = body.map(|b| b.to_bytes()).unwrap_or_default();
    if body.starts_with(b"{") {
        return Err(body);
    }
    let text = String::from_utf8_lossy(&body);
    Err(internal_error(&format!("unable to upgrade connection: {}", text.trim_end())))
}

/// A Status as `apierrors.NewInternalError` makes it.
fn internal_error(why: &str) -> Bytes {
    let mut escaped = String::with_capacity(why.len());
    for c in why.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":"Internal error occurred: {escaped}","reason":"InternalError","details":{{"causes":[{{"message":"{escaped}"}}]}},"code":500}}"#
    )
    .into()
}

/// The streams by their SPDY numbers; 0 is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) stdin: u32,
    pub(crate) stdout: u32,
    pub(crate) stderr: u32,
    pub(crate) error: u32,
    pub(crate) resize: u32,
}

pub(crate) struct Server<W> {
    pub(crate) write: Mutex<W>,
}

impl<W: AsyncWrite + Unpin> Server<W> {
    async fn send(&self, parts: &[&[u8]]) -> Result<(), Error> {
        let mut write = self.write.lock().await;
        for part in parts {
            write.write_all(part).await?;
        }
        Ok(write.flush().await?)
    }

    /// Sends a frame unless another is being sent. Whether it arrives shows in what is read.
    async fn answer(&self, frame: &[u8]) {
        if let Ok(mut write) = self.write.try_lock()
            && write.write_all(frame).await.is_ok()
        {
            let _ = write.flush().await;
        }
    }

    async fn data(&self, stream: u32, payload: &[u8], last: bool) -> Result<(), Error> {
        if stream == 0 {
            return Ok(());
        }
        self.send(&[&spdy::data_head(stream, payload.len(), last), payload]).await
    }

    /// Opens what is wanted, in the order of upstream's client.
    async fn open(&self, wanted: Wanted) -> Result<Numbers, Error> {
        let mut encoder = spdy::Encoder::new()?;
        let mut numbers = Numbers::default();
        let streams = [
            (true, "error", &mut numbers.error),
            (wanted.stdin, "stdin", &mut numbers.stdin),
            (wanted.stdout, "stdout", &mut numbers.stdout),
            (wanted.stderr && !wanted.tty, "stderr", &mut numbers.stderr),
            (wanted.tty, "resize", &mut numbers.resize),
        ];
        for (is_wanted, kind, number) in streams {
            if is_wanted {
                let (stream, frame) = encoder.open(&[("streamtype", kind)])?;
                self.send(&[&frame]).await?;
                *number = stream;
            }
        }
        // Nothing is sent on the error stream.
        self.data(numbers.error, &[], true).await?;
        Ok(numbers)
    }
}

/// Passes the streams on; gives the Status of how the command ended, if there is somebody to tell it to.
async fn run(
    read: &mut Reader<impl AsyncRead + Unpin>,
    client: &Writer<impl AsyncWrite + Unpin>,
    backend: impl AsyncRead + AsyncWrite,
    wanted: Wanted,
) -> Option<Bytes> {
    let (backend_read, backend_write) = tokio::io::split(backend);
    let server = Server { write: Mutex::new(backend_write) };
    let activity = Activity::default();
    let result = async {
        let numbers = server.open(wanted).await?;
        tokio::select! {
            result = client_to_server(read, client, &server, numbers, &activity) => result.map(|()| None),
            result = server_to_client(backend_read, client, &server, numbers, &activity) => result.map(Some),
            () = pings(&server) => Ok(None),
            () = activity.idle() => Ok(None),
        }
    };
    // The connection to the backend ends with this: a farewell could wait for one who does not read.
    result.await.unwrap_or_else(|error: Error| Some(internal_error(&error.to_string())))
}

async fn pings(server: &Server<impl AsyncWrite + Unpin>) {
    for id in (1..=u32::MAX).step_by(2).cycle() {
        tokio::time::sleep(PING_INTERVAL).await;
        // Whether it is still there shows in what is read.
        let _ = server.send(&[&spdy::ping(id)]).await;
    }
}

pub(crate) async fn client_to_server(
    read: &mut Reader<impl AsyncRead + Unpin>,
    client: &Writer<impl AsyncWrite + Unpin>,
    server: &Server<impl AsyncWrite + Unpin>,
    numbers: Numbers,
    activity: &Activity,
) -> Result<(), Error> {
    // A command may end before it has read all that is sent to it; how it ended is still to come.
    let mut takes = true;
    // The channel of the message that is being read, once its first byte is there.
    let mut channel: Option<u8> = None;
    while let Some(Data { first, last, mut payload }) = read.next(client, activity).await? {
        if first {
            channel = None;
        }
        if channel.is_none() && !payload.is_empty() {
            channel = Some(payload.split_to(1)[0]);
        }
        let sent = match channel {
            _ if !takes => Ok(()),
            Some(STDIN) if !payload.is_empty() => server.data(numbers.stdin, &payload, false).await,
            Some(RESIZE) if !payload.is_empty() => server.data(numbers.resize, &payload, false).await,
            Some(CLOSE) if payload.first() == Some(&STDIN) => server.data(numbers.stdin, &[], true).await,
            _ => Ok(()),
        };
        takes &= sent.is_ok();
        if last {
            channel = None;
        }
    }
    Ok(())
}

/// Until the command has ended and all it wrote is sent.
pub(crate) async fn server_to_client(
    mut read: impl AsyncRead + Unpin,
    client: &Writer<impl AsyncWrite + Unpin>,
    server: &Server<impl AsyncWrite + Unpin>,
    numbers: Numbers,
    activity: &Activity,
) -> Result<Bytes, Error> {
    let (mut decoder, mut input) = (spdy::Decoder::default(), BytesMut::new());
    let mut status = BytesMut::new();
    let mut open = [numbers.stdout, numbers.stderr, numbers.error];
    let mut ended = |stream: u32| {
        open.iter_mut().filter(|s| **s == stream).for_each(|s| *s = 0);
        open.iter().all(|s| *s == 0)
    };
    let mut all_ended = false;
    while !all_ended {
        while let Some(event) = decoder.next(&mut input)? {
            match event {
                spdy::Event::Data { stream, last, payload } => {
                    if stream == numbers.error {
                        if status.len() + payload.len() > STATUS_BYTES_MAX {
                            return Err(Error::Protocol("the status of the command is too long"));
                        }
                        status.extend_from_slice(&payload);
                    } else if !payload.is_empty() && stream == numbers.stdout {
                        client.send(Opcode::Binary, &[&[STDOUT], &payload]).await?;
                    } else if !payload.is_empty() && stream == numbers.stderr {
                        client.send(Opcode::Binary, &[&[STDERR], &payload]).await?;
                    }
                    if last {
                        all_ended = ended(stream);
                    }
                }
                spdy::Event::Reset(stream) => all_ended = ended(stream),
                // Our own pings come back; the server's are of even numbers.
                // Not while what is sent waits to be taken: reading goes on.
                spdy::Event::Ping(id) if id % 2 == 0 => server.answer(&spdy::ping(id)).await,
                spdy::Event::Ping(_) | spdy::Event::GoAway => {}
            }
        }
        if all_ended {
            break;
        }
        input.reserve(READ_BYTES);
        match read.read_buf(&mut input).await {
            Ok(0) => break,
            Ok(_) => {}
            // It has said how it ended: that it went with something unread changes nothing.
            Err(_) if !status.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
        activity.touch();
    }
    // As upstream's client reads it: no Status is success.
    if status.is_empty() {
        status.extend_from_slice(br#"{"metadata":{},"status":"Success"}"#);
    }
    Ok(status.freeze())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    async fn exact(from: &mut DuplexStream, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        from.read_exact(&mut out).await.unwrap();
        out
    }

    /// Reads `n` control frames and gives their types.
    async fn controls(from: &mut DuplexStream, n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..n {
            let head = exact(from, 8).await;
            exact(from, u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize).await;
            out.push(head[3]);
        }
        out
    }

    fn masked(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        out.extend(payload);
        out
    }

    #[tokio::test]
    async fn a_command_is_run() {
        let (mut client, client_side) = duplex(4 << 10);
        let (mut backend, backend_side) = duplex(4 << 10);
        let wanted = Wanted { stdin: true, stdout: true, stderr: true, tty: false };
        let running = tokio::spawn(async move {
            let (read, write) = tokio::io::split(client_side);
            run(&mut Reader::new(read), &Writer::new(write), backend_side, wanted).await
        });
        // error 1, stdin 3, stdout 5, stderr 7; then the end of what is sent on the error stream.
        assert_eq!(controls(&mut backend, 4).await, [1; 4]);
        assert_eq!(exact(&mut backend, 8).await, spdy::data_head(1, 0, true));
        client.write_all(&masked(b"\0hi")).await.unwrap();
        assert_eq!(exact(&mut backend, 10).await, [&spdy::data_head(3, 2, false)[..], b"hi"].concat());
        client.write_all(&masked(&[CLOSE, STDIN])).await.unwrap();
        assert_eq!(exact(&mut backend, 8).await, spdy::data_head(3, 0, true));
        backend.write_all(&[&spdy::data_head(5, 3, false)[..], b"out"].concat()).await.unwrap();
        assert_eq!(exact(&mut client, 6).await, [0x82, 4, 1, b'o', b'u', b't']);
        backend.write_all(&[&spdy::data_head(7, 1, true)[..], b"e"].concat()).await.unwrap();
        assert_eq!(exact(&mut client, 4).await, [0x82, 2, 2, b'e']);
        backend.write_all(&spdy::ping(2)).await.unwrap();
        assert_eq!(exact(&mut backend, 12).await, spdy::ping(2));
        backend.write_all(&[&spdy::data_head(1, 2, true)[..], b"{}"].concat()).await.unwrap();
        backend.write_all(&spdy::data_head(5, 0, true)).await.unwrap();
        assert_eq!(running.await.unwrap().as_deref(), Some(&b"{}"[..]));
    }

    #[tokio::test]
    async fn a_command_that_does_not_read_says_how_it_ended() {
        let (mut client, client_side) = duplex(1 << 10);
        let (mut backend, backend_side) = duplex(1 << 10);
        let wanted = Wanted { stdin: true, stdout: true, stderr: false, tty: false };
        let running = tokio::spawn(async move {
            let (read, write) = tokio::io::split(client_side);
            run(&mut Reader::new(read), &Writer::new(write), backend_side, wanted).await
        });
        assert_eq!(controls(&mut backend, 3).await, [1; 3]);
        let sending = tokio::spawn(async move {
            // Far more than anybody takes, until nobody is there.
            while client.write_all(&masked(&[&b"\0"[..], &[b'x'; 100]].concat())).await.is_ok() {}
        });
        // stdout is 5, error is 1; then it is gone, with all that was sent to it.
        backend.write_all(&spdy::data_head(5, 0, true)).await.unwrap();
        backend.write_all(&[&spdy::data_head(1, 2, true)[..], b"{}"].concat()).await.unwrap();
        drop(backend);
        assert_eq!(running.await.unwrap().as_deref(), Some(&b"{}"[..]));
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_it() {
        let (client, client_side) = duplex(4 << 10);
        let (mut backend, backend_side) = duplex(4 << 10);
        let wanted = Wanted { stdin: true, stdout: true, tty: true, stderr: false };
        let running = tokio::spawn(async move {
            let (read, write) = tokio::io::split(client_side);
            run(&mut Reader::new(read), &Writer::new(write), backend_side, wanted).await
        });
        assert_eq!(controls(&mut backend, 4).await, [1; 4]);
        drop(client);
        let mut rest = Vec::new();
        backend.read_to_end(&mut rest).await.unwrap();
        assert_eq!(running.await.unwrap(), None);
    }

    #[test]
    fn errors_are_json() {
        let text = String::from_utf8(internal_error("a \"b\"\n").to_vec()).unwrap();
        assert!(text.contains(r#"Internal error occurred: a \"b\"\u000a""#), "{text}");
    }
}
