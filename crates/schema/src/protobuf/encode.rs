//! Writing messages.

use super::envelope::wrap_message;
use crate::json::fill;
use crate::special::{base64, duration, field_set, time};
use crate::types::{Field, Shape, Struct, TypeId, Types, WireKind};
use value::{Map, Value, json};

/// Appends an object in its envelope; `apiVersion` and `kind` are those of the tree, which must be in Go's
/// JSON form.
pub fn encode_protobuf(types: &Types, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    let mut message = Vec::with_capacity(1_024);
    encode_message(types, ty, value, &mut message);
    wrap_message(value.at("apiVersion").str(), value.at("kind").str(), &message, out);
}

/// Appends an object as a bare message. The tree must be in Go's JSON form.
pub fn encode_message(types: &Types, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    Encoder::new(types, out).root(ty, value, false);
}

/// Where `metadata.resourceVersion` stands in a message in which it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageSplice {
    /// Where the length of `metadata` stands.
    metadata: u32,
    /// Where `metadata` begins.
    body: u32,
    /// The length of `metadata`.
    len: u32,
    /// Where the length (one byte, zero) of the resource version stands.
    value: u32,
}

/// Appends an object as a bare message with an empty `metadata.resourceVersion`, and tells where that goes;
/// `None` if the type has no metadata.
pub fn encode_message_spliced(
    types: &Types,
    ty: TypeId,
    value: &Value,
    out: &mut Vec<u8>,
) -> Option<MessageSplice> {
    let start = u32::try_from(out.len()).ok()?;
    let mut encoder = Encoder::new(types, out);
    encoder.root(ty, value, true);
    let mut splice = encoder.splice.filter(|s| s.body > 0)?;
    for at in [&mut splice.metadata, &mut splice.body, &mut splice.value] {
        *at = at.checked_sub(start)?;
    }
    Some(splice)
}

/// How long a message becomes by [`splice_message`].
pub fn spliced_message_len(message_len: usize, splice: MessageSplice, resource_version: u64) -> usize {
    let digits = decimal_len(resource_version);
    let len = u64::from(splice.len);
    message_len + digits + varint_len(len + digits as u64) - varint_len(len)
}

/// Appends `message` with `metadata.resourceVersion` put in at `splice`.
pub fn splice_message(message: &[u8], splice: MessageSplice, resource_version: u64, out: &mut Vec<u8>) {
    let part = |from: u32, to: u32| message.get(from as usize..to as usize).unwrap_or(&[]);
    let digits = decimal_len(resource_version);
    out.reserve(message.len() + digits + 8);
    out.extend_from_slice(part(0, splice.metadata));
    write_varint(u64::from(splice.len) + digits as u64, out);
    out.extend_from_slice(part(splice.body, splice.value));
    write_varint(digits as u64, out);
    json::write_number(&value::Number::Uint(resource_version), out);
    out.extend_from_slice(message.get(splice.value as usize + 1..).unwrap_or(&[]));
}

fn decimal_len(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

pub(super) fn write_varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(super) const fn varint_len(n: u64) -> usize {
    (70 - (n | 1).leading_zeros() as usize) / 7
}

/// Where a struct stands, as far as splicing cares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Metadata,
    Inside,
}

static NULL: Value = Value::Null;

struct Encoder<'t, 'v, 'o> {
    types: &'t Types,
    /// Values of all open structs by field index.
    slots: Vec<Option<&'v Value>>,
    out: &'o mut Vec<u8>,
    splice: Option<MessageSplice>,
}

impl<'t, 'v, 'o> Encoder<'t, 'v, 'o> {
    fn new(types: &'t Types, out: &'o mut Vec<u8>) -> Self {
        Self { types, slots: Vec::with_capacity(128), out, splice: None }
    }

    fn root(&mut self, ty: TypeId, value: &'v Value, splice: bool) {
        match (self.types.shape(ty), value) {
            (Shape::Struct(s), Value::Object(map)) => {
                self.message(s, map, if splice { Level::Root } else { Level::Inside });
            }
            (Shape::Struct(_), _) => {}
            _ => self.contents(ty, value),
        }
    }

