//! Numbers that users may give as a share of another: `k8s.io/apimachinery/pkg/util/intstr`.

use api::IntOrString;

/// Which way a share is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// To the next whole number.
    Up,
    /// To the last whole number.
    Down,
}

/// The number itself, or the share of `total` (`25%`). Nothing if the text is no share.
pub(crate) fn scaled(amount: &IntOrString, total: i32, round: Round) -> Option<i32> {
    match amount {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => {
            let product = i64::from(text.strip_suffix('%')?.parse::<i32>().ok()?) * i64::from(total);
            let whole = match round {
                Round::Down => product.div_euclid(100),
                Round::Up => -(-product).div_euclid(100),
            };
            i32::try_from(whole).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (text, total, up, down) in [
            ("25%", 10, Some(3), Some(2)),
            ("25%", 4, Some(1), Some(1)),
            ("100%", 7, Some(7), Some(7)),
            ("0%", 7, Some(0), Some(0)),
            ("5", 7, None, None),
            ("x%", 7, None, None),
            ("2147483647%", 2_147_483_647, None, None),
        ] {
            let amount = IntOrString::String(text.into());
            assert_eq!(scaled(&amount, total, Round::Up), up, "{text} of {total}");
            assert_eq!(scaled(&amount, total, Round::Down), down, "{text} of {total}");
        }
        assert_eq!(scaled(&IntOrString::Int(3), 10, Round::Up), Some(3));
    }
}
