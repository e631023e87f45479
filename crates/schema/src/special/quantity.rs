//! The text of a `resource.Quantity` after reading.

use meta::quantity::{ParseError, Quantity};
use std::borrow::Cow;

/// The text as upstream would print it: canonical, or as it stands where upstream keeps the spelling.
pub(crate) fn canonical(text: &str) -> Result<Cow<'_, str>, ParseError> {
    if is_plain(text) {
        return Ok(Cow::Borrowed(text));
    }
    let printed = Quantity::parse(text)?.to_string();
    Ok(if printed == text { Cow::Borrowed(text) } else { Cow::Owned(printed) })
}

/// Whether a text is surely kept: a few digits, the last of them no zero, perhaps with the suffix `m`, `k`,
/// `M` or `G`. Most quantities that are not binary are of this form.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_suffix(['m', 'k', 'M', 'G']).unwrap_or(text).as_bytes();
    let [first, .., last] = digits else { return matches!(digits, [b'1'..=b'9']) };
    digits.len() <= 9
        && matches!(first, b'1'..=b'9')
        && matches!(last, b'1'..=b'9')
        && digits.iter().all(u8::is_ascii_digit)
}
