//! A connection's client certificate.
//!
//! Verifying a chain costs two signatures, so it is done once per connection and again only when the
//! verdict is old or the trusted authorities changed.

use super::Trust;
use crate::UserInfo;
use crate::user::CREDENTIAL_ID;
use parking_lot::Mutex;
use pki::{Certificate, Error};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;

/// How long a verdict on a chain stands: an expired certificate is noticed at most this much later.
const VERDICT_SECONDS: i64 = 10;

/// The certificates that a client showed in the handshake, leaf first.
#[derive(Debug)]
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    verdict: Mutex<Option<Arc<Verdict>>>,
}

#[derive(Debug)]
pub(super) struct Verdict {
    judged_at: i64,
    generation: u64,
    /// Whether the chain is a front proxy's.
    pub(super) front_proxy: Result<(), String>,
    /// The user that the certificate names; `None` if it names nobody.
    pub(super) client: Result<Option<Arc<UserInfo>>, String>,
    /// When the client's certificate ends.
    expiry: Option<i64>,
}

impl Peer {
    /// From the handshake; `None` if no certificate was shown.
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let chain: Vec<_> = chain.iter().map(|c| c.clone().into_owned()).collect();
        (!chain.is_empty()).then(|| Self { chain, verdict: Mutex::new(None) })
    }

    /// When the certificate ends (Unix seconds) if it was found to be of an authority for clients.
    pub fn expiry(&self) -> Option<i64> {
        self.verdict.lock().as_ref()?.expiry
    }

    pub(super) fn judge(&self, trust: &Trust, now: i64) -> Arc<Verdict> {
        let mut verdict = self.verdict.lock();
        let stands = |v: &&Arc<Verdict>| {
            v.generation == trust.generation
                && (v.judged_at..v.judged_at.saturating_add(VERDICT_SECONDS)).contains(&now)
        };
        if let Some(verdict) = verdict.as_ref().filter(stands) {
            return verdict.clone();
        }
        let fresh = Arc::new(self.verify(trust, now));
        *verdict = Some(fresh.clone());
        fresh
    }

    fn verify(&self, trust: &Trust, now: i64) -> Verdict {
        let config = &trust.config;
        let front_proxy = match &config.front_proxy {
            Some(proxy) => proxy
                .authorities
                .verify(&self.chain, now)
                .map_err(|e: Error| e.to_string())
                .and_then(|certificate| proxy.check_name(&certificate)),
            None => Err("no front proxy".into()),
        };
        let verified = config.client_authorities.verify(&self.chain, now).map_err(|e| e.to_string());
        let expiry = verified.as_ref().ok().map(|certificate| certificate.not_after);
        let client = verified.and_then(|certificate| user_of(&certificate)).map(|user| user.map(Arc::new));
        Verdict { judged_at: now, generation: trust.generation, front_proxy, client, expiry }
    }
}

/// The user that a verified certificate names: common name, organizations as groups, UID attribute.
fn user_of(certificate: &Certificate) -> Result<Option<UserInfo>, String> {
    let subject = &certificate.subject;
    if subject.common_name.is_empty() {
        return Ok(None);
    }
    let uid = match subject.uids.as_slice() {
        [] => "",
        [uid] if uid.is_empty() => return Err("UID cannot be an empty string".into()),
        [uid] => uid,
        many => return Err(format!("expected 1 UID, but found multiple: [{}]", many.join(" "))),
    };
    let credential = format!("X509SHA256={}", certificate.fingerprint());
    let mut user = UserInfo {
        name: subject.common_name.as_str().into(),
        uid: uid.into(),
        groups: subject.organizations.iter().map(Into::into).collect(),
        extra: [(CREDENTIAL_ID.into(), vec![credential.into()])].into(),
    };
    user.mark_authenticated();
    Ok(Some(user))
}
