//! `/containerLogs`: what containers wrote, from the files that the runtime keeps.
//!
//! Upstream: `getContainerLogs` in `pkg/kubelet/server/server.go`, `GetKubeletContainerLogs` in
//! `pkg/kubelet/kubelet_pods.go`, `k8s.io/cri-client/pkg/logs`.

mod parse;
mod read;

use super::Server;
use super::respond::{self, Answer, Body};
use super::route::Query;
use crate::pods::Entry;
use api::core::v1::{ContainerStatus, Pod};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use jiff::{SignedDuration, Timestamp};
pub(crate) use parse::Printer;
pub(super) use parse::TailSearch;
use read::Reader;
use std::io;
use tokio::sync::mpsc;

/// How many pieces of a log wait for a slow client.
const PIECES_MAX: usize = 4;

/// `PodLogOptions` as kubelets read them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    follow: bool,
    previous: bool,
    pub(super) timestamps: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) tail_lines: Option<u64>,
    pub(super) limit_bytes: Option<u64>,
}

/// Answers with a container's log.
pub(super) async fn answer(
    server: &Server,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
) -> Answer {
    let options = match Options::read(query, Timestamp::now()) {
        Ok(options) => options,
        Err((code, why)) => return respond::text(code, format!("{{\"message\": {why:?}}}")),
    };
    let Some(entry) = server.pods.by_name(namespace, name) else {
        return respond::text(404, format!("pod {name:?} does not exist"));
    };
    if !has_container(&entry.pod, container) {
        return respond::text(404, format!("container {container:?} not found in pod {name:?}"));
    }
    let id = match run(&entry, container, options.previous) {
        Ok(id) => id,
        Err(why) => return respond::text(400, why),
    };
    let runs = entry.instances.get(container).map(Vec::as_slice).unwrap_or_default();
    let Some(run) = runs.iter().find(|run| run.id == id) else {
        return respond::text(400, format!("unable to retrieve container logs for containerd://{id}"));
    };
    let reader = match Reader::open(&run.log_path, options.tail_lines).await {
        Ok(reader) => reader,
        Err(error) => {
            let path = run.log_path.display();
            let why = if error.kind() == io::ErrorKind::NotFound {
                "no such file or directory".into()
            } else {
                error.to_string()
            };
            return respond::text(
                500,
                format!("failed to try resolving symlinks in path \"{path}\": open {path}: {why}"),
            );
        }
    };
    let printer = Printer::new(options.since, options.timestamps, options.limit_bytes);
    let (sender, mut receiver) = mpsc::channel(PIECES_MAX);
    let (pods, uid) = (server.pods.clone(), entry.pod.metadata.uid.clone().unwrap_or_default());
    let name = container.to_owned();
    let is_running = move || {
        let entry = pods.by_uid(&uid);
        let runs = entry.as_ref().and_then(|e| e.instances.get(&name));
        runs.into_iter()
            .flatten()
            .any(|run| run.id == id && run.state == crate::runtime::messages::ContainerState::Running)
    };
    let follow: Option<Box<dyn Fn() -> bool + Send + Sync>> =
        if options.follow { Some(Box::new(is_running)) } else { None };
    tokio::spawn(reader.send(printer, follow, sender));
    let pieces = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let frames = futures_util::StreamExt::map(pieces, |piece: io::Result<Bytes>| piece.map(Frame::data));
    let body: Body = StreamBody::new(frames).boxed_unsync();
    let mut answer = respond::text(200, "");
    *answer.body_mut() = body;
    answer
}

impl Options {
    pub(super) fn read(query: &Query, now: Timestamp) -> Result<Self, (u16, &'static str)> {
        const UNREADABLE: (u16, &str) = (400, "Unable to decode query.");
        const INVALID: (u16, &str) = (422, "Invalid request.");
        let number = |key: &str| -> Result<Option<i64>, (u16, &'static str)> {
            query.get(key).map(|v| v.parse().map_err(|_| UNREADABLE)).transpose()
        };
        let at_least = |n: Option<i64>, min: i64| match n {
            Some(n) if n < min => Err(INVALID),
            n => Ok(n.and_then(|n| u64::try_from(n).ok())),
        };
        let seconds = at_least(number("sinceSeconds")?, 1)?;
        let time = query.get("sinceTime").filter(|t| !t.is_empty());
        let time = time.map(|t| t.parse::<Timestamp>().map_err(|_| UNREADABLE)).transpose()?;
        if time.is_some() && seconds.is_some() || query.get("stream").is_some_and(|s| s != "All") {
            return Err(INVALID);
        }
        let ago = |s: u64| now.checked_sub(SignedDuration::from_secs(i64::try_from(s).unwrap_or(i64::MAX)));
        Ok(Self {
            follow: query.is("follow"),
            previous: query.is("previous"),
            timestamps: query.is("timestamps"),
            // So long ago that there is no such time is from the beginning.
            since: time.or_else(|| seconds.and_then(|s| ago(s).ok())),
            tail_lines: at_least(number("tailLines")?, 0)?,
            limit_bytes: at_least(number("limitBytes")?, 1)?,
        })
    }
}

