//! Defaults of pods and pod templates.
//!
//! Upstream: `SetDefaults_Pod*`, `SetDefaults_Container`, `SetDefaults_Volume` and their like in
//! `pkg/apis/core/v1/defaults.go`, markers of the fields, and what conversion to the internal types and
//! back does (`pkg/apis/core/v1/conversion.go`).

use super::image::default_pull_policy;
use super::resources::{is_for_pods, is_huge_page, may_overcommit};
use super::sums::aggregate;
use super::util::{each, each_container, object};
use crate::check::{default, default_text};
use meta::quantity::Quantity;
use value::Value;

/// Finest amount of a resource: a thousandth.
const MILLI: i32 = -3;

/// Annotations of the first days of init containers; nothing shall take them seriously again.
const INIT_CONTAINER_ANNOTATIONS: [&str; 4] = [
    "pod.beta.kubernetes.io/init-containers",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-container-statuses",
    "pod.alpha.kubernetes.io/init-container-statuses",
];

/// Defaults of a pod.
pub(super) fn default_pod(pod: &mut Value) {
    drop_annotations(pod);
    if let Some(spec) = pod.object_at("spec") {
        for list in ["containers", "initContainers"] {
            each(spec, list, requests_from_limits);
        }
        default_pod_resources(spec);
        default(spec, "enableServiceLinks", true);
        if spec.at("hostNetwork").bool() {
            for list in ["containers", "initContainers"] {
                each(spec, list, |c| {
                    each(c, "ports", |port| {
                        if port.at("hostPort").int() == 0 {
                            let number = port.at("containerPort").clone();
                            port.set("hostPort", number);
                        }
                    });
                });
            }
        }
        if spec.at("terminationGracePeriodSeconds").int() < 0 {
            spec.set("terminationGracePeriodSeconds", 1);
        }
        default_pod_spec(spec);
    }
    if let Some(status) = pod.get_mut("status") {
        default_status(status);
    }
}

/// Defaults of a pod template (`metadata` and `spec`).
pub fn default_pod_template(template: &mut Value) {
    drop_annotations(template);
    if let Some(spec) = template.object_at("spec") {
        default_pod_spec(spec);
    }
}

fn drop_annotations(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata") else { return };
    let Some(annotations) = metadata.get_mut("annotations") else { return };
    for name in INIT_CONTAINER_ANNOTATIONS {
        annotations.remove(name);
    }
}

/// Defaults of a pod spec.
pub fn default_pod_spec(spec: &mut Value) {
    if spec.at("serviceAccountName").str().is_empty() && !spec.at("serviceAccount").str().is_empty() {
        let name = spec.at("serviceAccount").clone();
        spec.set("serviceAccountName", name);
    }
    if !spec.at("serviceAccountName").str().is_empty() {
        let name = spec.at("serviceAccountName").clone();
        spec.set("serviceAccount", name);
    }
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    let _ = spec.object_at("securityContext");
    default(spec, "terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    each(spec, "volumes", default_volume);
    each_container(spec, default_container);
    round_up(spec, "overhead");
    if let Some(resources) = spec.get_mut("resources") {
        default_resources(resources);
    }
}

fn requests_from_limits(container: &mut Value) {
    let Some(resources) = container.get_mut("resources") else { return };
    fill(resources, "requests", "limits");
}

/// Adds to one list what only the other has.
pub(super) fn fill(lists: &mut Value, into: &str, from: &str) {
    let from = lists.at(from).clone();
    // Upstream makes an empty list here, which nobody sees.
    if from.is_empty() {
        return;
    }
    let Some(list) = lists.object_at(into) else { return };
    for (name, amount) in from.entries() {
        if list.get(name).is_none() {
            list.set(name, amount.clone());
        }
    }
}

/// What a pod asks for as a whole, where it says something but not everything.
fn default_pod_resources(spec: &mut Value) {
    let own = spec.at("resources");
    if own.is_null() {
        return;
    }
    let (mut limits, mut requests) = (own.at("limits").clone(), own.at("requests").clone());
    let set = |list: &mut Value, name: &str, amount: Value| {
        if list.is_null() {
            *list = Value::object();
        }
        list.set(name, amount);
    };
    if !limits.is_empty() || !requests.is_empty() {
        for (name, amount) in aggregate(spec, "limits") {
            if is_huge_page(&name) && requests.get(&name).is_none() && limits.get(&name).is_none() {
                set(&mut limits, &name, Value::from(&amount));
            }
        }
    }
    if !limits.is_empty() {
        for (name, amount) in aggregate(spec, "requests") {
            if is_for_pods(&name) && may_overcommit(&name) && requests.get(&name).is_none() {
                set(&mut requests, &name, Value::from(&amount));
            }
        }
        for (name, amount) in limits.entries() {
            if is_for_pods(name) && requests.get(name).is_none() {
                set(&mut requests, name, amount.clone());
            }
        }
    }
    let Some(own) = spec.get_mut("resources") else { return };
    for (name, list) in [("limits", limits), ("requests", requests)] {
        if !list.is_empty() {
            own.set(name, list);
        }
    }
}

fn default_container(container: &mut Value) {
    if container.at("imagePullPolicy").str().is_empty() {
        let policy = default_pull_policy(container.at("image").str());
        container.set("imagePullPolicy", policy);
    }
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    each(container, "ports", |port| default_text(port, "protocol", "TCP"));
    each(container, "env", |env| {
        let Some(source) = env.get_mut("valueFrom") else { return };
        default_field_ref(source);
        if let Some(file) = source.get_mut("fileKeyRef")
            && !file.is_null()
        {
            default(file, "optional", false);
        }
    });
    if let Some(resources) = container.get_mut("resources") {
        default_resources(resources);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            default_probe(probe);
        }
    }
    if let Some(lifecycle) = container.get_mut("lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = lifecycle.get_mut(name) {
                default_http_get(handler);
            }
        }
    }
}

