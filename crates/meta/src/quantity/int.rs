//! Amounts within an `i64`: a value and a decimal scale. `None` means that it does not fit.

use std::cmp::Ordering;

/// `value * 10^up`.
pub(super) fn scale_up(value: i64, up: i64) -> Option<i64> {
    if value == 0 {
        return Some(0);
    }
    value.checked_mul(10_i64.checked_pow(u32::try_from(up).ok()?)?)
}

/// [`scale_up`] where upstream does not look whether it fits: for some powers it then has the low bits, for
/// the others 0. Source: `positiveScaleInt64` of `resource/math.go`.
pub(super) fn scale_up_unchecked(value: i64, up: i64) -> i64 {
    let unchecked = match up {
        1 | 2 | 3 | 6 | 9 if value != i64::MIN => value.wrapping_mul(10_i64.pow(up as u32)),
        _ => 0,
    };
    scale_up(value, up).unwrap_or(unchecked)
}

/// `value / 10^down`, rounded away from zero, and whether nothing was rounded.
pub(super) fn scale_down(value: i64, down: i64) -> (i64, bool) {
    let divisor = u32::try_from(down).ok().and_then(|d| 10_i64.checked_pow(d));
    let Some(divisor) = divisor else {
        return (value.signum(), value == 0);
    };
    match value % divisor {
        0 => (value / divisor, true),
        // Cannot overflow: with a remainder the divisor is at least 10.
        _ => (value / divisor + value.signum(), false),
    }
}

/// Both values at the smaller of the scales.
fn align((a, a_scale): (i64, i32), (b, b_scale): (i64, i32)) -> Option<(i64, i64, i32)> {
    let up = i64::from(a_scale) - i64::from(b_scale);
    if up > 0 { Some((scale_up(a, up)?, b, b_scale)) } else { Some((a, scale_up(b, -up)?, a_scale)) }
}

pub(super) fn add(a: (i64, i32), b: (i64, i32)) -> Option<(i64, i32)> {
    match (a.0, b.0) {
        (_, 0) => Some(a),
        (0, _) => Some(b),
        _ => align(a, b).and_then(|(x, y, scale)| Some((x.checked_add(y)?, scale))),
    }
}

pub(super) fn mul((value, scale): (i64, i32), factor: i64) -> Option<(i64, i32)> {
    if value == 0 {
        return Some((value, scale));
    }
    if factor == 0 {
        return Some((0, 0));
    }
    let product = value.checked_mul(factor)?;
    let scale_wide = i64::from(scale);
    // Upstream leaves the integers where the units do not fit or are no whole number.
    let stays =
        if scale > 0 { scale_up(product, scale_wide).is_some() } else { scale_down(product, -scale_wide).1 };
    stays.then_some((product, scale))
}

pub(super) fn cmp(a: (i64, i32), b: (i64, i32)) -> Option<Ordering> {
    if a.1 == b.1 {
        return Some(a.0.cmp(&b.0));
    }
    align(a, b).map(|(x, y, _)| x.cmp(&y))
}

/// The digits and the exponent, which is a multiple of three.
pub(super) fn canonical(mut value: i64, scale: i32) -> Option<(String, i64)> {
    let mut exponent = i64::from(scale);
    while value % 10 == 0 && value != 0 {
        value /= 10;
        exponent += 1;
    }
    let excess = exponent.rem_euclid(3);
    Some((scale_up(value, excess)?.to_string(), exponent - excess))
}

/// The digits, and how many factors of 1024 were taken out.
pub(super) fn without_factors_of_1024(mut value: i64) -> (String, i64) {
    let mut times = 0;
    while value % 1024 == 0 && value != 0 {
        value /= 1024;
        times += 1;
    }
    (value.to_string(), times)
}
