//! Whether managed fields that come from outside are well formed.
//!
//! Upstream: `ValidateManagedFields` in `apimachinery/pkg/apis/meta/v1/validation`, and
//! `apiserver/pkg/endpoints/handlers/fieldmanager/admission.go`.

use super::decode;
use meta::field::{Error, ErrorList, Path};
use meta::quote;
use value::Value;

const MANAGER_NAME_MAX: usize = 128;
const SUBRESOURCE_NAME_MAX: usize = 256;

/// The errors of an object's list of managed fields, part of the validation of its metadata.
pub fn validate_entries(list: &Value, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, entry) in list.items().iter().enumerate() {
        let path = path.index(i);
        let operation = entry.at("operation").str();
        if !matches!(operation, "Apply" | "Update") {
            let path = path.child("operation");
            errors.push(Error::invalid(&path, operation, "must be `Apply` or `Update`"));
        }
        let fields_type = entry.at("fieldsType").str();
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(Error::invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        errors.extend(validate_manager(entry.at("manager").str(), &path.child("manager")));
        if entry.at("subresource").str().len() > SUBRESOURCE_NAME_MAX {
            errors.push(Error::too_long(&path.child("subresource"), SUBRESOURCE_NAME_MAX));
        }
    }
    errors
}

/// The errors of a manager's name, there and in the `fieldManager` option.
pub fn validate_manager(manager: &str, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > MANAGER_NAME_MAX {
        errors.push(Error::too_long(path, MANAGER_NAME_MAX));
    }
    for (i, c) in manager.char_indices().filter(|(_, c)| !quote::is_printable(*c)) {
        let detail = format!("invalid character {} (at position {i})", quote::unicode(c));
        errors.push(Error::invalid(path, manager, detail));
    }
    errors
}

/// Puts the managed fields from `before` mutating admission back, if it left them malformed; returns the
/// warning for the client then.
pub fn check_admission(before: Option<Value>, object: &mut Value) -> Option<String> {
    let why = decode(object.at("metadata").at("managedFields")).err()?;
    let metadata = object.object_at("metadata")?;
    match before {
        Some(list) => metadata.set("managedFields", list),
        None => {
            metadata.remove("managedFields");
        }
    }
    Some(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated \
         mutating admission controller; please fix your requests: {why}"
    ))
}
