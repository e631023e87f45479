//! What a request asks for: path → API group, resource, namespace, name, subresource and verb.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`. Pure: strings in, strings out.

use http::Method;
use value::Str;

/// The verb that authorization and audit see. For the connect-like subresources it is the verb of the
/// HTTP method, as upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change an object.
    Patch,
    /// Delete an object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
    /// Anything else: the HTTP method in lower case.
    Other,
}

impl Verb {
    /// The verb as RBAC writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other => "",
        }
    }

    /// Whether it changes nothing.
    pub const fn is_read_only(self) -> bool {
        matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// What a request asks for.
#[derive(Clone, Debug, Default)]
pub struct RequestInfo {
    /// Whether it is for a resource: `/api/v1/...` or `/apis/<group>/<version>/...` with something behind.
    pub is_resource: bool,
    /// The verb as authorization sees it.
    pub verb: Str,
    /// `api` or `apis`; empty for other paths.
    pub prefix: Str,
    /// The API group; empty for the core group.
    pub group: Str,
    /// The version within the group.
    pub version: Str,
    /// The namespace in the path.
    pub namespace: Str,
    /// The resource, plural.
    pub resource: Str,
    /// The subresource.
    pub subresource: Str,
    /// The object's name.
    pub name: Str,
    /// Path segments after the subresource (`proxy/a/b`).
    pub rest: Vec<Str>,
    /// Whether `name` comes from a field selector and not from the path.
    pub name_selected: bool,
    /// Whether the path is of the legacy form `/api/v1/watch/...`.
    pub legacy_watch: bool,
    /// Whether the path names the resource as one in a namespace (whose name may be empty).
    pub in_namespace: bool,
    /// Whether a segment within the path is empty.
    pub has_gap: bool,
    /// Whether the path ends with the verb of one of old (`/api/v1/watch`).
    pub is_cut_short: bool,
}

impl RequestInfo {
    /// The name in the path; empty for collections.
    pub fn name_in_path(&self) -> &str {
        if self.name_selected { "" } else { &self.name }
    }
}

/// How many segments most paths have: `/apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE`.
const SEGMENTS: usize = 8;

/// Subresources of a namespace that are not resources within it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Reads method and (percent-decoded) path. `watch` is the query's `watch` flag; `field_name` the
    /// name in a `metadata.name=` field selector, by which a list is authorized as for that name.
    pub fn parse(method: &Method, path: &str, watch: bool, field_name: Option<&str>) -> Self {
        let mut info = Self::default();
        let mut segments = Vec::with_capacity(SEGMENTS);
        segments.extend(path.trim_matches('/').split('/'));
        info.has_gap = segments.contains(&"");
        let other = || Str::from(method.as_str().to_ascii_lowercase());
        let rest = match segments.as_slice() {
            [prefix @ ("api" | "apis"), rest @ ..] => {
                info.prefix = (*prefix).into();
                rest
            }
            _ => return Self { verb: other(), ..info },
        };
        let needed = if info.prefix == "api" { 2 } else { 3 };
        if rest.len() < needed {
            return Self { verb: other(), ..info };
        }
        let mut at = 0;
        if info.prefix == "apis" {
            info.group = rest[0].into();
            at = 1;
        }
        info.is_resource = true;
        info.version = rest[at].into();
        at += 1;
        info.verb = match *method {
            Method::POST => Verb::Create,
            Method::GET | Method::HEAD => Verb::Get,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => Verb::Other,
        }
        .as_str()
        .into();
        let is_last = rest.len() == at + 1;
        if is_last && matches!(rest[at], "watch" | "proxy") {
            info.is_cut_short = true;
            return info;
        }
        if rest.get(at) == Some(&"watch") {
            info.verb = "watch".into();
            info.legacy_watch = true;
            at += 1;
        } else if rest.get(at) == Some(&"proxy") {
            info.verb = "proxy".into();
            at += 1;
        }
        let mut parts = rest.get(at..).unwrap_or_default();
        if let ["namespaces", namespace, within @ ..] = parts {
            info.namespace = (*namespace).into();
            // `namespaces/x/status` is a subresource of the namespace, `namespaces/x/pods` a collection in it.
            if within.first().is_some_and(|sub| !NAMESPACE_SUBRESOURCES.contains(sub)) {
                parts = within;
                info.in_namespace = true;
            }
        }
        let mut parts = parts.iter().copied();
        info.resource = parts.next().unwrap_or_default().into();
        info.name = parts.next().unwrap_or_default().into();
        info.subresource = parts.next().unwrap_or_default().into();
        info.rest = parts.map(Str::from).collect();
        if info.name.is_empty() && info.verb == "get" {
            info.verb = if watch { "watch" } else { "list" }.into();
            if let Some(name) = field_name {
                info.name = name.into();
                info.name_selected = true;
            }
        }
        if info.name.is_empty() && info.verb == "delete" {
            info.verb = "deletecollection".into();
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, want: &str) {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let i = RequestInfo::parse(&method, path, false, None);
        let got = format!(
            "{} {} g={} v={} ns={} r={} n={} s={} rest={:?}",
            i.is_resource, i.verb, i.group, i.version, i.namespace, i.resource, i.name, i.subresource, i.rest
        );
        assert_eq!(got, want, "{path}");
    }

    #[test]
    fn paths() {
        check("GET", "/api/v1/pods", "true list g= v=v1 ns= r=pods n= s= rest=[]");
        check("POST", "/api/v1/namespaces", "true create g= v=v1 ns= r=namespaces n= s= rest=[]");
        check("GET", "/api/v1/namespaces/a", "true get g= v=v1 ns=a r=namespaces n=a s= rest=[]");
        check(
            "PUT",
            "/api/v1/namespaces/a/finalize",
            "true update g= v=v1 ns=a r=namespaces n=a s=finalize rest=[]",
        );
        check("GET", "/api/v1/namespaces/a/pods/p/log", "true get g= v=v1 ns=a r=pods n=p s=log rest=[]");
        check(
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            "true deletecollection g=apps v=v1 ns=a r=deployments n= s= rest=[]",
        );
        check(
            "GET",
            "/api/v1/nodes/n/proxy/a/b",
            "true get g= v=v1 ns= r=nodes n=n s=proxy rest=[\"a\", \"b\"]",
        );
        check("GET", "/api/v1/watch/namespaces/a/pods", "true watch g= v=v1 ns=a r=pods n= s= rest=[]");
        let nested = "true list g= v=v1 ns=a r=namespaces n= s= rest=[]";
        check("GET", "/api/v1/namespaces/a/namespaces", nested);
        check("GET", "/api/v1/namespaces//pods/", "true list g= v=v1 ns= r=pods n= s= rest=[]");
        check("GET", "/api/v1/namespaces//status", "true list g= v=v1 ns= r=namespaces n= s=status rest=[]");
        check("GET", "/api/v1//pods", "true get g= v=v1 ns= r= n=pods s= rest=[]");
        check("GET", "/api//v1", "true list g= v= ns= r=v1 n= s= rest=[]");
        check("GET", "/api/v1/namespaces/a/pods//b", "true list g= v=v1 ns=a r=pods n= s=b rest=[]");
        let within = |path| RequestInfo::parse(&Method::GET, path, false, None).in_namespace;
        assert!(within("/api/v1/namespaces/a/namespaces") && within("/api/v1/namespaces//pods"));
        assert!(!within("/api/v1/namespaces/a") && !within("/api/v1/namespaces/a/status"));
        let is_cut = |path| RequestInfo::parse(&Method::GET, path, false, None).is_cut_short;
        assert!(is_cut("/api/v1/watch") && is_cut("/apis/apps/v1/proxy/") && !is_cut("/api/v1/watch/pods"));
        let selected = |method, path| RequestInfo::parse(&method, path, false, Some("a")).name.to_string();
        assert_eq!(selected(Method::GET, "/api/v1/pods"), "a");
        assert_eq!(selected(Method::DELETE, "/api/v1/pods"), "", "who deletes many is asked for all");
        assert_eq!(selected(Method::GET, "/api/v1/watch/pods"), "");
        check("GET", "/", "false get g= v= ns= r= n= s= rest=[]");
        check("GET", "/apis/apps", "false get g= v= ns= r= n= s= rest=[]");
        check("GET", "/apis/apps/v1", "false get g= v= ns= r= n= s= rest=[]");
        check("GET", "/healthz", "false get g= v= ns= r= n= s= rest=[]");
    }
}
