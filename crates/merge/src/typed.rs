//! Walks of trees along their types: validation, field sets, comparison, merge, removal.
//!
//! Upstream: structured-merge-diff `typed/`. The walks that follow a validation rely on it and take odd
//! values leniently, as upstream's do.

mod compare;
mod error;
mod item;
mod merge;
mod reconcile;
mod remove;
mod to_set;
mod validate;

pub use compare::{Comparison, compare};
pub use error::{ValidationError, ValidationErrors};
pub use merge::merge;
pub use reconcile::reconcile;
pub use remove::{extract_items, remove_items};
pub use to_set::to_field_set;
pub(crate) use validate::go_value;
pub use validate::{Duplicates, validate, validate_decoded};

use crate::types::{Atom, ListType, MapType, Scalar};
use value::Value;

/// The form in which a walk treats a value.
#[derive(Clone, Copy)]
enum Form<'a> {
    Map(&'a MapType),
    Scalar(Scalar),
    List(&'a ListType),
    /// The type admits nothing: it is opaque.
    None,
}

/// Which of an atom's forms a value has; `Any` if it has none of them (null, or an invalid value).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrowed {
    Any,
    Scalar,
    List,
    Map,
}

fn narrow(atom: &Atom, value: &Value) -> Narrowed {
    match value {
        Value::Null => Narrowed::Any,
        Value::Bool(_) | Value::Number(_) | Value::String(_) if atom.scalar.is_some() => Narrowed::Scalar,
        Value::Array(_) if atom.list.is_some() => Narrowed::List,
        Value::Object(_) if atom.map.is_some() => Narrowed::Map,
        _ => Narrowed::Any,
    }
}

impl Atom {
    /// The form to treat a value in, once its form is narrowed: the first that there is.
    fn form(&self, narrowed: Narrowed) -> Form<'_> {
        match narrowed {
            Narrowed::Scalar => self.scalar.map_or(Form::None, Form::Scalar),
            Narrowed::List => self.list.as_ref().map_or(Form::None, Form::List),
            Narrowed::Map => self.map.as_ref().map_or(Form::None, Form::Map),
            Narrowed::Any => match (&self.map, self.scalar, &self.list) {
                (Some(map), _, _) => Form::Map(map),
                (None, Some(scalar), _) => Form::Scalar(scalar),
                (None, None, Some(list)) => Form::List(list),
                (None, None, None) => Form::None,
            },
        }
    }

    fn form_of(&self, value: &Value) -> Form<'_> {
        self.form(narrow(self, value))
    }
}

#[cfg(test)]
mod tests;
