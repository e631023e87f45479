//! Reading messages into trees in Go's JSON form.

use super::envelope::read_envelope;
use super::reader::{Reader, Tag, text};
use crate::fields::{Fields, Open};
use crate::json::go_float;
use crate::special::{base64, duration, quantity, time};
use crate::types::{Shape, Struct, TypeId, Types, Wire, WireKind};
use crate::zero::{is_kept, zero};
use crate::{DEPTH_MAX, DecodeError};
use value::{Map, Str, Value, json};

/// How often messages that may come once only may come again, in all: no encoder repeats them, and putting
/// them together costs.
const REPEATED_MESSAGES_MAX: usize = 1_000;

/// Decodes an object in its envelope; `apiVersion` and `kind` of the tree are those of the envelope.
///
/// # Errors
/// When the bytes are no such envelope or message; with upstream's text.
pub fn decode_protobuf(types: &Types, ty: TypeId, data: &[u8]) -> Result<Value, DecodeError> {
    let envelope = read_envelope(data)?;
    let mut value = decode_message(types, ty, envelope.raw)?;
    for (key, text) in [("apiVersion", envelope.api_version), ("kind", envelope.kind)] {
        if !text.is_empty() && types.structure(ty).is_some_and(|s| s.field(key).is_some()) {
            value.set(key, &*text);
        }
    }
    Ok(value)
}

/// Decodes a bare message.
///
/// # Errors
/// When the bytes are no message of the type; with upstream's text.
pub fn decode_message(types: &Types, ty: TypeId, data: &[u8]) -> Result<Value, DecodeError> {
    let mut decoder = Decoder { types, fields: Fields::new(), depth: 0, repeated: 0, malformed: None };
    let value = decoder.message(ty, data, None)?;
    decoder.malformed.map_or(Ok(value), Err)
}

struct Decoder<'t> {
    types: &'t Types,
    fields: Fields,
    depth: usize,
    repeated: usize,
    /// The first free-form JSON that is none; upstream finds that only when it prints the object.
    malformed: Option<DecodeError>,
}

