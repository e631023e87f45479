//! What reaches kubelets: logs, exec, proxies; with a kubelet that says what it was asked.

use crate::server::{Server, pki};
use apiserver::api::Options;
use apiserver::listen::Lanes;
use http::Method;
use pki::{AnyClientCertificate, HotCertificate, Leaf, Name, Names, Usage};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use value::Value;

const ADMIN: [&str; 2] = ["admin", "system:masters"];
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Reads a request's or an answer's head.
async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A kubelet: tells the request's first line as a log, echoes what it is upgraded to.
async fn kubelet() -> u16 {
    let now = jiff::Timestamp::now().as_second();
    let names = Names { ips: vec!["127.0.0.1".parse().unwrap()], ..Names::default() };
    let subject = Name::new("system:node:n", &["system:nodes"]);
    let identity = pki().authority().issue(&subject, &names, Usage::Server, now, 3_600).unwrap();
    let tls =
        pki::server_config(HotCertificate::new(&identity).unwrap(), AnyClientCertificate::new(&[])).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                let head = head(&mut stream).await;
                let line = head.lines().next().unwrap_or_default();
                let answer = if !has_certificate {
                    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned()
                } else if line.contains("/exec/") || line.contains("/portForward/") {
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n".to_owned()
                } else if line.contains("/gone") {
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone".to_owned()
                } else {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len())
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.starts_with("HTTP/1.1 101") {
                    stream.write_all(format!("{line};").as_bytes()).await.unwrap();
                    let mut buffer = [0; 256];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..n]).await.unwrap();
                    }
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

/// A server with a node `n` and a pod `p` of two containers on it.
async fn world() -> Server {
    let server = Server::start(Options::default()).await;
    server
        .api
        .nodes
        .trust(pki().leaf(Leaf::ApiServerKubeletClient), pki().authority().certificate())
        .unwrap();
    let made = |code: u16, answer: Value| assert_eq!(code, 201, "{}", answer.at("message").str());
    let post = async |path: &str, body: &str| {
        let (code, answer) = server.call(Method::POST, path, body).await;
        made(code, answer);
    };
    post("/api/v1/namespaces", r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default"}}"#)
        .await;
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"},"automountServiceAccountToken":false}"#;
    post("/api/v1/namespaces/default/serviceaccounts", account).await;
    let node = format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"n"}},"status":{{"addresses":[{{"type":"InternalIP","address":"127.0.0.1"}}],"daemonEndpoints":{{"kubeletEndpoint":{{"Port":{}}}}}}}}}"#,
        kubelet().await
    );
    post("/api/v1/nodes", &node).await;
    for (name, node) in [("p", r#""nodeName":"n","#), ("waits", "")] {
        let pod = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{{node}"containers":[{{"name":"a","image":"i"}},{{"name":"b","image":"i"}}]}}}}"#
        );
        post(PODS, &pod).await;
    }
    server
}

async fn get(server: &Server, path: &str) -> (u16, String) {
    let (code, _, body) = server.call_as(&ADMIN, Method::GET, path, "").await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let message = value::json::parse(text.as_bytes()).map(|v| v.at("message").str().to_owned());
    (code, message.ok().filter(|m| !m.is_empty()).unwrap_or(text))
}

#[tokio::test]
async fn logs() {
    let server = world().await;
    let check = async |query: &str, code: u16, want: &str| {
        assert_eq!(get(&server, &format!("{PODS}/{query}")).await, (code, want.to_owned()), "{query}");
    };
    check("p/log?container=a", 200, "GET /containerLogs/default/p/a HTTP/1.1").await;
    let asked = "GET /containerLogs/default/p/b?follow=true&tailLines=3&timestamps=true HTTP/1.1";
    check("p/log?container=b&follow=true&tailLines=3&timestamps=true", 200, asked).await;
    check(
        "p/log?container=a&insecureSkipTLSVerifyBackend=true",
        200,
        "GET /containerLogs/default/p/a HTTP/1.1",
    )
    .await;
    check("p/log", 400, "a container name must be specified for pod p, choose one of: [a b]").await;
    check("p/log?container=c", 400, "container c is not valid for pod p").await;
    check("x/log", 404, "pods \"x\" not found").await;
    check("waits/log?container=a", 204, "").await;
    let invalid =
        "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0";
    check("p/log?container=a&tailLines=-1", 422, invalid).await;
}

