//! Decoding the types that decode themselves in Go (`UnmarshalJSON`), and `[]byte`.

use super::decode::{Decoder, Stop, mismatch_word};
use crate::DecodeError;
use crate::special::{base64, duration, quantity, time};
use crate::types::{Shape, TypeId};
use crate::zero::NO_SCHEMA;
use std::borrow::Cow;
use value::{Str, Value, json};

impl<'a> Decoder<'a> {
    /// Decodes what comes next as a type that is not of one of JSON's own shapes.
    pub(super) fn special(&mut self, ty: TypeId, first: u8, old: Option<Value>) -> Result<Value, Stop> {
        match self.types.shape(ty) {
            Shape::Quantity => self.quantity(),
            Shape::IntOrString => self.int_or_string(first),
            Shape::Time => self.time(first, time::Layout::Seconds),
            Shape::MicroTime => self.time(first, time::Layout::Micros),
            Shape::Duration => self.duration(first),
            Shape::Bytes => self.bytes(ty, first, old),
            Shape::SchemaOrBool(schema) => self.schema_or_bool(*schema, first),
            Shape::SchemaOrArray(schema) => {
                let given = self.schema_or_list(*schema, *schema, first)?;
                Ok(if given.is_null() { NO_SCHEMA } else { given })
            }
            Shape::SchemaOrStrings(schema) => {
                let string = self.types.by_go_name("string").unwrap_or(*schema);
                self.schema_or_list(*schema, string, first)
            }
            _ => {
                let raw = self.cursor.raw().ok_or(Stop::Syntax)?;
                if raw == "null" {
                    return Ok(old.unwrap_or_default());
                }
                json::parse(raw.as_bytes()).map_err(|_| Stop::Syntax)
            }
        }
    }

    fn quantity(&mut self) -> Result<Value, Stop> {
        let raw = self.checked_raw()?;
        if raw == "null" {
            return Ok(Value::from("0"));
        }
        let text = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')).unwrap_or(raw).trim();
        match quantity::canonical(text) {
            Ok(text) => Ok(Value::from(&*text)),
            Err(e) => Err(self.fail(DecodeError::ty(e.to_string()))),
        }
    }

    /// The text of the next value, which is well-formed.
    fn checked_raw(&mut self) -> Result<&'a str, Stop> {
        let raw = self.cursor.raw().ok_or(Stop::Syntax)?;
        if raw.starts_with(['{', '[']) || raw.contains('\\') {
            json::parse(raw.as_bytes()).map_err(|_| Stop::Syntax)?;
        }
        Ok(raw)
    }

    fn int_or_string(&mut self, first: u8) -> Result<Value, Stop> {
        match first {
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => {
                let text = self.cursor.number().ok_or(Stop::Syntax)?;
                match text.parse::<i32>() {
                    Ok(n) => Ok(Value::from(n)),
                    Err(_) => Err(self.mismatch(&format!("number {text}"), "int32")),
                }
            }
            b'n' => self.literal("null", Value::from(0)),
            _ => {
                self.checked_raw()?;
                Err(self.mismatch(mismatch_word(first), "int32"))
            }
        }
    }

    /// The string that a type decodes itself from; `None` for null.
    fn inner_string(&mut self, first: u8) -> Result<Option<Str>, Stop> {
        match first {
            b'"' => self.string().map(Some),
            b'n' => self.literal("null", Value::Null).map(|_| None),
            _ => {
                self.checked_raw()?;
                Err(self.mismatch(mismatch_word(first), "string"))
            }
        }
    }

    fn time(&mut self, first: u8, layout: time::Layout) -> Result<Value, Stop> {
        let Some(text) = self.inner_string(first)? else { return Ok(Value::Null) };
        match time::canonical(&text, layout) {
            Ok(Some(Cow::Borrowed(_))) => Ok(Value::String(text)),
            Ok(Some(Cow::Owned(text))) => Ok(Value::from(text)),
            Ok(None) => Ok(Value::Null),
            Err(e) => Err(self.fail(DecodeError::ty(e))),
        }
    }

    fn duration(&mut self, first: u8) -> Result<Value, Stop> {
        let text = self.inner_string(first)?.unwrap_or_default();
        match duration::parse(&text) {
            Ok(nanos) => Ok(Value::from(duration::print(nanos))),
            Err(e) => Err(self.fail(DecodeError::ty(e))),
        }
    }

    fn bytes(&mut self, ty: TypeId, first: u8, old: Option<Value>) -> Result<Value, Stop> {
        match first {
            b'"' => {
                let text = self.string()?;
                if base64::is_canonical(&text) {
                    return Ok(Value::String(text));
                }
                match base64::decode(&text) {
                    Ok(bytes) => Ok(base64_value(&bytes)),
                    Err(e) => {
                        self.saved.get_or_insert_with(|| DecodeError::ty(e));
                        Ok(old.unwrap_or_default())
                    }
                }
            }
            b'[' => self.byte_list(),
            _ => self.other(ty, first, old),
        }
    }

    /// Go takes a list of numbers for `[]byte`, too.
    #[cold]
    fn byte_list(&mut self) -> Result<Value, Stop> {
        let raw = self.checked_raw()?;
        let list = json::parse(raw.as_bytes()).map_err(|_| Stop::Syntax)?;
        let mut bytes = Vec::new();
        for item in list.items() {
            let byte = item.as_i64().and_then(|n| u8::try_from(n).ok());
            if byte.is_none() && !item.is_null() && self.saved.is_none() {
                let word = match item {
                    Value::Number(n) => format!("number {n}"),
                    Value::String(_) => "string".to_owned(),
                    Value::Bool(_) => "bool".to_owned(),
                    Value::Array(_) => "array".to_owned(),
                    _ => "object".to_owned(),
                };
                self.saved = Some(DecodeError::ty(self.path.mismatch(self.types, &word, "uint8")));
            }
            bytes.push(byte.unwrap_or(0));
        }
        Ok(base64_value(&bytes))
    }

    fn schema_or_bool(&mut self, schema: TypeId, first: u8) -> Result<Value, Stop> {
        match first {
            b'{' => self.apart(|d| d.value(schema, None)),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            _ => {
                self.checked_raw()?;
                Err(self.fail(DecodeError::ty("boolean or JSON schema expected")))
            }
        }
    }

    fn schema_or_list(&mut self, schema: TypeId, element: TypeId, first: u8) -> Result<Value, Stop> {
        match first {
            b'{' => self.apart(|d| d.value(schema, None)),
            b'[' => {
                let list = self.apart(|d| d.nested(|d| d.list(element, None)))?;
                Ok(if list.is_empty() { Value::Null } else { list })
            }
            _ => {
                self.checked_raw()?;
                Ok(Value::Null)
            }
        }
    }

    /// Decodes as a decoder of its own that is not strict, whose first error stops this one.
    fn apart(&mut self, decode: impl FnOnce(&mut Self) -> Result<Value, Stop>) -> Result<Value, Stop> {
        let strict = std::mem::replace(&mut self.strict, false);
        let saved = self.saved.take();
        let steps = self.path.steps.len();
        let value = decode(self);
        self.strict = strict;
        let inner = std::mem::replace(&mut self.saved, saved);
        let value = value?;
        self.path.steps.truncate(steps);
        match inner {
            Some(error) => Err(self.fail(error)),
            None => Ok(value),
        }
    }
}

fn base64_value(bytes: &[u8]) -> Value {
    let mut text = String::new();
    base64::encode(bytes, &mut text);
    Value::from(text)
}
