//! Secrets are encrypted in the store, and nowhere else.

use crate::server::Server;
use apiserver::api::{Options, StartError};
use apiserver::encryption::Encryption;
use http::Method;
use std::path::Path;
use std::sync::Arc;
use store::Range;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const SECRET: &str = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"c2VjcmV0"}}"#;

fn config(path: &Path, keys: &[(&str, &str)]) {
    let keys = keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: {secret}}}"));
    let keys = keys.collect::<Vec<_>>().join(", ");
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - secretbox: {{keys: [{keys}]}}\n  - identity: {{}}\n"
    );
    std::fs::write(path, text).unwrap();
}

async fn stored(server: &Server, key: &str) -> Vec<u8> {
    let page = server.store.range(Range::key(key.as_bytes())).await.unwrap();
    page.kvs[0].value().to_vec()
}

#[tokio::test]
async fn secrets_are_encrypted_and_keys_rotate() {
    const A: (&str, &str) = ("a", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    const B: (&str, &str) = ("b", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    config(&path, &[A]);
    let encryption = Encryption::from_file(&path).unwrap();
    let options = Options { encryption: Some(encryption.clone()), ..Options::default() };
    let server = Server::start(options).await;
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}}"#;
    assert_eq!(server.call(Method::POST, "/api/v1/namespaces", namespace).await.0, 201);
    assert_eq!(server.call(Method::POST, SECRETS, SECRET).await.0, 201);
    let key = "/registry/secrets/default/s";
    assert!(stored(&server, key).await.starts_with(b"k8s:enc:secretbox:v1:a:"));
    assert!(stored(&server, "/registry/namespaces/default").await.starts_with(b"k8s\0"));
    let item = format!("{SECRETS}/s");
    let (_, first) = server.call(Method::GET, &item, "").await;
    assert_eq!(first.at("data").at("a").str(), "c2VjcmV0");

    // A change of nothing writes nothing, but for the new key.
    let same = value::json::to_vec(&first);
    let same = String::from_utf8(same).unwrap();
    let (_, again) = server.call(Method::PUT, &item, &same).await;
    assert_eq!(again, first);
    config(&path, &[B, A]);
    assert!(encryption.reload().unwrap());
    let (code, rewritten) = server.call(Method::PUT, &item, &same).await;
    assert_eq!(code, 200);
    assert_ne!(rewritten.at("metadata").at("resourceVersion"), first.at("metadata").at("resourceVersion"));
    assert!(stored(&server, key).await.starts_with(b"k8s:enc:secretbox:v1:b:"));
    let same = String::from_utf8(value::json::to_vec(&rewritten)).unwrap();
    assert_eq!(server.call(Method::PUT, &item, &same).await.1, rewritten);

    // Without the key a server does not start, and says which it is.
    let store = server.store.clone();
    drop(server);
    config(&path, &[A]);
    for encryption in [Some(Encryption::from_file(&path).unwrap()), None] {
        let options = Options { encryption, ..Options::default() };
        let error = Server::on(Arc::clone(&store), options).await.err().unwrap();
        assert!(matches!(error, StartError::Undecryptable { .. }));
        let text = error.to_string();
        assert!(text.contains(key) && text.contains("secretbox key \"b\""), "{text}");
    }
    config(&path, &[B]);
    let encryption = Some(Encryption::from_file(&path).unwrap());
    let server = Server::on(store, Options { encryption, ..Options::default() }).await.unwrap();
    assert_eq!(server.call(Method::GET, &item, "").await.1.at("data").at("a").str(), "c2VjcmV0");
}
