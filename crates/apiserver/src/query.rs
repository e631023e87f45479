//! Query parameters, read as upstream's parameter codec reads them.
//!
//! Upstream: `k8s.io/apimachinery/pkg/conversion/queryparams` and `runtime/conversion.go`: a boolean is
//! true unless it is `0` or `false`; of a parameter given twice the first counts.

use meta::status::Status;
use percent_encoding::percent_decode;
use value::Str;

/// How many parameters are read; more is nobody's query.
const PARAMETERS_MAX: usize = 1_000;

/// The decoded query of a request.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(Str, Str)>,
}

impl Query {
    /// Decodes the part behind the `?`. Pairs with a broken escape are left out, as Go does.
    pub fn parse(raw: Option<&str>) -> Self {
        let raw = raw.unwrap_or("");
        let pairs = raw
            .split('&')
            .filter(|p| !p.is_empty() && !p.contains(';'))
            .take(PARAMETERS_MAX)
            .filter_map(|pair| {
                let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
                Some((unescape(k)?, unescape(v)?))
            })
            .collect();
        Self { pairs }
    }

    /// The first value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Str> {
        self.pairs.iter().filter(move |(k, _)| k == key).map(|(_, v)| v)
    }

    /// Whether the parameter is given, even without a value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value, or an empty string.
    pub fn str(&self, key: &str) -> Str {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()).unwrap_or_default()
    }

    /// A boolean parameter; absent is `None`.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.get(key).map(|v| !(v == "0" || v.eq_ignore_ascii_case("false")))
    }

    /// An integer parameter; absent is `None`.
    pub fn int(&self, key: &str) -> Result<Option<i64>, Status> {
        let Some(v) = self.get(key) else { return Ok(None) };
        parse_int(v).map(Some).map_err(Status::bad_request)
    }
}

/// Go's `strconv.ParseInt(v, 10, 64)` with its error texts.
fn parse_int(v: &str) -> Result<i64, String> {
    v.parse::<i64>().map_err(|e| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {}: {why}", meta::quote::quote(v))
    })
}

/// Undoes `%xx` and `+`; `None` for a broken escape.
fn unescape(s: &str) -> Option<Str> {
    if !s.contains(['%', '+']) {
        return Some(s.into());
    }
    if has_broken_escape(s) {
        return None;
    }
    let plus = s.replace('+', " ");
    Some(percent_decode(plus.as_bytes()).decode_utf8_lossy().as_ref().into())
}

/// Whether a `%` is not followed by two hexadecimal digits.
pub(crate) fn has_broken_escape(s: &str) -> bool {
    let is_whole = |rest: &str| rest.get(..2).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    s.split('%').skip(1).any(|rest| !is_whole(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let q = Query::parse(Some("a=1&b=%2Fx+y&c&d=%zz&a=2&watch=0&n=5x&m=99999999999999999999"));
        assert_eq!(
            (q.get("a"), q.get("b"), q.get("c"), q.get("d")),
            (Some("1"), Some("/x y"), Some(""), None)
        );
        assert_eq!((q.bool("watch"), q.bool("c"), q.bool("nope")), (Some(false), Some(true), None));
        assert_eq!(
            q.int("n").map_err(|s| s.message),
            Err("strconv.ParseInt: parsing \"5x\": invalid syntax".to_owned())
        );
        assert_eq!(
            q.int("m").map_err(|s| s.message),
            Err("strconv.ParseInt: parsing \"99999999999999999999\": value out of range".to_owned())
        );
    }
}