    fn tag(&mut self, number: u32, wire: u32) {
        write_varint(u64::from(number << 3 | wire), self.out);
    }

    /// Writes `body` behind its length.
    fn delimited(&mut self, body: impl FnOnce(&mut Self)) {
        let at = self.out.len();
        // Most bodies are shorter than 128 bytes; the others are moved to make room for the length.
        self.out.push(0);
        body(self);
        let start = at + 1;
        let len = self.out.len() - start;
        let extra = varint_len(len as u64) - 1;
        if extra > 0 {
            self.out.resize(self.out.len() + extra, 0);
            self.out.copy_within(start..start + len, start + extra);
        }
        let mut rest = len as u64;
        for slot in self.out.iter_mut().skip(at).take(extra + 1) {
            *slot = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
        }
        if let Some(last) = self.out.get_mut(at + extra) {
            *last &= 0x7f;
        }
    }

    fn string(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        write_varint(bytes.len() as u64, self.out);
        self.out.extend_from_slice(bytes);
    }

    fn message(&mut self, s: &'t Struct, map: &'v Map, level: Level) {
        let start = fill(s, map, &mut self.slots);
        for wire in &s.wire {
            match wire.kind {
                WireKind::Field(i) => {
                    let Some(field) = s.fields.get(usize::from(i)) else { continue };
                    let value = self.slots.get(start + usize::from(i)).copied().flatten().unwrap_or(&NULL);
                    if level != Level::Inside && self.spliced(field, value, level) {
                        continue;
                    }
                    self.field(field, value);
                }
                WireKind::Inlined(ty) => {
                    let Some(inner) = self.types.structure(ty) else { continue };
                    self.tag(wire.number, 2);
                    self.delimited(|e| e.message(inner, map, Level::Inside));
                }
            }
        }
        self.slots.truncate(start);
    }

    /// Writes the fields on the way to `metadata.resourceVersion`, and notes where they stand.
    fn spliced(&mut self, field: &'t Field, value: &'v Value, level: Level) -> bool {
        let here = |e: &Self| u32::try_from(e.out.len()).unwrap_or(u32::MAX);
        match (level, field.json, self.types.shape(field.ty)) {
            (Level::Root, "metadata", Shape::Struct(metadata)) => {
                let Value::Object(map) = value else { return false };
                self.tag(field.number, 2);
                let at = here(self);
                self.delimited(|e| e.message(metadata, map, Level::Metadata));
                if let Some(splice) = &mut self.splice {
                    let mut len = 0;
                    let mut shift = 0;
                    for (i, byte) in self.out.iter().skip(at as usize).take(5).enumerate() {
                        len |= u32::from(byte & 0x7f) << (7 * i);
                        shift = i as u32;
                        if byte & 0x80 == 0 {
                            break;
                        }
                    }
                    splice.metadata = at;
                    splice.body = at + 1 + shift;
                    splice.len = len;
                    splice.value += shift;
                }
                true
            }
            (Level::Metadata, "resourceVersion", Shape::String) => {
                self.tag(field.number, 2);
                self.splice = Some(MessageSplice { value: here(self), ..MessageSplice::default() });
                self.out.push(0);
                true
            }
            _ => false,
        }
    }

    fn field(&mut self, field: &'t Field, value: &'v Value) {
        let number = field.number;
        match (self.types.shape(field.ty), value) {
            (Shape::List(element), _) => value.items().iter().for_each(|v| self.single(*element, number, v)),
            (Shape::Map { value: element, .. }, _) => {
                for (key, v) in value.entries() {
                    self.tag(number, 2);
                    self.delimited(|e| {
                        e.string(1, key.as_bytes());
                        e.single(*element, 2, v);
                    });
                }
            }
            (Shape::MessageList(_), Value::Null) => {}
            (_, Value::Null) if field.pointer => {}
            _ => self.single(field.ty, number, value),
        }
    }

