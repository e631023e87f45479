//! Role-based access control: the roles and bindings of the cluster, indexed so that a decision looks only
//! at the bindings of the user and of the user's groups.
//!
//! [`Rbac`] is filled and kept up to date from trees ([`Rbac::upsert`], [`Rbac::remove`]); the server holds
//! it behind a lock. Where several bindings allow, the reason names one of the cluster's before one of the
//! namespace's, and one to the user before one to a group; upstream's order is the random one of Go's maps.
//!
//! Upstream: `plugin/pkg/auth/authorizer/rbac`, `pkg/registry/rbac/validation`.

mod aggregate;
mod bindings;
mod covers;
mod escalation;
mod review;
mod rule;
#[cfg(test)]
mod tests;

pub use aggregate::aggregated_rules;
pub use bindings::{Binding, RoleRef, Subject};
pub use covers::{compact, covers};
pub use escalation::{EscalationError, check_binding, check_role, only_collector_fields_differ};
pub use review::{RulesReview, rules_review};
pub use rule::Rule;

use crate::{Attributes, UserInfo, Verdict};
use bindings::Bindings;
use meta::quote::Quoted;
use std::collections::HashMap;
use std::sync::Arc;
use value::{Str, Value};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Room for a reason, so that most are written without growing.
const REASON_LEN_USUAL: usize = 160;

/// A role's rules; shared with whoever decides by them at the moment.
pub type Rules = Arc<[Rule]>;

/// All roles and bindings.
#[derive(Clone, Debug, Default)]
pub struct Rbac {
    cluster_roles: HashMap<Str, Rules>,
    cluster_bindings: Bindings,
    namespaces: HashMap<Str, Namespace>,
}

#[derive(Clone, Debug, Default)]
struct Namespace {
    roles: HashMap<Str, Rules>,
    bindings: Bindings,
}

/// A role that a binding refers to, but that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No such Role or ClusterRole.
    Role {
        /// Whether it is a ClusterRole.
        cluster: bool,
        /// Its name.
        name: Str,
    },
    /// The reference's kind is neither.
    Kind(Str),
}

impl Missing {
    /// The text. Authorizers name the role's own resource in the singular; checks within a request on
    /// roles and bindings name the request's `resource`, because upstream reads the roles in its context.
    pub fn text(&self, resource: Option<&str>) -> String {
        match self {
            Self::Role { cluster, name } => {
                let own = if *cluster { "clusterrole" } else { "role" };
                format!("{}.{GROUP} {} not found", resource.unwrap_or(own), Quoted(name))
            }
            Self::Kind(kind) => format!("unsupported role reference kind: {}", Quoted(kind)),
        }
    }
}

impl Rbac {
    /// An empty one: allows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a new or changed object of `resource` (`roles`, `rolebindings`, `clusterroles`,
    /// `clusterrolebindings`; others are passed over).
    pub fn upsert(&mut self, resource: &str, object: &Value) {
        let metadata = object.at("metadata");
        let (namespace, name) = (metadata.at("namespace").str(), metadata.at("name").str());
        let rules = || -> Rules { object.at("rules").items().iter().map(Rule::from_value).collect() };
        match resource {
            "clusterroles" => {
                self.cluster_roles.insert(name.into(), rules());
            }
            "clusterrolebindings" => self.cluster_bindings.insert(Binding::from_value(object)),
            "roles" => {
                self.namespaces.entry(namespace.into()).or_default().roles.insert(name.into(), rules());
            }
            "rolebindings" => {
                let space = self.namespaces.entry(namespace.into()).or_default();
                space.bindings.insert(Binding::from_value(object));
            }
            _ => {}
        }
    }

    /// Forgets a deleted object.
    pub fn remove(&mut self, resource: &str, namespace: &str, name: &str) {
        match resource {
            "clusterroles" => {
                self.cluster_roles.remove(name);
            }
            "clusterrolebindings" => self.cluster_bindings.remove(name),
            "roles" | "rolebindings" => {
                let Some(space) = self.namespaces.get_mut(namespace) else { return };
                if resource == "roles" {
                    space.roles.remove(name);
                } else {
                    space.bindings.remove(name);
                }
                if space.roles.is_empty() && space.bindings.is_empty() {
                    self.namespaces.remove(namespace);
                }
            }
            _ => {}
        }
    }

