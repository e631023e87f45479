//! Label selectors of typed objects.

use crate::meta::v1::LabelSelector;
use meta::labels::{Labels, SelectorError};
use std::collections::BTreeMap;
use std::fmt;

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(meta::labels::Selector);

struct Of<'a>(Option<&'a BTreeMap<String, String>>);

impl Labels for Of<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0?.get(key).map(String::as_str)
    }
}

impl Selector {
    /// Of a map of labels, each of which must be there with its value (a Service's `selector`). An empty map
    /// selects everything: whether that is meant is the caller's to know.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Self {
        let tree: value::Map = labels
            .iter()
            .map(|(key, text)| (key.as_str().into(), value::Value::from(text.as_str())))
            .collect();
        Self(meta::labels::Selector::from_set(&value::Value::from(tree)))
    }

    /// Of its text: `app=web,tier in (a,b)`.
    ///
    /// # Errors
    /// If it does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        meta::labels::Selector::parse(text).map(Self)
    }

    /// Whether labels meet all conditions.
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.0.matches(&Of(labels))
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_everything()
    }
}

impl TryFrom<&LabelSelector> for Selector {
    type Error = SelectorError;

    fn try_from(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let tree = serde_json::to_vec(selector).ok().and_then(|json| value::json::parse(&json).ok());
        meta::labels::Selector::from_label_selector(&tree.unwrap_or_default()).map(Self)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::v1::LabelSelectorRequirement;

    #[test]
    fn selectors_of_objects_and_maps() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let map = Selector::from_map(&labels);
        assert!(map.matches(Some(&labels)));
        assert!(!map.matches(None));
        let object = LabelSelector {
            match_labels: Some(labels.clone()),
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "old".into(),
                operator: "DoesNotExist".into(),
                values: None,
            }]),
        };
        let selector = Selector::try_from(&object).expect("a selector");
        assert!(selector.matches(Some(&labels)));
        assert!(Selector::try_from(&LabelSelector::default()).expect("everything").is_everything());
        assert_eq!(selector.to_string(), "app=web,!old");
    }
}
