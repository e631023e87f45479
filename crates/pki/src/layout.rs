//! The cluster's PKI as files: `<root>/pki` and the kubeconfigs beside it, under kubeadm's names.
//!
//! [`Pki::open`] takes what is there and makes what is missing; nothing that still serves is replaced. A
//! crash between two files is healed at the next start: an authority's key is written before its
//! certificate, and a leaf whose key does not fit is issued anew.

use crate::files::{read, write_all, write_private};
use crate::identities::{Client, Config, Issuer, Leaf};
use crate::renewal::{AUTHORITY_SECONDS, Held, LEAF_SECONDS, Reason, plan, renew_after};
use crate::{
    Authority, Certificate, Error, Identity, Kubeconfig, Names, PrivateKey, PublicKey, Secret,
    ServiceAccountKeys, Usage,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};

/// The kubeconfigs that may lie in `<root>`.
const KUBECONFIGS: [&str; 6] = [
    Client::Admin.file(),
    Client::SuperAdmin.file(),
    Client::ControllerManager.file(),
    Client::Scheduler.file(),
    Client::Kubelet("").file(),
    Client::KubeProxy.file(),
];

/// The cluster's authorities, certificates and token keys, read from or made in `<root>/pki`.
#[derive(Debug)]
pub struct Pki {
    root: PathBuf,
    config: Config,
    authorities: [Authority; 3],
    leaves: Vec<(Leaf, Identity)>,
    service_account_keys: ServiceAccountKeys,
}

