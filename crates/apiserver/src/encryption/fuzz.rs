//! What fuzzers feed to the reader of configurations and of stored values.

use super::config;
use super::provider::Chain;
use bytes::Bytes;
use std::sync::{Arc, LazyLock};

/// Every cipher, and plain values.
static CHAIN: LazyLock<Arc<Chain>> = LazyLock::new(|| {
    let key =
        |name: &str| format!("[{{name: {name}, secret: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}}]");
    let text = format!(
        "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: [{{resources: \
         [secrets], providers: [{{aesgcm: {{keys: {}}}}}, {{aescbc: {{keys: {}}}}}, {{secretbox: {{keys: {}}}}}, \
         {{identity: {{}}}}]}}]}}",
        key("a"),
        key("b"),
        key("c")
    );
    config::parse(text.as_bytes()).expect("a configuration").chain("", "secrets")
});

/// A stored value. What is plain stays; of an encrypted one never more comes out than is in it.
pub(crate) fn stored(data: &[u8]) {
    let stored = Bytes::copy_from_slice(data);
    match CHAIN.open("/registry/secrets/a/b", &stored) {
        Ok(opened) if data.starts_with(b"k8s:enc:") => assert!(opened.plain.len() < data.len()),
        Ok(opened) => assert!(opened.plain == stored),
        Err(why) => assert!(data.starts_with(b"k8s:enc:") && why.len() <= 6 * data.len() + 1_000),
    }
    // What is sealed opens, and not after a change.
    let sealed = CHAIN.seal("/registry/secrets/a/b", stored.clone()).expect("a key is there");
    let opened = CHAIN.open("/registry/secrets/a/b", &sealed);
    assert!(opened.is_ok_and(|opened| opened.plain == stored && !opened.stale));
    assert!(CHAIN.open("/registry/secrets/a/c", &sealed).is_err(), "it is of its key");
    let mut changed = sealed.to_vec();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    assert!(CHAIN.open("/registry/secrets/a/b", &changed.into()).is_err());
}

/// A configuration. One that is taken seals what it opens again.
pub(crate) fn configuration(data: &[u8]) {
    let Ok(rules) = config::parse(data) else { return };
    for (group, resource) in [("", "secrets"), ("apps", "deployments"), ("a", "b")] {
        let chain = rules.chain(group, resource);
        let plain = Bytes::from_static(b"{}");
        let sealed = chain.seal("k", plain.clone()).expect("keys of a good size");
        assert!(chain.open("k", &sealed).is_ok_and(|opened| opened.plain == plain && !opened.stale));
    }
}
