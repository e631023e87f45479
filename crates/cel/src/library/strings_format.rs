//! `string.format`.
//!
//! Upstream counterpart: cel-go `ext/formatting.go` (string library versions 1 to 3).

use crate::val::{Eval, EvalError, List, Map, Val, fail};

/// Digits after the point where a clause does not say.
const DEFAULT_PRECISION: usize = 6;
/// Go's own limit of a width or precision is a million; nobody pays for that.
const PRECISION_MAX: usize = 1000;
const DEPTH_MAX: usize = 1000;

/// Fills the clauses of `template` with the elements of `args`.
///
/// # Errors
/// A clause that is malformed, has no argument or one it does not take.
pub(crate) fn format(template: &str, args: &List<'_>) -> Eval<String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    let mut next = 0;
    while let Some(i) = rest.find('%') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return fail("unexpected end of string");
        }
        if next >= args.len() {
            return fail(format!("index {next} out of range"));
        }
        let v = args.get(next)?;
        next += 1;
        let clause;
        (clause, rest) = clause_of(rest)?;
        out.push_str(&clause.apply(&v).map_err(|e| match e {
            EvalError::Failed(text) => EvalError::new(format!("error during formatting: {text}")),
            e => e,
        })?);
    }
    out.push_str(rest);
    Ok(out)
}

struct Clause {
    verb: char,
    precision: usize,
}

/// The clause after a `%`, and what follows it.
fn clause_of(text: &str) -> Eval<(Clause, &str)> {
    let mut precision = DEFAULT_PRECISION;
    let mut rest = text;
    if let Some(after) = text.strip_prefix('.') {
        let n = after.bytes().take_while(u8::is_ascii_digit).count();
        if n == after.len() {
            return fail("error while parsing precision: could not find end of precision specifier");
        }
        if n == 0 {
            return fail(
                "error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing \"\": invalid syntax",
            );
        }
        precision = after[..n].parse().unwrap_or(PRECISION_MAX).min(PRECISION_MAX);
        rest = &after[n..];
    }
    let Some(verb) = rest.chars().next() else { return fail("unexpected end of string") };
    if !"sdfebxXo".contains(verb) {
        return fail(format!("unrecognized formatting clause \"{verb}\""));
    }
    Ok((Clause { verb, precision }, &rest[verb.len_utf8()..]))
}

fn name(v: &Val<'_>) -> String {
    v.type_of().runtime_name().to_owned()
}

impl Clause {
    fn apply(&self, v: &Val<'_>) -> Eval<String> {
        match self.verb {
            's' => text(v, 0),
            'd' => match v {
                Val::Int(_) | Val::Uint(_) => Ok(v.to_string()),
                _ => fail(format!("decimal clause can only be used on integers, was given {}", name(v))),
            },
            'f' => self.double(v, "fixed-point").map(|d| self.fixed(d)),
            'e' => self.double(v, "scientific").map(|d| self.scientific(d)),
            'b' => match v {
                Val::Int(i) => Ok(signed(*i, |u| format!("{u:b}"))),
                Val::Uint(u) => Ok(format!("{u:b}")),
                Val::Bool(b) => Ok(if *b { "1" } else { "0" }.to_owned()),
                _ => {
                    fail(format!("only integers and bools can be formatted as binary, was given {}", name(v)))
                }
            },
            'x' => hex(v, false),
            'X' => hex(v, true),
            _ => match v {
                Val::Int(i) => Ok(signed(*i, |u| format!("{u:o}"))),
                Val::Uint(u) => Ok(format!("{u:o}")),
                _ => fail(format!("octal clause can only be used on integers, was given {}", name(v))),
            },
        }
    }

    fn double(&self, v: &Val<'_>, what: &str) -> Eval<f64> {
        match v {
            Val::Double(d) => Ok(*d),
            Val::String(s) if matches!(s.as_str(), "NaN" | "Infinity" | "-Infinity") => {
                Ok(s.parse().unwrap_or(f64::NAN))
            }
            _ => fail(format!("{what} clause can only be used on doubles, was given {}", name(v))),
        }
    }

    fn fixed(&self, d: f64) -> String {
        let p = self.precision;
        special(d).unwrap_or_else(|| format!("{d:.p$}"))
    }

