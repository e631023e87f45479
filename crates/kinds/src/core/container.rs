//! Containers of all three lists.
//!
//! Upstream: `validateContainerCommon`, `validateContainers`, `validateInitContainers`,
//! `validateEphemeralContainers` in `pkg/apis/core/validation/validation.go`.

use super::options::Allow;
use super::resources::{self, Around, Claims};
use super::util::{has_backsteps, is_set, is_sidecar, one_of, require, unsupported};
use super::volumes::Volumes;
use super::{env, probes, security};
use crate::check;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use std::collections::{HashMap, HashSet};
use value::Value;

/// What the checks of a container look at around it.
pub(super) struct Pod<'a> {
    pub(super) spec: &'a Value,
    pub(super) volumes: &'a Volumes<'a>,
    pub(super) claims: &'a Claims<'a>,
    pub(super) allow: &'a Allow,
}

impl Pod<'_> {
    fn restart_policy(&self) -> &str {
        self.spec.at("restartPolicy").str()
    }
}

/// `containers`.
pub(super) fn regular(pod: &Pod<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("containers");
    let containers = pod.spec.at("containers").items();
    if containers.is_empty() {
        errors.push(Error::required(&path, ""));
        return;
    }
    let mut seen = HashSet::new();
    for (i, c) in containers.iter().enumerate() {
        let path = path.index(i);
        common(c, pod, &path, errors);
        let name = c.at("name").str();
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        if is_set(c, "lifecycle") {
            probes::lifecycle(c.at("lifecycle"), pod.spec, &path.child("lifecycle"), errors);
        }
        probes::validate(c, &path, errors);
        probes::restart_policy(c, &path, errors);
    }
    unique_host_ports(containers, 0, &path, errors);
}

/// That no two containers take the same port of the host; `first` is the index of the first of them.
fn unique_host_ports(containers: &[Value], first: usize, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, c) in containers.iter().enumerate() {
        let path = path.index(first + i);
        let path = path.child("ports");
        for (j, port) in c.at("ports").items().iter().enumerate() {
            let number = port.at("hostPort").int();
            if number == 0 {
                continue;
            }
            let key = format!("{}/{}/{number}", port.at("protocol").str(), port.at("hostIP").str());
            if seen.contains(&key) {
                errors.push(Error::duplicate(&path.index(j).child("hostPort"), key));
            } else {
                seen.insert(key);
            }
        }
    }
}

/// `initContainers`.
pub(super) fn init(pod: &Pod<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("initContainers");
    let mut seen: HashSet<&str> =
        pod.spec.at("containers").items().iter().map(|c| c.at("name").str()).collect();
    for (i, c) in pod.spec.at("initContainers").items().iter().enumerate() {
        let own = path.index(i);
        common(c, pod, &own, errors);
        init_restart_policy(c, &own, errors);
        let name = c.at("name").str();
        if seen.contains(name) {
            errors.push(Error::duplicate(&own.child("name"), name));
        } else if !name.is_empty() {
            seen.insert(name);
        }
        // Upstream looks at each alone, and so always says index 0.
        unique_host_ports(std::slice::from_ref(c), 0, &path, errors);
        if is_sidecar(c) {
            if is_set(c, "lifecycle") {
                probes::lifecycle(c.at("lifecycle"), pod.spec, &own.child("lifecycle"), errors);
            }
            probes::validate(c, &own, errors);
            continue;
        }
        for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if is_set(c, name) {
                let text = "may not be set for init containers without restartPolicy=Always";
                errors.push(Error::forbidden(&own.child(name), text));
            }
        }
        if pod.allow.restart_on_resize_of_init_containers {
            continue;
        }
        let policies_path = own.child("resizePolicy");
        for (j, policy) in c.at("resizePolicy").items().iter().enumerate() {
            if policy.at("restartPolicy").str() == "RestartContainer" {
                let path = policies_path.index(j);
                let text = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.push(super::util::invalid_named(
                    &path.child("restartPolicy"),
                    "RestartContainer",
                    text,
                ));
            }
        }
    }
}

fn init_restart_policy(c: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if is_set(c, "restartPolicy") {
        probes::restart_policy(c, path, errors);
    } else if !c.at("restartPolicyRules").items().is_empty() {
        let text = "must specify restartPolicy when restart rules are used";
        errors.push(Error::required(&path.child("restartPolicy"), text));
    }
}

