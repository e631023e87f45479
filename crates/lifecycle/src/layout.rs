//! Where everything of an instance lies and what it is called: all that `--root` decides.
//!
//! The default root uses upstream's well-known paths, because drivers and log shippers depend on them. Any
//! other root keeps everything below itself and puts an instance id into names that the whole host shares,
//! so that several clusters live on one machine.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// The root that `corten up` takes without `--root`.
pub const DEFAULT_ROOT: &str = "/var/lib/corten";
/// The file that says that a directory is a Corten root; `reset` removes nothing without it.
pub const MARKER_FILE: &str = ".corten-root";
/// `sun_path` in unix(7) is 108 bytes with its final zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Letters of instance ids: as upstream's generated names, no vowels and no look-alikes, so that no id spells
/// a word and none continues the default's interface prefix.
const ID_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const ID_LENGTH: usize = 6;
/// Leaves eleven of an interface name's fifteen bytes to whoever names the interface.
const INTERFACE_PREFIX_LENGTH: usize = 4;

/// All paths and names of one instance. Pure: nothing here is looked up or made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// `--root`: durable state, below it `pki` and `store`.
    pub root: PathBuf,
    /// Empty for the default root, else six letters and digits made from the root's path.
    pub id: String,
    /// [`MARKER_FILE`] in the root.
    pub marker: PathBuf,
    /// Locked as long as a supervisor runs on the root.
    pub lock: PathBuf,
    /// Sockets and what a reboot may forget.
    pub run_dir: PathBuf,
    /// Logs of Corten's own processes and of containerd.
    pub log_dir: PathBuf,
    /// What the supervisor runs and how long each stage took, as JSON.
    pub supervisor_state: PathBuf,
    /// Datagram sockets by which children say that they are ready, one per child.
    pub notify_dir: PathBuf,
    /// The node agent's socket for its CNI plugin.
    pub cni_socket: PathBuf,
    /// The recovery key of encryption at rest, from its making until somebody was told it.
    pub recovery_key: PathBuf,
    /// The options of the last `up`, for `down`, `reset` and `doctor`.
    pub up_options: PathBuf,
    /// The administrator's kubeconfig, whose path `up` prints.
    pub admin_kubeconfig: PathBuf,
    /// The kubelet's kubeconfig.
    pub kubelet_kubeconfig: PathBuf,
    /// Keys and certificates.
    pub pki_dir: PathBuf,
    /// The embedded store.
    pub store_dir: PathBuf,
    /// The kubelet's root: volumes, checkpoints, plugins.
    pub kubelet_dir: PathBuf,
    /// The kubelet's registration sockets of plugins, in `kubelet_dir`.
    pub plugins_registry_dir: PathBuf,
    /// `NAMESPACE_POD_UID/CONTAINER/N.log`.
    pub pod_log_dir: PathBuf,
    /// Links to the files in `pod_log_dir`.
    pub container_log_dir: PathBuf,
    /// CNI configurations.
    pub cni_conf_dir: PathBuf,
    /// CNI plugins.
    pub cni_bin_dir: PathBuf,
    /// Images and snapshots of the supervised containerd.
    pub containerd_root: PathBuf,
    /// What the supervised containerd forgets at a reboot.
    pub containerd_state: PathBuf,
    /// Configuration of the supervised containerd as it was last started.
    pub containerd_config: PathBuf,
    /// CRI socket of the supervised containerd.
    pub containerd_socket: PathBuf,
    /// State of runc for this instance's containers.
    pub runc_root: PathBuf,
    /// Settings of registries (`hosts.toml`), read by containerd.
    pub registry_config_dir: PathBuf,
    /// The nftables table of Services and policies (families `ip`, `ip6` or `inet`).
    pub nft_table: String,
    /// What names of host interfaces begin with; four bytes at most.
    pub interface_prefix: String,
    /// Parent of the pods' `kubepods` in the cgroup tree: `/` for the default root.
    pub cgroup_root: String,
    /// Parent of Corten's own cgroups (`containerd`).
    pub own_cgroup: String,
}

/// Why a root cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path is relative.
    #[error("the root {0} is not an absolute path")]
    NotAbsolute(PathBuf),
    /// The path is `/`.
    #[error("the root may not be / itself; take a directory of its own, such as {DEFAULT_ROOT}")]
    FileSystemRoot,
    /// A character that would need quoting in configurations and unit files.
    #[error("the root {0:?} has characters other than letters, digits and ./_-+@~; take a plainer path")]
    Characters(PathBuf),
    /// A socket's path would not fit.
    #[error(
        "the root {root} is too long: its socket {socket} would have {length} bytes, and the system takes {SOCKET_PATH_BYTES_MAX}; take a root that is at least {} shorter",
        length - SOCKET_PATH_BYTES_MAX
    )]
    SocketTooLong {
        /// The root asked for.
        root: PathBuf,
        /// The longest socket below it.
        socket: PathBuf,
        /// Bytes in the socket's path.
        length: usize,
    },
    /// The root, or what it lies in, is a file.
    #[error("the root {0} cannot be: {1} is no directory")]
    NotADirectory(PathBuf, PathBuf),
    /// The root exists and cannot be looked up.
    #[error("cannot look up the root {0}: {1}")]
    Lookup(PathBuf, String),
}

