//! Options of `corten node`.

use super::cluster::{ClusterArgs, is_nowhere};
use anyhow::{Result, ensure};
use api::core::v1::Taint;
use clap::Args;
use lifecycle::layout::DEFAULT_ROOT;
use std::net::IpAddr;
use std::path::PathBuf;

/// Options of `corten node`.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeArgs {
    /// Where state is kept
    #[arg(long, default_value = DEFAULT_ROOT)]
    pub(crate) root: PathBuf,
    /// The kubelet's kubeconfig; `<root>/kubelet.conf` if unset
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig of Service rules and DNS; `<root>/kube-proxy.conf` if unset
    #[arg(long)]
    pub(crate) proxy_kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What a node is told, be it started by itself or by `up`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeOptions {
    /// The Node's name; the machine's host name if unset
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// The node's addresses, one of each family; those of the default routes if unset
    #[arg(long, value_delimiter = ',')]
    pub(crate) node_ip: Vec<IpAddr>,
    /// Labels that the node registers with: `KEY=VALUE`
    #[arg(long, value_delimiter = ',', value_parser = parse_label)]
    pub(crate) node_labels: Vec<(String, String)>,
    /// Taints that the node registers with: `KEY=VALUE:EFFECT`, or `KEY:EFFECT`
    #[arg(long, value_delimiter = ',', value_parser = parse_taint)]
    pub(crate) register_with_taints: Vec<Taint>,
    /// How many pods the node takes
    #[arg(long, default_value_t = 110)]
    pub(crate) max_pods: u32,
    /// Below what the node tells pressure and takes no pods: `nodefs.available<10%,memory.available<100Mi`. If unset
    /// as upstream, but of a large disk 2 GiB are enough
    #[arg(long)]
    pub(crate) eviction_hard: Option<kubelet::Thresholds>,
    /// Whence pods that ask for it, and the cluster's DNS for names that are not the cluster's, take their servers
    #[arg(long, default_value = "/etc/resolv.conf")]
    pub(crate) resolv_conf: PathBuf,
    /// The container runtime's socket, such as `unix:///run/crio/crio.sock`; if unset that of Corten's own
    /// containerd, which `corten up` starts
    #[arg(long)]
    pub(crate) container_runtime_endpoint: Option<String>,
    /// The kubelet's port
    #[arg(long, default_value_t = 10250)]
    pub(crate) kubelet_port: u16,
    /// The port of the health of Service rules; 0 for none
    #[arg(long, default_value_t = 10256)]
    pub(crate) healthz_port: u16,
}

