//! Starts one container: image, configuration, creation, start, hook.
//!
//! Upstream counterparts: `startContainer` and `generateContainerConfig` of `pkg/kubelet/kuberuntime`.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use api::core::v1::{Container, Pod};
use reconcile::EventKind;

use super::status::Reason;
use crate::context::Context;
use crate::dns;
use crate::env::{self, Variables};
use crate::images::{self, Present, Pulls, Wanted};
use crate::resources;
use crate::runtime::messages::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, Labels, LinuxContainerConfig, Mount,
    PodSandboxConfig,
};
use crate::security;
use crate::spec;
use crate::state::{PodState, label};
use crate::volumes::{self, Mounted, Paths};

/// What a start needs to know.
pub(crate) struct Start<'a> {
    pub(crate) context: &'a Context,
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a Container,
    pub(crate) restart_count: u32,
    pub(crate) state: &'a PodState,
    pub(crate) sandbox: &'a str,
    pub(crate) sandbox_config: &'a PodSandboxConfig,
    pub(crate) volumes: &'a Paths,
}

/// The images of a start.
pub(crate) struct Images {
    /// What the container runs.
    own: Present,
    /// What it mounts, by volume.
    mounted: BTreeMap<String, ImageSpec>,
}

impl Start<'_> {
    /// Makes the images be here: those of volumes first.
    pub(crate) async fn images(&self, pulls: &mut Pulls) -> Result<Images, Reason> {
        let mounted = self.mounted_images(pulls).await?;
        let own = self.image(Wanted::by_container(self.container), pulls).await?;
        Ok(Images { own, mounted })
    }

    /// Makes the images of the container's volumes be here. One that fails keeps no other from being pulled.
    async fn mounted_images(&self, pulls: &mut Pulls) -> Result<BTreeMap<String, ImageSpec>, Reason> {
        let mut mounted = BTreeMap::new();
        let mut failed = None;
        for volume in spec::spec(self.pod).volumes.iter().flatten() {
            let mut mounts = self.container.volume_mounts.iter().flatten();
            if !mounts.any(|mount| mount.name == volume.name) {
                continue;
            }
            let Some(wanted) = Wanted::by_volume(volume) else { continue };
            match self.image(wanted, pulls).await {
                Ok(present) => {
                    let spec = ImageSpec {
                        image: present.id,
                        annotations: self.pod.metadata.annotations.clone().unwrap_or_default(),
                        user_specified_image: wanted.image.to_owned(),
                        ..ImageSpec::default()
                    };
                    mounted.insert(volume.name.clone(), spec);
                }
                Err(reason) => failed = Some(reason),
            }
        }
        failed.map_or(Ok(mounted), Err)
    }

    async fn image(&self, wanted: Wanted<'_>, pulls: &mut Pulls) -> Result<Present, Reason> {
        let result = images::ensure(self.context, self.pod, wanted, self.sandbox_config, pulls).await;
        result.inspect_err(|reason| self.failed(&format!("Error: {}", reason.reason)))
    }

    /// Creates and starts the container; returns its id.
    pub(crate) async fn run(&self, images: &Images) -> Result<String, Reason> {
        let config = self.config(images).await.map_err(|message| {
            self.failed(&format!("Error: {message}"));
            Reason { reason: "CreateContainerConfigError".into(), message }
        })?;
        let runtime = &self.context.runtime;
        let created = runtime.create_container(self.sandbox, config, self.sandbox_config.clone()).await;
        let id = created.map_err(|error| {
            self.failed(&format!("Error: {}", error.message));
            Reason { reason: "CreateContainerError".into(), message: error.message }
        })?;
        self.tell(EventKind::Normal, "Created", "Container created");
        runtime.start_container(&id).await.map_err(|error| {
            self.failed(&format!("Error: {}", error.message));
            Reason { reason: "RunContainerError".into(), message: error.message }
        })?;
        self.tell(EventKind::Normal, "Started", "Container started");
        self.link_log(&id);
        Ok(id)
    }

    fn tell(&self, kind: EventKind, reason: &str, message: &str) {
        self.context.container_event(self.pod, &self.container.name, kind, reason, message);
    }

    fn failed(&self, message: &str) {
        self.tell(EventKind::Warning, "Failed", message);
    }

    async fn config(&self, images: &Images) -> Result<ContainerConfig, String> {
        let (context, pod, container) = (self.context, self.pod, self.container);
        let image = &images.own;
        security::check_non_root(pod, container, &image.user)?;
        let around = context.surroundings(pod, self.state.ips());
        let environment = env::environment(context, pod, container, &around, self.volumes).await?;
        let target = target_id(pod, self.state, &container.name)?;
        let text = |error: io::Error| error.to_string();
        let log_dir = context.log_dir(pod).join(&container.name);
        std::fs::create_dir_all(&log_dir).map_err(|error| {
            format!("create container log directory for container {} failed: {error}", container.name)
        })?;
        let mounted = Mounted { paths: self.volumes, images: &images.mounted };
        let mut mounts = volumes::container_mounts(context, pod, container, mounted, &environment)?;
        mounts.extend(self.hosts_mount(&around.pod_ips, &mounts).map_err(text)?);
        mounts.extend(self.message_mount().map_err(text)?);
        let expand = |words: &Option<Vec<String>>| {
            words.iter().flatten().map(|word| env::expand_text(word, &environment)).collect()
        };
        let seccomp_dir = context.config.root_dir.join("seccomp");
        let seccomp_dir = seccomp_dir.to_string_lossy();
        let security = security::of_container(pod, container, &image.user, &seccomp_dir, target);
        let unified = context.cgroups.is_unified();
        Ok(ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: self.restart_count }),
            image: Some(ImageSpec {
                image: image.id.clone(),
                user_specified_image: container.image.clone().unwrap_or_default(),
                ..ImageSpec::default()
            }),
            command: expand(&container.command),
            args: expand(&container.args),
            working_dir: container.working_dir.clone().unwrap_or_default(),
            envs: envs(environment),
            mounts,
            labels: self.labels(),
            annotations: self.annotations(),
            log_path: format!("{}/{}.log", container.name, self.restart_count),
            stdin: container.stdin == Some(true),
            stdin_once: container.stdin_once == Some(true),
            tty: container.tty == Some(true),
            linux: Some(LinuxContainerConfig {
                resources: Some(resources::container_resources(
                    pod,
                    container,
                    context.machine.memory,
                    unified,
                )),
                security_context: Some(security),
            }),
            ..ContainerConfig::default()
        })
    }

    fn labels(&self) -> Labels {
        [
            (label::POD_NAME, spec::name(self.pod)),
            (label::POD_NAMESPACE, spec::namespace(self.pod)),
            (label::POD_UID, spec::uid(self.pod)),
            (label::CONTAINER_NAME, &self.container.name),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    fn annotations(&self) -> Labels {
        let (pod, container) = (self.pod, self.container);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let json = |value: Option<serde_json::Result<String>>| value.and_then(Result::ok);
        let pre_stop = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let ports = container.ports.as_ref().filter(|ports| !ports.is_empty());
        [
            (label::HASH, Some(spec::hash(container))),
            (label::HASH_VERSION, Some(spec::HASH_VERSION.to_owned())),
            (label::RESTART_COUNT, Some(self.restart_count.to_string())),
            (label::MESSAGE_PATH, Some(text(&container.termination_message_path))),
            (label::MESSAGE_POLICY, Some(text(&container.termination_message_policy))),
            (
                label::DELETION_GRACE,
                pod.metadata.deletion_grace_period_seconds.map(|grace| grace.to_string()),
            ),
            (
                label::TERMINATION_GRACE,
                spec::spec(pod).termination_grace_period_seconds.map(|grace| grace.to_string()),
            ),
            (label::PRE_STOP, json(pre_stop.map(serde_json::to_string))),
            (label::PORTS, json(ports.map(serde_json::to_string))),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }

    /// The hosts file, unless the container brings its own.
    fn hosts_mount(&self, ips: &[String], mounts: &[Mount]) -> io::Result<Option<Mount>> {
        const PLACE: &str = "/etc/hosts";
        if ips.is_empty() || mounts.iter().any(|mount| mount.container_path == PLACE) {
            return Ok(None);
        }
        let (context, pod) = (self.context, self.pod);
        let text = if spec::is_host_network(pod) {
            dns::host_network_hosts(pod, &std::fs::read_to_string(PLACE).unwrap_or_default())
        } else {
            dns::hosts(pod, ips, &context.config.cluster_domain)
        };
        let path = context.pod_dir(spec::uid(pod)).join("etc-hosts");
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        Ok(Some(Mount {
            container_path: PLACE.into(),
            host_path: path.to_string_lossy().into_owned(),
            ..Mount::default()
        }))
    }

    /// The file for the container's last word, one a run.
    fn message_mount(&self) -> io::Result<Option<Mount>> {
        let Some(place) = self.container.termination_message_path.as_deref().filter(|path| !path.is_empty())
        else {
            return Ok(None);
        };
        let dir = self.context.pod_dir(spec::uid(self.pod)).join("containers").join(&self.container.name);
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{:08x}", self.restart_count));
        std::fs::write(&path, "")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        let place = if place.starts_with('/') { place.to_owned() } else { format!("/{place}") };
        Ok(Some(Mount {
            container_path: place,
            host_path: path.to_string_lossy().into_owned(),
            ..Mount::default()
        }))
    }

    /// A link by the pod's and the container's names, where log shippers look.
    fn link_log(&self, id: &str) {
        let (pod, name) = (self.pod, &self.container.name);
        let log = self.context.log_dir(pod).join(name).join(format!("{}.log", self.restart_count));
        let link = format!("{}_{}_{name}-{id}.log", spec::name(pod), spec::namespace(pod));
        let link = self.context.config.container_logs_dir.join(link);
        if let Err(error) = replace_link(&log, &link) {
            tracing::debug!(link = %link.display(), %error, "cannot link a log");
        }
    }
}

/// The newest run of the container whose processes an ephemeral one is to see. Whether it runs is for the runtime to
/// say (`getTargetID`).
fn target_id<'a>(pod: &Pod, state: &'a PodState, name: &str) -> Result<Option<&'a str>, String> {
    let Some(target) = spec::target(pod, name) else { return Ok(None) };
    match state.run(target) {
        Some(run) => Ok(Some(&run.id)),
        None => Err(format!("unable to find target container {target}")),
    }
}

