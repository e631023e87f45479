//! containerd's configuration: version 2 for containerd 1.6 and 1.7, version 3 for 2.x. Pure.

use super::Version;
use crate::layout::Layout;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Plugins that a node does not need. Those for file systems that are not there only fill the log.
const DISABLED_PLUGINS: [&str; 9] = [
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
];
/// What distributions give containerd in its unit; the kernel kills everything else first.
const OOM_SCORE: i32 = -999;

/// How images' layers become a root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshotter {
    /// Layers are stacked by the kernel.
    Overlayfs,
    /// Each layer is a full copy: slow and large, works everywhere.
    Native,
    /// Another one by name.
    Named(String),
}

impl Snapshotter {
    /// containerd's name of it.
    pub fn name(&self) -> &str {
        match self {
            Self::Overlayfs => "overlayfs",
            Self::Native => "native",
            Self::Named(name) => name,
        }
    }
}

/// All that the configuration is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of the installed containerd: decides the configuration's form.
    pub version: Version,
    /// runc or crun.
    pub runtime: PathBuf,
    /// How layers are stacked.
    pub snapshotter: Snapshotter,
    /// Name of the sandbox image.
    pub sandbox_image: String,
    /// Whether runc asks systemd for cgroups.
    pub systemd_cgroup: bool,
    /// Whether processes may be given a lower `oom_score_adj` than Corten's own. If not, and containerd were
    /// not told, every sandbox would fail in runc.
    pub lowers_oom_score: bool,
}

/// The configuration file's text.
pub fn render(settings: &Settings, layout: &Layout) -> String {
    let mut text = String::from("# Written by Corten at each start of containerd; changes are lost.\n");
    let three = settings.version.major >= 2;
    line(&mut text, "version", if three { "3" } else { "2" });
    line(&mut text, "root", &path(&layout.containerd_root));
    line(&mut text, "state", &path(&layout.containerd_state));
    line(&mut text, "oom_score", &if settings.lowers_oom_score { OOM_SCORE } else { 0 }.to_string());
    let disabled: Vec<String> = DISABLED_PLUGINS.iter().map(|name| quote(name)).collect();
    line(&mut text, "disabled_plugins", &format!("[{}]", disabled.join(", ")));
    table(&mut text, "grpc", &[("address", path(&layout.containerd_socket))]);
    // An empty address serves no metrics and no debugging.
    table(&mut text, "metrics", &[("address", quote(""))]);
    table(&mut text, "debug", &[("address", quote("")), ("level", quote("info"))]);
    if three {
        version_three(&mut text, settings, layout)
    } else {
        version_two(&mut text, settings, layout)
    }
    text
}

fn version_two(text: &mut String, settings: &Settings, layout: &Layout) {
    let cri = "plugins.'io.containerd.grpc.v1.cri'";
    let mut common = runtime_keys(settings);
    common.extend(stream_keys());
    common.push(("sandbox_image", quote(&settings.sandbox_image)));
    // Since 2.0 this is the default: every pod has network and IPC namespaces of its own, so it takes nothing.
    common.push(("enable_unprivileged_ports", "true".into()));
    common.push(("enable_unprivileged_icmp", "true".into()));
    table(text, cri, &common);
    let mut cni = cni_keys(layout);
    cni.push(("bin_dir", path(&layout.cni_bin_dir)));
    table(text, &format!("{cri}.cni"), &cni);
    let snapshotter = ("snapshotter", quote(settings.snapshotter.name()));
    table(text, &format!("{cri}.containerd"), &[("default_runtime_name", quote("runc")), snapshotter]);
    runtime(text, &format!("{cri}.containerd.runtimes.runc"), settings, layout);
    table(text, &format!("{cri}.registry"), &[("config_path", path(&layout.registry_config_dir))]);
}

fn version_three(text: &mut String, settings: &Settings, layout: &Layout) {
    let (runtime_plugin, images) =
        ("plugins.'io.containerd.cri.v1.runtime'", "plugins.'io.containerd.cri.v1.images'");
    table(text, images, &[("snapshotter", quote(settings.snapshotter.name()))]);
    table(text, &format!("{images}.pinned_images"), &[("sandbox", quote(&settings.sandbox_image))]);
    table(text, &format!("{images}.registry"), &[("config_path", path(&layout.registry_config_dir))]);
    table(text, runtime_plugin, &runtime_keys(settings));
    let mut cni = cni_keys(layout);
    // `bin_dir` is deprecated since 2.1 and goes with 2.4 (containerd's RELEASES.md).
    if (settings.version.major, settings.version.minor) >= (2, 1) {
        cni.push(("bin_dirs", format!("[{}]", path(&layout.cni_bin_dir))));
    } else {
        cni.push(("bin_dir", path(&layout.cni_bin_dir)));
    }
    table(text, &format!("{runtime_plugin}.cni"), &cni);
    table(text, &format!("{runtime_plugin}.containerd"), &[("default_runtime_name", quote("runc"))]);
    runtime(text, &format!("{runtime_plugin}.containerd.runtimes.runc"), settings, layout);
    table(text, "plugins.'io.containerd.grpc.v1.cri'", &stream_keys());
    // Its socket is one for the whole host.
    table(text, "plugins.'io.containerd.nri.v1.nri'", &[("disable", "true".into())]);
}

type Key = (&'static str, String);

fn runtime_keys(settings: &Settings) -> Vec<Key> {
    vec![
        ("restrict_oom_score_adj", (!settings.lowers_oom_score).to_string()),
        // Then a namespace that is left over is found by where it is mounted.
        ("netns_mounts_under_state_dir", "true".into()),
    ]
}

fn stream_keys() -> Vec<Key> {
    // Only the kubelet dials it, from the same machine.
    vec![
        ("disable_tcp_service", "true".into()),
        ("stream_server_address", quote("127.0.0.1")),
        ("stream_server_port", quote("0")),
    ]
}

fn cni_keys(layout: &Layout) -> Vec<Key> {
    vec![("conf_dir", path(&layout.cni_conf_dir)), ("max_conf_num", "1".into())]
}

fn runtime(text: &mut String, name: &str, settings: &Settings, layout: &Layout) {
    table(text, name, &[("runtime_type", quote("io.containerd.runc.v2"))]);
    let options = [
        ("BinaryName", path(&settings.runtime)),
        ("Root", path(&layout.runc_root)),
        ("SystemdCgroup", settings.systemd_cgroup.to_string()),
    ];
    table(text, &format!("{name}.options"), &options);
}

fn table(text: &mut String, name: &str, keys: &[Key]) {
    // Writing to a string cannot fail.
    let _never = write!(text, "\n[{name}]\n");
    for (key, value) in keys {
        line(text, key, value);
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    let _never = writeln!(text, "{key} = {value}");
}

/// A TOML literal string. Paths of a layout and names hold no apostrophe.
fn quote(value: &str) -> String {
    format!("'{value}'")
}

fn path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
