//! Images: whether one is pulled, with which credentials, and what users are told.
//!
//! Upstream counterpart: `pkg/kubelet/images/image_manager.go`.

mod credentials;
mod records;
mod reference;

use std::time::Instant;

use api::core::v1::{Container, Pod, Volume};
use jiff::SignedDuration;
use meta::field::aggregate;
use reconcile::EventKind;

use crate::context::Context;
use crate::runtime::messages::{Image, ImageSpec, PodSandboxConfig};
use crate::security::ImageUser;
use crate::text::go_duration;
use crate::worker::backoff::Backoff;
use crate::worker::status::Reason;
use credentials::{Credential, PullSecret};
pub(crate) use records::Records;
use records::{Access, Grant};
use reference::Reference;

/// An image that is here.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    /// The runtime's id of it.
    pub(crate) id: String,
    pub(crate) user: ImageUser,
}

/// What one pod remembers of its pulls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulls {
    pub(crate) backoff: Backoff,
    /// The last failure by image.
    pub(crate) errors: std::collections::BTreeMap<String, (jiff::Timestamp, String)>,
}

/// An image that a pod asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// As it was written.
    pub(crate) image: &'a str,
    policy: &'a str,
    /// The container that runs it; none for a volume.
    container: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// What a container runs.
    pub(crate) fn by_container(container: &'a Container) -> Self {
        Self {
            image: container.image.as_deref().unwrap_or_default(),
            policy: container.image_pull_policy.as_deref().unwrap_or("IfNotPresent"),
            container: Some(&container.name),
        }
    }

    /// What a volume shows, if it shows an image.
    pub(crate) fn by_volume(volume: &'a Volume) -> Option<Self> {
        let source = volume.image.as_ref()?;
        Some(Self {
            image: source.reference.as_deref().unwrap_or_default(),
            policy: source.pull_policy.as_deref().unwrap_or("IfNotPresent"),
            container: None,
        })
    }

    /// Tells of the container, or of the pod for a volume.
    fn tell(self, context: &Context, pod: &Pod, kind: EventKind, reason: &str, message: &str) {
        match self.container {
            Some(container) => context.container_event(pod, container, kind, reason, message),
            None => context.event(pod, kind, reason, message),
        }
    }
}

/// Makes sure that an image is here.
///
/// # Errors
/// Why it is not, or why this pod may not run it; events were sent.
pub(crate) async fn ensure(
    context: &Context,
    pod: &Pod,
    ask: Wanted<'_>,
    sandbox: &PodSandboxConfig,
    pulls: &mut Pulls,
) -> Result<Present, Reason> {
    let wanted = ask.image;
    let fail = |reason: &str, message: String| Reason { reason: reason.into(), message };
    let tell = |kind, reason: &str, message: &str| ask.tell(context, pod, kind, reason, message);
    let reference = match reference::parse(wanted) {
        Ok(reference) => reference,
        Err(error) => {
            let message = format!("Failed to apply default image tag {wanted:?}: {error}");
            tell(EventKind::Warning, "InspectFailed", &message);
            return Err(fail("InvalidImageName", message));
        }
    };
    let image = ImageSpec { image: with_tag(wanted, &reference), ..ImageSpec::default() };
    let mut own = Own { context, pod, repository: &reference.repository, found: None };
    if ask.policy != "Always" {
        let present = match context.runtime.image_status(image.clone()).await {
            Ok(present) => present,
            Err(error) => {
                // Upstream names what it found there, which is nothing.
                let message = format!("Failed to inspect image \"\": {error}");
                tell(EventKind::Warning, "InspectFailed", &message);
                return Err(fail("ImageInspectError", message));
            }
        };
        if let Some(present) = present
            && may_run(context, wanted, &present, &mut own).await
        {
            let text = format!(
                "Container image \"{wanted}\" already present on machine and can be accessed by the pod"
            );
            tell(EventKind::Normal, "Pulled", &text);
            return Ok(as_present(present));
        }
        if ask.policy == "Never" {
            // Also of an image that the pod may not run: whether it is here is not its business.
            let message = format!("Container image \"{wanted}\" is not present with pull policy of Never");
            tell(EventKind::Warning, "ErrImageNeverPull", &message);
            return Err(fail("ErrImageNeverPull", message));
        }
    }
    pull(context, pod, ask, &image, own, sandbox, pulls).await.map(as_present)
}

