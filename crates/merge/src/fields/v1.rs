//! FieldsV1, the written form of a field set.
//!
//! In trees it is a JSON object whose keys are `f:<field>`, `k:<keys as JSON>`, `v:<value as JSON>` and
//! `i:<index>`; `.` says that the container itself is a member, and so does an empty object. As text
//! ([`to_json`]) its keys stand in the order of path elements, which is not quite the order of the keys as
//! strings. Upstream: structured-merge-diff `fieldpath/serialize.go`, `serialize-pe.go`.

use super::set::Node;
use super::{PathElement, Set};
use crate::DEPTH_MAX;
use smol_str::SmolStrBuilder;
use std::fmt::Write;
use value::{Map, Number, Str, Value};

/// Reads a field set from the tree of a FieldsV1. Keys of unknown kinds are ignored.
///
/// # Errors
/// A text that says what is malformed.
pub fn from_tree(tree: &Value) -> Result<Set, String> {
    match tree {
        Value::Null => Ok(Set::new()),
        Value::Object(m) => Ok(read(m, DEPTH_MAX)?.0),
        _ => Err("ReadMapCB: expect { or n, but found something else".into()),
    }
}

/// Reads what is below a node: the set, and whether the node itself is a member.
fn read(map: &Map, depth: usize) -> Result<(Set, bool), String> {
    if depth == 0 {
        return Err("exceeded max depth".into());
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(map.len());
    let mut is_member = false;
    for (key, value) in map.iter() {
        if key == "." {
            is_member = true;
            continue;
        }
        let Some(element) = parse_element(key)? else { continue };
        let (below, member) = match value {
            Value::Object(m) if m.is_empty() => (Set::new(), true),
            Value::Object(m) => read(m, depth - 1)?,
            Value::Null => (Set::new(), true),
            _ => return Err("ReadMapCB: expect { or n, but found something else".into()),
        };
        nodes.push(Node { element, member, below });
    }
    if !nodes.is_sorted_by(|a, b| a.element < b.element) {
        nodes.sort_by(|a, b| a.element.cmp(&b.element));
        nodes.dedup_by(|later, first| {
            let same = later.element == first.element;
            if same {
                first.member |= later.member;
                first.below.merge(std::mem::take(&mut later.below));
            }
            same
        });
    }
    let is_member = is_member || nodes.is_empty();
    Ok((Set { nodes }, is_member))
}

/// Reads one key; `None` if it is of a kind that a later version may know.
///
/// # Errors
/// A text that says what is malformed.
pub fn parse_element(key: &str) -> Result<Option<PathElement>, String> {
    let (Some(kind), Some(separator)) = (key.as_bytes().first(), key.as_bytes().get(1)) else {
        return Err("parsing key as path element: key must be 2 characters long:".into());
    };
    if *separator != b':' {
        return Err(format!("parsing key as path element: missing colon: {key}"));
    }
    let rest = key.get(2..).unwrap_or_default();
    match kind {
        b'f' => Ok(Some(PathElement::Field(rest.into()))),
        b'v' => Ok(Some(PathElement::Value(Box::new(parse_json(rest)?)))),
        b'k' => match parse_json(rest)? {
            Value::Object(m) => Ok(Some(PathElement::Key(m.into_iter().collect()))),
            Value::Null => Ok(Some(PathElement::Key(Box::default()))),
            _ => Err("parsing key as path element: expect { or n".into()),
        },
        b'i' => match rest.parse() {
            Ok(i) => Ok(Some(PathElement::Index(i))),
            Err(_) => Err(format!(
                "parsing key as path element: strconv.Atoi: parsing {}: invalid syntax",
                meta::quote::quote(rest)
            )),
        },
        _ => Ok(None),
    }
}

fn parse_json(text: &str) -> Result<Value, String> {
    // Most keys are one plain string: {"name":"x"}.
    if let Some(v) = parse_plain_string(text) {
        return Ok(v);
    }
    let mut v =
        value::json::parse(text.as_bytes()).map_err(|e| format!("parsing key as path element: {e}"))?;
    canonical_numbers(&mut v, DEPTH_MAX).map_err(|e| format!("parsing key as path element: {e}"))?;
    Ok(v)
}

fn parse_plain_string(text: &str) -> Option<Value> {
    if let Some(inner) = text.strip_prefix("{\"").and_then(|t| t.strip_suffix("\"}")) {
        let (name, value) = inner.split_once("\":\"")?;
        let map = || Map::from_iter([(Str::from(name), Value::from(value))]);
        return (is_plain(name) && is_plain(value)).then(|| Value::Object(map()));
    }
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    is_plain(inner).then(|| inner.into())
}

/// Whether a string stands for itself in JSON, also where HTML is escaped.
fn is_plain(s: &str) -> bool {
    s.bytes().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&'))
}

/// Up to here a float64 holds every integer.
const EXACT_MAX: u64 = 1 << 53;

/// Numbers go through a float64 upstream, so they come out in its shortest form.
///
/// # Errors
/// The value is deeper than `depth`, or has a number beyond the range of a float64.
fn canonical_numbers(v: &mut Value, depth: usize) -> Result<(), String> {
    match v {
        Value::Number(Number::Int(i)) if i.unsigned_abs() <= EXACT_MAX => Ok(()),
        Value::Number(n) => {
            let f = n.as_f64();
            if !f.is_finite() {
                let text = meta::quote::quote(&n.to_string());
                return Err(format!("strconv.ParseFloat: parsing {text}: value out of range"));
            }
            let int = f as i64; // saturates
            let exact = int as f64 == f && int.unsigned_abs() <= EXACT_MAX;
            *n = if exact { Number::Int(int) } else { Number::Float(f) };
            Ok(())
        }
        Value::Array(_) | Value::Object(_) if depth == 0 => Err("exceeded max depth".to_owned()),
        Value::Array(items) => items.iter_mut().try_for_each(|v| canonical_numbers(v, depth - 1)),
        Value::Object(m) => m.iter_mut().try_for_each(|(_, v)| canonical_numbers(v, depth - 1)),
        _ => Ok(()),
    }
}

/// The tree of a field set's FieldsV1.
pub fn to_tree(set: &Set) -> Value {
    Value::Object(entries(set, false))
}

fn entries(set: &Set, includes_self: bool) -> Map {
    let mut out = Vec::with_capacity(set.nodes.len() + usize::from(includes_self));
    if includes_self && !set.is_empty() {
        out.push((Str::new_static("."), Value::object()));
    }
    for n in &set.nodes {
        out.push((element_text(&n.element), Value::Object(entries(&n.below, n.member))));
    }
    Map::from_entries(out, |_| {})
}

/// The text of a field set's FieldsV1, byte for byte as upstream writes it.
pub fn to_json(set: &Set) -> String {
    let mut out = String::new();
    write_set(&mut out, set, false);
    out
}

fn write_set(out: &mut String, set: &Set, includes_self: bool) {
    out.push('{');
    let mut separator = "";
    if includes_self && !set.is_empty() {
        out.push_str("\".\":{}");
        separator = ",";
    }
    for n in &set.nodes {
        out.push_str(separator);
        separator = ",";
        write_json_string(out, &element_text(&n.element), Html::Plain);
        out.push(':');
        write_set(out, &n.below, n.member);
    }
    out.push('}');
}

/// The key that stands for a path element.
pub fn element_text(element: &PathElement) -> Str {
    match element {
        PathElement::Field(name) => {
            let mut out = SmolStrBuilder::new();
            out.push_str("f:");
            out.push_str(name);
            out.finish()
        }
        PathElement::Key(fields) => {
            let mut out = String::with_capacity(48);
            out.push_str("k:{");
            for (i, (name, value)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(&mut out, name, Html::Plain);
                out.push(':');
                write_json(&mut out, value);
            }
            out.push('}');
            out.into()
        }
        PathElement::Value(v) => {
            let mut out = String::from("v:");
            write_json(&mut out, v);
            out.into()
        }
        PathElement::Index(i) => format!("i:{i}").into(),
    }
}

fn write_json(out: &mut String, v: &Value) {
    match v {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
        Value::String(s) => write_json_string(out, s, Html::Escaped),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(m) => {
            out.push('{');
            for (i, (k, v)) in m.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(out, k, Html::Escaped);
                out.push(':');
                write_json(out, v);
            }
            out.push('}');
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Html {
    Plain,
    Escaped,
}

fn write_json_string(out: &mut String, s: &str, html: Html) {
    out.push('"');
    if is_plain(s) {
        out.push_str(s);
        out.push('"');
        return;
    }
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20
                || (html == Html::Escaped && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')) =>
            {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
