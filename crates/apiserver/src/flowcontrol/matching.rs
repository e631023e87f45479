//! Whether a FlowSchema means a request.
//!
//! Upstream: `rule.go`.

use crate::request::RequestInfo;
use auth::UserInfo;
use auth::user::SERVICE_ACCOUNT_PREFIX;
use value::{Str, Value};

const ALL: &str = "*";

/// A list of names, or all of them.
#[derive(Debug, PartialEq, Eq)]
enum Names {
    All,
    Of(Vec<Str>),
}

impl Names {
    fn read(list: &Value) -> Self {
        match list.items() {
            [one] if one.str() == ALL => Self::All,
            items => Self::Of(items.iter().map(|n| n.str().into()).collect()),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.iter().any(|n| n == name),
        }
    }
}

#[derive(Debug)]
enum Subject {
    User(Str),
    Group(Str),
    ServiceAccount { namespace: Str, name: Str },
}

impl Subject {
    fn read(subject: &Value) -> Option<Self> {
        let name = |of: &Value| Str::from(of.at("name").str());
        let of = |key: &str| Some(subject.at(key)).filter(|o| !o.is_null());
        Some(match subject.at("kind").str() {
            "User" => Self::User(name(of("user")?)),
            "Group" => Self::Group(name(of("group")?)),
            "ServiceAccount" => {
                let account = of("serviceAccount")?;
                Self::ServiceAccount { namespace: account.at("namespace").str().into(), name: name(account) }
            }
            _ => return None,
        })
    }

    fn matches(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) => name == ALL || *name == user.name,
            Self::Group(name) => name == ALL || user.groups.contains(name),
            Self::ServiceAccount { namespace, name } => {
                let account = user.name.strip_prefix(SERVICE_ACCOUNT_PREFIX);
                let found = account.and_then(|a| a.strip_prefix(namespace.as_str())?.strip_prefix(':'));
                found.is_some_and(|account| name == ALL || name == account)
            }
        }
    }
}

#[derive(Debug)]
struct ResourceRule {
    verbs: Names,
    groups: Names,
    resources: Names,
    cluster: bool,
    namespaces: Names,
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        self.verbs.has(&info.verb)
            && self.has_resource(&info.resource, &info.subresource)
            && self.groups.has(&info.group)
            && if info.namespace.is_empty() { self.cluster } else { self.namespaces.has(&info.namespace) }
    }

    fn has_resource(&self, resource: &str, sub: &str) -> bool {
        let Names::Of(names) = &self.resources else { return true };
        names.iter().any(|name| match name.split_once('/') {
            None => sub.is_empty() && name == resource,
            Some((of, wanted)) => of == resource && wanted == sub && !sub.is_empty(),
        })
    }
}

#[derive(Debug)]
struct PathRule {
    verbs: Names,
    paths: Vec<Str>,
}

impl PathRule {
    fn matches(&self, verb: &str, path: &str) -> bool {
        let below = |rule: &str| {
            let prefix = rule.strip_suffix('*').unwrap_or(rule);
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| prefix.ends_with('/') || rest.starts_with('/'))
        };
        self.verbs.has(verb) && self.paths.iter().any(|rule| rule == ALL || rule == path || below(rule))
    }
}

/// An element of `rules`.
#[derive(Debug)]
pub(super) struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

impl Rule {
    pub(super) fn read(rule: &Value) -> Self {
        let resources = rule.at("resourceRules").items().iter().map(|r| ResourceRule {
            verbs: Names::read(r.at("verbs")),
            groups: Names::read(r.at("apiGroups")),
            resources: Names::read(r.at("resources")),
            cluster: r.at("clusterScope").bool(),
            namespaces: Names::read(r.at("namespaces")),
        });
        let paths = rule.at("nonResourceRules").items().iter().map(|r| PathRule {
            verbs: Names::read(r.at("verbs")),
            paths: r.at("nonResourceURLs").items().iter().map(|p| p.str().into()).collect(),
        });
        Self {
            subjects: rule.at("subjects").items().iter().filter_map(Subject::read).collect(),
            resources: resources.collect(),
            paths: paths.collect(),
        }
    }

    /// Everything that members of these groups ask for.
    pub(super) fn everything_of(groups: &[&str]) -> Self {
        let resources = ResourceRule {
            verbs: Names::All,
            groups: Names::All,
            resources: Names::All,
            cluster: true,
            namespaces: Names::All,
        };
        Self {
            subjects: groups.iter().map(|g| Subject::Group((*g).into())).collect(),
            resources: vec![resources],
            paths: vec![PathRule { verbs: Names::All, paths: vec![Str::new_static(ALL)] }],
        }
    }

    pub(super) fn matches(&self, user: &UserInfo, info: &RequestInfo, path: &str) -> bool {
        self.subjects.iter().any(|s| s.matches(user))
            && match info.is_resource {
                true => self.resources.iter().any(|r| r.matches(info)),
                false => self.paths.iter().any(|r| r.matches(&info.verb, path)),
            }
    }
}
