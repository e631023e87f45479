//! The volumes of pods: made before their containers, kept fresh, taken away after them.
//!
//! Directories lie as upstream's do, below `<root>/pods/UID/volumes/kubernetes.io~KIND/NAME`, where tools look for
//! them. Upstream counterparts: `pkg/kubelet/volumemanager`, `pkg/volume`.

pub(crate) mod atomic;
mod host_path;
pub(crate) mod mounts;
mod ownership;
mod payload;
mod subpath;
mod token;
mod trust;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use api::amount;
use api::core::v1::{Container, Pod, Volume, VolumeMount};

use crate::context::Context;
use crate::env::{self, Variables};
use crate::fields::Surroundings;
use crate::runtime::messages::{ImageSpec, Mount, MountPropagation};
use crate::spec;
pub(crate) use token::Tokens;

/// Where the volumes of a pod lie, by their names.
pub(crate) type Paths = BTreeMap<String, PathBuf>;

/// The volumes that are there for a container, by their names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mounted<'a> {
    pub(crate) paths: &'a Paths,
    /// Those that show an image.
    pub(crate) images: &'a BTreeMap<String, ImageSpec>,
}

/// Makes all volumes of the pod, or brings them up to date.
///
/// # Errors
/// The texts for `FailedMount` events, one a volume.
pub(crate) async fn mount(
    context: &Context,
    pod: &Pod,
    around: &Surroundings,
    tokens: &mut Tokens,
) -> Result<Paths, Vec<String>> {
    let mut paths = Paths::new();
    let mut errors = Vec::new();
    for volume in spec::spec(pod).volumes.iter().flatten() {
        if volume.image.is_some() {
            // The runtime mounts it where it has it (KEP-4639).
            continue;
        }
        match mount_one(context, pod, volume, around, tokens).await {
            Ok(path) => {
                paths.insert(volume.name.clone(), path);
            }
            Err(error) => {
                errors.push(format!("MountVolume.SetUp failed for volume \"{}\" : {error}", volume.name))
            }
        }
    }
    if errors.is_empty() { Ok(paths) } else { Err(errors) }
}

async fn mount_one(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    around: &Surroundings,
    tokens: &mut Tokens,
) -> Result<PathBuf, String> {
    let group = payload::fs_group(pod);
    let dir = |kind: &str| volume_dir(context, spec::uid(pod), kind, &volume.name);
    let text = |error: io::Error| error.to_string();
    if let Some(host) = &volume.host_path {
        let path = PathBuf::from(&host.path);
        host_path::check(&path, host.type_.as_deref().unwrap_or_default())?;
        return Ok(path);
    }
    if let Some(empty) = &volume.empty_dir {
        let path = dir("empty-dir");
        let limit = empty.size_limit.as_ref().map_or(0, |limit| amount(limit).max(0).cast_unsigned());
        let in_memory = match empty.medium.as_deref().unwrap_or_default() {
            "" => None,
            "Memory" => Some(memory_limit(pod, limit)),
            other => return Err(format!("unknown storage medium \"{other}\"")),
        };
        empty_dir(&path, in_memory, group, is_read_only(pod, &volume.name)).map_err(text)?;
        return Ok(path);
    }
    if let Some(files) = payload::collect(context, pod, volume, around, tokens).await {
        let files = files?;
        let (kind, in_memory) = kind(volume);
        let path = dir(kind);
        empty_dir(&path, in_memory.then_some(0), group, true).map_err(text)?;
        atomic::write(&path, &files, group, context.clock.now()).map_err(text)?;
        return Ok(path);
    }
    Err("this node has no plugin for volumes of this kind".into())
}

/// The directory's kind, and whether it must not reach a disk.
fn kind(volume: &Volume) -> (&'static str, bool) {
    if volume.config_map.is_some() {
        ("configmap", false)
    } else if volume.secret.is_some() {
        ("secret", true)
    } else if volume.downward_api.is_some() {
        ("downward-api", true)
    } else {
        ("projected", true)
    }
}

