//! `corten status`: what runs, whether the API and the node are ready, when certificates lapse.

use crate::by_hand;
use crate::containerd::{leftover_shims, running};
use crate::doctor::{self, Check, Outcome, Room, size};
use crate::layout::Layout;
use crate::processes::Identity;
use crate::supervisor::{self, Stage, State};
use client::{Client, Kubeconfig};
use pki::Certificate;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An API server that does not answer in this time is not ready.
const API_PATIENCE: Duration = Duration::from_secs(5);
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The server renews its certificates long before; who sees fewer days should look why it did not.
const LAPSES_SOON_DAYS: i64 = 30;

/// How an instance fares.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its root.
    pub root: PathBuf,
    /// Corten's version, while it runs.
    pub version: Option<String>,
    /// Supervisor, children and containerd, as far as they run.
    pub processes: Vec<ProcessStatus>,
    /// What should run as well: it has ended, and is started again after a while.
    pub missing: Vec<Missing>,
    /// How long the start took, stage by stage.
    pub stages: Vec<Stage>,
    /// Shims: one for each pod.
    pub pods: usize,
    /// The API server.
    pub api: ApiStatus,
    /// This machine's node, if it runs and has no Node object.
    pub unregistered: Option<Unregistered>,
    /// What is wrong with the root's file system.
    pub disk: Option<Check>,
    /// When each certificate ends, the first first.
    pub certificates: Vec<CertificateStatus>,
}

/// One process.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessStatus {
    /// Its name.
    pub name: String,
    /// Its number.
    pub pid: i32,
    /// Seconds since its start.
    pub uptime_seconds: u64,
    /// Proportional set size.
    pub memory_bytes: Option<u64>,
    /// Whether it said that it is ready.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// What it last said about itself.
    pub said: String,
    /// Whether a signal keeps it from going on.
    pub stopped: bool,
}

/// A process that the supervisor is to keep running, and that does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// How often it was started again.
    pub restarts: u32,
    /// Where it tells why it ends.
    pub log: PathBuf,
}

/// What the API server answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ApiStatus {
    /// Why it is not ready; nothing if it is.
    pub error: Option<String>,
    /// Its version, `v1.36.0`.
    pub version: Option<String>,
    /// The cluster's nodes.
    pub nodes: Vec<NodeStatus>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Condition Ready.
    pub ready: bool,
    /// Its kubelet's version.
    pub version: String,
    /// The condition's message, if it is not ready.
    pub message: String,
    /// What it lacks, such as `DiskPressure`: it takes no more pods, or not all.
    pub pressures: Vec<String>,
}

/// A node that runs and that the cluster does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unregistered {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: i32,
}

/// A certificate in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CertificateStatus {
    /// Days until it lapses; negative if it has.
    pub days: i64,
    /// Where it is.
    pub file: PathBuf,
}

impl Status {
    /// Asks around. `now` is in Unix seconds, `own_node` the name of this machine's node.
    pub fn collect(layout: &Layout, room: Room, own_node: &str, now: i64) -> Self {
        let holder = supervisor::holder(layout);
        let state = State::read(layout).filter(|s| Some(s.supervisor) == holder);
        let (mut processes, mut missing) = (Vec::new(), Vec::new());
        processes
            .extend(holder.and_then(|identity| process(supervisor::name(identity), identity, true, 0, "")));
        for child in state.iter().flat_map(|s| &s.processes) {
            let found = child
                .identity
                .and_then(|i| process(&child.name, i, child.ready, child.restarts, &child.said));
            if found.is_none() && child.restarts > 0 {
                let log = layout.log_file(&child.name);
                missing.push(Missing { name: child.name.clone(), restarts: child.restarts, log });
            }
            processes.extend(found);
        }
        if !processes.iter().any(|p| p.name == CONTAINERD)
            && let Some(identity) = running(layout)
        {
            processes.extend(process(CONTAINERD, identity, true, 0, ""));
        }
        let api = ask_api(&layout.admin_kubeconfig);
        let found_by_hand = by_hand::find(layout);
        let is_ready = api.error.is_none();
        processes.extend(found_by_hand.iter().filter_map(|found| {
            let is_ready = is_ready || found.part != SERVER;
            process(found.part, found.process.identity, is_ready, 0, BY_HAND)
        }));
        Self {
            unregistered: unregistered(&processes, &api, own_node),
            root: layout.root.clone(),
            version: state.as_ref().map(|s| s.version.clone()),
            processes,
            missing,
            stages: state.map(|s| s.stages).unwrap_or_default(),
            pods: leftover_shims(layout).len(),
            api,
            disk: Some(doctor::disk(room, &layout.root)).filter(|check| check.outcome != Outcome::Good),
            certificates: certificates(layout, now),
        }
    }