impl Pki {
    /// Opens `<root>/pki` and makes what is missing or due: on a first start everything (a few ms).
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Content`] naming the file, [`Error::NoAuthorityKey`].
    pub fn open(root: &Path, config: Config, now: i64) -> Result<Self, Error> {
        let dir = root.join("pki");
        let mut new = Vec::new();
        let [cluster, front_proxy, etcd] =
            Issuer::ALL.map(|issuer| open_authority(&dir, issuer, now, &mut new));
        let mut pki = Self {
            root: root.to_owned(),
            authorities: [cluster?, front_proxy?, etcd?],
            leaves: Vec::new(),
            service_account_keys: open_service_account_keys(&dir, &mut new)?,
            config,
        };
        for leaf in Leaf::ALL {
            if let Some(identity) = read_identity(&dir, leaf.file())? {
                pki.leaves.push((leaf, identity));
            }
        }
        pki.issue_due(now, &mut new)?;
        write_all(&new)?;
        Ok(pki)
    }

    /// The authority of the cluster: of the API server, kubelets and users.
    pub const fn authority(&self) -> &Authority {
        &self.authorities[0]
    }

    /// The authority of front proxies (`--requestheader-client-ca-file`).
    pub const fn front_proxy_authority(&self) -> &Authority {
        &self.authorities[1]
    }

    /// A certificate with its key.
    pub fn leaf(&self, leaf: Leaf) -> &Identity {
        let found = self.leaves.iter().find(|(l, _)| *l == leaf);
        &found.expect("open and renew leave no leaf out").1
    }

    /// The keys of service-account tokens.
    pub const fn service_account_keys(&self) -> &ServiceAccountKeys {
        &self.service_account_keys
    }

    /// The path of a file in `pki/`, e.g. `ca.crt`.
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join("pki").join(file)
    }

    /// What is held, for [`plan`].
    pub fn held(&self) -> Vec<Held<Leaf>> {
        let held = |leaf: &Leaf| {
            let certificate = self.leaves.iter().find(|(l, _)| l == leaf).map(|(_, i)| &i.certificate);
            let authority = self.issuer(*leaf);
            let fixed = authority.key().is_none(); // kubeadm's external CA mode: take what is there
            Held {
                what: *leaf,
                validity: certificate
                    .map(|c| if fixed { (c.not_before, i64::MAX) } else { (c.not_before, c.not_after) }),
                names_match: fixed || certificate.is_some_and(|c| c.names.cover(&leaf.names(&self.config))),
                issuer_matches: fixed || certificate.is_some_and(|c| issued_by(c, authority)),
            }
        };
        Leaf::ALL.iter().map(held).collect()
    }

    /// Issues what is missing or due, and says what that was; give changed ones to
    /// [`crate::HotCertificate::replace`].
    ///
    /// # Errors
    /// As [`Pki::open`].
    pub fn renew(&mut self, now: i64) -> Result<Vec<(Leaf, Reason)>, Error> {
        let mut new = Vec::new();
        let issued = self.issue_due(now, &mut new)?;
        write_all(&new)?;
        Ok(issued)
    }

    fn issue_due(&mut self, now: i64, new: &mut NewFiles) -> Result<Vec<(Leaf, Reason)>, Error> {
        let (issue, _) = plan(now, &self.held());
        for (leaf, _) in &issue {
            let authority = self.issuer(*leaf);
            if authority.key().is_none() {
                let path = self.path(&format!("{}.key", leaf.issuer().file()));
                return Err(Error::NoAuthorityKey { path, leaf: leaf.file().into() });
            }
            let (subject, names) = (leaf.subject(&self.config), leaf.names(&self.config));
            let identity = authority.issue(&subject, &names, leaf.usage(), now, LEAF_SECONDS)?;
            new.push((self.path(&format!("{}.key", leaf.file())), identity.key.to_pem()));
            new.push((self.path(&format!("{}.crt", leaf.file())), Secret::new(identity.certificate_pem())));
            self.leaves.retain(|(l, _)| l != leaf);
            self.leaves.push((*leaf, identity));
        }
        Ok(issue)
    }

    /// A client certificate for `client`, in memory only (in-process and test clients).
    ///
    /// # Errors
    /// [`Error::Key`] without the authority's key.
    pub fn issue_client(&self, client: &Client<'_>, now: i64) -> Result<Identity, Error> {
        self.authority().issue(&client.subject(), &Names::default(), Usage::Client, now, LEAF_SECONDS)
    }

    /// The kubeconfig of `client` for `server` (`https://HOST:PORT`): the file in `<root>` if it still
    /// serves, else a new one. Gives its path back.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Key`].
    pub fn kubeconfig(&self, client: &Client<'_>, server: &str, now: i64) -> Result<PathBuf, Error> {
        let path = self.root.join(client.file());
        if read(&path)?.is_some_and(|text| self.still_serves(&text, client, server, now)) {
            return Ok(path);
        }
        let identity = self.issue_client(client, now)?;
        let user = client.subject().common_name;
        let config = Kubeconfig {
            server,
            cluster: "kubernetes",
            user: &user,
            authority: self.authority(),
            identity: &identity,
        };
        write_private(&path, config.to_yaml().expose())?;
        Ok(path)
    }

    /// Issues the certificates of kubeconfigs in `<root>` anew when they are due, for the same names and servers, and
    /// gives back whose files were replaced: who uses one must read it again.
    ///
    /// # Errors
    /// As [`Pki::kubeconfig`].
    pub fn renew_kubeconfigs(&self, now: i64) -> Result<Vec<PathBuf>, Error> {
        let mut renewed = Vec::new();
        for path in KUBECONFIGS.map(|file| self.root.join(file)) {
            let Some(text) = read(&path)? else { continue };
            let (Some(server), Some(held)) = (value(&text, "server:"), client_certificate(&text)) else {
                continue;
            };
            // What somebody else issued is theirs to renew.
            if !issued_by(&held, self.authority()) || now < renew_after(held.not_before, held.not_after) {
                continue;
            }
            let names = Names::default();
            let identity = self.authority().issue(&held.subject, &names, Usage::Client, now, LEAF_SECONDS)?;
            let config = Kubeconfig {
                server,
                cluster: "kubernetes",
                user: &held.subject.common_name,
                authority: self.authority(),
                identity: &identity,
            };
            write_private(&path, config.to_yaml().expose())?;
            renewed.push(path);
        }
        Ok(renewed)
    }

