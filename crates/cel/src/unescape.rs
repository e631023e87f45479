//! From the text of a string or bytes literal to its value.
//!
//! Upstream counterpart: cel-go `parser/unescape.go`.

use std::str::Chars;

const BAD: &str = "unable to unescape string";
const BAD_OCTAL: &str = "unable to unescape octal sequence in string";

/// The octets of a literal (quotes and `r` prefix still on, `b` prefix off).
///
/// # Errors
/// The message upstream reports for an escape sequence that denotes no character.
pub(crate) fn unescape(literal: &str, is_bytes: bool) -> Result<Vec<u8>, &'static str> {
    let text = literal.replace("\r\n", "\n").replace('\r', "\n");
    let raw = text.starts_with(['r', 'R']);
    let text = if raw { &text[1..] } else { &text[..] };
    let quotes =
        if text.len() >= 6 && (text.starts_with("'''") || text.starts_with("\"\"\"")) { 3 } else { 1 };
    let Some(inner) = text.get(quotes..text.len().saturating_sub(quotes)) else {
        return Err(BAD);
    };
    if raw || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, is_bytes, &mut out)?,
            c => push(c, &mut out),
        }
    }
    Ok(out)
}

fn push(c: char, out: &mut Vec<u8>) {
    out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn digits(chars: &mut Chars<'_>, n: usize, radix: u32, first: u32) -> Option<u32> {
    (0..n).try_fold(first, |v, _| v.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?))
}

fn escape(chars: &mut Chars<'_>, is_bytes: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let simple = match chars.next() {
        Some('a') => 7,
        Some('b') => 8,
        Some('f') => 12,
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('v') => 11,
        Some(c @ ('\\' | '\'' | '"' | '`' | '?')) => c as u8,
        Some(c @ ('x' | 'X' | 'u' | 'U')) => {
            let n = match c {
                'x' | 'X' => 2,
                'u' => 4,
                _ => 8,
            };
            if is_bytes && n > 2 {
                return Err(BAD);
            }
            return code_point(digits(chars, n, 16, 0).ok_or(BAD)?, is_bytes, out);
        }
        Some(c @ '0'..='3') => {
            let first = c as u32 - '0' as u32;
            return code_point(digits(chars, 2, 8, first).ok_or(BAD_OCTAL)?, is_bytes, out);
        }
        Some(_) => return Err(BAD),
        None => return Err("unable to unescape string, found '\\' as last character"),
    };
    out.push(simple);
    Ok(())
}

fn code_point(code: u32, is_bytes: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    if is_bytes {
        out.push(code as u8); // two hex or three octal digits: at most 255
    } else {
        push(char::from_u32(code).ok_or("invalid unicode code point")?, out);
    }
    Ok(())
}
