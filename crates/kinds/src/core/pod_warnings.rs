//! Warnings about pods and pod templates.
//!
//! Upstream: `pkg/api/pod/warnings.go`.

use super::annotations::{APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD};
use super::util::{containers, fractional, is_set, object, quantity};
use super::{overlap, pvc};
use crate::equal::semantic_equal;
use crate::node_labels;
use meta::field::Path;
use meta::names::{self, ip};
use meta::quote::quote;
use std::collections::{HashMap, HashSet};
use value::Value;

const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Most warnings about ports that clash: their number can grow with the square of that of the ports.
const PORT_WARNINGS_MAX: usize = 1000;
/// Most pairs of ports that are compared for them.
const PORT_STEPS_MAX: usize = 500_000;

const DEPRECATED_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Kinds of volumes that are gone, in upstream's order and spelling. Claims come between.
const DEPRECATED_VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Warnings for a pod template; those of `old` make no difference.
pub fn template_warnings(template: &Value, _old: Option<&Value>, path: &Path<'_>) -> Vec<String> {
    if template.is_null() { Vec::new() } else { warnings(template, path) }
}

/// Warnings for a pod (its path is the root) or a template.
pub(super) fn warnings(pod: &Value, path: &Path<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let (spec, metadata) = (pod.at("spec"), pod.at("metadata"));
    let spec_path = path.child("spec");
    node_label_warnings(spec, &spec_path, &mut out);
    let meta_path = path.child("metadata");
    let annotations_path = meta_path.child("annotations");
    let annotations = metadata.at("annotations");
    for (key, text) in DEPRECATED_ANNOTATIONS {
        if annotations.get(key).is_some() {
            out.push(format!("{}: {text}", annotations_path.key(key)));
        }
    }
    volumes(spec, &spec_path, &mut out);
    duplicates(spec, &spec_path, &mut out);
    fractions(
        &object([("resources", object([("overhead", spec.at("overhead").clone())]))]),
        &["overhead"],
        &spec_path,
        false,
        &mut out,
    );
    let context = spec.at("securityContext");
    if !is_set(context, "seccompProfile") && annotations.get(SECCOMP_POD).is_some() {
        let text = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
        out.push(format!("{}: {text}", annotations_path.key(SECCOMP_POD)));
    }
    for (list, i, c) in containers(spec) {
        profile_annotations(c, context, annotations, path, &annotations_path, &mut out);
        let path = spec_path.child(list);
        let path = path.index(i);
        fractions(c, &["limits", "requests"], &path, true, &mut out);
        variables(c, &path, &mut out);
    }
    ports(spec, &spec_path, &mut out);
    if spec.at("terminationGracePeriodSeconds").int() < 0 {
        let text = "must be >= 0; negative values are invalid and will be treated as 1";
        out.push(format!("{}: {text}", spec_path.child("terminationGracePeriodSeconds")));
    }
    affinity(spec, &spec_path, &mut out);
    addresses(spec, &spec_path, &mut out);
    out
}

fn node_label_warnings(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    for (key, _) in spec.at("nodeSelector").entries() {
        if let Some(text) = node_labels::deprecated(key) {
            out.push(format!("{}: {text}", path.child("nodeSelector").key(key)));
        }
    }
    let affinity = spec.at("affinity").at("nodeAffinity");
    let affinity_path = path.child("affinity");
    let affinity_path = affinity_path.child("nodeAffinity");
    let name = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms_path = affinity_path.child(name);
    let terms_path = terms_path.child("nodeSelectorTerms");
    for (i, term) in affinity.at(name).at("nodeSelectorTerms").items().iter().enumerate() {
        node_term(term, false, &terms_path.index(i), out);
    }
    let name = "preferredDuringSchedulingIgnoredDuringExecution";
    let terms_path = affinity_path.child(name);
    for (i, term) in affinity.at(name).items().iter().enumerate() {
        let path = terms_path.index(i);
        node_term(term.at("preference"), true, &path.child("preference"), out);
    }
    let list_path = path.child("topologySpreadConstraints");
    for (i, constraint) in spec.at("topologySpreadConstraints").items().iter().enumerate() {
        let path = list_path.index(i);
        let key = constraint.at("topologyKey").str();
        if let Some(text) = node_labels::deprecated(key) {
            out.push(format!("{}: {key} is {text}", path.child("topologyKey")));
        }
        if !is_set(constraint, "labelSelector") {
            out.push(format!("{}: {NULL_SELECTOR}", path.child("labelSelector")));
        }
    }
}

