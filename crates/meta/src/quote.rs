//! Texts as Go prints them: `strconv.Quote`, `%#U`, `%v` of floats, `json.Marshal` of trees.
//!
//! Upstream builds its messages with `fmt`; these functions print the same bytes.

use std::fmt::{self, Write as _};
use value::{Map, Number, Value};

/// `s` in double quotes, escaped as Go's `strconv.Quote` and `%q` do.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    push_quoted(&mut out, s);
    out
}

/// Shows a string as [`quote`] does, without an allocation: `write!(f, "{}", Quoted(s))`.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
            return write!(f, "\"{}\"", self.0);
        }
        f.write_str(&quote(self.0))
    }
}

/// The strings quoted and joined with `separator`.
pub fn quote_all<S: AsRef<str>>(strings: &[S], separator: &str) -> String {
    let mut out = String::new();
    for (i, s) in strings.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        push_quoted(&mut out, s.as_ref());
    }
    out
}

fn push_quoted(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ = match code {
                    0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
                    ..0x1_0000 => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
}

/// Whether Go's `unicode.IsPrint` holds: letters, marks, numbers, punctuation, symbols, and the ASCII space.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library has the same table behind `escape_debug`. It escapes combining characters only
    // at the start of a string, hence the letter before.
    let mut buf = [b'a'; 5];
    let len = 1 + c.encode_utf8(&mut buf[1..]).len();
    std::str::from_utf8(&buf[..len]).is_ok_and(|s| s.escape_debug().nth(1) == Some(c))
}

/// `c` as Go's `%#U` prints it: `U+0041 'A'`, without the character if it is not printable.
pub fn unicode(c: char) -> String {
    let code = u32::from(c);
    if is_printable(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}

/// A list of strings as Go's `%#v` prints it: `[]string{"a", "b"}`.
pub fn go_strings<S: AsRef<str>>(strings: &[S]) -> String {
    format!("[]string{{{}}}", quote_all(strings, ", "))
}

/// A float as Go's `%v` prints it: shortest digits, an exponent below 1e-4 and from 1e6.
pub fn go_float(x: f64) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let abs = x.abs();
    if abs == 0.0 || (1e-4..1e6).contains(&abs) {
        return format!("{x}");
    }
    let text = format!("{x:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(digits) => format!("{mantissa}e-{digits:0>2}"),
        None => format!("{mantissa}e+{exponent:0>2}"),
    }
}

/// A tree as Go's `json.Marshal` prints a map: no spaces, keys sorted, `<`, `>` and `&` escaped.
pub fn go_json(value: &Value) -> String {
    let mut out = String::new();
    push_json(&mut out, value);
    out
}

/// What is still to be written; a stack in place of recursion, so that depth costs heap only.
enum Rest<'a> {
    Items(std::slice::Iter<'a, Value>),
    Entries(Box<dyn Iterator<Item = (&'a value::Str, &'a Value)> + 'a>),
}

fn push_json(out: &mut String, value: &Value) {
    let mut stack = Vec::new();
    push_json_start(out, value, &mut stack);
    while let Some(rest) = stack.last_mut() {
        let next = match rest {
            Rest::Items(items) => items.next(),
            Rest::Entries(entries) => entries.next().map(|(key, value)| {
                separate(out, '{');
                push_json_string(out, key);
                out.push(':');
                value
            }),
        };
        match (next, rest) {
            (Some(value), Rest::Items(_)) => {
                separate(out, '[');
                push_json_start(out, value, &mut stack);
            }
            (Some(value), Rest::Entries(_)) => push_json_start(out, value, &mut stack),
            (None, Rest::Items(_)) => {
                out.push(']');
                stack.pop();
            }
            (None, Rest::Entries(_)) => {
                out.push('}');
                stack.pop();
            }
        }
    }
}

/// The number that Go has: an `int64` or, however it was written, a `float64`.
pub(crate) fn as_go(number: &Number) -> Number {
    match number.as_i64() {
        Some(n) => Number::Int(n),
        None => Some(number.as_f64()).filter(|x| x.is_finite()).map_or_else(|| number.clone(), Number::Float),
    }
}

fn separate(out: &mut String, open: char) {
    if !out.ends_with(open) {
        out.push(',');
    }
}

fn push_json_start<'a>(out: &mut String, value: &'a Value, stack: &mut Vec<Rest<'a>>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            let _ = write!(out, "{}", as_go(n));
        }
        Value::String(s) => push_json_string(out, s),
        Value::Array(items) => {
            out.push('[');
            stack.push(Rest::Items(items.iter()));
        }
        Value::Object(map) => {
            out.push('{');
            stack.push(Rest::Entries(Box::new(Map::iter(map))));
        }
    }
}

/// A string as Go's `json.Marshal` prints it, HTML characters escaped.
pub fn json_string(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    push_json_string(&mut out, s);
    out
}

fn push_json_string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
