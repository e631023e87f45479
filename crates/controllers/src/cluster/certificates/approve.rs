//! Approves what kubelets ask for, so that a node can join and serve without a person.

use super::{Requests, has_certificate, has_condition, parse, watch, with_condition};
use crate::context::{Context, Tasks, spawn};
use api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use api::certificates::v1::CertificateSigningRequest;
use api::core::v1::Node;
use api::{Key, Object};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use pki::{CertificateRequest, Signer};
use reconcile::{Next, Reconcile};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;

const WORKERS: usize = 5;
const NODE_PREFIX: &str = "system:node:";
const NODES: &str = "system:nodes";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let (queue, requests, synced) = watch(context);
    let nodes = context.informers.get::<Node>();
    let (waiting, all) = (queue.clone(), requests.clone());
    nodes.subscribe(move |change| {
        let node = change.object();
        if matches!(change, Change::Updated(old, _) if addresses(old).eq(addresses(node))) {
            return;
        }
        // A node may ask before it has told its addresses.
        let user = format!("{NODE_PREFIX}{}", node.name());
        let theirs = all.list().into_iter().filter(|r| r.spec.username.as_deref() == Some(&user));
        theirs.filter(|r| !has_certificate(r)).for_each(|request| waiting.add(request.key()));
    });
    let controller = ApprovingController {
        client: context.client("certificate-controller"),
        serving: context.client("kubelet-serving-approver"),
        requests,
        nodes: nodes.clone(),
    };
    let synced = async move {
        synced.await;
        nodes.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn addresses(node: &Node) -> impl Iterator<Item = (&str, &str)> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses.map(|address| (address.type_.as_str(), address.address.as_str()))
}

/// Why a request may be approved, if the one who asks may create `subresource` of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ground {
    subresource: &'static str,
    message: &'static str,
}

/// A kubelet asks for itself, with the certificate that it has.
const SELF: Ground = Ground {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
/// Somebody, with a bootstrap token as a rule, asks for a kubelet.
const OTHER: Ground = Ground {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};
const SERVING: &str = "Auto approving kubelet serving certificate: all names are the node's own.";

/// The grounds on which a request for a kubelet's client certificate may be approved, in their order.
fn client_grounds(request: &CertificateSigningRequest, parsed: &CertificateRequest) -> Vec<Ground> {
    let usages: Vec<&str> = request.spec.usages.iter().flatten().map(String::as_str).collect();
    let signer = Signer::KubeApiserverClientKubelet;
    if request.spec.signer_name != signer.name() || signer.check(parsed, &usages).is_err() {
        return Vec::new();
    }
    let own = request.spec.username.as_deref() == Some(&*parsed.subject.common_name);
    if own { vec![SELF, OTHER] } else { vec![OTHER] }
}

/// Whether a kubelet asks to serve as itself, under addresses and names that its Node has.
fn is_own_serving(
    request: &CertificateSigningRequest,
    parsed: &CertificateRequest,
    node: impl Fn(&str) -> Option<Arc<Node>>,
) -> bool {
    let spec = &request.spec;
    let usages: Vec<&str> = spec.usages.iter().flatten().map(String::as_str).collect();
    if spec.signer_name != Signer::KubeletServing.name()
        || Signer::KubeletServing.check(parsed, &usages).is_err()
        || spec.username.as_deref() != Some(&*parsed.subject.common_name)
        || !spec.groups.iter().flatten().any(|group| group == NODES)
    {
        return false;
    }
    let Some(node) = parsed.subject.common_name.strip_prefix(NODE_PREFIX).and_then(node) else {
        return false;
    };
    let has_name = |name: &String| {
        let own = |(kind, text): (&str, &str)| kind != "InternalIP" && kind != "ExternalIP" && text == name;
        name == node.name() || addresses(&node).any(own)
    };
    let has_ip = |ip: &IpAddr| addresses(&node).any(|(_, text)| text.parse::<IpAddr>() == Ok(*ip));
    parsed.names.dns.iter().all(has_name) && parsed.names.ips.iter().all(has_ip)
}

struct ApprovingController {
    client: Client,
    /// The identity that may approve for `kubernetes.io/kubelet-serving`, which upstream's may not.
    serving: Client,
    requests: Requests,
    nodes: Lister<Node>,
}

impl Reconcile for ApprovingController {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-approving"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(request) = self.requests.get_key(&key) else { return Ok(Next::Done) };
            let decided = has_condition(&request, "Approved") || has_condition(&request, "Denied");
            if decided || has_certificate(&request) {
                return Ok(Next::Done);
            }
            let parsed = parse(&request)?;
            if is_own_serving(&request, &parsed, |name| self.nodes.get("", name)) {
                approve(&self.serving, &request, SERVING).await?;
                return Ok(Next::Done);
            }
            let grounds = client_grounds(&request, &parsed);
            for ground in &grounds {
                if self.may_create(&request, ground.subresource).await? {
                    approve(&self.client, &request, ground.message).await?;
                    return Ok(Next::Done);
                }
            }
            if grounds.is_empty() {
                return Ok(Next::Done);
            }
            // Roles may come later; it is looked at again, ever more seldom.
            let tried: Vec<&str> = grounds.iter().map(|ground| ground.subresource).collect();
            Err(Error::Other(format!(
                "recognized csr {:?} as {tried:?} but subject access review was not approved",
                key.name
            )))
        })
    }
}

