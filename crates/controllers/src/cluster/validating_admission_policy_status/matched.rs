//! Which kinds of objects a policy is about, as far as it names them.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/validating/typechecking.go`.

use crate::cluster::discovery::{Catalog, Resource};
use api::admissionregistration::v1::{NamedRuleWithOperations, ValidatingAdmissionPolicy};
use std::collections::BTreeSet;
use std::fmt;

/// How many resources of one rule are looked at (upstream's `maxTypesToCheck`).
const RESOURCES_MAX: usize = 10;

/// A kind of objects, in upstream's order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

/// As warnings name it: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

impl Kind {
    /// The path of the OpenAPI document that has its schema.
    pub(super) fn document_path(&self) -> String {
        if self.group.is_empty() {
            return format!("/openapi/v3/api/{}", self.version);
        }
        format!("/openapi/v3/apis/{}/{}", self.group, self.version)
    }
}

/// What the policy matches.
pub(super) fn rules(policy: &ValidatingAdmissionPolicy) -> &[NamedRuleWithOperations] {
    let constraints = policy.spec.as_ref().and_then(|spec| spec.match_constraints.as_ref());
    constraints.and_then(|constraints| constraints.resource_rules.as_deref()).unwrap_or_default()
}

/// The kind of a policy's parameters; `None` if it has none.
pub(super) fn params(policy: &ValidatingAdmissionPolicy) -> Option<Kind> {
    let params = policy.spec.as_ref()?.param_kind.as_ref()?;
    let api_version = params.api_version.as_deref().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = params.kind.as_deref().unwrap_or_default();
    let is_empty = group.is_empty() && version.is_empty() && kind.is_empty();
    (!is_empty && !version.contains('/')).then(|| Kind {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
    })
}

/// The kinds that rules name, each once and sorted.
///
/// A wildcard among groups or versions leaves out the rule; resources with one and subresources are left out alone.
/// Resources are known by their plurals: the singular, which upstream's mapper takes too, matches no request.
pub(super) fn kinds(rules: &[NamedRuleWithOperations], catalog: &Catalog) -> Vec<Kind> {
    let mut kinds = BTreeSet::new();
    for rule in rules {
        let groups = rule.api_groups.as_deref().unwrap_or_default();
        let versions = rule.api_versions.as_deref().unwrap_or_default();
        if groups.iter().chain(versions).any(|name| name.contains('*')) {
            continue;
        }
        let resources = rule.resources.iter().flatten().filter(|name| !name.contains(['*', '/']));
        let resources: Vec<String> = resources.map(|name| name.to_lowercase()).collect();
        let found = each(catalog, groups, versions, &resources);
        let is_full = found.len() == RESOURCES_MAX;
        kinds.extend(found.into_iter().map(|resource| Kind {
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: resource.kind.clone(),
        }));
        // Upstream looks at no other rule then.
        if is_full {
            break;
        }
    }
    kinds.into_iter().collect()
}

