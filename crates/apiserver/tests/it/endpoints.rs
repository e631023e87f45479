//! Paths that are no resources, and how answers are sent.

use crate::server::{ISSUER, Server, pki};
use apiserver::api::Options;
use http::{HeaderMap, Method, header};
use http_body_util::BodyExt;
use std::sync::Arc;

const ADMIN: [&str; 2] = ["admin", "system:masters"];

#[tokio::test]
async fn tokens_can_be_verified_by_others() {
    let server = Server::start(Options::default()).await;
    let (code, headers, body) =
        server.call_as(&ADMIN, Method::GET, "/.well-known/openid-configuration", "").await;
    assert_eq!((code, &headers[header::CONTENT_TYPE]), (200, &"application/json".parse().unwrap()));
    assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=3600");
    let document = value::json::parse(&body).unwrap();
    assert_eq!(document.at("issuer").str(), ISSUER);
    assert_eq!(document.at("jwks_uri").str(), "https://10.0.0.1:6443/openid/v1/jwks");
    let (code, headers, body) = server.call_as(&ADMIN, Method::GET, "/openid/v1/jwks", "").await;
    assert_eq!((code, &headers[header::CONTENT_TYPE]), (200, &"application/jwk-set+json".parse().unwrap()));
    assert_eq!(body, pki().service_account_keys().jwks());
    assert_eq!(server.call(Method::POST, "/openid/v1/jwks", "").await.0, 405);
    assert_eq!(server.call_as(&["nobody"], Method::GET, "/openid/v1/jwks", "").await.0, 403);
}

#[tokio::test]
async fn watches_are_counted_while_they_last() {
    let server = Server::start(Options::default()).await;
    let metrics = || async {
        let (_, _, body) = server.call_as(&ADMIN, Method::GET, "/metrics", "").await;
        let text = String::from_utf8(body.to_vec()).unwrap();
        for line in text.lines().filter(|l| l.starts_with("# TYPE ")) {
            let name = line.split(' ').nth(2).unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        }
        let find = |start: &str| text.lines().find(|l| l.starts_with(start)).map(str::to_owned);
        let lasting = "apiserver_longrunning_requests{component=\"apiserver\",group=\"node.k8s.io\"";
        let events = "apiserver_watch_events_total{group=\"node.k8s.io\"";
        let last = |line: Option<String>| line.map(|l| l.rsplit(' ').next().unwrap().to_owned());
        (last(find(lasting)), last(find(events)))
    };
    let class =
        r#"{"apiVersion":"node.k8s.io/v1","kind":"RuntimeClass","metadata":{"name":"a"},"handler":"a"}"#;
    let path = "/apis/node.k8s.io/v1/runtimeclasses";
    assert_eq!(server.call(Method::POST, path, class).await.0, 201);
    let request = http::Request::builder().uri(format!("{path}?watch=1")).body(bytes::Bytes::new()).unwrap();
    let user = Arc::new(auth::UserInfo::new("admin", &["system:masters"]));
    let response = server.api.call(user, request).await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(metrics().await, (Some("1".into()), Some("1".into())));
    drop(body);
    assert_eq!(metrics().await, (Some("0".into()), Some("1".into())));
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_asks() {
    let server = Server::start(Options::default()).await;
    let mut headers = HeaderMap::new();
    let plain = server.get_with("/openapi/v3/apis/apps/v1", headers.clone()).await;
    assert!(!plain.at("paths").is_null());
    headers.insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
    // Compressed bytes are no JSON.
    assert!(server.get_with("/openapi/v3/apis/apps/v1", headers.clone()).await.is_null());
    assert!(!server.get_with("/version", headers).await.is_null());
}
