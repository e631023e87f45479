//! What of an object can be owned separately: the type model of server-side apply.
//!
//! A [`Schema`] is an arena of [`Atom`]s; a [`TypeId`] names one of them, so that types may be recursive.
//! An atom says which forms a value may take (scalar, list, map) and for containers whether they are owned
//! as a whole (*atomic*) or item by item. Upstream: structured-merge-diff `schema/elements.go`, and
//! `k8s.io/kube-openapi/pkg/schemaconv` for how OpenAPI becomes such a schema.

use std::collections::HashMap;
use std::sync::Arc;
use value::{Str, Value};

/// Names a type within its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(u32);

impl TypeId {
    /// Not looked at and never owned: `metadata.managedFields`, which this crate keeps itself.
    pub const OPAQUE: Self = Self(0);
    /// Anything, owned as a whole: RawExtension.
    pub const UNTYPED_ATOMIC: Self = Self(1);
    /// Anything; maps are owned by entry, all else as a whole: what preserves unknown fields.
    pub const DEDUCED: Self = Self(2);
    /// An integer or a float.
    pub const NUMERIC: Self = Self(3);
    /// A string.
    pub const STRING: Self = Self(4);
    /// A boolean.
    pub const BOOLEAN: Self = Self(5);
    /// Any scalar: quantities, times, IntOrString.
    pub const UNTYPED: Self = Self(6);
}

/// The kinds of scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// An integer or a float.
    Numeric,
    /// A string.
    String,
    /// A boolean.
    Boolean,
    /// Any of them.
    Untyped,
}

/// A type: the forms that a value may take. Usually one; several for untyped values.
#[derive(Clone, Debug, Default)]
pub struct Atom {
    /// It may be a scalar of this kind.
    pub scalar: Option<Scalar>,
    /// It may be such a list.
    pub list: Option<ListType>,
    /// It may be such a map or struct.
    pub map: Option<MapType>,
}

/// A list.
#[derive(Clone, Debug)]
pub struct ListType {
    /// The type of its items.
    pub element: TypeId,
    /// How its items relate.
    pub relation: ListRelation,
}

/// How the items of a list relate (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListRelation {
    /// Owned as a whole.
    Atomic,
    /// Scalars, each once.
    Set,
    /// Structs told apart by these fields.
    Map(Box<[Str]>),
}

/// A map, or a struct, which is a map with named fields.
#[derive(Clone, Debug, Default)]
pub struct MapType {
    fields: Box<[Field]>,
    /// Where the fields are, by a hash of their names: an open-addressed table of indexes + 1, at most half
    /// full, its length a power of two.
    places: Box<[u32]>,
    /// The type of entries that are no named field; `None` if there may be none.
    pub element: Option<TypeId>,
    /// Owned as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

/// A field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: Str,
    /// Its type.
    pub ty: TypeId,
    /// Its default, which counts where the field is a key of a list-map.
    pub default: Option<Value>,
}

impl Field {
    /// A field without default.
    pub fn new(name: impl Into<Str>, ty: TypeId) -> Self {
        Self { name: name.into(), ty, default: None }
    }
}

impl MapType {
    /// A struct; `element` is the type of fields that are not named.
    pub fn new(mut fields: Vec<Field>, element: Option<TypeId>) -> Self {
        fields.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        let places = place(&fields);
        Self { fields: fields.into(), places, element, atomic: false }
    }

    /// The same, owned as a whole.
    #[must_use]
    pub fn atomic(mut self) -> Self {
        self.atomic = true;
        self
    }

    /// The named field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let mask = self.places.len().wrapping_sub(1);
        let mut slot = hash(name.as_bytes()) & mask;
        loop {
            // A table that is at most half full has an empty place on every way; an empty table has none.
            let i = (*self.places.get(slot)? as usize).checked_sub(1)?;
            let field = &self.fields[i];
            if field.name == name {
                return Some(field);
            }
            slot = (slot + 1) & mask;
        }
    }

    pub(crate) fn set_type(&mut self, name: &str, ty: TypeId) {
        if let Some(field) = self.fields.iter_mut().find(|f| f.name == name) {
            field.ty = ty;
        }
    }

    /// The type of an entry.
    pub fn type_of(&self, name: &str) -> Option<TypeId> {
        self.field(name).map(|f| f.ty).or(self.element)
    }

    /// The named fields, sorted by name.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether it says nothing of its entries; the sets of such maps are not reconciled.
    pub(crate) fn is_deduced(&self) -> bool {
        self.fields.is_empty() && matches!(self.element, Some(TypeId::DEDUCED | TypeId::UNTYPED))
    }
}

