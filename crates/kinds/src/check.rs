//! Checks and small texts that many kinds share.
//!
//! Upstream: `apimachinery/pkg/api/validation`, `apimachinery/pkg/apis/meta/v1/validation`, and the small
//! helpers of `pkg/apis/core/validation`.

pub(crate) use crate::defaults::{default, default_text};
use crate::equal::semantic_equal;
use meta::field::{Error, ErrorList, Path};
use meta::names;
pub(crate) use meta::quote::go_json as json;
use meta::quote::json_string;
use value::Value;

/// Upstream's bound on all annotations of an object together.
const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

/// A label selector, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Selector(meta::labels::Selector);

impl Selector {
    /// Of a LabelSelector; null selects nothing.
    pub(crate) fn parse(selector: &Value) -> Result<Self, meta::labels::SelectorError> {
        meta::labels::Selector::from_label_selector(selector).map(Self)
    }

    /// Whether it has no requirement and so selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_everything()
    }

    /// Whether it selects these labels.
    pub(crate) fn matches(&self, labels: &Value) -> bool {
        self.0.matches(labels)
    }
}

/// A number that must not be negative; absence is fine.
pub(crate) fn non_negative(n: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if n.int() < 0 {
        errors.push(Error::invalid(path, n.int(), "must be greater than or equal to 0"));
    }
}

/// A value that must not change.
pub(crate) fn immutable(new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if !semantic_equal(new, old) {
        errors.push(Error::invalid(path, new.clone(), "field is immutable"));
    }
}

/// `spec.selector`, which must not change.
pub(crate) fn immutable_selector(new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (new, old) = (new.at("spec").at("selector"), old.at("spec").at("selector"));
    if !semantic_equal(new, old) {
        errors.push(invalid_selector(path, new, "field is immutable"));
    }
}

/// An error that shows a LabelSelector.
pub(crate) fn invalid_selector(path: &Path<'_>, selector: &Value, text: &str) -> Error {
    Error::invalid(path, selector.clone(), text).shown_as(selector_text(selector))
}

/// A LabelSelector as Go prints it: `matchLabels` first, nothing that is empty.
pub(crate) fn selector_text(selector: &Value) -> String {
    if selector.is_null() {
        return "null".into();
    }
    let mut parts = Vec::new();
    if !selector.at("matchLabels").is_empty() {
        parts.push(("matchLabels", json(selector.at("matchLabels"))));
    }
    let requirements: Vec<String> =
        selector.at("matchExpressions").items().iter().map(requirement_text).collect();
    if !requirements.is_empty() {
        parts.push(("matchExpressions", format!("[{}]", requirements.join(","))));
    }
    go_struct(&parts)
}

fn requirement_text(requirement: &Value) -> String {
    let mut parts = vec![
        ("key", json_string(requirement.at("key").str())),
        ("operator", json_string(requirement.at("operator").str())),
    ];
    if !requirement.at("values").is_empty() {
        parts.push(("values", json(requirement.at("values"))));
    }
    go_struct(&parts)
}

/// A Go struct, of the texts of its fields.
pub(crate) fn go_struct(fields: &[(&str, String)]) -> String {
    let parts: Vec<String> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
    format!("{{{}}}", parts.join(","))
}

/// A string as a field of [`go_struct`].
pub(crate) fn go_text(s: &str) -> String {
    json_string(s)
}

/// Each message as an error on the same value.
pub(crate) fn invalid_each(value: &str, messages: Vec<String>, path: &Path<'_>, errors: &mut ErrorList) {
    errors.extend(messages.into_iter().map(|m| Error::invalid(path, value, m)));
}

/// A DNS-1123 label.
pub(crate) fn dns1123_label(s: &str, path: &Path<'_>, errors: &mut ErrorList) {
    invalid_each(s, names::dns1123_label(s), path, errors);
}

/// A DNS-1123 subdomain.
pub(crate) fn dns1123_subdomain(s: &str, path: &Path<'_>, errors: &mut ErrorList) {
    invalid_each(s, names::dns1123_subdomain(s), path, errors);
}

/// A qualified name: `[prefix/]name`.
pub(crate) fn qualified_name(s: &str, path: &Path<'_>, errors: &mut ErrorList) {
    invalid_each(s, names::qualified_name(s), path, errors);
}

/// What is wrong with a percentage.
pub(crate) fn percent_error(s: &str) -> Option<String> {
    names::percent(s).into_iter().next()
}

/// Labels.
pub(crate) fn labels(labels: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (key, value) in labels.entries() {
        qualified_name(key, path, errors);
        invalid_each(value.str(), names::label_value(value.str()), path, errors);
    }
}

