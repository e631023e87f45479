//! URLs.
//!
//! Upstream counterparts: apiserver `pkg/cel/library/urls.go`, Go's `net/url`.

use crate::decls::Library;
use crate::eval::Call;
use crate::library::string;
use crate::opaque::Opaque;
use crate::val::{Eval, EvalError, Val};

pub(crate) const LIBRARY: Library = Library {
    since: 0,
    signatures: "
        url string_to_url (string) -> kubernetes.URL
        getScheme url_get_scheme kubernetes.URL.() -> string
        getHost url_get_host kubernetes.URL.() -> string
        getHostname url_get_hostname kubernetes.URL.() -> string
        getPort url_get_port kubernetes.URL.() -> string
        getEscapedPath url_get_escaped_path kubernetes.URL.() -> string
        getQuery url_get_query kubernetes.URL.() -> map(string, list(string))
        isURL is_url_string (string) -> bool
    ",
    runs: &[
        ("url", |c, a| {
            let text = string(c, a, 0)?;
            let failed = |e| EvalError::new(format!("URL parse error during conversion from string: {e}"));
            parse_request_uri(text).map_err(failed)?;
            Url::parse(text).map(|u| Val::opaque(Opaque::Url(u))).map_err(failed)
        }),
        ("isURL", |c, a| Ok(Val::Bool(parse_request_uri(string(c, a, 0)?).is_ok()))),
        ("getScheme", |c, a| Ok(Val::string(url(c, a)?.scheme.as_str()))),
        ("getHost", |c, a| Ok(Val::string(url(c, a)?.host.as_str()))),
        ("getHostname", |c, a| Ok(Val::string(url(c, a)?.split_host().0))),
        ("getPort", |c, a| Ok(Val::string(url(c, a)?.split_host().1))),
        ("getEscapedPath", |c, a| Ok(Val::string(url(c, a)?.path.as_str()))),
        ("getQuery", |c, a| Ok(query(&url(c, a)?.query))),
    ],
};

fn url<'v>(call: &Call, args: &'v [Val<'_>]) -> Eval<&'v Url> {
    match &args[0] {
        Val::Opaque(o) => match &**o {
            Opaque::Url(u) => Ok(u),
            _ => call.no_overload(args),
        },
        _ => call.no_overload(args),
    }
}

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    scheme: String,
    host: String,
    /// Escaped.
    path: String,
    query: String,
}

/// Checks a text as `url.ParseRequestURI` does.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_request_uri(text: &str) -> Result<(), String> {
    parse(text, true).map(|_| ()).map_err(|e| format!("parse {text:?}: {e}"))
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let before_fragment = text.split_once('#').map_or(text, |(u, _)| u);
        let mut url = parse(before_fragment, false).map_err(|e| format!("parse {text:?}: {e}"))?;
        url.text = text.to_owned();
        Ok(url)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Host without brackets, and port.
    fn split_host(&self) -> (&str, &str) {
        let (host, port) = match self.host.rfind(':') {
            Some(i) if self.host[i + 1..].bytes().all(|b| b.is_ascii_digit()) => {
                (&self.host[..i], &self.host[i + 1..])
            }
            _ => (&self.host[..], ""),
        };
        (host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host), port)
    }
}

/// The scheme and what follows it.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' => {
                if i == 0 {
                    return Ok(("", text));
                }
            }
            b':' if i == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..i], &text[i + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn parse(text: &str, via_request: bool) -> Result<Url, String> {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    if text.is_empty() && via_request {
        return Err("empty url".into());
    }
    let empty = || Url {
        text: text.to_owned(),
        scheme: String::new(),
        host: String::new(),
        path: String::new(),
        query: String::new(),
    };
    if text == "*" {
        return Ok(Url { path: "*".into(), ..empty() });
    }
    let (scheme, rest) = scheme(text)?;
    let (mut rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), query: query.to_owned(), ..empty() };
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return Ok(url); // opaque: mailto:x
        }
        if via_request {
            return Err("invalid URI for request".into());
        }
        if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    if (!scheme.is_empty() || !via_request && !rest.starts_with("///")) && rest.starts_with("//") {
        let after = &rest[2..];
        let end = after.find('/').unwrap_or(after.len());
        let (authority, path) = after.split_at(end);
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                check_user(user)?;
                host
            }
            None => authority,
        };
        url.host = parse_host(host)?;
        rest = path;
    }
    unescape(rest, false)?;
    url.path = escape_path(rest);
    Ok(url)
}

