//! Field paths and field errors, as `k8s.io/apimachinery/pkg/util/validation/field`.

use std::fmt;
use value::Value;

/// Where in an object a value stands. Borrows its parents, so that a valid object costs no allocation.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// A path of one field.
    pub const fn new(field: &'a str) -> Self {
        Self { parent: None, segment: Segment::Field(field) }
    }

    /// The field `name` of the struct at this path.
    pub const fn child<'b>(&'b self, name: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), segment: Segment::Field(name) }
    }

    /// The element `index` of the list at this path.
    pub const fn index<'b>(&'b self, index: usize) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), segment: Segment::Index(index) }
    }

    /// The entry `key` of the map at this path.
    pub const fn key<'b>(&'b self, key: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path { parent: Some(self), segment: Segment::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Field(name) if self.parent.is_some() => write!(f, ".{name}"),
            Segment::Field(name) => f.write_str(name),
            Segment::Key(key) => write!(f, "[{key}]"),
            Segment::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A value that must be there is not.
    Required,
    /// A value is malformed or out of bounds.
    Invalid,
    /// A value that must be unique is not.
    Duplicate,
    /// What a value refers to does not exist.
    NotFound,
    /// A value is not one of the known ones.
    NotSupported,
    /// A value may not be set by these rules or this caller.
    Forbidden,
    /// A string is too long.
    TooLong,
    /// A list has too many elements.
    TooMany,
    /// A value is of another type than the field.
    TypeInvalid,
    /// The server could not tell.
    Internal,
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What is wrong.
    pub ty: ErrorType,
    /// The field's path as text; empty for the object as a whole.
    pub field: String,
    /// The offending value; null where the text shows none.
    pub bad_value: Value,
    /// What is expected.
    pub detail: String,
}

/// All that is wrong with an object, in the order in which upstream would report it.
pub type ErrorList = Vec<Error>;

impl Error {
    fn new(ty: ErrorType, path: &Path<'_>, bad_value: Value, detail: impl Into<String>) -> Self {
        Self { ty, field: path.to_string(), bad_value, detail: detail.into() }
    }

    /// A required value is missing.
    pub fn required(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, path, Value::Null, detail)
    }

    /// A value is malformed or out of bounds.
    pub fn invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, value.into(), detail)
    }

    /// A value is there twice.
    pub fn duplicate(path: &Path<'_>, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, path, value.into(), "")
    }

    /// What the value refers to does not exist.
    pub fn not_found(path: &Path<'_>, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, path, value.into(), "")
    }

    /// A value is none of `supported` (shown sorted and quoted).
    pub fn not_supported(path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut quoted: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        quoted.sort();
        let detail =
            if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(ErrorType::NotSupported, path, value.into(), detail)
    }

    /// A value may not be set.
    pub fn forbidden(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, path, Value::Null, detail)
    }

    /// A string is longer than `max` bytes.
    pub fn too_long(path: &Path<'_>, max: usize) -> Self {
        Self::new(ErrorType::TooLong, path, Value::Null, format!("may not be more than {max} bytes"))
    }

    /// A list has `actual` elements where `max` are allowed.
    pub fn too_many(path: &Path<'_>, actual: usize, max: usize) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {items}");
        Self::new(ErrorType::TooMany, path, Value::from(i64::try_from(actual).unwrap_or(i64::MAX)), detail)
    }
}