fn volume_dir(context: &Context, uid: &str, kind: &str, name: &str) -> PathBuf {
    context.pod_dir(uid).join("volumes").join(format!("kubernetes.io~{kind}")).join(name)
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    if !path.is_dir() {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Makes an empty directory for a volume, in memory of at most so many bytes (0 for the kernel's limit) if it is to be
/// there.
fn empty_dir(path: &Path, in_memory: Option<u64>, group: Option<u32>, read_only: bool) -> io::Result<()> {
    make_dir(path, 0o777)?;
    if let Some(limit) = in_memory
        && !mounts::is_mount_point(path)?
    {
        mounts::tmpfs(path, limit)?;
    }
    if let Some(group) = group
        && !ownership::is_given(path, group, read_only)
    {
        ownership::give(path, group, read_only)?;
    }
    Ok(())
}

/// Memory counts for the containers that write it: no volume in memory is larger than what they may use.
fn memory_limit(pod: &Pod, limit: u64) -> u64 {
    let whole = Some("memory").filter(|name| crate::resources::is_limited(pod, name));
    let whole = whole.and_then(|name| crate::resources::pod_amount(pod, true, name));
    let whole = whole.map_or(0, |bytes| bytes.max(0).cast_unsigned());
    match (limit, whole) {
        (0, whole) => whole,
        (limit, 0) => limit,
        (limit, whole) => limit.min(whole),
    }
}

/// Whether no container writes the volume.
fn is_read_only(pod: &Pod, volume: &str) -> bool {
    let mut mounts = spec::all(pod);
    mounts
        .retain(|(_, container)| container.volume_mounts.iter().flatten().any(|mount| mount.name == volume));
    !mounts.is_empty()
        && mounts.iter().all(|(_, container)| {
            let mut own = container.volume_mounts.iter().flatten().filter(|mount| mount.name == volume);
            own.all(|mount| mount.read_only == Some(true))
        })
}

/// Whether the pod has volumes whose content changes with time.
pub(crate) fn are_live(pod: &Pod) -> bool {
    spec::spec(pod).volumes.iter().flatten().any(|volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
    })
}

/// What of the volumes a container sees, and where.
///
/// # Errors
/// In upstream's words.
pub(crate) fn container_mounts(
    context: &Context,
    pod: &Pod,
    container: &Container,
    mounted: Mounted<'_>,
    environment: &Variables,
) -> Result<Vec<Mount>, String> {
    let mut made = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let place = place(pod, mount);
        if let Some(image) = mounted.images.get(&mount.name) {
            let image_sub_path = sub_path(mount, environment)?;
            made.push(Mount { image: Some(image.clone()), image_sub_path, ..place });
            continue;
        }
        let Some(path) = mounted.paths.get(&mount.name) else {
            return Err(format!(
                "cannot find volume \"{}\" to mount into container \"{}\"",
                mount.name, container.name
            ));
        };
        let sub = sub_path(mount, environment)?;
        let mut host_path = path.clone();
        if !sub.is_empty() {
            let target = context
                .pod_dir(spec::uid(pod))
                .join("volume-subpaths")
                .join(&mount.name)
                .join(&container.name)
                .join(index.to_string());
            subpath::bind(path, &sub, &target).map_err(|error| {
                tracing::debug!(%error, sub, "cannot bind a part of a volume");
                format!(
                    "failed to prepare subPath for volumeMount \"{}\" of container \"{}\"",
                    mount.name, container.name
                )
            })?;
            host_path = target;
        }
        made.push(Mount { host_path: host_path.to_string_lossy().into_owned(), ..place });
    }
    Ok(made)
}

/// What part of its volume a mount shows; empty for all of it.
fn sub_path(mount: &VolumeMount, environment: &Variables) -> Result<String, String> {
    let sub = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(expression), _) if !expression.is_empty() => env::expand_known(expression, environment)?,
        (_, Some(sub)) => sub.clone(),
        _ => String::new(),
    };
    if !sub.is_empty() {
        subpath::check(&sub)?;
    }
    Ok(sub)
}

/// Where and how a mount appears, whatever it shows.
fn place(pod: &Pod, mount: &VolumeMount) -> Mount {
    let container_path = if mount.mount_path.starts_with('/') {
        mount.mount_path.clone()
    } else {
        format!("/{}", mount.mount_path)
    };
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::HostToContainer,
        Some("Bidirectional") => MountPropagation::Bidirectional,
        _ => MountPropagation::Private,
    };
    Mount {
        container_path,
        readonly: mount.read_only == Some(true) || is_always_read_only(pod, &mount.name),
        propagation: propagation.into(),
        ..Mount::default()
    }
}

