//! What a template consists of.

use crate::{Str, Value};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Text, a number or a boolean that stands in the template.
    Literal(Value),
    /// An expression: each node goes on from what the one before found.
    List(Vec<Self>),
    Field(Str),
    Slice([Bound; 3]),
    Filter {
        left: Vec<Self>,
        operator: String,
        right: Vec<Self>,
    },
    Wildcard,
    Recursive,
    Union(Vec<Vec<Self>>),
    /// `range`, `end`, or something that is neither.
    Identifier(String),
}

/// The beginning, end or step of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) value: i64,
    pub(super) known: bool,
    /// It is an end that was not written but follows from the beginning: one element is meant.
    pub(super) derived: bool,
}
