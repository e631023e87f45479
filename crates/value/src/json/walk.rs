//! Going through the keys of a well-formed document in its own order, which a tree does not keep.

use super::scan;
use std::ops::ControlFlow;

/// What is met on the way.
pub(super) trait Visitor {
    /// An object or list begins, which is the value of the last key or the current element.
    fn open(&mut self, kind: Kind);
    /// The innermost object or list ends.
    fn close(&mut self);
    /// The innermost list goes on to its next element.
    fn next_element(&mut self);
    /// The innermost object goes on to the member `key`, which begins at `offset`.
    fn key(&mut self, key: String, offset: usize) -> ControlFlow<()>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
}

/// Shows a document that is known to be well-formed to a visitor, until that has seen enough.
pub(super) fn walk(text: &str, visitor: &mut impl Visitor) -> ControlFlow<()> {
    let bytes = text.as_bytes();
    let mut open = Vec::new();
    let mut expect_key = false;
    let mut pos = 0;
    while let Some(byte) = bytes.get(pos) {
        match byte {
            b'{' | b'[' => {
                let kind = if *byte == b'{' { Kind::Object } else { Kind::Array };
                visitor.open(kind);
                open.push(kind);
                expect_key = kind == Kind::Object;
            }
            b'}' | b']' => {
                visitor.close();
                open.pop();
                expect_key = false;
            }
            b',' if open.last() == Some(&Kind::Object) => expect_key = true,
            b',' => visitor.next_element(),
            b'"' => {
                let end = string_end(bytes, pos);
                if expect_key {
                    expect_key = false;
                    visitor.key(unescape(text.get(pos..end).unwrap_or("")), pos)?;
                }
                pos = end;
                continue;
            }
            _ => {}
        }
        pos += 1;
    }
    ControlFlow::Continue(())
}

fn unescape(literal: &str) -> String {
    super::parse(literal.as_bytes()).map(|v| v.str().to_owned()).unwrap_or_default()
}

/// The index behind the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut pos = start + 1;
    loop {
        pos = scan::string_run(bytes, pos);
        match bytes.get(pos) {
            Some(b'\\') => pos += 2,
            Some(b'"') => return pos + 1,
            Some(_) => pos += 1,
            None => return bytes.len(),
        }
    }
}
