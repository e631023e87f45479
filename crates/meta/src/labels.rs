//! Labels and label selectors, as `k8s.io/apimachinery/pkg/labels`.
//!
//! A [`Selector`] comes from a string ([`Selector::parse`]: `app=web,tier in (a,b),!legacy`) or from an
//! object's `LabelSelector` ([`Selector::from_label_selector`]); its requirements are sorted by key.

use crate::field::{self, Error, ErrorList, Path};
use crate::names;
use std::collections::BTreeMap;
use std::fmt;
use value::{Map, Str, Value};

mod parse;
/// A label selector as Go prints it: labels in the order of their names, and key, operator and values of each
/// expression.
///
/// Upstream: `String` of `apimachinery/pkg/apis/meta/v1/generated.pb.go`.
pub fn go_selector<'a>(
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    expressions: impl Iterator<Item = (&'a str, &'a str, Vec<&'a str>)>,
) -> String {
    let labels: String = labels.map(|(name, value)| format!("{name}: {value},")).collect();
    let expressions: String = expressions
        .map(|(key, operator, values)| {
            let values = values.join(" ");
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests;
mod validate;

pub use validate::{
    LabelSelectorOptions, conflict, label_selector_has_invalid_value, validate_field_selector_requirement,
    validate_label_name, validate_label_selector, validate_labels,
};

/// Something that labels can be looked up in.
pub trait Labels {
    /// The value of label `key`.
    fn get(&self, key: &str) -> Option<&str>;
}

impl Labels for Map {
    fn get(&self, key: &str) -> Option<&str> {
        Self::get(self, key).map(Value::str)
    }
}

/// An object's `metadata.labels`; null has none.
impl Labels for Value {
    fn get(&self, key: &str) -> Option<&str> {
        Self::get(self, key).map(Self::str)
    }
}

impl<K: Ord + std::borrow::Borrow<str>, V: AsRef<str>> Labels for BTreeMap<K, V> {
    fn get(&self, key: &str) -> Option<&str> {
        Self::get(self, key).map(AsRef::as_ref)
    }
}

/// Pairs in any order; of pairs with the same key the first counts.
impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> Labels for [(K, V); N] {
    fn get(&self, key: &str) -> Option<&str> {
        Labels::get(self.as_slice(), key)
    }
}

impl<T: Labels + ?Sized> Labels for &T {
    fn get(&self, key: &str) -> Option<&str> {
        (**self).get(key)
    }
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label has the value; written `=`.
    Equals,
    /// The label has the value; written `==`.
    DoubleEquals,
    /// The label is absent or has another value.
    NotEquals,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is a greater integer.
    GreaterThan,
    /// The label is a smaller integer.
    LessThan,
}

impl Operator {
    /// Upstream's word (`selection.Operator`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::NotIn => "notin",
            Self::Equals => "=",
            Self::DoubleEquals => "==",
            Self::NotEquals => "!=",
            Self::Exists => "exists",
            Self::DoesNotExist => "!",
            Self::GreaterThan => "gt",
            Self::LessThan => "lt",
        }
    }

    /// The operator of a `LabelSelectorRequirement`.
    fn of_api(word: &str) -> Option<Self> {
        Some(match word {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            _ => return None,
        })
    }
}

/// Why a selector is no selector, as upstream says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorError(pub(crate) String);

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SelectorError {}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: Str,
    operator: Operator,
    values: Vec<Str>,
}

impl Requirement {
    /// Makes and checks a requirement. `path` is where it stands ([`Path::ROOT`] if nowhere).
    ///
    /// # Errors
    /// If the key, the number of values or a value is not valid; all faults at once.
    pub fn new(
        path: &Path<'_>,
        key: impl Into<Str>,
        operator: Operator,
        values: Vec<Str>,
    ) -> Result<Self, SelectorError> {
        let requirement = Self { key: key.into(), operator, values };
        match field::to_aggregate(&requirement.errors(path)) {
            None => Ok(requirement),
            Some(text) => Err(SelectorError(text)),
        }
    }

    fn errors(&self, path: &Path<'_>) -> ErrorList {
        let values_path = path.child("values");
        let count_fault = match self.operator {
            Operator::In | Operator::NotIn if self.values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if self.values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !self.values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if self.values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        let mut errors = ErrorList::new();
        errors.extend(key_error(&self.key, &path.child("key")));
        // Go has a nil slice where there are none.
        let shown = || match self.values.as_slice() {
            [] => Value::Null,
            values => Value::from(values.to_vec()),
        };
        errors.extend(count_fault.map(|text| Error::invalid(&values_path, shown(), text)));
        if matches!(self.operator, Operator::GreaterThan | Operator::LessThan) {
            for (i, value) in self.values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(Error::invalid(&values_path.index(i), value.clone(), text));
            }
        }
        for (i, value) in self.values.iter().enumerate() {
            let faults = names::label_value(value);
            if !faults.is_empty() {
                let path = values_path.index(i);
                errors.push(Error::invalid(&path.key(&self.key), value.clone(), faults.join("; ")));
            }
        }
        errors
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it compares.
    pub const fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with.
    pub fn values(&self) -> &[Str] {
        &self.values
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|v| v == value)
    }

