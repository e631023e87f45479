//! The decisions of the NodeRestriction admission plugin: a node may write its own objects only.
//!
//! The Node authorizer cannot look into a request's body; this does. Trees in, texts out: the API server's
//! admission calls [`check`] for every write. Upstream: `plugin/pkg/admission/noderestriction`.

use super::references;
use crate::user::node_identity;
use crate::{Attributes, Lookup, UserInfo, Verdict};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::gvk::GroupResource;
use meta::quote::Quoted;
use meta::status::Status;
use std::collections::BTreeSet;
use value::Value;

const MIRROR: &str = "kubernetes.io/config.mirror";
const LEASES: &str = "kube-node-lease";
const RESTRICTED: &str = "node-restriction.kubernetes.io";

/// What a request does, as admission names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `CREATE`.
    Create,
    /// `UPDATE`, patches included.
    Update,
    /// `DELETE`.
    Delete,
    /// `CONNECT`; the plugin does not see those.
    Connect,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A write, as admission sees it.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Who.
    pub user: &'a UserInfo,
    /// What.
    pub operation: Operation,
    /// The API group.
    pub group: &'a str,
    /// The resource.
    pub resource: &'a str,
    /// The subresource; may be empty.
    pub subresource: &'a str,
    /// The namespace; may be empty.
    pub namespace: &'a str,
    /// The name; of a create the object's, if it has one.
    pub name: &'a str,
    /// The object that is written; null in deletes.
    pub object: &'a Value,
    /// The object that is there; null in creates.
    pub old: &'a Value,
}

/// Why a write is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 403 with this text.
    Forbidden(String),
    /// 404: what the request refers to is not there (resource in the singular, name).
    NotFound(&'static str, String),
}

impl Refusal {
    /// The answer.
    pub fn status(&self, write: &Write<'_>) -> Status {
        match self {
            Self::Forbidden(text) => {
                let metadata = write.object.at("metadata");
                let names = [write.name, metadata.at("name").str(), metadata.at("generateName").str()];
                let name = names.into_iter().find(|n| !n.is_empty()).unwrap_or_default();
                Status::forbidden(&GroupResource::new(write.group, write.resource), name, text)
            }
            Self::NotFound(resource, name) => Status::not_found(&GroupResource::new("", *resource), name),
        }
    }
}

type Checked = Result<(), Refusal>;

fn forbid(text: impl Into<String>) -> Checked {
    Err(Refusal::Forbidden(text.into()))
}

/// Whether a write passes. Not a node's: yes. `lookup` gives pods, nodes, persistentvolumeclaims,
/// persistentvolumes and csidrivers; `authorize` is the server's whole authorizer.
///
/// # Errors
/// [`Refusal`].
pub fn check(
    write: &Write<'_>,
    lookup: &dyn Lookup,
    authorize: &dyn Fn(&Attributes<'_>) -> Verdict,
) -> Checked {
    let Some(node) = node_identity(write.user) else { return Ok(()) };
    if write.operation == Operation::Connect {
        return Ok(());
    }
    if node.is_empty() {
        return forbid(format!("could not determine node from user {}", Quoted(&write.user.name)));
    }
    let plugin = Plugin { node, write, lookup, authorize };
    match (write.group, write.resource, write.subresource) {
        ("", "pods", "") => plugin.pod(),
        ("", "pods", "status") => plugin.pod_status(),
        ("", "pods", "eviction") => plugin.eviction(),
        ("", "pods", other) => forbid(format!(
            "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
            Quoted(other)
        )),
        ("", "nodes", _) => plugin.node(),
        ("", "persistentvolumeclaims", "status") => plugin.claim_status(),
        ("", "persistentvolumeclaims", _) => forbid("may only update PVC status"),
        ("", "serviceaccounts", "token") if write.operation == Operation::Create => plugin.token(),
        ("coordination.k8s.io", "leases", _) => plugin.lease(),
        ("storage.k8s.io", "csinodes", _) => plugin.csi_node(),
        ("resource.k8s.io", "resourceslices", _) => plugin.resource_slice(),
        ("certificates.k8s.io", "certificatesigningrequests", _) => plugin.signing_request(),
        // Its gate is off by default.
        ("certificates.k8s.io", "podcertificaterequests", _) => {
            forbid("PodCertificateRequest feature gate is disabled")
        }
        _ => Ok(()),
    }
}

struct Plugin<'a> {
    node: &'a str,
    write: &'a Write<'a>,
    lookup: &'a dyn Lookup,
    authorize: &'a dyn Fn(&Attributes<'_>) -> Verdict,
}

