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
    // What an image is unpacked to is durable before it is said to be there. 1.x cannot: see `image` and the kubelet.
    table(text, "plugins.'io.containerd.service.v1.diff-service'", &[("sync_fs", "true".into())]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn settings(major: u32, minor: u32) -> Settings {
        Settings {
            version: Version { major, minor, patch: 0 },
            runtime: "/usr/sbin/runc".into(),
            snapshotter: Snapshotter::Overlayfs,
            sandbox_image: "corten.dev/pause:1".into(),
            systemd_cgroup: false,
            lowers_oom_score: true,
        }
    }

    #[test]
    fn for_containerd_1() {
        let layout = Layout::new("/var/lib/corten").unwrap();
        expect![[r#"
            # Written by Corten at each start of containerd; changes are lost.
            version = 2
            root = '/var/lib/corten/containerd'
            state = '/run/corten/containerd'
            oom_score = -999
            disabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.internal.v1.restart', 'io.containerd.internal.v1.tracing', 'io.containerd.snapshotter.v1.aufs', 'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.erofs', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.tracing.processor.v1.otlp']

            [grpc]
            address = '/run/corten/containerd/containerd.sock'

            [metrics]
            address = ''

            [debug]
            address = ''
            level = 'info'

            [plugins.'io.containerd.grpc.v1.cri']
            restrict_oom_score_adj = false
            netns_mounts_under_state_dir = true
            disable_tcp_service = true
            stream_server_address = '127.0.0.1'
            stream_server_port = '0'
            sandbox_image = 'corten.dev/pause:1'
            enable_unprivileged_ports = true
            enable_unprivileged_icmp = true

            [plugins.'io.containerd.grpc.v1.cri'.cni]
            conf_dir = '/etc/cni/net.d'
            max_conf_num = 1
            bin_dir = '/opt/cni/bin'

            [plugins.'io.containerd.grpc.v1.cri'.containerd]
            default_runtime_name = 'runc'
            snapshotter = 'overlayfs'

            [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
            runtime_type = 'io.containerd.runc.v2'

            [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]
            BinaryName = '/usr/sbin/runc'
            Root = '/run/corten/runc'
            SystemdCgroup = false

            [plugins.'io.containerd.grpc.v1.cri'.registry]
            config_path = '/var/lib/corten/registries'
        "#]].assert_eq(&render(&settings(1, 6), &layout));
    }

    #[test]
    fn for_containerd_2() {
        let layout = Layout::new("/srv/two").unwrap();
        expect![[r#"
            # Written by Corten at each start of containerd; changes are lost.
            version = 3
            root = '/srv/two/containerd'
            state = '/srv/two/run/containerd'
            oom_score = -999
            disabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.internal.v1.restart', 'io.containerd.internal.v1.tracing', 'io.containerd.snapshotter.v1.aufs', 'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.erofs', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.tracing.processor.v1.otlp']

            [grpc]
            address = '/srv/two/run/containerd/containerd.sock'

            [metrics]
            address = ''

            [debug]
            address = ''
            level = 'info'

            [plugins.'io.containerd.cri.v1.images']
            snapshotter = 'overlayfs'

            [plugins.'io.containerd.cri.v1.images'.pinned_images]
            sandbox = 'corten.dev/pause:1'

            [plugins.'io.containerd.cri.v1.images'.registry]
            config_path = '/srv/two/registries'

            [plugins.'io.containerd.cri.v1.runtime']
            restrict_oom_score_adj = false
            netns_mounts_under_state_dir = true

            [plugins.'io.containerd.cri.v1.runtime'.cni]
            conf_dir = '/srv/two/cni/net.d'
            max_conf_num = 1
            bin_dirs = ['/srv/two/cni/bin']

            [plugins.'io.containerd.cri.v1.runtime'.containerd]
            default_runtime_name = 'runc'

            [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
            runtime_type = 'io.containerd.runc.v2'

            [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
            BinaryName = '/usr/sbin/runc'
            Root = '/srv/two/run/runc'
            SystemdCgroup = false

            [plugins.'io.containerd.grpc.v1.cri']
            disable_tcp_service = true
            stream_server_address = '127.0.0.1'
            stream_server_port = '0'

            [plugins.'io.containerd.nri.v1.nri']
            disable = true

            [plugins.'io.containerd.service.v1.diff-service']
            sync_fs = true
        "#]].assert_eq(&render(&settings(2, 1), &layout));
    }

    #[test]
    fn what_the_probes_change() {
        let layout = Layout::new("/srv/two").unwrap();
        let lines =
            |settings: &Settings| render(settings, &layout).lines().map(str::to_owned).collect::<Vec<_>>();
        let base = lines(&settings(2, 1));
        let changed = |settings: Settings| {
            let lines = lines(&settings);
            lines.into_iter().filter(|l| !base.contains(l)).collect::<Vec<_>>()
        };
        let with = settings(2, 1);
        let native = Settings { snapshotter: Snapshotter::Native, systemd_cgroup: true, ..with.clone() };
        assert_eq!(changed(native), ["snapshotter = 'native'", "SystemdCgroup = true"]);
        let confined = Settings { lowers_oom_score: false, ..with };
        assert_eq!(changed(confined), ["oom_score = 0", "restrict_oom_score_adj = true"]);
        assert_eq!(changed(settings(2, 0)), ["bin_dir = '/srv/two/cni/bin'"]);
    }
}
