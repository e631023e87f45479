//! Read a collection.
//!
//! `resourceVersion` and `resourceVersionMatch` mean what upstream's table says
//! (kubernetes.io "Resource versions", `k8s.io/apiserver/pkg/storage/etcd3/store.go`); every answer comes
//! from the cache.

use crate::cache::{Page, Query, Selection};
use crate::call::Call;
use crate::reply::Reply;
use crate::resource::{Hub, Served};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use meta::field::{Error, Path};
use meta::gvk::GroupKind;
use meta::options::{WatchList, validate_list_options};
use meta::status::Status;
use meta::{fields, labels};
use std::sync::Arc;
use value::{Str, Value, json};

/// How many objects are put into a form other than their own beside other requests of the connection: a few
/// milliseconds of work. Lists in the form of the cache are made while they are sent.
const ENTRIES_HERE_MAX: usize = 500;

/// The options of a list or watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    pub(crate) selection: Selection,
    pub(crate) resource_version: Str,
    pub(crate) resource_version_match: Str,
    pub(crate) limit: usize,
    pub(crate) continue_token: Str,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
}

/// Reads and checks the query of a list, watch or deletecollection.
pub(crate) fn options(call: &Call, served: &Served, watch: bool) -> Result<ListOptions, Status> {
    let q = &call.query;
    // Upstream goes by the query alone: paths of old that watch need not say so there.
    let watch = watch && (!call.info.legacy_watch || q.bool("watch").unwrap_or(false));
    let mut options = ListOptions {
        resource_version: q.str("resourceVersion"),
        resource_version_match: q.str("resourceVersionMatch"),
        limit: usize::try_from(q.int("limit")?.unwrap_or(0)).unwrap_or(0),
        continue_token: q.str("continue"),
        timeout_seconds: q.int("timeoutSeconds")?,
        bookmarks: q.bool("allowWatchBookmarks").unwrap_or(false),
        send_initial_events: q.bool("sendInitialEvents"),
        ..ListOptions::default()
    };
    if watch
        && options.send_initial_events.is_none()
        && options.resource_version_match.is_empty()
        && matches!(options.resource_version.as_str(), "" | "0")
    {
        // Upstream's `SetListOptionsDefaults`: watches of old begin with the state, too, and are told where
        // it ends if they want bookmarks.
        options.send_initial_events = Some(true);
        options.resource_version_match = "NotOlderThan".into();
    }
    let label_text = q.get("labelSelector").unwrap_or("");
    if !label_text.is_empty() {
        let selector = labels::Selector::parse(label_text).map_err(|e| Status::bad_request(e.to_string()))?;
        options.selection.labels = (!selector.is_everything()).then_some(selector);
    }
    let field_text = q.get("fieldSelector").unwrap_or("");
    let mut selector = None;
    if !field_text.is_empty() {
        selector = Some(fields::Selector::parse(field_text).map_err(|e| Status::bad_request(e.to_string()))?);
    }
    check_versions(call, &options, watch)?;
    if let Some(selector) = selector {
        let known = &served.row.fields;
        let selector = selector
            .transform(|field, value| known.resolve(field).map(|f| (Str::from(f), Str::from(value))))
            .map_err(Status::bad_request)?;
        if let Some(name) = selector.requires_exact_match("metadata.name") {
            options.selection.name = name.into();
        }
        if let Some(namespace) = selector.requires_exact_match("metadata.namespace") {
            options.selection.namespace = namespace.into();
        }
        options.selection.fields = (!selector.is_everything()).then_some(selector);
    }
    if call.info.legacy_watch && !call.info.name.is_empty() {
        if options.selection.fields.is_some() && options.selection.name != call.info.name {
            return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
        }
        options.selection.name = call.info.name.clone();
    }
    // That of a namespace is its own name.
    if served.row.namespaced && !call.info.namespace.is_empty() {
        options.selection.namespace = call.info.namespace.clone();
    }
    Ok(options)
}

/// Upstream's `ValidateListOptions`.
fn check_versions(call: &Call, options: &ListOptions, watch: bool) -> Result<(), Status> {
    let mut tree = Value::object();
    let limit = call.query.int("limit")?.unwrap_or(0);
    if watch {
        tree.set("watch", true);
    }
    if limit != 0 {
        tree.set("limit", limit);
    }
    if options.bookmarks {
        tree.set("allowWatchBookmarks", true);
    }
    if let Some(initial) = options.send_initial_events {
        tree.set("sendInitialEvents", initial);
    }
    for (key, text) in [
        ("resourceVersion", &options.resource_version),
        ("resourceVersionMatch", &options.resource_version_match),
        ("continue", &options.continue_token),
    ] {
        if !text.is_empty() {
            tree.set(key, text.clone());
        }
    }
    let errors = validate_list_options(&tree, WatchList::Enabled);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &errors))
}

