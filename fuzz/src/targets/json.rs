//! Parsing and writing JSON: what is written reads back the same, and serde_json is of our opinion.

use value::{Value, json};

pub(super) const DICTIONARY: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\"a\":",
    "null",
    "true",
    "false",
    "0",
    "-",
    ".",
    "e",
    "1e21",
    "-0",
    "9223372036854775808",
    "1.5",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\\\",
    "\\\"",
    "\u{2028}",
    "<>&",
    "\u{e9}",
    " ",
    "\n",
    "{\"a\":1,\"a\":2}",
    "[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
];

pub(super) fn run(input: &[u8]) {
    let mut duplicates = json::Duplicates::new();
    let parsed = json::parse_with(input, &mut duplicates);
    let serde = serde_json::from_slice::<serde_json::Value>(input);
    match (&parsed, &serde) {
        (Ok(ours), Ok(theirs)) => assert!(same(ours, theirs), "{ours:?} is not {theirs:?}"),
        (Err(error), Ok(theirs)) => panic!("{error}, but serde_json reads {theirs:?}"),
        (Ok(_), Err(error)) => {
            let text = error.to_string();
            let known =
                ["recursion limit", "surrogate", "unicode", "hex escape", "number out of range", "escape"];
            assert!(
                std::str::from_utf8(input).is_err() || known.iter().any(|k| text.contains(k)),
                "accepted, but serde_json says {text}"
            );
        }
        (Err(error), Err(_)) => assert!(error.offset() <= input.len(), "offset {}", error.offset()),
    }
    let Ok(value) = parsed else { return };
    let compact = json::to_vec(&value);
    assert_eq!(json::parse(&compact).as_ref(), Ok(&value), "compact form");
    let mut pretty = Vec::new();
    json::write_pretty(&value, &mut pretty);
    assert_eq!(json::parse(&pretty).as_ref(), Ok(&value), "pretty form");
    let paths: Vec<&str> = duplicates.iter().map(|d| d.path.as_str()).collect();
    assert!(paths.len() <= json::DUPLICATES_MAX);
    assert!(json::field_offsets(input, &paths).iter().all(Option::is_some), "duplicates are found again");
    assert!(value == value.clone());
}

fn same(ours: &Value, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Number(a), serde_json::Value::Number(b)) => same_number(&a.to_string(), b),
        (Value::String(a), serde_json::Value::String(b)) => a.as_str() == b,
        (Value::Array(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), serde_json::Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k.as_str()).is_some_and(|w| same(v, w)))
        }
        _ => false,
    }
}

/// Ours keeps the spelling, serde_json the value; its floats may be off by the last bits.
fn same_number(ours: &str, theirs: &serde_json::Number) -> bool {
    if theirs.is_u64() || theirs.is_i64() {
        return ours == theirs.to_string();
    }
    let (Ok(ours), Some(theirs)) = (ours.parse::<f64>(), theirs.as_f64()) else { return false };
    (ours - theirs).abs() <= ours.abs() * f64::EPSILON * 4.0 || (ours - theirs).abs() <= f64::MIN_POSITIVE
}
