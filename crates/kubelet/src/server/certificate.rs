//! The serving certificate: given as files, or asked of the cluster and renewed.
//!
//! Upstream: `pkg/kubelet/certificate/kubelet.go` (`NewKubeletServerCertificateManager`).

use api::Object;
use api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use client::Client;
use pki::{
    AUTHORITY_SECONDS, Authority, CertificateRequest, HotCertificate, Identity, LEAF_SECONDS, Name, Names,
    PrivateKey, Usage, renew_after,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Certificate and key in one file, as upstream's `kubelet-server-current.pem`.
const FILE: &str = "kubelet-server-current.pem";
/// How often certificates are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(3_600);
/// How often the answer to a request is looked for: at first often, as one that is answered by itself is at once.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(50);
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// How long.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// After a request that came to nothing.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The certificate that is served.
pub(super) struct Certificate {
    hot: Arc<HotCertificate>,
    files: Option<(PathBuf, PathBuf)>,
    kept: PathBuf,
    subject: Name,
    names: Names,
    /// From when a new one is to be asked for.
    due: i64,
}

impl Certificate {
    /// Takes what is there; else a certificate of our own, which nobody believes, until the cluster gives one.
    ///
    /// # Errors
    /// The files, or the authorities, cannot be read or used.
    pub(super) fn open(kubelet: &crate::Config) -> Result<Self, pki::Error> {
        let now = jiff::Timestamp::now().as_second();
        let subject = Name::new(format!("system:node:{}", kubelet.node_name), &["system:nodes"]);
        let names =
            Names { dns: vec![kubelet.node_name.clone()], ips: kubelet.node_ips.clone(), ..Names::default() };
        let kept = kubelet.server.certificate_dir.join(FILE);
        let files = kubelet.server.certificate_files.clone();
        let (identity, due) = match &files {
            Some((certificate, key)) => (read(certificate, key)?, i64::MAX),
            None => match taken_over(&kept, &names, kubelet.server.client_ca.as_deref(), now)? {
                Some(identity) => {
                    let due = renew_after(identity.certificate.not_before, identity.certificate.not_after);
                    (identity, due)
                }
                None => (own(&subject, &names, now)?, now),
            },
        };
        Ok(Self { hot: HotCertificate::new(&identity)?, files, kept, subject, names, due })
    }

    /// What TLS shows.
    pub(super) fn hot(&self) -> Arc<HotCertificate> {
        self.hot.clone()
    }

    /// Renews what is due, forever. `settled` becomes true once the certificate is one to be believed, or the cluster
    /// gave none.
    pub(super) async fn keep(mut self, client: Client, settled: watch::Sender<bool>) {
        loop {
            if let Some((certificate, key)) = &self.files {
                settled.send_replace(true);
                tokio::time::sleep(LOOK_INTERVAL).await;
                let replaced = read(certificate, key).and_then(|identity| self.hot.replace(&identity));
                if let Err(error) = replaced {
                    tracing::warn!(%error, "cannot read the serving certificate again; the old one is kept");
                }
                continue;
            }
            if jiff::Timestamp::now().as_second() < self.due {
                settled.send_replace(true);
                tokio::time::sleep(LOOK_INTERVAL).await;
                continue;
            }
            if let Err(error) = self.renew(&client).await {
                tracing::warn!(error, "cannot get a serving certificate; trying again");
                settled.send_replace(true);
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }

    async fn renew(&mut self, client: &Client) -> Result<(), String> {
        let key = PrivateKey::generate().map_err(|e| e.to_string())?;
        let request =
            CertificateRequest::create(&self.subject, &self.names, &key).map_err(|e| e.to_string())?;
        let pem = ask(client, request).await?;
        let certificate = pki::Certificate::all_from_pem(&pem)
            .map_err(|e| e.to_string())?
            .into_iter()
            .next()
            .ok_or("the certificate that was issued is empty")?;
        let due = renew_after(certificate.not_before, certificate.not_after);
        let identity = Identity { certificate, key };
        self.hot.replace(&identity).map_err(|e| e.to_string())?;
        self.due = due;
        let text = [identity.certificate_pem().as_bytes(), identity.key.to_pem().expose()].concat();
        // Served it is already; unwritten it is asked for again at the next start.
        if let Err(error) = pki::write_private(&self.kept, &text) {
            tracing::warn!(%error, "cannot keep the serving certificate");
        }
        tracing::info!("the serving certificate is the cluster's");
        Ok(())
    }
}

/// Makes a CertificateSigningRequest and waits for its certificate.
async fn ask(client: &Client, request: String) -> Result<String, String> {
    let object = CertificateSigningRequest {
        metadata: api::meta::v1::ObjectMeta { generate_name: Some("csr-".into()), ..Default::default() },
        spec: CertificateSigningRequestSpec {
            request: api::ByteString(request.into_bytes()),
            signer_name: "kubernetes.io/kubelet-serving".into(),
            usages: Some(vec!["digital signature".into(), "server auth".into()]),
            ..Default::default()
        },
        status: None,
    };
    let made =
        client.create(&object).await.map_err(|e| format!("cannot create a certificate request: {e}"))?;
    let name = made.meta().name.clone().unwrap_or_default();
    let asked = Instant::now();
    let mut interval = POLL_INTERVAL_MIN;
    while asked.elapsed() < ANSWER_PATIENCE {
        let found: CertificateSigningRequest = client
            .get("", &name)
            .await
            .map_err(|e| format!("cannot read certificate request {name}: {e}"))?;
        let status = found.status.unwrap_or_default();
        if let Some(certificate) = status.certificate {
            return String::from_utf8(certificate.0).map_err(|_| "the certificate is no PEM".into());
        }
        let end =
            status.conditions.iter().flatten().find(|c| matches!(c.type_.as_str(), "Denied" | "Failed"));
        if let Some(end) = end {
            return Err(format!(
                "certificate request {name} is {}: {}",
                end.type_,
                end.message.as_deref().unwrap_or("")
            ));
        }
        tokio::time::sleep(interval).await;
        interval = (interval * 2).min(POLL_INTERVAL_MAX);
    }
    Err(format!("certificate request {name} was not answered"))
}

fn read(certificate: &Path, key: &Path) -> Result<Identity, pki::Error> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| pki::Error::File {
            action: "read",
            path: path.to_owned(),
            source,
        })
    };
    let certificate = pki::Certificate::all_from_pem(&text(certificate)?)?
        .into_iter()
        .next()
        .ok_or_else(|| pki::Error::Parse("no certificate found".into()))?;
    Ok(Identity { certificate, key: PrivateKey::from_pem(&text(key)?)? })
}

