//! Decoding JSON into the tree that Go's typed object would print.
//!
//! Follows `sigs.k8s.io/json` (a case-sensitive `encoding/json`): one pass over the bytes, in document order;
//! the first value of a wrong type is remembered and the rest still read; a type with a decoder of its own
//! stops at its first error; a field that comes twice is decoded over its former value.

use super::cursor::{Cursor, StringToken};
use super::strict::{Path, Step, StrictErrors};
use crate::fields::{Fields, Open};
use crate::types::{Shape, Struct, TypeId, Types};
use crate::zero::{is_kept, is_unshown_empty, zero};
use crate::{DEPTH_MAX, DecodeError};
use std::borrow::Cow;
use std::collections::HashSet;
use value::{Map, Number, Str, Value, json};

/// How often a field that comes twice is decoded over its former value, as in Go; from then on the last value
/// stands alone, since putting large values together again and again would take quadratic time.
const MERGES_MAX: usize = 100;

/// What to do with fields that the type does not have and fields that come twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Drop them.
    Ignore,
    /// Drop and report them.
    Report,
}

/// A decoded object.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The tree in Go's JSON form, with the empty lists and maps that JSON would not show.
    pub value: Value,
    /// Whether there are any such: if not, [`crate::shown_form`] would change nothing.
    pub has_unshown: bool,
    /// `unknown field "…"` and `duplicate field "…"`, in document order, each once, at most 100.
    pub strict_errors: Vec<String>,
}

/// Decodes a JSON document as a type.
///
/// # Errors
/// When the bytes are no JSON document, nest too deep, or hold a value that does not fit; with Go's text.
pub fn decode_json(types: &Types, ty: TypeId, data: &[u8], unknown: Unknown) -> Result<Decoded, DecodeError> {
    let text = repair(data);
    let mut decoder = Decoder::new(types, &text, unknown);
    let mut outcome = decoder.document(ty);
    if decoder.map_duplicates && decoder.strict {
        // Rare, so the order of reports may cost a second pass.
        decoder = Decoder::new(types, &text, unknown);
        decoder.track_keys = true;
        outcome = decoder.document(ty);
    }
    match outcome {
        Ok(value) => match decoder.saved {
            None => {
                Ok(Decoded { value, has_unshown: decoder.has_unshown, strict_errors: decoder.errors.errors })
            }
            Some(error) => Err(error),
        },
        // Go looks for errors of syntax before anything else.
        Err(stop) => match (json::parse(data), stop) {
            (Err(syntax), _) => Err(DecodeError::syntax(syntax.to_string())),
            (Ok(_), Stop::Error) if let Some(error) = decoder.fatal => Err(error),
            (Ok(_), _) => Err(DecodeError::syntax("invalid character '{' exceeded max depth")),
        },
    }
}

/// Decodes a tree as a type, as if its compact text were decoded.
///
/// # Errors
/// As [`decode_json`].
pub fn decode_value(
    types: &Types,
    ty: TypeId,
    value: &Value,
    unknown: Unknown,
) -> Result<Decoded, DecodeError> {
    decode_json(types, ty, &json::to_vec(value), unknown)
}

/// The text with bytes that are no UTF-8 replaced one by one, as Go does inside strings.
fn repair(data: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(data) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(data.len() + 64);
    for chunk in data.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// Why decoding stopped.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// The text is malformed or too deep; the JSON parser knows the words.
    Syntax,
    /// A type's own decoder failed; the decoder has kept the error, so that results stay small.
    Error,
}

pub(super) struct Decoder<'a> {
    pub(super) types: &'a Types,
    pub(super) cursor: Cursor<'a>,
    pub(super) strict: bool,
    /// Whether maps note their keys, to report duplicates in order.
    track_keys: bool,
    /// Whether a map had a key twice that was not reported.
    map_duplicates: bool,
    pub(super) path: Path<'a>,
    errors: StrictErrors,
    /// The first value of a wrong type.
    pub(super) saved: Option<DecodeError>,
    /// What a type's own decoder failed with.
    fatal: Option<DecodeError>,
    fields: Fields,
    depth: usize,
    /// Whether a field holds an empty list or map that JSON does not show.
    has_unshown: bool,
    /// How many fields came again and were decoded over their former value.
    merges: usize,
}

