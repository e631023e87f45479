//! kubeconfig files (`client-go/tools/clientcmd/api/v1/types.go`): the current context of one file.

use crate::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};
use value::Value;

/// Where a server is, whom to trust, and who one is.
#[derive(Clone)]
pub struct Kubeconfig {
    /// `https://HOST:PORT`, and perhaps a path.
    pub server: String,
    /// The PEM of the authorities that may sign the server's certificate.
    pub authorities: Vec<u8>,
    /// The PEM of the client's certificate and of its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// A bearer token.
    pub token: Option<String>,
    /// A file with a bearer token, read again before it is used.
    pub token_file: Option<PathBuf>,
    /// The name that the server's certificate must have, if not the host's.
    pub tls_server_name: Option<String>,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfig").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// Reads a file; relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] with what is missing.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |what: String| Error::Kubeconfig(format!("{}: {what}", path.display()));
        let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(failed)
    }

    pub(crate) fn parse(text: &[u8], folder: &Path) -> Result<Self, String> {
        let config = value::yaml::parse(text).map_err(|e| e.to_string())?;
        let current = config.get("current-context").map(Value::str).unwrap_or_default();
        let context = named(&config, "contexts", current, "context")?;
        let text =
            |value: &Value, name: &str| value.get(name).map(|v| v.str().to_owned()).unwrap_or_default();
        let cluster = named(&config, "clusters", &text(context, "cluster"), "cluster")?;
        let user = named(&config, "users", &text(context, "user"), "user")?;
        let some = |text: String| (!text.is_empty()).then_some(text);
        let certificate = data(user, "client-certificate", folder)?;
        let key = data(user, "client-key", folder)?;
        Ok(Self {
            server: text(cluster, "server"),
            authorities: data(cluster, "certificate-authority", folder)?
                .ok_or("the cluster has no certificate-authority")?,
            identity: certificate.zip(key),
            token: some(text(user, "token")),
            token_file: some(text(user, "tokenFile")).map(|file| folder.join(file)),
            tls_server_name: some(text(cluster, "tls-server-name")),
        })
    }
}

fn named<'a>(config: &'a Value, list: &str, name: &str, what: &str) -> Result<&'a Value, String> {
    let entries = config.get(list).and_then(Value::as_array).unwrap_or_default();
    let entry = entries.iter().find(|entry| entry.get("name").map(Value::str) == Some(name));
    entry.and_then(|entry| entry.get(what)).ok_or_else(|| format!("it has no {what} {name:?}"))
}

/// What field `NAME-data` holds in base64, or the file that field `NAME` names.
fn data(value: &Value, name: &str, folder: &Path) -> Result<Option<Vec<u8>>, String> {
    if let Some(text) = value.get(&format!("{name}-data")).map(Value::str).filter(|t| !t.is_empty()) {
        return STANDARD.decode(text).map(Some).map_err(|e| format!("{name}-data is no base64: {e}"));
    }
    let Some(file) = value.get(name).map(Value::str).filter(|t| !t.is_empty()) else { return Ok(None) };
    let path = folder.join(file);
    std::fs::read(&path).map(Some).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_context_is_read() {
        let text = b"current-context: c\ncontexts:\n- {name: c, context: {cluster: k, user: u}}\n\
            clusters:\n- {name: k, cluster: {server: 'https://h:1', certificate-authority-data: YQ==}}\n\
            users:\n- {name: u, user: {token: t}}\n";
        let config = Kubeconfig::parse(text, Path::new("/")).expect("a kubeconfig");
        assert_eq!((config.server.as_str(), config.token.as_deref()), ("https://h:1", Some("t")));
        assert_eq!(config.authorities, b"a");
        let error = Kubeconfig::parse(b"current-context: x\n", Path::new("/")).expect_err("no context");
        assert_eq!(error, "it has no context \"x\"");
    }
}
