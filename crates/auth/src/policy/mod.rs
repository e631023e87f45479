//! The roles and bindings that a cluster starts with, and their repair at each start.
//!
//! The data is in three texts beside this file. One line begins a role or binding, indented lines are its
//! rules; words are split by spaces, lists by commas:
//! ```text
//! role NAME [in=NAMESPACE] [part-of=AGGREGATE] [aggregates=AGGREGATE]
//!   VERBS GROUPS RESOURCES [names=NAMES]
//!   VERBS url PATHS
//! bind NAME [in=NAMESPACE] [role=ROLE] [user=…] [group=…] [sa=NAMESPACE/NAME]
//! controller NAME
//! ```
//! Verbs `r`, `w` and `rw` stand for reading, writing and both; the group `core` for the empty one. A
//! `controller` is a role `system:controller:NAME` with a binding to `kube-system`'s service account NAME.
//!
//! Upstream: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`,
//! `k8s.io/component-helpers/auth/rbac/reconciliation`.

mod reconcile;
#[cfg(test)]
mod tests;

pub use reconcile::{Action, plan};

use crate::rbac::{GROUP, Rule};
use std::sync::OnceLock;
use value::{Map, Str, Value};

const TEXTS: [&str; 3] =
    [include_str!("cluster.txt"), include_str!("controllers.txt"), include_str!("namespaces.txt")];
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const READ_WRITE: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// All objects of the policy, in the order in which they are to be made: roles before bindings.
pub fn objects() -> &'static [Value] {
    static OBJECTS: OnceLock<Vec<Value>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let mut objects: Vec<Value> = TEXTS.iter().flat_map(|text| read(text)).collect();
        let rank = |object: &Value| match object.at("kind").str() {
            "ClusterRole" => 0,
            "ClusterRoleBinding" => 1,
            "Role" => 2,
            _ => 3,
        };
        objects.sort_by_key(rank);
        objects
    })
}

/// The binding of `admin.conf`'s group to `cluster-admin`, as kubeadm makes it: an administrator who can be
/// unmade. Not part of upstream's policy, and not repaired if someone deletes it.
pub fn administrators() -> Value {
    let name = "kubeadm:cluster-admins";
    let mut metadata = Value::object();
    metadata.set("name", name);
    let mut binding = object("ClusterRoleBinding", metadata);
    binding.set("roleRef", role_ref("ClusterRole", "cluster-admin"));
    binding.set("subjects", vec![subject("group", name)]);
    binding
}

/// The resource of an object of the policy.
pub fn resource_of(object: &Value) -> &'static str {
    match object.at("kind").str() {
        "ClusterRole" => "clusterroles",
        "ClusterRoleBinding" => "clusterrolebindings",
        "Role" => "roles",
        _ => "rolebindings",
    }
}

fn read(text: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    let mut bindings = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [verbs, groups, resources, names @ ..] if line.starts_with(' ') => {
                let rule = rule(verbs, groups, resources, names.first().copied()).to_value();
                let rules = objects.last_mut().and_then(|o| o.get_mut("rules"));
                match rules {
                    Some(Value::Array(rules)) => rules.push(rule),
                    Some(none) => *none = Value::Array(vec![rule]),
                    None => {}
                }
            }
            ["role", name, options @ ..] => objects.push(role(name, options)),
            ["bind", name, options @ ..] => bindings.push(binding(name, options)),
            ["controller", name] => {
                let full = format!("system:controller:{name}");
                objects.push(role(&full, &[]));
                bindings.push(binding(&full, &[&format!("sa=kube-system/{name}")]));
            }
            _ => unreachable!("the policy's texts are well-formed: a test reads them"),
        }
    }
    objects.append(&mut bindings);
    objects
}