/// A term of a node selector (`GetWarningsForNodeSelectorTerm`).
pub(super) fn node_term(term: &Value, values: bool, path: &Path<'_>, out: &mut Vec<String>) {
    let list_path = path.child("matchExpressions");
    for (i, expression) in term.at("matchExpressions").items().iter().enumerate() {
        let path = list_path.index(i);
        let key = expression.at("key").str();
        if let Some(text) = node_labels::deprecated(key) {
            out.push(format!("{}: {key} is {text}", path.child("key")));
        }
        if !values {
            continue;
        }
        let path = path.child("values");
        for (j, value) in expression.at("values").items().iter().enumerate() {
            for message in names::label_value(value.str()) {
                out.push(format!("{}: {} is invalid, {message}", path.index(j), value.str()));
            }
        }
    }
}

fn volumes(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let list_path = path.child("volumes");
    let volumes = spec.at("volumes").items();
    for (i, volume) in volumes.iter().enumerate() {
        let path = list_path.index(i);
        for (name, shown, text) in DEPRECATED_VOLUMES {
            if name == "cephfs" {
                let claim = volume.at("ephemeral").at("volumeClaimTemplate");
                if !claim.is_null() {
                    let path = path.child("ephemeral");
                    let path = path.child("volumeClaimTemplate");
                    out.extend(pvc::spec_warnings(claim.at("spec"), &path.child("spec")));
                }
            }
            if is_set(volume, name) {
                out.push(format!("{}: {text}", path.child(shown)));
            }
        }
    }
    overlap::warnings(volumes, out);
}

fn duplicates(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    for (list, member, shown) in [("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")] {
        let list_path = path.child(list);
        let mut seen = HashSet::new();
        for (i, item) in spec.at(list).items().iter().enumerate() {
            let text = item.at(member).str();
            if !seen.insert(text) {
                out.push(format!("{}: duplicate {shown} {}", list_path.index(i).child(member), quote(text)));
            }
        }
    }
    let list_path = path.child("imagePullSecrets");
    for (i, item) in spec.at("imagePullSecrets").items().iter().enumerate() {
        if item.at("name").str().is_empty() {
            out.push(format!("{}: invalid empty name \"\"", list_path.index(i).child("name")));
        }
    }
}

/// Bytes that are no whole number, in these lists of `resources`; `nested` says whether the path of a list
/// has `resources` in it.
fn fractions(c: &Value, lists: &[&str], path: &Path<'_>, nested: bool, out: &mut Vec<String>) {
    let resources_path = path.child("resources");
    let path = if nested { &resources_path } else { path };
    for name in ["memory", "ephemeral-storage"] {
        for list in lists {
            let Some(v) = c.at("resources").at(list).get(name) else { continue };
            let amount = quantity(v);
            if fractional(&amount) {
                let path = path.child(list);
                out.push(fraction(&path.key(name), &amount.to_string()));
            }
        }
    }
}

/// What is said about a fraction of a byte.
pub(super) fn fraction(path: &Path<'_>, amount: &str) -> String {
    format!("{path}: fractional byte value {} is invalid, must be an integer", quote(amount))
}

fn profile_annotations(
    c: &Value,
    pod: &Value,
    annotations: &Value,
    root: &Path<'_>,
    path: &Path<'_>,
    out: &mut Vec<String>,
) {
    if annotations.is_empty() {
        return;
    }
    let context = c.at("securityContext");
    let key = format!("{SECCOMP_CONTAINER}{}", c.at("name").str());
    if !is_set(context, "seccompProfile") && annotations.get(&key).is_some() {
        let text = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
        out.push(format!("{}: {text}", path.key(&key)));
    }
    // Pods get theirs where the annotation is made a field.
    if root.is_root() || is_set(context, "appArmorProfile") {
        return;
    }
    let key = format!("{APP_ARMOR}{}", c.at("name").str());
    if let Some(v) = annotations.get(&key) {
        let profile = pod.at("appArmorProfile");
        let same = !profile.is_null()
            && app_armor_of_annotation(v.str()).is_some_and(|own| semantic_equal(profile, &own));
        if !same {
            let text = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            out.push(format!("{}: {text}", path.key(&key)));
        }
    }
}

/// The field that says what an annotation says.
pub(super) fn app_armor_of_annotation(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(object([("type", "Unconfined".into())])),
        "runtime/default" => Some(object([("type", "RuntimeDefault".into())])),
        _ => {
            let profile = annotation.strip_prefix("localhost/").filter(|p| !p.is_empty())?;
            Some(object([("type", "Localhost".into()), ("localhostProfile", profile.into())]))
        }
    }
}

