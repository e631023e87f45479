//! exec, attach and port-forward.

use super::{add_forwarded_for, location, upgrade_reply};
use crate::call::Call;
use crate::nodes::Verify;
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use meta::status::Status;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use streaming::{Backend, translate, tunnel, upgrade};
use value::Value;

/// What Go's `url.QueryEscape` leaves as it is, apart from the blank.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What a kubelet says that it translates itself (`node.status.declaredFeatures`).
const TRANSLATES: &str = "ExtendWebSocketsToKubelet";

/// Passes the connection on to the pod's kubelet.
pub(super) async fn answer(
    call: &Call,
    target: &Target,
    _hub: &Arc<Hub>,
    options: &Value,
) -> Result<Reply, Status> {
    let kind = target.sub.as_ref().map(|s| s.name.as_str()).unwrap_or_default();
    let name = call.info.name.as_str();
    let pod = location::object(call, "pods", name).await?;
    let container = match kind {
        "portforward" => None,
        _ => Some(location::container(&pod, options.at("container").str())?),
    };
    let node = pod.at("spec").at("nodeName").str();
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let node = location::object(call, "nodes", node).await?;
    let backend = call.api.nodes.kubelet(&node, Verify::Yes).map_err(Status::plain_error)?;
    let namespace = &call.info.namespace;
    let path = match container {
        Some(container) => format!("/{kind}/{namespace}/{name}/{container}"),
        None => format!("/portForward/{namespace}/{name}"),
    };
    if !upgrade::is_upgrade(&call.headers) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let request = request(call, &backend, &path, &query(options))?;
    let (streams, client) = (&call.api.streams, call.upgrade.clone());
    let node_translates =
        node.at("status").at("declaredFeatures").items().iter().any(|f| f.str() == TRANSLATES);
    let outcome = if !node_translates && kind == "portforward" && tunnel::is_request(&call.headers) {
        tunnel::pass(streams, client, &backend, request).await
    } else if !node_translates && kind != "portforward" && translate::is_request(&call.headers) {
        let wants = |key: &str| options.at(key).as_bool() == Some(true);
        let wanted = translate::Wanted {
            stdin: wants("stdin"),
            stdout: wants("stdout"),
            stderr: wants("stderr"),
            tty: wants("tty"),
        };
        translate::pass(streams, client, backend, request, wanted)
    } else {
        upgrade::pass(streams, client, &backend, request).await
    };
    upgrade_reply(call, outcome)
}

/// The client's request as the kubelet gets it.
fn request(call: &Call, backend: &Backend, path: &str, query: &str) -> Result<Request<Empty<Bytes>>, Status> {
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(uri)
        .body(Empty::new())
        .map_err(Status::plain_error)?;
    let headers = request.headers_mut();
    headers.clone_from(&call.headers);
    headers.remove(header::CONTENT_LENGTH);
    if !headers.contains_key(header::HOST) {
        let host = http::HeaderValue::try_from(backend.authority()).map_err(Status::plain_error)?;
        headers.insert(header::HOST, host);
    }
    add_forwarded_for(call, headers);
    Ok(request)
}

/// The options as kubelets read them, sorted by key as Go's `url.Values.Encode` does.
fn query(options: &Value) -> String {
    let mut pairs = Vec::new();
    for command in options.at("command").items() {
        pairs.push(("command", escape(command.str())));
    }
    // `ExecStderrParam` and its siblings in pkg/apis/core/types.go.
    for (key, name) in [("stderr", "error"), ("stdin", "input"), ("stdout", "output")] {
        if options.at(key).as_bool() == Some(true) {
            pairs.push((name, "1".into()));
        }
    }
    let ports: Vec<String> =
        options.at("ports").items().iter().filter_map(Value::as_i64).map(|p| p.to_string()).collect();
    if !ports.is_empty() {
        pairs.push(("port", escape(&ports.join(","))));
    }
    if options.at("tty").as_bool() == Some(true) {
        pairs.push(("tty", "1".into()));
    }
    pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("&")
}

pub(super) fn escape(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string().replace("%20", "+")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use value::json;

    #[test]
    fn options_for_kubelets() {
        for (options, want) in [
            (
                r#"{"command":["sh","-c","echo a & b"],"stdin":true,"stdout":true,"tty":true}"#,
                "command=sh&command=-c&command=echo+a+%26+b&input=1&output=1&tty=1",
            ),
            (r#"{"stderr":true,"container":"c"}"#, "error=1"),
            (r#"{"ports":[80,443]}"#, "port=80%2C443"),
            (r#"{"kind":"PodPortForwardOptions"}"#, ""),
        ] {
            assert_eq!(query(&json::parse(options.as_bytes()).unwrap()), want);
        }
    }
}
