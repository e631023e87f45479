//! kubeconfig files: where the server is, whom to trust, who one is.

use crate::{Authority, Identity, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A kubeconfig of one cluster and one user, laid out and named as kubeadm does.
#[derive(Clone, Copy, Debug)]
pub struct Kubeconfig<'a> {
    /// `https://HOST:PORT`.
    pub server: &'a str,
    /// The cluster's name; kubeadm's is `kubernetes`.
    pub cluster: &'a str,
    /// The user's name in the file.
    pub user: &'a str,
    /// Whom to trust as a server.
    pub authority: &'a Authority,
    /// The client certificate and key.
    pub identity: &'a Identity,
}

impl Kubeconfig<'_> {
    /// The file's text (YAML). It holds a private key.
    pub fn to_yaml(&self) -> Secret {
        let ca = STANDARD.encode(self.authority.certificate().to_pem());
        let certificate = STANDARD.encode(self.identity.certificate_pem());
        let key = STANDARD.encode(self.identity.key.to_pem().expose());
        let (server, cluster, user) = (quote(self.server), quote(self.cluster), quote(self.user));
        let context = quote(&format!("{}@{}", self.user, self.cluster));
        Secret::new(format!(
            "apiVersion: v1\n\
             clusters:\n\
             - cluster:\n    \
                 certificate-authority-data: {ca}\n    \
                 server: {server}\n  \
               name: {cluster}\n\
             contexts:\n\
             - context:\n    \
                 cluster: {cluster}\n    \
                 user: {user}\n  \
               name: {context}\n\
             current-context: {context}\n\
             kind: Config\n\
             preferences: {{}}\n\
             users:\n\
             - name: {user}\n  \
               user:\n    \
                 client-certificate-data: {certificate}\n    \
                 client-key-data: {key}\n"
        ))
    }
}

/// A YAML scalar: plain where that cannot be misread, else in double quotes.
fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@".contains(&b);
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts_plain && text.bytes().all(plain) && !text.ends_with(':') {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
