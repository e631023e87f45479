//! What a watch shows of the state in which it began.

use crate::selectable::Watch;
use crate::server::{Server, until};
use apiserver::api::Options;
use http::Method;
use std::sync::Arc;

const PATH: &str = "/api/v1/namespaces/default/configmaps";
/// More than a watch holds of the beginning at once.
const OBJECTS: usize = 600;

fn name(number: usize) -> String {
    format!("c-{number:04}")
}

/// A watch of everything from the state of now on, with a bookmark between.
async fn begin(server: &Server) -> Watch {
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    Watch::start(server, &format!("{PATH}?{query}")).await
}

/// What happened to whom, and the object's text.
async fn told(watch: &mut Watch) -> String {
    let event = watch.event().await;
    let object = event.at("object");
    let (kind, name) = (event.at("type").str(), object.at("metadata").at("name").str());
    format!("{kind} {name} {}", object.at("data").at("a").str())
}

/// A server with objects.
async fn filled() -> Server {
    let server = Server::start(Options::default()).await;
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}}"#;
    assert_eq!(server.call(Method::POST, "/api/v1/namespaces", namespace).await.0, 201);
    for number in 0..OBJECTS {
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{}"}},"data":{{"a":"old"}}}}"#,
            name(number)
        );
        assert_eq!(server.call(Method::POST, PATH, &object).await.0, 201);
    }
    server
}

#[tokio::test]
async fn the_beginning_is_shown_as_it_was_however_late_it_is_read() {
    let server = filled().await;
    let mut watch = begin(&server).await;
    assert_eq!(told(&mut watch).await, "ADDED c-0000 old");

    let last = name(OBJECTS - 1);
    server.call(Method::DELETE, &format!("{PATH}/{last}"), "").await;
    let changed = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c-0500"},"data":{"a":"new"}}"#;
    assert_eq!(server.call(Method::PUT, &format!("{PATH}/c-0500"), changed).await.0, 200);
    for number in 1..OBJECTS {
        assert_eq!(told(&mut watch).await, format!("ADDED {} old", name(number)));
    }
    assert_eq!(told(&mut watch).await, "BOOKMARK  ");
    assert_eq!(told(&mut watch).await, format!("DELETED {last} old"));
    assert_eq!(told(&mut watch).await, "MODIFIED c-0500 new");
}

#[tokio::test]
async fn who_reads_after_it_was_forgotten_is_told() {
    let server = filled().await;
    let mut watch = begin(&server).await;
    assert_eq!(told(&mut watch).await, "ADDED c-0000 old");
    let revision = server.store.revision().await.unwrap();
    server.api.published.compact(revision + 1);
    let last = loop {
        let event = watch.event().await;
        if event.at("type").str() != "ADDED" {
            break event;
        }
    };
    let (kind, status) = (last.at("type").str(), last.at("object"));
    assert_eq!((kind, status.at("code").int(), status.at("reason").str()), ("ERROR", 410, "Expired"));
    assert!(status.at("message").str().starts_with("too old resource version: "), "{last:?}");
}

/// A store that ends watches now and then, as etcd does when a member goes: what was written meanwhile is followed up.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_breaks_is_followed_again() {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let faults = store::Faults { watch_ends: 300, ..store::Faults::default() };
    let store = store::FaultyStore::new(Arc::new(store::MemoryStore::new()), 7, faults);
    let server = Server::on(Arc::new(store), Options::default()).await.unwrap();
    apiserver::bootstrap::run(&server.api).await;
    for i in 0..60 {
        let body = format!(r#"{{"metadata":{{"name":"m{i}"}}}}"#);
        assert_eq!(server.call(Method::POST, MAPS, &body).await.0, 201);
    }
    let shown = async || {
        let (_, list) = server.call(Method::GET, &format!("{MAPS}?resourceVersion=0"), "").await;
        list.at("items").items().len()
    };
    until(async || shown().await == 60).await;
    assert!(!*server.api.stopping.borrow(), "the server goes on");
}
