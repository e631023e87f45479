//! The plugin: what the runtime executes. Synchronous and short, so that it starts in a millisecond.

use super::spec::{Answer, Code, Failure, NEWEST, Request, VERSIONS, version_of};
use crate::link::Links;
use crate::namespace::Namespace;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The name under which the binary is installed as the plugin; the first argument of the process decides.
pub const PLUGIN_NAME: &str = "corten-cni";
/// The name of the plugin that runtimes use for `lo` (containerd before 2.0 requires it); the same binary.
pub const LOOPBACK_NAME: &str = "loopback";

/// The runtime waits for minutes; an agent that is silent for this long is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer names have no meaning to any runtime and would not fit a file name.
const CONTAINER_ID_BYTES_MAX: usize = 200;
/// `IFNAMSIZ` with its final zero.
const INTERFACE_BYTES_MAX: usize = 15;

/// Answers a request: the process's exit code and what goes to standard output.
///
/// The network configuration on standard input says what is asked for: type `loopback` switches on `lo`,
/// any other is forwarded to the agent at the unix socket that its field `socket` names.
pub fn plugin(environment: &dyn Fn(&str) -> Option<String>, stdin: &[u8]) -> (i32, Vec<u8>) {
    let configuration: Result<Value, _> = serde_json::from_slice(stdin);
    let version = configuration.as_ref().map_or(NEWEST, version_of).to_owned();
    let variable = |name: &str| environment(name).unwrap_or_default();
    let answer = match (variable("CNI_COMMAND").as_str(), configuration) {
        // A version may be asked for without a configuration.
        ("VERSION", configuration) => {
            let version = configuration.as_ref().map_or(NEWEST, version_of);
            let supported = json!({ "cniVersion": version, "supportedVersions": VERSIONS });
            Answer::of(Ok(supported), version)
        }
        (_, Err(error)) => {
            let failure = Failure::new(Code::Undecodable, "cannot read the network configuration", error);
            Answer::of(Err(failure), &version)
        }
        (command, Ok(configuration)) => {
            let request = Request {
                command: command.to_owned(),
                container: variable("CNI_CONTAINERID"),
                namespace: variable("CNI_NETNS"),
                interface: variable("CNI_IFNAME"),
                arguments: variable("CNI_ARGS"),
                configuration,
            };
            answer(&request).unwrap_or_else(|failure| Answer::of(Err(failure), &version))
        }
    };
    (answer.exit_code, answer.output.into_bytes())
}

