//! Equality, order, arithmetic and conversions of values.
//!
//! Upstream counterpart: cel-go `common/types/*.go`; lists of the tree compare and concatenate as
//! apiserver's `pkg/cel/common/valuesunstructured.go`.

use std::cmp::Ordering;
use std::rc::Rc;

use value::Str;

use crate::decl::ListKind;
use crate::stack::deep;
use crate::time::{self, Time};
use crate::types::Type;
use crate::val::{Entries, Eval, EvalError, Key, List, Map, Val, exact_int, fail};

/// How deep values may nest that are compared.
const DEPTH_MAX: usize = 10_000;

impl<'a> Val<'a> {
    /// Whether two values are equal; values of different types are not, save numbers.
    ///
    /// # Errors
    /// A part of one does not fit its declared type.
    pub fn equals(&self, other: &Self) -> Eval<bool> {
        self.equals_within(other, 0)
    }

    fn equals_within(&self, other: &Self, depth: usize) -> Eval<bool> {
        deep(|| self.equals_here(other, depth))
    }

    fn equals_here(&self, other: &Self, depth: usize) -> Eval<bool> {
        if depth > DEPTH_MAX {
            return fail("value is nested too deep");
        }
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a.runtime_name() == b.runtime_name(),
            (
                Self::Int(_) | Self::Uint(_) | Self::Double(_),
                Self::Int(_) | Self::Uint(_) | Self::Double(_),
            ) => self.compare_numbers(other) == Some(Ordering::Equal),
            (Self::List(a), Self::List(b)) => equal_lists(a, b, depth)?,
            (Self::Map(a), Self::Map(b)) => equal_maps(a, b, depth)?,
            (Self::Struct(a), Self::Struct(b)) => {
                if a.type_name != b.type_name || a.fields.len() != b.fields.len() {
                    return Ok(false);
                }
                for (name, v) in &a.fields {
                    match b.fields.iter().find(|(n, _)| n == name) {
                        Some((_, w)) if v.equals_within(w, depth + 1)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals_within(b, depth + 1)?,
                (a, b) => a.is_none() == b.is_none(),
            },
            (Self::Opaque(a), Self::Opaque(b)) => a.equals(b),
            (Self::Host(a), Self::Host(b)) => Rc::ptr_eq(a, b),
            _ => false,
        })
    }

