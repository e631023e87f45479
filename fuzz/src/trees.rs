//! Making inputs of lines of JSON: documents changed node by node, so that most of them still decode, and
//! objects grown from the Go types, so that every field of every kind is visited.
//!
//! The first line of an input names a type; see the targets. Inputs are plain text again, whatever made them.

use crate::mutate::{self, Dice};
use schema::{Shape, TypeId, Types};
use std::cell::RefCell;
use std::rc::Rc;
use value::{Str, Value, json};

/// How deep a grown object may be.
const GROWN_DEPTH_MAX: usize = 12;

/// How many nodes a grown object may have: few, as many small objects show more than a few large ones.
const GROWN_NODES_MAX: usize = 120;

/// Strings that fields are fond of, and that parsers are not.
const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "a.b/c",
    "app",
    "x-1",
    "-",
    "/",
    ".",
    "..",
    "*",
    "*.a.b",
    "a=b",
    "a,b",
    "=",
    "%",
    "\0",
    "\u{e9}",
    "\u{1f600}x",
    "A",
    "a/b/c",
    "/a",
    "1",
    "0",
    "-1",
    "80",
    "65536",
    "50%",
    "101%",
    "1Gi",
    "100m",
    "-5",
    "1e400",
    "99999999999999999999",
    "10.0.0.1",
    "10.0.0.0/8",
    "::1",
    "fe80::/10",
    "010.0.0.1",
    "300.1.1.1",
    "v1",
    "kubernetes.io/x",
    "requests.cpu",
    "hugepages-2Mi",
    "*/5 * * * *",
    "TZ=UTC 1 * * * *",
    "@every 1s",
    "0 0 31 2 *",
    "UTC",
    "Local",
    "Europe/Paris",
    "http://a:b@[::1]:80/%41?x#y",
    "https://",
    "unix:///a",
    "sha256:ab",
    "true",
    "RollingUpdate",
    "Recreate",
    "OnDelete",
    "Always",
    "Never",
    "ClusterIP",
    "ExternalName",
    "None",
    "NodePort",
    "LoadBalancer",
    "IPv4",
    "IPv6",
    "In",
    "Exists",
    "DoesNotExist",
    "NotIn",
    "Gt",
    "TCP",
    "UDP",
    "SCTP",
    "Localhost",
    "RuntimeDefault",
    "Block",
    "Filesystem",
    "ReadWriteOnce",
    "Utilization",
    "AverageValue",
    "Value",
    "Resource",
    "Pods",
    "External",
    "Object",
    "Indexed",
    "NonIndexed",
    "0-3,5",
    "5-1,,9999999999",
    "Webhook",
    "object.a == 1",
    "self.x.all(y, y > 0)",
    "object.",
    "'a' + 1",
    "$(A)",
    "$(",
    "2026-11-21T09:00:00Z",
    "-----BEGIN CERTIFICATE-----",
    "----",
    "system:node:a",
    "kubernetes.io/kubelet-serving",
    "spec.replicas",
    "metadata.name",
    "metadata.labels['a']",
    "limits.cpu",
    "user,mode=[",
    "a:b:c:d:e",
    "s0:c0,c1",
    "net.ipv4.tcp_syncookies",
    "net..a",
    "{",
    "[[[[",
];

const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    100,
    255,
    256,
    65_535,
    65_536,
    1_000_000_000,
    2_147_483_647,
    -2_147_483_648,
    i64::MAX,
    i64::MIN,
    4_294_967_296,
];

fn pick<'a, T: ?Sized>(dice: &mut Dice, from: &[&'a T]) -> Option<&'a T> {
    from.get(dice.below(from.len())).copied()
}

/// A file of a corpus: its lines that are not empty, and what they are as JSON.
struct File {
    lines: Vec<(Vec<u8>, Option<Value>)>,
    /// The lines that are JSON, with how many nodes they have.
    trees: Vec<(Value, usize)>,
}

impl File {
    fn parse(text: &[u8]) -> Self {
        let lines: Vec<(Vec<u8>, Option<Value>)> = text
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| (line.to_vec(), json::parse(line).ok()))
            .collect();
        let trees =
            lines.iter().filter_map(|(_, tree)| tree.clone()).map(|t| (t.clone(), count(&t))).collect();
        Self { lines, trees }
    }
}

/// A corpus and what it is when parsed.
#[derive(Default)]
struct Parsed {
    of: Vec<Vec<u8>>,
    files: Rc<Vec<File>>,
}

/// A corpus, parsed; it is the same in each run.
fn parsed(corpus: &[Vec<u8>]) -> Rc<Vec<File>> {
    thread_local! {
        static LAST: RefCell<Parsed> = RefCell::default();
    }
    LAST.with_borrow_mut(|last| {
        if last.of != corpus {
            last.files = Rc::new(corpus.iter().map(|text| File::parse(text)).collect());
            last.of = corpus.to_vec();
        }
        last.files.clone()
    })
}

