//! The parts that only a real machine can show: a containerd, containers, mounts, cgroups. They run as root in
//! a mount namespace and a root directory of their own; without root or without a runtime they say so and pass.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use lifecycle::containerd::{Containerd, Options, Origin, Programs, leftover_shims, running};
use lifecycle::notify::Notifier;
use lifecycle::supervisor::Report;
use lifecycle::{Layout, doctor, image, mounts, pause, processes, supervisor};
use rustix::fs::inotify;
use rustix::process::Signal;
use signal_hook::consts::{SIGTERM, SIGUSR1};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The root that a test may use; set for one that was started again in namespaces of its own.
const ROOT: &str = "LIFECYCLE_TEST_ROOT";

/// Runs the test `name` again in a mount namespace of its own. True inside; outside, the inner run has passed.
fn inside(name: &str) -> bool {
    if std::env::var_os(ROOT).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: not root");
        return false;
    }
    if let Err(error) = Programs::find(&Options::default()) {
        println!("skipped: {error:#}");
        return false;
    }
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        // Shims and ctr keep sockets and state there, whatever the containerd.
        .arg("mkdir -p /run/containerd && mount -t tmpfs none /run/containerd && exec \"$@\"")
        .arg("sh")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROOT, directory.path())
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed inside its namespace: {status}");
    false
}

/// Ends what a test left, also when it fails.
struct Root;

impl Root {
    fn layout(&self) -> Layout {
        Layout::open(std::env::var_os(ROOT).unwrap()).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let layout = self.layout();
        Containerd::stop(&layout);
        processes::end_all(&leftover_shims(&layout), std::time::Duration::from_secs(10));
        mounts::unmount_below(&[&layout.root]).unwrap();
        if let Some(cgroups) = lifecycle::cgroups::Cgroups::own().unwrap() {
            assert_eq!(cgroups.remove(&layout.own_cgroup), Vec::<std::path::PathBuf>::new());
        }
    }
}

