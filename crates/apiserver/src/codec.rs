//! How objects of a kind are read and written: JSON, YAML and protobuf on the wire, and in the store.
//!
//! A built-in kind has a Go type, whose facts drive everything here; a custom kind has none and is plain
//! JSON with sorted keys.

mod patched;

pub use patched::Via;

use crate::cache::Template;
use crate::crd::{Asking, Custom, Strays, Unwritable};
use crate::negotiate::Encoding;
use bytes::Bytes;
use kinds::Row;
use meta::quote::Quoted;
use meta::status::Status;
use schema::protobuf::{LIST_TAIL, MAGIC, item_head, item_len, list_head, read_envelope, wrap_message};
use schema::{TypeId, Types, Unknown};
use std::collections::VecDeque;
use std::sync::Arc;
use value::{Str, Value, json, yaml};

/// An object as it was read, with what a strict reader minds.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The object, without defaults.
    pub object: Value,
    /// Whether it may hold empty lists and maps that JSON does not show.
    pub has_unshown: bool,
    /// Unknown and duplicate fields, as upstream words them.
    pub strict: Vec<String>,
}

impl Decoded {
    /// An object that a strict reader does not mind.
    const fn plain(object: Value) -> Self {
        Self { object, has_unshown: false, strict: Vec::new() }
    }
}

impl From<schema::Decoded> for Decoded {
    fn from(decoded: schema::Decoded) -> Self {
        Self { object: decoded.value, has_unshown: decoded.has_unshown, strict: decoded.strict_errors }
    }
}

/// What custom objects cannot be written as.
pub const NOT_PROTOBUF: &str = "object *unstructured.Unstructured does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message";

/// The codec of a kind in one version.
#[derive(Clone, Debug)]
pub struct Codec {
    /// The Go type of a built-in kind.
    ty: Option<TypeId>,
    api_version: Str,
    kind: Str,
    /// Whether objects are stored as JSON.
    stores_json: bool,
    /// What a custom kind has instead of a Go type.
    custom: Option<Arc<Custom>>,
}

impl Codec {
    /// The codec of a built-in kind.
    pub fn typed(row: &Row) -> Self {
        Self {
            ty: Types::builtin().by_go_name(&row.go_type),
            api_version: row.api_version(),
            kind: row.kind.clone(),
            stores_json: row.storage.as_ref().is_none_or(|s| s.encoding == kinds::table::Encoding::Json),
            custom: None,
        }
    }

    /// The codec of a version of a custom kind.
    pub(crate) fn custom_kind(row: &Row, custom: Custom) -> Self {
        Self { custom: Some(Arc::new(custom)), ..Self::typed(row) }
    }

    /// The custom kind.
    pub(crate) fn custom(&self) -> Option<&Custom> {
        self.custom.as_deref()
    }

    /// Which version a body says it is of, as far as that can be read.
    pub fn said_version(encoding: Encoding, body: &[u8]) -> Option<Str> {
        match encoding {
            Encoding::Json => find_kind(body).ok().map(|(version, _)| Str::from(&*version)),
            Encoding::Yaml => yaml::parse(body).ok().map(|v| v.at("apiVersion").str().into()),
            Encoding::Protobuf => read_envelope(body).ok().map(|e| Str::from(&*e.api_version)),
        }
    }

    /// The codec of a subresource's body, with a row that names its kind and has no hooks.
    pub fn of_action(api_version: &str, kind: &str, go_type: &str) -> (Self, Row) {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let mut row = Row::custom(group, version, kind, "");
        row.go_type = go_type.into();
        row.storage = None;
        (Self::typed(&row), row)
    }

    /// Whether it is of a built-in kind.
    pub const fn is_typed(&self) -> bool {
        self.ty.is_some()
    }

    /// The type by which fields merge and have owners; `None` for a kind of unknown structure.
    pub fn merge_type(&self) -> Option<merge::Type> {
        match &self.custom {
            Some(custom) => Some(custom.here()?.merge_type.clone()),
            None => merge::builtin::type_of(self.ty?),
        }
    }

    /// An empty object, without kind.
    pub fn zero(&self) -> Value {
        let mut object = Value::object();
        object.set("metadata", Value::object());
        self.normalize(&mut object);
        object
    }

