//! Audit policies: the first rule that matches a request says how much is told of it.
//!
//! Upstream: `k8s.io/apiserver/pkg/audit/policy`, `pkg/apis/audit/validation`.

use super::{Error, Level, Stage};
use crate::request::RequestInfo;
use auth::UserInfo;
use meta::field::{Error as FieldError, ErrorList, Path as FieldPath, to_aggregate};
use meta::names::{self, NameUse};
use std::path::Path;
use value::{Str, Value, yaml};

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stages(u8);

impl Stages {
    pub(super) const fn contains(self, stage: Stage) -> bool {
        self.0 & 1 << stage as u8 != 0
    }

    fn read(list: &Value) -> Self {
        let stages =
            list.items().iter().filter_map(|s| Stage::ALL.into_iter().find(|k| k.as_str() == s.str()));
        Self(stages.fold(0, |all, stage| all | 1 << stage as u8))
    }
}

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) level: Level,
    pub(super) omit_stages: Stages,
    pub(super) omit_managed_fields: bool,
}

/// `audit.k8s.io/v1` Policy.
#[derive(Debug)]
pub(super) struct Policy {
    rules: Vec<Rule>,
    otherwise: Decision,
}

#[derive(Debug)]
struct Rule {
    decision: Decision,
    users: Vec<Str>,
    groups: Vec<Str>,
    verbs: Vec<Str>,
    namespaces: Vec<Str>,
    resources: Vec<Resources>,
    paths: Vec<Str>,
}

#[derive(Debug)]
struct Resources {
    group: Str,
    resources: Vec<Str>,
    names: Vec<Str>,
}

impl Policy {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let wrong = |error: String| Error::Policy { path: path.to_owned(), error };
        let text = super::read(path).map_err(|e| wrong(format!("failed to read file path: {e}")))?;
        Self::parse(&text).map_err(wrong)
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let policy = yaml::parse(text).map_err(|e| format!("failed decoding: {e}"))?;
        let (version, kind) = (policy.at("apiVersion").str(), policy.at("kind").str());
        if (version, kind) != ("audit.k8s.io/v1", "Policy") {
            return Err(format!("unknown group version field {version}, Kind={kind} in policy"));
        }
        if let Some(text) = to_aggregate(&validate(&policy)) {
            return Err(text);
        }
        let omit = Stages::read(policy.at("omitStages"));
        let omit_managed_fields = policy.at("omitManagedFields").bool();
        let rules: Vec<Rule> = policy
            .at("rules")
            .items()
            .iter()
            .map(|rule| {
                let own = rule.at("omitManagedFields").as_bool();
                Rule {
                    decision: Decision {
                        level: level(rule.at("level").str()).unwrap_or(Level::None),
                        omit_stages: Stages(omit.0 | Stages::read(rule.at("omitStages")).0),
                        omit_managed_fields: own.unwrap_or(omit_managed_fields),
                    },
                    users: strings(rule.at("users")),
                    groups: strings(rule.at("userGroups")),
                    verbs: strings(rule.at("verbs")),
                    namespaces: strings(rule.at("namespaces")),
                    resources: rule.at("resources").items().iter().map(resources).collect(),
                    paths: strings(rule.at("nonResourceURLs")),
                }
            })
            .collect();
        if rules.is_empty() {
            return Err("loaded illegal policy with 0 rules".into());
        }
        let otherwise = Decision { level: Level::None, omit_stages: omit, omit_managed_fields };
        Ok(Self { rules, otherwise })
    }

    /// `user` is `None` where the credentials were refused.
    pub(super) fn evaluate(&self, user: Option<&UserInfo>, info: &RequestInfo, path: &str) -> Decision {
        let rule = self.rules.iter().find(|rule| rule.matches(user, info, path));
        rule.map_or(self.otherwise, |rule| rule.decision)
    }
}

fn level(text: &str) -> Option<Level> {
    Level::ALL.into_iter().find(|l| l.as_str() == text)
}

fn strings(list: &Value) -> Vec<Str> {
    list.items().iter().map(|s| s.str().into()).collect()
}

fn resources(of: &Value) -> Resources {
    Resources {
        group: of.at("group").str().into(),
        resources: strings(of.at("resources")),
        names: strings(of.at("resourceNames")),
    }
}