    /// How two numbers compare exactly, whatever their types; `None` with a NaN.
    fn compare_numbers(&self, other: &Val<'_>) -> Option<Ordering> {
        let wide = |v: &Val<'_>| match v {
            Val::Int(i) => Ok(i128::from(*i)),
            Val::Uint(u) => Ok(i128::from(*u)),
            Val::Double(d) => Err(*d),
            _ => Err(f64::NAN),
        };
        match (wide(self), wide(other)) {
            (Ok(a), Ok(b)) => Some(a.cmp(&b)),
            (Err(a), Err(b)) => a.partial_cmp(&b),
            (Ok(a), Err(b)) => compare_double(b, a).map(Ordering::reverse),
            (Err(a), Ok(b)) => compare_double(a, b),
        }
    }

    /// How two values of an ordered type compare.
    ///
    /// # Errors
    /// They are not comparable.
    pub(crate) fn compare(&self, other: &Self) -> Eval<Ordering> {
        Ok(match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.as_str().cmp(b.as_str()),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (
                Self::Int(_) | Self::Uint(_) | Self::Double(_),
                Self::Int(_) | Self::Uint(_) | Self::Double(_),
            ) => match self.compare_numbers(other) {
                Some(o) => o,
                None => return fail("NaN values cannot be ordered"),
            },
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn add(&self, other: &Self) -> Eval<Self> {
        let int_overflow = || EvalError::new("integer overflow");
        Ok(match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.checked_add(*b).ok_or_else(int_overflow)?),
            (Self::Uint(a), Self::Uint(b)) => {
                Self::Uint(a.checked_add(*b).ok_or_else(|| EvalError::new("unsigned integer overflow"))?)
            }
            (Self::Double(a), Self::Double(b)) => Self::Double(a + b),
            (Self::String(a), Self::String(b)) => {
                let mut s = String::with_capacity(a.len() + b.len());
                s.push_str(a);
                s.push_str(b);
                Self::string(s)
            }
            (Self::Bytes(a), Self::Bytes(b)) => Self::Bytes([&**a, &**b].concat().into()),
            (Self::List(a), Self::List(b)) => Self::List(concat(a, b)?),
            (Self::Duration(a), Self::Duration(b)) => {
                Self::Duration(a.checked_add(*b).ok_or_else(|| EvalError::new("integer overflow"))?)
            }
            (Self::Timestamp(t), Self::Duration(d)) | (Self::Duration(d), Self::Timestamp(t)) => {
                Self::Timestamp(t.plus(*d).ok_or_else(|| EvalError::new("timestamp overflow"))?)
            }
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn subtract(&self, other: &Self) -> Eval<Self> {
        Ok(match (self, other) {
            (Self::Int(a), Self::Int(b)) => {
                Self::Int(a.checked_sub(*b).ok_or_else(|| EvalError::new("integer overflow"))?)
            }
            (Self::Uint(a), Self::Uint(b)) => {
                Self::Uint(a.checked_sub(*b).ok_or_else(|| EvalError::new("unsigned integer overflow"))?)
            }
            (Self::Double(a), Self::Double(b)) => Self::Double(a - b),
            (Self::Duration(a), Self::Duration(b)) => {
                Self::Duration(a.checked_sub(*b).ok_or_else(|| EvalError::new("integer overflow"))?)
            }
            (Self::Timestamp(t), Self::Duration(d)) => {
                let later = d.checked_neg().and_then(|d| t.plus(d));
                Self::Timestamp(later.ok_or_else(|| EvalError::new("timestamp overflow"))?)
            }
            (Self::Timestamp(a), Self::Timestamp(b)) => {
                let d = i64::try_from(a.total_nanos() - b.total_nanos());
                Self::Duration(d.map_err(|_| EvalError::new("integer overflow"))?)
            }
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn multiply(&self, other: &Self) -> Eval<Self> {
        Ok(match (self, other) {
            (Self::Int(a), Self::Int(b)) => {
                Self::Int(a.checked_mul(*b).ok_or_else(|| EvalError::new("integer overflow"))?)
            }
            (Self::Uint(a), Self::Uint(b)) => {
                Self::Uint(a.checked_mul(*b).ok_or_else(|| EvalError::new("unsigned integer overflow"))?)
            }
            (Self::Double(a), Self::Double(b)) => Self::Double(a * b),
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn divide(&self, other: &Self) -> Eval<Self> {
        Ok(match (self, other) {
            (Self::Int(_), Self::Int(0)) | (Self::Uint(_), Self::Uint(0)) => return fail("division by zero"),
            (Self::Int(a), Self::Int(b)) => {
                Self::Int(a.checked_div(*b).ok_or_else(|| EvalError::new("integer overflow"))?)
            }
            (Self::Uint(a), Self::Uint(b)) => Self::Uint(a / b),
            (Self::Double(a), Self::Double(b)) => Self::Double(a / b),
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn modulo(&self, other: &Self) -> Eval<Self> {
        Ok(match (self, other) {
            (Self::Int(_), Self::Int(0)) | (Self::Uint(_), Self::Uint(0)) => return fail("modulus by zero"),
            (Self::Int(a), Self::Int(b)) => {
                Self::Int(a.checked_rem(*b).ok_or_else(|| EvalError::new("integer overflow"))?)
            }
            (Self::Uint(a), Self::Uint(b)) => Self::Uint(a % b),
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn negate(&self) -> Eval<Self> {
        Ok(match self {
            Self::Int(a) => Self::Int(a.checked_neg().ok_or_else(|| EvalError::new("integer overflow"))?),
            Self::Double(a) => Self::Double(-a),
            Self::Duration(a) => {
                Self::Duration(a.checked_neg().ok_or_else(|| EvalError::new("integer overflow"))?)
            }
            _ => return Err(EvalError::no_overload()),
        })
    }

    fn cannot_become<T>(&self, to: &Type) -> Eval<T> {
        fail(format!(
            "type conversion error from '{}' to '{}'",
            self.type_of().runtime_name(),
            to.runtime_name()
        ))
    }

    pub(crate) fn to_int(&self) -> Eval<Self> {
        Ok(match self {
            Self::Int(i) => Self::Int(*i),
            Self::Uint(u) => Self::Int(i64::try_from(*u).map_err(|_| EvalError::new("integer overflow"))?),
            // Upstream refuses the ends of the range, where a double is no longer exact.
            Self::Double(d) if *d > -9223372036854775808.0 && *d < 9223372036854775807.0 => {
                Self::Int(*d as i64)
            }
            Self::Double(_) => return fail("integer overflow"),
            Self::Duration(d) => Self::Int(*d),
            Self::Timestamp(t) => Self::Int(t.seconds()),
            Self::String(s) => match parse_go_int(s) {
                Some(i) => Self::Int(i),
                None => return self.cannot_become(&Type::Int),
            },
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn to_uint(&self) -> Eval<Self> {
        let overflow = || EvalError::new("unsigned integer overflow");
        Ok(match self {
            Self::Uint(u) => Self::Uint(*u),
            Self::Int(i) => Self::Uint(u64::try_from(*i).map_err(|_| overflow())?),
            Self::Double(d) if *d >= 0.0 && *d < 18446744073709551615.0 => Self::Uint(*d as u64),
            Self::Double(_) => return Err(overflow()),
            Self::String(s) => match (s.bytes().all(|b| b.is_ascii_digit()), s.parse()) {
                (true, Ok(u)) => Self::Uint(u),
                _ => return self.cannot_become(&Type::Uint),
            },
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn to_double(&self) -> Eval<Self> {
        Ok(match self {
            Self::Double(d) => Self::Double(*d),
            Self::Int(i) => Self::Double(*i as f64),
            Self::Uint(u) => Self::Double(*u as f64),
            Self::String(s) => match parse_go_float(s) {
                Some(d) => Self::Double(d),
                None => return self.cannot_become(&Type::Double),
            },
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn to_bool(&self) -> Eval<Self> {
        Ok(match self {
            Self::Bool(b) => Self::Bool(*b),
            Self::String(s) => match s.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Self::Bool(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Self::Bool(false),
                _ => return self.cannot_become(&Type::Bool),
            },
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn to_bytes(&self) -> Eval<Self> {
        Ok(match self {
            Self::Bytes(b) => Self::Bytes(b.clone()),
            Self::String(s) => Self::Bytes(s.as_bytes().into()),
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn to_duration(&self) -> Eval<Self> {
        Ok(match self {
            Self::Duration(d) | Self::Int(d) => Self::Duration(*d),
            Self::String(s) => match time::parse_go_duration(s) {
                Some(d) => Self::Duration(d),
                None => return self.cannot_become(&Type::Duration),
            },
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn to_timestamp(&self) -> Eval<Self> {
        let overflow = || EvalError::new("timestamp overflow");
        Ok(match self {
            Self::Timestamp(t) => Self::Timestamp(*t),
            Self::Int(i) => Self::Timestamp(Time::new(*i, 0).ok_or_else(overflow)?),
            Self::String(s) => match time::parse_rfc3339(s) {
                Some(t) if Time::new(t.seconds(), 0).is_none() => return Err(overflow()),
                Some(t) => Self::Timestamp(t),
                None => return self.cannot_become(&Type::Timestamp),
            },
            _ => return Err(EvalError::no_overload()),
        })
    }

    pub(crate) fn to_string_val(&self) -> Eval<Self> {
        Ok(Self::String(match self {
            Self::String(s) => s.clone(),
            Self::Bool(b) => Str::new_static(if *b { "true" } else { "false" }),
            Self::Int(i) => i.to_string().into(),
            Self::Uint(u) => u.to_string().into(),
            Self::Double(d) => crate::gofmt::general(*d).into(),
            Self::Bytes(b) => match std::str::from_utf8(b) {
                Ok(s) => s.into(),
                Err(_) => return fail("invalid UTF-8 in bytes, cannot convert to string"),
            },
            Self::Duration(d) => time::duration_to_string(*d).into(),
            Self::Timestamp(t) => time::timestamp_to_string(*t).into(),
            Self::Opaque(o) => match o.as_text() {
                Some(s) => s.into(),
                None => return Err(EvalError::no_overload()),
            },
            _ => return Err(EvalError::no_overload()),
        }))
    }
}

/// `strconv.ParseInt(s, 10, 64)`
fn parse_go_int(s: &str) -> Option<i64> {
    let digits = s.strip_prefix(['+', '-']).unwrap_or(s);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    s.parse().ok()
}

/// `strconv.ParseFloat(s, 64)`
fn parse_go_float(s: &str) -> Option<f64> {
    let unsigned = s.strip_prefix(['+', '-']).unwrap_or(s);
    let named = ["inf", "infinity", "nan"].iter().any(|n| unsigned.eq_ignore_ascii_case(n));
    let hex = unsigned.starts_with("0x") || unsigned.starts_with("0X");
    let b = s.as_bytes();
    let part = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_digit() || hex && c.is_ascii_alphanumeric());
    let mut plain = String::with_capacity(s.len());
    for (i, c) in s.char_indices() {
        if c != '_' {
            plain.push(c);
        } else if i == 0 || !part(b.get(i - 1)) || !part(b.get(i + 1)) {
            return None; // underscores only separate digits
        }
    }
    let parsed = if hex { parse_hex_float(&plain)? } else { plain.parse().ok()? };
    (named || parsed.is_finite()).then_some(parsed)
}

/// `[sign]0x<digits>[.<digits>]p[sign]<digits>`
fn parse_hex_float(s: &str) -> Option<f64> {
    let (sign, rest) = match s.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, s.strip_prefix('+').unwrap_or(s)),
    };
    let (mantissa, exponent) = rest[2..].split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut value = 0f64;
    let mut digits = 0;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
        digits += 1;
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    (digits > 0).then_some(sign * value * 2f64.powi(shift))
}

fn compare_double(d: f64, i: i128) -> Option<Ordering> {
    if d.is_nan() {
        return None;
    }
    // Outside the integers' range the double decides; within, it truncates exactly into 128 bits.
    if d >= 1.9e19 {
        return Some(Ordering::Greater);
    }
    if d <= -9.3e18 {
        return Some(Ordering::Less);
    }
    let whole = d.trunc() as i128;
    Some(whole.cmp(&i).then_with(|| d.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal)))
}

fn equal_lists<'a>(a: &List<'a>, b: &List<'a>, depth: usize) -> Eval<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.kind().0 {
        ListKind::Atomic => {
            for i in 0..a.len() {
                if !a.get(i)?.equals_within(&b.get(i)?, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Set => {
            let set = keys(a, |v| Key::of(&v))?;
            for v in b.iter() {
                if !Key::of(&v?).is_some_and(|k| set.contains_key(&vec![k])) {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Map(names) => {
            let by_key = keys_of(a, names)?;
            for v in b.iter() {
                let v = v?;
                match map_key(&v, names).and_then(|k| by_key.get(&k)) {
                    Some(i) if a.get(*i)?.equals_within(&v, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
    }
}

type Positions = std::collections::HashMap<Vec<Key>, usize>;

fn keys<'a>(list: &List<'a>, key: impl Fn(Val<'a>) -> Option<Key>) -> Eval<Positions> {
    let mut out = Positions::new();
    for (i, v) in list.iter().enumerate() {
        if let Some(k) = key(v?) {
            out.insert(vec![k], i);
        }
    }
    Ok(out)
}

fn keys_of(list: &List<'_>, names: &[Str]) -> Eval<Positions> {
    let mut out = Positions::new();
    for (i, v) in list.iter().enumerate() {
        if let Some(k) = map_key(&v?, names) {
            out.insert(k, i);
        }
    }
    Ok(out)
}

/// The key properties of a list element.
fn map_key(v: &Val<'_>, names: &[Str]) -> Option<Vec<Key>> {
    let Val::Map(m) = v else { return None };
    let key = |name: &Str| match m {
        Map::Tree(tree, _) => tree.get(name).map(crate::val::dynamic).and_then(|v| Key::of(&v)),
        Map::Entries(e) => e.get(&Val::String(name.clone())).and_then(Key::of),
    };
    Some(names.iter().map(|n| key(n).unwrap_or(Key::Null)).collect())
}

fn equal_maps<'a>(a: &Map<'a>, b: &Map<'a>, depth: usize) -> Eval<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for key in a.keys() {
        match (a.find(&key)?, b.find(&key)?) {
            (Some(v), Some(w)) if v.equals_within(&w, depth + 1)? => {}
            (None, None) => {}
            _ => return Ok(false),
        }
    }
    // Properties that no declaration names compare as data.
    if let (Map::Tree(m, ty), Map::Tree(n, _)) = (a, b) {
        let undeclared =
            |k: &str| !matches!(ty.shape, crate::decl::Shape::Object(_)) || ty.property(k).is_some();
        if matches!(ty.shape, crate::decl::Shape::Object(_) | crate::decl::Shape::Hidden) {
            for (k, v) in m.iter().filter(|(k, _)| !undeclared(k)) {
                if n.get(k).is_some_and(|w| w != v) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

fn concat<'a>(a: &List<'a>, b: &List<'a>) -> Eval<List<'a>> {
    /// Lists up to this long are copied.
    const COPIED_MAX: usize = 32;
    /// Longer than any list of a request joined with another; joining doubles, so there must be an end.
    const LENGTH_MAX: usize = 5_000_000;
    let (kind, ty) = a.kind();
    let length = a.len().saturating_add(b.len());
    if length > LENGTH_MAX {
        return Err(EvalError::CostLimit);
    }
    if *kind == ListKind::Atomic && length > COPIED_MAX {
        return Ok(List::Joined(Rc::new((a.clone(), b.clone())), length));
    }
    let mut out: Vec<Val<'a>> = Vec::with_capacity(a.len() + b.len());
    for v in a.iter() {
        out.push(v?);
    }
    match kind {
        ListKind::Atomic => {
            for v in b.iter() {
                out.push(v?);
            }
        }
        ListKind::Set => {
            let mut set = keys(a, |v| Key::of(&v))?;
            for v in b.iter() {
                let v = v?;
                let fresh = Key::of(&v).is_none_or(|k| set.insert(vec![k], 0).is_none());
                if fresh {
                    out.push(v);
                }
            }
        }
        ListKind::Map(names) => {
            let at = keys_of(a, names)?;
            for v in b.iter() {
                let v = v?;
                match map_key(&v, names).and_then(|k| at.get(&k)) {
                    Some(i) => out[*i] = v,
                    None => out.push(v),
                }
            }
        }
    }
    Ok(List::Values(Rc::new(out), ty))
}

/// The index a value denotes in a list.
///
/// # Errors
/// It denotes none.
pub(crate) fn index_of(v: &Val<'_>) -> Eval<i64> {
    match v {
        Val::Int(i) => Ok(*i),
        Val::Double(d) => {
            exact_int(*d).ok_or_else(|| EvalError::new(format!("unsupported index value {v} in list")))
        }
        Val::Uint(u) => {
            i64::try_from(*u).map_err(|_| EvalError::new(format!("unsupported index value {v} in list")))
        }
        _ => fail(format!("unsupported index type '{}' in list", v.type_of().runtime_name())),
    }
}

impl<'a> List<'a> {
    /// Whether the list has an element equal to `v`.
    ///
    /// # Errors
    /// Elements that do not fit their declared type, if nothing equal was found.
    pub(crate) fn contains(&self, v: &Val<'a>) -> Eval<bool> {
        let mut error = None;
        for e in self.iter() {
            match e.and_then(|e| v.equals(&e)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) => error = Some(error.unwrap_or(e)),
            }
        }
        error.map_or(Ok(false), Err)
    }
}

impl<'a> Map<'a> {
    /// A map with one more entry.
    ///
    /// # Errors
    /// The key is there already.
    pub(crate) fn insert(entries: &mut Entries<'a>, key: Val<'a>, value: Val<'a>) -> Eval<()> {
        if entries.get(&key).is_some() {
            return fail(format!("insert failed: key {key} already exists"));
        }
        entries.insert(key, value);
        Ok(())
    }
}