    /// An empty object of the kind.
    pub fn empty(&self) -> Value {
        let mut object = self.zero();
        self.stamp(&mut object);
        object
    }

    /// Sets `apiVersion` and `kind`.
    pub fn stamp(&self, object: &mut Value) {
        object.set("apiVersion", self.api_version.clone());
        object.set("kind", self.kind.clone());
    }

    /// Restores Go's JSON form after an edit.
    pub fn normalize(&self, object: &mut Value) {
        if let Some(ty) = self.ty {
            schema::normalize(Types::builtin(), ty, object);
        }
    }

    /// The object as JSON shows it: without the empty lists and maps that only defaults, validation and the like
    /// tell from none.
    pub fn shown_form(&self, object: &mut Value) {
        if let Some(ty) = self.ty {
            schema::shown_form(Types::builtin(), ty, object);
        }
    }

    /// What is left of an object when it has been stored: what JSON shows, and in protobuf empty lists and maps
    /// are nil.
    pub fn stored_form(&self, object: &mut Value) {
        if let Some(custom) = self.custom() {
            custom.tidy(object);
        }
        match self.ty {
            Some(ty) if self.stores_json => schema::shown_form(Types::builtin(), ty, object),
            Some(ty) => schema::stored_form(Types::builtin(), ty, object),
            None => {}
        }
    }

