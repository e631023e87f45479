//! What this machine's containerd, kernel and privileges allow, found out by trying.

use super::{Options, Settings, Snapshotter, Version};
use crate::layout::Layout;
use crate::processes::find_program;
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Older ones speak CRI v1alpha2 only.
const CONTAINERD_MINIMUM: Version = Version { major: 1, minor: 6, patch: 0 };

/// The programs of a container runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The daemon.
    pub containerd: PathBuf,
    /// Its client, which imports images.
    pub ctr: PathBuf,
    /// runc or crun.
    pub runtime: PathBuf,
    /// Of the daemon.
    pub version: Version,
}

impl Programs {
    /// Finds them, or says which are missing and how to get them.
    pub fn find(options: &Options) -> Result<Self> {
        let containerd = options.program.clone().or_else(|| find_program("containerd"));
        let ctr = options
            .program
            .as_deref()
            .and_then(Path::parent)
            .map(|dir| dir.join("ctr"))
            .filter(|ctr| ctr.is_file())
            .or_else(|| find_program("ctr"));
        let runtime =
            options.runtime.clone().or_else(|| find_program("runc")).or_else(|| find_program("crun"));
        let missing: Vec<&str> = [("containerd", &containerd), ("ctr", &ctr), ("runc or crun", &runtime)]
            .into_iter()
            .filter_map(|(name, path)| path.is_none().then_some(name))
            .collect();
        let (Some(containerd), Some(ctr), Some(runtime)) = (containerd, ctr, runtime) else {
            bail!(
                "there is no container runtime on this machine: {} not found in {}; install it (Debian and Ubuntu: \
                 apt-get install containerd runc)",
                missing.join(", "),
                crate::processes::PROGRAM_PATH
            );
        };
        let output = Command::new(&containerd).arg("--version").output();
        let output = output.with_context(|| format!("cannot run {} --version", containerd.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = parse_version(&text).with_context(|| {
            format!("{} --version says no version: {:?}", containerd.display(), text.trim())
        })?;
        if version < CONTAINERD_MINIMUM {
            bail!("{} is version {version}; {CONTAINERD_MINIMUM} or newer is needed", containerd.display());
        }
        Ok(Self { containerd, ctr, runtime, version })
    }

    /// The settings for this machine, whose state lies under `layout`.
    pub fn settings(&self, options: &Options, layout: &Layout) -> Result<Settings> {
        let snapshotter = match &options.snapshotter {
            Some(name) => Snapshotter::Named(name.clone()),
            None if overlay_works(&layout.containerd_root)? => Snapshotter::Overlayfs,
            None => Snapshotter::Native,
        };
        Ok(Settings {
            version: self.version,
            runtime: self.runtime.clone(),
            snapshotter,
            sandbox_image: crate::pause::IMAGE.into(),
            systemd_cgroup: options.systemd_cgroup,
            lowers_oom_score: lowers_oom_score(),
        })
    }
}

/// The version in `containerd --version`: `containerd URL v1.7.24~ds1 REVISION`.
pub fn parse_version(text: &str) -> Option<Version> {
    text.split_ascii_whitespace().skip(1).find_map(|word| {
        let mut parts = word.trim_start_matches('v').splitn(3, '.');
        let digits = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        let major = parts.next()?.parse().ok()?;
        Some(Version {
            major,
            minor: digits(parts.next()?)?,
            patch: parts.next().and_then(digits).unwrap_or(0),
        })
    })
}

/// Whether this process may lower its `oom_score_adj`, which runc does for most containers: it takes
/// CAP_SYS_RESOURCE, and in nested containers that may be missing even for root.
pub fn lowers_oom_score() -> bool {
    let file = "/proc/self/oom_score_adj";
    let Ok(before) = std::fs::read_to_string(file) else { return false };
    let lowered = std::fs::write(file, "-999").is_ok();
    // Raising it again is always allowed.
    lowered && std::fs::write(file, before.trim()).is_ok()
}

/// Whether the kernel stacks directories of the file system below `directory`, by trying.
pub fn overlay_works(directory: &Path) -> Result<bool> {
    let probe = directory.join(".overlay-probe");
    let make = || -> std::io::Result<()> {
        for name in ["lower", "upper", "work", "merged"] {
            std::fs::create_dir_all(probe.join(name))?;
        }
        std::fs::write(probe.join("lower/file"), "")
    };
    make().with_context(|| format!("cannot write to {}", probe.display()))?;
    let at = probe.display();
    let options =
        std::ffi::CString::new(format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work"))
            .context("a path with a zero byte")?;
    let merged = probe.join("merged");
    let mounted = mount("overlay", &merged, "overlay", MountFlags::empty(), options.as_c_str());
    let works =
        mounted.is_ok() && merged.join("file").exists() && std::fs::write(merged.join("new"), "").is_ok();
    if mounted.is_ok() {
        unmount(&merged, UnmountFlags::DETACH)
            .with_context(|| format!("cannot unmount {}", merged.display()))?;
    }
    std::fs::remove_dir_all(&probe).with_context(|| format!("cannot remove {}", probe.display()))?;
    Ok(works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        for (text, expected) in [
            (
                "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n",
                version(1, 6, 20),
            ),
            ("containerd containerd.io v1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182", version(1, 7, 24)),
            ("containerd github.com/containerd/containerd/v2 v2.1.0-rc.1 abc", version(2, 1, 0)),
            ("containerd github.com/containerd/containerd/v2 2.2", version(2, 2, 0)),
            ("containerd github.com/containerd/containerd dev", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), expected, "{text}");
        }
    }

    #[test]
    fn a_missing_runtime_is_said_plainly() {
        let options = Options { program: Some("/nonexistent/containerd".into()), ..Options::default() };
        let error = format!("{:#}", Programs::find(&options).unwrap_err());
        assert!(error.contains("/nonexistent/containerd") || error.contains("not found in"), "{error}");
    }
}
