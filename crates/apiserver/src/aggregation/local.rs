//! APIServices of what this server serves itself.
//!
//! Upstream: `kube-aggregator/pkg/controllers/autoregister`, `pkg/controlplane/controller/crdregistration`,
//! and the priorities in `pkg/controlplane/apiserver/aggregator.go` and
//! `cmd/kube-apiserver/app/aggregator.go`.

use super::GROUP;
use crate::resource::Registry;
use std::collections::BTreeMap;
use value::{Str, Value};

const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Kept as it should be while the server runs.
const ALWAYS: &str = "true";
/// Made at the start, and whoever deletes it has their way.
const ON_START: &str = "onstart";
/// Priorities of custom groups and versions.
const CUSTOM: (i64, i64) = (1_000, 100);
/// The group of APIServices comes before all others.
const OWN_PRIORITY: i64 = 20_000;

/// Group, version, and how early they come among groups and among versions.
const PRIORITIES: [(&str, &str, i64, i64); 38] = [
    ("", "v1", 18_000, 1),
    ("apps", "v1", 17_800, 15),
    ("events.k8s.io", "v1", 17_750, 15),
    ("events.k8s.io", "v1beta1", 17_750, 5),
    ("authentication.k8s.io", "v1", 17_700, 15),
    ("authentication.k8s.io", "v1beta1", 17_700, 9),
    ("authentication.k8s.io", "v1alpha1", 17_700, 1),
    ("authorization.k8s.io", "v1", 17_600, 15),
    ("autoscaling", "v1", 17_500, 15),
    ("autoscaling", "v2", 17_500, 30),
    ("batch", "v1", 17_400, 15),
    ("certificates.k8s.io", "v1", 17_300, 15),
    ("certificates.k8s.io", "v1beta1", 17_300, 9),
    ("certificates.k8s.io", "v1alpha1", 17_300, 1),
    ("networking.k8s.io", "v1", 17_200, 15),
    ("networking.k8s.io", "v1beta1", 17_200, 9),
    ("policy", "v1", 17_100, 15),
    ("rbac.authorization.k8s.io", "v1", 17_000, 15),
    ("storage.k8s.io", "v1", 16_800, 15),
    ("storage.k8s.io", "v1beta1", 16_800, 9),
    ("storage.k8s.io", "v1alpha1", 16_800, 1),
    ("apiextensions.k8s.io", "v1", 16_700, 15),
    ("admissionregistration.k8s.io", "v1", 16_700, 15),
    ("admissionregistration.k8s.io", "v1beta1", 16_700, 12),
    ("admissionregistration.k8s.io", "v1alpha1", 16_700, 9),
    ("scheduling.k8s.io", "v1", 16_600, 15),
    ("scheduling.k8s.io", "v1alpha2", 16_600, 2),
    ("coordination.k8s.io", "v1", 16_500, 15),
    ("coordination.k8s.io", "v1beta1", 16_500, 13),
    ("coordination.k8s.io", "v1alpha2", 16_500, 12),
    ("node.k8s.io", "v1", 16_300, 15),
    ("discovery.k8s.io", "v1", 16_200, 15),
    ("resource.k8s.io", "v1", 16_200, 21),
    ("resource.k8s.io", "v1beta2", 16_200, 15),
    ("resource.k8s.io", "v1beta1", 16_200, 9),
    ("flowcontrol.apiserver.k8s.io", "v1", 16_100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1", 16_000, 9),
    ("storagemigration.k8s.io", "v1beta1", 15_800, 9),
];

/// How early what this server serves comes in discovery: among groups, and among the group's versions.
pub(crate) fn priorities(group: &str, version: &str, custom: bool) -> Option<(i64, i64)> {
    if custom {
        return Some(CUSTOM);
    }
    if group == GROUP {
        return Some((OWN_PRIORITY, 0));
    }
    let known = PRIORITIES.iter().find(|(g, v, ..)| *g == group && *v == version);
    known.map(|(_, _, group, version)| (*group, *version))
}

/// What is to be done about an APIService.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Create(Value),
    Update(Value),
    Delete(Str),
}

/// What discovery tells of now: group, version, whether it is custom.
pub(super) fn served(registry: &Registry) -> BTreeMap<(Str, Str), bool> {
    let rows = registry.discoverable().filter(|s| s.row.group != GROUP);
    rows.map(|s| ((s.row.group.clone(), s.row.version.clone()), s.codec.custom().is_some())).collect()
}

