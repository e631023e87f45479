//! A webhook of a test: HTTPS at a port of this machine, under the name `localhost`.

use crate::server::pki;
use base64::Engine;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use pki::{AnyClientCertificate, HotCertificate, Names, Usage};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use value::{Value, json};

/// What a webhook does about a question.
pub(crate) enum Answer {
    /// Answers it.
    Say(Value),
    /// Answers with this code and text.
    Fail(u16, &'static str),
    /// Never answers.
    Hang,
}

/// A webhook.
pub(crate) struct Webhook {
    port: u16,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Webhook {
    /// Answers by a function of the path and what was sent there.
    pub(crate) async fn start(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        let now = jiff::Timestamp::now().as_second();
        let names = Names { dns: vec!["localhost".into()], ..Names::default() };
        let subject = pki::Name::new("localhost", &[]);
        let identity = pki().authority().issue(&subject, &names, Usage::Server, now, 3_600).unwrap();
        let clients = AnyClientCertificate::new(&[]);
        let mut tls = pki::server_config(HotCertificate::new(&identity).unwrap(), clients).unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let (log, answer) = (asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, answer) = (acceptor.clone(), log.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request: Request<Incoming>| {
                        let (log, answer) = (&log, &answer);
                        async move {
                            let path = request.uri().path().to_owned();
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            let question = json::parse(&body).unwrap_or_default();
                            let said = answer(&path, &question);
                            log.lock().push((path, question));
                            Ok::<_, Infallible>(respond(said).await)
                        }
                    });
                    // Whoever asks may leave at any time.
                    let _left = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, asked }
    }

    /// Where it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// `clientConfig` of a path.
    pub(crate) fn client_config(&self, path: &str) -> Value {
        let bundle = pki().authority().certificate().to_pem();
        let mut config = Value::object();
        config.set("url", self.url(path));
        config.set("caBundle", base64::engine::general_purpose::STANDARD.encode(bundle));
        config
    }

    /// What it was asked since the last time, with the paths.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.asked.lock())
    }

    /// How often it was asked so far.
    pub(crate) fn count(&self) -> usize {
        self.asked.lock().len()
    }
}

async fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let (code, body) = match answer {
        Answer::Say(value) => (200, json::to_vec(&value).into()),
        Answer::Fail(code, text) => (code, text.into()),
        Answer::Hang => std::future::pending().await,
    };
    Response::builder().status(code).body(Full::new(body)).unwrap()
}
