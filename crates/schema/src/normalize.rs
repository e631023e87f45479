//! Restores Go's JSON form of a tree that was edited: by a hook, a patch, a webhook.
//!
//! The counterpart of writing a Go object out and reading it back, without the text in between.

use crate::special::{base64, duration, quantity, time};
use crate::types::{Shape, Struct, TypeId, Types};
use crate::zero::{NO_SCHEMA, is_kept, is_no_schema, is_unshown_empty, zero, zero_field};
use std::borrow::Cow;
use value::{Map, Str, Value};

/// Brings a tree into Go's JSON form: zeros that are printed are there, those that are not are gone, so are
/// fields that the type does not have; quantities, times and durations are canonical.
///
/// A value of a wrong type becomes zero, a malformed quantity or time stays: what comes from outside is to be
/// decoded first. Empty lists and maps stay, whether they are printed or not. Idempotent.
pub fn normalize(types: &Types, ty: TypeId, value: &mut Value) {
    Walk { types, nil: Nil::AsIs }.value(ty, value);
}

/// The same without the empty lists and maps that are not printed: Go's JSON form as clients, webhooks,
/// policies and the owners of fields see it.
pub fn shown_form(types: &Types, ty: TypeId, value: &mut Value) {
    Walk { types, nil: Nil::Shown }.value(ty, value);
}

/// Brings a tree into the form that it has after it was stored: Go's JSON form with empty lists and maps nil,
/// as protobuf does not tell them apart. Equal to decoding what was encoded.
pub fn stored_form(types: &Types, ty: TypeId, value: &mut Value) {
    Walk { types, nil: Nil::Stored }.value(ty, value);
}

/// Whether [`crate::decode_value`] would give the tree back as it is, with nothing to report. Only *yes* is certain: for
/// what cannot be told by a look, the answer is no.
pub fn is_normal(types: &Types, ty: TypeId, value: &Value) -> bool {
    let all = |element: TypeId, list: &[Value]| list.iter().all(|v| is_normal(types, element, v));
    match (types.shape(ty), value) {
        (Shape::Struct(s), Value::Object(map)) => is_normal_struct(types, s, map),
        (Shape::List(element) | Shape::MessageList(element), Value::Array(list)) => all(*element, list),
        (Shape::Map { value: element, .. }, Value::Object(map)) => {
            map.iter().all(|(_, v)| is_normal(types, *element, v))
        }
        (Shape::List(_) | Shape::MessageList(_) | Shape::Map { .. }, Value::Null)
        | (Shape::String | Shape::IntOrString, Value::String(_))
        | (Shape::Bool, Value::Bool(_))
        | (Shape::Bytes | Shape::Time | Shape::MicroTime, Value::Null) => true,
        (Shape::Int64, Value::Number(n)) => n.as_i64().map(Value::from).as_ref() == Some(value),
        (Shape::Int32 | Shape::IntOrString, Value::Number(n)) => {
            n.as_i64().and_then(|n| i32::try_from(n).ok()).map(Value::from).as_ref() == Some(value)
        }
        (Shape::Bytes, Value::String(s)) => base64::is_canonical(s),
        (Shape::Quantity, Value::String(s)) => matches!(quantity::canonical(s), Ok(Cow::Borrowed(_))),
        (Shape::Time, Value::String(s)) => is_time(s, time::Layout::Seconds),
        (Shape::MicroTime, Value::String(s)) => is_time(s, time::Layout::Micros),
        (Shape::FieldsV1, Value::Object(_)) => has_no_numbers(value, RAW_DEPTH_MAX),
        _ => false,
    }
}

/// How deep raw JSON is looked at: fields and their owners are as deep as the type that they are about.
const RAW_DEPTH_MAX: usize = 64;

fn is_time(text: &str, layout: time::Layout) -> bool {
    matches!(time::canonical(text, layout), Ok(Some(Cow::Borrowed(_))))
}

