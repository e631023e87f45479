//! `/openapi/v2` and `/openapi/v3`: documents about what is served.
//!
//! A document is made when it is first asked for, and its bytes are dropped some minutes after the last
//! request, since idle memory counts. What stays are the hashes and since when they hold, by which clients know that
//! theirs are still good.
//!
//! Upstream: `k8s.io/kube-openapi/pkg/handler` and `handler3`, `k8s.io/kube-aggregator/pkg/controllers/openapiv3`.

use crate::aggregation::Merged;
use crate::body::ResponseBody;
use crate::call::Call;
use crate::content::{Content, add, date};
use crate::reply::Reply;
use crate::resource::Registry;
use bytes::Bytes;
use http::header;
use jiff::Timestamp;
use meta::status::Status;
use openapi::{Kind, gnostic};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use value::{Value, json};

const JSON: &str = "application/json";
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V3_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
/// The name of the document of version 2 among those of version 3.
const V2: &str = "v2";
/// How long a document stays after its last request.
const KEPT: Duration = Duration::from_secs(120);
/// How many bytes of documents stay at most, but for the one that was asked for last.
const BYTES_MAX: usize = 12 << 20;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Json,
    Protobuf,
}

/// What is known of the documents. It is a function of the registry alone, and remembers which.
#[derive(Default)]
struct State {
    registry: Weak<Registry>,
    versions: HashMap<String, Version>,
    documents: HashMap<(String, Form), Document>,
    sweeping: bool,
}

/// By what clients know a document again.
#[derive(Clone, Debug)]
struct Version {
    hash: String,
    /// Since when the document is so, as far as is known.
    since: Timestamp,
}

impl Version {
    fn new(hash: String) -> Self {
        Self { hash, since: Timestamp::now() }
    }

    /// The entity tag.
    fn tag(&self) -> String {
        format!("\"{}\"", self.hash)
    }

    fn content(self, media: &'static str, bytes: Bytes) -> Content {
        Content { media, bytes, tag: self.tag(), modified: self.since }
    }
}