fn rule(verbs: &str, groups: &str, resources: &str, names: Option<&str>) -> Rule {
    let list = |text: &str| -> Vec<Str> { text.split(',').map(Into::into).collect() };
    let verbs = match verbs {
        "r" => READ.iter().map(|v| (*v).into()).collect(),
        "w" => WRITE.iter().map(|v| (*v).into()).collect(),
        "rw" => READ_WRITE.iter().map(|v| (*v).into()).collect(),
        verbs => list(verbs),
    };
    if groups == "url" {
        return Rule { verbs, non_resource_urls: list(resources), ..Rule::default() };
    }
    Rule {
        verbs,
        api_groups: groups.split(',').map(|g| if g == "core" { "" } else { g }.into()).collect(),
        resources: list(resources),
        resource_names: names.and_then(|n| n.strip_prefix("names=")).map(list).unwrap_or_default(),
        non_resource_urls: Vec::new(),
    }
}

fn role(name: &str, options: &[&str]) -> Value {
    let aggregate = |to: &str| Str::from(format!("{GROUP}/aggregate-to-{to}"));
    let mut labels = default_labels();
    if let Some(to) = option(options, "part-of") {
        labels.insert(aggregate(to), "true");
    }
    let namespace = option(options, "in");
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let mut role = object(kind, metadata(name, namespace, labels));
    role.set("rules", Value::Null);
    if let Some(of) = option(options, "aggregates") {
        let labels: Map = [(aggregate(of), Value::from("true"))].into_iter().collect();
        let mut selector = Value::object();
        selector.set("matchLabels", labels);
        let mut rule = Value::object();
        rule.set("clusterRoleSelectors", vec![selector]);
        role.set("aggregationRule", rule);
    }
    role
}

fn binding(name: &str, options: &[&str]) -> Value {
    let namespace = option(options, "in");
    let (kind, role_kind) = match namespace {
        Some(_) => ("RoleBinding", "Role"),
        None => ("ClusterRoleBinding", "ClusterRole"),
    };
    let mut binding = object(kind, metadata(name, namespace, default_labels()));
    binding.set("roleRef", role_ref(role_kind, option(options, "role").unwrap_or(name)));
    let subjects: Vec<Value> = options
        .iter()
        .filter_map(|o| o.split_once('='))
        .filter(|(kind, _)| matches!(*kind, "user" | "group" | "sa"))
        .map(|(kind, name)| subject(kind, name))
        .collect();
    if !subjects.is_empty() {
        binding.set("subjects", subjects);
    }
    binding
}

fn option<'a>(options: &[&'a str], key: &str) -> Option<&'a str> {
    options.iter().find_map(|o| o.split_once('=').filter(|(k, _)| *k == key)).map(|(_, v)| v)
}

fn object(kind: &str, metadata: Value) -> Value {
    let mut out = Value::object();
    out.set("apiVersion", format!("{GROUP}/v1"));
    out.set("kind", kind);
    out.set("metadata", metadata);
    out
}

fn default_labels() -> Map {
    [("kubernetes.io/bootstrapping".into(), Value::from("rbac-defaults"))].into_iter().collect()
}

fn metadata(name: &str, namespace: Option<&str>, labels: Map) -> Value {
    let annotations: Map = [(AUTOUPDATE.into(), Value::from("true"))].into_iter().collect();
    let mut metadata = Value::object();
    metadata.set("name", name);
    if let Some(namespace) = namespace {
        metadata.set("namespace", namespace);
    }
    metadata.set("labels", labels);
    metadata.set("annotations", annotations);
    metadata
}

fn role_ref(kind: &str, name: &str) -> Value {
    let mut out = Value::object();
    out.set("apiGroup", GROUP);
    out.set("kind", kind);
    out.set("name", name);
    out
}

fn subject(kind: &str, name: &str) -> Value {
    let mut out = Value::object();
    match (kind, name.split_once('/')) {
        ("sa", Some((namespace, name))) => {
            out.set("kind", "ServiceAccount");
            out.set("name", name);
            out.set("namespace", namespace);
        }
        (kind, _) => {
            out.set("kind", if kind == "user" { "User" } else { "Group" });
            out.set("apiGroup", GROUP);
            out.set("name", name);
        }
    }
    out
}
