//! Pods must be as safe as the labels of their namespace ask: PodSecurity.
//!
//! Upstream: `k8s.io/pod-security-admission/admission`, `plugin/pkg/admission/security/podsecurity`.

mod checks;
mod policy;

use super::{AsyncPlugin, Attributes, Operation, objects};
use crate::cache::Query;
use crate::call::Call;
use checks::Pod;
use futures_util::future::BoxFuture;
use meta::gvk::GroupKind;
use meta::quote::Quoted;
use meta::status::Status;
use policy::{Level, LevelVersion};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};
use value::{Str, Value};

/// How many existing pods a new policy of a namespace is tried on, and how long that may take, as upstream.
const NAMESPACE_PODS_MAX: usize = 3000;
const NAMESPACE_PODS_TIME: Duration = Duration::from_secs(1);

pub(super) struct PodSecurity;

/// Where the pod template of a kind is; `None` for kinds without one.
fn template(a: &Attributes) -> Option<&'static [&'static str]> {
    match (a.resource.group.as_str(), a.resource.resource.as_str()) {
        ("", "podtemplates") => Some(&["template"]),
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some(&["spec", "template"]),
        ("batch", "cronjobs") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn is_pod(a: &Attributes) -> bool {
    a.resource.group.is_empty() && a.resource.resource == "pods"
}

impl AsyncPlugin for PodSecurity {
    fn handles(&self, call: &Call, a: &Attributes) -> bool {
        if !matches!(a.operation, Operation::Create | Operation::Update) {
            return false;
        }
        if a.is("", "namespaces") {
            return true;
        }
        let concerns = if is_pod(a) {
            // Every other subresource writes a pod.
            !matches!(
                a.subresource.as_str(),
                "exec" | "attach" | "binding" | "eviction" | "log" | "portforward" | "proxy" | "status"
            )
        } else {
            a.subresource.is_empty() && template(a).is_some()
        };
        if !concerns {
            return false;
        }
        let cached = call.api.hub("", "namespaces").and_then(|hub| hub.cache.get(&a.namespace));
        cached.is_none_or(|namespace| namespace.head.labels.iter().any(|(key, _)| policy::is_label(key)))
    }

    fn validate<'a>(
        &'a self,
        call: &'a Call,
        a: &'a Attributes,
        object: Option<&'a Value>,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(object) = object else { return Ok(()) };
            if a.is("", "namespaces") {
                return namespace(call, a, object, old);
            }
            let namespace = objects::find_live(call, "", "namespaces", "", &a.namespace).await?;
            let Some(namespace) = namespace else {
                if !is_pod(a) {
                    return Ok(());
                }
                let why = format!("failed to lookup namespace {}", Quoted(&a.namespace));
                return Err(Status::internal_error(why));
            };
            pod(call, a, &namespace, object, old)
        })
    }
}

/// Labels must be readable; a stricter policy is tried on the pods that are there.
fn namespace(call: &Call, a: &Attributes, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let labels = |namespace: &'_ Value| policy::policy(namespace.at("metadata").at("labels"));
    let (new_policy, new_errors) = labels(new);
    let before = old.map(labels);
    if !new_errors.is_empty() && before.as_ref().is_none_or(|(_, errors)| *errors != new_errors) {
        return Err(Status::invalid(&GroupKind::new("", "Namespace"), a.given_name(), &new_errors));
    }
    let Some((old_policy, _)) = before else { return Ok(()) };
    let (new, old) = (new_policy.enforce, old_policy.enforce);
    let not_stricter = new.version == old.version && new.level <= old.level;
    if new == old || new.level == Level::Privileged || not_stricter {
        return Ok(());
    }
    for warning in existing(call, &a.name, new) {
        call.warn(warning);
    }
    Ok(())
}

