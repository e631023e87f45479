//! Verbs on typed objects.

use crate::failure::failure;
use crate::options::{List, ListOptions, Patch, merge};
use crate::transport::{Transport, collect};
use crate::watch::EventStream;
use crate::{Error, HttpsByFile};
use api::Object;
use api::meta::v1::{DeleteOptions, ListMeta, Status};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer may take: longer than the server's own limit of 60 s, so that its text is seen.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(70);
/// How often a request that the server is too busy for is sent again, as client-go.
const BUSY_TRIES_MAX: u32 = 10;
/// How often an update is tried that somebody else comes before.
const UPDATE_TRIES_MAX: u32 = 5;
/// What the server says of a lost race.
const CHANGED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";
/// How many objects a page of a list holds, as client-go's pager.
const PAGE_OBJECTS: u32 = 500;

/// An API server, seen under one identity. Clones share everything.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user_agent: Arc<str>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Page<K> {
    #[serde(default)]
    metadata: ListMeta,
    // Go prints an empty list as null where nothing was found.
    items: Option<Vec<K>>,
}

impl Client {
    /// Over a transport; `user_agent` says who asks, in logs and as the default field manager.
    pub fn new(transport: Arc<dyn Transport>, user_agent: &str) -> Self {
        Self { transport, user_agent: user_agent.into() }
    }

    /// Over HTTPS, as a kubeconfig says.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`].
    pub fn from_kubeconfig(path: &Path, user_agent: &str) -> Result<Self, Error> {
        Ok(Self::new(Arc::new(HttpsByFile::new(path)?), user_agent))
    }

    /// The same way to the server for somebody else in this process.
    #[must_use]
    pub fn with_user_agent(&self, user_agent: &str) -> Self {
        Self { transport: self.transport.clone(), user_agent: user_agent.into() }
    }

    /// The object.
    ///
    /// # Errors
    /// [`Error`]; as of all verbs here.
    pub async fn get<K: Object>(&self, namespace: &str, name: &str) -> Result<K, Error> {
        decode(&self.raw(Method::GET, &path::<K>(namespace, name, ""), None).await?)
    }

