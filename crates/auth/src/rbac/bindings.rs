//! Bindings, found by the users and groups that they name.

use crate::UserInfo;
use crate::user::{SERVICE_ACCOUNT_PREFIX, service_account_name};
use meta::quote::Quoted;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use value::{Str, Value};

/// Whom a binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`; others match nobody.
    pub kind: Str,
    /// The name.
    pub name: Str,
    /// A service account's namespace; empty means the binding's.
    pub namespace: Str,
}

/// The role that a binding grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    /// The API group.
    pub api_group: Str,
    /// `Role` or `ClusterRole`.
    pub kind: Str,
    /// The name.
    pub name: Str,
}

impl RoleRef {
    /// Reads `roleRef`.
    pub fn from_value(value: &Value) -> Self {
        Self {
            api_group: value.at("apiGroup").str().into(),
            kind: value.at("kind").str().into(),
            name: value.at("name").str().into(),
        }
    }
}

/// A RoleBinding or, without a namespace, a ClusterRoleBinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The namespace; empty for a ClusterRoleBinding.
    pub namespace: Str,
    /// The name.
    pub name: Str,
    /// What is granted.
    pub role: RoleRef,
    /// To whom.
    pub subjects: Vec<Subject>,
}

impl Binding {
    /// Reads the JSON form.
    pub fn from_value(value: &Value) -> Self {
        let text = |v: &Value, key: &str| -> Str { v.at(key).str().into() };
        Self {
            namespace: text(value.at("metadata"), "namespace"),
            name: text(value.at("metadata"), "name"),
            role: RoleRef::from_value(value.at("roleRef")),
            subjects: value
                .at("subjects")
                .items()
                .iter()
                .map(|s| Subject {
                    kind: text(s, "kind"),
                    name: text(s, "name"),
                    namespace: text(s, "namespace"),
                })
                .collect(),
        }
    }

    /// Writes `ClusterRoleBinding "b" of ClusterRole "r" to Group "g"`, with the first subject that is the
    /// user.
    pub(super) fn describe(&self, user: &UserInfo, out: &mut String) {
        let Self { namespace, name, role, subjects } = self;
        // Writing to a string does not fail.
        let _ = if namespace.is_empty() {
            write!(out, "ClusterRoleBinding {}", Quoted(name))
        } else {
            write!(out, "RoleBinding {}", Quoted(&format!("{name}/{namespace}")))
        };
        let _ = write!(out, " of {} {} to ", role.kind, Quoted(&role.name));
        if let Some(subject) = subjects.iter().find(|s| s.is(user, namespace)) {
            subject.describe(namespace, out);
        }
    }
}

impl Subject {
    fn is(&self, user: &UserInfo, namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.in_group(&self.name),
            "ServiceAccount" => {
                let namespace = self.namespace_or(namespace);
                let rest = user.name.strip_prefix(SERVICE_ACCOUNT_PREFIX);
                let rest = rest.and_then(|r| r.strip_prefix(namespace)).and_then(|r| r.strip_prefix(':'));
                !namespace.is_empty() && rest == Some(self.name.as_str())
            }
            _ => false,
        }
    }

    /// Where the subject is found in the index.
    fn key(&self, namespace: &str) -> Option<Key> {
        match self.kind.as_str() {
            "User" => Some(Key::User(self.name.clone())),
            "Group" => Some(Key::Group(self.name.clone())),
            "ServiceAccount" => {
                let namespace = self.namespace_or(namespace);
                (!namespace.is_empty()).then(|| Key::User(service_account_name(namespace, &self.name)))
            }
            _ => None,
        }
    }

    fn namespace_or<'a>(&'a self, namespace: &'a str) -> &'a str {
        if self.namespace.is_empty() { namespace } else { &self.namespace }
    }

    fn describe(&self, namespace: &str, out: &mut String) {
        let _ = if self.kind == "ServiceAccount" {
            let name = format!("{}/{}", self.name, self.namespace_or(namespace));
            write!(out, "ServiceAccount {}", Quoted(&name))
        } else {
            write!(out, "{} {}", self.kind, Quoted(&self.name))
        };
    }
}

enum Key {
    User(Str),
    Group(Str),
}

/// The bindings of one namespace, or of the cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    by_name: BTreeMap<Str, Arc<Binding>>,
    users: HashMap<Str, BTreeMap<Str, Arc<Binding>>>,
    groups: HashMap<Str, BTreeMap<Str, Arc<Binding>>>,
}

impl Bindings {
    pub(super) fn insert(&mut self, binding: Binding) {
        self.remove(&binding.name);
        let binding = Arc::new(binding);
        for subject in &binding.subjects {
            let (index, key) = match subject.key(&binding.namespace) {
                Some(Key::User(name)) => (&mut self.users, name),
                Some(Key::Group(name)) => (&mut self.groups, name),
                None => continue,
            };
            index.entry(key).or_default().insert(binding.name.clone(), binding.clone());
        }
        self.by_name.insert(binding.name.clone(), binding);
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Some(binding) = self.by_name.remove(name) else { return };
        for subject in &binding.subjects {
            let (index, key) = match subject.key(&binding.namespace) {
                Some(Key::User(name)) => (&mut self.users, name),
                Some(Key::Group(name)) => (&mut self.groups, name),
                None => continue,
            };
            if let Some(bindings) = index.get_mut(&key) {
                bindings.remove(name);
                if bindings.is_empty() {
                    index.remove(&key);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The bindings that name the user or one of the groups, by name within each of those; one that names
    /// several comes several times.
    pub(super) fn applying_to<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = &'a Binding> {
        let own = self.users.get(&user.name).into_iter();
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        own.chain(of_groups).flat_map(BTreeMap::values).map(Arc::as_ref)
    }
}
