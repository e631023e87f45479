//! Paths of URLs, as Go's package `path` has them.

/// `path.Join("/", path)`: absolute, without `.`, `..`, empty segments and a slash at its end.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The same, which keeps a slash at its end, and nothing.
pub(crate) fn clean_with_end(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut out = clean(path);
    if path.ends_with('/') && !out.ends_with('/') {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, want, with_end) in [
            ("", "/", ""),
            ("/", "/", "/"),
            ("//x", "/x", "/x"),
            ("/a//b/./c", "/a/b/c", "/a/b/c"),
            ("/a/../../etc/", "/etc", "/etc/"),
            ("/..", "/", "/"),
            ("/a/b/", "/a/b", "/a/b/"),
        ] {
            assert_eq!((clean(path), clean_with_end(path)), (want.into(), with_end.into()), "{path}");
        }
    }
}
