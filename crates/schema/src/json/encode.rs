//! Writing JSON in Go's field order.

use crate::special::field_set;
use crate::types::{Shape, Struct, TypeId, Types};
use crate::zero::is_unshown_empty;
use value::{Map, Value, json};

/// Writes a tree of a type as Go's `json.Marshal` would print the object: fields in Go order (`kind` and
/// `apiVersion` first), map keys sorted, no white space. The tree must be in Go's JSON form; empty lists and maps
/// that it does not show are left out.
pub fn encode_json(types: &Types, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    Encoder { types, slots: Vec::with_capacity(128), out, splice: None }.value(ty, value);
}

/// Where `metadata.resourceVersion` goes into a JSON text that lacks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonSplice {
    /// Where to insert.
    at: u32,
    /// Whether `metadata` has a member before.
    before: bool,
    /// Whether `metadata` has a member behind.
    after: bool,
}

/// Writes a tree as [`encode_json`] but without `metadata.resourceVersion`, and tells where that goes; `None`
/// if the tree has no metadata.
pub fn encode_json_spliced(
    types: &Types,
    ty: TypeId,
    value: &Value,
    out: &mut Vec<u8>,
) -> Option<JsonSplice> {
    let start = out.len();
    let mut encoder = Encoder { types, slots: Vec::with_capacity(128), out, splice: None };
    encoder.object(types.structure(ty)?, value.as_object()?, Level::Root);
    let mut splice = encoder.splice?;
    splice.at = splice.at.checked_sub(u32::try_from(start).ok()?)?;
    Some(splice)
}

/// The same for a custom resource: keys are written in order of the tree.
pub fn encode_untyped_spliced(value: &Value, out: &mut Vec<u8>) -> Option<JsonSplice> {
    let start = out.len();
    let mut splice = None;
    let mut first = true;
    out.push(b'{');
    for (key, member) in value.as_object()?.iter() {
        comma(&mut first, out);
        json::write_str(key, out);
        out.push(b':');
        match member {
            Value::Object(metadata) if key == "metadata" => {
                splice = write_metadata(metadata, start, out);
            }
            _ => json::write(member, out),
        }
    }
    out.push(b'}');
    splice
}

fn write_metadata(metadata: &Map, start: usize, out: &mut Vec<u8>) -> Option<JsonSplice> {
    let mut splice = None;
    let mut first = true;
    out.push(b'{');
    for (key, member) in metadata.iter().filter(|(key, _)| *key != "resourceVersion") {
        if splice.is_none() && key.as_str() > "resourceVersion" {
            splice = Some((out.len(), !first, true));
        }
        comma(&mut first, out);
        json::write_str(key, out);
        out.push(b':');
        json::write(member, out);
    }
    let (at, before, after) = splice.unwrap_or((out.len(), !first, false));
    out.push(b'}');
    Some(JsonSplice { at: u32::try_from(at - start).ok()?, before, after })
}

/// Appends `bytes` with `metadata.resourceVersion` put in at `splice`.
pub fn splice_json(bytes: &[u8], splice: JsonSplice, resource_version: u64, out: &mut Vec<u8>) {
    let at = bytes.len().min(splice.at as usize);
    let (head, tail) = bytes.split_at(at);
    out.reserve(bytes.len() + 48);
    out.extend_from_slice(head);
    if splice.before {
        out.push(b',');
    }
    out.extend_from_slice(b"\"resourceVersion\":\"");
    json::write_number(&value::Number::Uint(resource_version), out);
    out.push(b'"');
    if splice.after && !splice.before {
        out.push(b',');
    }
    out.extend_from_slice(tail);
}

fn comma(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
}

/// Where a struct stands, as far as splicing cares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The object itself.
    Root,
    /// The object's `metadata`.
    Metadata,
    /// Anything else.
    Inside,
}

struct Encoder<'t, 'v, 'o> {
    types: &'t Types,
    /// Values of all open structs by field index.
    slots: Vec<Option<&'v Value>>,
    out: &'o mut Vec<u8>,
    splice: Option<JsonSplice>,
}

