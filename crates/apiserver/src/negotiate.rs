//! Which form a client wants its answer in, and which form its body has.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`. The order in which clauses and media
//! types are tried is upstream's, since clients depend on it.

use crate::media_type;
use meta::status::Status;

/// An encoding of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

impl Encoding {
    /// All that the server speaks, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Json, Self::Yaml, Self::Protobuf];

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    const fn subtype(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Protobuf => "vnd.kubernetes.protobuf",
        }
    }

    /// Whether there is a framed form for watches.
    pub const fn streams(self) -> bool {
        !matches!(self, Self::Yaml)
    }
}

/// A transformation that the client asks for (`as=Table;g=meta.k8s.io;v=v1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// `meta.k8s.io/v1` (or `v1beta1`) Table
    Table {
        /// Whether the client named `v1beta1`.
        beta: bool,
    },
    /// PartialObjectMetadata of one object
    Partial {
        /// Whether the client named `v1beta1`.
        beta: bool,
    },
    /// PartialObjectMetadataList
    PartialList {
        /// Whether the client named `v1beta1`.
        beta: bool,
    },
}

/// What an endpoint can transform its objects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allows {
    /// Nothing: discovery, options.
    Plain,
    /// Partial objects.
    Metadata,
    /// Tables and partial objects.
    Transforms,
    /// The same of custom objects, which have no protobuf form themselves.
    CustomTransforms,
    /// Aggregated discovery (KEP-3352) and nothing else, not even no transformation.
    Discovery,
}

/// A negotiated answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The encoding.
    pub encoding: Encoding,
    /// Whether to indent.
    pub pretty: bool,
    /// The transformation, if any.
    pub convert: Option<Convert>,
    /// Whether `stream=watch` was given.
    pub stream: bool,
}

impl Accepted {
    /// Compact JSON.
    pub const JSON: Self = Self { encoding: Encoding::Json, pretty: false, convert: None, stream: false };

    /// Whether objects are answered as the cache has them.
    pub const fn is_plain_json(self) -> bool {
        matches!(self.encoding, Encoding::Json) && !self.pretty && self.convert.is_none()
    }

    /// The `Content-Type` of the answer.
    pub const fn content_type(self) -> &'static str {
        self.encoding.media_type()
    }
}

/// How many clauses of an `Accept` header are looked at.
const ACCEPT_CLAUSES_MAX: usize = 64;

struct Clause<'a> {
    ty: &'a str,
    subtype: &'a str,
    q: f32,
    params: Vec<(&'a str, &'a str)>,
}

fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut out: Vec<Clause<'_>> = Vec::new();
    for part in header.split(',').take(ACCEPT_CLAUSES_MAX) {
        let mut fields = part.split(';');
        let Some((ty, subtype)) = fields.next().map(str::trim).and_then(|media| {
            // goautoneg reads a lone "*" as "*/*" and skips what has no slash.
            if media == "*" { Some(("*", "*")) } else { media.split_once('/') }
        }) else {
            continue;
        };
        let mut clause = Clause { ty: ty.trim(), subtype: subtype.trim(), q: 1.0, params: Vec::new() };
        for field in fields {
            let Some((k, v)) = field.split_once('=') else { continue };
            let (k, v) = (k.trim(), v.trim());
            if k == "q" {
                clause.q = v.parse().unwrap_or(1.0);
            } else {
                clause.params.push((k, v));
            }
        }
        out.push(clause);
    }
    out.sort_by(|a, b| b.q.total_cmp(&a.q));
    out
}

/// Chooses the form of the answer; `None` when nothing that the client accepts can be made.
pub fn negotiate(accept: Option<&str>, allows: Allows, encodings: &[Encoding]) -> Option<Accepted> {
    let header = accept.unwrap_or("");
    if header.is_empty() {
        let first = encodings.first().filter(|_| allows != Allows::Discovery);
        return first.map(|&encoding| Accepted { encoding, ..Accepted::JSON });
    }
    // The two headers that nearly all clients send.
    if header == "application/json" && encodings.first() == Some(&Encoding::Json) {
        return Some(Accepted::JSON).filter(|_| allows != Allows::Discovery);
    }
    for clause in clauses(header) {
        for &encoding in encodings {
            let matches = match (clause.ty, clause.subtype) {
                ("*" | "application", "*") => true,
                ("application", s) => s == encoding.subtype(),
                _ => false,
            };
            if matches && let Some(accepted) = accept_params(&clause, encoding, allows) {
                return Some(accepted);
            }
        }
    }
    None
}