/// A `resourceVersion` from a client: empty and `0` are `None`.
pub(crate) fn parse_revision(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let revision = text.parse::<u64>().ok().filter(|_| is_number).ok_or_else(|| {
        let why = if is_number { "value out of range" } else { "invalid syntax" };
        let detail = format!("strconv.ParseUint: parsing {}: {why}", meta::quote::quote(text));
        let error = Error::invalid(&Path::new("resourceVersion"), text, detail);
        Status::bad_request(format!("invalid resource version: {error}"))
    })?;
    Ok((revision != 0).then_some(revision))
}

/// A page of the collection, as the options say.
pub(crate) async fn page(
    call: &Call,
    served: &Served,
    hub: &Hub,
    options: &ListOptions,
) -> Result<Page, Status> {
    let namespace = call.info.namespace.as_str();
    super::get::check_namespace(&served.row, namespace, &options.selection.name)?;
    // The namespace narrows the range of keys; it need not be looked at again.
    let mut selection = options.selection.clone();
    if selection.namespace == namespace {
        selection.namespace = Str::default();
    }
    // Whatever the cache has, and that is all of it: upstream pays no heed to the limit here.
    let whole = options.resource_version == "0" && options.continue_token.is_empty();
    let limit = if whole { 0 } else { options.limit };
    if !(served.asks_webhook() && selection.looks_inside()) {
        return read(call, hub, options, &selection, limit).await;
    }
    // What is selected is known only when it has been converted, which is not to be waited for in the cache.
    let mut page = read(call, hub, options, &selection.by_key(), 0).await?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut entries = Vec::new();
    let mut all = std::mem::take(&mut page.entries).into_iter();
    for entry in all.by_ref() {
        if !served.selects(&selection, &entry)? {
            continue;
        }
        entries.push(entry);
        if entries.len() == limit {
            (page.more, page.remaining) = (all.len() > 0, None);
            break;
        }
    }
    page.entries = entries;
    Ok(page)
}

/// A page of what is selected by what the cache knows.
async fn read(
    call: &Call,
    hub: &Hub,
    options: &ListOptions,
    selection: &Selection,
    limit: usize,
) -> Result<Page, Status> {
    let namespace = call.info.namespace.as_str();
    let mut query = Query { namespace, limit, selection: Some(selection), ..Query::default() };
    if !options.continue_token.is_empty() {
        let token = Continue::decode(&options.continue_token)?;
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let after = if namespace.is_empty() {
            token.start.clone()
        } else {
            format!("{namespace}/{}", token.start.trim_start_matches('/'))
        };
        query.after = Some(&after);
        if token.revision < 0 {
            call.fresh(None).await?;
            return Ok(hub.cache.list(query));
        }
        let revision = token.revision.unsigned_abs();
        call.fresh(Some(revision)).await?;
        return hub.cache.list_at(revision, query).map_err(|_| token.expired());
    }
    let wanted = parse_revision(&options.resource_version)?;
    let exact = options.resource_version_match == "Exact"
        || (options.resource_version_match.is_empty() && options.limit > 0);
    match wanted {
        None if options.resource_version == "0" => Ok(hub.cache.list(query)),
        None => {
            call.fresh(None).await?;
            Ok(hub.cache.list(query))
        }
        Some(revision) => {
            call.fresh(Some(revision)).await?;
            if !exact {
                return Ok(hub.cache.list(query));
            }
            hub.cache
                .list_at(revision, query)
                .map_err(|_| Status::expired("The resourceVersion for the provided list is too old."))
        }
    }
}

/// The metadata of a list that is the page.
pub(crate) fn meta_of(call: &Call, page: &Page) -> Value {
    let mut meta = Value::object();
    meta.set("resourceVersion", page.revision.to_string());
    if page.more
        && let Some(last) = page.entries.last()
    {
        let revision = i64::try_from(page.revision).unwrap_or(i64::MAX);
        meta.set(
            "continue",
            Continue { revision, start: start_of(&call.info.namespace, &last.key) }.encode(),
        );
        if let Some(remaining) = page.remaining {
            meta.set("remainingItemCount", i64::try_from(remaining).unwrap_or(i64::MAX));
        }
    }
    meta
}

/// Answers `GET` of a collection.
pub(crate) async fn list(call: &Call, served: &Arc<Served>, hub: &Arc<Hub>) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(served.allows())?;
    let options = options(call, served, false)?;
    let page = page(call, served, hub, &options).await?;
    let meta = meta_of(call, &page);
    if page.entries.len() > ENTRIES_HERE_MAX && !accepted.is_plain_json() {
        crate::listen::apart(&call.api).await;
    }
    call.list_reply(accepted, served, hub, page.entries, meta)
}

