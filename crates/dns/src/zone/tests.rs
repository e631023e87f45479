use super::*;
use api::core::v1::{ServicePort, ServiceSpec};
use api::discovery::v1::EndpointConditions;
use std::collections::BTreeMap;

fn service(name: &str, ips: &[&str], kind: &str, external: Option<&str>) -> Service {
    let mut service = Service::default();
    service.metadata.namespace = Some("ns".into());
    service.metadata.name = Some(name.into());
    service.spec = Some(ServiceSpec {
        cluster_ips: Some(ips.iter().map(|ip| (*ip).to_owned()).collect()),
        type_: Some(kind.into()),
        external_name: external.map(str::to_owned),
        ports: Some(vec![ServicePort {
            name: Some("http".into()),
            port: 80,
            protocol: Some("TCP".into()),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    });
    service
}

fn endpoint(address: &str, hostname: Option<&str>, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.into()],
        hostname: hostname.map(str::to_owned),
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        ..Endpoint::default()
    }
}

fn slice(service: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut slice = EndpointSlice::default();
    slice.metadata.namespace = Some("ns".into());
    slice.metadata.name = Some(format!("{service}-1"));
    slice.metadata.labels = Some(BTreeMap::from([(SERVICE_NAME.into(), service.into())]));
    slice.endpoints = Some(endpoints);
    slice.ports = Some(vec![EndpointPort {
        name: Some("http".into()),
        port: Some(8080),
        protocol: Some("TCP".into()),
        ..EndpointPort::default()
    }]);
    slice
}

fn zone() -> Zone {
    let (services, slices) = (Lister::new(), Lister::new());
    services.put(service("web", &["10.96.0.7", "fd00::7"], "ClusterIP", None));
    services.put(service("db", &["None"], "ClusterIP", None));
    services.put(service("idle", &["None"], "ClusterIP", None));
    services.put(service("out", &[], "ExternalName", Some("example.com")));
    slices.put(slice(
        "db",
        vec![
            endpoint("10.244.0.2", Some("db-0"), true),
            endpoint("10.244.0.3", None, true),
            endpoint("10.244.0.4", Some("db-2"), false),
        ],
    ));
    slices.put(slice(
        "web",
        vec![
            endpoint("10.244.0.2", None, true),
            endpoint("10.244.0.5", None, true),
            endpoint("10.244.0.6", None, false),
            endpoint("fd00:1::", None, true),
            endpoint("10.96.0.7", None, true),
        ],
    ));
    slices.put(slice("gone", vec![endpoint("10.244.0.7", Some("h"), true)]));
    Zone::new("cluster.local", services, slices).expect("a zone")
}

fn ask(name: &str, kind: RecordType) -> String {
    match zone().find(&Name::from_ascii(name).expect("a name"), kind) {
        Found::Records { answers, additionals } => {
            let data = |records: Vec<Record>| {
                records.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(" | ")
            };
            let more =
                if additionals.is_empty() { String::new() } else { format!(" + {}", data(additionals)) };
            format!("{}{more}", data(answers))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn names_of_the_specification() {
    use RecordType::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
    let cases = [
        ("web.ns.svc.cluster.local.", A, "10.96.0.7"),
        ("WEB.ns.Svc.Cluster.Local.", A, "10.96.0.7"),
        ("web.ns.svc.cluster.local.", AAAA, "fd00::7"),
        ("web.ns.svc.cluster.local.", TXT, "NoData"),
        ("web.other.svc.cluster.local.", A, "NoName"),
        ("none.ns.svc.cluster.local.", A, "NoName"),
        ("x.web.ns.svc.cluster.local.", A, "NoName"),
        ("db.ns.svc.cluster.local.", A, "10.244.0.2 | 10.244.0.3"),
        ("db.ns.svc.cluster.local.", AAAA, "NoData"),
        ("idle.ns.svc.cluster.local.", A, "NoName"),
        ("db-0.db.ns.svc.cluster.local.", A, "10.244.0.2"),
        ("10-244-0-3.db.ns.svc.cluster.local.", A, "10.244.0.3"),
        ("db-2.db.ns.svc.cluster.local.", A, "NoName"),
        ("10-244-0-5.web.ns.svc.cluster.local.", A, "10.244.0.5"),
        ("10-244-0-6.web.ns.svc.cluster.local.", A, "NoName"),
        ("fd00-1--0.web.ns.svc.cluster.local.", AAAA, "fd00:1::"),
        ("db-0.out.ns.svc.cluster.local.", A, "NoName"),
        ("out.ns.svc.cluster.local.", A, "example.com."),
        ("out.ns.svc.cluster.local.", CNAME, "example.com."),
        ("10-1-2-3.ns.pod.cluster.local.", A, "10.1.2.3"),
        ("fd00--9.ns.pod.cluster.local.", AAAA, "fd00::9"),
        ("x.ns.pod.cluster.local.", A, "NoName"),
        ("dns-version.cluster.local.", TXT, "1.1.0"),
        ("ns.svc.cluster.local.", A, "NoData"),
        ("nobody.svc.cluster.local.", A, "NoName"),
        ("svc.cluster.local.", A, "NoData"),
        ("*.cluster.local.", A, "NoName"),
        ("*.ns.svc.cluster.local.", A, "NoName"),
        ("example.com.", A, "NotOurs"),
        ("cluster.local.", A, "NoData"),
        (
            "_http._tcp.web.ns.svc.cluster.local.",
            SRV,
            "0 100 80 web.ns.svc.cluster.local. + 10.96.0.7 | fd00::7",
        ),
        ("_http._udp.web.ns.svc.cluster.local.", SRV, "NoName"),
        ("_tcp.web.ns.svc.cluster.local.", SRV, "NoData"),
        (
            "_http._tcp.db.ns.svc.cluster.local.",
            SRV,
            "0 50 8080 db-0.db.ns.svc.cluster.local. | 0 50 8080 10-244-0-3.db.ns.svc.cluster.local. + 10.244.0.2 | 10.244.0.3",
        ),
        ("7.0.96.10.in-addr.arpa.", PTR, "web.ns.svc.cluster.local."),
        (
            "2.0.244.10.in-addr.arpa.",
            PTR,
            "db-0.db.ns.svc.cluster.local. | 10-244-0-2.web.ns.svc.cluster.local.",
        ),
        ("3.0.244.10.in-addr.arpa.", PTR, "10-244-0-3.db.ns.svc.cluster.local."),
        ("4.0.244.10.in-addr.arpa.", PTR, "NotOurs"),
        ("5.0.244.10.in-addr.arpa.", PTR, "10-244-0-5.web.ns.svc.cluster.local."),
        ("6.0.244.10.in-addr.arpa.", PTR, "NotOurs"),
        ("7.0.244.10.in-addr.arpa.", PTR, "h.gone.ns.svc.cluster.local."),
        (
            "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.",
            PTR,
            "fd00-1--0.web.ns.svc.cluster.local.",
        ),
        ("9.9.9.9.in-addr.arpa.", PTR, "NotOurs"),
        ("cluster.local.", SOA, "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 30"),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(ask(name, kind), expected, "{name} {kind}");
    }
}

#[test]
fn reverse_names() {
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
    let cases = [
        ("4.3.2.1.in-addr.arpa.", Some("1.2.3.4")),
        (v6, Some("fd00::1")),
        ("3.2.1.in-addr.arpa.", None),
        ("x.3.2.1.in-addr.arpa.", None),
        ("400.3.2.1.in-addr.arpa.", None),
        ("example.com.", None),
    ];
    for (name, expected) in cases {
        let found = reverse(&Name::from_ascii(name).expect("a name")).map(|ip| ip.to_string());
        assert_eq!(found.as_deref(), expected, "{name}");
    }
}
