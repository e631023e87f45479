//! Statuses of the containers of a pod.
//!
//! Upstream: `ValidateContainerStateTransition` and its like, `validateContainerStatus*` in
//! `pkg/apis/core/validation/validation.go`, `pkg/api/v1/pod/util.go`.

use super::util::{invalid_number, is_set, unsupported};
use meta::field::{Error, ErrorList, Path};
use meta::names;
use std::collections::{HashMap, HashSet};
use value::Value;

/// Lists of statuses, with the lists of containers that they are about.
const LISTS: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

const HEALTH_MESSAGE_MAX_BYTES: usize = 1024;

/// That no container that has ended runs again unless its policy says so.
pub(super) fn transitions(
    status: &Value,
    before: &Value,
    spec: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let restarts_all = ["initContainers", "containers"]
        .iter()
        .flat_map(|l| spec.at(l).items())
        .flat_map(|c| c.at("restartPolicyRules").items())
        .any(|rule| rule.at("action").str() == "RestartAllContainers");
    for (list, containers) in LISTS {
        let ephemeral = list == "ephemeralContainerStatuses";
        if restarts_all && !ephemeral {
            continue;
        }
        let path = path.child(list);
        // Of several statuses of a name that run, the first is looked at; of ephemeral ones all are.
        let mut running: HashMap<&str, usize> = HashMap::new();
        for status in status.at(list).items() {
            if !is_set(status.at("state"), "terminated") {
                *running.entry(status.at("name").str()).or_default() += 1;
            }
        }
        let mut known: HashMap<&str, &Value> = HashMap::new();
        for c in spec.at(containers).items() {
            known.entry(c.at("name").str()).or_insert(c);
        }
        for (i, old) in before.at(list).items().iter().enumerate() {
            let terminated = old.at("state").at("terminated");
            let name = old.at("name").str();
            let Some(count) = running.get(name).filter(|_| !terminated.is_null()) else { continue };
            let times = if ephemeral { (*count).min(SAME_ERRORS_MAX) } else { 1 };
            let allowed = !ephemeral
                && known.get(name).is_some_and(|c| restarts(c, spec, terminated.at("exitCode").int()));
            if !allowed {
                let text = "may not be transitioned to non-terminated state";
                let path = path.index(i);
                errors.extend((0..times).map(|_| Error::forbidden(&path.child("state"), text)));
            }
        }
    }
}

/// Most errors about statuses of one name.
const SAME_ERRORS_MAX: usize = 100;

/// Whether a container is started again after it ended with this code (`ContainerShouldRestart`).
fn restarts(c: &Value, spec: &Value, code: i64) -> bool {
    let by_policy = |policy: &str| match policy {
        "Always" => Some(true),
        "OnFailure" => Some(code != 0),
        "Never" => Some(false),
        _ => None,
    };
    if is_set(c, "restartPolicy") {
        let rule = c.at("restartPolicyRules").items().iter().find(|rule| {
            let codes = rule.at("exitCodes");
            let listed = codes.at("values").items().iter().any(|v| v.int() == code);
            match codes.at("operator").str() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
        });
        let action = rule.map_or("", |rule| rule.at("action").str());
        if matches!(action, "Restart" | "RestartAllContainers") {
            return true;
        }
        if let Some(restart) = by_policy(c.at("restartPolicy").str()) {
            return restart;
        }
    }
    by_policy(spec.at("restartPolicy").str()).unwrap_or(true)
}

/// Users and allocated resources in all statuses.
pub(super) fn validate(status: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let os = match spec.at("os").at("name").str() {
        "" if spec.at("os").is_null() => "linux",
        os => os,
    };
    for (list, _) in LISTS {
        let path = path.child(list);
        for (i, status) in status.at(list).items().iter().enumerate() {
            let user = status.at("user").at("linux");
            let path = path.index(i);
            let path = path.child("user");
            let path = path.child("linux");
            match os {
                _ if user.is_null() => {}
                "windows" => errors.push(Error::forbidden(&path, "cannot be set for a windows pod")),
                "linux" => linux_user(user, &path, errors),
                _ => {}
            }
        }
    }
    for (list, containers) in LISTS {
        let path = path.child(list);
        let mut known: HashMap<&str, &Value> = HashMap::new();
        for c in spec.at(containers).items() {
            known.entry(c.at("name").str()).or_insert(c);
        }
        for (i, status) in status.at(list).items().iter().enumerate() {
            let path = path.index(i);
            let path = path.child("allocatedResourcesStatus");
            let list_of = status.at("allocatedResourcesStatus").items();
            if containers == "ephemeralContainers" {
                if !list_of.is_empty() {
                    let text = "must not be specified in container status";
                    errors.push(Error::forbidden(&path, text));
                }
                continue;
            }
            let container = known.get(status.at("name").str()).copied();
            for (j, resource) in list_of.iter().enumerate() {
                allocated(resource, container, &path.index(j), errors);
            }
        }
    }
}

fn linux_user(user: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (uid, gid) = (user.at("uid").int(), user.at("gid").int());
    invalid_number(uid, names::user_id(uid), &path.child("uid"), errors);
    invalid_number(gid, names::group_id(gid), &path.child("gid"), errors);
    let path = path.child("supplementalGroups");
    for (i, gid) in user.at("supplementalGroups").items().iter().enumerate() {
        invalid_number(gid.int(), names::group_id(gid.int()), &path.index(i), errors);
    }
}

fn allocated(v: &Value, container: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    let name = v.at("name").str();
    if let Some(c) = container {
        let resources = c.at("resources");
        let (found, text) = if name.starts_with("claim:") {
            let is_claim = |claim: &Value| {
                let (own, request) = (claim.at("name").str(), claim.at("request").str());
                let key = name.strip_prefix("claim:").unwrap_or_default();
                match request {
                    "" => key == own,
                    request => key.strip_prefix(own).and_then(|k| k.strip_prefix('/')) == Some(request),
                }
            };
            let text = "must match one of the container's resource claims in a format \
                 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
            (resources.at("claims").items().iter().any(is_claim), text)
        } else {
            let text = "must match one of the container's resource requests";
            (resources.at("requests").get(name).is_some(), text)
        };
        if !found {
            errors.push(super::util::invalid_named(&path.child("name"), name, text));
        }
    }
    let list_path = path.child("resources");
    let mut seen = HashSet::new();
    for (i, resource) in v.at("resources").items().iter().enumerate() {
        let path = list_path.index(i);
        let health = resource.at("health").str();
        let known = ["Healthy", "Unhealthy", "Unknown"];
        if !known.contains(&health) {
            errors.push(unsupported(&path.child("health"), health, &known));
        }
        if let Some(message) = resource.at("message").as_str() {
            let path = path.child("message");
            if message.is_empty() {
                errors.push(Error::required(&path, "must be non-empty if specified"));
            } else if message.len() > HEALTH_MESSAGE_MAX_BYTES {
                errors.push(Error::too_long(&path, HEALTH_MESSAGE_MAX_BYTES));
            }
        }
        let id = resource.at("resourceID").str();
        if !seen.insert(id) {
            errors.push(Error::duplicate(&path.child("resourceID"), id).shown_as_json());
        }
    }
}
