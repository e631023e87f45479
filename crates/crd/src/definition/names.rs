//! Names, columns and subresources.

use meta::field::{Error, ErrorList, Path};
use meta::names::dns1035_label;
use value::Value;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// The names of a kind.
pub(super) fn validate(names: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let check = |text: &str, prefix: &str| {
        let wrong = dns1035_label(text);
        (!text.is_empty() && !wrong.is_empty()).then(|| format!("{prefix}{}", wrong.join(",")))
    };
    for field in ["plural", "singular"] {
        let name = names.at(field).str();
        if let Some(text) = check(name, "") {
            errors.push(Error::invalid(&path.child(field), name, text));
        }
    }
    for field in ["kind", "listKind"] {
        let name = names.at(field).str();
        if let Some(text) = check(&name.to_lowercase(), "may have mixed case, but should otherwise match: ") {
            errors.push(Error::invalid(&path.child(field), name, text));
        }
    }
    let mut each = |field: &str| {
        let at = path.child(field);
        for (i, name) in names.at(field).items().iter().enumerate() {
            let wrong = dns1035_label(name.str());
            if !wrong.is_empty() {
                errors.push(Error::invalid(&at.index(i), name.str(), wrong.join(",")));
            }
        }
    };
    each("shortNames");
    let list_kind = names.at("listKind").str();
    let same = !list_kind.is_empty() && names.at("kind").str() == list_kind;
    if same {
        // It stands between the two lists.
        let text = "kind and listKind may not be the same";
        errors.push(Error::invalid(&path.child("listKind"), list_kind, text));
    }
    let at = path.child("categories");
    for (i, name) in names.at("categories").items().iter().enumerate() {
        let wrong = dns1035_label(name.str());
        if !wrong.is_empty() {
            errors.push(Error::invalid(&at.index(i), name.str(), wrong.join(",")));
        }
    }
}

/// A printer column.
pub(super) fn column(column: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if column.at("name").str().is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match column.at("type").str() {
        "" => errors.push(Error::required(&path.child("type"), types)),
        ty if !COLUMN_TYPES.contains(&ty) => errors.push(Error::invalid(&path.child("type"), ty, types)),
        _ => {}
    }
    let format = column.at("format").str();
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let text = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(Error::invalid(&path.child("format"), format, text));
    }
    let at = path.child("JSONPath");
    match column.at("jsonPath").str() {
        "" => errors.push(Error::required(&at, "")),
        json_path => errors.extend(simple_path(json_path, &at)),
    }
}

fn simple_path(text: &str, path: &Path<'_>) -> Option<Error> {
    let wrong = !text.starts_with('.');
    wrong.then(|| Error::invalid(path, text, "must be a simple json path starting with ."))
}

/// `subresources`
pub(super) fn subresources(subresources: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(scale) = subresources.map(|s| s.at("scale")).filter(|s| !s.is_null()) else { return };
    for (field, prefix, name) in
        [("specReplicasPath", ".spec.", ".spec"), ("statusReplicasPath", ".status.", ".status")]
    {
        let child = format!("scale.{field}");
        let at = path.child(&child);
        let text = scale.at(field).str();
        if text.is_empty() {
            errors.push(Error::required(&at, ""));
        } else if let Some(error) = simple_path(text, &at) {
            errors.push(error);
        } else if !text.starts_with(prefix) {
            errors.push(Error::invalid(&at, text, format!("should be a json path under {name}")));
        }
    }
    let selector = scale.at("labelSelectorPath").str();
    if !selector.is_empty() {
        let at = path.child("scale.labelSelectorPath");
        if let Some(error) = simple_path(selector, &at) {
            errors.push(error);
        } else if !selector.starts_with(".spec.") && !selector.starts_with(".status.") {
            let text = "should be a json path under either .spec or .status";
            errors.push(Error::invalid(&at, selector, text));
        }
    }
}