/// The certificate that was kept, if it still serves: one of an authority that was lost and made anew serves nobody,
/// long as it may last.
fn taken_over(
    kept: &Path,
    names: &Names,
    authorities: Option<&str>,
    now: i64,
) -> Result<Option<Identity>, pki::Error> {
    let Ok(identity) = read(kept, kept) else { return Ok(None) };
    if !serves(&identity, names, now) {
        return Ok(None);
    }
    let authorities = match authorities.filter(|pem| !pem.is_empty()) {
        Some(pem) => pki::Certificate::all_from_pem(pem)?,
        None => return Ok(Some(identity)),
    };
    match leads_to(&identity.certificate, &authorities, now) {
        Ok(()) => Ok(Some(identity)),
        Err(error) => {
            tracing::info!(
                file = %kept.display(), %error,
                "the serving certificate is not of the kubeconfig's authority; asking for a new one"
            );
            Ok(None)
        }
    }
}

/// Whether one of the authorities signed a certificate, as a TLS client finds out.
fn leads_to(
    certificate: &pki::Certificate,
    authorities: &[pki::Certificate],
    now: i64,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.der().clone())?;
    }
    // This is not about dates, and some machines do not know the time when they start.
    let now = u64::try_from(now.max(certificate.not_before)).unwrap_or(0);
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate.der())?,
        &roots,
        &[],
        UnixTime::since_unix_epoch(Duration::from_secs(now)),
        provider::default_provider().signature_verification_algorithms.all,
    )
}

