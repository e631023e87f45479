//! Node ports: one bitmap for the cluster, in a RangeAllocation object as upstream's.

use super::push;
use crate::call::Call;
use crate::settings::PortRange;
use bytes::Bytes;
use kinds::core::service_ips::{needs_health_port, needs_node_port};
use meta::field::{Error, Path};
use meta::status::Status;
use schema::protobuf::wrap_message;
use schema::{Types, decode_protobuf, encode_message};
use std::collections::{BTreeMap, BTreeSet};
use store::{Action, Expect, Op, Range, Txn};
use value::Value;

const KEY: &str = "/registry/ranges/servicenodeports";
const RANGE_ALLOCATION: &str = "k8s.io/api/core/v1.RangeAllocation";
/// In a dry run ports are counted up from here, whatever the range: no Service can have them
/// (`portallocator/operation.go`).
const DRY_RUN: i64 = 32_768;

/// The node ports that a Service holds.
fn held(service: &Value) -> BTreeSet<i64> {
    let spec = service.at("spec");
    let ports = spec.at("ports").items().iter().map(|p| p.at("nodePort").int());
    ports.chain([spec.at("healthCheckNodePort").int()]).filter(|p| *p != 0).collect()
}

/// Those of them that it keeps: ports of a type that has none are dropped, or refused, later.
fn kept(service: &Value) -> BTreeSet<i64> {
    let spec = service.at("spec");
    let is_open = is_open(service);
    let ports = spec.at("ports").items().iter().map(|p| p.at("nodePort").int()).filter(|_| is_open);
    let health = spec.at("healthCheckNodePort").int();
    ports.chain(needs_health_port(spec).then_some(health)).filter(|p| *p != 0).collect()
}

/// Whether a Service of its type is reached by node ports.
fn is_open(service: &Value) -> bool {
    matches!(service.at("spec").at("type").str(), "NodePort" | "LoadBalancer")
}

/// Takes the node ports that a Service needs.
pub(super) async fn node_ports(
    call: &Call,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
    txn: &mut Option<Txn>,
) -> Result<(), Status> {
    let before = old.map(held).unwrap_or_default();
    let spec = service.at("spec");
    let health = needs_health_port(spec) && !old.is_some_and(|old| needs_health_port(old.at("spec")));
    if before.is_empty() && held(service).is_empty() && !is_open(service) && !health {
        return Ok(());
    }
    let (mut taken, revision) = read(call).await?;
    for port in &before {
        taken.remove(port);
    }
    let mut operation = Operation { call, dry_run, taken: taken.clone(), allocated: Vec::new() };
    if is_open(service) {
        match old {
            None => fill_new(&mut operation, service)?,
            Some(_) => fill_changed(&mut operation, service, &before)?,
        }
    }
    if health {
        health_port(&mut operation, service)?;
    }
    let held = kept(service);
    taken.extend(&held);
    if !dry_run && held != before {
        push(txn, write(&taken, call.api.settings.node_ports, revision));
    }
    Ok(())
}

/// Gives back all node ports of a Service.
pub(super) async fn release_all(call: &Call, service: &Value, txn: &mut Option<Txn>) -> Result<(), Status> {
    let ports = held(service);
    if ports.is_empty() {
        return Ok(());
    }
    let (mut taken, revision) = read(call).await?;
    for port in &ports {
        taken.remove(port);
    }
    push(txn, write(&taken, call.api.settings.node_ports, revision));
    Ok(())
}

/// What one write takes, as upstream's `PortAllocationOperation`.
struct Operation<'a> {
    call: &'a Call,
    dry_run: bool,
    /// What others hold, and what this write has taken from the range.
    taken: BTreeSet<i64>,
    allocated: Vec<i64>,
}