fn has_container(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    containers.any(|c| c.name == name) || spec.ephemeral_containers.iter().flatten().any(|c| c.name == name)
}

/// The runtime's id of the run whose log is meant (`validateContainerLogStatus`).
fn run(entry: &Entry, container: &str, previous: bool) -> Result<String, String> {
    let pod = entry.pod.metadata.name.as_deref().unwrap_or_default();
    let says = |what: &str| Err(format!("container {container:?} in pod {pod:?} is {what}"));
    let status = entry.pod.status.clone().unwrap_or_default();
    let all =
        [status.container_statuses, status.init_container_statuses, status.ephemeral_container_statuses];
    let found = all.into_iter().flatten().flatten().find(|s| s.name == container);
    let Some(ContainerStatus { state, last_state, container_id, .. }) = found else {
        return says("not available");
    };
    let bare = |id: &str| id.split_once("://").map_or(id, |(_, id)| id).to_owned();
    let last = last_state.and_then(|s| s.terminated).map(|t| t.container_id.unwrap_or_default());
    let last_id = last.as_deref().filter(|id| !id.is_empty());
    if previous {
        let missing = || format!("previous terminated container {container:?} in pod {pod:?} not found");
        return last_id.map(bare).ok_or_else(missing);
    }
    let state = state.unwrap_or_default();
    if state.running.is_some() {
        return Ok(bare(container_id.as_deref().unwrap_or_default()));
    }
    if let Some(terminated) = state.terminated {
        let own = terminated.container_id.filter(|id| !id.is_empty());
        return own.as_deref().or(last_id).map_or_else(|| says("terminated"), |id| Ok(bare(id)));
    }
    if last.is_some() {
        return last_id.map_or_else(|| says("terminated"), |id| Ok(bare(id)));
    }
    match state.waiting.map(|w| w.reason.unwrap_or_default()) {
        Some(reason) => match reason.as_str() {
            "ErrImagePull" => says("waiting to start: image can't be pulled"),
            "ImagePullBackOff" => says("waiting to start: trying and failing to pull image"),
            reason => says(&format!("waiting to start: {reason}")),
        },
        None => says("waiting to start - no logs yet"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn options_of_queries() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let read = |text: &str| Options::read(&Query::parse(Some(text)), now);
        assert_eq!(read(""), Ok(Options::default()));
        let since = "2026-01-01T00:00:00Z".parse().ok();
        assert_eq!(
            read("sinceSeconds=60&follow=true"),
            Ok(Options { follow: true, since, ..Options::default() })
        );
        assert_eq!(read("sinceTime=2026-01-01T01:00:00%2B01:00").map(|o| o.since), Ok(since));
        assert_eq!(
            read("tailLines=0&limitBytes=1").map(|o| (o.tail_lines, o.limit_bytes)),
            Ok((Some(0), Some(1)))
        );
        for (text, code) in [
            ("tailLines=-1", 422),
            ("limitBytes=0", 422),
            ("sinceSeconds=0", 422),
            ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422),
            ("tailLines=x", 400),
            ("sinceTime=yesterday", 400),
        ] {
            assert_eq!(read(text).map_err(|(code, _)| code), Err(code), "{text}");
        }
    }

    #[test]
    fn which_run() {
        let check = |state: serde_json::Value, last: serde_json::Value, previous: bool| {
            let status = json!({"containerStatuses": [{"name": "c", "image": "i", "imageID": "i", "ready": true,
                "restartCount": 0, "containerID": "containerd://now", "state": state, "lastState": last}]});
            let pod = json!({"metadata": {"name": "p"}, "status": status});
            let pod = Arc::new(serde_json::from_value(pod).unwrap());
            run(&Entry { pod, sandbox: None, instances: Default::default() }, "c", previous)
        };
        let ended = |id: &str| json!({"terminated": {"exitCode": 0, "containerID": id}});
        assert_eq!(check(json!({"running": {}}), json!({}), false), Ok("now".into()));
        assert_eq!(check(json!({"running": {}}), ended("containerd://old"), true), Ok("old".into()));
        assert_eq!(check(ended("containerd://x"), json!({}), false), Ok("x".into()));
        assert_eq!(check(ended(""), ended("containerd://old"), false), Ok("old".into()));
        assert_eq!(
            check(json!({"waiting": {"reason": "CrashLoopBackOff"}}), ended("a://old"), false),
            Ok("old".into())
        );
        for (state, last, previous, want) in [
            (
                json!({"running": {}}),
                json!({}),
                true,
                "previous terminated container \"c\" in pod \"p\" not found",
            ),
            (ended(""), json!({}), false, "container \"c\" in pod \"p\" is terminated"),
            (json!({}), json!({}), false, "container \"c\" in pod \"p\" is waiting to start - no logs yet"),
            (
                json!({"waiting": {"reason": "ContainerCreating"}}),
                json!({}),
                false,
                "container \"c\" in pod \"p\" is waiting to start: ContainerCreating",
            ),
            (
                json!({"waiting": {"reason": "ImagePullBackOff"}}),
                json!({}),
                false,
                "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image",
            ),
        ] {
            assert_eq!(check(state, last, previous), Err(want.to_owned()));
        }
    }
}
