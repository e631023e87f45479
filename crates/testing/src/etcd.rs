//! Real etcd servers.
//!
//! They are looked for in `CORTEN_TEST_ETCD` (paths of `etcd` binaries, separated by colons) and else on the
//! `PATH`; without any, tests say so and pass.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How often another port is tried: somebody else may take one between our look and etcd's.
const ATTEMPTS: usize = 5;

/// A server on the loopback, ended with the test.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where clients find it.
    pub url: String,
    /// Holds its data.
    _directory: tempfile::TempDir,
}

/// The etcd binaries to test with.
pub fn binaries() -> Vec<PathBuf> {
    let named: Vec<_> = std::env::var_os("CORTEN_TEST_ETCD").iter().flat_map(std::env::split_paths).collect();
    if !named.is_empty() {
        return named;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join("etcd")).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("not tested: no etcd on the PATH and none named by CORTEN_TEST_ETCD");
    }
    found.into_iter().collect()
}

impl Server {
    /// One without TLS.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(binary: &Path) -> Self {
        Self::start_with(binary, "http", |_| Vec::new())
    }

    /// One with flags, which may need the directory that it is given.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(binary: &Path, scheme: &str, flags: impl Fn(&Path) -> Vec<String>) -> Self {
        let started = (0..ATTEMPTS).find_map(|_| Self::try_start(binary, scheme, &flags));
        started.unwrap_or_else(|| panic!("{} does not start", binary.display()))
    }

    fn try_start(binary: &Path, scheme: &str, flags: impl Fn(&Path) -> Vec<String>) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (url, peer) = addresses(scheme);
        let mut child = Command::new(binary)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args(["--name", "test", "--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}"), "--logger", "zap"])
            .args(flags(directory.path()))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
        let log = child.stderr.take();
        let server = Self { child, url, _directory: directory };
        let mut lines = BufReader::new(log?).lines();
        // Etcd 3.5 and later say the former, 3.4 the latter.
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("ready to serve client") || line.contains("\"serving client traffic"));
        // It stops when nobody takes its log.
        std::thread::spawn(move || lines.for_each(drop));
        ready.then_some(server)
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// For clients and for peers. Both ports are held until both are known, so that they differ.
fn addresses(scheme: &str) -> (String, String) {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
    let (client, peer) = (listener(), listener());
    let address = |scheme: &str, listener: &TcpListener| {
        format!("{scheme}://{}", listener.local_addr().expect("a bound socket has an address"))
    };
    (address(scheme, &client), address("http", &peer))
}
