//! Acting as a service account over HTTPS: by tokens that are asked for and renewed
//! (`k8s.io/controller-manager/pkg/clientbuilder/client_builder_dynamic.go`).

use crate::transport::{ByteBody, Transport};
use crate::{Client, Error, Https};
use api::core::v1::ServiceAccount;
use api::meta::v1::ObjectMeta;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a token is asked for, in seconds.
const TOKEN_SECONDS: u64 = 3_600;
/// When a token is asked for anew: well before it lapses.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(2_400);

/// A transport whose requests carry the token of a service account.
pub struct ServiceAccountTransport {
    /// Without an identity of its own.
    https: Arc<Https>,
    /// Who may ask for tokens.
    root: Client,
    namespace: String,
    name: String,
    token: Mutex<Option<(Instant, HeaderValue)>>,
}

impl ServiceAccountTransport {
    /// Requests through `https`, which has no identity, with tokens that `root` asks for.
    pub fn new(https: Arc<Https>, root: Client, namespace: &str, name: &str) -> Self {
        Self { https, root, namespace: namespace.into(), name: name.into(), token: Mutex::default() }
    }

    async fn token(&self, rejected: Option<&HeaderValue>) -> Result<HeaderValue, Error> {
        let mut token = self.token.lock().await;
        if let Some((at, value)) = &*token
            && at.elapsed() < TOKEN_AGE_MAX
            && rejected != Some(value)
        {
            return Ok(value.clone());
        }
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "expirationSeconds": TOKEN_SECONDS },
        });
        let ask =
            || self.root.post_subresource::<ServiceAccount>(&self.namespace, &self.name, "token", &body);
        let answer = match ask().await {
            Err(error) if error.is_not_found() => {
                let metadata = ObjectMeta {
                    namespace: Some(self.namespace.clone()),
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                };
                let account = ServiceAccount { metadata, ..ServiceAccount::default() };
                match self.root.create(&account).await {
                    Err(error) if !error.is_already_exists() => return Err(error),
                    _ => ask().await?,
                }
            }
            other => other?,
        };
        let text = answer["status"]["token"].as_str().unwrap_or_default();
        let value = crate::https::bearer(text)?;
        *token = Some((Instant::now(), value.clone()));
        Ok(value)
    }
}

impl Transport for ServiceAccountTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let token = self.token(None).await?;
            parts.headers.insert(header::AUTHORIZATION, token.clone());
            let answer = self.https.send(Request::from_parts(parts.clone(), body.clone())).await?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
            // The account was made anew, or the keys have changed.
            let token = self.token(Some(&token)).await?;
            parts.headers.insert(header::AUTHORIZATION, token);
            self.https.send(Request::from_parts(parts, body)).await
        })
    }
}