/// The form of a page about the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// For people.
    Text,
    /// An object of `config.k8s.io`.
    Object {
        /// The encoding.
        accepted: Accepted,
        /// The version of the object.
        version: &'static str,
    },
}

/// Chooses the form of a page whose objects are of this kind: without asking for an object by `as`, `g` and
/// `v` there is text only.
///
/// # Errors
/// 406.
pub fn negotiate_page(accept: Option<&str>, kind: &str) -> Result<Page, Status> {
    let header = accept.unwrap_or("");
    if header.trim().is_empty() {
        return Ok(Page::Text);
    }
    for clause in clauses(header) {
        let get = |key: &str| clause.params.iter().rev().find(|(k, _)| *k == key).map(|(_, v)| *v);
        let asked = (get("as"), get("g"), get("v"));
        if asked == (None, None, None) {
            if matches!((clause.ty, clause.subtype), ("*", "*") | ("text", "*" | "plain")) {
                return Ok(Page::Text);
            }
            continue;
        }
        let version = match asked {
            (Some(k), Some("config.k8s.io"), Some("v1beta1")) if k == kind => "v1beta1",
            (Some(k), Some("config.k8s.io"), Some("v1alpha1")) if k == kind => "v1alpha1",
            _ => continue,
        };
        let encoding = match (clause.ty, clause.subtype) {
            ("*" | "application", "*") | ("application", "json") => Encoding::Json,
            ("application", "yaml") => Encoding::Yaml,
            _ => continue,
        };
        let pretty = get("pretty") == Some("1");
        return Ok(Page::Object { accepted: Accepted { encoding, pretty, ..Accepted::JSON }, version });
    }
    let message =
        "only the following media types are accepted: application/json, application/yaml, text/plain";
    Err(Status { message: message.to_owned(), ..not_acceptable(&[], false) })
}

fn accept_params(clause: &Clause<'_>, encoding: Encoding, allows: Allows) -> Option<Accepted> {
    let mut out = Accepted { encoding, ..Accepted::JSON };
    let mut convert: Option<(&str, &str, &str)> = None;
    for &(k, v) in &clause.params {
        match k {
            "as" => convert.get_or_insert(("", "", "")).0 = v,
            "g" => convert.get_or_insert(("", "", "")).1 = v,
            "v" => convert.get_or_insert(("", "", "")).2 = v,
            "stream" if !v.is_empty() => {
                if v != "watch" || !encoding.streams() {
                    return None;
                }
                out.stream = true;
            }
            "sv" if !v.is_empty() => return None,
            "pretty" => out.pretty = v == "1",
            _ => {}
        }
    }
    if allows == Allows::Discovery {
        let wanted = Some(("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"));
        return (convert == wanted).then_some(out);
    }
    if let Some(target) = convert {
        if allows == Allows::Plain {
            return None;
        }
        out.convert = Some(match target {
            // Tables have no protobuf form, and not all resources make some.
            ("Table", ..) if allows == Allows::Metadata || encoding == Encoding::Protobuf => return None,
            ("Table", "meta.k8s.io", "v1") => Convert::Table { beta: false },
            ("Table", "meta.k8s.io", "v1beta1") => Convert::Table { beta: true },
            ("PartialObjectMetadata", "meta.k8s.io", "v1") => Convert::Partial { beta: false },
            ("PartialObjectMetadata", "meta.k8s.io", "v1beta1") => Convert::Partial { beta: true },
            ("PartialObjectMetadataList", "meta.k8s.io", "v1") => Convert::PartialList { beta: false },
            ("PartialObjectMetadataList", "meta.k8s.io", "v1beta1") => Convert::PartialList { beta: true },
            _ => return None,
        });
    }
    if allows == Allows::CustomTransforms && encoding == Encoding::Protobuf && out.convert.is_none() {
        return None;
    }
    Some(out)
}

/// What go-restful looks at before any handler runs: a clause must name one of the media types that the
/// route produces, or be `*/*`; parameters and weights do not count.
pub fn route_accepts(accept: Option<&str>, stream: bool) -> Result<(), Status> {
    route_produces(accept, &Encoding::ALL, stream)
}

