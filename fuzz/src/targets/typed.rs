//! Objects of Go types: the first line names the type, the others are JSON (or one protobuf message).

use crate::mutate::{self, Dice};
use crate::trees;
use schema::{TypeId, Types, Unknown, decode_value};
use std::collections::HashMap;
use std::sync::LazyLock;
use value::{Value, json};

pub(super) const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "\"\"",
    "-1",
    "1e3",
    "1.0",
    "\"metadata\":{",
    "\"spec\":{",
    "\"labels\":{\"a\":null}",
    "\"creationTimestamp\":null",
    "\"2006-01-02T15:04:05Z\"",
    "\"Metadata\":{}",
    "\"1Gi\"",
    "\"50%\"",
    "2147483648",
    "k8s\0",
    "\x08\x01",
    "\x0a\x00",
    "\x12\x02\x0a\x00",
];

pub(super) const TREES: &[&str] = &[
    "null",
    "[]",
    "{}",
    "[null]",
    "[{}]",
    "[null,{},\"x\"]",
    "-1",
    "1.5",
    "9223372036854775807",
    "\"$patch\"",
    "\"delete\"",
    "\"replace\"",
    "\"merge\"",
    "{\"$patch\":\"delete\"}",
    "{\"$patch\":\"replace\"}",
    "{\"$patch\":\"bad\"}",
    "\"$retainKeys\"",
    "[\"a\",\"name\"]",
    "\"$setElementOrder/containers\"",
    "\"$setElementOrder/ports\"",
    "[{\"name\":\"a\"},{\"name\":\"b\"}]",
    "\"$deleteFromPrimitiveList/finalizers\"",
    "\"$deleteFromPrimitiveList/args\"",
    "{\"name\":\"a\",\"$patch\":\"delete\"}",
    "{\"containerPort\":80,\"protocol\":\"TCP\"}",
    "\"containers\"",
    "\"finalizers\"",
    "\"labels\"",
    "\"managedFields\"",
    "{\"manager\":\"m\",\"operation\":\"Apply\",\"apiVersion\":\"apps/v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{}}}",
    "{\"f:a\":{},\"k:{\\\"name\\\":\\\"a\\\"}\":{\".\":{},\"f:image\":{}},\"v:1\":{},\"i:0\":{}}",
    "\"k:{\\\"containerPort\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\"",
    "\"v:\\\"x\\\"\"",
    "\"i:-1\"",
    "\"f:\"",
    "\".\"",
];

struct Structs {
    all: Vec<(String, TypeId)>,
    places: HashMap<String, usize>,
}

/// All structs with their places among them.
static STRUCTS: LazyLock<Structs> = LazyLock::new(|| {
    let types = Types::builtin();
    let all: Vec<_> = types
        .iter()
        .filter(|(id, _)| types.structure(*id).is_some())
        .map(|(id, _)| (types.go_name(id), id))
        .collect();
    let places = all.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
    Structs { all, places }
});

/// The struct that the first line names, and what follows; bytes choose one if no line does.
fn split(input: &[u8]) -> Option<(TypeId, &[u8])> {
    let known = input.iter().position(|b| *b == b'\n').and_then(|end| {
        let name = std::str::from_utf8(input.get(..end)?).ok()?;
        Some((*STRUCTS.places.get(name)?, input.get(end + 1..)?))
    });
    let (place, rest) = known.or_else(|| {
        let (place, rest) = input.split_first_chunk::<2>()?;
        Some((usize::from(u16::from_le_bytes(*place)) % STRUCTS.all.len(), rest))
    })?;
    Some((STRUCTS.all.get(place)?.1, rest))
}

pub(super) fn decode_json(input: &[u8]) {
    if let Some((ty, text)) = split(input) {
        schema::fuzz::json(ty, text);
    }
}

pub(super) fn decode_protobuf(input: &[u8]) {
    if let Some((ty, bytes)) = split(input) {
        schema::fuzz::protobuf(ty, bytes);
    }
}

/// A struct and two trees.
fn typed(input: &[u8]) -> Option<(TypeId, Value, Value)> {
    let (ty, rest) = split(input)?;
    let mut lines = rest.splitn(2, |b| *b == b'\n');
    Some((ty, json::parse(lines.next()?).ok()?, json::parse(lines.next()?).ok()?))
}

pub(super) fn strategic(input: &[u8]) {
    let Some((ty, object, patch)) = typed(input) else { return };
    let Ok(patched) = merge::strategic::apply(object, patch, ty) else { return };
    assert_eq!(
        json::parse(&json::to_vec(&patched)).as_ref(),
        Ok(&patched),
        "a patched document is a document"
    );
    let _ = decode_value(Types::builtin(), ty, &patched, Unknown::Report);
}

/// The live object is in Go's form, as it always is; the configuration is what a client sent.
pub(super) fn apply(input: &[u8]) {
    use merge::typed::{
        Duplicates, compare, extract_items, merge as merge_typed, remove_items, to_field_set, validate,
    };
    let Some((go, live, config)) = typed(input) else { return };
    let Some(ty) = merge::builtin::type_of(go) else { return };
    let Ok(live) = decode_value(Types::builtin(), go, &live, Unknown::Ignore) else { return };
    let live = live.value;
    let (schema, id) = (&*ty.schema, ty.id);
    let is_valid = validate(schema, id, &config, Duplicates::Refused).is_ok();
    if let Ok(set) = to_field_set(schema, id, &config) {
        let text = merge::fields::v1::to_json(&set);
        let tree = json::parse(text.as_bytes()).expect("FieldsV1 is JSON");
        assert_eq!(merge::fields::v1::from_tree(&tree).as_ref(), Ok(&set), "FieldsV1 reads back");
        let _ = (remove_items(schema, id, &live, &set), extract_items(schema, id, &live, &set));
    }
    // Managed fields are refused in a configuration before it is merged.
    let mut plain = config.clone();
    if let Some(metadata) = plain.object_at("metadata") {
        metadata.remove("managedFields");
    }
    if let Ok(merged) = merge_typed(schema, id, &live, &plain) {
        let _ = compare(schema, id, &live, &merged);
        if let Ok(again) = merge_typed(schema, id, &merged, &plain) {
            assert!(again == merged || !is_valid, "twice is once");
        }
    }
    managed(&ty, &live, config);
}

