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