struct Document {
    bytes: Bytes,
    used: Instant,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

/// Answers requests for documents; `None` if the path is something else.
pub(crate) async fn answer(call: &Call) -> Option<Result<Reply, Status>> {
    let path = call.path.strip_prefix("/openapi/")?;
    Some(Ok(match path {
        "v2" => v2(call).await,
        "v3" => index(call).await,
        _ => match path.strip_prefix("v3/") {
            Some(name) => v3(call, name).await,
            None => Reply::no_such_path(),
        },
    }))
}

async fn v2(call: &Call) -> Reply {
    let mut reply = v2_document(call).await;
    // Upstream compresses this one only.
    add(&mut reply, header::VARY, "Accept-Encoding");
    add(&mut reply, header::VARY, "Accept");
    reply
}

async fn v2_document(call: &Call) -> Reply {
    let Some(form) = negotiate(call.accept(), "v2") else { return empty(406) };
    let registry = call.api.registry.load_full();
    let others = Merged::of(&call.api).and_then(|merged| merged.openapi_v2());
    let made = run(registry, move |state, registry| {
        let kinds = kinds(registry);
        let Some((name, parts)) = others else { return state.document(&kinds, V2, form) };
        state.document_of(&format!("{V2}+{name}"), form, || {
            let mut document = tree(&kinds, V2)?;
            parts.merge(&mut document);
            Some(document)
        })
    });
    let Some((bytes, version)) = made.await else { return not_found() };
    let media = if form == Form::Json { JSON } else { V2_PROTOBUF };
    version.content(media, bytes).reply(call)
}

async fn v3(call: &Call, name: &str) -> Reply {
    let mut reply = match negotiate(call.accept(), "v3") {
        None => empty(406),
        Some(_) if name.starts_with(V2) => return not_found(),
        Some(form) => match document(call, name, form).await {
            Some((bytes, version)) => v3_document(call, name, form, bytes, version),
            None => return not_found(),
        },
    };
    add(&mut reply, header::VARY, "Accept");
    reply
}

fn v3_document(call: &Call, name: &str, form: Form, bytes: Bytes, version: Version) -> Reply {
    let media = if form == Form::Json { JSON } else { V3_PROTOBUF };
    let asked = call.query.get("hash").unwrap_or_default();
    if !asked.is_empty() && asked != version.hash {
        let mut reply = Reply { content_type: media, ..empty(301) };
        add(&mut reply, header::LOCATION, &url(name, &version.hash));
        add(&mut reply, header::ETAG, &version.tag());
        return reply;
    }
    let mut reply = version.content(media, bytes).reply(call);
    if !asked.is_empty() {
        add(&mut reply, header::CACHE_CONTROL, "public, immutable");
        let year = jiff::SignedDuration::from_hours(365 * 24);
        if let Ok(expires) = Timestamp::now().checked_add(year) {
            // Upstream's zone, which is not that of other dates in headers.
            add(&mut reply, header::EXPIRES, &date(expires, "UTC"));
        }
    }
    reply
}

/// `/openapi/v3`: all documents with their hashes.
async fn index(call: &Call) -> Reply {
    let registry = call.api.registry.load_full();
    let hashes = run(registry, |state, registry| {
        let kinds = kinds(registry);
        let names = openapi::paths(&kinds);
        for name in &names {
            state.hash(&kinds, name);
        }
        let hash_of = |name: String| state.versions.get(&name).map(|v| (name, v.hash.clone()));
        names.into_iter().filter_map(hash_of).collect()
    });
    let hashes: Vec<(String, String)> = hashes.await;
    let own = hashes.into_iter().map(|(name, hash)| {
        let url = url(&name, &hash);
        (name, url)
    });
    let merged = Merged::of(&call.api);
    let mut paths = Value::object();
    for (name, url) in own.chain(merged.iter().flat_map(Merged::openapi)) {
        let mut entry = Value::object();
        entry.set("serverRelativeURL", url);
        paths.set(&name, entry);
    }
    let mut out = Value::object();
    out.set("paths", paths);
    // Upstream does not say what it is, so that it is taken for text, and made anew.
    let media = "text/plain; charset=utf-8";
    let bytes = json::to_vec(&out).into();
    Content { media, bytes, tag: String::new(), modified: Timestamp::now() }.reply(call)
}

fn url(name: &str, hash: &str) -> String {
    format!("/openapi/v3/{name}?hash={hash}")
}

fn not_found() -> Reply {
    empty(404)
}

fn empty(code: u16) -> Reply {
    Reply { code, content_type: "", body: ResponseBody::empty(), headers: Vec::new() }
}

/// The form that the client likes best of those there are.
fn negotiate(accept: Option<&str>, version: &str) -> Option<Form> {
    let accept = accept.filter(|a| !a.is_empty()).unwrap_or("*/*");
    let mut clauses: Vec<(f32, &str)> = accept
        .split(',')
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let quality = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok());
            (quality.unwrap_or(1.0), media)
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.into_iter().find_map(|(_, media)| {
        let (main, sub) = media.split_once('/').unwrap_or((media, "*"));
        if !matches!(main, "application" | "*") {
            return None;
        }
        let protobuf =
            sub.strip_prefix("com.github.proto-openapi.spec.").and_then(|s| s.strip_prefix(version));
        match (sub, protobuf) {
            ("json" | "*", _) => Some(Form::Json),
            (_, Some("@v1.0+protobuf" | ".v1.0+protobuf")) => Some(Form::Protobuf),
            _ => None,
        }
    })
}

/// The kinds of a registry.
fn kinds(registry: &Registry) -> Vec<Kind<'_>> {
    let kind = registry.iter().map(|served| {
        let custom = served.codec.custom();
        Kind {
            row: &served.row,
            schema: custom.and_then(|c| c.here()).and_then(|version| version.json.as_deref()),
            preserves_unknown: custom.is_some_and(|c| c.all.preserve_unknown),
        }
    });
    kind.collect()
}

/// The bytes of a document, and their version.
async fn document(call: &Call, name: &str, form: Form) -> Option<(Bytes, Version)> {
    let registry = call.api.registry.load_full();
    let name = name.to_owned();
    run(registry, move |state, registry| state.document(&kinds(registry), &name, form)).await
}

/// Does what takes a while where it holds up nobody, one at a time.
async fn run<T: Default + Send + 'static>(
    registry: Arc<Registry>,
    work: impl FnOnce(&mut State, &Registry) -> T + Send + 'static,
) -> T {
    let mut state = STATE.lock().await;
    if !std::ptr::eq(state.registry.as_ptr(), Arc::as_ptr(&registry)) {
        state.registry = Arc::downgrade(&registry);
        // Only custom resources come and go.
        let built_in: Vec<Kind<'_>> =
            kinds(&registry).into_iter().filter(|k| !k.row.go_type.is_empty()).collect();
        let same = openapi::paths(&built_in);
        state.versions.retain(|name, _| same.contains(name));
        state.documents.retain(|(name, _), _| same.contains(name));
    }
    let done = tokio::task::spawn_blocking(move || {
        let out = work(&mut state, &registry);
        sweep(&mut state);
        out
    });
    done.await.unwrap_or_default()
}

