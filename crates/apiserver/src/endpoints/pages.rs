//! `/flagz` and `/statusz`: how this server was started, and what it is.
//!
//! Upstream: `apiserver/pkg/server/{flagz,statusz}` (KEP-4828, KEP-4827).

use super::version;
use crate::call::Call;
use crate::negotiate::{Encoding, Page, negotiate_page};
use crate::reply::Reply;
use http::{HeaderValue, header};
use meta::status::Status;
use value::{Value, json};

/// What upstream calls the component.
const COMPONENT: &str = "apiserver";
/// The paths that `/statusz` names.
const PATHS: [&str; 7] = ["/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"];

/// Answers `/flagz`: the options that this server was started by, and its settings under the names of upstream's
/// flags.
pub(super) fn flagz(call: &Call) -> Result<Reply, Status> {
    let config = &call.api.config;
    let settings = [
        ("advertise-address", config.advertise_address.to_string()),
        ("authorization-mode", "[Node,RBAC]".to_owned()),
        ("enable-priority-and-fairness", call.api.flow.is_some().to_string()),
        ("secure-port", config.port.to_string()),
        ("service-account-issuer", format!("[{}]", config.issuer)),
        ("service-cluster-ip-range", config.service_ranges.join(",")),
    ];
    let mut flags = call.api.flags.clone();
    flags.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    let mut tree = Value::object();
    let mut text = String::new();
    for (name, value) in flags {
        text.push_str(&format!("{name}:{value}\n"));
        tree.set(&name, value);
    }
    page(call, "Flagz", &text, &[("flags", tree)])
}

/// Answers `/statusz`.
pub(super) fn statusz(call: &Call) -> Result<Reply, Status> {
    let binary = meta::KUBERNETES_VERSION.trim_start_matches('v');
    let emulated = format!("{}.{}", version::field("emulationMajor"), version::field("emulationMinor"));
    let (started, up) = (call.api.started, call.api.now().since(call.api.started).nanos() / 1_000_000_000);
    let go = version::field("goVersion");
    let date = jiff::Timestamp::from_second(started.unix_seconds()).unwrap_or_default();
    let text = format!(
        "\nStarted: {}\nUp: {} hr {:02} min {:02} sec\nGo version: {go}\nBinary version: {binary}\nEmulation version: {emulated}\nPaths: {}\n",
        date.strftime("%a %b %e %H:%M:%S UTC %Y"),
        up / 3_600,
        up / 60 % 60,
        up % 60,
        PATHS.join(" ")
    );
    let fields = [
        ("startTime", started.to_string().into()),
        ("uptimeSeconds", up.into()),
        ("goVersion", go.into()),
        ("binaryVersion", binary.into()),
        ("emulationVersion", emulated.into()),
        ("paths", PATHS.to_vec().into()),
    ];
    page(call, "Statusz", &text, &fields)
}

/// The page in the form that the client asks for; `fields` stand in upstream's order.
fn page(call: &Call, kind: &str, text: &str, fields: &[(&str, Value)]) -> Result<Reply, Status> {
    let name = kind.to_ascii_lowercase();
    let (accepted, version) = match negotiate_page(call.accept(), kind)? {
        Page::Text => {
            return Ok(Reply::text(
                200,
                format!(
                    "\n{COMPONENT} {name}\nWarning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.\n{text}"
                ),
            ));
        }
        Page::Object { accepted, version } => (accepted, version),
    };
    let mut metadata = Value::object();
    metadata.set("name", COMPONENT);
    let head = [
        ("kind", kind.into()),
        ("apiVersion", format!("config.k8s.io/{version}").into()),
        ("metadata", metadata),
    ];
    let mut body = Vec::new();
    for (i, (key, value)) in head.iter().chain(fields).enumerate() {
        body.push(if i == 0 { b'{' } else { b',' });
        json::write_str(key, &mut body);
        body.push(b':');
        json::write(value, &mut body);
    }
    body.push(b'}');
    let media = match (accepted.encoding, kind, version) {
        (Encoding::Yaml, "Flagz", "v1alpha1") => "application/yaml;g=config.k8s.io;v=v1alpha1;as=Flagz",
        (Encoding::Yaml, "Flagz", _) => "application/yaml;g=config.k8s.io;v=v1beta1;as=Flagz",
        (Encoding::Yaml, _, "v1alpha1") => "application/yaml;g=config.k8s.io;v=v1alpha1;as=Statusz",
        (Encoding::Yaml, ..) => "application/yaml;g=config.k8s.io;v=v1beta1;as=Statusz",
        (_, "Flagz", "v1alpha1") => "application/json;g=config.k8s.io;v=v1alpha1;as=Flagz",
        (_, "Flagz", _) => "application/json;g=config.k8s.io;v=v1beta1;as=Flagz",
        (_, _, "v1alpha1") => "application/json;g=config.k8s.io;v=v1alpha1;as=Statusz",
        _ => "application/json;g=config.k8s.io;v=v1beta1;as=Statusz",
    };
    let mut accepted = accepted;
    accepted.pretty |= call.pretty();
    let mut reply = Reply { content_type: media, ..Reply::json(200, accepted, body) };
    if version == "v1alpha1" {
        let text = format!(
            "299 - \"This version of the {name} endpoint is deprecated. Please use a newer version.\""
        );
        reply.headers.extend(HeaderValue::from_str(&text).map(|text| (header::WARNING, text)));
    }
    Ok(reply)
}