    /// JSON in Go's field order.
    pub fn to_json(&self, object: &Value) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        match self.ty {
            Some(ty) => schema::encode_json(Types::builtin(), ty, object, &mut out),
            None => json::write(object, &mut out),
        }
        out
    }

    /// JSON without `resourceVersion`, and where that goes.
    pub fn template(&self, object: &mut Value) -> Template {
        self.stamp(object);
        let mut json = Vec::with_capacity(1024);
        let splice = match self.ty {
            Some(ty) => schema::json::encode_json_spliced(Types::builtin(), ty, object, &mut json),
            None => schema::json::encode_untyped_spliced(object, &mut json),
        };
        Template::new(json, splice)
    }

    /// Protobuf without envelope.
    pub fn to_protobuf(&self, object: &Value) -> Vec<u8> {
        match self.ty {
            Some(ty) => protobuf(ty, object),
            None => Vec::new(),
        }
    }

    /// The bytes that are stored, before encryption.
    pub fn to_stored(&self, object: &Value) -> Vec<u8> {
        if !self.stores_json && self.is_typed() {
            return envelope(&self.api_version, &self.kind, &self.to_protobuf(object));
        }
        let mut object = object.clone();
        self.stamp(&mut object);
        let mut out = self.to_json(&object);
        out.push(b'\n');
        out
    }

    /// Reads stored bytes of either encoding.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_stored(&self, stored: &[u8]) -> Result<Value, String> {
        if let Some(custom) = self.custom() {
            return custom.read_stored(stored, Asking::Allowed);
        }
        match self.ty {
            Some(ty) if stored.starts_with(&MAGIC) => {
                schema::decode_protobuf(Types::builtin(), ty, stored).map_err(|e| e.to_string())
            }
            Some(ty) => schema::decode_json(Types::builtin(), ty, stored, Unknown::Ignore)
                .map(|d| d.value)
                .map_err(|e| e.to_string()),
            None => json::parse(stored).map_err(|e| e.to_string()),
        }
    }

    /// Reads of stored bytes what a cache must know, without waiting for anybody.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn peek_stored(&self, stored: &[u8]) -> Result<Value, String> {
        match self.custom() {
            Some(custom) => custom.read_stored(stored, Asking::Refused),
            None => self.from_stored(stored),
        }
    }

    /// What follows the kind (`prefix`) in an item of a list: built-in items have none, custom ones keep it.
    pub fn list_item<'a>(&self, prefix: &[u8], json: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        match json.strip_prefix(prefix) {
            Some(rest) if self.is_typed() => {
                out.push(b'{');
                rest
            }
            _ => json,
        }
    }

    /// `{"kind":"…","apiVersion":"…",`
    pub(crate) fn kind_prefix(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(b"{\"kind\":");
        json::write_str(&self.kind, &mut out);
        out.extend_from_slice(b",\"apiVersion\":");
        json::write_str(&self.api_version, &mut out);
        out.push(b',');
        out
    }

    /// Reads a body.
    ///
    /// # Errors
    /// 400 with upstream's text.
    pub fn decode(
        &self,
        row: &Row,
        encoding: Encoding,
        body: &[u8],
        strict: bool,
    ) -> Result<Decoded, Status> {
        match encoding {
            Encoding::Json => self.decode_json(row, body, body, strict),
            Encoding::Yaml => {
                let (object, fault) = yaml::parse_noting(body).map_err(|e| {
                    if self.is_typed() {
                        return unrecognized(row, &e.to_string(), body);
                    }
                    let why = format!("couldn't get version/kind; json parse error: {e}");
                    unrecognized(row, &why, body)
                })?;
                let mut decoded = self.decode_json(row, &json::to_vec(&object), body, strict)?;
                if strict && let Some(error) = fault {
                    decoded.strict.insert(0, error.to_string());
                }
                Ok(decoded)
            }
            Encoding::Protobuf => self.decode_protobuf(row, body),
        }
    }

    /// Reads a document of a custom kind; `shown` is what the client sent.
    fn decode_custom(
        &self,
        row: &Row,
        custom: &Custom,
        body: &[u8],
        shown: &[u8],
        strict: bool,
    ) -> Result<Decoded, Status> {
        let no_kind = |e: &dyn std::fmt::Display| {
            unrecognized(row, &format!("couldn't get version/kind; json parse error: {e}"), shown)
        };
        let (api_version, kind) = find_kind(body).map_err(|e| unrecognized(row, &e, shown))?;
        let mut duplicates = json::Duplicates::new();
        let object = json::parse_with(body, &mut duplicates).map_err(|e| no_kind(&e))?;
        let track = if strict { crd::prune::Track::Paths } else { crd::prune::Track::Nothing };
        let mut decoded = custom.accept(object, track, Strays::Pruned).map_err(|e| match e {
            Unwritable::NoKind => {
                let why = format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(shown));
                if strict {
                    unrecognized(row, &why, shown)
                } else {
                    cannot_handle(row, &row.kind, &api_version, &why)
                }
            }
            Unwritable::Malformed(why) => cannot_handle(row, &kind, &api_version, &why),
        })?;
        if api_version != self.api_version {
            return Err(Status::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({})",
                self.api_version
            )));
        }
        if strict {
            let words = duplicates.iter().map(ToString::to_string);
            decoded.strict.splice(0..0, words);
        }
        Ok(decoded)
    }

    /// Reads a JSON document; `shown` is what the client sent.
    fn decode_json(&self, row: &Row, body: &[u8], shown: &[u8], strict: bool) -> Result<Decoded, Status> {
        if let Some(custom) = self.custom() {
            return self.decode_custom(row, custom, body, shown, strict);
        }
        let read = self.ty.map(|ty| {
            let unknown = if strict { Unknown::Report } else { Unknown::Ignore };
            schema::decode_json(Types::builtin(), ty, body, unknown)
        });
        let mut decoded = match read {
            Some(Ok(decoded)) if self.is_kind_of(&decoded.value) => Decoded::from(decoded),
            // What the body says that it is comes before what is wrong with it.
            read => {
                let (api_version, kind) = find_kind(body).map_err(|e| unrecognized(row, &e, shown))?;
                let as_other =
                    |ty| schema::decode_json(Types::builtin(), ty, body, Unknown::Ignore).map(drop);
                let (api_version, kind) = self.check_kind(row, &api_version, &kind, as_other)?;
                match read {
                    Some(Ok(decoded)) => Decoded::from(decoded),
                    Some(Err(e)) => return Err(cannot_handle(row, &kind, &api_version, &e.to_string())),
                    None => Decoded::plain(json::parse(body).unwrap_or_default()),
                }
            }
        };
        self.stamp(&mut decoded.object);
        Ok(decoded)
    }

    /// Whether an object says of itself that it is of this very kind and version.
    fn is_kind_of(&self, object: &Value) -> bool {
        object.at("apiVersion").str() == self.api_version && object.at("kind").str() == self.kind
    }

    fn decode_protobuf(&self, row: &Row, body: &[u8]) -> Result<Decoded, Status> {
        let envelope = read_envelope(body).map_err(|e| unrecognized(row, &e.to_string(), body))?;
        let Some(ty) = self.ty else {
            return Err(cannot_handle(row, &envelope.kind, &envelope.api_version, NOT_PROTOBUF));
        };
        let as_other = |ty| schema::decode_message(Types::builtin(), ty, envelope.raw).map(drop);
        let (api_version, kind) = self.check_kind(row, &envelope.api_version, &envelope.kind, as_other)?;
        let mut object = schema::decode_message(Types::builtin(), ty, envelope.raw)
            .map_err(|e| cannot_handle(row, &kind, &api_version, &e.to_string()))?;
        self.stamp(&mut object);
        Ok(Decoded::plain(object))
    }

    /// Whether a body that says this of itself may be one of this kind; absent names mean this kind. `as_other` reads
    /// it as what it says it is: what is wrong with that comes before what it should be.
    fn check_kind(
        &self,
        row: &Row,
        api_version: &str,
        kind: &str,
        as_other: impl Fn(TypeId) -> Result<(), schema::DecodeError>,
    ) -> Result<(Str, Str), Status> {
        let version = if api_version.is_empty() { self.api_version.clone() } else { api_version.into() };
        let kind = if kind.is_empty() { self.kind.clone() } else { Str::from(kind) };
        if version == self.api_version && kind == self.kind {
            return Ok((version, kind));
        }
        let (group, number) = version.split_once('/').unwrap_or(("", &version));
        let types = Types::builtin();
        let Some(ty) = types.by_kind(group, number, &kind).filter(|_| self.is_typed()) else {
            let registered = !self.is_typed() || UNSERVED.contains(&version.as_str());
            if registered && kind == self.kind {
                return Err(self.other_version(&version));
            }
            let why = format!(
                "no kind {} is registered for version {} in scheme \"{}\"",
                Quoted(&kind),
                Quoted(&version),
                scheme(&row.group)
            );
            return Err(cannot_handle(row, &kind, &version, &why));
        };
        if let Err(error) = as_other(ty) {
            return Err(cannot_handle(row, &kind, &version, &error.to_string()));
        }
        if kind == self.kind {
            return Err(self.other_version(&version));
        }
        let why = format!(
            "converting ({}) to ({}): unknown conversion",
            types.name(ty),
            internal_type(&row.group, &row.kind)
        );
        Err(cannot_handle(row, &kind, &version, &why))
    }

    fn other_version(&self, version: &str) -> Status {
        Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            self.api_version
        ))
    }

    /// Checks an apply configuration as a tree.
    ///
    /// # Errors
    /// 400 with upstream's text.
    pub fn decode_tree(&self, row: &Row, object: &Value, strict: bool) -> Result<Decoded, Status> {
        let body = json::to_vec(object);
        self.decode_json(row, &body, &body, strict)
    }
}

