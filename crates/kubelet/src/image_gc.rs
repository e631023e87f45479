//! Removes images that nobody uses when the disk becomes full.
//!
//! Upstream counterpart: `pkg/kubelet/images/image_gc_manager.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::core::v1::Node;
use jiff::{SignedDuration, Timestamp};
use reconcile::EventKind;
use serde_json::Value;

use crate::context::Context;
use crate::images::blocking;
use crate::machine::Disk;
use crate::runtime::messages::{Container, ContainerFilter, Image, ImageSpec};
use crate::runtime::{self, Runtime};

/// As upstream's `imageGCHighThresholdPercent`: above it images are removed...
const HIGH_PERCENT: u64 = 85;
/// ...until so much is used.
const LOW_PERCENT: u64 = 80;
/// As upstream's `imageMinimumGCAge`: what was just pulled is about to be used.
const AGE_MIN: SignedDuration = SignedDuration::from_mins(2);
/// As upstream's `ImageGCPeriod`.
const PERIOD: Duration = Duration::from_secs(300);

/// When an image was seen first, and used last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Timestamp,
    used: Timestamp,
}

/// Looks at the disk again and again.
pub(crate) async fn run(context: Arc<Context>) {
    let mut seen = BTreeMap::new();
    loop {
        if let Err(error) = collect(&context, &mut seen).await {
            tracing::warn!(%error, "cannot look after images");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn collect(context: &Context, seen: &mut BTreeMap<String, Seen>) -> Result<(), runtime::Error> {
    let now = context.clock.now();
    let images = context.runtime.list_images().await?;
    let containers = context.runtime.list_containers(ContainerFilter::default()).await?;
    let used: BTreeSet<&str> = containers
        .iter()
        .flat_map(|container| {
            [Some(container.image_ref.as_str()), container.image.as_ref().map(|image| image.image.as_str())]
        })
        .flatten()
        .collect();
    let ids: BTreeSet<String> = images.iter().map(|image| image.id.clone()).collect();
    let records = context.records.clone();
    blocking(move || records.prune(|id| ids.contains(id), now)).await;
    seen.retain(|id, _| images.iter().any(|image| image.id == *id));
    for image in &images {
        let seen = seen.entry(image.id.clone()).or_insert(Seen { first: now, used: Timestamp::UNIX_EPOCH });
        if is_named(image, &used) {
            seen.used = now;
        }
    }
    let Some(disk) = disk(&context.runtime).await? else { return Ok(()) };
    let Some(surplus) = surplus(disk) else { return Ok(()) };
    let mut kept = mounted(context, &containers).await?;
    kept.extend(context.runtime.images_labelled_pinned().await?);
    kept.extend(sandbox_image(context).await);
    let kept = used.into_iter().chain(kept.iter().map(String::as_str)).collect();
    let candidates = candidates(&images, &kept, seen, now);
    let mut freed = 0;
    for image in candidates {
        if freed >= surplus {
            break;
        }
        tracing::info!(image = image.id, size = image.size, "removing an image to make room");
        let spec = ImageSpec { image: image.id.clone(), ..ImageSpec::default() };
        match context.runtime.remove_image(spec).await {
            Ok(()) => freed += image.size,
            Err(error) => tracing::warn!(image = image.id, %error, "cannot remove an image"),
        }
    }
    if freed < surplus {
        let text = format!(
            "Failed to garbage collect required amount of images. Attempted to free {surplus} bytes, but only found \
             {freed} bytes eligible to free."
        );
        let node = context.config.node_name.clone();
        let about = api::core::v1::ObjectReference {
            kind: Some("Node".into()),
            name: Some(node.clone()),
            uid: Some(node),
            ..api::reference(&Node::default())
        };
        context.recorder.event(&about, EventKind::Warning, "FreeDiskSpaceFailed", text);
    }
    Ok(())
}

/// The images that containers mount as volumes.
async fn mounted(context: &Context, containers: &[Container]) -> Result<Vec<String>, runtime::Error> {
    let mut images = Vec::new();
    for container in containers {
        let status = match context.runtime.container_status(&container.id, false).await {
            Ok((status, _)) => status,
            // It went away meanwhile.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        images.extend(status.mounts.into_iter().filter_map(|mount| mount.image).map(|image| image.image));
    }
    Ok(images)
}

/// The file system that images lie on.
pub(crate) async fn disk(runtime: &Runtime) -> Result<Option<Disk>, runtime::Error> {
    let info = runtime.image_fs_info().await?;
    let place = info.image_filesystems.first().and_then(|fs| fs.fs_id.as_ref());
    Ok(place.and_then(|place| Disk::read(Path::new(&place.mountpoint))))
}

/// How many bytes are to be freed; none while there is room enough.
fn surplus(disk: Disk) -> Option<u64> {
    let usable = disk.usable();
    let is_high = usable > 0 && disk.used * 100 / usable >= HIGH_PERCENT;
    is_high.then(|| disk.used.saturating_sub(usable / 100 * LOW_PERCENT))
}

fn is_named(image: &Image, by: &BTreeSet<&str>) -> bool {
    let names = image.repo_tags.iter().chain(&image.repo_digests).chain([&image.id]);
    names.into_iter().any(|name| by.contains(name.as_str()))
}

/// What may go, the longest unused first: nothing that is pinned, used, or named otherwise among what is `kept`.
fn candidates<'a>(
    images: &'a [Image],
    kept: &BTreeSet<&str>,
    seen: &BTreeMap<String, Seen>,
    now: Timestamp,
) -> Vec<&'a Image> {
    let mut found: Vec<(&Image, Seen)> = images
        .iter()
        .filter(|image| !image.pinned && !is_named(image, kept))
        .filter_map(|image| Some((image, *seen.get(&image.id)?)))
        .filter(|(_, seen)| now.duration_since(seen.first) >= AGE_MIN)
        .collect();
    found.sort_by_key(|(_, seen)| (seen.used, seen.first));
    found.into_iter().map(|(image, _)| image).collect()
}

/// The image of sandboxes, which older runtimes do not call pinned.
async fn sandbox_image(context: &Context) -> Option<String> {
    let status = context.runtime.status(true).await.ok()?;
    let config: Value = serde_json::from_str(status.info.get("config")?).ok()?;
    config["sandboxImage"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room() {
        let disk =
            |available| Disk { capacity: 2000, used: 1000 - available, available, inodes: 0, inodes_free: 0 };
        assert_eq!(surplus(disk(200)), None);
        assert_eq!(surplus(disk(150)), Some(50));
        assert_eq!(surplus(disk(0)), Some(200));
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let image = |id: &str, tag: &str, pinned| Image {
            id: id.into(),
            repo_tags: vec![tag.into()],
            pinned,
            ..Image::default()
        };
        let images = [
            image("a", "a:1", false),
            image("b", "b:1", false),
            image("pinned", "c:1", true),
            image("pause", "pause:1", false),
            image("used", "d:1", false),
            image("new", "e:1", false),
        ];
        let seen = |first, used| Seen { first: at(first), used: at(used) };
        let known = [
            ("a", seen(0, 500)),
            ("b", seen(0, 100)),
            ("pinned", seen(0, 0)),
            ("pause", seen(0, 0)),
            ("used", seen(0, 0)),
            ("new", seen(950, 0)),
        ];
        let known = known.map(|(id, seen)| (id.to_owned(), seen)).into();
        let found = candidates(&images, &["d:1", "pause:1"].into(), &known, at(1000));
        assert_eq!(found.iter().map(|image| image.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    }
}
