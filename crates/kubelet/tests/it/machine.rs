//! A private containerd, with an image made here.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kubelet::Config;
use serde_json::json;

/// Directories and the runtime; dropped, they go.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
    containerd: Child,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.containerd.kill();
        let _ = self.containerd.wait();
    }
}

impl Machine {
    /// Starts all, or says what is missing.
    pub(crate) async fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".into());
        }
        for program in ["containerd", "ctr", "runc", "tar", "sha256sum"] {
            find(program).ok_or_else(|| format!("{program} is not installed"))?;
        }
        let busybox = find("busybox").ok_or("busybox is not installed")?;
        let linked = output(Command::new(&busybox).arg("--list"))?;
        if !linked.lines().any(|applet| applet == "sh") {
            return Err("this busybox has no shell".into());
        }
        let dir =
            tempfile::Builder::new().prefix("kubelet-it-").tempdir_in("/tmp").map_err(|e| e.to_string())?;
        let root = dir.path();
        let settings = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n[grpc]\naddress = \"{0}/containerd.sock\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"test.example/pause:1\"\n\
             restrict_oom_score_adj = true\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"{0}/cni\"\n\
             conf_dir = \"{0}/cni\"\n",
            root.display()
        );
        std::fs::write(root.join("containerd.toml"), settings).map_err(|e| e.to_string())?;
        let log = std::fs::File::create(root.join("containerd.log")).map_err(|e| e.to_string())?;
        let containerd = Command::new("containerd")
            .arg("-c")
            .arg(root.join("containerd.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        let machine = Self { dir, containerd };
        machine.import(&busybox)?;
        Ok(machine)
    }

    pub(crate) fn config(&self) -> Config {
        let root = self.dir.path();
        Config {
            node_name: "node".into(),
            node_ips: vec!["127.0.0.1".parse().unwrap()],
            runtime_endpoint: format!("unix://{}/containerd.sock", root.display()),
            root_dir: root.join("kubelet"),
            pod_logs_dir: root.join("log/pods"),
            container_logs_dir: root.join("log/containers"),
            instance: "it".into(),
            cgroup_root: format!("/kubelet-it-{}", std::process::id()),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
            resolv_conf: root.join("resolv.conf"),
            node_labels: Default::default(),
            register_with_taints: Vec::new(),
            pods_max: 110,
            eviction_hard: kubelet::Thresholds::default(),
            server: kubelet::server::Config::default(),
        }
    }

    /// What is left of pods: containers, mounts, directories.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let root = self.dir.path();
        let containers = output(self.ctr().args(["containers", "list", "-q"])).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let pods = root.join("kubelet/pods");
        let inside = pods.to_string_lossy().into_owned();
        let mounts = mounts.lines().filter(|line| line.contains(&inside)).map(str::to_owned);
        containers
            .lines()
            .map(str::to_owned)
            .chain(mounts)
            .chain(pods.exists().then_some(inside.clone()))
            .collect()
    }

    fn ctr(&self) -> Command {
        let mut ctr = Command::new("ctr");
        // Waits for the socket, too.
        ctr.args(["--connect-timeout", "60s", "-n", "k8s.io", "-a"])
            .arg(self.dir.path().join("containerd.sock"));
        ctr
    }

    /// Makes an image that holds nothing but busybox, in the form of `docker save`, under two names.
    fn import(&self, busybox: &Path) -> Result<(), String> {
        let dir = self.dir.path().join("image");
        let rootfs = dir.join("rootfs");
        std::fs::create_dir_all(&rootfs).map_err(|e| e.to_string())?;
        std::fs::copy(busybox, rootfs.join("busybox")).map_err(|e| e.to_string())?;
        for name in ["cat", "test", "true", "sleep"] {
            let bin = rootfs.join("bin");
            std::fs::create_dir_all(&bin).map_err(|e| e.to_string())?;
            std::os::unix::fs::symlink("/busybox", bin.join(name)).map_err(|e| e.to_string())?;
        }
        for name in ["dev", "proc", "sys", "etc"] {
            std::fs::create_dir_all(rootfs.join(name)).map_err(|e| e.to_string())?;
        }
        output(Command::new("tar").arg("-C").arg(&rootfs).arg("-cf").arg(dir.join("layer.tar")).arg("."))?;
        let sum = output(Command::new("sha256sum").arg(dir.join("layer.tar")))?;
        let sum = sum.split_whitespace().next().unwrap_or_default().to_owned();
        let config = json!({"architecture": architecture(), "os": "linux", "config": {
            "Entrypoint": ["/busybox", "sleep", "1000000000"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]}});
        let manifest = json!([{"Config": "config.json", "Layers": ["layer.tar"],
            "RepoTags": ["test.example/busybox:1", "test.example/pause:1"]}]);
        std::fs::write(dir.join("config.json"), config.to_string()).map_err(|e| e.to_string())?;
        std::fs::write(dir.join("manifest.json"), manifest.to_string()).map_err(|e| e.to_string())?;
        let tar = dir.join("image.tar");
        let files = ["manifest.json", "config.json", "layer.tar"];
        output(Command::new("tar").arg("-C").arg(&dir).arg("-cf").arg(&tar).args(files))?;
        output(self.ctr().args(["images", "import"]).arg(&tar)).map(drop)
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let dirs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    dirs.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
