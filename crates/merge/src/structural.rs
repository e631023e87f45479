//! The types of custom resources, from the structural schemas of their definitions.
//!
//! Upstream: the OpenAPI that `k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder` makes of a
//! definition, by way of `k8s.io/kube-openapi/pkg/schemaconv`.

use crate::DEPTH_MAX;
use crate::builtin;
use crate::types::{Atom, Builder, Field, ListRelation, ListType, MapType, Scalar, Trust, Type, TypeId};
use value::{Str, Value};

/// The type of objects of one version. `schema` is the version's `openAPIV3Schema` (null if it has none),
/// which is valid; `preserve_unknown` is the definition's `spec.preserveUnknownFields`.
pub fn type_of(schema: &Value, preserve_unknown: bool) -> Type {
    let mut builder = Builder::new();
    let metadata = builder.import(&builtin::metadata());
    let embedded = schema::Types::builtin().by_go_name("meta/v1.ObjectMeta").and_then(builtin::type_of);
    let embedded = embedded.map_or(TypeId::DEDUCED, |ty| builder.import(&ty));
    let mut load = Load { builder, embedded };
    let root = if schema.is_null() {
        // Any object; but managed fields are ours.
        Atom::map(MapType::new(vec![Field::new("metadata", metadata)], Some(TypeId::DEDUCED)))
    } else {
        load.atom(schema, Within { preserve_unknown, metadata: Some(metadata) }, DEPTH_MAX)
    };
    let id = load.builder.add(root);
    Type { schema: load.builder.finish(Trust::Nothing), id }
}

/// What the way to a schema says of it.
#[derive(Clone, Copy)]
struct Within {
    /// Unknown fields are kept here and below.
    preserve_unknown: bool,
    /// It is a whole object, the root or an embedded resource: the type of its metadata.
    metadata: Option<TypeId>,
}

struct Load {
    builder: Builder,
    /// The metadata of embedded resources.
    embedded: TypeId,
}

impl Load {
    fn ty(&mut self, schema: &Value, within: Within, depth: usize) -> TypeId {
        if depth == 0 {
            return TypeId::DEDUCED;
        }
        let is_embedded = schema.at("x-kubernetes-embedded-resource").bool();
        let metadata = is_embedded.then_some(self.embedded);
        let atom = self.atom(schema, Within { metadata, ..within }, depth);
        match atom {
            Atom { scalar: Some(scalar), list: None, map: None } => match scalar {
                Scalar::Numeric => TypeId::NUMERIC,
                Scalar::String => TypeId::STRING,
                Scalar::Boolean => TypeId::BOOLEAN,
                Scalar::Untyped => TypeId::UNTYPED,
            },
            atom => self.builder.add(atom),
        }
    }

    fn atom(&mut self, schema: &Value, mut within: Within, depth: usize) -> Atom {
        within.preserve_unknown |= schema.at("x-kubernetes-preserve-unknown-fields").bool();
        match schema.at("type").str() {
            "object" => Atom::map(self.map(schema, within, depth)),
            "array" => Atom { list: Some(self.list(schema, within, depth)), ..Atom::default() },
            "integer" | "number" => Atom::scalar(Scalar::Numeric),
            "boolean" => Atom::scalar(Scalar::Boolean),
            "string" if matches!(schema.at("format").str(), "" | "byte") => Atom::scalar(Scalar::String),
            "string" => Atom::scalar(Scalar::Untyped),
            _ => Atom {
                scalar: Some(Scalar::Untyped),
                list: Some(self.list(schema, within, depth)),
                map: Some(self.map(schema, within, depth)),
            },
        }
    }

    fn map(&mut self, schema: &Value, within: Within, depth: usize) -> MapType {
        let mut fields = Vec::new();
        for (name, member) in schema.at("properties").entries() {
            let ty = self.ty(member, within, depth - 1);
            fields.push(Field { default: member.get("default").cloned(), ..Field::new(name.clone(), ty) });
        }
        if let Some(metadata) = within.metadata {
            fields.retain(|f| !matches!(f.name.as_str(), "apiVersion" | "kind" | "metadata"));
            fields.push(Field::new("apiVersion", TypeId::STRING));
            fields.push(Field::new("kind", TypeId::STRING));
            fields.push(Field::new("metadata", metadata));
        }
        let element = match schema.at("additionalProperties") {
            Value::Null if within.preserve_unknown || fields.is_empty() => Some(TypeId::DEDUCED),
            Value::Null | Value::Bool(false) => None,
            Value::Bool(true) => Some(TypeId::DEDUCED),
            member => Some(self.ty(member, within, depth - 1)),
        };
        let map = MapType::new(fields, element);
        if schema.at("x-kubernetes-map-type").str() == "atomic" { map.atomic() } else { map }
    }

    fn list(&mut self, schema: &Value, within: Within, depth: usize) -> ListType {
        let relation = match schema.at("x-kubernetes-list-type").str() {
            "set" => ListRelation::Set,
            "map" => {
                let keys = schema.at("x-kubernetes-list-map-keys").items().iter();
                ListRelation::Map(keys.map(|k| Str::from(k.str())).collect())
            }
            _ => ListRelation::Atomic,
        };
        let element = match schema.at("items") {
            Value::Null => TypeId::UNTYPED_ATOMIC,
            items => self.ty(items, within, depth - 1),
        };
        ListType { element, relation }
    }
}

#[cfg(test)]
mod tests;
