//! The Go types of the built-in kinds, as data.
//!
//! Upstream's counterpart is the structs of `k8s.io/api` and what `reflect`, `protoc-gen-gogo` and
//! `openapi-gen` make of their tags and markers. The table is a text file, read once at the first use:
//! 1,200 types as static Rust data would be some 600 KB of relocated (thus dirty) pages and a slow compile,
//! the text is shared pages and costs less than a millisecond.

mod load;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// All types. Ids are stable within one build only.
#[derive(Debug)]
pub struct Types {
    types: Vec<Type>,
    by_reference: HashMap<&'static str, TypeId, NameHasher>,
    /// Short name → Go path of the package.
    packages: Vec<(&'static str, &'static str)>,
}

/// A type's place in [`Types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(u16);

/// A Go type.
#[derive(Debug)]
pub struct Type {
    /// The reference: package below its root and name (`core/v1.Pod`); empty for unnamed types.
    reference: &'static str,
    /// The name without its package; empty for unnamed types.
    name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// The known values of a named string type, separated by `|`.
    values: &'static str,
}

/// What a type is, and so what its JSON and protobuf forms are.
#[derive(Debug)]
pub enum Shape {
    /// A struct: an object in JSON, a message in protobuf.
    Struct(Box<Struct>),
    /// A slice.
    List(TypeId),
    /// A named slice that protobuf holds in a message of its own (`Verbs`, `ExtraValue`).
    MessageList(TypeId),
    /// A map with keys of a string type.
    Map {
        /// Type of the keys; only its name is of interest.
        key: TypeId,
        /// Type of the values.
        value: TypeId,
    },
    /// `string` or a named string.
    String,
    /// `bool`.
    Bool,
    /// `int32` or a named one.
    Int32,
    /// `int64` or a named one.
    Int64,
    /// `float64`.
    Float64,
    /// `[]byte`: base64 in JSON.
    Bytes,
    /// `resource.Quantity`: a canonical string in JSON.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// `metav1.Time`: seconds.
    Time,
    /// `metav1.MicroTime`: microseconds.
    MicroTime,
    /// `metav1.Duration`: `1m0s` in JSON.
    Duration,
    /// `runtime.RawExtension`: any JSON; raw bytes in protobuf.
    RawExtension,
    /// `metav1.FieldsV1`: any JSON; raw bytes in protobuf.
    FieldsV1,
    /// `apiextensions/v1.JSON`: any JSON; raw bytes in protobuf.
    Json,
    /// `JSONSchemaPropsOrBool`; the schema's type.
    SchemaOrBool(TypeId),
    /// `JSONSchemaPropsOrArray`; the schema's type.
    SchemaOrArray(TypeId),
    /// `JSONSchemaPropsOrStringArray`; the schema's type.
    SchemaOrStrings(TypeId),
    /// `interface{}`: any JSON.
    Any,
}

/// A struct's fields.
#[derive(Debug, Default)]
pub struct Struct {
    /// The JSON fields in Go order, those of inlined structs in their place.
    pub fields: Vec<Field>,
    /// Indexes into `fields` in order of their JSON names.
    pub(crate) sorted: Vec<u16>,
    /// Position of each field in `sorted`.
    pub(crate) rank: Vec<u16>,
    /// Ranks of the fields that JSON prints even when they are zero.
    pub(crate) always: Vec<u16>,
    /// The same as bits.
    pub(crate) always_mask: u128,
    /// Open-addressed table from a hash of the JSON name to index + 1; the length is a power of two.
    hashed: Vec<u16>,
    /// Members of the protobuf message, in order of their numbers.
    pub(crate) wire: Vec<Wire>,
    /// `+structType`: `atomic` if the struct is owned as a whole in server-side apply.
    pub struct_type: &'static str,
}

/// A member of a protobuf message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// The field number.
    pub(crate) number: u32,
    /// What it holds.
    pub(crate) kind: WireKind,
}

