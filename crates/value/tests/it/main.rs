//! The fuzz corpora (`fuzz/corpus`), replayed: no input does harm, and what is read is written and read back.

use std::fs;
use std::path::{Path, PathBuf};
use value::json_patch::JsonPatch;
use value::jsonpath::{JsonPath, MissingKeys};
use value::{Value, json, merge_patch, yaml};

/// The files of a corpus; none is a mistake in the project's layout.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a readable corpus").path();
            let input = fs::read(&path).expect("a readable corpus");
            (path, input)
        })
        .collect();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files
}

/// The two parts of an input, at its first line feed.
fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    let at = input.iter().position(|b| *b == b'\n').expect("a corpus file of two parts");
    (&input[..at], &input[at + 1..])
}

#[test]
fn json_reads_back() {
    for (path, input) in corpus("json") {
        let Ok(value) = json::parse(&input) else { continue };
        assert_eq!(json::parse(&json::to_vec(&value)), Ok(value), "{}", path.display());
    }
}

#[test]
fn yaml_reads_back() {
    for (path, input) in corpus("yaml") {
        let Ok(value) = yaml::parse(&input) else { continue };
        let mut out = Vec::new();
        yaml::write(&value, &mut out);
        // As text, for a float may be written without a point and read as an integer.
        let again = yaml::parse_strict(&out).map(|v| json::to_string(&v));
        assert_eq!(again, Ok(json::to_string(&value)), "{}", path.display());
    }
}

#[test]
fn patched_documents_are_documents() {
    for (path, input) in corpus("json-patch") {
        let (document, patch) = halves(&input);
        let document = json::parse(document).unwrap();
        let check = |patched: Value| {
            assert_eq!(json::parse(&json::to_vec(&patched)), Ok(patched), "{}", path.display())
        };
        if let Ok(patch) = json::parse(patch) {
            let _: Result<(), _> = merge_patch::apply(document.clone(), patch).map(check);
        }
        if let Ok(patch) = JsonPatch::parse(patch) {
            let _: Result<(), _> = patch.apply(document, 64 * 1024).map(check);
        }
    }
}

#[test]
fn templates_evaluate() {
    for (path, input) in corpus("jsonpath") {
        let (template, document) = halves(&input);
        let template = JsonPath::parse(std::str::from_utf8(template).unwrap()).unwrap();
        let document = json::parse(document).unwrap();
        match template.find(&document, MissingKeys::Allowed) {
            Ok(found) => assert!(!found.is_empty(), "{}", path.display()),
            Err(error) => assert!(!error.to_string().is_empty(), "{}", path.display()),
        }
    }
}

/// Objects and lists of many members are read, written and changed in linear time: in quadratic time this
/// test would run for hours.
#[test]
fn large_documents() {
    const MEMBERS: usize = 300_000;
    let backwards: Vec<String> = (0..MEMBERS).rev().map(|i| format!("\"k{i:07}\":{i}")).collect();
    let object = format!("{{{}}}", backwards.join(","));
    let mut duplicates = json::Duplicates::new();
    let value = json::parse_with(object.as_bytes(), &mut duplicates).unwrap();
    assert!(duplicates.is_empty());
    assert_eq!(value.as_object().map(value::Map::len), Some(MEMBERS));
    let merged = merge_patch::apply(json::parse(b"{\"a\":1}").unwrap(), value).unwrap();
    assert_eq!(merged.as_object().map(value::Map::len), Some(MEMBERS + 1));
    let same_key = format!("{{{}\"a\":0}}", "\"a\":1,".repeat(MEMBERS));
    json::parse_with(same_key.as_bytes(), &mut duplicates).unwrap();
    assert_eq!(duplicates.iter().count(), 1);
    let list = format!("[{}1]", "[],".repeat(MEMBERS));
    assert_eq!(json::to_vec(&json::parse(list.as_bytes()).unwrap()), list.as_bytes());
}
