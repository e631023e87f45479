//! Links in pages and redirects that come through a proxy: those to the backend itself lead through the
//! proxy again.
//!
//! Upstream: `k8s.io/apimachinery/pkg/util/proxy/transport.go`.

/// Which attributes of which elements hold URLs (`atomsToAttrs`).
const LINKS: [(&str, &[&str]); 18] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("link", &["href"]),
    ("script", &["src"]),
];
/// The same, rare ones.
const MORE_LINKS: [(&str, &[&str]); 6] = [
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("ins", &["cite"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];
/// Elements whose contents are text whatever they look like.
const RAW: [&str; 9] =
    ["iframe", "noembed", "noframes", "noscript", "script", "style", "textarea", "title", "xmp"];

/// Rewrites what leads to one backend.
#[derive(Debug)]
pub(super) struct Rewriter {
    /// What stands before the backend's own paths.
    prefix: String,
    backend: String,
    host: String,
}

impl Rewriter {
    /// For a request of `full` path that goes to `path` of `backend`; the client knows this server as `host`.
    pub(super) fn new(full: &str, path: &str, backend: String, host: String) -> Self {
        let slash = if full.ends_with('/') && !path.ends_with('/') { "/" } else { "" };
        let suffix = format!("{path}{slash}");
        let prefix = full.strip_suffix(suffix.as_str()).unwrap_or(full).to_owned();
        Self { prefix, backend, host }
    }

    /// A path of the backend as it is seen from outside.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}/{}", self.prefix.trim_end_matches('/'), path.trim_start_matches('/'))
    }

    /// A URL as it is seen from outside.
    pub(super) fn url(&self, url: &str) -> String {
        let (before, rest) = match url.find(['/', '?', '#', ':']) {
            Some(at) if url.as_bytes()[at] == b':' => url.split_at(at + 1),
            _ => ("", url),
        };
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None if before.is_empty() => ("", rest),
            // mailto: and its like.
            None => return url.to_owned(),
        };
        let is_elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if is_elsewhere || !path.starts_with('/') {
            return url.to_owned();
        }
        let origin =
            if !host.is_empty() && host == self.host { format!("{before}//{host}") } else { String::new() };
        if path.starts_with(&self.prefix) {
            return format!("{origin}{path}");
        }
        format!("{origin}{}", self.join(path))
    }

    /// A page with its links rewritten; what is not understood stays as it is.
    pub(super) fn page(&self, page: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(page.len() + page.len() / 16);
        let mut rest = page;
        while let Some(at) = rest.iter().position(|b| *b == b'<') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let (tag, behind) = rest.split_at(tag_length(rest));
            rest = behind;
            let Some(name) = tag_name(tag) else {
                out.extend_from_slice(tag);
                continue;
            };
            match LINKS.iter().chain(&MORE_LINKS).find(|(element, _)| *element == name) {
                Some((_, attributes)) => self.tag(tag, name.len(), attributes, &mut out),
                None => out.extend_from_slice(tag),
            }
            if RAW.contains(&name.as_str()) {
                let (text, behind) = rest.split_at(raw_length(rest, &name));
                out.extend_from_slice(text);
                rest = behind;
            }
        }
        out.extend_from_slice(rest);
        out
    }

    /// Writes a start tag with its URLs rewritten.
    fn tag(&self, tag: &[u8], name_length: usize, attributes: &[&str], out: &mut Vec<u8>) {
        let mut at = 1 + name_length;
        out.extend_from_slice(&tag[..at]);
        while at < tag.len() {
            let begin = at;
            while at < tag.len() && (tag[at].is_ascii_whitespace() || matches!(tag[at], b'/' | b'>')) {
                at += 1;
            }
            let key = at;
            while at < tag.len() && !(tag[at].is_ascii_whitespace() || matches!(tag[at], b'/' | b'>' | b'='))
            {
                at += 1;
            }
            let name = String::from_utf8_lossy(&tag[key..at]).to_ascii_lowercase();
            while at < tag.len() && tag[at].is_ascii_whitespace() {
                at += 1;
            }
            if at == begin || tag.get(at) != Some(&b'=') {
                // A stray `=` is passed over, so that each round goes on.
                at = at.max(begin + 1).min(tag.len());
                out.extend_from_slice(&tag[begin..at]);
                continue;
            }
            at += 1;
            while at < tag.len() && tag[at].is_ascii_whitespace() {
                at += 1;
            }
            let quote = tag.get(at).copied().filter(|b| matches!(b, b'"' | b'\''));
            let value = at + usize::from(quote.is_some());
            let length = tag[value.min(tag.len())..].iter().position(|b| match quote {
                Some(quote) => *b == quote,
                None => b.is_ascii_whitespace() || *b == b'>',
            });
            let end = length.map_or(tag.len(), |n| value + n);
            out.extend_from_slice(&tag[begin..value.min(tag.len())]);
            let text = &tag[value.min(end)..end];
            match std::str::from_utf8(text) {
                Ok(url) if attributes.contains(&name.as_str()) => {
                    out.extend_from_slice(escape(&self.url(&unescape(url))).as_bytes());
                }
                _ => out.extend_from_slice(text),
            }
            at = end;
            if quote.is_some() && at < tag.len() {
                out.push(tag[at]);
                at += 1;
            }
        }
    }
}

