//! One rule of a role.
//!
//! Upstream: `pkg/apis/rbac/v1/evaluation_helpers.go`.

use crate::Attributes;
use meta::quote::quote_all;
use value::{Str, Value};

/// `rbac.authorization.k8s.io/v1` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Verbs; `*` is all.
    pub verbs: Vec<Str>,
    /// API groups; `*` is all, empty text the core group.
    pub api_groups: Vec<Str>,
    /// Resources, with `/SUBRESOURCE`; `*` is all, `*/scale` that subresource of all.
    pub resources: Vec<Str>,
    /// Names of objects; none means all.
    pub resource_names: Vec<Str>,
    /// URL paths; a `*` at the end stands for anything.
    pub non_resource_urls: Vec<Str>,
}

impl Rule {
    /// Reads the JSON form.
    pub fn from_value(value: &Value) -> Self {
        let strings = |key: &str| value.at(key).items().iter().map(|s| s.str().into()).collect();
        Self {
            verbs: strings("verbs"),
            api_groups: strings("apiGroups"),
            resources: strings("resources"),
            resource_names: strings("resourceNames"),
            non_resource_urls: strings("nonResourceURLs"),
        }
    }

    /// The JSON form: `verbs` is always there, empty lists are left out.
    pub fn to_value(&self) -> Value {
        let mut out = Value::object();
        out.set("verbs", if self.verbs.is_empty() { Value::Null } else { self.verbs.clone().into() });
        for (key, list) in [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !list.is_empty() {
                out.set(key, list.clone());
            }
        }
        out
    }

    /// Whether it allows a request.
    pub fn allows(&self, request: &Attributes<'_>) -> bool {
        if !has_or_star(&self.verbs, request.verb) {
            return false;
        }
        if !request.resource_request {
            return self.non_resource_urls.iter().any(|url| url == "*" || path_matches(url, request.path));
        }
        has_or_star(&self.api_groups, request.api_group)
            && self.resources.iter().any(|r| resource_matches(r, request.resource, request.subresource))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == request.name))
    }

    /// The rule as messages show it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    pub fn describe(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:[{}]", quote_all(list, " ")))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

pub(super) fn has(list: &[Str], item: &str) -> bool {
    list.iter().any(|i| i == item)
}

pub(super) fn has_or_star(list: &[Str], item: &str) -> bool {
    list.iter().any(|i| i == "*" || i == item)
}

/// Whether the URL pattern of a rule is `path` or, ending in `*`, begins it.
pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if subresource.is_empty() {
        return pattern == resource;
    }
    // Without joining the two into a new string: this is the hot path.
    let own = pattern.strip_prefix(resource).and_then(|rest| rest.strip_prefix('/')) == Some(subresource);
    own || pattern.strip_prefix("*/") == Some(subresource)
}
