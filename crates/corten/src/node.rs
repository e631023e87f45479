//! `corten node`: kubelet, pod network, Service rules and DNS in this process.

use crate::address;
use crate::cli::{ClusterArgs, NodeArgs, NodeOptions};
use anyhow::{Context, Result, bail};
use client::{Client, Informers, Kubeconfig};
use lifecycle::Layout;
use lifecycle::notify::Notifier;
use network::proxy::{Backend, Frontend};
use network::{Cidr, Protocol};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The names that the container runtime calls this binary by, as a CNI plugin.
const PLUGINS: [&str; 2] = [network::cni::PLUGIN_NAME, network::cni::LOOPBACK_NAME];
/// Where the node's DNS listens: link-local, so that it is the same on every node (as NodeLocal DNSCache's).
pub(crate) const DNS_LISTEN: Ipv4Addr = Ipv4Addr::new(169, 254, 20, 10);
pub(crate) const DNS_PORT: u16 = 53;
/// The longest configuration that a runtime hands to a CNI plugin, in bytes.
const PLUGIN_INPUT_BYTES_MAX: u64 = 1 << 20;

/// Whether the container runtime called this program as its CNI plugin.
pub(crate) fn is_plugin() -> bool {
    let name = std::env::args_os().next();
    name.as_deref()
        .map(Path::new)
        .and_then(Path::file_name)
        .is_some_and(|name| PLUGINS.iter().any(|plugin| name == *plugin))
}

/// Does what the container runtime asks of the plugin.
pub(crate) fn plugin() -> ExitCode {
    let mut input = Vec::new();
    // What cannot be read is not a configuration, which the plugin says.
    let _ = std::io::stdin().take(PLUGIN_INPUT_BYTES_MAX).read_to_end(&mut input);
    let (code, answer) = network::cni::plugin(&|name| std::env::var(name).ok(), &input);
    let written = std::io::stdout().write_all(&answer);
    match u8::try_from(code) {
        Ok(code) if written.is_ok() => ExitCode::from(code),
        _ => ExitCode::FAILURE,
    }
}

/// Runs until a signal: SIGTERM leaves pods and rules as they are, SIGUSR1 stops the pods first.
pub(crate) async fn run(args: &NodeArgs, notifier: &Arc<Notifier>) -> Result<()> {
    let layout = Layout::open(&args.root)?;
    let kubelet_conf = args.kubeconfig.clone().unwrap_or_else(|| layout.kubelet_kubeconfig.clone());
    let proxy_conf = args.proxy_kubeconfig.clone().unwrap_or_else(|| layout.root.join("kube-proxy.conf"));
    for file in [&kubelet_conf, &proxy_conf] {
        if !file.exists() {
            bail!(
                "there is no {}: say by --kubeconfig FILE how the kubelet reaches the API server, and by \
                 --proxy-kubeconfig FILE how Service rules and DNS do (`corten up` makes both for a node of its own)",
                file.display()
            );
        }
    }
    let kubelet_client = Client::from_kubeconfig(&kubelet_conf, "kubelet")?;
    let proxy_client = Client::from_kubeconfig(&proxy_conf, "kube-proxy")?;
    let authority = String::from_utf8_lossy(&Kubeconfig::read(&kubelet_conf)?.authorities).into_owned();
    let informers = Informers::new(proxy_client);

    if let Some(ip) = args.node.node_ip.iter().find(|ip| !lifecycle::doctor::is_own(**ip)) {
        bail!("no interface of this machine has {ip}: name an address that it has by --node-ip");
    }
    let kubelet_config = kubelet_config(&layout, &args.node, &args.cluster, Some(authority))?;
    if let Some(ip) = kubelet_config.node_ips.iter().find(|ip| ip.is_loopback()) {
        tracing::warn!(%ip, "no default route tells the node's address, and nobody else reaches it by this one: name one by --node-ip");
    }
    refuse_another_node(args.node.kubelet_port)?;
    let network_config = network_config(&layout, &args.node, &args.cluster)?;
    network::prepare(&network_config).context("cannot set up the loopback interface")?;
    let stop = watch::Sender::new(false);
    // The network ends last: pods that end want to say good-bye.
    let stop_network = watch::Sender::new(false);
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut drain = signal(SignalKind::user_defined1()).context("cannot wait for signals")?;
    let networking = network::run(network_config, informers.clone(), stop_network.subscribe());
    let dns_config = dns::Config {
        listen: vec![SocketAddr::new(IpAddr::V4(DNS_LISTEN), DNS_PORT)],
        domain: args.cluster.cluster_domain.clone(),
        upstreams: dns::Upstreams::File(args.node.resolv_conf.clone()),
    };
    let stop_dns = stop_network.subscribe();
    let mut dns_task = tokio::spawn(async move { dns::run(dns_config, &informers, stop_dns).await });
    let mut network_task = tokio::spawn(networking);
    let ready = watch::Sender::new(false);
    say_when_ready(ready.subscribe(), notifier);
    let mut kubelet_task =
        tokio::spawn(kubelet::run(kubelet_config.clone(), kubelet_client, ready, stop.subscribe()));
    let mut is_draining = false;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = drain.recv() => is_draining = true,
        result = tokio::signal::ctrl_c() => result.context("cannot wait for signals")?,
        ended = &mut network_task => {
            ended.context("the network ended badly")?.context("the network failed")?;
            bail!("the network ended by itself");
        }
        ended = &mut kubelet_task => {
            ended.context("the kubelet ended badly")??;
            bail!("the kubelet ended by itself");
        }
        ended = &mut dns_task => {
            ended.context("the DNS ended badly")?.context("the DNS failed")?;
            bail!("the DNS ended by itself");
        }
    }
    notifier.stopping();
    stop.send_replace(true);
    kubelet_task.await.context("the kubelet ended badly")??;
    if is_draining {
        tokio::select! {
            stopped = kubelet::stop_all(&kubelet_config) => stopped.context("cannot stop the pods")?,
            // Its supervisor was killed, or waits no longer: whoever comes next goes on with the pods.
            _ = terminate.recv() => tracing::warn!("told to end before all pods have ended"),
        }
    }
    stop_network.send_replace(true);
    network_task.await.context("the network ended badly")?.context("the network failed")?;
    dns_task.await.context("the DNS ended badly")?.context("the DNS failed")?;
    Ok(())
}

