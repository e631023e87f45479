//! The writers.

use super::{float::write_float, scan};
use crate::{Number, Str, Value};
use std::fmt;
use std::slice;

/// Writes a tree compactly: no white space, keys in tree order, no newline at the end.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    write_with(value, out, None);
}

/// Writes a tree over several lines, indented by two spaces, as Go's `json.MarshalIndent` and the API
/// server's `pretty=1`; no newline at the end.
pub fn write_pretty(value: &Value, out: &mut Vec<u8>) {
    write_with(value, out, Some("  "));
}

/// The compact form as bytes.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// The compact form as text.
pub fn to_string(value: &Value) -> String {
    String::from_utf8(to_vec(value)).expect("only whole strings and ASCII are written")
}

/// What is being written: the rest of an object's members or of a list's elements.
enum Rest<'a> {
    Members(slice::Iter<'a, (Str, Value)>),
    Elements(slice::Iter<'a, Value>),
}

fn write_with(value: &Value, out: &mut Vec<u8>, indent: Option<&str>) {
    let newline = |out: &mut Vec<u8>, depth: usize| {
        if let Some(indent) = indent {
            out.push(b'\n');
            (0..depth).for_each(|_| out.extend_from_slice(indent.as_bytes()));
        }
    };
    let mut open: Vec<Rest<'_>> = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next.take() {
            match value {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Bool(true) => out.extend_from_slice(b"true"),
                Value::Bool(false) => out.extend_from_slice(b"false"),
                Value::Number(n) => write_number(n, out),
                Value::String(s) => write_str(s, out),
                Value::Array(a) if a.is_empty() => out.extend_from_slice(b"[]"),
                Value::Object(m) if m.is_empty() => out.extend_from_slice(b"{}"),
                Value::Array(a) => {
                    out.push(b'[');
                    open.push(Rest::Elements(a.iter()));
                    newline(out, open.len());
                    if let Some(Rest::Elements(rest)) = open.last_mut() {
                        next = rest.next();
                    }
                    continue;
                }
                Value::Object(m) => {
                    out.push(b'{');
                    open.push(Rest::Members(m.as_slice().iter()));
                    newline(out, open.len());
                    if let Some(Rest::Members(rest)) = open.last_mut() {
                        next = rest.next().map(|(k, v)| {
                            write_key(k, out, indent);
                            v
                        });
                    }
                    continue;
                }
            }
        }
        let depth = open.len();
        match open.last_mut() {
            None => return,
            Some(Rest::Elements(rest)) => match rest.next() {
                Some(v) => {
                    out.push(b',');
                    newline(out, depth);
                    next = Some(v);
                }
                None => {
                    open.pop();
                    newline(out, depth - 1);
                    out.push(b']');
                }
            },
            Some(Rest::Members(rest)) => match rest.next() {
                Some((k, v)) => {
                    out.push(b',');
                    newline(out, depth);
                    write_key(k, out, indent);
                    next = Some(v);
                }
                None => {
                    open.pop();
                    newline(out, depth - 1);
                    out.push(b'}');
                }
            },
        }
    }
}

fn write_key(key: &str, out: &mut Vec<u8>, indent: Option<&str>) {
    write_str(key, out);
    out.push(b':');
    if indent.is_some() {
        out.push(b' ');
    }
}

/// Writes a number as its `Display` does.
pub fn write_number(n: &Number, out: &mut Vec<u8>) {
    match n {
        Number::Int(n) => {
            if *n < 0 {
                out.push(b'-');
            }
            write_u64(n.unsigned_abs(), out);
        }
        Number::Uint(n) => write_u64(*n, out),
        // Appending to a vector does not fail.
        Number::Float(x) => _ = write_float(&mut Text(out), *x),
        Number::Text(t) => out.extend_from_slice(t.as_bytes()),
    }
}

fn write_u64(mut n: u64, out: &mut Vec<u8>) {
    let mut buf = [b'0'; 20];
    let mut len = 0;
    for digit in buf.iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
        len += 1;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&buf[buf.len() - len..]);
}

struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}

/// Writes a string with its quotes, escaped as Go's `json.Encoder` does by default: `<`, `>`, `&`,
/// U+2028 and U+2029 as `\u` escapes, short escapes for backspace, form feed, newline, return and tab.
pub fn write_str(s: &str, out: &mut Vec<u8>) {
    let bytes = s.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if scan::is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        write_escaped(bytes, out);
    }
    out.push(b'"');
}

fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut start = 0;
    let mut pos = 0;
    loop {
        pos = scan::write_run(bytes, pos);
        let Some(&byte) = bytes.get(pos) else { break };
        let rest = bytes.get(pos..).unwrap_or(&[]);
        let mut len = 1;
        let mut escape = [b'\\', byte, b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\x08' => b'b',
            b'\x0c' => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0xe2 if rest.starts_with("\u{2028}".as_bytes()) || rest.starts_with("\u{2029}".as_bytes()) => {
                escape = *if rest.starts_with("\u{2028}".as_bytes()) { b"\\u2028" } else { b"\\u2029" };
                len = 3;
                b'u'
            }
            0xe2 => {
                pos += 1;
                continue;
            }
            _ => b'u',
        };
        escape[1] = short;
        out.extend_from_slice(bytes.get(start..pos).unwrap_or(&[]));
        out.extend_from_slice(if short == b'u' { &escape } else { &escape[..2] });
        pos += len;
        start = pos;
    }
    out.extend_from_slice(bytes.get(start..).unwrap_or(&[]));
}
