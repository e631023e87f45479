//! Media types with their parameters, as Go's `mime.ParseMediaType` takes them (RFC 2045, RFC 2616).

/// The media type in lower case, without its parameters; `None` if Go finds fault with it or with them.
pub(crate) fn parse(header: &str) -> Option<String> {
    let (media, _) = header.split_once(';').unwrap_or((header, ""));
    let mut rest = &header[media.len()..];
    let media = media.trim().to_ascii_lowercase();
    let (kind, subtype) = media.split_once('/').unwrap_or((&media, "x"));
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.trim() == ";" {
            return Some(media);
        }
        let (name, value, behind) = parameter(rest)?;
        if seen.iter().any(|(other, held)| *other == name && *held != value) {
            return None;
        }
        seen.push((name, value));
        rest = behind;
    }
}

/// `; name=value`, and what is behind.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let text = text.strip_prefix(';')?.trim_start();
    let (name, text) = token(text)?;
    let text = text.trim_start().strip_prefix('=')?.trim_start();
    let (value, behind) = match text.strip_prefix('"') {
        Some(quoted) => quoted_string(quoted)?,
        None => token(text).map(|(value, behind)| (value.to_owned(), behind))?,
    };
    Some((name.to_ascii_lowercase(), value, behind))
}

fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c| !is_token_char(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What stands before the closing quote; a backslash takes the next character as it is.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\r' | '\n' => return None,
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            _ => value.push(c),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_takes_them() {
        let json = Some("application/json");
        for (header, want) in [
            ("application/json", json),
            ("APPLICATION/JSON", json),
            (" application/json ; q=1", json),
            ("application/json;", json),
            ("application/json; charset=utf-8", json),
            (r#"application/json; charset="utf-8""#, json),
            (r#"application/json; a="x\"; b" ; c=d"#, json),
            ("application/json; a=b; a=b", json),
            ("text", Some("text")),
            ("application/json;;", None),
            ("application/json;foo", None),
            ("application/json; charset=", None),
            ("application/json; a=b; a=c", None),
            ("application/json;foo=bar baz", None),
            (r#"application/json;foo="bar"#, None),
            ("application/json,text/plain", None),
            ("application/json/x", None),
            ("/json", None),
            ("", None),
        ] {
            assert_eq!(parse(header).as_deref(), want, "{header:?}");
        }
    }
}
