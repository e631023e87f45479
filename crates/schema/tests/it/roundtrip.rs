//! Every kind with every field set, as upstream writes it in JSON and in protobuf.

use schema::{
    TypeId, Types, Unknown, decode_json, decode_message, decode_protobuf, decode_value, encode_json,
    encode_message, encode_protobuf, is_normal, normalize, stored_form,
};
use std::fs;
use std::path::{Path, PathBuf};
use value::{Value, json};

struct Pair {
    name: String,
    ty: TypeId,
    json: Vec<u8>,
    pb: Vec<u8>,
}

fn pairs() -> Vec<Pair> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/roundtrip");
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    assert_eq!(paths.len(), 185);
    paths.iter().map(|p| pair(p)).collect()
}

fn pair(path: &Path) -> Pair {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut parts = name.rsplitn(3, '.');
    let (kind, version, group) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let group = if group == "core" { "" } else { group };
    let ty = Types::builtin().by_kind(group, version, kind);
    let ty = ty.unwrap_or_else(|| panic!("no type for {name}"));
    Pair { ty, json: fs::read(path).unwrap(), pb: fs::read(path.with_extension("pb")).unwrap(), name }
}

/// Runs `check` on every pair and reports all that fail.
fn each(check: impl Fn(&Pair) -> Result<(), String>) {
    let failures: Vec<String> =
        pairs().iter().filter_map(|p| check(p).err().map(|e| format!("{}: {e}", p.name))).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The text without white space outside of strings.
fn compact(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut in_string = false;
    let mut escaped = false;
    for c in text(bytes).chars() {
        if in_string || !c.is_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
    }
    out
}

fn difference(got: &str, want: &str) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    let at = got.bytes().zip(want.bytes()).take_while(|(a, b)| a == b).count();
    let show = |s: &str| s.bytes().skip(at.saturating_sub(60)).take(160).map(char::from).collect::<String>();
    Err(format!("at {at}\n   got {}\n  want {}", show(got), show(want)))
}

#[test]
fn json_is_reproduced_in_go_order() {
    let types = Types::builtin();
    each(|p| {
        let decoded = decode_json(types, p.ty, &p.json, Unknown::Report).map_err(|e| e.to_string())?;
        if !decoded.strict_errors.is_empty() {
            return Err(decoded.strict_errors.join(", "));
        }
        if decoded.value != json::parse(&p.json).unwrap() {
            return Err("the tree is not that of the text".to_owned());
        }
        let mut out = Vec::new();
        encode_json(types, p.ty, &decoded.value, &mut out);
        difference(&text(&out), &compact(&p.json))
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|b| if (32..127).contains(b) { char::from(*b).to_string() } else { format!("\\{b:02x}") })
        .collect()
}

#[test]
fn protobuf_is_reproduced() {
    let types = Types::builtin();
    each(|p| {
        let tree = json::parse(&p.json).unwrap();
        let mut out = Vec::new();
        // Watch events travel without an envelope.
        if p.pb.starts_with(&schema::protobuf::MAGIC) {
            encode_protobuf(types, p.ty, &tree, &mut out);
        } else {
            encode_message(types, p.ty, &tree, &mut out);
        }
        difference(&hex(&out), &hex(&p.pb))
    });
}

#[test]
fn protobuf_decodes_to_the_tree_of_the_json() {
    let types = Types::builtin();
    each(|p| {
        let decoded = if p.pb.starts_with(&schema::protobuf::MAGIC) {
            decode_protobuf(types, p.ty, &p.pb)
        } else {
            decode_message(types, p.ty, &p.pb)
        };
        let decoded = decoded.map_err(|e| e.to_string())?;
        difference(&json::to_string(&decoded), &json::to_string(&json::parse(&p.json).unwrap()))
    });
}

/// A small generator of numbers (splitmix64), so that a failure is a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) % n
    }
}

/// Removes members and empties, nulls or blanks values at random.
fn damage(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| {
                damage(v, dice);
                dice.below(6) > 0
            });
        }
        Value::Array(list) if dice.below(6) == 0 => list.clear(),
        Value::Array(list) => list.iter_mut().for_each(|v| damage(v, dice)),
        _ if dice.below(8) == 0 => *value = Value::Null,
        _ => {}
    }
}

#[test]
fn normalisation_equals_decoding_after_random_deletions() {
    let types = Types::builtin();
    each(|p| {
        let whole = json::parse(&p.json).unwrap();
        for seed in 0..20 {
            let mut tree = whole.clone();
            damage(&mut tree, &mut Dice(seed));
            let decoded =
                decode_value(types, p.ty, &tree, Unknown::Report).map_err(|e| format!("{seed}: {e}"))?.value;
            if is_normal(types, p.ty, &tree) && tree != decoded {
                return Err(format!("{seed}: a tree that is not normal is said to be"));
            }
            normalize(types, p.ty, &mut tree);
            difference(&json::to_string(&tree), &json::to_string(&decoded))
                .map_err(|e| format!("{seed}: {e}"))?;
            normalize(types, p.ty, &mut tree);
            difference(&json::to_string(&tree), &json::to_string(&decoded))
                .map_err(|e| format!("{seed}: {e}"))?;
            if !p.pb.starts_with(&schema::protobuf::MAGIC) {
                continue;
            }
            let mut bytes = Vec::new();
            encode_protobuf(types, p.ty, &tree, &mut bytes);
            let stored = decode_protobuf(types, p.ty, &bytes).map_err(|e| format!("{seed}: {e}"))?;
            stored_form(types, p.ty, &mut tree);
            difference(&json::to_string(&tree), &json::to_string(&stored))
                .map_err(|e| format!("{seed}: {e}"))?;
        }
        Ok(())
    });
}

#[test]
fn what_is_decoded_is_normal_and_what_is_foreign_is_not() {
    let types = Types::builtin();
    for name in ["core.v1.Pod", "core.v1.ConfigMap", "core.v1.Service", "apps.v1.Deployment", "core.v1.Node"]
    {
        let pair = pairs().into_iter().find(|p| p.name == name).unwrap();
        let tree = json::parse(&pair.json).unwrap();
        assert!(is_normal(types, pair.ty, &tree), "{name}");
        for (field, foreign) in [
            ("unheardOf", Value::from("x")),
            ("labels", Value::object()),
            ("labels", Value::from("x")),
            ("generation", Value::from(0)),
            ("generation", json::parse(b"1.5").unwrap()),
            ("creationTimestamp", Value::from("2020-01-01T00:00:00+00:00")),
            ("deletionGracePeriodSeconds", Value::from("1")),
        ] {
            let mut other = tree.clone();
            other.get_mut("metadata").unwrap().as_object_mut().unwrap().insert(field, foreign.clone());
            assert!(!is_normal(types, pair.ty, &other), "{name}: {field}: {foreign:?}");
        }
    }
}

#[test]
fn fuzz_entries_hold_on_every_object() {
    each(|p| {
        schema::fuzz::json(p.ty, &p.json);
        schema::fuzz::protobuf(p.ty, &p.pb);
        Ok(())
    });
}
