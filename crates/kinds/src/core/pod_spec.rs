//! The spec of pods and of pod templates.
//!
//! Upstream: `ValidatePodSpec` in `pkg/apis/core/validation/validation.go`.

use super::container::{self, Pod};
use super::options::Allow;
use super::resources::{self, Around, Claims};
use super::sums::aggregate;
use super::util::{containers, is_set, one_of, quantity, strings};
use super::{env, scheduling, security, volumes, windows};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use std::collections::HashSet;
use value::Value;

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_LIST_MAX_BYTES: usize = 2048;
const HOSTNAME_OVERRIDE_MAX_BYTES: usize = 64;

/// The whole spec. `metadata` is the pod's; null in templates, where it is not known.
pub(super) fn validate(
    spec: &Value,
    metadata: &Value,
    allow: &Allow,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if !is_set(spec, "terminationGracePeriodSeconds") {
        errors.push(Error::required(&path.child("terminationGracePeriodSeconds"), ""));
    }
    let name = metadata.at("name").str();
    let volumes = volumes::validate(spec.at("volumes"), name, allow, &path.child("volumes"), errors);
    let claims = container::claims(spec, metadata, path, errors);
    let pod = Pod { spec, volumes: &volumes, claims: &claims, allow };
    container::regular(&pod, path, errors);
    container::init(&pod, path, errors);
    container::ephemeral(&pod, path, errors);
    pod_resources(spec, &claims, allow, path, errors);
    host_ports(spec, allow, path, errors);
    let restart = ["Always", "OnFailure", "Never"];
    one_of(spec.at("restartPolicy"), &restart, &path.child("restartPolicy"), errors);
    let dns = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(spec.at("dnsPolicy"), &dns, &path.child("dnsPolicy"), errors);
    check::labels(spec.at("nodeSelector"), &path.child("nodeSelector"), errors);
    security::of_pod(spec, allow, path, errors);
    scheduling::affinity(spec.at("affinity"), allow, &path.child("affinity"), errors);
    dns_config(spec, &path.child("dnsConfig"), errors);
    gates(spec, path, errors);
    let spread_path = path.child("topologySpreadConstraints");
    scheduling::spread(spec.at("topologySpreadConstraints"), allow, &spread_path, errors);
    windows::host_processes(spec, path, errors);
    host_users(spec, allow, path, errors);
    hostname_override(spec, path, errors);
    texts(spec, path, errors);
    let tolerations_path = path.child("tolerations");
    scheduling::tolerations(spec.at("tolerations"), allow.toleration_comparisons, &tolerations_path, errors);
    host_aliases(spec, &path.child("hostAliases"), errors);
    last_texts(spec, path, errors);
    overhead(spec, allow, &path.child("overhead"), errors);
    windows::system(spec, path, errors);
    scheduling_group(spec, path, errors);
    env::file_volumes(spec, path, errors);
}

/// Names and numbers of the spec itself, up to tolerations in upstream's order.
fn texts(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["serviceAccountName", "nodeName"] {
        let text = spec.at(name).str();
        if !text.is_empty() {
            check::dns1123_subdomain(text, &path.child(name), errors);
        }
    }
    if let Some(seconds) = spec.at("activeDeadlineSeconds").as_i64() {
        let max = i64::from(i32::MAX);
        if !(1..=max).contains(&seconds) {
            let text = names::inclusive_range_error(1, max);
            errors.push(Error::invalid(&path.child("activeDeadlineSeconds"), seconds, text));
        }
    }
    for name in ["hostname", "subdomain"] {
        let text = spec.at(name).str();
        if !text.is_empty() {
            check::dns1123_label(text, &path.child(name), errors);
        }
    }
}

fn last_texts(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let class = spec.at("priorityClassName").str();
    if !class.is_empty() {
        check::dns1123_subdomain(class, &path.child("priorityClassName"), errors);
    }
    if let Some(class) = spec.at("runtimeClassName").as_str() {
        check::dns1123_subdomain(class, &path.child("runtimeClassName"), errors);
    }
    if is_set(spec, "preemptionPolicy") {
        let known = ["PreemptLowerPriority", "Never"];
        one_of(spec.at("preemptionPolicy"), &known, &path.child("preemptionPolicy"), errors);
    }
}

fn overhead(spec: &Value, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    if is_set(spec, "overhead") {
        let limits = super::util::object([("limits", spec.at("overhead").clone())]);
        let none = Claims::new(std::iter::empty());
        let around = Around { claims: &none, indivisible_huge_pages: allow.indivisible_huge_pages };
        resources::requirements(&limits, resources::container_resource_name, &around, path, errors);
    }
}

fn scheduling_group(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let group = spec.at("schedulingGroup");
    if group.is_null() {
        return;
    }
    let path = path.child("schedulingGroup");
    let path = path.child("podGroupName");
    match group.at("podGroupName").as_str() {
        Some(name) => check::dns1123_subdomain(name, &path, errors),
        None => {
            errors.push(Error::invalid(&path, Value::Null, "must specify one of: `podGroupName`"));
        }
    }
}

