//! What rules are made of: expressions that load registers, compare them, look them up, and act.

use super::batch::put_data;
use super::{DATA_VALUE, Data};
use crate::cidr::Family;
use crate::netlink::Buffer;

/// One of sixteen registers of 32 bits; a value takes as many as it needs, from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u8);

impl Register {
    /// `NFT_REG_VERDICT`.
    const VERDICT: u32 = 0;

    /// `NFT_REG32_00` and on.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }

    /// The register a number of words on.
    pub(crate) fn plus(self, words: u8) -> Self {
        Self(self.0 + words)
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// The packet's source address.
    Source(Family, Register),
    /// The packet's destination address.
    Destination(Family, Register),
    /// The destination port, in a register of its own.
    DestinationPort(Register),
    /// The transport protocol's number.
    Protocol(Register),
    /// A constant.
    Load(Register, Vec<u8>),
    /// The packet's mark.
    Mark(Register),
    /// Sets the packet's mark.
    SetMark(Register),
    /// The packet's priority, which queues may look at.
    Priority(Register),
    /// Sets the packet's priority.
    SetPriority(Register),
    /// The name of the interface it came in by (16 bytes).
    InputInterface(Register),
    /// The connection's state, a bit set.
    ConnectionState(Register),
    /// The connection's status, a bit set.
    ConnectionStatus(Register),
    /// The kind (local, unicast ...) of the packet's source address, by the routing table.
    SourceKind(Register),
    /// The kind of the packet's destination address.
    DestinationKind(Register),
    /// A random number from `offset` on, of `modulus` ones.
    Random { to: Register, modulus: u32, offset: u32 },
    /// `register = register & mask ^ flip`.
    Bits { register: Register, mask: Vec<u8>, flip: Vec<u8> },
    /// Goes on if the register has this value.
    Equal(Register, Vec<u8>),
    /// Goes on if the register has another value.
    Differs(Register, Vec<u8>),
    /// Goes on if the key is in the set.
    Member { set: &'static str, key: Register },
    /// Goes on if the key is not in the set.
    NoMember { set: &'static str, key: Register },
    /// Loads what a map has for the key, or ends the rule.
    Find { map: &'static str, key: Register, to: Register },
    /// Does what a verdict map says for the key, or ends the rule.
    Dispatch { map: &'static str, key: Register },
    /// Enters the key with its data into a dynamic map, or lets the entry live longer.
    Remember { map: &'static str, key: Register, data: Register, timeout_milliseconds: u64 },
    /// Removes the key from a dynamic map. The kernel wants a register of data, and does not read it.
    Forget { map: &'static str, key: Register, data: Register },
    /// Sends the connection to the address and port in registers.
    DestinationNat { family: Family, address: Register, port: Register },
    /// Gives the connection the address of the outgoing interface, and any port.
    Masquerade,
    /// Answers "port unreachable".
    Reject(Family),
    /// Drops the packet.
    Drop,
    /// Goes on in a chain and comes back.
    Jump(&'static str),
}

impl Expression {
    /// Appends it as an element of a rule's list.
    pub(crate) fn encode(&self, buffer: &mut Buffer) {
        let number = |register: &Register| register.number();
        match self {
            Self::Source(family, to) => payload(buffer, *to, NETWORK, addresses(*family).0, length(*family)),
            Self::Destination(family, to) => {
                payload(buffer, *to, NETWORK, addresses(*family).1, length(*family));
            }
            // The port is at the same place in TCP, UDP and SCTP.
            Self::DestinationPort(to) => payload(buffer, *to, TRANSPORT, 2, 2),
            Self::Protocol(to) => meta(buffer, *to, META_L4PROTO),
            Self::Mark(to) => meta(buffer, *to, META_MARK),
            Self::Priority(to) => meta(buffer, *to, META_PRIORITY),
            Self::InputInterface(to) => meta(buffer, *to, META_IIFNAME),
            Self::SetMark(from) => set_meta(buffer, *from, META_MARK),
            Self::SetPriority(from) => set_meta(buffer, *from, META_PRIORITY),
            Self::Load(to, value) => named(buffer, "immediate", |buffer| {
                buffer.put_be32(IMMEDIATE_DREG, number(to));
                buffer.nest(IMMEDIATE_DATA, |buffer| buffer.put(DATA_VALUE, value));
            }),
            Self::ConnectionState(to) => connection(buffer, *to, CT_STATE),
            Self::ConnectionStatus(to) => connection(buffer, *to, CT_STATUS),
            Self::SourceKind(to) => kind(buffer, *to, FIB_SOURCE),
            Self::DestinationKind(to) => kind(buffer, *to, FIB_DESTINATION),
            Self::Random { to, modulus, offset } => named(buffer, "numgen", |buffer| {
                buffer.put_be32(NUMGEN_DREG, number(to));
                buffer.put_be32(NUMGEN_MODULUS, *modulus);
                buffer.put_be32(NUMGEN_TYPE, NUMGEN_RANDOM);
                buffer.put_be32(NUMGEN_OFFSET, *offset);
            }),
            Self::Bits { register, mask, flip } => named(buffer, "bitwise", |buffer| {
                buffer.put_be32(BITWISE_SREG, number(register));
                buffer.put_be32(BITWISE_DREG, number(register));
                buffer.put_be32(BITWISE_LENGTH, mask.len() as u32);
                buffer.nest(BITWISE_MASK, |buffer| buffer.put(DATA_VALUE, mask));
                buffer.nest(BITWISE_XOR, |buffer| buffer.put(DATA_VALUE, flip));
            }),
            Self::Equal(register, value) => compare(buffer, *register, COMPARE_EQUAL, value),
            Self::Differs(register, value) => compare(buffer, *register, COMPARE_NOT_EQUAL, value),
            Self::Member { set, key } => named(buffer, "lookup", |buffer| {
                buffer.put_text(LOOKUP_SET, set);
                buffer.put_be32(LOOKUP_SREG, number(key));
            }),
            Self::NoMember { set, key } => named(buffer, "lookup", |buffer| {
                buffer.put_text(LOOKUP_SET, set);
                buffer.put_be32(LOOKUP_SREG, number(key));
                buffer.put_be32(LOOKUP_FLAGS, LOOKUP_INVERTED);
            }),
            Self::Find { map, key, to } => lookup(buffer, map, *key, number(to)),
            Self::Dispatch { map, key } => lookup(buffer, map, *key, Register::VERDICT),
            Self::Remember { map, key, data, timeout_milliseconds } => named(buffer, "dynset", |buffer| {
                buffer.put_text(DYNSET_NAME, map);
                buffer.put_be32(DYNSET_OPERATION, DYNSET_UPDATE);
                buffer.put_be32(DYNSET_SREG_KEY, number(key));
                buffer.put_be32(DYNSET_SREG_DATA, number(data));
                buffer.put(DYNSET_TIMEOUT, &timeout_milliseconds.to_be_bytes());
            }),
            Self::Forget { map, key, data } => named(buffer, "dynset", |buffer| {
                buffer.put_text(DYNSET_NAME, map);
                buffer.put_be32(DYNSET_OPERATION, DYNSET_DELETE);
                buffer.put_be32(DYNSET_SREG_KEY, number(key));
                buffer.put_be32(DYNSET_SREG_DATA, number(data));
            }),
            Self::DestinationNat { family, address, port } => named(buffer, "nat", |buffer| {
                buffer.put_be32(NAT_TYPE, NAT_DESTINATION);
                buffer.put_be32(NAT_FAMILY, u32::from(super::protocol_family(*family)));
                buffer.put_be32(NAT_REG_ADDRESS, number(address));
                buffer.put_be32(NAT_REG_PORT, number(port));
            }),
            Self::Masquerade => named(buffer, "masq", |buffer| {
                buffer.put_be32(MASQUERADE_FLAGS, NAT_RANGE_PROTO_RANDOM_FULLY);
            }),
            Self::Reject(family) => named(buffer, "reject", |buffer| {
                buffer.put_be32(REJECT_TYPE, REJECT_ICMP_UNREACHABLE);
                buffer.put(REJECT_CODE, &[port_unreachable(*family)]);
            }),
            Self::Drop => verdict(buffer, &Data::Drop),
            Self::Jump(chain) => verdict(buffer, &Data::Jump((*chain).to_owned())),
        }
    }
}

const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const META_SREG: u16 = 3;
const META_PRIORITY: u32 = 2;
const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_L4PROTO: u32 = 16;
const CT_DREG: u16 = 1;
const CT_KEY: u16 = 2;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const FIB_DREG: u16 = 1;
const FIB_RESULT: u16 = 2;
const FIB_FLAGS: u16 = 3;
const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_SOURCE: u32 = 1;
const FIB_DESTINATION: u32 = 2;
const NUMGEN_DREG: u16 = 1;
const NUMGEN_MODULUS: u16 = 2;
const NUMGEN_TYPE: u16 = 3;
const NUMGEN_OFFSET: u16 = 4;
const NUMGEN_RANDOM: u32 = 1;
const BITWISE_SREG: u16 = 1;
const BITWISE_DREG: u16 = 2;
const BITWISE_LENGTH: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const COMPARE_SREG: u16 = 1;
const COMPARE_OPERATION: u16 = 2;
const COMPARE_DATA: u16 = 3;
const COMPARE_EQUAL: u32 = 0;
const COMPARE_NOT_EQUAL: u32 = 1;
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const LOOKUP_DREG: u16 = 3;
const LOOKUP_FLAGS: u16 = 5;
const LOOKUP_INVERTED: u32 = 1;
const DYNSET_NAME: u16 = 1;
const DYNSET_OPERATION: u16 = 3;
const DYNSET_SREG_KEY: u16 = 4;
const DYNSET_SREG_DATA: u16 = 5;
const DYNSET_TIMEOUT: u16 = 6;
const DYNSET_UPDATE: u32 = 1;
const DYNSET_DELETE: u32 = 2;
const NAT_TYPE: u16 = 1;
const NAT_FAMILY: u16 = 2;
const NAT_REG_ADDRESS: u16 = 3;
const NAT_REG_PORT: u16 = 5;
const NAT_DESTINATION: u32 = 1;
const MASQUERADE_FLAGS: u16 = 1;
const NAT_RANGE_PROTO_RANDOM_FULLY: u32 = 1 << 4;
const REJECT_TYPE: u16 = 1;
const REJECT_CODE: u16 = 2;
const REJECT_ICMP_UNREACHABLE: u32 = 0;

/// The offsets of source and destination in the header.
fn addresses(family: Family) -> (u32, u32) {
    match family {
        Family::V4 => (12, 16),
        Family::V6 => (8, 24),
    }
}

fn length(family: Family) -> u32 {
    u32::from(family.bits() / 8)
}

/// The code of "port unreachable" in ICMP (RFC 792) and ICMPv6 (RFC 4443).
fn port_unreachable(family: Family) -> u8 {
    match family {
        Family::V4 => 3,
        Family::V6 => 4,
    }
}

fn named(buffer: &mut Buffer, name: &str, body: impl FnOnce(&mut Buffer)) {
    buffer.nest(super::LIST_ELEMENT, |buffer| {
        buffer.put_text(EXPRESSION_NAME, name);
        buffer.nest(EXPRESSION_DATA, body);
    });
}

fn payload(buffer: &mut Buffer, to: Register, base: u32, offset: u32, length: u32) {
    named(buffer, "payload", |buffer| {
        buffer.put_be32(PAYLOAD_DREG, to.number());
        buffer.put_be32(PAYLOAD_BASE, base);
        buffer.put_be32(PAYLOAD_OFFSET, offset);
        buffer.put_be32(PAYLOAD_LENGTH, length);
    });
}

fn meta(buffer: &mut Buffer, to: Register, key: u32) {
    named(buffer, "meta", |buffer| {
        buffer.put_be32(META_DREG, to.number());
        buffer.put_be32(META_KEY, key);
    });
}

fn set_meta(buffer: &mut Buffer, from: Register, key: u32) {
    named(buffer, "meta", |buffer| {
        buffer.put_be32(META_KEY, key);
        buffer.put_be32(META_SREG, from.number());
    });
}

fn connection(buffer: &mut Buffer, to: Register, key: u32) {
    named(buffer, "ct", |buffer| {
        buffer.put_be32(CT_DREG, to.number());
        buffer.put_be32(CT_KEY, key);
    });
}

fn kind(buffer: &mut Buffer, to: Register, of: u32) {
    named(buffer, "fib", |buffer| {
        buffer.put_be32(FIB_DREG, to.number());
        buffer.put_be32(FIB_RESULT, FIB_RESULT_ADDRTYPE);
        buffer.put_be32(FIB_FLAGS, of);
    });
}

fn compare(buffer: &mut Buffer, register: Register, operation: u32, value: &[u8]) {
    named(buffer, "cmp", |buffer| {
        buffer.put_be32(COMPARE_SREG, register.number());
        buffer.put_be32(COMPARE_OPERATION, operation);
        buffer.nest(COMPARE_DATA, |buffer| buffer.put(DATA_VALUE, value));
    });
}

fn lookup(buffer: &mut Buffer, map: &str, key: Register, to: u32) {
    named(buffer, "lookup", |buffer| {
        buffer.put_text(LOOKUP_SET, map);
        buffer.put_be32(LOOKUP_SREG, key.number());
        buffer.put_be32(LOOKUP_DREG, to);
    });
}

fn verdict(buffer: &mut Buffer, data: &Data) {
    named(buffer, "immediate", |buffer| {
        buffer.put_be32(IMMEDIATE_DREG, Register::VERDICT);
        put_data(buffer, IMMEDIATE_DATA, data);
    });
}