/// Refuses to start where another node runs, before rules and sockets of that one are replaced.
fn refuse_another_node(kubelet_port: u16) -> Result<()> {
    let kubelet = SocketAddr::from((Ipv4Addr::UNSPECIFIED, kubelet_port));
    let dns = SocketAddr::from((DNS_LISTEN, DNS_PORT));
    for (address, tried) in
        [(kubelet, TcpListener::bind(kubelet).map(drop)), (dns, UdpSocket::bind(dns).map(drop))]
    {
        // Without that address there is nobody who listens on it.
        if tried.is_err_and(|error| error.kind() == ErrorKind::AddrInUse) {
            bail!(
                "another node runs on this machine: {address} is in use (`ss -lntup` shows by whom); a machine is one node"
            );
        }
    }
    Ok(())
}

/// Tells whoever started this process once the kubelet has told how node and pods are.
fn say_when_ready(mut ready: watch::Receiver<bool>, notifier: &Arc<Notifier>) {
    let notifier = notifier.clone();
    tokio::spawn(async move {
        if ready.wait_for(|ready| *ready).await.is_ok() {
            notifier.ready();
        }
    });
}

/// The Node's name: given, or the host's in lower case as upstream.
pub(crate) fn node_name(options: &NodeOptions) -> Result<String> {
    let name = match &options.node_name {
        Some(name) => name.clone(),
        None => rustix::system::uname().nodename().to_string_lossy().trim().to_ascii_lowercase(),
    };
    if name.is_empty() {
        bail!("the machine has no host name; give the node one with --node-name")
    }
    Ok(name)
}

/// The node's addresses: given, or those of the default routes.
pub(crate) fn node_ips(options: &NodeOptions) -> Vec<IpAddr> {
    if !options.node_ip.is_empty() {
        return options.node_ip.clone();
    }
    match address::of_default_routes() {
        none if none.is_empty() => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        some => some,
    }
}

/// The kubelet's settings. `authority` is that of its clients' certificates (PEM).
pub(crate) fn kubelet_config(
    layout: &Layout,
    options: &NodeOptions,
    cluster: &ClusterArgs,
    authority: Option<String>,
) -> Result<kubelet::Config> {
    Ok(kubelet::Config {
        node_name: node_name(options)?,
        node_ips: node_ips(options),
        runtime_endpoint: runtime_endpoint(layout, options),
        root_dir: layout.kubelet_dir.clone(),
        pod_logs_dir: layout.pod_log_dir.clone(),
        container_logs_dir: layout.container_log_dir.clone(),
        instance: layout.id.clone(),
        cgroup_root: layout.cgroup_root.clone(),
        cluster_dns: cluster.dns_address().into_iter().collect(),
        cluster_domain: cluster.cluster_domain.clone(),
        resolv_conf: options.resolv_conf.clone(),
        node_labels: options.node_labels.iter().cloned().collect(),
        register_with_taints: options.register_with_taints.clone(),
        pods_max: options.max_pods,
        eviction_hard: options.eviction_hard.clone().unwrap_or_default(),
        server: kubelet::server::Config {
            port: options.kubelet_port,
            address: None,
            client_ca: authority,
            certificate_files: None,
            certificate_dir: layout.kubelet_dir.join("pki"),
            anonymous: false,
            system_logs: Some("/var/log".into()),
        },
    })
}

fn runtime_endpoint(layout: &Layout, options: &NodeOptions) -> String {
    let own = || format!("unix://{}", layout.containerd_socket.display());
    options.container_runtime_endpoint.clone().unwrap_or_else(own)
}

/// The network's settings.
pub(crate) fn network_config(
    layout: &Layout,
    options: &NodeOptions,
    cluster: &ClusterArgs,
) -> Result<network::Config> {
    let listen = IpAddr::V4(DNS_LISTEN);
    let redirects = cluster.dns_address().into_iter().flat_map(|address| {
        [Protocol::Udp, Protocol::Tcp].map(|protocol| {
            let frontend = Frontend { address, protocol, port: DNS_PORT };
            (frontend, Backend { address: listen, port: DNS_PORT })
        })
    });
    let ranges = |ranges: &[Cidr]| ranges.to_vec();
    Ok(network::Config {
        node_name: node_name(options)?,
        instance: layout.id.clone(),
        interface_prefix: layout.interface_prefix.clone(),
        state: layout.root.join("network"),
        socket: layout.cni_socket.clone(),
        cni_configurations: layout.cni_conf_dir.clone(),
        cni_plugins: layout.cni_bin_dir.clone(),
        binary: std::env::current_exe().context("cannot find this program's own file")?,
        cluster_cidrs: ranges(&cluster.cluster_cidr),
        service_cidrs: ranges(&cluster.service_cluster_ip_range),
        local_addresses: vec![listen],
        redirects: redirects.collect(),
        health_address: (options.healthz_port != 0)
            .then(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), options.healthz_port)),
        node_ports_everywhere: false,
    })
}
