//! Versions of a custom kind that select by fields of their own, as upstream's conformance test
//! "CustomResourceFieldSelectors" has them: `v1` knows `host`, `v2` calls it `hostname`.

use crate::server::{Server, until};
use crate::webhook::{Answer, Webhook};
use apiserver::api::Options;
use apiserver::body::ResponseBody;
use auth::UserInfo;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use value::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A webhook that renames a field.
fn rename(_path: &str, review: &Value) -> Answer {
    let request = review.at("request");
    let wanted = request.at("desiredAPIVersion").str();
    let convert = |object: &Value| {
        let mut object = object.clone();
        let (from, to) = if wanted.ends_with("v2") { ("host", "hostname") } else { ("hostname", "host") };
        if let Some(value) = object.remove(from) {
            object.set(to, value);
        }
        object.set("apiVersion", wanted);
        object
    };
    let mut response = Value::object();
    response.set("uid", request.at("uid").clone());
    response.set("convertedObjects", request.at("objects").items().iter().map(convert).collect::<Vec<_>>());
    let mut result = Value::object();
    result.set("status", "Success");
    response.set("result", result);
    let mut answer = review.clone();
    answer.remove("request");
    answer.set("response", response);
    Answer::Say(answer)
}

/// `spec.conversion` by a webhook.
fn by_webhook(webhook: &Webhook) -> String {
    format!(
        r#"{{"strategy":"Webhook","webhook":{{"conversionReviewVersions":["v1"],"clientConfig":{}}}}}"#,
        String::from_utf8(json::to_vec(&webhook.client_config("/"))).unwrap()
    )
}

fn definition(group: &str, conversion: &str) -> String {
    // The schemas differ: fields beside a schema that all versions share would have to be shared as well.
    let version = |name: &str, stored: bool, field: &str, more: &str| {
        format!(
            r#"{{"name":"{name}","served":true,"storage":{stored},"selectableFields":[{{"jsonPath":".{field}"}},{{"jsonPath":".port"}}],"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"host":{{"type":"string"}},"hostname":{{"type":"string"}},"port":{{"type":"string"}}{more}}}}}}}}}"#
        )
    };
    format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"sites.{group}"}},"spec":{{"group":"{group}","scope":"Cluster","names":{{"plural":"sites","kind":"Site"}},"conversion":{conversion},"versions":[{},{}]}}}}"#,
        version("v1", true, "host", ""),
        version("v2", false, "hostname", r#","note":{"type":"string"}"#),
    )
}

/// A server that serves the definition.
async fn serve(group: &str, conversion: &str) -> Server {
    let server = Server::start(Options::default()).await;
    let (code, made) = server.call(Method::POST, DEFINITIONS, &definition(group, conversion)).await;
    assert_eq!(code, 201, "{}", made.at("message").str());
    let path = format!("/apis/{group}/v2");
    until(|| async { server.call(Method::GET, &path, "").await.0 == 200 }).await;
    server
}

