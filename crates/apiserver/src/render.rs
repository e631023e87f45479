//! Objects in the form a client asked for: whole, as a Table, or their metadata alone; in JSON, YAML or
//! protobuf; one, many, or as events.

use crate::body::ResponseBody;
use crate::cache::{Entry, EventKind, Form};
use crate::call::Call;
use crate::codec;
use crate::negotiate::{Accepted, Convert, Encoding};
use crate::reply::{Reply, indent};
use crate::resource::{Hub, Served};
use crate::table::{self, Include};
use bytes::Bytes;
use meta::status::Status;
use std::collections::VecDeque;
use std::sync::Arc;
use value::{Map, Value, json};

/// Lists are handed over in pieces of about this size.
const CHUNK_BYTES: usize = 64 << 10;
/// By which a piece is longer as a rule, its last item being whole.
const CHUNK_SLACK_BYTES: usize = 4 << 10;

/// Lists up to this length are made at once and tell their length; others are made while they are sent.
const WHOLE_BYTES_MAX: usize = 128 << 10;

/// How to show the objects of one kind to one client.
pub struct Render {
    served: Arc<Served>,
    hub: Arc<Hub>,
    accepted: Accepted,
    include: Include,
    /// What is wrong with the options of a Table.
    wrong: Option<String>,
    /// Whether a Table carries its column definitions: the first of a watch does.
    headers: bool,
    now: meta::time::Time,
}

impl Render {
    /// For the answer to `call`.
    pub fn new(call: &Call, served: Arc<Served>, hub: Arc<Hub>, accepted: Accepted) -> Self {
        let include = call.query.get("includeObject").unwrap_or("");
        let wrong = matches!(accepted.convert, Some(Convert::Table { .. })).then(|| {
            let mut options = Value::object();
            options.set("includeObject", include);
            meta::field::to_aggregate(&meta::options::validate_table_options(&options))
        });
        Self {
            served,
            hub,
            accepted,
            include: Include::parse(include),
            wrong: wrong.flatten(),
            headers: true,
            now: call.api.now(),
        }
    }

    /// Whether events can be shown so: upstream ends a watch at the first that cannot.
    pub(crate) fn shows_events(&self) -> bool {
        !matches!(self.accepted.convert, Some(Convert::PartialList { .. }))
    }

