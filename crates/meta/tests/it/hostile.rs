//! Inputs that are made to hurt: they must neither panic nor take time or memory out of proportion.

use meta::field::{Error, Path};
use meta::object_meta::{self, Scope};
use meta::quantity::{Format, Quantity};
use meta::quote::go_json;
use meta::status::Status;
use meta::time::{Duration, Time};
use meta::{fields, gvk, labels, names, options, strconv};
use value::{Map, Value};

/// A small generator of bad numbers: enough for choosing characters.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn text(&mut self, pieces: &[&str], max: usize) -> String {
        (0..self.below(max + 1)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}

/// Everything that reads a string reads nonsense without a panic.
#[test]
fn nonsense() {
    let pieces = [
        "",
        "0",
        "9",
        "18446744073709551616",
        "-",
        "+",
        ".",
        "e",
        "E",
        "Ki",
        "n",
        "é",
        "\u{0}",
        "\u{301}",
        "=",
        "!",
        "(",
        ")",
        ",",
        " in ",
        "\\",
        "/",
        ":",
        "::",
        "%",
        "T",
        "Z",
        "h",
        "ms",
        "2006-01-02T15:04:05",
        "x",
        "\u{10ffff}",
        "\"",
        "<",
    ];
    let mut dice = Dice(1);
    for _ in 0..20_000 {
        let text = dice.text(&pieces, 8);
        if let Ok(mut q) = Quantity::parse(&text) {
            let mut sum = Quantity::parse("1Ki").expect("a quantity");
            sum.add(&q);
            q.sub(&sum);
            q.mul(dice.0 as i64);
            q.neg();
            q.round_up(-3);
            let _ = (q.to_string(), sum.to_string(), q.value(), q.milli_value(), q.as_f64(), q == sum);
            assert_eq!(Quantity::parse(&sum.to_string()).map(|again| again.sign()), Ok(sum.sign()));
        }
        if let Ok(s) = labels::Selector::parse(&text) {
            assert_eq!(labels::Selector::parse(&s.to_string()).as_ref(), Ok(&s), "{text:?}");
            s.matches(&[("x", "0")]);
        }
        if let Ok(s) = fields::Selector::parse(&text) {
            assert_eq!(fields::Selector::parse(&s.to_string()).map(|t| t.to_string()), Ok(s.to_string()));
        }
        if let Ok(t) = Time::parse(&text) {
            assert_eq!(Time::parse(&t.to_string()).ok(), Some(t.truncated()), "{text:?}");
        }
        let _ = (Time::parse_micro(&text), Duration::parse(&text), strconv::parse_uint(&text));
        let path = Path::new(&text);
        let _ = (names::ip::cidr(&path, &text), names::ip::ip_warnings(&path, &text));
        let _ = (names::ip::cidr_warnings(&path, &text), names::ip::interface_address(&path, &text));
        let _ = (gvk::GroupVersion::parse(&text), gvk::GroupKind::parse(&text));
        let _ = names::generate_name(&text.repeat(20), [1, 2, 3, 4, u64::MAX]);
        let _ = names::name_is_dns_label(&text, names::NameUse::Prefix);
        let _ = options::validate_field_manager(&text, &path);
        let _ = Error::invalid(&path, text.as_str(), "").to_string();
    }
}

/// Exponents of thousands of millions are numbers, and cost nothing.
#[test]
fn huge_exponents() {
    for text in ["1e2000000000", "1234567890123456789012e2000000000", "0e2147483647", "1e-2147483648"] {
        let mut q = Quantity::parse(text).expect("a quantity");
        let one = Quantity::new(1, Format::BinarySi);
        let _ = (q.value(), q.milli_value(), q.cmp(&one), q.to_string().len());
        q.add(&one);
        assert!(q.to_string().len() < 100, "{q}");
        let mut sum = one.clone();
        sum.add(&q);
        sum.mul(i64::MIN);
        assert!(sum.to_string().len() < 100, "{sum}");
    }
}

/// A megabyte of digits is read, added and printed in linear time.
#[test]
fn many_digits() {
    let q = Quantity::parse(&"9".repeat(1_000_000)).expect("a quantity");
    let mut sum = Quantity::parse("1Gi").expect("a quantity");
    sum.add(&q);
    sum.mul(7);
    assert!(sum.to_string().len() > 1_000_000);
    assert!(sum > q);
}

/// A tree of any depth can be shown.
#[test]
fn deep_bad_value() {
    const DEPTH: usize = 2_000;
    let mut tree = Value::Null;
    for _ in 0..DEPTH {
        tree = Value::Array(vec![tree]);
    }
    assert_eq!(go_json(&tree).len(), 2 * DEPTH + "null".len());
}

/// Errors that show the whole list do not make a square of it.
#[test]
fn many_controllers() {
    let owner = |i: usize| {
        let mut owner = Map::new();
        for key in ["apiVersion", "kind", "name", "uid"] {
            owner.insert(key, format!("x{i}"));
        }
        owner.insert("controller", true);
        Value::Object(owner)
    };
    let mut meta = Value::object();
    meta.set("name", "a");
    meta.set("ownerReferences", (0..20_000).map(owner).collect::<Vec<_>>());
    meta.set(
        "managedFields",
        vec![{
            let mut entry = Value::object();
            entry.set("operation", "Apply");
            entry.set("manager", "\u{1}".repeat(1_000_000));
            entry
        }],
    );
    let rule = names::name_is_dns_label;
    let errors = object_meta::validate(&meta, Scope::Cluster, rule, &Path::new("metadata"));
    let status = Status::invalid(&gvk::GroupKind::new("", "Pod"), "a", &errors);
    assert!(status.message.len() < 16 << 20, "{}", status.message.len());
}
