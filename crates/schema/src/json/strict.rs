//! Where the decoder stands, and what strict decoding has found.

use super::cursor::StringToken;
use crate::types::{TypeId, Types};
use std::borrow::Cow;
use std::fmt::Write as _;
use value::{Str, json};

/// How many strict errors are kept, as in `sigs.k8s.io/json`.
const STRICT_ERRORS_MAX: usize = 100;

/// One step of the path to a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// The field with this index of a struct.
    Field(TypeId, u16),
    /// The entry of a map; its key as it is written.
    Key(StringToken<'a>),
    /// The element of a list.
    Index(usize),
}

/// The path to the value that is decoded now.
#[derive(Debug, Default)]
pub(super) struct Path<'a> {
    pub(super) steps: Vec<Step<'a>>,
}

impl Path<'_> {
    /// The path as strict errors print it: `spec.containers[0].name`.
    fn text(&self, types: &Types) -> String {
        let mut out = String::new();
        for step in &self.steps {
            let key = match step {
                Step::Field(ty, i) => {
                    field(types, *ty, *i).map(|f| Str::new_static(f.json)).unwrap_or_default()
                }
                Step::Key(key) => key.decode().unwrap_or_default(),
                Step::Index(i) => {
                    let _ = write!(out, "[{i}]");
                    continue;
                }
            };
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&key);
        }
        out
    }

    /// Go's error for a JSON value (`value` says which) that does not fit its type: names the struct of the
    /// innermost field, and the fields on the way with the Go names of inlined structs.
    pub(super) fn mismatch(&self, types: &Types, value: &str, type_name: &str) -> String {
        let mut innermost = "";
        let mut fields = String::new();
        for step in &self.steps {
            let Step::Field(ty, i) = step else { continue };
            let Some(f) = field(types, *ty, *i) else { continue };
            innermost = types.get(*ty).short_name();
            for part in [f.inlined, f.json] {
                if !part.is_empty() {
                    if !fields.is_empty() {
                        fields.push('.');
                    }
                    fields.push_str(part);
                }
            }
        }
        if fields.is_empty() {
            return format!("json: cannot unmarshal {value} into Go value of type {type_name}");
        }
        format!(
            "json: cannot unmarshal {value} into Go struct field {innermost}.{fields} of type {type_name}"
        )
    }
}

fn field(types: &Types, ty: TypeId, index: u16) -> Option<&crate::Field> {
    types.structure(ty)?.fields.get(usize::from(index))
}

/// Unknown and duplicate fields, in document order.
#[derive(Debug, Default)]
pub(super) struct StrictErrors {
    pub(super) errors: Vec<String>,
}

impl StrictErrors {
    pub(super) fn unknown(&mut self, path: &Path<'_>, types: &Types, name: &str) {
        self.add("unknown", path, types, name);
    }

    pub(super) fn duplicate(&mut self, path: &Path<'_>, types: &Types, name: &str) {
        self.add("duplicate", path, types, name);
    }

    fn add(&mut self, what: &str, path: &Path<'_>, types: &Types, name: &str) {
        if self.errors.len() >= STRICT_ERRORS_MAX {
            return;
        }
        let mut text: Cow<'_, str> = Cow::Borrowed(name);
        if !path.steps.is_empty() {
            text = Cow::Owned(format!("{}.{name}", path.text(types)));
        }
        let error = format!("{what} field {}", json::quote(&text));
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }
}
