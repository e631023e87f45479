//! Field paths and field errors, as `k8s.io/apimachinery/pkg/util/validation/field`.

use crate::quote::{Quoted, as_go, go_float, go_json, quote_all};
use std::collections::HashSet;
use std::fmt;
use value::{Number, Value};

/// Where in an object a value stands. Borrows its parents, so that a valid object costs no allocation.
///
/// As upstream, a field with an empty name prints as `[]`, and a name may hold dots (`spec.group`).
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Self>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Root,
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The object as a whole: upstream's nil path. Prints as `<nil>`, its children as roots.
    pub const ROOT: Path<'static> = Path { parent: None, segment: Segment::Root };

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

    /// Whether this is [`Path::ROOT`].
    pub const fn is_root(&self) -> bool {
        matches!(self.segment, Segment::Root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str("<nil>");
        }
        // A list, not recursion: schemas nest as deep as their authors like.
        let mut segments: Vec<Segment<'_>> = Vec::with_capacity(8);
        let mut at = Some(self);
        while let Some(path) = at {
            if !path.is_root() {
                segments.push(path.segment);
            }
            at = path.parent;
        }
        for (i, segment) in segments.iter().rev().enumerate() {
            match segment {
                Segment::Root => {}
                Segment::Field("") => f.write_str("[]")?,
                Segment::Field(name) if i == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                // An empty subscript of upstream is told from a name by nothing: it prints the same.
                Segment::Key(key) => write!(f, "[{key}]")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
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
    /// A string is too short.
    TooShort,
    /// A list has too many elements.
    TooMany,
    /// A list has too few elements.
    TooFew,
    /// A value is of another type than the field.
    TypeInvalid,
    /// The server could not tell.
    Internal,
}

impl ErrorType {
    /// The machine-readable word: `reason` of a Status cause.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooShort => "FieldValueTooShort",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    /// The words that open a message.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooShort => "Too short",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::Internal => "Internal error",
        }
    }

    /// Whether messages of this type show the bad value.
    const fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::TooShort | Self::Internal)
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// How a message shows the bad value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Shown {
    /// By its type: strings quoted as Go's `%q`, numbers and booleans plain, the rest as JSON.
    #[default]
    Value,
    /// As Go's `json.Marshal` prints it, strings as well: for values of named string types and pointers.
    Json,
    /// As this text: for Go structs, whose names and order of fields a tree does not have.
    Text(Box<str>),
    /// Not at all.
    Omitted,
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
    /// How the bad value is shown.
    pub shown: Shown,
}

/// All that is wrong with an object, in the order in which upstream would report it.
pub type ErrorList = Vec<Error>;

impl Error {
    fn new(ty: ErrorType, path: &Path<'_>, bad_value: Value, detail: impl Into<String>) -> Self {
        Self { ty, field: path.to_string(), bad_value, detail: detail.into(), shown: Shown::Value }
    }

    /// A required value is missing.
    pub fn required(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, path, Value::Null, detail)
    }

    /// A value is malformed or out of bounds.
    pub fn invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, value.into(), detail)
    }

    /// A value is of another type than its schema says.
    pub fn type_invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::TypeInvalid, path, value.into(), detail)
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
        let mut sorted = supported.to_vec();
        sorted.sort_unstable();
        Self::not_supported_in_order(path, value, &sorted)
    }

    /// A value is none of `supported`, which are shown quoted in the order given: for the places where
    /// upstream passes a list and not a sorted set.
    pub fn not_supported_in_order(path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quote_all(supported, ", "))
        };
        Self::new(ErrorType::NotSupported, path, value.into(), detail)
    }

    /// A value may not be set.
    pub fn forbidden(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, path, Value::Null, detail)
    }

    /// A string is longer than `max` bytes.
    pub fn too_long(path: &Path<'_>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(ErrorType::TooLong, path, Value::Null, format!("may not be more than {max} {unit}"))
    }

    /// A string is longer than `max` characters.
    pub fn too_long_characters(path: &Path<'_>, max: usize) -> Self {
        let unit = if max == 1 { "character" } else { "characters" };
        Self::new(ErrorType::TooLong, path, Value::Null, format!("may not be more than {max} {unit}"))
    }

    /// A list has `actual` elements where `max` are allowed.
    pub fn too_many(path: &Path<'_>, actual: usize, max: usize) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        Self::new(ErrorType::TooMany, path, count(actual), format!("must have at most {max} {items}"))
    }

    /// A list has `actual` elements where at least `min` are needed.
    pub fn too_few(path: &Path<'_>, actual: usize, min: usize) -> Self {
        let items = if min == 1 { "item" } else { "items" };
        Self::new(ErrorType::TooFew, path, count(actual), format!("must have at least {min} {items}"))
    }

    /// The server could not check; no fault of the client's.
    pub fn internal(path: &Path<'_>, error: impl fmt::Display) -> Self {
        Self::new(ErrorType::Internal, path, Value::Null, error.to_string())
    }

    /// Shows the bad value as JSON, also if it is a string: for Go's named string types (`core.Protocol`,
    /// `types.UID`) and pointers to strings, which upstream does not print with `%q`.
    #[must_use]
    pub fn shown_as_json(mut self) -> Self {
        self.shown = Shown::Json;
        self
    }

    /// Shows `text` as the bad value: for Go structs without JSON names (`{"Name":"","Port":1}`).
    #[must_use]
    pub fn shown_as(mut self, text: impl Into<Box<str>>) -> Self {
        self.shown = Shown::Text(text.into());
        self
    }

    /// Shows no bad value (upstream's `field.OmitValueType{}`).
    #[must_use]
    pub fn without_value(mut self) -> Self {
        self.shown = Shown::Omitted;
        self
    }

    /// The message without the field: what a Status cause holds.
    pub fn body(&self) -> String {
        Body(self).to_string()
    }
}

fn count(n: usize) -> Value {
    Value::from(i64::try_from(n).unwrap_or(i64::MAX))
}

struct Body<'a>(&'a Error);

impl fmt::Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        f.write_str(error.ty.text())?;
        if error.ty.shows_value() {
            match (&error.shown, &error.bad_value) {
                (Shown::Omitted, _) => {}
                (Shown::Text(text), _) => write!(f, ": {text}")?,
                (Shown::Value, Value::String(s)) => write!(f, ": {}", Quoted(s))?,
                (Shown::Value, Value::Number(n)) => {
                    f.write_str(": ")?;
                    write_number(f, n)?;
                }
                (_, value) => write!(f, ": {}", go_json(value))?,
            }
        }
        if !error.detail.is_empty() {
            write!(f, ": {}", error.detail)?;
        }
        Ok(())
    }
}

/// Numbers as Go's `%v`.
fn write_number(f: &mut fmt::Formatter<'_>, number: &Number) -> fmt::Result {
    match as_go(number) {
        Number::Float(x) => f.write_str(&go_float(x)),
        other => write!(f, "{other}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, Body(self))
    }
}

impl std::error::Error for Error {}

/// All errors as one text, each message once: alone as it is, several as `[a, b]`; `None` if there is none.
/// Source: `ErrorList.ToAggregate`, `util/errors.Aggregate`.
pub fn to_aggregate(errors: &[Error]) -> Option<String> {
    aggregate(errors.iter().map(Error::to_string))
}

/// Messages as upstream's `util/errors.Aggregate` prints them: each once, several as `[a, b]`.
pub fn aggregate(messages: impl IntoIterator<Item = String>) -> Option<String> {
    let mut seen = HashSet::new();
    let unique: Vec<String> = messages.into_iter().filter(|m| seen.insert(m.clone())).collect();
    match unique.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}