fn variables(c: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let path = path.child("env");
    let mut seen = HashSet::new();
    for (i, var) in c.at("env").items().iter().enumerate() {
        let (name, v) = (var.at("name").str(), var.at("value").str());
        if seen.insert(name) {
            continue;
        }
        let reference = format!("$({name})");
        if is_set(var, "valueFrom") || v == reference || !v.contains(&reference) {
            let text = "which may be dropped when using apply";
            out.push(format!("{}: hides previous definition of {}, {text}", path.index(i), quote(name)));
        }
    }
}

/// A port of a container, and the path of its list.
struct Port<'a> {
    list: &'static str,
    container: usize,
    index: usize,
    port: &'a Value,
}

impl Port<'_> {
    fn path(&self, spec: &Path<'_>) -> String {
        let path = spec.child(self.list);
        let path = path.index(self.container);
        let path = path.child("ports");
        path.index(self.index).to_string()
    }
}

fn ports(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let mut known: HashMap<(i64, &str), Vec<Port<'_>>> = HashMap::new();
    let mut names: HashMap<&str, Port<'_>> = HashMap::new();
    let mut by_name = Vec::new();
    let (mut left, mut steps) = (PORT_WARNINGS_MAX, PORT_STEPS_MAX);
    for (list, container, c) in containers(spec) {
        for (index, port) in c.at("ports").items().iter().enumerate() {
            let own = Port { list, container, index, port };
            let (ip, host) = (port.at("hostIP").str(), port.at("hostPort").int());
            if !ip.is_empty() && host == 0 {
                let text = go_port(port);
                out.push(format!("{}: hostIP set without hostPort: {text}", own.path(path)));
            }
            let name = port.at("name").str();
            if !name.is_empty() {
                if let Some(other) = names.get(name) {
                    let other = other.path(path);
                    by_name.push(format!(
                        "{}: duplicate port name {} with {other}, services and probes that select ports by name \
                         will use {other}",
                        own.path(path),
                        quote(name)
                    ));
                } else {
                    names.insert(name, Port { list, container, index, port });
                }
            }
            let key = (port.at("containerPort").int(), port.at("protocol").str());
            let others = known.entry(key).or_default();
            let seen = others.len().min(steps);
            steps -= seen;
            for other in others.iter().take(seen) {
                let (other_ip, other_host) = (other.port.at("hostIP").str(), other.port.at("hostPort").int());
                let what = if ip == other_ip && host == other_host {
                    "duplicate"
                } else if host == 0 || other_host == 0 {
                    "overlapping"
                } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                if left == 0 {
                    break;
                }
                left -= 1;
                out.push(format!("{}: {what} port definition with {}", own.path(path), other.path(path)));
            }
            others.push(own);
        }
    }
    out.extend(by_name);
}

/// A port as Go's `%+v`.
fn go_port(port: &Value) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.at("name").str(),
        port.at("hostPort").int(),
        port.at("containerPort").int(),
        port.at("protocol").str(),
        port.at("hostIP").str()
    )
}

fn affinity(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let path = path.child("affinity");
    for kind in ["podAffinity", "podAntiAffinity"] {
        let v = spec.at("affinity").at(kind);
        let path = path.child(kind);
        let name = "requiredDuringSchedulingIgnoredDuringExecution";
        let list_path = path.child(name);
        for (i, term) in v.at(name).items().iter().enumerate() {
            if !is_set(term, "labelSelector") {
                out.push(format!("{}: {NULL_SELECTOR}", list_path.index(i).child("labelSelector")));
            }
        }
        let name = "preferredDuringSchedulingIgnoredDuringExecution";
        let list_path = path.child(name);
        for (i, term) in v.at(name).items().iter().enumerate() {
            if !is_set(term.at("podAffinityTerm"), "labelSelector") {
                let path = list_path.index(i);
                let path = path.child("podAffinityTerm");
                out.push(format!("{}: {NULL_SELECTOR}", path.child("labelSelector")));
            }
        }
    }
}

fn addresses(spec: &Value, path: &Path<'_>, out: &mut Vec<String>) {
    let list_path = path.child("dnsConfig");
    let list_path = list_path.child("nameservers");
    for (i, server) in spec.at("dnsConfig").at("nameservers").items().iter().enumerate() {
        out.extend(ip::ip_warnings(&list_path.index(i), server.str()));
    }
    let list_path = path.child("hostAliases");
    for (i, alias) in spec.at("hostAliases").items().iter().enumerate() {
        out.extend(ip::ip_warnings(&list_path.index(i).child("ip"), alias.at("ip").str()));
    }
}