impl<'a> Decoder<'a> {
    fn new(types: &'a Types, text: &'a str, unknown: Unknown) -> Self {
        Self {
            types,
            cursor: Cursor::new(text),
            strict: unknown == Unknown::Report,
            track_keys: false,
            map_duplicates: false,
            path: Path::default(),
            errors: StrictErrors::default(),
            saved: None,
            fatal: None,
            fields: Fields::new(),
            depth: 0,
            has_unshown: false,
            merges: 0,
        }
    }

    fn document(&mut self, ty: TypeId) -> Result<Value, Stop> {
        let value = self.value(ty, None)?;
        if self.cursor.is_at_end() { Ok(value) } else { Err(Stop::Syntax) }
    }

    /// Decodes what comes next; `old` is what a former field of the same name held.
    pub(super) fn value(&mut self, ty: TypeId, old: Option<Value>) -> Result<Value, Stop> {
        let types = self.types;
        let first = self.cursor.peek().ok_or(Stop::Syntax)?;
        match (types.shape(ty), first) {
            (Shape::Struct(s), b'{') => self.nested(|d| d.object(ty, s, old)),
            (Shape::String, b'"') => self.string().map(Value::String),
            (Shape::List(element) | Shape::MessageList(element), b'[') => {
                self.nested(|d| d.list(*element, old))
            }
            (Shape::Map { value, .. }, b'{') => self.nested(|d| d.map(*value, old)),
            (Shape::Bool, b't') => self.literal("true", Value::Bool(true)),
            (Shape::Bool, b'f') => self.literal("false", Value::Bool(false)),
            (Shape::Int32 | Shape::Int64 | Shape::Float64, b'-' | b'0'..=b'9') => self.number(ty),
            (
                Shape::Struct(_)
                | Shape::String
                | Shape::List(_)
                | Shape::MessageList(_)
                | Shape::Map { .. }
                | Shape::Bool
                | Shape::Int32
                | Shape::Int64
                | Shape::Float64,
                _,
            ) => self.other(ty, first, old),
            _ => self.special(ty, first, old),
        }
    }

    /// Null, or a value of a wrong type.
    #[cold]
    pub(super) fn other(&mut self, ty: TypeId, first: u8, old: Option<Value>) -> Result<Value, Stop> {
        if first == b'n' {
            self.cursor.literal("null").ok_or(Stop::Syntax)?;
            let is_nilable = matches!(
                self.types.shape(ty),
                Shape::List(_) | Shape::MessageList(_) | Shape::Map { .. } | Shape::Bytes
            );
            return Ok(if is_nilable { Value::Null } else { old.unwrap_or_else(|| zero(self.types, ty)) });
        }
        self.save(mismatch_word(first), ty);
        self.cursor.skip().ok_or(Stop::Syntax)?;
        Ok(old.unwrap_or_else(|| zero(self.types, ty)))
    }

