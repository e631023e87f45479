//! Telling which keys came more than once, as strict decoding reports them.

use super::quote::quote;
use super::walk::{Kind, Visitor, walk};
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

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
        let mut finder = Finder {
            found: &mut self.fields,
            hasher: RandomState::new(),
            open: Vec::new(),
            reported: HashSet::new(),
        };
        _ = walk(text, &mut finder);
    }
}

/// An open object or list. Paths are compared by hash, so that a long path is spelled out only when it is
/// reported, not once for each of many repetitions.
enum Open {
    Object { path: u64, seen: HashSet<String>, key: String },
    Array { path: u64, index: usize },
}

struct Finder<'a> {
    found: &'a mut Vec<Duplicate>,
    hasher: RandomState,
    open: Vec<Open>,
    reported: HashSet<u64>,
}

impl Visitor for Finder<'_> {
    fn open(&mut self, kind: Kind) {
        let path = self.here();
        self.open.push(match kind {
            Kind::Object => Open::Object { path, seen: HashSet::new(), key: String::new() },
            Kind::Array => Open::Array { path, index: 0 },
        });
    }

    fn close(&mut self) {
        self.open.pop();
    }

    fn next_element(&mut self) {
        if let Some(Open::Array { index, .. }) = self.open.last_mut() {
            *index += 1;
        }
    }

    fn key(&mut self, name: String, offset: usize) -> ControlFlow<()> {
        if self.found.len() >= DUPLICATES_MAX {
            return ControlFlow::Break(());
        }
        let mut again = false;
        if let Some(Open::Object { seen, key, .. }) = self.open.last_mut() {
            key.clone_from(&name);
            again = !seen.insert(name);
        }
        if again && self.reported.insert(self.here()) {
            let path = self.path();
            self.found.push(Duplicate { path, offset });
        }
        ControlFlow::Continue(())
    }
}

impl Finder<'_> {
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
        for (level, open) in self.open.iter().enumerate() {
            match open {
                Open::Object { key, .. } => {
                    if level > 0 {
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
