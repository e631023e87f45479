//! Network namespaces: one as the node, one for each pod, and servers and clients in them.

use network::cni::{Agent, AgentConfig, plugin};
use network::proxy::{ProxyConfig, ServiceRules};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// A connection in one machine that takes longer will not come. It may take seconds: an ICMPv6 error that arrives while
/// the socket is still in `connect` is only heeded at the first retransmission, and a first packet that a busy machine
/// lost is sent again after one second and after three.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(4900);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Whether namespaces can be made here; says why not.
pub(crate) fn can_make_namespaces() -> bool {
    let name = format!("corten-{}-probe", std::process::id());
    static FIRST: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *FIRST.get_or_init(|| {
        let add = Command::new("ip").args(["netns", "add", &name]).output();
        let reason = match add {
            Ok(output) if output.status.success() => {
                let _ = Command::new("ip").args(["netns", "del", &name]).status();
                return true;
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        println!("skipped: cannot make network namespaces: {reason}");
        false
    })
}

/// A network namespace that goes with its value.
pub(crate) struct Space {
    pub(crate) name: String,
}

impl Space {
    pub(crate) fn new(role: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("corten-{}-{number}-{role}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self { name }
    }

    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Runs something inside on a thread of its own.
    pub(crate) fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.spawn(work).join().unwrap()
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let file = File::open(self.path()).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        })
    }

    /// A TCP server that tells each client its own name and who the client is, until the process ends.
    pub(crate) fn serve_tcp(&self, address: &str, name: &'static str) {
        let address: SocketAddr = address.parse().unwrap();
        let listener = self.enter(move || TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _ = write!(stream, "{name} {}", peer.ip());
            }
        });
    }

    /// The same for UDP; an empty datagram ends it.
    pub(crate) fn serve_udp(&self, address: &str, name: &'static str) -> std::thread::JoinHandle<()> {
        let address: SocketAddr = address.parse().unwrap();
        let socket = self.enter(move || UdpSocket::bind(address).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((1.., peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
            }
        })
    }

    /// What a TCP server answers, or the kind of error.
    pub(crate) fn ask(&self, address: &str) -> String {
        let address: SocketAddr = address.parse().unwrap();
        self.enter(move || {
            let result = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).and_then(|mut stream| {
                stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).map(|_| answer)
            });
            result.unwrap_or_else(|error| error.kind().to_string())
        })
    }

    /// A UDP socket bound inside.
    pub(crate) fn udp(&self) -> UdpSocket {
        let socket = self.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.set_read_timeout(Some(CONNECT_TIMEOUT)).unwrap();
        socket
    }

    pub(crate) fn ip(&self, arguments: &str) {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split(' '));
        run("ip", &all);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// What a UDP server answers to one datagram.