fn serves(identity: &Identity, names: &Names, now: i64) -> bool {
    let certificate = &identity.certificate;
    certificate.spki() == identity.key.public().spki()
        && certificate.names.cover(names)
        && now < certificate.not_after
}

/// A certificate that nobody but ourselves vouches for.
fn own(subject: &Name, names: &Names, now: i64) -> Result<Identity, pki::Error> {
    let authority = Authority::create(&subject.common_name, PrivateKey::generate()?, now, AUTHORITY_SECONDS)?;
    authority.issue(subject, names, Usage::Server, now, LEAF_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 2_000_000_000;

    fn authority() -> Authority {
        Authority::create("kubernetes", PrivateKey::generate().unwrap(), NOW, AUTHORITY_SECONDS).unwrap()
    }

    #[test]
    fn a_certificate_of_an_authority_that_was_made_anew_is_replaced() {
        let (lost, current) = (authority(), authority());
        let names =
            Names { dns: vec!["n".into()], ips: vec!["192.0.2.1".parse().unwrap()], ..Names::default() };
        let nameless = Names { dns: vec!["n".into()], ..Names::default() };
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join(FILE);
        let pem = |authority: &Authority| authority.certificate().to_pem();
        let both = format!("{}{}", pem(&lost), pem(&current));
        let cases = [
            ("its authority", &current, &names, NOW, Some(pem(&current)), true),
            ("one of two authorities", &current, &names, NOW, Some(both), true),
            ("another authority of the same name", &lost, &names, NOW, Some(pem(&current)), false),
            ("no authority to compare with", &lost, &names, NOW, None, true),
            ("an empty authority", &lost, &names, NOW, Some(String::new()), true),
            ("a clock that is behind", &current, &names, NOW - LEAF_SECONDS, Some(pem(&current)), true),
            ("another address", &current, &nameless, NOW, Some(pem(&current)), false),
            ("its end", &current, &names, NOW + 2 * LEAF_SECONDS, Some(pem(&current)), false),
        ];
        for (what, issuer, named, now, authorities, is_kept) in cases {
            let subject = Name::new("system:node:n", &["system:nodes"]);
            let identity = issuer.issue(&subject, named, Usage::Server, NOW, LEAF_SECONDS).unwrap();
            let text = [identity.certificate_pem().as_bytes(), identity.key.to_pem().expose()].concat();
            pki::write_private(&kept, &text).unwrap();
            let found = taken_over(&kept, &names, authorities.as_deref(), now).unwrap();
            assert_eq!(
                found.map(|found| found.certificate),
                is_kept.then_some(identity.certificate),
                "{what}"
            );
        }
    }

    /// What was not taken over is asked for at once.
    #[test]
    fn a_certificate_of_another_authority_is_due_now() {
        let now = jiff::Timestamp::now().as_second();
        let make = || {
            Authority::create("kubernetes", PrivateKey::generate().unwrap(), now, AUTHORITY_SECONDS).unwrap()
        };
        let (lost, current) = (make(), make());
        let dir = tempfile::tempdir().unwrap();
        let mut config = crate::testing::config(dir.path());
        config.server.certificate_dir = dir.path().to_owned();
        let names =
            Names { dns: vec![config.node_name.clone()], ips: config.node_ips.clone(), ..Names::default() };
        let subject = Name::new("system:node:n", &["system:nodes"]);
        let identity = lost.issue(&subject, &names, Usage::Server, now, LEAF_SECONDS).unwrap();
        let text = [identity.certificate_pem().as_bytes(), identity.key.to_pem().expose()].concat();
        pki::write_private(&dir.path().join(FILE), &text).unwrap();
        for (authority, is_due) in [(&lost, false), (&current, true)] {
            config.server.client_ca = Some(authority.certificate().to_pem());
            let certificate = Certificate::open(&config).unwrap();
            assert_eq!(certificate.due <= jiff::Timestamp::now().as_second(), is_due);
        }
    }
}
