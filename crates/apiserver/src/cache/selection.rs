//! Label and field selectors over an entry's head.

use super::{Entry, Head};
use meta::{fields, labels};
use value::Str;

/// Under which key a follower is indexed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every object.
    All,
    /// One namespace.
    Namespace(Str),
    /// One object, by key.
    Object(Str),
    /// Objects with this value of the resource's trigger field.
    Field(Str),
}

/// Which objects a list or watch is about, besides its namespace.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// By labels; `None` for all.
    pub labels: Option<labels::Selector>,
    /// By fields; `None` for all.
    pub fields: Option<fields::Selector>,
    /// Only this namespace; empty for all. Lists narrow by key range instead.
    pub namespace: Str,
    /// Only this name; empty for all.
    pub name: Str,
}

impl Selection {
    /// Whether it lets every object pass.
    pub fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_none() && self.namespace.is_empty() && self.name.is_empty()
    }

    /// The part of it that can be told by an object's key.
    pub fn by_key(&self) -> Self {
        Self { namespace: self.namespace.clone(), name: self.name.clone(), ..Self::default() }
    }

    /// What is still to be asked of an object that is known to be in a scope.
    pub fn within(&self, scope: &Scope) -> Self {
        let (namespace, name) = match scope {
            Scope::Object(key) => key.split_once('/').unwrap_or(("", key)),
            Scope::Namespace(namespace) => (namespace.as_str(), ""),
            Scope::All | Scope::Field(_) => ("", ""),
        };
        let is_known = |field: &str, value: &str| match field {
            "metadata.name" => !name.is_empty() && value == name,
            "metadata.namespace" => !namespace.is_empty() && value == namespace,
            _ => false,
        };
        let mut rest = self.clone();
        if is_known("metadata.name", &self.name) {
            rest.name = Str::default();
        }
        if is_known("metadata.namespace", &self.namespace) {
            rest.namespace = Str::default();
        }
        let open = |r: &&fields::Requirement| {
            r.operator != fields::Operator::Equals || !is_known(&r.field, &r.value)
        };
        let fields = self.fields.iter().flat_map(|s| s.requirements()).filter(open).cloned().collect();
        rest.fields = Some(fields::Selector::new(fields)).filter(|s| !s.is_everything());
        rest
    }

    /// Whether more than an object's key must be known.
    pub fn looks_inside(&self) -> bool {
        let inside = |field: &str| !matches!(field, "metadata.name" | "metadata.namespace");
        self.labels.is_some()
            || self.fields.as_ref().is_some_and(|s| s.requirements().iter().any(|r| inside(&r.field)))
    }

    /// Whether the object is selected.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.matches_key(entry) && self.matches_head(entry, &entry.head)
    }

    /// Whether an object of this key can be selected.
    pub fn matches_key(&self, entry: &Entry) -> bool {
        (self.name.is_empty() || self.name == entry.name())
            && (self.namespace.is_empty() || self.namespace == entry.namespace())
    }

    /// Whether an object of this head is selected, as far as its key lets it.
    pub fn matches_head(&self, entry: &Entry, head: &Head) -> bool {
        self.labels.as_ref().is_none_or(|s| s.matches(head))
            && self.fields.as_ref().is_none_or(|s| {
                s.matches(|field| match field {
                    "metadata.name" => entry.name(),
                    "metadata.namespace" => entry.namespace(),
                    other => head.field(other),
                })
            })
    }

    /// The value that `field` must have, if the field selector demands one.
    pub fn required_field(&self, field: &str) -> Option<&str> {
        self.fields.as_ref().and_then(|s| s.requires_exact_match(field))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_a_scope_leaves_open() {
        let object = |key: &str| Scope::Object(key.into());
        let namespace = |name: &str| Scope::Namespace(name.into());
        let by_node = || Scope::Field("n1".into());
        // Namespace, name, fields; the scope; what is left of them.
        for (given, scope, left) in [
            (("ns", "a", "metadata.name=a"), object("ns/a"), ("", "", "")),
            (("ns", "a", "metadata.name=a,status.phase=x"), object("ns/a"), ("", "", "status.phase=x")),
            (("ns", "a", "metadata.name!=a"), object("ns/a"), ("", "", "metadata.name!=a")),
            (("ns", "a", "metadata.name=a,metadata.name=b"), object("ns/a"), ("", "", "metadata.name=b")),
            (("ns", "a", "metadata.namespace=other"), object("ns/a"), ("", "", "metadata.namespace=other")),
            (("", "a", "metadata.name=a"), object("a"), ("", "", "")),
            (("ns", "", "metadata.namespace=ns"), namespace("ns"), ("", "", "")),
            (("", "", "spec.nodeName=n1"), by_node(), ("", "", "spec.nodeName=n1")),
            (("ns", "", "spec.nodeName=n1"), by_node(), ("ns", "", "spec.nodeName=n1")),
            (("", "a", "metadata.name=a"), Scope::All, ("", "a", "metadata.name=a")),
        ] {
            let fields = fields::Selector::parse(given.2).unwrap();
            let (namespace, name) = (given.0.into(), given.1.into());
            let selection = Selection { labels: None, fields: Some(fields), namespace, name };
            let rest = selection.within(&scope);
            let fields = rest.fields.as_ref().map(ToString::to_string).unwrap_or_default();
            assert_eq!((&*rest.namespace, &*rest.name, &*fields), left, "{given:?} in {scope:?}");
        }
    }
}
