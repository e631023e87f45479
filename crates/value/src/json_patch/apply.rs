//! Running the operations.

use super::{ApplyError, Field, JsonPatch, Operation};
use crate::{Map, Value, json, pointer};
use std::borrow::Cow;
use std::mem;

/// What upstream calls its `ErrMissing`.
const MISSING: &str = "missing value";

type Result<T> = std::result::Result<T, String>;

impl JsonPatch {
    /// Applies the patch to a document. Copies may add up to `copy_bytes_max` bytes of JSON (upstream:
    /// [`COPY_BYTES_MAX`](super::COPY_BYTES_MAX)), and the result nest no deeper than a parser allows.
    ///
    /// # Errors
    /// With upstream's text if an operation is malformed or does not apply; the document is lost then.
    pub fn apply(&self, document: Value, copy_bytes_max: usize) -> std::result::Result<Value, ApplyError> {
        let depth_bound = depth(&document);
        let mut run = Run { document, copied: 0, copy_bytes_max, depth_bound };
        for operation in &self.operations {
            run.step(operation).map_err(|message| ApplyError { message })?;
        }
        Ok(run.document)
    }
}

struct Run {
    document: Value,
    copied: usize,
    copy_bytes_max: usize,
    /// The document is no deeper than this. Moves make the bound grow more than the document does; it is
    /// measured anew when it reaches the limit.
    depth_bound: usize,
}

impl Run {
    fn step(&mut self, operation: &Operation) -> Result<()> {
        match operation.kind.as_str() {
            "add" => self.add(operation),
            "remove" => self.remove(operation),
            "replace" => self.replace(operation),
            "move" => self.shift(operation),
            "test" => self.test(operation),
            "copy" => self.copy(operation),
            other => Err(format!("Unexpected kind: {other}")),
        }
    }

    fn add(&mut self, operation: &Operation) -> Result<()> {
        let path = operation.path().map_err(|_| format!("add operation failed to decode path: {MISSING}"))?;
        let (container, key) = self.find(path).ok_or_else(|| {
            format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}")
        })?;
        let value = operation.value.clone().unwrap_or_default();
        let deep = depth(&value);
        container.add(&key, value).map_err(|e| format!("error in add for path: '{path}': {e}"))?;
        self.deepened(path, deep)
    }

    fn remove(&mut self, operation: &Operation) -> Result<()> {
        let path =
            operation.path().map_err(|_| format!("remove operation failed to decode path: {MISSING}"))?;
        let (container, key) = self.find(path).ok_or_else(|| {
            format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}")
        })?;
        container.remove(&key).map_err(|e| format!("error in remove for path: '{path}': {e}"))?;
        Ok(())
    }

    fn replace(&mut self, operation: &Operation) -> Result<()> {
        let path = operation.path().map_err(|e| format!("replace operation failed to decode path: {e}"))?;
        let value = operation.value.clone().unwrap_or_default();
        let deep = depth(&value);
        if path.is_empty() {
            if !matches!(value, Value::Object(_) | Value::Array(_)) {
                return Err("replace operation value must be object or array: %!w(<nil>)".to_owned());
            }
            (self.document, self.depth_bound) = (value, deep);
            return Ok(());
        }
        let (container, key) = self.find(path).ok_or_else(|| {
            format!("replace operation does not apply: doc is missing path: {path}: {MISSING}")
        })?;
        container.get(&key).map_err(|_| {
            format!("replace operation does not apply: doc is missing key: {path}: {MISSING}")
        })?;
        container.set(&key, value).map_err(|e| format!("error in remove for path: '{path}': {e}"))?;
        self.deepened(path, deep)
    }

    fn shift(&mut self, operation: &Operation) -> Result<()> {
        let from = operation.from().map_err(|e| format!("move operation failed to decode from: {e}"))?;
        let (container, key) = self.find(from).ok_or_else(|| {
            format!("move operation does not apply: doc is missing from path: {from}: {MISSING}")
        })?;
        let value = container.remove(&key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
        let path = operation.path().map_err(|e| format!("move operation failed to decode path: {e}"))?;
        let (container, key) = self.find(path).ok_or_else(|| {
            format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}")
        })?;
        container.add(&key, value).map_err(|e| format!("error in move for path: '{path}': {e}"))?;
        self.deepened(path, self.depth_bound)
    }

    fn test(&mut self, operation: &Operation) -> Result<()> {
        let path = operation.path().map_err(|e| format!("test operation failed to decode path: {e}"))?;
        let failed = || format!("testing value {path} failed: test failed");
        let expected = operation.value.as_ref().unwrap_or(&Value::Null);
        if path.is_empty() {
            return if self.document == *expected { Ok(()) } else { Err(failed()) };
        }
        let (container, key) = self
            .find(path)
            .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
        let value = container.get(&key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
        if value.unwrap_or(&Value::Null) == expected { Ok(()) } else { Err(failed()) }
    }

    fn copy(&mut self, operation: &Operation) -> Result<()> {
        let from = operation.from().map_err(|e| format!("copy operation failed to decode from: {e}"))?;
        let (container, key) = self.find(from).ok_or_else(|| {
            format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}")
        })?;
        let value = container.get(&key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?;
        let value = value.cloned();
        let path =
            operation.path().map_err(|_| format!("copy operation failed to decode path: {MISSING}"))?;
        if self.find(path).is_none() {
            return Err(format!(
                "copy operation does not apply: doc is missing destination path: {path}: {MISSING}"
            ));
        }
        // A member that is not there copies as a null, which costs nothing.
        self.copied = self.copied.saturating_add(value.as_ref().map_or(0, |v| json::to_vec(v).len()));
        if self.copied > self.copy_bytes_max {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit {}",
                self.copied, self.copy_bytes_max
            ));
        }
        let value = value.unwrap_or_default();
        let deep = depth(&value);
        if let Some((container, key)) = self.find(path) {
            container.add(&key, value).map_err(|e| format!("error while adding value during copy: {e}"))?;
        }
        self.deepened(path, deep)
    }

    /// The object or list that holds what a path names, and the key in it.
    fn find<'p>(&mut self, path: &'p str) -> Option<(Container<'_>, Cow<'p, str>)> {
        // What is before the first slash counts for nothing.
        let (_, path) = path.split_once('/')?;
        let (parents, key) = path.rsplit_once('/').map_or((None, path), |(p, k)| (Some(p), k));
        let mut container = Container::of(&mut self.document)?;
        for token in parents.into_iter().flat_map(|p| p.split('/')) {
            container = Container::of(container.into_member(&pointer::unescape(token))?)?;
        }
        Some((container, pointer::unescape(key)))
    }

    /// Notes that a value `deep` levels deep was put at `path`.
    fn deepened(&mut self, path: &str, deep: usize) -> Result<()> {
        let at = path.bytes().filter(|b| *b == b'/').count();
        self.depth_bound = self.depth_bound.max(at.saturating_add(deep));
        if self.depth_bound > json::DEPTH_MAX {
            self.depth_bound = depth(&self.document);
            if self.depth_bound > json::DEPTH_MAX {
                return Err("exceeded max depth".to_owned());
            }
        }
        Ok(())
    }
}

