//! Entry points for fuzzing: any bytes, no panic, and the promises that are asserted.

use crate::answer::{By, Outcome, answer, server_failure};
use crate::forward::{Asked, Forwarder, Upstreams, is_answer};
use crate::resolv_conf;
use crate::zone::Zone;
use api::core::v1::{Service, ServicePort, ServiceSpec};
use api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use client::Lister;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use std::net::SocketAddr;
use std::sync::LazyLock;

/// The most that goes over UDP, in bytes.
const UDP_BYTES_MAX: usize = 1_232;

/// A Service with a port and many addresses, a headless one with an endpoint.
static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let (services, slices) = (Lister::new(), Lister::new());
    for (name, ips) in
        [("web", (0..100).map(|n| format!("10.96.0.{n}")).collect()), ("db", vec!["None".into()])]
    {
        let mut service = Service::default();
        service.metadata.namespace = Some("ns".into());
        service.metadata.name = Some(name.into());
        let port = ServicePort { name: Some("http".into()), port: 80, ..ServicePort::default() };
        service.spec =
            Some(ServiceSpec { cluster_ips: Some(ips), ports: Some(vec![port]), ..ServiceSpec::default() });
        services.put(service);
    }
    let mut slice = EndpointSlice { address_type: "IPv4".into(), ..EndpointSlice::default() };
    slice.metadata.namespace = Some("ns".into());
    slice.metadata.name = Some("db-1".into());
    slice.metadata.labels = Some([("kubernetes.io/service-name".into(), "db".into())].into());
    let endpoint = Endpoint {
        addresses: vec!["10.244.0.1".into()],
        hostname: Some("db-0".into()),
        ..Endpoint::default()
    };
    slice.endpoints = Some(vec![endpoint]);
    let port = EndpointPort { name: Some("sql".into()), port: Some(5432), ..EndpointPort::default() };
    slice.ports = Some(vec![port]);
    slices.put(slice);
    Zone::new("cluster.local", services, slices).expect("a name")
});

/// A question: what is answered is an answer to it and fits; answers are never answered.
pub fn question(data: &[u8]) {
    for by in [By::Udp, By::Tcp] {
        let bytes = match answer(&ZONE, data, by) {
            Outcome::Reply(bytes) => bytes,
            Outcome::Forward(query) => {
                assert!(!query.name().to_lowercase().to_ascii().ends_with(".cluster.local."));
                server_failure(data)
            }
            Outcome::Complete(alias) => match alias.complete(data, by) {
                Some(bytes) => bytes,
                None => continue,
            },
            Outcome::Drop => continue,
        };
        assert!(data[2] & 0x80 == 0, "an answer was answered");
        assert!(bytes[..2] == data[..2] && bytes[2] & 0x80 != 0, "an answer to the question");
        assert!(by == By::Tcp || bytes.len() <= UDP_BYTES_MAX, "{} bytes over UDP", bytes.len());
        assert!(Message::from_vec(&bytes).is_ok(), "an answer can be read");
    }
}

/// What a resolver answers: if it is the answer to the question, what is kept of it answers the next one.
pub fn resolver(data: &[u8]) {
    static QUESTION: LazyLock<(Query, Vec<u8>)> = LazyLock::new(|| {
        let mut message = Message::query();
        message.metadata.id = 77;
        message.add_query(Query::query(Name::from_ascii("Example.org.").expect("a name"), RecordType::A));
        (message.queries[0].clone(), message.to_vec().expect("bytes"))
    });
    let (query, question) = &*QUESTION;
    if !is_answer(question, data) {
        return;
    }
    let forwarder = Forwarder::new(Upstreams::Addresses(Vec::new()), Vec::new());
    forwarder.keep(Asked::of(query, question, By::Udp), data);
    if let Some(bytes) = forwarder.recall(&Asked::of(query, question, By::Udp), question, query) {
        assert!(is_answer(question, &bytes), "what was kept is an answer");
    }
}

/// A node's `resolv.conf`.
pub fn resolvers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let own: SocketAddr = ([10, 96, 0, 10], 53).into();
    let servers = resolv_conf::servers(text, &[own]);
    assert!(servers.len() <= 3 && !servers.contains(&own));
}