#[tokio::test]
async fn commands_want_an_upgrade_and_the_right_to_create() {
    let server = world().await;
    let role = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"reader"},"rules":[{"apiGroups":[""],"resources":["pods","pods/exec","pods/attach","pods/portforward"],"verbs":["get"]}]}"#;
    let binding = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"reader"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"reader"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"reader"}]}"#;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    assert_eq!(server.call(Method::POST, &format!("{rbac}/clusterroles"), role).await.0, 201);
    assert_eq!(server.call(Method::POST, &format!("{rbac}/clusterrolebindings"), binding).await.0, 201);
    server.api.published.reached(server.store.revision().await.unwrap()).await;
    for sub in ["exec", "attach", "portforward"] {
        let path = format!("{PODS}/p/{sub}?container=a&command=x");
        let (code, _, body) = server.call_as(&["reader"], Method::GET, &path, "").await;
        let answer = value::json::parse(&body).unwrap();
        assert_eq!((code, answer.at("message").str()), (403, "pods \"p\" is forbidden: "));
        assert_eq!(get(&server, &path).await, (400, "Upgrade request required".into()));
    }
    let (code, message) = get(&server, &format!("{PODS}/waits/exec?container=a&command=x")).await;
    assert_eq!((code, message.as_str()), (400, "pod waits does not have a host assigned"));
    let (code, message) = get(&server, &format!("{PODS}/p/exec?dryRun=All")).await;
    assert_eq!((code, message.as_str()), (400, "dryRun is not supported"));
}

#[tokio::test]
async fn what_may_not_be_proxied() {
    let server = world().await;
    let check = async |path: &str, code: u16, want: &str| {
        assert_eq!(get(&server, path).await, (code, want.to_owned()), "{path}");
    };
    check("/api/v1/nodes/n/proxy/healthz", 400, "address not allowed").await;
    check(&format!("{PODS}/p/proxy/"), 400, "address not allowed").await;
    check(&format!("{PODS}/ftp:p:1/proxy/"), 400, "invalid pod request \"ftp:p:1\"").await;
    check("/api/v1/nodes/x/proxy/", 404, "nodes \"x\" not found").await;
    check("/api/v1/namespaces/default/services/s/proxy/", 404, "services \"s\" not found").await;
}

/// Where the server itself listens.
async fn listen(server: &Server) -> SocketAddr {
    let certificate = HotCertificate::new(pki().leaf(Leaf::ApiServer)).unwrap();
    let tls = pki::server_config(certificate, AnyClientCertificate::new(&[])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = server.api.stopping.subscribe();
    tokio::spawn(apiserver::listen::serve(listener, Arc::new(tls), server.api.clone(), Lanes::here(), stop));
    address
}

#[tokio::test]
async fn who_speaks_without_tls_is_told() {
    let server = world().await;
    let address = listen(&server).await;
    for request in ["GET /api HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let want = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        assert_eq!(answer, want, "{request}");
    }
}

/// A connection to the server itself, as the administrator.
async fn dial(server: &Server) -> tokio_rustls::client::TlsStream<TcpStream> {
    let now = jiff::Timestamp::now().as_second();
    let address = listen(server).await;
    let own = pki().issue_client(&pki::Client::SuperAdmin, now).unwrap();
    let tls = pki::client_config(&[pki().authority().certificate()], Some(&own)).unwrap();
    let connector = TlsConnector::from(streaming::backend::http1_only(tls));
    let stream = TcpStream::connect(address).await.unwrap();
    connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap()
}

#[tokio::test]
async fn a_spdy_connection_goes_through() {
    let server = world().await;
    let mut client = dial(&server).await;
    let request = format!(
        "POST {PODS}/p/exec?container=a&command=echo&command=a+b&stdout=true HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nupgrade: spdy/3.1\r\n"), "{answer}");
    client.write_all(b"ping").await.unwrap();
    let want = "POST /exec/default/p/a?command=echo&command=a+b&output=1 HTTP/1.1;ping";
    let mut got = vec![0; want.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), want);
    // The server's end is the connection's.
    server.api.stopping.send_replace(true);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_port_forward_is_tunneled() {
    let server = world().await;
    let mut client = dial(&server).await;
    let request = format!(
        "GET {PODS}/p/portforward HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = head(&mut client).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(answer.contains("\r\nsec-websocket-protocol: spdy/3.1+portforward.k8s.io\r\n"), "{answer}");
    let want = "POST /portForward/default/p HTTP/1.1;";
    let mut got = vec![0; 2 + want.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, [&[0x82, want.len() as u8][..], want.as_bytes()].concat());
    client.write_all(&[0x82, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut got = [0; 4];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, [0x82, 2, b'h', b'i']);
}

#[tokio::test]
async fn a_log_comes_as_messages() {
    let server = world().await;
    let mut client = dial(&server).await;
    let request = format!(
        "GET {PODS}/p/log?container=a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary.k8s.io\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101"));
    let want = "GET /containerLogs/default/p/a HTTP/1.1";
    let mut got = vec![0; 2 + want.len() + 4];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, [&[0x82, want.len() as u8][..], want.as_bytes(), &[0x88, 2, 3, 232]].concat());
}

