//! Values at run time.
//!
//! Lists and maps that come from outside stay where they are: a [`Val`] of them is a reference into the
//! tree with the declared type beside it, and elements become values only when they are looked at.
//!
//! Upstream counterparts: cel-go `common/types`, apiserver `pkg/cel/common/valuesunstructured.go`.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use value::{Str, Value};

use crate::decl::{DeclType, ListKind, Shape};
use crate::escape::{escape, unescape};
use crate::gofmt;
use crate::opaque::Opaque;
use crate::time::Time;
use crate::types::Type;

/// Why an evaluation gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// The expression failed on this data; logical operators may absorb it. The text is upstream's.
    Failed(Str),
    /// It cost more than allowed.
    CostLimit,
    /// The caller asked to stop.
    Interrupted,
    /// Upstream's interpreter crashes here, and says so.
    Internal(Str),
}

impl EvalError {
    pub(crate) fn new(text: impl Into<Str>) -> Self {
        Self::Failed(text.into())
    }

    pub(crate) fn no_overload() -> Self {
        Self::Failed(Str::new_static("no such overload"))
    }

    /// Whether `||` and `&&` may absorb it.
    pub(crate) fn is_absorbable(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::CostLimit => f.write_str("operation cancelled: actual cost limit exceeded"),
            Self::Interrupted => f.write_str("operation interrupted"),
            Self::Internal(text) => write!(f, "internal error: {text}"),
        }
    }
}

impl std::error::Error for EvalError {}

/// What evaluating gives.
pub type Eval<T> = Result<T, EvalError>;

pub(crate) fn fail<T>(text: impl Into<Str>) -> Eval<T> {
    Err(EvalError::new(text))
}

/// A value. Cheap to clone.
#[derive(Clone)]
pub enum Val<'a> {
    /// `null`
    Null,
    /// A boolean.
    Bool(bool),
    /// An `int`.
    Int(i64),
    /// A `uint`.
    Uint(u64),
    /// A `double`.
    Double(f64),
    /// A `string`.
    String(Str),
    /// `bytes`
    Bytes(Rc<[u8]>),
    /// A duration, in nanoseconds.
    Duration(i64),
    /// An instant.
    Timestamp(Time),
    /// A type.
    Type(Rc<Type>),
    /// A list.
    List(List<'a>),
    /// A map or an object of the tree.
    Map(Map<'a>),
    /// An object made by an expression.
    Struct(Rc<StructVal<'a>>),
    /// An optional.
    Optional(Option<Rc<Self>>),
    /// A value of a library type (a quantity, an IP address…).
    Opaque(Rc<Opaque<'a>>),
    /// An object that computes its fields.
    Host(Rc<dyn Host<'a> + 'a>),
}

/// An object whose fields are computed when asked for, such as `variables`.
pub trait Host<'a> {
    /// The value of a field; `None` if there is no such field.
    fn get(&self, name: &str) -> Option<Eval<Val<'a>>>;

    /// How many fields there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A list.
#[derive(Clone)]
pub enum List<'a> {
    /// A list of the tree and the type of its elements.
    Tree(&'a [Value], &'a DeclType),
    /// Computed elements, and how the list compares and concatenates.
    Values(Rc<Vec<Val<'a>>>, Option<&'a DeclType>),
    /// Two lists, one after the other: `+` costs the same however long they are. Also how many elements.
    Joined(Rc<(Self, Self)>, usize),
}

/// A map.
#[derive(Clone)]
pub enum Map<'a> {
    /// An object of the tree and its type.
    Tree(&'a value::Map, &'a DeclType),
    /// Computed entries.
    Entries(Rc<Entries<'a>>),
}

/// An object made by an expression: `JSONPatch{…}`, `Object{…}`.
#[derive(Clone, Debug)]
pub struct StructVal<'a> {
    /// The name of its type.
    pub type_name: Str,
    /// Fields in the order written, each once.
    pub fields: Vec<(Str, Val<'a>)>,
}

/// From this many entries on, a computed map has an index.
const INDEXED_FROM: usize = 9;

/// Computed map entries, in insertion order.
#[derive(Clone, Default)]
pub struct Entries<'a> {
    entries: Vec<(Val<'a>, Val<'a>)>,
    index: HashMap<Key, usize>,
}

/// A map key that can be hashed; numbers that are equal across types are the same key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Bits(u64),
    String(Str),
    Bytes(Vec<u8>),
}

