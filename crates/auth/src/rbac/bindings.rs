//! Bindings, found by the users and groups that they name.

use crate::UserInfo;
use crate::user::service_account_name;
use meta::quote::Quoted;
use std::collections::{BTreeMap, HashMap};
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

    /// `ClusterRoleBinding "b" of ClusterRole "r" to Group "g"`, with the first subject that is the user.
    pub(super) fn describe(&self, user: &UserInfo, namespace: &str) -> String {
        let RoleRef { kind, name, .. } = &self.role;
        let role = format!("{kind} {}", Quoted(name));
        let subject = self.subjects.iter().find(|s| s.is(user, namespace)).map(|s| s.describe(namespace));
        let subject = subject.unwrap_or_default();
        if self.namespace.is_empty() {
            format!("ClusterRoleBinding {} of {role} to {subject}", Quoted(&self.name))
        } else {
            let name = format!("{}/{}", self.name, self.namespace);
            format!("RoleBinding {} of {role} to {subject}", Quoted(&name))
        }
    }
}

impl Subject {
    fn is(&self, user: &UserInfo, namespace: &str) -> bool {
        match self.key(namespace) {
            Some(Key::User(name)) => user.name == name,
            Some(Key::Group(name)) => user.in_group(&name),
            None => false,
        }
    }

    fn key(&self, namespace: &str) -> Option<Key> {
        match self.kind.as_str() {
            "User" => Some(Key::User(self.name.clone())),
            "Group" => Some(Key::Group(self.name.clone())),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() { namespace } else { &self.namespace };
                (!namespace.is_empty()).then(|| Key::User(service_account_name(namespace, &self.name)))
            }
            _ => None,
        }
    }

    fn describe(&self, namespace: &str) -> String {
        if self.kind != "ServiceAccount" {
            return format!("{} {}", self.kind, Quoted(&self.name));
        }
        let namespace = if self.namespace.is_empty() { namespace } else { &self.namespace };
        format!("{} {}", self.kind, Quoted(&format!("{}/{namespace}", self.name)))
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

    /// The bindings that name the user or one of the groups: each once, by name.
    pub(super) fn applying_to(&self, user: &UserInfo) -> Vec<&Binding> {
        let own = self.users.get(&user.name).into_iter();
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        let mut found: Vec<&Binding> =
            own.chain(of_groups).flat_map(BTreeMap::values).map(Arc::as_ref).collect();
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        found
    }
}
