//! Types of expressions, as the checker sees them and as diagnostics print them.
//!
//! Upstream counterpart: cel-go `common/types/types.go` and `checker/format.go`.

use std::fmt;
use std::sync::Arc;

use value::Str;

/// The type of an expression. Clones share their parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known at run time only.
    Dyn,
    /// What an expression with a reported error has.
    Error,
    /// The type of `null`.
    Null,
    /// `true` and `false`.
    Bool,
    /// 64-bit signed integers.
    Int,
    /// 64-bit unsigned integers.
    Uint,
    /// 64-bit floats.
    Double,
    /// Unicode text.
    String,
    /// Octets.
    Bytes,
    /// A span of time.
    Duration,
    /// An instant.
    Timestamp,
    /// Lists of one element type.
    List(Arc<Self>),
    /// Maps from one key type to one value type.
    Map(Arc<(Self, Self)>),
    /// Named objects with declared fields.
    Struct(Str),
    /// Abstract types, with parameters; `optional_type(T)` is one.
    Opaque(Str, Arc<[Self]>),
    /// The type of types; what it is the type of, if known.
    Type(Option<Arc<Self>>),
    /// A type variable.
    Param(Str),
}

impl Type {
    /// `list(element)`.
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// `map(key, value)`.
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// `optional_type(inner)`.
    pub fn optional(inner: Self) -> Self {
        Self::Opaque(Str::new_static("optional_type"), Arc::from([inner]))
    }

    /// An abstract type without parameters.
    pub fn opaque(name: &'static str) -> Self {
        Self::Opaque(Str::new_static(name), Arc::from([]))
    }

    /// An object type.
    pub fn object(name: impl Into<Str>) -> Self {
        Self::Struct(name.into())
    }

    /// A type variable.
    pub(crate) fn param(name: &'static str) -> Self {
        Self::Param(Str::new_static(name))
    }

    /// The type whose values are types; `inner` is the type they denote.
    pub(crate) fn type_of(inner: Self) -> Self {
        Self::Type(Some(Arc::new(inner)))
    }

    /// What is inside `optional_type(..)`, if this is one.
    pub fn as_optional(&self) -> Option<&Self> {
        match self {
            Self::Opaque(name, params) if name == "optional_type" => params.first(),
            _ => None,
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// Whether values have a constant size for cost estimates.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            _ => self.as_optional().is_some_and(Self::is_scalar),
        }
    }

    /// The name at run time: what `type(x)` prints and "no such overload" lists.
    pub fn runtime_name(&self) -> &str {
        match self {
            Self::Dyn => "dyn",
            Self::Error => "error",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Struct(n) | Self::Opaque(n, _) | Self::Param(n) => n,
            Self::Type(_) => "type",
        }
    }

    /// As [`Display`](fmt::Display), but with Go's `cel.Type.String()` names, which callers of the
    /// library print: `null_type`, `google.protobuf.Timestamp`.
    pub fn declared_name(&self) -> String {
        match self {
            Self::List(e) => format!("list({})", e.declared_name()),
            Self::Map(kv) => format!("map({}, {})", kv.0.declared_name(), kv.1.declared_name()),
            Self::Opaque(n, p) if !p.is_empty() => {
                let p: Vec<_> = p.iter().map(Self::declared_name).collect();
                format!("{n}({})", p.join(", "))
            }
            Self::Type(Some(t)) => format!("type({})", t.declared_name()),
            t => t.runtime_name().to_owned(),
        }
    }
}

impl fmt::Display for Type {
    /// As in the checker's messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("!error!"),
            Self::Null => f.write_str("null"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::List(e) => write!(f, "list({e})"),
            Self::Map(kv) => write!(f, "map({}, {})", kv.0, kv.1),
            Self::Opaque(n, p) if !p.is_empty() => {
                write!(f, "{n}(")?;
                for (i, t) in p.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    t.fmt(f)?;
                }
                f.write_str(")")
            }
            Self::Type(Some(t)) => write!(f, "type({t})"),
            t => f.write_str(t.runtime_name()),
        }
    }
}
