//! A server of a test.

use apiserver::access::Access;
use apiserver::api::{Api, Config, Options, StartError};
use auth::{Anonymous, Authenticator, FrontProxy, UserInfo};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use pki::{ClientAuthorities, Pki};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use store::{MemoryStore, Store};
use value::{Value, json};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

static KEYS: LazyLock<(tempfile::TempDir, Pki)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let now = jiff::Timestamp::now().as_second();
    let pki = Pki::open(dir.path(), pki::Config::default(), now).unwrap();
    (dir, pki)
});

/// The keys that all tests share.
pub(crate) fn pki() -> &'static Pki {
    &KEYS.1
}

pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    pub(crate) store: Arc<dyn Store>,
}

impl Server {
    pub(crate) async fn start(options: Options) -> Self {
        Self::on(Arc::new(MemoryStore::new()), options).await.unwrap()
    }

    pub(crate) async fn on(store: Arc<dyn Store>, options: Options) -> Result<Self, StartError> {
        let keys = Arc::new(pki().service_account_keys().clone());
        let authenticator = Authenticator::new(auth::Config {
            client_authorities: ClientAuthorities::new(&[pki().authority().certificate()]).unwrap(),
            front_proxy: Some(FrontProxy::standard(
                ClientAuthorities::new(&[pki().front_proxy_authority().certificate()]).unwrap(),
            )),
            service_account_keys: keys.clone(),
            issuers: vec![ISSUER.into()],
            audiences: vec![ISSUER.into()],
            bootstrap_tokens: true,
            anonymous: Anonymous::Everywhere,
        });
        let config = Config {
            advertise_address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            port: 6443,
            service_ranges: vec!["10.96.0.0/16".into()],
            issuer: ISSUER.into(),
        };
        let access = Access::new(authenticator.unwrap(), keys);
        let api = Api::start_with(config, store.clone(), access, options).await?;
        Ok(Self { api, store })
    }

    /// As the administrator.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let (code, _, body) = self.call_as(&["admin", "system:masters"], method, path, body).await;
        (code, json::parse(&body).unwrap_or_default())
    }

    /// Reads as the administrator, with these headers.
    pub(crate) async fn get_with(&self, path: &str, headers: http::HeaderMap) -> Value {
        let mut request = Request::builder().uri(path).body(Bytes::new()).unwrap();
        *request.headers_mut() = headers;
        let user = Arc::new(UserInfo::new("admin", &["system:masters"]));
        let response = self.api.call(user, request).await;
        let body = response.into_body().collect().await.unwrap();
        json::parse(&body.to_bytes()).unwrap_or_default()
    }

    /// As a user with groups.
    pub(crate) async fn call_as(
        &self,
        user: &[&str],
        method: Method,
        path: &str,
        body: &str,
    ) -> (u16, http::HeaderMap, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "test")
            .body(Bytes::from(body.to_owned()));
        let user = Arc::new(UserInfo::new(user[0], &user[1..]));
        let response: Response<_> = self.api.call(user, request.unwrap()).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        (parts.status.as_u16(), parts.headers, body.to_bytes())
    }
}

/// Waits for what comes about by itself.
pub(crate) async fn until<F: Future<Output = bool>>(mut done: impl FnMut() -> F) {
    let done = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done).await.unwrap();
}

impl Drop for Server {
    fn drop(&mut self) {
        self.api.stopping.send_replace(true);
    }
}