impl Rule {
    fn matches(&self, user: Option<&UserInfo>, info: &RequestInfo, path: &str) -> bool {
        let has = |list: &[Str], text: &str| list.iter().any(|s| s == text);
        if !self.users.is_empty() && !user.is_some_and(|u| has(&self.users, &u.name)) {
            return false;
        }
        if !self.groups.is_empty() && !user.is_some_and(|u| u.groups.iter().any(|g| has(&self.groups, g))) {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, &info.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_resource
                && (self.namespaces.is_empty() || has(&self.namespaces, &info.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|r| r.matches(info)));
        }
        self.paths.is_empty() || !info.is_resource && self.paths.iter().any(|spec| path_matches(path, spec))
    }
}

fn path_matches(path: &str, spec: &str) -> bool {
    spec == "*" || spec == path || spec.ends_with('*') && path.starts_with(spec.trim_end_matches('*'))
}

impl Resources {
    fn matches(&self, info: &RequestInfo) -> bool {
        if self.group != "*" && self.group != info.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.names.is_empty() && !self.names.contains(&info.name) {
            return false;
        }
        let (resource, sub) = (info.resource.as_str(), info.subresource.as_str());
        self.resources.iter().any(|wanted| match wanted.split_once('/') {
            None => wanted == "*" || sub.is_empty() && wanted == resource,
            Some(("*", wanted)) if !sub.is_empty() && wanted == sub => true,
            Some((wanted, "*")) => wanted == resource,
            Some((wanted, of)) => wanted == resource && of == sub && !sub.is_empty(),
        })
    }
}

fn validate(policy: &Value) -> ErrorList {
    let mut errors = omit_stages(policy.at("omitStages"), &FieldPath::new("omitStages"));
    let rules = FieldPath::new("rules");
    for (i, rule) in policy.at("rules").items().iter().enumerate() {
        let path = rules.index(i);
        let at = path.child("level");
        match rule.at("level").str() {
            "" => errors.push(FieldError::required(&at, "")),
            text if level(text).is_none() => {
                let known = Level::ALL.map(Level::as_str);
                errors.push(FieldError::not_supported(&at, text, &known));
            }
            _ => {}
        }
        let at = path.child("nonResourceURLs");
        let urls = rule.at("nonResourceURLs");
        for (j, url) in urls.items().iter().map(Value::str).enumerate().filter(|(_, u)| *u != "*") {
            if !url.starts_with('/') {
                let why = "non-resource URL rules must begin with a '/' character";
                errors.push(FieldError::invalid(&at.index(j), url, why));
            }
            if url.strip_suffix('*').unwrap_or(url).contains('*') {
                let why = "non-resource URL wildcards '*' must be the final character of the rule";
                errors.push(FieldError::invalid(&at.index(j), url, why));
            }
        }
        let of_resources = path.child("resources");
        for group in rule.at("resources").items() {
            let name = group.at("group").str();
            let wrong = if matches!(name, "" | "*") {
                Vec::new()
            } else {
                names::name_is_dns_subdomain(name, NameUse::Whole)
            };
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&of_resources.child("group"), name, wrong.join(",")));
            }
            let names = group.at("resourceNames");
            if !names.items().is_empty() && group.at("resources").items().is_empty() {
                let why = "using resourceNames requires at least one resource";
                errors.push(FieldError::invalid(&of_resources.child("resourceNames"), names.clone(), why));
            }
        }
        errors.extend(omit_stages(rule.at("omitStages"), &path.child("omitStages")));
        let regular = !rule.at("resources").items().is_empty() || !rule.at("namespaces").items().is_empty();
        if !urls.items().is_empty() && regular {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at, urls.clone(), why));
        }
    }
    errors
}

