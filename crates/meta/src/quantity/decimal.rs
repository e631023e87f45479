//! Decimal numbers of any length, for what does not fit into an `i64`.
//!
//! Digits, not a binary integer: what quantities need (printing, scaling by tens, adding) is linear in
//! digits, and an input of a million of them costs no more than reading it.

use super::{pow10, scale};
use std::cmp::Ordering;

/// Numbers further apart than this many digits are not added digit by digit: the smaller one is dropped.
/// (Upstream would try, with 2 GB of digits for `1e2000000000`.)
const ALIGN_DIGITS_MAX: i64 = 10_000;

/// `±digits * 10^exponent`; the digits have no zero in front or behind. Zero has no digits.
#[derive(Clone, Debug, Default)]
pub(super) struct Decimal {
    negative: bool,
    /// 0 to 9, the highest first.
    digits: Vec<u8>,
    exponent: i64,
    /// How many places after the point upstream's `inf.Dec` would hold (its `Scale`), zeros included; not
    /// below `-exponent`. Shows only where numbers overflow.
    places: i64,
}

impl Decimal {
    pub(super) fn new(value: i64, exponent: i64) -> Self {
        let digits = value.unsigned_abs().to_string().bytes().map(|b| b - b'0').collect();
        Self { negative: value < 0, digits, exponent, places: -exponent }.normalized()
    }

    /// Of digits 0 to 9.
    pub(super) fn from_digits(negative: bool, digits: Vec<u8>, exponent: i64) -> Self {
        Self { negative, digits, exponent, places: -exponent }.normalized()
    }

    fn normalized(mut self) -> Self {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        let zeros = self.digits.iter().take_while(|d| **d == 0).count();
        self.digits.drain(..zeros);
        if self.digits.is_empty() { Self { places: self.places, ..Self::default() } } else { self }
    }

