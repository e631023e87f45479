//! Images: whether one is pulled, with which credentials, and what users are told.
//!
//! Upstream counterparts: `pkg/kubelet/images/image_manager.go`, `pkg/credentialprovider`.

mod reference;

use std::time::Instant;

use api::core::v1::{Container, Pod, Volume};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use reconcile::EventKind;
use serde_json::Value;

use crate::context::Context;
use crate::runtime::messages::{AuthConfig, Image, ImageSpec, PodSandboxConfig};
use crate::security::ImageUser;
use crate::spec;
use crate::text::go_duration;
use crate::worker::backoff::Backoff;
use crate::worker::status::Reason;
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
/// Why it is not; events were sent.
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
    let present = match context.runtime.image_status(image.clone()).await {
        Ok(present) => present,
        Err(error) => {
            // Upstream names what it found there, which is nothing.
            let message = format!("Failed to inspect image \"\": {error}");
            tell(EventKind::Warning, "InspectFailed", &message);
            return Err(fail("ImageInspectError", message));
        }
    };
    match (present, ask.policy) {
        (Some(present), "IfNotPresent" | "Never") => {
            let text = format!(
                "Container image \"{wanted}\" already present on machine and can be accessed by the pod"
            );
            tell(EventKind::Normal, "Pulled", &text);
            Ok(as_present(present))
        }
        (None, "Never") => {
            let message = format!("Container image \"{wanted}\" is not present with pull policy of Never");
            tell(EventKind::Warning, "ErrImageNeverPull", &message);
            Err(fail("ErrImageNeverPull", message))
        }
        _ => pull(context, pod, ask, (&image, &reference.repository), sandbox, pulls).await,
    }
}

async fn pull(
    context: &Context,
    pod: &Pod,
    ask: Wanted<'_>,
    (image, repository): (&ImageSpec, &str),
    sandbox: &PodSandboxConfig,
    pulls: &mut Pulls,
) -> Result<Present, Reason> {
    let wanted = ask.image;
    let tell = |kind, reason: &str, message: &str| ask.tell(context, pod, kind, reason, message);
    if let Some((failed, error)) = pulls.errors.get(wanted)
        && pulls.backoff.wait(wanted, *failed, context.clock.now()).is_some()
    {
        let text = format!("Back-off pulling image \"{wanted}\"");
        tell(EventKind::Normal, "BackOff", &text);
        return Err(Reason { reason: "ImagePullBackOff".into(), message: format!("{text}: {error}") });
    }
    tell(EventKind::Normal, "Pulling", &format!("Pulling image \"{wanted}\""));
    let begun = Instant::now();
    let permit = context.pulls.acquire().await;
    let started = Instant::now();
    let mut result = Err(String::from("no credentials to try"));
    for auth in credentials(context, pod, repository).await {
        result = context
            .runtime
            .pull_image(image.clone(), auth, sandbox.clone())
            .await
            .map_err(|error| error.to_string());
        if result.is_ok() {
            break;
        }
    }
    drop(permit);
    let present = match result {
        Ok(_) => {
            make_durable(context).await;
            context.runtime.image_status(image.clone()).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    match present.and_then(|image| image.ok_or_else(|| "the pulled image is not there".to_owned())) {
        Ok(present) => {
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
            Ok(as_present(present))
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

/// The credentials to try, in order; the last is to have none.
async fn credentials(context: &Context, pod: &Pod, repository: &str) -> Vec<Option<AuthConfig>> {
    let mut found = Vec::new();
    for reference in spec::spec(pod).image_pull_secrets.iter().flatten() {
        let secret = match context.secret(spec::namespace(pod), &reference.name, true).await {
            Ok(Some(secret)) => secret,
            missing => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    reference.name
                );
                context.event(pod, EventKind::Warning, "FailedToRetrieveImagePullSecret", message);
                tracing::debug!(error = ?missing.err(), secret = reference.name, "cannot read a pull secret");
                continue;
            }
        };
        for (key, data) in secret.data.iter().flatten() {
            if let ".dockerconfigjson" | ".dockercfg" = key.as_str() {
                found.extend(matching(&data.0, repository));
            }
        }
    }
    found.sort_by_key(|(registry, _)| std::cmp::Reverse(registry.len()));
    found.into_iter().map(|(_, auth)| Some(auth)).chain([None]).collect()
}

/// The entries of a Docker configuration that are for a repository.
fn matching(config: &[u8], repository: &str) -> Vec<(String, AuthConfig)> {
    let Ok(config) = serde_json::from_slice::<Value>(config) else { return Vec::new() };
    let entries = config.get("auths").unwrap_or(&config).as_object().cloned().unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(registry, entry)| {
            let place = registry.trim_start_matches("https://").trim_start_matches("http://");
            let place = place.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
            let place = if place == "index.docker.io" { "docker.io" } else { place };
            covers(place, repository).then(|| (place.to_owned(), auth(&entry)))
        })
        .collect()
}

/// Whether a registry, perhaps with `*` for labels of its host and with a path, covers an image.
fn covers(registry: &str, image: &str) -> bool {
    let (host, path) = registry.split_once('/').unwrap_or((registry, ""));
    let (image_host, image_path) = image.split_once('/').unwrap_or((image, ""));
    let (labels, image_labels): (Vec<_>, Vec<_>) =
        (host.split('.').collect(), image_host.split('.').collect());
    labels.len() == image_labels.len()
        && labels.iter().zip(&image_labels).all(|(label, own)| *label == "*" || label == own)
        && image_path.starts_with(path)
}

fn auth(entry: &Value) -> AuthConfig {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let decoded = STANDARD.decode(text("auth")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, secret)) = decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        (username, password) = (user.to_owned(), secret.to_owned());
    }
    AuthConfig { username, password, identity_token: text("identitytoken"), ..AuthConfig::default() }
}

/// For fuzzing: an image's name, and the Docker configuration of a pull secret.
pub(crate) fn fuzz(name: &str, config: &[u8]) {
    let Ok(reference) = reference::parse(name) else { return };
    let tagged = with_tag(name, &reference);
    assert_eq!(reference::parse(&tagged).ok().as_ref(), Some(&reference), "{tagged} means the same");
    for (registry, _) in matching(config, &reference.repository) {
        assert!(covers(&registry, &reference.repository));
    }
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
        let cases = [
            ("docker.io", "busybox:1", true),
            ("*.example.com", "a.example.com/x", true),
            ("*.example.com", "a.b.example.com/x", false),
            ("r.example/team", "r.example/team/app", true),
            ("r.example/team", "r.example/other/app", false),
            ("r.example:5000", "r.example/x", false),
        ];
        for (registry, image, expected) in cases {
            assert_eq!(
                covers(registry, &reference::parse(image).unwrap().repository),
                expected,
                "{registry} {image}"
            );
        }
    }

    #[test]
    fn credentials_of_a_docker_configuration() {
        let config = br#"{"auths": {"https://r.example/v1/": {"auth": "dTpw"}, "x": {"username": "y"}}}"#;
        let found = matching(config, "r.example/a:1");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].1.username.as_str(), found[0].1.password.as_str()), ("u", "p"));
    }
}