fn protobuf(ty: TypeId, object: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    schema::encode_message(Types::builtin(), ty, object, &mut out);
    out
}

/// What Go calls the nameless struct by which upstream peeks at a document.
const ANONYMOUS_TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// `apiVersion` and `kind` of a JSON document.
fn find_kind(body: &[u8]) -> Result<(Str, Str), String> {
    let unreadable = |why: String| format!("couldn't get version/kind; json parse error: {why}");
    let type_meta = Types::builtin().by_go_name("k8s.io/apimachinery/pkg/apis/meta/v1.TypeMeta");
    let object = match type_meta {
        Some(ty) => {
            schema::decode_json(Types::builtin(), ty, body, Unknown::Ignore)
                .map_err(|e| {
                    let why = e.to_string().replace("v1.TypeMeta", ANONYMOUS_TYPE_META);
                    unreadable(why.replace("struct field TypeMeta.", "struct field ."))
                })?
                .value
        }
        None => json::parse(body).map_err(|e| unreadable(e.to_string()))?,
    };
    let (mut version, mut kind) =
        (Str::from(object.at("apiVersion").str()), Str::from(object.at("kind").str()));
    if (version.is_empty() || kind.is_empty())
        && let Ok(whole) = json::parse(body)
    {
        // Peeking is done by Go's own package, which does not look at the case of names.
        for (name, value) in whole.entries() {
            match folded(name).as_str() {
                "apiversion" => version = value.str().into(),
                "kind" => kind = value.str().into(),
                _ => {}
            }
        }
    }
    if version.matches('/').count() > 1 {
        return Err(format!("unexpected GroupVersion string: {version}"));
    }
    Ok((version, kind))
}

