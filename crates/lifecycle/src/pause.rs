//! The sandbox image: our own static program in an image of one layer, made in memory.
//!
//! So a cluster starts without any network. The program is `pause/pause.rs`; `build.rs` compiles it.

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;
use std::fmt::Write;

/// The name under which the runtime asks for the image. The tag rises when the program changes.
pub const IMAGE: &str = "corten.dev/pause:1";
/// The program, an executable of about a kilobyte.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
const ARCHITECTURE: &str = env!("PAUSE_ARCHITECTURE");
/// As registry.k8s.io/pause: nobody in particular, so that the sandbox has no rights to lose.
const USER: &str = "65535:65535";

/// The image as an OCI image layout in a tar archive (image-spec, image-layout.md). The same bytes each time.
pub fn archive() -> Result<Vec<u8>> {
    let layer = tar_of(&[("pause", PROGRAM.to_vec(), 0o555)])?;
    let config = json_bytes(&json!({
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [name_of(&layer)]},
        "history": [{"created_by": "corten"}],
    }))?;
    let manifest = json_bytes(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["platform"] = json!({"architecture": ARCHITECTURE, "os": "linux"});
    let tag = IMAGE.rsplit(':').next().unwrap_or_default();
    entry["annotations"] =
        json!({"io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": tag});
    let index = json_bytes(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    }))?;
    let blob = |bytes: &[u8]| format!("blobs/{}", name_of(bytes).replace(':', "/"));
    let (layer_path, config_path, manifest_path) = (blob(&layer), blob(&config), blob(&manifest));
    tar_of(&[
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(), 0o644),
        ("index.json", index, 0o644),
        (&manifest_path, manifest, 0o644),
        (&config_path, config, 0o644),
        (&layer_path, layer, 0o644),
    ])
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": name_of(bytes), "size": bytes.len()})
}

fn json_bytes(value: &serde_json::Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).context("cannot encode the sandbox image")
}

/// `sha256:HEX`.
fn name_of(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold("sha256:".to_owned(), |mut name, byte| {
        let _never = write!(name, "{byte:02x}");
        name
    })
}

fn tar_of(files: &[(&str, Vec<u8>, u32)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_size(bytes.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, path, bytes.as_slice()).context("cannot pack the sandbox image")?;
    }
    builder.into_inner().context("cannot pack the sandbox image")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::{Identity, Process};
    use rustix::process::Signal;
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;

    fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
        };
        archive.entries().unwrap().map(read).collect()
    }

    /// Every digest names bytes that are there, from the index down to the program.
    #[test]
    fn the_archive_holds_what_it_names() {
        let archive = archive().unwrap();
        assert_eq!(archive, super::archive().unwrap());
        let files = files(&archive);
        let parse = |bytes: &[u8]| -> serde_json::Value { serde_json::from_slice(bytes).unwrap() };
        let blob = |descriptor: &serde_json::Value| {
            let name = descriptor["digest"].as_str().unwrap();
            let bytes = &files[&format!("blobs/{}", name.replace(':', "/"))];
            assert_eq!(
                (name_of(bytes).as_str(), bytes.len() as u64),
                (name, descriptor["size"].as_u64().unwrap())
            );
            bytes.clone()
        };
        let index = parse(&files["index.json"]);
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], IMAGE);
        let manifest = parse(&blob(&index["manifests"][0]));
        let layer = blob(&manifest["layers"][0]);
        let config = parse(&blob(&manifest["config"]));
        assert_eq!(config["rootfs"]["diff_ids"][0], name_of(&layer));
        assert_eq!(self::files(&layer)["pause"], PROGRAM);
    }

    #[test]
    fn the_program_ends_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, PROGRAM).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for signal in [Signal::TERM, Signal::INT] {
            let mut child = std::process::Command::new(&path).spawn().unwrap();
            let identity = Identity::of(child.id() as i32).unwrap();
            // Before it waits for signals, one would kill it; all that it sleeps in is that wait.
            let waits = |process: Process| process.name == "pause" && process.state == 'S';
            while !Process::read(identity.pid).is_some_and(waits) {
                std::thread::yield_now();
            }
            assert!(identity.signal(signal).unwrap());
            let status = child.wait().unwrap();
            assert_eq!((status.code(), status.signal()), (Some(0), None));
        }
    }
}
