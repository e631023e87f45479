use super::*;
use crate::{Number, json};
use expect_test::{Expect, expect};

#[track_caller]
fn check(input: &str, expect: Expect) {
    let shown = match parse(input.as_bytes()) {
        Ok(value) => json::to_string(&value),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[track_caller]
fn check_strict(input: &str, expect: Expect) {
    let shown = match parse_strict(input.as_bytes()) {
        Ok(value) => json::to_string(&value),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[track_caller]
fn check_write(input: &str, expect: Expect) {
    let value = json::parse(input.as_bytes()).unwrap();
    let mut out = Vec::new();
    write(&value, &mut out);
    assert_eq!(parse(&out).map(|v| numbers_apart(&v)), Ok(numbers_apart(&value)), "reads back the same");
    expect.assert_eq(&String::from_utf8(out).unwrap());
}

/// The text with all floats in one spelling.
fn numbers_apart(value: &Value) -> String {
    match value {
        Value::Number(n) => n.as_f64().to_string(),
        Value::Array(a) => a.iter().map(|v| numbers_apart(v) + ",").collect(),
        other => json::to_string(other),
    }
}

#[test]
fn documents() {
    check("", expect!["null"]);
    check("# nothing\n", expect!["null"]);
    check(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: c\n    args: [a, 'b', \"c\"]\n",
        expect![[
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"args":["a","b","c"],"name":"c"}]}}"#
        ]],
    );
    check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", expect![[r#"{"a":"x\ny\n","b":"x y"}"#]]);
    check("a: |\n  x", expect![[r#"{"a":"x"}"#]]);
    check("a: |+\n  x\n\n", expect![[r#"{"a":"x\n\n"}"#]]);
    check("a: |\n  x\n  ", expect![[r#"{"a":"x\n"}"#]]);
    check("a: |+\n  x\n ", expect![[r#"{"a":"x\n"}"#]]);
    check("a: |\n  x\n   ", expect![[r#"{"a":"x\n "}"#]]);
    check("a: |-\n  x", expect![[r#"{"a":"x"}"#]]);
    check("a: >\n  x\n  y", expect![[r#"{"a":"x y"}"#]]);
    check("---\na: 1\n---\nb: 2\n", expect![[r#"{"a":1}"#]]);
    check("{\"a\": [1, 2.50, null, \"\\u0041\"]}", expect![[r#"{"a":[1,2.5,null,"A"]}"#]]);
}

#[test]
fn scalars() {
    check(
        "[yes, No, on, OFF, y, n, true, ~, null, '', 'yes', \"no\"]",
        expect![[r#"[true,false,true,false,true,false,true,null,null,"","yes","no"]"#]],
    );
    check(
        "[0, 1, -1, +1, 0777, 0o17, 0x1F, 0b101, -0b11, 1_000, 08, 18446744073709551615, 18446744073709551616]",
        expect!["[0,1,-1,1,511,15,31,5,-3,1000,8,18446744073709551615,18446744073709552000]"],
    );
    check(
        "[1.5, 1e3, .5, 5., 1e400, 1.0, 6.02e23, 1:30, 1.2.3, 1e, -, +]",
        expect![[r#"[1.5,1000,0.5,5,"1e400",1,6.02e+23,"1:30","1.2.3","1e","-","+"]"#]],
    );
    check(
        "[2001-01-01, 2001-12-14t21:59:43.10-05:00, 0b2, 0x, _1, 1_]",
        expect![[r#"["2001-01-01","2001-12-14t21:59:43.10-05:00","0b2","0x","_1",1]"#]],
    );
    check(
        "[!!str 1, !!int '3', !!float 1, !foo bar, !!binary aGVsbG8=, ! 12]",
        expect![[r#"["1",3,1,"bar","hello","12"]"#]],
    );
    check("%YAML 1.2\n---\na: b\n", expect!["yaml: found incompatible YAML document"]);
    check("%YAML 1.3\n---\na: b\n", expect!["yaml: found incompatible YAML document"]);
    check("!!int foo", expect!["yaml: cannot decode !!str `foo` as a !!int"]);
    check("!!timestamp foo", expect!["yaml: cannot decode !!str `foo` as a !!timestamp"]);
    check("!!binary '*'", expect!["yaml: !!binary value contains invalid base64 data"]);
    check(".inf", expect!["json: unsupported value: +Inf"]);
    check("[.nan]", expect!["json: unsupported value: NaN"]);
}

#[test]
fn keys() {
    check("{1: a, 1.5: b, true: c, 1e20: d}", expect![[r#"{"1":"a","1.5":"b","1e+20":"d","true":"c"}"#]]);
    check("null: a", expect![[r#"unsupported map key of type: %!s(<nil>), key: <nil>, value: "a""#]]);
    check(
        "18446744073709551615: a",
        expect![[r#"unsupported map key of type: uint64, key: 0xffffffffffffffff, value: "a""#]],
    );
    check(
        "name: {{ foo }}",
        expect![[r#"yaml: invalid map key: map[interface {}]interface {}{"foo":interface {}(nil)}"#]],
    );
    check("? [a, 1]\n: b\n", expect![[r#"yaml: invalid map key: []interface {}{"a", 1}"#]]);
    check("a: 1\na: 2\n", expect![[r#"{"a":2}"#]]);
    check_strict(
        "a: 1\nb:\n  c: 1\n  c: 2\na: 2\n1: x\n1: y\n",
        expect![[r#"
        yaml: unmarshal errors:
          line 4: key "c" already set in map
          line 5: key "a" already set in map
          line 7: key 1 already set in map"#]],
    );
    check_strict("a: 1\n'1': x\n1: y\n", expect![[r#"{"1":true,"a":1}"#]]);
}

#[test]
fn anchors() {
    check(
        "a: &x {b: 1}\nc: *x\nd: [*x, *x]\n",
        expect![[r#"{"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}]}"#]],
    );
    check(
        "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n",
        expect![[r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":3}}"#]],
    );
    check("d:\n  c: 3\n  <<: {c: 4, e: 5}\n", expect![[r#"{"d":{"c":4,"e":5}}"#]]);
    check(
        "- &a {x: 1}\n- &b {x: 2, y: 2}\n- <<: [*a, *b]\n",
        expect![[r#"[{"x":1},{"true":2,"x":2},{"true":2,"x":1}]"#]],
    );
    check("a: *x", expect!["yaml: unknown anchor 'x' referenced"]);
    check("a: &x [*x]", expect!["yaml: anchor 'x' value contains itself"]);
    check("<<: 1", expect!["yaml: map merge requires map or sequence of maps as the value"]);
    check("'<<': 1", expect![[r#"{"\u003c\u003c":1}"#]]);
    check("a: <<", expect![[r#"{"a":"\u003c\u003c"}"#]]);
}

#[test]
fn limits() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let refs = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    check(&bomb, expect!["yaml: document contains excessive aliasing"]);
    check(
        &format!("a: &a {}\nb: [{}]", "x".repeat(100_000), "*a, ".repeat(1000)),
        expect!["yaml: document contains excessive aliasing"],
    );
    check(&"[".repeat(1_000_000), expect!["yaml: exceeded max depth of 250"]);
    check(&"- ".repeat(1_000_000), expect!["yaml: exceeded max depth of 250"]);
    check(&"{a: ".repeat(1_000_000), expect!["yaml: exceeded max depth of 250"]);
    let depth = DEPTH_MAX;
    check(
        &format!("{}{}", "[".repeat(depth + 1), "]".repeat(depth + 1)),
        expect!["yaml: exceeded max depth of 250"],
    );
    assert!(parse(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes()).is_ok());
}

#[test]
fn syntax_errors() {
    check("a: b: c", expect!["yaml: mapping values are not allowed in this context"]);
    check("x: 1\na: b: c", expect!["yaml: line 2: mapping values are not allowed in this context"]);
    check("a:\n\t- b", expect!["yaml: line 2: found character that cannot start any token"]);
    check("a: [1, 2", expect!["yaml: line 1: did not find expected ',' or ']'"]);
    check("a: 1\n b: 2\n", expect!["yaml: line 2: mapping values are not allowed in this context"]);
    check("a: 'x", expect!["yaml: found unexpected end of stream"]);
    check("a: \"\\q\"", expect!["yaml: found unknown escape character"]);
    check("- a\nb: c\n", expect!["yaml: line 1: did not find expected '-' indicator"]);
    check("@a", expect!["yaml: found character that cannot start any token"]);
    check("a: \u{1}", expect!["yaml: control characters are not allowed"]);
    check("a: ''|\n 0", expect!["yaml: did not find expected key"]);
    check("%YAML 3.0\n---\na", expect!["yaml: found incompatible YAML document"]);
    assert!(parse(b"a: \xff").is_err());
}

#[test]
fn writing() {
    check_write(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{},"name":"a"},"spec":{"containers":[{"args":["x","y"],"name":"c"},{"name":"d"}],"x":[]}}"#,
        expect![[r#"
            apiVersion: v1
            kind: Pod
            metadata:
              labels: {}
              name: a
            spec:
              containers:
              - args:
                - x
                - "y"
                name: c
              - name: d
              x: []
        "#]],
    );
    check_write(
        r##"["yes","1","1.5","null","~","","a: b","- a","# x","a #b","'x'","\"x\"","2001-01-01","1:30","0x1f","x\ny","x\ny\n","\n x"," x","x ","<<","é","😀","\u0000","\t","*a","&a","!a","%a","@a","`a","{a","[a","a,b",":","?","-","=",".inf","0o7","1_0"]"##,
        expect![[r#"
            - "yes"
            - "1"
            - "1.5"
            - "null"
            - "~"
            - ""
            - 'a: b'
            - '- a'
            - '# x'
            - 'a #b'
            - '''x'''
            - '"x"'
            - "2001-01-01"
            - "1:30"
            - "0x1f"
            - |-
              x
              y
            - |
              x
              y
            - |2-

               x
            - ' x'
            - 'x '
            - <<
            - é
            - 😀
            - "\0"
            - "\t"
            - '*a'
            - '&a'
            - '!a'
            - '%a'
            - '@a'
            - '`a'
            - '{a'
            - '[a'
            - a,b
            - ':'
            - '?'
            - '-'
            - =
            - ".inf"
            - "0o7"
            - "1_0"
        "#]],
    );
    check_write(
        "[null,true,1,1.5,100000000000000000000,1e21,0.00001,123456789.5,-0.5]",
        expect![[r#"
        - null
        - true
        - 1
        - 1.5
        - 1e+20
        - 1e+21
        - 1e-05
        - 1.234567895e+08
        - -0.5
    "#]],
    );
    check_write(
        r#"{"a10":1,"a9":2,"a":3,"B":4,"_":5,"1":6,"a-b":7,"a.b":8,"a0":9,"a00":10}"#,
        expect![[r#"
        _: 5
        "1": 6
        B: 4
        a: 3
        a-b: 7
        a.b: 8
        a0: 9
        a00: 10
        a9: 2
        a10: 1
    "#]],
    );
    check_write(
        &format!(r#"{{"d":"{}"}}"#, "word ".repeat(40).trim()),
        expect![[r#"
        d: word word word word word word word word word word word word word word word word
          word word word word word word word word word word word word word word word word
          word word word word word word word word
    "#]],
    );
    check_write(
        "{}",
        expect![[r#"
        {}
    "#]],
    );
    check_write(
        "[]",
        expect![[r#"
        []
    "#]],
    );
    check_write(
        "[[1,[2]],{\"a\":[[]]}]",
        expect![[r#"
        - - 1
          - - 2
        - a:
          - []
    "#]],
    );
}

#[test]
fn whole_floats_are_integers() {
    for (text, want) in [
        ("3.0", Number::Int(3)),
        ("-3.", Number::Int(-3)),
        ("1e3", Number::Int(1000)),
        ("!!float 3", Number::Int(3)),
        ("0x10", Number::Int(16)),
        ("3.5", Number::Float(3.5)),
        ("1e21", Number::Float(1e21)),
        // Beyond 64 bits its digits are no integer in Go.
        ("1e20", Number::Text("100000000000000000000".into())),
    ] {
        assert_eq!(parse(text.as_bytes()), Ok(Value::Number(want)), "{text}");
    }
}

/// The document as the scanner reads it.
fn scanned(text: &str) -> Option<Value> {
    build::build(&compose::compose(text.as_bytes()).ok()?, build::Duplicates::Errors).ok()
}

#[test]
fn compact_json_is_read_as_the_scanner_reads_it() {
    for text in [
        r#"{}"#,
        "{\"a\":1}\n",
        r#"{"a":-1,"b":0,"c":999999999999999999,"d":true,"e":false,"f":null,"":[]}"#,
        r#"{"a":{"b":[{"c":"d"},[],{},"x: y # z","- ","\"\\\n\r\t\u003c\u0026","~ yes 0777 1e3 2001-01-01"]}}"#,
        r##"{"yes":"no","1":"2","a b":" c ","{":"}","-":"-","#":"#","*a":"&a","!t":"%"}"##,
    ] {
        let read = compact::read(text.as_bytes());
        assert!(read.is_some(), "{text}");
        assert_eq!(read, scanned(text), "{text}");
    }
}

#[test]
fn what_json_and_yaml_may_see_differently_is_left_to_the_scanner() {
    let (long, deep) = (format!("{{\"{}\":1}}", "k".repeat(1001)), format!("{}1", "{\"a\":".repeat(101)));
    for text in [
        "",
        "1",
        "[]",
        "null",
        "{",
        "{}}",
        "{}{}",
        "{} ",
        " {}",
        "{\"a\": 1}",
        "{\"a\":1\n}",
        "{'a':1}",
        "{a:1}",
        r#"{"a":1,"a":2}"#,
        r#"{"<<":{"a":1}}"#,
        r#"{"a":1.0}"#,
        r#"{"a":1e3}"#,
        r#"{"a":-0}"#,
        r#"{"a":01}"#,
        r#"{"a":9999999999999999999}"#,
        r#"{"a":yes}"#,
        r#"{"a":}"#,
        r#"{"a"}"#,
        r#"{"a":"é"}"#,
        r#"{"a":"\/"}"#,
        r#"{"a":"\u00e9"}"#,
        r#"{"a":"\ud83d\ude00"}"#,
        "{\"a\":\"\t\"}",
        "{\"a\":\"\u{7f}\"}",
        &long,
        &deep,
    ] {
        assert_eq!(compact::read(text.as_bytes()), None, "{text}");
    }
}
