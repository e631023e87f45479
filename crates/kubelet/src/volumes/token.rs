//! Tokens of service accounts for pods, renewed in time.
//!
//! Upstream counterpart: `pkg/kubelet/token/token_manager.go`.

use std::collections::BTreeMap;

use api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::context::Context;
use crate::spec;

/// What is asked for if the pod says nothing.
const EXPIRATION_SECONDS: i64 = 3600;
/// However long it lives, a token is renewed after a day.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The tokens of one pod, by their place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(BTreeMap<String, Token>);

#[derive(Clone)]
struct Token {
    text: String,
    renew: Timestamp,
}

impl std::fmt::Debug for Token {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("renew", &self.renew).finish_non_exhaustive()
    }
}

impl Tokens {
    /// The token for a place, a new one if the one there is old.
    pub(crate) async fn get(
        &mut self,
        context: &Context,
        pod: &Pod,
        place: &str,
        wanted: &ServiceAccountTokenProjection,
    ) -> Result<String, String> {
        let now = context.clock.now();
        if let Some(token) = self.0.get(place)
            && now < token.renew
        {
            return Ok(token.text.clone());
        }
        let request = request(pod, wanted);
        let account = spec::spec(pod).service_account_name.as_deref().unwrap_or("default");
        let answer = context
            .client
            .post_subresource::<ServiceAccount>(spec::namespace(pod), account, "token", &request)
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // An old one that still holds is better than none.
                if let Some(token) = self.0.get(place) {
                    tracing::warn!(%error, account, "cannot renew a token");
                    return Ok(token.text.clone());
                }
                return Err(format!("failed to fetch token: {error}"));
            }
        };
        let status = &answer["status"];
        let text = status["token"].as_str().unwrap_or_default().to_owned();
        let expires = status["expirationTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let renew = renew_at(now, expires.unwrap_or(now));
        self.0.insert(place.to_owned(), Token { text: text.clone(), renew });
        Ok(text)
    }

    /// When the first token must be renewed.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.values().map(|token| token.renew).min()
    }
}

/// After four fifths of its life, or a day.
fn renew_at(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(now);
    let wait = (life * 4 / 5).min(AGE_MAX).max(SignedDuration::from_secs(10));
    now.saturating_add(wait).unwrap_or(expires)
}

fn request(pod: &Pod, wanted: &ServiceAccountTokenProjection) -> Value {
    let audiences: Vec<_> = wanted.audience.iter().filter(|audience| !audience.is_empty()).collect();
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"creationTimestamp": null},
        "spec": {
            "audiences": audiences,
            "expirationSeconds": wanted.expiration_seconds.unwrap_or(EXPIRATION_SECONDS),
            "boundObjectRef": {
                "apiVersion": "v1", "kind": "Pod", "name": spec::name(pod), "uid": spec::uid(pod),
            },
        },
        "status": {"token": "", "expirationTimestamp": null},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(renew_at(at(0), at(3600)), at(2880));
        assert_eq!(renew_at(at(0), at(1_000_000)), at(86_400));
        assert_eq!(renew_at(at(0), at(0)), at(10));
    }
}
