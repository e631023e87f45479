//! The options of connections: from the query to trees of `PodExecOptions` and the like.
//!
//! Upstream: `Convert_url_Values_To_v1_PodExecOptions` and its siblings.

use crate::call::Call;
use meta::quote::quote;
use value::{Str, Value};

/// Reads the options of a kind. The tree is in Go's JSON form: zeros with `omitempty` are absent.
///
/// # Errors
/// Which parameter cannot be read.
pub(super) fn read(call: &Call, kind: &str) -> Result<Value, String> {
    let mut options = Value::object();
    options.set("kind", kind);
    options.set("apiVersion", "v1");
    match kind {
        "PodExecOptions" | "PodAttachOptions" => {
            for key in ["stdin", "stdout", "stderr", "tty"] {
                if call.query.bool(key) == Some(true) {
                    options.set(key, true);
                }
            }
            let container = call.query.str("container");
            if !container.is_empty() {
                options.set("container", container);
            }
            if kind == "PodExecOptions" {
                let command: Vec<Value> = call.query.all("command").cloned().map(Value::from).collect();
                options.set("command", if command.is_empty() { Value::Null } else { Value::Array(command) });
            }
        }
        "PodPortForwardOptions" => {
            let ports = call.query.all("ports").map(port).collect::<Result<Vec<Value>, String>>()?;
            if !ports.is_empty() {
                options.set("ports", Value::Array(ports));
            }
        }
        _ => {
            let path = subpath(&call.info.rest, &call.path);
            if !path.is_empty() {
                options.set("path", path);
            }
        }
    }
    Ok(options)
}

fn port(text: &Str) -> Result<Value, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let port: i32 = text.parse().map_err(|e: std::num::ParseIntError| {
        let why = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {}: {why}", quote(text))
    })?;
    Ok(Value::from(i64::from(port)))
}

/// What follows the word `proxy` in the path, with its leading and its trailing slash.
fn subpath(rest: &[Str], path: &str) -> String {
    let mut out = String::new();
    for part in rest.iter().filter(|part| !part.is_empty()) {
        out.push('/');
        out.push_str(part);
    }
    if path.ends_with('/') && !out.ends_with('/') {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_proxy() {
        let rest = |parts: &[&str]| parts.iter().map(|p| Str::from(*p)).collect::<Vec<_>>();
        for (parts, path, want) in [
            (&[][..], "/api/v1/nodes/n/proxy", ""),
            (&[], "/api/v1/nodes/n/proxy/", "/"),
            (&["a", "b"], "/api/v1/nodes/n/proxy/a/b", "/a/b"),
            (&["a"], "/api/v1/nodes/n/proxy/a/", "/a/"),
        ] {
            assert_eq!(subpath(&rest(parts), path), want, "{path}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(port(&"80".into()), Ok(Value::from(80)));
        assert_eq!(port(&"x".into()), Err("strconv.ParseInt: parsing \"x\": invalid syntax".into()));
        assert_eq!(
            port(&"3000000000".into()),
            Err("strconv.ParseInt: parsing \"3000000000\": value out of range".into())
        );
    }
}
