//! What a scalar's text means: YAML 1.1 as `yaml.v2` resolves it.

use super::Error;

pub(super) const MERGE_TAG: &str = "tag:yaml.org,2002:merge";
const PREFIX: &str = "tag:yaml.org,2002:";

/// A resolved scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// The text itself.
    Text,
    /// The text, which as a plain scalar would be a time or a merge key.
    SpecialText(&'static str),
    /// Text that was encoded in the document.
    Decoded(Vec<u8>),
}

impl Scalar {
    const fn short_tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Int(_) | Self::Uint(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Text => "!!str",
            Self::SpecialText(tag) => tag,
            Self::Decoded(_) => "!!binary",
        }
    }
}

/// Resolves a scalar with a tag in its long form (empty: none).
pub(super) fn resolve(tag: &str, text: &str) -> Result<Scalar, Error> {
    let short = match tag.strip_prefix(PREFIX) {
        _ if tag.is_empty() => "",
        Some(name @ ("str" | "bool" | "int" | "float" | "null" | "timestamp")) => name,
        Some("binary") => return decode_base64(text).map(Scalar::Decoded),
        _ => return Ok(Scalar::Text),
    };
    let resolved = if short == "str" { Scalar::Text } else { resolve_plain(text, short) };
    match (short, &resolved) {
        ("" | "str", _) => Ok(resolved),
        ("float", Scalar::Int(n)) => Ok(Scalar::Float(*n as f64)),
        (wanted, _) if resolved.short_tag().strip_prefix("!!") == Some(wanted) => Ok(resolved),
        (wanted, _) => Err(Error {
            message: format!("yaml: cannot decode {} `{text}` as a !!{wanted}", resolved.short_tag()),
        }),
    }
}

/// Resolves by the text alone; `tag` only says whether a time is looked for.
fn resolve_plain(text: &str, tag: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        // What begins with `<` is not looked up by upstream, so a merge key is text wherever it is a value.
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => float_with_underscores(text).map_or(Scalar::Text, Scalar::Float),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            if matches!(tag, "" | "timestamp") && is_timestamp(text) {
                return Scalar::SpecialText("!!timestamp");
            }
            let plain = text.replace('_', "");
            if let Some(n) = integer(&plain) {
                return n;
            }
            float(&plain).map_or(Scalar::Text, Scalar::Float)
        }
        _ => Scalar::Text,
    }
}

/// An integer as Go's `strconv.ParseInt` with base 0 reads it: `0x`, `0o`, `0b`, and `0` for octal.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, unsigned.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, unsigned.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, unsigned.get(2..)?),
        [b'0', _, ..] => (8, unsigned.get(1..)?),
        _ => (10, unsigned),
    };
    if !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    let signed = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    match signed {
        Some(n) => Some(Scalar::Int(n)),
        // Go reads what is beyond an i64 as unsigned, which has no sign, not even a plus.
        None if unsigned.len() == text.len() => Some(Scalar::Uint(magnitude)),
        None => None,
    }
}

/// A float as Go writes it in source code, where underscores may stand between digits.
fn float_with_underscores(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let is_digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let between_digits = |i: usize| is_digit(i.checked_sub(1)) && is_digit(i.checked_add(1));
    if !bytes.iter().enumerate().all(|(i, b)| *b != b'_' || between_digits(i)) {
        return None;
    }
    float(&text.replace('_', ""))
}

/// A float of digits with a point or exponent; none if it is beyond the range.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_well = unsigned.starts_with(|c: char| c.is_ascii_digit())
        || unsigned.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let digits_only =
        unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !(starts_well && digits_only) {
        return None;
    }
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

/// Whether `yaml.v2` takes a text for a time: a date, perhaps followed by a time of day, which has a zone
/// after `T` or `t` and none after a space.
pub(super) fn is_timestamp(text: &str) -> bool {
    let mut rest = Digits(text.as_bytes());
    rest.timestamp().is_some()
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn timestamp(&mut self) -> Option<()> {
        let year = self.exactly(4)?;
        self.byte(b'-')?;
        let month = self.one_or_two()?;
        self.byte(b'-')?;
        let day = self.one_or_two()?;
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=days).contains(&day) {
            return None;
        }
        let (first, rest) = match self.0 {
            [] => return Some(()),
            [first, rest @ ..] => (*first, rest),
        };
        self.0 = rest;
        self.time_of_day()?;
        match first {
            b'T' | b't' => self.zone()?,
            b' ' => {}
            _ => return None,
        }
        self.0.is_empty().then_some(())
    }

    fn time_of_day(&mut self) -> Option<()> {
        let hour = self.one_or_two()?;
        self.byte(b':')?;
        let minute = self.one_or_two()?;
        self.byte(b':')?;
        let second = self.one_or_two()?;
        if let [b'.' | b',', b'0'..=b'9', ..] = self.0 {
            self.0 = &self.0[1..];
            while let [b'0'..=b'9', rest @ ..] = self.0 {
                self.0 = rest;
            }
        }
        (hour < 24 && minute < 60 && second < 60).then_some(())
    }

    fn zone(&mut self) -> Option<()> {
        match self.0 {
            [b'Z', rest @ ..] => self.0 = rest,
            [b'+' | b'-', rest @ ..] => {
                self.0 = rest;
                let hours = self.exactly(2)?;
                self.byte(b':')?;
                let minutes = self.exactly(2)?;
                return (hours <= 24 && minutes < 60).then_some(());
            }
            _ => return None,
        }
        Some(())
    }

    fn exactly(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, b| Some(n * 10 + char::from(*b).to_digit(10)?))
    }

    fn one_or_two(&mut self) -> Option<u32> {
        match self.0 {
            [b'0'..=b'9', b'0'..=b'9', ..] => self.exactly(2),
            _ => self.exactly(1),
        }
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }
}

/// Decodes standard base64 with padding, line breaks left out, as Go does.
fn decode_base64(text: &str) -> Result<Vec<u8>, Error> {
    let invalid = || Error { message: "yaml: !!binary value contains invalid base64 data".to_owned() };
    let symbols: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    let (quads, []) = symbols.as_chunks::<4>() else { return Err(invalid()) };
    let mut out = Vec::with_capacity(quads.len() * 3);
    for (i, quad) in quads.iter().enumerate() {
        let padding = match quad {
            [_, _, b'=', b'='] => 2,
            [_, _, _, b'='] => 1,
            _ => 0,
        };
        if padding > 0 && i + 1 != quads.len() {
            return Err(invalid());
        }
        let mut bits = 0_u32;
        for symbol in &quad[..4 - padding] {
            let six = match symbol {
                b'A'..=b'Z' => symbol - b'A',
                b'a'..=b'z' => symbol - b'a' + 26,
                b'0'..=b'9' => symbol - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(invalid()),
            };
            bits = bits << 6 | u32::from(six);
        }
        bits <<= 6 * padding;
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Ok(out)
}
