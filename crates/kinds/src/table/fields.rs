//! Which fields a field selector may name, and how they are read.
//!
//! Upstream: the field label conversion functions in `pkg/apis/*/*/conversion.go` and the `ToSelectableFields`
//! of each strategy.

use value::{Str, Value};

/// One field that a selector may name.
#[derive(Clone, Debug)]
pub struct SelectableField {
    /// As a selector names it, e.g. `spec.nodeName`.
    pub label: Str,
    /// How its value is read from the object in hub form.
    pub read: FieldReader,
}

/// How the value of a selectable field is read.
#[derive(Clone, Debug)]
pub enum FieldReader {
    /// The string, number or boolean at this path; an absent boolean or number shows as its zero, given
    /// here.
    Path(Vec<Str>, Str),
    /// A function.
    Function(fn(&Value) -> Str),
}

/// The selectable fields of a kind.
#[derive(Clone, Debug, Default)]
pub struct SelectableFields {
    /// The fields beyond `metadata.name` and `metadata.namespace`.
    pub fields: Vec<SelectableField>,
    /// Old names that still work: (as written, field meant).
    pub aliases: Vec<(Str, Str)>,
    /// How an unknown field is refused.
    pub error: FieldError,
    /// Whether `metadata.namespace` is refused too (kinds whose own conversion function leaves it out).
    pub no_namespace: bool,
}

/// How an unknown field is refused; the texts are upstream's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FieldError {
    /// Kinds without a conversion function of their own.
    #[default]
    Metadata,
    /// `field label not supported: x`
    Label,
    /// `field label "x" not supported for Job`
    QuotedFor(Str),
    /// `field label not supported for group/version, Kind=K: x`
    For(Str),
}

impl SelectableFields {
    /// The field that `label` means.
    ///
    /// # Errors
    /// The text for a `BadRequest`.
    pub fn resolve<'a>(&'a self, label: &'a str) -> Result<&'a str, String> {
        if label == "metadata.name" || (label == "metadata.namespace" && !self.no_namespace) {
            return Ok(label);
        }
        if let Some((_, meant)) = self.aliases.iter().find(|(a, _)| a == label) {
            return Ok(meant);
        }
        if let Some(f) = self.fields.iter().find(|f| f.label == label) {
            return Ok(&f.label);
        }
        Err(match &self.error {
            FieldError::Metadata => format!(
                "{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ),
            FieldError::Label => format!("field label not supported: {label}"),
            FieldError::QuotedFor(kind) => format!("field label {label:?} not supported for {kind}"),
            FieldError::For(kind) => format!("field label not supported for {kind}: {label}"),
        })
    }

    /// The value of a resolved field in an object in hub form; empty when there is none.
    pub fn read(&self, object: &Value, field: &str) -> Str {
        match field {
            "metadata.name" => object.at("metadata").at("name").str().into(),
            "metadata.namespace" => object.at("metadata").at("namespace").str().into(),
            _ => match self.fields.iter().find(|f| f.label == field) {
                Some(f) => f.read.read(object),
                None => Str::default(),
            },
        }
    }

    /// All fields beyond the metadata with their values, in the order of `fields`.
    pub fn values(&self, object: &Value) -> Vec<(Str, Str)> {
        self.fields.iter().map(|f| (f.label.clone(), f.read.read(object))).collect()
    }
}

impl FieldReader {
    fn read(&self, object: &Value) -> Str {
        match self {
            Self::Function(f) => f(object),
            Self::Path(path, zero) => match path.iter().fold(object, |v, k| v.at(k)) {
                Value::String(s) => s.clone(),
                Value::Number(n) => n.to_string().into(),
                Value::Bool(b) => b.to_string().into(),
                _ => zero.clone(),
            },
        }
    }
}
