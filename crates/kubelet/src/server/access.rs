//! Who asks, and whether they may: certificates are judged here, tokens and permissions by the API server.
//!
//! Upstream: `cmd/kubelet/app/auth.go` (delegating authentication and authorization, with their caches).

use super::attributes;
use super::respond::{self, Answer};
use api::authentication::v1::{TokenReview, TokenReviewSpec};
use api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use client::Client;
use http::{HeaderMap, Method, header};
use parking_lot::Mutex;
use pki::{ClientAuthorities, KeyedHasher};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long answers of the API server are believed, as upstream's defaults.
const TOKEN_TIME: Duration = Duration::from_secs(2 * 60);
const ALLOWED_TIME: Duration = Duration::from_secs(5 * 60);
const DENIED_TIME: Duration = Duration::from_secs(30);
/// How many answers are kept: far more than a node has scrapers.
const ANSWERS_MAX: usize = 1_024;
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// A user as access reviews name one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct User {
    pub(super) name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// Decides about requests.
pub(super) struct Access {
    client: Client,
    node_name: String,
    authorities: ClientAuthorities,
    anonymous: bool,
    hasher: KeyedHasher,
    tokens: Cache<[u8; 32], Option<User>>,
    permissions: Cache<(User, &'static str, &'static str), bool>,
}

impl Access {
    /// Believes certificates of the configured authority, and what the API server says.
    ///
    /// # Errors
    /// The authority cannot be read.
    pub(super) fn new(client: Client, config: &crate::Config) -> Result<Self, pki::Error> {
        let pem = config.server.client_ca.as_deref().unwrap_or_default();
        let certificates = if pem.is_empty() { Vec::new() } else { pki::Certificate::all_from_pem(pem)? };
        Ok(Self {
            client,
            node_name: config.node_name.clone(),
            authorities: ClientAuthorities::new(&certificates.iter().collect::<Vec<_>>())?,
            anonymous: config.server.anonymous,
            hasher: KeyedHasher::new()?,
            tokens: Cache::default(),
            permissions: Cache::default(),
        })
    }

    /// Who is at the other end of a connection: `None` without a certificate, an error with a bad one.
    pub(super) fn peer(
        &self,
        chain: &[rustls_pki_types::CertificateDer<'_>],
    ) -> Result<Option<User>, pki::Error> {
        if chain.is_empty() {
            return Ok(None);
        }
        let certificate = self.authorities.verify(chain, jiff::Timestamp::now().as_second())?;
        let subject = certificate.subject;
        let mut groups = subject.organizations;
        groups.push("system:authenticated".into());
        Ok(Some(User { name: subject.common_name, groups, ..User::default() }))
    }

    /// Refuses what the caller may not do.
    ///
    /// # Errors
    /// The answer to the client.
    pub(super) async fn check(
        &self,
        peer: &Result<Option<User>, pki::Error>,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Answer> {
        let unauthorized = || respond::text(401, "Unauthorized");
        let user = match self.authenticate(peer, headers).await {
            Ok(Some(user)) => user,
            Ok(None) => return Err(unauthorized()),
            Err(error) => {
                tracing::warn!(%error, "cannot find out who asks");
                return Err(unauthorized());
            }
        };
        let (verb, subresources) = (attributes::verb(method), attributes::subresources(path));
        for subresource in &subresources {
            match self.may(&user, verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, user = user.name, "cannot find out what a user may do");
                    let text = format!(
                        "Authorization error (user={}, verb={verb}, resource=nodes, subresource={subresource})",
                        user.name
                    );
                    return Err(respond::text(500, text));
                }
            }
        }
        let text = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            user.name,
            subresources.join(" ")
        );
        Err(respond::text(403, text))
    }

    async fn authenticate(
        &self,
        peer: &Result<Option<User>, pki::Error>,
        headers: &HeaderMap,
    ) -> Result<Option<User>, client::Error> {
        if let Ok(Some(user)) = peer {
            return Ok(Some(user.clone()));
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| {
            let (scheme, token) = v.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        if let Some(token) = bearer.filter(|t| !t.is_empty()) {
            return self.token(token).await;
        }
        // Bad credentials are never anonymous.
        if peer.is_err() || !self.anonymous {
            return Ok(None);
        }
        let groups = vec!["system:unauthenticated".into()];
        Ok(Some(User { name: "system:anonymous".into(), groups, ..User::default() }))
    }

    async fn token(&self, token: &str) -> Result<Option<User>, client::Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Ok(None);
        }
        let key = self.hasher.hash(&[token.as_bytes()]);
        if let Some(known) = self.tokens.get(&key) {
            return Ok(known);
        }
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let status = self.client.create(&review).await?.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true)).map(|user| User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        });
        self.tokens.put(key, user.clone(), TOKEN_TIME);
        Ok(user)
    }

    async fn may(
        &self,
        user: &User,
        verb: &'static str,
        subresource: &'static str,
    ) -> Result<bool, client::Error> {
        let key = (user.clone(), verb, subresource);
        if let Some(known) = self.permissions.get(&key) {
            return Ok(known);
        }
        let attributes = ResourceAttributes {
            name: Some(self.node_name.clone()),
            resource: Some("nodes".into()),
            subresource: Some(subresource.into()),
            verb: Some(verb.into()),
            version: Some("v1".into()),
            ..ResourceAttributes::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: Some(user.uid.clone()).filter(|u| !u.is_empty()),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()).filter(|e| !e.is_empty()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let allowed = self.client.create(&review).await?.status.is_some_and(|s| s.allowed);
        self.permissions.put(key, allowed, if allowed { ALLOWED_TIME } else { DENIED_TIME });
        Ok(allowed)
    }
}

