//! Dropping, cloning and comparing trees that may be very deep.
//!
//! A document may nest [`json::DEPTH_MAX`](crate::json::DEPTH_MAX) levels, and code that recurses once for
//! every level of it needs more stack than a thread of a runtime has. So these recurse only so far and then
//! go on with a stack of their own on the heap. (Lists directly inside lists are dropped by recursion; that
//! takes little stack a level.)

use crate::{Map, Str, Value};
use std::cell::Cell;
use std::{mem, slice};

/// How many levels are handled by recursion, which is the fastest way for trees as they usually are.
const RECURSION_MAX: usize = 100;

thread_local! {
    /// How many maps are being dropped by this thread, one inside the other.
    static DROPPING: Cell<usize> = const { Cell::new(0) };
}

/// Drops the entries of a map.
pub(crate) fn drop_entries(entries: Vec<(Str, Value)>) {
    if entries.is_empty() {
        return;
    }
    // While a thread ends its locals are gone; then there is no limit.
    let level = DROPPING.try_with(|d| d.replace(d.get() + 1)).unwrap_or(0);
    if level < RECURSION_MAX {
        drop(entries);
    } else {
        drop_flat(entries);
    }
    _ = DROPPING.try_with(|d| d.set(level));
}

fn drop_flat(entries: Vec<(Str, Value)>) {
    let mut todo: Vec<Value> = entries.into_iter().map(|(_, v)| v).collect();
    while let Some(value) = todo.pop() {
        match value {
            Value::Array(a) => todo.extend(a),
            Value::Object(m) => todo.extend(m.into_vec().into_iter().map(|(_, v)| v)),
            _ => {}
        }
    }
}

/// Clones a value that is `level` levels deep in what is being cloned.
pub(crate) fn clone_value(value: &Value, level: usize) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(b) => Value::Bool(*b),
        Value::Number(n) => Value::Number(n.clone()),
        Value::String(s) => Value::String(s.clone()),
        Value::Array(_) | Value::Object(_) if level >= RECURSION_MAX => clone_flat(value),
        Value::Array(a) => Value::Array(a.iter().map(|v| clone_value(v, level + 1)).collect()),
        Value::Object(m) => Value::Object(clone_map(m, level)),
    }
}

/// Clones a map that is `level` levels deep in what is being cloned.
pub(crate) fn clone_map(map: &Map, level: usize) -> Map {
    Map::from_sorted(map.as_slice().iter().map(|(k, v)| (k.clone(), clone_value(v, level + 1))).collect())
}

/// A container being cloned: what is left of it, and what has been made of the rest.
enum Part<'a> {
    Array(slice::Iter<'a, Value>, Vec<Value>),
    Object(slice::Iter<'a, (Str, Value)>, Vec<(Str, Value)>),
}

fn clone_flat(value: &Value) -> Value {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut next = Some(value);
    loop {
        let mut done = match next.take() {
            Some(Value::Array(a)) => {
                parts.push(Part::Array(a.iter(), Vec::with_capacity(a.len())));
                None
            }
            Some(Value::Object(m)) => {
                parts.push(Part::Object(m.as_slice().iter(), Vec::with_capacity(m.len())));
                None
            }
            Some(leaf) => Some(leaf.clone()),
            None => match parts.pop() {
                Some(Part::Array(_, made)) => Some(Value::Array(made)),
                Some(Part::Object(_, made)) => Some(Value::Object(Map::from_sorted(made))),
                None => return Value::Null,
            },
        };
        match parts.last_mut() {
            None => return done.unwrap_or_default(),
            Some(Part::Array(rest, made)) => {
                made.extend(done.take());
                next = rest.next();
            }
            Some(Part::Object(rest, made)) => {
                // The member's key has been put there with a null for its value.
                if let (Some(value), Some(member)) = (done.take(), made.last_mut()) {
                    member.1 = value;
                }
                next = rest.next().map(|(k, v)| {
                    made.push((k.clone(), Value::Null));
                    v
                });
            }
        }
    }
}

/// Whether two values are equal, which are `level` levels deep in what is being compared.
fn equal(a: &Value, b: &Value, level: usize) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(_) | Value::Object(_), _) if level >= RECURSION_MAX => equal_flat(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, level + 1))
        }
        (Value::Object(a), Value::Object(b)) => equal_maps(a, b, level),
        _ => false,
    }
}

fn equal_maps(a: &Map, b: &Map, level: usize) -> bool {
    let (a, b) = (a.as_slice(), b.as_slice());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && equal(&a.1, &b.1, level + 1))
}

fn equal_flat(a: &Value, b: &Value) -> bool {
    let mut todo = vec![(a, b)];
    while let Some((a, b)) = todo.pop() {
        match (a, b) {
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => todo.extend(a.iter().zip(b)),
            (Value::Object(a), Value::Object(b)) if a.len() == b.len() && a.keys().eq(b.keys()) => {
                todo.extend(a.values().zip(b.values()));
            }
            (Value::Array(_) | Value::Object(_), _) => return false,
            _ if equal(a, b, 0) => {}
            _ => return false,
        }
    }
    true
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        equal(self, other, 0)
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        equal_maps(self, other, 0)
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        clone_value(self, 0)
    }
}

impl Clone for Map {
    fn clone(&self) -> Self {
        clone_map(self, 0)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        drop_entries(mem::take(self.entries_mut()));
    }
}

#[cfg(test)]
mod tests {
    use crate::{Value, json};

    fn nested(open: &str, close: &str, depth: usize) -> Value {
        json::parse(format!("{}1{}", open.repeat(depth), close.repeat(depth)).as_bytes()).unwrap()
    }

    #[test]
    fn as_deep_as_documents_may_be() {
        for (open, close, depth) in [
            ("[", "]", 10_000),
            ("{\"a\":", "}", 10_000),
            ("[0,{\"a\":true,\"b\":", ",\"c\":\"x\"},\"y\"]", 5_000),
        ] {
            let value = nested(open, close, depth);
            let clone = value.clone();
            assert!(clone == value);
            assert!(clone != nested(open, close, depth - 1));
            assert_eq!(json::to_vec(&clone), json::to_vec(&value));
        }
    }
}