/// A name as `encoding/json` compares it: letters that Unicode folds to others are among them.
fn folded(name: &str) -> String {
    let fold = |c: char| match c {
        '\u{212A}' => 'k',
        '\u{17F}' => 's',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

/// What Go calls upstream's internal type of a kind.
pub fn internal_type(group: &str, kind: &str) -> String {
    let package = match group.split('.').next().unwrap_or_default() {
        "" => "core",
        first => first,
    };
    format!("{package}.{kind}")
}

/// Versions that upstream's servers read and serve no more.
const UNSERVED: [&str; 2] = ["apiextensions.k8s.io/v1beta1", "apiregistration.k8s.io/v1beta1"];

/// Where upstream's servers register the kinds they know: each has a scheme of its own.
fn scheme(group: &str) -> &'static str {
    match group {
        "apiextensions.k8s.io" => "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55",
        "apiregistration.k8s.io" => "k8s.io/kube-aggregator/pkg/apiserver/scheme/scheme.go:28",
        _ => "pkg/api/legacyscheme/scheme.go:30",
    }
}

fn cannot_handle(row: &Row, kind: &str, api_version: &str, why: &str) -> Status {
    let version = api_version.rsplit('/').next().unwrap_or(api_version);
    Status::bad_request(format!(
        "{kind} in version {} cannot be handled as a {}: {why}",
        Quoted(version),
        row.kind
    ))
}

/// A body of which not even the kind can be told.
fn unrecognized(row: &Row, why: &str, body: &[u8]) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {why} ({})",
        row.kind,
        summarize(body)
    ))
}

/// The first bytes of a body, as upstream's `summarizeData` shows them.
fn summarize(body: &[u8]) -> String {
    const SHOWN_BYTES: usize = 30;
    if body.is_empty() {
        return "<empty>".into();
    }
    let cut = body.len() > SHOWN_BYTES;
    let head = body.get(..SHOWN_BYTES).unwrap_or(body);
    let text = if body.first() == Some(&b'{') {
        String::from_utf8_lossy(head).into_owned()
    } else {
        head.iter().map(|b| format!("{b:02x}")).collect()
    };
    if cut { format!("{text} ...") } else { text }
}

/// A Status in JSON.
pub fn status_json(status: &Status) -> Vec<u8> {
    typed_json("k8s.io/apimachinery/pkg/apis/meta/v1.Status", &status.to_value())
}

/// A tree of a Go type in JSON, in Go's field order.
pub fn typed_json(go_type: &str, object: &Value) -> Vec<u8> {
    let types = Types::builtin();
    let mut out = Vec::with_capacity(256);
    match types.by_go_name(go_type) {
        Some(ty) => schema::encode_json(types, ty, object, &mut out),
        None => json::write(object, &mut out),
    }
    out
}

/// A tree of `meta.k8s.io` in JSON, in Go's order of fields; its kind is the name of its type.
pub fn meta_json(object: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_meta_json(object.at("kind").str(), object, &mut out);
    out
}

/// The same for a type that has no kind.
pub fn write_meta_json(name: &str, object: &Value, out: &mut Vec<u8>) {
    let types = Types::builtin();
    match types.by_go_name(&format!("k8s.io/apimachinery/pkg/apis/meta/v1.{name}")) {
        Some(ty) => schema::encode_json(types, ty, object, out),
        None => json::write(object, out),
    }
}

/// A tree of a Go type in protobuf, with its envelope; `None` if the type is not known.
pub fn typed_protobuf(go_type: &str, object: &Value) -> Option<Vec<u8>> {
    let ty = Types::builtin().by_go_name(go_type)?;
    Some(envelope(object.at("apiVersion").str(), object.at("kind").str(), &protobuf(ty, object)))
}

/// A Status in its protobuf envelope.
pub fn status_protobuf(status: &Status) -> Vec<u8> {
    let types = Types::builtin();
    let raw = types
        .by_go_name("k8s.io/apimachinery/pkg/apis/meta/v1.Status")
        .map(|ty| protobuf(ty, &status.to_value()))
        .unwrap_or_default();
    envelope("v1", "Status", &raw)
}

