//! Nodes to a tree.

use super::compose::{Document, Kind, Node, NodeId, too_deep};
use super::resolve::{MERGE_TAG, Scalar, resolve};
use super::{ALIASED_BYTES_MAX, DEPTH_MAX, Error, syntax};
use crate::{Map, Number, Str, Value, json};
use std::collections::{HashMap, HashSet};

/// What becomes of a key that comes again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    LastWins,
    Errors,
}

/// Makes the tree of a document.
pub(super) fn build(document: &Document, duplicates: Duplicates) -> Result<Value, Error> {
    let mut builder = Builder {
        nodes: &document.nodes,
        duplicates,
        faults: Vec::new(),
        unsupported: None,
        steps: 0,
        aliased_steps: 0,
        aliased_bytes: 0,
        following: HashSet::new(),
        depth: 0,
        has_floats: false,
    };
    let Some(root) = document.root else { return Ok(Value::Null) };
    let mut value = builder.value(root)?;
    if builder.has_floats {
        through_json(&mut value);
    }
    if !builder.faults.is_empty() {
        return Err(Error { message: format!("yaml: unmarshal errors:\n  {}", builder.faults.join("\n  ")) });
    }
    match builder.unsupported {
        Some(message) => Err(Error { message }),
        None => Ok(value),
    }
}

/// Up to so many steps, nearly all may be due to aliases; upstream's numbers.
const STEPS_FREE: f64 = 400_000.0;
/// From so many steps on, a tenth may be.
const STEPS_STRICT: f64 = 4_000_000.0;

/// Which share of the steps may be due to aliases.
fn aliased_share_max(steps: u32) -> f64 {
    let over = (f64::from(steps) - STEPS_FREE).max(0.0) / (STEPS_STRICT - STEPS_FREE);
    (0.99 - 0.89 * over).max(0.10)
}

struct Builder<'a> {
    nodes: &'a [Node],
    duplicates: Duplicates,
    /// Faults that are reported together.
    faults: Vec<String>,
    /// The first thing that JSON cannot hold.
    unsupported: Option<String>,
    steps: u32,
    aliased_steps: u32,
    aliased_bytes: usize,
    /// The aliases that are being followed.
    following: HashSet<NodeId>,
    depth: usize,
    has_floats: bool,
}

/// Makes of floats what JSON makes of them, which upstream's documents go through: `3.0` is written as `3` and read
/// as an integer.
fn through_json(value: &mut Value) {
    match value {
        Value::Number(n @ Number::Float(_)) => *n = Number::from_json(&n.to_string()),
        Value::Array(list) => list.iter_mut().for_each(through_json),
        Value::Object(map) => map.iter_mut().for_each(|(_, v)| through_json(v)),
        _ => {}
    }
}

/// A mapping's entries as they come together; keys of different types are different keys, even when they
/// are the same text in the end.
#[derive(Default)]
struct Entries {
    list: Vec<(Str, Value)>,
    index: HashMap<(u8, Str), usize>,
}

