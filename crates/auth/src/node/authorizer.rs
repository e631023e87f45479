//! The Node authorizer's decisions.

use super::{Graph, Related};
use crate::rbac::Rule;
use crate::user::node_identity;
use crate::{Attributes, Verdict, policy};
use meta::fields::{Operator, Selector};
use meta::quote::Quoted;
use std::sync::OnceLock;

/// The namespace of nodes' leases.
const LEASES: &str = "kube-node-lease";

/// Decides on a request of a node; no opinion on anybody else's.
pub fn authorize(graph: &Graph, request: &Attributes<'_>) -> Verdict {
    let Some(node) = node_identity(request.user) else { return Verdict::no_opinion("") };
    if node.is_empty() {
        return Verdict::no_opinion(format!("unknown node for user {}", Quoted(&request.user.name)));
    }
    let asked = Question { graph, node, request };
    if request.resource_request {
        match (request.api_group, request.resource) {
            ("", "secrets") => return asked.read(Related::Secret),
            ("", "configmaps") => return asked.read(Related::ConfigMap),
            ("", "persistentvolumeclaims") if request.subresource == "status" => {
                return asked.update_status(Related::Claim);
            }
            ("", "persistentvolumeclaims") => return asked.get(Related::Claim),
            ("", "persistentvolumes") => return asked.get(Related::Volume),
            ("resource.k8s.io", "resourceclaims") => return asked.get(Related::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => return asked.get(Related::Attachment),
            ("", "serviceaccounts") => return asked.service_account(),
            ("coordination.k8s.io", "leases") => return asked.lease(),
            ("storage.k8s.io", "csinodes") => return asked.csi_node(),
            ("resource.k8s.io", "resourceslices") => return asked.resource_slice(),
            ("", "nodes") => return asked.node(),
            ("", "pods") => return asked.pod(),
            // Their feature gate is off by default.
            ("certificates.k8s.io", "podcertificaterequests") => return Verdict::no_opinion(""),
            _ => {}
        }
    }
    if node_rules().iter().any(|rule| rule.allows(request)) {
        Verdict::allow("")
    } else {
        Verdict::no_opinion("")
    }
}

/// The rules of the ClusterRole `system:node`.
fn node_rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        let is_it = |o: &&value::Value| {
            o.at("kind").str() == "ClusterRole" && o.path(&["metadata", "name"]).str() == "system:node"
        };
        let role = policy::objects().iter().find(is_it);
        role.map(|r| r.at("rules").items().iter().map(Rule::from_value).collect()).unwrap_or_default()
    })
}

struct Question<'a> {
    graph: &'a Graph,
    node: &'a str,
    request: &'a Attributes<'a>,
}