/// The credentials that a pod has for an image. They cost requests: they are looked for when something depends on them.
struct Own<'a> {
    context: &'a Context,
    pod: &'a Pod,
    repository: &'a str,
    found: Option<Vec<Credential>>,
}

impl Own<'_> {
    async fn get(&mut self) -> &[Credential] {
        if self.found.is_none() {
            self.found = Some(credentials::of_pod(self.context, self.pod, self.repository).await);
        }
        self.found.as_deref().unwrap_or_default()
    }
}

/// Whether a pod may run an image that is here without asking the registry.
async fn may_run(context: &Context, wanted: &str, present: &Image, own: &mut Own<'_>) -> bool {
    let holders = match context.records.grant(wanted, &present.id, &present.repo_tags) {
        Grant::Everybody => return true,
        Grant::Nobody => return false,
        Grant::Holders(holders) => holders,
    };
    let secrets: Vec<PullSecret> = own.get().await.iter().filter_map(|one| one.secret.clone()).collect();
    let (records, now) = (context.records.clone(), context.clock.now());
    let (name, id) = (wanted.to_owned(), present.id.clone());
    blocking(move || records.is_held((&name, &id), &holders, &secrets, now)).await
}

/// Does what waits for the disk where nobody else waits for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process is about to end.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Notes what became of the pulls that an earlier kubelet did not see end.
pub(crate) async fn settle(context: &Context) {
    let records = context.records.clone();
    for image in blocking(move || records.unfinished()).await {
        let Ok(reference) = reference::parse(&image) else { continue };
        let spec = ImageSpec { image: with_tag(&image, &reference), ..ImageSpec::default() };
        match context.runtime.image_status(spec).await {
            Ok(Some(present)) => {
                let (records, now) = (context.records.clone(), context.clock.now());
                blocking(move || records.finished(&image, &present.id, now)).await;
            }
            // It is tried again, or nobody wants it; until then it counts as pulled with a secret.
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, image, "cannot see whether an image was pulled"),
        }
    }
}

async fn pull(
    context: &Context,
    pod: &Pod,
    ask: Wanted<'_>,
    image: &ImageSpec,
    mut own: Own<'_>,
    sandbox: &PodSandboxConfig,
    pulls: &mut Pulls,
) -> Result<Image, Reason> {
    let wanted = ask.image;
    let tell = |kind, reason: &str, message: &str| ask.tell(context, pod, kind, reason, message);
    if let Some((failed, error)) = pulls.errors.get(wanted)
        && pulls.backoff.wait(wanted, *failed, context.clock.now()).is_some()
    {
        let text = format!("Back-off pulling image \"{wanted}\"");
        tell(EventKind::Normal, "BackOff", &text);
        return Err(Reason { reason: "ImagePullBackOff".into(), message: format!("{text}: {error}") });
    }
    let (records, name) = (context.records.clone(), wanted.to_owned());
    if let Err(error) = blocking(move || records.intend(&name)).await {
        let message = format!("Failed to record image pull intent for container image \"{wanted}\": {error}");
        return Err(Reason { reason: "ErrImagePull".into(), message });
    }
    tell(EventKind::Normal, "Pulling", &format!("Pulling image \"{wanted}\""));
    let begun = Instant::now();
    let permit = context.pulls.acquire().await;
    let started = Instant::now();
    let pulled = fetch(context, image, own.get().await, sandbox).await;
    drop(permit);
    let found = match pulled {
        // Where it cannot be looked at, the intent stays: it is here, and not everybody's.
        Ok(access) => look(context, image).await.map(|present| (present, access)),
        Err(error) => {
            let (records, name) = (context.records.clone(), wanted.to_owned());
            blocking(move || records.failed(&name)).await;
            Err(error)
        }
    };
    match found {
        Ok((present, access)) => {
            let (records, name) = (context.records.clone(), wanted.to_owned());
            let (id, now) = (present.id.clone(), context.clock.now());
            blocking(move || records.succeeded(&name, &id, &access, now)).await;
            pulls.backoff.reset(wanted);
            pulls.errors.remove(wanted);
            let text = |since: Instant| {
                let millis = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
                go_duration(SignedDuration::from_millis(millis))
            };
            let message = format!(
                "Successfully pulled image \"{wanted}\" in {} ({} including waiting). Image size: {} bytes.",
                text(started),
                text(begun),
                present.size
            );
            tell(EventKind::Normal, "Pulled", &message);
            Ok(present)
        }
        Err(error) => {
            tell(EventKind::Warning, "Failed", &format!("Failed to pull image \"{wanted}\": {error}"));
            let now = context.clock.now();
            let before = pulls.errors.get(wanted).map_or(now, |(failed, _)| *failed);
            pulls.backoff.next(wanted, before, now);
            let reason = "ErrImagePull";
            pulls.errors.insert(wanted.to_owned(), (now, format!("{reason}: {error}")));
            Err(Reason { reason: reason.into(), message: error })
        }
    }
}

