//! Labels and what selects by them, in a form that can be compared, hashed and matched without allocation:
//! many pods share a set of labels, and a class of pods (`pod::Class`) is found by its hash.

use api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use api::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// A set of labels, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Of an object's metadata.
    pub fn new(labels: Option<&BTreeMap<String, String>>) -> Self {
        let pairs = labels.into_iter().flatten();
        Self(pairs.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        match self.0.len() {
            // A scan of few beats the jumps of a search.
            0..=8 => self.0.iter().find(|(k, _)| **k == *key).map(|(_, value)| &**value),
            _ => self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|at| &*self.0[at].1),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of pairs, for tests and tools.
impl<const N: usize> From<[(&str, &str); N]> for Labels {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let mut pairs = pairs.map(|(key, value)| (key.into(), value.into()));
        pairs.sort();
        Self(pairs.into())
    }
}

/// What a requirement asks of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

/// One condition: `k8s.io/apimachinery/pkg/labels/selector.go`, `Requirement`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
    values: Box<[Box<str>]>,
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.lists(value)),
            Operator::NotIn => value.is_none_or(|value| !self.lists(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => self.numbers(value).is_some_and(|(value, bound)| value > bound),
            Operator::Lt => self.numbers(value).is_some_and(|(value, bound)| value < bound),
        }
    }

    fn lists(&self, value: &str) -> bool {
        self.values.iter().any(|listed| **listed == *value)
    }

    fn numbers(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

/// Conditions all of which must hold; `None` inside: it selects nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector(Option<Box<[Requirement]>>);

impl Selector {
    /// Selects nothing.
    pub const NOTHING: Self = Self(None);

    /// Of an API object's selector: absent selects nothing, empty selects everything
    /// (`metav1.LabelSelectorAsSelector`). What the API server would not have let in selects nothing.
    pub fn new(selector: Option<&LabelSelector>) -> Self {
        let Some(selector) = selector else { return Self::NOTHING };
        let labels = selector.match_labels.iter().flatten().map(|(key, value)| is(key, value));
        let mut requirements: Vec<Requirement> = labels.collect();
        for expression in selector.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => return Self::NOTHING,
            };
            requirements.push(requirement(&expression.key, operator, expression.values.as_deref()));
        }
        Self::all(requirements)
    }

    /// Of a map, each label of which must be there with its value.
    pub fn from_map<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        Self::all(labels.into_iter().map(|(key, value)| is(key, value)).collect())
    }

    fn all(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort();
        requirements.dedup();
        Self(Some(requirements.into()))
    }

    /// With labels that must be there too. What selects nothing still does.
    pub fn and_labels<'a>(self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let Some(requirements) = self.0 else { return Self::NOTHING };
        let mut requirements = requirements.into_vec();
        requirements.extend(labels.into_iter().map(|(key, value)| is(key, value)));
        Self::all(requirements)
    }

    /// What both select.
    pub fn and(self, other: Self) -> Self {
        let (Some(ours), Some(theirs)) = (self.0, other.0) else { return Self::NOTHING };
        let mut requirements = ours.into_vec();
        requirements.extend(theirs);
        Self::all(requirements)
    }

    /// Whether labels meet all conditions.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.as_deref().is_some_and(|all| all.iter().all(|requirement| requirement.matches(labels)))
    }

    /// Whether it has no condition and so selects everything. Upstream's `Selector.Empty()`.
    pub fn is_everything(&self) -> bool {
        self.0.as_deref().is_some_and(<[_]>::is_empty)
    }

    /// Whether it can select nothing.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }
}

fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: key.into(), operator: Operator::In, values: [value.into()].into() }
}

fn requirement(key: &str, operator: Operator, values: Option<&[String]>) -> Requirement {
    let mut values: Vec<Box<str>> =
        values.unwrap_or_default().iter().map(|value| value.as_str().into()).collect();
    values.sort();
    Requirement { key: key.into(), operator, values: values.into() }
}

/// One term of a node selector: conditions on labels and on the node's name, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NodeTerm {
    labels: Box<[Requirement]>,
    /// Names that it must have (`In`), and must not (`NotIn`).
    names: Box<[(Operator, Box<str>)]>,
}

/// Terms any of which must hold: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`. A term without
/// conditions, or one that the API server would not have let in, matches no node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSelector {
    terms: Box<[NodeTerm]>,
    /// The only nodes that can match, if every term names some.
    names: Option<Box<[Box<str>]>>,
}

impl NodeSelector {
    /// Of its terms.
    pub fn new(terms: &[NodeSelectorTerm]) -> Self {
        Self { terms: terms.iter().filter_map(node_term).collect(), names: named_nodes(terms) }
    }

