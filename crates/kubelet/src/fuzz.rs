//! Entry points for fuzzing: any bytes, no panic, and the promises that are asserted.

use crate::runtime::messages::{
    AttachResponse, Container, ContainerEventResponse, ContainerStatus, ContainerStatusResponse,
    CreateContainerResponse, ExecSyncResponse, ImageFsInfoResponse, ImageStatusResponse,
    ListContainerStatsResponse, ListContainersResponse, ListImagesResponse, ListPodSandboxResponse,
    PodSandboxStatusResponse, RuntimeConfigResponse, StatusResponse, VersionResponse,
};
use crate::state::{Run, time};
use crate::{dns, env, exits, http, images, server, spec};
use prost::Message;

/// A log file as the runtime writes it (CRI), behind a line with a client's query: no more is sent than it
/// wants, and the last lines are found wherever the file is cut into blocks.
pub fn log(data: &[u8]) {
    server::fuzz::log(data);
}

/// The path and the query of a request to a kubelet.
pub fn request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    server::fuzz::request(text);
}

/// What a container runtime answers: the first byte says to what.
pub fn runtime(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 16 {
        0 => drop(reread::<VersionResponse>(data)),
        1 => drop(reread::<StatusResponse>(data)),
        2 => {
            let config = reread::<RuntimeConfigResponse>(data).and_then(|answer| answer.linux);
            let _ = config.map(|linux| linux.cgroup_driver());
        }
        3 => drop(reread::<CreateContainerResponse>(data)),
        4 => {
            let answer = reread::<PodSandboxStatusResponse>(data).unwrap_or_default();
            let _ = exits::pid(&answer.info);
            let _ = answer.status.map(|status| (status.state(), time(status.created_at)));
        }
        5 => {
            let answer = reread::<ListPodSandboxResponse>(data).unwrap_or_default();
            for sandbox in &answer.items {
                let _ = sandbox.state();
            }
        }
        6 => {
            for container in reread::<ListContainersResponse>(data).unwrap_or_default().containers {
                run(&container, ContainerStatus::default());
            }
        }
        7 | 8 => {
            let answer = reread::<ContainerStatusResponse>(data).unwrap_or_default();
            let _ = exits::pid(&answer.info);
            run(&Container::default(), answer.status.unwrap_or_default());
        }
        9 => drop(reread::<ExecSyncResponse>(data)),
        10 => {
            let url = reread::<AttachResponse>(data).map(|answer| answer.url).unwrap_or_default();
            server::fuzz::streaming_url(&url);
        }
        11 => drop(reread::<ListContainerStatsResponse>(data)),
        12 => drop(reread::<ListImagesResponse>(data)),
        13 => {
            let answer = reread::<ImageStatusResponse>(data).unwrap_or_default();
            let _ = answer.image.map(images::as_present);
        }
        14 => drop(reread::<ImageFsInfoResponse>(data)),
        _ => {
            let event = reread::<ContainerEventResponse>(data).unwrap_or_default();
            let _ = event.container_event_type();
        }
    }
}

/// Decodes; what is written again reads the same.
fn reread<M: Message + Default>(data: &[u8]) -> Option<M> {
    let message = M::decode(data).ok()?;
    let bytes = message.encode_to_vec();
    let again = M::decode(&bytes[..]).expect("what was written");
    assert_eq!(again.encoded_len(), bytes.len());
    Some(message)
}

fn run(listed: &Container, status: ContainerStatus) {
    let run = Run::new(listed, status);
    let _ = (run.finished(), run.recorded_pre_stop(), run.is_running(), time(run.started_at));
    let _ = run.is_changed(&api::core::v1::Container::default());
}

/// An image's name, a line feed, and the Docker configuration of a pull secret.
pub fn image(data: &[u8]) {
    let mut halves = data.splitn(2, |b| *b == b'\n');
    let (name, config) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let Ok(name) = std::str::from_utf8(name) else { return };
    images::fuzz(name, config);
}

/// A node's `resolv.conf`.
pub fn resolv_conf(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = dns::parse(text);
    let written = config.servers.iter().map(|server| format!("nameserver {server}\n"));
    let options = format!("options {}\n", config.options.join(" "));
    let again = dns::parse(&format!("{}{options}", written.collect::<String>()));
    assert_eq!((&again.servers, &again.options), (&config.servers, &config.options));
    assert!(config.searches.iter().all(|domain| !domain.is_empty() && !domain.contains(char::is_whitespace)));
}

/// `$(NAME)` in the commands and variables of a pod.
pub fn expansion(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known: env::Variables =
        [("A".to_owned(), "1".into()), ("LONG".to_owned(), vec![b'x'; 64].into())].into();
    let (none, some) = (env::expand(text, &[]), env::expand(text, &[&known]));
    assert!(none.len() <= text.len(), "what is not known stays");
    assert!(some.len() <= text.len() * 64);
    if !text.contains('$') {
        assert!(none == text.as_bytes() && some == none);
    }
}

/// Where a container that is probed sends the prober: never to another host.
pub fn redirect(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    http::fuzz_redirect(text);
}

/// A pod, as JSON: what is read of it before it runs.
pub fn pod(data: &[u8]) {
    let Ok(pod) = api::decode_lenient::<api::core::v1::Pod>(data) else { return };
    let spec = spec::spec(&pod);
    let hashes: Vec<String> = spec.containers.iter().map(spec::hash).collect();
    let text = serde_json::to_vec(&pod).expect("a pod can be written");
    let again: api::core::v1::Pod = api::decode_lenient(&text).expect("what was written");
    assert!(spec::spec(&again).containers.iter().map(spec::hash).eq(hashes), "the hash is of what it says");
}
