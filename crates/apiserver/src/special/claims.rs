//! What a ResourceClaim may hold depends on its namespace and on who writes it.
//!
//! Admin access needs a label of the namespace. Who writes `status.allocation` or `status.reservedFor` needs the
//! synthetic subresource `binding`, who writes `status.devices` that of each driver concerned.
//! Upstream: `pkg/registry/resource/utils.go`.

use crate::access::refuse;
use crate::call::Call;
use auth::Attributes;
use kinds::equal::semantic_equal;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, NameUse};
use std::collections::{BTreeMap, BTreeSet};
use value::Value;

const GROUP: &str = "resource.k8s.io";
const ADMIN_LABEL: &str = "resource.kubernetes.io/admin-access";

/// The errors that a kind's own validation cannot find; they come before its own. `old` is `None` on create.
pub(super) fn errors(
    call: &Call,
    resource: &str,
    subresource: &str,
    new: &Value,
    old: Option<&Value>,
) -> ErrorList {
    let mut errors = ErrorList::new();
    match (resource, subresource, old) {
        ("resourceclaims", "", None) => spec_access(call, new, new.at("spec"), &mut errors),
        ("resourceclaimtemplates", "", None) => {
            spec_access(call, new, new.at("spec").at("spec"), &mut errors);
        }
        ("resourceclaims", "status", Some(old)) => {
            status_access(call, new, old, &mut errors);
            let (new, old) = (new.at("status"), old.at("status"));
            binding(call, new, old, &mut errors);
            if !new.at("allocation").is_null() {
                devices(call, new, old, &mut errors);
            }
        }
        _ => {}
    }
    errors
}

/// Upstream names the field of a template's claim as a claim's, too.
fn spec_access(call: &Call, object: &Value, spec: &Value, errors: &mut ErrorList) {
    let requests = spec.at("devices").at("requests").items();
    let Some(i) = requests.iter().position(|r| r.at("exactly").at("adminAccess").bool()) else { return };
    let path = Path::new("spec");
    let path = path.child("devices");
    let path = path.child("requests");
    admin_access(call, object, &path.index(i), errors);
}

fn status_access(call: &Call, new: &Value, old: &Value, errors: &mut ErrorList) {
    let first = |claim: &Value| {
        let results = claim.path(&["status", "allocation", "devices", "results"]).items();
        results.iter().position(|r| r.at("adminAccess").bool())
    };
    if first(old).is_some() {
        return;
    }
    let Some(i) = first(new) else { return };
    let path = Path::new("status");
    let path = path.child("allocation");
    let path = path.child("devices");
    let path = path.child("results");
    admin_access(call, new, &path.index(i), errors);
}

fn admin_access(call: &Call, object: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let namespace = object.at("metadata").at("namespace").str();
    let entry = call.api.hub("", "namespaces").and_then(|hub| hub.cache.get(namespace));
    if entry.is_some_and(|entry| entry.head.label(ADMIN_LABEL) == Some("true")) {
        return;
    }
    let text = format!(
        "admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"
    );
    errors.push(Error::forbidden(&path.child("adminAccess"), text));
}

fn binding(call: &Call, new: &Value, old: &Value, errors: &mut ErrorList) {
    if ["allocation", "reservedFor"].iter().all(|f| semantic_equal(new.at(f), old.at(f))) {
        return;
    }
    let verb = call.info.verb.as_str();
    let attributes = Attributes::resource(&call.user, verb, GROUP, "resourceclaims").sub("binding");
    if let Err(refusal) = refuse(call, &attributes) {
        let path = Path::new("status");
        let text = format!(
            "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"{verb}\" permission: {}",
            refusal.message
        );
        errors.push(Error::forbidden(&path.child("allocation"), text));
    }
}

fn devices(call: &Call, new: &Value, old: &Value, errors: &mut ErrorList) {
    let verb = call.info.verb.as_str();
    let mut verbs = vec![format!("arbitrary-node:{verb}")];
    if is_on_node(call, new.at("allocation")) {
        verbs.insert(0, format!("associated-node:{verb}"));
    }
    let namespace = call.info.namespace.as_str();
    for driver in changed_drivers(new.at("devices"), old.at("devices")) {
        let check_verb = |verb: &String| {
            let attributes = Attributes::resource(&call.user, verb, GROUP, "resourceclaims");
            refuse(call, &attributes.sub("driver").named(namespace, driver))
        };
        let mut refusals = Vec::new();
        let allowed = verbs.iter().any(|verb| check_verb(verb).map_err(|e| refusals.push(e)).is_ok());
        if let Some(first) = refusals.first().filter(|_| !allowed) {
            let path = Path::new("status");
            let text = format!(
                "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{}]\" permission: {}",
                verbs.join(" "),
                first.message
            );
            errors.push(Error::forbidden(&path.child("devices"), text));
        }
    }
}

/// The drivers whose devices' entries are new, changed or gone.
fn changed_drivers<'a>(new: &'a Value, old: &'a Value) -> BTreeSet<&'a str> {
    let key = |d: &'a Value| ["driver", "pool", "device", "shareID"].map(|name| d.at(name).str());
    let mut before: BTreeMap<_, _> = old.items().iter().map(|d| (key(d), d)).collect();
    let mut drivers = BTreeSet::new();
    for device in new.items() {
        if !before.remove(&key(device)).is_some_and(|old| semantic_equal(old, device)) {
            drivers.insert(device.at("driver").str());
        }
    }
    drivers.extend(before.values().map(|d| d.at("driver").str()));
    drivers
}

/// Whether a service account writes whose token is bound to the one node that the claim is for.
fn is_on_node(call: &Call, allocation: &Value) -> bool {
    let node = match allocation.at("nodeSelector").at("nodeSelectorTerms").items() {
        [term] if term.at("matchExpressions").items().is_empty() => match term.at("matchFields").items() {
            [f] if f.at("key").str() == "metadata.name" && f.at("operator").str() == "In" => {
                match f.at("values").items() {
                    [name] => name.str(),
                    _ => return false,
                }
            }
            _ => return false,
        },
        _ => return false,
    };
    let nodes = call.user.extra.get(auth::user::NODE_NAME).map(Vec::as_slice).unwrap_or_default();
    !node.is_empty()
        && call.user.name.starts_with("system:serviceaccount:")
        && matches!(nodes, [own] if own == node && names::name_is_dns_subdomain(own, NameUse::Whole).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use value::json;

    #[test]
    fn drivers_of_new_changed_and_removed_devices() {
        let list = |text: &str| json::parse(text.as_bytes()).unwrap();
        let a = r#"{"driver":"a","pool":"p","device":"d"}"#;
        let changed = r#"{"driver":"a","pool":"p","device":"d","data":{"x":1}}"#;
        let b = r#"{"driver":"b","pool":"p","device":"d"}"#;
        for (new, old, want) in [
            (format!("[{a}]"), format!("[{a}]"), vec![]),
            (format!("[{changed}]"), format!("[{a}]"), vec!["a"]),
            (format!("[{a},{b}]"), format!("[{a}]"), vec!["b"]),
            ("null".to_owned(), format!("[{b},{a}]"), vec!["a", "b"]),
        ] {
            let (new, old) = (list(&new), list(&old));
            assert_eq!(changed_drivers(&new, &old).into_iter().collect::<Vec<_>>(), want);
        }
    }
}
