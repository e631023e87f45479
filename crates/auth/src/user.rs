//! Users and the names that have a meaning in every cluster.
//!
//! Upstream: `k8s.io/apiserver/pkg/authentication/{user,serviceaccount}`.

use std::collections::BTreeMap;
use value::{Map, Str, Value};

/// The group whose members may do everything, whatever the policy says.
pub const SYSTEM_MASTERS: &str = "system:masters";
/// The group of kubelets.
pub const NODES: &str = "system:nodes";
/// What a kubelet's user name begins with.
pub const NODE_PREFIX: &str = "system:node:";
/// The user of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of requests with credentials.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of requests without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// What a service account's user name begins with.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The group of all service accounts; with `:NAMESPACE` behind it, of those of a namespace.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Extra key: which credential was used (`JTI=…`, `X509SHA256=…`).
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// Extra key: the pod that a token is bound to.
pub const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
/// Extra key: that pod's UID.
pub const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// Extra key: the node that a token is bound to, or that its pod runs on.
pub const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// Extra key: that node's UID.
pub const NODE_UID: &str = "authentication.kubernetes.io/node-uid";

/// Who is calling: `authentication.k8s.io/v1` UserInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The name; unique among the users at one time.
    pub name: Str,
    /// An id that tells users of one name at different times apart; may be empty.
    pub uid: Str,
    /// The groups, in the order the authenticator gave them.
    pub groups: Vec<Str>,
    /// Further facts, by key.
    pub extra: BTreeMap<Str, Vec<Str>>,
}

impl UserInfo {
    /// A user with groups.
    pub fn new(name: impl Into<Str>, groups: &[&str]) -> Self {
        Self { name: name.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..Self::default() }
    }

    /// The user of requests without credentials.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// A service account, as its token authenticates it (without `system:authenticated`).
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: service_account_name(namespace, name),
            uid: uid.into(),
            groups: service_account_groups(namespace),
            extra: BTreeMap::new(),
        }
    }

    /// A controller of the server's own: the service account `kube-system/NAME`, authenticated. What it may do
    /// is said by the role `system:controller:NAME`, like anyone's.
    pub fn controller(name: &str) -> Self {
        let mut user = Self::service_account("kube-system", name, "");
        user.mark_authenticated();
        user
    }

    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Adds `system:authenticated`, unless the user is anonymous or already marked.
    pub(crate) fn mark_authenticated(&mut self) {
        if self.name != ANONYMOUS && !self.in_group(AUTHENTICATED) && !self.in_group(UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.into());
        }
    }

    /// The JSON form (`username, uid, groups, extra`, empty ones left out).
    pub fn to_value(&self) -> Value {
        let mut out = Value::object();
        if !self.name.is_empty() {
            out.set("username", self.name.clone());
        }
        if !self.uid.is_empty() {
            out.set("uid", self.uid.clone());
        }
        if !self.groups.is_empty() {
            out.set("groups", self.groups.clone());
        }
        if !self.extra.is_empty() {
            let extra: Map = self.extra.iter().map(|(k, v)| (k.clone(), Value::from(v.clone()))).collect();
            out.set("extra", extra);
        }
        out
    }

    /// Reads the JSON form; what is not as it should be counts as absent. `username` is the member that
    /// holds the name (`username` in UserInfo, `user` in a SubjectAccessReview's spec).
    pub fn from_value(value: &Value, username: &str) -> Self {
        let strings = |v: &Value| -> Vec<Str> { v.items().iter().map(|s| s.str().into()).collect() };
        Self {
            name: value.at(username).str().into(),
            uid: value.at("uid").str().into(),
            groups: strings(value.at("groups")),
            extra: value.at("extra").entries().map(|(k, v)| (k.clone(), strings(v))).collect(),
        }
    }
}

/// The user name of a service account.
pub fn service_account_name(namespace: &str, name: &str) -> Str {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}").into()
}

/// The groups of the service accounts of a namespace.
pub fn service_account_groups(namespace: &str) -> Vec<Str> {
    vec![SERVICE_ACCOUNTS.into(), format!("{SERVICE_ACCOUNTS}:{namespace}").into()]
}

/// Namespace and name in a service account's user name; `None` if it is no valid one.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let valid =
        meta::names::dns1123_label(namespace).is_empty() && meta::names::dns1123_subdomain(name).is_empty();
    valid.then_some((namespace, name))
}

/// The node that a user is: of members of `system:nodes` who are called `system:node:NAME`, the NAME
/// (which may be empty: such a node may do nothing).
pub fn node_identity(user: &UserInfo) -> Option<&str> {
    let name = user.name.strip_prefix(NODE_PREFIX)?;
    user.in_group(NODES).then_some(name)
}