impl Key {
    pub(crate) fn of(v: &Val<'_>) -> Option<Self> {
        Some(match v {
            Val::Null => Self::Null,
            Val::Bool(b) => Self::Bool(*b),
            Val::Int(i) => Self::Int(*i),
            Val::Uint(u) => i64::try_from(*u).map_or(Self::Uint(*u), Self::Int),
            Val::Double(d) => {
                if let Some(i) = exact_int(*d) {
                    Self::Int(i)
                } else if *d >= 0.0 && *d < 18446744073709551616.0 && d.fract() == 0.0 {
                    Self::Uint(*d as u64)
                } else {
                    Self::Bits(d.to_bits())
                }
            }
            Val::String(s) => Self::String(s.clone()),
            Val::Bytes(b) => Self::Bytes(b.to_vec()),
            _ => return None,
        })
    }
}

/// A double as the integer it equals.
pub(crate) fn exact_int(d: f64) -> Option<i64> {
    (d.fract() == 0.0 && (-9223372036854775808.0..9223372036854775808.0).contains(&d)).then_some(d as i64)
}

impl<'a> Entries<'a> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &(Val<'a>, Val<'a>)> {
        self.entries.iter()
    }

    fn position(&self, key: &Val<'a>) -> Option<usize> {
        if self.entries.len() >= INDEXED_FROM
            && let Some(k) = Key::of(key)
        {
            return self.index.get(&k).copied();
        }
        self.entries.iter().position(|(k, _)| k.equals(key).unwrap_or(false))
    }

    /// The value at `key`.
    pub fn get(&self, key: &Val<'a>) -> Option<&Val<'a>> {
        self.position(key).map(|i| &self.entries[i].1)
    }

    /// Sets `key`; tells whether it is new.
    pub(crate) fn insert(&mut self, key: Val<'a>, value: Val<'a>) -> bool {
        if let Some(i) = self.position(&key) {
            self.entries[i].1 = value;
            return false;
        }
        self.entries.push((key, value));
        let n = self.entries.len();
        let from = match n {
            _ if n < INDEXED_FROM => return true,
            INDEXED_FROM => 0,
            _ => n - 1,
        };
        for i in from..n {
            if let Some(k) = Key::of(&self.entries[i].0) {
                self.index.insert(k, i);
            }
        }
        true
    }

    pub(crate) fn remove(&mut self, key: &Val<'a>) {
        if let Some(i) = self.position(key) {
            let mut rest = std::mem::take(&mut self.entries);
            rest.remove(i);
            self.index.clear();
            for (k, v) in rest {
                self.insert(k, v);
            }
        }
    }
}

/// What a value of the tree is, seen with its declared type.
///
/// # Errors
/// The data does not fit the type.
pub(crate) fn adapt<'a>(v: &'a Value, ty: &'a DeclType) -> Eval<Val<'a>> {
    if v.is_null() && !matches!(ty.shape, Shape::Dyn) {
        return if ty.nullable {
            Ok(Val::Null)
        } else {
            fail("invalid data, got null for schema with nullable=false")
        };
    }
    let wrong = |wanted: &str| fail(format!("invalid data, expected {wanted}, got {}", go_type(v)));
    match &ty.shape {
        Shape::Dyn => Ok(dynamic(v)),
        Shape::IntOrString => match v {
            Value::String(s) => Ok(Val::String(s.clone())),
            Value::Number(n) if n.as_i64().is_some() => Ok(Val::Int(n.as_i64().unwrap_or(0))),
            _ => fail("invalid data, expected XIntOrString value to be either a string or integer"),
        },
        Shape::Object(_) | Shape::Map(_) | Shape::Hidden => match v {
            Value::Object(m) => Ok(Val::Map(Map::Tree(m, ty))),
            _ if matches!(ty.shape, Shape::Hidden) => Ok(dynamic(v)),
            _ => fail("invalid data, expected a map for the provided schema with type=object"),
        },
        Shape::List { .. } => match v {
            Value::Array(items) => Ok(Val::List(List::Tree(items, ty))),
            _ => fail("invalid data, expected an array for the provided schema with type=array"),
        },
        Shape::Scalar => match &ty.cel {
            Type::Bool => v.as_bool().map_or_else(|| wrong("bool"), |b| Ok(Val::Bool(b))),
            Type::Int => v.as_i64().map_or_else(|| wrong("int"), |i| Ok(Val::Int(i))),
            Type::Double => match v {
                Value::Number(n) => Ok(Val::Double(n.as_f64())),
                _ => wrong("float"),
            },
            _ => match v {
                Value::String(s) => text(s, &ty.cel, ty.is_date()),
                _ => wrong("string"),
            },
        },
    }
}

