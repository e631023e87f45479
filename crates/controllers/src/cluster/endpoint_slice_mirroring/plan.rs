//! The slices that show an Endpoints object: one per address family and set of ports. Pure.

use super::{MANAGED_BY, MANAGER, SERVICE_NAME};
use api::core::v1::{EndpointAddress, Endpoints};
use api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use api::meta::v1::ObjectMeta;
use api::{Object, owners};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How many addresses of a subset are shown, as `--mirroring-max-endpoints-per-subset`.
const SUBSET_ADDRESSES_MAX: usize = 1000;
/// Annotations that are about the Endpoints object alone.
const NOT_MIRRORED: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];

type Ports = Vec<(String, i32, String, String)>;
/// Family and ports.
type Group = (&'static str, Ports);

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<(Arc<EndpointSlice>, EndpointSlice)>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
    invalid: usize,
    skipped: usize,
}

impl Plan {
    /// What a person should know: reasons and messages of events.
    pub(super) fn notes(&self) -> Vec<(&'static str, String)> {
        let mut notes = Vec::new();
        if self.invalid > 0 {
            let text =
                format!("Skipped {} invalid IP addresses when mirroring to EndpointSlices", self.invalid);
            notes.push(("InvalidIPAddress", text));
        }
        if self.skipped > 0 {
            let text = format!(
                "A max of {SUBSET_ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. \
                 {} addresses were skipped",
                self.skipped + self.invalid
            );
            notes.push(("TooManyAddressesToMirror", text));
        }
        notes
    }
}

/// Decides; `slices` are ours.
pub(super) fn plan(endpoints: &Endpoints, slices: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut desired = desired(endpoints, &mut plan);
    let mut spare = Vec::new();
    for slice in slices {
        let family = if slice.address_type == "IPv6" { "IPv6" } else { "IPv4" };
        match desired.remove(&(family, ports_key(slice.ports.as_deref().unwrap_or_default()))) {
            Some((ports, shown)) => {
                let new = shape(endpoints, Some(slice), family, ports, shown);
                if new != **slice {
                    plan.update.push((slice.clone(), new));
                }
            }
            None => spare.push(slice.clone()),
        }
    }
    for ((family, _), (ports, shown)) in desired {
        // The type of a slice's addresses never changes.
        match spare.iter().position(|slice| slice.address_type == family) {
            Some(at) => {
                let old = spare.swap_remove(at);
                let new = shape(endpoints, Some(&old), family, ports, shown);
                plan.update.push((old, new));
            }
            None if endpoints.metadata.deletion_timestamp.is_none() => {
                plan.create.push(shape(endpoints, None, family, ports, shown));
            }
            None => {}
        }
    }
    plan.delete = spare;
    plan
}

fn desired(endpoints: &Endpoints, plan: &mut Plan) -> BTreeMap<Group, (Vec<EndpointPort>, Vec<Endpoint>)> {
    let mut desired: BTreeMap<Group, (Vec<EndpointPort>, Vec<Endpoint>)> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<EndpointPort> = subset
            .ports
            .iter()
            .flatten()
            .map(|port| EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(port.port),
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
            .collect();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        let mut shown = 0;
        for (address, ready) in ready.chain(not_ready) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                plan.invalid += 1;
                continue;
            };
            if shown == SUBSET_ADDRESSES_MAX {
                plan.skipped += 1;
                continue;
            }
            shown += 1;
            let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
            let group =
                desired.entry((family, ports_key(&ports))).or_insert_with(|| (ports.clone(), Vec::new()));
            let endpoint = endpoint(address, ip, ready);
            if !group.1.contains(&endpoint) {
                group.1.push(endpoint);
            }
        }
    }
    desired
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn ports_key(ports: &[EndpointPort]) -> Ports {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut key: Ports = ports
        .iter()
        .map(|p| (text(&p.name), p.port.unwrap_or_default(), text(&p.protocol), text(&p.app_protocol)))
        .collect();
    key.sort();
    key
}

fn shape(
    endpoints: &Endpoints,
    old: Option<&Arc<EndpointSlice>>,
    family: &str,
    ports: Vec<EndpointPort>,
    shown: Vec<Endpoint>,
) -> EndpointSlice {
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), endpoints.name().into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !NOT_MIRRORED.contains(&key.as_str()));
    let metadata = old.map_or_else(
        || ObjectMeta {
            generate_name: Some(format!("{}-", endpoints.name())),
            namespace: Some(endpoints.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        |old| old.metadata.clone(),
    );
    let same_ports =
        old.is_some_and(|old| ports_key(old.ports.as_deref().unwrap_or_default()) == ports_key(&ports));
    EndpointSlice {
        address_type: family.to_owned(),
        endpoints: Some(shown),
        metadata: ObjectMeta {
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![owners::controller_reference(endpoints)]),
            ..metadata
        },
        ports: if same_ports { old.and_then(|old| old.ports.clone()) } else { Some(ports) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn endpoints(subsets: serde_json::Value) -> Endpoints {
        serde_json::from_value(json!({"metadata": {"name": "db", "namespace": "n", "uid": "u",
            "labels": {"tier": "back"}, "annotations": {NOT_MIRRORED[1]: "{}", "note": "x"}}, "subsets": subsets}))
        .expect("endpoints")
    }

    fn stored(plan: Plan) -> Vec<Arc<EndpointSlice>> {
        let named = |(at, mut slice): (usize, EndpointSlice)| {
            slice.metadata.name = Some(format!("db-{at}"));
            Arc::new(slice)
        };
        plan.create.into_iter().enumerate().map(named).collect()
    }

    #[test]
    fn subsets_become_slices() {
        let both = endpoints(json!([{
            "addresses": [{"ip": "192.0.2.1", "hostname": "one"}, {"ip": "fd00::1"}, {"ip": "x"}],
            "notReadyAddresses": [{"ip": "192.0.2.2"}],
            "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}]));
        let first = plan(&both, &[]);
        assert_eq!((first.create.len(), first.notes().len()), (2, 1));
        let slices = stored(first);
        let v4 = &slices[0];
        let labels = v4.metadata.labels.as_ref().expect("labels");
        assert_eq!((labels["tier"].as_str(), labels[SERVICE_NAME].as_str()), ("back", "db"));
        assert_eq!(v4.metadata.annotations.as_ref().expect("annotations").len(), 1);
        let ready: Vec<_> =
            v4.endpoints.iter().flatten().map(|e| e.conditions.as_ref().and_then(|c| c.ready)).collect();
        assert_eq!(ready, [Some(true), Some(false)]);
        let again = plan(&both, &slices);
        assert!(again.create.is_empty() && again.update.is_empty() && again.delete.is_empty(), "{again:?}");
        // Another port: the slice is written over; the other family is gone.
        let moved = endpoints(
            json!([{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80, "protocol": "TCP"}]}]),
        );
        let next = plan(&moved, &slices);
        assert_eq!((next.create.len(), next.update.len(), next.delete.len()), (0, 1, 1));
        let gone = plan(&endpoints(json!(null)), &slices);
        assert_eq!(gone.delete.len(), 2);
    }

    #[test]
    fn a_thousand_addresses_of_a_subset_are_shown() {
        let addresses: Vec<_> =
            (0..1003).map(|i| json!({"ip": format!("10.0.{}.{}", i / 250, i % 250)})).collect();
        let plan = plan(&endpoints(json!([{ "addresses": addresses }])), &[]);
        assert_eq!(plan.create[0].endpoints.as_ref().map(Vec::len), Some(1000));
        assert!(plan.notes()[0].1.ends_with("3 addresses were skipped"), "{:?}", plan.notes());
    }
}
