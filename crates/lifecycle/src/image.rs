//! Images from files into the runtime, without a registry: the sandbox image, and what users have as archives.

mod archive;

use crate::containerd::{Containerd, Options, Programs, running};
use crate::doctor::size;
use crate::layout::Layout;
use crate::pause;
use anyhow::{Context, Result, bail, ensure};
use archive::Archive;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// How the kernel says that a disk is full (`strerror(ENOSPC)`), as Go and so containerd prints it.
const NO_SPACE: &str = "no space left on device";
/// What containerd's client says of tar archives that it cannot import, and what that means.
const REFUSALS: [(&str, &str); 3] = [
    (
        "unrecognized image format",
        "it is a tar archive without index.json and manifest.json, so neither an OCI layout nor what `docker save` \
         writes; what `docker export` writes is a file system, no image",
    ),
    ("unexpected EOF", "it is cut short"),
    ("invalid tar header", "it is damaged"),
];
/// What the CRI shows as `pinned`: the kubelet's image collection leaves such an image alone, for nobody could pull it
/// again (containerd: `pkg/cri/labels`).
const PINNED: &str = "io.cri-containerd.pinned=pinned";
/// How much of an archive is held between its reading and the runtime's.
const PIECE_BYTES: usize = 256 << 10;

/// Imports the sandbox image if the runtime does not have it. Says whether it was imported.
pub fn ensure_sandbox_image(containerd: &Containerd, layout: &Layout) -> Result<bool> {
    let mut list = Containerd::ctr(&containerd.programs, layout);
    list.args(["images", "list", "--quiet"]).arg(format!("name=={}", pause::IMAGE));
    if !run(list, None).context("cannot list the runtime's images")?.trim().is_empty() {
        return Ok(false);
    }
    let import = import_command(&containerd.programs, &containerd.snapshotter, layout);
    run(import, Some(&mut pause::archive()?.as_slice()))
        .map_err(|error| full(error, layout))
        .context("cannot import the sandbox image")?;
    make_durable(layout)?;
    Ok(true)
}

/// Imports OCI and Docker archives (`docker save`, `podman save`, `skopeo copy`), gzipped or not, `-` from standard
/// input, and pins their images. Returns a line per image.
pub fn import(options: &Options, layout: &Layout, files: &[impl AsRef<Path>]) -> Result<Vec<String>> {
    let programs = programs(options, layout)?;
    let snapshotter = programs.settings(options, layout)?.snapshotter;
    let mut images = Vec::new();
    for file in files.iter().map(AsRef::as_ref) {
        let mut archive = Archive::open(file)?;
        let command = import_command(&programs, snapshotter.name(), layout);
        let output = run(command, Some(&mut archive)).map_err(|error| {
            let text = error.to_string();
            match REFUSALS.iter().find(|(said, _)| text.contains(said)) {
                Some((_, meaning)) => error.context(*meaning),
                None => full(error, layout),
            }
        });
        let output = output.with_context(|| format!("cannot import {}", file.display()))?;
        let before = images.len();
        images.extend(imported(&output).map(str::to_owned));
        ensure!(
            images.len() > before,
            "{} holds no image for this machine that has a name; save it with a name (docker save NAME:TAG)",
            file.display()
        );
    }
    for image in &images {
        let mut pin = Containerd::ctr(&programs, layout);
        pin.args(["images", "label", image, PINNED]);
        run(pin, None).with_context(|| format!("cannot keep {image} from being collected"))?;
    }
    make_durable(layout)?;
    Ok(images)
}

/// Says whose disk is full, if that is why the runtime failed.
fn full(error: anyhow::Error, layout: &Layout) -> anyhow::Error {
    let root = &layout.containerd_root;
    match rustix::fs::statvfs(root) {
        Ok(disk) if error.to_string().contains(NO_SPACE) => {
            let free = size(disk.f_bavail.saturating_mul(disk.f_frsize));
            let total = size(disk.f_blocks.saturating_mul(disk.f_frsize));
            error.context(format!(
                "the disk is full: {free} of {total} are free at {}; make room, or put the cluster on a larger disk \
                 (--root DIR)",
                root.display()
            ))
        }
        _ => error,
    }
}

/// containerd before 2.0 notes durably that an image is unpacked, and leaves what it unpacked to the kernel's leisure:
/// after a power cut within half a minute the files are there and empty, for ever (containerd/containerd#5854).
fn make_durable(layout: &Layout) -> Result<()> {
    let root = &layout.containerd_root;
    let sync = || rustix::fs::syncfs(std::fs::File::open(root)?).map_err(std::io::Error::from);
    sync().with_context(|| format!("cannot sync the file system of {}", root.display()))
}

