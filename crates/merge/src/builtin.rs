//! The types of the built-in kinds, from the Go types' markers.
//!
//! What upstream gets from its OpenAPI documents by way of `k8s.io/kube-openapi/pkg/schemaconv`: lists are
//! atomic unless `+listType` says otherwise, structs and maps are owned field by field unless they are
//! marked atomic, and a key's `+default` stands in where an item leaves it out.

use crate::types::{Atom, Builder, Field, ListRelation, MapType, Schema, Trust, Type, TypeId};
use schema::{ListType, Shape, Types};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use value::Value;

/// The merge type of a built-in Go type, usually a kind's struct; `None` if it is no struct.
pub fn type_of(go: schema::TypeId) -> Option<Type> {
    let id = *BUILTIN.structs.get(&go)?;
    Some(Type { schema: BUILTIN.schema.clone(), id })
}

/// The type of an object's own `metadata`, whose managed fields are opaque; metadata of objects within
/// objects have those of ObjectMeta, like any struct.
pub fn metadata() -> Type {
    Type { schema: BUILTIN.schema.clone(), id: BUILTIN.metadata }
}

struct Builtin {
    schema: Arc<Schema>,
    structs: HashMap<schema::TypeId, TypeId>,
    metadata: TypeId,
}

static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| {
    let types = Types::builtin();
    let mut builder = Builder::new();
    let metadata = builder.declare();
    let mut load = Load { types, builder, metadata, structs: HashMap::new(), overridden: HashMap::new() };
    for (id, ty) in types.iter() {
        if matches!(ty.shape, Shape::Struct(_)) {
            let declared = load.builder.declare();
            load.structs.insert(id, declared);
        }
    }
    for (id, ty) in types.iter() {
        if let Shape::Struct(structure) = &ty.shape {
            let map = load.map_of(id, structure.struct_type == "atomic");
            load.builder.define(load.structs[&id], Atom::map(map));
        }
    }
    if let Some(id) = types.by_go_name(OBJECT_META) {
        let mut map = load.map_of(id, false);
        map.set_type("managedFields", TypeId::OPAQUE);
        load.builder.define(metadata, Atom::map(map));
    }
    Builtin { schema: load.builder.finish(Trust::Decoded), structs: load.structs, metadata }
});

const OBJECT_META: &str = "meta/v1.ObjectMeta";

struct Load {
    types: &'static Types,
    builder: Builder,
    metadata: TypeId,
    structs: HashMap<schema::TypeId, TypeId>,
    /// Structs whose ownership a field overrides: with whether they are atomic there.
    overridden: HashMap<(schema::TypeId, bool), TypeId>,
}

impl Load {
    fn map_of(&mut self, id: schema::TypeId, atomic: bool) -> MapType {
        let fields: &'static [schema::Field] =
            self.types.structure(id).map(|s| s.fields.as_slice()).unwrap_or_default();
        let is_kind = fields.iter().any(|f| f.inlined == "TypeMeta");
        let object_meta = self.types.by_go_name(OBJECT_META);
        let out = fields.iter().map(|f| {
            let is_metadata = is_kind && f.json == "metadata" && Some(f.ty) == object_meta;
            let ty = if is_metadata { self.metadata } else { self.field_type(f) };
            Field { default: default_of(self.types, f), ..Field::new(f.json, ty) }
        });
        // A struct without fields is any object.
        let element = if fields.is_empty() { Some(TypeId::DEDUCED) } else { None };
        let map = MapType::new(out.collect(), element);
        if atomic { map.atomic() } else { map }
    }

    fn field_type(&mut self, field: &'static schema::Field) -> TypeId {
        let marked = |text| field.map_type == text || field.struct_type == text;
        match self.types.shape(field.ty) {
            Shape::List(element) => {
                let element = self.plain_type(*element);
                let relation = match field.list_type {
                    ListType::Unset | ListType::Atomic => ListRelation::Atomic,
                    ListType::Set => ListRelation::Set,
                    ListType::Map => {
                        ListRelation::Map(field.list_map_keys.iter().map(|k| (*k).into()).collect())
                    }
                };
                self.builder.add(Atom::list(element, relation))
            }
            Shape::Map { value, .. } => {
                let value = self.plain_type(*value);
                let map = MapType::new(Vec::new(), Some(value));
                self.builder.add(Atom::map(if marked("atomic") { map.atomic() } else { map }))
            }
            Shape::Struct(s) => {
                let by_type = s.struct_type == "atomic";
                let here = if marked("atomic") { true } else { by_type && !marked("granular") };
                if here == by_type { self.structs[&field.ty] } else { self.overridden(field.ty, here) }
            }
            _ => self.plain_type(field.ty),
        }
    }

    /// A type where no marker says anything.
    fn plain_type(&mut self, id: schema::TypeId) -> TypeId {
        match self.types.shape(id) {
            Shape::Struct(_) => self.structs[&id],
            Shape::List(element) | Shape::MessageList(element) => {
                let element = self.plain_type(*element);
                self.builder.add(Atom::list(element, ListRelation::Atomic))
            }
            Shape::Map { value, .. } => {
                let value = self.plain_type(*value);
                self.builder.add(Atom::map(MapType::new(Vec::new(), Some(value))))
            }
            Shape::Bool => TypeId::BOOLEAN,
            Shape::Int32 | Shape::Int64 | Shape::Float64 => TypeId::NUMERIC,
            Shape::String | Shape::Bytes | Shape::Duration => TypeId::STRING,
            Shape::Quantity | Shape::Time | Shape::MicroTime => TypeId::UNTYPED,
            Shape::RawExtension => TypeId::UNTYPED_ATOMIC,
            _ => TypeId::DEDUCED,
        }
    }

    fn overridden(&mut self, id: schema::TypeId, atomic: bool) -> TypeId {
        if let Some(found) = self.overridden.get(&(id, atomic)) {
            return *found;
        }
        let declared = self.builder.declare();
        self.overridden.insert((id, atomic), declared);
        let map = self.map_of(id, atomic);
        self.builder.define(declared, Atom::map(map));
        declared
    }
}

/// A field's default in OpenAPI: as marked, else the zero of a scalar that is always there. References to
/// Go constants do not stand at keys of lists, where alone defaults count; a test watches that.
fn default_of(types: &Types, field: &schema::Field) -> Option<Value> {
    if !field.default.is_empty() {
        return value::json::parse(field.default.as_bytes()).ok();
    }
    if field.pointer || field.omitempty || field.omitzero {
        return None;
    }
    match types.shape(field.ty) {
        Shape::Bool => Some(Value::Bool(false)),
        Shape::Int32 | Shape::Int64 | Shape::Float64 => Some(Value::from(0)),
        Shape::String => Some(Value::from("")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
