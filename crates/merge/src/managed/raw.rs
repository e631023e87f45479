//! FieldsV1 trees looked into without decoding them.
//!
//! Most writes leave most managers alone; their entries are kept as they stand. A tree is *settled* if it is
//! spelt as we spell it and the schema asks for no change of it; only of such trees the other questions are
//! asked.

use crate::DEPTH_MAX;
use crate::fields::{Set, v1};
use crate::types::{ListRelation, Schema, TypeId};
use value::{Map, Value};

/// Whether a tree is well formed, in the usual spelling, and owns nothing below what is atomic by now.
pub(super) fn is_settled(schema: &Schema, ty: TypeId, tree: &Value) -> bool {
    match tree {
        Value::Object(m) => !m.is_empty() && is_settled_below(schema, Some(ty), m, DEPTH_MAX),
        _ => false,
    }
}

fn is_settled_below(schema: &Schema, ty: Option<TypeId>, tree: &Map, depth: usize) -> bool {
    if depth == 0 {
        return false;
    }
    let atom = ty.map(|ty| schema.atom(ty));
    let (map, list) = match atom {
        Some(atom) => (atom.map.as_ref(), if atom.map.is_none() { atom.list.as_ref() } else { None }),
        None => (None, None),
    };
    // What has members below must not be owned as a whole.
    let atomic = match (map, list) {
        (Some(map), _) => map.atomic,
        (_, Some(list)) => list.relation == ListRelation::Atomic,
        _ => false,
    };
    if atomic {
        return false;
    }
    let map = map.filter(|m| !m.is_deduced());
    tree.iter().all(|(key, below)| {
        let Value::Object(below) = below else { return false };
        if key == "." {
            return below.is_empty();
        }
        let (Some(kind), Some(rest)) = (key.get(..2), key.get(2..)) else { return false };
        let is_leaf = below.is_empty() || is_self_only(below);
        let ty = match kind {
            "f:" if is_leaf => return true,
            "f:" => map.and_then(|m| m.type_of(rest)),
            "k:" | "v:" => {
                if !is_usual(kind, rest) {
                    return false;
                }
                if is_leaf {
                    return true;
                }
                map.map_or_else(|| list.map(|l| l.element), |m| m.element)
            }
            _ => return false,
        };
        is_settled_below(schema, ty, below, depth - 1)
    })
}

fn is_self_only(tree: &Map) -> bool {
    tree.len() == 1 && tree.contains_key(".")
}

/// Whether a `k:` or `v:` key is spelt as [`v1`] spells it. Looks at plain strings and integers by hand.
fn is_usual(kind: &str, text: &str) -> bool {
    let scalar = |text: &str| match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(is_plain),
        None => text == "true" || text == "false" || is_small_integer(text),
    };
    let by_hand = if kind == "v:" {
        scalar(text)
    } else {
        let members = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        members.is_some_and(|members| {
            let mut last = "";
            !members.is_empty()
                && members.split(',').all(|member| {
                    let Some((name, value)) = member.split_once(':') else { return false };
                    let ascending = last < name;
                    last = name;
                    let name = name.strip_prefix('"').and_then(|n| n.strip_suffix('"'));
                    ascending && name.is_some_and(is_plain) && scalar(value)
                })
        })
    };
    by_hand || {
        let key = format!("{kind}{text}");
        matches!(v1::parse_element(&key), Ok(Some(element)) if v1::element_text(&element) == key)
    }
}

fn is_plain(s: &str) -> bool {
    s.bytes()
        .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | b',' | b':'))
}

/// An integer that a float64 holds, in its only spelling.
fn is_small_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits.as_bytes() {
        b"0" => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.len() < 15 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Whether a settled tree has a member of the set.
pub(super) fn intersects(tree: &Value, set: &Set) -> bool {
    !set.is_empty() && tree.as_object().is_some_and(|m| has_one(m, set, &Set::new()))
}

/// Whether a settled tree has a member of the set that is none of `but`.
pub(super) fn intersects_but(tree: &Value, set: &Set, but: &Set) -> bool {
    !set.is_empty() && tree.as_object().is_some_and(|m| has_one(m, set, but))
}

fn has_one(tree: &Map, set: &Set, but: &Set) -> bool {
    set.nodes.iter().any(|n| {
        let Some(Value::Object(below)) = tree.get(&v1::element_text(&n.element)) else { return false };
        let but = but.node(&n.element);
        (n.member && is_member(below) && !but.is_some_and(|b| b.member))
            || (!n.below.is_empty() && has_one(below, &n.below, but.map_or(&Set::new(), |b| &b.below)))
    })
}

/// Whether a settled tree has all members of the set.
pub(super) fn contains(tree: &Value, set: &Set) -> bool {
    tree.as_object().is_some_and(|m| has_all(m, set))
}

fn has_all(tree: &Map, set: &Set) -> bool {
    set.nodes.iter().all(|n| match tree.get(&v1::element_text(&n.element)) {
        Some(Value::Object(below)) => (is_member(below) || !n.member) && has_all(below, &n.below),
        _ => false,
    })
}

/// Whether what a key stands for is itself in the set.
fn is_member(below: &Map) -> bool {
    below.is_empty() || below.contains_key(".")
}
