//! DeviceClass, and the parts that it shares with claims.

use super::each;
use crate::equal::semantic_equal;
use crate::expressions;
use crate::hooks::{Hooks, NameRule};
use crate::storage::validate_driver_name;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::{Value, json};

pub(super) const HOOKS: Hooks = Hooks {
    validate_create: |_, class| validate(class.at("spec"), None),
    validate_update: |_, new, old| validate(new.at("spec"), Some(old.at("spec"))),
    name: NameRule::LongName,
    ..Hooks::NONE
};

/// Upstream's bounds.
const SELECTORS_MAX: usize = 32;
pub(super) const CONFIGS_MAX: usize = 32;
const EXPRESSION_MAX_BYTES: usize = 10 * 1024;
const PARAMETERS_MAX_BYTES: usize = 10 * 1024;

fn validate(spec: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let stands = |name: &str| old.is_some_and(|o| semantic_equal(o.at(name), spec.at(name)));
    validate_selectors(spec.at("selectors"), stands("selectors"), &path.child("selectors"), &mut errors);
    let stored = stands("config");
    each(spec.at("config"), CONFIGS_MAX, &path.child("config"), &mut errors, |config, path, errors| {
        validate_configuration(config, stored, path, errors);
    });
    if let Some(name) = spec.at("extendedResourceName").as_str()
        && !is_extended_resource(name)
    {
        let text = "must be a valid extended resource name";
        errors.push(Error::invalid(&path.child("extendedResourceName"), name, text));
    }
    errors
}

/// A resource of a domain other than Kubernetes' own.
fn is_extended_resource(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Selectors of devices.
pub(super) fn validate_selectors(selectors: &Value, stored: bool, path: &Path<'_>, errors: &mut ErrorList) {
    each(selectors, SELECTORS_MAX, path, errors, |selector, path, errors| {
        let (cel, path) = (selector.at("cel"), path.child("cel"));
        if cel.is_null() {
            errors.push(Error::required(&path, ""));
            return;
        }
        let (text, path) = (cel.at("expression").str(), path.child("expression"));
        if text.len() > EXPRESSION_MAX_BYTES {
            errors.push(Error::too_long(&path, EXPRESSION_MAX_BYTES));
            return;
        }
        if let Err(failure) = expressions::compile_device_selector(text, stored) {
            failure.report(text, &path, errors);
        }
    });
}

/// Parameters for a driver.
pub(super) fn validate_configuration(config: &Value, stored: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let (opaque, path) = (config.at("opaque"), path.child("opaque"));
    if opaque.is_null() {
        errors.push(Error::required(&path, ""));
        return;
    }
    validate_driver_name(opaque.at("driver").str(), &path.child("driver"), errors);
    let max = if stored { usize::MAX } else { PARAMETERS_MAX_BYTES };
    validate_raw(opaque.at("parameters"), max, &path.child("parameters"), errors);
}

/// Free-form JSON, which must be an object of at most `max` bytes.
pub(super) fn validate_raw(v: &Value, max: usize, path: &Path<'_>, errors: &mut ErrorList) {
    if v.is_null() {
        errors.push(Error::required(path, ""));
    } else if json::to_vec(v).len() > max {
        errors.push(Error::too_long(path, max));
    } else if v.as_object().is_none() {
        errors.push(Error::invalid(path, "<value omitted>", "must be a valid JSON object"));
    }
}
