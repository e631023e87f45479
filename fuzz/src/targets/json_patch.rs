//! JSON patch and merge patch: the input is a document, a line feed, and a patch.

use value::json_patch::JsonPatch;
use value::{Value, json, merge_patch, pointer};

pub(super) const DICTIONARY: &[&str] = &[
    "{\"op\":\"add\",\"path\":\"/a\",\"value\":1}",
    "\"op\":\"remove\"",
    "\"op\":\"replace\"",
    "\"op\":\"move\"",
    "\"op\":\"copy\"",
    "\"op\":\"test\"",
    "\"from\":\"/a\"",
    "\"path\":\"/a/b/0\"",
    "/-",
    "/-1",
    "/0",
    "~1",
    "~0",
    "null",
    ",",
    "[",
    "]",
    "{",
    "}",
    "\n",
];

pub(super) fn run(input: &[u8]) {
    let mut halves = input.splitn(2, |b| *b == b'\n');
    let (Some(document), Some(patch)) = (halves.next(), halves.next()) else { return };
    let Ok(document) = json::parse(document) else { return };
    if let Ok(patch) = json::parse(patch) {
        merge(&document, &patch);
    }
    let decoded = JsonPatch::parse(patch);
    if let Ok(strict) = JsonPatch::parse_strict(patch) {
        assert_eq!(Ok(&strict.patch), decoded.as_ref());
    }
    let Ok(decoded) = decoded else { return };
    if let Ok(patched) = decoded.apply(document, 64 * 1024) {
        assert_eq!(json::parse(&json::to_vec(&patched)), Ok(patched), "a patched document is a document");
    }
}

fn merge(document: &Value, patch: &Value) {
    let Ok(merged) = merge_patch::apply(document.clone(), patch.clone()) else { return };
    assert_eq!(json::parse(&json::to_vec(&merged)).as_ref(), Ok(&merged), "a merged document is a document");
    if document.as_object().is_some() && patch.as_object().is_some() {
        let again = merge_patch::apply(merged.clone(), patch.clone());
        assert_eq!(again, Ok(merged.clone()), "merging twice is merging once");
    }
    for (key, value) in patch.entries().filter(|(_, v)| !v.is_null() && v.as_object().is_none()) {
        let found = pointer::get(&merged, &format!("/{}", pointer::escape(key)));
        assert!(found.is_some_and(|f| f == value || value.as_array().is_some()), "{key} is taken over");
    }
}