/// What a member of a protobuf message holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WireKind {
    /// The field with this index.
    Field(u16),
    /// An inlined struct: its fields lie in the same JSON object, but in a message of their own.
    Inlined(TypeId),
}

/// How lists (and in the case of `Atomic` maps and structs too) merge in server-side apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Not said; treated as atomic.
    #[default]
    Unset,
    /// Owned as a whole.
    Atomic,
    /// Unique scalars, owned one by one.
    Set,
    /// Objects with key fields, owned one by one.
    Map,
}

/// A field of a struct as JSON sees it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in JSON.
    pub json: &'static str,
    /// Name in Go.
    pub go: &'static str,
    /// Type, without the pointer.
    pub ty: TypeId,
    /// Protobuf field number in the message of the struct that declares it; 0 if it has none.
    pub number: u32,
    /// Go names of the inlined structs that lead to it, separated by dots; empty for a field of the struct.
    pub inlined: &'static str,
    /// Whether it is a pointer: absence is not the zero value.
    pub pointer: bool,
    /// `omitempty`: absent in JSON if false, 0, empty or nil (never for structs).
    pub omitempty: bool,
    /// `omitzero`: absent in JSON if it is the zero value.
    pub omitzero: bool,
    /// `+optional`.
    pub optional: bool,
    /// Whether OpenAPI lists it as required.
    pub required: bool,
    /// `+listType`.
    pub list_type: ListType,
    /// `+listMapKey`, in order.
    pub list_map_keys: Vec<&'static str>,
    /// `patchMergeKey` of strategic merge patch; empty if there is none.
    pub patch_merge_key: &'static str,
    /// `patchStrategy` of strategic merge patch: `merge`, `replace`, `retainKeys`, `merge,retainKeys` or empty.
    pub patch_strategy: &'static str,
    /// `+mapType`: `atomic`, `granular` or empty.
    pub map_type: &'static str,
    /// `+structType` on the field: `atomic`, `granular` or empty.
    pub struct_type: &'static str,
    /// `+default`: JSON, or `ref(GoConstant)`; empty if there is none.
    pub default: &'static str,
    /// Feature gates that the field needs, separated by commas; empty if none.
    pub feature_gate: &'static str,
}

static BUILTIN: LazyLock<Types> = LazyLock::new(|| load::load(include_str!("table.txt")));

impl Types {
    /// The types of this Kubernetes version.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The type with this id.
    pub fn get(&self, id: TypeId) -> &Type {
        // Ids are made by `load` only, as indexes.
        &self.types[usize::from(id.0)]
    }

    /// The shape of the type with this id.
    pub fn shape(&self, id: TypeId) -> &Shape {
        &self.get(id).shape
    }

    /// The struct with this id, if it is one.
    pub fn structure(&self, id: TypeId) -> Option<&Struct> {
        match self.shape(id) {
            Shape::Struct(s) => Some(s),
            _ => None,
        }
    }

    /// The type with this Go name, as `k8s.io/api/core/v1.Pod` or short as `core/v1.Pod`.
    pub fn by_go_name(&self, name: &str) -> Option<TypeId> {
        if let Some(id) = self.by_reference.get(name) {
            return Some(*id);
        }
        let (path, name) = name.rsplit_once('.')?;
        let (short, _) = self.packages.iter().find(|(_, p)| *p == path)?;
        self.by_reference.get(format!("{short}.{name}").as_str()).copied()
    }

    /// The type of a protobuf message, as `k8s.io.api.core.v1.Pod`.
    pub fn by_message(&self, message: &str) -> Option<TypeId> {
        let (package, name) = message.rsplit_once('.')?;
        let same = |path: &str| {
            path.len() == package.len()
                && path
                    .bytes()
                    .zip(package.bytes())
                    .all(|(a, b)| a == b || matches!((a, b), (b'/', b'.') | (b'-', b'_')))
        };
        let (short, _) = self.packages.iter().find(|(_, path)| same(path))?;
        self.by_reference.get(format!("{short}.{name}").as_str()).copied()
    }