impl Operation<'_> {
    /// Takes a port that was asked for. What is outside the range is left to validation in a dry run.
    fn allocate(&mut self, port: i64) -> Result<(), String> {
        let range = self.call.api.settings.node_ports;
        if !self.dry_run && !range.contains(port) {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {range}"
            ));
        }
        if !self.taken.insert(port) {
            return Err("provided port is already allocated".to_owned());
        }
        self.allocated.push(port);
        Ok(())
    }

    /// Takes a free port; in a dry run one that no Service can have.
    fn next(&mut self) -> Result<i64, String> {
        let port = if self.dry_run {
            self.allocated.iter().max().map_or(DRY_RUN, |last| (*last).max(0)) + 1
        } else {
            let port = free(self.call, &self.taken)?;
            self.taken.insert(port);
            port
        };
        self.allocated.push(port);
        Ok(port)
    }

    fn allocate_at(&mut self, service: &Value, i: usize, port: i64) -> Result<(), Status> {
        self.allocate(port).map_err(|why| {
            let path = Path::new("spec");
            let list = path.child("ports");
            let item = list.index(i);
            super::invalid(service, &vec![Error::invalid(&item.child("nodePort"), port, why)])
        })
    }

    fn next_or_fail(&mut self) -> Result<i64, Status> {
        self.next().map_err(|why| Status::internal_error(format!("failed to allocate a nodePort: {why}")))
    }
}

fn set_node_port(service: &mut Value, i: usize, port: i64) {
    let ports = service.object_at("spec").and_then(|s| s.get_mut("ports")).and_then(Value::as_array_mut);
    if let Some(item) = ports.and_then(|p| p.get_mut(i)) {
        item.set("nodePort", port);
    }
}

/// The ports of a new Service. Those of one number (TCP and UDP) share their node port.
fn fill_new(operation: &mut Operation<'_>, service: &mut Value) -> Result<(), Status> {
    let ports = service.at("spec").at("ports").items().to_vec();
    let mut given: BTreeMap<i64, i64> = BTreeMap::new();
    for (i, port) in ports.iter().enumerate() {
        let (number, own) = (port.at("port").int(), port.at("nodePort").int());
        if own == 0 && !needs_node_port(service.at("spec")) {
            continue;
        }
        let Some(shared) = given.get(&number).copied() else {
            let asked = ports.iter().filter(|p| p.at("port").int() == number).map(|p| p.at("nodePort").int());
            let node = match asked.into_iter().find(|n| *n != 0) {
                Some(node) => {
                    operation.allocate_at(service, i, node)?;
                    node
                }
                None => operation.next_or_fail()?,
            };
            set_node_port(service, i, node);
            given.insert(number, node);
            continue;
        };
        if own == 0 {
            set_node_port(service, i, shared);
        } else if own != shared {
            operation.allocate_at(service, i, own)?;
        }
    }
    Ok(())
}

/// The ports of a Service that has `before` already.
fn fill_changed(
    operation: &mut Operation<'_>,
    service: &mut Value,
    before: &BTreeSet<i64>,
) -> Result<(), Status> {
    let ports = service.at("spec").at("ports").items().to_vec();
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let own = port.at("nodePort").int();
        let protocol = port.at("protocol").str();
        if own != 0 && !seen.insert((own, protocol)) {
            return Err(Status::plain_error(format!("duplicate nodePort: {{{protocol} {own}}}")));
        }
        if own == 0 {
            if needs_node_port(service.at("spec")) {
                let node = operation.next_or_fail()?;
                set_node_port(service, i, node);
            }
        } else if !before.contains(&own) && !operation.allocated.contains(&own) {
            operation.allocate_at(service, i, own)?;
        }
    }
    Ok(())
}

fn health_port(operation: &mut Operation<'_>, service: &mut Value) -> Result<(), Status> {
    let asked = service.at("spec").at("healthCheckNodePort").int();
    if asked != 0 {
        return operation.allocate(asked).map_err(|why| {
            let text = format!("failed to allocate requested HealthCheck NodePort {asked}: {why}");
            Status::internal_error(text)
        });
    }
    let port = operation.next().map_err(|why| {
        Status::internal_error(format!("failed to allocate a HealthCheck NodePort 0: {why}"))
    })?;
    if let Some(spec) = service.object_at("spec") {
        spec.set("healthCheckNodePort", port);
    }
    Ok(())
}

