//! The client's side of SPDY/3.1 as the streaming servers of kubelets and runtimes speak it.
//!
//! Law: draft-mbelshe-httpbis-spdy-00; there is no flow control beyond TCP's, as in `moby/spdystream`, which
//! is on the other side.

use crate::Error;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};

/// Section 2.6.10.1.
const DICTIONARY: &[u8] = include_bytes!("spdy/dictionary.bin");
/// The largest control frame that is taken: they hold a handful of headers, which are not even looked at.
const CONTROL_BYTES_MAX: usize = 64 << 10;
const VERSION: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
/// The last frame of its sender on a stream (section 2.2.2).
const FLAG_FIN: u8 = 1;
const ID_MASK: u32 = 0x7fff_ffff;

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A piece of what a stream carries: frames are not waited for.
    Data {
        /// The stream.
        stream: u32,
        /// Whether the server sends no more on it.
        last: bool,
        /// The bytes.
        payload: Bytes,
    },
    /// A stream ended at once.
    Reset(u32),
    /// A question whether we are there, to be answered by the same frame.
    Ping(u32),
    /// The server takes no new streams.
    GoAway,
}

/// Writes frames.
pub struct Encoder {
    headers: Compress,
    next_stream: u32,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("next_stream", &self.next_stream).finish_non_exhaustive()
    }
}

impl Encoder {
    /// For a new connection.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the compressor does not take the dictionary.
    pub fn new() -> Result<Self, Error> {
        let mut headers = Compress::new(Compression::fast(), true);
        headers.set_dictionary(DICTIONARY).map_err(|_| Error::Protocol("spdy: no dictionary"))?;
        Ok(Self { headers, next_stream: 1 })
    }

    /// Opens a stream with headers (names in lower case): its number and the frame.
    ///
    /// # Errors
    /// [`Error::Protocol`] if compression fails.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> Result<(u32, Bytes), Error> {
        let mut block = Vec::new();
        block.put_u32(headers.len() as u32);
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(text.len() as u32);
            block.extend_from_slice(text.as_bytes());
        }
        // What does not fit is written by further calls; a hundred bytes always fit.
        let mut packed = Vec::with_capacity(block.len() + 256);
        let before = self.headers.total_in();
        self.headers
            .compress_vec(&block, &mut packed, FlushCompress::Sync)
            .map_err(|_| Error::Protocol("spdy: headers cannot be compressed"))?;
        if self.headers.total_in() - before != block.len() as u64 {
            return Err(Error::Protocol("spdy: headers are too long"));
        }
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut out = control(SYN_STREAM, 10 + packed.len());
        out.put_u32(stream);
        out.put_u32(0); // no associated stream
        out.put_u16(0); // priority, slot
        out.extend_from_slice(&packed);
        Ok((stream, out.freeze()))
    }
}

fn control(kind: u16, length: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(8 + length);
    out.put_u16(VERSION);
    out.put_u16(kind);
    out.put_u32(length as u32);
    out
}

/// A data frame's head; the payload follows it.
pub fn data_head(stream: u32, length: usize, last: bool) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&stream.to_be_bytes());
    head[4..].copy_from_slice(&(length as u32).to_be_bytes());
    head[4] = if last { FLAG_FIN } else { 0 };
    head
}

/// A ping; those of clients have odd numbers.
pub fn ping(id: u32) -> Bytes {
    let mut out = control(PING, 4);
    out.put_u32(id);
    out.freeze()
}

/// Reads frames. Headers are not unpacked: a client that opens all streams itself learns nothing from them.
#[derive(Debug, Default)]
pub struct Decoder {
    current: Option<(u32, usize, bool)>,
}