impl<'v> Encoder<'_, 'v, '_> {
    fn value(&mut self, ty: TypeId, value: &'v Value) {
        match (self.types.shape(ty), value) {
            (_, Value::String(s)) => json::write_str(s, self.out),
            (_, Value::Null) => self.out.extend_from_slice(b"null"),
            (Shape::Struct(s), Value::Object(map)) => self.object(s, map, Level::Inside),
            (
                Shape::List(element) | Shape::MessageList(element) | Shape::SchemaOrArray(element),
                Value::Array(list),
            ) => {
                self.list(*element, list);
            }
            (Shape::Map { value: element, .. }, Value::Object(map)) => self.map(*element, map),
            (
                Shape::SchemaOrBool(schema) | Shape::SchemaOrArray(schema) | Shape::SchemaOrStrings(schema),
                Value::Object(_),
            ) => self.value(*schema, value),
            (_, Value::Number(n)) => json::write_number(n, self.out),
            (Shape::FieldsV1, set) => field_set::write(set, self.out),
            _ => json::write(value, self.out),
        }
    }

    fn list(&mut self, element: TypeId, list: &'v [Value]) {
        self.out.push(b'[');
        let mut first = true;
        for value in list {
            comma(&mut first, self.out);
            self.value(element, value);
        }
        self.out.push(b']');
    }

    fn map(&mut self, element: TypeId, map: &'v Map) {
        self.out.push(b'{');
        let mut first = true;
        for (key, value) in map.iter() {
            comma(&mut first, self.out);
            json::write_str(key, self.out);
            self.out.push(b':');
            self.value(element, value);
        }
        self.out.push(b'}');
    }

    fn object(&mut self, s: &Struct, map: &'v Map, level: Level) {
        let start = fill(s, map, &mut self.slots);
        self.out.push(b'{');
        let mut first = true;
        for (i, field) in s.fields.iter().enumerate() {
            let value = self.slots.get(start + i).copied().flatten();
            if level == Level::Metadata && field.json == "resourceVersion" {
                let at = u32::try_from(self.out.len()).unwrap_or(u32::MAX);
                self.splice = Some(JsonSplice { at, before: !first, after: false });
                continue;
            }
            let Some(value) = value else { continue };
            if is_unshown_empty(self.types, field, value) {
                continue;
            }
            if level == Level::Metadata
                && let Some(splice) = &mut self.splice
            {
                splice.after = true;
            }
            comma(&mut first, self.out);
            // Field names are plain ASCII (a test checks it), so they need no escapes.
            self.out.push(b'"');
            self.out.extend_from_slice(field.json.as_bytes());
            self.out.extend_from_slice(b"\":");
            match (level, self.types.shape(field.ty), value) {
                (Level::Root, Shape::Struct(metadata), Value::Object(map)) if field.json == "metadata" => {
                    self.object(metadata, map, Level::Metadata);
                }
                _ => self.value(field.ty, value),
            }
        }
        self.out.push(b'}');
        self.slots.truncate(start);
    }
}

/// Pushes the values of a struct's fields by index onto `slots`; returns where they begin. Both sides are
/// sorted by name, so this is a merge.
pub(crate) fn fill<'v>(s: &Struct, map: &'v Map, slots: &mut Vec<Option<&'v Value>>) -> usize {
    let start = slots.len();
    slots.resize(start + s.fields.len(), None);
    let mut names = s.sorted.iter();
    'entries: for (key, value) in map.as_slice() {
        for i in names.by_ref() {
            let name = s.fields[usize::from(*i)].json;
            if name == key.as_str() {
                slots[start + usize::from(*i)] = Some(value);
                continue 'entries;
            }
            if name > key.as_str() {
                // The key is no field: go on from this name with the next key.
                unknown(s, map, start, slots);
                return start;
            }
        }
        break;
    }
    start
}

/// The same by search, for an object that holds keys that are no fields.
#[cold]
fn unknown<'v>(s: &Struct, map: &'v Map, start: usize, slots: &mut [Option<&'v Value>]) {
    for (key, value) in map.iter() {
        if let Some(slot) = s.index_of(key.as_bytes()).and_then(|i| slots.get_mut(start + i)) {
            *slot = Some(value);
        }
    }
}
