//! `corten up`, `down`, `reset`: a whole cluster on this machine.

use crate::cli::{ClusterArgs, InstallArgs, NodeOptions, ReportArgs, UpArgs};
use crate::node;
use crate::options::Up;
use anyhow::{Context, Result, bail};
use apiserver::encryption::{Encryption, RecoveryKey};
use lifecycle::Layout;
use lifecycle::doctor::{Needs, Network, Outcome, OwnAddress, Port, Range, Room, Transport};
use lifecycle::down::Hooks;
use lifecycle::install::{EXECUTABLE, UNIT_DIRECTORY};
use lifecycle::status::Status;
use lifecycle::supervisor::{Child, Config, RUNTIME, Report, Runtime as ContainerRuntime};
use network::Cidr;
use pki::Pki;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long pods may take to end at `down`: the default grace period and some more.
const DRAIN_PATIENCE: Duration = Duration::from_secs(45);
/// For the runtime to say what runs: after that, somebody who waits is told that it does not answer.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(5);
const SERVER: &str = "server";
const NODE: &str = "node";

/// Starts everything.
pub(crate) fn up(args: &Up, layout: Layout, out: &mut dyn Write) -> Result<()> {
    if !args.supervise
        && let Some(moved) = args.other_store(&layout)?
    {
        let is_empty = crate::store::is_empty(&args.server.store, &layout.root, &args.server.etcd)?;
        let note = moved.judge(is_empty, &layout.root)?;
        let _nobody_reads = writeln!(out, "warning: {note}");
    }
    if args.detach {
        let executable = std::env::current_exe().context("cannot find this program's own file")?;
        let mut arguments: Vec<OsString> = vec!["up".into(), "--supervise".into()];
        arguments.push(format!("--root={}", layout.root.display()).into());
        arguments.extend(args.given().into_iter().map(OsString::from));
        return lifecycle::up::detached(&needs(args, layout), &executable, &arguments, out);
    }
    let config = supervisor_config(args, layout.clone())?;
    let make = &mut |report: &mut dyn FnMut(&Report)| make_state(args, &layout, report);
    if args.supervise {
        lifecycle::up::supervise_for_waiting_parent(config, make)
    } else {
        lifecycle::up::foreground(config, make, out)
    }
}

/// What the instance wants of its machine.
fn needs(args: &Up, layout: Layout) -> Needs {
    let runtime = runtime(&args.node);
    let (ports, ranges, addresses) = (ports(args), ranges(&args.cluster), own_addresses(args));
    Needs { room: room(&layout, &args.node), layout, runtime, ports, ranges, addresses }
}

/// Addresses by which others are told to come, given or found: this machine must have them, for its own parts go by
/// them, too.
fn own_addresses(args: &UpArgs) -> Vec<OwnAddress> {
    let own =
        |address, what: &str, option: &str| OwnAddress { address, what: what.into(), option: option.into() };
    let node = node::node_ips(&args.node).into_iter().map(|ip| own(ip, "node", "--node-ip"));
    let (bind, advertised) = (args.server.bind.ip(), args.server.advertised());
    let option = if bind == advertised { "--bind" } else { "--advertise-address" };
    // Somebody else may pass on to the loopback address what comes for the one that is advertised.
    let is_other = bind != advertised && !bind.is_loopback() && !bind.is_unspecified();
    let other = is_other.then_some((bind, "--bind"));
    let server = [Some((advertised, option)), other].into_iter().flatten();
    node.chain(server.map(|(ip, option)| own(ip, "API server", option))).collect()
}

fn room(layout: &Layout, node: &NodeOptions) -> Room {
    let disk = kubelet::Disk::read(&layout.root);
    disk.map_or(Room::default(), |disk| Room {
        free: disk.available,
        total: disk.capacity,
        is_short: disk.is_short(&node.eviction_hard.clone().unwrap_or_default()),
    })
}

/// What an administrator is told of the key for encryption at rest, once.
pub(crate) fn recovery_text(key: &RecoveryKey) -> String {
    format!(
        "Secrets are encrypted with a key that is only on this machine. Its recovery key, to be kept elsewhere (`corten store restore-key` takes it):\n\n    {key}\n"
    )
}

/// Shows how the instance fares; an error if it does not fare well.
pub(crate) fn status(args: &ReportArgs, out: &mut dyn Write) -> Result<()> {
    let layout = Layout::open(&args.root.root)?;
    let last = Up::last(&layout).unwrap_or_else(|_| Up::usual());
    let own_node = node::node_name(&last.node)?;
    let status =
        Status::collect(&layout, room(&layout, &last.node), &own_node, jiff::Timestamp::now().as_second());
    let _nobody_reads = if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&status).context("cannot print the status")?)
    } else {
        write!(out, "{status}")
    };
    if status.is_healthy() { Ok(()) } else { bail!("not everything is well") }
}

