//! Groups, versions, kinds and resources, as `k8s.io/apimachinery/pkg/runtime/schema`.

use std::fmt;
use value::Str;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($field:ident),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            $(#[doc = concat!("The ", stringify!($field), "; may be empty.")] pub $field: Str,)+
        }

        impl $name {
            /// From its parts.
            pub fn new($($field: impl Into<Str>),+) -> Self {
                Self { $($field: $field.into()),+ }
            }

            /// Whether all parts are empty.
            pub fn is_empty(&self) -> bool {
                $(self.$field.is_empty())&&+
            }
        }
    };
}

names! {
    /// A group and a version: the `apiVersion` of an object.
    GroupVersion { group, version }
}
names! {
    /// A kind in whatever version.
    GroupKind { group, kind }
}
names! {
    /// A resource in whatever version.
    GroupResource { group, resource }
}
names! {
    /// A kind.
    GroupVersionKind { group, version, kind }
}
names! {
    /// A resource.
    GroupVersionResource { group, version, resource }
}

/// A string that is no `apiVersion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseGroupVersionError(String);

impl fmt::Display for ParseGroupVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unexpected GroupVersion string: {}", self.0)
    }
}

impl std::error::Error for ParseGroupVersionError {}

impl GroupVersion {
    /// Reads `v1` or `apps/v1`; an empty string and `/` are the empty group and version.
    ///
    /// # Errors
    /// With more than one slash.
    pub fn parse(text: &str) -> Result<Self, ParseGroupVersionError> {
        if text.is_empty() || text == "/" {
            return Ok(Self::default());
        }
        match text.split_once('/') {
            None => Ok(Self::new("", text)),
            Some((group, version)) if !version.contains('/') => Ok(Self::new(group, version)),
            Some(_) => Err(ParseGroupVersionError(text.to_owned())),
        }
    }

    /// The kind of this name here.
    pub fn with_kind(&self, kind: impl Into<Str>) -> GroupVersionKind {
        GroupVersionKind { group: self.group.clone(), version: self.version.clone(), kind: kind.into() }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.version)
        } else {
            write!(f, "{}/{}", self.group, self.version)
        }
    }
}

/// `name.group` split at the first dot; without a dot the group is empty.
fn split_group(text: &str) -> (&str, &str) {
    text.split_once('.').unwrap_or((text, ""))
}

/// `name.version.group` split at the first two dots.
fn split_version_group(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('.')?;
    let (version, group) = rest.split_once('.')?;
    Some((name, version, group))
}

impl GroupKind {
    /// Reads `Kind.group`.
    pub fn parse(text: &str) -> Self {
        let (kind, group) = split_group(text);
        Self::new(group, kind)
    }

    /// This kind in a version.
    pub fn with_version(&self, version: impl Into<Str>) -> GroupVersionKind {
        GroupVersionKind { group: self.group.clone(), version: version.into(), kind: self.kind.clone() }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

impl GroupResource {
    /// Reads `resource.group`.
    pub fn parse(text: &str) -> Self {
        let (resource, group) = split_group(text);
        Self::new(group, resource)
    }

    /// This resource in a version.
    pub fn with_version(&self, version: impl Into<Str>) -> GroupVersionResource {
        GroupVersionResource {
            group: self.group.clone(),
            version: version.into(),
            resource: self.resource.clone(),
        }
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

impl GroupVersionKind {
    /// From an object's `apiVersion` and `kind`; a malformed `apiVersion` counts as empty.
    pub fn from_api_version(api_version: &str, kind: &str) -> Self {
        GroupVersion::parse(api_version).unwrap_or_default().with_kind(kind)
    }

    /// Reads `Kind.version.group`.
    pub fn parse(text: &str) -> Option<Self> {
        split_version_group(text).map(|(kind, version, group)| Self::new(group, version, kind))
    }

    /// The group and version.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion { group: self.group.clone(), version: self.version.clone() }
    }

    /// The group and kind.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

impl GroupVersionResource {
    /// Reads `resource.version.group`.
    pub fn parse(text: &str) -> Option<Self> {
        split_version_group(text).map(|(resource, version, group)| Self::new(group, version, resource))
    }

    /// The group and version.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion { group: self.group.clone(), version: self.version.clone() }
    }

    /// The group and resource.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.resource.clone() }
    }
}

impl fmt::Display for GroupVersionResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Resource={}", self.group, self.version, self.resource)
    }
}