/// Members that an ephemeral container may not have, in the order of the Go struct.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// `ephemeralContainers`.
pub(super) fn ephemeral(pod: &Pod<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    const TEXT: &str = "cannot be set for an Ephemeral Container";
    let path = path.child("ephemeralContainers");
    let names = |list: &str| pod.spec.at(list).items().iter().map(|c| c.at("name").str());
    let others: HashSet<&str> = names("containers").chain(names("initContainers")).collect();
    let mut seen = others.clone();
    for (i, c) in pod.spec.at("ephemeralContainers").items().iter().enumerate() {
        let path = path.index(i);
        common(c, pod, &path, errors);
        only_in_pods(c, &path, errors);
        let name = c.at("name").str();
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        let target = c.at("targetContainerName").str();
        if !target.is_empty() && !others.contains(target) {
            errors.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        for name in NOT_EPHEMERAL {
            let v = c.at(name);
            let set = if name == "resources" { v.entries().any(|(_, v)| !v.is_null()) } else { !v.is_null() };
            if set {
                errors.push(Error::forbidden(&path.child(name), TEXT));
            }
        }
        let mounts_path = path.child("volumeMounts");
        for (j, mount) in c.at("volumeMounts").items().iter().enumerate() {
            for name in ["subPath", "subPathExpr"] {
                if !mount.at(name).str().is_empty() {
                    errors.push(Error::forbidden(&mounts_path.index(j).child(name), TEXT));
                }
            }
        }
    }
}

/// What holds for pods but not for templates.
pub(super) fn only_in_pods(c: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let image = c.at("image").str();
    if image.trim() != image {
        let text = "must not have leading or trailing whitespace";
        errors.push(Error::invalid(&path.child("image"), image, text));
    }
}

fn common(c: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (name, name_path) = (c.at("name").str(), path.child("name"));
    if name.is_empty() {
        errors.push(Error::required(&name_path, ""));
    } else {
        check::dns1123_label(name, &name_path, errors);
    }
    require(c, "image", path, errors);
    let message_path = path.child("terminationMessagePolicy");
    one_of(c.at("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"], &message_path, errors);
    ports(c.at("ports"), &path.child("ports"), errors);
    env::validate(c.at("env"), &path.child("env"), errors);
    env::validate_from(c.at("envFrom"), &path.child("envFrom"), errors);
    mounts(c, pod.volumes, &path.child("volumeMounts"), errors);
    devices(c, pod.volumes, &path.child("volumeDevices"), errors);
    probes::pull_policy(c.at("imagePullPolicy"), &path.child("imagePullPolicy"), errors);
    let around = Around { claims: pod.claims, indivisible_huge_pages: pod.allow.indivisible_huge_pages };
    let (v, resources_path) = (c.at("resources"), path.child("resources"));
    resources::requirements(v, resources::container_resource_name, &around, &resources_path, errors);
    probes::resize_policy(c.at("resizePolicy"), pod.restart_policy(), &path.child("resizePolicy"), errors);
    let host_users = pod.spec.at("hostUsers").as_bool().unwrap_or(true);
    security::of_container(c.at("securityContext"), host_users, &path.child("securityContext"), errors);
}

fn ports(list: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, port) in list.items().iter().enumerate() {
        let path = path.index(i);
        let (name, name_path) = (port.at("name").str(), path.child("name"));
        if !name.is_empty() {
            let messages = names::port_name(name);
            if !messages.is_empty() {
                check::invalid_each(name, messages, &name_path, errors);
            } else if !seen.insert(name) {
                errors.push(Error::duplicate(&name_path, name));
            }
        }
        let (number, number_path) = (port.at("containerPort").int(), path.child("containerPort"));
        if number == 0 {
            errors.push(Error::required(&number_path, ""));
        } else {
            super::util::invalid_number(number, names::port_num(number), &number_path, errors);
        }
        let host = port.at("hostPort").int();
        if host != 0 {
            super::util::invalid_number(host, names::port_num(host), &path.child("hostPort"), errors);
        }
        one_of(port.at("protocol"), &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
    }
}

/// Name to path, the last of a name wins.
fn by_name<'a>(list: &'a Value, path: &str) -> HashMap<&'a str, &'a str> {
    list.items().iter().map(|v| (v.at("name").str(), v.at(path).str())).collect()
}

fn mounts(c: &Value, volumes: &Volumes<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let devices = by_name(c.at("volumeDevices"), "devicePath");
    let device_paths: HashSet<&str> = devices.values().copied().collect();
    let mut seen = HashSet::new();
    for (i, mount) in c.at("volumeMounts").items().iter().enumerate() {
        let own = path.index(i);
        let (name, name_path) = (mount.at("name").str(), own.child("name"));
        let (at, at_path) = (mount.at("mountPath").str(), own.child("mountPath"));
        require(mount, "name", &own, errors);
        if !volumes.contains_key(name) {
            errors.push(Error::not_found(&name_path, name));
        }
        require(mount, "mountPath", &own, errors);
        if !seen.insert(at) {
            errors.push(Error::invalid(&at_path, at, "must be unique"));
        }
        if devices.contains_key(name) {
            errors.push(Error::invalid(&name_path, name, "must not already exist in volumeDevices"));
        }
        if device_paths.contains(at) {
            let text = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(&at_path, at, text));
        }
        let (sub, expr) = (mount.at("subPath").str(), mount.at("subPathExpr").str());
        if !sub.is_empty() {
            super::util::descending_path(sub, &path.child("subPath"), errors);
        }
        if !expr.is_empty() {
            if !sub.is_empty() {
                let text = "subPathExpr and subPath are mutually exclusive";
                errors.push(Error::invalid(&own.child("subPathExpr"), expr, text));
            }
            super::util::descending_path(expr, &path.child("subPathExpr"), errors);
        }
        propagation(mount, c, &path.child("mountPropagation"), errors);
        recursive_read_only(mount, &path.child("recursiveReadOnly"), errors);
    }
}

