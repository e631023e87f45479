//! Kinds of the project's own groups need its approval, or must say that they have none.
//!
//! Upstream: `apiextensions-apiserver/pkg/apihelpers`, KEP 1111.

use meta::field::{Error, ErrorList, Path};
use meta::quote::quote;
use value::Value;

const ANNOTATION: &str = "api-approved.kubernetes.io";
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What a definition says of its approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nothing.
    Missing,
    /// That it is not approved.
    Bypassed,
    /// Where it was approved.
    Approved,
    /// Neither.
    Invalid,
}

/// The approval of a definition and what there is to say of it; `None` if its group needs none.
pub fn approval(definition: &Value) -> Option<(Approval, String)> {
    let group = definition.at("spec").at("group").str();
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    protected.then(|| state(annotation(definition)))
}

fn annotation(definition: &Value) -> &str {
    definition.at("metadata").at("annotations").at(ANNOTATION).str()
}

fn state(text: &str) -> (Approval, String) {
    let needs = format!("protected groups must have approval annotation {}", quote(ANNOTATION));
    let host = text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    if text.is_empty() {
        (Approval::Missing, format!("{needs}, {SEE}"))
    } else if text.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {}", quote(text)))
    } else if crate::formats::check("uri", text) == Some(true) && !host.is_empty() {
        (Approval::Approved, format!("approved in {text}"))
    } else {
        let either = "with either a URL or a reason starting with \"unapproved\"";
        (Approval::Invalid, format!("{needs} {either}, {SEE}"))
    }
}

/// Refuses what says neither, unless it said so before.
pub(super) fn validate(definition: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let Some((is, why)) = approval(definition) else { return };
    if old.is_some_and(|old| state(annotation(old)).0 == is) {
        return;
    }
    let path = Path::new("metadata");
    let path = path.child("annotations");
    let path = path.key(ANNOTATION);
    match is {
        Approval::Missing => errors.push(Error::required(&path, why)),
        Approval::Invalid => errors.push(Error::invalid(&path, annotation(definition), why)),
        Approval::Bypassed | Approval::Approved => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvals() {
        for (group, text, want) in [
            ("example.com", "", None),
            ("notk8s.io", "", None),
            ("k8s.io", "", Some(Approval::Missing)),
            ("a.k8s.io", "unapproved, a trial", Some(Approval::Bypassed)),
            ("a.kubernetes.io", "https://github.com/kubernetes/kubernetes/pull/1", Some(Approval::Approved)),
            ("a.kubernetes.io", "pull/1", Some(Approval::Invalid)),
        ] {
            let annotations = format!("{{{}:{}}}", quote(ANNOTATION), quote(text));
            let text = format!(
                r#"{{"metadata":{{"annotations":{annotations}}},"spec":{{"group":{}}}}}"#,
                quote(group)
            );
            let definition = value::json::parse(text.as_bytes()).expect("JSON");
            assert_eq!(approval(&definition).map(|(is, _)| is), want, "{text}");
        }
    }
}
