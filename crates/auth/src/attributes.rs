//! What an authorizer sees of a request, and how a refusal is told.
//!
//! Upstream: `k8s.io/apiserver/pkg/authorization/authorizer`, `endpoints/handlers/responsewriters`.

use crate::UserInfo;
use meta::gvk::GroupResource;
use meta::quote::Quoted;
use meta::status::Status;
use meta::{fields, labels};

/// A selector of a list, watch or deletecollection.
#[derive(Debug, Default)]
pub enum Selection<'a, T> {
    /// There is none.
    #[default]
    None,
    /// There is one that cannot be read; authorizers treat it as none.
    Invalid(&'a str),
    /// There is one.
    Some(&'a T),
}

// Not derived: `T` itself need not be `Copy`.
impl<T> Clone for Selection<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Selection<'_, T> {}

impl<'a, T> Selection<'a, T> {
    /// The selector, if there is a readable one.
    pub const fn get(&self) -> Option<&'a T> {
        match self {
            Self::Some(selector) => Some(selector),
            _ => None,
        }
    }
}

/// A request as authorizers see it. Borrows all: making one costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a UserInfo,
    /// The verb: `get`, `list` … for resources, the HTTP method in lower case for paths.
    pub verb: &'a str,
    /// The namespace; empty for cluster-scoped objects and for all namespaces.
    pub namespace: &'a str,
    /// The API group; empty for the core group.
    pub api_group: &'a str,
    /// The API version; `*` in some checks of the server's own.
    pub api_version: &'a str,
    /// The resource (plural).
    pub resource: &'a str,
    /// The subresource; may be empty.
    pub subresource: &'a str,
    /// The object's name; empty for collections and for creates without one in the path.
    pub name: &'a str,
    /// Whether it is about a resource; else about `path`.
    pub resource_request: bool,
    /// The URL path of a request that is about no resource.
    pub path: &'a str,
    /// The field selector.
    pub field_selector: Selection<'a, fields::Selector>,
    /// The label selector.
    pub label_selector: Selection<'a, labels::Selector>,
}

impl<'a> Attributes<'a> {
    /// A resource request; set the rest with struct update syntax or [`Self::named`].
    pub const fn resource(user: &'a UserInfo, verb: &'a str, api_group: &'a str, resource: &'a str) -> Self {
        Self {
            user,
            verb,
            namespace: "",
            api_group,
            api_version: "*",
            resource,
            subresource: "",
            name: "",
            resource_request: true,
            path: "",
            field_selector: Selection::None,
            label_selector: Selection::None,
        }
    }

    /// A request for a path.
    pub const fn path(user: &'a UserInfo, verb: &'a str, path: &'a str) -> Self {
        Self { resource_request: false, path, api_version: "", ..Self::resource(user, verb, "", "") }
    }

    /// The same for one object.
    #[must_use]
    pub const fn named(self, namespace: &'a str, name: &'a str) -> Self {
        Self { namespace, name, ..self }
    }

    /// The same for a subresource.
    #[must_use]
    pub const fn sub(self, subresource: &'a str) -> Self {
        Self { subresource, ..self }
    }

    /// What the user may not do: `User "x" cannot list resource "pods" in API group "" at the cluster scope`.
    pub fn forbidden_message(&self) -> String {
        let (user, verb) = (Quoted(&self.user.name), self.verb);
        if !self.resource_request {
            return format!("User {user} cannot {verb} path {}", Quoted(self.path));
        }
        let joined;
        let resource = if self.subresource.is_empty() {
            self.resource
        } else {
            joined = format!("{}/{}", self.resource, self.subresource);
            &joined
        };
        let what = format!(
            "User {user} cannot {verb} resource {} in API group {}",
            Quoted(resource),
            Quoted(self.api_group)
        );
        if self.namespace.is_empty() {
            format!("{what} at the cluster scope")
        } else {
            format!("{what} in the namespace {}", Quoted(self.namespace))
        }
    }

    /// The 403 answer to a request that nobody allowed; `reason` is the authorizers' text.
    pub fn forbidden(&self, reason: &str) -> Status {
        // What a browser could take for HTML does not go out.
        let message =
            self.forbidden_message().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let text = if reason.is_empty() { message } else { format!("{message}: {reason}") };
        Status::forbidden(&GroupResource::new(self.api_group, self.resource), self.name, text)
    }
}
