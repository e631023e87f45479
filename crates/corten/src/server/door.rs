//! The way of the controllers to the API server in the same process: its door, without a connection.

use apiserver::api::Api;
use auth::UserInfo;
use bytes::Bytes;
use client::{ByteBody, Client, Error, Transport};
use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;

/// Requests of one user.
struct Door {
    api: Arc<Api>,
    user: Arc<UserInfo>,
}

impl Transport for Door {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
        Box::pin(async move {
            let response = self.api.call(self.user.clone(), request).await;
            Ok(response.map(|body| -> ByteBody {
                Box::pin(
                    body.into_data_stream()
                        .map(|part| part.map_err(|error| Error::Transport(error.to_string()))),
                )
            }))
        })
    }
}

/// A client that acts as `user`.
pub(crate) fn client(api: &Arc<Api>, user: UserInfo, user_agent: &str) -> Client {
    Client::new(Arc::new(Door { api: api.clone(), user: Arc::new(user) }), user_agent)
}

/// A service account of `kube-system`, as its token would say.
pub(crate) fn service_account(name: &str) -> UserInfo {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    UserInfo::new(format!("system:serviceaccount:kube-system:{name}"), &groups)
}

/// A component with a certificate of its own, as that would say.
pub(crate) fn component(name: &str) -> UserInfo {
    UserInfo::new(name.to_owned(), &["system:authenticated"])
}
