//! What fuzzers feed to the plugin and the agent, short of doing what is asked for.

use super::agent::requested_host_ports;
use super::plugin::{is_container_id, is_interface_name, validate};
use super::record::{Attachment, NodeRecord, Record};
use super::spec::{Answer, NEWEST, Request};

pub(crate) fn request(data: &[u8]) {
    let mut halves = data.splitn(2, |b| *b == b'\n');
    let (words, stdin) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let words = String::from_utf8_lossy(words);
    let mut words = words.split(' ').map(str::to_owned);
    let Ok(configuration) = serde_json::from_slice(stdin) else { return };
    let mut next = || words.next().unwrap_or_default();
    let request = Request {
        command: next(),
        container: next(),
        namespace: next(),
        interface: next(),
        arguments: next(),
        configuration,
    };
    let _ = (request.argument("K8S_POD_NAME"), request.argument(""));
    if let Err(failure) = validate(&request) {
        let answer = Answer::of(Err(failure), request.version());
        assert!(answer.exit_code == 1 && serde_json::from_str::<serde_json::Value>(&answer.output).is_ok());
        return;
    }
    // What becomes the name of a file and of an interface.
    if request.command == "ADD" {
        assert!(is_container_id(&request.container) && is_interface_name(&request.interface));
        assert!(!request.container.contains('/') && request.interface.len() <= 15);
    }
    let addresses = [[10, 244, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
    if let Ok(ports) = requested_host_ports(&request.configuration, &addresses) {
        assert!(ports.iter().all(|port| port.host_port > 0 && addresses.contains(&port.address)));
    }
    // The agent understands what the plugin tells.
    let told = serde_json::to_vec(&request).expect("a request can be written");
    let heard: Request = serde_json::from_slice(&told).expect("what was written");
    assert_eq!(heard.version(), request.version());
    let ports = |request: &Request| requested_host_ports(&request.configuration, &addresses).ok();
    assert_eq!(ports(&heard), ports(&request));
    assert!(Attachment::of(&heard).host_interface("corten-", 0).len() <= 15);
}

pub(crate) fn record(data: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(data) {
        let text = serde_json::to_vec(&record).expect("a record can be written");
        assert_eq!(serde_json::from_slice::<Record>(&text).ok(), Some(record));
    }
    if let Ok(record) = serde_json::from_slice::<NodeRecord>(data) {
        let text = serde_json::to_vec(&record).expect("a record can be written");
        assert_eq!(serde_json::from_slice::<NodeRecord>(&text).ok(), Some(record));
    }
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let _ = (request.version(), request.argument("K8S_POD_NAMESPACE"));
    }
    if let Ok(answer) = serde_json::from_slice::<Answer>(data) {
        let _ = Answer::of(
            serde_json::from_str(&answer.output).map_err(|error| {
                super::spec::Failure::new(super::spec::Code::Undecodable, "no answer", error)
            }),
            NEWEST,
        );
    }
}
