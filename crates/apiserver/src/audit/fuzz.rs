//! What fuzzers feed to the reader of policies and to the walker over objects.

use super::policy::Policy;
use super::text;
use crate::request::RequestInfo;
use http::Method;
use value::json;

/// A policy: each request has its decision, the same each time.
pub(crate) fn policy(data: &[u8]) {
    let Ok(policy) = Policy::parse(data) else { return };
    for path in ["/api/v1/namespaces/a/pods/b/log", "/apis/apps/v1/deployments", "/healthz", ""] {
        let info = RequestInfo::parse(&Method::GET, path, false, None);
        assert_eq!(policy.evaluate(None, &info, path), policy.evaluate(None, &info, path));
    }
}

/// An object: without white space it is the same, without managed fields it is an object still.
pub(crate) fn object(data: &[u8]) {
    let (compact, stripped) = (text::compact(data, false), text::compact(data, true));
    assert!(compact.len() <= data.len() && stripped.len() <= compact.len());
    let Ok(tree) = json::parse(data) else { return };
    assert_eq!(json::parse(&compact).as_ref(), Ok(&tree));
    let mut left = json::parse(&stripped).expect("an object still");
    assert!(
        left.at("metadata").get("managedFields").is_none() || !data.is_ascii() || left.as_object().is_none()
    );
    let mut whole = tree;
    for tree in [&mut left, &mut whole] {
        if let Some(metadata) = tree.object_at("metadata") {
            metadata.remove("managedFields");
        }
    }
    if !data.windows(13).any(|window| window == b"managedFields") {
        assert_eq!(left, whole, "nothing else is left out");
    }
}
