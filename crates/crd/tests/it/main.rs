//! Tables of what schemas, values, rules and definitions give.

mod definitions;
mod hostile;
mod objects;

use value::{Value, json};

/// A tree from JSON text.
fn tree(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("the test's JSON is valid")
}

/// Errors, a line each.
fn lines(errors: &[meta::field::Error]) -> String {
    errors.iter().map(|e| format!("{e}\n")).collect()
}
