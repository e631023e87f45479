//! What concerns pods for Windows, and what pods of either system may not have.
//!
//! Upstream: `validateWindowsSecurityContextOptions`, `validateWindowsHostProcessPod`, `validateWindows`,
//! `validateLinux` in `pkg/apis/core/validation/validation.go`.

use super::util::{containers, invalid_named, is_set};
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::Value;

const CREDENTIAL_SPEC_MAX_KIB: usize = 64;
const DOMAIN_MAX_BYTES: usize = 256;
const USER_MAX_BYTES: usize = 104;

/// `windowsOptions`.
pub(super) fn options(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(name) = v.at("gmsaCredentialSpecName").as_str() {
        let path = path.child("gmsaCredentialSpecName");
        errors.extend(names::dns1123_subdomain(name).into_iter().map(|m| invalid_named(&path, name, m)));
    }
    if let Some(spec) = v.at("gmsaCredentialSpec").as_str() {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(invalid_named(&path, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > CREDENTIAL_SPEC_MAX_KIB * 1024 {
            let text = format!("gmsaCredentialSpec size must be under {CREDENTIAL_SPEC_MAX_KIB} KiB");
            errors.push(invalid_named(&path, spec, text));
        }
    }
    if let Some(name) = v.at("runAsUserName").as_str() {
        let path = path.child("runAsUserName");
        errors.extend(user_name(name).into_iter().map(|m| invalid_named(&path, name, m)));
    }
}

/// `[DOMAIN\]USER`
fn user_name(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string".into()];
    }
    if name.bytes().any(|b| b.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters".into()];
    }
    if name.matches('\\').count() > 1 {
        return vec!["runAsUserName cannot contain more than one backslash".into()];
    }
    let (domain, user) = match name.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut errors = Vec::new();
    if domain.is_some_and(|d| d.len() >= DOMAIN_MAX_BYTES) {
        errors.push(format!("runAsUserName's Domain length must be under {DOMAIN_MAX_BYTES} characters"));
    }
    if domain.is_some_and(|d| !is_netbios(d) && !is_dns(d)) {
        errors.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".into());
    }
    if user.is_empty() {
        errors.push("runAsUserName's User cannot be empty".into());
    } else if user.len() > USER_MAX_BYTES {
        errors
            .push(format!("runAsUserName's User length must not be longer than {USER_MAX_BYTES} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        errors.push("runAsUserName's User cannot contain only periods or spaces".into());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        let text = r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#;
        errors.push(text.into());
    }
    errors
}

fn is_netbios(domain: &str) -> bool {
    let count = domain.chars().count();
    (1..=15).contains(&count)
        && !domain.starts_with('.')
        && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// That all containers are processes of the host if one is (`validateWindowsHostProcessPod`).
pub(super) fn host_processes(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let of = |v: &Value| v.at("securityContext").at("windowsOptions").at("hostProcess").as_bool();
    let pod = of(spec);
    let (mut all, mut processes) = (0, 0);
    for (list, i, container) in containers(spec) {
        all += 1;
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let path = path.child(list);
            let path = path.index(i);
            let path = path.child("securityContext");
            let path = path.child("windowsOptions");
            let text = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(Error::invalid(&path.child("hostProcess"), Value::Bool(own), text));
        }
        if own.or(pod) == Some(true) {
            processes += 1;
        }
    }
    if processes == 0 {
        return;
    }
    if processes != all {
        let text =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(path, "", text));
    }
    if !spec.at("hostNetwork").bool() {
        let text = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(&path.child("hostNetwork"), Value::Bool(false), text));
    }
}

/// `os`, and what that system does not have.
pub(super) fn system(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if !is_set(spec, "os") {
        return;
    }
    let os_path = path.child("os");
    match spec.at("os").at("name").str() {
        "" => errors.push(Error::required(&os_path.child("name"), "")),
        "linux" => not_on_linux(spec, path, errors),
        "windows" => not_on_windows(spec, path, errors),
        other => errors.push(super::util::unsupported(&os_path, other, &["linux", "windows"])),
    }
}

fn not_on_linux(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut forbid = |v: &Value, path: &Path<'_>| {
        if is_set(v.at("securityContext"), "windowsOptions") {
            let path = path.child("securityContext");
            let text = "windows options cannot be set for a linux pod";
            errors.push(Error::forbidden(&path.child("windowsOptions"), text));
        }
    };
    forbid(spec, path);
    for (list, i, container) in containers(spec) {
        let path = path.child(list);
        forbid(container, &path.index(i));
    }
}

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";

fn not_on_windows(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let context = spec.at("securityContext");
    let context_path = path.child("securityContext");
    let mut forbid = |set: bool, path: Path<'_>| {
        if set {
            errors.push(Error::forbidden(&path, NOT_ON_WINDOWS));
        }
    };
    // Those of the spec itself stand in the internal type in the security context, in this place.
    for name in [
        "appArmorProfile",
        "seLinuxOptions",
        "+hostUsers",
        "+hostPID",
        "+hostIPC",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "+shareProcessNamespace",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ] {
        match name.strip_prefix('+') {
            Some(name @ ("hostPID" | "hostIPC")) => forbid(spec.at(name).bool(), path.child(name)),
            Some(name) => forbid(is_set(spec, name), path.child(name)),
            None if name == "sysctls" => {
                forbid(!context.at(name).items().is_empty(), context_path.child(name));
            }
            None => forbid(is_set(context, name), context_path.child(name)),
        }
    }
    for (list, i, container) in containers(spec) {
        let context = container.at("securityContext");
        let path = path.child(list);
        let path = path.index(i);
        let path = path.child("securityContext");
        for name in [
            "appArmorProfile",
            "seLinuxOptions",
            "seccompProfile",
            "capabilities",
            "readOnlyRootFilesystem",
            "privileged",
            "allowPrivilegeEscalation",
            "procMount",
            "runAsUser",
            "runAsGroup",
        ] {
            forbid(is_set(context, name), path.child(name));
        }
    }
}
