//! `string.format`.
//!
//! Upstream counterpart: cel-go `ext/formatting.go` (string library versions 1 to 3).

use crate::ast::{Expr, Kind};
use crate::checker::Checked;
use crate::types::Type;
use crate::val::{Eval, EvalError, List, Map, Val, fail};

/// Digits after the point where a clause does not say.
const DEFAULT_PRECISION: usize = 6;
/// Go's own limit of a width or precision is a million; nobody pays for that.
const PRECISION_MAX: usize = 1000;
const DEPTH_MAX: usize = 1000;

/// A piece of a template.
enum Piece<'t> {
    Text(&'t str),
    /// A clause; or why there is none.
    Clause(Result<Clause, String>),
    /// A `%` at the very end.
    End,
}

/// The next piece of a template and what follows it.
fn piece(template: &str) -> Option<(Piece<'_>, &str)> {
    let Some(rest) = template.strip_prefix('%') else {
        let end = template.find('%').unwrap_or(template.len());
        return (end > 0).then(|| (Piece::Text(&template[..end]), &template[end..]));
    };
    if let Some(after) = rest.strip_prefix('%') {
        return Some((Piece::Text("%"), after));
    }
    if rest.is_empty() {
        return Some((Piece::End, rest));
    }
    Some(match clause_of(rest) {
        Ok((clause, rest)) => (Piece::Clause(Ok(clause)), rest),
        Err(e) => (Piece::Clause(Err(format!("could not parse formatting clause: {e}"))), ""),
    })
}

const UNEXPECTED_END: &str = "unexpected end of string";

fn during(text: &str) -> String {
    format!("error during formatting: {text}")
}

/// Fills the clauses of `template` with the elements of `args`.
///
/// # Errors
/// A clause that is malformed, has no argument or one it does not take.
pub(crate) fn format(template: &str, args: &List<'_>) -> Eval<String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    let mut next = 0;
    while let Some((piece, after)) = piece(rest) {
        rest = after;
        if let Piece::Text(text) = piece {
            out.push_str(text);
            continue;
        }
        if next >= args.len() {
            return fail(format!("index {next} out of range"));
        }
        let v = args.get(next)?;
        next += 1;
        match piece {
            Piece::Clause(Ok(clause)) => out.push_str(&clause.apply(&v).map_err(|e| match e {
                EvalError::Failed(text) => EvalError::new(during(&text)),
                e => e,
            })?),
            Piece::Clause(Err(e)) => return fail(e),
            _ => return fail(UNEXPECTED_END),
        }
    }
    Ok(out)
}

/// Checks a template and its arguments before anything is evaluated.
///
/// # Errors
/// What is wrong, and with which argument if with one.
pub(crate) fn check<'e>(
    template: &str,
    args: &'e [Expr],
    checked: &Checked,
) -> Result<(), (Option<&'e Expr>, String)> {
    let mut rest = template;
    let mut next = 0;
    while let Some((piece, after)) = piece(rest) {
        rest = after;
        let clause = match piece {
            Piece::Text(_) => continue,
            Piece::End => return Err((None, UNEXPECTED_END.to_owned())),
            Piece::Clause(_) if next >= args.len() => {
                return Err((None, format!("index {next} out of range")));
            }
            Piece::Clause(c) => c.map_err(|e| (None, e))?,
        };
        let arg = &args[next];
        next += 1;
        let bad = if clause.verb == 's' {
            not_text(arg, checked)
        } else {
            (!clause.takes(checked.type_of(arg))).then_some(arg)
        };
        if let Some(bad) = bad {
            let message = during(&clause.refusal(checked.type_of(bad).runtime_name()));
            return Err((Some(bad), message));
        }
    }
    if args.len() > next {
        let n = args.len();
        return Err((
            None,
            format!("too many arguments supplied to string.format (expected {next}, got {n})"),
        ));
    }
    Ok(())
}