/// The input of run `i` of a seed: lines of the corpus, changed as trees; now and then as bytes.
pub fn input(corpus: &[Vec<u8>], dictionary: &[&str], seed: u64, i: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed.wrapping_mul(0x9e6c_63d0_876a_3f21) ^ i);
    dice.next();
    if dice.below(32) == 0 {
        return mutate::input(corpus, dictionary, seed, i);
    }
    let files = parsed(corpus);
    let file = |dice: &mut Dice| files.get(dice.below(files.len()));
    let (Some(chosen), Some(other)) = (file(&mut dice), file(&mut dice)) else { return Vec::new() };
    let mut out = Vec::new();
    for (n, (line, tree)) in chosen.lines.iter().enumerate() {
        if n > 0 {
            out.push(b'\n');
        }
        match tree {
            Some(tree) if n > 0 || matches!(tree, Value::Object(_) | Value::Array(_)) => {
                let mut tree = tree.clone();
                for _ in 0..dice.below(6) {
                    change(&mut tree, &other.trees, dictionary, &mut dice);
                }
                out.extend_from_slice(&json::to_vec(&tree));
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

/// An object of a type; most of them decode.
pub fn grown(ty: TypeId, dice: &mut Dice) -> Value {
    let mut nodes = GROWN_NODES_MAX;
    grow(ty, GROWN_DEPTH_MAX, &mut nodes, dice)
}

/// An input for a target whose first line is the type `header`: two objects of it, the second a change of the
/// first half of the time.
pub fn grown_pair(header: &str, ty: TypeId, dictionary: &[&str], dice: &mut Dice) -> Vec<u8> {
    let first = grown(ty, dice);
    let second = if dice.below(2) == 0 {
        let mut second = first.clone();
        for _ in 0..dice.below(4) {
            change(&mut second, &[], dictionary, dice);
        }
        second
    } else {
        grown(ty, dice)
    };
    let mut out = header.as_bytes().to_vec();
    for tree in [first, second] {
        out.push(b'\n');
        out.extend_from_slice(&json::to_vec(&tree));
    }
    out
}

/// Some value that decodes as the type, most of the time.
fn grow(ty: TypeId, depth: usize, nodes: &mut usize, dice: &mut Dice) -> Value {
    *nodes = nodes.saturating_sub(1);
    if dice.below(40) == 0 {
        return Value::Null;
    }
    let text = |dice: &mut Dice| Value::from(pick(dice, TEXTS).unwrap_or_default());
    let number =
        |dice: &mut Dice| Value::from(NUMBERS.get(dice.below(NUMBERS.len())).copied().unwrap_or_default());
    let small = |dice: &mut Dice| Value::from(dice.below(6) as i64 - 1);
    let types = Types::builtin();
    match types.shape(ty) {
        Shape::Struct(s) => {
            let mut out = Value::object();
            if depth == 0 || *nodes == 0 {
                return out;
            }
            // Few fields of a wide struct, so that what is deep is reached, too.
            let odds = 1 + s.fields.len() / 6 + usize::from(dice.below(3) == 0) * 4;
            for field in &s.fields {
                if field.required && dice.below(8) != 0 || dice.below(odds) == 0 {
                    out.set(field.json, grow(field.ty, depth - 1, nodes, dice));
                }
            }
            out
        }
        Shape::List(item) => {
            if depth == 0 || *nodes == 0 {
                return Value::Array(Vec::new());
            }
            (0..dice.below(4)).map(|_| grow(*item, depth - 1, nodes, dice)).collect::<Vec<_>>().into()
        }
        Shape::Map { value: item, .. } => {
            let mut out = Value::object();
            if depth == 0 || *nodes == 0 {
                return out;
            }
            for _ in 0..dice.below(4) {
                out.set(pick(dice, TEXTS).unwrap_or_default(), grow(*item, depth - 1, nodes, dice));
            }
            out
        }
        Shape::Bool => Value::Bool(dice.below(2) == 0),
        Shape::String => {
            // The values that upstream declares for the type, if it does.
            let known: Vec<&str> = types.get(ty).values().collect();
            match pick(dice, &known) {
                Some(known) if dice.below(5) != 0 => known.into(),
                _ => text(dice),
            }
        }
        Shape::Int32 | Shape::Int64 => {
            if dice.below(2) == 0 {
                small(dice)
            } else {
                number(dice)
            }
        }
        Shape::Float64 => number(dice),
        Shape::Bytes => {
            pick(dice, &["", "YQ==", "LS0tLS1CRUdJTi0tLS0t", "AAAA", "/////w=="]).unwrap_or_default().into()
        }
        Shape::Quantity => {
            pick(dice, &["0", "1", "-1", "100m", "1Gi", "1.5", "1e3", "9E", "99999999999999999999Ei", "1n"])
                .unwrap_or_default()
                .into()
        }
        Shape::IntOrString => {
            if dice.below(2) == 0 {
                number(dice)
            } else {
                text(dice)
            }
        }
        Shape::Time => "2026-11-21T09:00:00Z".into(),
        Shape::MicroTime => "2026-11-21T09:00:00.123456Z".into(),
        Shape::Duration => {
            pick(dice, &["0s", "1h", "-1s", "2562047h47m16.854775807s"]).unwrap_or_default().into()
        }
        Shape::SchemaOrBool(t) | Shape::SchemaOrArray(t) | Shape::SchemaOrStrings(t) if depth > 0 => {
            grow(*t, depth - 1, nodes, dice)
        }
        _ => {
            let mut out = Value::object();
            out.set("a", number(dice));
            out.set("kind", text(dice));
            if dice.below(2) == 0 { out } else { number(dice) }
        }
    }
}

/// Changes one node of a tree. Donors come with how many nodes they have.
fn change(tree: &mut Value, donors: &[(Value, usize)], dictionary: &[&str], dice: &mut Dice) {
    let size = count(tree);
    let n = dice.below(size);
    let donor = donors.get(dice.below(donors.len())).map(|(d, size)| (d, dice.below(*size)));
    let m = dice.below(size);
    let word = pick(dice, dictionary).unwrap_or_default();
    let word = json::parse(word.as_bytes()).unwrap_or_else(|_| word.into());
    let kind = dice.below(12);
    let own = if kind == 6 || kind > 8 { nth(tree, m).cloned().unwrap_or_default() } else { Value::Null };
    let Some(node) = nth_mut(tree, n) else { return };
    match kind {
        0 => *node = Value::Null,
        1 => *node = Value::from(NUMBERS.get(dice.below(NUMBERS.len())).copied().unwrap_or_default()),
        2 | 3 => *node = pick(dice, TEXTS).unwrap_or_default().into(),
        4 | 5 => *node = word,
        6 => *node = own,
        7 => *node = donor.and_then(|(d, n)| nth(d, n)).cloned().unwrap_or_default(),
        8 => *node = if dice.below(2) == 0 { Value::object() } else { Value::Array(Vec::new()) },
        _ => inside(node, own, word, dice),
    }
}

fn inside(node: &mut Value, own: Value, word: Value, dice: &mut Dice) {
    match node {
        Value::Object(map) => {
            let keys: Vec<Str> = map.keys().cloned().collect();
            let key = keys.get(dice.below(keys.len())).cloned().unwrap_or_default();
            match dice.below(4) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(key, word)),
                2 => drop(map.insert(word.str(), own)),
                _ => drop(map.insert(pick(dice, TEXTS).unwrap_or_default(), own)),
            }
        }
        Value::Array(items) => match dice.below(4) {
            0 if !items.is_empty() => drop(items.remove(dice.below(items.len()))),
            1 => items.push(own),
            2 => {
                // The same item again: duplicates.
                if let Some(item) = items.get(dice.below(items.len())).cloned() {
                    items.push(item);
                }
            }
            _ => items.push(word),
        },
        Value::String(s) => {
            let mut text = s.to_string();
            let at =
                text.char_indices().map(|(i, _)| i).nth(dice.below(text.len() + 1)).unwrap_or(text.len());
            match dice.below(3) {
                0 => text.truncate(at),
                1 => text.insert_str(at, pick(dice, TEXTS).unwrap_or_default()),
                _ => text = text.repeat(1 + dice.below(40)),
            }
            text.truncate((0..=text.len().min(4096)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0));
            *node = text.into();
        }
        _ => *node = own,
    }
}

/// How many nodes a tree has.
fn count(tree: &Value) -> usize {
    match tree {
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// The node of that number, the root being 0.
fn nth(tree: &Value, n: usize) -> Option<&Value> {
    let mut left = n.checked_sub(1);
    let Some(left) = &mut left else { return Some(tree) };
    let mut find = |child: &&Value| {
        let size = count(child);
        let inside = *left < size;
        if !inside {
            *left -= size;
        }
        inside
    };
    let child = match tree {
        Value::Object(map) => map.values().find(&mut find)?,
        Value::Array(items) => items.iter().find(&mut find)?,
        _ => return None,
    };
    nth(child, *left)
}

/// The same, to be changed.
fn nth_mut(tree: &mut Value, n: usize) -> Option<&mut Value> {
    let mut left = n.checked_sub(1);
    let Some(left) = &mut left else { return Some(tree) };
    let mut find = |child: &Value| {
        let size = count(child);
        let inside = *left < size;
        if !inside {
            *left -= size;
        }
        inside
    };
    match tree {
        Value::Object(map) => {
            let child = map.iter_mut().map(|(_, v)| v).find(|child| find(child))?;
            nth_mut(child, *left)
        }
        Value::Array(items) => {
            let child = items.iter_mut().find(|child| find(child))?;
            nth_mut(child, *left)
        }
        _ => None,
    }
}
