use super::*;
use crate::Value;
use expect_test::{Expect, expect};

#[track_caller]
fn check(input: impl AsRef<[u8]>, expect: Expect) {
    let mut duplicates = Duplicates::new();
    let mut shown = match parse_with(input.as_ref(), &mut duplicates) {
        Ok(value) => to_string(&value),
        Err(error) => format!("{} @{}", error, error.offset()),
    };
    for duplicate in duplicates.iter() {
        shown.push_str(&format!("\n{duplicate} @{}", duplicate.offset));
    }
    expect.assert_eq(&shown);
}

#[test]
fn values() {
    check(" null ", expect!["null"]);
    check(
        "[true,false, {} ,[ ],{\"b\":1 , \"a\":[1,\"x\"]}]",
        expect![[r#"[true,false,{},[],{"a":[1,"x"],"b":1}]"#]],
    );
    check(r#""\u0041\n\/\"\\\b\f\t\r""#, expect![[r#""A\n/\"\\\b\f\t\r""#]]);
    check(
        "\"<a>&\u{2028}\u{2029}\u{2030}\x7f\u{1}\"",
        expect![[r#"invalid character '\x01' in string literal @16"#]],
    );
}

#[test]
fn repaired_text() {
    check(b"\"a\xff\xc3(\xe2\x82\"", expect![[r#""a��(��""#]]);
    check(
        r#""\ud83d\ude00 \ud83d \ude00 \ud83dx \ud83d\u0041 \ud83d\ud83d\ude00""#,
        expect![[r#""😀 � � �x �A �😀""#]],
    );
    check(b"[\"\xff\", x]", expect!["invalid character 'x' looking for beginning of value @7"]);
    check(b"[\"\xff\", \xff]", expect!["invalid character 'ÿ' looking for beginning of value @7"]);
    check("[\"\", é]", expect!["invalid character 'Ã' looking for beginning of value @6"]);
}

#[test]
fn numbers() {
    check(
        "[0,-0,1,-1,9223372036854775807,9223372036854775808,18446744073709551616]",
        expect!["[0,-0,1,-1,9223372036854775807,9223372036854775808,18446744073709551616]"],
    );
    check(
        "[1.0,1.5,-1.5,1e3,1E+3,1e21,1e-7,1.50,0.1,1e999,100000000000000000000]",
        expect!["[1.0,1.5,-1.5,1e3,1E+3,1e21,1e-7,1.50,0.1,1e999,100000000000000000000]"],
    );
    check("01", expect!["invalid character '1' after top-level value @2"]);
    check("[01]", expect!["invalid character '1' after array element @3"]);
    check("-", expect!["invalid character ' ' in numeric literal @1"]);
    check("-x", expect!["invalid character 'x' in numeric literal @2"]);
    check("1.", expect!["invalid character ' ' after decimal point in numeric literal @2"]);
    check("[1.]", expect!["invalid character ']' after decimal point in numeric literal @4"]);
    check("1e", expect!["invalid character ' ' in exponent of numeric literal @2"]);
    check("1e+", expect!["invalid character ' ' in exponent of numeric literal @3"]);
    check("+1", expect!["invalid character '+' looking for beginning of value @1"]);
}

#[test]
fn syntax_errors() {
    check("", expect!["unexpected end of JSON input @0"]);
    check("  ", expect!["unexpected end of JSON input @2"]);
    check("{", expect!["unexpected end of JSON input @1"]);
    check("[", expect!["unexpected end of JSON input @1"]);
    check("[1", expect!["unexpected end of JSON input @2"]);
    check("[1,", expect!["unexpected end of JSON input @3"]);
    check("[1,]", expect!["invalid character ']' looking for beginning of value @4"]);
    check("[1 2]", expect!["invalid character '2' after array element @4"]);
    check("[}", expect!["invalid character '}' looking for beginning of value @2"]);
    check("{]", expect!["invalid character ']' looking for beginning of object key string @2"]);
    check("{\"a\"", expect!["unexpected end of JSON input @4"]);
    check("{\"a\" 1}", expect!["invalid character '1' after object key @6"]);
    check("{\"a\":}", expect!["invalid character '}' looking for beginning of value @6"]);
    check("{\"a\":1", expect!["unexpected end of JSON input @6"]);
    check("{\"a\":1 \"b\"}", expect![[r#"invalid character '"' after object key:value pair @8"#]]);
    check("{\"a\":1,}", expect!["invalid character '}' looking for beginning of object key string @8"]);
    check("{\"a\":1,", expect!["unexpected end of JSON input @7"]);
    check("{a:1}", expect!["invalid character 'a' looking for beginning of object key string @2"]);
    check("null b", expect!["invalid character 'b' after top-level value @6"]);
    check("{}}", expect!["invalid character '}' after top-level value @3"]);
    check("tru", expect!["invalid character ' ' in literal true (expecting 'e') @3"]);
    check("trux", expect!["invalid character 'x' in literal true (expecting 'e') @4"]);
    check("fals ", expect!["invalid character ' ' in literal false (expecting 'e') @5"]);
    check("nil", expect!["invalid character 'i' in literal null (expecting 'u') @2"]);
    check("\"a", expect!["unexpected end of JSON input @2"]);
    check("\"a\nb\"", expect![[r#"invalid character '\n' in string literal @3"#]]);
    check("\"\\", expect!["invalid character ' ' in string escape code @2"]);
    check("\"\\x\"", expect!["invalid character 'x' in string escape code @3"]);
    check("\"\\u12", expect![[r#"invalid character ' ' in \u hexadecimal character escape @5"#]]);
    check("\"\\u12g4\"", expect![[r#"invalid character 'g' in \u hexadecimal character escape @6"#]]);
    check("'a'", expect![[r#"invalid character '\'' looking for beginning of value @1"#]]);
    check("\\", expect![[r#"invalid character '\\' looking for beginning of value @1"#]]);
    check(b"\x00", expect![[r#"invalid character '\x00' looking for beginning of value @1"#]]);
    check(b"\xad", expect![[r#"invalid character '\u00ad' looking for beginning of value @1"#]]);
    check("\u{feff}{}", expect!["invalid character 'ï' looking for beginning of value @1"]);
}

#[test]
fn duplicates() {
    check(
        r#"{"a":1,"b":2,"a":3}"#,
        expect![[r#"
        {"a":3,"b":2}
        duplicate field "a" @13"#]],
    );
    check(
        r#"{"spec":{"containers":[{"name":"a","name":"b","name":"c"},{"x.y":1,"x.y":2}]},"spec":{"a":1,"a":2}}"#,
        expect![[r#"
            {"spec":{"a":2}}
            duplicate field "spec.containers[0].name" @35
            duplicate field "spec.containers[1].x.y" @67
            duplicate field "spec" @78
            duplicate field "spec.a" @92"#]],
    );
    check(
        r#"[{"a":1,"\u0061":2}]"#,
        expect![[r#"
        [{"a":2}]
        duplicate field "[0].a" @8"#]],
    );
    check(
        r#"{"a\"b":1,"a\"b":2}"#,
        expect![[r#"
        {"a\"b":2}
        duplicate field "a\"b" @10"#]],
    );
    let many: String = (0..300).map(|i| format!(r#""k{i}":1,"k{i}":2,"#)).collect();
    let mut duplicates = Duplicates::new();
    parse_with(format!("{{{many}\"z\":0}}").as_bytes(), &mut duplicates).unwrap();
    assert_eq!(duplicates.iter().count(), DUPLICATES_MAX);
}

#[test]
fn depth_is_limited() {
    for (open, close, first) in [("[", "]", "["), ("{\"a\":", "}", "{")] {
        let deep = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
        let text = deep(1000);
        assert_eq!(to_string(&parse(text.as_bytes()).unwrap()), text);
        let error = parse(deep(DEPTH_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("invalid character '{first}' exceeded max depth"));
        assert_eq!(error.offset(), DEPTH_MAX * open.len() + 1);
    }
}

#[test]
fn pretty() {
    let value = parse(br#"{"b":[],"a":{"x":[1,{"y":{}}]},"c":"<"}"#).unwrap();
    let mut out = Vec::new();
    write_pretty(&value, &mut out);
    expect![[r#"
        {
          "a": {
            "x": [
              1,
              {
                "y": {}
              }
            ]
          },
          "b": [],
          "c": "\u003c"
        }"#]]
    .assert_eq(&String::from_utf8(out).unwrap());
    let mut out = Vec::new();
    write_pretty(&Value::object(), &mut out);
    assert_eq!(out, b"{}");
}

#[test]
fn quoting() {
    expect![[r#""a\"b\\\n\x7f\u00a0é́\u200d😀\U0010ffff\x00""#]]
        .assert_eq(&quote("a\"b\\\n\u{7f}\u{a0}é\u{301}\u{200d}😀\u{10ffff}\0"));
}
