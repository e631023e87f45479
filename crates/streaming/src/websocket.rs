//! The server's side of WebSocket (RFC 6455): handshake and frames.

use crate::Error;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// RFC 6455 section 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// RFC 6455 section 5.5: control frames are small.
const CONTROL_BYTES_MAX: usize = 125;

/// A close without a fault (RFC 6455 section 7.4.1).
pub const CLOSE_NORMAL: u16 = 1000;
/// A close because of something unexpected.
pub const CLOSE_ERROR: u16 = 1011;

/// What a frame is (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The end.
    Close = 8,
    /// A question whether the other side is there.
    Ping = 9,
    /// The answer to it.
    Pong = 10,
}

/// The protocols that the client offers, in its order.
pub fn offered(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .filter(|v| !v.is_empty())
        .collect()
}

/// Whether the request is for a WebSocket.
pub fn is_request(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    crate::upgrade::is_upgrade(headers) && upgrade.eq_ignore_ascii_case("websocket")
}

/// The 101 that agrees to the client's request, with the chosen protocol.
///
/// # Errors
/// [`Error::Upgrade`]: the request is no handshake of version 13.
pub fn accept(headers: &HeaderMap, protocol: Option<&str>) -> Result<Response<()>, Error> {
    let get = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    if !is_request(headers) {
        return Err(Error::Upgrade("websocket: the client is not using the websocket protocol"));
    }
    if get(header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Error::Upgrade(
            "websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header",
        ));
    }
    let key = get(header::SEC_WEBSOCKET_KEY)
        .filter(|k| STANDARD.decode(k).is_ok_and(|k| k.len() == 16))
        .ok_or(Error::Upgrade("websocket: not a websocket handshake: bad 'Sec-WebSocket-Key' header"))?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::try_from(accept_key(key)).map_err(http::Error::from)?,
    );
    if let Some(protocol) = protocol {
        let value = HeaderValue::try_from(protocol).map_err(http::Error::from)?;
        out.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok(response)
}

fn accept_key(key: &str) -> String {
    let text = format!("{key}{KEY_SUFFIX}");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A frame of the server, whole: servers do not mask.
pub fn frame(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = BytesMut::with_capacity(length + 10);
    out.put_u8(0x80 | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.put_u8(short),
        (_, Ok(middle)) => {
            out.put_u8(126);
            out.put_u16(middle);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out.freeze()
}

/// What came from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A piece of a message: frames are not waited for, so that their length needs no limit.
    Data {
        /// Whether the message begins with it.
        first: bool,
        /// Whether the message ends with it.
        last: bool,
        /// The bytes.
        payload: Bytes,
    },
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// Nothing to do.
    Pong,
    /// The client ends the connection.
    Close,
}

/// Reads what a client sends.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The data frame that is being read.
    current: Option<Frame>,
    /// Whether a message has begun and not ended.
    within_message: bool,
}

#[derive(Debug)]
struct Frame {
    last: bool,
    first: bool,
    remaining: u64,
    mask: [u8; 4],
    offset: usize,
}

impl Decoder {
    /// Takes the next event out of `input`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`Error::Protocol`]: the connection is to be closed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Error> {
        if let Some(frame) = &mut self.current {
            let n = usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(input.len());
            if n == 0 && frame.remaining > 0 {
                return Ok(None);
            }
            let mut payload = input.split_to(n);
            unmask(&mut payload, frame.mask, frame.offset);
            frame.offset = (frame.offset + n) % 4;
            frame.remaining -= n as u64;
            let ended = frame.remaining == 0;
            let event =
                Event::Data { first: frame.first, last: ended && frame.last, payload: payload.freeze() };
            frame.first = false;
            if ended {
                self.within_message = !frame.last;
                self.current = None;
            }
            return Ok(Some(event));
        }
        let Some((head, length)) = Head::read(input)? else { return Ok(None) };
        if head.opcode >= 8 {
            return head.control(length, input);
        }
        match (head.opcode, self.within_message) {
            (0, true) | (1 | 2, false) => {}
            (0..=2, _) => return Err(Error::Protocol("websocket: bad continuation")),
            _ => return Err(Error::Protocol("websocket: unknown opcode")),
        }
        input.advance(length);
        self.within_message = true;
        self.current = Some(Frame {
            last: head.last,
            first: head.opcode != 0,
            remaining: head.payload,
            mask: head.mask,
            offset: 0,
        });
        self.next(input)
    }
}

struct Head {
    last: bool,
    opcode: u8,
    payload: u64,
    mask: [u8; 4],
}