/// A string of the tree as what its declared format makes it.
fn text<'a>(s: &Str, ty: &Type, date: bool) -> Eval<Val<'a>> {
    Ok(match ty {
        Type::Duration => match crate::time::parse_openapi_duration(s) {
            Some(d) => Val::Duration(d),
            None => return fail(format!("Invalid duration {s}: unable to parse {s} as duration")),
        },
        Type::Timestamp => match crate::time::parse_openapi_time(s, date) {
            Some(t) => Val::Timestamp(t),
            None => return fail(format!("Invalid date-time formatted string {s}: parsing time {s:?}")),
        },
        Type::Bytes => match crate::base64::decode(s) {
            Some(b) => Val::Bytes(b.into()),
            None => return fail(format!("Invalid byte formatted string {s}: illegal base64 data")),
        },
        _ => Val::String(s.clone()),
    })
}

/// A value of the tree without a declared type, as Go's JSON decoder for unstructured data gives it.
pub(crate) fn dynamic(v: &Value) -> Val<'_> {
    match v {
        Value::Null => Val::Null,
        Value::Bool(b) => Val::Bool(*b),
        Value::Number(n) => n.as_i64().map_or_else(|| Val::Double(n.as_f64()), Val::Int),
        Value::String(s) => Val::String(s.clone()),
        Value::Array(items) => Val::List(List::Tree(items, DeclType::dynamic())),
        Value::Object(m) => Val::Map(Map::Tree(m, DeclType::dynamic())),
    }
}

