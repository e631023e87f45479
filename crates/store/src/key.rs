//! Keys and ranges of keys.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A key: bytes, shared, one allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The key as text, where it is text; Kubernetes' keys always are.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Deref for Key {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Keys from `start` on, up to but without `end`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Key,
    /// `None`: to the last key.
    end: Option<Key>,
}

impl KeyRange {
    /// All keys that begin with `prefix`; all keys when it is empty.
    pub fn prefix(prefix: impl Into<Key>) -> Self {
        let start = prefix.into();
        let end = after_prefix(&start);
        Self { start, end }
    }

    /// One key.
    pub fn key(key: impl Into<Key>) -> Self {
        let start = key.into();
        let end = Some(just_after(&start));
        Self { start, end }
    }

    /// From `start` to before `end`; to the last key without `end`.
    pub fn between(start: impl Into<Key>, end: Option<Key>) -> Self {
        Self { start: start.into(), end }
    }

    /// What of this range comes after `key`: the next page.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let next = just_after(key);
        Self { start: if next > self.start { next } else { self.start.clone() }, end: self.end.clone() }
    }

    /// The first key that may be in the range.
    pub fn start(&self) -> &Key {
        &self.start
    }

    /// The first key after the range; `None` when it has no end.
    pub fn end(&self) -> Option<&Key> {
        self.end.as_ref()
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        *key >= *self.start && self.end.as_ref().is_none_or(|end| *key < **end)
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether the range is exactly what begins with [`KeyRange::start`].
    pub(crate) fn is_prefix(&self) -> bool {
        self.end == after_prefix(&self.start)
    }
}

/// The smallest key above every key with this prefix.
fn after_prefix(prefix: &[u8]) -> Option<Key> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

/// The smallest key above `key`.
fn just_after(key: &[u8]) -> Key {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_say() {
        let cases: &[(KeyRange, &[u8], bool)] = &[
            (KeyRange::prefix("/a/"), b"/a/", true),
            (KeyRange::prefix("/a/"), b"/a/\xff\xff", true),
            (KeyRange::prefix("/a/"), b"/a", false),
            (KeyRange::prefix("/a/"), b"/a0", false),
            (KeyRange::prefix(""), b"\xff\xff", true),
            (KeyRange::prefix(&b"a\xff"[..]), b"a\xff\x00", true),
            (KeyRange::prefix(&b"a\xff"[..]), b"b", false),
            (KeyRange::prefix(&b"\xff"[..]), b"\xff\xff", true),
            (KeyRange::key("a"), b"a", true),
            (KeyRange::key("a"), b"a\x00", false),
            (KeyRange::prefix("/a/").after(b"/a/b"), b"/a/b", false),
            (KeyRange::prefix("/a/").after(b"/a/b"), b"/a/b\x00", true),
            (KeyRange::prefix("/a/").after(b"/a/b"), b"/a/c", true),
            (KeyRange::prefix("/a/").after(b"/"), b"/a/", true),
        ];
        for (range, key, expected) in cases {
            assert_eq!(range.contains(key), *expected, "{range:?} {}", key.escape_ascii());
        }
        assert!(KeyRange::between("b", Some("b".into())).is_empty());
        assert!(KeyRange::prefix("/a/").is_prefix());
        assert!(!KeyRange::key("/a/").is_prefix());
    }
}