impl Layout {
    /// The layout for an absolute path that is canonical already; see [`Layout::open`].
    pub fn new(root: impl AsRef<Path>) -> Result<Self, Error> {
        let root = normalize(root.as_ref())?;
        let layout = if root == Path::new(DEFAULT_ROOT) { Self::default_root() } else { Self::other(root) };
        match layout.sockets().into_iter().map(|s| (s.as_os_str().len(), s)).max() {
            Some((length, socket)) if length > SOCKET_PATH_BYTES_MAX => {
                Err(Error::SocketTooLong { root: layout.root.clone(), socket: socket.to_owned(), length })
            }
            _ => Ok(layout),
        }
    }

    /// The layout for a path as the user wrote it: made absolute, links in what exists of it followed, so that
    /// one directory has one instance id. The default root keeps its name even where it is a link.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, Error> {
        let given = root.as_ref();
        let lookup = |e: std::io::Error| Error::Lookup(given.to_owned(), e.to_string());
        let absolute = std::path::absolute(given).map_err(lookup)?;
        let root = normalize(&absolute)?;
        // A path that does not exist yet has no canonical form; its nearest ancestor that exists has.
        let mut rest = Vec::new();
        let mut there = root.as_path();
        loop {
            match there.canonicalize() {
                Ok(canonical) if !canonical.is_dir() => {
                    return Err(Error::NotADirectory(root.clone(), canonical));
                }
                Ok(_) if root == Path::new(DEFAULT_ROOT) => return Self::new(root),
                Ok(canonical) => {
                    return Self::new(rest.iter().rev().fold(canonical, |path, name| path.join(name)));
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    match (there.file_name(), there.parent()) {
                        (Some(name), Some(parent)) => {
                            rest.push(name.to_owned());
                            there = parent;
                        }
                        _ => return Err(lookup(error)),
                    }
                }
                Err(error) => return Err(lookup(error)),
            }
        }
    }

    /// Whether this is the instance with upstream's well-known paths.
    pub fn is_default(&self) -> bool {
        self.id.is_empty()
    }

    /// The socket by which child `name` says that it is ready.
    pub fn notify_socket(&self, name: &str) -> PathBuf {
        self.notify_dir.join(name)
    }

    /// The log of Corten's process `name`.
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.log_dir.join(format!("{name}.log"))
    }

    /// Directories outside the root that belong to this instance alone. `reset` removes them; well-known
    /// directories that others may use too (`/opt/cni/bin`) are not among them.
    pub fn owned_outside(&self) -> Vec<&Path> {
        [&self.run_dir, &self.log_dir, &self.kubelet_dir, &self.pod_log_dir, &self.container_log_dir]
            .into_iter()
            .map(PathBuf::as_path)
            .filter(|path| !path.starts_with(&self.root))
            .collect()
    }

    /// Directories outside the root that this instance makes and that others may use too, each before the one that it
    /// is in. `reset` removes those that are empty.
    pub fn shared_outside(&self) -> Vec<&Path> {
        [&self.cni_conf_dir, &self.cni_bin_dir]
            .into_iter()
            .flat_map(|path| path.ancestors().take(2))
            .filter(|path| !path.starts_with(&self.root))
            .collect()
    }

    fn default_root() -> Self {
        let base = |path: &str| PathBuf::from(path);
        let run = base("/run/corten");
        Self {
            kubelet_dir: base("/var/lib/kubelet"),
            plugins_registry_dir: base("/var/lib/kubelet/plugins_registry"),
            pod_log_dir: base("/var/log/pods"),
            container_log_dir: base("/var/log/containers"),
            cni_conf_dir: base("/etc/cni/net.d"),
            cni_bin_dir: base("/opt/cni/bin"),
            ..Self::with(base(DEFAULT_ROOT), String::new(), run, base("/var/log/corten"))
        }
    }

    fn other(root: PathBuf) -> Self {
        let id = instance_id(&root);
        let (run, log) = (root.join("run"), root.join("log"));
        Self::with(root, id, run, log)
    }

    fn with(root: PathBuf, id: String, run: PathBuf, log: PathBuf) -> Self {
        let name = Suffixed { stem: "corten", id: &id }.to_string();
        let interface_prefix =
            if id.is_empty() { "cort".into() } else { format!("c{}", &id[..INTERFACE_PREFIX_LENGTH - 1]) };
        let containerd = run.join("containerd");
        Self {
            marker: root.join(MARKER_FILE),
            lock: root.join("lock"),
            supervisor_state: run.join("supervisor.json"),
            notify_dir: run.join("notify"),
            cni_socket: run.join("cni.sock"),
            recovery_key: root.join("recovery-key"),
            up_options: root.join("up-options.json"),
            admin_kubeconfig: root.join("admin.kubeconfig"),
            kubelet_kubeconfig: root.join("kubelet.conf"),
            pki_dir: root.join("pki"),
            store_dir: root.join("store"),
            kubelet_dir: root.join("kubelet"),
            plugins_registry_dir: root.join("kubelet/plugins_registry"),
            pod_log_dir: log.join("pods"),
            container_log_dir: log.join("containers"),
            cni_conf_dir: root.join("cni/net.d"),
            cni_bin_dir: root.join("cni/bin"),
            containerd_root: root.join("containerd"),
            containerd_config: containerd.join("config.toml"),
            containerd_socket: containerd.join("containerd.sock"),
            containerd_state: containerd,
            runc_root: run.join("runc"),
            registry_config_dir: root.join("registries"),
            nft_table: name.clone(),
            interface_prefix,
            cgroup_root: if id.is_empty() { "/".into() } else { format!("/{name}") },
            own_cgroup: format!("/{name}"),
            run_dir: run,
            log_dir: log,
            root,
            id,
        }
    }

    fn sockets(&self) -> [PathBuf; 3] {
        [
            self.cni_socket.clone(),
            // containerd listens there too, for its shims.
            self.containerd_state.join("containerd.sock.ttrpc"),
            // The longest of the kubelet's sockets.
            self.kubelet_dir.join("pod-resources/kubelet.sock"),
        ]
    }
}

