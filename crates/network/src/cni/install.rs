//! The two places where a runtime looks: the directory of configurations and that of plugins.

use super::plugin::{LOOPBACK_NAME, PLUGIN_NAME};
use super::record::write;
use serde_json::json;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The name of the configuration file. The runtime takes the first one by name.
pub const CONFIGURATION_NAME: &str = "10-corten.conflist";
const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];

/// The list of plugins for the runtime. Runtimes that know version 1.1 only from `cniVersions` (libcni 1.2)
/// use it; older ones, whose results end at 1.0.0, use `cniVersion`.
pub(crate) fn configuration(socket: &Path) -> String {
    let list = json!({
        "cniVersion": "1.0.0",
        "cniVersions": ["1.0.0", "1.1.0"],
        "name": "corten",
        "plugins": [{
            "type": PLUGIN_NAME,
            "socket": socket,
            "capabilities": { "portMappings": true },
        }],
    });
    format!("{list:#}\n")
}

/// Writes the configuration, or removes it if another network has one there: it takes over. Returns the name
/// of the other one.
pub(crate) fn write_configuration(directory: &Path, socket: &Path) -> io::Result<Option<String>> {
    fs::create_dir_all(directory)?;
    let path = directory.join(CONFIGURATION_NAME);
    if let Some(other) = other_configuration(directory)? {
        remove_file(&path)?;
        return Ok(Some(other));
    }
    let text = configuration(socket);
    if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
        write(&path, text.as_bytes())?;
    }
    Ok(None)
}

/// Removes the configuration.
pub(crate) fn remove_configuration(directory: &Path) -> io::Result<()> {
    remove_file(&directory.join(CONFIGURATION_NAME))
}

fn other_configuration(directory: &Path) -> io::Result<Option<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known = Path::new(&name).extension().is_some_and(|found| EXTENSIONS.iter().any(|e| found == *e));
        if known && name != CONFIGURATION_NAME {
            names.push(name);
        }
    }
    Ok(names.into_iter().min())
}

/// Puts the binary under the plugins' names. A `loopback` plugin of somebody else is left as it is.
pub(crate) fn install(directory: &Path, binary: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    link(&directory.join(PLUGIN_NAME), binary)?;
    let loopback = directory.join(LOOPBACK_NAME);
    if is_ours(&loopback, binary) || fs::symlink_metadata(&loopback).is_err() {
        link(&loopback, binary)?;
    }
    Ok(())
}

/// Removes what `install` put there.
pub(crate) fn uninstall(directory: &Path, binary: &Path) -> io::Result<()> {
    for name in [PLUGIN_NAME, LOOPBACK_NAME] {
        let path = directory.join(name);
        if is_ours(&path, binary) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether it is a link to this binary, or to where an older one of the same name lay.
fn is_ours(path: &Path, binary: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target.file_name() == binary.file_name())
}

fn link(path: &Path, binary: &Path) -> io::Result<()> {
    if fs::read_link(path).is_ok_and(|target| target == binary) {
        return Ok(());
    }
    let temporary = path.with_extension("new");
    remove_file(&temporary)?;
    symlink(binary, &temporary)?;
    fs::rename(&temporary, path)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_network_takes_over() {
        let directory = tempfile::tempdir().unwrap();
        let socket = Path::new("/run/corten/cni.sock");
        let ours = directory.path().join(CONFIGURATION_NAME);
        fs::write(directory.path().join("README"), "").unwrap();
        assert_eq!(write_configuration(directory.path(), socket).unwrap(), None);
        assert!(fs::read_to_string(&ours).unwrap().contains("/run/corten/cni.sock"));
        assert_eq!(write_configuration(directory.path(), socket).unwrap(), None);
        fs::write(directory.path().join("05-cilium.conflist"), "{}").unwrap();
        let other = write_configuration(directory.path(), socket).unwrap();
        assert_eq!(other.as_deref(), Some("05-cilium.conflist"));
        assert!(!ours.exists());
        fs::remove_file(directory.path().join("05-cilium.conflist")).unwrap();
        assert_eq!(write_configuration(directory.path(), socket).unwrap(), None);
        assert!(ours.exists());
    }

    #[test]
    fn the_binary_under_its_names() {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("bin");
        install(&bin, Path::new("/old/corten")).unwrap();
        install(&bin, Path::new("/new/corten")).unwrap();
        for name in [PLUGIN_NAME, LOOPBACK_NAME] {
            assert_eq!(fs::read_link(bin.join(name)).unwrap(), Path::new("/new/corten"));
        }
        uninstall(&bin, Path::new("/new/corten")).unwrap();
        fs::write(bin.join(LOOPBACK_NAME), "somebody else's").unwrap();
        install(&bin, Path::new("/new/corten")).unwrap();
        uninstall(&bin, Path::new("/new/corten")).unwrap();
        assert_eq!(fs::read_to_string(bin.join(LOOPBACK_NAME)).unwrap(), "somebody else's");
        assert!(!bin.join(PLUGIN_NAME).exists());
    }
}
