//! From a request's certificate, token and headers to a user.
//!
//! Asked in upstream's order: front proxy, client certificate, bearer token (Authorization header, then
//! WebSocket subprotocol). The first that knows the caller wins, even if one before it failed. If none
//! does and one failed, the answer is 401: bad credentials are never anonymous.
//!
//! Upstream: `pkg/kubeapiserver/authenticator/config.go`, `k8s.io/apiserver/pkg/authentication/request`.

mod bootstrap;
mod cache;
mod front_proxy;
pub(crate) mod fuzz;
mod peer;
mod service_account;
#[cfg(test)]
mod tests;
mod token;

pub use front_proxy::FrontProxy;
pub(crate) use front_proxy::{text as header_text, unescape as unescape_header_key};
pub use peer::Peer;
pub use service_account::{Reference, ServiceAccountToken, TokenError};

use crate::{Lookup, UserInfo};
use cache::Cache;
use http::HeaderMap;
use parking_lot::RwLock;
use pki::{ClientAuthorities, ServiceAccountKeys};
use std::sync::Arc;
use value::Str;

/// Who passes without credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Everyone, as `system:anonymous`.
    #[default]
    Everywhere,
    /// Only requests for these paths.
    Paths(Vec<String>),
    /// Nobody.
    Nowhere,
}

/// What is believed.
#[derive(Debug)]
pub struct Config {
    /// Authorities of client certificates.
    pub client_authorities: ClientAuthorities,
    /// The front proxy that may name users by headers.
    pub front_proxy: Option<FrontProxy>,
    /// The keys of service-account tokens.
    pub service_account_keys: Arc<ServiceAccountKeys>,
    /// Accepted issuers of service-account tokens; the first issues new ones.
    pub issuers: Vec<String>,
    /// The audiences that this server answers to; usually the issuers.
    pub audiences: Vec<String>,
    /// Whether tokens in `bootstrap-token-*` secrets are accepted.
    pub bootstrap_tokens: bool,
    /// Who passes without credentials.
    pub anonymous: Anonymous,
}

/// A caller that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Who.
    pub user: Arc<UserInfo>,
    /// Those of the audiences asked for that the credential is meant for; empty if it says nothing of it.
    pub audiences: Vec<Str>,
    /// Annotations for the audit log.
    pub annotations: Vec<(Str, String)>,
}

impl Response {
    fn new(mut user: UserInfo) -> Self {
        user.mark_authenticated();
        Self { user: Arc::new(user), audiences: Vec::new(), annotations: Vec::new() }
    }
}

/// A caller that is not known: the answer is 401 `Unauthorized`; the reason is for the log only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to authenticate the request: {reason}")]
pub struct Unauthenticated {
    /// What was wrong.
    pub reason: String,
}

/// What one authenticator finds: a user, nothing that concerns it, or something wrong.
type Found<T> = Result<Option<T>, String>;

/// The authenticator of the API server.
#[derive(Debug)]
pub struct Authenticator {
    config: RwLock<Arc<Trust>>,
    cache: Cache,
}

/// A configuration and its number: verdicts under an older one are judged anew.
#[derive(Debug)]
struct Trust {
    config: Config,
    generation: u64,
}

impl Authenticator {
    /// Believes what `config` says.
    ///
    /// # Errors
    /// [`pki::Error`] when the system gives no randomness.
    pub fn new(config: Config) -> Result<Self, pki::Error> {
        let trust = Trust { config, generation: 0 };
        Ok(Self { config: RwLock::new(Arc::new(trust)), cache: Cache::new()? })
    }

    /// Believes what `config` says from now on (new authorities, new keys).
    pub fn replace(&self, config: Config) {
        let mut current = self.config.write();
        let generation = current.generation.wrapping_add(1);
        *current = Arc::new(Trust { config, generation });
        self.cache.clear();
    }

    /// Finds out who calls, and takes the credentials out of `headers`, so that nothing behind can leak or
    /// be fooled by them.
    ///
    /// `path` is the URL path; `peer` the connection's client certificate, if there is one; `now` is in
    /// Unix seconds.
    ///
    /// # Errors
    /// [`Unauthenticated`]: answer 401.
    pub fn authenticate(
        &self,
        headers: &mut HeaderMap,
        path: &str,
        peer: Option<&Peer>,
        lookup: &dyn Lookup,
        now: i64,
    ) -> Result<Response, Unauthenticated> {
        let trust = self.config.read().clone();
        let config = &trust.config;
        let mut errors: Vec<String> = Vec::new();
        let mut keep = |found: Found<Response>| {
            found.unwrap_or_else(|error| {
                errors.push(error);
                None
            })
        };
        let found = keep(self.by_certificate(&trust, headers, peer, now))
            .or_else(|| keep(self.by_bearer(&trust, headers, lookup, now)))
            .or_else(|| keep(self.by_websocket(&trust, headers, lookup, now)));
        let response = match found {
            Some(response) => response,
            None if !errors.is_empty() => {
                return Err(Unauthenticated { reason: crate::rbac::aggregate_texts(&errors) });
            }
            None => match &config.anonymous {
                Anonymous::Everywhere => Response::new(UserInfo::anonymous()),
                Anonymous::Paths(paths) if paths.iter().any(|p| p == path) => {
                    Response::new(UserInfo::anonymous())
                }
                _ => return Err(Unauthenticated { reason: "no credentials".into() }),
            },
        };
        headers.remove(http::header::AUTHORIZATION);
        front_proxy::strip(headers, config.front_proxy.as_ref());
        Ok(response)
    }

