//! JSONPath templates as `k8s.io/client-go/util/jsonpath` has them: printer columns, selectable fields,
//! `kubectl -o jsonpath`.
//!
//! A template is text with expressions in braces: `{.status.conditions[?(@.type=="Ready")].status}`. It is
//! parsed once and evaluated over many trees. Upstream's texts and its peculiarities are kept (a quoted key
//! is split at its dots, comparing an integer with a float is an error); members of an object come in key
//! order, where upstream has none.

mod eval;
mod node;
mod parse;
mod print;

#[cfg(test)]
mod tests;

pub use print::{print, print_value};

use crate::Value;
use node::Node;
use std::borrow::Cow;
use std::fmt;

/// How deep filters, unions and ranges may nest.
pub const NESTING_MAX: usize = 50;

/// How many values one evaluation may touch, since `..` can be repeated.
pub const VISITS_MAX: usize = 1_000_000;

/// Why a template cannot be parsed or evaluated, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What a field that no value has means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingKeys {
    /// No result, as for printer columns.
    Allowed,
    /// An error: `x is not found`.
    Errors,
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    nodes: Vec<Node>,
}

/// What one part of a template found: parts of the tree, or values that stand in the template.
pub type Found<'a> = Vec<Cow<'a, Value>>;

impl JsonPath {
    /// Parses a template.
    ///
    /// # Errors
    /// With upstream's text, such as `unclosed action`.
    pub fn parse(template: &str) -> Result<Self, Error> {
        parse::parse(template, 0).map(|nodes| Self { nodes })
    }

    /// Evaluates the template: one entry for every expression and every text between them.
    ///
    /// # Errors
    /// With upstream's text, such as `array index out of bounds: index 1, length 1`.
    pub fn find<'a>(&'a self, data: &'a Value, missing: MissingKeys) -> Result<Vec<Found<'a>>, Error> {
        eval::find(&self.nodes, data, missing)
    }

    /// The first value of the first expression, which is all that a printer column shows.
    pub fn first<'a>(&'a self, data: &'a Value) -> Option<Cow<'a, Value>> {
        self.find(data, MissingKeys::Allowed).ok()?.into_iter().next()?.into_iter().next()
    }
}