fn pod(
    call: &Call,
    a: &Attributes,
    namespace: &Value,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let (policy, _) = policy::policy(namespace.at("metadata").at("labels"));
    let pod = match template(a) {
        _ if is_pod(a) => object,
        Some(path) => object.path(path),
        None => return Ok(()),
    };
    if pod.is_null() || (is_pod(a) && old.is_some_and(|old| !is_significant(object, old))) {
        return Ok(());
    }
    let pod = Pod { metadata: pod.at("metadata"), spec: pod.at("spec") };
    if call.audit.is_some() {
        annotate(call, is_pod(a), &policy, &pod);
    }
    if is_pod(a)
        && let Some(violations) = checks::run(policy.enforce, &pod)
    {
        let lv = policy.enforce.to_string();
        let why = format!("violates PodSecurity {}: {}", Quoted(&lv), checks::detail(&violations));
        return Err(Status::forbidden(&a.group_resource(), a.given_name(), why));
    }
    if let Some(violations) = checks::run(policy.warn, &pod) {
        let lv = policy.warn.to_string();
        call.warn(format!("would violate PodSecurity {}: {}", Quoted(&lv), checks::detail(&violations)));
    }
    Ok(())
}

/// What the audit log is told.
fn annotate(call: &Call, enforced: bool, policy: &policy::Policy, pod: &Pod<'_>) {
    if enforced {
        call.annotate("pod-security.kubernetes.io/enforce-policy", &policy.enforce.to_string());
    }
    if let Some(violations) = checks::run(policy.audit, pod) {
        let lv = policy.audit.to_string();
        let text = format!("would violate PodSecurity {}: {}", Quoted(&lv), checks::detail(&violations));
        call.annotate("pod-security.kubernetes.io/audit-violations", &text);
    }
}

/// Whether an update of a pod changes what is checked: containers come or go, or their images change.
fn is_significant(new: &Value, old: &Value) -> bool {
    let (new, old) = (new.at("spec"), old.at("spec"));
    let image = |c: &Value| Str::from(c.at("image").str());
    for list in ["containers", "initContainers"] {
        let (new, old) = (new.at(list).items(), old.at(list).items());
        if new.len() != old.len() || new.iter().zip(old).any(|(n, o)| image(n) != image(o)) {
            return true;
        }
    }
    let before = old.at("ephemeralContainers").items();
    new.at("ephemeralContainers").items().iter().any(|c| {
        let same = before.iter().find(|o| o.at("name").str() == c.at("name").str());
        same.is_none_or(|o| image(o) != image(c))
    })
}

/// Warnings about the pods of a namespace that a new policy would not let in.
fn existing(call: &Call, namespace: &str, enforce: LevelVersion) -> Vec<String> {
    let Some(hub) = call.api.hub("", "pods") else { return Vec::new() };
    let end = Instant::now() + NAMESPACE_PODS_TIME;
    let entries = hub.cache.list(Query { namespace, ..Query::default() }).entries;
    // One pod of each controller comes first: the others are most likely the same.
    let mut controllers = HashSet::new();
    let (mut pods, mut doubles) = (Vec::new(), Vec::new());
    for entry in &entries {
        let pod = hub.tree(entry);
        let owners = pod.at("metadata").at("ownerReferences").items();
        let controller =
            owners.iter().find(|o| o.at("controller").bool()).map(|o| o.at("uid").str().to_owned());
        let is_double = controller.is_some_and(|uid| !controllers.insert(uid));
        if is_double { doubles.push(pod) } else { pods.push(pod) }
    }
    pods.append(&mut doubles);
    let total = pods.len();
    pods.truncate(NAMESPACE_PODS_MAX);
    let mut checked = pods.len();
    let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for (i, pod) in pods.iter().enumerate() {
        let name = pod.at("metadata").at("name").str();
        if let Some(violations) =
            checks::run(enforce, &Pod { metadata: pod.at("metadata"), spec: pod.at("spec") })
        {
            let seen = found.entry(checks::reason(&violations)).or_insert_with(|| (name.to_owned(), 0));
            if name < seen.0.as_str() {
                name.clone_into(&mut seen.0);
            }
            seen.1 += 1;
        }
        if Instant::now() > end {
            checked = i + 1;
            break;
        }
    }
    let mut warnings = Vec::new();
    if checked < total {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {} violate the new PodSecurity enforce level {}",
            Quoted(namespace),
            Quoted(&enforce.to_string())
        ));
    }
    let told = found.into_iter().map(|(why, (name, count))| match count {
        1 => format!("{name}: {why}"),
        2 => format!("{name} (and 1 other pod): {why}"),
        n => format!("{name} (and {} other pods): {why}", n - 1),
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    warnings.append(&mut told);
    warnings
}
