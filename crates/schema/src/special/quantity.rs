//! The canonical text of a `resource.Quantity`.
//!
//! Upstream: `apimachinery/pkg/api/resource`. There a quantity keeps the text it was read from if that looks
//! canonical by cheap signs; so do we, since the text is what is stored and served.

use std::borrow::Cow;

/// What upstream says of a text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    Format,
    Numeric,
    Suffix,
}

impl Error {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Format => {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            Self::Numeric => "unable to parse numeric part of quantity",
            Self::Suffix => "unable to parse quantity's suffix",
        }
    }
}

/// How a quantity likes to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    DecimalExponent,
    BinarySi,
    DecimalSi,
}

/// More digits than this do not go the fast way of upstream (`maxInt64Factors`).
const FAST_DIGITS_MAX: i64 = 18;
/// The smallest scale: billionths.
const NANO: i32 = -9;

/// The text as upstream would print it after reading.
pub(crate) fn canonical(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.is_empty() {
        return Err(Error::Format);
    }
    if text == "0" {
        return Ok(Cow::Borrowed(text));
    }
    let parts = split(text)?;
    let (binary, exponent, format) = suffix(parts.suffix).ok_or(Error::Suffix)?;
    let digits = i64::try_from(parts.num.len() + parts.denom.len()).unwrap_or(i64::MAX);
    let (precision, scale, shift) = if !binary {
        (FAST_DIGITS_MAX - digits, exponent, 0)
    } else if parts.denom.is_empty() {
        let room = i64::from((exponent as f32 * 3.0 / 10.0) as i32);
        (15 - parts.num.len() as i64 - room - 1, 0, exponent)
    } else {
        (-1, 0, 0)
    };
    if precision >= 0 {
        let scale = scale.wrapping_sub(i32::try_from(parts.denom.len()).unwrap_or(0));
        if scale >= NANO {
            let shifted = parts.num.bytes().chain(parts.denom.bytes());
            let value =
                shifted.clone().fold(0_i64, |n, b| n.wrapping_mul(10).wrapping_add(i64::from(b - b'0')));
            if let Some(amount) = value.checked_mul(1_i64 << shift) {
                let keep = if binary {
                    exponent % 10 == 0 && value & 7 != 0
                } else {
                    let zeros =
                        parts.denom.bytes().rev().chain(parts.num.bytes().rev()).take_while(|b| *b == b'0');
                    scale % 3 == 0 && zeros.take(3).count() < 3 && shifted.clone().next() != Some(b'0')
                };
                if keep {
                    return Ok(Cow::Borrowed(text));
                }
                let decimal =
                    Decimal { negative: parts.negative, digits: to_digits(amount.unsigned_abs()), scale };
                return Ok(Cow::Owned(decimal.print(format)));
            }
        }
    }
    slow(&parts, binary, exponent, format).map(Cow::Owned)
}

/// Amounts that do not fit upstream's 64-bit form: rounded up to billionths, capped if binary.
fn slow(parts: &Parts<'_>, binary: bool, exponent: i32, mut format: Format) -> Result<String, Error> {
    if !parts.has_digits {
        return Err(Error::Numeric);
    }
    let mut digits: Vec<u8> = parts.num.bytes().chain(parts.denom.bytes()).map(|b| b - b'0').collect();
    let leading = digits.iter().take_while(|d| **d == 0).count();
    digits.drain(..leading);
    let mut scale = i32::try_from(parts.denom.len()).map_or(i32::MIN, |n| -n);
    if binary {
        digits = multiply(&digits, 1 << exponent);
    } else {
        scale = scale.wrapping_add(exponent);
    }
    let mut decimal = Decimal { negative: false, digits, scale };
    decimal.round_up(NANO);
    if binary {
        if decimal.exceeds_i64() {
            decimal = Decimal { negative: false, digits: to_digits(i64::MAX.unsigned_abs()), scale: 0 };
        }
        if decimal.is_below(1) && !decimal.is_zero() {
            format = Format::DecimalSi;
        }
    }
    decimal.negative = parts.negative;
    Ok(decimal.print(format))
}

struct Parts<'a> {
    /// Whether the number has a digit at all; only upstream's slow way minds.
    has_digits: bool,
    negative: bool,
    num: &'a str,
    denom: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, Error> {
    let bytes = text.as_bytes();
    let run = |from: usize, accept: fn(&u8) -> bool| {
        from + bytes.get(from..).unwrap_or(&[]).iter().take_while(|b| accept(b)).count()
    };
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or("");
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let start = run(start, |b| *b == b'0');
    let mut pos = run(start, u8::is_ascii_digit);
    let num = if pos > start { part(start, pos) } else { "0" };
    let mut denom = "";
    if bytes.get(pos) == Some(&b'.') {
        let from = pos + 1;
        pos = run(from, u8::is_ascii_digit);
        denom = part(from, pos);
    }
    let suffix_start = pos;
    pos = run(pos, |b| b"eEinumkKMGTP".contains(b));
    if pos < bytes.len() {
        pos += usize::from(matches!(bytes.get(pos), Some(b'-' | b'+')));
        pos = run(pos, u8::is_ascii_digit);
    }
    if pos < bytes.len() {
        return Err(Error::Format);
    }
    let has_digits = bytes.iter().take(suffix_start).any(u8::is_ascii_digit);
    Ok(Parts { has_digits, negative, num, denom, suffix: part(suffix_start, pos) })
}

