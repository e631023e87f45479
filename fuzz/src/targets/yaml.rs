//! YAML: no input does harm, strict is stricter, and what is written reads back the same.

use value::{Number, Value, yaml};

pub(super) const DICTIONARY: &[&str] = &[
    "a: ",
    "- ",
    "\n",
    "\n  ",
    ": ",
    "? ",
    "|\n",
    ">-\n",
    "|2+\n",
    "'",
    "\"",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!!int ",
    "!!binary ",
    "! ",
    "!x ",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "%TAG ! tag:x,1:\n",
    "\\x41",
    "\\u263a",
    "yes",
    "~",
    "0x1f",
    "0o7",
    "1_0",
    ".inf",
    "1e3",
    "2001-01-01",
    "\t",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
];

pub(super) fn run(input: &[u8]) {
    let parsed = yaml::parse(input);
    let strict = yaml::parse_strict(input);
    if let Ok(strict) = &strict {
        assert_eq!(parsed.as_ref(), Ok(strict), "strict only refuses more");
    }
    if input.starts_with(b"{") {
        // Behind a comment the scanner reads it, whatever it is.
        let scanned = yaml::parse(&[b"#\n", input].concat());
        assert_eq!(parsed.as_ref().ok(), scanned.as_ref().ok(), "compact JSON is YAML");
    }
    let Ok(value) = parsed else { return };
    let mut out = Vec::new();
    yaml::write(&value, &mut out);
    if out.windows(2).any(|w| w == b"<<") {
        // Upstream writes a key `<<` plainly and then reads a merge.
        return;
    }
    let again = yaml::parse_strict(&out);
    let same = again.as_ref().is_ok_and(|again| same(again, &value));
    assert!(same, "{value:?} is written as\n{}\nand read as {again:?}", String::from_utf8_lossy(&out));
}

/// Numbers keep their value, not their sort: `1e3` is written `1000`.
fn same(a: &Value, b: &Value) -> bool {
    let float = |n: &Number| n.as_f64();
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || float(a) == float(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        _ => a == b,
    }
}
