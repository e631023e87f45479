//! The names that a pod or volume refers to, wherever in its spec.
//!
//! Upstream: `pkg/api/v1/pod.VisitPodSecretNames`, `VisitPodConfigmapNames`,
//! `pkg/api/v1/persistentvolume.VisitPVSecretNames`.

use value::Value;

/// All containers of a pod.
fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|key| spec.at(key).items())
}

/// What env variables refer to: the two kinds of references are built alike.
fn from_env<'a>(spec: &'a Value, whole: &'static str, one: &'static str) -> impl Iterator<Item = &'a str> {
    containers(spec).flat_map(move |container| {
        let from = container.at("envFrom").items().iter().map(move |from| from.at(whole));
        let env = container.at("env").items().iter().map(move |env| env.at("valueFrom").at(one));
        from.chain(env).filter(|r| !r.is_null()).map(|r| r.at("name").str())
    })
}

fn volumes(spec: &Value) -> &[Value] {
    spec.at("volumes").items()
}

fn projected<'a>(spec: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a str> {
    let sources = volumes(spec).iter().flat_map(|v| v.at("projected").at("sources").items());
    sources.map(move |s| s.at(kind)).filter(|r| !r.is_null()).map(|r| r.at("name").str())
}

/// Secrets of a pod's namespace.
pub(super) fn secrets(spec: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        spec.at("imagePullSecrets").items().iter().map(|r| r.at("name").str()).collect();
    names.extend(from_env(spec, "secretRef", "secretKeyRef"));
    names.extend(projected(spec, "secret"));
    for volume in volumes(spec) {
        names.push(volume.at("secret").at("secretName").str());
        names.push(volume.at("azureFile").at("secretName").str());
        names.push(volume.at("csi").at("nodePublishSecretRef").at("name").str());
        for kind in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            names.push(volume.at(kind).at("secretRef").at("name").str());
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// ConfigMaps of a pod's namespace.
pub(super) fn config_maps(spec: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = from_env(spec, "configMapRef", "configMapKeyRef").collect();
    names.extend(projected(spec, "configMap"));
    names.extend(volumes(spec).iter().map(|v| v.at("configMap").at("name").str()));
    names.retain(|name| !name.is_empty());
    names
}

/// PersistentVolumeClaims of a pod's namespace, with those made for its ephemeral volumes.
pub(super) fn claims(pod: &Value) -> Vec<String> {
    let pod_name = pod.at("metadata").at("name").str();
    let of = |volume: &Value| -> String {
        let claim = volume.at("persistentVolumeClaim");
        if !claim.is_null() {
            return claim.at("claimName").str().into();
        }
        if volume.at("ephemeral").is_null() {
            return String::new();
        }
        format!("{pod_name}-{}", volume.at("name").str())
    };
    volumes(pod.at("spec")).iter().map(of).filter(|name| !name.is_empty()).collect()
}

/// ResourceClaims of a pod's namespace: named ones, and those made from templates as the status tells.
pub(super) fn resource_claims(pod: &Value) -> Vec<&str> {
    let status = pod.at("status");
    let statuses = status.at("resourceClaimStatuses").items();
    let made = |entry: &str| {
        let status = statuses.iter().find(|s| s.at("name").str() == entry);
        status.map_or("", |s| s.at("resourceClaimName").str())
    };
    let named = pod.at("spec").at("resourceClaims").items().iter().map(|entry| {
        match entry.at("resourceClaimName").as_str() {
            Some(name) => name,
            None if !entry.at("resourceClaimTemplateName").is_null() => made(entry.at("name").str()),
            None => "",
        }
    });
    let extended = status.at("extendedResourceClaimStatus").at("resourceClaimName").str();
    named.chain([extended]).filter(|name| !name.is_empty()).collect()
}

/// Secrets (namespace, name) that a PersistentVolume refers to and a kubelet needs.
pub(super) fn volume_secrets<'a>(volume: &'a Value) -> Vec<(&'a str, &'a str)> {
    let spec = volume.at("spec");
    let claim_namespace = spec.at("claimRef").at("namespace").str();
    let in_namespace = |reference: &'a Value, key: &str| {
        let namespace = reference.at(key).str();
        if namespace.is_empty() { claim_namespace } else { namespace }
    };
    let azure = spec.at("azureFile");
    let mut found = vec![(in_namespace(azure, "secretNamespace"), azure.at("secretName").str())];
    for kind in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
        let reference = spec.at(kind).at("secretRef");
        found.push((in_namespace(reference, "namespace"), reference.at("name").str()));
    }
    for kind in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
        let reference = spec.at("csi").at(kind);
        found.push((in_namespace(reference, "namespace"), reference.at("name").str()));
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}