/// Drops documents once nobody asks for them any more.
fn sweep(state: &mut State) {
    if state.sweeping || state.documents.is_empty() {
        return;
    }
    state.sweeping = true;
    tokio::spawn(async {
        loop {
            tokio::time::sleep(KEPT / 2).await;
            let mut state = STATE.lock().await;
            state.documents.retain(|_, d| d.used.elapsed() < KEPT);
            if state.documents.is_empty() {
                state.documents.shrink_to_fit();
                state.sweeping = false;
                return;
            }
        }
    });
}

impl State {
    fn document(&mut self, kinds: &[Kind<'_>], name: &str, form: Form) -> Option<(Bytes, Version)> {
        self.document_of(name, form, || tree(kinds, name))
    }

    fn document_of(
        &mut self,
        name: &str,
        form: Form,
        make: impl FnOnce() -> Option<Value>,
    ) -> Option<(Bytes, Version)> {
        let key = (name.to_owned(), form);
        if let Some(document) = self.documents.get_mut(&key) {
            document.used = Instant::now();
            return Some((document.bytes.clone(), self.versions.get(name)?.clone()));
        }
        let tree = make()?;
        // What others said before is of no use any more.
        let is_merged = |name: &str| name.len() > V2.len() && name.starts_with(V2);
        if is_merged(name) {
            self.versions.retain(|other, _| other == name || !is_merged(other));
        }
        let bytes = match form {
            Form::Json => json::to_vec(&tree),
            Form::Protobuf if name.starts_with(V2) => gnostic::v2(&tree),
            Form::Protobuf => gnostic::v3(&tree),
        };
        let version = match self.versions.get(name) {
            Some(version) => version.clone(),
            None => {
                // The hash is that of the JSON, whatever is asked for.
                let hash = if form == Form::Json { digest(&bytes) } else { digest(&json::to_vec(&tree)) };
                let version = Version::new(hash);
                self.versions.insert(name.to_owned(), version.clone());
                version
            }
        };
        let bytes = Bytes::from(bytes);
        self.make_room(bytes.len());
        self.documents.insert(key, Document { bytes: bytes.clone(), used: Instant::now() });
        Some((bytes, version))
    }

    fn hash(&mut self, kinds: &[Kind<'_>], name: &str) {
        if !self.versions.contains_key(name)
            && let Some(tree) = tree(kinds, name)
        {
            self.versions.insert(name.to_owned(), Version::new(digest(&json::to_vec(&tree))));
        }
    }

    /// Drops what was asked for longest ago until so much more fits.
    fn make_room(&mut self, more: usize) {
        let mut total: usize = self.documents.values().map(|d| d.bytes.len()).sum();
        while total.saturating_add(more) > BYTES_MAX {
            let Some(oldest) = self.documents.iter().min_by_key(|(_, d)| d.used).map(|(k, _)| k.clone())
            else {
                return;
            };
            if let Some(document) = self.documents.remove(&oldest) {
                total = total.saturating_sub(document.bytes.len());
            }
        }
    }
}

fn tree(kinds: &[Kind<'_>], name: &str) -> Option<Value> {
    if name == V2 { Some(openapi::v2(kinds)) } else { openapi::v3(kinds, name) }
}

fn digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes);
    let mut out = String::with_capacity(2 * digest.as_ref().len());
    for byte in digest.as_ref() {
        let _ = write!(out, "{byte:02X}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let check = |accept, version, form| assert_eq!(negotiate(accept, version), form, "{accept:?}");
        check(None, "v3", Some(Form::Json));
        check(Some("*/*"), "v2", Some(Form::Json));
        check(Some("application/json"), "v3", Some(Form::Json));
        check(Some("application/com.github.proto-openapi.spec.v3@v1.0+protobuf"), "v3", Some(Form::Protobuf));
        check(Some("application/com.github.proto-openapi.spec.v3.v1.0+protobuf"), "v3", Some(Form::Protobuf));
        check(Some("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"), "v3", None);
        check(
            Some("application/json;q=0.5, application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
            "v2",
            Some(Form::Protobuf),
        );
        check(Some("text/plain"), "v3", None);
    }
}
