//! The text of a `metav1.Duration`.

use meta::time::Duration;

/// Reads a duration into nanoseconds; the error is Go's text.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    Duration::parse(text).map(Duration::nanos).map_err(|e| e.to_string())
}

/// Prints nanoseconds as `1h2m3.5s`, `1.5ms` or `0s`.
pub(crate) fn print(nanos: i64) -> String {
    Duration::from_nanos(nanos).to_string()
}
