//! Field selectors, as `k8s.io/apimachinery/pkg/fields`: `metadata.name=x,status.phase!=Running`.

use std::fmt;
use value::Str;

/// Why a field selector is none, as upstream says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorError(String);

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SelectorError {}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The field has the value.
    Equals,
    /// The field has another value.
    NotEquals,
}

/// One condition on one field. A field that an object does not have is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The field's name, such as `metadata.name`.
    pub field: Str,
    /// How it compares.
    pub operator: Operator,
    /// What it compares with.
    pub value: Str,
}

impl Requirement {
    /// Whether a field of this value meets it.
    pub fn matches(&self, value: &str) -> bool {
        (self.value == value) == (self.operator == Operator::Equals)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.operator == Operator::Equals { "=" } else { "!=" };
        write!(f, "{}{sign}{}", self.field, escape(&self.value))
    }
}

/// Conditions on fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    /// Matches all.
    pub const fn everything() -> Self {
        Self { requirements: Vec::new() }
    }

    /// Of requirements.
    pub const fn new(requirements: Vec<Requirement>) -> Self {
        Self { requirements }
    }

    /// Matches what has `value` in `field`.
    pub fn one(field: impl Into<Str>, value: impl Into<Str>) -> Self {
        let requirement =
            Requirement { field: field.into(), operator: Operator::Equals, value: value.into() };
        Self { requirements: vec![requirement] }
    }

    /// Reads the string form, as in the query `fieldSelector`. Terms come out sorted.
    ///
    /// # Errors
    /// If a term has no operator or a value is not escaped right.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::with_capacity(terms.len());
        for term in terms.into_iter().filter(|t| !t.is_empty()) {
            let Some((field, operator, value)) = split_term(term) else {
                return Err(SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'")));
            };
            let value = Str::from(unescape(value)?);
            // Upstream drops a bare operator as it would a requirement transformed to nothing.
            if !(field.is_empty() && value.is_empty()) {
                requirements.push(Requirement { field: field.into(), operator, value });
            }
        }
        Ok(Self { requirements })
    }

    /// With every field and value replaced by what `change` makes of them, or refused by it: how a kind says
    /// which fields can be selected. A pair of empty strings drops the requirement.
    ///
    /// # Errors
    /// The first of `change`.
    pub fn transform<E>(
        self,
        mut change: impl FnMut(&str, &str) -> Result<(Str, Str), E>,
    ) -> Result<Self, E> {
        let mut requirements = Vec::with_capacity(self.requirements.len());
        for Requirement { field, operator, value } in self.requirements {
            let (field, value) = change(&field, &value)?;
            if !(field.is_empty() && value.is_empty()) {
                requirements.push(Requirement { field, operator, value });
            }
        }
        Ok(Self { requirements })
    }

    /// The requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches everything.
    pub const fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object meets all requirements; `get` gives the value of a field, empty if it has none.
    pub fn matches<'v>(&self, get: impl Fn(&str) -> &'v str) -> bool {
        self.requirements.iter().all(|r| r.matches(get(&r.field)))
    }

    /// The value that `field` must have, if it must have one.
    pub fn requires_exact_match(&self, field: &str) -> Option<&str> {
        let exact = |r: &&Requirement| r.field == field && r.operator == Operator::Equals;
        self.requirements.iter().find(exact).map(|r| r.value.as_str())
    }
}

/// The string form, which parses to the same selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

/// A value with `\`, `,` and `=` escaped.
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The value that [`escape`] wrote.
///
/// # Errors
/// If something else is escaped, or `,` or `=` is not.
pub fn unescape(text: &str) -> Result<String, SelectorError> {
    let bad = |sequence: &str| {
        SelectorError(format!("invalid field selector: invalid escape sequence: {sequence}"))
    };
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(bad(&format!("\\{c}"))),
                None => return Err(bad("\\")),
            },
            // Upstream prints the number of the character.
            ',' | '=' => {
                let code = u32::from(c);
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {code}"
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The parts between commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c: char| {
        let ends = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
    .collect()
}

fn split_term(term: &str) -> Option<(&str, Operator, &str)> {
    let bytes = term.as_bytes();
    let at = (0..bytes.len()).find(|&i| bytes[i] == b'=' || bytes[i..].starts_with(b"!="))?;
    let (field, rest) = term.split_at(at);
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((field, Operator::NotEquals, value));
    }
    let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
    Some((field, Operator::Equals, value))
}
