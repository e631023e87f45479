//! Functions on strings. Positions count code points.
//!
//! Upstream counterpart: cel-go `ext/strings.go`, version 2.

use crate::decls::Library;
use crate::eval::Call;
use crate::library::{int, list, string, strings_format};
use crate::val::{Eval, EvalError, Val, fail};

pub(crate) const LIBRARY: Library = Library {
    since: 0,
    signatures: "
        charAt string_char_at_int string.(int) -> string
        indexOf string_index_of_string string.(string) -> int
        indexOf string_index_of_string_int string.(string, int) -> int
        lastIndexOf string_last_index_of_string string.(string) -> int
        lastIndexOf string_last_index_of_string_int string.(string, int) -> int
        lowerAscii string_lower_ascii string.() -> string
        replace string_replace_string_string string.(string, string) -> string
        replace string_replace_string_string_int string.(string, string, int) -> string
        split string_split_string string.(string) -> list(string)
        split string_split_string_int string.(string, int) -> list(string)
        substring string_substring_int string.(int) -> string
        substring string_substring_int_int string.(int, int) -> string
        trim string_trim string.() -> string
        upperAscii string_upper_ascii string.() -> string
        join list_join list(string).() -> string
        join list_join_string list(string).(string) -> string
    ",
    runs: &[
        ("charAt", |c, a| {
            let (s, i) = (string(c, a, 0)?, int(c, a, 1)?);
            let out = || fail(format!("index out of range: {i}"));
            let Ok(at) = usize::try_from(i) else { return out() };
            match s.chars().nth(at) {
                Some(ch) => Ok(Val::string(ch.to_string())),
                None if at == s.chars().count() => Ok(Val::string("")),
                None => out(),
            }
        }),
        ("lowerAscii", |c, a| Ok(Val::string(string(c, a, 0)?.to_ascii_lowercase()))),
        ("upperAscii", |c, a| Ok(Val::string(string(c, a, 0)?.to_ascii_uppercase()))),
        ("replace", replace),
        ("split", |c, a| {
            let n = if a.len() > 2 { int(c, a, 2)? } else { -1 };
            Ok(Val::list(split(string(c, a, 0)?, string(c, a, 1)?, n)))
        }),
        ("substring", substring),
        ("trim", |c, a| {
            // Go's unicode.IsSpace.
            Ok(Val::string(string(c, a, 0)?.trim_matches(|ch: char| ch.is_whitespace())))
        }),
        ("join", join),
    ],
};

pub(crate) const SINCE_29: Library = Library {
    since: 29,
    signatures: "
        format string_format string.(list(dyn)) -> string
        strings.quote strings_quote (string) -> string
    ",
    runs: &[
        ("format", |c, a| strings_format::format(string(c, a, 0)?, list(c, a, 1)?).map(Val::string)),
        ("strings.quote", |c, a| Ok(Val::string(quote(string(c, a, 0)?)))),
    ],
};

/// The byte offset of the code point `n`, or the end.
fn offset(s: &str, n: usize) -> usize {
    if s.is_ascii() { n.min(s.len()) } else { s.char_indices().nth(n).map_or(s.len(), |(i, _)| i) }
}

fn count(s: &str) -> usize {
    if s.is_ascii() { s.len() } else { s.chars().count() }
}

pub(crate) fn index_of<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let (s, part) = (string(call, args, 0)?, string(call, args, 1)?);
    let from = if args.len() > 2 { int(call, args, 2)? } else { 0 };
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let Ok(from) = usize::try_from(from) else { return fail(format!("index out of range: {from}")) };
    let start = offset(s, from);
    Ok(Val::Int(match s[start..].find(part.as_str()) {
        Some(i) => count(&s[..start + i]) as i64,
        None => -1,
    }))
}

pub(crate) fn last_index_of<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let (s, part) = (string(call, args, 0)?, string(call, args, 1)?);
    let length = count(s);
    if args.len() < 3 {
        if part.is_empty() {
            return Ok(Val::Int(length as i64));
        }
        return Ok(Val::Int(s.rfind(part.as_str()).map_or(-1, |i| count(&s[..i]) as i64)));
    }
    let from = int(call, args, 2)?;
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let Ok(from) = usize::try_from(from) else { return fail(format!("index out of range: {from}")) };
    if from >= length {
        return Ok(Val::Int(-1));
    }
    let end = (offset(s, from) + part.len()).min(s.len());
    // The part may begin at `from` at the latest.
    let end = (end..=s.len()).find(|&i| s.is_char_boundary(i)).unwrap_or(s.len());
    let found = s[..end].rmatch_indices(part.as_str()).map(|(i, _)| count(&s[..i])).find(|i| *i <= from);
    Ok(Val::Int(found.map_or(-1, |i| i as i64)))
}

/// The most octets a string that a function makes may have; what is longer could not be paid for.
const RESULT_BYTES_MAX: usize = 16 << 20;

fn replace<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let (s, from, to) = (string(call, args, 0)?, string(call, args, 1)?, string(call, args, 2)?);
    let n = if args.len() > 3 { int(call, args, 3)? } else { -1 };
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    let matches = if from.is_empty() { count(s) + 1 } else { s.matches(from.as_str()).count() };
    if matches.min(n).saturating_mul(to.len()) > RESULT_BYTES_MAX {
        return Err(EvalError::CostLimit);
    }
    Ok(Val::string(s.replacen(from.as_str(), to, n)))
}

fn split<'a>(s: &str, separator: &str, n: i64) -> Vec<Val<'a>> {
    if n == 0 {
        return Vec::new();
    }
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    if !separator.is_empty() {
        return s.splitn(n, separator).map(Val::string).collect();
    }
    let mut out = Vec::new();
    let mut rest = s;
    while let Some(c) = rest.chars().next() {
        if out.len() + 1 == n {
            out.push(Val::string(rest));
            return out;
        }
        out.push(Val::string(&rest[..c.len_utf8()]));
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn substring<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let (s, start) = (string(call, args, 0)?, int(call, args, 1)?);
    let length = count(s) as i64;
    let out = |i: i64| fail(format!("index out of range: {i}"));
    let mut end = length;
    if args.len() > 2 {
        end = int(call, args, 2)?;
        if start > end {
            return fail(format!("invalid substring range. start: {start}, end: {end}"));
        }
    }
    if !(0..=length).contains(&start) {
        return out(start);
    }
    if !(0..=length).contains(&end) {
        return out(end);
    }
    Ok(Val::string(&s[offset(s, start as usize)..offset(s, end as usize)]))
}

fn join<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let l = list(call, args, 0)?;
    let separator = if args.len() > 1 { string(call, args, 1)?.as_str() } else { "" };
    let mut out = String::new();
    for (i, v) in l.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        match v? {
            Val::String(s) => out.push_str(&s),
            v => return fail(format!("join: invalid input: {v}")),
        }
        if out.len() > RESULT_BYTES_MAX {
            return Err(EvalError::CostLimit);
        }
    }
    Ok(Val::string(out))
}

fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
