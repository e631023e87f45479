//! Addresses and node ports of Services.
//!
//! Every address in use is an IPAddress object and every node port a bit of one RangeAllocation, as upstream
//! stores them; both are written in the transaction that writes the Service, so that no two Services can have
//! the same, whatever servers they are written by, and nothing leaks. Addresses are from the ranges of ServiceCIDRs
//! (KEP-1880); which families there are is up to the settings.
//!
//! Upstream: `pkg/registry/core/service/storage/{storage,alloc}.go`, `pkg/registry/core/service/ipallocator`.

mod ports;
mod range;

use super::Reservation;
use crate::cache::Query;
use crate::call::Call;
use crate::resource::Hub;
use kinds::core::service_ips;
use kinds::hooks::Context;
use meta::field::{Error, ErrorList, Path};
use meta::gvk::GroupKind;
use meta::status::Status;
use range::{Family, ServiceRange};
use std::net::IpAddr;
use store::{Action, Expect, Op, Txn};
use value::{Map, Value};

/// How many random addresses are tried before the range is searched from its start.
const RANDOM_ATTEMPTS: u32 = 64;

/// The ServiceCIDR of the settings' ranges.
const DEFAULT_RANGE: &str = "kubernetes";

/// Takes what a Service needs. Called before it is validated.
///
/// # Errors
/// 422 when what is asked for is taken or outside the range, 500 when the range is full.
pub(super) async fn allocate(
    call: &Call,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Reservation, Status> {
    let families: Vec<Family> = settings(call).iter().map(|range| range.family).collect();
    if families.is_empty() {
        return Err(Status::internal_error("the server's Service ranges are no networks"));
    }
    let own: Vec<&str> = families.iter().map(|family| family.as_str()).collect();
    if let Some(old) = old {
        service_ips::patch_allocated(service, old);
    }
    service_ips::normalize(service, old);
    service_ips::init_families(service, old, &own).map_err(|errors| invalid(service, &errors))?;
    let mut txn = None;
    cluster_ips(call, service, old, &families, dry_run, &mut txn)?;
    ports::node_ports(call, service, old, dry_run, &mut txn).await?;
    if service.at("spec").at("type").str() == "ExternalName" {
        // What upstream drops whenever it shows the Service is not stored here in the first place.
        service_ips::default_on_read(service, own.first().copied().unwrap_or_default());
    }
    Ok(Reservation { txn: if dry_run { None } else { txn } })
}

/// What goes with a Service that is deleted.
pub(super) async fn release(call: &Call, service: &Value) -> Result<Option<Txn>, Status> {
    let mut txn = None;
    for ip in addresses(service) {
        remove_address(call, ip, &mut txn);
    }
    ports::release_all(call, service, &mut txn).await?;
    remove_endpoints(call, service, &mut txn);
    Ok(txn)
}

/// The Endpoints of a Service go with it: whoever makes one of the same name soon is not to find old ones.
fn remove_endpoints(call: &Call, service: &Value, txn: &mut Option<Txn>) {
    let metadata = service.at("metadata");
    let (namespace, name) = (metadata.at("namespace").str(), metadata.at("name").str());
    let Some(hub) = call.api.hub("", "endpoints") else { return };
    let Some(endpoints) = hub.get(namespace, name) else { return };
    // What holds them lets them go later.
    if hub.tree(&endpoints).at("metadata").at("finalizers").items().is_empty() {
        let key = hub.store_key(namespace, name);
        push(txn, Txn::delete(key.as_bytes(), Expect::Any));
    }
}

/// The ranges of the settings.
fn settings(call: &Call) -> Vec<ServiceRange> {
    call.api.config.service_ranges.iter().filter_map(|range| ServiceRange::parse(range)).collect()
}

/// The ranges of a family that addresses may be taken from now: those of ServiceCIDRs that are ready and not to go,
/// the default one's first. Until that is there, as in a new cluster, it is as the settings will have it.
fn usable(call: &Call, family: Family) -> Vec<ServiceRange> {
    let mut ranges = Vec::new();
    if let Some(hub) = call.api.hub("networking.k8s.io", "servicecidrs") {
        let entries = hub.cache.list(Query::default()).entries;
        let mut objects: Vec<Value> = entries.iter().map(|entry| hub.tree(entry)).collect();
        let is_default = |object: &Value| object.at("metadata").at("name").str() == DEFAULT_RANGE;
        objects.sort_by_key(|object| !is_default(object));
        if !objects.first().is_some_and(is_default) {
            ranges.extend(settings(call));
        }
        for object in objects.iter().filter(|object| is_usable(object)) {
            let cidrs = object.at("spec").at("cidrs").items();
            ranges.extend(cidrs.iter().filter_map(|cidr| ServiceRange::parse(cidr.str())));
        }
    }
    ranges.retain(|range| range.family == family);
    ranges
}

/// Whether Services may get addresses of a ServiceCIDR. Without a condition it counts as ready: no controller may be
/// there to say so (`isReady`).
fn is_usable(range: &Value) -> bool {
    let conditions = range.at("status").at("conditions").items();
    let ready = conditions.iter().find(|condition| condition.at("type").str() == "Ready");
    ready.is_none_or(|ready| ready.at("status").str() == "True")
        && range.at("metadata").at("deletionTimestamp").is_null()
}

fn invalid(service: &Value, errors: &ErrorList) -> Status {
    Status::invalid(&GroupKind::new("", "Service"), service.at("metadata").at("name").str(), errors)
}

/// The addresses that a Service holds.
fn addresses(service: &Value) -> impl Iterator<Item = &str> {
    let list = service.at("spec").at("clusterIPs").items();
    list.iter().map(Value::str).filter(|ip| !matches!(*ip, "" | "None"))
}

fn cluster_ips(
    call: &Call,
    service: &mut Value,
    old: Option<&Value>,
    own: &[Family],
    dry_run: bool,
    txn: &mut Option<Txn>,
) -> Result<(), Status> {
    let held: Vec<String> = old.into_iter().flat_map(addresses).map(str::to_owned).collect();
    let mut given: Vec<String> =
        service.at("spec").at("clusterIPs").items().iter().map(|v| v.str().to_owned()).collect();
    let headless = given.first().is_some_and(|ip| ip == "None");
    let kept = kept_addresses(service, old);
    let mut now: Vec<String> = Vec::new();
    if service_ips::has_cluster_ip(service.at("spec")) && !headless {
        let families: Vec<Family> = service
            .at("spec")
            .at("ipFamilies")
            .items()
            .iter()
            .filter_map(|f| Family::parse(f.str()))
            .collect();
        given.resize(given.len().max(families.len()), String::new());
        for (i, family) in families.iter().enumerate().filter(|(_, family)| own.contains(family)) {
            match given.get(i).filter(|ip| !ip.is_empty()) {
                Some(ip) if held.contains(ip) || i < kept => now.push(ip.clone()),
                Some(ip) => {
                    let claim = if dry_run { claim_dry } else { claim };
                    claim(call, *family, ip, &given).map_err(|errors| invalid(service, &errors))?;
                    now.push(ip.clone());
                }
                None => {
                    let ranges = usable(call, *family);
                    let mut ranges = ranges.iter();
                    let found = if dry_run {
                        ranges.next().map(ServiceRange::first)
                    } else {
                        ranges.find_map(|range| free(call, range))
                    };
                    now.push(found.ok_or_else(|| full(service))?.to_string());
                }
            }
            if !dry_run
                && i >= kept
                && let Some(ip) = now.last().filter(|ip| !held.contains(ip))
            {
                let asked = given.get(i).map_or("", String::as_str);
                check_parent(call, service, ip)
                    .map_err(|why| invalid(service, &refused(&given, asked, &why)))?;
            }
        }
        let Some(spec) = service.object_at("spec") else { return Ok(()) };
        if let Some(first) = now.first() {
            spec.set("clusterIP", first.as_str());
            spec.set("clusterIPs", now.clone());
        }
    }
    for ip in now.iter().filter(|ip| !held.contains(ip)) {
        add_address(call, service, ip, txn)?;
    }
    for ip in held.iter().filter(|ip| !now.contains(ip)) {
        remove_address(call, ip, txn);
    }
    Ok(())
}

/// How many of its first addresses a Service keeps whatever it asks for: validation has the words for those that
/// change (`updateClusterIPs`).
fn kept_addresses(service: &Value, old: Option<&Value>) -> usize {
    let Some(old) = old.filter(|old| service_ips::has_cluster_ip(old.at("spec"))) else { return 0 };
    let families = |service: &Value| service.at("spec").at("ipFamilies").items().len();
    match (families(old), families(service)) {
        (1, 2) => 1,
        (_, now) => now,
    }
}

/// Whether an address that was asked for can be had.
fn claim(call: &Call, family: Family, ip: &str, all: &[String]) -> Result<(), ErrorList> {
    let refuse = |why: &str| Err(refused(all, ip, why));
    let Ok(address) = ip.parse::<IpAddr>() else { return Ok(()) }; // validation has the words
    if !usable(call, family).iter().any(|range| range.contains(address)) {
        return refuse("the provided network does not match the current range");
    }
    if is_taken(call, address) {
        return refuse("provided IP is already allocated");
    }
    Ok(())
}

/// A dry run looks at one range only, and not at what is taken (`MetaAllocator.DryRun`).
fn claim_dry(call: &Call, family: Family, ip: &str, all: &[String]) -> Result<(), ErrorList> {
    let Ok(address) = ip.parse::<IpAddr>() else { return Ok(()) };
    match usable(call, family).first() {
        Some(range) if !range.contains(address) => {
            let why = format!(
                "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}"
            );
            Err(refused(all, ip, &why))
        }
        _ => Ok(()),
    }
}

fn full(service: &Value) -> Status {
    let name = service.at("metadata").at("name").str();
    Status::internal_error(format!("failed to allocate a serviceIP for Service {name:?}: range is full"))
}

/// Why none of the addresses `all` could be had, of which `ip` was asked for unless it is empty.
fn refused(all: &[String], ip: &str, why: &str) -> ErrorList {
    let path = Path::new("spec");
    let gap = if ip.is_empty() { "" } else { " " };
    let text = format!("failed to allocate IP{gap}{ip}: {why}");
    vec![Error::invalid(&path.child("clusterIPs"), Value::from(all.to_vec()), text)]
}

/// The address's object names the Service, whose own name is not validated before it has an address.
fn check_parent(call: &Call, service: &Value, ip: &str) -> Result<(), String> {
    let Some(hub) = call.api.hub("networking.k8s.io", "ipaddresses") else { return Ok(()) };
    let object = address_object(call, service, ip);
    let errors = (hub.row.hooks.validate_create)(&Context::default(), &object);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("networking.k8s.io", "IPAddress"), ip, &errors).message)
}