/// Annotations.
pub(crate) fn annotations(annotations: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (key, _) in annotations.entries() {
        invalid_each(key, names::qualified_name(&key.to_lowercase()), path, errors);
    }
    let size: usize = annotations.entries().map(|(k, v)| k.len() + v.str().len()).sum();
    if size > ANNOTATIONS_MAX_BYTES {
        errors.push(Error::too_long(path, ANNOTATIONS_MAX_BYTES));
    }
}

/// A LabelSelector; null is fine.
pub(crate) fn label_selector(selector: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    label_selector_with(selector, false, path, errors);
}

/// The same; `lenient` lets values stand that are no label values.
pub(crate) fn label_selector_with(selector: &Value, lenient: bool, path: &Path<'_>, errors: &mut ErrorList) {
    labels(selector.at("matchLabels"), &path.child("matchLabels"), errors);
    let path = path.child("matchExpressions");
    for (i, requirement) in selector.at("matchExpressions").items().iter().enumerate() {
        selector_requirement(requirement, lenient, false, &path.index(i), errors);
    }
}

/// One requirement of a selector; `any_operator` lets unknown operators stand.
pub(crate) fn selector_requirement(
    requirement: &Value,
    lenient: bool,
    any_operator: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let values = requirement.at("values");
    requirement_operator(requirement, any_operator, path, errors);
    qualified_name(requirement.at("key").str(), &path.child("key"), errors);
    if lenient {
        return;
    }
    let path = path.child("values");
    for (i, value) in values.items().iter().enumerate() {
        invalid_each(value.str(), names::label_value(value.str()), &path.index(i), errors);
    }
}

/// Operator and number of values of a requirement on labels or fields.
pub(crate) fn requirement_operator(
    requirement: &Value,
    any_operator: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let values = requirement.at("values");
    match requirement.at("operator").str() {
        "In" | "NotIn" => {
            if values.is_empty() {
                let text = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(Error::required(&path.child("values"), text));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(&path.child("values"), text));
            }
        }
        _ if any_operator => {}
        other => {
            errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator"));
        }
    }
}

/// Whether a selector has a value that is no label value: old objects may.
pub(crate) fn selector_has_invalid_value(selector: &Value) -> bool {
    let expressions = selector.at("matchExpressions").items().iter();
    expressions.flat_map(|e| e.at("values").items()).any(|v| !names::label_value(v.str()).is_empty())
}

/// Conditions of the common form (`metav1.Condition`).
pub(crate) fn conditions(conditions: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    errors.extend(meta::object_meta::validate_conditions(conditions, path));
}

/// A name that is one segment of a path.
pub(crate) fn path_segment(s: &str, path: &Path<'_>, errors: &mut ErrorList) {
    invalid_each(s, names::content::path_segment_name(s), path, errors);
}

/// The same for a name that must be there.
pub(crate) fn required_path_segment(s: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if s.is_empty() {
        errors.push(Error::required(path, ""));
    } else {
        path_segment(s, path, errors);
    }
}

/// A quantity that must not be negative.
pub(crate) fn non_negative_quantity(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if quantity_sign(v) < 0 {
        errors.push(Error::invalid(path, v.clone(), "must be greater than or equal to 0"));
    }
}

/// -1, 0 or 1; 0 for what is no quantity, which decoding refuses.
pub(crate) fn quantity_sign(v: &Value) -> i32 {
    meta::quantity::Quantity::from_value(v).map_or(0, |q| q.sign())
}

/// A name that cannot become a label of a pod's host name.
pub(crate) fn pod_name_warning(object: &Value) -> Vec<String> {
    let messages = names::dns1123_label(object.at("metadata").at("name").str());
    if messages.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; \
         a DNS label is recommended: [{}]",
        messages.join(" ")
    )]
}

/// How many bytes a base64 text stands for.
pub(crate) fn base64_len(text: &str) -> usize {
    let digits = text.bytes().filter(|b| !matches!(b, b'=' | b'\n' | b'\r')).count();
    digits * 3 / 4
}

/// Members of ObjectMeta that a template of a claim may not have, in upstream's order and spelling.
const TEMPLATE_META: [(&str, &str); 13] = [
    ("name", "name"),
    ("generateName", "generateName"),
    ("namespace", "namespace"),
    ("selfLink", "selfLink"),
    ("uid", "uID"),
    ("resourceVersion", "resourceVersion"),
    ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"),
    ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
    ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managedFields", "managedFields"),
];

/// The metadata of a template of objects that others make: labels and annotations only
/// (`ValidateTemplateObjectMeta`).
pub(crate) fn template_meta(metadata: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    annotations(metadata.at("annotations"), &path.child("annotations"), errors);
    labels(metadata.at("labels"), &path.child("labels"), errors);
    for (name, shown) in TEMPLATE_META {
        let v = metadata.at(name);
        let zero = match v {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Number(_) => name == "generation" && v.int() == 0,
            _ => false,
        };
        if !zero {
            errors.push(Error::forbidden(&path.child(shown), "cannot be set"));
        }
    }
}