    /// Whether everything that should run does.
    pub fn is_healthy(&self) -> bool {
        (self.version.is_some() || self.is_server_alone())
            && self.api.error.is_none()
            && self.unregistered.is_none()
            && self.disk.is_none()
            && self.missing.is_empty()
            && !self.processes.iter().any(|process| process.stopped)
            && self.api.nodes.iter().all(|n| n.ready && n.pressures.is_empty())
    }

    /// Whether no supervisor runs, but a server that somebody started by hand.
    fn is_server_alone(&self) -> bool {
        self.version.is_none() && self.processes.iter().any(|process| process.name == SERVER)
    }
}

const CONTAINERD: &str = "containerd";
const SERVER: &str = "server";
/// What is told of a server that no supervisor started.
const BY_HAND: &str = "started by hand";
/// The process of the kubelet.
const NODE: &str = "node";

/// A node registers when it starts; one that has told that it is ready had an object.
fn unregistered(processes: &[ProcessStatus], api: &ApiStatus, own_node: &str) -> Option<Unregistered> {
    // One that somebody started by hand may have another name.
    let is_own = |process: &&ProcessStatus| process.name == NODE && process.said != BY_HAND;
    let node = processes.iter().filter(is_own).find(|process| process.ready)?;
    let is_unknown = api.error.is_none() && !api.nodes.iter().any(|known| known.name == own_node);
    is_unknown.then(|| Unregistered { name: own_node.to_owned(), pid: node.pid })
}

fn process(name: &str, identity: Identity, ready: bool, restarts: u32, said: &str) -> Option<ProcessStatus> {
    let process = identity.process()?;
    Some(ProcessStatus {
        name: name.to_owned(),
        pid: identity.pid,
        uptime_seconds: process.age().as_secs(),
        memory_bytes: process.memory(),
        ready,
        restarts,
        said: said.to_owned(),
        stopped: matches!(process.state, 'T' | 't'),
    })
}

fn ask_api(kubeconfig: &Path) -> ApiStatus {
    if !kubeconfig.exists() {
        return ApiStatus {
            error: Some(format!("there is no {} yet", kubeconfig.display())),
            ..ApiStatus::default()
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = async {
        let client = Client::from_kubeconfig(kubeconfig, "corten-status").map_err(|e| e.to_string())?;
        let get =
            async |path: &str| client.raw(http::Method::GET, path, None).await.map_err(|e| e.to_string());
        if let Err(error) = get("/readyz").await {
            return Err(failed_checks(&client).await.unwrap_or(error));
        }
        let json = |bytes: bytes::Bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string());
        let version: serde_json::Value = json(get("/version").await?)?;
        let nodes: serde_json::Value = json(get("/api/v1/nodes").await?)?;
        let version = version["gitVersion"].as_str().map(str::to_owned);
        Ok::<_, String>(ApiStatus { error: None, version, nodes: parse_nodes(&nodes) })
    };
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let late = || Err(format!("no answer in {} s", API_PATIENCE.as_secs()));
            tokio::time::timeout(API_PATIENCE, asked).await.unwrap_or_else(|_| late())
        }),
        Err(error) => Err(format!("cannot start the async runtime: {error}")),
    };
    answer.unwrap_or_else(|error| ApiStatus { error: Some(error), ..ApiStatus::default() })
}

/// Which checks of readiness fail, and why. The answer to all of them withholds why, and names those that pass.
async fn failed_checks(client: &Client) -> Option<String> {
    let paths = client.raw(http::Method::GET, "/", None).await.ok()?;
    let paths: serde_json::Value = serde_json::from_slice(&paths).ok()?;
    let mut failed = Vec::new();
    for path in paths["paths"].as_array()?.iter().filter_map(serde_json::Value::as_str) {
        let Some(name) = path.strip_prefix("/readyz/") else { continue };
        if let Err(error) = client.raw(http::Method::GET, path, None).await {
            let text = error.unexpected().map_or_else(|| error.to_string(), str::to_owned);
            failed.push(format!("{name}: {}", text.strip_prefix("internal server error: ").unwrap_or(&text)));
        }
    }
    (!failed.is_empty()).then(|| failed.join("; "))
}

