//! One mutation: an expression that makes an apply configuration or a JSON patch, laid on the object.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch`.

use super::{Kind, Mutation};
use crate::admission::expressions::{OUT_OF_BUDGET, OutOfBudget, POLICY_COST_MAX};
use crate::resource::Served;
use cel::{Activation, Val, Variables};
use merge::typed::{self, Duplicates};
use merge::types::ListRelation;
use merge::{Type, TypeId};
use meta::quote::Quoted;
use meta::status::Status;
use value::json_patch::JsonPatch;
use value::{Str, Value};

/// The most that `copy` operations of a patch may add to an object: the limit of a request's body.
const COPY_BYTES_MAX: usize = 3 << 20;
/// How deep an apply configuration is looked into; deeper ones do not pass validation anyway.
const DEPTH_MAX: usize = 1_000;

/// Why an object stays as it is.
pub(super) enum Failure {
    /// The policy's failure policy decides.
    Policy(String),
    /// The request fails.
    Request(Box<Status>),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Policy(why)
    }
}

fn internal(why: impl std::fmt::Display) -> Failure {
    Failure::Request(Box::new(Status::internal_error(why)))
}

/// The object as the mutation leaves it, in the same version.
pub(super) fn apply<'v>(
    mutation: &Mutation,
    served: Option<&Served>,
    object: &'v Value,
    scope: &Activation<'v>,
    variables: &Variables<'v>,
) -> Result<Value, Failure> {
    if let Some(why) = mutation.expression.compile_error() {
        return Err(Failure::Policy(why.to_owned()));
    }
    let mut remaining = POLICY_COST_MAX;
    let made = mutation
        .expression
        .eval(scope, Some(variables), &mut remaining)
        .map_err(|OutOfBudget| OUT_OF_BUDGET.to_owned())??;
    let mut new = match mutation.kind {
        Kind::Apply => merge_configuration(&made, served, object)?,
        Kind::JsonPatch => match patch(&made, object)? {
            Some(patched) => patched,
            None => return Ok(object.clone()),
        },
    };
    if let Some(served) = served {
        let strict = mutation.kind == Kind::JsonPatch;
        let decoded = served.codec.decode_tree(&served.row, &new, strict).map_err(|s| internal(s.message))?;
        if let Some(first) = decoded.strict.first() {
            return Err(internal(format!("strict decoding error: {first}")));
        }
        new = decoded.object;
        (served.row.hooks.default)(&mut new);
    }
    Ok(new)
}

fn merge_configuration(made: &Val<'_>, served: Option<&Served>, object: &Value) -> Result<Value, Failure> {
    let Val::Struct(of) = made else {
        return Err(Failure::Policy(format!(
            "unsupported return type from ApplyConfiguration expression: {}",
            made.type_of().declared_name()
        )));
    };
    let mut wrong = Vec::new();
    check_names(made, &of.type_name, &mut wrong);
    if !wrong.is_empty() {
        return Err(Failure::Policy(format!("type mismatch: {}", wrong.join("\n"))));
    }
    let mut configuration = made.to_tree().map_err(|e| e.to_string())?;
    for field in ["apiVersion", "kind"] {
        configuration.set(field, object.at(field).clone());
    }
    let merge_type = served.and_then(|s| s.codec.merge_type()).unwrap_or_else(Type::deduced);
    let Type { schema, id } = &merge_type;
    let failed =
        |what: &str, e: &dyn std::fmt::Display| Failure::Policy(format!("error applying patch: {what}: {e}"));
    typed::validate(schema, *id, &configuration, Duplicates::Refused)
        .map_err(|e| failed("failed to convert patch object to typed object", &e))?;
    let mut atomics = Vec::new();
    find_atomics(&merge_type, *id, &configuration, "", DEPTH_MAX, &mut atomics);
    if !atomics.is_empty() {
        let all = atomics.join(", ");
        let why = format!("may not mutate atomic arrays, maps or structs: {all}");
        return Err(failed("invalid ApplyConfiguration", &why));
    }
    let mut new =
        typed::merge(schema, *id, object, &configuration).map_err(|e| failed("failed to merge patch", &e))?;
    // Merging leaves out what has no owners.
    let managed = object.at("metadata").at("managedFields");
    if let Some(metadata) = new.object_at("metadata").filter(|_| !managed.is_null()) {
        metadata.set("managedFields", managed.clone());
    }
    Ok(new)
}