pub(crate) fn ask_udp(socket: &UdpSocket, address: &str) -> String {
    let result = socket.send_to(b"?", address).and_then(|_| {
        let mut buffer = [0; 64];
        let (length, _) = socket.recv_from(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    });
    result.unwrap_or_else(|error| error.kind().to_string())
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
}

/// A pod: a namespace with an address.
pub(crate) struct Pod {
    pub(crate) space: Space,
    pub(crate) address: IpAddr,
    pub(crate) result: Value,
}

/// A node: a namespace with an agent that serves the plugin, and rules.
pub(crate) struct NodeSpace {
    pub(crate) space: Space,
    pub(crate) directory: tempfile::TempDir,
    agent: Option<RunningAgent>,
}

struct RunningAgent {
    agent: Agent,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

/// A namespace with an interface `up0` that has addresses, as if it were in a rack; another machine in the
/// rack has the other end, `up1`.
pub(crate) fn new_node_space(other: Option<&Space>) -> Space {
    let space = Space::new("node");
    space.ip("link set lo up");
    let at = other.unwrap_or(&space);
    space.ip(&format!("link add up0 type veth peer name up1 netns {}", at.name));
    at.ip("link set up1 up");
    space.ip("addr add 192.0.2.1/24 dev up0");
    space.ip("addr add 2001:db8::1/64 dev up0 nodad");
    space.ip("link set up0 up");
    space.ip("route add default via 192.0.2.254");
    space.ip("route add default via 2001:db8::254");
    space
}

impl NodeSpace {
    /// With an interface `up0` that has an address, as if it were in a rack.
    pub(crate) fn new() -> Self {
        Self::beside(None)
    }

    /// With another machine in its rack.
    pub(crate) fn beside(other: Option<&Space>) -> Self {
        let space = new_node_space(other);
        let directory = tempfile::tempdir().unwrap();
        let mut node = Self { space, directory, agent: None };
        node.start();
        node
    }

    pub(crate) fn config(&self) -> AgentConfig {
        let root = self.directory.path();
        AgentConfig {
            interface_prefix: "ctst".to_owned(),
            state: root.join("attachments"),
            socket: root.join("run/cni.sock"),
            configurations: root.join("net.d"),
            plugins: root.join("bin"),
            binary: "/nonexistent/corten".into(),
        }
    }

    /// Starts the agent; all its threads are in the node's namespace.
    pub(crate) fn start(&mut self) {
        let config = self.config();
        let socket = config.socket.clone();
        let (stop, stopped) = watch::channel(false);
        let (started, start) = std::sync::mpsc::channel();
        let thread = self.space.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let agent = Agent::open(config).unwrap();
                let listener = agent.listen().unwrap();
                started.send(agent.clone()).unwrap();
                agent.serve(listener, stopped).await.unwrap();
            });
        });
        let agent = start.recv().unwrap();
        assert!(socket.exists());
        self.agent = Some(RunningAgent { agent, stop, thread });
    }

    /// Ends the agent.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.agent.take() {
            running.stop.send(true).unwrap();
            running.thread.join().unwrap();
        }
    }

    pub(crate) fn agent(&self) -> Agent {
        self.agent.as_ref().unwrap().agent.clone()
    }

    /// Gives the node its ranges, from within its namespace.
    pub(crate) fn set_pod_cidrs(&self, cidrs: &[&str]) {
        let cidrs: Vec<network::Cidr> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        let agent = self.agent();
        self.space.enter(move || agent.set_node(&cidrs, Some(1400)).unwrap());
    }

    /// Executes the plugin as a runtime does.
    pub(crate) fn plugin(&self, command: &str, pod: &Space, more: Value) -> (i32, Value) {
        let mut configuration = json!({
            "cniVersion": "1.1.0",
            "name": "corten",
            "type": "corten-cni",
            "socket": self.config().socket,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            configuration[key] = value.clone();
        }
        let environment = |name: &str| match name {
            "CNI_COMMAND" => Some(command.to_owned()),
            "CNI_CONTAINERID" => Some(pod.name.clone()),
            "CNI_NETNS" => Some(pod.path()),
            "CNI_IFNAME" => Some("eth0".to_owned()),
            "CNI_ARGS" => Some("K8S_POD_NAMESPACE=default;K8S_POD_NAME=web".to_owned()),
            _ => None,
        };
        let (code, output) = plugin(&environment, configuration.to_string().as_bytes());
        let output = if output.is_empty() { Value::Null } else { serde_json::from_slice(&output).unwrap() };
        (code, output)
    }

    /// A pod with a network.
    pub(crate) fn pod(&self, more: Value) -> Pod {
        let space = Space::new("pod");
        let (code, result) = self.plugin("ADD", &space, more);
        assert_eq!(code, 0, "{result}");
        let address = result["ips"][0]["address"].as_str().unwrap();
        let address = address.split('/').next().unwrap().parse().unwrap();
        Pod { space, address, result }
    }

    /// The rules of the node, with sockets in its namespace.
    pub(crate) fn rules(&self) -> ServiceRules {
        let config = ProxyConfig {
            table: "corten-test".to_owned(),
            cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd00:244::/32".parse().unwrap()],
            redirects: vec![
                (frontend("10.96.0.10", network::Protocol::Tcp, 53), backend("169.254.20.10", 53)),
                (frontend("10.96.0.10", network::Protocol::Udp, 53), backend("169.254.20.10", 53)),
            ],
            node_ports_everywhere: false,
        };
        self.space.enter(move || {
            let mut rules = ServiceRules::open(config).unwrap();
            rules.set_masquerade_pods(true);
            let ranges = ["10.96.0.0/16", "fd00:96::/112"];
            rules.set_service_cidrs(&ranges.map(|range| range.parse::<network::Cidr>().unwrap()));
            rules.set_node(network::proxy::Node {
                name: "node".to_owned(),
                zone: String::new(),
                addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            });
            rules
        })
    }
}

impl Drop for NodeSpace {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn frontend(address: &str, protocol: network::Protocol, port: u16) -> network::proxy::Frontend {
    network::proxy::Frontend { address: address.parse().unwrap(), protocol, port }
}

pub(crate) fn backend(address: &str, port: u16) -> network::proxy::Backend {
    network::proxy::Backend { address: address.parse().unwrap(), port }
}
