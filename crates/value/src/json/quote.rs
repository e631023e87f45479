//! Go's `strconv.Quote`.

use std::fmt::Write;

/// Quotes a string as Go's `%q` does.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        if c == '"' { out.push_str("\\\"") } else { escape_char(c, &mut out) }
    }
    out.push('"');
    out
}

/// Appends a character as `strconv.Quote` has it, but for the quotes themselves.
pub(super) fn escape_char(c: char, out: &mut String) {
    match c {
        ' '..='[' | ']'..='~' => out.push(c),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ if is_print(c) => out.push(c),
        // Writing to a String does not fail.
        '\0'..'\u{80}' => _ = write!(out, "\\x{:02x}", u32::from(c)),
        '\u{80}'..'\u{10000}' => _ = write!(out, "\\u{:04x}", u32::from(c)),
        _ => _ = write!(out, "\\U{:08x}", u32::from(c)),
    }
}

/// Go's `unicode.IsPrint`. The standard library's debug escaping draws the same line (letters, marks,
/// numbers, punctuation, symbols) for every character but the first of a string.
fn is_print(c: char) -> bool {
    let mut buf = [b'a'; 5];
    let n = c.encode_utf8(&mut buf[1..]).len();
    let s = std::str::from_utf8(&buf[..=n]).unwrap_or("");
    s.escape_debug().nth(1) == Some(c)
}
