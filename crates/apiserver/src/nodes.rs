//! The way to kubelets and to what runs on nodes: addresses, ports, trust.
//!
//! Upstream: `pkg/kubelet/client/kubelet_client.go`.

use arc_swap::ArcSwapOption;
use pki::{Certificate, Identity};
use rustls::ClientConfig;
use std::sync::Arc;
use streaming::Backend;
use streaming::backend::http1_only;
use value::Value;

/// The kubelet's port where the node does not say it.
const KUBELET_PORT: u16 = 10250;
/// Which address of a node is taken, as kubeadm's `--kubelet-preferred-address-types`.
const ADDRESS_TYPES: [&str; 3] = ["InternalIP", "ExternalIP", "Hostname"];

/// Who the server is towards kubelets, and whom it believes there. Empty until it is told.
#[derive(Debug, Default)]
pub struct Nodes {
    trust: ArcSwapOption<Trust>,
}

/// How TLS is spoken to what runs on nodes.
#[derive(Clone, Debug)]
struct Trust {
    /// To kubelets: as ourselves, to certificates of the cluster's authority.
    kubelets: Arc<ClientConfig>,
    /// The same without looking at their certificates, for logs of nodes whose certificate is not in order.
    any_kubelet: Arc<ClientConfig>,
    /// To pods: as nobody, to any certificate, as upstream's proxy transport.
    pods: Arc<ClientConfig>,
}

/// Whether the other side must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// It must.
    Yes,
    /// `insecureSkipTLSVerifyBackend`.
    No,
}

impl Nodes {
    /// From now on the server is `identity` (`apiserver-kubelet-client`) towards kubelets, whose certificates
    /// are of `authority`. To be called at the start and whenever the certificate was renewed.
    ///
    /// # Errors
    /// [`pki::Error::Tls`].
    pub fn trust(&self, identity: &Identity, authority: &Certificate) -> Result<(), pki::Error> {
        let kubelets = pki::client_config(&[authority], Some(identity))?;
        let mut any_kubelet = kubelets.clone();
        any_kubelet.dangerous().set_certificate_verifier(pki::AnyServer::new());
        let mut pods = pki::client_config(&[], None)?;
        pods.dangerous().set_certificate_verifier(pki::AnyServer::new());
        self.trust.store(Some(Arc::new(Trust {
            kubelets: http1_only(kubelets),
            any_kubelet: http1_only(any_kubelet),
            pods: http1_only(pods),
        })));
        Ok(())
    }

    /// The kubelet of a node.
    ///
    /// # Errors
    /// The node says no address, or this server has no certificate for kubelets.
    pub fn kubelet(&self, node: &Value, verify: Verify) -> Result<Backend, String> {
        let (host, port) = address(node)?;
        let trust = self.trust.load();
        let trust = trust.as_ref().ok_or("this server has no certificate for kubelets")?;
        let tls = match verify {
            Verify::Yes => trust.kubelets.clone(),
            Verify::No => trust.any_kubelet.clone(),
        };
        Ok(Backend { host, port, tls: Some(tls) })
    }

    /// What listens at an address of a pod.
    ///
    /// # Errors
    /// This server cannot speak TLS.
    pub fn pod(&self, host: &str, port: u16, https: bool) -> Result<Backend, String> {
        let trust = self.trust.load();
        let tls = match (https, trust.as_ref()) {
            (false, _) => None,
            (true, Some(trust)) => Some(trust.pods.clone()),
            (true, None) => return Err("this server has no certificate for kubelets".into()),
        };
        Ok(Backend { host: host.into(), port, tls })
    }
}

/// Where a node's kubelet listens.
///
/// # Errors
/// The node says no address, in upstream's words.
pub fn address(node: &Value) -> Result<(String, u16), String> {
    let status = node.at("status");
    let addresses = status.at("addresses").items();
    let host = ADDRESS_TYPES
        .iter()
        .find_map(|kind| addresses.iter().find(|a| a.at("type").str() == *kind))
        .map(|a| a.at("address").str().to_owned())
        .ok_or_else(|| {
            let known: Vec<String> = addresses
                .iter()
                .map(|a| format!("{{{} {}}}", a.at("type").str(), a.at("address").str()))
                .collect();
            format!("no preferred addresses found; known addresses: [{}]", known.join(" "))
        })?;
    let port = status.at("daemonEndpoints").at("kubeletEndpoint").at("Port").as_i64().unwrap_or_default();
    Ok((host, u16::try_from(port).ok().filter(|p| *p > 0).unwrap_or(KUBELET_PORT)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use value::json;

    #[test]
    fn addresses_of_nodes() {
        let of = |text: &str| address(&json::parse(text.as_bytes()).unwrap());
        let found = of(
            r#"{"status":{"addresses":[{"type":"Hostname","address":"n"},{"type":"InternalIP","address":"10.0.0.1"}],
            "daemonEndpoints":{"kubeletEndpoint":{"Port":10255}}}}"#,
        );
        assert_eq!(found, Ok(("10.0.0.1".into(), 10255)));
        assert_eq!(
            of(r#"{"status":{"addresses":[{"type":"Hostname","address":"n"}]}}"#),
            Ok(("n".into(), 10250))
        );
        let none = of(r#"{"status":{"addresses":[{"type":"InternalDNS","address":"n.x"}]}}"#);
        assert_eq!(none, Err("no preferred addresses found; known addresses: [{InternalDNS n.x}]".into()));
    }
}
