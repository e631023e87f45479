//! Mirror pods: the only pods that a node creates.

use super::super::references;
use super::{Checked, MIRROR, Plugin, Refusal, forbid};
use meta::quote::Quoted;
use value::Value;

impl Plugin<'_> {
    pub(super) fn mirror_pod(&self) -> Checked {
        let (pod, node) = (self.write.object, Quoted(self.node));
        let metadata = pod.at("metadata");
        if metadata.at("annotations").get(MIRROR).is_none() {
            return forbid(format!(
                "pod does not have {} annotation, node {node} can only create mirror pods",
                Quoted(MIRROR)
            ));
        }
        if pod.path(&["spec", "nodeName"]).str() != self.node {
            return forbid(format!("node {node} can only create pods with spec.nodeName set to itself"));
        }
        let owner = match metadata.at("ownerReferences").items() {
            [owner] => owner,
            [] => {
                return forbid(format!(
                    "node {node} can only create pods with an owner reference set to itself"
                ));
            }
            _ => {
                return forbid(format!(
                    "node {node} can only create pods with a single owner reference set to itself"
                ));
            }
        };
        let is_self = owner.at("apiVersion").str() == "v1"
            && owner.at("kind").str() == "Node"
            && owner.at("name").str() == self.node;
        if !is_self {
            return forbid(format!("node {node} can only create pods with an owner reference set to itself"));
        }
        if !owner.at("controller").bool() {
            return forbid(format!(
                "node {node} can only create pods with a controller owner reference set to itself"
            ));
        }
        if owner.at("blockOwnerDeletion").bool() {
            return forbid(format!("node {node} must not set blockOwnerDeletion on an owner reference"));
        }
        let live = self.lookup.get("nodes", "", self.node);
        let live = live.ok_or_else(|| Refusal::NotFound("node", self.node.to_owned()))?;
        let (owner_uid, uid) = (owner.at("uid").str(), live.path(&["metadata", "uid"]).str());
        if owner_uid != uid {
            return forbid(format!("node {} UID mismatch: expected {owner_uid} got {uid}", self.node));
        }
        match api_reference(pod) {
            Ok(None) => Ok(()),
            Ok(Some(what)) => forbid(format!("node {node} can not create pods that reference {what}")),
            Err(text) => forbid(format!("error checking mirror pod for API references: {text}")),
        }
    }
}

/// What of the API a pod refers to, if anything: such pods cannot be mirror pods.
fn api_reference(pod: &Value) -> Result<Option<&'static str>, String> {
    const LOCAL: [&str; 22] = [
        "awsElasticBlockStore",
        "azureDisk",
        "cephfs",
        "cinder",
        "downwardAPI",
        "emptyDir",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "gitRepo",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
        "vsphereVolume",
    ];
    const REMOTE: [(&str, &str); 7] = [
        ("configMap", "configmaps (via configmap volumes)"),
        ("secret", "secrets (via secret volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    const PROJECTED: [(&str, &str); 5] = [
        ("configMap", "configmaps (via projected volumes)"),
        ("secret", "secrets (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    let spec = pod.at("spec");
    if !spec.at("serviceAccountName").str().is_empty() {
        return Ok(Some("serviceaccounts"));
    }
    if !references::secrets(spec).is_empty() {
        return Ok(Some("secrets"));
    }
    if !references::config_maps(spec).is_empty() {
        return Ok(Some("configmaps"));
    }
    if !spec.at("resourceClaims").is_empty() {
        return Ok(Some("resourceclaims"));
    }
    let first = |value: &Value, table: &[(&str, &'static str)]| {
        table.iter().find(|(key, _)| !value.at(key).is_null()).map(|(_, what)| *what)
    };
    for volume in spec.at("volumes").items() {
        let name = Quoted(volume.at("name").str());
        if LOCAL.iter().any(|kind| !volume.at(kind).is_null()) {
            continue;
        }
        if let Some(what) = first(volume, &REMOTE) {
            return Ok(Some(what));
        }
        if volume.at("projected").is_null() {
            return Err(format!("unknown volume type for volume  {name}"));
        }
        for source in volume.at("projected").at("sources").items() {
            if let Some(what) = first(source, &PROJECTED) {
                return Ok(Some(what));
            }
            if source.at("downwardAPI").is_null() {
                return Err(format!("unknown source for projected volume {name}"));
            }
        }
    }
    Ok(None)
}