    /// Decides on a request.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        let (user, namespace) = (attributes.user, attributes.namespace);
        let mut all_found = true;
        for binding in self.bindings_of(user, namespace) {
            let Ok(rules) = self.role_rules(&binding.role, &binding.namespace) else {
                all_found = false; // told only if nothing else allows
                continue;
            };
            if rules.iter().any(|rule| rule.allows(attributes)) {
                let mut reason = String::with_capacity(REASON_LEN_USUAL);
                reason.push_str("RBAC: allowed by ");
                binding.describe(user, &mut reason);
                return Verdict::allow(reason);
            }
        }
        if all_found {
            return Verdict::no_opinion("");
        }
        let missing: Vec<String> = self.missing_of(user, namespace).map(|m| m.text(None)).collect();
        Verdict::no_opinion(format!("RBAC: {}", aggregate_texts(&missing)))
    }

    /// All rules that apply to a user in a namespace (empty: cluster-wide only), and the roles that could
    /// not be found.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> (Vec<Rule>, Vec<Missing>) {
        let rules = |b: &Binding| self.role_rules(&b.role, &b.namespace).ok();
        let found = self.distinct_bindings_of(user, namespace).into_iter().filter_map(rules);
        (found.flat_map(|r| r.iter().cloned()).collect(), self.missing_of(user, namespace).collect())
    }

    fn missing_of<'a>(&'a self, user: &'a UserInfo, namespace: &str) -> impl Iterator<Item = Missing> {
        let bindings = self.distinct_bindings_of(user, namespace).into_iter();
        bindings.filter_map(|b| self.role_rules(&b.role, &b.namespace).err())
    }

    /// The rules of the role that a binding in `namespace` (empty: a cluster binding) refers to.
    ///
    /// # Errors
    /// [`Missing`] if it is not there.
    pub fn role_rules(&self, role: &RoleRef, namespace: &str) -> Result<&Rules, Missing> {
        let missing = |cluster| Missing::Role { cluster, name: role.name.clone() };
        match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&role.name).ok_or_else(|| missing(true)),
            "Role" => {
                let space = self.namespaces.get(namespace);
                space.and_then(|s| s.roles.get(&role.name)).ok_or_else(|| missing(false))
            }
            _ => Err(Missing::Kind(role.kind.clone())),
        }
    }

    /// The bindings that apply: the cluster's, then the namespace's.
    fn bindings_of<'a>(&'a self, user: &'a UserInfo, namespace: &str) -> impl Iterator<Item = &'a Binding> {
        let space = self.namespaces.get(namespace).filter(|_| !namespace.is_empty());
        let own = space.into_iter().flat_map(|s| s.bindings.applying_to(user));
        self.cluster_bindings.applying_to(user).chain(own)
    }

    /// The same, each once and in order of their names (cluster bindings first).
    fn distinct_bindings_of<'a>(&'a self, user: &'a UserInfo, namespace: &str) -> Vec<&'a Binding> {
        let key = |b: &&Binding| (!b.namespace.is_empty(), b.name.clone());
        let mut bindings: Vec<&Binding> = self.bindings_of(user, namespace).collect();
        bindings.sort_by_key(key);
        bindings.dedup_by_key(|b| key(b));
        bindings
    }
}

/// Several errors as `k8s.io/apimachinery/pkg/util/errors` prints an aggregate of them: each once, in
/// brackets if they are more than one.
pub fn aggregate_texts<S: AsRef<str>>(texts: &[S]) -> String {
    let mut seen = std::collections::HashSet::new();
    let distinct: Vec<&str> = texts.iter().map(AsRef::as_ref).filter(|t| seen.insert(*t)).collect();
    match distinct.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}
