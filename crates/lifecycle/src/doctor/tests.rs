use super::*;
use crate::cgroups::{Cgroups, Tree, Version as GroupVersion};
use crate::containerd::{Options, Version};
use expect_test::{Expect, expect};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

fn needs() -> Needs {
    let port = |address: IpAddr, port, transport, what: &str| Port {
        address,
        port,
        transport,
        what: what.into(),
        advice: format!("stop it, or take another port by --{what}-port"),
    };
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let range = |network: &str, what: &str| Range {
        network: network.parse().unwrap(),
        what: what.into(),
        option: format!("--{what}-range"),
    };
    Needs {
        layout: Layout::new(crate::layout::DEFAULT_ROOT).unwrap(),
        runtime: Runtime::Own(Options::default()),
        ports: vec![port(any, 6443, Transport::Tcp, "API"), port(any, 10250, Transport::Tcp, "kubelet")],
        ranges: vec![range("10.244.0.0/16", "pods"), range("10.96.0.0/16", "services")],
        addresses: vec![],
        room: Room { free: 50 << 30, total: 100 << 30, is_short: false },
    }
}

fn facts() -> Facts {
    let tree = |controllers: &[&str]| Tree {
        point: "/sys/fs/cgroup".into(),
        controllers: controllers.iter().map(|c| (*c).to_owned()).collect(),
    };
    Facts {
        user: 0,
        capabilities: 0x1ff_ffff_ffff,
        kernel: "6.1.0-40-amd64".into(),
        netfilter: true,
        cgroups: Some(Cgroups { version: GroupVersion::V2, trees: vec![tree(&["cpu", "memory", "pids"])] }),
        cgroups_unwritable: None,
        runtime: RuntimeFacts::Programs {
            containerd: PathBuf::from("/usr/bin/containerd"),
            version: Version { major: 1, minor: 6, patch: 20 },
            overlay: Some(true),
        },
        listeners: vec![],
        own_processes: BTreeSet::new(),
        routes: vec![],
        lacking: BTreeSet::new(),
        host_name: "node-1.example".into(),
        memory_bytes: 16 << 30,
        inotify_instances: 8_192,
        processes: vec![(1, "systemd".into())],
    }
}

/// Prints what is not good about a machine that is like the good one but for one thing.
fn check(change: impl FnOnce(&mut Needs, &mut Facts), expected: Expect) {
    let (mut needs, mut facts) = (needs(), facts());
    change(&mut needs, &mut facts);
    let checks = judge(&needs, &facts);
    let lines: Vec<String> =
        checks.iter().filter(|c| c.outcome != Outcome::Good).map(|c| format!("{c}\n")).collect();
    expected.assert_eq(&lines.concat());
}

fn listener(port: u16, process: Option<(i32, &str)>) -> Listener {
    Listener {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port,
        transport: Transport::Tcp,
        inode: 7,
        process: process.map(|(pid, name)| (pid, name.to_owned())),
    }
}

fn route(network: &str, interface: &str, gateway: bool) -> Route {
    Route { network: network.parse().unwrap(), interface: interface.into(), gateway }
}