impl Decoder<'_> {
    /// Decodes a message of any type; `old` is what an earlier message of the same field held.
    fn message(&mut self, ty: TypeId, data: &[u8], old: Option<Value>) -> Result<Value, DecodeError> {
        if self.depth >= DEPTH_MAX {
            return Err(DecodeError::syntax("proto: exceeded max depth"));
        }
        if old.is_some() {
            self.repeat()?;
        }
        self.depth += 1;
        let types = self.types;
        let value = match types.shape(ty) {
            Shape::Struct(s) => self.structure(ty, s, data, old),
            _ => self.special(ty, data),
        };
        self.depth -= 1;
        value
    }

    fn structure(
        &mut self,
        ty: TypeId,
        s: &Struct,
        data: &[u8],
        old: Option<Value>,
    ) -> Result<Value, DecodeError> {
        let mut open = self.fields.open(s, old);
        let mut reader = Reader::new(data);
        let mut next = 0;
        while let Some(tag) = reader.tag(self.types.get(ty).short_name())? {
            let Some(wire) = find(s, tag, &mut next) else {
                reader.skip(tag)?;
                continue;
            };
            match wire.kind {
                WireKind::Field(i) => self.field(s, usize::from(i), tag, &mut reader, &mut open)?,
                WireKind::Inlined(inner) => self.inlined(s, inner, tag, &mut reader, &mut open)?,
            }
        }
        Ok(self.fields.close(self.types, s, open))
    }

    /// Decodes the message of an inlined struct, whose fields go into the object of the outer one.
    fn inlined(
        &mut self,
        s: &Struct,
        inner: TypeId,
        tag: Tag,
        reader: &mut Reader<'_>,
        open: &mut Open,
    ) -> Result<(), DecodeError> {
        let data = reader.bytes(tag, self.types.get(inner).short_name())?;
        let Some(fields) = self.types.structure(inner).map(|t| &t.fields) else { return Ok(()) };
        let ranks = || fields.iter().filter_map(|f| Some((f.json, s.rank[s.index_of(f.json.as_bytes())?])));
        let former =
            ranks().filter_map(|(name, rank)| Some((Str::new_static(name), self.fields.take(open, rank)?)));
        let former: Map = former.collect();
        let old = (!former.is_empty()).then_some(Value::Object(former));
        if let Value::Object(map) = self.message(inner, data, old)? {
            for (key, value) in map {
                if let Some(i) = s.index_of(key.as_bytes()) {
                    self.fields.push(open, s.rank[i], value);
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        s: &Struct,
        i: usize,
        tag: Tag,
        reader: &mut Reader<'_>,
        open: &mut Open,
    ) -> Result<(), DecodeError> {
        let (field, rank) = (&s.fields[i], s.rank[i]);
        let old = self.fields.take(open, rank);
        let value = match self.types.shape(field.ty) {
            Shape::List(element) => {
                let mut list = match old {
                    Some(Value::Array(list)) => list,
                    _ => Vec::new(),
                };
                self.elements(*element, field.go, tag, reader, &mut list)?;
                while let Some(tag) = reader.again(tag) {
                    self.elements(*element, field.go, tag, reader, &mut list)?;
                }
                Value::Array(list)
            }
            Shape::Map { value, .. } => {
                let mut entries = match old {
                    Some(Value::Object(map)) => {
                        self.repeat()?;
                        map.into_vec()
                    }
                    _ => Vec::new(),
                };
                let mut entry = Some(tag);
                while let Some(tag) = entry {
                    reader.expect(tag, 2, field.go)?;
                    entries.push(self.entry(*value, reader)?);
                    entry = reader.again(tag);
                }
                Value::Object(Map::from_entries(entries, |_| {}))
            }
            _ => self.single(field.ty, field.go, tag, reader, old)?,
        };
        if is_kept(self.types, field, &value) {
            self.fields.push(open, rank, value);
        }
        Ok(())
    }

    /// Counts a message or map that comes again after others.
    fn repeat(&mut self) -> Result<(), DecodeError> {
        self.repeated += 1;
        if self.repeated > REPEATED_MESSAGES_MAX {
            return Err(DecodeError::syntax("proto: too many repetitions of messages"));
        }
        Ok(())
    }

    /// An element of a list, or several scalars packed into one member.
    fn elements(
        &mut self,
        element: TypeId,
        name: &str,
        tag: Tag,
        reader: &mut Reader<'_>,
        list: &mut Vec<Value>,
    ) -> Result<(), DecodeError> {
        let shape = self.types.shape(element);
        if tag.wire == 2 && matches!(shape, Shape::Bool | Shape::Int32 | Shape::Int64) {
            let mut packed = Reader::new(reader.delimited()?);
            while !packed.is_at_end() {
                list.push(integer(shape, packed.varint()?));
            }
            return Ok(());
        }
        list.push(self.single(element, name, tag, reader, None)?);
        Ok(())
    }

    /// An entry of a map. Upstream lets what is in it reach beyond its end.
    fn entry(&mut self, ty: TypeId, reader: &mut Reader<'_>) -> Result<(Str, Value), DecodeError> {
        let mut key = Str::default();
        let mut value = None;
        let end = reader.entry()?;
        while let Some(tag) = reader.entry_tag(end)? {
            match tag.number {
                1 => key = Str::new(text(reader.delimited()?)),
                2 => value = Some(self.delimited(ty, reader.delimited()?, None)?),
                _ => reader.skip_in_entry(tag, end)?,
            }
        }
        reader.leave_entry(end);
        let value = match value {
            Some(value) => value,
            None => match self.types.shape(ty) {
                // Upstream starts from what is empty, not nil.
                Shape::Bytes => Value::from(""),
                Shape::MessageList(_) => Value::Array(Vec::new()),
                _ => zero(self.types, ty),
            },
        };
        Ok((key, value))
    }

    fn single(
        &mut self,
        ty: TypeId,
        name: &str,
        tag: Tag,
        reader: &mut Reader<'_>,
        old: Option<Value>,
    ) -> Result<Value, DecodeError> {
        match self.types.shape(ty) {
            shape @ (Shape::Bool | Shape::Int32 | Shape::Int64) => {
                Ok(integer(shape, reader.varint_of(tag, name)?))
            }
            Shape::Float64 => {
                let x = f64::from_bits(reader.fixed64_of(tag, name)?);
                Ok(Value::Number(if x.is_finite() { go_float(x) } else { value::Number::Int(0) }))
            }
            _ => {
                let data = reader.bytes(tag, name)?;
                self.delimited(ty, data, old)
            }
        }
    }

    /// A string, bytes or a message.
    fn delimited(&mut self, ty: TypeId, data: &[u8], old: Option<Value>) -> Result<Value, DecodeError> {
        match self.types.shape(ty) {
            Shape::String => Ok(Value::String(Str::new(text(data)))),
            Shape::Bytes => {
                let mut text = String::new();
                base64::encode(data, &mut text);
                Ok(Value::from(text))
            }
            _ => self.message(ty, data, old),
        }
    }

    fn special(&mut self, ty: TypeId, data: &[u8]) -> Result<Value, DecodeError> {
        let types = self.types;
        let name = types.get(ty).short_name();
        match types.shape(ty) {
            Shape::Quantity => self.quantity(data),
            Shape::IntOrString => self.int_or_string(data),
            Shape::Time => read_time(data, time::Layout::Seconds),
            Shape::MicroTime => read_time(data, time::Layout::Micros),
            Shape::Duration => {
                let mut reader = Reader::new(data);
                let mut nanos = 0;
                while let Some(tag) = reader.tag(name)? {
                    match tag.number {
                        1 => nanos = reader.varint_of(tag, "Duration")?.cast_signed(),
                        _ => reader.skip(tag)?,
                    }
                }
                Ok(Value::from(duration::print(nanos)))
            }
            Shape::RawExtension | Shape::FieldsV1 | Shape::Json => {
                let Some(raw) = read_raw(name, data)? else { return Ok(Value::Null) };
                Ok(parse_raw(&types.name(ty), raw).unwrap_or_else(|e| {
                    self.malformed.get_or_insert(e);
                    Value::Null
                }))
            }
            Shape::MessageList(element) => {
                let mut reader = Reader::new(data);
                let mut list = Vec::new();
                while let Some(tag) = reader.tag(name)? {
                    match tag.number {
                        1 => list.push(self.single(*element, "Items", tag, &mut reader, None)?),
                        _ => reader.skip(tag)?,
                    }
                }
                Ok(Value::Array(list))
            }
            Shape::SchemaOrBool(schema) => {
                let mut reader = Reader::new(data);
                let mut allows = Value::Bool(false);
                let mut inner = None;
                while let Some(tag) = reader.tag(name)? {
                    match tag.number {
                        1 => allows = Value::Bool(reader.varint_of(tag, "Allows")? != 0),
                        2 => inner = Some(self.message(*schema, reader.bytes(tag, "Schema")?, inner)?),
                        _ => reader.skip(tag)?,
                    }
                }
                Ok(inner.unwrap_or(allows))
            }
            Shape::SchemaOrArray(schema) => self.schema_or_list(name, *schema, *schema, "JSONSchemas", data),
            Shape::SchemaOrStrings(schema) => {
                let string = types.by_go_name("string").unwrap_or(*schema);
                self.schema_or_list(name, *schema, string, "Property", data)
            }
            // Nothing else travels as a message.
            _ => Ok(zero(types, ty)),
        }
    }

    fn schema_or_list(
        &mut self,
        name: &str,
        schema: TypeId,
        element: TypeId,
        list_name: &str,
        data: &[u8],
    ) -> Result<Value, DecodeError> {
        let mut reader = Reader::new(data);
        let mut inner = None;
        let mut list = Vec::new();
        while let Some(tag) = reader.tag(name)? {
            match tag.number {
                1 => inner = Some(self.message(schema, reader.bytes(tag, "Schema")?, inner)?),
                2 => list.push(self.single(element, list_name, tag, &mut reader, None)?),
                _ => reader.skip(tag)?,
            }
        }
        Ok(if list.is_empty() { inner.unwrap_or_default() } else { Value::Array(list) })
    }

    fn int_or_string(&mut self, data: &[u8]) -> Result<Value, DecodeError> {
        let mut reader = Reader::new(data);
        let (mut sort, mut int, mut string) = (0, 0, Str::default());
        while let Some(tag) = reader.tag("IntOrString")? {
            match tag.number {
                1 => sort = reader.varint_of(tag, "Type")?,
                2 => int = reader.varint_of(tag, "IntVal")? as i32,
                3 => string = Str::new(text(reader.bytes(tag, "StrVal")?)),
                _ => reader.skip(tag)?,
            }
        }
        if sort > 1 {
            self.malformed.get_or_insert_with(|| {
                DecodeError::ty("json: error calling MarshalJSON for type intstr.IntOrString: impossible IntOrString.Type")
            });
        }
        Ok(if sort == 1 { Value::String(string) } else { Value::from(int) })
    }

    fn quantity(&self, data: &[u8]) -> Result<Value, DecodeError> {
        let mut reader = Reader::new(data);
        let mut value = Value::from("0");
        while let Some(tag) = reader.tag("Quantity")? {
            match tag.number {
                1 => {
                    let string = text(reader.bytes(tag, "String_")?);
                    let canonical =
                        quantity::canonical(&string).map_err(|e| DecodeError::ty(e.to_string()))?;
                    value = Value::from(&*canonical);
                }
                _ => reader.skip(tag)?,
            }
        }
        Ok(value)
    }
}

/// The member with the number of `tag`; members mostly come in order, so the search goes on where the last
/// one ended.
fn find(s: &Struct, tag: Tag, next: &mut usize) -> Option<Wire> {
    let number = tag.number.cast_unsigned();
    for at in [*next, next.saturating_sub(1)] {
        if let Some(wire) = s.wire.get(at).filter(|w| w.number == number) {
            *next = at + 1;
            return Some(*wire);
        }
    }
    let at = s.wire.binary_search_by_key(&number, |w| w.number).ok()?;
    *next = at + 1;
    s.wire.get(at).copied()
}

fn integer(shape: &Shape, n: u64) -> Value {
    match shape {
        Shape::Bool => Value::Bool(n != 0),
        Shape::Int32 => Value::from(n as i32),
        _ => Value::from(n.cast_signed()),
    }
}

fn read_time(data: &[u8], layout: time::Layout) -> Result<Value, DecodeError> {
    if data.is_empty() {
        return Ok(Value::Null);
    }
    let mut reader = Reader::new(data);
    let (mut seconds, mut nanos) = (0, 0_i64);
    while let Some(tag) = reader.tag("Timestamp")? {
        match tag.number {
            1 => seconds = reader.varint_of(tag, "Seconds")?.cast_signed(),
            2 => nanos = i64::from(reader.varint_of(tag, "Nanos")? as i32),
            _ => reader.skip(tag)?,
        }
    }
    if layout == time::Layout::Seconds {
        nanos = 0;
    }
    // Nanoseconds beyond a second carry over, as in Go's time.Unix; micros are cut towards zero first.
    nanos -= nanos % 1_000;
    let seconds = seconds.saturating_add(nanos.div_euclid(1_000_000_000));
    let time = time::readable(meta::time::Time::from_unix(seconds, nanos.rem_euclid(1_000_000_000) as u32));
    Ok(if time.is_zero() { Value::Null } else { Value::from(time::print(time, layout)) })
}

fn read_raw<'a>(name: &str, data: &'a [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
    let mut reader = Reader::new(data);
    let mut raw = None;
    while let Some(tag) = reader.tag(name)? {
        match tag.number {
            1 => raw = Some(reader.bytes(tag, "Raw")?),
            _ => reader.skip(tag)?,
        }
    }
    Ok(raw)
}

fn parse_raw(name: &str, raw: &[u8]) -> Result<Value, DecodeError> {
    let is_extension = name == "runtime.RawExtension";
    if raw.is_empty() && !is_extension {
        return Ok(Value::Null);
    }
    json::parse(raw).map_err(|e| {
        let looks_like_json = raw.first().is_some_and(|b| b"\t\r\n {[ntf\"-0123456789".contains(b));
        let reason = if is_extension && !looks_like_json {
            "cannot convert RawExtension with unrecognized content type to unstructured".to_owned()
        } else {
            e.to_string()
        };
        DecodeError::ty(format!("json: error calling MarshalJSON for type {name}: {reason}"))
    })
}