fn propagation(mount: &Value, c: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(mode) = mount.at("mountPropagation").as_str() else { return };
    let known = ["Bidirectional", "HostToContainer", "None"];
    if !known.contains(&mode) {
        errors.push(unsupported(path, mode, &known));
    }
    if mode == "Bidirectional" && !c.at("securityContext").at("privileged").bool() {
        let text = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(Error::forbidden(path, text));
    }
}

fn recursive_read_only(mount: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match mount.at("recursiveReadOnly").as_str() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.at("readOnly").bool() {
                errors.push(Error::forbidden(path, "may only be specified when readOnly is true"));
            }
            if mount.at("mountPropagation").as_str().is_some_and(|mode| mode != "None") {
                let text = "may only be specified when mountPropagation is None or not specified";
                errors.push(Error::forbidden(path, text));
            }
        }
        Some(other) => errors.push(unsupported(path, other, &["Disabled", "Enabled", "IfPossible"])),
    }
}

fn devices(c: &Value, volumes: &Volumes<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mounts = by_name(c.at("volumeMounts"), "mountPath");
    let mount_paths: HashSet<&str> = mounts.values().copied().collect();
    let (mut seen, mut seen_paths) = (HashSet::new(), HashSet::new());
    for (i, device) in c.at("volumeDevices").items().iter().enumerate() {
        let path = path.index(i);
        let (name, name_path) = (device.at("name").str(), path.child("name"));
        let (at, at_path) = (device.at("devicePath").str(), path.child("devicePath"));
        require(device, "name", &path, errors);
        if seen.contains(name) {
            errors.push(Error::invalid(&name_path, name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(Error::not_found(&name_path, name)),
            Some(v) if !is_set(v, "persistentVolumeClaim") && !is_set(v, "ephemeral") => {
                let text =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(Error::invalid(&name_path, name, text));
            }
            Some(_) => {}
        }
        require(device, "devicePath", &path, errors);
        if seen_paths.contains(at) {
            errors.push(Error::invalid(&at_path, at, "must be unique"));
        }
        if has_backsteps(at) {
            errors.push(Error::invalid(&at_path, at, "can not contain backsteps ('..')"));
        } else {
            seen_paths.insert(at);
        }
        if mounts.contains_key(name) {
            errors.push(Error::invalid(&name_path, name, "must not already exist in volumeMounts"));
        }
        if mount_paths.contains(at) {
            let text = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(&at_path, at, text));
        }
        if !name.is_empty() {
            seen.insert(name);
        }
    }
}

/// `spec.resourceClaims`; returns their names.
pub(super) fn claims<'a>(
    spec: &'a Value,
    metadata: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> Claims<'a> {
    let path = path.child("resourceClaims");
    let list = spec.at("resourceClaims").items();
    let mirror = metadata.at("annotations").get(super::annotations::MIRROR).is_some();
    let mut seen = HashSet::new();
    for (i, claim) in list.iter().enumerate() {
        if mirror {
            let text = "static pods do not support resource claims";
            errors.push(Error::forbidden(&Path::new(""), text));
            continue;
        }
        let path = path.index(i);
        let (name, name_path) = (claim.at("name").str(), path.child("name"));
        if name.is_empty() {
            errors.push(Error::required(&name_path, ""));
        } else if !seen.insert(name) {
            errors.push(Error::duplicate(&name_path, name));
        } else {
            check::dns1123_label(name, &name_path, errors);
        }
        let text = match (is_set(claim, "resourceClaimName"), is_set(claim, "resourceClaimTemplateName")) {
            (true, true) => {
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            }
            (false, false) => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            _ => "",
        };
        if !text.is_empty() {
            errors.push(internal::invalid(&path, "core.PodResourceClaim", claim, text));
        }
        for member in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(name) = claim.at(member).as_str() {
                check::dns1123_subdomain(name, &path.child(member), errors);
            }
        }
    }
    Claims::new(list.iter().map(|c| c.at("name").str()).filter(|n| !n.is_empty()))
}
