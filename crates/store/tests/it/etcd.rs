//! The conformance suite on real etcd servers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use store::conformance::{self, Subject};
use store::etcd::EtcdOptions;
use store::{Error, EtcdStore, KeyRange, Range, Store, Txn, WatchRequest};
use testing::etcd::{Server, binaries};

pub(crate) async fn connect(server: &Server) -> EtcdStore {
    EtcdStore::connect(&EtcdOptions::new([&server.url])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    for binary in binaries() {
        eprintln!("testing {}", binary.display());
        let server = Server::start(&binary);
        let store = Arc::new(connect(&server).await);
        conformance::run(&Subject { store, clock: None }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_are_read_in_pages_of_one_revision() {
    for binary in binaries() {
        let server = Server::start(&binary);
        let store = connect(&server).await;
        for chunk in 0..20 {
            let puts = (0..100).map(|i| Txn::put(format!("/p/{:04}", chunk * 100 + i), vec![1; 1000]));
            store.txn(puts.reduce(Txn::and).unwrap()).await.unwrap();
        }
        let all = store.range(Range::prefix("/p/").counted()).await.unwrap();
        assert_eq!((all.kvs.len(), all.count, all.more), (2000, Some(2000), false));
        assert!(all.kvs.is_sorted_by_key(|kv| kv.key().clone()));
        let some = store.range(Range::prefix("/p/").limit(1700).counted()).await.unwrap();
        assert_eq!((some.kvs.len(), some.count, some.more), (1700, Some(2000), true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_histories_come_in_fragments() {
    for binary in binaries() {
        let server = Server::start(&binary);
        let store = connect(&server).await;
        let start = store.revision().await.unwrap();
        for i in 0..40 {
            store.txn(Txn::put("/big", vec![i; 500_000])).await.unwrap();
        }
        let request = WatchRequest::after(KeyRange::prefix("/"), start);
        let mut watch = store.watch(request).await.unwrap();
        let mut seen = 0;
        while seen < 40 {
            for event in watch.next().await.unwrap().events {
                seen += 1;
                assert_eq!(event.revision(), start + seen);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_server_ends_watches_and_tells_writers() {
    let Some(binary) = binaries().pop() else { return };
    let mut server = Server::start(&binary);
    let store = connect(&server).await;
    let mut watch = store.watch(WatchRequest::from_now(KeyRange::prefix("/"))).await.unwrap();
    server.kill();
    assert!(matches!(watch.next().await, Err(Error::Unavailable { .. })));
    let write = store.txn(Txn::put("/a", "1")).await;
    assert!(matches!(write, Err(Error::Unavailable { maybe_applied: true, .. })), "{write:?}");
    let read = store.range(Range::key("/a")).await;
    assert!(matches!(read, Err(Error::Unavailable { maybe_applied: false, .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_quota_is_told() {
    for binary in binaries() {
        let server = Server::start_with(&binary, "http", |_| vec!["--quota-backend-bytes=1000000".into()]);
        let store = connect(&server).await;
        let mut full = None;
        for i in 0..100 {
            if let Err(error) = store.txn(Txn::put(format!("/{i}"), vec![0; 100_000])).await {
                full = Some(error);
                break;
            }
        }
        assert_eq!(full, Some(Error::NoSpace));
        assert_eq!(store.health().await, Err(Error::NoSpace));
        assert!(store.size().await.unwrap().disk_bytes > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_compact_in_turns() {
    for binary in binaries() {
        let server = Server::start(&binary);
        let options = EtcdOptions {
            compaction_interval: Some(Duration::from_millis(200)),
            ..EtcdOptions::new([&server.url])
        };
        let one = EtcdStore::connect(&options).await.unwrap();
        let two = EtcdStore::connect(&options).await.unwrap();
        let first = one.txn(Txn::put("/a", "1")).await.unwrap().committed().unwrap();
        let compacted = async {
            // Both learn of it, whoever does it.
            while one.compacted_revision() <= first || two.compacted_revision() <= first {
                one.txn(Txn::put("/a", "2")).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), compacted).await.unwrap();
        let old = one.range(Range::key("/a").at(first)).await;
        assert!(matches!(old, Err(Error::Compacted { .. })), "{old:?}");
        let kv = one.range(Range::key("compact_rev_key")).await.unwrap().kvs.remove(0);
        let told: u64 = std::str::from_utf8(kv.value()).unwrap().parse().unwrap();
        assert!(told > first, "the key tells other API servers the revision");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_clients_show_certificates() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let Some(binary) = binaries().pop() else { return };
    let files = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let write = |name: &str, text: String| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca_file = write("ca.crt", ca.pem());
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        (write(&format!("{name}.crt"), certificate.pem()), write(&format!("{name}.key"), key.serialize_pem()))
    };
    let (server_files, client_files) = (issue("server"), issue("client"));
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let server = Server::start_with(&binary, "https", |_| {
        vec![
            "--client-cert-auth".into(),
            flag("trusted-ca-file", &ca_file),
            flag("cert-file", &server_files.0),
            flag("key-file", &server_files.1),
        ]
    });
    let options = EtcdOptions {
        ca_file: Some(ca_file.clone()),
        client_files: Some(client_files),
        ..EtcdOptions::new([&server.url])
    };
    let store = EtcdStore::connect(&options).await.unwrap();
    assert!(store.txn(Txn::put("/a", "1")).await.unwrap().committed().is_some());
    let nobody = EtcdOptions { client_files: None, ..options };
    let refused = EtcdStore::connect(&nobody).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}
