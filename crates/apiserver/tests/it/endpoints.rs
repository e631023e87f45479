//! Paths that are no resources, and how answers are sent.

use crate::answers::started;
use crate::server::{ISSUER, Server, pki, until};
use apiserver::api::Options;
use expect_test::expect;
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

/// The headers of an answer that are about its content, with the length that is told and that which is.
async fn sent(server: &Server, method: Method, path: &str, header: Option<(&str, &str)>) -> String {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let user = Arc::new(auth::UserInfo::new("admin", &["system:masters"]));
    let response = server.api.call(user, request.body(bytes::Bytes::new()).unwrap()).await;
    let (parts, body) = response.into_parts();
    let mut out = parts.status.as_u16().to_string();
    for name in [
        "accept-ranges",
        "content-range",
        "content-type",
        "expires",
        "last-modified",
        "vary",
        "x-content-type-options",
    ] {
        for value in parts.headers.get_all(name) {
            let value = value.to_str().unwrap();
            // Of dates, that they are there.
            let value = if value.ends_with(" GMT") || value.ends_with(" UTC") { "*" } else { value };
            let value = if name == "content-range" { value.split('/').next().unwrap() } else { value };
            out += &format!(" {name}={value}");
        }
    }
    let is = body.collect().await.unwrap().to_bytes().len().to_string();
    let told = parts.headers.get(header::CONTENT_LENGTH).map_or("", |length| length.to_str().unwrap());
    // Documents grow and shrink.
    let length = |text: &str| if text.len() > 4 { "*".to_owned() } else { text.to_owned() };
    out + &format!(" {}/{}", length(told), length(&is))
}

