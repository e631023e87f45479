use super::*;
use time::Layout;

fn check_quantity(table: &[(&str, &str)]) {
    for (text, want) in table {
        let got = quantity::canonical(text).map_or_else(|e| e.to_string(), |s| s.into_owned());
        assert_eq!(got, *want, "{text}");
    }
}

#[test]
fn quantities_are_canonical() {
    check_quantity(&[
        ("0", "0"),
        ("00", "0"),
        ("0.0Mi", "0"),
        ("1", "1"),
        ("+5", "+5"),
        ("-5", "-5"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1.500", "1.500"),
        ("1000m", "1"),
        ("1000", "1k"),
        ("1500k", "1500k"),
        ("1e3", "1e3"),
        ("1E3", "1E3"),
        ("12e5", "1200e3"),
        ("100Mi", "100Mi"),
        ("1024Mi", "1Gi"),
        ("1025Mi", "1025Mi"),
        ("0.5Gi", "512Mi"),
        ("0.5Mi", "512Ki"),
        ("1.5Ki", "1536"),
        ("0.001Ki", "1024m"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("0.1u", "100n"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("9Ei", "9223372036854775807"),
        ("99999999999999999999Ki", "9223372036854775807"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1000000000000000000000E", "1"),
    ]);
}

#[test]
fn what_is_no_quantity() {
    let format =
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    check_quantity(&[
        ("", format),
        ("x", format),
        ("1 ", format),
        ("--1", "unable to parse quantity's suffix"),
        ("1.2.3", format),
        ("1mi5", "unable to parse quantity's suffix"),
        ("1e", "unable to parse quantity's suffix"),
        ("1KI", format),
        ("1i", "unable to parse quantity's suffix"),
        ("Pi", "unable to parse numeric part of quantity"),
    ]);
}

fn check_time(layout: Layout, table: &[(&str, &str)]) {
    for (text, want) in table {
        let got = match time::canonical(text, layout) {
            Ok(time) => time.map_or_else(|| "null".to_owned(), |t| t.into_owned()),
            Err(e) => e,
        };
        assert_eq!(got, *want, "{text}");
    }
}

#[test]
fn times_in_utc_seconds() {
    check_time(
        Layout::Seconds,
        &[
            ("2020-02-29T12:34:56Z", "2020-02-29T12:34:56Z"),
            ("2020-01-01T00:00:00.999Z", "2020-01-01T00:00:00Z"),
            ("2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "null"),
            (
                "yesterday",
                "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"",
            ),
            ("2020-13-01T00:00:00Z", "parsing time \"2020-13-01T00:00:00Z\": month out of range"),
            ("2021-02-29T00:00:00Z", "parsing time \"2021-02-29T00:00:00Z\": day out of range"),
            ("2020-01-01T24:00:00Z", "parsing time \"2020-01-01T24:00:00Z\": hour out of range"),
            ("2020-01-01T00:00:00Zx", "parsing time \"2020-01-01T00:00:00Zx\": extra text: \"x\""),
            (
                "é",
                "parsing time \"\\xc3\\xa9\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\\xc3\\xa9\" as \"2006\"",
            ),
        ],
    );
}

#[test]
fn times_in_utc_micros() {
    check_time(
        Layout::Micros,
        &[
            ("2020-01-01T00:00:00.123456Z", "2020-01-01T00:00:00.123456Z"),
            ("2020-01-01T00:00:00.000000+01:00", "2019-12-31T23:00:00.000000Z"),
            (
                "2020-01-01T00:00:00Z",
                "parsing time \"2020-01-01T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\"",
            ),
        ],
    );
}

#[test]
fn durations() {
    for (text, want) in [
        ("0", "0s"),
        ("1h", "1h0m0s"),
        ("90s", "1m30s"),
        ("1.5h", "1h30m0s"),
        ("-1m2.5s", "-1m2.5s"),
        ("100ms", "100ms"),
        ("1500us", "1.5ms"),
        ("1µs", "1µs"),
        ("17ns", "17ns"),
        ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
        ("-2562047h47m16.854775808s", "-2562047h47m16.854775808s"),
        ("", "time: invalid duration \"\""),
        ("5", "time: missing unit in duration \"5\""),
        ("5x", "time: unknown unit \"x\" in duration \"5x\""),
        (".s", "time: invalid duration \".s\""),
        ("9999999h", "time: invalid duration \"9999999h\""),
    ] {
        assert_eq!(duration::parse(text).map_or_else(|e| e, duration::print), want, "{text}");
    }
}

#[test]
fn base64_as_in_go() {
    for (text, want) in
        [("", "0:"), ("QQ==", "1:A"), ("QUI=", "2:AB"), ("QUJD", "3:ABC"), ("QUJD\r\nRA==\n", "4:ABCD")]
    {
        let bytes = base64::decode(text).unwrap();
        assert_eq!(format!("{}:{}", bytes.len(), String::from_utf8(bytes.clone()).unwrap()), want);
        let mut back = String::new();
        base64::encode(&bytes, &mut back);
        assert_eq!(back, text.replace(['\r', '\n'], ""));
        assert!(base64::is_canonical(&back));
    }
    // The last bits of QR== fall off.
    assert!(!base64::is_canonical("QR==") && !base64::is_canonical("QQ=") && !base64::is_canonical("===="));
    for (text, at) in
        [("!!", 0), ("QUJ", 0), ("QUJDR", 4), ("Q===", 1), ("QQ=A", 3), ("QQ==A", 4), ("QQ=", 3)]
    {
        assert_eq!(base64::decode(text), Err(format!("illegal base64 data at input byte {at}")), "{text}");
    }
}