struct Suffixed<'a> {
    stem: &'a str,
    id: &'a str,
}

impl fmt::Display for Suffixed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            "" => f.write_str(self.stem),
            id => write!(f, "{}-{id}", self.stem),
        }
    }
}

/// Without `.`, `..`, doubled and final slashes; refuses what cannot be a root.
fn normalize(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_absolute() {
        return Err(Error::NotAbsolute(path.to_owned()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_-+@~".contains(c);
    if !path.to_str().is_some_and(|text| text.chars().all(plain)) {
        return Err(Error::Characters(path.to_owned()));
    }
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::RootDir | Component::Normal(_) => normal.push(component),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if normal.parent().is_none() { Err(Error::FileSystemRoot) } else { Ok(normal) }
}

/// Six letters and digits by the path's SHA-256: 27^6 ids, so that two of a hundred instances share one with
/// a chance of one in 80,000; their three-letter interface prefixes are one of 19,683.
fn instance_id(root: &Path) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, root.as_os_str().as_encoded_bytes());
    let bytes = digest.as_ref();
    bytes[..ID_LENGTH].iter().map(|b| char::from(ID_ALPHABET[usize::from(*b) % ID_ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_default_root_has_the_well_known_paths() {
        expect![[r#"
            Layout {
                root: "/var/lib/corten",
                id: "",
                marker: "/var/lib/corten/.corten-root",
                lock: "/var/lib/corten/lock",
                run_dir: "/run/corten",
                log_dir: "/var/log/corten",
                supervisor_state: "/run/corten/supervisor.json",
                notify_dir: "/run/corten/notify",
                cni_socket: "/run/corten/cni.sock",
                recovery_key: "/var/lib/corten/recovery-key",
                up_options: "/var/lib/corten/up-options.json",
                admin_kubeconfig: "/var/lib/corten/admin.kubeconfig",
                kubelet_kubeconfig: "/var/lib/corten/kubelet.conf",
                pki_dir: "/var/lib/corten/pki",
                store_dir: "/var/lib/corten/store",
                kubelet_dir: "/var/lib/kubelet",
                plugins_registry_dir: "/var/lib/kubelet/plugins_registry",
                pod_log_dir: "/var/log/pods",
                container_log_dir: "/var/log/containers",
                cni_conf_dir: "/etc/cni/net.d",
                cni_bin_dir: "/opt/cni/bin",
                containerd_root: "/var/lib/corten/containerd",
                containerd_state: "/run/corten/containerd",
                containerd_config: "/run/corten/containerd/config.toml",
                containerd_socket: "/run/corten/containerd/containerd.sock",
                runc_root: "/run/corten/runc",
                registry_config_dir: "/var/lib/corten/registries",
                nft_table: "corten",
                interface_prefix: "cort",
                cgroup_root: "/",
                own_cgroup: "/corten",
            }
        "#]]
        .assert_debug_eq(&Layout::new(DEFAULT_ROOT).unwrap());
    }

    #[test]
    fn another_root_keeps_everything_below_itself_under_names_of_its_own() {
        expect![[r#"
            Layout {
                root: "/srv/two",
                id: "g9t995",
                marker: "/srv/two/.corten-root",
                lock: "/srv/two/lock",
                run_dir: "/srv/two/run",
                log_dir: "/srv/two/log",
                supervisor_state: "/srv/two/run/supervisor.json",
                notify_dir: "/srv/two/run/notify",
                cni_socket: "/srv/two/run/cni.sock",
                recovery_key: "/srv/two/recovery-key",
                up_options: "/srv/two/up-options.json",
                admin_kubeconfig: "/srv/two/admin.kubeconfig",
                kubelet_kubeconfig: "/srv/two/kubelet.conf",
                pki_dir: "/srv/two/pki",
                store_dir: "/srv/two/store",
                kubelet_dir: "/srv/two/kubelet",
                plugins_registry_dir: "/srv/two/kubelet/plugins_registry",
                pod_log_dir: "/srv/two/log/pods",
                container_log_dir: "/srv/two/log/containers",
                cni_conf_dir: "/srv/two/cni/net.d",
                cni_bin_dir: "/srv/two/cni/bin",
                containerd_root: "/srv/two/containerd",
                containerd_state: "/srv/two/run/containerd",
                containerd_config: "/srv/two/run/containerd/config.toml",
                containerd_socket: "/srv/two/run/containerd/containerd.sock",
                runc_root: "/srv/two/run/runc",
                registry_config_dir: "/srv/two/registries",
                nft_table: "corten-g9t995",
                interface_prefix: "cg9t",
                cgroup_root: "/corten-g9t995",
                own_cgroup: "/corten-g9t995",
            }
        "#]]
        .assert_debug_eq(&Layout::new("/srv/two").unwrap());
    }

    #[test]
    fn roots() {
        let long = format!("/{}", "x".repeat(90));
        let roots = [
            "/var/lib/corten/",
            "/var/lib/../lib/./corten",
            "/srv/one",
            "/srv/two",
            "/srv//two/",
            "srv",
            "/",
            "/srv/..",
            "/srv/my cluster",
            &long,
        ];
        let mut text = String::new();
        for root in roots {
            let line = Layout::new(root)
                .map(|l| format!("{} {} {}", l.root.display(), l.nft_table, l.interface_prefix));
            text += &format!("{root} => {}\n", line.unwrap_or_else(|e| format!("error: {e}")));
        }
        expect![[r#"
            /var/lib/corten/ => /var/lib/corten corten cort
            /var/lib/../lib/./corten => /var/lib/corten corten cort
            /srv/one => /srv/one corten-bsz5n7 cbsz
            /srv/two => /srv/two corten-g9t995 cg9t
            /srv//two/ => /srv/two corten-g9t995 cg9t
            srv => error: the root srv is not an absolute path
            / => error: the root may not be / itself; take a directory of its own, such as /var/lib/corten
            /srv/.. => error: the root may not be / itself; take a directory of its own, such as /var/lib/corten
            /srv/my cluster => error: the root "/srv/my cluster" has characters other than letters, digits and ./_-+@~; take a plainer path
            /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx => error: the root /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx is too long: its socket /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx/run/containerd/containerd.sock.ttrpc would have 128 bytes, and the system takes 107; take a root that is at least 21 shorter
        "#]].assert_eq(&text);
    }

    #[test]
    fn nothing_of_another_root_is_outside_it() {
        assert_eq!(Layout::new("/srv/two").unwrap().owned_outside(), Vec::<&Path>::new());
        assert_eq!(
            Layout::new(DEFAULT_ROOT).unwrap().owned_outside(),
            ["/run/corten", "/var/log/corten", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers"]
                .map(Path::new)
        );
        assert_eq!(Layout::new("/srv/two").unwrap().shared_outside(), Vec::<&Path>::new());
        assert_eq!(
            Layout::new(DEFAULT_ROOT).unwrap().shared_outside(),
            ["/etc/cni/net.d", "/etc/cni", "/opt/cni/bin", "/opt/cni"].map(Path::new)
        );
    }

    #[test]
    fn files_are_no_roots() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("file");
        std::fs::write(&file, "").unwrap();
        for root in [file.clone(), file.join("below/it")] {
            let error = Layout::open(&root).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("the root {} cannot be: {} is no directory", root.display(), file.display())
            );
        }
    }

    #[test]
    fn links_lead_to_one_instance() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink(real.join("a"), real.join("b")).unwrap();
        assert_eq!(
            Layout::open(real.join("b/not/yet")).unwrap(),
            Layout::new(real.join("a/not/yet")).unwrap()
        );
    }
}
