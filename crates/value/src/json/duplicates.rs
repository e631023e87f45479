//! Telling which keys came more than once, as strict decoding reports them.

use super::quote::quote;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// How many duplicates are reported at most, as in `sigs.k8s.io/json`.
pub const DUPLICATES_MAX: usize = 100;

/// A key that came again in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The field, as in `spec.containers[0].name`.
    pub path: String,
    /// Where the repeated key begins in the document (after repair of invalid UTF-8).
    pub offset: usize,
}

impl fmt::Display for Duplicate {
    /// Upstream's text: `duplicate field "metadata.name"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "duplicate field {}", quote(&self.path))
    }
}

/// The duplicates of a document in the order in which they come, each path once, at most
/// [`DUPLICATES_MAX`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    fields: Vec<Duplicate>,
}

impl Duplicates {
    /// None yet.
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The duplicates in document order.
    pub fn iter(&self) -> impl Iterator<Item = &Duplicate> {
        self.fields.iter()
    }

    /// Notes the duplicates of a document that is known to be well-formed.
    pub(super) fn collect(&mut self, text: &str) {
        let mut walk = Walk { text, hasher: RandomState::new(), open: Vec::new(), reported: HashSet::new() };
        walk.run(&mut self.fields);
    }
}

/// An open object or list. Paths are compared by hash, so that a long path is spelled out only when it is
/// reported, not once for each of many repetitions.
enum Open {
    Object { path: u64, seen: HashSet<String>, key: String },
    Array { path: u64, index: usize },
}

struct Walk<'a> {
    text: &'a str,
    hasher: RandomState,
    open: Vec<Open>,
    reported: HashSet<u64>,
}

impl Walk<'_> {
    fn run(&mut self, found: &mut Vec<Duplicate>) {
        let bytes = self.text.as_bytes();
        let mut pos = 0;
        let mut expect_key = false;
        while let Some(byte) = bytes.get(pos) {
            if found.len() >= DUPLICATES_MAX {
                return;
            }
            match byte {
                b'{' => {
                    let path = self.here();
                    self.open.push(Open::Object { path, seen: HashSet::new(), key: String::new() });
                    expect_key = true;
                }
                b'[' => {
                    let path = self.here();
                    self.open.push(Open::Array { path, index: 0 });
                    expect_key = false;
                }
                b'}' | b']' => {
                    self.open.pop();
                    expect_key = false;
                }
                b',' => match self.open.last_mut() {
                    Some(Open::Object { .. }) => expect_key = true,
                    Some(Open::Array { index, .. }) => *index += 1,
                    None => {}
                },
                b'"' => {
                    let end = string_end(bytes, pos);
                    if expect_key {
                        expect_key = false;
                        self.key(self.text.get(pos..end).unwrap_or("\"\""), pos, found);
                    }
                    pos = end;
                    continue;
                }
                _ => {}
            }
            pos += 1;
        }
    }

    fn key(&mut self, literal: &str, offset: usize, found: &mut Vec<Duplicate>) {
        let unescaped = match super::parse(literal.as_bytes()) {
            Ok(crate::Value::String(s)) => s.to_string(),
            _ => return,
        };
        let Some(Open::Object { seen, key, .. }) = self.open.last_mut() else { return };
        key.clone_from(&unescaped);
        if !seen.insert(unescaped) && self.reported.insert(self.here()) {
            found.push(Duplicate { path: self.path(), offset });
        }
    }

    /// The hash of the path of the value that is read now.
    fn here(&self) -> u64 {
        match self.open.last() {
            None => 0,
            Some(Open::Object { path, key, .. }) => self.hasher.hash_one((path, key)),
            Some(Open::Array { path, index }) => self.hasher.hash_one((path, index)),
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::Object { key, .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Open::Array { index, .. } => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}

/// The index behind the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut pos = start + 1;
    loop {
        pos = super::scan::string_run(bytes, pos);
        match bytes.get(pos) {
            Some(b'\\') => pos += 2,
            Some(b'"') => return pos + 1,
            Some(_) => pos += 1,
            None => return pos,
        }
    }
}