    pub(super) const fn sign(&self) -> i32 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        }
    }

    pub(super) const fn negate(&mut self) {
        self.negative = !self.negative && !self.digits.is_empty();
    }

    /// How many digits stand before the point; negative for zeros after it.
    fn magnitude(&self) -> i64 {
        self.exponent.saturating_add(i64::try_from(self.digits.len()).unwrap_or(i64::MAX))
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Without zeros behind, the order of digits is that of the numbers.
            (false, false) => {
                self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits))
            }
        }
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        match (self.sign(), other.sign()) {
            (1, 1) => self.cmp_magnitude(other),
            (-1, -1) => other.cmp_magnitude(self),
            (a, b) => a.cmp(&b),
        }
    }

    /// The digits as an integer of `10^exponent`, for an exponent that is not above its own.
    fn digits_at(&self, exponent: i64) -> Vec<u8> {
        let mut digits = self.digits.clone();
        let zeros = usize::try_from(self.exponent - exponent).unwrap_or(0);
        digits.resize(digits.len() + zeros, 0);
        digits
    }

    pub(super) fn add(self, other: &Self) -> Self {
        let places = self.places.max(other.places);
        if other.digits.is_empty() {
            return Self { places, ..self };
        }
        if self.digits.is_empty() {
            return Self { places, ..other.clone() };
        }
        let (large, small) = if self.cmp_magnitude(other).is_ge() { (&self, other) } else { (other, &self) };
        if (large.exponent - small.exponent).abs() > ALIGN_DIGITS_MAX {
            return Self { places, ..large.clone() };
        }
        let exponent = large.exponent.min(small.exponent);
        let mut digits = large.digits_at(exponent);
        let addend = small.digits_at(exponent);
        let same_sign = large.negative == small.negative;
        let mut carry = 0_i8;
        let mut addend = addend.iter().rev();
        for digit in digits.iter_mut().rev() {
            let d = addend.next().map_or(0, |d| *d as i8);
            let sum = *digit as i8 + if same_sign { d } else { -d } + carry;
            *digit = sum.rem_euclid(10) as u8;
            carry = sum.div_euclid(10);
        }
        if carry > 0 {
            digits.insert(0, 1);
        }
        Self { negative: large.negative, digits, exponent, places }.normalized()
    }

    pub(super) fn mul(&self, factor: i64) -> Self {
        let digits = multiply(&self.digits, factor.unsigned_abs());
        Self { negative: self.negative != (factor < 0), digits, ..*self }.normalized()
    }

    /// Rounds away from zero to a multiple of `10^exponent`; says whether it was one.
    pub(super) fn round_up(&mut self, exponent: i64) -> bool {
        if self.digits.is_empty() || self.exponent >= exponent {
            self.places = -exponent;
            return true;
        }
        let dropped = exponent.saturating_sub(self.exponent);
        let kept = usize::try_from(dropped).map_or(0, |d| self.digits.len().saturating_sub(d));
        // The last digit is not zero, so that something is always lost.
        self.digits.truncate(kept);
        (self.exponent, self.places) = (exponent, -exponent);
        match self.digits.iter().rposition(|d| *d != 9) {
            Some(i) => {
                self.digits[i] += 1;
                self.digits[i + 1..].fill(0);
            }
            None => {
                self.digits.fill(0);
                self.digits.insert(0, 1);
            }
        }
        *self = std::mem::take(self).normalized();
        false
    }

    /// The low 64 bits of `digits * 10^up`, as Go's `big.Int.Int64`.
    fn low_bits(&self, up: i64) -> i64 {
        let step = |n: u64, d: u64| n.wrapping_mul(10).wrapping_add(d);
        let n = self.digits.iter().fold(0, |n, d| step(n, u64::from(*d)));
        // 10^64 has no low bits.
        let n = (0..up.min(64)).fold(n, |n, _| step(n, 0)) as i64;
        if self.negative { n.wrapping_neg() } else { n }
    }

    /// How many `10^target` it is, rounded up; beyond 64 bits something else. Source: `scaledValue` of
    /// `resource/scale_int.go`.
    pub(super) fn scaled_value(&self, target: i64) -> i64 {
        let low = self.low_bits(self.exponent.saturating_add(self.places));
        let places = self.places.saturating_add(target);
        if places <= 0 {
            let up = u32::try_from(-places).ok().and_then(|n| 10_i64.checked_pow(n));
            return low.wrapping_mul(up.unwrap_or(i64::MIN));
        }
        // Upstream asks only whether the mantissa is small, which one below zero always is: it cuts it
        // towards zero, and adds one to what is no whole number, which is one too many.
        let divisor = u32::try_from(places).ok().and_then(|n| 10_i64.checked_pow(n));
        if let Some(divisor) = divisor
            && (self.negative || self.mantissa_fits())
        {
            return low / divisor + i64::from(low % divisor != 0);
        }
        let mut whole = self.clone();
        whole.round_up(target);
        let rounded = whole.low_bits(whole.exponent.saturating_sub(target));
        if self.negative && whole.cmp(self).is_ne() { rounded.wrapping_add(1) } else { rounded }
    }

    /// Whether upstream's mantissa is an `int64`.
    pub(super) fn mantissa_fits(&self) -> bool {
        let digits = self.magnitude().saturating_add(self.places);
        self.digits.is_empty()
            || digits <= 19
                && self.cmp(&Self::new(i64::MIN, -self.places)).is_ge()
                && self.cmp(&Self::new(i64::MAX, -self.places)).is_le()
    }

    pub(super) fn as_f64(&self) -> f64 {
        // As upstream from nanos, so that the roundings are the same.
        let nanos = i64::from(scale::NANO);
        if self.exponent >= nanos && self.exponent <= ALIGN_DIGITS_MAX {
            let base: f64 = text(self.negative, &self.digits_at(nanos)).parse().unwrap_or(f64::NAN);
            return base * pow10(nanos);
        }
        format!("{}e{}", text(self.negative, &self.digits), self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// The digits and the exponent, which is a multiple of three.
    pub(super) fn canonical(&self) -> (String, i64) {
        let excess = self.exponent.rem_euclid(3);
        let exponent = self.exponent - excess;
        (text(self.negative, &self.digits_at(exponent)), exponent)
    }

    /// The digits, and how many factors of 1024 were taken out; `None` if it is no whole number, or one too
    /// long to be printed so.
    pub(super) fn without_factors_of_1024(&self) -> Option<(String, i64)> {
        if self.exponent < 0 || self.magnitude() > ALIGN_DIGITS_MAX {
            return None;
        }
        let mut digits = self.digits_at(0);
        let mut times = 0;
        while let Some(quotient) = divide_by_1024(&digits) {
            digits = quotient;
            times += 1;
        }
        Some((text(self.negative, &digits), times))
    }
}

fn text(negative: bool, digits: &[u8]) -> String {
    let sign = negative.then_some('-');
    sign.into_iter().chain(digits.iter().map(|d| char::from(b'0' + d))).collect()
}

/// `digits * factor`.
pub(super) fn multiply(digits: &[u8], factor: u64) -> Vec<u8> {
    let mut carry = 0_u128;
    let mut product = Vec::with_capacity(digits.len() + 20);
    for digit in digits.iter().rev() {
        carry += u128::from(*digit) * u128::from(factor);
        product.push((carry % 10) as u8);
        carry /= 10;
    }
    while carry > 0 {
        product.push((carry % 10) as u8);
        carry /= 10;
    }
    product.reverse();
    product
}

/// A 1024th, if that is a whole number.
fn divide_by_1024(digits: &[u8]) -> Option<Vec<u8>> {
    let mut rest = 0_u16;
    let mut quotient = Vec::with_capacity(digits.len());
    for digit in digits {
        let n = rest * 10 + u16::from(*digit);
        rest = n % 1024;
        if n >= 1024 || !quotient.is_empty() {
            quotient.push((n / 1024) as u8);
        }
    }
    (rest == 0 && !quotient.is_empty()).then_some(quotient)
}
