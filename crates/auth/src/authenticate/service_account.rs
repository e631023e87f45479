//! Tokens of service accounts: JWTs bound to an account and perhaps to a pod, secret or node, good as
//! long as what they are bound to lives.
//!
//! Upstream: `pkg/serviceaccount/{jwt,claims}.go`.

use super::{Config, Found, Response};
use crate::user::{CREDENTIAL_ID, NODE_NAME, NODE_UID, POD_NAME, POD_UID};
use crate::{Lookup, UserInfo};
use meta::quote::quote_all;
use meta::time::Time;
use pki::{JwtError, ServiceAccountKeys};
use value::{Str, Value};

/// How far clocks may differ (go-jose's default leeway).
const LEEWAY_SECONDS: i64 = 60;

/// An object that a token names: name and UID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub name: Str,
    /// Its UID.
    pub uid: Str,
}

/// The claims of a service-account token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccountToken {
    /// `iss`.
    pub issuer: Str,
    /// `sub`: the user name.
    pub subject: Str,
    /// `aud`.
    pub audiences: Vec<Str>,
    /// `exp`, Unix seconds.
    pub expires_at: Option<i64>,
    /// `nbf`.
    pub not_before: Option<i64>,
    /// `iat`.
    pub issued_at: Option<i64>,
    /// `jti`.
    pub id: Str,
    /// The account's namespace.
    pub namespace: Str,
    /// The account.
    pub account: Reference,
    /// The pod it is bound to.
    pub pod: Option<Reference>,
    /// The secret it is bound to.
    pub secret: Option<Reference>,
    /// The node it is bound to, or that the pod runs on.
    pub node: Option<Reference>,
    /// When its use shall be noticed: it should have been replaced by then.
    pub warn_after: Option<i64>,
}

/// Why a token with a good signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(String);

