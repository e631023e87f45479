//! Reviews of `authentication.k8s.io` and `authorization.k8s.io`, which are answered and never stored, and
//! TokenRequest.
//!
//! Upstream: `pkg/apis/{authentication,authorization}/validation`.

use crate::check;
use crate::hooks::Hooks;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use value::Value;

/// The hooks of a kind of `authorization.k8s.io`.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "subjectaccessreviews" => Hooks { validate_create: |_, r| validate(r, Kind::Subject), ..Hooks::NONE },
        "selfsubjectaccessreviews" => Hooks { validate_create: |_, r| validate(r, Kind::Own), ..Hooks::NONE },
        "localsubjectaccessreviews" => {
            Hooks { validate_create: |_, r| validate(r, Kind::Local), ..Hooks::NONE }
        }
        _ => Hooks::NONE,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Subject,
    Own,
    Local,
}

/// Defaults of a TokenRequest: the `token` subresource of ServiceAccounts.
pub fn default_token_request(request: &mut Value) {
    if let Some(spec) = request.object_at("spec") {
        check::default(spec, "expirationSeconds", 3600);
    }
}

fn validate(review: &Value, kind: Kind) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (review.at("spec"), Path::new("spec"));
    let (resource, other) = (spec.at("resourceAttributes"), spec.at("nonResourceAttributes"));
    let shown = internal::text("*authorization.NonResourceAttributes", other);
    if !resource.is_null() && !other.is_null() {
        let text = "cannot be specified in combination with resourceAttributes";
        let error = Error::invalid(&path.child("nonResourceAttributes"), other.clone(), text);
        errors.push(error.shown_as(shown.as_str()));
    }
    if resource.is_null() && other.is_null() {
        let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(Error::invalid(&path.child("resourceAttributes"), Value::Null, text));
    }
    if kind != Kind::Own && spec.at("user").str().is_empty() && spec.at("groups").items().is_empty() {
        let text = "at least one of user or group must be specified";
        errors.push(Error::invalid(&path.child("user"), "", text));
    }
    if !resource.is_null() {
        let path = Path::new("spec.resourceAttributes");
        validate_selector(resource.at("fieldSelector"), false, &path.child("fieldSelector"), &mut errors);
        validate_selector(resource.at("labelSelector"), true, &path.child("labelSelector"), &mut errors);
    }
    validate_metadata(review, kind, &mut errors);
    if kind == Kind::Local {
        let namespace = resource.at("namespace").str();
        if !resource.is_null() && namespace != review.at("metadata").at("namespace").str() {
            let path = Path::new("spec.resourceAttributes.namespace");
            errors.push(Error::invalid(&path, namespace, "must match metadata.namespace"));
        }
        if !other.is_null() {
            let path = Path::new("spec.nonResourceAttributes");
            let error = Error::invalid(&path, other.clone(), "disallowed on this kind of request");
            errors.push(error.shown_as(shown));
        }
    }
    errors
}

/// A review has no identity. What the door fills in before does not count.
fn validate_metadata(review: &Value, kind: Kind, errors: &mut ErrorList) {
    let mut metadata = review.at("metadata").clone();
    for name in ["creationTimestamp", "uid"] {
        metadata.remove(name);
    }
    let mut rest = metadata.clone();
    rest.remove("managedFields");
    let text = if kind == Kind::Local {
        rest.remove("namespace");
        "must be empty except for namespace"
    } else {
        "must be empty"
    };
    if rest.entries().any(|(_, v)| !v.is_empty()) {
        let shown = internal::metadata(&metadata);
        errors.push(Error::invalid(&Path::new("metadata"), metadata, text).shown_as(shown));
    }
}

fn validate_selector(selector: &Value, labels: bool, path: &Path<'_>, errors: &mut ErrorList) {
    if selector.is_null() {
        return;
    }
    let (raw, requirements) = (selector.at("rawSelector").str(), selector.at("requirements").items());
    if !raw.is_empty() && !requirements.is_empty() {
        let text = "may not specified at the same time as requirements";
        errors.push(Error::invalid(&path.child("rawSelector"), raw, text));
    }
    let requirements_path = path.child("requirements");
    if raw.is_empty() && requirements.is_empty() {
        let text = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(Error::required(&requirements_path, text));
    }
    for (i, requirement) in requirements.iter().enumerate() {
        let path = requirements_path.index(i);
        if labels {
            check::selector_requirement(requirement, false, true, &path, errors);
            continue;
        }
        if requirement.at("key").str().is_empty() {
            errors.push(Error::required(&path.child("key"), "must be specified"));
        }
        check::requirement_operator(requirement, true, &path, errors);
    }
}
