//! Security contexts of pods and containers.
//!
//! Upstream: `validatePodSpecSecurityContext`, `ValidateSecurityContext`, `validateSysctls`, the seccomp and
//! AppArmor rules in `pkg/apis/core/validation/validation.go`.

use super::options::Allow;
use super::util::{
    descending_path, invalid_named, invalid_number, optional_one_of, repeats, shown_bytes, unsupported,
};
use super::windows;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use std::collections::HashSet;
use value::Value;

const SYSCTL_MAX_BYTES: usize = 253;
const SYSCTL_FORMAT: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const APP_ARMOR_PROFILE_MAX_BYTES: usize = 4095;
const PROFILE_TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn group(n: i64, path: &Path<'_>, errors: &mut ErrorList) {
    invalid_number(n, names::group_id(n), path, errors);
}

/// User and groups that may be absent.
fn user_and_group(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(n) = v.at("runAsUser").as_i64() {
        invalid_number(n, names::user_id(n), &path.child("runAsUser"), errors);
    }
    if let Some(n) = v.at("runAsGroup").as_i64() {
        group(n, &path.child("runAsGroup"), errors);
    }
}

/// `spec.securityContext`.
pub(super) fn of_pod(spec: &Value, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("securityContext");
    let v = spec.at("securityContext");
    if let Some(n) = v.at("fsGroup").as_i64() {
        group(n, &path.child("fsGroup"), errors);
    }
    user_and_group(v, &path, errors);
    let groups_path = path.child("supplementalGroups");
    for (i, n) in v.at("supplementalGroups").items().iter().enumerate() {
        group(n.int(), &groups_path.index(i), errors);
    }
    if spec.at("hostPID").bool() && spec.at("shareProcessNamespace").bool() {
        let text = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(&path.child("shareProcessNamespace"), Value::Bool(true), text));
    }
    sysctls(spec, allow, &path.child("sysctls"), errors);
    let policies = ["Always", "OnRootMismatch"];
    optional_one_of(v.at("fsGroupChangePolicy"), &policies, &path.child("fsGroupChangePolicy"), errors);
    seccomp(v.at("seccompProfile"), &path.child("seccompProfile"), errors);
    windows::options(v.at("windowsOptions"), &path.child("windowsOptions"), errors);
    app_armor(v.at("appArmorProfile"), &path.child("appArmorProfile"), errors);
    let path_of = path.child("supplementalGroupsPolicy");
    optional_one_of(v.at("supplementalGroupsPolicy"), &["Merge", "Strict"], &path_of, errors);
    let known: &[&str] =
        if allow.any_selinux_change_policy { &["MountOption", "Recursive"] } else { &["Recursive"] };
    optional_one_of(v.at("seLinuxChangePolicy"), known, &path.child("seLinuxChangePolicy"), errors);
}

fn sysctls(spec: &Value, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, sysctl) in spec.at("securityContext").at("sysctls").items().iter().enumerate() {
        let path = path.index(i);
        let (name, path) = (sysctl.at("name").str(), path.child("name"));
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if !is_sysctl(name) {
            let text =
                format!("must have at most {SYSCTL_MAX_BYTES} characters and match regex {SYSCTL_FORMAT}");
            errors.push(Error::invalid(&path, name, text));
        } else if seen.contains(name) {
            errors.push(Error::duplicate(&path, name));
        }
        if !allow.host_sysctls
            && let Some(text) = host_sysctl(name, spec)
        {
            errors.push(Error::invalid(&path, name, text));
        }
        seen.insert(name);
    }
}

fn is_sysctl(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= SYSCTL_MAX_BYTES
        && name.split(['.', '/']).all(|segment| {
            let bytes = segment.as_bytes();
            bytes.first().is_some_and(|b| word(*b))
                && bytes.last().is_some_and(|b| word(*b))
                && bytes.iter().all(|b| word(*b) || matches!(b, b'-' | b'_'))
        })
}

