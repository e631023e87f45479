//! Documents in protobuf: the messages of `gnostic-models`, which Go clients ask for.
//!
//! Each message is a table of members, in `v2` and `v3`; one encoder walks tree and tables together. Members
//! that a table does not know are left out, except extensions (`x-…`), which all messages take.

mod v2_messages;
mod v3_messages;

use value::{Number, Value, yaml};

/// How deep messages nest; what lies deeper is cut off.
const DEPTH: u16 = 400;

/// A document of version 2 in protobuf.
pub fn v2(document: &Value) -> Vec<u8> {
    encode(document, &v2_messages::DOCUMENT, 0)
}

/// A document of version 3 in protobuf.
pub fn v3(document: &Value) -> Vec<u8> {
    encode(document, &v3_messages::DOCUMENT, 0)
}

/// A message.
struct Message {
    /// Members by JSON name.
    members: &'static [(&'static str, u32, Member)],
    /// The number of its extensions; 0 if it takes none.
    extensions: u32,
}

/// What a member holds.
enum Member {
    /// A string.
    Text,
    /// A bool.
    Flag,
    /// An integer.
    Integer,
    /// A double.
    Double,
    /// Strings, repeated.
    Texts,
    /// A string or strings within a message.
    TextsWithin,
    /// Anything, as YAML.
    Any,
    /// A list of anything.
    Anys,
    /// A default: a double, a bool or a string within a message.
    Scalar,
    /// A message.
    One(&'static Choice),
    /// Messages, repeated.
    Each(&'static Choice),
    /// One or several messages within a message.
    Items(&'static Choice),
    /// A message or a bool within a message.
    OrFlag(&'static Choice),
    /// Named messages within a message, under this number.
    Named(u32, &'static Choice),
    /// Named lists of strings within messages, repeated.
    NamedTexts,
}

/// Which message a value is, and in which messages it is wrapped (outermost first).
enum Choice {
    /// Always this one.
    Plain(&'static Message),
    /// Always this one, wrapped.
    Within(&'static [u32], &'static Message),
    /// A reference if there is a `$ref`, else the message; each under a number.
    OrReference(&'static Message),
    /// A reference if there is a `$ref`, under a number, else by the member `in`.
    ByPlace(&'static [(&'static str, &'static [u32], &'static Message)]),
}

static REFERENCE: Message = Message { members: &[("$ref", 1, Member::Text)], extensions: 0 };

fn encode(value: &Value, message: &Message, depth: u16) -> Vec<u8> {
    let mut out = Vec::new();
    if depth > DEPTH {
        return out;
    }
    for (name, number, member) in message.members {
        if let Some(value) = value.get(name) {
            self::member(value, *number, member, &mut out, depth);
        }
    }
    if message.extensions > 0 {
        for (name, value) in value.entries().filter(|(name, _)| name.starts_with("x-")) {
            let mut named = Vec::new();
            text(1, name, &mut named);
            bytes(2, &any(value), &mut named);
            bytes(message.extensions, &named, &mut out);
        }
    }
    out
}

fn member(value: &Value, number: u32, member: &Member, out: &mut Vec<u8>, depth: u16) {
    let depth = depth + 1;
    match member {
        Member::Text => {
            if let Some(s) = value.as_str().filter(|s| !s.is_empty()) {
                text(number, s, out);
            }
        }
        Member::Flag if value.bool() => {
            tag(number, 0, out);
            out.push(1);
        }
        Member::Flag => {}
        Member::Integer => {
            if let Some(n) = value.as_i64().filter(|n| *n != 0) {
                tag(number, 0, out);
                varint(n.cast_unsigned(), out);
            }
        }
        Member::Double => {
            if let Some(n) = double(value) {
                tag(number, 1, out);
                out.extend(n.to_le_bytes());
            }
        }
        Member::Texts => value.items().iter().for_each(|s| text(number, s.str(), out)),
        Member::TextsWithin => {
            let mut within = Vec::new();
            value.as_str().into_iter().for_each(|s| text(1, s, &mut within));
            value.items().iter().for_each(|s| text(1, s.str(), &mut within));
            bytes(number, &within, out);
        }
        Member::Any => bytes(number, &any(value), out),
        Member::Anys => value.items().iter().for_each(|v| bytes(number, &any(v), out)),
        Member::Scalar => {
            let mut within = Vec::new();
            match value {
                Value::Bool(b) => {
                    tag(2, 0, &mut within);
                    within.push(u8::from(*b));
                }
                Value::String(s) => text(3, s, &mut within),
                // Objects have no form here: the message says only that there is a default.
                other => {
                    if let Some(n) = double(other) {
                        tag(1, 1, &mut within);
                        within.extend(n.to_le_bytes());
                    }
                }
            }
            bytes(number, &within, out);
        }
        Member::One(choice) => choose(value, number, choice, out, depth),
        Member::Each(choice) => value.items().iter().for_each(|v| choose(v, number, choice, out, depth)),
        Member::Items(choice) => {
            let mut within = Vec::new();
            if value.as_array().is_some() {
                value.items().iter().for_each(|v| choose(v, 1, choice, &mut within, depth));
            } else {
                choose(value, 1, choice, &mut within, depth);
            }
            bytes(number, &within, out);
        }
        Member::OrFlag(choice) => {
            let mut within = Vec::new();
            match value.as_bool() {
                Some(b) => {
                    tag(2, 0, &mut within);
                    within.push(u8::from(b));
                }
                None => choose(value, 1, choice, &mut within, depth),
            }
            bytes(number, &within, out);
        }
        Member::Named(inner, choice) => {
            let mut within = Vec::new();
            for (name, value) in value.entries() {
                let mut named = Vec::new();
                text(1, name, &mut named);
                choose(value, 2, choice, &mut named, depth);
                bytes(*inner, &named, &mut within);
            }
            bytes(number, &within, out);
        }
        Member::NamedTexts => {
            for requirement in value.items() {
                let mut within = Vec::new();
                for (name, values) in requirement.entries() {
                    let (mut named, mut list) = (Vec::new(), Vec::new());
                    text(1, name, &mut named);
                    values.items().iter().for_each(|s| text(1, s.str(), &mut list));
                    bytes(2, &list, &mut named);
                    bytes(1, &named, &mut within);
                }
                bytes(number, &within, out);
            }
        }
    }
}

fn choose(value: &Value, number: u32, choice: &Choice, out: &mut Vec<u8>, depth: u16) {
    let (wrappers, message): (&[u32], &Message) = match choice {
        Choice::Plain(message) => (&[], message),
        Choice::Within(wrappers, message) => (wrappers, message),
        Choice::OrReference(_) | Choice::ByPlace(_) if value.get("$ref").is_some() => (&[2], &REFERENCE),
        Choice::OrReference(message) => (&[1], message),
        Choice::ByPlace(places) => {
            let place = value.at("in").str();
            let Some((_, wrappers, message)) = places.iter().find(|(name, ..)| *name == place) else {
                return;
            };
            (wrappers, message)
        }
    };
    let mut inner = encode(value, message, depth);
    for wrapper in wrappers.iter().rev() {
        let mut wrapped = Vec::with_capacity(inner.len() + 8);
        bytes(*wrapper, &inner, &mut wrapped);
        inner = wrapped;
    }
    bytes(number, &inner, out);
}

/// A value as YAML.
fn any(value: &Value) -> Vec<u8> {
    let mut yaml = Vec::new();
    yaml::write(value, &mut yaml);
    let mut out = Vec::with_capacity(yaml.len() + 4);
    bytes(2, &yaml, &mut out);
    out
}

fn double(value: &Value) -> Option<f64> {
    let Value::Number(number) = value else { return None };
    Number::as_f64(number).into()
}

fn text(number: u32, text: &str, out: &mut Vec<u8>) {
    bytes(number, text.as_bytes(), out);
}

fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn tag(number: u32, wire: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire), out);
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