/// The same for a route that produces these encodings only.
pub fn route_produces(accept: Option<&str>, encodings: &[Encoding], stream: bool) -> Result<(), Status> {
    if names_one(accept, |media| encodings.iter().any(|e| e.media_type() == media)) {
        return Ok(());
    }
    let mut list: Vec<String> = encodings.iter().map(|e| e.media_type().to_owned()).collect();
    if stream {
        let streams = encodings.iter().filter(|e| e.streams());
        list.extend(streams.map(|e| format!("{};stream=watch", e.media_type())));
    }
    let text = format!("406: Not Acceptable\n\nAvailable representations: {}", list.join(", "));
    Err(route_refusal(406, "NotAcceptable", text))
}

/// The counterpart for what a route takes: one of these media types.
pub fn route_consumes(content_type: Option<&str>, media_types: &[&str]) -> Result<(), Status> {
    let given = content_type.filter(|h| !h.is_empty()).unwrap_or("application/octet-stream");
    if names_one(Some(given), |media| media_types.contains(&media)) && !given.starts_with("*/*") {
        return Ok(());
    }
    Err(route_refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type".to_owned()))
}

fn names_one(header: Option<&str>, has: impl Fn(&str) -> bool) -> bool {
    let header = header.filter(|h| !h.is_empty()).unwrap_or("*/*");
    let named = |media: &str| media == "*/*" || has(media);
    header.split(',').any(|clause| named(clause.split(';').next().unwrap_or_default().trim()))
}

fn route_refusal(code: u16, reason: &'static str, message: String) -> Status {
    Status {
        code: code.into(),
        reason: reason.into(),
        message,
        details: Some(Box::default()),
        ..Status::default()
    }
}

/// Whether output is indented: by `pretty=…` in the query, else for browsers and command-line tools.
pub fn wants_pretty(query_pretty: Option<&str>, user_agent: &str) -> bool {
    match query_pretty {
        Some(p) if !p.is_empty() => matches!(p, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => ["curl", "Wget", "Mozilla/5.0"].iter().any(|a| user_agent.starts_with(a)),
    }
}

/// The encoding of a body by its `Content-Type`; an absent header means JSON.
pub fn body_encoding(content_type: Option<&str>, encodings: &[Encoding]) -> Result<Encoding, Status> {
    let header = content_type.unwrap_or("");
    if header.is_empty() {
        return Ok(Encoding::Json);
    }
    media_type::parse(header)
        .and_then(|media| encodings.iter().copied().find(|e| e.media_type() == media))
        .ok_or_else(|| unsupported_media_type(encodings.iter().map(|e| e.media_type())))
}

/// 415 with the media types that a body may have.
pub fn unsupported_media_type<'a>(supported: impl Iterator<Item = &'a str>) -> Status {
    let list: Vec<&str> = supported.collect();
    Status {
        code: 415,
        reason: "UnsupportedMediaType".into(),
        message: format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            list.join(", ")
        ),
        details: None,
        ..Status::default()
    }
}

/// 406 with the media types that an answer may have.
pub fn not_acceptable(encodings: &[Encoding], stream: bool) -> Status {
    let list: Vec<String> = encodings
        .iter()
        .filter(|e| !stream || e.streams())
        .map(|e| format!("{}{}", e.media_type(), if stream { ";stream=watch" } else { "" }))
        .collect();
    Status {
        code: 406,
        reason: "NotAcceptable".into(),
        message: format!("only the following media types are accepted: {}", list.join(", ")),
        details: None,
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_look_at_media_types_only() {
        let patches = ["application/merge-patch+json", "application/json-patch+json"];
        for (header, takes) in [
            (Some("application/merge-patch+json"), true),
            (Some("application/merge-patch+json;charset=utf-8"), true),
            (Some("text/plain, application/json-patch+json"), true),
            (Some("application/json"), false),
            (Some("*/*"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(route_consumes(header, &patches).is_ok(), takes, "{header:?}");
        }
        for (header, makes) in [
            (None, true),
            (Some("*/*"), true),
            (Some("application/*"), false),
            (Some("text/html, */*;q=0.1"), true),
        ] {
            assert_eq!(route_accepts(header, false).is_ok(), makes, "{header:?}");
        }
        let refused = route_produces(Some("application/yaml"), &[Encoding::Json], false).unwrap_err();
        assert_eq!(refused.message, "406: Not Acceptable\n\nAvailable representations: application/json");
    }
}