/// Numbers have more than one way to be written.
fn has_no_numbers(value: &Value, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match value {
        Value::Number(_) => false,
        Value::Array(list) => list.iter().all(|v| has_no_numbers(v, depth)),
        Value::Object(map) => map.iter().all(|(_, v)| has_no_numbers(v, depth)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn is_normal_struct(types: &Types, s: &Struct, map: &Map) -> bool {
    let mut have: u128 = 0;
    let mut names = s.sorted.iter().enumerate().peekable();
    for (key, value) in map.iter() {
        // Both are sorted by name: go on to the field of the key.
        while names.next_if(|(_, i)| s.fields[usize::from(**i)].json < key.as_str()).is_some() {}
        let found = names.next_if(|(_, i)| s.fields[usize::from(**i)].json == key.as_str());
        let Some((rank, i)) = found else { return false };
        let field = &s.fields[usize::from(*i)];
        let fits = (field.pointer && value.is_null()) || is_normal(types, field.ty, value);
        if !fits || !is_kept(types, field, value) {
            return false;
        }
        have |= 1 << rank;
    }
    s.always.iter().all(|rank| have & (1 << rank) != 0)
}

/// What becomes of empty lists and maps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nil {
    AsIs,
    /// As JSON leaves them.
    Shown,
    /// As protobuf leaves them.
    Stored,
}

struct Walk<'t> {
    types: &'t Types,
    nil: Nil,
}

impl Walk<'_> {
    fn value(&self, ty: TypeId, value: &mut Value) {
        let types = self.types;
        match (types.shape(ty), &mut *value) {
            (Shape::Struct(s), Value::Object(map)) => self.structure(s, map),
            (Shape::List(_), Value::Array(list)) if list.is_empty() && self.nil == Nil::Stored => {
                *value = Value::Null
            }
            (Shape::Map { .. }, Value::Object(map)) if map.is_empty() && self.nil == Nil::Stored => {
                *value = Value::Null;
            }
            (Shape::List(element) | Shape::MessageList(element), Value::Array(list)) => {
                list.iter_mut().for_each(|v| self.value(*element, v));
            }
            (Shape::Map { value: element, .. }, Value::Object(map)) => {
                map.iter_mut().for_each(|(_, v)| self.entry(*element, v));
            }
            (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => {}
            (Shape::Int32 | Shape::Int64 | Shape::Float64, Value::Number(_)) => self.number(ty, value),
            (Shape::RawExtension | Shape::FieldsV1 | Shape::Json | Shape::Any, _) => {}
            (
                Shape::Struct(_)
                | Shape::List(_)
                | Shape::MessageList(_)
                | Shape::Map { .. }
                | Shape::String
                | Shape::Bool
                | Shape::Int32
                | Shape::Int64
                | Shape::Float64,
                _,
            ) => *value = zero(types, ty),
            _ => self.special(ty, value),
        }
    }

    /// A value of a map, where protobuf knows no nil.
    fn entry(&self, ty: TypeId, value: &mut Value) {
        self.value(ty, value);
        if self.nil == Nil::Stored && value.is_null() {
            match self.types.shape(ty) {
                Shape::Bytes => *value = Value::from(""),
                Shape::MessageList(_) => *value = Value::Array(Vec::new()),
                _ => {}
            }
        }
    }

    fn structure(&self, s: &Struct, map: &mut Map) {
        let mut have: u128 = 0;
        let mut is_whole = true;
        let mut names = s.sorted.iter().enumerate().peekable();
        for (key, value) in map.iter_mut() {
            // Both are sorted by name: go on to the field of the key.
            while names.next_if(|(_, i)| s.fields[usize::from(**i)].json < key.as_str()).is_some() {}
            let found = names.next_if(|(_, i)| s.fields[usize::from(**i)].json == key.as_str());
            let Some((rank, i)) = found else {
                is_whole = false;
                continue;
            };
            let field = &s.fields[usize::from(*i)];
            if !(field.pointer && value.is_null()) {
                self.value(field.ty, value);
            }
            let stays = is_kept(self.types, field, value)
                || (self.nil == Nil::AsIs && is_unshown_empty(self.types, field, value));
            if stays {
                have |= 1 << rank;
            } else {
                is_whole = false;
            }
        }
        if is_whole && s.always.iter().all(|rank| have & (1 << rank) != 0) {
            return;
        }
        self.rebuild(s, map, have);
    }

    /// Drops what must not be there and adds what must.
    fn rebuild(&self, s: &Struct, map: &mut Map, have: u128) {
        let kept = std::mem::take(map).into_vec().into_iter().filter_map(|(key, value)| {
            let i = s.index_of(key.as_bytes())?;
            (have & (1 << s.rank[i]) != 0).then(|| (Str::new_static(s.fields[i].json), value))
        });
        let added = s.always.iter().filter(|rank| have & (1 << **rank) == 0).map(|rank| {
            let field = &s.fields[usize::from(s.sorted[usize::from(*rank)])];
            (Str::new_static(field.json), zero_field(self.types, field))
        });
        *map = kept.chain(added).collect();
    }

    fn number(&self, ty: TypeId, value: &mut Value) {
        let Value::Number(n) = &*value else { return };
        *value = match self.types.shape(ty) {
            Shape::Float64 => Value::Number(crate::json::go_float(n.as_f64())),
            Shape::Int32 => Value::from(n.as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0)),
            _ => Value::from(n.as_i64().unwrap_or(0)),
        };
    }

    fn special(&self, ty: TypeId, value: &mut Value) {
        let canonical = match (self.types.shape(ty), &*value) {
            (Shape::Quantity, Value::Number(n)) => {
                let text = n.to_string();
                Some(Value::from(quantity::canonical(&text).map_or_else(|_| text.clone(), Cow::into_owned)))
            }
            (Shape::Quantity, Value::String(s)) => changed(quantity::canonical(s).ok()),
            (Shape::Time, Value::String(s)) => self.time(s, time::Layout::Seconds),
            (Shape::MicroTime, Value::String(s)) => self.time(s, time::Layout::Micros),
            (Shape::Duration, Value::String(s)) => {
                duration::parse(s).ok().map(|nanos| Value::from(duration::print(nanos)))
            }
            (Shape::Bytes, Value::String(s)) if base64::is_canonical(s) => None,
            (Shape::Bytes, Value::String(s)) => base64::decode(s).ok().map(|bytes| {
                let mut text = String::new();
                base64::encode(&bytes, &mut text);
                Value::from(text)
            }),
            (Shape::IntOrString, Value::String(_)) | (Shape::SchemaOrBool(_), Value::Bool(_)) => None,
            (Shape::IntOrString, Value::Number(n)) => {
                n.as_i64().and_then(|n| i32::try_from(n).ok()).map(Value::from)
            }
            (
                Shape::SchemaOrBool(schema) | Shape::SchemaOrArray(schema) | Shape::SchemaOrStrings(schema),
                Value::Object(_),
            ) => {
                self.value(*schema, value);
                None
            }
            (shape, _) if is_no_schema(shape, value) => None,
            (Shape::SchemaOrArray(_), Value::Array(list)) if list.is_empty() => Some(NO_SCHEMA),
            (Shape::SchemaOrStrings(_), Value::Array(list)) if list.is_empty() => Some(Value::Null),
            (Shape::SchemaOrArray(schema), Value::Array(_)) => {
                value.as_array_mut().into_iter().flatten().for_each(|v| self.value(*schema, v));
                None
            }
            (Shape::SchemaOrStrings(_), Value::Array(_)) => None,
            _ => Some(zero(self.types, ty)),
        };
        if let Some(canonical) = canonical {
            *value = canonical;
        }
    }

    fn time(&self, text: &str, layout: time::Layout) -> Option<Value> {
        match time::canonical(text, layout) {
            Ok(None) => Some(Value::Null),
            Ok(text) => changed(text),
            Err(_) => None,
        }
    }
}

/// The canonical text, if it is another.
fn changed(text: Option<Cow<'_, str>>) -> Option<Value> {
    match text {
        Some(Cow::Owned(text)) => Some(Value::from(text)),
        _ => None,
    }
}
