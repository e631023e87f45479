//! What the tests share: trees, a seeded source of dice, and small types.

use crate::fields::Set;
use crate::types::Type;
use value::{Value, json};

/// A tree from JSON.
pub(crate) fn tree(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e} in {text}"))
}

/// A set from FieldsV1.
pub(crate) fn set(text: &str) -> Set {
    crate::fields::v1::from_tree(&tree(text)).unwrap_or_else(|e| panic!("{e} in {text}"))
}

/// A type with one of everything.
pub(crate) fn everything() -> Type {
    crate::structural::type_of(&tree(EVERYTHING), false)
}

const EVERYTHING: &str = r#"{"type":"object","properties":{
    "s":{"type":"string"},
    "n":{"type":"integer"},
    "b":{"type":"boolean"},
    "x":{"x-kubernetes-int-or-string":true},
    "map":{"type":"object","additionalProperties":{"type":"string"}},
    "atomicMap":{"type":"object","x-kubernetes-map-type":"atomic","additionalProperties":{"type":"string"}},
    "struct":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"object","properties":{"c":{"type":"string"}}}}},
    "list":{"type":"array","items":{"type":"string"}},
    "set":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
    "numbers":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"number"}},
    "keyed":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
        "items":{"type":"object","properties":{"name":{"type":"string"},"v":{"type":"integer"},
            "inner":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}}}},
    "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["port","protocol"],
        "items":{"type":"object","properties":{"port":{"type":"integer"},"protocol":{"type":"string","default":"TCP"},"name":{"type":"string"}}}},
    "any":{"type":"object","x-kubernetes-preserve-unknown-fields":true}
}}"#;

/// Whether there is a null or an empty container.
pub(crate) fn holds_empty(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Array(items) => items.is_empty() || items.iter().any(holds_empty),
        Value::Object(m) => m.is_empty() || m.values().any(holds_empty),
        _ => false,
    }
}

/// Dice from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    /// Whether one in `n` came up.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn word(&mut self) -> &'static str {
        ["a", "b", "c"][self.below(3)]
    }

    /// An object of [`everything`], valid and without duplicates.
    pub(crate) fn object(&mut self) -> Value {
        let mut v = tree(r#"{"apiVersion":"g/v1","kind":"K","metadata":{"name":"x"}}"#);
        for field in [
            "s",
            "n",
            "b",
            "x",
            "map",
            "atomicMap",
            "struct",
            "list",
            "set",
            "numbers",
            "keyed",
            "ports",
            "any",
        ] {
            if self.one_in(2) {
                let member = self.member(field);
                v.set(field, member);
            }
        }
        v
    }

    fn member(&mut self, field: &str) -> Value {
        match field {
            "s" => self.word().into(),
            "n" => self.number(),
            "b" => self.one_in(2).into(),
            "x" if self.one_in(2) => self.number(),
            "x" => self.word().into(),
            "map" | "atomicMap" => {
                let mut v = Value::object();
                for _ in 0..self.below(3) {
                    let (key, word) = (self.word(), self.word());
                    v.set(key, word);
                }
                v
            }
            "struct" => {
                let mut v = Value::object();
                if self.one_in(2) {
                    v.set("a", self.word());
                }
                if self.one_in(2) {
                    let mut b = Value::object();
                    if self.one_in(2) {
                        b.set("c", self.word());
                    }
                    v.set("b", b);
                }
                v
            }
            "list" => (0..self.below(3)).map(|_| self.word()).collect::<Vec<_>>().into(),
            "set" => self.subset().into(),
            "numbers" => (0..self.below(3)).map(|i| i as i64).collect::<Vec<_>>().into(),
            "keyed" => {
                let items = self.subset().into_iter().map(|name| {
                    let mut v = Value::object();
                    v.set("name", name);
                    if self.one_in(2) {
                        v.set("v", self.number());
                    }
                    if self.one_in(2) {
                        v.set("inner", self.subset());
                    }
                    v
                });
                items.collect::<Vec<_>>().into()
            }
            "ports" => {
                let items = (0..self.below(3)).map(|port| {
                    let mut v = Value::object();
                    v.set("port", port as i64);
                    if self.one_in(2) {
                        v.set("protocol", ["TCP", "UDP"][self.below(2)]);
                    }
                    if self.one_in(2) {
                        v.set("name", self.word());
                    }
                    v
                });
                items.collect::<Vec<_>>().into()
            }
            _ => self.anything(3),
        }
    }

    fn number(&mut self) -> Value {
        Value::from(self.below(3) as i64)
    }

    /// Some of three words, in some order.
    fn subset(&mut self) -> Vec<&'static str> {
        let mut words = vec!["a", "b", "c"];
        words.rotate_left(self.below(3));
        words.truncate(self.below(4));
        words
    }

    /// An object of any content.
    fn anything(&mut self, depth: usize) -> Value {
        let mut v = Value::object();
        for _ in 0..self.below(3) {
            let member = match self.below(5) {
                0 if depth > 0 => self.anything(depth - 1),
                1 => self.word().into(),
                2 => self.number(),
                3 => Value::Array(vec![self.number()]),
                _ => Value::Null,
            };
            let key = self.word();
            v.set(key, member);
        }
        v
    }

    /// A set of paths.
    pub(crate) fn set(&mut self) -> Set {
        let mut out = Set::new();
        for _ in 0..self.below(8) {
            let path: Vec<_> = (0..1 + self.below(4)).map(|_| self.element()).collect();
            out.insert(&path);
        }
        out
    }

    fn element(&mut self) -> crate::PathElement {
        use crate::PathElement;
        match self.below(6) {
            0 => PathElement::key(vec![
                ("name".into(), self.word().into()),
                ("port".into(), Value::from([9, 80, 443][self.below(3)])),
            ]),
            1 => PathElement::value(self.word()),
            2 => PathElement::value(Value::from([9, 80, 443][self.below(3)])),
            3 => PathElement::Index([2, 10, 1][self.below(3)]),
            _ => PathElement::field(self.word()),
        }
    }
}