    /// Whom a token names, for the audiences asked for (empty: this server's own). This is TokenReview's
    /// question.
    ///
    /// # Errors
    /// The text for `status.error`, if the token is known here but not good; `None` if nobody knows it.
    pub fn authenticate_token(
        &self,
        token: &str,
        audiences: &[&str],
        lookup: &dyn Lookup,
        now: i64,
    ) -> Result<Option<Response>, String> {
        let trust = self.config.read().clone();
        self.token(&trust, token, audiences, lookup, now)
    }

    /// The audiences that this server answers to.
    pub fn audiences(&self) -> Vec<String> {
        self.config.read().config.audiences.clone()
    }

    fn by_certificate(
        &self,
        trust: &Trust,
        headers: &mut HeaderMap,
        peer: Option<&Peer>,
        now: i64,
    ) -> Found<Response> {
        let Some(peer) = peer else { return Ok(None) };
        let verdict = peer.judge(trust, now);
        let proxy = trust.config.front_proxy.as_ref();
        if let (Some(proxy), Ok(())) = (proxy, &verdict.front_proxy)
            && let Some(user) = proxy.user(headers)
        {
            return Ok(Some(Response::new(user)));
        }
        if let Ok(Some(user)) = &verdict.client {
            return Ok(Some(Response { user: user.clone(), audiences: Vec::new(), annotations: Vec::new() }));
        }
        let no_proxy = proxy.and(verdict.front_proxy.as_ref().err());
        let errors: Vec<String> =
            no_proxy.into_iter().chain(verdict.client.as_ref().err()).cloned().collect();
        if errors.is_empty() { Ok(None) } else { Err(crate::rbac::aggregate_texts(&errors)) }
    }

    fn by_bearer(
        &self,
        trust: &Trust,
        headers: &HeaderMap,
        lookup: &dyn Lookup,
        now: i64,
    ) -> Found<Response> {
        let Some(token) = token::bearer(headers) else { return Ok(None) };
        self.known_token(trust, token, lookup, now)
    }

    fn by_websocket(
        &self,
        trust: &Trust,
        headers: &mut HeaderMap,
        lookup: &dyn Lookup,
        now: i64,
    ) -> Found<Response> {
        let Some((token, rest)) = token::websocket(headers)? else { return Ok(None) };
        let found = self.known_token(trust, &token, lookup, now)?;
        token::set_protocols(headers, &rest);
        Ok(found)
    }

    fn known_token(&self, trust: &Trust, token: &str, lookup: &dyn Lookup, now: i64) -> Found<Response> {
        let found = self.token(trust, token, &[], lookup, now)?;
        found.map(Some).ok_or_else(|| "invalid bearer token".to_owned())
    }

    /// All token authenticators: service accounts, bootstrap tokens. An error of one is kept in mind while
    /// the next is asked.
    fn token(
        &self,
        trust: &Trust,
        token: &str,
        audiences: &[&str],
        lookup: &dyn Lookup,
        now: i64,
    ) -> Found<Response> {
        let key = self.cache.key(token, audiences);
        if let Some(response) = self.cache.get(&key, now) {
            return Ok(Some(response));
        }
        let config = &trust.config;
        let own: Vec<&str> = config.audiences.iter().map(String::as_str).collect();
        let wanted = if audiences.is_empty() { &own } else { audiences };
        let found = match service_account::authenticate(config, token, wanted, lookup, now) {
            Ok(Some(response)) => Ok(Some(response)),
            Ok(None) if config.bootstrap_tokens => Ok(bootstrap::authenticate(token, lookup, now)
                .and_then(|user| agnostic(Response::new(user), &own, wanted))),
            other => other,
        };
        if let Ok(Some(response)) = &found {
            self.cache.set(key, response.clone(), now);
        }
        found
    }
}

/// A credential that names no audience is good for this server's own, if one of them is asked for.
fn agnostic(mut response: Response, own: &[&str], wanted: &[&str]) -> Option<Response> {
    if own.is_empty() {
        return Some(response);
    }
    response.audiences = own.iter().filter(|a| wanted.contains(*a)).map(|a| (*a).into()).collect();
    (!response.audiences.is_empty()).then_some(response)
}
