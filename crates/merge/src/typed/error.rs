//! What is wrong with a value, with texts as structured-merge-diff gives them.

use std::fmt;

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError {
    /// The field, e.g. `.spec.ports[0]`; empty for the root.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// How many errors are collected; upstream collects all.
const ERRORS_MAX: usize = 1_000;
/// How many bytes one step of a path may add to the texts of all errors below it; some errors are left out
/// where it would be more. Without this, errors below a long key take memory by the square of the object.
const PREFIX_BYTES_MAX: usize = 256 << 10;

/// All that is wrong with a value; empty if nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationErrors(pub Vec<ValidationError>);

impl ValidationErrors {
    pub(super) fn one(message: impl Into<String>) -> Self {
        Self(vec![ValidationError { path: String::new(), message: message.into() }])
    }

    pub(super) fn push(&mut self, message: impl Into<String>) {
        self.0.push(ValidationError { path: String::new(), message: message.into() });
    }

    /// Whether enough is wrong to stop looking.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= ERRORS_MAX
    }

    /// Takes over errors from below `prefix`.
    pub(super) fn extend_below(&mut self, prefix: impl fmt::Display, errors: Self) {
        if errors.0.is_empty() {
            return;
        }
        let before = self.0.len();
        self.0.extend(errors.0);
        self.put_below(before, &prefix.to_string());
    }

    /// The errors from `first` on were found below `prefix`.
    pub(super) fn put_below(&mut self, first: usize, prefix: &str) {
        let fit = (PREFIX_BYTES_MAX / prefix.len().max(1)).max(1);
        self.0.truncate(first + fit);
        for e in self.0.iter_mut().skip(first) {
            e.path.insert_str(0, prefix);
        }
    }

    /// As a result: an error if there is anything wrong.
    ///
    /// # Errors
    /// These errors.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ValidationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        f.write_str("errors:")?;
        self.0.iter().try_for_each(|e| write!(f, "\n  {e}"))
    }
}
