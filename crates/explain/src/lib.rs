//! Descriptions of the built-in types and their fields: what `kubectl explain` and table headers show.
//!
//! The sentences come from the `k8s-openapi` crate at build time; this project holds none of them. The text
//! is one string in the binary, read where it is asked for: what nobody asks for is never loaded.

use std::collections::HashMap;
use std::sync::LazyLock;

static TEXTS: &str = include_str!(concat!(env!("OUT_DIR"), "/texts.txt"));

/// Where each definition begins.
static DEFINITIONS: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let mut at = 0;
    let mut map = HashMap::new();
    for line in TEXTS.split_inclusive('\n') {
        at += line.len();
        if let Some(name) = line.strip_prefix('=') {
            map.insert(name.trim_end(), at);
        }
    }
    map
});

/// The description of a type, by its OpenAPI name (`io.k8s.api.core.v1.Pod`); empty if there is none.
pub fn of_type(definition: &str) -> String {
    lines(definition).next().map(unescape).unwrap_or_default()
}

/// The description of a field by its JSON name; empty if there is none.
pub fn of_field(definition: &str, field: &str) -> String {
    let mut lines = lines(definition).skip(1);
    while let (Some(name), Some(text)) = (lines.next(), lines.next()) {
        match name.strip_prefix('.') {
            Some(name) if name == field => return unescape(text),
            Some(_) => {}
            None => break,
        }
    }
    String::new()
}

fn lines(definition: &str) -> impl Iterator<Item = &'static str> {
    let at = DEFINITIONS.get(definition).copied().unwrap_or(TEXTS.len());
    TEXTS[at..].lines()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_fields() {
        assert!(of_type("io.k8s.api.core.v1.Pod").starts_with("Pod is a collection of containers"));
        let name = of_field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "name");
        assert!(name.starts_with("Name must be unique within a namespace."), "{name}");
        assert_eq!(of_field("io.k8s.api.core.v1.Pod", "nope"), "");
        assert_eq!(of_type("nope"), "");
    }
}
