//! Path elements: how one gets from a container to a field or item in it.
//!
//! Upstream: structured-merge-diff `fieldpath/element.go`, `fieldpath/path.go`.

use crate::order;
use std::cmp::Ordering;
use std::fmt::{self, Write};
use value::order::compare;
use value::{Str, Value};

/// A step from a map or list to one of its items.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// The field of a struct or the entry of a map.
    Field(Str),
    /// The item of a list-map that has these key fields; sorted by name.
    Key(Box<[(Str, Value)]>),
    /// The item of a set.
    Value(Box<Value>),
    /// The item of a list, by position.
    Index(i64),
}

impl PathElement {
    /// The field `name`.
    pub fn field(name: impl Into<Str>) -> Self {
        Self::Field(name.into())
    }

    /// The list item with these key fields, in any order.
    pub fn key(mut fields: Vec<(Str, Value)>) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(fields.into())
    }

    /// The set item `v`.
    pub fn value(v: impl Into<Value>) -> Self {
        Self::Value(Box::new(v.into()))
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Key(a), Self::Key(b)) => {
                let pairs = a.iter().zip(b.iter());
                let mut orders = pairs.map(|(a, b)| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)));
                orders.find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PathElement {}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                let mut text = String::new();
                for (i, (name, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    let _ = write!(text, "{name}=");
                    order::write_text(&mut text, value);
                }
                write!(f, "[{text}]")
            }
            Self::Value(v) => {
                let mut text = String::new();
                order::write_text(&mut text, v);
                write!(f, "[={text}]")
            }
            Self::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// A way from the root of an object to a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<PathElement>);

impl Path {
    /// A path of fields.
    pub fn fields(names: &[&str]) -> Self {
        Self(names.iter().map(|n| PathElement::field(*n)).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|e| e.fmt(f))
    }
}
