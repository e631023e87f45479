//! Probes and lifecycle handlers.
//!
//! Upstream: `validateProbe`, `validateHandler`, `validateLifecycle` in
//! `pkg/apis/core/validation/validation.go`.

use super::util::{invalid_named, non_negative, unsupported};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::Value;

const LINUX_SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// All probes of a container.
pub(super) fn validate(container: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let (v, path) = (container.at(name), path.child(name));
        if v.is_null() {
            continue;
        }
        probe(v, &path, errors);
        if name == "readinessProbe" {
            let grace = v.at("terminationGracePeriodSeconds");
            if !grace.is_null() {
                let path = path.child("terminationGracePeriodSeconds");
                errors.push(Error::invalid(&path, grace.int(), "must not be set for readinessProbes"));
            }
        } else if v.at("successThreshold").int() != 1 {
            let n = v.at("successThreshold").int();
            errors.push(Error::invalid(&path.child("successThreshold"), n, "must be 1"));
        }
    }
}

fn probe(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    handler(v, &["exec", "httpGet", "tcpSocket", "grpc"], &Value::Null, path, errors);
    for name in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        non_negative(v.at(name), &path.child(name), errors);
    }
    let grace = v.at("terminationGracePeriodSeconds");
    if !grace.is_null() && grace.int() <= 0 {
        let path = path.child("terminationGracePeriodSeconds");
        errors.push(Error::invalid(&path, grace.int(), "must be greater than 0"));
    }
}

/// `lifecycle` of a container in a pod of this spec.
pub(super) fn lifecycle(v: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let grace = spec.at("terminationGracePeriodSeconds");
    for name in ["postStart", "preStop"] {
        if !v.at(name).is_null() {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            handler(v.at(name), &kinds, grace, &path.child(name), errors);
        }
    }
    if let Some(signal) = v.at("stopSignal").as_str() {
        let path = path.child("stopSignal");
        if spec.at("os").is_null() {
            let text = "may not be set for containers with empty `spec.os.name`";
            errors.push(Error::forbidden(&path, text));
            return;
        }
        let known: &[&str] = match spec.at("os").at("name").str() {
            "windows" => &["SIGKILL", "SIGTERM"],
            "linux" => &LINUX_SIGNALS,
            _ => return,
        };
        if !known.contains(&signal) {
            errors.push(unsupported(&path, signal, known));
        }
    }
}

/// One handler of one of these kinds.
fn handler(v: &Value, kinds: &[&str], grace: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut count = 0;
    for kind in kinds {
        let (v, path) = (v.at(kind), path.child(kind));
        if v.is_null() {
            continue;
        }
        count += 1;
        if count > 1 {
            errors.push(Error::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" => {
                if v.at("command").items().is_empty() {
                    errors.push(Error::required(&path.child("command"), ""));
                }
            }
            "httpGet" => http_get(v, &path, errors),
            "sleep" => {
                let seconds = v.at("seconds").int();
                if !grace.is_null() && (seconds < 0 || seconds > grace.int()) {
                    let text = format!(
                        "must be non-negative and less than terminationGracePeriodSeconds ({})",
                        grace.int()
                    );
                    errors.push(Error::invalid(&path, seconds, text));
                }
            }
            _ => port(v.at("port"), &path.child("port"), errors),
        }
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a handler type"));
    }
}

fn http_get(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    super::util::require(v, "path", path, errors);
    port(v.at("port"), &path.child("port"), errors);
    let scheme = v.at("scheme").str();
    if scheme != "HTTP" && scheme != "HTTPS" {
        errors.push(unsupported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in v.at("httpHeaders").items() {
        let name = header.at("name").str();
        check::invalid_each(name, names::http_header_name(name), &path.child("httpHeaders"), errors);
    }
}

/// A port by number or name (`ValidatePortNumOrName`).
pub(super) fn port(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match v.as_str() {
        Some(name) => check::invalid_each(name, names::port_name(name), path, errors),
        None => {
            let n = v.int();
            // A Go `int`, which upstream prints as JSON does.
            super::util::invalid_number(n, names::port_num(n), path, errors);
        }
    }
}

/// When an image is pulled.
pub(super) fn pull_policy(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    super::util::one_of(v, &["Always", "IfNotPresent", "Never"], path, errors);
}

/// `resizePolicy` of a container.
pub(super) fn resize_policy(v: &Value, restart: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = std::collections::HashSet::new();
    for (i, policy) in v.items().iter().enumerate() {
        let name = policy.at("resourceName").str();
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.index(i), name).shown_as_json());
        }
        super::util::one_of(policy.at("resourceName"), &["cpu", "memory"], path, errors);
        super::util::one_of(policy.at("restartPolicy"), &["NotRequired", "RestartContainer"], path, errors);
        let own = policy.at("restartPolicy").str();
        if restart == "Never" && own != "NotRequired" {
            let text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(invalid_named(path, own, text));
        }
    }
}

/// `restartPolicy` and `restartPolicyRules` of a container (`validateContainerRestartPolicy`).
pub(super) fn restart_policy(container: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    const RULES_MAX: usize = 20;
    const EXIT_CODES_MAX: usize = 255;
    let rules = container.at("restartPolicyRules").items();
    let policy_path = path.child("restartPolicy");
    match container.at("restartPolicy").as_str() {
        None if rules.is_empty() => return,
        None => {
            let text = "must specify restartPolicy when restart rules are used";
            errors.push(Error::required(&policy_path, text));
        }
        Some(policy) => {
            let known = ["Always", "Never", "OnFailure"];
            if !known.contains(&policy) {
                errors.push(unsupported(&policy_path, policy, &known));
            }
        }
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > RULES_MAX {
        errors.push(Error::too_many(&path, rules.len(), RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let action = rule.at("action").str();
        let known = ["Restart", "RestartAllContainers"];
        if !known.contains(&action) {
            errors.push(unsupported(&path.child("action"), action, &known));
        }
        let (codes, path) = (rule.at("exitCodes"), path.child("exitCodes"));
        if codes.is_null() {
            errors.push(Error::required(&path, "must be specified"));
            continue;
        }
        let operator = codes.at("operator").str();
        if operator != "In" && operator != "NotIn" {
            errors.push(unsupported(&path.child("operator"), operator, &["In", "NotIn"]));
        }
        let count = codes.at("values").items().len();
        if count > EXIT_CODES_MAX {
            errors.push(Error::too_many(&path.child("values"), count, EXIT_CODES_MAX));
        }
    }
}