/// A `meta.k8s.io` object in its protobuf envelope; `None` for kinds that have no protobuf form (Table).
pub fn meta_protobuf(object: &Value) -> Option<Vec<u8>> {
    let types = Types::builtin();
    let kind = object.at("kind").str();
    if kind == "Table" {
        return None;
    }
    let ty = types.by_go_name(&format!("k8s.io/apimachinery/pkg/apis/meta/v1.{kind}"))?;
    Some(envelope(object.at("apiVersion").str(), kind, &protobuf(ty, object)))
}

/// Wraps a protobuf message: `k8s\0` and a `runtime.Unknown`.
pub fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wrap_message(api_version, kind, message, &mut out);
    out
}

/// Writes a protobuf watch event (`metav1.WatchEvent`) with its length in front, as upstream's
/// length-delimited framer: four bytes, big endian.
pub fn watch_frame(kind: &str, object: &[u8], out: &mut Vec<u8>) {
    let raw_len = 1 + varint_len(object.len()) + object.len();
    let len = 1 + varint_len(kind.len()) + kind.len() + 1 + varint_len(raw_len) + raw_len;
    out.reserve(len + 4);
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    out.push(0x0a); // type = 1
    write_varint(kind.len(), out);
    out.extend_from_slice(kind.as_bytes());
    out.push(0x12); // object = 2, a RawExtension
    write_varint(raw_len, out);
    out.push(0x0a); // raw = 1
    write_varint(object.len(), out);
    out.extend_from_slice(object);
}

const fn varint_len(n: usize) -> usize {
    let bits = usize::BITS - n.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

fn write_varint(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push((n & 0x7f) as u8);
}

/// A protobuf list of items that are encoded already, in pieces.
pub fn list_protobuf(api_version: &str, kind: &str, meta: &Value, items: &[Bytes]) -> VecDeque<Bytes> {
    const CHUNK_BYTES: usize = 64 << 10;
    let types = Types::builtin();
    let mut parts = VecDeque::new();
    let mut out = Vec::with_capacity(CHUNK_BYTES);
    let items_len = items.iter().map(|i| item_len(i.len())).sum();
    list_head(types, api_version, kind, meta, items_len, &mut out);
    for item in items {
        item_head(item.len(), &mut out);
        out.extend_from_slice(item);
        if out.len() >= CHUNK_BYTES {
            parts.push_back(Bytes::from(std::mem::replace(&mut out, Vec::with_capacity(CHUNK_BYTES))));
        }
    }
    out.extend_from_slice(&LIST_TAIL);
    parts.push_back(out.into());
    parts
}

/// Reads `DeleteOptions`, of whichever group they claim to be.
///
/// # Errors
/// 400 with upstream's text.
pub fn decode_delete_options(encoding: Encoding, body: &[u8]) -> Result<Value, Status> {
    let types = Types::builtin();
    let Some(ty) = types.by_go_name("k8s.io/apimachinery/pkg/apis/meta/v1.DeleteOptions") else {
        return Err(Status::internal_error("DeleteOptions has no type"));
    };
    let bad = |e: &dyn std::fmt::Display| Status::bad_request(e.to_string());
    let json_body;
    let body = match encoding {
        Encoding::Json => body,
        Encoding::Yaml => {
            json_body = json::to_vec(&yaml::parse(body).map_err(|e| bad(&e))?);
            &json_body
        }
        Encoding::Protobuf => {
            return schema::decode_protobuf(types, ty, body).map_err(|e| bad(&e));
        }
    };
    let (api_version, kind) = find_kind(body).map_err(|e| bad(&e))?;
    if !matches!(kind.as_str(), "" | "DeleteOptions") {
        return Err(bad(&format!(
            "no kind {} is registered for version {} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"",
            Quoted(&kind),
            Quoted(if api_version.is_empty() { "meta.k8s.io/v1" } else { &api_version })
        )));
    }
    let decoded = schema::decode_json(types, ty, body, Unknown::Ignore).map_err(|e| bad(&e))?;
    Ok(decoded.value)
}