/// Names of types must follow the fields that they stand in.
fn check_names(v: &Val<'_>, path: &str, wrong: &mut Vec<String>) {
    match v {
        Val::Struct(of) => {
            if of.type_name != path {
                wrong.push(format!(
                    "unexpected type name {}, expected {}, which matches field name path from root Object type",
                    Quoted(&of.type_name),
                    Quoted(path)
                ));
            }
            for (name, field) in &of.fields {
                check_names(field, &format!("{path}.{name}"), wrong);
            }
        }
        // What comes from a tree has no types; it may be deep, and is not looked into.
        Val::List(cel::List::Values(items, _)) => {
            items.iter().for_each(|v| check_names(v, path, wrong));
        }
        Val::Map(cel::Map::Entries(entries)) => {
            entries.iter().for_each(|(_, v)| check_names(v, path, wrong));
        }
        _ => {}
    }
}

/// Paths of lists, maps and structs in a configuration that are owned as a whole.
fn find_atomics(of: &Type, ty: TypeId, v: &Value, path: &str, depth: usize, found: &mut Vec<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let atom = of.schema.atom(ty);
    match (v, &atom.map, &atom.list) {
        (Value::Object(members), Some(map), _) => {
            if map.atomic {
                found.push(path.to_owned());
            }
            for (name, member) in members.iter() {
                if let Some(field) = map.field(name) {
                    find_atomics(of, field.ty, member, &format!("{path}.{name}"), depth, found);
                }
            }
        }
        (Value::Array(items), _, Some(list)) => {
            if list.relation == ListRelation::Atomic {
                found.push(path.to_owned());
            }
            for (i, item) in items.iter().enumerate() {
                find_atomics(of, list.element, item, &format!("{path}[{i}]"), depth, found);
            }
        }
        _ => {}
    }
}

/// The object with a patch; `None` if a test of the patch says no.
fn patch(made: &Val<'_>, object: &Value) -> Result<Option<Value>, Failure> {
    let Val::List(list) = made else {
        return Err(Failure::Policy(
            "type mismatch: JSONPatchType.expression should evaluate to array".into(),
        ));
    };
    let mut operations = Vec::with_capacity(list.len());
    for operation in list.iter() {
        operations.push(one(&operation.map_err(|e| e.to_string())?)?);
    }
    let patch = JsonPatch::from_value(Value::Array(operations)).map_err(|e| format!("JSON Patch: {e}"))?;
    match patch.apply(object.clone(), COPY_BYTES_MAX) {
        Ok(patched) => Ok(Some(patched)),
        Err(e) if e.to_string().ends_with("test failed") => Ok(None),
        Err(e) => Err(Failure::Policy(format!("JSON Patch: {e}"))),
    }
}

fn one(v: &Val<'_>) -> Result<Value, Failure> {
    let Val::Struct(of) = v else {
        return Err(Failure::Policy(format!(
            "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of {}",
            v.type_of().declared_name()
        )));
    };
    let mut operation = Value::object();
    for (name, field) in &of.fields {
        if let (Val::Struct(inner), "value") = (field, name.as_str()) {
            let mut wrong = Vec::new();
            check_names(field, &inner.type_name, &mut wrong);
            if !wrong.is_empty() {
                return Err(Failure::Policy(format!("type mismatch: {}", wrong.join("\n"))));
            }
        }
        let tree = field.to_tree().map_err(|e| {
            format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {e}")
        })?;
        let is_empty_from = name == "from" && tree.str().is_empty();
        if !is_empty_from {
            operation.set(name, tree);
        }
    }
    for field in ["op", "path"] {
        if operation.get(field).is_none() {
            operation.set(field, Str::default());
        }
    }
    Ok(operation)
}