impl Head {
    /// A frame's head and its length.
    fn read(input: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let [first, second, rest @ ..] = input else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Error::Protocol("websocket: reserved bits are set"));
        }
        if second & 0x80 == 0 {
            return Err(Error::Protocol("websocket: a frame of the client is not masked"));
        }
        let (payload, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk::<2>() {
                Some((n, rest)) => (u64::from(u16::from_be_bytes(*n)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((n, rest)) => (u64::from_be_bytes(*n), rest),
                None => return Ok(None),
            },
            n => (u64::from(n), rest),
        };
        if payload > i64::MAX as u64 {
            return Err(Error::Protocol("websocket: a frame is too long"));
        }
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let head = Self { last: first & 0x80 != 0, opcode: first & 0x0f, payload, mask: *mask };
        Ok(Some((head, input.len() - rest.len())))
    }

    fn control(self, length: usize, input: &mut BytesMut) -> Result<Option<Event>, Error> {
        let n = usize::try_from(self.payload).unwrap_or(usize::MAX);
        if n > CONTROL_BYTES_MAX || !self.last {
            return Err(Error::Protocol("websocket: a control frame is too long or in parts"));
        }
        if input.len() < length + n {
            return Ok(None);
        }
        input.advance(length);
        let mut payload = input.split_to(n);
        unmask(&mut payload, self.mask, 0);
        match self.opcode {
            8 => Ok(Some(Event::Close)),
            9 => Ok(Some(Event::Ping(payload.freeze()))),
            10 => Ok(Some(Event::Pong)),
            _ => Err(Error::Protocol("websocket: unknown opcode")),
        }
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    for (i, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[(offset + i) % 4];
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_key_of_the_rfc() {
        // RFC 6455 section 1.3.
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut out = vec![first];
        match payload.len() {
            n @ 0..=125 => out.push(0x80 | n as u8),
            n => {
                out.push(0x80 | 126);
                out.extend((n as u16).to_be_bytes());
            }
        }
        out.extend(mask);
        let at = out.len();
        out.extend(payload);
        unmask(&mut out[at..], mask, 0);
        out
    }

    /// All events, where bytes come in pieces of `step`; pieces of a message are joined.
    fn events(bytes: &[u8], step: usize) -> Vec<String> {
        let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
        let (mut out, mut message) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            loop {
                match decoder.next(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Event::Data { first, last, payload })) => {
                        assert_eq!(first, message.is_empty());
                        message.push(payload);
                        if last {
                            let all = message.concat();
                            out.push(format!("data {}", String::from_utf8_lossy(&all[..all.len().min(9)])));
                            message.clear();
                        }
                    }
                    Ok(Some(Event::Ping(p))) => out.push(format!("ping {}", String::from_utf8_lossy(&p))),
                    Ok(Some(other)) => out.push(format!("{other:?}")),
                    Err(error) => {
                        out.push(error.to_string());
                        return out;
                    }
                }
            }
        }
        out
    }

    #[test]
    fn frames_in_any_pieces() {
        let mut bytes = masked(0x82, b"hello");
        bytes.extend(masked(0x02, b"in "));
        bytes.extend(masked(0x89, b"there?"));
        bytes.extend(masked(0x80, b"parts"));
        bytes.extend(masked(0x82, &[b'x'; 300]));
        bytes.extend(masked(0x8a, b""));
        bytes.extend(masked(0x88, &[3, 232]));
        let want = ["data hello", "ping there?", "data in parts", "data xxxxxxxxx", "Pong", "Close"]
            .map(String::from);
        for step in [1, 2, 3, 7, bytes.len()] {
            assert_eq!(events(&bytes, step), want, "in pieces of {step}");
        }
        assert_eq!(events(&masked(0x82, b""), 1), ["data "]);
    }

    #[test]
    fn what_is_refused() {
        for (bytes, want) in [
            (vec![0x82, 0x01, b'x'], "websocket: a frame of the client is not masked"),
            (masked(0xc2, b"x"), "websocket: reserved bits are set"),
            (masked(0x80, b"x"), "websocket: bad continuation"),
            (masked(0x83, b"x"), "websocket: unknown opcode"),
            (masked(0x89, &[0; 126]), "websocket: a control frame is too long or in parts"),
            (masked(0x09, b"x"), "websocket: a control frame is too long or in parts"),
            (
                vec![0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0],
                "websocket: a frame is too long",
            ),
        ] {
            assert_eq!(events(&bytes, bytes.len()), [want]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..24)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Heads of frames are commoner than by chance.
                    let byte = (seed >> 40) as u8;
                    if seed >> 62 == 0 {
                        [0x82, 0x02, 0x80, 0x89, 0x88, 0xff][usize::from(byte) % 6]
                    } else {
                        byte
                    }
                })
                .collect();
            let (mut decoder, mut input) = (Decoder::default(), BytesMut::from(&bytes[..]));
            let mut seen = 0;
            while let Ok(Some(event)) = decoder.next(&mut input) {
                if let Event::Data { payload, .. } = event {
                    seen += payload.len();
                }
            }
            assert!(seen <= bytes.len());
        }
    }

    #[test]
    fn frames_of_the_server() {
        assert_eq!(&frame(Opcode::Binary, &[&[1], b"ab"])[..], [0x82, 3, 1, b'a', b'b']);
        let long = frame(Opcode::Binary, &[&[0; 70_000]]);
        assert_eq!(long[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
        assert_eq!(&frame(Opcode::Close, &[&CLOSE_NORMAL.to_be_bytes()])[..], [0x88, 2, 3, 232]);
    }

    #[test]
    fn handshakes() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("a, b"));
        assert!(accept(&headers, None).is_err());
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let response = accept(&headers, Some("b")).unwrap();
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "b");
        assert_eq!(offered(&headers), ["a", "b"]);
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("short"));
        assert!(accept(&headers, None).is_err());
    }
}