    fn scientific(&self, d: f64) -> String {
        let p = self.precision;
        special(d).unwrap_or_else(|| {
            let s = format!("{d:.p$e}");
            let (mantissa, exponent) = s.split_once('e').unwrap_or((&s, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            // The printer of upstream's locale writes the power out.
            format!("{mantissa}\u{202f}\u{d7}\u{202f}10{}", superscript(sign, exponent.unsigned_abs()))
        })
    }
}

fn superscript(sign: char, n: u32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let mut out = String::new();
    if sign == '-' {
        out.push('⁻');
    }
    for c in format!("{n:02}").chars() {
        out.push(DIGITS[c.to_digit(10).unwrap_or(0) as usize]);
    }
    out
}

fn special(d: f64) -> Option<String> {
    if d.is_nan() {
        return Some("NaN".into());
    }
    d.is_infinite().then(|| if d > 0.0 { "∞".into() } else { "-∞".into() })
}

fn signed(i: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if i < 0 { "-" } else { "" };
    format!("{sign}{}", digits(i.unsigned_abs()))
}

fn hex(v: &Val<'_>, upper: bool) -> Eval<String> {
    let octets = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let s = match v {
        Val::Int(i) => signed(*i, |u| format!("{u:x}")),
        Val::Uint(u) => format!("{u:x}"),
        Val::String(s) => octets(s.as_bytes()),
        Val::Bytes(b) => octets(b),
        _ => {
            return fail(format!(
                "only integers, byte buffers, and strings can be formatted as hex, was given {}",
                name(v)
            ));
        }
    };
    Ok(if upper { s.to_uppercase() } else { s })
}

fn text(v: &Val<'_>, depth: usize) -> Eval<String> {
    if depth > DEPTH_MAX {
        return fail("value is nested too deep");
    }
    match v {
        Val::List(l) => list(l, depth),
        Val::Map(m) => map(m, depth),
        Val::Null => Ok("null".into()),
        Val::Type(t) => Ok(t.runtime_name().to_owned()),
        Val::Int(_)
        | Val::Uint(_)
        | Val::Double(_)
        | Val::Bool(_)
        | Val::String(_)
        | Val::Timestamp(_)
        | Val::Bytes(_)
        | Val::Duration(_) => match v.to_string_val()? {
            Val::String(s) => Ok(s.to_string()),
            v => Ok(v.to_string()),
        },
        _ => fail(format!(
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
            name(v)
        )),
    }
}

fn list(l: &List<'_>, depth: usize) -> Eval<String> {
    let mut parts = Vec::with_capacity(l.len());
    for v in l.iter() {
        parts.push(member(&v?, depth + 1)?);
    }
    Ok(format!("[{}]", parts.join(", ")))
}

fn map(m: &Map<'_>, depth: usize) -> Eval<String> {
    let mut pairs = Vec::with_capacity(m.len());
    for key in m.keys() {
        if !matches!(key, Val::String(_) | Val::Bool(_) | Val::Int(_) | Val::Uint(_)) {
            return fail(format!("no formatting function for map key of type {}", name(&key)));
        }
        let Some(v) = m.find(&key)? else { return fail(format!("could not find key: {key}")) };
        pairs.push((member(&key, depth + 1)?, member(&v, depth + 1)?));
    }
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(k, v)| format!("{k}:{v}")).collect();
    Ok(format!("{{{}}}", pairs.join(", ")))
}

/// A value within a list or map, as a literal would show it.
fn member(v: &Val<'_>, depth: usize) -> Eval<String> {
    Ok(match v {
        Val::String(s) => format!("{:?}", s.as_str()),
        Val::Bytes(b) => format!("b{:?}", String::from_utf8_lossy(b)),
        Val::Double(d) if !d.is_finite() => format!("{:?}", special(*d).unwrap_or_default()),
        Val::Double(d) => format!("{d:.DEFAULT_PRECISION$}"),
        Val::Type(t) => format!("type({})", t.runtime_name()),
        Val::Timestamp(_) => format!("timestamp({:?})", text(v, depth)?),
        Val::Duration(_) => format!("duration({:?})", text(v, depth)?),
        _ => text(v, depth)?,
    })
}