fn place(fields: &[Field]) -> Box<[u32]> {
    if fields.is_empty() {
        return Box::default();
    }
    let mut places = vec![0; (2 * fields.len()).next_power_of_two()];
    let mask = places.len() - 1;
    for (i, field) in fields.iter().enumerate() {
        let mut slot = hash(field.name.as_bytes()) & mask;
        while places[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        places[slot] = u32::try_from(i + 1).expect("fewer than 2^32 fields fit in memory");
    }
    places.into()
}

/// A cheap hash of a field name: length, ends and middle tell most fields of a struct apart. Schemas come
/// from administrators, so nobody gains by colliding names.
fn hash(name: &[u8]) -> usize {
    let byte = |i: usize| usize::from(name.get(i).copied().unwrap_or(0));
    let n = name.len();
    let ends = byte(0) | byte(n / 2) << 8 | byte(n.wrapping_sub(2)) << 16 | byte(n.wrapping_sub(1)) << 24;
    let h = (ends ^ n << 7).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize);
    h >> 20
}

impl Atom {
    /// A scalar.
    pub fn scalar(kind: Scalar) -> Self {
        Self { scalar: Some(kind), ..Self::default() }
    }

    /// A list.
    pub fn list(element: TypeId, relation: ListRelation) -> Self {
        Self { list: Some(ListType { element, relation }), ..Self::default() }
    }

    /// A map or struct.
    pub fn map(map: MapType) -> Self {
        Self { map: Some(map), ..Self::default() }
    }

    /// Whether a value may take more than one form.
    pub(crate) fn is_mixed(&self) -> bool {
        usize::from(self.scalar.is_some())
            + usize::from(self.list.is_some())
            + usize::from(self.map.is_some())
            > 1
    }
}

/// Where the trees of a schema come from, and so what need not be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Anything may stand anywhere.
    #[default]
    Nothing,
    /// Stored and decoded trees have passed a codec that admits the type's fields and forms only: of them
    /// just the keys of lists are checked. Applied configurations are always checked in full.
    Decoded,
}

/// An immutable set of types. Share it by `Arc`.
#[derive(Debug)]
pub struct Schema {
    atoms: Box<[Atom]>,
    /// By type: whether a decoded value can be invalid, that is, has a list with keys somewhere.
    checked: Box<[bool]>,
}

impl Schema {
    /// The definition of a type of this schema.
    pub fn atom(&self, ty: TypeId) -> &Atom {
        &self.atoms[ty.0 as usize]
    }

    pub(crate) fn needs_check(&self, ty: TypeId) -> bool {
        self.checked[ty.0 as usize]
    }
}

/// A type with the schema that it stands in.
#[derive(Clone, Debug)]
pub struct Type {
    /// The schema.
    pub schema: Arc<Schema>,
    /// The type in it.
    pub id: TypeId,
}

impl Type {
    /// The type of objects of which nothing is known but that they have metadata.
    pub fn deduced() -> Self {
        let mut b = Builder::new();
        let meta = b.add(Atom::map(MapType::new(
            vec![Field::new("managedFields", TypeId::OPAQUE)],
            Some(TypeId::DEDUCED),
        )));
        let root = b.add(Atom::map(MapType::new(vec![Field::new("metadata", meta)], Some(TypeId::DEDUCED))));
        Self { schema: b.finish(Trust::Nothing), id: root }
    }

    /// Whether it is the same type, not just an equal one.
    pub fn is(&self, other: &Self) -> bool {
        self.id == other.id && Arc::ptr_eq(&self.schema, &other.schema)
    }
}