    /// The options of a Table count once there is something to show.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn check_table(&self) -> Result<(), Status> {
        let Some(text) = &self.wrong else { return Ok(()) };
        Err(Status::bad_request(format!("Unable to convert to Table as requested: {text}")))
    }

    /// An answer of one object.
    pub fn one(&mut self, code: u16, entry: &Entry) -> Result<Reply, Status> {
        self.check_table()?;
        if self.served.takes_webhook(entry) {
            let object = self.served.ask_webhook(entry)?;
            if self.accepted.convert.is_none() {
                return Ok(Reply::json(code, self.accepted, self.served.codec.to_json(&object)));
            }
        }
        let Some(convert) = self.accepted.convert else {
            return Ok(match self.accepted.encoding {
                Encoding::Protobuf => {
                    let raw = self.served.protobuf(&self.hub, entry);
                    let body = codec::envelope(&self.served.row.api_version(), &self.served.row.kind, &raw);
                    Reply::bytes(code, Encoding::Protobuf.media_type(), body)
                }
                Encoding::Json if !self.accepted.pretty => {
                    Reply::bytes(code, Encoding::Json.media_type(), self.served.line(&self.hub, entry))
                }
                _ => Reply::json(code, self.accepted, self.served.json(&self.hub, entry).to_vec()),
            });
        };
        let object = match convert {
            Convert::Table { beta } => {
                let mut table = table::table(&self.served, beta, self.headers);
                table.set("rows", vec![self.row(&self.hub.tree(entry), beta)]);
                let mut meta = Value::object();
                if entry.revision != 0 {
                    meta.set("resourceVersion", entry.revision.to_string());
                }
                table.set("metadata", meta);
                table
            }
            Convert::Partial { beta } => self.partial(&self.served.tree(&self.hub, entry), beta),
            Convert::PartialList { .. } => {
                return Err(no_list(&self.go_type(&self.served.row.kind)));
            }
        };
        self.converted(code, &object)
    }

    /// An answer of a list.
    pub fn list(&mut self, entries: Vec<Arc<Entry>>, meta: Value) -> Result<Reply, Status> {
        self.check_table()?;
        // What a webhook does not convert is to be known before the answer begins.
        for entry in entries.iter().filter(|e| self.served.takes_webhook(e)) {
            self.served.view(entry)?;
        }
        let Some(convert) = self.accepted.convert else {
            return Ok(match self.accepted.encoding {
                Encoding::Protobuf => self.list_protobuf(&entries, &meta),
                Encoding::Json if !self.accepted.pretty => self.list_json(entries, &meta),
                _ => Reply::json(200, self.accepted, self.list_json(entries, &meta).body.to_vec()),
            });
        };
        let object = match convert {
            Convert::Table { beta } => {
                let mut table = table::table(&self.served, beta, self.headers);
                let ranked = entries.iter().map(|entry| {
                    let tree = self.hub.tree(entry);
                    (kinds::columns::rank(&self.served.row, &tree), self.row(&tree, beta))
                });
                let mut ranked: Vec<(i64, Value)> = ranked.collect();
                ranked.sort_by_key(|(rank, _)| *rank);
                let rows: Vec<Value> = ranked.into_iter().map(|(_, row)| row).collect();
                let own = !self.served.codec.is_typed() || kinds::columns::are_own(&self.served.row);
                table.set("rows", if rows.is_empty() && !own { Value::Null } else { Value::Array(rows) });
                table.set("metadata", meta);
                table
            }
            Convert::PartialList { beta } => {
                let items: Vec<Value> =
                    entries.iter().map(|e| self.partial(&self.served.tree(&self.hub, e), beta)).collect();
                let mut list = typed("PartialObjectMetadataList", beta);
                list.set("metadata", meta);
                list.set("items", if items.is_empty() { Value::Null } else { Value::Array(items) });
                list
            }
            Convert::Partial { .. } => {
                return Err(not_acceptable(&format!(
                    "you requested PartialObjectMetadata, but the requested object is a list (*{})",
                    self.go_type(&self.served.row.list_kind)
                )));
            }
        };
        self.converted(200, &object)
    }

    /// A row of a Table, of an object in hub form.
    fn row(&self, tree: &Value, beta: bool) -> Value {
        let mut converted = Value::Null;
        let tree = if self.served.codec.custom().is_some() && !self.served.is_hub() {
            converted.clone_from(tree);
            self.served.from_hub(&mut converted);
            &converted
        } else {
            tree
        };
        let mut row = Value::object();
        row.set("cells", table::cells(&self.served, tree, self.now));
        if let Some(conditions) = kinds::columns::conditions(&self.served.row, tree) {
            row.set("conditions", conditions);
        }
        match self.include {
            // Upstream prints the empty extension.
            Include::None => row.set("object", Value::Null),
            Include::Object => {
                let mut object = tree.clone();
                self.served.from_hub(&mut object);
                self.served.codec.stamp(&mut object);
                row.set("object", object);
            }
            Include::Metadata => row.set("object", self.partial(tree, beta)),
        }
        row
    }

    /// The metadata of an object.
    fn partial(&self, tree: &Value, beta: bool) -> Value {
        let mut object = partial(tree, beta);
        kinds::columns::hide_internal(&self.served.row, &mut object);
        object
    }

    /// What Go calls the object: the internal type.
    fn go_type(&self, kind: &str) -> String {
        if !self.served.codec.is_typed() {
            return "unstructured.Unstructured".into();
        }
        codec::internal_type(&self.served.row.group, kind)
    }

    fn converted(&self, code: u16, object: &Value) -> Result<Reply, Status> {
        if self.accepted.encoding == Encoding::Protobuf {
            let body = codec::meta_protobuf(object)
                .ok_or_else(|| Status::internal_error("object does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message"))?;
            return Ok(Reply::bytes(code, Encoding::Protobuf.media_type(), body));
        }
        Ok(Reply::json(code, self.accepted, self.converted_json(object)))
    }

    /// A Table or metadata as Go prints them.
    fn converted_json(&self, object: &Value) -> Vec<u8> {
        if object.at("kind").str() != "Table" {
            return codec::meta_json(object);
        }
        let mut out = b"{\"kind\":\"Table\",\"apiVersion\":".to_vec();
        json::write(object.at("apiVersion"), &mut out);
        out.extend_from_slice(b",\"metadata\":");
        codec::write_meta_json("ListMeta", object.at("metadata"), &mut out);
        out.extend_from_slice(b",\"columnDefinitions\":");
        write_list(object.at("columnDefinitions"), &mut out, |column, out| {
            codec::write_meta_json("TableColumnDefinition", column, out);
        });
        out.extend_from_slice(b",\"rows\":");
        write_list(object.at("rows"), &mut out, |row, out| {
            out.extend_from_slice(b"{\"cells\":");
            json::write(row.at("cells"), out);
            if let Some(conditions) = row.get("conditions") {
                out.extend_from_slice(b",\"conditions\":");
                write_list(conditions, out, |condition, out| {
                    codec::write_meta_json("TableRowCondition", condition, out);
                });
            }
            out.extend_from_slice(b",\"object\":");
            match (row.at("object"), self.include) {
                (Value::Null, _) => out.extend_from_slice(b"null"),
                (whole, Include::Object) => out.extend(self.served.codec.to_json(whole)),
                (partial, _) => out.extend(codec::meta_json(partial)),
            }
            out.push(b'}');
        });
        out.push(b'}');
        out
    }

    fn list_json(&self, entries: Vec<Arc<Entry>>, meta: &Value) -> Reply {
        let row = &self.served.row;
        let custom = self.served.codec.custom().is_some();
        let (mut head, mut tail) = (Vec::with_capacity(CHUNK_BYTES + CHUNK_SLACK_BYTES), Vec::new());
        if custom {
            head.extend_from_slice(b"{\"apiVersion\":");
            json::write_str(&row.api_version(), &mut head);
            head.extend_from_slice(b",\"items\":[");
            // Untyped, so in the order of keys, and never without "continue".
            let mut meta = meta.clone();
            if meta.get("continue").is_none() {
                meta.set("continue", "");
            }
            tail.extend_from_slice(b"],\"kind\":");
            json::write_str(&row.list_kind, &mut tail);
            tail.extend_from_slice(b",\"metadata\":");
            json::write(&meta, &mut tail);
            tail.extend_from_slice(b"}\n");
        } else {
            head.extend_from_slice(b"{\"kind\":");
            json::write_str(&row.list_kind, &mut head);
            head.extend_from_slice(b",\"apiVersion\":");
            json::write_str(&row.api_version(), &mut head);
            head.extend_from_slice(b",\"metadata\":");
            codec::write_meta_json("ListMeta", meta, &mut head);
            head.extend_from_slice(b",\"items\":[");
            tail.extend_from_slice(b"]}\n");
        }
        let mut pieces = JsonPieces {
            served: self.served.clone(),
            hub: self.hub.clone(),
            kind: self.served.codec.kind_prefix(),
            entries: entries.into_iter(),
            begun: false,
            head,
            tail: Some(tail),
        };
        let (mut parts, mut length) = (VecDeque::new(), 0);
        while length <= WHOLE_BYTES_MAX
            && let Some(piece) = pieces.next()
        {
            length += piece.len();
            parts.push_back(piece);
        }
        let body = if pieces.tail.is_none() {
            ResponseBody::chunks(parts)
        } else {
            ResponseBody::Pieces(Box::new(parts.into_iter().chain(pieces)))
        };
        Reply { code: 200, content_type: Encoding::Json.media_type(), body, headers: Vec::new() }
    }

    fn list_protobuf(&self, entries: &[Arc<Entry>], meta: &Value) -> Reply {
        let row = &self.served.row;
        let items: Vec<Bytes> = entries.iter().map(|e| self.served.protobuf(&self.hub, e)).collect();
        let parts = codec::list_protobuf(&row.api_version(), &row.list_kind, meta, &items);
        Reply {
            code: 200,
            content_type: Encoding::Protobuf.media_type(),
            body: ResponseBody::chunks(parts),
            headers: Vec::new(),
        }
    }

    /// The form in which events are written, if others write the same.
    pub fn form(&self) -> Option<Form> {
        let protobuf = self.accepted.encoding == Encoding::Protobuf;
        let plain = self.accepted.convert.is_none();
        plain.then(|| Form { api_version: self.served.row.api_version(), protobuf })
    }

    /// Writes an event of a watch.
    pub fn event(&mut self, kind: EventKind, entry: &Entry, out: &mut Vec<u8>) {
        match (self.accepted.convert, self.accepted.encoding) {
            (None, Encoding::Protobuf) => {
                let raw = self.served.protobuf(&self.hub, entry);
                let object = codec::envelope(&self.served.row.api_version(), &self.served.row.kind, &raw);
                codec::watch_frame(kind.as_str(), &object, out);
            }
            (None, _) => frame(kind.as_str(), &self.served.json(&self.hub, entry), out),
            (Some(_), _) => {
                // A watch lasts: its ages are those of the event.
                self.now = crate::api::now();
                // Rows are made of what is stored.
                let is_row = matches!(self.accepted.convert, Some(Convert::Table { .. }));
                let tree = if is_row && self.served.codec.is_typed() {
                    self.hub.tree(entry)
                } else {
                    self.served.tree(&self.hub, entry)
                };
                self.tree_event(kind.as_str(), &tree, out);
            }
        }
    }

    /// Writes a bookmark: an empty object that tells the revision up to which everything has been shown.
    pub fn bookmark(&mut self, revision: u64, initial_events_end: bool, out: &mut Vec<u8>) {
        let mut object = self.served.codec.zero();
        crate::resource::set_resource_version(&mut object, revision);
        if initial_events_end && let Some(metadata) = object.get_mut("metadata") {
            let mut annotations = Map::new();
            annotations.insert("k8s.io/initial-events-end", "true");
            metadata.set("annotations", annotations);
        }
        self.served.codec.stamp(&mut object);
        self.tree_event("BOOKMARK", &object, out);
    }

    fn tree_event(&mut self, kind: &str, tree: &Value, out: &mut Vec<u8>) {
        let shown = match self.accepted.convert {
            None => None,
            Some(Convert::Table { beta }) => {
                let mut table = table::table(&self.served, beta, self.headers);
                self.headers = false;
                table.set("rows", vec![self.row(tree, beta)]);
                let mut meta = Value::object();
                meta.set("resourceVersion", tree.at("metadata").at("resourceVersion").clone());
                table.set("metadata", meta);
                Some(table)
            }
            Some(Convert::Partial { beta } | Convert::PartialList { beta }) => Some(self.partial(tree, beta)),
        };
        let row = &self.served.row;
        match (self.accepted.encoding, shown) {
            (Encoding::Protobuf, Some(object)) => {
                if let Some(object) = codec::meta_protobuf(&object) {
                    codec::watch_frame(kind, &object, out);
                }
            }
            (Encoding::Protobuf, None) => {
                let raw = self.served.codec.to_protobuf(tree);
                codec::watch_frame(kind, &codec::envelope(&row.api_version(), &row.kind, &raw), out);
            }
            (_, Some(object)) => {
                frame(kind, &self.converted_json(&object), out);
            }
            (_, None) => frame(kind, &self.served.codec.to_json(tree), out),
        }
    }

    /// Writes an error as an event.
    pub fn error(&self, status: &Status, out: &mut Vec<u8>) {
        if self.accepted.encoding == Encoding::Protobuf {
            return codec::watch_frame("ERROR", &codec::status_protobuf(status), out);
        }
        frame("ERROR", &codec::status_json(status), out);
    }

    /// Whether answers are indented; watches never are.
    pub fn pretty(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.accepted.pretty { indent(&bytes) } else { bytes }
    }
}

