//! Values of Kubernetes' own types.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use meta::quantity::Quantity;
use value::Str;

use crate::library::authz::{Authorizer, Decision};
use crate::library::formats::Format;
use crate::library::net::Cidr;
use crate::library::semver::Version;
use crate::library::urls::Url;
use crate::types::Type;

/// A value of a library type.
#[derive(Clone)]
pub enum Opaque<'a> {
    /// `quantity("1Gi")`
    Quantity(Quantity),
    /// `ip("::1")`
    Ip(IpAddr),
    /// `cidr("10.0.0.0/8")`
    Cidr(Cidr),
    /// `url("https://…")`
    Url(Url),
    /// `semver("1.2.3")`
    Semver(Version),
    /// `format.dns1123Label()`
    Format(&'static Format),
    /// `authorizer`, as one user.
    Authorizer(Rc<dyn Authorizer + 'a>),
    /// `authorizer.path("/healthz")`
    PathCheck(Rc<dyn Authorizer + 'a>, Str),
    /// `authorizer.group("apps")`
    GroupCheck(Rc<dyn Authorizer + 'a>, Str),
    /// `authorizer.group("").resource("pods")…`
    ResourceCheck(ResourceCheck<'a>),
    /// What the authorizer said.
    Decision(Decision),
}

/// A question to the authorizer about a resource, as far as it is put together.
#[derive(Clone)]
pub struct ResourceCheck<'a> {
    /// Whom to ask.
    pub authorizer: Rc<dyn Authorizer + 'a>,
    /// API group.
    pub group: Str,
    /// Resource, plural.
    pub resource: Str,
    /// Subresource or empty.
    pub subresource: Str,
    /// Namespace or empty.
    pub namespace: Str,
    /// Name or empty.
    pub name: Str,
    /// Field selector or empty.
    pub field_selector: Str,
    /// Label selector or empty.
    pub label_selector: Str,
}

impl Opaque<'_> {
    /// Its type.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Quantity(_) => Type::object("kubernetes.Quantity"),
            Self::Ip(_) => Type::opaque("net.IP"),
            Self::Cidr(_) => Type::opaque("net.CIDR"),
            Self::Url(_) => Type::object("kubernetes.URL"),
            Self::Semver(_) => Type::object("kubernetes.Semver"),
            Self::Format(_) => Type::object("kubernetes.NamedFormat"),
            Self::Authorizer(_) => Type::object("kubernetes.authorization.Authorizer"),
            Self::PathCheck(..) => Type::object("kubernetes.authorization.PathCheck"),
            Self::GroupCheck(..) => Type::object("kubernetes.authorization.GroupCheck"),
            Self::ResourceCheck(_) => Type::object("kubernetes.authorization.ResourceCheck"),
            Self::Decision(_) => Type::object("kubernetes.authorization.Decision"),
        }
    }

    /// Its size for costs, if it has one.
    pub(crate) fn size(&self) -> Option<usize> {
        let octets = |a: &IpAddr| if a.is_ipv4() { 4 } else { 16 };
        match self {
            Self::Ip(a) => Some(octets(a)),
            Self::Cidr(c) => Some(c.size()),
            _ => None,
        }
    }

    /// What `string(x)` gives; `None` for types it does not take.
    pub(crate) fn as_text(&self) -> Option<String> {
        match self {
            Self::Ip(a) => Some(a.to_string()),
            Self::Cidr(c) => Some(c.to_string()),
            _ => None,
        }
    }

    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a.cmp(b).is_eq(),
            (Self::Format(a), Self::Format(b)) => std::ptr::eq(*a, *b),
            (Self::Decision(a), Self::Decision(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for Opaque<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(q) => q.fmt(f),
            Self::Ip(a) => a.fmt(f),
            Self::Cidr(c) => c.fmt(f),
            Self::Url(u) => f.write_str(u.text()),
            Self::Semver(v) => v.fmt(f),
            Self::Format(x) => f.write_str(x.name()),
            _ => f.write_str(self.type_of().runtime_name()),
        }
    }
}

impl fmt::Debug for Opaque<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.type_of().runtime_name())
    }
}
