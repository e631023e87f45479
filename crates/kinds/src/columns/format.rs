//! How single cells are written.

use meta::time::{Time, human_duration};
use value::Value;

/// `<none>` for nothing.
pub(super) fn none(text: &str) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

/// The object's name.
pub(super) fn name(object: &Value) -> Value {
    object.at("metadata").at("name").str().into()
}

/// The object's age.
pub(super) fn age(object: &Value, now: Time) -> Value {
    since(object.at("metadata").at("creationTimestamp"), now).into()
}

/// The time since a timestamp; `<unknown>` for none.
pub(super) fn since(time: &Value, now: Time) -> String {
    match Time::parse_micro(time.str()).or_else(|_| Time::parse(time.str())) {
        Ok(time) if !time.is_zero() => human_duration(now.since(time)),
        _ => "<unknown>".into(),
    }
}

/// A count.
pub(super) fn number(n: usize) -> Value {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}

/// How many entries a map has.
pub(super) fn count(map: &Value) -> Value {
    number(map.entries().count())
}

/// The first three of a list, and how many more there are.
pub(super) fn first_three(list: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    if list.len() > SHOWN { format!("{shown} + {} more...", list.len() - SHOWN) } else { shown }
}

/// Names and images of the containers of a pod spec.
pub(super) fn containers(spec: &Value) -> [Value; 2] {
    let join = |field: &str| {
        spec.at("containers").items().iter().map(|c| c.at(field).str()).collect::<Vec<_>>().join(",").into()
    };
    [join("name"), join("image")]
}

/// A label selector as people read it.
pub(super) fn selector(selector: &Value) -> Value {
    meta::labels::format_label_selector(selector).into()
}

/// A set of labels as people read it.
pub(super) fn labels(labels: &Value) -> Value {
    meta::labels::format_labels(labels).into()
}

/// Sorted, each once.
pub(super) fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list.dedup();
    list
}
