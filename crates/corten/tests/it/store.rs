//! A cluster's objects move from one store to another, and a server goes on from there.

use crate::process::Api;
use client::Client;
use http::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use store::etcd::EtcdOptions;
use store::{EtcdStore, Expect, Store, Txn};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn migrate(root: &Path, from: &str, to: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corten"))
        .args(["store", "migrate", "--from", from, "--to", to, "--root"])
        .arg(root)
        .output()
        .unwrap()
}

async fn secrets(client: &Client) -> Value {
    let list = client.raw(Method::GET, SECRETS, None).await.unwrap();
    serde_json::from_slice(&list).unwrap()
}

fn revision(list: &Value) -> u64 {
    list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_etcd_and_back() {
    let Some(binary) = testing::etcd::binaries().pop() else { return };
    let etcd = testing::etcd::Server::start(&binary);
    let store = format!("etcd={}", etcd.url);
    let (root, new_root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Api::start(root.path(), &[]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"word": "abracadabra"}});
    let body = Some(("application/json", secret.to_string().into()));
    server.client().raw(Method::POST, SECRETS, body).await.unwrap();
    let before = secrets(&server.client()).await;
    let refused = migrate(root.path(), "embedded", &store);
    assert!(!refused.status.success(), "moved from under a running server");
    server.process.end();

    let nowhere = root.path().join("nowhere");
    let refused = migrate(&nowhere, "embedded", &store);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("there is no store in ") && !nowhere.exists(), "{why}");

    let moved = migrate(root.path(), "embedded", &store);
    let told = String::from_utf8(moved.stdout).unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let flag = told.lines().last().unwrap().split("start the server with ").nth(1).unwrap();
    let server = Api::start(root.path(), &["--store", &store, flag]);
    let there = secrets(&server.client()).await;
    assert_eq!(there["items"][0]["data"], before["items"][0]["data"]);
    assert!(revision(&there) > revision(&before), "a revision that clients know must not come again");
    server.process.end();

    // As a server has it that others can reach.
    let lease = "/registry/masterleases/192.0.2.1";
    let direct = EtcdStore::connect(&EtcdOptions::new([etcd.url.clone()])).await.unwrap();
    direct.txn(Txn::put(lease, "k8s")).await.unwrap();
    let used = migrate(new_root.path(), &store, "embedded");
    let why = String::from_utf8(used.stderr).unwrap();
    assert!(why.contains(" is used by API servers, whose addresses are 192.0.2.1: "), "{why}");
    direct.txn(Txn::delete(lease, Expect::Any)).await.unwrap();

    // What was moved is put aside: nobody goes on from it by mistake.
    let again = migrate(root.path(), "embedded", &store);
    let why = String::from_utf8(again.stderr).unwrap();
    assert!(why.contains("there is no store in "), "{why}");
    let files = root.path().join("store");
    std::fs::rename(files.join("moved-1.db"), files.join("store.db")).unwrap();
    let again = migrate(root.path(), "embedded", &store);
    let why = String::from_utf8(again.stderr).unwrap();
    assert!(why.contains("the target is not empty"), "{why}");

    // Back, to where nothing has been yet but the key.
    let keys = new_root.path().join("pki");
    std::fs::create_dir(&keys).unwrap();
    let file = "encryption-config.yaml";
    std::fs::copy(root.path().join("pki").join(file), keys.join(file)).unwrap();
    let back = migrate(new_root.path(), &store, "embedded");
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    let server = Api::start(new_root.path(), &[]);
    let here = secrets(&server.client()).await;
    assert_eq!(here["items"][0]["data"], before["items"][0]["data"]);
    assert!(revision(&here) > revision(&there));
    server.process.end();
    let again = migrate(new_root.path(), &store, "embedded");
    let why = String::from_utf8(again.stderr).unwrap();
    assert!(why.contains("/store has objects already: if they may be lost, move it away"), "{why}");
}