/// Whether a suffix is binary, its exponent and the format that goes with it.
fn suffix(suffix: &str) -> Option<(bool, i32, Format)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((false, *exponent, Format::DecimalSi));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Some((true, *exponent, Format::BinarySi));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E']).filter(|e| !e.is_empty())?.parse().ok()?;
    // Go cuts to 32 bits.
    Some((false, exponent as i32, Format::DecimalExponent))
}

const DECIMAL: [(&str, i32); 10] =
    [("", 0), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("n", -9), ("u", -6), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// A number `digits * 10^scale`, without leading zeros; zero has no digits.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    scale: i32,
}

impl Decimal {
    const fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// How many digits stand before the point; negative if zeros follow it.
    fn integer_digits(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_add(i64::from(self.scale))
    }

    /// Whether the magnitude is below a small number.
    fn is_below(&self, limit: u64) -> bool {
        self.is_zero() || self.integer_digits() < 20 && self.truncated() < u128::from(limit)
    }

    /// The magnitude without what follows the point; for numbers below 10^20.
    fn truncated(&self) -> u128 {
        let keep = usize::try_from(self.integer_digits().max(0)).unwrap_or(0);
        (0..keep).fold(0, |n, i| n * 10 + u128::from(self.digits.get(i).copied().unwrap_or(0)))
    }

    fn is_integer(&self) -> bool {
        let keep = usize::try_from(self.integer_digits().max(0)).unwrap_or(0);
        self.digits.iter().skip(keep).all(|d| *d == 0)
    }

    fn exceeds_i64(&self) -> bool {
        let max = u128::from(i64::MAX.unsigned_abs());
        !self.is_zero()
            && (self.integer_digits() > 19
                || self.truncated() > max
                || self.truncated() == max && !self.is_integer())
    }

    /// Drops digits below `10^scale`, away from zero.
    fn round_up(&mut self, scale: i32) {
        if self.scale >= scale || self.is_zero() {
            return;
        }
        let drop = usize::try_from(i64::from(scale) - i64::from(self.scale)).unwrap_or(usize::MAX);
        let keep = self.digits.len().saturating_sub(drop);
        let exact = self.digits.iter().skip(keep).all(|d| *d == 0);
        self.digits.truncate(keep);
        self.scale = scale;
        if !exact {
            let nines = self.digits.iter().rev().take_while(|d| **d == 9).count();
            let n = self.digits.len();
            self.digits[n - nines..].fill(0);
            match self.digits[..n - nines].last_mut() {
                Some(d) => *d += 1,
                None => self.digits.insert(0, 1),
            }
        }
    }

    fn print(mut self, format: Format) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        let mut out = String::with_capacity(24);
        if self.negative {
            out.push('-');
        }
        if format == Format::BinarySi && !self.is_below(1024) && self.is_integer() && !self.exceeds_i64() {
            let mut amount = self.truncated();
            let mut suffix = "";
            for (larger, _) in BINARY {
                if amount < 1024 || amount % 1024 != 0 {
                    break;
                }
                amount /= 1024;
                suffix = larger;
            }
            out.push_str(&amount.to_string());
            out.push_str(suffix);
            return out;
        }
        let zeros = self.digits.iter().rev().take_while(|d| **d == 0).count();
        self.digits.truncate(self.digits.len() - zeros);
        let mut exponent = self.scale.wrapping_add(i32::try_from(zeros).unwrap_or(0));
        while exponent % 3 != 0 {
            self.digits.push(0);
            exponent = exponent.wrapping_sub(1);
        }
        out.extend(self.digits.iter().map(|d| char::from(b'0' + d)));
        match format {
            Format::DecimalExponent if exponent == 0 => {}
            Format::DecimalExponent => out.push_str(&format!("e{exponent}")),
            // Upstream leaves the suffix out when it has none for the exponent.
            _ => out.push_str(DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s)),
        }
        out
    }
}

fn to_digits(mut n: u64) -> Vec<u8> {
    let mut digits = Vec::with_capacity(20);
    while n > 0 {
        digits.push((n % 10) as u8);
        n /= 10;
    }
    digits.reverse();
    digits
}

fn multiply(digits: &[u8], factor: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(digits.len() + 20);
    let mut carry: u128 = 0;
    for digit in digits.iter().rev() {
        carry += u128::from(*digit) * u128::from(factor);
        out.push((carry % 10) as u8);
        carry /= 10;
    }
    while carry > 0 {
        out.push((carry % 10) as u8);
        carry /= 10;
    }
    out.reverse();
    out
}
