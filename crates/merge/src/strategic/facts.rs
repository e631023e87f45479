//! The patch facts of Go types: `patchStrategy` and `patchMergeKey` of their fields.
//!
//! Upstream: `strategicpatch/meta.go` and `third_party/forked/golang/json/fields.go`.

use super::Error;
use meta::quote::quote;
use schema::{Field, Shape, TypeId, Types};

/// A type on the way down, and whether a pointer led to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    ty: TypeId,
    pointer: bool,
}

impl Facts {
    pub(super) const fn of(ty: TypeId) -> Self {
        Self { ty, pointer: false }
    }

    /// The kind of the type, as Go's `reflect` names it.
    pub(super) fn kind(self) -> &'static str {
        if self.pointer { "ptr" } else { self.element_kind() }
    }

    fn element_kind(self) -> &'static str {
        match Types::builtin().shape(self.ty) {
            Shape::List(_) | Shape::MessageList(_) | Shape::Bytes => "slice",
            Shape::Map { .. } => "map",
            Shape::String => "string",
            Shape::Bool => "bool",
            Shape::Int32 => "int32",
            Shape::Int64 => "int64",
            Shape::Float64 => "float64",
            Shape::Any => "interface",
            _ => "struct",
        }
    }

    /// The field with this JSON name, letter case aside if need be.
    pub(super) fn field(self, key: &str) -> Result<FieldFacts, Error> {
        let types = Types::builtin();
        let Some(structure) = types.structure(self.ty) else {
            return Err(Error::Other(match self.element_kind() {
                "struct" => self.not_found(key),
                kind => {
                    format!("merging an object in json but data type is not struct, instead is: {kind}")
                }
            }));
        };
        let folded = || structure.fields.iter().find(|f| f.json.eq_ignore_ascii_case(key));
        let field = structure.field(key).or_else(folded);
        let field = field.ok_or_else(|| Error::Other(self.not_found(key)))?;
        Ok(FieldFacts { field, facts: Self { ty: field.ty, pointer: field.pointer } })
    }

    fn not_found(self, key: &str) -> String {
        let name = Types::builtin().get(self.ty).short_name();
        format!("unable to find api field in struct {name} for the json field {}", quote(key))
    }

    /// The same for a list; the facts are those of its items.
    pub(super) fn list_field(self, key: &str) -> Result<FieldFacts, Error> {
        let found = self.field(key)?;
        let types = Types::builtin();
        let element = match types.shape(found.field.ty) {
            Shape::List(element) | Shape::MessageList(element) => Self::of(*element),
            _ if found.field.pointer => Self::of(found.field.ty),
            Shape::Bytes => return Ok(found),
            _ => {
                let text = format!("expected slice or array type, but got: {}", self.kind());
                return Err(Error::Other(text));
            }
        };
        if !found.field.pointer && element.element_kind() == "slice" {
            return Err(Error::Other("unexpected slice of slice".into()));
        }
        Ok(FieldFacts { facts: element, ..found })
    }
}

/// A field's tags, and the type to go on with.
#[derive(Clone, Copy)]
pub(super) struct FieldFacts {
    field: &'static Field,
    facts: Facts,
}

impl FieldFacts {
    pub(super) const fn facts(&self) -> Facts {
        self.facts
    }

    pub(super) const fn merge_key(&self) -> &'static str {
        self.field.patch_merge_key
    }

    /// The strategy, `retainKeys` aside.
    pub(super) fn strategy(&self) -> Result<&'static str, Error> {
        let parts: Vec<&str> = self.field.patch_strategy.split(',').collect();
        match *parts.as_slice() {
            ["retainKeys"] => Ok(""),
            [only] => Ok(only),
            ["retainKeys", other] | [other, "retainKeys"] => Ok(other),
            _ => Err(Error::Other(format!("unexpected patch strategy: [{}]", parts.join(" ")))),
        }
    }
}