    pub(super) fn nested(
        &mut self,
        decode: impl FnOnce(&mut Self) -> Result<Value, Stop>,
    ) -> Result<Value, Stop> {
        if self.depth >= DEPTH_MAX {
            return Err(Stop::Syntax);
        }
        self.depth += 1;
        self.cursor.bump();
        let value = decode(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self, ty: TypeId, s: &'a Struct, old: Option<Value>) -> Result<Value, Stop> {
        let mut seen: u128 = 0;
        let mut open = self.fields.open(s, old);
        if !self.cursor.eat(b'}') {
            loop {
                if self.cursor.peek() != Some(b'"') {
                    return Err(Stop::Syntax);
                }
                let token = self.cursor.string().ok_or(Stop::Syntax)?;
                if !self.cursor.eat(b':') {
                    return Err(Stop::Syntax);
                }
                match self.find(s, token)? {
                    Some(i) => {
                        let bit = 1_u128.wrapping_shl(u32::from(s.rank[i]));
                        let twice = seen & bit != 0;
                        seen |= bit;
                        if twice && self.strict {
                            let name = s.fields[i].json;
                            self.errors.duplicate(&self.path, self.types, name);
                        }
                        self.field(ty, s, i, &mut open)?;
                    }
                    None => {
                        if self.strict {
                            let name = token.decode().ok_or(Stop::Syntax)?;
                            self.errors.unknown(&self.path, self.types, &name);
                        }
                        self.cursor.skip().ok_or(Stop::Syntax)?;
                    }
                }
                if !self.next_member()? {
                    break;
                }
            }
        }
        Ok(self.fields.close(self.types, s, open))
    }

    /// Steps over the comma before the next member of an object, or the brace behind the last one.
    fn next_member(&mut self) -> Result<bool, Stop> {
        let more = match self.cursor.peek() {
            Some(b',') => true,
            Some(b'}') => false,
            _ => return Err(Stop::Syntax),
        };
        self.cursor.bump();
        Ok(more)
    }

    fn find(&self, s: &Struct, token: StringToken<'a>) -> Result<Option<usize>, Stop> {
        match token.plain() {
            Some(name) => Ok(s.index_of(name.as_bytes())),
            None => Ok(s.index_of(token.decode().ok_or(Stop::Syntax)?.as_bytes())),
        }
    }

    /// Decodes the value of field `i`.
    fn field(&mut self, ty: TypeId, s: &'a Struct, i: usize, open: &mut Open) -> Result<(), Stop> {
        let field = &s.fields[i];
        let rank = s.rank[i];
        let old = self.fields.take(open, rank);
        if old.is_some() {
            self.merges += 1;
        }
        let old = old.filter(|_| self.merges <= MERGES_MAX);
        if matches!(self.types.shape(field.ty), Shape::String) && self.cursor.peek() == Some(b'"') {
            // Most values are strings, and nothing can be wrong with them: a short way.
            let token = self.cursor.string().ok_or(Stop::Syntax)?;
            if !token.raw.is_empty() || field.pointer || !(field.omitempty || field.omitzero) {
                let text = token.decode().ok_or(Stop::Syntax)?;
                self.fields.push(open, rank, Value::String(text));
            }
            return Ok(());
        }
        self.path.steps.push(Step::Field(ty, i as u16));
        let value = if field.pointer && self.cursor.peek() == Some(b'n') {
            self.literal("null", Value::Null)?
        } else {
            self.value(field.ty, old)?
        };
        self.path.steps.pop();
        if is_kept(self.types, field, &value) {
            self.fields.push(open, rank, value);
        } else if is_unshown_empty(self.types, field, &value) {
            self.has_unshown = true;
            self.fields.push(open, rank, value);
        }
        Ok(())
    }

    pub(super) fn list(&mut self, element: TypeId, old: Option<Value>) -> Result<Value, Stop> {
        let mut old = match old {
            Some(Value::Array(old)) => old.into_iter(),
            _ => Vec::new().into_iter(),
        };
        let mut elements = Vec::new();
        if self.cursor.eat(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            self.path.steps.push(Step::Index(elements.len()));
            elements.push(self.value(element, old.next())?);
            self.path.steps.pop();
            match self.cursor.peek() {
                Some(b',') => self.cursor.bump(),
                Some(b']') => {
                    self.cursor.bump();
                    return Ok(Value::Array(elements));
                }
                _ => return Err(Stop::Syntax),
            }
        }
    }

    fn map(&mut self, element: TypeId, old: Option<Value>) -> Result<Value, Stop> {
        let mut entries = match old {
            Some(Value::Object(old)) => old.into_vec(),
            _ => Vec::new(),
        };
        let former = entries.len();
        let is_string = matches!(self.types.shape(element), Shape::String);
        let mut keys = self.track_keys.then(HashSet::new);
        if !self.cursor.eat(b'}') {
            loop {
                if self.cursor.peek() != Some(b'"') {
                    return Err(Stop::Syntax);
                }
                let token = self.cursor.string().ok_or(Stop::Syntax)?;
                let key = token.decode().ok_or(Stop::Syntax)?;
                if !self.cursor.eat(b':') {
                    return Err(Stop::Syntax);
                }
                if let Some(keys) = &mut keys
                    && !keys.insert(key.clone())
                    && self.strict
                {
                    self.errors.duplicate(&self.path, self.types, &key);
                }
                if is_string && self.cursor.peek() == Some(b'"') {
                    let text = self.cursor.string().and_then(StringToken::decode).ok_or(Stop::Syntax)?;
                    entries.push((key, Value::String(text)));
                    if self.next_member()? {
                        continue;
                    }
                    break;
                }
                self.path.steps.push(Step::Key(token));
                let value = self.value(element, None)?;
                self.path.steps.pop();
                entries.push((key, value));
                if !self.next_member()? {
                    break;
                }
            }
        }
        let strict = self.strict;
        Ok(Value::Object(Map::from_entries(entries, |_| self.map_duplicates |= strict || former > 0)))
    }

    pub(super) fn string(&mut self) -> Result<Str, Stop> {
        self.cursor.string().and_then(StringToken::decode).ok_or(Stop::Syntax)
    }

    pub(super) fn literal(&mut self, word: &str, value: Value) -> Result<Value, Stop> {
        self.cursor.literal(word).ok_or(Stop::Syntax)?;
        Ok(value)
    }

    fn number(&mut self, ty: TypeId) -> Result<Value, Stop> {
        let text = self.cursor.number().ok_or(Stop::Syntax)?;
        let number = match self.types.shape(ty) {
            Shape::Int32 => text.parse::<i32>().ok().map(|n| Number::Int(n.into())),
            Shape::Int64 => text.parse::<i64>().ok().map(Number::Int),
            _ => text.parse::<f64>().ok().filter(|x| x.is_finite()).map(go_float),
        };
        Ok(Value::Number(number.unwrap_or_else(|| {
            self.save(&format!("number {text}"), ty);
            Number::Int(0)
        })))
    }

    /// Remembers the first value that does not fit its type.
    #[cold]
    fn save(&mut self, value: &str, ty: TypeId) {
        if self.saved.is_none() {
            let name = self.types.name(ty);
            self.saved = Some(DecodeError::ty(self.path.mismatch(self.types, value, &name)));
        }
    }

    /// The error of a type that decodes itself by decoding a simple one.
    #[cold]
    pub(super) fn mismatch(&mut self, value: &str, type_name: &str) -> Stop {
        let message = self.path.mismatch(self.types, value, type_name);
        self.fail(DecodeError::ty(message))
    }

    #[cold]
    pub(super) fn fail(&mut self, error: DecodeError) -> Stop {
        self.fatal = Some(error);
        Stop::Error
    }
}

/// What Go calls a JSON value by its first byte.
pub(super) const fn mismatch_word(first: u8) -> &'static str {
    match first {
        b'"' => "string",
        b'{' => "object",
        b'[' => "array",
        b't' | b'f' => "bool",
        _ => "number",
    }
}

/// A float in the spelling in which Go prints it.
pub(crate) fn go_float(x: f64) -> Number {
    if x.fract() == 0.0 && x.abs() < 9.0e18 && !(x == 0.0 && x.is_sign_negative()) {
        return Number::Int(x as i64);
    }
    match json::parse(Number::Float(x).to_string().as_bytes()) {
        Ok(Value::Number(n)) => n,
        _ => Number::Float(x),
    }
}
