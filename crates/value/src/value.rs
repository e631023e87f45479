//! The tree itself.

use crate::{Map, Number, Str};

/// A JSON value.
#[derive(Debug, Default)]
pub enum Value {
    /// `null`, which is not the same as absent.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string; short ones and clones cost no allocation.
    String(Str),
    /// A list.
    Array(Vec<Self>),
    /// An object.
    Object(Map),
}

static NULL: Value = Value::Null;

impl Value {
    /// An empty object.
    pub const fn object() -> Self {
        Self::Object(Map::new())
    }

    /// Whether it is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The integer, if it is a number written as one within 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(n) => n.as_i64(),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The list, if it is one, to be changed.
    pub const fn as_array_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub const fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(m) => Some(m),
            _ => None,
        }
    }

    /// The object, if it is one, to be changed.
    pub const fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Object(m) => Some(m),
            _ => None,
        }
    }

    /// The member `key`; null when this is no object or has no such member.
    ///
    /// Made for reading typed fields, where Go's zero value, null and absence mean the same:
    /// `pod.at("spec").at("nodeName").str()`.
    pub fn at(&self, key: &str) -> &Self {
        self.get(key).unwrap_or(&NULL)
    }

    /// The member `key`, if this is an object that has it (also with a null).
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// The member `key`, if this is an object that has it, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.as_object_mut()?.get_mut(key)
    }

    /// The value at a path of object keys; null when there is none.
    pub fn path(&self, path: &[&str]) -> &Self {
        path.iter().fold(self, |v, k| v.at(k))
    }

    /// The string; empty when it is not one.
    pub fn str(&self) -> &str {
        self.as_str().unwrap_or("")
    }

    /// The integer; 0 when it is not one.
    pub fn int(&self) -> i64 {
        self.as_i64().unwrap_or(0)
    }

    /// The boolean; false when it is not one.
    pub fn bool(&self) -> bool {
        self.as_bool().unwrap_or(false)
    }

    /// The elements; none when it is no list.
    pub fn items(&self) -> &[Self] {
        self.as_array().unwrap_or(&[])
    }

    /// The entries in key order; none when it is no object.
    pub fn entries(&self) -> impl Iterator<Item = (&Str, &Self)> {
        self.as_object().into_iter().flat_map(Map::iter)
    }

    /// Whether it is null, an empty list or an empty object.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Array(a) => a.is_empty(),
            Self::Object(m) => m.is_empty(),
            _ => false,
        }
    }

    /// The object at `key`, which is made (in place of null or absence) if need be; `None` if this is no
    /// object or holds something else there.
    pub fn object_at(&mut self, key: &str) -> Option<&mut Self> {
        let v = self.as_object_mut()?.entry_or_insert_with(key, Self::object);
        if v.is_null() {
            *v = Self::object();
        }
        matches!(v, Self::Object(_)).then_some(v)
    }

    /// Sets the member `key`; does nothing when this is no object.
    pub fn set(&mut self, key: &str, value: impl Into<Self>) {
        if let Some(m) = self.as_object_mut() {
            m.insert(key, value);
        }
    }

    /// Removes the member `key` and returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        self.as_object_mut()?.remove(key)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Number(Number::Int(n))
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Self::Number(Number::Int(n.into()))
    }
}

impl From<Number> for Value {
    fn from(n: Number) -> Self {
        Self::Number(n)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(s.into())
    }
}

impl From<Str> for Value {
    fn from(s: Str) -> Self {
        Self::String(s)
    }
}

impl From<Map> for Value {
    fn from(m: Map) -> Self {
        Self::Object(m)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(a: Vec<T>) -> Self {
        Self::Array(a.into_iter().map(Into::into).collect())
    }
}