    fn still_serves(&self, text: &str, client: &Client<'_>, server: &str, now: i64) -> bool {
        let ca = value(text, "certificate-authority-data:").and_then(|v| STANDARD.decode(v).ok());
        let certificate = client_certificate(text);
        value(text, "server:") == Some(server)
            && ca.is_some_and(|ca| ca == self.authority().certificate().to_pem().as_bytes())
            && certificate.is_some_and(|c| {
                c.subject == client.subject()
                    && issued_by(&c, self.authority())
                    && now < renew_after(c.not_before, c.not_after)
            })
    }

    const fn issuer(&self, leaf: Leaf) -> &Authority {
        match leaf.issuer() {
            Issuer::Cluster => &self.authorities[0],
            Issuer::FrontProxy => &self.authorities[1],
            Issuer::Etcd => &self.authorities[2],
        }
    }
}

/// A value in a kubeconfig of ours.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.trim_start().strip_prefix(key))?;
    Some(value.trim().trim_matches('"'))
}

fn client_certificate(text: &str) -> Option<Certificate> {
    let pem = STANDARD.decode(value(text, "client-certificate-data:")?).ok()?;
    Certificate::all_from_pem(&String::from_utf8(pem).ok()?).ok()?.into_iter().next()
}

fn issued_by(certificate: &Certificate, authority: &Authority) -> bool {
    certificate.issuer_der() == authority.certificate().subject_der()
        && crate::certificate::signed_by(certificate, authority.certificate())
}

/// Files to be written, in this order.
type NewFiles = Vec<(PathBuf, Secret)>;

fn open_authority(dir: &Path, issuer: Issuer, now: i64, new: &mut NewFiles) -> Result<Authority, Error> {
    let (cert_path, key_path) =
        (dir.join(format!("{}.crt", issuer.file())), dir.join(format!("{}.key", issuer.file())));
    let (certificate, key) = (read(&cert_path)?, read(&key_path)?);
    if let Some(certificate) = certificate {
        return Authority::load(&certificate, key.as_deref()).map_err(|e| Error::content(&cert_path, e));
    }
    let key = match key {
        Some(pem) => PrivateKey::from_pem(&pem).map_err(|e| Error::content(&key_path, e))?,
        None => {
            let key = PrivateKey::generate()?;
            new.push((key_path, key.to_pem()));
            key
        }
    };
    let authority = Authority::create(issuer.common_name(), key, now, AUTHORITY_SECONDS)?;
    new.push((cert_path, Secret::new(authority.certificate().to_pem())));
    Ok(authority)
}

/// A certificate and its key; `None` if one is absent or they do not belong together.
fn read_identity(dir: &Path, file: &str) -> Result<Option<Identity>, Error> {
    let (cert_path, key_path) = (dir.join(format!("{file}.crt")), dir.join(format!("{file}.key")));
    let (Some(certificate), Some(key)) = (read(&cert_path)?, read(&key_path)?) else { return Ok(None) };
    let key = PrivateKey::from_pem(&key).map_err(|e| Error::content(&key_path, e))?;
    let certificate = Certificate::all_from_pem(&certificate)
        .map_err(|e| Error::content(&cert_path, e))?
        .into_iter()
        .next()
        .ok_or_else(|| Error::content(&cert_path, "no certificate found"))?;
    Ok((certificate.spki() == key.public().spki()).then_some(Identity { certificate, key }))
}

/// `sa.key` signs; `sa.pub` may hold further keys whose tokens are still accepted.
fn open_service_account_keys(dir: &Path, new: &mut NewFiles) -> Result<ServiceAccountKeys, Error> {
    let (key_path, public_path) = (dir.join("sa.key"), dir.join("sa.pub"));
    let signer = match read(&key_path)? {
        Some(pem) => PrivateKey::from_pem(&pem).map_err(|e| Error::content(&key_path, e))?,
        None => {
            let key = PrivateKey::generate()?;
            new.push((key_path, key.to_pem()));
            key
        }
    };
    let others = match read(&public_path)? {
        Some(pem) => PublicKey::all_from_pem(&pem).map_err(|e| Error::content(&public_path, e))?,
        None => {
            new.push((public_path, Secret::new(signer.public().to_pem())));
            Vec::new()
        }
    };
    Ok(ServiceAccountKeys::new(signer, others))
}
