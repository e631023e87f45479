//! What the specification says about requests, results and errors: words and numbers, no decisions.

use crate::cidr::{Cidr, Family};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The versions of the specification whose configurations are understood.
pub(crate) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// The newest of the specification.
pub(crate) const NEWEST: &str = "1.1.0";

/// The pods' gateway: it answers for everything and is nowhere assigned.
pub(crate) const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
/// The same for IPv6.
pub(crate) const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

/// The pods' gateway of a family.
pub(crate) fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => GATEWAY_V4,
        Family::V6 => GATEWAY_V6,
    }
}

/// Error codes, section 5 of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    IncompatibleVersion = 1,
    UnknownContainer = 3,
    InvalidEnvironment = 4,
    InputOutput = 5,
    Undecodable = 6,
    InvalidConfiguration = 7,
    TryAgainLater = 11,
    NotAvailable = 50,
    /// Codes from 100 are the plugin's own: the node has no address left.
    NoAddressLeft = 100,
    /// What `CHECK` found missing.
    NotAsExpected = 101,
}

/// An error as the runtime gets it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {details}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>, details: impl ToString) -> Self {
        Self { code, message: message.into(), details: details.to_string() }
    }

    /// As the specification writes it.
    pub(crate) fn json(&self, version: &str) -> Value {
        json!({
            "cniVersion": version,
            "code": self.code as u32,
            "msg": self.message,
            "details": self.details,
        })
    }
}

/// A request as the plugin hands it to the agent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) command: String,
    pub(crate) container: String,
    pub(crate) namespace: String,
    pub(crate) interface: String,
    pub(crate) arguments: String,
    pub(crate) configuration: Value,
}

impl Request {
    /// The version that the configuration asks for; the specification's first one if it does not say.
    pub(crate) fn version(&self) -> &str {
        version_of(&self.configuration)
    }

    /// An argument of `CNI_ARGS` (`K8S_POD_NAME=web;...`).
    pub(crate) fn argument(&self, name: &str) -> String {
        let found = self.arguments.split(';').filter_map(|pair| pair.split_once('='));
        found.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next().unwrap_or_default()
    }
}

pub(crate) fn version_of(configuration: &Value) -> &str {
    configuration.get("cniVersion").and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or("0.1.0")
}

/// The agent's answer, as the plugin prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) exit_code: i32,
    pub(crate) output: String,
}

impl Answer {
    pub(crate) fn of(result: Result<Value, Failure>, version: &str) -> Self {
        match result {
            Ok(Value::Null) => Self { exit_code: 0, output: String::new() },
            Ok(value) => Self { exit_code: 0, output: value.to_string() },
            Err(failure) => Self { exit_code: 1, output: failure.json(version).to_string() },
        }
    }
}

/// An interface of a result.
pub(crate) struct Interface<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: String,
    pub(crate) mtu: u32,
    /// The namespace's path; empty on the node's side.
    pub(crate) namespace: &'a str,
}

/// The result of `ADD` in the form of a version: the interfaces, and addresses that belong to the last one.
pub(crate) fn result(version: &str, interfaces: &[Interface<'_>], addresses: &[IpAddr]) -> Value {
    let interfaces_json: Vec<Value> = interfaces
        .iter()
        .map(|interface| {
            let mut value = json!({ "name": interface.name, "mac": interface.mac });
            if !interface.namespace.is_empty() {
                value["sandbox"] = interface.namespace.into();
            }
            if version.starts_with("1.1") && interface.mtu > 0 {
                value["mtu"] = interface.mtu.into();
            }
            value
        })
        .collect();
    let last = interfaces.len().saturating_sub(1);
    let ips: Vec<Value> = addresses
        .iter()
        .map(|address| {
            let gateway = gateway(Family::of(*address)).to_string();
            let mut value = json!({ "address": Cidr::host(*address), "gateway": gateway, "interface": last });
            if version.starts_with("0.") {
                value["version"] = if address.is_ipv4() { "4" } else { "6" }.into();
            }
            value
        })
        .collect();
    let routes: Vec<Value> = Family::ALL
        .into_iter()
        .filter(|family| addresses.iter().any(|address| Family::of(*address) == *family))
        .map(|family| {
            let all = Cidr::new(family.unspecified(), 0);
            json!({ "dst": all.map(|all| all.to_string()), "gw": gateway(family).to_string() })
        })
        .collect();
    json!({ "cniVersion": version, "interfaces": interfaces_json, "ips": ips, "routes": routes, "dns": {} })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn results_by_version() {
        let interfaces = [
            Interface { name: "crt1", mac: "02:00:00:00:00:01".into(), mtu: 1500, namespace: "" },
            Interface { name: "eth0", mac: "02:00:00:00:00:02".into(), mtu: 1500, namespace: "/run/netns/a" },
        ];
        let addresses = ["10.244.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        expect![[r#"{"cniVersion":"1.1.0","interfaces":[{"name":"crt1","mac":"02:00:00:00:00:01","mtu":1500},{"name":"eth0","mac":"02:00:00:00:00:02","sandbox":"/run/netns/a","mtu":1500}],"ips":[{"address":"10.244.0.5/32","gateway":"169.254.1.1","interface":1},{"address":"fd00::5/128","gateway":"fe80::1","interface":1}],"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}],"dns":{}}"#]]
        .assert_eq(&result("1.1.0", &interfaces, &addresses).to_string());
        expect![[r#"{"cniVersion":"0.4.0","interfaces":[{"name":"crt1","mac":"02:00:00:00:00:01"},{"name":"eth0","mac":"02:00:00:00:00:02","sandbox":"/run/netns/a"}],"ips":[{"address":"10.244.0.5/32","gateway":"169.254.1.1","interface":1,"version":"4"}],"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"}],"dns":{}}"#]]
        .assert_eq(&result("0.4.0", &interfaces, &addresses[..1]).to_string());
    }

    #[test]
    fn errors() {
        let failure = Failure::new(Code::TryAgainLater, "cannot reach the agent", "no such file");
        expect![[
            r#"{"cniVersion":"1.0.0","code":11,"msg":"cannot reach the agent","details":"no such file"}"#
        ]]
        .assert_eq(&failure.json("1.0.0").to_string());
    }

    #[test]
    fn arguments() {
        let request = Request {
            arguments: "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b".into(),
            ..Request::default()
        };
        assert_eq!(request.argument("K8S_POD_NAME"), "b");
        assert_eq!(request.argument("K8S_POD_UID"), "");
    }
}