fn default_probe(probe: &mut Value) {
    if probe.is_null() {
        return;
    }
    for (name, n) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.at(name).int() == 0 {
            probe.set(name, n);
        }
    }
    default_http_get(probe);
    if let Some(grpc) = probe.get_mut("grpc")
        && !grpc.is_null()
    {
        default(grpc, "service", "");
    }
}

fn default_http_get(handler: &mut Value) {
    let Some(get) = handler.get_mut("httpGet") else { return };
    if !get.is_null() {
        default_text(get, "path", "/");
        default_text(get, "scheme", "HTTP");
    }
}

fn default_field_ref(holder: &mut Value) {
    if let Some(reference) = holder.get_mut("fieldRef")
        && !reference.is_null()
    {
        default_text(reference, "apiVersion", "v1");
    }
}

fn default_volume(volume: &mut Value) {
    if volume.entries().all(|(name, v)| name == "name" || v.is_null()) {
        volume.set("emptyDir", Value::object());
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(name)
            && !source.is_null()
        {
            default(source, "defaultMode", 0o644);
        }
    }
    default_source(volume);
    let Some(volume) = volume.as_object_mut() else { return };
    if let Some(image) = volume.get_mut("image")
        && !image.is_null()
        && image.at("pullPolicy").str().is_empty()
    {
        let policy = default_pull_policy(image.at("reference").str());
        image.set("pullPolicy", policy);
    }
    if let Some(api) = volume.get_mut("downwardAPI") {
        each(api, "items", default_field_ref);
    }
    if let Some(projected) = volume.get_mut("projected") {
        each(projected, "sources", |source| {
            if let Some(api) = source.get_mut("downwardAPI") {
                each(api, "items", default_field_ref);
            }
            if let Some(token) = source.get_mut("serviceAccountToken")
                && !token.is_null()
            {
                default(token, "expirationSeconds", 3600);
            }
        });
    }
    if let Some(template) = volume.get_mut("ephemeral").and_then(|e| e.get_mut("volumeClaimTemplate"))
        && !template.is_null()
        && let Some(spec) = template.object_at("spec")
    {
        super::pvc::default_spec(spec);
    }
}

/// Defaults of the sources that pods and PersistentVolumes share.
pub(super) fn default_source(source: &mut Value) {
    let texts: [(&str, &[(&str, &str)]); 3] = [
        ("iscsi", &[("iscsiInterface", "default")]),
        ("rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")]),
        ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
    ];
    for (name, members) in texts {
        if let Some(v) = source.get_mut(name) {
            for (member, text) in members {
                if !v.is_null() {
                    default_text(v, member, text);
                }
            }
        }
    }
    if let Some(path) = source.get_mut("hostPath")
        && !path.is_null()
    {
        default(path, "type", "");
    }
    if let Some(disk) = source.get_mut("azureDisk")
        && !disk.is_null()
    {
        default(disk, "cachingMode", "ReadWrite");
        default(disk, "fsType", "ext4");
        default(disk, "readOnly", false);
        default(disk, "kind", "Shared");
    }
}

/// Rounds limits and requests.
pub(super) fn default_resources(resources: &mut Value) {
    round_up(resources, "limits");
    round_up(resources, "requests");
}

/// Rounds the amounts of a list up to thousandths.
pub(super) fn round_up(holder: &mut Value, name: &str) {
    let Some(list) = holder.get_mut(name).and_then(Value::as_object_mut) else { return };
    for (_, v) in list.iter_mut() {
        if let Ok(mut amount) = Quantity::from_value(v)
            && !amount.round_up(MILLI)
        {
            *v = Value::from(&amount);
        }
    }
}

fn default_status(status: &mut Value) {
    let ip = status.at("podIP").str().to_owned();
    let first = status.at("podIPs").items().first().map(|v| v.at("ip").str().to_owned());
    match first {
        Some(first) if !ip.is_empty() && first != ip => set_pod_ips(status, ip),
        None if !ip.is_empty() => set_pod_ips(status, ip),
        Some(first) if !first.is_empty() => status.set("podIP", first),
        _ => {}
    }
    round_up(status, "allocatedResources");
    if let Some(resources) = status.get_mut("resources") {
        default_resources(resources);
    }
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        each(status, list, |container| {
            round_up(container, "allocatedResources");
            if let Some(resources) = container.get_mut("resources") {
                default_resources(resources);
            }
        });
    }
}

fn set_pod_ips(status: &mut Value, ip: String) {
    status.set("podIPs", vec![object([("ip", ip.into())])]);
}