/// The first resources of one of these groups, versions and names.
fn each<'c>(
    catalog: &'c Catalog,
    groups: &[String],
    versions: &[String],
    resources: &[String],
) -> Vec<&'c Resource> {
    // Names that nobody serves are left out first: a rule may have thousands of each sort.
    let served = |names: &[String], of: fn(&Resource) -> &String| -> BTreeSet<String> {
        let names: BTreeSet<&String> = names.iter().collect();
        catalog.resources.iter().map(of).filter(|name| names.contains(name)).cloned().collect()
    };
    let groups = served(groups, |r| &r.group);
    let versions = served(versions, |r| &r.version);
    let resources = served(resources, |r| &r.plural);
    let mut found = Vec::new();
    for group in &groups {
        for version in &versions {
            for plural in &resources {
                // To upstream's mapper no group is any group: core's `events` are those of events.k8s.io, too.
                let is_it = |r: &&Resource| {
                    (group.is_empty() || r.group == *group) && r.version == *version && r.plural == *plural
                };
                for resource in catalog.resources.iter().filter(is_it) {
                    found.push(resource);
                    if found.len() == RESOURCES_MAX {
                        return found;
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn catalog() -> Catalog {
        let resource = |(group, version, plural, kind): (&str, &str, &str, &str)| Resource {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            kind: kind.into(),
            namespaced: true,
            verbs: Vec::new(),
            preferred: true,
        };
        let few = [
            ("", "v1", "pods", "Pod"),
            ("", "v1", "events", "Event"),
            ("apps", "v1", "deployments", "Deployment"),
            ("apps", "v1beta1", "deployments", "Deployment"),
            ("events.k8s.io", "v1", "events", "Event"),
        ];
        let names: Vec<String> = (0..12).map(|i| format!("r{i:02}")).collect();
        let many = names.iter().map(|name| ("many", "v1", name.as_str(), name.as_str()));
        Catalog { resources: few.into_iter().chain(many).map(resource).collect(), stale: Vec::new() }
    }

    #[test]
    fn kinds_that_rules_name() {
        let all: Vec<String> = (0..12).rev().map(|i| format!("r{i:02}")).collect();
        let rule = |groups: &[&str], versions: &[&str], resources: &[&str]| json!({"apiGroups": groups, "apiVersions": versions, "resources": resources});
        let deployments = || rule(&["apps"], &["v1"], &["deployments"]);
        let deployment = "apps/v1, Kind=Deployment";
        let cases = [
            (json!(null), vec![]),
            (json!([]), vec![]),
            (json!([deployments()]), vec![deployment]),
            (json!([deployments(), rule(&[""], &["v1"], &["pods"])]), vec!["/v1, Kind=Pod", deployment]),
            (json!([rule(&["apps"], &["v1"], &["*"])]), vec![]),
            (json!([rule(&["apps"], &["v1"], &["pods/*"])]), vec![]),
            (json!([rule(&["apps"], &["v1"], &["deployments/scale", "Deployments"])]), vec![deployment]),
            (json!([deployments(), rule(&["apps"], &["*"], &["deployments"])]), vec![deployment]),
            (json!([rule(&["apps", "*"], &["v1"], &["deployments"])]), vec![]),
            (
                json!([rule(&["apps"], &["v1", "v1beta1", "v2"], &["deployments", "gone"])]),
                vec![deployment, "apps/v1beta1, Kind=Deployment"],
            ),
            (
                json!([rule(&[""], &["v1"], &["events", "deployments"])]),
                vec!["/v1, Kind=Event", deployment, "events.k8s.io/v1, Kind=Event"],
            ),
            (json!([rule(&["gone"], &["v1"], &["pods"])]), vec![]),
        ];
        for (rules, expected) in cases {
            let rules: Option<Vec<NamedRuleWithOperations>> =
                serde_json::from_value(rules.clone()).expect("rules");
            let found = super::kinds(rules.as_deref().unwrap_or_default(), &catalog());
            let found: Vec<String> = found.iter().map(Kind::to_string).collect();
            assert_eq!(found, expected, "{rules:?}");
        }
        let rules = json!([{"apiGroups": ["many"], "apiVersions": ["v1"], "resources": all}, deployments()]);
        let rules: Vec<NamedRuleWithOperations> = serde_json::from_value(rules).expect("rules");
        let found = super::kinds(&rules, &catalog());
        assert_eq!(found.len(), RESOURCES_MAX);
        assert_eq!((found[0].kind.as_str(), found[9].kind.as_str()), ("r00", "r09"));
    }

    #[test]
    fn kinds_of_parameters() {
        for (params, expected) in [
            (json!(null), None),
            (json!({}), None),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap"}),
                Some("/v1, Kind=ConfigMap /openapi/v3/api/v1"),
            ),
            (json!({"apiVersion": "a.b/v2", "kind": "C"}), Some("a.b/v2, Kind=C /openapi/v3/apis/a.b/v2")),
            (json!({"apiVersion": "a/b/c", "kind": "C"}), None),
        ] {
            let policy = json!({"metadata": {}, "spec": {"paramKind": params}});
            let policy: ValidatingAdmissionPolicy = serde_json::from_value(policy).expect("a policy");
            let found = super::params(&policy).map(|kind| format!("{kind} {}", kind.document_path()));
            assert_eq!(found.as_deref(), expected);
        }
    }
}
