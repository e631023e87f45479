//! JSON Pointer (RFC 6901).

use crate::Value;
use std::borrow::Cow;

/// The value that `pointer` names: empty for the whole document, else `/`-separated tokens in which `~1`
/// stands for `/` and `~0` for `~`. `None` if there is no such value, or the pointer is malformed.
pub fn get<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    tokens(pointer)?.try_fold(value, |v, token| match v {
        Value::Object(m) => m.get(&token),
        Value::Array(a) => a.get(index(&token)?),
        _ => None,
    })
}

/// As [`get`], to change the value.
pub fn get_mut<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    tokens(pointer)?.try_fold(value, |v, token| match v {
        Value::Object(m) => m.get_mut(&token),
        Value::Array(a) => a.get_mut(index(&token)?),
        _ => None,
    })
}

/// The tokens of a pointer, unescaped; `None` if it is neither empty nor begins with a slash.
pub fn tokens(pointer: &str) -> Option<impl Iterator<Item = Cow<'_, str>>> {
    let mut parts = pointer.split('/');
    // What is before the first slash, if any, is no token.
    parts.next().filter(|head| head.is_empty())?;
    Some(parts.map(unescape))
}

/// A token as a key: `~1` and `~0` replaced from left to right.
pub fn unescape(token: &str) -> Cow<'_, str> {
    if !token.contains('~') {
        return Cow::Borrowed(token);
    }
    Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
}

/// A key as a token, the other way round.
pub fn escape(key: &str) -> Cow<'_, str> {
    if !key.contains(['~', '/']) {
        return Cow::Borrowed(key);
    }
    Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
}

/// An index as RFC 6901 writes it: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let canonical = token == "0" || token.starts_with(|c: char| c.is_ascii_digit() && c != '0');
    if canonical { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[track_caller]
    fn check(pointer: &str, expect: Option<&str>) {
        let mut doc = json::parse(br#"{"":0,"a":[1,{"b/c":2,"d~e":3,"~1":4}]}"#).unwrap();
        assert_eq!(get(&doc, pointer).map(json::to_string).as_deref(), expect);
        assert_eq!(get_mut(&mut doc, pointer).map(|v| json::to_string(v)).as_deref(), expect);
    }

    #[test]
    fn pointers() {
        check("", Some(r#"{"":0,"a":[1,{"b/c":2,"d~e":3,"~1":4}]}"#));
        check("/", Some("0"));
        check("/a/0", Some("1"));
        check("/a/1/b~1c", Some("2"));
        check("/a/1/d~0e", Some("3"));
        check("/a/1/~01", Some("4"));
        check("/a/00", None);
        check("/a/-", None);
        check("/a/+0", None);
        check("/a/2", None);
        check("/a/0/x", None);
        check("a", None);
    }
}