/// How long the tag, comment or lone `<` is that `rest` begins with.
fn tag_length(rest: &[u8]) -> usize {
    if rest.starts_with(b"<!--") {
        return find(rest, b"-->").map_or(rest.len(), |at| at + 3);
    }
    if !rest.get(1).is_some_and(u8::is_ascii_alphabetic) {
        return 1;
    }
    let mut quote = None;
    for (i, b) in rest.iter().enumerate() {
        match (quote, b) {
            (None, b'>') => return i + 1,
            // A quote only begins a value.
            (None, b'"' | b'\'') if rest[..i].trim_ascii_end().ends_with(b"=") => quote = Some(*b),
            (Some(q), b) if q == *b => quote = None,
            _ => {}
        }
    }
    rest.len()
}

fn tag_name(tag: &[u8]) -> Option<String> {
    let name: Vec<u8> = tag.get(1..)?.iter().copied().take_while(u8::is_ascii_alphanumeric).collect();
    Some(String::from_utf8(name).ok()?.to_ascii_lowercase()).filter(|n| !n.is_empty())
}

/// How long the text is that ends with the end tag of `name`.
fn raw_length(rest: &[u8], name: &str) -> usize {
    let end = format!("</{name}");
    let is_end = |w: &[u8]| w.eq_ignore_ascii_case(end.as_bytes());
    rest.windows(end.len()).position(is_end).unwrap_or(rest.len())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// The entities that occur in URLs.
const ENTITIES: [(&str, &str); 5] =
    [("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">")];

fn unescape(text: &str) -> String {
    let text = ENTITIES.iter().fold(text.to_owned(), |text, (entity, c)| text.replace(entity, c));
    text.replace("&amp;", "&")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewriter() -> Rewriter {
        Rewriter::new("/api/v1/nodes/n/proxy/a/b", "/a/b", "10.0.0.1:80".into(), "server:6443".into())
    }

    #[test]
    fn urls() {
        for (url, want) in [
            ("/x", "/api/v1/nodes/n/proxy/x"),
            ("/x/?q=1#f", "/api/v1/nodes/n/proxy/x/?q=1#f"),
            ("x/y", "x/y"),
            ("?q", "?q"),
            ("http://10.0.0.1:80/x", "/api/v1/nodes/n/proxy/x"),
            ("//10.0.0.1:80/x", "/api/v1/nodes/n/proxy/x"),
            ("https://server:6443/x", "https://server:6443/api/v1/nodes/n/proxy/x"),
            ("https://elsewhere/x", "https://elsewhere/x"),
            ("/api/v1/nodes/n/proxy/x", "/api/v1/nodes/n/proxy/x"),
            ("mailto:a@b", "mailto:a@b"),
            ("", ""),
        ] {
            assert_eq!(rewriter().url(url), want, "{url}");
        }
        assert_eq!(rewriter().join("/a/b"), "/api/v1/nodes/n/proxy/a/b");
        let root = Rewriter::new("/api/v1/nodes/n/proxy/", "/", String::new(), String::new());
        assert_eq!(root.url("/x"), "/api/v1/nodes/n/proxy/x");
    }

    #[test]
    fn pages() {
        for (page, want) in [
            (r#"<a href="/rewriteme">test</a>"#, r#"<a href="/api/v1/nodes/n/proxy/rewriteme">test</a>"#),
            ("<A class=x HREF=/y>t</A>", "<A class=x HREF=/api/v1/nodes/n/proxy/y>t</A>"),
            (
                "<img alt='a > b' src='/i?a=1&amp;b'/>",
                "<img alt='a > b' src='/api/v1/nodes/n/proxy/i?a=1&amp;b'/>",
            ),
            (r#"<!-- <a href="/x"> -->"#, r#"<!-- <a href="/x"> -->"#),
            (r#"<script>"<a href='/x'>"</script><p>"#, r#"<script>"<a href='/x'>"</script><p>"#),
            (r#"<p title="/x">1 < 2 <"#, r#"<p title="/x">1 < 2 <"#),
            ("<a = href", "<a = href"),
            ("<a href=\"/unended", "<a href=\"/api/v1/nodes/n/proxy/unended"),
            ("<a href=", "<a href="),
            ("<link rel=x href=\"http://other/y\">", "<link rel=x href=\"http://other/y\">"),
        ] {
            assert_eq!(String::from_utf8_lossy(&rewriter().page(page.as_bytes())), want, "{page}");
        }
    }

    #[test]
    fn anything_is_a_page() {
        let bytes = b"<a href='\"/>=< -->!x\xff";
        for i in 0..20_000_u32 {
            let page: Vec<u8> = (0..8)
                .map(|n| bytes[(i.wrapping_mul(2_654_435_761) >> (n * 4)) as usize % bytes.len()])
                .collect();
            rewriter().page(&page);
        }
    }
}