impl Question<'_> {
    fn verb_is(&self, verbs: &[&str]) -> bool {
        verbs.contains(&self.request.verb)
    }

    /// By the graph.
    fn related(&self, kind: Related) -> Verdict {
        let Attributes { namespace, name, .. } = *self.request;
        if name.is_empty() {
            return Verdict::no_opinion("No Object name found");
        }
        self.related_unless_unnamed(kind, namespace, name)
    }

    fn related_unless_unnamed(&self, kind: Related, namespace: &str, name: &str) -> Verdict {
        if self.graph.is_related(self.node, kind, namespace, name) {
            return Verdict::allow("");
        }
        Verdict::no_opinion(format!("no relationship found between node '{}' and this object", self.node))
    }

    fn read(&self, kind: Related) -> Verdict {
        if !self.verb_is(&["get", "list", "watch"]) {
            return Verdict::no_opinion("can only read resources of this type");
        }
        if !self.request.subresource.is_empty() {
            return Verdict::no_opinion("cannot read subresource");
        }
        if self.request.namespace.is_empty() {
            return Verdict::no_opinion("can only read namespaced object of this type");
        }
        self.related(kind)
    }

    fn get(&self, kind: Related) -> Verdict {
        if self.request.verb != "get" {
            return Verdict::no_opinion("can only get individual resources of this type");
        }
        if !self.request.subresource.is_empty() {
            return Verdict::no_opinion("cannot get subresource");
        }
        self.related(kind)
    }

    fn update_status(&self, kind: Related) -> Verdict {
        if !self.verb_is(&["update", "patch"]) {
            return Verdict::no_opinion("can only get/update/patch this type");
        }
        self.related(kind)
    }

    fn service_account(&self) -> Verdict {
        let Attributes { verb, namespace, name, subresource, .. } = *self.request;
        if verb == "get" && subresource.is_empty() {
            return self.read(Related::ServiceAccount);
        }
        if verb != "create" || name.is_empty() {
            return Verdict::no_opinion("can only create tokens for individual service accounts");
        }
        if subresource != "token" {
            return Verdict::no_opinion("can only create token subresource of serviceaccount");
        }
        self.related_unless_unnamed(Related::ServiceAccount, namespace, name)
    }

    fn lease(&self) -> Verdict {
        if !self.verb_is(&["get", "create", "update", "patch", "delete"]) {
            return Verdict::no_opinion("can only get, create, update, patch, or delete a node lease");
        }
        if self.request.namespace != LEASES {
            let text = format!("can only access leases in the {} system namespace", Quoted(LEASES));
            return Verdict::no_opinion(text);
        }
        // A create names the lease in its body: NodeRestriction looks at that.
        if self.request.verb != "create" && self.request.name != self.node {
            return Verdict::no_opinion(
                "can only access node lease with the same name as the requesting node",
            );
        }
        Verdict::allow("")
    }

    fn csi_node(&self) -> Verdict {
        if !self.verb_is(&["get", "create", "update", "patch", "delete"]) {
            return Verdict::no_opinion("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.request.subresource.is_empty() {
            return Verdict::no_opinion("cannot authorize CSINode subresources");
        }
        if self.request.verb != "create" && self.request.name != self.node {
            return Verdict::no_opinion("can only access CSINode with the same name as the requesting node");
        }
        Verdict::allow("")
    }

    fn resource_slice(&self) -> Verdict {
        if !self.request.subresource.is_empty() {
            return Verdict::no_opinion("cannot authorize ResourceSlice subresources");
        }
        match self.request.verb {
            "create" => Verdict::allow(""),
            "get" | "update" | "patch" | "delete" => self.related(Related::ResourceSlice),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => Verdict::allow(""),
            "watch" | "list" | "deletecollection" => Verdict::no_opinion(
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
            _ => Verdict::no_opinion(
                "only the following verbs are allowed for a ResourceSlice: \
                 get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn node(&self) -> Verdict {
        match (self.request.subresource, self.request.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Verdict::allow(""),
            ("", "get" | "list" | "watch") => match self.request.name {
                name if name == self.node => Verdict::allow(""),
                "" => Verdict::no_opinion(format!(
                    "node '{}' cannot read all nodes, only its own Node object",
                    self.node
                )),
                name => Verdict::no_opinion(format!(
                    "node '{}' cannot read '{name}', only its own Node object",
                    self.node
                )),
            },
            _ => Verdict::no_opinion(""),
        }
    }

    fn pod(&self) -> Verdict {
        match (self.request.subresource, self.request.verb) {
            ("", "get") => self.get(Related::Pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Verdict::allow(""),
            ("", "list" | "watch") if !self.request.name.is_empty() => self.related(Related::Pod),
            ("", "list" | "watch") => {
                Verdict::no_opinion("can only list/watch pods with spec.nodeName field selector")
            }
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Verdict::allow("")
            }
            _ => Verdict::no_opinion(""),
        }
    }

    /// Whether the field selector demands that `field` is this node.
    fn selects(&self, field: &str) -> bool {
        let requirements = self.request.field_selector.get().map_or(&[][..], Selector::requirements);
        requirements
            .iter()
            .any(|r| r.field == field && r.operator == Operator::Equals && r.value == self.node)
    }
}
