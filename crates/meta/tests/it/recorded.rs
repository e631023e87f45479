//! Upstream's recorded answers.

use meta::field::{Error, ErrorList, Path};
use meta::fields;
use meta::intstr::{IntOrString, Rounding};
use meta::labels;
use meta::names::ip::{self, Strictness};
use meta::names::{self, NameUse, content};
use meta::quantity::{Format, Quantity, scale};
use meta::quote::quote;
use meta::time::{Duration, Time, human_duration, short_human_duration};
use std::fmt::Display;

/// Runs every case of a file and shows all that differ.
fn check(cases: &str, answer: impl Fn(&str) -> String) {
    let mut wrong = String::new();
    for line in cases.lines() {
        let (input, expected) = line.split_once('\t').expect("a tab between input and answer");
        let input: String = serde_json::from_str(input).expect("a JSON string");
        let expected: String = serde_json::from_str(expected).expect("a JSON string");
        let actual = answer(&input);
        if actual != expected {
            wrong += &format!("{input:?}\n  expected {expected:?}\n  actual   {actual:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn or_error<T, E: Display>(result: Result<T, E>, show: impl Fn(T) -> String) -> String {
    result.map_or_else(|e| format!("ERR {e}"), show)
}

fn all(errors: ErrorList) -> String {
    errors.iter().map(Error::to_string).collect::<Vec<_>>().join(";;")
}

#[test]
fn quantities() {
    check(include_str!("upstream/quantity.txt"), |text| {
        or_error(Quantity::parse(text), |q| {
            let format = match q.format() {
                Format::DecimalExponent => "DecimalExponent",
                Format::BinarySi => "BinarySI",
                Format::DecimalSi => "DecimalSI",
            };
            let rounded = |scale: i32| {
                let mut r = q.clone();
                let exact = r.round_up(scale);
                format!("{exact} {r}")
            };
            format!(
                "{q}|{}|{format}|{}|{}|{}|{}|{}|{}|{}|{}",
                q.canonical(),
                q.value(),
                q.milli_value(),
                q.as_i64().unwrap_or(0),
                q.as_i64().is_some(),
                q.sign(),
                rounded(scale::UNIT),
                rounded(scale::MILLI),
                q.scaled_value(scale::MICRO)
            )
        })
    });
}

#[test]
fn quantity_arithmetic() {
    check(include_str!("upstream/quantity-pairs.txt"), |text| {
        let (a, b) = text.split_once(' ').expect("two quantities");
        let (Ok(a), Ok(b)) = (Quantity::parse(a), Quantity::parse(b)) else { return "ERR".to_owned() };
        let (mut sum, mut difference, mut product) = (a.clone(), a.clone(), a.clone());
        sum.add(&b);
        difference.sub(&b);
        let fits = product.mul(b.value());
        let order = a.cmp(&b) as i32;
        let (sum_value, thousandths) = (sum.value(), difference.milli_value());
        let thousands = product.scaled_value(scale::KILO);
        format!("{sum}|{difference}|{order}|{product}|{sum_value}|{thousandths}|{thousands}|{fits}")
    });
}

#[test]
fn label_selectors() {
    check(include_str!("upstream/labels.txt"), |text| {
        or_error(labels::Selector::parse(text), |s| s.to_string())
    });
}

#[test]
fn field_selectors() {
    check(include_str!("upstream/fields.txt"), |text| {
        or_error(fields::Selector::parse(text), |s| s.to_string())
    });
}

#[test]
fn times() {
    check(include_str!("upstream/time.txt"), |text| {
        or_error(Time::parse(text), |t| format!("{t} {} {}", t.unix_seconds(), t.nanos()))
    });
    check(include_str!("upstream/micro-time.txt"), |text| {
        or_error(Time::parse_micro(text), |t| {
            format!("{} {} {}", t.to_micro_string(), t.unix_seconds(), t.nanos())
        })
    });
}

#[test]
fn durations() {
    check(include_str!("upstream/duration.txt"), |text| {
        or_error(Duration::parse(text), |d| {
            format!("{d} {} {} {}", d.nanos(), human_duration(d), short_human_duration(d))
        })
    });
}

/// What every rule says of a name, in the order of the recordings.
fn name_rules(name: &str) -> Vec<Vec<String>> {
    let path = Path::new("a");
    let texts = |errors: ErrorList| errors.iter().map(Error::to_string).collect::<Vec<_>>();
    vec![
        names::dns1123_label(name),
        names::dns1123_subdomain(name),
        names::dns1123_subdomain_with_underscore(name),
        names::dns1035_label(name),
        names::wildcard_dns1123_subdomain(name),
        names::qualified_name(name),
        names::label_value(name),
        names::c_identifier(name),
        names::port_name(name),
        names::percent(name),
        names::http_header_name(name),
        names::env_var_name(name),
        names::relaxed_env_var_name(name),
        names::config_map_key(name),
        names::path_segment_name(name),
        content::decimal_integer(name),
        content::dns1123_label(name),
        content::dns1123_subdomain_caseless(name),
        names::name_is_dns_label(name, NameUse::Prefix),
        names::name_is_dns_subdomain(name, NameUse::Prefix),
        names::name_is_dns1035_label(name, NameUse::Prefix),
        texts(names::fully_qualified_name(&path, name)),
        texts(names::fully_qualified_domain_name(&path, name)),
        texts(names::domain_prefixed_path(&path, name)),
        texts(names::domain_prefixed_key(&path, name)),
    ]
}

#[test]
fn name_verdicts() {
    check(include_str!("upstream/names.txt"), |name| {
        name_rules(name).iter().map(|errors| errors.len().to_string()).collect()
    });
}

#[test]
fn name_texts() {
    check(include_str!("upstream/name-texts.txt"), |name| {
        let rules = name_rules(name);
        let of_fields = rules.len() - 4;
        let join = |(i, errors): (usize, &Vec<String>)| errors.join(if i < of_fields { ";" } else { ";;" });
        rules.iter().enumerate().map(join).collect::<Vec<_>>().join("||")
    });
}

#[test]
fn addresses() {
    use Strictness::{Sloppy, Strict};
    check(include_str!("upstream/ip.txt"), |text| {
        let path = Path::new("a");
        let mut parts = vec![
            all(ip::ip_for_legacy_field(&path, text, Sloppy, &[])),
            all(ip::ip_for_legacy_field(&path, text, Strict, &[])),
            all(ip::ip(&path, text)),
            all(ip::cidr_for_legacy_field(&path, text, Sloppy, &[])),
            all(ip::cidr_for_legacy_field(&path, text, Strict, &[])),
            all(ip::cidr(&path, text)),
            all(ip::interface_address(&path, text)),
        ];
        parts.push(ip::ip_warnings(&path, text).join(";"));
        parts.push(ip::cidr_warnings(&path, text).join(";"));
        parts.join("||")
    });
}

#[test]
fn quotes() {
    check(include_str!("upstream/quote.txt"), |text| {
        let path = Path::new("a");
        let path = path.child("b");
        let path = path.key(text);
        let error = Error::invalid(&path.child(text), vec![text], text);
        format!("{} {error}", quote(text))
    });
}

#[test]
fn integers_or_strings() {
    check(include_str!("upstream/int-or-string.txt"), |text| {
        let v = IntOrString::parse(text);
        let (up, error) = match v.scaled_value(77, Rounding::Up) {
            Ok(n) => (n, "<nil>".to_owned()),
            Err(e) => (0, e.to_string()),
        };
        let down = v.scaled_value(77, Rounding::Down).unwrap_or(0);
        format!("{v} {} {up} {down} {error}", v.int_value())
    });
}