    /// All objects of a namespace, or of all namespaces if it is empty.
    pub async fn list<K: Object>(&self, namespace: &str, options: &ListOptions) -> Result<List<K>, Error> {
        let base = path::<K>(namespace, "", "");
        let mut all = List { resource_version: String::new(), items: Vec::new() };
        let mut options = options.clone();
        let mut token: Option<String> = None;
        // From the server's cache a list comes in one piece: pages are for consistent reads.
        if options.resource_version.as_deref() != Some("0") {
            options.limit.get_or_insert(PAGE_OBJECTS);
        }
        loop {
            let more = token.as_deref().map(|token| ("continue", token));
            let query = options.query(more.as_slice());
            let answer = self.raw(Method::GET, &format!("{base}?{query}"), None).await?;
            let page: Page<K> = api::decode_lenient(&answer).map_err(unreadable::<K>)?;
            all.items.extend(page.items.into_iter().flatten().map(|mut object| {
                object.meta_mut().managed_fields = None;
                object
            }));
            all.resource_version = page.metadata.resource_version.unwrap_or_default();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(next) => {
                    // The token says which revision the list is of.
                    options.resource_version = None;
                    token = Some(next);
                }
                None => return Ok(all),
            }
        }
    }

    /// Makes the object, in the namespace that it names.
    pub async fn create<K: Object>(&self, object: &K) -> Result<K, Error> {
        let path = path::<K>(object.namespace(), "", "");
        decode(&self.raw(Method::POST, &path, Some(("application/json", encode(object)?))).await?)
    }

    /// Changes the object.
    pub async fn patch<K: Object>(&self, namespace: &str, name: &str, patch: &Patch) -> Result<K, Error> {
        self.patch_subresource(namespace, name, "", patch).await
    }

    /// Changes a part of the object that has a path of its own: `status`, `scale`, `finalize` …
    pub async fn patch_subresource<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Patch,
    ) -> Result<K, Error> {
        if let Patch::Update(change) = patch {
            return self.update(namespace, name, subresource, change).await;
        }
        let path = format!("{}{}", path::<K>(namespace, name, subresource), patch.query());
        let body = (patch.content_type(), encode(patch.body())?);
        decode(&self.raw(Method::PATCH, &path, Some(body)).await?)
    }

    /// [`Patch::Update`]. Without a resource version in it, it is tried again where somebody else was faster.
    async fn update<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        change: &Value,
    ) -> Result<K, Error> {
        let metadata = &change["metadata"];
        let mut tries = if metadata["resourceVersion"].is_null() { UPDATE_TRIES_MAX } else { 1 };
        loop {
            let read = self.raw(Method::GET, &path::<K>(namespace, name, ""), None).await?;
            let mut object: Value = serde_json::from_slice(&read).map_err(unreadable::<K>)?;
            for (field, what) in [("uid", "another object has this name"), ("resourceVersion", CHANGED)] {
                let wanted = &metadata[field];
                if !wanted.is_null() && *wanted != object["metadata"][field] {
                    return Err(conflict::<K>(name, what));
                }
            }
            merge(&mut object, change);
            let body = Some(("application/json", encode(&object)?));
            tries -= 1;
            match self.raw(Method::PUT, &path::<K>(namespace, name, subresource), body).await {
                Err(error) if error.is_conflict() && tries > 0 => {}
                other => return decode(&other?),
            }
        }
    }

    /// Deletes the object. Its finalizers and its grace period may keep it for a while.
    pub async fn delete<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), Error> {
        let body = ("application/json", encode(options)?);
        self.raw(Method::DELETE, &path::<K>(namespace, name, ""), Some(body)).await.map(drop)
    }

    /// Deletes what a selector finds.
    pub async fn delete_collection<K: Object>(
        &self,
        namespace: &str,
        which: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<(), Error> {
        let path = format!("{}?{}", path::<K>(namespace, "", ""), which.query(&[]));
        self.raw(Method::DELETE, &path, Some(("application/json", encode(options)?))).await.map(drop)
    }

    /// Posts to a part of an object: `binding`, `eviction`, `token`.
    pub async fn post_subresource<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        let path = path::<K>(namespace, name, subresource);
        let answer = self.raw(Method::POST, &path, Some(("application/json", encode(body)?))).await?;
        serde_json::from_slice(&answer).map_err(|e| Error::Decode(e.to_string()))
    }

    /// Puts a body where a subresource asks for that verb (`finalize`, `approval`).
    pub async fn put_subresource<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        let path = path::<K>(namespace, name, subresource);
        let answer = self.raw(Method::PUT, &path, Some(("application/json", encode(body)?))).await?;
        serde_json::from_slice(&answer).map_err(|e| Error::Decode(e.to_string()))
    }

    /// Any request; the answer's bytes. An answer that is no success is an error.
    pub async fn raw(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Bytes, Error> {
        for _ in 1..BUSY_TRIES_MAX {
            match self.once(&method, path_and_query, body.as_ref(), "application/json").await {
                Err(error) if error.retry_after().is_some() => {
                    let seconds = error.retry_after().unwrap_or(1).min(60);
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                other => return other,
            }
        }
        self.once(&method, path_and_query, body.as_ref(), "application/json").await
    }

    /// As [`Self::raw`] once, asking for a certain media type.
    pub async fn raw_accept(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<(&str, Bytes)>,
        accept: &str,
    ) -> Result<Bytes, Error> {
        self.once(&method, path_and_query, body.as_ref(), accept).await
    }

    async fn once(
        &self,
        method: &Method,
        path_and_query: &str,
        body: Option<&(&str, Bytes)>,
        accept: &str,
    ) -> Result<Bytes, Error> {
        let request = self.request(method, path_and_query, body, accept)?;
        let answer = async {
            let response = self.transport.send(request).await?;
            let (head, body) = response.into_parts();
            Ok((head, collect(body).await?))
        };
        let (head, bytes) = tokio::time::timeout(RESPONSE_TIMEOUT, answer).await.map_err(|_| {
            Error::Transport(format!("no answer to {method} {path_and_query} in {RESPONSE_TIMEOUT:?}"))
        })??;
        if head.status.is_success() {
            return Ok(bytes);
        }
        Err(failure(method, head.status, &head.headers, &bytes))
    }

    fn request(
        &self,
        method: &Method,
        path_and_query: &str,
        body: Option<&(&str, Bytes)>,
        accept: &str,
    ) -> Result<Request<Bytes>, Error> {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path_and_query)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, &*self.user_agent);
        if let Some((content_type, _)) = body {
            request = request.header(header::CONTENT_TYPE, *content_type);
        }
        let body = body.map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        request.body(body).map_err(|e| Error::Other(format!("cannot ask for {path_and_query:?}: {e}")))
    }

    /// Follows a path (with `watch=1` in its query): events as they come.
    ///
    /// # Errors
    /// If the watch does not begin; an `ERROR` event and a break come in the stream.
    pub async fn watch_raw<K: Object>(&self, path_and_query: &str) -> Result<EventStream<K>, Error> {
        self.watch_accept(path_and_query, "application/json").await
    }

    /// As [`Self::watch_raw`], asking for a certain media type.
    ///
    /// # Errors
    /// As there.
    pub async fn watch_accept<K: Object>(
        &self,
        path_and_query: &str,
        accept: &str,
    ) -> Result<EventStream<K>, Error> {
        let response = self.stream(path_and_query, accept).await?;
        Ok(EventStream::new(response.into_body()))
    }

    /// A request whose answer comes over time, such as a pod's log.
    ///
    /// # Errors
    /// If the answer is no success, or does not begin.
    pub async fn stream(
        &self,
        path_and_query: &str,
        accept: &str,
    ) -> Result<Response<crate::ByteBody>, Error> {
        let request = self.request(&Method::GET, path_and_query, None, accept)?;
        let response = tokio::time::timeout(RESPONSE_TIMEOUT, self.transport.send(request))
            .await
            .map_err(|_| Error::Transport(format!("no answer to GET {path_and_query}")))??;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        Err(failure(&Method::GET, head.status, &head.headers, &collect(body).await?))
    }
}

