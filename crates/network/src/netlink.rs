//! Netlink (RFC 3549): messages, attributes, a blocking socket. One encoder serves the three families that
//! a node needs: links and routes (`link`), nf_tables (`nft`) and connection tracking (`conntrack`).
//!
//! A socket belongs to the network namespace of the thread that opened it, for ever; so what is done inside
//! a pod's namespace is done through a socket that was opened there (`namespace`).

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER_BYTES: usize = 16;

/// The kernel answers at once or never: a longer silence is an error.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel fills at most 32 KiB per datagram of a dump; acknowledgements quote the request's header only.
const RECEIVE_BYTES: usize = 128 << 10;
/// A transaction is one datagram, so this bounds a transaction: 50 bytes an element make about a million.
const SEND_BUFFER_BYTES: usize = 64 << 20;
/// Room for the kernel's answers to a failing batch and for dumps.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// A dump that changes while it is read is read again; a table that never rests is an error.
const DUMP_ATTEMPTS_MAX: usize = 16;

/// Messages, one after the other, ready to be sent.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// Appends a message: the family's fixed header, then what `body` puts.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        sequence: u32,
        fixed: &[u8],
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(fixed);
        self.pad();
        body(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Appends an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |buffer| buffer.bytes.extend_from_slice(value));
    }

    /// Appends a number in host order, as rtnetlink has them.
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Appends a number in network order, as nf_tables has them.
    pub(crate) fn put_be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Appends a zero-terminated text.
    pub(crate) fn put_text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |buffer| {
            buffer.bytes.extend_from_slice(value.as_bytes());
            buffer.bytes.push(0);
        });
    }

    /// Appends an attribute made of attributes. The caller keeps it below 64 KiB, the length field's range.
    pub(crate) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.attribute(kind | NLA_F_NESTED, body);
    }

    /// Appends bytes as they are (a fixed header inside an attribute).
    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// How long it is.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was appended.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn attribute(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        body(self);
        let length = self.bytes.len() - start;
        debug_assert!(length <= usize::from(u16::MAX), "an attribute of {length} bytes");
        self.bytes[start..start + 2].copy_from_slice(&(length as u16).to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// A message that was received, without its netlink header.
pub(crate) struct Message {
    /// The type.
    pub(crate) kind: u16,
    /// What follows the header: the family's fixed header and attributes.
    pub(crate) body: Vec<u8>,
}

/// The attributes of a received message, after its fixed header; it ends where they make no sense.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A zero-terminated text.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A number in host order.
pub(crate) fn u32_of(value: &[u8]) -> Option<u32> {
    value.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes)
}

/// A blocking netlink socket.
pub(crate) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
    receive: Vec<u8>,
}

