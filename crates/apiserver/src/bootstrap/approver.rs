//! Who approves serving certificates of kubelets: upstream leaves that to people, and its kubelets without.

use super::{map, object};
use value::{Str, Value};

const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
const NAME: &str = "system:controller:kubelet-serving-approver";
const ACCOUNT: &str = "kubelet-serving-approver";

fn list(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|t| Value::from(Str::from(*t))).collect())
}

fn rule(verbs: &[&str], resource: &str) -> Value {
    map([
        ("verbs", list(verbs)),
        ("apiGroups", list(&["certificates.k8s.io"])),
        ("resources", list(&[resource])),
    ])
}

/// May approve for `kubernetes.io/kubelet-serving`, and for no other signer.
pub(super) fn role() -> Value {
    let mut signer = rule(&["approve"], "signers");
    signer.set("resourceNames", list(&["kubernetes.io/kubelet-serving"]));
    let rules = vec![
        rule(&["get", "list", "watch"], "certificatesigningrequests"),
        rule(&["update", "patch"], "certificatesigningrequests/approval"),
        signer,
    ];
    let mut role = object(API_VERSION, "ClusterRole", "", NAME);
    role.set("rules", Value::Array(rules));
    role
}

/// Gives the role to the controller's account.
pub(super) fn binding() -> Value {
    let subject = map([
        ("kind", "ServiceAccount".into()),
        ("namespace", "kube-system".into()),
        ("name", ACCOUNT.into()),
    ]);
    let mut binding = object(API_VERSION, "ClusterRoleBinding", "", NAME);
    binding.set(
        "roleRef",
        map([
            ("apiGroup", "rbac.authorization.k8s.io".into()),
            ("kind", "ClusterRole".into()),
            ("name", NAME.into()),
        ]),
    );
    binding.set("subjects", Value::Array(vec![subject]));
    binding
}