impl ApprovingController {
    async fn may_create(
        &self,
        request: &CertificateSigningRequest,
        subresource: &str,
    ) -> Result<bool, Error> {
        let spec = &request.spec;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: spec.username.clone(),
                uid: spec.uid.clone(),
                groups: spec.groups.clone(),
                extra: spec.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".into()),
                    resource: Some("certificatesigningrequests".into()),
                    subresource: Some(subresource.to_owned()),
                    verb: Some("create".into()),
                    version: Some("*".into()),
                    ..ResourceAttributes::default()
                }),
                non_resource_attributes: None,
            },
            ..SubjectAccessReview::default()
        };
        let review: SubjectAccessReview = self.client.create(&review).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}

async fn approve(client: &Client, request: &CertificateSigningRequest, message: &str) -> Result<(), Error> {
    let conditions = with_condition(request, "Approved", "AutoApproved", message, None);
    let patch = Patch::Update(json!({
        "metadata": {"uid": request.uid(), "resourceVersion": request.resource_version()},
        "status": {"conditions": conditions},
    }));
    let name = request.name();
    client.patch_subresource::<CertificateSigningRequest>("", name, "approval", &patch).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::certificates::v1::CertificateSigningRequestSpec;
    use pki::{Name, Names};

    fn request(signer: Signer, user: &str, auth: &str) -> CertificateSigningRequest {
        CertificateSigningRequest {
            spec: CertificateSigningRequestSpec {
                signer_name: signer.name().into(),
                username: Some(user.into()),
                groups: Some(vec![NODES.into()]),
                usages: Some(vec!["digital signature".into(), auth.into()]),
                ..CertificateSigningRequestSpec::default()
            },
            ..CertificateSigningRequest::default()
        }
    }

    fn parsed(name: &str, dns: &[&str], ips: &[&str]) -> CertificateRequest {
        let names = Names {
            dns: dns.iter().map(|n| (*n).to_owned()).collect(),
            ips: ips.iter().map(|ip| ip.parse().expect("an address")).collect(),
            ..Names::default()
        };
        let key = pki::PrivateKey::generate().expect("a key");
        let pem = CertificateRequest::create(&Name::new(name, &[NODES]), &names, &key).expect("a request");
        CertificateRequest::from_pem(pem.as_bytes()).expect("the same request")
    }

    #[test]
    fn client_certificates() {
        let signer = Signer::KubeApiserverClientKubelet;
        let name = "system:node:n1";
        let cases = [
            (request(signer, name, "client auth"), parsed(name, &[], &[]), vec![SELF, OTHER]),
            (request(signer, "system:bootstrap:abc", "client auth"), parsed(name, &[], &[]), vec![OTHER]),
            (request(signer, name, "server auth"), parsed(name, &[], &[]), vec![]),
            (request(signer, name, "client auth"), parsed("admin", &[], &[]), vec![]),
            (request(signer, name, "client auth"), parsed(name, &["x"], &[]), vec![]),
            (request(Signer::KubeApiserverClient, name, "client auth"), parsed(name, &[], &[]), vec![]),
        ];
        for (request, parsed, expected) in cases {
            assert_eq!(client_grounds(&request, &parsed), expected, "{:?}", request.spec);
        }
    }

    #[test]
    fn serving_certificates_are_for_the_nodes_own_names() {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1"}, "status": {"addresses": [
            {"type": "InternalIP", "address": "192.0.2.1"}, {"type": "InternalIP", "address": "fd00::1"},
            {"type": "Hostname", "address": "n1.example"}]}}))
        .expect("a node");
        let node = Arc::new(node);
        let find = |name: &str| (name == "n1").then(|| node.clone());
        let name = "system:node:n1";
        let own = || request(Signer::KubeletServing, name, "server auth");
        let mut stranger = own();
        stranger.spec.groups = None;
        let cases = [
            (own(), parsed(name, &["n1", "n1.example"], &["192.0.2.1", "fd00::1"]), true),
            (own(), parsed(name, &["n1"], &[]), true),
            (own(), parsed(name, &[], &["192.0.2.2"]), false),
            (own(), parsed(name, &["kubernetes.default"], &["192.0.2.1"]), false),
            (own(), parsed("system:node:n2", &["n1"], &[]), false),
            (
                request(Signer::KubeletServing, "system:node:n2", "server auth"),
                parsed(name, &["n1"], &[]),
                false,
            ),
            (request(Signer::KubeletServing, name, "client auth"), parsed(name, &["n1"], &[]), false),
            (stranger, parsed(name, &["n1"], &[]), false),
            (own(), parsed(name, &["192.0.2.1"], &[]), false),
        ];
        for (request, parsed, expected) in cases {
            assert_eq!(is_own_serving(&request, &parsed, find), expected, "{:?} {parsed:?}", request.spec);
        }
    }
}
