//! Quantities of resources, exactly as `k8s.io/apimachinery/pkg/api/resource`: `500m`, `1.5Gi`, `12e6`.
//!
//! An amount is an `i64` with a decimal scale as long as that holds it, and a decimal number of any length
//! beyond. Which of the two it is shows (upstream's [`Quantity::as_i64`] knows only the first), so it follows
//! upstream's rules. Nothing is finer than a nano: what is parsed is rounded up, away from zero.
//!
//! Equality and order are those of the numbers, whatever their spelling.

use self::decimal::Decimal;
use std::cmp::Ordering;
use std::fmt;
use value::{Str, Value};

mod decimal;
mod int;
mod parse;
mod suffix;
#[cfg(test)]
mod tests;

/// Which suffixes a quantity is printed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `12e6`; also what a quantity of no format (a zero `Quantity{}`) is printed with.
    #[default]
    DecimalExponent,
    /// `12Mi`.
    BinarySi,
    /// `12M`.
    DecimalSi,
}

/// Powers of ten that [`Quantity::scaled_value`] and others count in.
pub mod scale {
    #![allow(missing_docs)] // each is what it says

    pub const NANO: i32 = -9;
    pub const MICRO: i32 = -6;
    pub const MILLI: i32 = -3;
    pub const UNIT: i32 = 0;
    pub const KILO: i32 = 3;
    pub const MEGA: i32 = 6;
    pub const GIGA: i32 = 9;
    pub const TERA: i32 = 12;
    pub const PETA: i32 = 15;
    pub const EXA: i32 = 18;
}

/// Why a string is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It does not have the form of one.
    Format,
    /// It has no digits.
    Numeric,
    /// Its suffix is unknown.
    Suffix,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            Self::Numeric => "unable to parse numeric part of quantity",
            Self::Suffix => "unable to parse quantity's suffix",
        })
    }
}

impl std::error::Error for ParseError {}

#[derive(Clone, Debug)]
enum Amount {
    Int { value: i64, scale: i32 },
    Big(Decimal),
}

/// An exact amount.
#[derive(Clone, Debug)]
pub struct Quantity {
    amount: Amount,
    format: Format,
    /// The spelling that was parsed, if upstream keeps it: it need not be canonical (`+5`, `1.500`).
    text: Option<Str>,
}

/// Zero.
impl Default for Quantity {
    fn default() -> Self {
        Self::new(0, Format::DecimalExponent)
    }
}

impl Quantity {
    /// `value` units.
    pub const fn new(value: i64, format: Format) -> Self {
        Self::scaled(value, 0, format)
    }

    /// `value` thousandths.
    pub const fn milli(value: i64, format: Format) -> Self {
        Self::scaled(value, scale::MILLI, format)
    }

    /// `value * 10^scale`.
    pub const fn scaled(value: i64, scale: i32, format: Format) -> Self {
        Self { amount: Amount::Int { value, scale }, format, text: None }
    }