/// Why a pod that shares a namespace with the host may not set a parameter of that namespace.
pub(super) fn host_sysctl(name: &str, spec: &Value) -> Option<&'static str> {
    let slashes = name.find(['.', '/']).is_some_and(|i| name.as_bytes().get(i) == Some(&b'/'));
    let swap = |c: char| match c {
        '.' if slashes => '/',
        '/' if slashes => '.',
        c => c,
    };
    let name: String = name.chars().map(swap).collect();
    if spec.at("hostNetwork").bool() && name.starts_with("net.") {
        return Some("may not be specified when 'hostNetwork' is true");
    }
    let ipc = name == "kernel.sem"
        || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix));
    (spec.at("hostIPC").bool() && ipc).then_some("may not be specified when 'hostIPC' is true")
}

/// `securityContext` of a container.
pub(super) fn of_container(v: &Value, host_users: bool, path: &Path<'_>, errors: &mut ErrorList) {
    if v.is_null() {
        return;
    }
    user_and_group(v, path, errors);
    if let Some(mount) = v.at("procMount").as_str() {
        let path = path.child("procMount");
        optional_one_of(v.at("procMount"), &["Default", "Unmasked"], &path, errors);
        if host_users && mount == "Unmasked" {
            errors.push(invalid_named(&path, mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    seccomp(v.at("seccompProfile"), &path.child("seccompProfile"), errors);
    if v.at("allowPrivilegeEscalation").as_bool() == Some(false) {
        if v.at("privileged").bool() {
            let text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(internal::invalid(path, "core.SecurityContext", v, text));
        }
        let added = v.at("capabilities").at("add").items();
        let most = repeats(shown_bytes(v.at("capabilities").at("add")));
        for _ in added.iter().filter(|c| c.str() == "CAP_SYS_ADMIN").take(most) {
            let text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(internal::invalid(path, "core.SecurityContext", v, text));
        }
    }
    windows::options(v.at("windowsOptions"), &path.child("windowsOptions"), errors);
    app_armor(v.at("appArmorProfile"), &path.child("appArmorProfile"), errors);
}

fn seccomp(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if v.is_null() {
        return;
    }
    let kind = v.at("type").str();
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), "type is required when seccompProfile is set"));
    } else if !PROFILE_TYPES.contains(&kind) {
        errors.push(unsupported(&path.child("type"), kind, &PROFILE_TYPES));
    }
    let (profile, path) = (v.at("localhostProfile").as_str(), path.child("localhostProfile"));
    match profile {
        None if kind == "Localhost" => {
            errors.push(Error::required(&path, "must be set when seccomp type is Localhost"));
        }
        Some(profile) if kind == "Localhost" => descending_path(profile, &path, errors),
        Some(_) => {
            let text = "can only be set when seccomp type is Localhost";
            errors.push(internal::invalid(&path, "core.SeccompProfile", v, text));
        }
        None => {}
    }
}

/// `appArmorProfile` (`ValidateAppArmorProfileField`).
pub(super) fn app_armor(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if v.is_null() {
        return;
    }
    let profile = v.at("localhostProfile").as_str();
    let profile_path = path.child("localhostProfile");
    match v.at("type").str() {
        "Localhost" => {
            let missing = "must be set when AppArmor type is Localhost";
            let Some(profile) = profile else {
                errors.push(Error::required(&profile_path, missing));
                return;
            };
            if profile.trim() != profile {
                errors.push(Error::invalid(&profile_path, profile, "must not be padded with whitespace"));
            } else if profile.is_empty() {
                errors.push(Error::required(&profile_path, missing));
            }
            if profile.len() > APP_ARMOR_PROFILE_MAX_BYTES {
                errors.push(Error::too_long(&profile_path, APP_ARMOR_PROFILE_MAX_BYTES));
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if let Some(profile) = profile {
                let text = "can only be set when AppArmor type is Localhost";
                errors.push(invalid_named(&profile_path, profile, text));
            }
        }
        "" => {
            let text = "type is required when appArmorProfile is set";
            errors.push(Error::required(&path.child("type"), text));
        }
        kind => errors.push(unsupported(&path.child("type"), kind, &PROFILE_TYPES)),
    }
}