/// A message's first byte, and what is in it.
async fn message(client: &mut (impl AsyncReadExt + Unpin)) -> (u8, Vec<u8>) {
    let first = client.read_u8().await.unwrap();
    let length = match client.read_u8().await.unwrap() {
        126 => usize::from(client.read_u16().await.unwrap()),
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    client.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

#[tokio::test]
async fn a_watch_comes_as_messages() {
    const CLOSE: (u8, &[u8]) = (0x88, &[3, 232]);
    let server = world().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let make = async |name: &str| {
        let object = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#);
        assert_eq!(server.call(Method::POST, maps, &object).await.0, 201);
    };
    let begin = async |server: &Server, query: &str, headers: &str| {
        let mut client = dial(server).await;
        let request = format!(
            "GET {maps}?watch=1&{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut client).await;
        (client, head.split_whitespace().nth(1).unwrap_or_default().to_owned())
    };
    let told = |(first, payload): (u8, Vec<u8>)| {
        assert_eq!((first, payload.last()), (0x81, Some(&b'\n')));
        let event = value::json::parse(&payload).unwrap();
        let object = event.at("object");
        let what = [object.at("metadata").at("name").str(), object.at("reason").str()].concat();
        format!("{} {what}", event.at("type").str())
    };
    make("a").await;
    make("b").await;

    let (mut client, code) = begin(&server, "", "Origin: https://x\r\n").await;
    assert_eq!(code, "101");
    assert_eq!(told(message(&mut client).await), "ADDED a");
    assert_eq!(told(message(&mut client).await), "ADDED b");
    make("c").await;
    assert_eq!(told(message(&mut client).await), "ADDED c");
    // A question is answered between events; who says good-bye is told the same.
    client.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'?']).await.unwrap();
    assert_eq!(message(&mut client).await, (0x8a, b"?".to_vec()));
    client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(message(&mut client).await, (CLOSE.0, CLOSE.1.to_vec()));

    let protobuf = "Origin: https://x\r\nAccept: application/vnd.kubernetes.protobuf\r\n";
    let (mut client, code) = begin(&server, "timeoutSeconds=1", protobuf).await;
    assert_eq!(code, "101");
    for _ in ["a", "b", "c"] {
        let (first, payload) = message(&mut client).await;
        assert_eq!((first, &payload[..7]), (0x82, &b"\n\x05ADDED"[..]));
    }
    assert_eq!(message(&mut client).await, (CLOSE.0, CLOSE.1.to_vec()));

    assert_eq!(begin(&server, "", "").await.1, "403");
    assert_eq!(begin(&server, "", "Origin: https://x\r\nSec-WebSocket-Protocol: a, b\r\n").await.1, "400");
    assert_eq!(begin(&server, "resourceVersion=x", "Origin: https://x\r\n").await.1, "500");

    // Another server knows nothing of what was before it.
    let other = Server::on(server.store.clone(), Options::default()).await.unwrap();
    let (mut client, code) = begin(&other, "resourceVersion=1", "Origin: https://x\r\n").await;
    assert_eq!(code, "101");
    assert_eq!(told(message(&mut client).await), "ERROR Expired");
    assert_eq!(message(&mut client).await, (CLOSE.0, CLOSE.1.to_vec()));
}

#[tokio::test]
async fn a_kubelet_that_is_not_there() {
    let server = world().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let path = "/api/v1/nodes/n/status";
    let (_, mut node) = server.call(Method::GET, "/api/v1/nodes/n", "").await;
    let endpoint = format!(r#"{{"kubeletEndpoint":{{"Port":{gone}}}}}"#);
    if let Some(status) = node.object_at("status") {
        status.set("daemonEndpoints", value::json::parse(endpoint.as_bytes()).unwrap());
    }
    let body = String::from_utf8(value::json::to_vec(&node)).unwrap();
    assert_eq!(server.call(Method::PUT, path, &body).await.0, 200);
    server.api.published.reached(server.store.revision().await.unwrap()).await;
    let (code, message) = get(&server, &format!("{PODS}/p/log?container=a")).await;
    let why = format!("dial tcp 127.0.0.1:{gone}: connect: connection refused");
    assert_eq!(
        (code, message),
        (500, format!("Get \"https://127.0.0.1:{gone}/containerLogs/default/p/a\": {why}"))
    );
}
