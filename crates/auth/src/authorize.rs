//! The server's authorizer: `system:masters`, then nodes, then RBAC; and the reviews that ask it.
//!
//! Upstream: `pkg/kubeapiserver/authorizer`, `k8s.io/apiserver/pkg/authorization/union`,
//! `pkg/registry/authorization`.

use crate::node::{self, Graph};
use crate::rbac::Rbac;
use crate::user::SYSTEM_MASTERS;
use crate::{Attributes, Decision, Selection, UserInfo, Verdict};
use meta::field::Path;
use meta::{fields, labels};
use value::{Str, Value};

/// Decides on a request. An allowing reason is the allowing authorizer's; a refusal tells the reasons of all.
pub fn authorize(graph: &Graph, rbac: &Rbac, request: &Attributes<'_>) -> Verdict {
    if request.user.in_group(SYSTEM_MASTERS) {
        return Verdict::allow("");
    }
    let first = node::authorize(graph, request);
    if first.decision != Decision::NoOpinion {
        return first;
    }
    let second = rbac.authorize(request);
    if second.decision != Decision::NoOpinion || first.reason.is_empty() {
        return second;
    }
    if second.reason.is_empty() {
        return first;
    }
    Verdict::no_opinion(format!("{}\n{}", first.reason, second.reason))
}

/// What a SubjectAccessReview asks, read from its (validated) `spec`.
#[derive(Clone, Debug)]
pub struct Access {
    user: UserInfo,
    verb: Str,
    namespace: Str,
    group: Str,
    version: Str,
    resource: Str,
    subresource: Str,
    name: Str,
    path: Option<Str>,
    field_selector: Option<fields::Selector>,
    label_selector: Option<labels::Selector>,
    evaluation_error: String,
}

impl Access {
    /// Of a SubjectAccessReview or LocalSubjectAccessReview: the user is in the spec.
    pub fn of_subject(spec: &Value) -> Self {
        Self::new(UserInfo::from_value(spec, "user"), spec)
    }

    /// Of a SelfSubjectAccessReview: the user is the caller.
    pub fn of_self(user: UserInfo, spec: &Value) -> Self {
        Self::new(user, spec)
    }

    fn new(user: UserInfo, spec: &Value) -> Self {
        let resource = spec.at("resourceAttributes");
        let other = spec.at("nonResourceAttributes");
        let path = resource.is_null().then(|| Str::from(other.at("path").str()));
        let of = if path.is_some() { other } else { resource };
        let text = |key: &str| -> Str { of.at(key).str().into() };
        let (field_selector, field_error) = read_field_selector(resource.at("fieldSelector"));
        let (label_selector, label_error) = read_label_selector(resource.at("labelSelector"));
        let mut errors = Vec::new();
        for (name, failed, partial) in [
            ("fieldSelector", field_error, field_selector.is_some()),
            ("labelSelector", label_error, label_selector.is_some()),
        ] {
            if failed {
                let how = if partial { "partially ignored" } else { "ignored" };
                errors.push(format!("spec.resourceAttributes.{name} {how} due to parse error"));
            }
        }
        let version = text("version");
        Self {
            user,
            verb: text("verb"),
            namespace: text("namespace"),
            group: text("group"),
            version: if version.is_empty() { "*".into() } else { version },
            resource: text("resource"),
            subresource: text("subresource"),
            name: text("name"),
            path,
            field_selector,
            label_selector,
            evaluation_error: errors.join("; "),
        }
    }

    /// The request that it asks about.
    pub fn attributes(&self) -> Attributes<'_> {
        if let Some(path) = &self.path {
            return Attributes::path(&self.user, &self.verb, path);
        }
        Attributes {
            user: &self.user,
            verb: &self.verb,
            namespace: &self.namespace,
            api_group: &self.group,
            api_version: &self.version,
            resource: &self.resource,
            subresource: &self.subresource,
            name: &self.name,
            resource_request: true,
            path: "",
            field_selector: self.field_selector.as_ref().map_or(Selection::None, Selection::Some),
            label_selector: self.label_selector.as_ref().map_or(Selection::None, Selection::Some),
        }
    }

    /// The review's `status`.
    pub fn status(&self, verdict: &Verdict) -> Value {
        let mut status = Value::object();
        status.set("allowed", verdict.allowed());
        if verdict.decision == Decision::Deny {
            status.set("denied", true);
        }
        if !verdict.reason.is_empty() {
            status.set("reason", verdict.reason.as_str());
        }
        if !self.evaluation_error.is_empty() {
            status.set("evaluationError", self.evaluation_error.as_str());
        }
        status
    }
}

/// The selector (`None` if nothing of it is usable), and whether something was not usable. What is left out
/// makes the question broader, so that is safe.
fn read_field_selector(value: &Value) -> (Option<fields::Selector>, bool) {
    let (mut selector, mut failed) = (None, false);
    let raw = value.at("rawSelector").str();
    if !raw.is_empty() {
        match fields::Selector::parse(raw) {
            Ok(parsed) => selector = Some(parsed),
            Err(_) => failed = true,
        }
    }
    let requirements = value.at("requirements").items();
    if !requirements.is_empty() {
        let read = |r: &Value| -> Option<fields::Requirement> {
            let [value] = r.at("values").items() else { return None };
            let operator = match r.at("operator").str() {
                "In" => fields::Operator::Equals,
                "NotIn" => fields::Operator::NotEquals,
                _ => return None,
            };
            Some(fields::Requirement { field: r.at("key").str().into(), operator, value: value.str().into() })
        };
        let usable: Vec<fields::Requirement> = requirements.iter().filter_map(read).collect();
        failed = usable.len() < requirements.len();
        selector = (!usable.is_empty()).then(|| fields::Selector::new(usable));
    }
    (selector, failed)
}

fn read_label_selector(value: &Value) -> (Option<labels::Selector>, bool) {
    let (mut selector, mut failed) = (None, false);
    let raw = value.at("rawSelector").str();
    if !raw.is_empty() {
        match labels::Selector::parse(raw) {
            Ok(parsed) => selector = Some(parsed),
            Err(_) => failed = true,
        }
    }
    let requirements = value.at("requirements").items();
    if !requirements.is_empty() {
        let read = |r: &Value| -> Option<labels::Requirement> {
            let operator = match r.at("operator").str() {
                "In" => labels::Operator::In,
                "NotIn" => labels::Operator::NotIn,
                "Exists" => labels::Operator::Exists,
                "DoesNotExist" => labels::Operator::DoesNotExist,
                _ => return None,
            };
            let values = r.at("values").items().iter().map(|v| v.str().into()).collect::<Vec<Str>>();
            labels::Requirement::new(&Path::ROOT, r.at("key").str(), operator, values).ok()
        };
        let usable: Vec<labels::Requirement> = requirements.iter().filter_map(read).collect();
        failed = usable.len() < requirements.len();
        selector = (!usable.is_empty()).then(|| labels::Selector::new(usable));
    }
    (selector, failed)
}

#[cfg(test)]
mod tests;