impl Socket {
    /// For links, addresses, routes, neighbours of this thread's namespace.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// For nf_tables and connection tracking of this thread's namespace.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let descriptor = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        rustix::net::bind(&descriptor, &SocketAddrNetlink::new(0, 0))?;
        sockopt::set_socket_timeout(&descriptor, sockopt::Timeout::Recv, Some(REPLY_TIMEOUT))?;
        // Without CAP_NET_ADMIN in the first user namespace the limits of net.core stand; large
        // transactions then fail with a message of their own.
        let _ = sockopt::set_socket_send_buffer_size_force(&descriptor, SEND_BUFFER_BYTES)
            .or_else(|_| sockopt::set_socket_send_buffer_size(&descriptor, SEND_BUFFER_BYTES));
        let _ = sockopt::set_socket_recv_buffer_size_force(&descriptor, RECEIVE_BUFFER_BYTES)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&descriptor, RECEIVE_BUFFER_BYTES));
        Ok(Self { descriptor, sequence: 1, receive: vec![0; RECEIVE_BYTES] })
    }

    /// A number for the next message.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    /// Sends one message and waits until the kernel has done it.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        body: impl FnOnce(&mut Buffer),
    ) -> io::Result<()> {
        self.ask(kind, flags | NLM_F_ACK, fixed, body).map(drop)
    }

    /// Sends one message and returns what the kernel answers before its acknowledgement.
    pub(crate) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        body: impl FnOnce(&mut Buffer),
    ) -> io::Result<Vec<Message>> {
        let sequence = self.next_sequence();
        let mut buffer = Buffer::default();
        buffer.message(kind, flags | NLM_F_REQUEST | NLM_F_ACK, sequence, fixed, body);
        self.send(buffer.bytes())?;
        self.collect(sequence).map(|(messages, _)| messages)
    }

    /// Asks for all objects of a kind.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        fixed: &[u8],
        body: impl Fn(&mut Buffer),
    ) -> io::Result<Vec<Message>> {
        for _ in 0..DUMP_ATTEMPTS_MAX {
            let sequence = self.next_sequence();
            let mut buffer = Buffer::default();
            buffer.message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, fixed, &body);
            self.send(buffer.bytes())?;
            if let (messages, false) = self.collect(sequence)? {
                return Ok(messages);
            }
        }
        Err(io::Error::other("the kernel's table changed during each of several reads"))
    }

    /// Sends messages that the kernel handles before `send` returns, and reads their answers: those to
    /// `last` end it. The first error is returned with the number of the message that failed.
    pub(crate) fn batch(&mut self, bytes: &[u8], last: u32) -> Result<(), (Option<u32>, io::Error)> {
        self.send(bytes).map_err(|error| (None, error))?;
        let mut failure = None;
        loop {
            // After a failure the kernel may have no answer to `last`; all there are lie ready.
            let flags = if failure.is_some() { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
            let length = match rustix::net::recv(&self.descriptor, &mut self.receive[..], flags) {
                Ok((length, _)) => length,
                Err(error) if error == rustix::io::Errno::INTR => continue,
                Err(error) => return Err(failure.unwrap_or((None, error.into()))),
            };
            let mut done = false;
            each_message(&self.receive[..length], |kind, _, sequence, body| {
                if kind != NLMSG_ERROR {
                    return;
                }
                match error_of(body) {
                    Some(error) if failure.is_none() => failure = Some((Some(sequence), error)),
                    Some(_) => {}
                    None => done |= sequence == last,
                }
            });
            if done && failure.is_none() {
                return Ok(());
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let to = SocketAddrNetlink::new(0, 0);
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendto(&self.descriptor, bytes, SendFlags::empty(), &to)
        })?;
        if sent == bytes.len() {
            return Ok(());
        }
        Err(io::Error::other(format!("the kernel took {sent} of {} bytes", bytes.len())))
    }

    /// Messages up to the end of an answer, and whether the dump was disturbed.
    fn collect(&mut self, wanted: u32) -> io::Result<(Vec<Message>, bool)> {
        let mut messages = Vec::new();
        let mut disturbed = false;
        loop {
            let (length, _) = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.descriptor, &mut self.receive[..], RecvFlags::empty())
            })?;
            let mut end = None;
            each_message(&self.receive[..length], |kind, flags, sequence, body| {
                if sequence != wanted || end.is_some() {
                    return; // left over from a request that was given up
                }
                disturbed |= flags & NLM_F_DUMP_INTR != 0;
                match kind {
                    NLMSG_ERROR => end = Some(error_of(body).map_or(Ok(()), Err)),
                    NLMSG_DONE => end = Some(error_of(body).map_or(Ok(()), Err)),
                    _ => messages.push(Message { kind, body: body.to_vec() }),
                }
            });
            match end {
                Some(Ok(())) => return Ok((messages, disturbed)),
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
    }
}

pub(crate) fn each_message(bytes: &[u8], mut each: impl FnMut(u16, u16, u32, &[u8])) {
    let mut rest = bytes;
    while let (Some(length), Some(kind), Some(flags), Some(sequence)) =
        (rest.get(..4).and_then(u32_of), u16_at(rest, 4), u16_at(rest, 6), rest.get(8..).and_then(u32_of))
    {
        let length = length as usize;
        let Some(body) = rest.get(HEADER_BYTES..length) else { return };
        each(kind, flags, sequence, body);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

pub(crate) fn error_of(body: &[u8]) -> Option<io::Error> {
    match body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) | None => None,
        Some(code) => Some(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

/// Whether an error is this one.
pub(crate) fn is(error: &io::Error, number: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(number.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_and_read() {
        let mut buffer = Buffer::default();
        buffer.message(7, NLM_F_REQUEST, 9, &[1, 2, 3, 4], |buffer| {
            buffer.put_text(1, "ab");
            buffer.nest(2, |buffer| buffer.put_be32(3, 5));
        });
        #[rustfmt::skip]
        let expected = [
            40, 0, 0, 0, 7, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, // header
            1, 2, 3, 4, // the family's
            7, 0, 1, 0, b'a', b'b', 0, 0, // padded
            12, 0, 2, 0x80, 8, 0, 3, 0, 0, 0, 0, 5, // nested
        ];
        assert_eq!(buffer.bytes(), expected);
        let mut seen = 0;
        each_message(buffer.bytes(), |kind, flags, sequence, body| {
            seen += 1;
            assert_eq!((kind, flags, sequence), (7, 1, 9));
            assert_eq!(text(attribute(&body[4..], 1).unwrap()), "ab");
            assert_eq!(attribute(attribute(&body[4..], 2).unwrap(), 3), Some(&[0, 0, 0, 5][..]));
        });
        assert_eq!(seen, 1);
    }

    #[test]
    fn nonsense_ends_the_reading() {
        for bytes in [&[][..], &[3, 0, 0, 0], &[0, 0, 0, 0], &[200, 0, 1, 0, 1], &[4]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
        each_message(&[255; 40], |_, _, _, _| panic!("no message"));
    }
}