fn answer(request: &Request) -> Result<Answer, Failure> {
    validate(request)?;
    if request.configuration.get("type").and_then(Value::as_str) == Some(LOOPBACK_NAME) {
        return loopback(request).map(|result| Answer::of(Ok(result), request.version()));
    }
    let socket = request.configuration.get("socket").and_then(Value::as_str).ok_or_else(|| {
        Failure::new(Code::InvalidConfiguration, "the network configuration has no field socket", "")
    })?;
    forward(Path::new(socket), request).or_else(|error| {
        // Pods must be able to end while no agent is there; the next one notices that they are gone.
        if request.command == "DEL" && nobody_listens(&error) {
            return remove(request).map(|()| Answer::of(Ok(Value::Null), request.version()));
        }
        let code = if request.command == "STATUS" { Code::NotAvailable } else { Code::TryAgainLater };
        Err(Failure::new(code, format!("cannot reach the node's agent at {socket}"), error))
    })
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Removes the container's interface; the node's end goes with it.
fn remove(request: &Request) -> Result<(), Failure> {
    let failed = |error| Failure::new(Code::InputOutput, "cannot remove the container's interface", error);
    if request.namespace.is_empty() {
        return Ok(());
    }
    match Namespace::open(Path::new(&request.namespace)).map_err(failed)? {
        None => Ok(()),
        Some(namespace) => namespace.enter(|| Links::open()?.remove(&request.interface)).map_err(failed),
    }
}

/// The laws about variables and versions that hold for every plugin.
pub(super) fn validate(request: &Request) -> Result<(), Failure> {
    let version = request.version();
    if !VERSIONS.contains(&version) {
        let supported = VERSIONS.join(", ");
        return Err(Failure::new(
            Code::IncompatibleVersion,
            format!("incompatible CNI version {version:?}"),
            format!("supported are {supported}"),
        ));
    }
    let invalid = |message: String| Err(Failure::new(Code::InvalidEnvironment, message, ""));
    let needs: &[(&str, &str)] = match request.command.as_str() {
        "ADD" | "CHECK" => &[
            ("CNI_CONTAINERID", &request.container),
            ("CNI_NETNS", &request.namespace),
            ("CNI_IFNAME", &request.interface),
        ],
        "DEL" => &[("CNI_CONTAINERID", &request.container), ("CNI_IFNAME", &request.interface)],
        "STATUS" | "GC" => &[],
        other => return invalid(format!("unknown CNI_COMMAND: {other:?}")),
    };
    if let Some((name, _)) = needs.iter().find(|(_, value)| value.is_empty()) {
        return invalid(format!("required env variables [{name}] missing"));
    }
    if !needs.is_empty() && !is_container_id(&request.container) {
        return invalid(format!("invalid CNI_CONTAINERID {:?}", request.container));
    }
    if !needs.is_empty() && !is_interface_name(&request.interface) {
        return invalid(format!("invalid CNI_IFNAME {:?}", request.interface));
    }
    Ok(())
}

pub(crate) fn is_container_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= CONTAINER_ID_BYTES_MAX
        && text.bytes().all(plain)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

pub(crate) fn is_interface_name(text: &str) -> bool {
    (1..=INTERFACE_BYTES_MAX).contains(&text.len())
        && !matches!(text, "." | "..")
        && !text.chars().any(|char| char == '/' || char == ':' || char.is_whitespace() || char.is_control())
}

/// One request, one answer, each ended by the end of its stream.
fn forward(socket: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(&serde_json::to_vec(request)?)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Switches on the loopback interface of the pod.
fn loopback(request: &Request) -> Result<Value, Failure> {
    let failed =
        |error: io::Error| Failure::new(Code::InputOutput, "cannot set the loopback interface up", error);
    let interface = request.interface.as_str();
    match request.command.as_str() {
        "ADD" => {
            let namespace = Namespace::open(Path::new(&request.namespace)).map_err(failed)?;
            let namespace = namespace.ok_or_else(|| {
                Failure::new(Code::UnknownContainer, "no network namespace", &request.namespace)
            })?;
            namespace.enter(|| set_up(interface)).map_err(failed)?;
            Ok(request.configuration.get("prevResult").cloned().unwrap_or_else(|| loopback_result(request)))
        }
        _ => Ok(Value::Null), // it goes with the namespace
    }
}

fn set_up(interface: &str) -> io::Result<()> {
    let mut links = Links::open()?;
    match links.by_name(interface)? {
        Some(link) => links.set_up(link.index),
        None => Err(io::Error::other(format!("there is no interface {interface}"))),
    }
}

fn loopback_result(request: &Request) -> Value {
    let old = request.version().starts_with("0.");
    let ip = |address: &str, family: &str| {
        let mut value = json!({ "address": address, "interface": 0 });
        if old {
            value["version"] = family.into();
        }
        value
    };
    json!({
        "cniVersion": request.version(),
        "interfaces": [{
            "name": request.interface,
            "mac": "00:00:00:00:00:00",
            "sandbox": request.namespace,
        }],
        "ips": [ip("127.0.0.1/8", "4"), ip("::1/128", "6")],
        "dns": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(variables: &[(&str, &str)], stdin: &str, expected: Expect) {
        let find =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let (code, output) = plugin(&find, stdin.as_bytes());
        expected.assert_eq(&format!("{code} {}", String::from_utf8(output).unwrap()));
    }

    #[test]
    fn what_needs_no_agent() {
        check(
            &[("CNI_COMMAND", "VERSION")],
            r#"{"cniVersion":"1.0.0"}"#,
            expect![[
                r#"0 {"cniVersion":"1.0.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#
            ]],
        );
        check(
            &[("CNI_COMMAND", "ADD")],
            "{",
            expect![[
                r#"1 {"cniVersion":"1.1.0","code":6,"msg":"cannot read the network configuration","details":"EOF while parsing an object at line 1 column 1"}"#
            ]],
        );
        check(
            &[("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "a"), ("CNI_NETNS", "/n")],
            r#"{"cniVersion":"1.0.0"}"#,
            expect![[
                r#"1 {"cniVersion":"1.0.0","code":4,"msg":"required env variables [CNI_IFNAME] missing","details":""}"#
            ]],
        );
        check(
            &[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "../a"), ("CNI_IFNAME", "eth0")],
            r#"{"cniVersion":"1.0.0"}"#,
            expect![[
                r#"1 {"cniVersion":"1.0.0","code":4,"msg":"invalid CNI_CONTAINERID \"../a\"","details":""}"#
            ]],
        );
        check(
            &[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "a"), ("CNI_IFNAME", "e/0")],
            r#"{"cniVersion":"1.0.0"}"#,
            expect![[r#"1 {"cniVersion":"1.0.0","code":4,"msg":"invalid CNI_IFNAME \"e/0\"","details":""}"#]],
        );
        check(
            &[("CNI_COMMAND", "PLAY")],
            r#"{"cniVersion":"1.0.0"}"#,
            expect![[
                r#"1 {"cniVersion":"1.0.0","code":4,"msg":"unknown CNI_COMMAND: \"PLAY\"","details":""}"#
            ]],
        );
        check(
            &[("CNI_COMMAND", "STATUS")],
            r#"{"cniVersion":"0.2.0"}"#,
            expect![[
                r#"1 {"cniVersion":"0.2.0","code":1,"msg":"incompatible CNI version \"0.2.0\"","details":"supported are 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"}"#
            ]],
        );
        check(
            &[("CNI_COMMAND", "STATUS")],
            r#"{"cniVersion":"1.1.0","socket":"/nonexistent/socket"}"#,
            expect![[
                r#"1 {"cniVersion":"1.1.0","code":50,"msg":"cannot reach the node's agent at /nonexistent/socket","details":"No such file or directory (os error 2)"}"#
            ]],
        );
    }
}