/// The path of a resource, of an object in it if there is a name, or of a subresource.
pub(crate) fn path<K: Object>(namespace: &str, name: &str, subresource: &str) -> String {
    let namespace = if K::NAMESPACED { namespace } else { "" };
    let mut path = collection(K::GROUP, K::VERSION, K::PLURAL, namespace);
    for part in [name, subresource] {
        if !part.is_empty() {
            let _ = write!(path, "/{part}");
        }
    }
    path
}

/// The path of a resource by its names.
pub(crate) fn collection(group: &str, version: &str, plural: &str, namespace: &str) -> String {
    let base = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    if namespace.is_empty() {
        format!("{base}/{plural}")
    } else {
        format!("{base}/namespaces/{namespace}/{plural}")
    }
}

fn conflict<K: Object>(name: &str, what: &str) -> Error {
    Error::Status(Box::new(Status {
        code: Some(409),
        reason: Some("Conflict".into()),
        message: Some(format!("Operation cannot be fulfilled on {} {name:?}: {what}", K::PLURAL)),
        ..Status::default()
    }))
}

fn encode<T: serde::Serialize>(object: &T) -> Result<Bytes, Error> {
    serde_json::to_vec(object).map(Bytes::from).map_err(|e| Error::Decode(e.to_string()))
}

fn decode<K: Object>(json: &[u8]) -> Result<K, Error> {
    api::decode(json).map_err(unreadable::<K>)
}

#[expect(clippy::needless_pass_by_value, reason = "goes into map_err")]
fn unreadable<K: Object>(error: serde_json::Error) -> Error {
    Error::Decode(format!("{}: {error}", K::KIND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::apps::v1::Deployment;
    use api::core::v1::{Node, Pod};

    #[test]
    fn paths() {
        assert_eq!(path::<Pod>("a", "b", "status"), "/api/v1/namespaces/a/pods/b/status");
        assert_eq!(path::<Pod>("", "", ""), "/api/v1/pods");
        assert_eq!(path::<Node>("", "n", ""), "/api/v1/nodes/n");
        assert_eq!(path::<Deployment>("a", "", ""), "/apis/apps/v1/namespaces/a/deployments");
    }
}