    /// Whether a node matches.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.terms.iter().any(|term| {
            term.labels.iter().all(|requirement| requirement.matches(labels))
                && term
                    .names
                    .iter()
                    .all(|(operator, named)| (**named == *name) == (*operator == Operator::In))
        })
    }

    /// The only nodes that can match, if every term names some with `metadata.name`.
    pub fn names(&self) -> Option<&[Box<str>]> {
        self.names.as_deref()
    }
}

fn node_term(term: &NodeSelectorTerm) -> Option<NodeTerm> {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return None;
    }
    Some(NodeTerm {
        labels: expressions.iter().map(node_requirement).collect::<Option<_>>()?,
        names: fields.iter().map(name_requirement).collect::<Option<_>>()?,
    })
}

fn node_requirement(expression: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match expression.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::Gt,
        "Lt" => Operator::Lt,
        _ => return None,
    };
    Some(requirement(&expression.key, operator, expression.values.as_deref()))
}

fn name_requirement(field: &NodeSelectorRequirement) -> Option<(Operator, Box<str>)> {
    let operator = match field.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        _ => return None,
    };
    match field.values.as_deref() {
        Some([value]) if field.key == NAME_FIELD => Some((operator, value.as_str().into())),
        _ => None,
    }
}

/// The only field of nodes that terms can ask for.
const NAME_FIELD: &str = "metadata.name";

/// The nodes named by all terms, if every term names some: then only they need be looked at
/// (`nodeaffinity.PreFilter`). Within a term all conditions must hold, so sets are intersected.
fn named_nodes(terms: &[NodeSelectorTerm]) -> Option<Box<[Box<str>]>> {
    let mut all: Vec<Box<str>> = Vec::new();
    for term in terms {
        let mut named: Option<Vec<&String>> = None;
        for field in term.match_fields.iter().flatten() {
            if field.key == NAME_FIELD && field.operator == "In" {
                let values = field.values.as_deref().unwrap_or_default();
                named = Some(match named {
                    None => values.iter().collect(),
                    Some(before) => before.into_iter().filter(|name| values.contains(name)).collect(),
                });
            }
        }
        all.extend(named?.into_iter().map(|name| name.as_str().into()));
    }
    all.sort();
    all.dedup();
    (!terms.is_empty()).then(|| all.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn selector(value: Value) -> Selector {
        Selector::new(Some(&serde_json::from_value(value).unwrap()))
    }

    #[test]
    fn selectors() {
        let labels = Labels::from([("app", "web"), ("tier", "back")]);
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        for (value, matches) in [
            (json!({}), true),
            (json!({"matchLabels": {"app": "web"}}), true),
            (json!({"matchLabels": {"app": "db"}}), false),
            (json!({"matchLabels": {"none": ""}}), false),
            (expression("In", &["front", "back"]), true),
            (expression("NotIn", &["front"]), true),
            (expression("NotIn", &["back"]), false),
            (expression("Exists", &[]), true),
            (expression("DoesNotExist", &[]), false),
            (expression("Unknown", &[]), false),
        ] {
            assert_eq!(selector(value.clone()).matches(&labels), matches, "{value}");
        }
        assert!(!Selector::new(None).matches(&labels));
        assert!(selector(json!({})).is_everything());
        let both = selector(json!({"matchLabels": {"app": "web"}})).and_labels([("tier", "front")]);
        assert!(!both.matches(&labels));
    }

    #[test]
    fn node_selectors() {
        let labels = Labels::from([("cpus", "8"), ("zone", "a")]);
        let term = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let name = |operator: &str, values: &[&str]| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": values}]});
        // Cases of upstream's nodeaffinity_test.go.
        for (terms, matches, names) in [
            (json!([]), false, None),
            (json!([{}]), false, None),
            (json!([term("zone", "In", &["a", "b"])]), true, None),
            (json!([term("zone", "In", &["b"]), term("cpus", "Gt", &["4"])]), true, None),
            (json!([term("cpus", "Lt", &["4"])]), false, None),
            (json!([term("zone", "Gt", &["4"])]), false, None),
            (json!([name("In", &["n1"])]), true, Some(vec!["n1"])),
            (json!([name("NotIn", &["n1"])]), false, None),
            (json!([name("In", &["n2"]), term("zone", "In", &["a"])]), true, None),
            (json!([name("In", &["n2"]), name("In", &["n1"])]), true, Some(vec!["n1", "n2"])),
            (json!([term("zone", "Sideways", &[])]), false, None),
        ] {
            let parsed: Vec<NodeSelectorTerm> = serde_json::from_value(terms.clone()).unwrap();
            let selector = NodeSelector::new(&parsed);
            assert_eq!(selector.matches("n1", &labels), matches, "{terms}");
            let named = selector.names().map(|names| names.iter().map(|name| &**name).collect::<Vec<_>>());
            assert_eq!(named, names, "{terms}");
        }
    }
}
