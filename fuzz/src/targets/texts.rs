//! The small languages of `meta`: the input is a text. What is written reads back the same.

use meta::field::Path;
use meta::intstr::{IntOrString, Rounding};
use meta::quantity::Quantity;
use meta::time::{Duration, Time, human_duration, short_human_duration};
use meta::{fields, gvk, labels, names};

pub(super) const SELECTORS: &[&str] = &[
    "a",
    "a=b",
    "a==b",
    "a!=b",
    "!a",
    "a in (b,c)",
    "a notin (b)",
    "a>1",
    "a<1",
    ",",
    "(",
    ")",
    "in",
    "notin",
    "!",
    "=",
    "==",
    "x.y/z",
    "\\",
    "\\,",
    "\\=",
    "metadata.name=",
    "spec.nodeName!=",
    " ",
    "\t",
    "\u{e9}",
    "9223372036854775808",
];

pub(super) const NUMBERS: &[&str] = &[
    "1",
    "0",
    "-",
    "+",
    ".",
    "e",
    "E",
    "e3",
    "E-9",
    "n",
    "u",
    "m",
    "k",
    "M",
    "G",
    "T",
    "P",
    "Ki",
    "Mi",
    "Gi",
    "Ti",
    "Pi",
    "Ei",
    "%",
    "ns",
    "us",
    "\u{b5}s",
    "ms",
    "s",
    "h",
    "1h30m",
    "2006-01-02T15:04:05Z",
    "T",
    "Z",
    "+23:59",
    "-00:00",
    ".123456789",
    "9223372036854775807",
    "9223372036854775808",
    "0000",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "00000000000000000000000",
    "0.000000001",
    "\u{e9}",
];

pub(super) const NAMES: &[&str] = &[
    "a",
    "a.b",
    "a/b",
    "-",
    ".",
    "..",
    "/",
    "*.",
    "_",
    "A",
    "1",
    "10.0.0.1",
    "010.1.1.1",
    "::ffff:1.2.3.4",
    "::1",
    "fe80::1%eth0",
    "/24",
    "/129",
    "apps/v1",
    "Deployment.v1.apps",
    "%",
    "\u{e9}",
    "\0",
    ":",
    "0",
];

pub(super) fn label_selector(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(selector) = labels::Selector::parse(text) else { return };
    let again = labels::Selector::parse(&selector.to_string());
    assert_eq!(again.as_ref(), Ok(&selector), "written as {selector}");
    let _ = selector.matches(&value::Value::object());
}

pub(super) fn field_selector(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(plain) = fields::unescape(text) {
        assert_eq!(fields::unescape(&fields::escape(&plain)).as_ref(), Ok(&plain));
    }
    assert_eq!(fields::unescape(&fields::escape(text)).as_deref(), Ok(text));
    let Ok(selector) = fields::Selector::parse(text) else { return };
    let again = fields::Selector::parse(&selector.to_string()).expect("what was written");
    assert_eq!(again.requirements().len(), selector.requirements().len(), "written as {selector}");
    let _ = selector.matches(|_| "");
}

pub(super) fn quantity(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(quantity) = Quantity::parse(text) else { return };
    let canonical = quantity.canonical();
    let again = Quantity::parse(&canonical).expect("what was written");
    assert_eq!(again.canonical(), canonical, "canonical is canonical");
    let _ = (quantity.value(), quantity.milli_value(), quantity.as_f64(), quantity.as_i64(), quantity.sign());
    for scale in [-20, -9, -3, 0, 9, 30] {
        let _ = quantity.scaled_value(scale);
        quantity.clone().round_up(scale);
    }
    let mut sum = quantity.clone();
    sum.add(&again);
    sum.sub(&again);
    assert!(sum == quantity, "{text} plus and minus itself");
    sum.neg();
    sum.mul(i64::MIN);
    let _ = sum.canonical();
}

pub(super) fn time(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = Time::parse_micro(text);
    let Ok(time) = Time::parse(text) else { return };
    let written = time.to_string();
    // Beyond four digits of a year Go writes what it does not read.
    if written.len() == "2006-01-02T15:04:05Z".len() {
        assert_eq!(Time::parse(&written), Ok(time.truncated()), "written as {written}");
    }
    let _ = time.to_micro_string();
    let _ = human_duration(time.since(Time::default()));
    let _ = Time::default().since(time);
}

pub(super) fn duration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(duration) = Duration::parse(text) else { return };
    assert_eq!(Duration::parse(&duration.to_string()), Ok(duration), "written as {duration}");
    let _ = (human_duration(duration), short_human_duration(duration), Time::default().plus(duration));
}

pub(super) fn intstr(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let parsed = IntOrString::parse(text);
    assert_eq!(IntOrString::parse(&parsed.to_string()), parsed);
    for total in [i64::MIN, -1, 0, 7, i64::MAX] {
        let _ = parsed.scaled_value(total, Rounding::Up);
        let _ = parsed.scaled_value(total, Rounding::Down);
    }
    let _ = (parsed.int_value(), parsed.is_percent());
}

pub(super) fn name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let path = Path::new("metadata");
    for check in [
        names::dns1123_label,
        names::dns1123_subdomain,
        names::dns1035_label,
        names::wildcard_dns1123_subdomain,
        names::qualified_name,
        names::label_value,
        names::path_segment_name,
        names::c_identifier,
        names::port_name,
        names::percent,
        names::http_header_name,
        names::env_var_name,
        names::relaxed_env_var_name,
        names::config_map_key,
    ] {
        let _ = check(text);
    }
    let _ = names::fully_qualified_name(&path, text);
    let _ = names::fully_qualified_domain_name(&path, text);
    let _ = names::domain_prefixed_path(&path, text);
    let _ = names::domain_prefixed_key(&path, text);
    let _ = gvk::GroupVersion::parse(text).map(|v| v.with_kind("K"));
    let _ = (gvk::GroupKind::parse(text), gvk::GroupResource::parse(text));
    let _ = (gvk::GroupVersionKind::parse(text), gvk::GroupVersionResource::parse(text));
    let _ = meta::quote::quote(text);
}
