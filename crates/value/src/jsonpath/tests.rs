use super::*;
use crate::json;
use expect_test::{Expect, expect};

const DATA: &str = r#"{"kind":"List","items":[
    {"metadata":{"name":"a","labels":{"x.y/z":"1"}},"status":{"n":1,"f":1.5,"ok":true,"c":[{"type":"Ready","status":"True"},{"type":"X","status":"False"}]}},
    {"metadata":{"name":"b"},"status":{"n":12,"c":[]}},
    {"metadata":{"name":"c)"},"status":null}],"big":1e21,"m":{"b":1,"a":[1,2]}}"#;

#[track_caller]
fn check(template: &str, expect: Expect) {
    check_with(template, MissingKeys::Errors, expect);
}

#[track_caller]
fn check_with(template: &str, missing: MissingKeys, expect: Expect) {
    let data = json::parse(DATA.as_bytes()).unwrap();
    let shown = match JsonPath::parse(template) {
        Err(error) => format!("parse: {error}"),
        Ok(path) => match path.find(&data, missing) {
            Err(error) => format!("find: {error}"),
            Ok(results) => {
                let mut out = String::new();
                results.iter().for_each(|r| print(r, &mut out));
                out
            }
        },
    };
    expect.assert_eq(&shown);
}

#[test]
fn paths() {
    check("{.kind}", expect!["List"]);
    check("x{ .kind }y{$.m.b}z", expect!["xListy1z"]);
    check("{.items[0].metadata.name}", expect!["a"]);
    check("{.items[*].metadata.name}", expect!["a b c)"]);
    check("{.items[-1].metadata.name}", expect!["c)"]);
    check("{.items[0:2].metadata.name}", expect!["a b"]);
    check("{.items[::2].metadata.name}", expect!["a c)"]);
    check("{.items[0,2].metadata.name}", expect!["a c)"]);
    check("{.items[0]['metadata.name','status.n']}", expect!["a 1"]);
    check("{.items[0].metadata.labels.x\\.y/z}", expect!["1"]);
    check("{.items[0].metadata.labels['x\\.y/z']}", expect!["1"]);
    check("{..name}", expect!["a b c)"]);
    check("{.m.*}", expect!["[1,2] 1"]);
    check("{.m}", expect![[r#"{"a":[1,2],"b":1}"#]]);
    check("{.m.a}", expect!["[1,2]"]);
    check("{.big} {.items[0].status.f}", expect!["1e+21 1.5"]);
    check("{.items[2].status}", expect!["null"]);
    check("{'a\\tb'}{\"c\"}{3}{1.50}{true}", expect!["a	bc31.5true"]);
    check("{range .items[*]}{.metadata.name}={.status.n};{end}", expect!["find: n is not found"]);
    check_with(
        "{range .items[*]}{.metadata.name}={.status.n};{end}!",
        MissingKeys::Allowed,
        expect!["a=1;b=12;c)=;!"],
    );
    check_with("{range .nope[*]}{.x}{range .y[*]}{.z}{end}{end}.", MissingKeys::Allowed, expect!["."]);
    check_with("{.nope}{.kind.x}", MissingKeys::Allowed, expect![""]);
}

#[test]
fn filters() {
    check(r#"{.items[0].status.c[?(@.type=="Ready")].status}"#, expect!["True"]);
    check(r#"{.items[?(@.metadata.name=="c)")].metadata.name}"#, expect!["c)"]);
    check("{.items[?(@.status.ok)].metadata.name}", expect!["a"]);
    check_with("{.items[?(@.status.n>1)].metadata.name}", MissingKeys::Allowed, expect!["b"]);
    check_with("{.items[?(@.status.n<=1)].metadata.name}", MissingKeys::Allowed, expect!["a"]);
    check_with("{.items[?(@.status.n!=1)].metadata.name}", MissingKeys::Allowed, expect!["b"]);
    check_with(
        "{.items[?(@.status.n==1.0)].metadata.name}",
        MissingKeys::Allowed,
        expect!["find: incompatible types for comparison"],
    );
    check_with(
        "{.items[?(@.status.n=='x')].metadata.name}",
        MissingKeys::Allowed,
        expect!["find: incompatible types for comparison"],
    );
    check_with(
        "{.items[?(@.status=='x')].metadata.name}",
        MissingKeys::Allowed,
        expect!["find: invalid type for comparison"],
    );
    check_with(
        "{.items[?(@.status.n=<1)].metadata.name}",
        MissingKeys::Allowed,
        expect!["find: unrecognized filter operator =<"],
    );
    check("{.m[?(@.a)]}", expect!["find: map[a:[1 2] b:1] is not array or slice and cannot be filtered"]);
}

#[test]
fn errors() {
    check("{.nope}", expect!["find: nope is not found"]);
    check("{.kind[0]}", expect!["find: string is not array or slice"]);
    check("{.items[3]}", expect!["find: array index out of bounds: index 3, length 3"]);
    check("{.items[2:1]}", expect!["find: starting index 2 is greater than ending index 1"]);
    check("{.items[0:9]}", expect!["find: array index out of bounds: index 8, length 3"]);
    check("{.items[::0]}", expect!["find: step must be > 0"]);
    check("{.items[::-1]}", expect!["find: step must be > 0"]);
    check("{.items[x]}", expect!["parse: invalid array index x"]);
    check("{.items[-]}", expect!["parse: array index - is not a number"]);
    check(
        "{.items[99999999999999999999]}",
        expect!["parse: array index 99999999999999999999 is not a number"],
    );
    check("{.items[0}", expect!["parse: unterminated array"]);
    check("{.items[?(@.x}", expect!["parse: unterminated filter"]);
    check("{.items[?(@.x)}", expect!["parse: unclosed array expect ]"]);
    check("{.kind", expect!["parse: unclosed action"]);
    check("{.kind\n}", expect!["parse: unclosed action"]);
    check("{....kind}", expect!["parse: invalid multiple recursive descent"]);
    check("{'x}", expect!["parse: unterminated quoted string"]);
    check("{'\\q'}", expect![[r#"parse: unquote string '\q' error invalid syntax"#]]);
    check("{foo}", expect!["find: unrecognized identifier foo"]);
    check("{end}", expect!["find: not in range, nothing to end"]);
    check("{*}", expect!["parse: unrecognized character in action: U+002A '*'"]);
    check("{\u{1}}", expect!["parse: unrecognized character in action: U+0001"]);
    check("{1.2.3}", expect!["parse: cannot parse number 1.2.3"]);
    check("}", expect!["}"]);
}

#[test]
fn limits() {
    check(
        &format!("{{.items{}{}}}", "[?(@.a".repeat(1000), ")]".repeat(1000)),
        expect!["parse: unterminated filter"],
    );
    check(&"{range .items[*]}".repeat(100), expect!["find: items is not found"]);
    check(
        &format!("{{{}}}", "..*".repeat(50)),
        expect!["parse: unrecognized character in action: U+002A '*'"],
    );
}

#[test]
fn deep_values_in_errors() {
    let data = json::parse(format!("{}1{}", "{\"a\":".repeat(9000), "}".repeat(9000)).as_bytes()).unwrap();
    let path = JsonPath::parse("{.a[?(@.x)]}").unwrap();
    let error = path.find(&data, MissingKeys::Allowed).unwrap_err();
    assert!(error.to_string().contains("a:...]"), "{error}");
}
