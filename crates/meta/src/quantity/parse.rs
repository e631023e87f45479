//! Reading quantities.

use super::decimal::{Decimal, multiply};
use super::suffix::{self, Factor};
use super::{Amount, Format, ParseError, Quantity, scale};
use value::Str;

/// As many digits surely fit into an `i64`.
const INT_DIGITS_MAX: i64 = 18;

/// A quantity taken apart: sign, digits before and after the point, suffix.
struct Parts<'a> {
    negative: bool,
    /// Without zeros in front, but "0" if there is none.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
    has_digits: bool,
}

/// The digits that `text` starts with, and the rest.
fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn split(text: &str) -> Result<Parts<'_>, ParseError> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, rest) = split_digits(unsigned);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    let after_letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let exponent = after_letters.strip_prefix(['-', '+']).unwrap_or(after_letters);
    if !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::Format);
    }
    let whole = match digits.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let has_digits = !(digits.is_empty() && fraction.is_empty());
    Ok(Parts { negative: text.starts_with('-'), whole, fraction, suffix, has_digits })
}

pub(super) fn quantity(text: &str) -> Result<Quantity, ParseError> {
    if text.is_empty() {
        return Err(ParseError::Format);
    }
    let parts = split(text)?;
    let (factor, format) = suffix::interpret(parts.suffix).ok_or(ParseError::Suffix)?;
    if let Some(quantity) = small(text, &parts, factor, format) {
        return Ok(quantity);
    }
    if !parts.has_digits {
        return Err(ParseError::Numeric);
    }
    Ok(large(&parts, factor, format))
}

fn len(s: &str) -> i64 {
    i64::try_from(s.len()).unwrap_or(i64::MAX)
}

/// What fits into an `i64` for sure, by the same estimates as upstream: they decide which spelling is kept.
fn small(text: &str, parts: &Parts<'_>, factor: Factor, format: Format) -> Option<Quantity> {
    let digits = len(parts.whole) + len(parts.fraction);
    let (spare, mantissa, exponent) = match factor {
        Factor::PowerOf10(exponent) => (INT_DIGITS_MAX - digits, 1, exponent),
        Factor::PowerOf2(bits) if parts.fraction.is_empty() => {
            (15 - len(parts.whole) - i64::from(bits * 3 / 10) - 1, 1_i64 << bits, 0)
        }
        Factor::PowerOf2(_) => return None,
    };
    if spare < 0 {
        return None;
    }
    // At most 18 digits of fraction; wraps as upstream's int32.
    let own_scale = exponent.wrapping_sub(i32::try_from(parts.fraction.len()).ok()?);
    if own_scale < scale::NANO {
        return None;
    }
    // At most 18 digits: no overflow, and no allocation for what is parsed most often.
    let digits = || parts.whole.bytes().chain(parts.fraction.bytes());
    let number = digits().fold(0_i64, |n, b| n * 10 + i64::from(b - b'0'));
    let product = number.checked_mul(mantissa)?;
    let value = if parts.negative { -product } else { product };
    let keeps_text = match format {
        Format::BinarySi => number & 7 != 0,
        _ => {
            let ends_in_thousands = parts.whole.len() + parts.fraction.len() >= 3 && number % 1000 == 0;
            own_scale % 3 == 0 && !ends_in_thousands && !parts.whole.starts_with('0')
        }
    };
    let text = (keeps_text || text == "0").then(|| Str::from(text));
    Some(Quantity { amount: Amount::Int { value, scale: own_scale }, format, text })
}

fn large(parts: &Parts<'_>, factor: Factor, mut format: Format) -> Quantity {
    let mut digits: Vec<u8> = parts.whole.bytes().chain(parts.fraction.bytes()).map(|b| b - b'0').collect();
    let mut exponent = 0_i32;
    match factor {
        Factor::PowerOf10(e) => exponent = e,
        Factor::PowerOf2(bits) => digits = multiply(&digits, 1 << bits),
    }
    let exponent = i64::from(exponent) - len(parts.fraction);
    let mut amount = Decimal::from_digits(false, digits, exponent);
    if amount.sign() != 0 {
        amount.round_up(i64::from(scale::NANO));
    }
    if format == Format::BinarySi {
        let max = Decimal::new(i64::MAX, 0);
        if amount.cmp(&max).is_gt() {
            amount = max;
        }
        if amount.sign() > 0 && amount.cmp(&Decimal::new(1, 0)).is_lt() {
            format = Format::DecimalSi;
        }
    }
    if parts.negative {
        amount.negate();
    }
    Quantity { amount: Amount::Big(amount), format, text: None }
}
