//! Field names that are no CEL identifiers.
//!
//! Upstream counterpart: apiserver `pkg/cel/escaping.go`.

use std::borrow::Cow;

use value::Str;

/// Words that cannot be field names in an expression.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Whether `name` is a word of the language.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

const SYMBOLS: [(&str, &str); 4] =
    [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];

/// The identifier that stands for the property `name` in expressions; `None` if there is none.
pub fn escape(name: &str) -> Option<Str> {
    let mut chars = name.bytes();
    let first = chars.next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if first.is_ascii_digit() {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__").into());
    }
    if !name.bytes().all(|b| plain(b) || matches!(b, b'.' | b'-' | b'/')) {
        return None;
    }
    if name.bytes().all(plain) && !name.contains("__") {
        return Some(name.into());
    }
    let mut out = String::with_capacity(name.len() + 16);
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let (text, n) = match c {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            _ => (&rest[..1], 1),
        };
        out.push_str(text);
        rest = &rest[n..];
    }
    Some(out.into())
}

/// The property an identifier stands for; `None` if it is no escaped name.
pub fn unescape(ident: &str) -> Option<Cow<'_, str>> {
    if !ident.contains("__") {
        return Some(Cow::Borrowed(ident));
    }
    if let Some(word) = ident.strip_prefix("__").and_then(|w| w.strip_suffix("__"))
        && RESERVED.contains(&word)
    {
        return Some(Cow::Borrowed(word));
    }
    let mut out = String::with_capacity(ident.len());
    let mut rest = ident;
    while let Some(i) = rest.find("__") {
        out.push_str(&rest[..i]);
        rest = &rest[i..];
        let inner = rest[2..].find('_').unwrap_or(rest.len() - 2);
        let closed = inner > 0 && rest[2 + inner..].starts_with("__");
        if !closed {
            out.push('_');
            rest = &rest[1..];
            continue;
        }
        let symbol = &rest[..inner + 4];
        let (_, text) = SYMBOLS.iter().find(|(s, _)| *s == symbol)?;
        out.push_str(text);
        rest = &rest[symbol.len()..];
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}