impl NodeOptions {
    /// Refuses what no node can be told, as upstream's kubelet does.
    pub(crate) fn check(&self) -> Result<()> {
        let name = crate::node::node_name(self)?;
        let wrong = meta::names::dns1123_subdomain(&name);
        ensure!(wrong.is_empty(), "invalid --node-name {name:?}: {}", wrong.join("; "));
        for (key, value) in &self.node_labels {
            let mut wrong = meta::names::qualified_name(key);
            wrong.extend(meta::names::label_value(value));
            ensure!(wrong.is_empty(), "invalid --node-labels {key}={value}: {}", wrong.join("; "));
            // Upstream's kubelet refuses the same; the API server would refuse the Node.
            ensure!(
                !auth::node::is_forbidden_label(key),
                "invalid --node-labels {key}={value}: a node may not give itself labels of kubernetes.io and k8s.io, but \
                 for those of kubelet.kubernetes.io and node.kubernetes.io and a few such as \
                 topology.kubernetes.io/zone; kubectl label node {name} gives it others"
            );
        }
        for Taint { key, value, .. } in &self.register_with_taints {
            let mut wrong = meta::names::qualified_name(key);
            wrong.extend(meta::names::label_value(value.as_deref().unwrap_or_default()));
            ensure!(wrong.is_empty(), "invalid --register-with-taints {key}: {}", wrong.join("; "));
        }
        // Upstream: `validateNodeIP` of `pkg/kubelet/kubelet_node_status.go`.
        for ip in &self.node_ip {
            let plain = ip.to_canonical();
            ensure!(
                !is_nowhere(plain) && !plain.is_loopback(),
                "invalid --node-ip {ip}: others cannot reach a node by it"
            );
        }
        // Upstream: `ParseNodeIPArgument` of `k8s.io/component-helpers/node/util`.
        if let [first, second, ..] = self.node_ip[..] {
            ensure!(
                self.node_ip.len() == 2 && first.is_ipv4() != second.is_ipv4(),
                "invalid --node-ip: a node has one address, or one of each IP family"
            );
        }
        ensure!(
            self.kubelet_port != 0,
            "invalid --kubelet-port 0: the API server must know where to find the kubelet"
        );
        Ok(())
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is no label such as KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Upstream: `parseTaint` of `pkg/util/taints`.
fn parse_taint(text: &str) -> Result<Taint, String> {
    let wrong = || format!("{text:?} is no taint such as KEY=VALUE:NoSchedule");
    let (rest, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!(
            "{text:?} has the effect {effect:?}, which is none of NoSchedule, PreferNoSchedule and NoExecute"
        ));
    }
    let (key, value) = match rest.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned()).filter(|value| !value.is_empty())),
        None => (rest, None),
    };
    Ok(Taint { key: key.to_owned(), value, effect: effect.to_owned(), ..Taint::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Up;

    #[test]
    fn taints() {
        for (text, key, value, effect) in [
            ("a=b:NoSchedule", "a", Some("b"), "NoSchedule"),
            ("node-role.kubernetes.io/x:NoExecute", "node-role.kubernetes.io/x", None, "NoExecute"),
            ("a=:PreferNoSchedule", "a", None, "PreferNoSchedule"),
        ] {
            let taint = parse_taint(text).unwrap();
            assert_eq!((&*taint.key, taint.value.as_deref(), &*taint.effect), (key, value, effect));
        }
        for (text, why) in [
            ("a=b", "is no taint such as KEY=VALUE:NoSchedule"),
            ("a=b:Never", "has the effect \"Never\", which is none of"),
        ] {
            let error = parse_taint(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn what_no_node_can_be_told() {
        let node = |change: &dyn Fn(&mut NodeOptions)| {
            let mut options = Up::usual().node.clone();
            options.node_name = Some("n".into());
            change(&mut options);
            options.check().map_err(|error| error.to_string())
        };
        assert_eq!(node(&|_| {}), Ok(()));
        let label = |value: &str| vec![("a".to_owned(), value.to_owned())];
        assert_eq!(node(&|options| options.node_labels = label("")), Ok(()));
        let key = |key: &str| vec![(key.to_owned(), String::new())];
        assert_eq!(node(&|options| options.node_labels = key("topology.kubernetes.io/zone")), Ok(()));
        let address = |ip: &str| node(&|options| options.node_ip = vec![ip.parse().unwrap()]);
        assert_eq!(address("192.0.2.1"), Ok(()));
        for (error, why) in [
            (
                node(&|options| options.node_name = Some("UPPER_case".into())),
                "invalid --node-name \"UPPER_case\": a",
            ),
            (
                node(&|options| options.node_labels = label("b=c")),
                "invalid --node-labels a=b=c: a valid label must",
            ),
            (node(&|options| options.kubelet_port = 0), "invalid --kubelet-port 0: "),
            (
                node(&|options| options.register_with_taints = vec![parse_taint("a b:NoSchedule").unwrap()]),
                "invalid --register-with-taints a b: name part must consist of",
            ),
            (
                node(&|options| options.node_labels = key("node-role.kubernetes.io/control-plane")),
                "invalid --node-labels node-role.kubernetes.io/control-plane=: a node may not give itself",
            ),
            (address("0.0.0.0"), "invalid --node-ip 0.0.0.0: others cannot"),
            (address("fe80::1"), "invalid --node-ip fe80::1: others cannot"),
            (
                node(&|options| {
                    options.node_ip = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).into()
                }),
                "invalid --node-ip: a node has one address",
            ),
            (address("224.0.0.1"), "invalid --node-ip 224.0.0.1: others cannot"),
            (address("127.0.0.1"), "invalid --node-ip 127.0.0.1: others cannot"),
            (address("::1"), "invalid --node-ip ::1: others cannot"),
            (address("::ffff:127.0.0.2"), "invalid --node-ip ::ffff:127.0.0.2: others cannot"),
        ] {
            let error = error.unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
