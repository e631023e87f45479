//! PEM blocks, as Go's `encoding/pem` finds them.

use base64::Engine as _;

/// A block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) kind: String,
    pub(crate) has_headers: bool,
    pub(crate) bytes: Vec<u8>,
}

/// The first block of `text`, and what follows it.
pub(super) fn decode(text: &str) -> Option<(Block, &str)> {
    let mut rest = text;
    loop {
        let start = if rest.starts_with("-----BEGIN ") { 0 } else { rest.find("\n-----BEGIN ")? + 1 };
        rest = &rest[start + "-----BEGIN ".len()..];
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let Some(kind) = line.trim_end().strip_suffix("-----") else { continue };
        let end = format!("-----END {kind}-----");
        let Some(at) = after.find(&end) else { continue };
        let (inner, tail) = (&after[..at], &after[at + end.len()..]);
        let (headers, body) = split_headers(inner);
        let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(digits) else {
            rest = after;
            continue;
        };
        let tail = tail.split_once('\n').map_or("", |(_, t)| t);
        return Some((Block { kind: kind.to_owned(), has_headers: headers, bytes }, tail));
    }
}

fn split_headers(inner: &str) -> (bool, &str) {
    let mut rest = inner;
    let mut found = false;
    while let Some((line, after)) = rest.split_once('\n') {
        if !line.contains(':') {
            break;
        }
        found = true;
        rest = after;
    }
    (found, rest)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn blocks() {
        let text = "junk\n-----BEGIN A-----\nAAEC\n-----END A-----\n-----BEGIN B-----\nh: v\n\nAw==\n-----END B-----";
        let (a, rest) = decode(text).expect("a block");
        assert_eq!((a.kind.as_str(), a.has_headers, a.bytes.as_slice()), ("A", false, &[0, 1, 2][..]));
        let (b, rest) = decode(rest).expect("another block");
        assert_eq!((b.kind.as_str(), b.has_headers, b.bytes.as_slice()), ("B", true, &[3][..]));
        assert_eq!(decode(rest), None);
        assert_eq!(decode("-----BEGIN A-----\n"), None);
    }
}