/// Answers that are believed for a while.
struct Cache<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let answers = self.0.lock();
        let (value, until) = answers.get(key)?;
        (Instant::now() < *until).then(|| value.clone())
    }

    fn put(&self, key: K, value: V, time: Duration) {
        let mut answers = self.0.lock();
        let now = Instant::now();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (_, until)| now < *until);
        }
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(key, (value, now + time));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;
    use client::{ByteBody, Error, Transport};
    use futures_util::future::BoxFuture;
    use http::{HeaderValue, Request, Response};
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// An API server that knows one token, and lets its user read metrics.
    #[derive(Default)]
    struct Reviewer(Mutex<Vec<String>>);

    impl Transport for Reviewer {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
            let mut review: Value = serde_json::from_slice(request.body()).unwrap();
            let spec = review["spec"].clone();
            let (asked, status) = if spec["token"].is_string() {
                let known = spec["token"] == "good";
                let user = json!({"username": "scraper", "groups": ["g"]});
                ("token".to_owned(), json!({"authenticated": known, "user": known.then_some(user)}))
            } else {
                let attributes = &spec["resourceAttributes"];
                let what = format!("{} {} {}", spec["user"], attributes["verb"], attributes["subresource"]);
                let allowed = what == r#""scraper" "get" "metrics""#;
                (what.replace('"', ""), json!({"allowed": allowed}))
            };
            self.0.lock().push(asked);
            review["status"] = status;
            let body = Bytes::from(review.to_string());
            let body: ByteBody = Box::pin(futures_util::stream::once(async { Ok(body) }));
            Box::pin(async { Ok(Response::builder().status(201).body(body).unwrap()) })
        }
    }

    fn access(reviewer: Arc<Reviewer>, anonymous: bool) -> Access {
        Access {
            client: Client::new(reviewer, "test"),
            node_name: "n".into(),
            authorities: ClientAuthorities::default(),
            anonymous,
            hasher: KeyedHasher::new().unwrap(),
            tokens: Cache::default(),
            permissions: Cache::default(),
        }
    }

    #[tokio::test]
    async fn who_may_what() {
        let reviewer = Arc::new(Reviewer::default());
        let check = async |access: &Access, token: &str, path: &str| {
            let mut headers = HeaderMap::new();
            if !token.is_empty() {
                let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
                headers.insert(header::AUTHORIZATION, value);
            }
            let checked = access.check(&Ok(None), &Method::GET, path, &headers).await;
            checked.map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
        };
        let strict = access(reviewer.clone(), false);
        assert_eq!(check(&strict, "", "/metrics").await, 401);
        assert_eq!(check(&strict, "bad", "/metrics").await, 401);
        assert_eq!(check(&strict, "good", "/metrics").await, 200);
        assert_eq!(check(&strict, "good", "/metrics/cadvisor").await, 200);
        assert_eq!(check(&strict, "good", "/exec/a/b/c").await, 403);
        assert_eq!(check(&strict, "good", "/pods").await, 403);
        // Each question is asked once.
        let asked = ["token", "token", "scraper get metrics", "scraper get proxy", "scraper get pods"];
        assert_eq!(*reviewer.0.lock(), asked);
        let open = access(Arc::default(), true);
        assert_eq!(check(&open, "", "/metrics").await, 403);
        assert_eq!(check(&open, "bad", "/metrics").await, 401);
    }

    #[test]
    fn answers_are_forgotten() {
        let cache = Cache::default();
        cache.put(1, "a", Duration::from_secs(60));
        cache.put(2, "b", Duration::ZERO);
        assert_eq!((cache.get(&1), cache.get(&2)), (Some("a"), None));
        for key in 0..ANSWERS_MAX * 2 {
            cache.put(key, "c", Duration::from_secs(60));
            assert!(cache.0.lock().len() <= ANSWERS_MAX);
        }
    }
}
