//! Volumes, claims and their classes.

use super::format::{age, name};
use meta::time::Time;
use value::Value;

/// Access modes in their short forms, each once.
fn access_modes(modes: &Value) -> String {
    let has = |mode: &str| modes.items().iter().any(|m| m.str() == mode);
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn class_of(o: &Value) -> Value {
    let annotation = o.at("metadata").at("annotations").at("volume.beta.kubernetes.io/storage-class");
    annotation.as_str().unwrap_or_else(|| o.at("spec").at("storageClassName").str()).into()
}

fn phase(o: &Value) -> Value {
    let deleted = !o.at("metadata").at("deletionTimestamp").is_null();
    if deleted { "Terminating".into() } else { o.at("status").at("phase").str().into() }
}

fn unset(v: &Value) -> Value {
    v.as_str().unwrap_or("<unset>").into()
}

fn size(v: &Value) -> Value {
    if v.is_null() { "0".into() } else { v.str().into() }
}

pub(super) fn volume(o: &Value, now: Time) -> Vec<Value> {
    let spec = o.at("spec");
    let claim = spec.at("claimRef");
    let claim = if claim.is_null() {
        String::new()
    } else {
        format!("{}/{}", claim.at("namespace").str(), claim.at("name").str())
    };
    vec![
        name(o),
        size(spec.at("capacity").at("storage")),
        access_modes(spec.at("accessModes")).into(),
        spec.at("persistentVolumeReclaimPolicy").str().into(),
        phase(o),
        claim.into(),
        class_of(o),
        unset(spec.at("volumeAttributesClassName")),
        o.at("status").at("reason").str().into(),
        age(o, now),
        unset(spec.at("volumeMode")),
    ]
}

pub(super) fn claim(o: &Value, now: Time) -> Vec<Value> {
    let (spec, status) = (o.at("spec"), o.at("status"));
    let volume = spec.at("volumeName").str();
    let bound = !volume.is_empty();
    vec![
        name(o),
        phase(o),
        volume.into(),
        if bound { size(status.at("capacity").at("storage")) } else { "".into() },
        if bound { access_modes(status.at("accessModes")).into() } else { "".into() },
        class_of(o),
        unset(spec.at("volumeAttributesClassName")),
        age(o, now),
        unset(spec.at("volumeMode")),
    ]
}

/// The name, and whether the class is the default one.
pub(super) fn name_with_default(o: &Value) -> Value {
    let annotations = o.at("metadata").at("annotations");
    let keys =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let default = keys.iter().any(|k| annotations.at(k).str() == "true");
    let name = o.at("metadata").at("name").str();
    if default { format!("{name} (default)").into() } else { name.into() }
}

pub(super) fn class(o: &Value, now: Time) -> Vec<Value> {
    vec![
        name_with_default(o),
        o.at("provisioner").str().into(),
        o.at("reclaimPolicy").as_str().unwrap_or("Delete").into(),
        o.at("volumeBindingMode").as_str().unwrap_or("Immediate").into(),
        o.at("allowVolumeExpansion").bool().into(),
        age(o, now),
    ]
}

pub(super) fn attachment(o: &Value, now: Time) -> Vec<Value> {
    let spec = o.at("spec");
    vec![
        name(o),
        spec.at("attacher").str().into(),
        spec.at("source").at("persistentVolumeName").str().into(),
        spec.at("nodeName").str().into(),
        o.at("status").at("attached").bool().into(),
        age(o, now),
    ]
}

pub(super) fn driver(o: &Value, now: Time) -> Vec<Value> {
    let spec = o.at("spec");
    let modes: Vec<&str> = spec.at("volumeLifecycleModes").items().iter().map(Value::str).collect();
    let tokens: Vec<&str> = spec.at("tokenRequests").items().iter().map(|t| t.at("audience").str()).collect();
    let modes = if modes.is_empty() { "<none>".to_owned() } else { modes.join(",") };
    let tokens = if tokens.is_empty() { "<unset>".to_owned() } else { tokens.join(",") };
    vec![
        name(o),
        spec.at("attachRequired").as_bool().unwrap_or(true).into(),
        spec.at("podInfoOnMount").bool().into(),
        spec.at("storageCapacity").bool().into(),
        tokens.into(),
        spec.at("requiresRepublish").bool().into(),
        modes.into(),
        age(o, now),
    ]
}