/// Makes an object, or changes its host.
async fn put(server: &Server, group: &str, version: &str, name: &str, host: &str, method: Method) {
    let field = if version == "v1" { "host" } else { "hostname" };
    let sites = format!("/apis/{group}/{version}/sites");
    let (path, media, body) = match method {
        Method::PATCH => {
            let body = format!(r#"{{"{field}":"{host}"}}"#);
            (format!("{sites}/{name}"), "application/merge-patch+json", body)
        }
        _ => {
            let body = format!(
                r#"{{"apiVersion":"{group}/{version}","kind":"Site","metadata":{{"name":"{name}"}},"{field}":"{host}","port":"80"}}"#
            );
            (sites, "application/json", body)
        }
    };
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
    let user = Arc::new(UserInfo::new("admin", &["system:masters"]));
    let response = server.api.call(user, request.body(Bytes::from(body)).unwrap()).await;
    assert!(response.status().is_success(), "{name}: {:?}", response.status());
}

async fn list(server: &Server, path: &str) -> Result<Vec<String>, String> {
    let (code, list) = server.call(Method::GET, path, "").await;
    if code != 200 {
        return Err(list.at("message").str().to_owned());
    }
    let more = list.at("metadata").at("continue").str();
    let mut names: Vec<String> =
        list.at("items").items().iter().map(|o| o.at("metadata").at("name").str().to_owned()).collect();
    if !more.is_empty() {
        names.push(more.to_owned());
    }
    Ok(names)
}

/// A watch and what of it has been read but not looked at.
pub(crate) struct Watch(ResponseBody, Vec<u8>);

impl Watch {
    pub(crate) async fn start(server: &Server, path: &str) -> Self {
        let user = Arc::new(UserInfo::new("admin", &["system:masters"]));
        let request = Request::builder().uri(path).body(Bytes::new()).unwrap();
        Self(server.api.call(user, request).await.into_body(), Vec::new())
    }

    /// The next event: what happened to whom, and the host in whichever version.
    async fn next(&mut self) -> String {
        let event = self.event().await;
        let object = event.at("object");
        let host = [object.at("host").str(), "/", object.at("hostname").str()].concat();
        format!("{} {} {host}", event.at("type").str(), object.at("metadata").at("name").str())
    }

    /// The text of the error that comes next.
    async fn error(&mut self) -> String {
        let event = self.event().await;
        assert_eq!(event.at("type").str(), "ERROR");
        event.at("object").at("message").str().to_owned()
    }

    pub(crate) async fn event(&mut self) -> Value {
        loop {
            if let Some(end) = self.1.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                return json::parse(&line).unwrap();
            }
            let frame = self.0.frame().await.expect("the watch goes on").unwrap();
            self.1.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    async fn expect(&mut self, events: &[&str]) {
        for event in events {
            assert_eq!(self.next().await, *event);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_selects_by_its_own_fields() {
    let webhook = Webhook::start(rename).await;
    let group = "a.example.org";
    let server = serve(group, &by_webhook(&webhook)).await;
    let sites = |version: &str, query: &str| format!("/apis/{group}/{version}/sites?{query}");
    put(&server, group, "v1", "a", "one", Method::POST).await;
    put(&server, group, "v2", "b", "one", Method::POST).await;
    put(&server, group, "v2", "c", "two", Method::POST).await;

    let one = ["a".to_owned(), "b".to_owned()];
    for (version, field) in [("v1", "host"), ("v2", "hostname")] {
        let names = list(&server, &sites(version, &format!("fieldSelector={field}=one"))).await;
        assert_eq!(names.unwrap(), one, "{version}");
        let names = list(&server, &sites(version, &format!("fieldSelector={field}=one,port=80"))).await;
        assert_eq!(names.unwrap(), one, "{version}");
        let names = list(&server, &sites(version, &format!("fieldSelector={field}!=one"))).await;
        assert_eq!(names.unwrap(), ["c"], "{version}");
    }
    for (version, field) in [("v1", "hostname"), ("v2", "host")] {
        let refused = list(&server, &sites(version, &format!("fieldSelector={field}=one"))).await;
        assert_eq!(refused.unwrap_err(), format!("field label not supported: {field}"));
    }
    // In pages, each of which begins where the one before ended; that nothing more is selected shows the last.
    let mut query = "fieldSelector=hostname=one&limit=1".to_owned();
    for name in ["a", "b"] {
        let mut page = list(&server, &sites("v2", &query)).await.unwrap();
        let token = page.pop().unwrap();
        assert_eq!(page, [name]);
        query = format!("fieldSelector=hostname=one&limit=1&continue={token}");
    }
    assert_eq!(list(&server, &sites("v2", &query)).await.unwrap(), [""; 0]);

    // Three objects have been converted to v2 for all these lists, once each, and two from it.
    let converted = webhook.count();
    assert_eq!(list(&server, &sites("v2", "fieldSelector=hostname=two")).await.unwrap(), ["c"]);
    assert_eq!(webhook.count(), converted);

    let mut first = Watch::start(&server, &sites("v1", "watch=1&fieldSelector=host=one")).await;
    let mut second = Watch::start(&server, &sites("v2", "watch=1&fieldSelector=hostname=one")).await;
    first.expect(&["ADDED a one/", "ADDED b one/"]).await;
    second.expect(&["ADDED a /one", "ADDED b /one"]).await;
    put(&server, group, "v2", "c", "one", Method::PATCH).await;
    put(&server, group, "v1", "a", "two", Method::PATCH).await;
    put(&server, group, "v1", "d", "three", Method::POST).await;
    let remove = server.call(Method::DELETE, &sites("v1", "").replace("?", "/b"), "").await;
    assert_eq!(remove.0, 200);
    // What leaves a selection is shown as it last matched.
    first.expect(&["ADDED c one/", "DELETED a one/", "DELETED b one/"]).await;
    second.expect(&["ADDED c /one", "DELETED a /one", "DELETED b /one"]).await;

    let (code, _) = server.call(Method::DELETE, &sites("v2", "fieldSelector=hostname=one"), "").await;
    assert_eq!(code, 200);
    assert_eq!(list(&server, &sites("v1", "")).await.unwrap(), ["a", "d"]);
    first.expect(&["DELETED c one/"]).await;
    second.expect(&["DELETED c /one"]).await;
}

/// Fails in one of the ways that a webhook can, which the stored object names.
fn refuse(_path: &str, review: &Value) -> Answer {
    let request = review.at("request");
    let object = &request.at("objects").items()[0];
    let Answer::Say(mut answer) = rename("", review) else { unreachable!() };
    let mut response = answer.remove("response").unwrap_or_default();
    match object.at("metadata").at("name").str() {
        "code" => return Answer::Fail(500, "out of order"),
        "result" => {
            let mut result = Value::object();
            result.set("status", "Failure");
            result.set("message", "no such thing");
            response.set("result", result);
        }
        "none" => response.set("convertedObjects", Vec::<Value>::new()),
        "uid" => response.set("uid", "another"),
        "name" => {
            let mut other = response.at("convertedObjects").items()[0].clone();
            if let Some(metadata) = other.get_mut("metadata") {
                metadata.set("name", "other");
            }
            response.set("convertedObjects", vec![other]);
        }
        _ => {}
    }
    answer.set("response", response);
    Answer::Say(answer)
}

/// Upstream's texts: `staging/src/k8s.io/apiextensions-apiserver/pkg/apiserver/conversion`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_converted_is_an_error() {
    let webhook = Webhook::start(refuse).await;
    let group = "c.example.org";
    let server = serve(group, &by_webhook(&webhook)).await;
    let v2 = format!("/apis/{group}/v2/sites");
    let failed = format!("conversion webhook for {group}/v1, Kind=Site");
    for (name, why) in [
        (
            "code",
            format!(
                "{failed} failed: an error on the server (\"out of order\") has prevented the request from succeeding"
            ),
        ),
        ("result", format!("{failed} failed: no such thing")),
        ("none", format!("{failed} returned 0 objects, expected 1")),
        ("name", format!("{failed} returned invalid object: must have the same name: name != other")),
    ] {
        put(&server, group, "v1", name, "one", Method::POST).await;
        let (code, status) = server.call(Method::GET, &format!("{v2}/{name}"), "").await;
        assert_eq!((code, status.at("message").str()), (500, why.as_str()), "{name}");
        // A list of several is as good as its worst.
        assert_eq!(list(&server, &v2).await.unwrap_err(), why);
        let mut watch = Watch::start(&server, &format!("{v2}?watch=1")).await;
        assert_eq!(watch.error().await, why);
        // The version that is stored needs no webhook.
        let path = format!("/apis/{group}/v1/sites/{name}");
        assert_eq!(server.call(Method::DELETE, &path, "").await.0, 200);
    }
    put(&server, group, "v1", "uid", "one", Method::POST).await;
    let why = list(&server, &v2).await.unwrap_err();
    assert!(why.starts_with(&format!("{failed} failed: expected response.uid=")), "{why}");
}

#[tokio::test]
async fn without_a_webhook_they_select_by_their_own_fields_too() {
    let group = "b.example.org";
    let server = serve(group, r#"{"strategy":"None"}"#).await;
    let sites = |version: &str, query: &str| format!("/apis/{group}/{version}/sites?{query}");
    put(&server, group, "v1", "a", "one", Method::POST).await;
    let mut first = Watch::start(&server, &sites("v1", "watch=1&fieldSelector=host=one")).await;
    let mut second = Watch::start(&server, &sites("v2", "watch=1&fieldSelector=hostname=one")).await;
    put(&server, group, "v2", "b", "one", Method::POST).await;
    put(&server, group, "v2", "b", "two", Method::PATCH).await;
    put(&server, group, "v1", "a", "two", Method::PATCH).await;
    first.expect(&["ADDED a one/", "DELETED a one/"]).await;
    second.expect(&["ADDED b /one", "DELETED b /one"]).await;
    assert_eq!(list(&server, &sites("v2", "fieldSelector=hostname=two")).await.unwrap(), ["b"]);
    let refused = list(&server, &sites("v1", "fieldSelector=hostname=two")).await;
    assert_eq!(refused.unwrap_err(), "field label not supported: hostname");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_while_the_stored_version_changes_is_converted() {
    const GROUP: &str = "change.example.org";
    const ROUNDS: usize = 10;
    let webhook = Webhook::start(rename).await;
    let server = serve(GROUP, &by_webhook(&webhook)).await;
    let resources = format!("/apis/{GROUP}/v1");
    let stored = || async {
        let (_, found) = server.call(Method::GET, &resources, "").await;
        found.at("resources").items()[0].at("storageVersionHash").str().to_owned()
    };
    for round in 0..ROUNDS {
        let before = stored().await;
        let is_v1 = round % 2 == 1;
        let patch = format!(
            r#"[{{"op":"replace","path":"/spec/versions/0/storage","value":{is_v1}}},{{"op":"replace","path":"/spec/versions/1/storage","value":{}}}]"#,
            !is_v1
        );
        let request = Request::builder().method(Method::PATCH).uri(format!("{DEFINITIONS}/sites.{GROUP}"));
        let request = request.header(header::CONTENT_TYPE, "application/json-patch+json");
        let user = Arc::new(UserInfo::new("admin", &["system:masters"]));
        let change = server.api.call(user, request.body(Bytes::from(patch)).unwrap());
        let writes = async {
            for n in 0..4 {
                put(&server, GROUP, "v1", &format!("s{round}-{n}"), "a", Method::POST).await;
            }
        };
        let (changed, ()) = tokio::join!(change, writes);
        assert_eq!(changed.status(), 200);
        until(|| async { stored().await != before }).await;
        for (version, field) in [("v1", "host"), ("v2", "hostname")] {
            let (_, list) = server.call(Method::GET, &format!("/apis/{GROUP}/{version}/sites"), "").await;
            let items = list.at("items").items();
            assert_eq!(items.len(), (round + 1) * 4, "{version} in round {round}");
            for item in items {
                let found = (item.at("apiVersion").str(), item.at(field).str());
                assert_eq!(found, (format!("{GROUP}/{version}").as_str(), "a"), "in round {round}");
            }
        }
    }
}

/// What cannot be shown is not deleted: upstream reads it first, in the version by which it is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_converted_stays() {
    let group = "c.example.org";
    let nobody = r#"{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"url":"https://127.0.0.1:1/"}}}"#;
    let server = serve(group, nobody).await;
    put(&server, group, "v1", "a", "one", Method::POST).await;
    let sites = |version: &str| format!("/apis/{group}/{version}/sites");
    for path in [sites("v2") + "/a", sites("v2")] {
        let (code, answer) = server.call(Method::DELETE, &path, "").await;
        let message = answer.at("message").str();
        assert_eq!(code, 500, "{message}");
        assert!(
            message.starts_with("conversion webhook for c.example.org/v1, Kind=Site failed: "),
            "{message}"
        );
    }
    assert_eq!(list(&server, &sites("v1")).await.unwrap(), ["a"]);
    assert_eq!(server.call(Method::DELETE, &(sites("v1") + "/a"), "").await.0, 200);
}