impl ServiceAccountToken {
    /// Reads a payload; `None` if a claim has not the type it must have.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let claims = value::json::parse(payload).ok()?;
        claims.as_object()?;
        let text = |v: &Value| v.is_null().then(Str::default).or_else(|| v.as_str().map(Into::into));
        let date = |v: &Value| match v {
            Value::Null => Some(None),
            // Go converts a float, cutting the fraction.
            Value::Number(n) => Some(Some(n.as_i64().unwrap_or_else(|| n.as_f64() as i64))),
            _ => None,
        };
        let reference = |v: &Value| -> Option<Option<Reference>> {
            match v {
                Value::Null => Some(None),
                Value::Object(_) => {
                    Some(Some(Reference { name: text(v.at("name"))?, uid: text(v.at("uid"))? }))
                }
                _ => None,
            }
        };
        let audiences = match claims.at("aud") {
            Value::Null => Vec::new(),
            Value::String(one) => vec![one.clone()],
            Value::Array(all) => all.iter().map(|a| a.as_str().map(Into::into)).collect::<Option<_>>()?,
            _ => return None,
        };
        let own = claims.at("kubernetes.io");
        if !own.is_null() {
            own.as_object()?;
        }
        Some(Self {
            issuer: text(claims.at("iss"))?,
            subject: text(claims.at("sub"))?,
            audiences,
            expires_at: date(claims.at("exp"))?,
            not_before: date(claims.at("nbf"))?,
            issued_at: date(claims.at("iat"))?,
            id: text(claims.at("jti"))?,
            namespace: text(own.at("namespace"))?,
            account: reference(own.at("serviceaccount"))?.unwrap_or_default(),
            pod: reference(own.at("pod"))?,
            secret: reference(own.at("secret"))?,
            node: reference(own.at("node"))?,
            warn_after: date(own.at("warnafter"))?,
        })
    }

    /// Whether it is good now: the times, and what it is bound to.
    ///
    /// # Errors
    /// [`TokenError`] with upstream's text.
    pub fn validate(&self, lookup: &dyn Lookup, now: i64) -> Result<(), TokenError> {
        self.check_times(now)?;
        let fail = |text: String| Err(TokenError(text));
        let deleted_before = now.saturating_sub(LEEWAY_SECONDS);
        let (namespace, account) = (self.namespace.as_str(), &self.account);
        match live(lookup, "serviceaccounts", namespace, account) {
            Live::Absent => return fail(format!("serviceaccounts \"{}\" not found", account.name)),
            Live::OtherUid(uid) => {
                return fail(format!("service account UID ({uid}) does not match claim ({})", account.uid));
            }
            Live::Deleted(at) if at < deleted_before => {
                return fail(format!("service account {namespace}/{} has been deleted", account.name));
            }
            _ => {}
        }
        let bound_node = if self.pod.is_none() { self.node.as_ref() } else { None };
        for (kind, resource, namespace, reference) in [
            ("secret", "secrets", namespace, self.secret.as_ref()),
            ("pod", "pods", namespace, self.pod.as_ref()),
            ("node", "nodes", "", bound_node),
        ] {
            let Some(reference) = reference else { continue };
            match live(lookup, resource, namespace, reference) {
                Live::OtherUid(uid) => {
                    let claim = &reference.uid;
                    return fail(format!(
                        "{kind} UID ({uid}) does not match service account {kind} ref claim ({claim})"
                    ));
                }
                Live::Absent => return fail("service account token has been invalidated".into()),
                Live::Deleted(at) if at < deleted_before => {
                    return fail("service account token has been invalidated".into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_times(&self, now: i64) -> Result<(), TokenError> {
        let (soon, recent) = (now.saturating_add(LEEWAY_SECONDS), now.saturating_sub(LEEWAY_SECONDS));
        let error = if self.not_before.is_some_and(|t| soon < t) {
            "service account token is not valid yet"
        } else if self.expires_at.is_some_and(|t| recent > t) {
            "service account token has expired"
        } else if self.issued_at.is_some_and(|t| soon < t) {
            "service account token is issued in the future"
        } else {
            return Ok(());
        };
        Err(TokenError(error.into()))
    }

    /// The user that it names.
    pub fn user(&self) -> UserInfo {
        let mut user = UserInfo::service_account(&self.namespace, &self.account.name, &self.account.uid);
        let mut put = |key: &str, value: Str| {
            user.extra.insert(key.into(), vec![value]);
        };
        if let Some(pod) = self.pod.as_ref().filter(|p| !p.name.is_empty() && !p.uid.is_empty()) {
            put(POD_NAME, pod.name.clone());
            put(POD_UID, pod.uid.clone());
        }
        if !self.id.is_empty() {
            put(CREDENTIAL_ID, format!("JTI={}", self.id).into());
        }
        if let Some(node) = self.node.as_ref().filter(|n| !n.name.is_empty()) {
            put(NODE_NAME, node.name.clone());
            if !node.uid.is_empty() {
                put(NODE_UID, node.uid.clone());
            }
        }
        user
    }
}

pub(super) fn authenticate(
    config: &Config,
    token: &str,
    wanted: &[&str],
    lookup: &dyn Lookup,
    now: i64,
) -> Found<Response> {
    let trusted = |issuer: &str| config.issuers.iter().any(|i| i == issuer);
    // First without the signature: a token of another issuer is another authenticator's.
    let Ok(payload) = ServiceAccountKeys::peek(token) else { return Ok(None) };
    let Ok(claims) = value::json::parse(&payload) else { return Ok(None) };
    if !trusted(claims.at("iss").str()) {
        return Ok(None);
    }
    let payload = match config.service_account_keys.verify(token) {
        Ok(payload) => payload,
        Err(JwtError::NotAJwt) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let claims = ServiceAccountToken::from_payload(&payload)
        .ok_or_else(|| "go-jose/go-jose/jwt: invalid claims".to_owned())?;
    let meant: Vec<&str> = if claims.audiences.is_empty() {
        config.audiences.iter().map(String::as_str).collect()
    } else {
        claims.audiences.iter().map(Str::as_str).collect()
    };
    let audiences: Vec<Str> = meant.iter().filter(|a| wanted.contains(*a)).map(|a| (*a).into()).collect();
    if audiences.is_empty() && !config.audiences.is_empty() {
        return Err(format!(
            "token audiences [{}] is invalid for the target audiences [{}]",
            quote_all(&meant, " "),
            quote_all(wanted, " ")
        ));
    }
    claims.validate(lookup, now).map_err(|e| e.to_string())?;
    let mut annotations = Vec::new();
    if let Some(warn_after) = claims.warn_after.filter(|t| *t != 0 && now > *t) {
        let late = now.saturating_sub(warn_after);
        let text = format!("subject: {}, seconds after warning threshold: {late}", claims.subject);
        annotations.push(("authentication.k8s.io/stale-token".into(), text));
    }
    Ok(Some(Response { audiences, annotations, ..Response::new(claims.user()) }))
}

/// How an object is.
enum Live {
    Absent,
    OtherUid(Str),
    /// It is the one, and being deleted since then (Unix seconds).
    Deleted(i64),
    There,
}

fn live(lookup: &dyn Lookup, resource: &str, namespace: &str, reference: &Reference) -> Live {
    let Some(object) = lookup.get(resource, namespace, &reference.name) else { return Live::Absent };
    let metadata = object.at("metadata");
    let uid = metadata.at("uid").str();
    if uid != reference.uid {
        return Live::OtherUid(uid.into());
    }
    match metadata.at("deletionTimestamp").as_str() {
        Some(text) => Live::Deleted(Time::parse(text).map_or(0, Time::unix_seconds)),
        None => Live::There,
    }
}