fn ctr(containerd: &Containerd, layout: &Layout, arguments: &[&str]) -> String {
    let output = Containerd::ctr(&containerd.programs, layout).args(arguments).output().unwrap();
    assert!(output.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn containerd_is_started_adopted_and_stopped() {
    if !inside("containerd_is_started_adopted_and_stopped") {
        return;
    }
    let root = Root;
    let layout = root.layout();
    let options = Options::default();

    let first = Containerd::ensure(&options, &layout).unwrap();
    assert_eq!(first.origin, Origin::Started);
    assert_eq!(running(&layout), Some(first.identity));
    // It leads a session of its own. The test's own session may lie outside the PID namespace (it reads as 0).
    let pid = rustix::process::Pid::from_raw(first.identity.pid);
    assert_eq!(Some(rustix::process::getsid(pid).unwrap()), pid);
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", first.identity.pid)).unwrap();
    let own = format!("{}/containerd", layout.own_cgroup);
    assert!(
        groups
            .lines()
            .all(|l| l.ends_with(&own)
                || l.starts_with("0::") && !Path::new("/sys/fs/cgroup/unified").exists()),
        "{groups}"
    );

    assert!(image::ensure_sandbox_image(&first, &layout).unwrap());
    assert!(!image::ensure_sandbox_image(&first, &layout).unwrap());

    let again = Containerd::ensure(&options, &layout).unwrap();
    assert_eq!((again.origin, again.identity), (Origin::Adopted, first.identity));
    let other = Options { snapshotter: Some("native".into()), ..Options::default() };
    let differing = Containerd::ensure(&other, &layout).unwrap();
    assert_eq!((differing.origin, differing.identity), (Origin::AdoptedDiffering, first.identity));
    assert_eq!(differing.snapshotter, first.snapshotter);

    // The image runs: a container of the sandbox's program, held by a shim that outlives containerd.
    ctr(&first, &layout, &["run", "--detach", "--snapshotter", &first.snapshotter, pause::IMAGE, "test"]);
    assert_eq!(leftover_shims(&layout).len(), 1);
    assert!(Containerd::stop(&layout));
    assert!(!Containerd::stop(&layout));
    assert_eq!(leftover_shims(&layout).len(), 1);
    let second = Containerd::ensure(&options, &layout).unwrap();
    assert_eq!(second.origin, Origin::Started);
    assert!(ctr(&second, &layout, &["tasks", "list"]).contains("RUNNING"));
    ctr(&second, &layout, &["tasks", "kill", "test"]);
    let mut child = first.child.unwrap();
    child.wait().unwrap();
}

#[test]
fn archives_are_imported_by_their_names() {
    if !inside("archives_are_imported_by_their_names") {
        return;
    }
    let root = Root;
    let layout = root.layout();
    let file = layout.root.join("pause.tar");
    std::fs::write(&file, pause::archive().unwrap()).unwrap();
    let error = image::import(&Options::default(), &layout, &[&file]).unwrap_err();
    assert!(format!("{error:#}").contains("start the cluster first"), "{error:#}");
    let containerd = Containerd::ensure(&Options::default(), &layout).unwrap();
    assert_eq!(image::import(&Options::default(), &layout, &[&file]).unwrap(), [pause::IMAGE]);
    let pinned = "labels.\"io.cri-containerd.pinned\"==pinned";
    assert!(ctr(&containerd, &layout, &["images", "list", "-q", pinned]).contains(pause::IMAGE));
    assert!(Command::new("gzip").arg("-k").arg(&file).status().unwrap().success());
    let gzipped = file.with_extension("tar.gz");
    assert_eq!(image::import(&Options::default(), &layout, &[&gzipped]).unwrap(), [pause::IMAGE]);
    let refused = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        format!("{:#}", image::import(&Options::default(), &layout, &[&file]).unwrap_err())
    };
    let archive = pause::archive().unwrap();
    for (bytes, why) in [
        (&b"no archive"[..], "it is no tar archive"),
        (&archive[..archive.len() / 2], "it is cut short"),
        (&std::fs::read(&gzipped).unwrap()[..600], "cannot read it"),
    ] {
        let error = refused(bytes);
        assert!(error.contains(why), "{error}");
    }
    let tar = Command::new("tar").args(["-C", "/etc", "-c", "hostname"]).output().unwrap().stdout;
    let error = refused(&tar);
    assert!(error.contains("neither an OCI layout nor what `docker save` writes"), "{error}");
}

// A cluster of pretended processes: this binary again, as the supervisor and as its children. The role is a
// test's name; without ROOT in the environment these are no tests.

fn role_root() -> Option<Layout> {
    Some(Layout::open(std::env::var_os(ROOT)?).unwrap())
}

fn say(layout: &Layout, what: &str) {
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(layout.root.join("said")).unwrap();
    // One write: two processes may speak at once.
    file.write_all(format!("{what}\n").as_bytes()).unwrap();
}

fn said(layout: &Layout) -> Vec<String> {
    let text = std::fs::read_to_string(layout.root.join("said")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn arguments(role: &str) -> Vec<std::ffi::OsString> {
    ["--exact", role, "--nocapture", "--test-threads=1"].map(Into::into).to_vec()
}

fn config(layout: Layout) -> supervisor::Config {
    let child = |name: &str, needs: &[&str], drains| supervisor::Child {
        name: name.into(),
        title: name.into(),
        arguments: arguments(&format!("role_{name}")),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        drains,
    };
    supervisor::Config {
        needs: doctor::Needs::of(layout, supervisor::Runtime::Own(Options::default())),
        version: "test".into(),
        executable: std::env::current_exe().unwrap(),
        children: vec![child("server", &[], false), child("node", &[supervisor::RUNTIME, "server"], true)],
        drain_patience: Duration::from_secs(60),
        systemd: Notifier::default(),
    }
}

#[test]
fn role_supervisor() {
    let Some(layout) = role_root() else { return };
    // The test harness has begun a line.
    println!();
    let kubeconfig = layout.admin_kubeconfig.clone();
    let make = &mut |_: &mut dyn FnMut(&Report)| Ok(std::fs::write(&kubeconfig, "")?);
    let result = lifecycle::up::supervise_for_waiting_parent(config(layout), make);
    std::process::exit(i32::from(result.is_err()));
}

/// A file in the root that makes the node end late: not when it is asked, but at the next SIGUSR1.
const STUBBORN: &str = "stubborn";

/// A child: says that it is ready, and what it is asked to do.
fn role_child(name: &str) {
    let Some(layout) = role_root() else { return };
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGUSR1]).unwrap();
    say(&layout, &format!("{name} starts"));
    let notifier = Notifier::new(std::env::var(lifecycle::notify::VARIABLE).ok().as_deref()).unwrap();
    notifier.status("at your service");
    notifier.ready();
    let signal = signals.forever().next().unwrap();
    if signal == SIGUSR1 && layout.root.join("slow").exists() {
        signals.forever().next();
    }
    if signal == SIGTERM && layout.root.join(STUBBORN).exists() && name == "node" {
        signals.forever().find(|signal| *signal == SIGUSR1);
    }
    say(&layout, &format!("{name} {}", if signal == SIGUSR1 { "drains" } else { "ends" }));
    std::process::exit(0);
}

#[test]
fn role_server() {
    role_child("server");
}

#[test]
fn role_node() {
    role_child("node");
}

#[test]
fn role_failing() {
    if role_root().is_some() {
        eprintln!("no coffee left");
        std::process::exit(3);
    }
}

/// A supervisor whose only child never comes up.
#[test]
fn role_supervisor_of_failing() {
    let Some(layout) = role_root() else { return };
    println!();
    let mut config = config(layout);
    config.needs.runtime = supervisor::Runtime::None;
    config.children.truncate(1);
    config.children[0].arguments = arguments("role_failing");
    let result = lifecycle::up::supervise_for_waiting_parent(config, &mut |_| Ok(()));
    std::process::exit(i32::from(result.is_err()));
}

/// A supervisor that needs the port in a file.
#[test]
fn role_supervisor_of_taken_port() {
    let Some(layout) = role_root() else { return };
    println!();
    let port = std::fs::read_to_string(layout.root.join("port")).unwrap().parse().unwrap();
    let mut config = config(layout);
    config.needs.ports = vec![doctor::Port {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port,
        transport: doctor::Transport::Tcp,
        what: "API server".into(),
        advice: "stop it, or take another port by --bind".into(),
    }];
    let result = lifecycle::up::supervise_for_waiting_parent(config, &mut |_| Ok(()));
    std::process::exit(i32::from(result.is_err()));
}

fn up_error(layout: &Layout, role: &str) -> String {
    let executable = std::env::current_exe().unwrap();
    let needs = config(layout.clone()).needs;
    let result = lifecycle::up::detached(&needs, &executable, &arguments(role), &mut Vec::new());
    format!("{:#}", result.unwrap_err())
}

#[test]
fn what_does_not_come_up_says_why() {
    if !inside("what_does_not_come_up_says_why") {
        return;
    }
    let layout = Root.layout();
    lifecycle::root::prepare(&layout).unwrap();
    std::fs::write(&layout.recovery_key, "k-e-y").unwrap();
    let error = up_error(&layout, "role_supervisor_of_failing");
    assert!(layout.recovery_key.exists() && !error.contains("k-e-y"), "{error}");
    assert!(error.starts_with("server ended 3 times before it was ready: exit status: 3\n"), "{error}");
    assert!(error.contains("server.log ends with:") && error.contains("no coffee left"), "{error}");
    assert_eq!(supervisor::holder(&layout), None);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(layout.root.join("port"), port.to_string()).unwrap();
    let error = up_error(&layout, "role_supervisor_of_taken_port");
    let own = std::process::id();
    assert!(error.contains(&format!("TCP 127.0.0.1:{port} for the API server is taken by ")), "{error}");
    assert!(error.contains(&format!("(process {own})")) && error.contains("--bind"), "{error}");
}

/// A disk of its own as the root: what mkfs made of it stays, and a full one begins no cluster.
#[test]
fn a_disk_as_the_root() {
    if !inside("a_disk_as_the_root") {
        return;
    }
    let layout = Layout::open(Root.layout().root.join("disk")).unwrap();
    std::fs::create_dir(&layout.root).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=32m", "none"];
    assert!(Command::new("mount").args(mount).arg(&layout.root).status().unwrap().success());
    std::fs::create_dir(layout.root.join("lost+found")).unwrap();
    lifecycle::root::prepare(&layout).unwrap();
    lifecycle::root::refuse_full_disk(&layout.root).unwrap();
    std::fs::write(layout.root.join("ballast"), vec![1; 16 << 20]).unwrap();
    let error = lifecycle::error::text(&lifecycle::root::refuse_full_disk(&layout.root).unwrap_err());
    assert!(error.contains("has no room for the 24.0 MiB that a first start takes"), "{error}");
    assert!(error.contains(": No space left on device (os error 28); make room"), "{error}");

    lifecycle::down::reset(&layout, Duration::ZERO, &mut (), &mut Vec::new()).unwrap();
    let left: Vec<_> = std::fs::read_dir(&layout.root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["lost+found"]);
}

fn up(layout: &Layout) -> String {
    let mut out = Vec::new();
    up_telling(layout, &mut out);
    String::from_utf8(out).unwrap()
}

fn up_telling(layout: &Layout, out: &mut dyn Write) {
    let executable = std::env::current_exe().unwrap();
    let needs = config(layout.clone()).needs;
    lifecycle::up::detached(&needs, &executable, &arguments("role_supervisor"), out).unwrap();
}

/// Lets a process that ends late end once it is told that somebody waits for it.
struct Reader {
    told: Vec<u8>,
    slow: processes::Identity,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.told.extend_from_slice(bytes);
        if self.told.windows(7).any(|window| window == b"waiting") {
            self.slow.signal(Signal::USR1).unwrap();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn down(layout: &Layout) {
    lifecycle::down::down(layout, Duration::from_secs(60), &mut (), &mut std::io::stdout()).unwrap();
}

/// The node of [`role_child`] ends once somebody has looked what it waits for.
struct Looking;

impl lifecycle::down::Hooks for Looking {
    fn running_pods(&mut self, layout: &Layout) -> Option<BTreeSet<String>> {
        let processes = supervisor::State::read(layout).map(|state| state.processes).unwrap_or_default();
        let node = processes.iter().find(|p| p.name == "node").and_then(|p| p.identity);
        let is_there = node.is_some_and(|node| node.signal(Signal::TERM).unwrap());
        Some(is_there.then(|| "default/slow".to_owned()).into_iter().collect())
    }
}

/// Containers survive what they should survive, and nothing is left of what should go.
#[test]
fn what_survives_what() {
    if !inside("what_survives_what") {
        return;
    }
    let root = Root;
    let layout = root.layout();
    let text = up(&layout);
    let names: Vec<&str> = text.lines().filter_map(|l| l.split_once("  ")).map(|(name, _)| name).collect();
    assert!(
        ["containerd", "sandbox image", "server", "node", "ready"].iter().all(|n| names.contains(n)),
        "{text}"
    );
    assert!(text.contains("at your service") && text.ends_with("/admin.kubeconfig\n"), "{text}");
    let containerd = Containerd::ensure(&Options::default(), &layout).unwrap();
    ctr(
        &containerd,
        &layout,
        &["run", "--detach", "--snapshotter", &containerd.snapshotter, pause::IMAGE, "pod"],
    );
    let shims = leftover_shims(&layout);
    assert_eq!(shims.len(), 1);

    // A second `up` finds everything in place.
    let supervisor = supervisor::holder(&layout).unwrap();
    assert!(up(&layout).starts_with("already up"));
    assert_eq!(supervisor::holder(&layout), Some(supervisor));

    // Killed: its children end with it, the rest runs on and is found again.
    supervisor.signal(Signal::KILL).unwrap();
    assert!(supervisor.wait(Duration::from_secs(60)));
    assert!(up(&layout).contains("found running"));
    assert_eq!((running(&layout), leftover_shims(&layout)), (Some(containerd.identity), shims.clone()));
    let mut heard = said(&layout);
    heard[2..4].sort();
    let starts = ["server starts", "node starts"];
    assert_eq!(heard, [&starts[..], &["node ends", "server ends"], &starts].concat());

    // One that does not end at once is waited for, and that is told.
    let state = supervisor::State::read(&layout).unwrap();
    let slow = state.processes.iter().find(|p| p.name == "node").unwrap().identity.unwrap();
    std::fs::write(layout.root.join(STUBBORN), "").unwrap();
    let supervisor = supervisor::holder(&layout).unwrap();
    supervisor.signal(Signal::KILL).unwrap();
    assert!(supervisor.wait(Duration::from_secs(60)));
    let mut reader = Reader { told: Vec::new(), slow };
    up_telling(&layout, &mut reader);
    std::fs::remove_file(layout.root.join(STUBBORN)).unwrap();
    let told = String::from_utf8(reader.told).unwrap();
    assert!(
        told.contains(&format!("a supervisor that was killed left: node (process {})", slow.pid)),
        "{told}"
    );
    std::fs::write(layout.root.join("said"), heard.join("\n") + "\n").unwrap();

    // A child that is killed is started again.
    let state = supervisor::State::read(&layout).unwrap();
    let node = state.processes.iter().find(|p| p.name == "node").unwrap().identity.unwrap();
    let watch = Watch::new(&layout);
    node.signal(Signal::KILL).unwrap();
    watch.wait(7);
    assert_eq!(said(&layout)[6], "node starts");

    // The recovery key that nobody was shown yet is shown by the next `up`, and by no other.
    std::fs::write(&layout.recovery_key, "k-e-y").unwrap();
    assert!(up(&layout).starts_with("\nk-e-y\nalready up"));
    assert!(up(&layout).starts_with("already up"));

    // Down: the node drains first, then nothing is left but the state. What takes long is told.
    std::fs::write(layout.root.join("slow"), "").unwrap();
    let mut told = Vec::new();
    lifecycle::down::down(&layout, Duration::from_secs(60), &mut Looking, &mut told).unwrap();
    let told = String::from_utf8(told).unwrap();
    assert_eq!(told.matches("waiting for 1 pod: default/slow\n").count(), 1, "{told}");
    std::fs::remove_file(layout.root.join("slow")).unwrap();
    assert_eq!(said(&layout)[7..], ["node drains", "server ends"]);
    assert_eq!((running(&layout), leftover_shims(&layout)), (None, vec![]));
    assert_eq!(mounts::below(&mounts::own().unwrap(), &[&layout.root]), Vec::<std::path::PathBuf>::new());
    let cgroups = lifecycle::cgroups::Cgroups::own().unwrap().unwrap();
    assert!(cgroups.trees.iter().all(|t| !t.point.join(&layout.own_cgroup[1..]).exists()));
    assert!(layout.marker.exists() && layout.containerd_root.exists());

    // After all of Corten was killed, `down` finds what is left.
    up(&layout);
    let containerd = Containerd::ensure(&Options::default(), &layout).unwrap();
    ctr(&containerd, &layout, &["container", "delete", "pod"]);
    ctr(
        &containerd,
        &layout,
        &["run", "--detach", "--snapshotter", &containerd.snapshotter, pause::IMAGE, "pod2"],
    );
    supervisor::holder(&layout).unwrap().signal(Signal::KILL).unwrap();
    containerd.identity.signal(Signal::KILL).unwrap();
    assert!(containerd.identity.wait(Duration::from_secs(60)));
    down(&layout);
    assert_eq!(leftover_shims(&layout), vec![]);

    lifecycle::down::reset(&layout, Duration::from_secs(60), &mut (), &mut std::io::stdout()).unwrap();
    assert!(!layout.root.exists());
}

/// Waits, by the kernel's word, until more was said than at its making.
struct Watch(std::os::fd::OwnedFd, Layout);

impl Watch {
    fn new(layout: &Layout) -> Self {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watch, layout.root.join("said"), inotify::WatchFlags::MODIFY).unwrap();
        Self(watch, layout.clone())
    }

    fn wait(&self, lines: usize) {
        while said(&self.1).len() < lines {
            rustix::io::read(&self.0, &mut [0_u8; 4096]).unwrap();
        }
    }
}
