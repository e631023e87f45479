//! One line of the log: an `audit.k8s.io/v1` Event as Go's encoder writes it.

use super::{Annotations, Format, Level, Stage};
use crate::call::Call;
use crate::codec;
use crate::door::Origin;
use auth::UserInfo;
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use meta::quote::Quoted;
use meta::status::Status;
use std::net::IpAddr;
use value::{Str, Value, json};

const USER_AGENT_BYTES_MAX: usize = 1024;

/// What is known when a request comes in.
pub(super) struct Fixed {
    pub(super) id: Str,
    pub(super) received: Timestamp,
    pub(super) is_resource: bool,
    uri: String,
    verb: Str,
    user: Vec<u8>,
    user_name: Str,
    groups: Vec<Str>,
    addresses: Vec<String>,
    agent: String,
    namespace: Str,
}

/// What becomes known on its way.
#[derive(Default)]
pub(super) struct Noted {
    pub(super) impersonated: Option<Vec<u8>>,
    pub(super) impersonated_name: Str,
    pub(super) reference: Option<Reference>,
    pub(super) status: Option<Status>,
    pub(super) code: Option<u16>,
    pub(super) request: Option<Vec<u8>>,
    pub(super) response: Option<Vec<u8>>,
    pub(super) annotations: Annotations,
    pub(super) finished: bool,
}

/// `objectRef`.
pub(super) struct Reference {
    resource: Str,
    namespace: Str,
    name: Str,
    uid: Str,
    group: Str,
    version: Str,
    resource_version: Str,
    subresource: Str,
}

impl Fixed {
    pub(super) fn of(call: &Call, user: Option<&UserInfo>) -> Self {
        let mut agent = call.user_agent().to_owned();
        if agent.len() > USER_AGENT_BYTES_MAX {
            // A header's text is ASCII.
            agent.truncate(USER_AGENT_BYTES_MAX);
            agent.push_str("...TRUNCATED");
        }
        let uri = call.uri.path_and_query().map_or("", |p| p.as_str());
        Self {
            id: String::from_utf8_lossy(call.audit_id.as_bytes()).into(),
            received: Timestamp::now(),
            is_resource: call.info.is_resource,
            uri: uri.to_owned(),
            verb: call.info.verb.clone(),
            user: user.map_or_else(|| b"{}".to_vec(), user_json),
            user_name: user.map(|u| u.name.clone()).unwrap_or_default(),
            groups: user.map(|u| u.groups.clone()).unwrap_or_default(),
            addresses: addresses(&call.headers, &call.origin),
            agent,
            namespace: call.info.namespace.clone(),
        }
    }
}

impl Noted {
    pub(super) fn of(call: &Call) -> Self {
        let info = &call.info;
        let reference = info.is_resource.then(|| Reference {
            resource: info.resource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            uid: Str::default(),
            group: info.group.clone(),
            version: info.version.clone(),
            resource_version: Str::default(),
            subresource: info.subresource.clone(),
        });
        Self { reference, ..Self::default() }
    }
}

impl Reference {
    /// Takes from an object's metadata what the path did not say.
    pub(super) fn complete(&mut self, metadata: &Value) {
        let fields = [
            (&mut self.namespace, "namespace"),
            (&mut self.name, "name"),
            (&mut self.uid, "uid"),
            (&mut self.resource_version, "resourceVersion"),
        ];
        for (field, key) in fields {
            if field.is_empty() {
                *field = metadata.at(key).str().into();
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let fields = [
            ("resource", &self.resource),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("uid", &self.uid),
            ("apiGroup", &self.group),
            ("apiVersion", &self.version),
            ("resourceVersion", &self.resource_version),
            ("subresource", &self.subresource),
        ];
        out.push(b'{');
        let mut first = true;
        for (key, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            member(out, &mut first, key);
            json::write_str(text, out);
        }
        out.push(b'}');
    }
}

/// From where a request comes and through whom: X-Forwarded-For, X-Real-Ip, the connection.
///
/// Upstream: `SourceIPs` in `k8s.io/apimachinery/pkg/util/net/http.go`.
fn addresses(headers: &HeaderMap, origin: &Origin) -> Vec<String> {
    const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
    let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let parse = |text: &str| text.trim().parse::<IpAddr>().ok();
    let mut all: Vec<IpAddr> = text(&FORWARDED_FOR).split(',').filter_map(parse).collect();
    if let Some(real) = parse(text(&REAL_IP))
        && !all.contains(&real)
    {
        all.push(real);
    }
    let remote = match origin {
        Origin::Wire(connection) => connection.remote.ip().to_canonical(),
        // Upstream's own clients come over the loopback interface.
        Origin::Process(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    };
    if all.last() != Some(&remote) {
        all.push(remote);
    }
    all.iter().map(ToString::to_string).collect()
}

/// A user as `authentication.k8s.io/v1` UserInfo.
pub(super) fn user_json(user: &UserInfo) -> Vec<u8> {
    let mut out = vec![b'{'];
    let mut first = true;
    for (key, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            member(&mut out, &mut first, key);
            json::write_str(text, &mut out);
        }
    }
    if !user.groups.is_empty() {
        member(&mut out, &mut first, "groups");
        strings(&mut out, user.groups.iter().map(Str::as_str));
    }
    if !user.extra.is_empty() {
        member(&mut out, &mut first, "extra");
        out.push(b'{');
        let mut first = true;
        for (key, values) in &user.extra {
            member(&mut out, &mut first, key);
            strings(&mut out, values.iter().map(Str::as_str));
        }
        out.push(b'}');
    }
    out.push(b'}');
    out
}

fn member(out: &mut Vec<u8>, first: &mut bool, key: &str) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    json::write_str(key, out);
    out.push(b':');
}

fn strings<'a>(out: &mut Vec<u8>, list: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (i, text) in list.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json::write_str(text, out);
    }
    out.push(b']');
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// The event as a line. `bare` leaves the objects out, because the line would be too long.
pub(super) fn line(
    format: Format,
    level: Level,
    stage: Stage,
    fixed: &Fixed,
    noted: &Noted,
    now: Timestamp,
    bare: bool,
) -> Vec<u8> {
    match format {
        Format::Json => json_line(level, stage, fixed, noted, now, bare),
        Format::Legacy => legacy_line(stage, fixed, noted).into_bytes(),
    }
}

