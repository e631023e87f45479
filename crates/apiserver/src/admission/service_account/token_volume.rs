//! The projected volume by which containers get their token, the cluster's root and their namespace.

use crate::admission::objects;
use crate::call::Call;
use meta::names;
use value::{Value, json};

const PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The source of the volume. The token lives an hour and seven seconds: by that the server tells tokens of
/// this volume from others.
const SOURCE: &[u8] = br#"{"defaultMode":420,"sources":[
    {"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},
    {"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},
    {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}
]}"#;

/// Mounts the token into every container that has nothing at its path.
pub(super) fn mount(call: &Call, pod: &mut Value) {
    let volumes = pod.at("spec").at("volumes").items();
    let existing = volumes.iter().map(|v| v.at("name").str()).find(|n| n.starts_with(PREFIX));
    let is_new = existing.is_none();
    let name = existing.map_or_else(
        || names::generate_name(PREFIX, std::array::from_fn(|_| call.api.dice(u64::MAX))),
        str::to_owned,
    );
    let mut mounted = false;
    let Some(spec) = pod.object_at("spec") else { return };
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mounts = container.at("volumeMounts").items();
            if mounts.iter().any(|m| m.at("mountPath").str() == MOUNT_PATH) {
                continue;
            }
            let mut mount = Value::object();
            mount.set("name", name.as_str());
            mount.set("readOnly", true);
            mount.set("mountPath", MOUNT_PATH);
            objects::push(container, "volumeMounts", mount);
            mounted = true;
        }
    }
    if mounted && is_new {
        let mut volume = Value::object();
        volume.set("name", name);
        volume.set("projected", json::parse(SOURCE).unwrap_or_default());
        objects::push(spec, "volumes", volume);
    }
}