fn check_user(user: &str) -> Result<(), String> {
    let valid = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b));
    if valid { unescape(user, false).map(|_| ()) } else { Err("net/url: invalid userinfo".into()) }
}

fn parse_host(host: &str) -> Result<String, String> {
    let port_ok =
        |p: &str| p.is_empty() || p.strip_prefix(':').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
    if host.starts_with('[') {
        let Some(end) = host.rfind(']') else { return Err("missing ']' in host".into()) };
        let port = &host[end + 1..];
        if !port_ok(port) {
            return Err(format!("invalid port {port:?} after host"));
        }
        let inner = &host[1..end];
        let address = inner.split_once("%25").map_or(inner, |(a, _)| a);
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("invalid host: ".to_owned() + &format!("ParseAddr({address:?}): unable to parse IP"));
        }
        return unescape(host, true);
    }
    if let Some(i) = host.find(':')
        && !port_ok(&host[i..])
    {
        return Err(format!("invalid port {:?} after host", &host[i..]));
    }
    unescape(host, true)
}

/// Percent-decodes; in a host also looks for characters that may not be there.
fn unescape(text: &str, host: bool) -> Result<String, String> {
    let b = text.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        if b[i] == b'%' {
            let hex = |j: usize| b.get(j).and_then(|c| (*c as char).to_digit(16));
            let (Some(high), Some(low)) = (hex(i + 1), hex(i + 2)) else {
                let end = (i..=(i + 3).min(b.len())).rev().find(|&e| text.is_char_boundary(e)).unwrap_or(i);
                return Err(format!("invalid URL escape {:?}", &text[i..end]));
            };
            if host && high < 8 && &text[i..i + 3] != "%25" {
                return Err(format!("invalid URL escape {:?}", &text[i..i + 3]));
            }
            out.push((high * 16 + low) as u8);
            i += 3;
            continue;
        }
        if host && b[i] < 0x80 && !b[i].is_ascii_alphanumeric() && !b"-_.~!$&'()*+,;=:[]<>\"".contains(&b[i])
        {
            return Err(format!("invalid character {:?} in host name", (b[i] as char).to_string()));
        }
        out.push(b[i]);
        i += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// `URL.EscapedPath`: the path as written if that is a valid encoding, else encoded.
fn escape_path(raw: &str) -> String {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]/%".contains(&b);
    if raw.bytes().all(fine) {
        return raw.to_owned();
    }
    let mut out = String::with_capacity(raw.len() + 16);
    for b in raw.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%".contains(&b) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// `URL.Query()`: keys with their values in order; malformed pairs are left out.
fn query<'a>(text: &str) -> Val<'a> {
    let mut keys: Vec<(String, Vec<Val<'a>>)> = Vec::new();
    let mut at: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for pair in text.split('&').filter(|p| !p.is_empty() && !p.contains(';')) {
        let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |s: &str| unescape(&s.replace('+', " "), false);
        if let (Ok(k), Ok(v)) = (decode(k), decode(v)) {
            let i = *at.entry(k.clone()).or_insert(keys.len());
            if i == keys.len() {
                keys.push((k, Vec::new()));
            }
            keys[i].1.push(Val::string(v));
        }
    }
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    Val::map(keys.into_iter().map(|(k, v)| (Val::string(k), Val::list(v))))
}
