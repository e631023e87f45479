//! Node ports: one bitmap for the cluster, in a RangeAllocation object as upstream's.

use super::{needs_health_port, needs_node_port, push};
use crate::call::Call;
use bytes::Bytes;
use meta::field::{Error, Path};
use meta::status::Status;
use schema::protobuf::wrap_message;
use schema::{Types, decode_protobuf, encode_message};
use std::collections::BTreeSet;
use store::{Action, Expect, Op, Range, Txn};
use value::Value;

/// `--service-node-port-range`.
const FIRST: i64 = 30_000;
const LAST: i64 = 32_767;
const KEY: &str = "/registry/ranges/servicenodeports";
const RANGE_ALLOCATION: &str = "k8s.io/api/core/v1.RangeAllocation";
/// Ports that are left for people to choose from (KEP-3668): the server takes them last.
const STATIC_PORTS: i64 = 86;

/// The node ports that a Service holds.
fn held(service: &Value) -> BTreeSet<i64> {
    let spec = service.at("spec");
    let ports = spec.at("ports").items().iter().map(|p| p.at("nodePort").int());
    ports.chain([spec.at("healthCheckNodePort").int()]).filter(|p| *p != 0).collect()
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
    if !needs_node_port(service) && old.is_some_and(needs_node_port) {
        clear_unchanged(service, &before);
    }
    let wanted = held(service);
    let (node, health) = (needs_node_port(service), needs_health_port(service));
    if before.is_empty() && wanted.is_empty() && !node && !health {
        return Ok(());
    }
    let (mut taken, revision) = read(call).await?;
    for port in &before {
        taken.remove(port);
    }
    claim_given(service, &taken, &before)?;
    taken.extend(&wanted);
    if node {
        fill(call, service, &mut taken)?;
    }
    if health && service.at("spec").at("healthCheckNodePort").int() == 0 {
        let port = free(call, &taken)?;
        taken.insert(port);
        if let Some(spec) = service.object_at("spec") {
            spec.set("healthCheckNodePort", port);
        }
    }
    if !dry_run && held(service) != before {
        push(txn, write(&taken, revision));
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
    push(txn, write(&taken, revision));
    Ok(())
}

/// A Service that no longer has node ports loses those that the writer only sent back.
fn clear_unchanged(service: &mut Value, before: &BTreeSet<i64>) {
    let Some(spec) = service.object_at("spec") else { return };
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if before.contains(&port.at("nodePort").int()) {
            port.remove("nodePort");
        }
    }
}

fn claim_given(service: &Value, taken: &BTreeSet<i64>, before: &BTreeSet<i64>) -> Result<(), Status> {
    let path = Path::new("spec");
    let path = path.child("ports");
    for (i, port) in service.at("spec").at("ports").items().iter().enumerate() {
        let node = port.at("nodePort").int();
        if node == 0 || before.contains(&node) {
            continue;
        }
        let item = path.index(i);
        let field = item.child("nodePort");
        let why = if !(FIRST..=LAST).contains(&node) {
            format!("provided port is not in the valid range. The range of valid ports is {FIRST}-{LAST}")
        } else if taken.contains(&node) {
            "provided port is already allocated".to_owned()
        } else {
            continue;
        };
        return Err(super::invalid(service, &vec![Error::invalid(&field, node, why)]));
    }
    Ok(())
}

/// Gives every port without a node port one. Ports of one number (TCP and UDP) share theirs.
fn fill(call: &Call, service: &mut Value, taken: &mut BTreeSet<i64>) -> Result<(), Status> {
    let Some(spec) = service.object_at("spec") else { return Ok(()) };
    let mut given: Vec<(i64, String, i64)> = Vec::new();
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        let (number, protocol) = (port.at("port").int(), port.at("protocol").str().to_owned());
        let mut node = port.at("nodePort").int();
        if node == 0 {
            let shared =
                given.iter().find(|(n, p, _)| *n == number && *p != protocol).map(|(_, _, node)| *node);
            node = match shared {
                Some(node) => node,
                None => free(call, taken)?,
            };
            taken.insert(node);
            port.set("nodePort", node);
        }
        given.push((number, protocol, node));
    }
    Ok(())
}

fn free(call: &Call, taken: &BTreeSet<i64>) -> Result<i64, Status> {
    let dynamic = FIRST + STATIC_PORTS;
    let span = LAST - dynamic + 1;
    let start = i64::try_from(call.api.dice(span.unsigned_abs())).unwrap_or(0);
    let upper = (0..span).map(|i| dynamic + (start + i) % span);
    upper
        .chain(FIRST..dynamic)
        .find(|port| !taken.contains(port))
        .ok_or_else(|| Status::internal_error("failed to allocate a nodePort: range is full"))
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
    Ok((from_bits(&bits), kv.mod_revision()))
}

fn write(taken: &BTreeSet<i64>, revision: u64) -> Txn {
    let mut object = Value::object();
    object.set("metadata", Value::object());
    object.set("range", format!("{FIRST}-{LAST}"));
    object.set("data", base64_encode(&to_bits(taken)));
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

/// A big integer, most significant byte first, whose bit i is port `FIRST + i`: Go's `big.Int.Bytes`.
fn to_bits(taken: &BTreeSet<i64>) -> Vec<u8> {
    let mut little = vec![0_u8; usize::try_from((LAST - FIRST) / 8 + 1).unwrap_or(0)];
    for port in taken.iter().filter(|p| (FIRST..=LAST).contains(*p)) {
        let bit = usize::try_from(port - FIRST).unwrap_or(0);
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

fn from_bits(big: &[u8]) -> BTreeSet<i64> {
    let mut taken = BTreeSet::new();
    for (i, byte) in big.iter().rev().enumerate() {
        for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
            taken.insert(FIRST + i64::try_from(i * 8 + bit).unwrap_or(0));
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
        for ports in [vec![], vec![30_000], vec![30_001, 30_017, 32_767]] {
            let taken: BTreeSet<i64> = ports.into_iter().collect();
            assert_eq!(from_bits(&to_bits(&taken)), taken);
        }
        assert_eq!(to_bits(&BTreeSet::from([30_000, 30_008])), [1, 1]);
    }
}
