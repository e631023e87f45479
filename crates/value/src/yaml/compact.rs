//! Compact JSON, in which clients send most of what they call YAML: it takes no scanner of YAML to read it.

use crate::{Value, json};

/// Deeper documents are left to the scanner, and to its limit.
const DEPTH_MAX: usize = 100;
/// How long a key of a mapping may be for YAML (1,024 with its quotes).
const KEY_BYTES_MAX: usize = 1000;

/// The document, if it is one object of compact JSON about which JSON and YAML are of one mind: integers, plain
/// strings, no key twice. `None` says nothing about it.
pub(super) fn read(data: &[u8]) -> Option<Value> {
    let text = data.strip_suffix(b"\n").unwrap_or(data);
    if !is_plain(text) {
        return None;
    }
    let mut duplicates = json::Duplicates::new();
    let value = json::parse_with(text, &mut duplicates).ok()?;
    duplicates.iter().next().is_none().then_some(value)
}

fn is_plain(text: &[u8]) -> bool {
    if text.first() != Some(&b'{') {
        return false;
    }
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return false;
                }
            }
            b'}' | b']' => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            b',' | b':' => {}
            b'"' => {
                let Some(end) = string_end(text, at) else { return false };
                let is_key = text.get(end + 1) == Some(&b':');
                if is_key && (end - at > KEY_BYTES_MAX || text.get(at..end) == Some(b"<<")) {
                    return false;
                }
                at = end + 1;
            }
            _ => {
                let rest = text.get(at - 1..).unwrap_or_default();
                let length = rest.iter().position(|b| b",}]".contains(b)).unwrap_or(rest.len());
                if !is_word(rest.get(..length).unwrap_or_default()) {
                    return false;
                }
                at += length - 1;
            }
        }
    }
    depth == 0
}

/// A literal, or an integer that is written in one way only and fits 64 bits.
fn is_word(word: &[u8]) -> bool {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    matches!(word, b"true" | b"false" | b"null" | b"0")
        || matches!(digits, [b'1'..=b'9', rest @ ..] if rest.len() < 18 && rest.iter().all(u8::is_ascii_digit))
}

/// Where a string ends that begins at `at`, if it is of printable ASCII and of escapes that mean the same.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at..)? {
            [b'"', ..] => return Some(at),
            [b'\\', b'"' | b'\\' | b'n' | b'r' | b't', ..] => at += 2,
            // What Go's encoder makes of `<`, `>` and `&`.
            [b'\\', b'u', b'0', b'0', b'2' | b'3', digit, ..] if digit.is_ascii_hexdigit() => at += 6,
            [b' '..=b'[' | b']'..=b'~', ..] => at += 1,
            _ => return None,
        }
    }
}
