//! `corten install`: systemd's unit, made and taken away.
//!
//! systemd runs the supervisor in the foreground and hears from it when all is up. It ends the supervisor only
//! (`KillMode=process`), which ends its children; containerd is in a cgroup of its own, so containers run on
//! over restarts and upgrades. `corten down` ends everything: the supervisor then leaves with success, and
//! `Restart=on-failure` lets it be.
//!
//! When the machine goes down, so does the instance. Else systemd would take pods' volumes away under them, tell all
//! processes at once to end, and wait for those that do not: a container's first process ignores SIGTERM unless it
//! asked for it (pid_namespaces(7)), so each reboot would take a minute and a half.

use crate::layout::{DEFAULT_ROOT, Layout};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The default instance's unit; others carry their id: `corten-ID.service`.
pub const UNIT: &str = "corten.service";
/// Where an administrator's units lie (systemd.unit(5)).
pub const UNIT_DIRECTORY: &str = "/etc/systemd/system";
/// Where the executable goes.
pub const EXECUTABLE: &str = "/usr/local/bin/corten";

/// For all of `corten down` and some more: see the patiences in [`crate::down`].
const STOP_SECONDS: u32 = 180;

/// What is installed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The executable to install: this one.
    pub executable: PathBuf,
    /// Where it goes; [`EXECUTABLE`] but in tests.
    pub target: PathBuf,
    /// Where the unit goes; [`UNIT_DIRECTORY`] but in tests.
    pub unit_directory: PathBuf,
    /// Options of `up` beside `--root`.
    pub arguments: Vec<String>,
    /// Whether to start it now and at each boot.
    pub enable: bool,
}

/// The unit's name.
pub fn unit_name(layout: &Layout) -> String {
    if layout.is_default() { UNIT.into() } else { format!("corten-{}.service", layout.id) }
}

/// The unit's text.
pub fn unit(layout: &Layout, executable: &Path, arguments: &[String]) -> String {
    let executable = executable.display();
    let root = layout.root.to_string_lossy();
    // Needs no quotes: see `layout::Error::Characters`.
    let option = if root == DEFAULT_ROOT { String::new() } else { format!(" --root {root}") };
    let mut command = format!("{executable} up{option}");
    for argument in arguments {
        let _never = write!(command, " {}", quote(argument));
    }
    format!(
        "\
[Unit]
Description=Corten: Kubernetes on {root}
# Addresses are looked for at the start; certificates need the time.
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target local-fs.target
RequiresMountsFor={root}
# A cluster that does not come up is tried again for ever.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
# At the machine's end pods are stopped, too.
ExecStop=/bin/sh -c 'case $$(systemctl is-system-running) in stopping) exec {executable} down{option} ;; esac'
# Only the supervisor is signalled, and ends its children in order; containers outlive it.
KillMode=process
Delegate=yes
Restart=on-failure
RestartSec=1
TimeoutStartSec=infinity
TimeoutStopSec={STOP_SECONDS}
OOMScoreAdjust=-999
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"
    )
}

/// Installs the executable and the unit.
pub fn install(layout: &Layout, options: &Options, out: &mut dyn Write) -> Result<()> {
    replace(
        &options.target,
        &std::fs::read(&options.executable)
            .with_context(|| format!("cannot read {}", options.executable.display()))?,
        0o755,
    )?;
    let name = unit_name(layout);
    let path = options.unit_directory.join(&name);
    std::fs::create_dir_all(&options.unit_directory)
        .with_context(|| format!("cannot make {}", options.unit_directory.display()))?;
    replace(&path, unit(layout, &options.target, &options.arguments).as_bytes(), 0o644)?;
    let _nobody_reads = writeln!(out, "installed {} and {}", options.target.display(), path.display());
    let runs = systemd_runs();
    if runs {
        systemctl(&["daemon-reload"])?;
    }
    if options.enable && runs {
        systemctl(&["enable", &name])?;
    } else if options.enable {
        enable_at_boot(&path)?;
    }
    for directory in [options.target.parent(), Some(&options.unit_directory)].into_iter().flatten() {
        sync(directory)?;
    }
    if !runs {
        let when = if options.enable { "; the unit starts when it does" } else { "" };
        let _nobody_reads = writeln!(out, "systemd does not run here{when}");
        return Ok(());
    }
    if options.enable {
        // One that runs already goes over to the executable that was installed.
        systemctl(&["restart", &name])?;
        let _nobody_reads = writeln!(out, "{name} runs, and starts at each boot");
        crate::root::show_recovery_key(layout, out);
    }
    Ok(())
}

/// Where a unit is linked that starts at boot.
fn link_at_boot(unit: &Path) -> PathBuf {
    let directory = unit.parent().unwrap_or(Path::new("/"));
    directory.join("multi-user.target.wants").join(unit.file_name().unwrap_or_default())
}

/// What `systemctl enable` does, which need not be there where an image is made.
fn enable_at_boot(unit: &Path) -> Result<()> {
    let link = link_at_boot(unit);
    let made = link.parent().map_or(Ok(()), std::fs::create_dir_all);
    match made.and_then(|()| std::os::unix::fs::symlink(unit, &link)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the link {}", link.display()))
        }
        _ => Ok(()),
    }
}