/// Shows what the machine has and lacks; an error if the cluster cannot come up.
pub(crate) fn doctor(args: &Up, layout: Layout, out: &mut dyn Write) -> Result<()> {
    let checks = lifecycle::doctor::run(&needs(args, layout));
    for check in &checks {
        let _nobody_reads = writeln!(out, "{check}");
    }
    let bad = checks.iter().filter(|check| check.outcome == Outcome::Bad).count();
    if bad == 0 { Ok(()) } else { bail!("{bad} of {} checks failed", checks.len()) }
}

/// Makes systemd run it, or no longer.
pub(crate) fn install(args: &InstallArgs, out: &mut dyn Write) -> Result<()> {
    let layout = Layout::open(&args.root.root)?;
    let options = lifecycle::install::Options {
        executable: std::env::current_exe().context("cannot find this program's own file")?,
        target: EXECUTABLE.into(),
        unit_directory: UNIT_DIRECTORY.into(),
        arguments: args.up_options.clone(),
        enable: !args.no_enable,
    };
    if args.remove {
        lifecycle::install::uninstall(&layout, &options, out)
    } else {
        lifecycle::install::install(&layout, &options, out)
    }
}

/// Keys and kubeconfigs: the children find them where they look for them.
fn make_state(args: &Up, layout: &Layout, report: &mut dyn FnMut(&Report)) -> Result<()> {
    let had_keys = layout.pki_dir.join("ca.key").exists();
    let was_up = layout.up_options.exists();
    args.server.refuse_full_disk(&layout.root)?;
    if args.server.has_own_key() {
        crate::store::check_own_key_below(&layout.root)?;
    }
    if args.server.has_own_key()
        && let (_, Some(key)) = Encryption::own(&layout.root)?
        && let Err(error) = pki::write_private(&layout.recovery_key, recovery_text(&key).as_bytes())
    {
        // Nobody would ever be shown it. Nothing is encrypted with it yet: the next `up` makes another.
        let _disk_is_bad = std::fs::remove_file(apiserver::encryption::own_file(&layout.root));
        return Err(error.into());
    }
    args.remember(layout)?;
    let now = jiff::Timestamp::now().as_second();
    let advertise = args.server.advertised();
    let pki = Pki::open(&layout.root, args.cluster.pki_config(advertise), now)
        .with_context(|| format!("cannot open the keys in {}", layout.pki_dir.display()))?;
    if was_up && !had_keys {
        report(&Report::Warning(format!(
            "the keys in {} were gone, and new ones are made: kubeconfigs, certificates and tokens of the old ones are \
             refused from now on, and pods that hold such tokens have to be made anew",
            layout.pki_dir.display()
        )));
    }
    let server = format!("https://{}", SocketAddr::new(advertise, args.server.bind.port()));
    let name = node::node_name(&args.node)?;
    for client in [pki::Client::SuperAdmin, pki::Client::Kubelet(&name), pki::Client::KubeProxy] {
        pki.kubeconfig(&client, &server, now).with_context(|| format!("cannot write {}", client.file()))?;
    }
    Ok(())
}

fn supervisor_config(args: &Up, layout: Layout) -> Result<Config> {
    let root = format!("--root={}", layout.root.display());
    let mut server_arguments = vec!["server".to_owned(), root.clone()];
    server_arguments.extend(args.server_arguments());
    if args.server.advertise_address.is_none() {
        // The server is to name the address that the kubeconfigs name.
        server_arguments.push(format!("--advertise-address={}", args.server.advertised()));
    }
    let mut node_arguments = vec!["node".to_owned(), root];
    node_arguments.extend(args.node_arguments());
    let child = |name: &str, title: &str, arguments: Vec<String>, needs: &[&str], drains| Child {
        name: name.into(),
        title: title.into(),
        arguments: arguments.into_iter().map(OsString::from).collect(),
        needs: needs.iter().map(|name| (*name).to_owned()).collect(),
        drains,
    };
    Ok(Config {
        version: env!("CARGO_PKG_VERSION").into(),
        executable: std::env::current_exe().context("cannot find this program's own file")?,
        children: vec![
            child(SERVER, "control plane", server_arguments, &[], false),
            child(NODE, "node", node_arguments, &[SERVER, RUNTIME], true),
        ],
        drain_patience: DRAIN_PATIENCE,
        systemd: crate::cli::notifier()?,
        needs: needs(args, layout),
    })
}

fn runtime(options: &NodeOptions) -> ContainerRuntime {
    match &options.container_runtime_endpoint {
        Some(endpoint) => ContainerRuntime::Endpoint(endpoint.clone()),
        None => ContainerRuntime::Own(lifecycle::containerd::Options::default()),
    }
}

pub(crate) fn port(address: IpAddr, port: u16, what: &str, option: &str) -> Port {
    let advice = format!("stop it, or take another port by {option}");
    Port { address, port, transport: Transport::Tcp, what: what.into(), advice }
}

/// Where the API is served.
pub(crate) fn api_port(bind: SocketAddr) -> Port {
    port(bind.ip(), bind.port(), "API server", "--bind")
}

