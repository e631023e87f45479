use super::*;
use crate::json;
use expect_test::{Expect, expect};

const DOCUMENT: &str = r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#;

#[track_caller]
fn check(patch: &str, expect: Expect) {
    let document = json::parse(DOCUMENT.as_bytes()).unwrap();
    let shown = match JsonPatch::parse(patch.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(patch) => match patch.apply(document, 40) {
            Ok(value) => json::to_string(&value),
            Err(error) => error.to_string(),
        },
    };
    expect.assert_eq(&shown);
}

#[test]
fn decoding() {
    check("null", expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]]);
    check("[]", expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]]);
    check("{}", expect!["json: cannot unmarshal object into Go value of type jsonpatch.Patch"]);
    check("[1]", expect!["json: cannot unmarshal number into Go value of type jsonpatch.Operation"]);
    check("[null]", expect!["Unexpected kind: unknown"]);
    check("[{}]", expect!["Unexpected kind: unknown"]);
    check("[{\"op\":1}]", expect!["Unexpected kind: unknown"]);
    check("[", expect!["unexpected end of JSON input"]);
}

#[test]
fn add() {
    check(
        r#"[{"op":"add","path":"/a/x","value":{"y":1}}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x","x":{"y":1}},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/x"}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x","x":null},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/c/0","value":0}]"#,
        expect![[r#"{"a":{"b":1,"c":[0,1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/c/3","value":0}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3,0],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/c/-","value":0}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3,0],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/c/-1","value":0}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3,0],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/c/-4","value":0}]"#,
        expect![[r#"{"a":{"b":1,"c":[0,1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/c/-5","value":0}]"#,
        expect![
            "error in add for path: '/a/c/-5': Unable to access invalid index: -5: invalid index referenced"
        ],
    );
    check(
        r#"[{"op":"add","path":"/a/c/4","value":0}]"#,
        expect![
            "error in add for path: '/a/c/4': Unable to access invalid index: 4: invalid index referenced"
        ],
    );
    check(
        r#"[{"op":"add","path":"/a/c/x","value":0}]"#,
        expect![[
            r#"error in add for path: '/a/c/x': value was not a proper array index: 'x': strconv.Atoi: parsing "x": invalid syntax"#
        ]],
    );
    check(
        r#"[{"op":"add","path":"/a/c/99999999999999999999","value":0}]"#,
        expect![[
            r#"error in add for path: '/a/c/99999999999999999999': value was not a proper array index: '99999999999999999999': strconv.Atoi: parsing "99999999999999999999": value out of range"#
        ]],
    );
    check(
        r#"[{"op":"add","path":"/m~1n/~0k","value":0}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":0}}"#]],
    );
    check(
        r#"[{"op":"add","path":"/x/y","value":0}]"#,
        expect![[r#"add operation does not apply: doc is missing path: "/x/y": missing value"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/n/y","value":0}]"#,
        expect![[r#"add operation does not apply: doc is missing path: "/a/n/y": missing value"#]],
    );
    check(
        r#"[{"op":"add","path":"/a/s/y","value":0}]"#,
        expect![[r#"add operation does not apply: doc is missing path: "/a/s/y": missing value"#]],
    );
    check(
        r#"[{"op":"add","path":"","value":{}}]"#,
        expect![[r#"add operation does not apply: doc is missing path: "": missing value"#]],
    );
    check(
        r#"[{"op":"add","path":"zzz/x","value":0}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1},"x":0}"#]],
    );
    check(r#"[{"op":"add","value":0}]"#, expect!["add operation failed to decode path: missing value"]);
    check(
        r#"[{"op":"add","path":1,"value":0}]"#,
        expect!["add operation failed to decode path: missing value"],
    );
}

#[test]
fn remove_and_replace() {
    check(r#"[{"op":"remove","path":"/a"}]"#, expect![[r#"{"m/n":{"~k":1}}"#]]);
    check(
        r#"[{"op":"remove","path":"/a/c/-1"}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"remove","path":"/x"}]"#,
        expect!["error in remove for path: '/x': Unable to remove nonexistent key: x: missing value"],
    );
    check(
        r#"[{"op":"remove","path":"/x/y"}]"#,
        expect![[r#"remove operation does not apply: doc is missing path: "/x/y": missing value"#]],
    );
    check(
        r#"[{"op":"remove","path":"/a/c/3"}]"#,
        expect![
            "error in remove for path: '/a/c/3': Unable to access invalid index: 3: invalid index referenced"
        ],
    );
    check(
        r#"[{"op":"remove","path":"/a/c/x"}]"#,
        expect![[r#"error in remove for path: '/a/c/x': strconv.Atoi: parsing "x": invalid syntax"#]],
    );
    check(r#"[{"op":"remove"}]"#, expect!["remove operation failed to decode path: missing value"]);
    check(r#"[{"op":"replace","path":"/a","value":1}]"#, expect![[r#"{"a":1,"m/n":{"~k":1}}"#]]);
    check(
        r#"[{"op":"replace","path":"/new","value":1}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1},"new":1}"#]],
    );
    check(
        r#"[{"op":"replace","path":"/x/y","value":1}]"#,
        expect!["replace operation does not apply: doc is missing path: /x/y: missing value"],
    );
    check(
        r#"[{"op":"replace","path":"/a/c/7","value":1}]"#,
        expect!["replace operation does not apply: doc is missing key: /a/c/7: missing value"],
    );
    check(r#"[{"op":"replace","path":"","value":{"z":1}}]"#, expect![[r#"{"z":1}"#]]);
    check(
        r#"[{"op":"replace","path":"","value":"s"}]"#,
        expect!["replace operation value must be object or array: %!w(<nil>)"],
    );
    check(
        r#"[{"op":"replace","path":3}]"#,
        expect![
            "replace operation failed to decode path: json: cannot unmarshal number into Go value of type string"
        ],
    );
}

#[test]
fn test() {
    check(
        r#"[{"op":"test","path":"/a/b","value":1}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(r#"[{"op":"test","path":"/a/b","value":1.0}]"#, expect!["testing value /a/b failed: test failed"]);
    check(
        r#"[{"op":"test","path":"/a/n","value":null}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"test","path":"/a/zz","value":null}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"test","path":"/a/zz"}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(r#"[{"op":"test","path":"/a/zz","value":1}]"#, expect!["testing value /a/zz failed: test failed"]);
    check(
        r#"[{"op":"test","path":"/zz/zz","value":1}]"#,
        expect!["test operation does not apply: is missing path: /zz/zz: missing value"],
    );
    check(
        r#"[{"op":"test","path":"/a/c/9","value":1}]"#,
        expect![
            "error in test for path: '/a/c/9': Unable to access invalid index: 9: invalid index referenced"
        ],
    );
    check(r#"[{"op":"test","path":"","value":{}}]"#, expect!["testing value  failed: test failed"]);
    check(
        r#"[{"op":"test"}]"#,
        expect!["test operation failed to decode path: operation missing path field: missing value"],
    );
}

#[test]
fn move_and_copy() {
    check(
        r#"[{"op":"move","from":"/a/c/0","path":"/a/c/2"}]"#,
        expect![[r#"{"a":{"b":1,"c":[2,3,1],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"move","from":"/a","path":"/a/x"}]"#,
        expect!["move operation does not apply: doc is missing destination path: /a/x: missing value"],
    );
    check(
        r#"[{"op":"move","from":"/x","path":"/y"}]"#,
        expect!["error in move for path: 'x': Unable to remove nonexistent key: x: missing value"],
    );
    check(
        r#"[{"op":"move","from":"/x/y","path":"/y"}]"#,
        expect!["move operation does not apply: doc is missing from path: /x/y: missing value"],
    );
    check(
        r#"[{"op":"move","path":"/y"}]"#,
        expect!["move operation failed to decode from: operation, missing from field: missing value"],
    );
    check(
        r#"[{"op":"copy","from":"/a/c","path":"/a/d"}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"d":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1}}"#]],
    );
    check(
        r#"[{"op":"copy","from":"/x","path":"/y"}]"#,
        expect![[r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1},"y":null}"#]],
    );
    check(
        r#"[{"op":"copy","from":"/a/c","path":"/x/y"}]"#,
        expect!["copy operation does not apply: doc is missing destination path: /x/y: missing value"],
    );
    check(
        r#"[{"op":"copy","from":"/a/c/9","path":"/y"}]"#,
        expect![
            "error in copy for from: '/a/c/9': Unable to access invalid index: 9: invalid index referenced"
        ],
    );
    check(
        r#"[{"op":"copy","from":"/a","path":"/y"}]"#,
        expect![[
            r#"{"a":{"b":1,"c":[1,2,3],"n":null,"s":"x"},"m/n":{"~k":1},"y":{"b":1,"c":[1,2,3],"n":null,"s":"x"}}"#
        ]],
    );
    check(
        r#"[{"op":"copy","path":"/y"}]"#,
        expect!["copy operation failed to decode from: operation, missing from field: missing value"],
    );
}

#[test]
fn strict() {
    let strict = |s: &str| match JsonPatch::parse_strict(s.as_bytes()) {
        Ok(strict) => strict.faults.join("\n"),
        Err(error) => error.to_string(),
    };
    expect![[r#"
        unknown field "[0].z"
        duplicate field "[0].op"
        duplicate field "[0].value.q"
        unknown field "[0].b""#]]
    .assert_eq(&strict(r#"[{"op":"add","z":1,"op":"add","value":{"q":1,"q":2},"b":{"c":1,"c":2}}]"#));
    expect!["json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"]
        .assert_eq(&strict("{}"));
    expect!["json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"]
        .assert_eq(&strict("[1]"));
    expect!["json: cannot unmarshal object into Go struct field jsonPatchOp.path of type string"]
        .assert_eq(&strict(r#"[{"path":{}}]"#));
}

#[test]
fn depth_stays_limited() {
    let deep = format!("{}1{}", r#"{"x":"#.repeat(6000), "}".repeat(6000));
    let document = json::parse(format!(r#"{{"a":{deep},"b":{deep}}}"#).as_bytes()).unwrap();
    for kind in ["copy", "move"] {
        let patch = format!(r#"[{{"op":"{kind}","from":"/a","path":"/b{}"}}]"#, "/x".repeat(6000));
        let error =
            JsonPatch::parse(patch.as_bytes()).unwrap().apply(document.clone(), usize::MAX).unwrap_err();
        assert_eq!(error.to_string(), "exceeded max depth");
    }
}