/// Stops the unit and removes it and the executable. Containers run on until `corten down`, which must be run
/// before. State stays.
pub fn uninstall(layout: &Layout, options: &Options, out: &mut dyn Write) -> Result<()> {
    let name = unit_name(layout);
    let path = options.unit_directory.join(&name);
    if !path.exists() {
        bail!("{} is not installed: there is no {}", layout.root.display(), path.display());
    }
    if systemd_runs() {
        systemctl(&["disable", "--now", &name])?;
    }
    for file in [&link_at_boot(&path), &path, &options.target] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    if systemd_runs() {
        systemctl(&["daemon-reload"])?;
    }
    let _nobody_reads = writeln!(out, "removed {} and {}", path.display(), options.target.display());
    Ok(())
}

/// sd_booted(3).
fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn systemctl(arguments: &[&str]) -> Result<()> {
    let output = Command::new("systemctl").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("cannot run systemctl")?;
    if !output.status.success() {
        bail!("systemctl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Replaces a file as a whole: an executable that runs cannot be written to, and a half-written unit is none.
/// Durable before it is visible: a power cut soon afterwards leaves no empty executable to start at boot.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes names on the file system of `directory` durable: what was renamed there, and the links that systemctl makes.
fn sync(directory: &Path) -> Result<()> {
    let sync = || rustix::fs::syncfs(File::open(directory)?).map_err(std::io::Error::from);
    sync().with_context(|| format!("cannot sync the file system of {}", directory.display()))
}

/// An argument of `ExecStart=`: quoted, with `%` and `$` kept from systemd's substitutions (systemd.service(5)).
fn quote(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=,:+@~".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    let escaped = argument.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn options(dir: &Path) -> Options {
        Options {
            executable: dir.join("built"),
            target: dir.join("corten"),
            unit_directory: dir.join("units"),
            arguments: Vec::new(),
            enable: false,
        }
    }

    #[test]
    fn a_unit_starts_at_boot_though_systemd_does_not_run_yet() {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("units/corten.service");
        for _ in 0..2 {
            enable_at_boot(&unit).unwrap();
            let link = dir.path().join("units/multi-user.target.wants/corten.service");
            assert_eq!(std::fs::read_link(link).unwrap(), unit);
        }
    }

    #[test]
    fn units() {
        let default = Layout::new(DEFAULT_ROOT).unwrap();
        expect![[r#"
            [Unit]
            Description=Corten: Kubernetes on /var/lib/corten
            # Addresses are looked for at the start; certificates need the time.
            Wants=network-online.target time-sync.target
            After=network-online.target time-sync.target local-fs.target
            RequiresMountsFor=/var/lib/corten
            # A cluster that does not come up is tried again for ever.
            StartLimitIntervalSec=0

            [Service]
            Type=notify
            NotifyAccess=main
            ExecStart=/usr/local/bin/corten up
            # At the machine's end pods are stopped, too.
            ExecStop=/bin/sh -c 'case $$(systemctl is-system-running) in stopping) exec /usr/local/bin/corten down ;; esac'
            # Only the supervisor is signalled, and ends its children in order; containers outlive it.
            KillMode=process
            Delegate=yes
            Restart=on-failure
            RestartSec=1
            TimeoutStartSec=infinity
            TimeoutStopSec=180
            OOMScoreAdjust=-999
            LimitNOFILE=1048576
            LimitNPROC=infinity
            LimitCORE=infinity
            TasksMax=infinity

            [Install]
            WantedBy=multi-user.target
        "#]]
        .assert_eq(&unit(&default, Path::new(EXECUTABLE), &[]));
        let other = Layout::new("/srv/two").unwrap();
        assert_eq!(unit_name(&other), format!("corten-{}.service", other.id));
        let arguments = ["--node-name".to_owned(), "50% $HOME \"x\"".to_owned()];
        let text = unit(&other, Path::new(EXECUTABLE), &arguments);
        let command = text.lines().find_map(|l| l.strip_prefix("ExecStart=")).unwrap();
        assert!(text.contains(" exec /usr/local/bin/corten down --root /srv/two ;;"));
        assert_eq!(command, r#"/usr/local/bin/corten up --root /srv/two --node-name "50%% $$HOME \"x\"""#);
    }

    #[test]
    fn a_unit_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new("/srv/two").unwrap();
        let options = options(dir.path());
        let mut out = Vec::new();
        assert!(install(&layout, &options, &mut out).unwrap_err().to_string().starts_with("cannot read"));
        std::fs::write(&options.executable, "#!").unwrap();
        if systemd_runs() {
            println!("skipped: systemd would be told");
            return;
        }
        install(&layout, &options, &mut out).unwrap();
        let path = options.unit_directory.join(unit_name(&layout));
        assert!(std::fs::read_to_string(&path).unwrap().contains("KillMode=process"));
        uninstall(&layout, &options, &mut out).unwrap();
        assert!(!path.exists() && !options.target.exists());
        assert!(uninstall(&layout, &options, &mut out).unwrap_err().to_string().contains("is not installed"));
    }

    /// systemd's own opinion, where its checker is.
    #[test]
    fn systemd_takes_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(UNIT);
        let layout = Layout::new(DEFAULT_ROOT).unwrap();
        std::fs::write(&path, unit(&layout, Path::new("/bin/true"), &[])).unwrap();
        let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
            println!("skipped: no systemd-analyze");
            return;
        };
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.lines().any(|l| l.contains(UNIT)), "{text}");
    }
}
