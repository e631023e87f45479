//! What fuzzers feed to the readers of options, names and pages.

use super::location;
use super::log::Options;
use super::rewrite::Rewriter;
use crate::query::Query;

/// The query of `kubectl logs`: what the kubelet is told means the same.
pub(crate) fn log_options(text: &str) {
    let Ok(options) = Options::read(&Query::parse(Some(text))) else { return };
    if !options.validate().is_empty() {
        return;
    }
    let query = options.query();
    let again = Options::read(&Query::parse(Some(&query))).map(|options| options.query());
    assert_eq!(again.ok().as_ref(), Some(&query));
    if let Some((_, name, port)) = location::split(text) {
        assert!(!name.is_empty() && !name.contains(':') && !port.contains(':'));
    }
}

/// A page that comes through the proxy: rewritten twice is rewritten once, and what is no link stays.
pub(crate) fn page(data: &[u8]) {
    let prefix = "/api/v1/namespaces/a/pods/b/proxy";
    let rewriter =
        Rewriter::new(&format!("{prefix}/x"), "/x", "10.0.0.1:80".to_owned(), "api.example".to_owned());
    let page = rewriter.page(data);
    assert!(page.len() <= data.len() * (prefix.len() + 6));
    if !data.contains(&b'<') {
        assert_eq!(page, data);
    }
    if let Ok(url) = std::str::from_utf8(data) {
        let outside = rewriter.url(url);
        assert_eq!(rewriter.url(&outside), outside, "rewritten once for all");
    }
}