/// The same as a request: managed fields are those that the live object says.
fn managed(ty: &merge::Type, live: &Value, mut config: Value) {
    use merge::managed;
    let kind = live.at("kind").str().to_owned();
    // The door has stamped the version of the request on what comes here.
    let version = Some(live.at("apiVersion").str()).filter(|v| !v.is_empty()).unwrap_or("v1").to_owned();
    let versions = merge::updater::OneVersion { version: version.as_str().into(), ty: ty.clone() };
    let mut empty = Value::object();
    empty.set("apiVersion", version.as_str());
    empty.set("kind", kind.as_str());
    let write = managed::Write {
        manager: "fuzz",
        subresource: "",
        now: "2026-11-21T09:00:00Z",
        version: &version,
        kind: &kind,
        ty,
        trust: merge::types::Trust::Decoded,
        versions: &versions,
        reset_fields: &[],
        empty: &empty,
    };
    for force in [merge::updater::Force::No, merge::updater::Force::Yes] {
        if let Ok(applied) = managed::apply(&write, live, &config, force) {
            let list = applied.managed_fields.unwrap_or_default();
            assert!(managed::decode(&list).is_ok(), "managed fields read back");
        }
    }
    managed::update(&write, live, &mut config);
}

pub(super) fn managed_fields(input: &[u8]) {
    use merge::fields::v1;
    let Ok(tree) = json::parse(input) else { return };
    let _ = merge::managed::validate_entries(&tree, &meta::field::Path::new("metadata"));
    if let Ok(entries) = merge::managed::decode(&tree) {
        let sets: Vec<_> = entries.iter().map(|e| e.set.clone()).collect();
        let list = merge::managed::encode(entries.clone()).unwrap_or_default();
        let again = merge::managed::decode(&list).expect("what was written");
        assert_eq!(again.len(), entries.len());
        let all = merge::Set::union_all(sets.clone());
        for set in sets {
            assert!(all.contains(&set), "a union contains its parts");
        }
    }
    let Ok(set) = v1::from_tree(&tree) else { return };
    let text = v1::to_json(&set);
    let written = json::parse(text.as_bytes()).expect("FieldsV1 is JSON");
    assert_eq!(v1::from_tree(&written).as_ref(), Ok(&set), "written as {text}");
    assert_eq!(v1::from_tree(&v1::to_tree(&set)).as_ref(), Ok(&set), "the tree reads back");
    assert!(set.difference(&set).is_empty() && set.union(&set) == set && set.intersection(&set) == set);
    for path in set.paths() {
        assert!(set.has(&path.0), "it has its own paths");
    }
    let _ = (set.leaves(), set.recursive_difference(&set.leaves()));
}

/// Half of the inputs are changed corpus, half are grown from a struct of the list of kinds.
pub(super) fn make(corpus: &[Vec<u8>], dictionary: &[&str], seed: u64, i: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed.wrapping_mul(0x51ed_270b_35ae_91cf) ^ i);
    dice.next();
    if dice.below(2) == 0 {
        return trees::input(corpus, dictionary, seed, i);
    }
    let Some((name, ty)) = row(&mut dice) else { return Vec::new() };
    trees::grown_pair(name, ty, dictionary, &mut dice)
}

/// The struct of a random row.
fn row(dice: &mut Dice) -> Option<(&'static str, TypeId)> {
    let rows = kinds::Table::builtin().rows();
    let row = rows.get(dice.below(rows.len()))?;
    let (name, ty) = STRUCTS.all.get(*STRUCTS.places.get(row.go_type.as_str())?)?;
    Some((name, *ty))
}

/// The same as JSON of one object, then perhaps changed as bytes.
pub(super) fn make_json(corpus: &[Vec<u8>], dictionary: &[&str], seed: u64, i: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed.wrapping_mul(0x51ed_270b_35ae_91cf) ^ i);
    dice.next();
    let text = if dice.below(2) == 0 {
        trees::input(corpus, dictionary, seed, i)
    } else {
        let Some((name, ty)) = row(&mut dice) else { return Vec::new() };
        let mut text = [name.as_bytes(), b"\n"].concat();
        json::write(&trees::grown(ty, &mut dice), &mut text);
        text
    };
    if i.is_multiple_of(2) { text } else { mutate::input(&[text], dictionary, seed, i) }
}

/// The same as a protobuf message.
pub(super) fn make_protobuf(corpus: &[Vec<u8>], dictionary: &[&str], seed: u64, i: u64) -> Vec<u8> {
    if i.is_multiple_of(4) {
        return mutate::input(corpus, dictionary, seed, i);
    }
    let mut dice = Dice::new(seed ^ i.rotate_left(32));
    let place = dice.below(STRUCTS.all.len());
    let Some((name, ty)) = STRUCTS.all.get(place) else { return Vec::new() };
    let object = trees::grown(*ty, &mut dice);
    let mut out = [name.as_bytes(), b"\n"].concat();
    if let Ok(decoded) = decode_value(Types::builtin(), *ty, &object, Unknown::Ignore) {
        schema::encode_message(Types::builtin(), *ty, &decoded.value, &mut out);
    }
    if dice.below(3) == 0 { out } else { mutate::input(&[out], dictionary, seed, i) }
}