impl Plugin<'_> {
    /// The live pod, and whether it runs here.
    fn live_pod(&self, name: &str) -> Result<(std::sync::Arc<Value>, bool), Refusal> {
        let pod = self.lookup.get("pods", self.write.namespace, name);
        let pod = pod.ok_or_else(|| Refusal::NotFound("pod", name.to_owned()))?;
        let here = pod.path(&["spec", "nodeName"]).str() == self.node;
        Ok((pod, here))
    }

    fn unexpected_operation(&self) -> Checked {
        forbid(format!("unexpected operation {}", Quoted(self.write.operation.name())))
    }

    fn pod(&self) -> Checked {
        let node = Quoted(self.node);
        match self.write.operation {
            Operation::Create => self.mirror_pod(),
            Operation::Delete => match self.live_pod(self.write.name)? {
                (_, true) => Ok(()),
                _ => forbid(format!("node {node} can only delete pods with spec.nodeName set to itself")),
            },
            other => forbid(format!(
                "unexpected operation {}, node {node} can only create and delete mirror pods",
                Quoted(other.name())
            )),
        }
    }

    fn mirror_pod(&self) -> Checked {
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

    fn pod_status(&self) -> Checked {
        let Write { operation, object: new, old, .. } = *self.write;
        let node = Quoted(self.node);
        if operation != Operation::Update {
            return self.unexpected_operation();
        }
        if old.path(&["spec", "nodeName"]).str() != self.node {
            return forbid(format!(
                "node {node} can only update pod status for pods with spec.nodeName set to itself"
            ));
        }
        if !same(old.path(&["metadata", "labels"]), new.path(&["metadata", "labels"])) {
            return forbid(format!("node {node} cannot update labels through pod status"));
        }
        let claims = |pod: &'_ Value| -> Vec<(String, Option<String>)> {
            let statuses = pod.path(&["status", "resourceClaimStatuses"]).items();
            let name = |s: &Value| s.at("resourceClaimName").as_str().map(str::to_owned);
            statuses.iter().map(|s| (s.at("name").str().to_owned(), name(s))).collect()
        };
        if claims(old) != claims(new) {
            return forbid(format!("node {node} cannot update resource claim statues"));
        }
        let extended = |pod: &Value| pod.path(&["status", "extendedResourceClaimStatus"]).clone();
        if extended(old) != extended(new) {
            return forbid(format!("node {node} cannot update extended resource claim status"));
        }
        Ok(())
    }

    fn eviction(&self) -> Checked {
        if self.write.operation != Operation::Create {
            return forbid(format!("unexpected operation {}", self.write.operation.name()));
        }
        let in_body = self.write.object.path(&["metadata", "name"]).str();
        let name = if self.write.name.is_empty() { in_body } else { self.write.name };
        if name.is_empty() {
            return forbid("could not determine pod from request data");
        }
        match self.live_pod(name)? {
            (_, true) => Ok(()),
            _ => forbid(format!("node {} can only evict pods with spec.nodeName set to itself", self.node)),
        }
    }

    fn claim_status(&self) -> Checked {
        if self.write.operation != Operation::Update {
            return self.unexpected_operation();
        }
        let strip = |claim: &Value| {
            let mut claim = claim.clone();
            for (part, keys) in [
                ("metadata", &["resourceVersion", "managedFields"][..]),
                ("status", &["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"]),
            ] {
                if let Some(part) = claim.get_mut(part) {
                    for key in keys {
                        part.remove(key);
                    }
                }
            }
            claim
        };
        if strip(self.write.old) != strip(self.write.object) {
            return forbid(format!(
                "node {} is not allowed to update fields other than status.quantity and status.conditions: ",
                Quoted(self.node)
            ));
        }
        Ok(())
    }

    fn node(&self) -> Checked {
        let Write { operation, object: new, old, name, .. } = *self.write;
        let node = Quoted(self.node);
        if name != self.node {
            return forbid(format!("node {node} is not allowed to modify node {}", Quoted(name)));
        }
        let config = |node: &'_ Value| node.path(&["spec", "configSource"]).clone();
        let labels = |node: &Value| node.path(&["metadata", "labels"]).clone();
        match operation {
            Operation::Create => {
                if !config(new).is_null() {
                    return forbid(format!(
                        "node {node} is not allowed to create pods with a non-nil configSource"
                    ));
                }
                let forbidden = forbidden_labels(&labels(new), &Value::Null);
                if !forbidden.is_empty() {
                    return forbid(format!(
                        "node {node} is not allowed to set the following labels: {}",
                        forbidden.join(", ")
                    ));
                }
            }
            Operation::Update => {
                if !config(new).is_null() && config(new) != config(old) {
                    return forbid(format!(
                        "node {node} is not allowed to update configSource to a new non-nil configSource"
                    ));
                }
                if !same(new.path(&["spec", "taints"]), old.path(&["spec", "taints"])) {
                    return forbid(format!("node {node} is not allowed to modify taints"));
                }
                let owners = ["metadata", "ownerReferences"];
                if !same(new.path(&owners), old.path(&owners)) {
                    return forbid(format!("node {node} is not allowed to modify ownerReferences"));
                }
                let forbidden = forbidden_labels(&labels(new), &labels(old));
                if !forbidden.is_empty() {
                    return forbid(format!("is not allowed to modify labels: {}", forbidden.join(", ")));
                }
            }
            Operation::Delete | Operation::Connect => {}
        }
        Ok(())
    }

    fn token(&self) -> Checked {
        let spec = self.write.object.at("spec");
        let reference = spec.at("boundObjectRef");
        let (name, uid) = (reference.at("name").str(), reference.at("uid").str());
        let to_pod = reference.at("apiVersion").str() == "v1" && reference.at("kind").str() == "Pod";
        if !to_pod || name.is_empty() {
            return forbid("node requested token not bound to a pod");
        }
        if uid.is_empty() {
            return forbid("node requested token with a pod binding without a uid");
        }
        let (pod, here) = self.live_pod(name)?;
        if pod.path(&["metadata", "uid"]).str() != uid {
            return forbid(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            ));
        }
        if !here {
            return forbid("node requested token bound to a pod scheduled on a different node");
        }
        self.audience(spec.at("audiences").items(), &pod)
    }

    /// A node gets tokens for audiences that the pod's volumes ask for, or that it is allowed to ask for.
    fn audience(&self, audiences: &[Value], pod: &Value) -> Checked {
        let audience = match audiences {
            [] => "",
            [one] => one.str(),
            _ => return forbid("node may only request 0 or 1 audiences"),
        };
        match self.pod_asks_for(pod, audience) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(text) => return forbid(format!("error validating audience {}: {text}", Quoted(audience))),
        }
        let asked = Attributes {
            api_version: "v1",
            ..Attributes::resource(self.write.user, "request-serviceaccounts-token-audience", "", audience)
                .named(self.write.namespace, self.write.name)
        };
        if (self.authorize)(&asked).allowed() {
            return Ok(());
        }
        forbid(format!(
            "audience {} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            Quoted(audience),
            self.write.user.name
        ))
    }

    fn pod_asks_for(&self, pod: &Value, audience: &str) -> Result<bool, String> {
        let namespace = pod.path(&["metadata", "namespace"]).str();
        let mut errors = Vec::new();
        for volume in pod.path(&["spec", "volumes"]).items() {
            let sources = volume.at("projected").at("sources").items();
            let tokens = sources.iter().map(|s| s.at("serviceAccountToken")).filter(|t| !t.is_null());
            if tokens.into_iter().any(|t| t.at("audience").str() == audience) {
                return Ok(true);
            }
            let asks = self.driver(pod, namespace, volume).and_then(|driver| match driver {
                Some(driver) => self.driver_asks_for(&driver, audience),
                None => Ok(false),
            });
            match asks {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(false) } else { Err(crate::rbac::aggregate_texts(&errors)) }
    }

    /// The CSI driver behind a volume, if there is one.
    fn driver(&self, pod: &Value, namespace: &str, volume: &Value) -> Result<Option<String>, String> {
        let claim = volume.at("persistentVolumeClaim");
        let claim = if !volume.path(&["ephemeral", "volumeClaimTemplate"]).is_null() {
            format!("{}-{}", pod.path(&["metadata", "name"]).str(), volume.at("name").str())
        } else if !claim.is_null() {
            claim.at("claimName").str().to_owned()
        } else if !volume.at("csi").is_null() {
            return Ok(Some(volume.at("csi").at("driver").str().to_owned()));
        } else {
            return Ok(migrated_driver(volume).map(str::to_owned));
        };
        let missing = |kind: &str, name: &str| format!("{kind} {} not found", Quoted(name));
        let object = self.lookup.get("persistentvolumeclaims", namespace, &claim);
        let object = object.ok_or_else(|| missing("persistentvolumeclaim", &claim))?;
        let name = object.path(&["spec", "volumeName"]).str();
        let object = self.lookup.get("persistentvolumes", "", name);
        let object = object.ok_or_else(|| missing("persistentvolume", name))?;
        let spec = object.at("spec");
        let driver = spec.at("csi").at("driver").as_str().or_else(|| migrated_driver(spec));
        Ok(driver.map(str::to_owned))
    }

    fn driver_asks_for(&self, driver: &str, audience: &str) -> Result<bool, String> {
        if driver.is_empty() {
            return Ok(false);
        }
        let object = self.lookup.get("csidrivers", "", driver);
        let object =
            object.ok_or_else(|| format!("csidriver.storage.k8s.io {} not found", Quoted(driver)))?;
        let requests = object.path(&["spec", "tokenRequests"]).items();
        Ok(requests.iter().any(|r| r.at("audience").str() == audience))
    }

    fn lease(&self) -> Checked {
        if self.write.namespace != LEASES {
            return forbid(format!("can only access leases in the {} system namespace", Quoted(LEASES)));
        }
        self.named_as_node("can only access node lease with the same name as the requesting node")
    }

    fn csi_node(&self) -> Checked {
        self.named_as_node("can only access CSINode with the same name as the requesting node")
    }

    fn named_as_node(&self, text: &str) -> Checked {
        let name = match self.write.operation {
            Operation::Create => self.write.object.path(&["metadata", "name"]).str(),
            _ => self.write.name,
        };
        if name == self.node { Ok(()) } else { forbid(text) }
    }

    fn resource_slice(&self) -> Checked {
        let (slice, what) = match self.write.operation {
            Operation::Create => (self.write.object, "create"),
            Operation::Delete => (self.write.old, "delete"),
            _ => return Ok(()),
        };
        if slice.path(&["spec", "nodeName"]).as_str() == Some(self.node) {
            return Ok(());
        }
        forbid(format!("can only {what} ResourceSlice with the same NodeName as the requesting node"))
    }

    fn signing_request(&self) -> Checked {
        let spec = self.write.object.at("spec");
        let of_kubelets = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
        if self.write.operation != Operation::Create || !of_kubelets.contains(&spec.at("signerName").str()) {
            return Ok(());
        }
        let pem = STANDARD.decode(spec.at("request").str()).unwrap_or_default();
        let request = pki::CertificateRequest::from_pem(&pem);
        let request = request.map_err(|e| Refusal::Forbidden(format!("unable to parse csr: {e}")))?;
        if request.subject.common_name != format!("system:node:{}", self.node) {
            return forbid(format!("can only create a node CSR with CN=system:node:{}", self.node));
        }
        Ok(())
    }
}

