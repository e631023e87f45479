//! JSONPath: the input is a template, a line feed, and a document.

use value::json;
use value::jsonpath::{JsonPath, MissingKeys, print};

pub(super) const DICTIONARY: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "[*]",
    "[0]",
    "[-1]",
    "[1:]",
    "[::2]",
    "[0,1]",
    "['a']",
    "[?(@.a==",
    ")]",
    "[?(@.a)]",
    "..",
    ".a",
    ".*",
    "{range .a[*]}",
    "{end}",
    "@",
    "$",
    "'",
    "\"",
    "\\",
    "\\.",
    "<",
    "!=",
    ">=",
    "true",
    "1",
    "1.5",
    "+",
    "-",
    " ",
    "\n",
];

pub(super) fn run(input: &[u8]) {
    let mut halves = input.splitn(2, |b| *b == b'\n');
    let (Some(template), Some(document)) = (halves.next(), halves.next()) else { return };
    let Ok(template) = std::str::from_utf8(template) else { return };
    let Ok(path) = JsonPath::parse(template) else { return };
    let Ok(document) = json::parse(document) else { return };
    let strict = path.find(&document, MissingKeys::Errors);
    let lenient = path.find(&document, MissingKeys::Allowed);
    // A filter passes over the errors within it, as upstream's does.
    if let (false, Ok(strict), Ok(lenient)) = (template.contains('?'), &strict, &lenient) {
        assert_eq!(strict, lenient, "without an error there was nothing to be lenient about");
    }
    let mut out = String::new();
    for found in lenient.into_iter().flatten() {
        print(&found, &mut out);
    }
}
