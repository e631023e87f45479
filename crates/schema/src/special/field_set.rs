//! FieldsV1: the keys of a field set stand in the order of path elements, which is not that of texts: ports are
//! numbers. Upstream: structured-merge-diff `fieldpath/element.go`, `fieldpath/serialize.go`.

use std::cmp::Ordering;
use value::order::compare;
use value::{Map, Str, Value, json};

/// Deeper ones are written as any tree is.
const DEPTH_MAX: usize = 200;

/// Appends a field set's text.
pub(crate) fn write(set: &Value, out: &mut Vec<u8>) {
    write_within(set, out, DEPTH_MAX);
}

fn write_within(set: &Value, out: &mut Vec<u8>, depth: usize) {
    let (Value::Object(map), 1..) = (set, depth) else { return json::write(set, out) };
    let write = |out: &mut Vec<u8>, i: usize, (key, below): &(Str, Value)| {
        if i > 0 {
            out.push(b',');
        }
        json::write_str(key, out);
        out.push(b':');
        write_within(below, out, depth - 1);
    };
    out.push(b'{');
    if is_in_order(map) {
        map.as_slice().iter().enumerate().for_each(|(i, entry)| write(out, i, entry));
    } else {
        let mut entries: Vec<(Element, &(Str, Value))> =
            map.as_slice().iter().map(|entry| (Element::read(&entry.0), entry)).collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.iter().enumerate().for_each(|(i, (_, entry))| write(out, i, entry));
    }
    out.push(b'}');
}

/// Whether the order of texts will do: `f:` comes before `k:` before `v:` anyway, and there is nothing but strings.
fn is_in_order(map: &Map) -> bool {
    let keyed = |key: &&Str| key.as_bytes().first().is_some_and(|kind| *kind > b'f');
    let mut keyed = map.as_slice().iter().rev().map(|(key, _)| key).take_while(keyed);
    map.len() < 2 || !keyed.any(|key| key.starts_with('i') || has_number(key.as_bytes()))
}

fn has_number(key: &[u8]) -> bool {
    key.windows(2).any(|pair| pair[0] == b':' && matches!(pair[1], b'0'..=b'9' | b'-'))
}

/// What a key stands for, as far as order cares.
struct Element<'a> {
    rank: u8,
    text: &'a str,
    value: Value,
}

impl<'a> Element<'a> {
    fn read(key: &'a str) -> Self {
        let (kind, text) = key.split_once(':').unwrap_or((key, ""));
        let parsed = || json::parse(text.as_bytes()).unwrap_or_default();
        match kind {
            "k" => Self { rank: 2, text: "", value: parsed() },
            "v" => Self { rank: 3, text: "", value: parsed() },
            "i" => Self { rank: 4, text: "", value: parsed() },
            "." => Self { rank: 0, text, value: Value::Null },
            _ => Self { rank: 1, text, value: Value::Null },
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let by_text = || self.text.cmp(other.text);
        self.rank.cmp(&other.rank).then_with(by_text).then_with(|| compare(&self.value, &other.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_path_elements() {
        for text in [
            "{}",
            r#"{"f:a":{},"f:b":{".":{},"f:c":{}}}"#,
            r#"{"f:p":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{},"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"k:{\"port\":443,\"protocol\":\"UDP\"}":{},"k:{\"port\":10250,\"protocol\":\"TCP\"}":{}}}"#,
            r#"{"f:z":{},"k:{\"name\":\"a10\"}":{},"k:{\"name\":\"a9\"}":{},"v:-10":{},"v:-9":{},"v:1.5":{},"v:10":{},"v:\"x\"":{},"i:2":{},"i:10":{}}"#,
        ] {
            let mut out = Vec::new();
            write(&json::parse(text.as_bytes()).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