fn ports(args: &UpArgs) -> Vec<Port> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let dns = |transport| {
        Port {
        address: IpAddr::V4(node::DNS_LISTEN),
        port: node::DNS_PORT,
        transport,
        what: "cluster's DNS".into(),
        advice: "stop it, or keep it from listening on that address; a second cluster on this machine needs a network \
                 namespace of its own (ip netns add NAME)"
            .into(),
    }
    };
    let all = [
        api_port(args.server.bind),
        port(any, args.node.kubelet_port, "kubelet", "--kubelet-port"),
        port(any, args.node.healthz_port, "health of Service rules", "--healthz-port"),
        dns(Transport::Udp),
        dns(Transport::Tcp),
    ];
    all.into_iter().filter(|port| port.port != 0).collect()
}

fn ranges(cluster: &ClusterArgs) -> Vec<Range> {
    let range = |cidr: &Cidr, what: &str, option: &str| Range {
        network: Network { address: cidr.address(), length: cidr.prefix() },
        what: what.into(),
        option: option.into(),
    };
    let pods = cluster.cluster_cidr.iter().map(|cidr| range(cidr, "pods", "--cluster-cidr"));
    let services = cluster.service_cluster_ip_range.iter();
    pods.chain(services.map(|cidr| range(cidr, "Services", "--service-cluster-ip-range"))).collect()
}

/// Stops everything; state stays.
pub(crate) fn down(root: &Path, out: &mut dyn Write) -> Result<()> {
    let layout = Layout::open(root)?;
    lifecycle::down::down(&layout, DRAIN_PATIENCE, &mut Leftovers::of(&layout), out)
}

/// Stops everything and removes its state.
pub(crate) fn reset(root: &Path, out: &mut dyn Write) -> Result<()> {
    let layout = Layout::open(root)?;
    lifecycle::down::reset(&layout, DRAIN_PATIENCE, &mut Leftovers::of(&layout), out)
}

/// What a node left that nobody runs any more, with the options that it ran under.
struct Leftovers(Up);

impl Leftovers {
    fn of(layout: &Layout) -> Self {
        Self(Up::last(layout).unwrap_or_else(|error| {
            tracing::warn!(error = lifecycle::error::text(&error), "going on with the usual options");
            Up::usual()
        }))
    }
}

impl Leftovers {
    fn kubelet(&self, layout: &Layout) -> Result<(kubelet::Config, Runtime)> {
        let config = node::kubelet_config(layout, &self.0.node, &self.0.cluster, None)?;
        Ok((config, Builder::new_current_thread().enable_all().build()?))
    }
}

impl Hooks for Leftovers {
    fn running_pods(&mut self, layout: &Layout) -> Option<BTreeSet<String>> {
        let (config, runtime) = self.kubelet(layout).ok()?;
        let asked = async { tokio::time::timeout(RUNTIME_PATIENCE, kubelet::running_pods(&config)).await };
        // One that refuses has ended: there is nobody to wait for.
        runtime.block_on(asked).ok().map(Result::unwrap_or_default)
    }

    fn stop_pods(&mut self, layout: &Layout) -> Result<()> {
        let (config, runtime) = self.kubelet(layout)?;
        runtime.block_on(kubelet::stop_all(&config)).context("cannot stop the pods")
    }

    fn remove_network(&mut self, layout: &Layout) -> Result<()> {
        let config = node::network_config(layout, &self.0.node, &self.0.cluster)?;
        network::teardown(&config).context("cannot take away the network")
    }

    fn refuse_state_in_use(&mut self, layout: &Layout) -> Result<()> {
        let store = store::embedded::file(&layout.store_dir);
        if store::embedded::is_in_use(&store) {
            bail!(
                "nothing is removed: another process uses {}, a `corten server` that somebody started by hand, as a \
                 rule; `fuser {0}` names it. Stop it, then reset again",
                store.display()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By which address the API server is looked for, and which option changes it.
    #[test]
    fn addresses_of_the_server() {
        let of = |bind: &str, advertise: Option<&str>| {
            let mut args = UpArgs::clone(&Up::usual());
            args.server.bind = bind.parse().unwrap();
            args.server.advertise_address = advertise.map(|ip| ip.parse().unwrap());
            let all = own_addresses(&args).into_iter().filter(|own| own.what == "API server");
            all.map(|own| format!("{} {}", own.option, own.address)).collect::<Vec<_>>()
        };
        let other = Some("192.0.2.1");
        assert_eq!(of("127.0.0.1:1", None), ["--bind 127.0.0.1"]);
        assert_eq!(of("127.0.0.1:1", other), ["--advertise-address 192.0.2.1"], "somebody passes it on");
        assert_eq!(of("0.0.0.0:1", other), ["--advertise-address 192.0.2.1"]);
        assert_eq!(of("192.0.2.2:1", None), ["--bind 192.0.2.2"]);
        assert_eq!(of("192.0.2.2:1", other), ["--advertise-address 192.0.2.1", "--bind 192.0.2.2"]);
    }
}