fn is_taken(call: &Call, address: IpAddr) -> bool {
    call.api
        .hub("networking.k8s.io", "ipaddresses")
        .is_some_and(|hub| hub.cache.get(&address.to_string()).is_some())
}

/// An address that nobody has: a random one of the upper part of the range, which upstream keeps for this.
fn free(call: &Call, range: &ServiceRange) -> Option<IpAddr> {
    let (low, high) = range.dynamic();
    let span = u64::try_from(high - low).unwrap_or(u64::MAX).max(1);
    for _ in 0..RANDOM_ATTEMPTS {
        let address = range.at(low + u128::from(call.api.dice(span)));
        if !is_taken(call, address) {
            return Some(address);
        }
    }
    let mut all = (low..high).chain(1..low).map(|offset| range.at(offset)).take(1 << 20);
    all.find(|address| !is_taken(call, *address))
}

fn push(txn: &mut Option<Txn>, other: Txn) {
    *txn = Some(match txn.take() {
        Some(txn) => txn.and(other),
        None => other,
    });
}

fn add_address(call: &Call, service: &Value, ip: &str, txn: &mut Option<Txn>) -> Result<(), Status> {
    let Some(hub) = call.api.hub("networking.k8s.io", "ipaddresses") else { return Ok(()) };
    let object = address_object(call, service, ip);
    let key = hub.store_key("", ip);
    let value = encode(&hub, &key, object)?;
    let action = Action::Put { value, ttl: None };
    push(txn, Txn::new(Op { key: key.as_bytes().into(), expect: Expect::Absent, action }));
    Ok(())
}