fn omit_stages(list: &Value, path: &FieldPath<'_>) -> ErrorList {
    let known = Stage::ALL.map(Stage::as_str);
    let wrong = list.items().iter().enumerate().filter(|(_, s)| !known.contains(&s.str()));
    let why = || format!("allowed stages are {}", known.join(","));
    wrong.map(|(i, stage)| FieldError::invalid(&path.index(i), stage.str(), why())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use http::Method;

    fn policy(rules: &str) -> Result<Policy, String> {
        Policy::parse(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}").as_bytes())
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let policy = policy(
            r#"
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: [system:kube-proxy], verbs: [watch], resources: [{group: "", resources: [endpoints, services/status]}]}
- {level: None, nonResourceURLs: ["/healthz*", /version]}
- {level: Metadata, resources: [{group: "", resources: [secrets, configmaps]}], omitStages: [ResponseStarted]}
- {level: Request, namespaces: [kube-system], resources: [{group: "", resources: ["pods/*"]}]}
- {level: Request, resources: [{group: apps}, {group: "*", resources: ["*/scale"]}], omitManagedFields: false}
- {level: RequestResponse, resources: [{group: "", resources: [nodes], resourceNames: [a]}]}
- {level: Metadata, userGroups: [auditors]}
- {level: Metadata, namespaces: [""], resources: [{group: storage.k8s.io}]}
"#,
        )
        .unwrap();
        let proxy = UserInfo::new("system:kube-proxy", &["auditors"]);
        let nobody = UserInfo::new("nobody", &[]);
        let table = [
            (&proxy, "GET", "/api/v1/watch/endpoints", Level::None),
            (&proxy, "GET", "/api/v1/endpoints", Level::Metadata),
            (&nobody, "GET", "/api/v1/endpoints", Level::None),
            (&nobody, "GET", "/healthz/ping", Level::None),
            (&proxy, "GET", "/healthz/ping", Level::None),
            (&proxy, "GET", "/metrics", Level::Metadata),
            (&nobody, "GET", "/metrics", Level::None),
            (&nobody, "POST", "/api/v1/namespaces/a/secrets", Level::Metadata),
            (&nobody, "GET", "/api/v1/namespaces/a/secrets/x/status", Level::None),
            (&nobody, "GET", "/api/v1/namespaces/kube-system/pods/x/log", Level::Request),
            (&nobody, "GET", "/api/v1/namespaces/kube-system/pods/x", Level::Request),
            (&nobody, "GET", "/api/v1/namespaces/default/pods/x", Level::None),
            (&nobody, "GET", "/apis/apps/v1/deployments", Level::Request),
            (&nobody, "GET", "/api/v1/namespaces/a/replicationcontrollers/x/scale", Level::Request),
            (&nobody, "GET", "/api/v1/nodes/a", Level::RequestResponse),
            (&nobody, "GET", "/api/v1/nodes/b", Level::None),
            (&nobody, "GET", "/apis/storage.k8s.io/v1/storageclasses", Level::Metadata),
            (&nobody, "GET", "/apis/storage.k8s.io/v1/namespaces/a/csistoragecapacities", Level::None),
        ];
        for (user, method, path, level) in table {
            let info = RequestInfo::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path, false, None);
            let decision = policy.evaluate(Some(user), &info, path);
            assert_eq!(decision.level, level, "{method} {path}");
            assert!(decision.omit_stages.contains(Stage::RequestReceived));
            assert_eq!(decision.omit_stages.contains(Stage::ResponseStarted), path.ends_with("secrets"));
            let own = path.contains("/apps/") || path.ends_with("/scale");
            assert_eq!(decision.omit_managed_fields, !own, "{path}");
        }
        let info = RequestInfo::parse(&Method::GET, "/api/v1/endpoints", false, None);
        assert_eq!(policy.evaluate(None, &info, "/api/v1/endpoints").level, Level::None);
    }

    #[test]
    fn bad_policies_are_refused() {
        let table = [
            ("rules: []", "loaded illegal policy with 0 rules"),
            ("rules: [{}]", "rules[0].level: Required value"),
            (
                "rules: [{level: All}]",
                "rules[0].level: Unsupported value: \"All\": supported values: \"Metadata\", \"None\", \"Request\", \"RequestResponse\"",
            ),
            (
                "rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]",
                "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular resources and non-resource URLs",
            ),
            (
                "rules: [{level: None, nonResourceURLs: [a]}]",
                "rules[0].nonResourceURLs[0]: Invalid value: \"a\": non-resource URL rules must begin with a '/' character",
            ),
            (
                "rules: [{level: None, nonResourceURLs: ['/a*/b']}]",
                "rules[0].nonResourceURLs[0]: Invalid value: \"/a*/b\": non-resource URL wildcards '*' must be the final character of the rule",
            ),
            (
                "rules: [{level: None, resources: [{resourceNames: [x]}]}]",
                "rules[0].resources.resourceNames: Invalid value: [\"x\"]: using resourceNames requires at least one resource",
            ),
            (
                "rules: [{level: None, omitStages: [Now]}]",
                "rules[0].omitStages[0]: Invalid value: \"Now\": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
            ),
        ];
        for (text, want) in table {
            assert_eq!(policy(text).unwrap_err(), want);
        }
        assert!(Policy::parse(b"kind: Pod\napiVersion: v1").is_err());
        assert!(Policy::parse(b"{").is_err());
    }
}
