//! By what the server proves to webhooks who it is: kubeconfigs whose users are named after hosts.
//!
//! Read from a file of kind `AdmissionConfiguration` (`--admission-control-config-file`), which names a
//! kubeconfig for each of the two webhook plugins. Files are read once, at the start.
//!
//! Upstream: `k8s.io/apiserver/pkg/util/webhook/authentication.go`, `pkg/admission/config.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use value::{Value, yaml};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What webhooks of both kinds are shown.
#[derive(Debug, Default)]
pub struct Credentials {
    mutating: Users,
    validating: Users,
}

/// The users of a kubeconfig by name.
#[derive(Debug, Default)]
struct Users {
    users: HashMap<String, Arc<Credential>>,
    /// The user of the current context.
    current: Option<Arc<Credential>>,
}

/// One user.
#[derive(Default)]
pub(crate) struct Credential {
    /// The `Authorization` header.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

impl Credentials {
    /// As an `AdmissionConfiguration` says.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let file = parse(path)?;
        let mut this = Self::default();
        for plugin in file.at("plugins").items() {
            let users = match plugin.at("name").str() {
                "MutatingAdmissionWebhook" => &mut this.mutating,
                "ValidatingAdmissionWebhook" => &mut this.validating,
                _ => continue,
            };
            let outside = plugin.at("path").str();
            let outside = if outside.is_empty() { Value::Null } else { parse(&beside(path, outside))? };
            let configuration = if outside.is_null() { plugin.at("configuration") } else { &outside };
            let kubeconfig = configuration.at("kubeConfigFile").str();
            if !kubeconfig.is_empty() {
                *users = Users::read(&beside(path, kubeconfig))?;
            }
        }
        Ok(this)
    }

    /// What a mutating webhook is shown at a host with its port.
    pub(crate) fn mutating(&self, target: &str) -> Option<&Credential> {
        self.mutating.find(target)
    }

    /// The same for a validating one.
    pub(crate) fn validating(&self, target: &str) -> Option<&Credential> {
        self.validating.find(target)
    }
}

impl Users {
    fn read(path: &Path) -> Result<Self, String> {
        let file = parse(path)?;
        let wrong = |name: &str, why: String| format!("{}: user {name:?}: {why}", path.display());
        let mut this = Self::default();
        for user in file.at("users").items() {
            let name = user.at("name").str();
            let credential = Credential::read(path, user.at("user")).map_err(|why| wrong(name, why))?;
            this.users.insert(name.to_owned(), Arc::new(credential));
        }
        let current = file.at("current-context").str();
        let context = file.at("contexts").items().iter().find(|c| c.at("name").str() == current);
        let user = context.map_or("", |c| c.at("context").at("user").str());
        this.current = this.users.get(user).cloned();
        Ok(this)
    }

    /// The user with the target's name, else with `*` for its first steps, with the port or (443) without;
    /// else the default.
    fn find(&self, target: &str) -> Option<&Credential> {
        let named = |target: &str| {
            let stars = target.match_indices('.').map(|(i, _)| format!("*{}", &target[i..]));
            std::iter::once(target.to_owned()).chain(stars).find_map(|name| self.users.get(&name))
        };
        let found = named(target).or_else(|| named(target.strip_suffix(":443")?));
        found.or_else(|| self.users.get("*")).or(self.current.as_ref()).map(|c| &**c)
    }
}

impl Credential {
    fn read(path: &Path, user: &Value) -> Result<Self, String> {
        let mut this = Self::default();
        let header = |text: String| HeaderValue::try_from(text).map_err(|e| e.to_string());
        let (token, file) = (user.at("token").str(), user.at("tokenFile").str());
        let (name, password) = (user.at("username").str(), user.at("password").str());
        if !token.is_empty() {
            this.authorization = Some(header(format!("Bearer {token}"))?);
        } else if !file.is_empty() {
            let token = read(&beside(path, file))?;
            let token = String::from_utf8_lossy(&token);
            this.authorization = Some(header(format!("Bearer {}", token.trim()))?);
        } else if !name.is_empty() || !password.is_empty() {
            let text = STANDARD.encode(format!("{name}:{password}"));
            this.authorization = Some(header(format!("Basic {text}"))?);
        }
        if let Some(value) = &mut this.authorization {
            value.set_sensitive(true);
        }
        let pem = |what: &str| -> Result<Vec<u8>, String> {
            let data = user.at(&format!("{what}-data")).str();
            match (data, user.at(what).str()) {
                ("", "") => Ok(Vec::new()),
                ("", file) => read(&beside(path, file)),
                (data, _) => STANDARD.decode(data).map_err(|e| format!("{what}-data: {e}")),
            }
        };
        let certificates = pem("client-certificate")?;
        if !certificates.is_empty() {
            let chain = CertificateDer::pem_slice_iter(&certificates).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|e| format!("client-certificate: {e}"))?;
            let key = PrivateKeyDer::from_pem_slice(&pem("client-key")?);
            this.certificate = Some((chain, key.map_err(|e| format!("client-key: {e}"))?));
        }
        Ok(this)
    }
}

/// A file beside another.
fn beside(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(name)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let read = || {
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|e: std::io::Error| format!("cannot read {}: {e}", path.display()))
}

fn parse(path: &Path) -> Result<Value, String> {
    yaml::parse(&read(path)?).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn users_are_found_by_host() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("token", "from-file\n");
        write(
            "kubeconfig",
            r#"
apiVersion: v1
kind: Config
users:
- {name: "w.n.svc", user: {token: exact}}
- {name: "*.n.svc", user: {tokenFile: token}}
- {name: "p.n.svc:8443", user: {username: u, password: p}}
- {name: "*.example.com:8443", user: {token: star}}
- {name: other, user: {token: current}}
contexts: [{name: c, context: {user: other}}]
current-context: c
"#,
        );
        write(
            "config",
            r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- {name: ValidatingAdmissionWebhook, configuration: {kind: WebhookAdmissionConfiguration, kubeConfigFile: kubeconfig}}
"#,
        );
        let credentials = Credentials::from_file(&dir.path().join("config")).unwrap();
        let table = [
            ("w.n.svc:443", "Bearer exact"),
            ("x.n.svc:443", "Bearer from-file"),
            ("p.n.svc:8443", "Basic dTpw"),
            ("w.n.svc:8443", "Bearer current"),
            ("a.example.com:8443", "Bearer star"),
            ("a.b.example.com:8443", "Bearer star"),
            ("a.example.com:443", "Bearer current"),
        ];
        for (target, want) in table {
            let found = credentials.validating(target).unwrap();
            assert_eq!(found.authorization.as_ref().unwrap(), want, "{target}");
            assert!(credentials.mutating(target).is_none());
        }
        assert!(!format!("{credentials:?}").contains("exact"));
        write(
            "config",
            "plugins: [{name: MutatingAdmissionWebhook, configuration: {kubeConfigFile: absent}}]",
        );
        assert!(Credentials::from_file(&dir.path().join("config")).unwrap_err().contains("absent"));
    }
}