/// nil and empty are the same.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_empty() && b.is_empty())
}

/// The labels that differ and that a node may not touch: those reserved for telling nodes apart, and those of
/// Kubernetes that are not the kubelet's own.
fn forbidden_labels(new: &Value, old: &Value) -> Vec<String> {
    const OWN: [&str; 11] = [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    ];
    let within = |namespace: &str, zone: &str| {
        namespace.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let forbidden = |label: &str| {
        let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
        let kubernetes = within(namespace, "kubernetes.io") || within(namespace, "k8s.io");
        let own = OWN.contains(&label)
            || within(namespace, "kubelet.kubernetes.io")
            || within(namespace, "node.kubernetes.io");
        within(namespace, RESTRICTED) || (kubernetes && !own)
    };
    let differing = |a: &Value, b: &Value| -> Vec<String> {
        a.entries().filter(|(k, v)| b.get(k) != Some(*v)).map(|(k, _)| k.to_string()).collect()
    };
    let changed: BTreeSet<String> = differing(new, old).into_iter().chain(differing(old, new)).collect();
    changed.into_iter().filter(|label| forbidden(label)).collect()
}

/// The CSI driver that a volume type of old times is served by.
fn migrated_driver(volume: &Value) -> Option<&'static str> {
    let drivers = [
        ("awsElasticBlockStore", "ebs.csi.aws.com"),
        ("azureDisk", "disk.csi.azure.com"),
        ("azureFile", "file.csi.azure.com"),
        ("cinder", "cinder.csi.openstack.org"),
        ("gcePersistentDisk", "pd.csi.storage.gke.io"),
        ("portworxVolume", "pxd.portworx.com"),
        ("vsphereVolume", "csi.vsphere.vmware.com"),
    ];
    drivers.iter().find(|(kind, _)| !volume.at(kind).is_null()).map(|(_, driver)| *driver)
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

#[cfg(test)]
mod tests;