/// Builds a [`Schema`].
///
/// ```
/// use merge::types::{Atom, Builder, Field, ListRelation, MapType, Trust, TypeId};
/// let mut b = Builder::new();
/// // A recursive type: declare it, use it, define it.
/// let node = b.declare();
/// let children = b.add(Atom::list(node, ListRelation::Map(Box::new(["name".into()]))));
/// let fields = vec![Field::new("name", TypeId::STRING), Field::new("children", children)];
/// b.define(node, Atom::map(MapType::new(fields, None)));
/// let schema = b.finish(Trust::Nothing);
/// assert!(schema.atom(node).map.is_some());
/// ```
#[derive(Debug)]
pub struct Builder {
    atoms: Vec<Atom>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A builder with the predefined types.
    pub fn new() -> Self {
        let anything = |atomic: bool, element: TypeId| Atom {
            scalar: Some(Scalar::Untyped),
            list: Some(ListType { element: TypeId::UNTYPED_ATOMIC, relation: ListRelation::Atomic }),
            map: Some(MapType { element: Some(element), atomic, ..MapType::default() }),
        };
        let atoms = vec![
            Atom::default(),
            anything(true, TypeId::UNTYPED_ATOMIC),
            anything(false, TypeId::DEDUCED),
            Atom::scalar(Scalar::Numeric),
            Atom::scalar(Scalar::String),
            Atom::scalar(Scalar::Boolean),
            Atom::scalar(Scalar::Untyped),
        ];
        Self { atoms }
    }

    /// Names a type that is defined later, by [`Builder::define`]. Until then it is opaque.
    pub fn declare(&mut self) -> TypeId {
        self.add(Atom::default())
    }

    /// Defines a declared type.
    pub fn define(&mut self, ty: TypeId, atom: Atom) {
        self.atoms[ty.0 as usize] = atom;
    }

    /// Adds a type.
    pub fn add(&mut self, atom: Atom) -> TypeId {
        let id = u32::try_from(self.atoms.len()).expect("fewer than 2^32 types fit in memory");
        self.atoms.push(atom);
        TypeId(id)
    }

    /// Copies a type of another schema, with all that it refers to.
    pub fn import(&mut self, ty: &Type) -> TypeId {
        let mut copies = HashMap::new();
        self.copy(&ty.schema, ty.id, &mut copies)
    }

    fn copy(&mut self, from: &Schema, ty: TypeId, copies: &mut HashMap<TypeId, TypeId>) -> TypeId {
        if ty.0 <= TypeId::UNTYPED.0 {
            return ty;
        }
        if let Some(copy) = copies.get(&ty) {
            return *copy;
        }
        let copy = self.declare();
        copies.insert(ty, copy);
        let mut atom = from.atom(ty).clone();
        if let Some(list) = &mut atom.list {
            list.element = self.copy(from, list.element, copies);
        }
        if let Some(map) = &mut atom.map {
            map.element = map.element.map(|e| self.copy(from, e, copies));
            for field in &mut map.fields {
                field.ty = self.copy(from, field.ty, copies);
            }
        }
        self.define(copy, atom);
        copy
    }

    /// Closes the schema.
    pub fn finish(self, trust: Trust) -> Arc<Schema> {
        let atoms = self.atoms.into_boxed_slice();
        let checked = match trust {
            Trust::Nothing => vec![true; atoms.len()],
            Trust::Decoded => reach_keyed_lists(&atoms),
        };
        Arc::new(Schema { atoms, checked: checked.into() })
    }
}

/// Which types have a list with items of their own somewhere below: a fixed point over the arena.
fn reach_keyed_lists(atoms: &[Atom]) -> Vec<bool> {
    let mut reached: Vec<bool> =
        atoms.iter().map(|a| a.list.as_ref().is_some_and(|l| l.relation != ListRelation::Atomic)).collect();
    loop {
        let mut changed = false;
        for (i, atom) in atoms.iter().enumerate() {
            if reached[i] {
                continue;
            }
            let fields = atom.map.iter().flat_map(|m| m.fields.iter().map(|f| f.ty).chain(m.element));
            let mut below = fields.chain(atom.list.iter().map(|l| l.element));
            if below.any(|ty| reached[ty.0 as usize]) {
                reached[i] = true;
                changed = true;
            }
        }
        if !changed {
            return reached;
        }
    }
}