/// What the pod as a whole asks for, and that its containers fit in.
fn pod_resources(spec: &Value, claims: &Claims<'_>, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    let v = spec.at("resources");
    if v.is_null() {
        return;
    }
    let path = path.child("resources");
    if spec.at("os").at("name").str() == "windows" {
        errors.push(Error::forbidden(&path, "may not be set for a windows pod"));
        return;
    }
    if is_set(v, "claims") {
        let text = "claims may not be set for Resources at pod-level";
        errors.push(Error::forbidden(&path.child("claims"), text));
    }
    let around = Around { claims, indivisible_huge_pages: allow.indivisible_huge_pages };
    resources::requirements(v, resources::pod_resource_name, &around, &path, errors);
    for list in ["requests", "limits"] {
        let list_path = path.child(list);
        for (name, sum) in aggregate(spec, list) {
            let Some(own) = v.at(list).get(&name).map(quantity) else { continue };
            if (list == "requests" || resources::is_huge_page(&name)) && sum > own {
                let text = format!("must be greater than or equal to aggregate container {list} of {sum}");
                errors.push(Error::invalid(&list_path.key(&name), own.to_string(), text));
            }
        }
    }
    let containers_path = path.child("containers");
    for (i, c) in spec.at("containers").items().iter().enumerate() {
        for (name, limit) in c.at("resources").at("limits").entries() {
            let Some(own) = v.at("limits").get(name).map(quantity) else { continue };
            let limit = quantity(limit);
            if limit > own {
                let path = containers_path.index(i);
                let path = path.key(name);
                let text = format!("must be less than or equal to pod limits of {own}");
                errors.push(Error::invalid(&path.child("limits"), limit.to_string(), text));
            }
        }
    }
}

/// In the host's network, ports are the host's.
fn host_ports(spec: &Value, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    if !spec.at("hostNetwork").bool() {
        return;
    }
    let path = path.child("containers");
    for (i, c) in spec.at("containers").items().iter().enumerate() {
        let path = path.index(i);
        let path = path.child("ports");
        for (j, port) in c.at("ports").items().iter().enumerate() {
            let (host, own) = (port.at("hostPort").int(), port.at("containerPort").int());
            if (allow.resource_is_pod || host != 0) && host != own {
                let text = "must match `containerPort` when `hostNetwork` is true";
                errors.push(Error::invalid(&path.index(j).child("hostPort"), host, text));
            }
        }
    }
}

fn dns_config(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let config = spec.at("dnsConfig");
    let servers_path = path.child("nameservers");
    let servers = config.at("nameservers").items();
    if spec.at("dnsPolicy").str() == "None" {
        if config.is_null() {
            errors.push(Error::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if servers.is_empty() {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(Error::required(&servers_path, text));
            return;
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        let text = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(Error::invalid(&servers_path, config.at("nameservers").clone(), text));
    }
    for (i, server) in servers.iter().enumerate() {
        super::util::legacy_ip(&servers_path.index(i), server.str(), &HashSet::new(), errors);
    }
    let (searches, searches_path) = (config.at("searches"), path.child("searches"));
    if searches.items().len() > SEARCHES_MAX {
        let text = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(Error::invalid(&searches_path, searches.clone(), text));
    }
    if strings(searches).join(" ").len() > SEARCH_LIST_MAX_BYTES {
        let text = format!(
            "must not have more than {SEARCH_LIST_MAX_BYTES} characters (including spaces) in the search list"
        );
        errors.push(Error::invalid(&searches_path, searches.clone(), text));
    }
    for (i, search) in searches.items().iter().enumerate() {
        let search = search.str();
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            let messages = names::dns1123_subdomain_with_underscore(search);
            check::invalid_each(search, messages, &searches_path.index(i), errors);
        }
    }
    let options_path = path.child("options");
    for (i, option) in config.at("options").items().iter().enumerate() {
        if option.at("name").str().is_empty() {
            errors.push(Error::required(&options_path.index(i), "must not be empty"));
        }
    }
}

/// Readiness gates and scheduling gates.
fn gates(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let list_path = path.child("readinessGates");
    for (i, gate) in spec.at("readinessGates").items().iter().enumerate() {
        let path = list_path.index(i);
        check::qualified_name(gate.at("conditionType").str(), &path.child("conditionType"), errors);
    }
    let list_path = path.child("schedulingGates");
    let mut seen = HashSet::new();
    for (i, gate) in spec.at("schedulingGates").items().iter().enumerate() {
        let (name, path) = (gate.at("name").str(), list_path.index(i));
        check::qualified_name(name, &path, errors);
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
    }
}

fn host_users(spec: &Value, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    const TEXT: &str = "when `hostUsers` is false";
    if spec.at("hostUsers").as_bool() != Some(false) {
        return;
    }
    if !allow.host_network_with_user_namespaces && spec.at("hostNetwork").bool() {
        errors.push(Error::forbidden(&path.child("hostNetwork"), TEXT));
    }
    for (name, shown) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.at(name).bool() {
            errors.push(Error::forbidden(&path.child(shown), TEXT));
        }
    }
    if !allow.volume_devices_with_user_namespaces {
        for (list, i, c) in containers(spec) {
            if !c.at("volumeDevices").items().is_empty() {
                let path = path.child(list);
                errors.push(Error::forbidden(&path.index(i).child("volumeDevices"), TEXT));
            }
        }
    }
}

fn hostname_override(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(name) = spec.at("hostnameOverride").as_str() else { return };
    let path = path.child("hostnameOverride");
    for other in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.at(other).bool() {
            errors.push(Error::forbidden(&path, format!("may not be specified when {other} is true")));
        }
    }
    if name.len() > HOSTNAME_OVERRIDE_MAX_BYTES {
        errors.push(Error::too_long(&path, HOSTNAME_OVERRIDE_MAX_BYTES));
    }
    check::dns1123_subdomain(name, &path, errors);
}

fn host_aliases(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (i, alias) in spec.at("hostAliases").items().iter().enumerate() {
        let path = path.index(i);
        super::util::legacy_ip(&path.child("ip"), alias.at("ip").str(), &HashSet::new(), errors);
        let path = path.child("hostnames");
        for (j, name) in alias.at("hostnames").items().iter().enumerate() {
            check::dns1123_subdomain(name.str(), &path.index(j), errors);
        }
    }
}