/// Tries the credentials in turn; where there are none, it goes without. Tells which were good.
async fn fetch(
    context: &Context,
    image: &ImageSpec,
    credentials: &[Credential],
    sandbox: &PodSandboxConfig,
) -> Result<Access, String> {
    let tries = if credentials.is_empty() {
        vec![(None, Access::Anybody)]
    } else {
        let access = |one: &Credential| one.secret.clone().map_or(Access::Anybody, Access::Secret);
        credentials.iter().map(|one| (Some(one.auth.clone()), access(one))).collect()
    };
    let mut errors = Vec::new();
    for (auth, access) in tries {
        match context.runtime.pull_image(image.clone(), auth, sandbox.clone()).await {
            Ok(_) => return Ok(access),
            Err(error) => errors.push(error.to_string()),
        }
    }
    Err(aggregate(errors).unwrap_or_default())
}

/// An image that was just pulled.
async fn look(context: &Context, image: &ImageSpec) -> Result<Image, String> {
    make_durable(context).await;
    let present = context.runtime.image_status(image.clone()).await.map_err(|error| error.to_string())?;
    present.ok_or_else(|| "the pulled image is not there".to_owned())
}

/// Some runtimes note durably that an image is there before its files are: after a power cut within half a minute
/// they would be empty, for ever (containerd/containerd#5854, before 2.0).
async fn make_durable(context: &Context) {
    let Ok(info) = context.runtime.image_fs_info().await else { return };
    let places = info.image_filesystems.into_iter().filter_map(|fs| fs.fs_id).map(|id| id.mountpoint);
    for place in places.filter(|place| !place.is_empty()) {
        let sync = move || rustix::fs::syncfs(std::fs::File::open(&place)?).map_err(std::io::Error::from);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(sync).await {
            tracing::warn!(%error, "cannot sync the file system of images");
        }
    }
}

pub(crate) fn as_present(image: Image) -> Present {
    let user = ImageUser { uid: image.uid.map(|uid| uid.value), name: image.username };
    Present { id: image.id, user }
}

/// The name as it was written, with the tag that it means if it has none: not the full name, because what a short
/// name means is the runtime's to say.
fn with_tag(wanted: &str, reference: &Reference) -> String {
    match (&reference.digest, &reference.tag) {
        (None, Some(tag)) if !wanted.ends_with(&format!(":{tag}")) => format!("{wanted}:{tag}"),
        _ => wanted.to_owned(),
    }
}

/// For fuzzing: an image's name, and the Docker configuration of a pull secret.
pub(crate) fn fuzz(name: &str, config: &[u8]) {
    let Ok(reference) = reference::parse(name) else { return };
    let tagged = with_tag(name, &reference);
    assert_eq!(reference::parse(&tagged).ok().as_ref(), Some(&reference), "{tagged} means the same");
    credentials::fuzz(config, &reference.repository);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_registries() {
        let digest = format!("b@sha256:{}", "0".repeat(64));
        let tags = [
            ("busybox", "busybox:latest"),
            ("a.example:5000/b", "a.example:5000/b:latest"),
            ("b:1", "b:1"),
            (digest.as_str(), digest.as_str()),
        ];
        for (name, expected) in tags {
            assert_eq!(with_tag(name, &reference::parse(name).unwrap()), expected, "{name}");
        }
    }
}