/// The expression within `e` that `%s` cannot show, if any.
fn not_text<'e>(e: &'e Expr, checked: &Checked) -> Option<&'e Expr> {
    let shown =
        !matches!(checked.type_of(e), Type::Struct(_) | Type::Opaque(..) | Type::Param(_) | Type::Error);
    if !shown {
        return Some(e);
    }
    match &e.kind {
        Kind::List { elements, .. } => elements.iter().find_map(|x| not_text(x, checked)),
        Kind::Map(entries) => {
            entries.iter().find_map(|p| not_text(&p.key, checked).or_else(|| not_text(&p.value, checked)))
        }
        _ => None,
    }
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
    let Some(verb) = rest.chars().next() else { return fail(UNEXPECTED_END) };
    if !"sdfebxXo".contains(verb) {
        return fail(format!("unrecognized formatting clause \"{verb}\""));
    }
    Ok((Clause { verb, precision }, &rest[verb.len_utf8()..]))
}

fn name(v: &Val<'_>) -> String {
    v.type_of().runtime_name().to_owned()
}

impl Clause {
    /// Whether a value of that static type can be formatted so.
    fn takes(&self, t: &Type) -> bool {
        match (self.verb, t) {
            (_, Type::Dyn) | ('d' | 'b' | 'x' | 'X' | 'o', Type::Int | Type::Uint) => true,
            ('f' | 'e', Type::Double | Type::String) | ('b', Type::Bool) => true,
            ('x' | 'X', t) => matches!(t, Type::String | Type::Bytes),
            _ => false,
        }
    }

    /// The error for a value of a type that the clause does not take.
    fn refusal(&self, type_name: &str) -> String {
        let what = match self.verb {
            's' => {
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
            }
            'd' => "decimal clause can only be used on integers",
            'f' => "fixed-point clause can only be used on doubles",
            'e' => "scientific clause can only be used on doubles",
            'b' => "only integers and bools can be formatted as binary",
            'x' | 'X' => "only integers, byte buffers, and strings can be formatted as hex",
            _ => "octal clause can only be used on integers",
        };
        format!("{what}, was given {type_name}")
    }

    fn refuse<T>(&self, v: &Val<'_>) -> Eval<T> {
        fail(self.refusal(v.type_of().runtime_name()))
    }

    fn apply(&self, v: &Val<'_>) -> Eval<String> {
        Ok(match (self.verb, v) {
            ('s', v) => return text(v, 0),
            ('d', Val::Int(_) | Val::Uint(_)) => v.to_string(),
            ('f', v) => self.fixed(self.double(v)?),
            ('e', v) => self.scientific(self.double(v)?),
            ('b', Val::Int(i)) => signed(*i, |u| format!("{u:b}")),
            ('b', Val::Uint(u)) => format!("{u:b}"),
            ('b', Val::Bool(b)) => u8::from(*b).to_string(),
            ('x' | 'X', v) => {
                let lower = hex(v).map_or_else(|| self.refuse(v), Ok)?;
                if self.verb == 'X' { lower.to_uppercase() } else { lower }
            }
            ('o', Val::Int(i)) => signed(*i, |u| format!("{u:o}")),
            ('o', Val::Uint(u)) => format!("{u:o}"),
            (_, v) => return self.refuse(v),
        })
    }

    fn double(&self, v: &Val<'_>) -> Eval<f64> {
        match v {
            Val::Double(d) => Ok(*d),
            Val::String(s) if matches!(s.as_str(), "NaN" | "Infinity" | "-Infinity") => {
                Ok(s.parse().unwrap_or(f64::NAN))
            }
            _ => self.refuse(v),
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
            format!("{mantissa}\u{d7}10{}", superscript(sign, exponent.unsigned_abs()))
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

fn hex(v: &Val<'_>) -> Option<String> {
    let octets = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
    Some(match v {
        Val::Int(i) => signed(*i, |u| format!("{u:x}")),
        Val::Uint(u) => format!("{u:x}"),
        Val::String(s) => octets(s.as_bytes()),
        Val::Bytes(b) => octets(b),
        _ => return None,
    })
}

fn text(v: &Val<'_>, depth: usize) -> Eval<String> {
    if depth > DEPTH_MAX {
        return fail("value is nested too deep");
    }
    match v {
        Val::List(l) => crate::stack::deep(|| list(l, depth)),
        Val::Map(m) => crate::stack::deep(|| map(m, depth)),
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
        _ => Clause { verb: 's', precision: 0 }.refuse(v),
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