/// Go's `base64.RawURLEncoding`, which does not mind trailing bits.
const CONTINUE_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The part of a key that a continue token holds.
fn start_of(namespace: &str, key: &str) -> String {
    match key.strip_prefix(namespace) {
        Some(rest) if !namespace.is_empty() => rest.to_owned(),
        _ => key.to_owned(),
    }
}

/// A continue token: where the next page begins, and at which revision.
struct Continue {
    /// −1 for "whatever is newest" (an inconsistent continuation).
    revision: i64,
    /// The last key of the page before, relative to the namespace that is listed.
    start: String,
}

impl Continue {
    /// The token's text: base64 of `{"v":"meta.k8s.io/v1","rv":…,"start":"…\u0000"}`, as upstream's.
    fn encode(&self) -> String {
        let mut text = format!("{{\"v\":\"meta.k8s.io/v1\",\"rv\":{},\"start\":", self.revision).into_bytes();
        json::write_str(&format!("{}\0", self.start), &mut text);
        text.push(b'}');
        CONTINUE_BASE64.encode(text)
    }

    fn decode(token: &str) -> Result<Self, Status> {
        let bad = |why: String| {
            Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes = CONTINUE_BASE64.decode(token).map_err(|e| bad(go_base64_error(token, &e)))?;
        let object = json::parse(&bytes).map_err(|e| bad(e.to_string()))?;
        if let Some(why) = go_type_error(&object) {
            return Err(bad(why));
        }
        if object.at("v").str() != "meta.k8s.io/v1" {
            let version = object.at("v").str();
            return Err(bad(format!("server does not recognize this encoded version {version}")));
        }
        if object.at("rv").int() == 0 {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()));
        }
        let start = object.at("start").str();
        if start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)".into()));
        }
        // As upstream, only what Go's `path.Clean` leaves as it is: nothing can leave the prefix ("../").
        let key = start.trim_end_matches('\0');
        let steps = key.strip_prefix('/').unwrap_or(key);
        if !steps.is_empty() && steps.split('/').any(|step| matches!(step, "" | "." | "..")) {
            return Err(bad(start.to_owned()));
        }
        Ok(Self { revision: object.at("rv").int(), start: key.to_owned() })
    }

    /// 410, with a token by which the client can go on at the newest revision.
    fn expired(&self) -> Status {
        let next = Self { revision: -1, start: self.start.clone() }.encode();
        let mut status = Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start \
             a new list without the continue parameter, or use the continue token in this response to \
             retrieve the remainder of the results. Continuing with the provided token results in an \
             inconsistent list - objects that were created, modified, or deleted between the time the first \
             chunk was returned and now may show up in the list.",
        );
        status.continue_token = next.into();
        status
    }
}

/// For fuzzing: a token, as it comes and as what base64 would hide. What is read is written the same.
pub(crate) fn fuzz_continue(data: &[u8]) {
    let hidden = CONTINUE_BASE64.encode(data);
    for token in std::str::from_utf8(data).into_iter().chain([hidden.as_str()]) {
        let Ok(found) = Continue::decode(token) else { continue };
        assert!(!found.start.split('/').any(|step| step == ".."), "it stays among its keys");
        let again = Continue::decode(&found.encode()).map_err(|_| "what was written");
        assert_eq!(again.map(|c| (c.revision, c.start)), Ok((found.revision, found.start.clone())));
        assert!(!found.expired().continue_token.is_empty());
    }
}

/// Go's text for JSON that does not fit the type of a token.
fn go_type_error(token: &Value) -> Option<String> {
    let wrong = |value: &Value, into: &str| {
        let what = match value {
            Value::Null => return None,
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if into.ends_with("int64") => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        Some(format!("json: cannot unmarshal {what} into Go {into}"))
    };
    if token.as_object().is_none() {
        return wrong(token, "value of type storage.continueToken");
    }
    let field = |name: &str, of: &str, fits: bool| {
        let into = format!("struct field continueToken.{name} of type {of}");
        if fits { None } else { wrong(token.at(name), &into) }
    };
    field("v", "string", token.at("v").as_str().is_some())
        .or_else(|| field("rv", "int64", token.at("rv").as_i64().is_some()))
        .or_else(|| field("start", "string", token.at("start").as_str().is_some()))
}

/// Go's text for text that is not base64.
fn go_base64_error(token: &str, error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        // Go tells where the group begins that is cut short.
        base64::DecodeError::InvalidLength(length) => length / 4 * 4,
        base64::DecodeError::InvalidPadding => token.find('=').unwrap_or(0),
    };
    format!("illegal base64 data at input byte {at}")
}
