//! URLs as Go's `net/url.Parse` takes them apart, with its error texts.

use meta::quote::quote;

/// The parts of a URL that webhooks care for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    /// User information as written; `None` if there is no `@`.
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) query: String,
    pub(crate) fragment: String,
}

/// Takes a URL apart.
///
/// # Errors
/// Go's text: `parse "x": reason`.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    parts(text).map_err(|e| format!("parse {}: {e}", quote(text)))
}

fn parts(text: &str) -> Result<Url, String> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    if rest.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    if rest == "*" {
        return Ok(Url::default());
    }
    let (scheme, rest) = scheme(rest)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), query: query.into(), ..Url::default() };
    let mut path = rest;
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            // An opaque part, which has no host.
            path = "";
        } else if rest.split('/').next().is_some_and(|s| s.contains(':')) {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    let has_authority = rest.starts_with("//") && (!url.scheme.is_empty() || !rest.starts_with("///"));
    if has_authority {
        let rest = &rest[2..];
        let (authority, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        path = tail;
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                if !user.bytes().all(is_user_byte) {
                    return Err("net/url: invalid userinfo".into());
                }
                check_escapes(user)?;
                url.user = Some(user.into());
                host
            }
            None => authority,
        };
        url.host = check_host(host)?;
    }
    check_escapes(path)?;
    check_escapes(fragment)?;
    url.fragment = fragment.into();
    Ok(url)
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (i, c) in text.bytes().enumerate() {
        match c {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if i > 0 => {}
            b':' if i == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..i], &text[i + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn is_user_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b)
}

fn check_host(host: &str) -> Result<String, String> {
    let port = if host.starts_with('[') {
        let Some(end) = host.rfind(']') else { return Err("missing ']' in host".into()) };
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |i| &host[i..])
    };
    let valid = port.is_empty() || (port.starts_with(':') && port[1..].bytes().all(|b| b.is_ascii_digit()));
    if !valid {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    if let Some(i) = host.find('%') {
        let escape: String = host[i..].chars().take(3).collect();
        return Err(format!("invalid URL escape {}", quote(&escape)));
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || b >= 0x80 || b"-_.~!$&'()*+,;=:[]<>\"".contains(&b);
    match host.chars().find(|c| !c.is_ascii() || !known(*c as u8)).filter(char::is_ascii) {
        Some(c) => Err(format!("invalid character {} in host name", quote(&c.to_string()))),
        None => Ok(host.into()),
    }
}

fn check_escapes(text: &str) -> Result<(), String> {
    for (i, _) in text.match_indices('%') {
        let escape: String = text[i..].chars().take(3).collect();
        if escape.len() != 3 || !escape[1..].bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("invalid URL escape {}", quote(&escape)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn parts() {
        let u = parse("https://u:p@h.example:8443/p?q=1#f").expect("valid");
        assert_eq!(
            (u.scheme.as_str(), u.user.as_deref(), u.host.as_str(), u.query.as_str(), u.fragment.as_str()),
            ("https", Some("u:p"), "h.example:8443", "q=1", "f")
        );
    }

    #[test]
    fn errors() {
        let check = |text: &str, want: &str| assert_eq!(parse(text).unwrap_err(), want);
        check(":x", "parse \":x\": missing protocol scheme");
        check("https://h:x/", "parse \"https://h:x/\": invalid port \":x\" after host");
        check("https://h/%zz", "parse \"https://h/%zz\": invalid URL escape \"%zz\"");
        check("a b:c", "parse \"a b:c\": first path segment in URL cannot contain colon");
        check("https://a b/", "parse \"https://a b/\": invalid character \" \" in host name");
    }
}