#[test]
fn a_good_machine() {
    let lines: Vec<String> = judge(&needs(), &facts()).iter().map(|c| format!("{c}\n")).collect();
    expect![[r#"
        ok      user        root
        ok      privileges  all
        ok      kernel      Linux 6.1.0-40-amd64
        ok      netfilter   answers
        ok      cgroups     v2
        ok      runtime     containerd 1.6.20 in /usr/bin/containerd
        ok      ports       6443, 10250 free or ours
        ok      addresses   10.244.0.0/16 for pods, 10.96.0.0/16 for services
        ok      host name   node-1.example
        ok      disk        50.0 GiB of 100.0 GiB free at /var/lib/corten
        ok      memory      16.0 GiB
        ok      inotify     8192 instances a user
    "#]]
    .assert_eq(&lines.concat());
}

#[test]
fn not_root() {
    check(
        |_, facts| {
            facts.user = 1_000;
            facts.capabilities = 0;
        },
        expect![[r#"
            BAD     user        user 1000, not root
                                → run it as root: containers, networks and cgroups need it (sudo)
            BAD     privileges  CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_CHROOT, CAP_SYS_PTRACE, CAP_SYS_ADMIN missing
                                → give the machine's container these capabilities (a privileged container has them)
        "#]],
    );
}

#[test]
fn less_privileged() {
    check(
        |_, facts| facts.capabilities &= !(1 << CAP_SYS_RESOURCE),
        expect![[r#"
        warning privileges  CAP_SYS_RESOURCE missing
                            → it works, but the kernel may kill important containers first when memory runs out
    "#]],
    );
}

#[test]
fn old_and_bare_kernels() {
    check(
        |_, facts| {
            facts.kernel = "4.19.0-27-amd64".into();
            facts.netfilter = false;
        },
        expect![[r#"
            BAD     kernel      Linux 4.19.0-27-amd64
                                → Linux 5.4 or newer is needed
            BAD     netfilter   the kernel has no nfnetlink
                                → load nf_tables (modprobe nf_tables), or take a kernel with CONFIG_NF_TABLES
        "#]],
    );
}

#[test]
fn control_groups_that_cannot_be_used() {
    check(
        |_, facts| facts.cgroups = None,
        expect![[r#"
        BAD     cgroups     none are mounted
                            → mount them: mount -t cgroup2 none /sys/fs/cgroup
    "#]],
    );
    check(
        |_, facts| {
            if let Some(groups) = &mut facts.cgroups {
                groups.trees[0].controllers = vec!["cpu".into()];
            }
        },
        expect![[r#"
            BAD     cgroups     v2, without memory, pids
                                → let the outer system delegate them (Delegate=yes), or enable them at the kernel's command line (cgroup_enable=memory)
        "#]],
    );
    check(
        |_, facts| facts.cgroups_unwritable = Some("cannot make the cgroup /x: read-only".into()),
        expect![[r#"
        BAD     cgroups     v2, cannot make the cgroup /x: read-only
                            → mount them read-write; in a container, give it its own writable cgroups
    "#]],
    );
}

#[test]
fn runtimes() {
    check(
        |_, facts| facts.runtime = RuntimeFacts::Missing("there is no container runtime".into()),
        expect![[r#"
        BAD     runtime     there is no container runtime
                            → Debian and Ubuntu: apt-get install containerd runc; or name a running one by --container-runtime-endpoint
    "#]],
    );
    let endpoint = "unix:///run/crio/crio.sock".to_owned();
    check(
        |_, facts| facts.runtime = RuntimeFacts::Endpoint { endpoint, answers: false },
        expect![[r#"
        BAD     runtime     nothing answers on unix:///run/crio/crio.sock
                            → start that runtime, or leave the endpoint out and Corten starts its own containerd
    "#]],
    );
    check(
        |_, facts| {
            if let RuntimeFacts::Programs { overlay, .. } = &mut facts.runtime {
                *overlay = Some(false);
            }
        },
        expect![[r#"
            warning layers      overlayfs does not work in the root's file system; each image layer is copied
                                → put the root on ext4, XFS or btrfs
        "#]],
    );
}

#[test]
fn ports_that_are_taken() {
    check(
        |_, facts| {
            facts.listeners = vec![listener(6443, Some((77, "haproxy"))), listener(10250, None)];
        },
        expect![[r#"
            BAD     ports       TCP port 6443 for the API is taken by haproxy (process 77)
                                → stop it, or take another port by --API-port
            BAD     ports       TCP port 10250 for the kubelet is taken by a process that /proc does not show
                                → stop it, or take another port by --kubelet-port
        "#]],
    );
    check(
        |needs, facts| {
            let dns = |transport| Port {
                address: "169.254.20.10".parse().unwrap(),
                port: 53,
                transport,
                what: "DNS".into(),
                advice: "stop it".into(),
            };
            needs.ports = vec![dns(Transport::Udp), dns(Transport::Tcp)];
            let taken =
                |transport| Listener { transport, ..listener(53, Some((77, "corten --root=/srv/two"))) };
            facts.listeners = vec![taken(Transport::Udp), taken(Transport::Tcp)];
        },
        expect![[r#"
            BAD     ports       UDP 169.254.20.10:53 for the DNS is taken by corten --root=/srv/two (process 77)
                                → stop it
            BAD     ports       TCP 169.254.20.10:53 for the DNS is taken by corten --root=/srv/two (process 77)
                                → stop it
        "#]],
    );
    check(
        |_, facts| {
            facts.listeners = vec![listener(6443, Some((77, "corten")))];
            facts.own_processes = BTreeSet::from([77]);
        },
        expect![[""]],
    );
}

#[test]
fn addresses_that_are_used() {
    check(
        |_, facts| {
            facts.routes = vec![
                route("10.244.7.0/24", "eth1", false),
                route("10.0.0.0/8", "tun0", true),
                route("10.244.1.0/24", "eth0", true),
                route("10.244.0.5/32", "cort12345", false),
                route("192.168.1.0/24", "eth0", false),
            ];
        },
        expect![[r#"
            BAD     addresses   10.244.0.0/16 for pods overlaps the host's 10.244.7.0/24 on eth1
                                → choose another range by --pods-range
            warning addresses   10.244.0.0/16 for pods overlaps the host's 10.0.0.0/8 on tun0
                                → hosts with these addresses cannot be reached any more; choose another range by --pods-range
            warning addresses   10.96.0.0/16 for services overlaps the host's 10.0.0.0/8 on tun0
                                → hosts with these addresses cannot be reached any more; choose another range by --services-range
        "#]],
    );
    check(
        |_, facts| {
            let route = |n: u8| route(&format!("10.244.0.{n}/32"), &format!("cbcd{n}"), false);
            facts.routes = (1..=110).map(route).collect();
        },
        expect![[r#"
            BAD     addresses   10.244.0.0/16 for pods overlaps the host's 10.244.0.1/32 on cbcd1, and 109 more of its routes
                                → choose another range by --pods-range
        "#]],
    );
    check(
        |needs, _| needs.ranges[1].network = needs.ranges[0].network,
        expect![[r#"
        BAD     addresses   10.244.0.0/16 for services overlaps 10.244.0.0/16 for pods
                            → choose another range by --services-range or --pods-range
    "#]],
    );
}

#[test]
fn addresses_that_the_machine_does_not_have() {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let own = |what: &str| OwnAddress { address, what: what.into(), option: format!("--{what}-ip") };
    check(
        |needs, facts| {
            needs.addresses = vec![own("node"), own("server")];
            facts.lacking = BTreeSet::from([address]);
        },
        expect![[r#"
            BAD     addresses   no interface of this machine has 192.0.2.7, the node's address
                                → name one that it has by --node-ip (`ip address` shows them)
            BAD     addresses   no interface of this machine has 192.0.2.7, the server's address
                                → name one that it has by --server-ip (`ip address` shows them)
        "#]],
    );
    check(|needs, _| needs.addresses = vec![own("node")], expect![[""]]);
    let loopback = OwnAddress { address: IpAddr::V4(Ipv4Addr::LOCALHOST), ..own("server") };
    check(
        |needs, _| needs.addresses = vec![loopback],
        expect![[r#"
            warning addresses   the server's address is 127.0.0.1: pods and other machines cannot reach it
                                → name one that they can by --server-ip (`ip address` shows them)
        "#]],
    );
    assert!(is_own(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert!(!is_own(address), "it is for documentation");
}

#[test]
fn host_names() {
    check(
        |_, facts| facts.host_name = "my_host".into(),
        expect![[r#"
        BAD     host name   "my_host" cannot be a node's name
                            → hostnamectl set-hostname, letters, digits and hyphens; or --node-name
    "#]],
    );
    check(|_, facts| facts.host_name = "MyHost".into(), expect![[""]]);
}

#[test]
fn small_machines() {
    check(
        |needs, facts| {
            needs.room = Room { free: 5 << 30, total: 100 << 30, is_short: true };
            facts.memory_bytes = 256 << 20;
            facts.inotify_instances = 128;
        },
        expect![[r#"
            warning disk        5.0 GiB of 100.0 GiB free at /var/lib/corten
                                → make room: where little is free no pods are placed (--eviction-hard says how little), and a full disk takes no writes
            warning memory      256.0 MiB
                                → 512 MB are enough for Corten and a few small pods
            warning inotify     128 instances a user
                                → pods that watch files may fail: sysctl fs.inotify.max_user_instances=8192
        "#]],
    );
}

#[test]
fn neighbours_on_the_machine() {
    let crowd = |facts: &mut Facts| facts.processes = vec![(5, "kubelet".into()), (6, "firewalld".into())];
    check(
        |_, facts| crowd(facts),
        expect![[r#"
        BAD     neighbours  kubelet (process 5) runs here
                            → stop that Kubernetes, or take another root and network namespace by --root
        warning firewall    firewalld (process 6) runs here
                            → it may drop what pods send: let the pods' and Services' addresses pass, or switch it off
    "#]],
    );
    check(
        |needs, facts| {
            crowd(facts);
            needs.layout = Layout::new("/srv/two").unwrap();
        },
        expect![[r#"
            warning neighbours  kubelet (process 5) runs here
                                → two nodes of one machine need a network namespace each
            warning firewall    firewalld (process 6) runs here
                                → it may drop what pods send: let the pods' and Services' addresses pass, or switch it off
        "#]],
    );
}