    /// The type of a kind, as `("apps", "v1", "Deployment")`; the core group is empty. Kinds that every group
    /// has (`Status`, `DeleteOptions`, …) are found in any.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let package = match group {
            "" => "core",
            "internal.apiserver.k8s.io" => "apiserverinternal",
            _ => group.split('.').next().unwrap_or(group),
        };
        let find = |reference: String| self.by_reference.get(reference.as_str()).copied();
        find(format!("{package}/{version}.{kind}")).or_else(|| find(format!("meta/v1.{kind}")))
    }

    /// The name as Go's errors print it: `v1.PodSpec`, `[]v1.Container`, `map[string]string`.
    pub fn name(&self, id: TypeId) -> Cow<'static, str> {
        let ty = self.get(id);
        if !ty.reference.is_empty() {
            return Cow::Borrowed(ty.reference.rsplit('/').next().unwrap_or(ty.reference));
        }
        match &ty.shape {
            Shape::List(element) => Cow::Owned(format!("[]{}", self.name(*element))),
            Shape::Map { key, value } => Cow::Owned(format!("map[{}]{}", self.name(*key), self.name(*value))),
            Shape::Bytes => Cow::Borrowed("[]uint8"),
            _ => Cow::Borrowed("interface {}"),
        }
    }

    /// The full Go name, `k8s.io/api/core/v1.Pod`; empty for types that have none.
    pub fn go_name(&self, id: TypeId) -> String {
        let reference = self.get(id).reference;
        let Some((short, name)) = reference.rsplit_once('.') else { return reference.to_owned() };
        let path = self.packages.iter().find(|(s, _)| *s == short).map_or(short, |(_, path)| path);
        format!("{path}.{name}")
    }

    /// All types with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, ty)| (TypeId(u16::try_from(i).unwrap_or(u16::MAX)), ty))
    }
}

impl Type {
    /// The name without its package, as Go's `reflect.Type.Name`; empty for unnamed types.
    pub const fn short_name(&self) -> &'static str {
        self.name
    }

    /// The package below its root (`core/v1`); empty for Go's own types.
    pub fn package(&self) -> &'static str {
        self.reference.rsplit_once('.').map_or("", |(package, _)| package)
    }

    /// The known values of a named string type; none if they are not known.
    pub fn values(&self) -> impl Iterator<Item = &'static str> {
        self.values.split('|').filter(|_| !self.values.is_empty())
    }
}

impl Struct {
    /// The field with this JSON name.
    pub fn field(&self, json: &str) -> Option<&Field> {
        self.index_of(json.as_bytes()).and_then(|i| self.fields.get(i))
    }

    /// The index of the field with this JSON name.
    pub(crate) fn index_of(&self, json: &[u8]) -> Option<usize> {
        let mask = self.hashed.len().wrapping_sub(1);
        let mut slot = hash(json) & mask;
        loop {
            // The table is at most half full, so the walk ends.
            let index = usize::from(*self.hashed.get(slot)?).checked_sub(1)?;
            if self.fields.get(index)?.json.as_bytes() == json {
                return Some(index);
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// Hashes the names of types. They are ours, and what is looked up is not stored, so nobody can make it slow.
type NameHasher = BuildHasherDefault<NameHash>;

#[derive(Clone, Debug, Default)]
struct NameHash(u64);

impl Hasher for NameHash {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A cheap hash of a field name: its ends, middle and length tell most names of a struct apart.
fn hash(name: &[u8]) -> usize {
    let [first, .., last] = name else { return name.first().map_or(0, |b| usize::from(*b)) };
    let byte = |i: usize| u32::from(name.get(i).copied().unwrap_or(0));
    let bits =
        u32::from(*first) | u32::from(*last) << 8 | byte(name.len() / 2) << 16 | byte(name.len() - 2) << 24;
    ((bits ^ (name.len() as u32) << 5).wrapping_mul(0x9e37_79b1) >> 15) as usize
}