fn free(call: &Call, taken: &BTreeSet<i64>) -> Result<i64, String> {
    let range = call.api.settings.node_ports;
    let dynamic = range.first() + range.static_ports();
    let span = range.last() - dynamic + 1;
    let start = i64::try_from(call.api.dice(span.unsigned_abs())).unwrap_or(0);
    let upper = (0..span).map(|i| dynamic + (start + i) % span);
    let mut all = upper.chain(range.first()..dynamic);
    all.find(|port| !taken.contains(port)).ok_or_else(|| "range is full".to_owned())
}

/// The ports in use and the revision at which they were read; 0 if nothing is stored.
async fn read(call: &Call) -> Result<(BTreeSet<i64>, u64), Status> {
    let read = call.api.store.range(Range::key(KEY.as_bytes())).await;
    let read = read.map_err(|e| crate::storage::status(&e))?;
    let Some(kv) = read.kvs.first() else { return Ok((BTreeSet::new(), 0)) };
    let types = Types::builtin();
    let broken = |e: String| Status::internal_error(format!("cannot read {KEY}: {e}"));
    let ty = types.by_go_name(RANGE_ALLOCATION).ok_or_else(|| broken("no such type".into()))?;
    let object = decode_protobuf(types, ty, kv.value()).map_err(|e| broken(e.to_string()))?;
    let bits = base64_decode(object.at("data").str()).map_err(broken)?;
    // The server may have been given another range since it was written.
    let range = PortRange::parse(object.at("range").str()).map_err(broken)?;
    Ok((from_bits(&bits, range), kv.mod_revision()))
}

/// Ports outside `range`, which Services have from another one, are not in it.
fn write(taken: &BTreeSet<i64>, range: PortRange, revision: u64) -> Txn {
    let mut object = Value::object();
    object.set("metadata", Value::object());
    object.set("range", range.to_string());
    object.set("data", base64_encode(&to_bits(taken, range)));
    let types = Types::builtin();
    let mut message = Vec::new();
    if let Some(ty) = types.by_go_name(RANGE_ALLOCATION) {
        encode_message(types, ty, &object, &mut message);
    }
    let mut value = Vec::new();
    wrap_message("v1", "RangeAllocation", &message, &mut value);
    let action = Action::Put { value: Bytes::from(value), ttl: None };
    Txn::new(Op { key: KEY.as_bytes().into(), expect: Expect::mod_revision(revision), action })
}

/// A big integer, most significant byte first, whose bit i is the range's port i: Go's `big.Int.Bytes`.
fn to_bits(taken: &BTreeSet<i64>, range: PortRange) -> Vec<u8> {
    let mut little = vec![0_u8; usize::try_from((range.last() - range.first()) / 8 + 1).unwrap_or(0)];
    for port in taken.iter().filter(|port| range.contains(**port)) {
        let bit = usize::try_from(port - range.first()).unwrap_or(0);
        if let Some(byte) = little.get_mut(bit / 8) {
            *byte |= 1 << (bit % 8);
        }
    }
    while little.last() == Some(&0) {
        little.pop();
    }
    little.reverse();
    little
}

fn from_bits(big: &[u8], range: PortRange) -> BTreeSet<i64> {
    let mut taken = BTreeSet::new();
    for (i, byte) in big.iter().rev().enumerate() {
        for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
            taken.insert(range.first() + i64::try_from(i * 8 + bit).unwrap_or(0));
        }
    }
    taken
}

fn base64_encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn base64_decode(text: &str) -> Result<Vec<u8>, String> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_round_trip() {
        let usual = PortRange::parse("30000-32767").unwrap();
        for ports in [vec![], vec![30_000], vec![30_001, 30_017, 32_767]] {
            let taken: BTreeSet<i64> = ports.into_iter().collect();
            assert_eq!(from_bits(&to_bits(&taken, usual), usual), taken);
        }
        assert_eq!(to_bits(&BTreeSet::from([30_000, 30_008]), usual), [1, 1]);
        assert_eq!(to_bits(&BTreeSet::from([79, 80, 88, 90]), PortRange::parse("80-89").unwrap()), [1, 1]);
    }
}
