//! The parts that only a real machine can show: a containerd, containers, mounts, cgroups. They run as root in
//! a mount namespace and a root directory of their own; without root or without a runtime they say so and pass.

use lifecycle::containerd::{Containerd, Options, Origin, Programs, leftover_shims, running};
use lifecycle::{Layout, image, mounts, pause};
use std::path::Path;
use std::process::Command;

/// Set for a test that was started again in namespaces of its own.
const INSIDE: &str = "LIFECYCLE_TEST_INSIDE";

/// Runs the test `name` again in a mount namespace of its own. True inside; outside, the inner run has passed.
fn inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
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
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed inside its namespace: {status}");
    false
}

/// Ends what a test left, also when it fails.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn layout(&self) -> Layout {
        Layout::open(self.0.path()).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let layout = self.layout();
        Containerd::stop(&layout);
        lifecycle::processes::end_all(&leftover_shims(&layout), std::time::Duration::from_secs(10));
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
    let root = Root::new();
    let layout = root.layout();
    let options = Options::default();

    let first = Containerd::ensure(&options, &layout).unwrap();
    assert_eq!(first.origin, Origin::Started);
    assert_eq!(running(&layout), Some(first.identity));
    assert_ne!(
        rustix::process::getsid(rustix::process::Pid::from_raw(first.identity.pid)).unwrap(),
        rustix::process::getsid(None).unwrap()
    );
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
    let root = Root::new();
    let layout = root.layout();
    let file = root.0.path().join("pause.tar");
    std::fs::write(&file, pause::archive().unwrap()).unwrap();
    let error = image::import(&Options::default(), &layout, &[&file]).unwrap_err();
    assert!(format!("{error:#}").contains("start the cluster first"), "{error:#}");
    let containerd = Containerd::ensure(&Options::default(), &layout).unwrap();
    assert_eq!(image::import(&Options::default(), &layout, &[&file]).unwrap(), [pause::IMAGE]);
    assert!(ctr(&containerd, &layout, &["images", "list", "-q"]).contains(pause::IMAGE));
    std::fs::write(&file, "no archive").unwrap();
    let error = image::import(&Options::default(), &layout, &[&file]).unwrap_err();
    assert!(format!("{error:#}").contains("is it an OCI or Docker archive?"), "{error:#}");
}