/// A list in JSON, piece by piece.
struct JsonPieces {
    served: Arc<Served>,
    hub: Arc<Hub>,
    /// What items begin with that are not in a list.
    kind: Vec<u8>,
    entries: std::vec::IntoIter<Arc<Entry>>,
    begun: bool,
    /// What stands before the first item.
    head: Vec<u8>,
    /// What stands behind the last one; `None` at the end.
    tail: Option<Vec<u8>>,
}

impl Iterator for JsonPieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.tail.as_ref()?;
        let mut out = match self.begun {
            false => std::mem::take(&mut self.head),
            true => Vec::with_capacity(CHUNK_BYTES + CHUNK_SLACK_BYTES),
        };
        for entry in self.entries.by_ref() {
            if std::mem::replace(&mut self.begun, true) {
                out.push(b',');
            }
            let json = self.served.json(&self.hub, &entry);
            let rest = self.served.codec.list_item(&self.kind, &json, &mut out);
            out.extend_from_slice(rest);
            if out.len() >= CHUNK_BYTES {
                return Some(out.into());
            }
        }
        out.extend(self.tail.take()?);
        Some(out.into())
    }
}

/// Writes a list, or `null` where there is none.
fn write_list(list: &Value, out: &mut Vec<u8>, item: impl Fn(&Value, &mut Vec<u8>)) {
    let Some(items) = list.as_array() else { return out.extend_from_slice(b"null") };
    out.push(b'[');
    for (i, value) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        item(value, out);
    }
    out.push(b']');
}