fn parse_nodes(list: &serde_json::Value) -> Vec<NodeStatus> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let node = |node: &serde_json::Value| {
        let conditions = node["status"]["conditions"].as_array();
        let ready = conditions.and_then(|c| c.iter().find(|c| c["type"] == "Ready"));
        // All others tell of something that is amiss.
        let amiss = |c: &&serde_json::Value| c["type"] != "Ready" && c["status"] == "True";
        let is_ready = ready.is_some_and(|c| c["status"] == "True");
        NodeStatus {
            name: text(&node["metadata"]["name"]),
            ready: is_ready,
            version: text(&node["status"]["nodeInfo"]["kubeletVersion"]),
            message: ready.filter(|_| !is_ready).map(|c| text(&c["message"])).unwrap_or_default(),
            pressures: conditions.into_iter().flatten().filter(amiss).map(|c| text(&c["type"])).collect(),
        }
    };
    list["items"].as_array().into_iter().flatten().map(node).collect()
}

/// All certificates of the instance: those below `pki`, the kubelet's, and those inside kubeconfigs.
fn certificates(layout: &Layout, now: i64) -> Vec<CertificateStatus> {
    let mut found = Vec::new();
    let mut add = |file: &Path, pem: &str| {
        let ends = Certificate::all_from_pem(pem).ok().and_then(|all| all.iter().map(|c| c.not_after).min());
        found.extend(ends.map(|end| CertificateStatus {
            days: (end - now).div_euclid(DAY_SECONDS),
            file: file.to_owned(),
        }));
    };
    for directory in [&layout.pki_dir, &layout.kubelet_dir.join("pki")] {
        for file in files(directory) {
            let is_certificate = matches!(file.extension().and_then(|e| e.to_str()), Some("crt" | "pem"));
            if is_certificate && let Ok(pem) = std::fs::read_to_string(&file) {
                add(&file, &pem);
            }
        }
    }
    for file in files(&layout.root) {
        let is_kubeconfig = matches!(file.extension().and_then(|e| e.to_str()), Some("conf" | "kubeconfig"));
        if is_kubeconfig
            && let Some((certificate, _key)) = Kubeconfig::read(&file).ok().and_then(|k| k.identity)
        {
            add(&file, &String::from_utf8_lossy(&certificate));
        }
    }
    found.sort();
    found
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.is_file()).collect()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root.display();
        match &self.version {
            Some(version) => writeln!(f, "Corten {version} on {root}")?,
            None if self.is_server_alone() => writeln!(f, "Corten on {root}, only as `corten server`")?,
            None => writeln!(f, "Corten does not run on {root}")?,
        }
        for process in &self.processes {
            let memory = process.memory_bytes.map(size).unwrap_or_default();
            let mut notes = vec![match (process.stopped, process.ready) {
                (true, _) => format!("stopped by a signal (kill -CONT {} lets it go on)", process.pid),
                (false, true) => "ready".to_owned(),
                (false, false) => "starting".to_owned(),
            }];
            if process.restarts > 0 {
                notes.push(restarts(process.restarts));
            }
            notes.extend((!process.said.is_empty()).then(|| process.said.clone()));
            writeln!(
                f,
                "{:<14}process {:<8}up {:<10}{:>10}  {}",
                process.name,
                process.pid,
                duration(process.uptime_seconds),
                memory,
                notes.join(", ")
            )?;
        }
        for Missing { name, restarts: count, log } in &self.missing {
            writeln!(
                f,
                "{name:<14}not running, {}: it ends and is started again; why, stands in {}",
                restarts(*count),
                log.display()
            )?;
        }
        if self.pods > 0 {
            writeln!(f, "{:<14}{}", "pods", self.pods)?;
        }
        match &self.api.error {
            None => writeln!(
                f,
                "{:<14}ready, {}",
                "API",
                self.api.version.as_deref().unwrap_or("of unknown version")
            )?,
            Some(error) => writeln!(f, "{:<14}not ready: {error}", "API")?,
        }
        for node in &self.api.nodes {
            let mut state =
                if node.ready { "Ready".to_owned() } else { format!("NotReady: {}", node.message) };
            for pressure in &node.pressures {
                state += &format!(", {pressure}");
            }
            writeln!(f, "{:<14}{} {} {state}", "node", node.name, node.version)?;
        }
        if let Some(Unregistered { name, pid }) = &self.unregistered {
            writeln!(
                f,
                "{:<14}{name} has no Node object: somebody deleted it\n{:<14}→ kill {pid}: the node starts again and \
                 registers; containers run on",
                "node", ""
            )?;
        }
        if let Some(Check { name, found, advice, .. }) = &self.disk {
            writeln!(f, "{name:<14}{found}\n{:<14}→ {advice}", "")?;
        }
        for (place, certificate) in self.certificates.iter().enumerate() {
            // The first to lapse says how it stands; more only if they need somebody.
            if place > 0 && certificate.days >= LAPSES_SOON_DAYS {
                break;
            }
            let file = certificate.file.strip_prefix(&self.root).unwrap_or(&certificate.file).display();
            match certificate.days {
                days if days < 0 => writeln!(f, "{:<14}{file} LAPSED {} days ago", "certificate", -days)?,
                days => writeln!(f, "{:<14}{file} lapses in {days} days", "certificate")?,
            }
        }
        Ok(())
    }
}

