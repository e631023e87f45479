//! Declared types of data: what a schema says, as far as expressions care.
//!
//! Callers build a [`DeclType`] from a structural schema or from a built-in type. It serves three ends: the
//! checker finds fields in it, cost estimates find sizes in it, and the evaluator reads data by it.
//!
//! Upstream counterparts: apiserver `pkg/cel/types.go`, `pkg/cel/common/schemas.go`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use value::Str;

use crate::estimate::{Node, SizeEstimate, SizeEstimator};
use crate::types::Type;

/// The largest request body, which bounds every size (bytes).
pub const REQUEST_BYTES_MAX: i64 = 3 * 1024 * 1024;
/// The longest serialised date-time or duration, and the length of a date, with quotes.
const MAX_DATETIME: i64 = 32;
const DATE: i64 = 12;

/// A declared type.
#[derive(Debug)]
pub struct DeclType {
    /// The name of an object type; otherwise of the kind.
    pub name: Str,
    /// The type in expressions.
    pub cel: Type,
    /// What it is made of.
    pub shape: Shape,
    /// The most elements, properties, characters or octets a value has; 0 where that means nothing.
    pub max_elements: i64,
    /// The least bytes of a value in JSON.
    pub min_serialized_size: i64,
    /// Whether `null` is a value of it.
    pub nullable: bool,
}

/// What a [`DeclType`] is made of.
#[derive(Debug)]
pub enum Shape {
    /// Anything, seen as it is.
    Dyn,
    /// A string or an integer.
    IntOrString,
    /// A bool, number or string, also in one of the formats that have a type of their own.
    Scalar,
    /// A list.
    List {
        /// Its elements.
        element: Arc<DeclType>,
        /// How it compares and concatenates.
        kind: ListKind,
    },
    /// A map from strings.
    Map(Arc<DeclType>),
    /// An object.
    Object(Object),
    /// Data that expressions cannot see, only compare.
    Hidden,
}

/// How a list compares and concatenates: `x-kubernetes-list-type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    /// By position.
    #[default]
    Atomic,
    /// As a set.
    Set,
    /// As a map by these properties of its elements.
    Map(Vec<Str>),
}

/// The properties of an object.
#[derive(Debug, Default)]
pub struct Object {
    /// Declared fields by their escaped names.
    fields: BTreeMap<Str, Arc<DeclType>>,
    /// All properties by their names, also those that expressions cannot name.
    properties: BTreeMap<Str, Arc<DeclType>>,
}

impl DeclType {
    fn new(name: &str, cel: Type, shape: Shape, max: i64, min: i64) -> Self {
        Self { name: name.into(), cel, shape, max_elements: max, min_serialized_size: min, nullable: false }
    }

    /// Anything.
    pub fn any() -> Self {
        Self { nullable: true, ..Self::new("dyn", Type::Dyn, Shape::Dyn, 0, 1) }
    }

