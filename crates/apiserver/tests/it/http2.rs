//! What a client of HTTP/2 may do with its streams.

use crate::server::pki;
use apiserver::body::{ByteStream, RequestBody, ResponseBody};
use apiserver::listen::{Answer, Connection, Handler, Lanes};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use pki::{AnyClientCertificate, HotCertificate, Leaf};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// The bytes of a piece of a long body, and how many pieces it has.
const PIECE: usize = 4 << 10;
const PIECES: usize = 1000;

/// Answers by path what the tests are about.
#[derive(Default)]
struct Answers {
    /// Dropped with the answer to the path.
    held: Mutex<HashMap<String, oneshot::Sender<()>>>,
    pieces_made: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
}

impl Answers {
    /// Completes once what is held for the path is let go.
    fn end_of(&self, path: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.held.lock().insert(path.into(), sender);
        receiver
    }
}

/// A body that never says anything.
struct Silent(#[expect(dead_code, reason = "dropping it is what it is for")] Option<oneshot::Sender<()>>);

impl ByteStream for Silent {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Poll::Pending
    }
}

impl Handler for Answers {
    fn handle(self: Arc<Self>, _: Arc<Connection>, request: Request<RequestBody>) -> Answer {
        let held = self.held.lock().remove(request.uri().path());
        Box::pin(async move {
            let body = match request.uri().path() {
                "/never" => {
                    let _held = held;
                    std::future::pending::<ResponseBody>().await
                }
                "/silent" => ResponseBody::Stream(Box::new(Silent(held))),
                "/long" => {
                    let made = self.pieces_made.clone();
                    ResponseBody::Pieces(Box::new((0..PIECES).map(move |_| {
                        made.fetch_add(1, Ordering::SeqCst);
                        Bytes::from_static(&[b'x'; PIECE])
                    })))
                }
                "/later" => {
                    self.go_on.notified().await;
                    ResponseBody::Full(Bytes::from_static(b"now"))
                }
                "/echo" => {
                    let body = request.into_body().collect().await.unwrap();
                    ResponseBody::Full(body.to_bytes())
                }
                _ => ResponseBody::Full(Bytes::from_static(b"here")),
            };
            Response::new(body)
        })
    }
}

struct Server {
    answers: Arc<Answers>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    client: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Server {
    /// A server and a connection to it, of which each stream takes `window` bytes before they are read.
    async fn start(window: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = HotCertificate::new(pki().leaf(Leaf::ApiServer)).unwrap();
        let tls = pki::server_config(certificate, AnyClientCertificate::new(&[])).unwrap();
        let (answers, (stop, stopped)) = (Arc::<Answers>::default(), watch::channel(false));
        let lanes = Lanes::here();
        let serving =
            tokio::spawn(apiserver::listen::serve(listener, Arc::new(tls), answers.clone(), lanes, stopped));

        let tls = pki::client_config(&[pki().authority().certificate()], None).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TlsConnector::from(Arc::new(tls))
            .connect("kubernetes".try_into().unwrap(), stream)
            .await
            .unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (client, connection) = builder.handshake(stream).await.unwrap();
        Self { answers, stop, serving, client, connection: tokio::spawn(connection) }
    }

    async fn ask(&mut self, path: &str, has_body: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::get(format!("https://server{path}")).body(()).unwrap();
        let mut client = self.client.clone().ready().await.unwrap();
        client.send_request(request, !has_body).unwrap()
    }

    async fn get(&mut self, path: &str) -> Bytes {
        let answer = self.ask(path, false).await.0.await.unwrap();
        read(answer).await
    }
}

/// Reads an answer to its end, giving back the room that it takes.
async fn read(answer: Response<h2::RecvStream>) -> Bytes {
    let (mut body, mut all) = (answer.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    all.into()
}

#[tokio::test]
async fn who_wants_an_answer_no_more_ends_its_making() {
    let mut server = Server::start(1 << 16).await;
    for path in ["/never", "/silent"] {
        let end = server.answers.end_of(path);
        let (answer, mut stream) = server.ask(path, true).await;
        // The request has arrived once a later one is answered.
        assert_eq!(server.get("/").await, "here");
        stream.send_reset(Reason::CANCEL);
        drop(answer);
        assert!(end.await.is_err(), "{path} goes on");
    }
    assert_eq!(server.get("/").await, "here", "the others are not concerned");
}

#[tokio::test]
async fn a_long_body_is_made_as_it_is_taken() {
    let mut server = Server::start(16 << 10).await;
    let answer = server.ask("/long", false).await.0.await.unwrap();
    for _ in 0..10 {
        assert_eq!(server.get("/").await, "here");
    }
    // What the client's window takes, and as much that waits for it.
    let made = server.answers.pieces_made.load(Ordering::SeqCst);
    assert!((1..=9).contains(&made), "{made} pieces were made for who reads none");
    assert_eq!(read(answer).await.len(), PIECE * PIECES);
    assert_eq!(server.answers.pieces_made.load(Ordering::SeqCst), PIECES);
}

#[tokio::test]
async fn the_body_of_a_request_may_be_longer_than_any_window() {
    let mut server = Server::start(1 << 16).await;
    let (answer, mut stream) = server.ask("/echo", true).await;
    let sent = Bytes::from((0..3 << 20).map(|i: u32| i.to_le_bytes()[1]).collect::<Vec<u8>>());
    stream.send_data(sent.clone(), true).unwrap();
    assert_eq!(read(answer.await.unwrap()).await, sent);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_ends() {
    let mut server = Server::start(1 << 16).await;
    assert_eq!(server.get("/").await, "here");
    let (answer, _) = server.ask("/later", false).await;
    assert_eq!(server.get("/").await, "here");
    // From now on time passes while nothing happens.
    tokio::time::pause();
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert!(!server.connection.is_finished(), "somebody waits for an answer");
    server.answers.go_on.notify_one();
    assert_eq!(read(answer.await.unwrap()).await, "now");
    server.connection.await.unwrap().unwrap();
    let idle = begin.elapsed() - Duration::from_secs(1_000);
    assert!((90..=180).contains(&idle.as_secs()), "it ended after {idle:?}");
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let mut server = Server::start(1 << 16).await;
    let (answer, _) = server.ask("/later", false).await;
    assert_eq!(server.get("/").await, "here");
    server.stop.send(true).unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert!(!server.serving.is_finished(), "somebody waits for an answer");
    server.answers.go_on.notify_one();
    let answer = answer.await.unwrap();
    assert!(answer.headers().contains_key("date"), "{answer:?}");
    assert_eq!(answer.headers()["content-length"], "3");
    assert_eq!(read(answer).await, "now");
    server.connection.await.unwrap().unwrap();
    server.serving.await.unwrap();
}
