//! `corten server` as a process.

use crate::wire::Wire;
use client::{Client, Kubeconfig};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a process may take to be ready before the test is given up.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A process that ends with this.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Runs `corten server` with these arguments, until it says that it is ready.
    pub fn server(root: &Path, name: &str, arguments: &[&str]) -> Self {
        let socket_path = root.join(format!("{name}.notify"));
        match std::fs::remove_file(&socket_path) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        let socket = UnixDatagram::bind(&socket_path).unwrap();
        socket.set_read_timeout(Some(READY_TIMEOUT)).unwrap();
        let log = root.join(format!("{name}.log"));
        let output = std::fs::File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_corten"))
            .arg("server")
            .args(arguments)
            .arg("--root")
            .arg(root)
            .env("NOTIFY_SOCKET", &socket_path)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let process = Self { child, log };
        let mut message = [0; 4096];
        let told = socket.recv(&mut message).map(|n| String::from_utf8_lossy(&message[..n]).into_owned());
        assert_eq!(told.ok().as_deref(), Some("READY=1"), "{}", process.log());
        process
    }

    /// What `corten server` says to arguments that it does not take.
    pub fn refused(root: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        let ended = command.arg("server").args(arguments).arg("--root").arg(root).output().unwrap();
        assert!(!ended.status.success());
        String::from_utf8(ended.stderr).unwrap()
    }

    /// How `corten` ends where nothing that it says can be written.
    pub fn unheard(arguments: &[&str]) -> Option<i32> {
        let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten"));
        command.args(arguments).stdin(Stdio::null()).stdout(full()).stderr(full()).status().unwrap().code()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its memory. Not its share: that changes with the other processes of the same program.
    pub fn resident_bytes(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// SIGTERM, and waits until it has ended as asked.
    pub fn end(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// SIGKILL, as a crash.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// Waits for what comes about by itself.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(READY_TIMEOUT, wait).await;
    assert!(in_time.is_ok(), "no {what} in {READY_TIMEOUT:?}");
}

/// A server of the API on a root, at a port that the system chose.
pub struct Api {
    pub process: Process,
    pub kubeconfig: PathBuf,
}

impl Api {
    /// With controllers and scheduler.
    pub fn whole(root: &Path) -> Self {
        Self::whole_with(root, &[])
    }

    /// The same with further options.
    pub fn whole_with(root: &Path, arguments: &[&str]) -> Self {
        let process = Process::server(root, "server", &[&["--bind", "127.0.0.1:0"], arguments].concat());
        Self { process, kubeconfig: root.join("admin.kubeconfig") }
    }

    /// `--only api`.
    pub fn start(root: &Path, arguments: &[&str]) -> Self {
        let all = [&["--only", "api", "--bind", "127.0.0.1:0"], arguments].concat();
        let process = Process::server(root, "api", &all);
        Self { process, kubeconfig: root.join("admin.kubeconfig") }
    }

    /// A client of the administrator.
    pub fn client(&self) -> Client {
        Client::from_kubeconfig(&self.kubeconfig, "test").unwrap()
    }

    /// Connections of the administrator.
    pub fn wire(&self) -> Wire {
        Wire::new(&Kubeconfig::read(&self.kubeconfig).unwrap())
    }
}
