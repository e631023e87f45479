//! ControllerRevision: a snapshot that controllers keep; its data never changes.

use crate::check;
use crate::hooks::{Context, Hooks};
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks { validate_create, validate_update, ..Hooks::NONE };

fn validate_create(_: &Context, revision: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    check::non_negative(revision.at("revision"), &Path::new("revision"), &mut errors);
    match revision.at("data") {
        Value::Null => errors.push(Error::required(&Path::new("data"), "data is mandatory")),
        Value::Object(_) => {}
        _ => errors.push(Error::required(&Path::new("data"), "data must be a valid JSON object")),
    }
    errors
}

fn validate_update(_: &Context, new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    check::non_negative(new.at("revision"), &Path::new("revision"), &mut errors);
    check::immutable(new.at("data"), old.at("data"), &Path::new("data"), &mut errors);
    errors
}