impl Operation {
    fn path(&self) -> Result<&str> {
        self.path.text("operation missing path field")
    }

    fn from(&self) -> Result<&str> {
        self.from.text("operation, missing from field")
    }
}

impl Field {
    fn text(&self, missing: &str) -> Result<&str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Missing => Err(format!("{missing}: {MISSING}")),
            Self::Not(kind) => Err(format!("json: cannot unmarshal {kind} into Go value of type string")),
        }
    }
}

enum Container<'a> {
    Object(&'a mut Map),
    Array(&'a mut Vec<Value>),
}

impl<'a> Container<'a> {
    const fn of(value: &'a mut Value) -> Option<Self> {
        match value {
            Value::Object(m) => Some(Self::Object(m)),
            Value::Array(a) => Some(Self::Array(a)),
            _ => None,
        }
    }

    fn into_member(self, key: &str) -> Option<&'a mut Value> {
        match self {
            Self::Object(m) => m.get_mut(key),
            Self::Array(a) => {
                let i = existing(a, key).ok()?;
                a.get_mut(i)
            }
        }
    }

    /// The member; `None` if an object has none of that name.
    fn get(&self, key: &str) -> Result<Option<&Value>> {
        match self {
            Self::Object(m) => Ok(m.get(key)),
            Self::Array(a) => existing(a, key).map(|i| a.get(i)),
        }
    }

    fn set(self, key: &str, value: Value) -> Result<()> {
        match self {
            Self::Object(m) => _ = m.insert(key, value),
            Self::Array(a) => {
                let i = existing(a, key)?;
                if let Some(slot) = a.get_mut(i) {
                    *slot = value;
                }
            }
        }
        Ok(())
    }

    fn add(self, key: &str, value: Value) -> Result<()> {
        match self {
            Self::Object(m) => _ = m.insert(key, value),
            Self::Array(a) if key == "-" => a.push(value),
            Self::Array(a) => {
                let i = atoi(key).map_err(|e| format!("value was not a proper array index: '{key}': {e}"))?;
                let i = within(i, a.len().saturating_add(1))?;
                a.insert(i, value);
            }
        }
        Ok(())
    }

    fn remove(self, key: &str) -> Result<Value> {
        match self {
            Self::Object(m) => {
                m.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))
            }
            Self::Array(a) => {
                let i = existing(a, key)?;
                Ok(a.remove(i))
            }
        }
    }
}

/// The index of an element that is there.
fn existing(a: &[Value], key: &str) -> Result<usize> {
    within(atoi(key)?, a.len())
}

/// An index below `len`; a negative one counts from there.
fn within(index: i64, len: usize) -> Result<usize> {
    let signed_len = i64::try_from(len).unwrap_or(i64::MAX);
    let i = if index < 0 { index.saturating_add(signed_len) } else { index };
    match usize::try_from(i) {
        Ok(i) if i < len => Ok(i),
        _ => Err(format!("Unable to access invalid index: {index}: invalid index referenced")),
    }
}

/// Go's `strconv.Atoi`.
fn atoi(text: &str) -> Result<i64> {
    text.parse().map_err(|e: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {why}", json::quote(text))
    })
}

/// How many objects and lists are around the innermost one, itself included.
fn depth(value: &Value) -> usize {
    let mut level = vec![value];
    let mut next = Vec::new();
    let mut depth = 0;
    loop {
        let mut nested = false;
        for value in level.drain(..) {
            match value {
                Value::Array(a) => {
                    nested = true;
                    next.extend(a.iter().filter(|v| matches!(v, Value::Array(_) | Value::Object(_))));
                }
                Value::Object(m) => {
                    nested = true;
                    next.extend(m.values().filter(|v| matches!(v, Value::Array(_) | Value::Object(_))));
                }
                _ => {}
            }
        }
        if !nested {
            return depth;
        }
        depth += 1;
        mem::swap(&mut level, &mut next);
    }
}