fn json_line(
    level: Level,
    stage: Stage,
    fixed: &Fixed,
    noted: &Noted,
    now: Timestamp,
    bare: bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1""#);
    let text = |out: &mut Vec<u8>, key: &str, text: &str| {
        member(out, &mut false, key);
        json::write_str(text, out);
    };
    let raw = |out: &mut Vec<u8>, key: &str, json: &[u8]| {
        member(out, &mut false, key);
        out.extend_from_slice(json);
    };
    text(&mut out, "level", level.as_str());
    text(&mut out, "auditID", &fixed.id);
    text(&mut out, "stage", stage.as_str());
    text(&mut out, "requestURI", &fixed.uri);
    text(&mut out, "verb", &fixed.verb);
    raw(&mut out, "user", &fixed.user);
    if let Some(user) = &noted.impersonated {
        raw(&mut out, "impersonatedUser", user);
    }
    if !fixed.addresses.is_empty() {
        member(&mut out, &mut false, "sourceIPs");
        strings(&mut out, fixed.addresses.iter().map(String::as_str));
    }
    if !fixed.agent.is_empty() {
        text(&mut out, "userAgent", &fixed.agent);
    }
    if let Some(reference) = &noted.reference {
        member(&mut out, &mut false, "objectRef");
        reference.write(&mut out);
    }
    if noted.status.is_some() || noted.code.is_some() {
        raw(&mut out, "responseStatus", &status(noted));
    }
    if let Some(object) = noted.request.as_ref().filter(|_| !bare) {
        raw(&mut out, "requestObject", object);
    }
    if let Some(object) = noted.response.as_ref().filter(|_| !bare) {
        raw(&mut out, "responseObject", object);
    }
    text(&mut out, "requestReceivedTimestamp", &time(fixed.received));
    text(&mut out, "stageTimestamp", &time(now));
    let truncated = (Str::new_static("audit.k8s.io/truncated"), Str::new_static("true"));
    let mut annotations: Vec<(&Str, &Str)> = noted.annotations.iter().collect();
    if bare {
        annotations.push((&truncated.0, &truncated.1));
        annotations.sort();
    }
    if !annotations.is_empty() {
        member(&mut out, &mut false, "annotations");
        out.push(b'{');
        let mut first = true;
        for (key, value) in annotations {
            member(&mut out, &mut first, key);
            json::write_str(value, &mut out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
    out
}

/// The outcome: of an answer that is no Status, its code.
fn status(noted: &Noted) -> Vec<u8> {
    let code = noted.code.unwrap_or_default();
    let Some(status) = &noted.status else {
        return format!(r#"{{"metadata":{{}},"code":{code}}}"#).into_bytes();
    };
    let mut status = (*status).clone();
    if code > 0 {
        status.code = code.into();
    }
    let whole = codec::status_json(&status);
    let head: &[u8] = br#"{"kind":"Status","apiVersion":"v1","#;
    match whole.strip_prefix(head) {
        Some(rest) => [b"{", rest].concat(),
        None => whole,
    }
}

/// The line of `--audit-log-format=legacy`.
///
/// Upstream: `EventString` in `pkg/audit/format.go`.
fn legacy_line(stage: Stage, fixed: &Fixed, noted: &Noted) -> String {
    let quoted = |list: &[Str]| list.iter().map(|g| Quoted(g).to_string()).collect::<Vec<_>>().join(",");
    let or = |text: &str, none: &str| Quoted(if text.is_empty() { none } else { text }).to_string();
    let groups = if fixed.user_name.is_empty() { String::new() } else { quoted(&fixed.groups) };
    let impersonated = noted.impersonated.is_some();
    let code = match (noted.status.is_some() || noted.code.is_some(), noted.code) {
        (true, code) => code.unwrap_or_default().to_string(),
        (false, _) => "<deferred>".into(),
    };
    format!(
        "{} AUDIT: id={} stage={} ip={} method={} user={} groups={} as={} asgroups={} user-agent={} namespace={} uri={} response=\"{code}\"\n",
        time(fixed.received),
        Quoted(&fixed.id),
        Quoted(stage.as_str()),
        or(fixed.addresses.first().map_or("", String::as_str), "<unknown>"),
        Quoted(&fixed.verb),
        or(&fixed.user_name, "<none>"),
        or(&groups, "<none>"),
        if impersonated {
            Quoted(&noted.impersonated_name).to_string()
        } else {
            Quoted("<self>").to_string()
        },
        Quoted("<lookup>"),
        Quoted(&fixed.agent),
        or(&fixed.namespace, "<none>"),
        Quoted(&fixed.uri),
    )
}