impl Decoder {
    /// Takes the next event out of `input`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`Error::Protocol`]: the connection is to be closed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Error> {
        loop {
            if let Some((stream, remaining, last)) = &mut self.current {
                let n = input.len().min(*remaining);
                if n == 0 && *remaining > 0 {
                    return Ok(None);
                }
                *remaining -= n;
                let ended = *remaining == 0;
                let event = Event::Data {
                    stream: *stream,
                    last: ended && *last,
                    payload: input.split_to(n).freeze(),
                };
                if ended {
                    self.current = None;
                }
                return Ok(Some(event));
            }
            let Some(head) = input.first_chunk::<8>() else { return Ok(None) };
            let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let flags = head[4];
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
            if first & !ID_MASK == 0 {
                input.advance(8);
                self.current = Some((first, length, flags & FLAG_FIN != 0));
                continue;
            }
            if first >> 16 != u32::from(VERSION) {
                return Err(Error::Protocol("spdy: not version 3"));
            }
            if length > CONTROL_BYTES_MAX {
                return Err(Error::Protocol("spdy: a control frame is too long"));
            }
            if input.len() < 8 + length {
                return Ok(None);
            }
            let mut frame = input.split_to(8 + length);
            frame.advance(8);
            let number = frame.first_chunk::<4>().map(|n| u32::from_be_bytes(*n));
            match ((first & 0xffff) as u16, number) {
                (RST_STREAM, Some(stream)) => return Ok(Some(Event::Reset(stream & ID_MASK))),
                (PING, Some(id)) => return Ok(Some(Event::Ping(id))),
                (GOAWAY, _) => return Ok(Some(Event::GoAway)),
                (RST_STREAM | PING, None) => {
                    return Err(Error::Protocol("spdy: a control frame is too short"));
                }
                // Replies, settings, window updates.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    /// What a server unpacks of the headers of several frames: one zlib stream over all of them.
    struct Unpacker(Decompress);

    impl Unpacker {
        fn unpack(&mut self, packed: &[u8]) -> Vec<u8> {
            let mut out = Vec::with_capacity(4 << 10);
            let before = self.0.total_in();
            let first = self.0.decompress_vec(packed, &mut out, FlushDecompress::Sync);
            if first.is_err() {
                let used = (self.0.total_in() - before) as usize;
                self.0.set_dictionary(DICTIONARY).unwrap();
                self.0.decompress_vec(&packed[used..], &mut out, FlushDecompress::Sync).unwrap();
            }
            out
        }
    }

    #[test]
    fn streams_are_opened_with_headers() {
        let mut encoder = Encoder::new().unwrap();
        let mut unpacker = Unpacker(Decompress::new(true));
        for (i, kind) in ["error", "stdin", "stdout"].into_iter().enumerate() {
            let (stream, frame) = encoder.open(&[("streamtype", kind)]).unwrap();
            assert_eq!(stream, 1 + 2 * i as u32);
            assert_eq!(frame[..4], [0x80, 3, 0, 1]);
            assert_eq!(u32::from_be_bytes(*frame[4..].first_chunk().unwrap()) as usize, frame.len() - 8);
            let block = unpacker.unpack(&frame[18..]);
            let mut want = vec![0, 0, 0, 1, 0, 0, 0, 10];
            want.extend(b"streamtype");
            want.extend([0, 0, 0, kind.len() as u8]);
            want.extend(kind.bytes());
            assert_eq!(block, want);
        }
    }

    fn events(bytes: &[u8], step: usize) -> Vec<String> {
        let (mut decoder, mut input, mut out) = (Decoder::default(), BytesMut::new(), Vec::<String>::new());
        let mut data = Vec::new();
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            loop {
                match decoder.next(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Event::Data { stream, last, payload })) => {
                        data.extend_from_slice(&payload);
                        if last {
                            out.push(format!("{stream}: {}", String::from_utf8_lossy(&data)));
                            data.clear();
                        }
                    }
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
        let mut bytes = control(2, 8).to_vec(); // SYN_REPLY
        bytes.extend([0; 8]);
        bytes.extend(data_head(3, 3, false));
        bytes.extend(b"hel");
        bytes.extend(data_head(3, 2, true));
        bytes.extend(b"lo");
        bytes.extend(data_head(5, 0, true));
        bytes.extend(ping(2));
        bytes.extend([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 5]);
        bytes.extend([0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0]);
        let want = ["3: hello", "5: ", "Ping(2)", "Reset(7)", "GoAway"].map(String::from);
        for step in [1, 3, bytes.len()] {
            assert_eq!(events(&bytes, step), want, "in pieces of {step}");
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..24)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let byte = (seed >> 40) as u8;
                    if seed >> 63 == 0 { [0x80, 3, 0, 6, 0, 1][usize::from(byte) % 6] } else { byte }
                })
                .collect();
            let (mut decoder, mut input) = (Decoder::default(), BytesMut::from(&bytes[..]));
            let mut events = 0;
            while let Ok(Some(_)) = decoder.next(&mut input) {
                events += 1;
            }
            assert!(events <= bytes.len());
        }
    }

    #[test]
    fn what_is_refused() {
        for (bytes, want) in [
            (vec![0x80, 2, 0, 1, 0, 0, 0, 0], "spdy: not version 3"),
            (vec![0x80, 3, 0, 1, 0, 1, 0, 1], "spdy: a control frame is too long"),
            (vec![0x80, 3, 0, 6, 0, 0, 0, 1, 0], "spdy: a control frame is too short"),
        ] {
            assert_eq!(events(&bytes, bytes.len()), [want]);
        }
    }
}