/// As a kube-apiserver's, where nothing else is said.
#[tokio::test]
async fn headers_of_texts_and_documents() {
    let server = started().await;
    until(async || server.call_as(&ADMIN, Method::GET, "/livez", "").await.0 == 200).await;
    let apps = "/openapi/v3/apis/apps/v1";
    let mut lines = Vec::new();
    for (method, path, header) in [
        (Method::GET, "/livez", None),
        (Method::HEAD, "/livez", None),
        (Method::GET, "/livez/ping", None),
        (Method::HEAD, "/nope", None),
        (Method::HEAD, "/openapi/v3/nope", None),
        (Method::GET, "/openapi/v2", None),
        (Method::GET, "/openapi/v2", Some(("accept-encoding", "gzip"))),
        (Method::GET, "/openapi/v2", Some(("accept", "text/html"))),
        (Method::GET, "/openapi/v3", None),
        (Method::GET, "/openapi/v3", Some(("if-none-match", "*"))),
        (Method::GET, apps, None),
        (Method::GET, apps, Some(("if-none-match", "W/\"a\", *"))),
        (Method::POST, apps, Some(("if-none-match", "*"))),
        (Method::GET, apps, Some(("if-modified-since", "Sun, 22 Nov 2099 12:15:18 GMT"))),
        (Method::GET, apps, Some(("if-modified-since", "Sun, 22 Nov 2020 12:15:18 GMT"))),
        (Method::GET, apps, Some(("if-unmodified-since", "Sun, 22 Nov 2020 12:15:18 GMT"))),
        (Method::GET, apps, Some(("if-match", "\"a\""))),
        (Method::GET, apps, Some(("range", "bytes=0-9"))),
        (Method::GET, apps, Some(("range", "bytes=99999999-"))),
        (Method::HEAD, apps, Some(("range", "bytes=5-2"))),
        (Method::GET, &format!("{apps}?hash=A"), None),
        (Method::HEAD, apps, None),
    ] {
        let got = sent(&server, method.clone(), path, header).await;
        let header = header.map(|(name, value)| format!(" {name}: {value}")).unwrap_or_default();
        lines.push(format!("{method} {path}{header}\n  {got}"));
    }
    expect![[r#"
        GET /livez
          200 content-type=text/plain; charset=utf-8 x-content-type-options=nosniff /2
        HEAD /livez
          200 content-type=text/plain; charset=utf-8 x-content-type-options=nosniff 2/0
        GET /livez/ping
          200 content-type=text/plain; charset=utf-8 /2
        HEAD /nope
          404 content-type=text/plain; charset=utf-8 x-content-type-options=nosniff 19/0
        HEAD /openapi/v3/nope
          404 /0
        GET /openapi/v2
          200 accept-ranges=bytes content-type=application/json last-modified=* vary=Accept-Encoding vary=Accept /*
        GET /openapi/v2 accept-encoding: gzip
          200 accept-ranges=bytes content-type=application/json last-modified=* vary=Accept-Encoding vary=Accept /*
        GET /openapi/v2 accept: text/html
          406 vary=Accept-Encoding vary=Accept /0
        GET /openapi/v3
          200 accept-ranges=bytes content-type=text/plain; charset=utf-8 last-modified=* /*
        GET /openapi/v3 if-none-match: *
          304 last-modified=* /0
        GET /openapi/v3/apis/apps/v1
          200 accept-ranges=bytes content-type=application/json last-modified=* vary=Accept /*
        GET /openapi/v3/apis/apps/v1 if-none-match: W/"a", *
          304 vary=Accept /0
        POST /openapi/v3/apis/apps/v1 if-none-match: *
          412 content-type=application/json last-modified=* vary=Accept /0
        GET /openapi/v3/apis/apps/v1 if-modified-since: Sun, 22 Nov 2099 12:15:18 GMT
          304 vary=Accept /0
        GET /openapi/v3/apis/apps/v1 if-modified-since: Sun, 22 Nov 2020 12:15:18 GMT
          200 accept-ranges=bytes content-type=application/json last-modified=* vary=Accept /*
        GET /openapi/v3/apis/apps/v1 if-unmodified-since: Sun, 22 Nov 2020 12:15:18 GMT
          412 content-type=application/json last-modified=* vary=Accept /0
        GET /openapi/v3/apis/apps/v1 if-match: "a"
          412 content-type=application/json last-modified=* vary=Accept /0
        GET /openapi/v3/apis/apps/v1 range: bytes=0-9
          206 accept-ranges=bytes content-range=bytes 0-9 content-type=application/json last-modified=* vary=Accept /10
        GET /openapi/v3/apis/apps/v1 range: bytes=99999999-
          416 content-range=bytes * content-type=text/plain; charset=utf-8 vary=Accept x-content-type-options=nosniff /33
        HEAD /openapi/v3/apis/apps/v1 range: bytes=5-2
          416 content-type=text/plain; charset=utf-8 vary=Accept x-content-type-options=nosniff 14/0
        GET /openapi/v3/apis/apps/v1?hash=A
          301 content-type=application/json vary=Accept /0
        HEAD /openapi/v3/apis/apps/v1
          200 accept-ranges=bytes content-type=application/json last-modified=* vary=Accept */0"#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn versions() {
    const KEYS: &str = "major minor emulationMajor emulationMinor minCompatibilityMajor minCompatibilityMinor \
        gitVersion gitCommit gitTreeState buildDate goVersion compiler platform";
    let server = Server::start(Options::default()).await;
    for path in ["/version", "/version/"] {
        let (code, _, body) = server.call_as(&ADMIN, Method::GET, path, "").await;
        let text = String::from_utf8(body.to_vec()).unwrap();
        let keys: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
        assert_eq!((code, text.ends_with("\n}")), (200, true), "{path}: {text}");
        assert_eq!(keys.join(" "), KEYS);
    }
    let (_, _, page) = server.call_as(&ADMIN, Method::GET, "/statusz", "").await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let versions: Vec<&str> = page.lines().filter(|line| line.contains("version: 1")).collect();
    assert_eq!(versions, ["Binary version: 1.36.2", "Emulation version: 1.36"]);
}
