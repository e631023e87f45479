//! What fuzzers feed to the readers of credentials.

use super::{FrontProxy, bootstrap, front_proxy, token};
use crate::Lookup;
use http::HeaderMap;
use pki::ClientAuthorities;
use std::sync::{Arc, LazyLock};
use value::{Value, json};

/// `abcdef.0123456789abcdef`, for ever.
static SECRET: LazyLock<Arc<Value>> = LazyLock::new(|| {
    let text = br#"{"type":"bootstrap.kubernetes.io/token","data":{"token-id":"YWJjZGVm",
        "token-secret":"MDEyMzQ1Njc4OWFiY2RlZg==","usage-bootstrap-authentication":"dHJ1ZQ=="}}"#;
    Arc::new(json::parse(text).expect("a secret"))
});

struct Secrets;

impl Lookup for Secrets {
    fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        assert_eq!((resource, namespace), ("secrets", "kube-system"));
        Some(SECRET.clone()).filter(|_| name == "bootstrap-token-abcdef")
    }
}

static PROXY: LazyLock<FrontProxy> =
    LazyLock::new(|| FrontProxy::standard(ClientAuthorities::new(&[]).expect("no authority is bad")));

pub(crate) fn headers(headers: &HeaderMap) {
    if let Some(token) = token::bearer(headers) {
        assert!(!token.is_empty() && !token.contains(' '));
        let user = bootstrap::authenticate(token, &Secrets, 0);
        assert_eq!(user.is_some(), token == "abcdef.0123456789abcdef");
    }
    if let Ok(Some((token, others))) = token::websocket(headers) {
        assert!(!token.is_empty() && !others.is_empty());
        let mut headers = headers.clone();
        token::set_protocols(&mut headers, &others);
        assert!(matches!(token::websocket(&headers), Ok(None)), "the token goes no further");
    }
    let mut left = headers.clone();
    if let Some(user) = PROXY.user(&left) {
        assert!(!user.name.is_empty() && user.groups.iter().all(|group| !group.is_empty()));
        front_proxy::strip(&mut left, Some(&PROXY));
        assert!(PROXY.user(&left).is_none(), "nothing is left of it");
    }
    front_proxy::strip(&mut left, None);
    assert!(left.keys().all(|name| !name.as_str().starts_with("x-remote-extra-")));
}