fn remove_address(call: &Call, ip: &str, txn: &mut Option<Txn>) {
    let Some(hub) = call.api.hub("networking.k8s.io", "ipaddresses") else { return };
    push(txn, Txn::delete(hub.store_key("", ip).as_bytes(), Expect::Any));
}

/// The stored bytes of an object that the server itself makes.
fn encode(hub: &Hub, key: &str, mut object: Value) -> Result<bytes::Bytes, Status> {
    hub.codec.normalize(&mut object);
    hub.codec.stored_form(&mut object);
    let plain = bytes::Bytes::from(hub.codec.to_stored(&object));
    hub.transform.seal(key, plain).map_err(Status::internal_error)
}

/// Who owns the fields of an IPAddress that the server makes: the server itself.
fn owned(call: &Call) -> Value {
    const FIELDS: &[u8] = br#"{"f:metadata":{"f:labels":{".":{},"f:ipaddress.kubernetes.io/ip-family":{},"f:ipaddress.kubernetes.io/managed-by":{}}},"f:spec":{"f:parentRef":{".":{},"f:name":{},"f:namespace":{},"f:resource":{}}}}"#;
    let mut entry = Value::object();
    entry.set("manager", "kube-apiserver");
    entry.set("operation", "Update");
    entry.set("apiVersion", "networking.k8s.io/v1");
    entry.set("time", call.api.now().to_string());
    entry.set("fieldsType", "FieldsV1");
    entry.set("fieldsV1", value::json::parse(FIELDS).unwrap_or_default());
    entry
}

/// The IPAddress of a Service's address, as it is stored with the Service.
fn address_object(call: &Call, service: &Value, ip: &str) -> Value {
    let mut object = service_address(service, ip);
    if let Some(metadata) = object.object_at("metadata") {
        metadata.set("uid", call.api.new_uid());
        metadata.set("creationTimestamp", call.api.now().to_string());
        metadata.set("managedFields", vec![owned(call)]);
    }
    object
}

/// What an IPAddress of a Service says.
pub(crate) fn service_address(service: &Value, ip: &str) -> Value {
    let family = ip.parse::<IpAddr>().map_or(Family::V4, Family::of);
    let mut labels = Map::new();
    labels.insert("ipaddress.kubernetes.io/ip-family", family.as_str());
    labels.insert("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
    let mut metadata = Value::object();
    metadata.set("name", ip);
    metadata.set("labels", labels);
    let mut parent = Value::object();
    parent.set("group", "");
    parent.set("resource", "services");
    parent.set("namespace", service.at("metadata").at("namespace").clone());
    parent.set("name", service.at("metadata").at("name").clone());
    let mut spec = Value::object();
    spec.set("parentRef", parent);
    let mut object = Value::object();
    object.set("metadata", metadata);
    object.set("spec", spec);
    object
}
