//! CustomResourceDefinitions: defaults, preparation, validation and warnings, as hooks of their row.
//!
//! Upstream: `pkg/apis/apiextensions/{v1/defaults.go,v1/conversion.go,validation}` and
//! `pkg/registry/customresourcedefinition/strategy.go`.

mod approval;
mod conversion;
mod cost;
mod defaults;
mod names;
mod openapi;
mod read;
mod spec;

pub use approval::{Approval, approval};
pub use conversion::has_broken_bundle;
pub use read::{Definition, Version};

use crate::formats;
use crate::schema::Schema;
use kinds::hooks::{Context, Hooks, NameRule};
use meta::field::{Error, ErrorList, Path};
use meta::quote::quote;
use value::{Str, Value};

/// The hooks of the row of definitions.
pub const HOOKS: Hooks = Hooks {
    default,
    prepare_create,
    prepare_update,
    validate_create: |_, object| spec::create(object),
    validate_update: |_, new, old| spec::update(new, old),
    warn_create: |_, object| warn_create(object),
    warn_update: |_, new, old| warn_update(new, old),
    prepare_subresource: |_, new, old| {
        let old = old.at("spec").clone();
        new.set("spec", old);
    },
    validate_subresource: |_: &Context, new: &Value, _: &Value| status(new),
    name: NameRule::Own,
    ..Hooks::NONE
};

fn default(object: &mut Value) {
    let Some(spec) = object.object_at("spec") else { return };
    if let Some(names) = spec.object_at("names") {
        let kind = Str::from(names.at("kind").str());
        if names.at("singular").str().is_empty() {
            let singular = kind.to_lowercase();
            set_or_remove(names, "singular", singular);
        }
        if names.at("listKind").str().is_empty() && !kind.is_empty() {
            names.set("listKind", format!("{kind}List"));
        }
    }
    if spec.at("conversion").is_null() {
        let mut conversion = Value::object();
        conversion.set("strategy", "None");
        spec.set("conversion", conversion);
    }
    if let Some(conversion) = spec.get_mut("conversion") {
        let webhook = conversion.at("webhook");
        // The internal type has no place for one without either.
        if webhook.at("clientConfig").is_null() && webhook.at("conversionReviewVersions").is_empty() {
            conversion.remove("webhook");
        }
    }
    let service = ["conversion", "webhook", "clientConfig", "service"];
    let service = service.iter().try_fold(spec, |v, key| v.get_mut(key).filter(|v| !v.is_null()));
    if let Some(service) = service
        && service.at("port").is_null()
    {
        service.set("port", 443);
    }
    if object.at("status").at("storedVersions").items().is_empty()
        && let Some(version) = storage_version(object)
        && let Some(status) = object.object_at("status")
    {
        status.set("storedVersions", vec![version]);
    }
}

fn set_or_remove(v: &mut Value, key: &str, text: String) {
    if text.is_empty() {
        v.remove(key);
    } else {
        v.set(key, text);
    }
}

fn storage_version(object: &Value) -> Option<Str> {
    let versions = object.at("spec").at("versions").items();
    versions.iter().find(|v| v.at("storage").bool()).map(|v| v.at("name").str().into())
}

fn store_version(object: &mut Value) {
    let Some(version) = storage_version(object) else { return };
    let Some(status) = object.object_at("status") else { return };
    let mut stored = status.at("storedVersions").items().to_vec();
    if stored.iter().any(|v| v.str() == version) {
        return;
    }
    stored.push(version.into());
    status.set("storedVersions", stored);
}

fn prepare_create(_: &Context, object: &mut Value) {
    object.set("status", Value::object());
    store_version(object);
}

fn prepare_update(_: &Context, new: &mut Value, old: &Value) {
    let status = old.at("status").clone();
    new.set("status", status);
    store_version(new);
}

fn status(new: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = Vec::new();
    names::validate(new.at("status").at("acceptedNames"), &path.child("acceptedNames"), &mut errors);
    errors
}

fn unrecognized_formats(object: &Value) -> Vec<Str> {
    let mut found = Vec::new();
    let mut collect = |s: &Schema| {
        s.any(&mut |s| {
            if !formats::is_recognized(std::slice::from_ref(&s.ty), &s.format) {
                found.push(s.format.clone());
            }
            false
        });
    };
    let definition = Definition::read(object);
    if let Some(Some(schema)) = &definition.schema {
        collect(schema);
    }
    for version in &definition.versions {
        if let Some(Some(schema)) = &version.schema {
            collect(schema);
        }
    }
    found
}

fn warn_create(object: &Value) -> Vec<String> {
    let formats = unrecognized_formats(object);
    formats.iter().map(|f| format!("unrecognized format {}", quote(f))).collect()
}

fn warn_update(new: &Value, old: &Value) -> Vec<String> {
    let known = unrecognized_formats(old);
    let formats = unrecognized_formats(new);
    let new = formats.iter().filter(|f| !known.contains(f));
    new.map(|f| format!("unrecognized format {}", quote(f))).collect()
}

/// A condition of a definition.
pub fn condition<'a>(definition: &'a Value, ty: &str) -> Option<&'a Value> {
    let conditions = definition.at("status").at("conditions").items();
    conditions.iter().find(|c| c.at("type").str() == ty)
}

/// Whether a condition of a definition is true.
pub fn is_condition_true(definition: &Value, ty: &str) -> bool {
    condition(definition, ty).is_some_and(|c| c.at("status").str() == "True")
}

/// An error whose value is shown as this text.
fn invalid_shown(path: &Path<'_>, shown: String, detail: &str) -> Error {
    Error::invalid(path, Value::Null, detail).shown_as(shown)
}