    /// The one type of data without a schema.
    pub fn dynamic() -> &'static Self {
        static DYNAMIC: LazyLock<DeclType> = LazyLock::new(DeclType::any);
        &DYNAMIC
    }

    /// `boolean`
    pub fn boolean() -> Self {
        Self::new("bool", Type::Bool, Shape::Scalar, 0, 4)
    }

    /// `integer`
    pub fn integer() -> Self {
        Self::new("int", Type::Int, Shape::Scalar, 0, 1)
    }

    /// `number`
    pub fn number() -> Self {
        Self::new("double", Type::Double, Shape::Scalar, 0, 1)
    }

    /// `string` of at most `max_length` characters; a string without that limit but of an enumeration is as
    /// long as the longest of `enumeration` (bytes).
    pub fn string(max_length: Option<i64>, enumeration: Option<usize>) -> Self {
        let max = match (max_length, enumeration) {
            (Some(n), _) => n.max(0).saturating_mul(4),
            (None, Some(longest)) => longest as i64,
            (None, None) => REQUEST_BYTES_MAX - 2,
        };
        Self::new("string", Type::String, Shape::Scalar, max, 2)
    }

    /// `string` with format `byte`.
    pub fn bytes(max_length: Option<i64>) -> Self {
        let max = max_length.map_or(REQUEST_BYTES_MAX - 2, |n| n.max(0));
        Self::new("bytes", Type::Bytes, Shape::Scalar, max, 2)
    }

    /// `string` with format `duration`.
    pub fn duration() -> Self {
        Self::new("duration", Type::Duration, Shape::Scalar, MAX_DATETIME, 3)
    }

    /// `string` with format `date`.
    pub fn date() -> Self {
        Self::new("timestamp", Type::Timestamp, Shape::Scalar, DATE, DATE)
    }

    /// `string` with format `date-time`.
    pub fn date_time() -> Self {
        Self::new("timestamp", Type::Timestamp, Shape::Scalar, MAX_DATETIME, 21)
    }

    /// `x-kubernetes-int-or-string`
    pub fn int_or_string(max_length: Option<i64>) -> Self {
        let max = max_length.map_or(REQUEST_BYTES_MAX - 2, |n| n.max(0).saturating_mul(4));
        Self::new("dyn", Type::Dyn, Shape::IntOrString, max, 1)
    }

    /// Data that expressions cannot see.
    pub fn hidden() -> Self {
        Self { nullable: true, ..Self::new("dyn", Type::Dyn, Shape::Hidden, 0, 1) }
    }

    /// `array`
    pub fn list(element: Arc<Self>, kind: ListKind, max_items: Option<i64>) -> Self {
        let max = match max_items {
            Some(n) => n.max(0),
            None => (REQUEST_BYTES_MAX - 2) / element.min_serialized_size.saturating_add(1).max(1),
        };
        let cel = Type::list(element.cel.clone());
        Self::new("list", cel, Shape::List { element, kind }, max, 2)
    }

    /// `object` with `additionalProperties`.
    pub fn map(element: Arc<Self>, max_properties: Option<i64>) -> Self {
        let max = match max_properties {
            Some(n) => n.max(0),
            None => (REQUEST_BYTES_MAX - 2) / element.min_serialized_size.saturating_add(6).max(1),
        };
        let cel = Type::map(Type::String, element.cel.clone());
        Self::new("map", cel, Shape::Map(element), max, 2)
    }

    /// `object` with properties. `name` is the type's full name: within one environment unique, by upstream's
    /// custom the path from the root (`parent.field`, `parent.@idx`, `parent.@elem`).
    ///
    /// `required` tells of a property whether it is required and has no default, so that every value has it.
    pub fn object(name: &str, properties: BTreeMap<Str, Arc<Self>>, required: impl Fn(&str) -> bool) -> Self {
        let mut min = 2i64;
        let mut fields = BTreeMap::new();
        for (property, ty) in &properties {
            if matches!(ty.shape, Shape::Hidden) {
                continue;
            }
            if let Some(escaped) = crate::escape::escape(property) {
                fields.insert(escaped, ty.clone());
            }
            if required(property) {
                min = min.saturating_add(property.len() as i64 + ty.min_serialized_size + 4);
            }
        }
        Self::new(name, Type::object(name), Shape::Object(Object { fields, properties }), 0, min)
    }

    /// A value of a plain type, of no known size.
    pub fn of_type(t: Type) -> Self {
        Self { nullable: true, ..Self::new("dyn", t, Shape::Dyn, 0, 1) }
    }

    /// An object type from fields as expressions name them; for types that no schema describes.
    pub fn object_of_fields(name: &str, fields: impl IntoIterator<Item = (&'static str, Arc<Self>)>) -> Self {
        Self::object_of_names(name, fields.into_iter().map(|(n, t)| (Str::new_static(n), t)))
    }

    /// [`object_of_fields`](Self::object_of_fields) with names that are not known beforehand.
    pub fn object_of_names(name: &str, fields: impl IntoIterator<Item = (Str, Arc<Self>)>) -> Self {
        let fields: BTreeMap<Str, Arc<Self>> = fields.into_iter().collect();
        let properties = fields
            .iter()
            .map(|(n, t)| {
                (crate::escape::unescape(n).map_or_else(|| n.clone(), |u| u.as_ref().into()), t.clone())
            })
            .collect();
        Self::new(name, Type::object(name), Shape::Object(Object { fields, properties }), 0, 2)
    }

    /// The same type with another `nullable`.
    #[must_use]
    pub fn nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    pub(crate) fn is_date(&self) -> bool {
        self.min_serialized_size == DATE
    }

    /// The type of elements or values; anything where the type says nothing of them.
    pub(crate) fn element(&self) -> &Self {
        match &self.shape {
            Shape::List { element, .. } | Shape::Map(element) => element,
            _ => Self::dynamic(),
        }
    }

    /// The type of a property by its own (not escaped) name.
    pub(crate) fn property(&self, name: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Object(o) => o.properties.get(name).map(|t| &**t),
            _ => None,
        }
    }

    /// A declared field by its escaped name; also a reserved word in plain.
    pub fn field(&self, name: &str) -> Option<&Arc<Self>> {
        match &self.shape {
            Shape::Object(o) => o.fields.get(name).or_else(|| {
                if !crate::escape::is_reserved(name) {
                    return None;
                }
                o.fields.get(format!("__{name}__").as_str())
            }),
            _ => None,
        }
    }

    /// All object types within this one, by name.
    pub(crate) fn collect(this: &Arc<Self>, into: &mut HashMap<Str, Arc<Self>>) {
        match &this.shape {
            Shape::Object(o) => {
                let seen = into.insert(this.name.clone(), this.clone()).is_some();
                for t in o.fields.values().filter(|_| !seen) {
                    Self::collect(t, into);
                }
            }
            Shape::List { element, .. } | Shape::Map(element) => Self::collect(element, into),
            _ => {}
        }
    }
}

/// Sizes as a declared root type bounds them: what upstream uses for rules of custom resources.
#[derive(Clone, Copy, Debug)]
pub struct DeclSizes<'t>(pub &'t DeclType);

impl SizeEstimator for DeclSizes<'_> {
    fn estimate_size(&self, node: &Node<'_>) -> Option<SizeEstimate> {
        let (_, path) = node.path.split_first()?;
        let mut ty = self.0;
        for name in path {
            ty = match &**name {
                "@items" | "@values" => match &ty.shape {
                    Shape::List { element, .. } | Shape::Map(element) => element,
                    _ => return None,
                },
                "@keys" => match &ty.shape {
                    // The keys of a map are strings of no declared size.
                    Shape::Map(_) => return Some(SizeEstimate { min: 0, max: 0 }),
                    _ => return None,
                },
                field => match &ty.shape {
                    Shape::Object(o) => o.fields.get(field)?,
                    _ => return None,
                },
            };
        }
        Some(SizeEstimate { min: 0, max: ty.max_elements.max(0) as u64 })
    }
}
