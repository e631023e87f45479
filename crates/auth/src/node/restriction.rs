//! The decisions of the NodeRestriction admission plugin: a node may write its own objects only.
//!
//! The Node authorizer cannot look into a request's body; this does. Trees in, texts out: the API server's
//! admission calls [`check`] for every write. Upstream: `plugin/pkg/admission/noderestriction`.

mod mirror;
mod token;

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

/// Whether a node may not touch a label: one reserved for telling nodes apart, or one of Kubernetes that is not the
/// kubelet's own.
pub fn is_forbidden_label(label: &str) -> bool {
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
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let kubernetes = within(namespace, "kubernetes.io") || within(namespace, "k8s.io");
    let own = OWN.contains(&label)
        || within(namespace, "kubelet.kubernetes.io")
        || within(namespace, "node.kubernetes.io");
    within(namespace, RESTRICTED) || (kubernetes && !own)
}

/// The labels that differ and that a node may not touch.
fn forbidden_labels(new: &Value, old: &Value) -> Vec<String> {
    let differing = |a: &Value, b: &Value| -> Vec<String> {
        a.entries().filter(|(k, v)| b.get(k) != Some(*v)).map(|(k, _)| k.to_string()).collect()
    };
    let changed: BTreeSet<String> = differing(new, old).into_iter().chain(differing(old, new)).collect();
    changed.into_iter().filter(|label| is_forbidden_label(label)).collect()
}

#[cfg(test)]
mod tests;