/// Makes the APIServices what they should be. `starting` is whether the server has just begun.
pub(super) fn plan(served: &BTreeMap<(Str, Str), bool>, objects: &[Value], starting: bool) -> Vec<Action> {
    let mut actions = Vec::new();
    let find = |name: &str| objects.iter().find(|o| o.at("metadata").at("name").str() == name);
    for ((group, version), custom) in served {
        let Some(wanted) = wanted(group, version, *custom) else { continue };
        let now = *custom || starting;
        match find(wanted.at("metadata").at("name").str()) {
            None if now => actions.push(Action::Create(wanted)),
            Some(there) if now && !managed(there).is_empty() && differs(there, &wanted) => {
                let mut new = there.clone();
                new.set("spec", wanted.at("spec").clone());
                actions.push(Action::Update(new));
            }
            _ => {}
        }
    }
    for object in objects {
        let spec = object.at("spec");
        let key = (spec.at("group").str().into(), spec.at("version").str().into());
        let orphan = !served.contains_key(&key);
        if orphan && (managed(object) == ALWAYS || starting && managed(object) == ON_START) {
            actions.push(Action::Delete(object.at("metadata").at("name").str().into()));
        }
    }
    actions
}

fn managed(object: &Value) -> &str {
    object.at("metadata").at("labels").at(AUTOMANAGED).str()
}

fn differs(there: &Value, wanted: &Value) -> bool {
    let (there, wanted) = (there.at("spec"), wanted.at("spec"));
    !there.at("service").is_null()
        || ["group", "version"].iter().any(|k| there.at(k).str() != wanted.at(k).str())
        || ["groupPriorityMinimum", "versionPriority"].iter().any(|k| there.at(k).int() != wanted.at(k).int())
}

fn wanted(group: &str, version: &str, custom: bool) -> Option<Value> {
    let (group_priority, version_priority) = priorities(group, version, custom)?;
    let mut labels = Value::object();
    labels.set(AUTOMANAGED, if custom { ALWAYS } else { ON_START });
    let mut metadata = Value::object();
    metadata.set("name", format!("{version}.{group}"));
    metadata.set("labels", labels);
    let mut spec = Value::object();
    spec.set("group", group);
    spec.set("version", version);
    spec.set("groupPriorityMinimum", group_priority);
    spec.set("versionPriority", version_priority);
    let mut object = Value::object();
    object.set("apiVersion", format!("{GROUP}/v1"));
    object.set("kind", "APIService");
    object.set("metadata", metadata);
    object.set("spec", spec);
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(actions: &[Action]) -> Vec<String> {
        let name = |o: &Value| o.at("metadata").at("name").str().to_owned();
        actions
            .iter()
            .map(|action| match action {
                Action::Create(o) => format!("create {}", name(o)),
                Action::Update(o) => format!("update {}", name(o)),
                Action::Delete(n) => format!("delete {n}"),
            })
            .collect()
    }

    #[test]
    fn every_built_in_version_has_a_priority() {
        let table = kinds::Table::builtin();
        for row in table.rows().iter().filter(|row| row.group != GROUP) {
            assert!(wanted(&row.group, &row.version, false).is_some(), "{}/{}", row.group, row.version);
        }
    }

    #[test]
    fn what_is_served_is_announced() {
        let key = |g: &str, v: &str| (Str::from(g), Str::from(v));
        let mut served = BTreeMap::from([(key("", "v1"), false), (key("apps", "v1"), false)]);
        let first = plan(&served, &[], true);
        assert_eq!(names(&first), ["create v1.", "create v1.apps"]);
        let made = |a: Action| match a {
            Action::Create(o) | Action::Update(o) => o,
            Action::Delete(_) => Value::Null,
        };
        let mut objects: Vec<Value> = first.into_iter().map(made).collect();
        assert!(plan(&served, &objects, true).is_empty());
        // Who deletes one has their way until the next start.
        let apps = objects.pop().unwrap_or_default();
        assert!(plan(&served, &objects, false).is_empty());
        objects.push(apps);
        served.insert(key("example.org", "v1"), true);
        let custom = plan(&served, &objects, false);
        assert_eq!(names(&custom), ["create v1.example.org"]);
        let mut object = custom.into_iter().map(made).next().unwrap_or_default();
        assert_eq!(object.at("spec").at("groupPriorityMinimum").int(), 1_000);
        if let Some(spec) = object.object_at("spec") {
            spec.set("versionPriority", 7);
        }
        objects.push(object.clone());
        assert_eq!(names(&plan(&served, &objects, false)), ["update v1.example.org"]);
        served.remove(&key("example.org", "v1"));
        assert_eq!(names(&plan(&served, &objects, false)), ["delete v1.example.org"]);
        // A user's own is left alone.
        if let Some(metadata) = object.object_at("metadata") {
            metadata.remove("labels");
        }
        objects.pop();
        objects.push(object);
        assert!(plan(&served, &objects, true).is_empty());
    }
}
