//! Objects that mutating policies make: `Object{…}` and `JSONPatch{…}`.
//!
//! Upstream counterparts: apiserver `pkg/cel/mutation`, `pkg/cel/library/jsonpatch.go`.

use std::rc::Rc;

use crate::decls::Library;
use crate::library::string;
use crate::types::Type;
use crate::val::{Eval, StructVal, Val, fail};

pub(crate) const JSON_PATCH: &str = "JSONPatch";
const OBJECT: &str = "Object";

pub(crate) const JSON_PATCH_LIBRARY: Library = Library {
    since: 0,
    signatures: "
        jsonpatch.escapeKey string_jsonpatch_escapeKey_string (string) -> string
    ",
    runs: &[("jsonpatch.escapeKey", |c, a| {
        Ok(Val::string(string(c, a, 0)?.replace('~', "~0").replace('/', "~1")))
    })],
};

/// `Object` or `Object.spec.…`
pub(crate) fn is_object_type(name: &str) -> bool {
    name.strip_prefix(OBJECT).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Every field of an object type is dynamic.
pub(crate) fn object_field(_type_name: &str, _field: &str) -> Option<Type> {
    Some(Type::Dyn)
}

pub(crate) fn json_patch_field(field: &str) -> Option<Type> {
    match field {
        "op" | "path" | "from" => Some(Type::String),
        "value" => Some(Type::Dyn),
        _ => None,
    }
}

/// Makes an object.
pub(crate) fn make(made: StructVal<'_>) -> Eval<Val<'_>> {
    if made.type_name == JSON_PATCH {
        for (name, v) in &made.fields {
            if name != "value" && !matches!(v, Val::String(_)) {
                let found = v.type_of();
                return fail(format!(
                    "unexpected type {} for JSONPatchType '{name}' field",
                    found.runtime_name()
                ));
            }
        }
    }
    Ok(Val::Struct(Rc::new(made)))
}