fn replace_link(to: &Path, link: &Path) -> io::Result<()> {
    match symlink(to, link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = link.parent() {
                std::fs::create_dir_all(parent)?;
            }
            symlink(to, link)
        }
        result => result,
    }
}

fn envs(environment: Variables) -> Vec<KeyValue> {
    environment.into_iter().map(|(key, value)| KeyValue { key, value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Runs, pod};
    use serde_json::json;

    #[test]
    fn targets_need_not_run() {
        let pod = pod(json!({"containers": [{"name": "a"}], "ephemeralContainers": [
            {"name": "e", "targetContainerName": "a"}, {"name": "f", "targetContainerName": ""}, {"name": "g"},
        ]}));
        let none = Err("unable to find target container a".to_owned());
        let cases = [
            (Runs::ready().running("a"), "e", Ok(Some("a-0"))),
            (Runs::ready().exited("a", 1), "e", Ok(Some("a-0"))),
            (Runs::ready().exited("a", 1).exited("a", 1), "e", Ok(Some("a-1"))),
            (Runs::ready(), "e", none),
            (Runs::ready().running("a"), "f", Ok(None)),
            (Runs::ready().running("a"), "g", Ok(None)),
            (Runs::ready().running("a"), "a", Ok(None)),
        ];
        for (number, (runs, name, expected)) in cases.into_iter().enumerate() {
            assert_eq!(target_id(&pod, &runs.state(&pod), name), expected, "{number}");
        }
    }
}
