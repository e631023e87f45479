//! A real etcd: by `CORTEN_TEST_ETCD`, or from the `PATH`. Without one these tests say so and pass.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server on the loopback, ended with the test.
pub struct Etcd {
    child: Child,
    pub url: String,
    /// Holds its data.
    _directory: tempfile::TempDir,
}

/// The binary to test with.
pub fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("CORTEN_TEST_ETCD");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match &named {
        Some(named) => std::env::split_paths(named).next(),
        None => std::env::split_paths(&path).map(|d| d.join("etcd")).find(|file| file.is_file()),
    };
    if found.is_none() {
        eprintln!("not tested: no etcd on the PATH and none named by CORTEN_TEST_ETCD");
    }
    found
}

impl Etcd {
    pub fn start(binary: &Path) -> Self {
        // Both are held until both are known, so that they differ.
        let (client, peer) = (free_port(), free_port());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let (url, peer_url) = (address(&client), address(&peer));
        drop((client, peer));
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary)
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--name", "test", "--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("test={peer_url}"), "--logger", "zap"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // Etcd 3.5 and later say the former, 3.4 the latter.
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("ready to serve client") || line.contains("\"serving client traffic"));
        assert!(ready, "{} does not start", binary.display());
        // It stops when nobody takes its log.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url, _directory: directory }
    }
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}
