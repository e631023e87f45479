//! Where fields stand in a document, for reports in the document's own order.

use super::walk::{Kind, Visitor, walk};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

/// For each of `paths` (spelled as in [`Duplicate::path`](super::Duplicate::path)) the offset at which that
/// field's key first comes in a well-formed document, or `None` if it does not.
///
/// Strict decoding reports unknown and duplicate fields together in document order; this gives the order
/// of the unknown ones. The work is linear in the document, however long the paths are.
pub fn field_offsets<S: AsRef<str>>(data: &[u8], paths: &[S]) -> Vec<Option<usize>> {
    let mut offsets = vec![None; paths.len()];
    let base = RandomState::new().hash_one(0) | 1;
    let empty = Rolling { hash: 0, len: 0, base };
    let mut wanted: HashMap<(u64, usize), Vec<usize>> = HashMap::new();
    for (i, path) in paths.iter().enumerate() {
        wanted.entry(empty.with(path.as_ref()).id()).or_default().push(i);
    }
    let mut finder = Finder { offsets: &mut offsets, wanted, here: empty, open: Vec::new() };
    _ = walk(&super::parse::repair(data), &mut finder);
    offsets
}

/// The hash of a text that grows at its end: a polynomial in a secret base.
#[derive(Clone, Copy)]
struct Rolling {
    hash: u64,
    len: usize,
    base: u64,
}

impl Rolling {
    fn with(self, more: &str) -> Self {
        more.bytes().fold(self, |r, b| Self {
            hash: r.hash.wrapping_mul(r.base).wrapping_add(u64::from(b) + 1),
            len: r.len + 1,
            base: r.base,
        })
    }

    const fn id(self) -> (u64, usize) {
        (self.hash, self.len)
    }
}

struct Open {
    kind: Kind,
    path: Rolling,
    index: usize,
}

struct Finder<'a> {
    offsets: &'a mut [Option<usize>],
    wanted: HashMap<(u64, usize), Vec<usize>>,
    /// The path of the value that is read now.
    here: Rolling,
    open: Vec<Open>,
}

impl Finder<'_> {
    fn element(&mut self) {
        if let Some(Open { kind: Kind::Array, path, index }) = self.open.last() {
            self.here = path.with(&format!("[{index}]"));
        }
    }
}

impl Visitor for Finder<'_> {
    fn open(&mut self, kind: Kind) {
        self.open.push(Open { kind, path: self.here, index: 0 });
        self.element();
    }

    fn close(&mut self) {
        self.open.pop();
    }

    fn next_element(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.index += 1;
        }
        self.element();
    }

    fn key(&mut self, key: String, offset: usize) -> ControlFlow<()> {
        if let Some(Open { path, .. }) = self.open.last() {
            let dotted = if self.open.len() == 1 { *path } else { path.with(".") };
            self.here = dotted.with(&key);
            if let Some(found) = self.wanted.remove(&self.here.id()) {
                found.into_iter().for_each(|i| self.offsets[i] = Some(offset));
            }
        }
        if self.wanted.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