    /// Reads a quantity.
    ///
    /// # Errors
    /// If it is none, with upstream's text.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::quantity(text)
    }

    /// Reads what stands in an object: a string, a number, or null for zero. Source: `UnmarshalJSON`.
    ///
    /// # Errors
    /// If it is none of those.
    pub fn from_value(value: &Value) -> Result<Self, ParseError> {
        match value {
            Value::Null => Ok(Self::default()),
            Value::String(s) => Self::parse(s.trim()),
            Value::Number(n) => Self::parse(&n.to_string()),
            _ => Err(ParseError::Format),
        }
    }

    /// Which suffixes it is printed with.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The same amount, printed otherwise.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self.text = None;
        self
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.sign() == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match &self.amount {
            Amount::Int { value, .. } => value.signum() as i32,
            Amount::Big(d) => d.sign(),
        }
    }

    /// The units, if it is a whole number that upstream holds as an `int64`.
    pub fn as_i64(&self) -> Option<i64> {
        match self.amount {
            Amount::Int { value, scale } if scale >= 0 => int::scale_up(value, i64::from(scale)),
            _ => None,
        }
    }

    /// The units, rounded up; as upstream something meaningless if they are too many for an `int64`.
    pub fn value(&self) -> i64 {
        self.scaled_value(scale::UNIT)
    }

    /// The thousandths, rounded up; as [`Self::value`].
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(scale::MILLI)
    }

    /// How many `10^scale` it is, rounded up; as [`Self::value`].
    pub fn scaled_value(&self, scale: i32) -> i64 {
        match &self.amount {
            Amount::Int { value, scale: own } => {
                let up = i64::from(*own) - i64::from(scale);
                if up < 0 { int::scale_down(*value, -up).0 } else { int::scale_up_unchecked(*value, up) }
            }
            Amount::Big(d) => d.scaled_value(i64::from(scale)),
        }
    }

    /// As a float, not exactly. Source: `AsApproximateFloat64`.
    pub fn as_f64(&self) -> f64 {
        match &self.amount {
            Amount::Int { value, scale: 0 } => *value as f64,
            Amount::Int { value, scale } => *value as f64 * pow10(i64::from(*scale)),
            Amount::Big(d) => d.as_f64(),
        }
    }

    fn decimal(&self) -> Decimal {
        match &self.amount {
            Amount::Int { value, scale } => Decimal::new(*value, i64::from(*scale)),
            Amount::Big(d) => d.clone(),
        }
    }

    /// Adds `other`. What is zero takes the format of what is added.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, false);
    }

    /// Subtracts `other`. What is zero takes the format of what is subtracted.
    pub fn sub(&mut self, other: &Self) {
        self.combine(other, true);
    }

    fn combine(&mut self, other: &Self, subtract: bool) {
        self.text = None;
        if self.is_zero() {
            self.format = other.format;
        }
        if let (Amount::Int { value: a, scale: a_scale }, Amount::Int { value: b, scale: b_scale }) =
            (&self.amount, &other.amount)
        {
            let b = if subtract { b.checked_neg() } else { Some(*b) };
            let sum = b.and_then(|b| int::add((*a, *a_scale), (b, *b_scale)));
            if let Some((value, scale)) = sum {
                self.amount = Amount::Int { value, scale };
                return;
            }
        }
        let mut other = other.decimal();
        if subtract {
            other.negate();
        }
        self.amount = Amount::Big(self.decimal().add(&other));
    }

    /// Multiplies by `factor`. Says whether the mantissa still fits into an `int64`.
    pub fn mul(&mut self, factor: i64) -> bool {
        self.text = None;
        if let Amount::Int { value, scale } = self.amount
            && let Some((value, scale)) = int::mul((value, scale), factor)
        {
            self.amount = Amount::Int { value, scale };
            return true;
        }
        let product = self.decimal().mul(factor);
        let fits = product.mantissa_fits();
        self.amount = Amount::Big(product);
        fits
    }

    /// Changes the sign.
    pub fn neg(&mut self) {
        self.text = None;
        match &mut self.amount {
            Amount::Int { value, scale } => match value.checked_neg() {
                Some(negated) => *value = negated,
                None => {
                    let mut d = Decimal::new(*value, i64::from(*scale));
                    d.negate();
                    self.amount = Amount::Big(d);
                }
            },
            Amount::Big(d) => d.negate(),
        }
    }

    /// Rounds away from zero to a multiple of `10^scale`. Says whether it was one.
    pub fn round_up(&mut self, scale: i32) -> bool {
        match &mut self.amount {
            Amount::Int { scale: own, .. } if *own >= scale => true,
            Amount::Int { value, scale: own } => {
                self.text = None;
                let (rounded, exact) = int::scale_down(*value, i64::from(scale) - i64::from(*own));
                (*value, *own) = (rounded, scale);
                exact
            }
            Amount::Big(d) => {
                self.text = None;
                d.round_up(i64::from(scale))
            }
        }
    }

    /// The canonical spelling, whatever was parsed.
    pub fn canonical(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        if self.format == Format::BinarySi
            && let Some(text) = self.binary()
        {
            return text;
        }
        let (digits, exponent) = match &self.amount {
            Amount::Int { value, scale } => int::canonical(*value, *scale)
                .unwrap_or_else(|| Decimal::new(*value, i64::from(*scale)).canonical()),
            Amount::Big(d) => d.canonical(),
        };
        match self.format {
            Format::DecimalExponent if exponent == 0 => digits,
            Format::DecimalExponent => format!("{digits}e{exponent}"),
            // Beyond exa upstream finds no suffix and prints none.
            Format::DecimalSi | Format::BinarySi => digits + suffix::decimal(exponent).unwrap_or(""),
        }
    }

    /// The spelling with a binary suffix; `None` where upstream takes a decimal one: for small numbers and
    /// fractions.
    fn binary(&self) -> Option<String> {
        let kibi = Self::new(1024, Format::BinarySi);
        let minus_kibi = Self::new(-1024, Format::BinarySi);
        if *self > minus_kibi && *self < kibi {
            return None;
        }
        let (digits, exponent) = match &self.amount {
            Amount::Int { value, scale } => {
                let (value, scale) = match i64::from(*scale) {
                    ..0 => match int::scale_down(*value, -i64::from(*scale)) {
                        (whole, true) => (whole, 0),
                        (_, false) => return None,
                    },
                    up => (*value, up),
                };
                match int::scale_up(value, scale) {
                    Some(whole) => int::without_factors_of_1024(whole),
                    None => Decimal::new(value, scale).without_factors_of_1024()?,
                }
            }
            Amount::Big(d) => d.without_factors_of_1024()?,
        };
        Some(digits + suffix::binary(exponent).unwrap_or(""))
    }
}

/// The spelling that was parsed, where upstream keeps it, or else the canonical one.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => f.write_str(&self.canonical()),
        }
    }
}

impl From<&Quantity> for Value {
    fn from(quantity: &Quantity) -> Self {
        Self::from(quantity.to_string())
    }
}

impl std::str::FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Amount::Int { value: a, scale: a_scale }, Amount::Int { value: b, scale: b_scale }) =
            (&self.amount, &other.amount)
            && let Some(order) = int::cmp((*a, *a_scale), (*b, *b_scale))
        {
            return order;
        }
        self.decimal().cmp(&other.decimal())
    }
}

/// `10^n`; 0 or infinite out of range.
fn pow10(n: i64) -> f64 {
    format!("1e{n}").parse().unwrap_or(f64::NAN)
}