impl<'a> Builder<'a> {
    fn node(&self, id: NodeId) -> Result<&'a Node, Error> {
        self.nodes.get(id).ok_or_else(|| failure("unknown node"))
    }

    fn value(&mut self, id: NodeId) -> Result<Value, Error> {
        self.step()?;
        let node = self.node(id)?;
        match &node.kind {
            Kind::Scalar { text, implicit } => {
                let scalar = self.scalar(node, text, *implicit)?;
                Ok(self.scalar_value(scalar, text))
            }
            Kind::Sequence(children) => self.nested(|this| {
                let elements = children.iter().map(|child| this.value(*child)).collect::<Result<_, _>>()?;
                Ok(Value::Array(elements))
            }),
            Kind::Mapping(children) => self.nested(|this| {
                let mut entries = Entries::default();
                this.entries(children, &mut entries)?;
                Ok(Value::Object(Map::from_entries(entries.list, |_| {})))
            }),
            Kind::Alias { anchor, target } => self.follow(id, anchor, |this| this.value(*target)),
        }
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep());
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn follow<T>(
        &mut self,
        alias: NodeId,
        anchor: &str,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !self.following.insert(alias) {
            return Err(failure(&format!("anchor '{anchor}' value contains itself")));
        }
        let result = self.nested(inner);
        self.following.remove(&alias);
        result
    }

    /// Counts the work, so that few bytes cannot make a great deal of it.
    fn step(&mut self) -> Result<(), Error> {
        self.steps = self.steps.saturating_add(1);
        if !self.following.is_empty() {
            self.aliased_steps = self.aliased_steps.saturating_add(1);
        }
        let share = f64::from(self.aliased_steps) / f64::from(self.steps);
        let excessive =
            self.aliased_steps > 100 && self.steps > 1000 && share > aliased_share_max(self.steps);
        if excessive || self.aliased_bytes > ALIASED_BYTES_MAX {
            return Err(failure("document contains excessive aliasing"));
        }
        Ok(())
    }

    fn scalar(&mut self, node: &Node, text: &str, implicit: bool) -> Result<Scalar, Error> {
        if !self.following.is_empty() {
            self.aliased_bytes = self.aliased_bytes.saturating_add(text.len());
        }
        if node.tag.is_empty() && !implicit {
            return Ok(Scalar::Text);
        }
        resolve(&node.tag, text)
    }

    fn scalar_value(&mut self, scalar: Scalar, text: &Str) -> Value {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(b) => Value::Bool(b),
            Scalar::Int(n) => Value::Number(Number::Int(n)),
            Scalar::Uint(n) => Value::Number(Number::Uint(n)),
            Scalar::Float(x) if x.is_finite() => {
                self.has_floats = true;
                Value::Number(Number::Float(x))
            }
            Scalar::Float(x) => {
                let name = if x.is_nan() {
                    "NaN"
                } else if x > 0.0 {
                    "+Inf"
                } else {
                    "-Inf"
                };
                self.unsupported.get_or_insert_with(|| format!("json: unsupported value: {name}"));
                Value::Null
            }
            Scalar::Text | Scalar::SpecialText(_) => Value::String(text.clone()),
            Scalar::Decoded(bytes) => Value::String(decoded(&bytes)),
        }
    }

    fn entries(&mut self, children: &[NodeId], entries: &mut Entries) -> Result<(), Error> {
        let (pairs, _) = children.as_chunks::<2>();
        for [key, value] in pairs {
            if self.is_merge(*key)? {
                self.merge(*value, entries)?;
                continue;
            }
            let (kind, name, shown) = self.key(*key)?;
            let line = self.node(*value)?.line + 1;
            let value = self.value(*value)?;
            if matches!(kind, b'0' | b'u') {
                let kind = if kind == b'0' { "%!s(<nil>)" } else { "uint64" };
                self.unsupported.get_or_insert_with(|| {
                    let value = syntax::show(&value, false);
                    format!("unsupported map key of type: {kind}, key: {}, value: {value}", shown())
                });
            }
            let index = entries.list.len();
            match entries.index.entry((kind, name.clone())) {
                std::collections::hash_map::Entry::Vacant(slot) => {
                    slot.insert(index);
                    entries.list.push((name, value));
                }
                std::collections::hash_map::Entry::Occupied(_) if self.duplicates == Duplicates::Errors => {
                    self.faults.push(format!("line {line}: key {} already set in map", shown()));
                }
                std::collections::hash_map::Entry::Occupied(slot) => {
                    if let Some(entry) = entries.list.get_mut(*slot.get()) {
                        entry.1 = value;
                    }
                }
            }
        }
        Ok(())
    }

    /// A key's type, its text in JSON, and how Go shows it.
    fn key(&mut self, id: NodeId) -> Result<(u8, Str, impl Fn() -> String + use<'a>), Error> {
        let mut target = self.node(id)?;
        while let Kind::Alias { target: id, .. } = &target.kind {
            target = self.node(*id)?;
        }
        let Kind::Scalar { text, implicit } = &target.kind else {
            let value = self.value(id)?;
            return Err(failure(&format!("invalid map key: {}", syntax::show(&value, false))));
        };
        self.step()?;
        let scalar = self.scalar(target, text, *implicit)?;
        let shown = {
            let scalar = scalar.clone();
            move || syntax::show_key(&scalar, text)
        };
        let (kind, name) = match scalar {
            Scalar::Null => (b'0', Str::new_static("")),
            Scalar::Bool(b) => (b'b', Str::new_static(if b { "true" } else { "false" })),
            Scalar::Int(n) => (b'i', Str::new(n.to_string())),
            Scalar::Uint(n) => (b'u', Str::new(n.to_string())),
            Scalar::Float(x) => (b'f', Str::new(json::format_g32(x))),
            Scalar::Text | Scalar::SpecialText(_) => (b's', text.clone()),
            Scalar::Decoded(bytes) => (b's', decoded(&bytes)),
        };
        Ok((kind, name, shown))
    }

    fn is_merge(&self, key: NodeId) -> Result<bool, Error> {
        let node = self.node(key)?;
        Ok(matches!(&node.kind, Kind::Scalar { text, implicit }
            if text == "<<" && (*implicit || node.tag == MERGE_TAG)))
    }

    /// Takes the entries of a mapping, or of a list of them of which the first counts most.
    fn merge(&mut self, id: NodeId, entries: &mut Entries) -> Result<(), Error> {
        match &self.node(id)?.kind {
            Kind::Sequence(children) => children.iter().rev().try_for_each(|c| self.merge_one(*c, entries)),
            _ => self.merge_one(id, entries),
        }
    }

    fn merge_one(&mut self, id: NodeId, entries: &mut Entries) -> Result<(), Error> {
        let wrong = || failure("map merge requires map or sequence of maps as the value");
        self.step()?;
        match &self.node(id)?.kind {
            Kind::Mapping(children) => self.nested(|this| this.entries(children, entries)),
            Kind::Alias { anchor, target } => {
                let Kind::Mapping(children) = &self.node(*target)?.kind else { return Err(wrong()) };
                self.follow(id, anchor, |this| {
                    this.step()?;
                    this.entries(children, entries)
                })
            }
            _ => Err(wrong()),
        }
    }
}

fn failure(message: &str) -> Error {
    Error { message: format!("yaml: {message}") }
}

/// Bytes as text, repaired as JSON is.
fn decoded(bytes: &[u8]) -> Str {
    Str::new(json::repair(bytes))
}