fn restarts(count: u32) -> String {
    format!("{count} restart{}", if count == 1 { "" } else { "s" })
}

fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s}s"),
        (0, h, m, _) => format!("{h}h{m}m"),
        (d, h, _, _) => format!("{d}d{h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    fn status() -> Status {
        let process = |name: &str, pid, uptime_seconds, restarts| ProcessStatus {
            name: name.into(),
            pid,
            uptime_seconds,
            memory_bytes: Some(33 << 20),
            ready: restarts == 0,
            restarts,
            said: if restarts == 0 { String::new() } else { "waits for the API".into() },
            stopped: false,
        };
        let certificate = |file: &str, days| CertificateStatus { days, file: file.into() };
        Status {
            root: "/var/lib/corten".into(),
            version: Some("0.1.0".into()),
            processes: vec![process("supervisor", 1, 90_061, 0), process("node", 12_345, 59, 2)],
            missing: vec![],
            stages: vec![],
            pods: 3,
            api: ApiStatus {
                error: None,
                version: Some("v1.36.0".into()),
                nodes: parse_nodes(&json!({"items": [
                    {"metadata": {"name": "a"}, "status": {"nodeInfo": {"kubeletVersion": "v1.36.0"},
                        "conditions": [{"type": "DiskPressure", "status": "True"}, {"type": "PIDPressure", "status": "False"},
                            {"type": "Ready", "status": "True", "message": "fine"}]}},
                    {"metadata": {"name": "b"}, "status": {
                        "conditions": [{"type": "Ready", "status": "Unknown", "message": "it went away"}]}},
                    {},
                ]})),
            },
            unregistered: None,
            disk: None,
            certificates: vec![
                certificate("/var/lib/corten/pki/a.crt", -2),
                certificate("/var/lib/kubelet/pki/b.crt", 29),
                certificate("/var/lib/corten/pki/c.crt", 300),
            ],
        }
    }

    #[test]
    fn for_people() {
        let mut status = status();
        expect![[r#"
            Corten 0.1.0 on /var/lib/corten
            supervisor    process 1       up 1d1h        33.0 MiB  ready
            node          process 12345   up 59s         33.0 MiB  starting, 2 restarts, waits for the API
            pods          3
            API           ready, v1.36.0
            node          a v1.36.0 Ready, DiskPressure
            node          b  NotReady: it went away
            node            NotReady: 
            certificate   pki/a.crt LAPSED 2 days ago
            certificate   /var/lib/kubelet/pki/b.crt lapses in 29 days
        "#]]
        .assert_eq(&status.to_string());
        assert!(!status.is_healthy());

        status.processes[1].ready = true;
        status.api.nodes.truncate(1);
        assert!(!status.is_healthy(), "the node has disk pressure");
        status.api.nodes[0].pressures.clear();
        assert!(status.is_healthy());
        assert_eq!(unregistered(&status.processes, &status.api, "a"), None);
        status.unregistered = unregistered(&status.processes, &status.api, "m");
        let room = Room { free: 1 << 30, total: 20 << 30, is_short: true };
        status.disk = Some(doctor::disk(room, &status.root));
        let text = status.to_string();
        let lines: Vec<&str> = text.lines().skip(4).take(6).collect();
        expect![[r#"
            API           ready, v1.36.0
            node          a v1.36.0 Ready
            node          m has no Node object: somebody deleted it
                          → kill 12345: the node starts again and registers; containers run on
            disk          1.0 GiB of 20.0 GiB free at /var/lib/corten
                          → make room: where little is free no pods are placed (--eviction-hard says how little), and a full disk takes no writes"#]]
        .assert_eq(&lines.join("\n"));
        assert!(!status.is_healthy());
        status.processes[1].ready = false;
        assert_eq!(unregistered(&status.processes, &status.api, "m"), None, "it has not registered yet");

        status.unregistered = None;
        assert!(!status.is_healthy(), "the disk is short");
        status.disk = None;
        status.version = None;
        status.processes.clear();
        status.pods = 0;
        status.api = ApiStatus { error: Some("no answer in 5 s".into()), ..ApiStatus::default() };
        status.certificates.drain(..2);
        expect![[r#"
            Corten does not run on /var/lib/corten
            API           not ready: no answer in 5 s
            certificate   pki/c.crt lapses in 300 days
        "#]]
        .assert_eq(&status.to_string());

        status.api = ApiStatus { version: Some("v1.36.0".into()), ..ApiStatus::default() };
        assert!(!status.is_healthy(), "somebody else answers");
        status.processes.push(ProcessStatus {
            name: SERVER.into(),
            pid: 7,
            uptime_seconds: 1,
            memory_bytes: None,
            ready: true,
            restarts: 0,
            said: BY_HAND.into(),
            stopped: false,
        });
        assert!(status.is_healthy());
        expect![[r#"
            Corten on /var/lib/corten, only as `corten server`
            server        process 7       up 1s                    ready, started by hand
            API           ready, v1.36.0
            certificate   pki/c.crt lapses in 300 days
        "#]]
        .assert_eq(&status.to_string());
    }

    #[test]
    fn what_does_not_run_is_told() {
        let mut status = status();
        status.api.nodes.truncate(1);
        status.api.nodes[0].pressures.clear();
        status.processes[1].ready = true;
        assert!(status.is_healthy());
        status.processes[1].stopped = true;
        assert!(!status.is_healthy());
        status.missing.push(Missing {
            name: SERVER.into(),
            restarts: 1,
            log: "/var/log/corten/server.log".into(),
        });
        let text = status.to_string();
        let lines: Vec<&str> = text.lines().skip(2).take(2).collect();
        expect![[r#"
            node          process 12345   up 59s         33.0 MiB  stopped by a signal (kill -CONT 12345 lets it go on), 2 restarts, waits for the API
            server        not running, 1 restart: it ends and is started again; why, stands in /var/log/corten/server.log"#]]
        .assert_eq(&lines.join("\n"));
        status.processes[1].stopped = false;
        assert!(!status.is_healthy());
    }

    /// Answers as a server whose checks fail but for `ping`.
    struct Failing;

    impl client::Transport for Failing {
        fn send(
            &self,
            request: http::Request<bytes::Bytes>,
        ) -> futures_util::future::BoxFuture<'_, Result<http::Response<client::ByteBody>, client::Error>>
        {
            let (code, text) = match request.uri().path() {
                "/" => (
                    200,
                    r#"{"paths": ["/readyz", "/readyz/ping", "/readyz/etcd", "/readyz/a/b", "/livez/etcd"]}"#,
                ),
                "/readyz/ping" => (200, "ok"),
                "/readyz/etcd" => (500, "internal server error: no room\n"),
                _ => (500, "internal server error: not finished\n"),
            };
            let body: client::ByteBody = Box::pin(futures_util::stream::iter([Ok(text.into())]));
            Box::pin(async move { Ok(http::Response::builder().status(code).body(body).unwrap()) })
        }
    }

    #[test]
    fn only_what_fails_is_told_with_its_reason() {
        let client = Client::new(std::sync::Arc::new(Failing), "test");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let failed = runtime.block_on(failed_checks(&client));
        assert_eq!(failed.as_deref(), Some("etcd: no room; a/b: not finished"));
    }

    #[test]
    fn times() {
        assert_eq!([0, 61, 3_661, 90_061].map(duration), ["0s", "1m1s", "1h1m", "1d1h"]);
    }

    #[test]
    fn nothing_there() {
        let dir = tempfile::tempdir().unwrap();
        let status = Status::collect(&Layout::open(dir.path()).unwrap(), Room::default(), "m", 0);
        assert!(status.processes.is_empty() && status.certificates.is_empty() && !status.is_healthy());
    }
}