/// 406: the transformation does not fit the answer.
fn not_acceptable(message: &str) -> Status {
    Status { message: message.into(), ..Status::not_acceptable(&[]) }
}

/// A JSON watch event and its newline.
fn frame(kind: &str, object: &[u8], out: &mut Vec<u8>) {
    out.reserve(object.len() + 40);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}

/// An object of `meta.k8s.io` that says what it is.
pub(crate) fn typed(kind: &str, beta: bool) -> Value {
    let mut object = Value::object();
    object.set("kind", kind);
    object.set("apiVersion", if beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" });
    object
}

/// The metadata of an object, as `PartialObjectMetadata`.
pub(crate) fn partial(tree: &Value, beta: bool) -> Value {
    let mut object = typed("PartialObjectMetadata", beta);
    object.set("metadata", tree.at("metadata").clone());
    object
}

/// An answer of the metadata of a tree that is not stored.
pub fn partial_reply(code: u16, accepted: Accepted, object: &Value, beta: bool) -> Reply {
    let object = partial(object, beta);
    match codec::meta_protobuf(&object).filter(|_| accepted.encoding == Encoding::Protobuf) {
        Some(body) => Reply::bytes(code, Encoding::Protobuf.media_type(), body),
        None => Reply::json(code, accepted, codec::meta_json(&object)),
    }
}

/// The answer to a question: what is made for it and not stored, in the form that was asked for. `go_type` is what Go
/// calls it.
///
/// # Errors
/// 406: it is no list.
pub fn once_reply(
    code: u16,
    accepted: Accepted,
    object: &Value,
    go_type: &str,
    whole: impl Fn() -> Reply,
) -> Result<Reply, Status> {
    match accepted.convert {
        Some(Convert::Partial { beta }) => Ok(partial_reply(code, accepted, object, beta)),
        Some(Convert::PartialList { .. }) => Err(no_list(go_type)),
        _ => Ok(whole()),
    }
}

/// 406: the metadata of a list cannot be told of one object.
fn no_list(go_type: &str) -> Status {
    not_acceptable(&format!(
        "you requested PartialObjectMetadataList, but the requested object is not a list (*{go_type})"
    ))
}

/// An answer of a tree that is not stored.
pub fn tree_reply(code: u16, accepted: Accepted, served: &Served, object: &Value) -> Reply {
    typed_reply(code, accepted, &served.row.go_type, object)
}

/// An answer of a tree of a Go type, `apiVersion` and `kind` in it.
pub fn typed_reply(code: u16, accepted: Accepted, go_type: &str, object: &Value) -> Reply {
    if accepted.encoding == Encoding::Protobuf
        && let Some(body) = codec::typed_protobuf(go_type, object)
    {
        return Reply::bytes(code, Encoding::Protobuf.media_type(), body);
    }
    Reply::json(code, accepted, codec::typed_json(go_type, object))
}