/// Volumes made of objects and of images cannot be written.
fn is_always_read_only(pod: &Pod, name: &str) -> bool {
    let mut volumes = spec::spec(pod).volumes.iter().flatten();
    volumes.find(|volume| volume.name == name).is_some_and(|volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
            || volume.image.is_some()
    })
}

/// Unmounts and deletes all that the pod has on this node.
pub(crate) fn remove_pod_dir(context: &Context, uid: &str) -> io::Result<()> {
    if uid.is_empty() || uid.contains('/') {
        return Ok(());
    }
    mounts::remove_dir(&context.pod_dir(uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;

    /// As `setupDir` and `setupTmpfs` of upstream's `pkg/volume/emptydir` leave them. Needs root.
    #[test]
    fn volumes_in_memory_keep_the_sticky_bit() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root may mount");
        }
        let cases = [
            ("disk", None, None, false, 0o777),
            ("disk-group", None, Some(7), false, 0o2777),
            ("memory", Some(0), None, false, 0o1777),
            ("memory-limit", Some(1 << 20), None, false, 0o1777),
            ("memory-group", Some(0), Some(7), false, 0o3777),
            ("secret-group", Some(0), Some(7), true, 0o3777),
        ];
        let dir = tempfile::tempdir().unwrap();
        let found: Vec<_> = cases
            .iter()
            .map(|(name, in_memory, group, read_only, _)| {
                let path = dir.path().join(name);
                let mode = || std::fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o7777);
                let made = empty_dir(&path, *in_memory, *group, *read_only).and_then(|()| mode());
                // Another look changes nothing.
                let again = empty_dir(&path, *in_memory, *group, *read_only).and_then(|()| mode());
                (*name, made, again)
            })
            .collect();
        mounts::unmount_below(dir.path()).unwrap();
        for ((name, made, again), (.., wanted)) in found.into_iter().zip(cases) {
            match made {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => println!("skipped: {error}"),
                made => {
                    let (made, again) = (made.unwrap(), again.unwrap());
                    assert_eq!((made, again), (wanted, wanted), "{name}: {made:o} {again:o}");
                }
            }
        }
    }

    #[test]
    fn mounts_of_images_and_objects_cannot_be_written() {
        let pod = testing::pod(json!({
            "containers": [{"name": "c", "volumeMounts": [
                {"name": "image", "mountPath": "/i", "subPath": "a/b"},
                {"name": "map", "mountPath": "m"},
                {"name": "empty", "mountPath": "/e", "subPathExpr": "$(WHO)/x", "mountPropagation": "HostToContainer"},
                {"name": "empty", "mountPath": "/r", "readOnly": true, "subPath": "../x"},
            ]}],
            "volumes": [
                {"name": "image", "image": {"reference": "r.example/i:1"}},
                {"name": "map", "configMap": {"name": "m"}},
                {"name": "empty", "emptyDir": {}},
            ],
        }));
        let environment = Variables::from([("WHO".to_owned(), "me".into())]);
        let mounts = spec::containers(&pod)[0].volume_mounts.iter().flatten();
        let found: Vec<_> = mounts
            .map(|mount| {
                let place = place(&pod, mount);
                (
                    place.container_path.clone(),
                    place.readonly,
                    place.propagation(),
                    sub_path(mount, &environment),
                )
            })
            .collect();
        let wanted = [
            ("/i", true, MountPropagation::Private, Ok("a/b")),
            ("/m", true, MountPropagation::Private, Ok("")),
            ("/e", false, MountPropagation::HostToContainer, Ok("me/x")),
            (
                "/r",
                true,
                MountPropagation::Private,
                Err("unable to provision SubPath `../x`: must not contain '..'"),
            ),
        ];
        let owned = |(path, readonly, propagation, sub): (&str, _, _, Result<&str, &str>)| {
            (path.to_owned(), readonly, propagation, sub.map(str::to_owned).map_err(str::to_owned))
        };
        assert_eq!(found, wanted.map(owned));
    }
}
