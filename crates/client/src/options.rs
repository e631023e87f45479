//! What requests carry besides objects.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What a value in a query may hold as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Which objects, of which time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListOptions {
    /// A label selector's text.
    pub label_selector: Option<String>,
    /// A field selector's text.
    pub field_selector: Option<String>,
    /// `resourceVersion`: empty is the newest, `0` whatever the server's cache has.
    pub resource_version: Option<String>,
    /// How many at once; a list goes on until all are there.
    pub limit: Option<u32>,
}

impl ListOptions {
    /// Objects whose fields meet a selector: `spec.nodeName=a`.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { field_selector: Some(selector.into()), ..Self::default() }
    }

    /// Objects whose labels meet a selector.
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { label_selector: Some(selector.into()), ..Self::default() }
    }

    pub(crate) fn query(&self, more: &[(&str, &str)]) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let own = [
            ("labelSelector", self.label_selector.as_deref()),
            ("fieldSelector", self.field_selector.as_deref()),
            ("resourceVersion", self.resource_version.as_deref()),
            ("limit", limit.as_deref()),
        ];
        let own = own.into_iter().filter_map(|(name, text)| Some((name, text?)));
        let pairs = own.chain(more.iter().copied());
        pairs
            .map(|(name, text)| format!("{name}={}", utf8_percent_encode(text, QUERY)))
            .collect::<Vec<_>>()
            .join("&")
    }
}

/// Objects of one moment.
#[derive(Clone, Debug)]
pub struct List<K> {
    /// When: what a watch goes on from.
    pub resource_version: String,
    /// The objects.
    pub items: Vec<K>,
}

/// How an object is to change.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// RFC 7396.
    Merge(Value),
    /// With the merge keys of the kind's lists.
    Strategic(Value),
    /// RFC 6902: an array of operations.
    Json(Value),
    /// RFC 7396 too, but carried out here and put back (PUT), for callers whose roles have `update` and not
    /// `patch`, as those of upstream's controllers. Nothing that the caller does not know is lost: it is done
    /// on the object's JSON. `metadata.uid` and `metadata.resourceVersion` are preconditions, as in a patch.
    Update(Value),
    /// Server-side apply.
    Apply {
        /// Who owns what is set.
        manager: String,
        /// Whether to take over what others own.
        force: bool,
        /// The fields that are to be as given.
        object: Value,
    },
}

impl Patch {
    pub(crate) const fn content_type(&self) -> &'static str {
        match self {
            Self::Merge(_) => "application/merge-patch+json",
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Json(_) => "application/json-patch+json",
            Self::Apply { .. } => "application/apply-patch+yaml",
            Self::Update(_) => "application/json",
        }
    }

    pub(crate) const fn body(&self) -> &Value {
        match self {
            Self::Merge(value) | Self::Strategic(value) | Self::Json(value) | Self::Update(value) => value,
            Self::Apply { object, .. } => object,
        }
    }

    pub(crate) fn query(&self) -> String {
        match self {
            Self::Apply { manager, force, .. } => {
                format!("?fieldManager={}&force={force}", utf8_percent_encode(manager, QUERY))
            }
            _ => String::new(),
        }
    }
}

/// Lays a merge patch over a document (RFC 7396 section 2).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, change) in fields {
        if change.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patches_of_the_rfc() {
        let cases = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ];
        for (target, patch, expected) in cases {
            let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            let mut target = parse(target);
            merge(&mut target, &parse(patch));
            assert_eq!(target, parse(expected));
        }
    }

    #[test]
    fn queries_are_escaped() {
        let options = ListOptions { limit: Some(5), ..ListOptions::labels("a in (b,c)") };
        assert_eq!(options.query(&[("watch", "1")]), "labelSelector=a%20in%20%28b%2Cc%29&limit=5&watch=1");
    }
}