fn go_type(v: &Value) -> &'static str {
    match v {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.as_i64().is_some() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

impl<'a> List<'a> {
    /// A list of computed values.
    pub fn new(values: Vec<Val<'a>>) -> Self {
        Self::Values(Rc::new(values), None)
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Tree(items, _) => items.len(),
            Self::Values(v, _) => v.len(),
            Self::Joined(_, len) => *len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `i`.
    ///
    /// # Errors
    /// The element does not fit the declared type, or there is none.
    pub fn get(&self, i: usize) -> Eval<Val<'a>> {
        match self {
            Self::Tree(items, ty) => items.get(i).map(|v| adapt(v, ty.element())),
            Self::Values(v, _) => v.get(i).cloned().map(Ok),
            Self::Joined(ab, _) => {
                let first = ab.0.len();
                return crate::stack::deep(|| if i < first { ab.0.get(i) } else { ab.1.get(i - first) });
            }
        }
        .unwrap_or_else(|| fail(format!("index out of bounds: {i}")))
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = Eval<Val<'a>>> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// How the list compares and concatenates, if it says so.
    pub(crate) fn kind(&self) -> (&'a ListKind, Option<&'a DeclType>) {
        let ty = match self {
            Self::Tree(_, ty) => Some(*ty),
            Self::Values(_, ty) => *ty,
            Self::Joined(..) => None,
        };
        match ty.map(|t| &t.shape) {
            Some(Shape::List { kind, .. }) => (kind, ty),
            _ => (&ListKind::Atomic, None),
        }
    }
}

impl<'a> Map<'a> {
    /// How many entries there are, as `size()` counts.
    pub fn len(&self) -> usize {
        match self {
            Self::Tree(m, _) => m.len(),
            Self::Entries(e) => e.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `key`; `None` if there is none.
    ///
    /// # Errors
    /// The key has a type that the map cannot have, or the value does not fit its declared type.
    pub fn find(&self, key: &Val<'a>) -> Eval<Option<Val<'a>>> {
        match self {
            Self::Entries(e) => Ok(e.get(key).cloned()),
            Self::Tree(m, ty) => match key {
                Val::String(k) => find_in_tree(m, ty, k),
                _ if matches!(ty.shape, Shape::Dyn) => Ok(None),
                _ => Err(EvalError::no_overload()),
            },
        }
    }

    /// [`find`](Self::find) with a string.
    ///
    /// # Errors
    /// The value does not fit its declared type.
    pub fn find_str(&self, key: &Str) -> Eval<Option<Val<'a>>> {
        match self {
            Self::Tree(m, ty) => find_in_tree(m, ty, key),
            Self::Entries(e) => Ok(e.get(&Val::String(key.clone())).cloned()),
        }
    }

    /// The keys.
    pub fn keys(&self) -> Vec<Val<'a>> {
        match self {
            Self::Entries(e) => e.iter().map(|(k, _)| k.clone()).collect(),
            Self::Tree(m, ty) => m
                .keys()
                .filter_map(|k| match &ty.shape {
                    Shape::Object(_) => {
                        ty.property(k)?;
                        Some(Val::String(escape(k).unwrap_or_else(|| k.clone())))
                    }
                    Shape::Hidden => None,
                    _ => Some(Val::String(k.clone())),
                })
                .collect(),
        }
    }
}

fn find_in_tree<'a>(m: &'a value::Map, ty: &'a DeclType, key: &Str) -> Eval<Option<Val<'a>>> {
    match &ty.shape {
        Shape::Object(_) => {
            let Some(name) = unescape(key) else { return Ok(None) };
            match (m.get(&name), ty.property(&name)) {
                (Some(v), Some(property)) if !v.is_null() => adapt(v, property).map(Some),
                _ => Ok(None),
            }
        }
        Shape::Hidden => Ok(None),
        _ => m.get(key).map(|v| adapt(v, ty.element())).transpose(),
    }
}

impl<'a> Val<'a> {
    /// A string.
    pub fn string(s: impl Into<Str>) -> Self {
        Self::String(s.into())
    }

    /// A value of the tree, without declared type.
    pub fn tree(v: &'a Value) -> Self {
        dynamic(v)
    }

    /// A value of the tree with its declared type.
    ///
    /// # Errors
    /// The data does not fit the type.
    pub fn typed(v: &'a Value, ty: &'a DeclType) -> Eval<Self> {
        adapt(v, ty)
    }

    /// A list of computed values.
    pub fn list(values: Vec<Self>) -> Self {
        Self::List(List::new(values))
    }

    /// A map of computed entries; of equal keys the last stays.
    pub fn map(entries: impl IntoIterator<Item = (Self, Self)>) -> Self {
        let mut map = Entries::default();
        for (k, v) in entries {
            map.insert(k, v);
        }
        Self::Map(Map::Entries(Rc::new(map)))
    }

    /// An optional with a value.
    pub fn some(v: Self) -> Self {
        Self::Optional(Some(Rc::new(v)))
    }

    pub(crate) fn opaque(o: Opaque<'a>) -> Self {
        Self::Opaque(Rc::new(o))
    }

    /// The same without the declared type of data: upstream unwraps an optional variable into plain data,
    /// where a date-time is a string.
    pub(crate) fn undeclared(&self) -> Self {
        match self {
            Self::Map(Map::Tree(m, _)) => Self::Map(Map::Tree(m, DeclType::dynamic())),
            Self::List(List::Tree(items, _)) => Self::List(List::Tree(items, DeclType::dynamic())),
            v => v.clone(),
        }
    }

    /// The type at run time.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Duration(_) => Type::Duration,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Type(_) => Type::Type(None),
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(_) | Self::Host(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Struct(s) => Type::Struct(s.type_name.clone()),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Opaque(o) => o.type_of(),
        }
    }

    /// What `size()` says; `None` for what has no size.
    pub fn size(&self) -> Option<usize> {
        Some(match self {
            Self::String(s) => {
                if s.is_ascii() {
                    s.len()
                } else {
                    s.chars().count()
                }
            }
            Self::Bytes(b) => b.len(),
            Self::List(l) => l.len(),
            Self::Map(m) => m.len(),
            Self::Host(h) => h.len(),
            Self::Opaque(o) => return o.size(),
            _ => return None,
        })
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// Whether it is what `optional.ofNonZeroValue` leaves out.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(b) => !b,
            Self::Int(i) => *i == 0,
            Self::Uint(u) => *u == 0,
            Self::Double(d) => *d == 0.0,
            Self::String(s) => s.is_empty(),
            Self::Bytes(b) => b.is_empty(),
            Self::Duration(d) => *d == 0,
            Self::Timestamp(t) => t.is_zero(),
            Self::List(l) => l.is_empty(),
            Self::Map(m) => m.is_empty(),
            Self::Optional(o) => o.is_none(),
            _ => false,
        }
    }

    /// The value as a tree: what upstream's conversion to a JSON value gives.
    ///
    /// # Errors
    /// The value has no JSON form.
    pub fn to_tree(&self) -> Eval<Value> {
        self.to_tree_within(0)
    }

    fn to_tree_within(&self, depth: usize) -> Eval<Value> {
        crate::stack::deep(|| self.to_tree_here(depth))
    }

    fn to_tree_here(&self, depth: usize) -> Eval<Value> {
        // Constructed values nest as deep as the expression that made them; trees as deep as the decoder allows.
        const DEPTH_MAX: usize = 1000;
        if depth > DEPTH_MAX {
            return fail("value is nested too deep");
        }
        Ok(match self {
            Self::Null | Self::Optional(None) => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => (*i).into(),
            Self::Uint(u) => i64::try_from(*u).map_or(value::Number::Uint(*u), value::Number::Int).into(),
            Self::Double(d) if d.is_finite() => value::Number::Float(*d).into(),
            Self::Double(d) => return fail(format!("unsupported value: {d}")),
            Self::String(s) => Value::String(s.clone()),
            Self::Bytes(b) => crate::base64::encode(b).into(),
            Self::Duration(d) => crate::time::duration_to_string(*d).into(),
            Self::Timestamp(t) => crate::time::timestamp_to_string(*t).into(),
            Self::List(List::Tree(items, _)) => Value::Array(items.to_vec()),
            Self::List(l) => Value::Array(
                l.iter().map(|v| v.and_then(|v| v.to_tree_within(depth + 1))).collect::<Eval<_>>()?,
            ),
            Self::Map(Map::Tree(m, _)) => Value::Object((*m).clone()),
            Self::Map(Map::Entries(e)) => {
                let mut out = value::Map::new();
                for (k, v) in e.iter() {
                    let Self::String(k) = k.to_string_val()? else { return Err(EvalError::no_overload()) };
                    out.insert(k, v.to_tree_within(depth + 1)?);
                }
                Value::Object(out)
            }
            Self::Struct(s) => {
                let mut out = value::Map::new();
                for (k, v) in &s.fields {
                    out.insert(k.clone(), v.to_tree_within(depth + 1)?);
                }
                Value::Object(out)
            }
            Self::Optional(Some(v)) => v.to_tree_within(depth + 1)?,
            Self::Opaque(o) => o.to_string().into(),
            Self::Type(t) => t.runtime_name().to_owned().into(),
            Self::Host(_) => return fail("unsupported conversion of an object to JSON"),
        })
    }
}

impl fmt::Debug for Val<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Uint(u) => write!(f, "{u}u"),
            Self::Double(d) => write!(f, "{d:?}"),
            Self::String(s) => write!(f, "{s:?}"),
            Self::Bytes(b) => write!(f, "b{:?}", String::from_utf8_lossy(b)),
            Self::Duration(d) => write!(f, "duration({})", crate::time::duration_to_string(*d)),
            Self::Timestamp(t) => write!(f, "timestamp({})", crate::time::timestamp_to_string(*t)),
            Self::Type(t) => write!(f, "type({})", t.runtime_name()),
            Self::List(l) => f.debug_list().entries(l.iter().map(DebugResult)).finish(),
            Self::Map(m) => {
                let entries = m.keys().into_iter().map(|k| {
                    let v = m.find(&k).and_then(|v| v.ok_or_else(EvalError::no_overload));
                    (k, DebugResult(v))
                });
                f.debug_map().entries(entries).finish()
            }
            Self::Struct(s) => {
                write!(f, "{}", s.type_name)?;
                f.debug_map().entries(s.fields.iter().map(|(k, v)| (k, v))).finish()
            }
            Self::Optional(None) => f.write_str("optional.none()"),
            Self::Optional(Some(v)) => write!(f, "optional.of({v:?})"),
            Self::Opaque(o) => write!(f, "{o:?}"),
            Self::Host(_) => f.write_str("<object>"),
        }
    }
}

struct DebugResult<'a>(Eval<Val<'a>>);

impl fmt::Debug for DebugResult<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(v) => crate::stack::deep(|| fmt::Debug::fmt(v, f)),
            Err(e) => write!(f, "<{e}>"),
        }
    }
}

impl fmt::Display for Val<'_> {
    /// As Go's `%v` shows a value in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(s) => f.write_str(s),
            Self::Uint(u) => write!(f, "{u}"),
            Self::Double(d) => f.write_str(&gofmt::general(*d)),
            Self::Type(t) => f.write_str(t.runtime_name()),
            Self::Opaque(o) => write!(f, "{o}"),
            Self::Duration(d) => f.write_str(&crate::time::go_duration(*d)),
            v => write!(f, "{v:?}"),
        }
    }
}