/// An image of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name with its tag.
    pub name: String,
    /// Its manifest's digest.
    pub digest: String,
    /// As ctr prints it: `4.3 MiB`.
    pub size: String,
}

/// The runtime's images, by name.
pub fn list(options: &Options, layout: &Layout) -> Result<Vec<Image>> {
    let mut command = Containerd::ctr(&programs(options, layout)?, layout);
    command.args(["images", "list"]);
    Ok(listed(&run(command, None).context("cannot list the runtime's images")?))
}

/// The lines of `ctr images list`: name, type, digest, size, platforms, labels. The CRI gives each image further
/// names, by digest and by its configuration's digest, which nobody asks for.
fn listed(output: &str) -> Vec<Image> {
    let image = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, _, digest, number, unit, ..] = words[..] else { return None };
        let is_asked_for = !name.starts_with("sha256:") && !name.contains('@');
        is_asked_for.then(|| Image {
            name: name.to_owned(),
            digest: digest.to_owned(),
            size: format!("{number} {unit}"),
        })
    };
    output.lines().skip(1).filter_map(image).collect()
}

/// The programs of a containerd that runs.
fn programs(options: &Options, layout: &Layout) -> Result<Programs> {
    ensure!(
        running(layout).is_some(),
        "no containerd listens on {}; start the cluster first (corten up)",
        layout.containerd_socket.display()
    );
    Programs::find(options)
}

/// The images that ctr says it imported: `unpacking NAME (sha256:...)...done` in 1.x, `NAME <blanks> saved` in 2.x.
fn imported(output: &str) -> impl Iterator<Item = &str> {
    output.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["unpacking", name, ..] | [name, "saved", ..] => Some(name),
            _ => None,
        }
    })
}

fn import_command(programs: &Programs, snapshotter: &str, layout: &Layout) -> Command {
    let mut command = Containerd::ctr(programs, layout);
    command.args(["images", "import", "--snapshotter", snapshotter]);
    command
}

/// Runs to the end; with input, `-` is the file that ctr reads.
fn run(mut command: Command, input: Option<&mut (dyn Read + Send)>) -> Result<String> {
    if input.is_some() {
        command.arg("-").stdin(Stdio::piped());
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    let stdin = child.stdin.take();
    // Beside the reading of what it says: it would wait for somebody to read that, and nobody for its input.
    let (fed, output) = std::thread::scope(|scope| {
        let feeding = scope.spawn(move || input.zip(stdin).map_or(Ok(()), |(from, to)| feed(from, to)));
        let output = child.wait_with_output();
        (feeding.join(), output)
    });
    fed.map_err(|_| anyhow::anyhow!("the reading of the archive ended badly"))?.context("cannot read it")?;
    let output = output.context("cannot wait for ctr")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Passes everything on. An error is of the reading: if the one who is fed ended early, its exit status and message
/// say why.
fn feed(from: &mut dyn Read, mut to: impl Write) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if to.write_all(&piece[..length]).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        std::fs::create_dir_all(&layout.containerd_root).unwrap();
        let told = |text: &str| format!("{:#}", full(anyhow::anyhow!("{text}"), &layout));
        let text = "ctr: failed to copy: write /x: no space left on device";
        assert!(told(text).starts_with("the disk is full: "), "{}", told(text));
        assert!(told(text).ends_with(text));
        assert_eq!(told("ctr: unrecognized image format"), "ctr: unrecognized image format");
    }

    #[test]
    fn what_ctr_lists() {
        let output = "REF  TYPE  DIGEST SIZE PLATFORMS LABELS\n\
            a.b/c:1  application/vnd.oci.image.manifest.v1+json sha256:12 4.3 MiB linux/amd64 io.cri=managed\n\
            a.b/c@sha256:12 t sha256:12 4.3 MiB linux/amd64 -\n\
            sha256:34 t sha256:12 4.3 MiB linux/amd64 -\n";
        let image = Image { name: "a.b/c:1".into(), digest: "sha256:12".into(), size: "4.3 MiB".into() };
        assert_eq!(listed(output), [image]);
        assert_eq!(listed("REF TYPE DIGEST SIZE PLATFORMS LABELS\n"), []);
    }

    #[test]
    fn what_ctr_says() {
        for (output, names) in [
            (
                "unpacking a.b/c:1 (sha256:12)...done\nunpacking d:2 (sha256:34)...done\n",
                vec!["a.b/c:1", "d:2"],
            ),
            (
                "a.b/c:1                      \tsaved\t\napplication/vnd.oci.image.manifest.v1+json sha256:12\n\
                 Importing\telapsed: 0.1 s\ttotal:   0.0 B\t(0.0 B/s)\t\n",
                vec!["a.b/c:1"],
            ),
            ("", vec![]),
        ] {
            assert_eq!(imported(output).collect::<Vec<_>>(), names);
        }
    }
}
