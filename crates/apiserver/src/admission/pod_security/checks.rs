//! The checks, each with the versions it is for.
//!
//! Upstream: `k8s.io/pod-security-admission/policy`; the order of the table is the order of reports:
//! baseline by id, then restricted by id.

mod baseline;
mod restricted;

use super::policy::{Level, LevelVersion};
use crate::admission::objects;
use std::collections::BTreeSet;
use value::Value;

/// What is checked.
pub(super) struct Pod<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

/// What is wrong.
pub(super) struct Violation {
    reason: String,
    detail: String,
}

impl Violation {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Self> {
        Some(Self { reason: reason.into(), detail: detail.into() })
    }
}

struct Check {
    level: Level,
    /// The first minor version that has it.
    since: u64,
    /// The first minor version whose restricted level has something stricter in its place.
    replaced_in_restricted: Option<u64>,
    run: fn(&Pod<'_>, u64) -> Option<Violation>,
}

const fn baseline(since: u64, run: fn(&Pod<'_>, u64) -> Option<Violation>) -> Check {
    Check { level: Level::Baseline, since, replaced_in_restricted: None, run }
}

const fn replaced(at: u64, run: fn(&Pod<'_>, u64) -> Option<Violation>) -> Check {
    Check { level: Level::Baseline, since: 0, replaced_in_restricted: Some(at), run }
}

const fn restricted(since: u64, run: fn(&Pod<'_>, u64) -> Option<Violation>) -> Check {
    Check { level: Level::Restricted, since, replaced_in_restricted: None, run }
}

const CHECKS: [Check; 19] = [
    baseline(0, baseline::app_armor_profile),
    replaced(22, baseline::capabilities),
    baseline(0, baseline::host_namespaces),
    replaced(0, baseline::host_path_volumes),
    baseline(0, baseline::host_ports),
    baseline(34, baseline::host_probes),
    baseline(0, baseline::privileged),
    replaced(35, baseline::proc_mount),
    baseline(0, baseline::se_linux_options),
    replaced(19, baseline::seccomp_profile),
    baseline(0, baseline::sysctls),
    baseline(0, baseline::windows_host_process),
    restricted(8, restricted::allow_privilege_escalation),
    restricted(22, restricted::capabilities),
    restricted(35, restricted::proc_mount),
    restricted(0, restricted::volumes),
    restricted(0, restricted::run_as_non_root),
    restricted(23, restricted::run_as_user),
    restricted(19, restricted::seccomp_profile),
];

/// What the pod violates; `None` for nothing.
pub(super) fn run(lv: LevelVersion, pod: &Pod<'_>) -> Option<Vec<Violation>> {
    if lv.level == Level::Privileged {
        return None;
    }
    let minor = lv.minor();
    let counts = |c: &&Check| {
        c.level <= lv.level
            && c.since <= minor
            && !(lv.level == Level::Restricted && c.replaced_in_restricted.is_some_and(|at| at <= minor))
    };
    let found: Vec<Violation> = CHECKS.iter().filter(counts).filter_map(|c| (c.run)(pod, minor)).collect();
    (!found.is_empty()).then_some(found)
}

/// Reasons with their details.
pub(super) fn detail(violations: &[Violation]) -> String {
    let show = |v: &Violation| {
        if v.detail.is_empty() { v.reason.clone() } else { format!("{} ({})", v.reason, v.detail) }
    };
    violations.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// The bare reasons.
pub(super) fn reason(violations: &[Violation]) -> String {
    violations.iter().map(|v| v.reason.as_str()).collect::<Vec<_>>().join(", ")
}

/// `"a", "b"`: names are not escaped.
fn quoted<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for item in items {
        out.push_str(if out.is_empty() { "\"" } else { ", \"" });
        out.push_str(item);
        out.push('"');
    }
    out
}

const fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
fn containers_named(names: &[&str]) -> String {
    format!("{} {}", plural(names.len(), "container", "containers"), quoted(names.iter().copied()))
}

impl<'a> Pod<'a> {
    fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        objects::containers(self.spec)
    }

    fn security(&self) -> &'a Value {
        self.spec.at("securityContext")
    }

    /// The names of the containers that `bad` says are bad.
    fn bad(&self, mut bad: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|c| bad(c)).map(|c| c.at("name").str()).collect()
    }

    /// The pod itself (if it is bad) and its bad containers, as the subject of a sentence.
    fn setters(pod: bool, containers: &[&str]) -> String {
        let mut parts = Vec::new();
        if pod {
            parts.push("pod".to_owned());
        }
        if !containers.is_empty() {
            parts.push(containers_named(containers));
        }
        parts.join(" and ")
    }

    fn is_windows(&self) -> bool {
        self.spec.at("os").at("name").str() == "windows"
    }

    /// Whether root in the pod is nobody outside.
    fn has_own_users(&self) -> bool {
        self.spec.at("hostUsers").as_bool() == Some(false)
    }
}

type Words<'a> = BTreeSet<&'a str>;

/// Which containers set `procMount` to something unusual.
fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let mut values = Words::new();
    let bad = pod.bad(|c| {
        let value = c.at("securityContext").at("procMount").as_str().filter(|v| *v != "Default");
        values.extend(value);
        value.is_some()
    });
    if bad.is_empty() {
        return None;
    }
    Violation::new(
        "procMount",
        format!("{} must not set securityContext.procMount to {}", containers_named(&bad), quoted(values)),
    )
}

fn valid_seccomp(profile: &str) -> bool {
    matches!(profile, "Localhost" | "RuntimeDefault")
}

/// Who sets a seccomp profile that is not allowed.
fn bad_seccomp(pod: &Pod<'_>) -> Option<Violation> {
    let mut values = Words::new();
    let is_bad = |security: &Value| -> bool {
        !security.at("seccompProfile").is_null()
            && !valid_seccomp(security.at("seccompProfile").at("type").str())
    };
    let of_pod = is_bad(pod.security());
    if of_pod {
        values.insert(pod.security().at("seccompProfile").at("type").str());
    }
    let bad = pod.bad(|c| {
        let security = c.at("securityContext");
        let bad = is_bad(security);
        if bad {
            values.insert(security.at("seccompProfile").at("type").str());
        }
        bad
    });
    if !of_pod && bad.is_empty() {
        return None;
    }
    Violation::new(
        "seccompProfile",
        format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            Pod::setters(of_pod, &bad),
            quoted(values)
        ),
    )
}

#[cfg(test)]
mod tests;