    /// One value with its tag.
    fn single(&mut self, ty: TypeId, number: u32, value: &'v Value) {
        match self.types.shape(ty) {
            Shape::String => self.string(number, value.str().as_bytes()),
            Shape::Bool => {
                self.tag(number, 0);
                self.out.push(u8::from(value.bool()));
            }
            Shape::Int32 | Shape::Int64 => {
                self.tag(number, 0);
                write_varint(value.int().cast_unsigned(), self.out);
            }
            Shape::Float64 => {
                self.tag(number, 1);
                let x = if let Value::Number(n) = value { n.as_f64() } else { 0.0 };
                self.out.extend_from_slice(&x.to_le_bytes());
            }
            Shape::Bytes => {
                if let Some(text) = value.as_str() {
                    let bytes = base64::decode(text).unwrap_or_default();
                    self.string(number, &bytes);
                }
            }
            Shape::List(_) | Shape::Map { .. } | Shape::Any => {}
            _ => {
                self.tag(number, 2);
                self.delimited(|e| e.contents(ty, value));
            }
        }
    }

    /// What a message of a type holds.
    fn contents(&mut self, ty: TypeId, value: &'v Value) {
        match self.types.shape(ty) {
            Shape::Struct(s) => {
                static EMPTY: Map = Map::new();
                let map = value.as_object().unwrap_or(&EMPTY);
                self.message(s, map, Level::Inside);
            }
            Shape::MessageList(element) => value.items().iter().for_each(|v| self.single(*element, 1, v)),
            Shape::Quantity => self.string(1, value.as_str().unwrap_or("0").as_bytes()),
            Shape::IntOrString => self.int_or_string(value),
            Shape::Time => self.time(value, time::Layout::Seconds),
            Shape::MicroTime => self.time(value, time::Layout::Micros),
            Shape::Duration => {
                self.tag(1, 0);
                let nanos = duration::parse(value.str()).unwrap_or(0);
                write_varint(nanos.cast_unsigned(), self.out);
            }
            Shape::FieldsV1 if !value.is_null() => {
                self.tag(1, 2);
                self.delimited(|e| field_set::write(value, e.out));
            }
            Shape::RawExtension | Shape::Json if !value.is_null() => {
                self.tag(1, 2);
                self.delimited(|e| json::write(value, e.out));
            }
            Shape::SchemaOrBool(schema) => {
                self.tag(1, 0);
                self.out.push(u8::from(value.bool() || value.as_object().is_some()));
                if value.as_object().is_some() {
                    self.single(*schema, 2, value);
                }
            }
            Shape::SchemaOrArray(schema) => match value {
                Value::Object(_) => self.single(*schema, 1, value),
                _ => value.items().iter().for_each(|v| self.single(*schema, 2, v)),
            },
            Shape::SchemaOrStrings(schema) => match value {
                Value::Object(_) => self.single(*schema, 1, value),
                _ => value.items().iter().for_each(|v| self.string(2, v.str().as_bytes())),
            },
            _ => {}
        }
    }

    fn int_or_string(&mut self, value: &Value) {
        let text = value.as_str();
        self.tag(1, 0);
        self.out.push(u8::from(text.is_some()));
        self.tag(2, 0);
        write_varint(value.int().cast_unsigned(), self.out);
        self.string(3, text.unwrap_or("").as_bytes());
    }

    fn time(&mut self, value: &Value, layout: time::Layout) {
        let Some(time) = value.as_str().and_then(|s| time::parse(s, layout).ok()) else { return };
        if time.is_zero() {
            return;
        }
        self.tag(1, 0);
        write_varint(time.unix_seconds().cast_unsigned(), self.out);
        self.tag(2, 0);
        let nanos = if layout == time::Layout::Seconds { 0 } else { time.micros_nanos() };
        write_varint(nanos.into(), self.out);
    }
}