    /// Whether labels meet it.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(|v| self.has(v)),
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|v| !self.has(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.integers(value).is_some_and(|(label, bound)| label > bound),
            Operator::LessThan => self.integers(value).is_some_and(|(label, bound)| label < bound),
        }
    }

    fn integers(&self, value: Option<&str>) -> Option<(i64, i64)> {
        let [bound] = self.values.as_slice() else { return None };
        Some((value?.parse().ok()?, bound.parse().ok()?))
    }
}

fn key_error(key: &str, path: &Path<'_>) -> Option<Error> {
    let faults = names::qualified_name(key);
    (!faults.is_empty()).then(|| Error::invalid(path, key, faults.join("; ")))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let (before, after) = match self.operator {
            Operator::Exists => return write!(f, "{key}"),
            Operator::DoesNotExist => return write!(f, "!{key}"),
            Operator::Equals => ("=", ""),
            Operator::DoubleEquals => ("==", ""),
            Operator::NotEquals => ("!=", ""),
            Operator::In => (" in (", ")"),
            Operator::NotIn => (" notin (", ")"),
            Operator::GreaterThan => (">", ""),
            Operator::LessThan => ("<", ""),
        };
        let mut values: Vec<&str> = self.values.iter().map(Str::as_str).collect();
        values.sort_unstable();
        write!(f, "{key}{before}{}{after}", values.join(","))
    }
}

/// Conditions on labels, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `None` matches nothing.
    requirements: Option<Vec<Requirement>>,
}

/// Matches everything.
impl Default for Selector {
    fn default() -> Self {
        Self::everything()
    }
}

impl Selector {
    /// Matches all.
    pub const fn everything() -> Self {
        Self { requirements: Some(Vec::new()) }
    }

    /// Matches none.
    pub const fn nothing() -> Self {
        Self { requirements: None }
    }

    /// Of requirements in any order.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key)); // stable: same keys stay in written order
        Self { requirements: Some(requirements) }
    }

    /// Reads the string form, as in the query `labelSelector`.
    ///
    /// # Errors
    /// If it does not follow the grammar, or a key or value is not valid.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Self::parse_at(&Path::ROOT, text)
    }

    /// [`Self::parse`] of a string that stands at `path`, which some of the errors name.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_at(path: &Path<'_>, text: &str) -> Result<Self, SelectorError> {
        parse::requirements(path, text).map(Self::new)
    }

    /// Of a `LabelSelector`: null matches nothing, an empty one everything.
    ///
    /// # Errors
    /// If an operator is unknown, or a key or value is not valid.
    pub fn from_label_selector(selector: &Value) -> Result<Self, SelectorError> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let root = &Path::ROOT;
        let mut requirements = Vec::new();
        for (key, value) in selector.at("matchLabels").entries() {
            let values = vec![Str::from(value.str())];
            requirements.push(Requirement::new(root, key.clone(), Operator::Equals, values)?);
        }
        for expression in selector.at("matchExpressions").items() {
            let word = expression.at("operator").str();
            let operator = Operator::of_api(word).ok_or_else(|| {
                SelectorError(format!(
                    "{} is not a valid label selector operator",
                    crate::quote::Quoted(word)
                ))
            })?;
            let values = expression.at("values").items().iter().map(|v| Str::from(v.str())).collect();
            requirements.push(Requirement::new(root, expression.at("key").str(), operator, values)?);
        }
        Ok(Self::new(requirements))
    }

    /// Of a map of labels, each of which must be there with its value (a Service's `selector`). Not checked.
    pub fn from_set(labels: &Value) -> Self {
        let equals = |(key, value): (&Str, &Value)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.str().into()],
        };
        Self::new(labels.entries().map(equals).collect())
    }

    /// With requirements more; what matches nothing still does.
    #[must_use]
    pub fn with(self, more: impl IntoIterator<Item = Requirement>) -> Self {
        match self.requirements {
            None => self,
            Some(mut all) => {
                all.extend(more);
                Self::new(all)
            }
        }
    }

    /// The requirements in order of their keys; `None` if it matches nothing.
    pub fn requirements(&self) -> Option<&[Requirement]> {
        self.requirements.as_deref()
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether it matches nothing whatever the labels.
    pub const fn is_nothing(&self) -> bool {
        self.requirements.is_none()
    }

    /// Whether labels meet all requirements.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        self.requirements.as_ref().is_some_and(|all| all.iter().all(|r| r.matches(labels)))
    }

    /// The one value that label `key` must have, if its first requirement says so.
    pub fn requires_exact_match(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.as_ref()?.iter().find(|r| r.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }
}

/// The canonical string form, which parses to the same selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().flatten().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

/// A map of labels as tables print it: `a=1,b=2`, or `<none>`.
pub fn format_labels(labels: &Value) -> String {
    let mut pairs: Vec<String> = labels.entries().map(|(k, v)| format!("{k}={}", v.str())).collect();
    if pairs.is_empty() {
        return "<none>".to_owned();
    }
    pairs.sort_unstable();
    pairs.join(",")
}

/// A `LabelSelector` as tables print it: its string form, `<none>` if empty, `<error>` if not valid.
pub fn format_label_selector(selector: &Value) -> String {
    match Selector::from_label_selector(selector) {
        Err(_) => "<error>".to_owned(),
        Ok(selector) => {
            let text = selector.to_string();
            if text.is_empty() { "<none>".to_owned() } else { text }
        }
    }
}
