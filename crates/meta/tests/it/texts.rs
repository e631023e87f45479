//! Texts of field errors and of Status.

use expect_test::{Expect, expect};
use meta::field::{Error, Path, to_aggregate};
use meta::gvk::{GroupKind, GroupResource};
use meta::quote::go_json;
use meta::status::{Details, Status, reason};
use value::{Number, Value};

fn check(error: Error, expected: Expect) {
    expected.assert_eq(&error.to_string());
}

#[test]
fn bad_values() {
    let path = Path::new("spec");
    let path = path.child("a");
    let of = |v: Value| Error::invalid(&path, v, "");
    check(of("a\"<\n".into()), expect![[r#"spec.a: Invalid value: "a\"<\n""#]]);
    check(of("a\"<\n".into()).shown_as_json(), expect![[r#"spec.a: Invalid value: "a\"\u003c\n""#]]);
    check(of(5.into()), expect!["spec.a: Invalid value: 5"]);
    check(of(Number::Float(1e6).into()), expect!["spec.a: Invalid value: 1e+06"]);
    check(of(Number::Text("1.0".into()).into()), expect!["spec.a: Invalid value: 1"]);
    check(of(true.into()), expect!["spec.a: Invalid value: true"]);
    check(of(Value::Null), expect!["spec.a: Invalid value: null"]);
    check(of(vec!["<"].into()), expect![[r#"spec.a: Invalid value: ["\u003c"]"#]]);
    check(of(Value::Null).shown_as("{\"Name\":\"\"}"), expect![[r#"spec.a: Invalid value: {"Name":""}"#]]);
    check(Error::invalid(&path, 1, "why").without_value(), expect!["spec.a: Invalid value: why"]);
}

#[test]
fn kinds_of_errors() {
    let path = &Path::new("l");
    check(Error::required(path, ""), expect!["l: Required value"]);
    check(Error::forbidden(path, "no"), expect!["l: Forbidden: no"]);
    check(Error::too_long(path, 1), expect!["l: Too long: may not be more than 1 byte"]);
    check(Error::too_long_characters(path, 2), expect!["l: Too long: may not be more than 2 characters"]);
    check(Error::too_many(path, 3, 1), expect!["l: Too many: 3: must have at most 1 item"]);
    check(Error::too_few(path, 0, 2), expect!["l: Too few: 0: must have at least 2 items"]);
    check(Error::internal(path, "boom"), expect!["l: Internal error: boom"]);
    check(Error::not_found(path, "x"), expect![[r#"l: Not found: "x""#]]);
    let supported = ["b", "a"];
    let sorted = expect![[r#"l: Unsupported value: "c": supported values: "a", "b""#]];
    check(Error::not_supported(path, "c", &supported), sorted);
    let as_given = expect![[r#"l: Unsupported value: "c": supported values: "b", "a""#]];
    check(Error::not_supported_in_order(path, "c", &supported), as_given);
}

#[test]
fn paths() {
    let root = Path::ROOT;
    assert_eq!(root.to_string(), "<nil>");
    assert_eq!(root.child("spec").child("x.y").index(2).key("k").to_string(), "spec.x.y[2][k]");
    assert_eq!(Path::new("").to_string(), "[]");
}

#[test]
fn aggregates() {
    let path = &Path::new("a");
    let (one, two) = (Error::required(path, ""), Error::forbidden(path, "x"));
    assert_eq!(to_aggregate(&[]), None);
    assert_eq!(to_aggregate(&[one.clone(), one.clone()]).as_deref(), Some("a: Required value"));
    let both = to_aggregate(&[one.clone(), two, one]);
    assert_eq!(both.as_deref(), Some("[a: Required value, a: Forbidden: x]"));
}

fn check_status(status: Status, expected: Expect) {
    assert_eq!(Status::from_value(&status.to_value()).as_ref(), Some(&status));
    expected.assert_eq(&go_json(&status.to_value()));
}

#[test]
fn statuses() {
    let pods = &GroupResource::new("", "pods");
    let jobs = &GroupResource::new("batch", "jobs");
    check_status(
        Status::not_found(pods, "x"),
        expect![[
            r#"{"apiVersion":"v1","code":404,"details":{"kind":"pods","name":"x"},"kind":"Status","message":"pods \"x\" not found","metadata":{},"reason":"NotFound","status":"Failure"}"#
        ]],
    );
    check_status(
        Status::forbidden(jobs, "", "no"),
        expect![[
            r#"{"apiVersion":"v1","code":403,"details":{"group":"batch","kind":"jobs"},"kind":"Status","message":"jobs.batch is forbidden: no","metadata":{},"reason":"Forbidden","status":"Failure"}"#
        ]],
    );
    check_status(
        Status::too_large_resource_version(9, 5, 1),
        expect![[
            r#"{"apiVersion":"v1","code":504,"details":{"causes":[{"message":"Too large resource version","reason":"ResourceVersionTooLarge"}],"retryAfterSeconds":1},"kind":"Status","message":"Timeout: Too large resource version: 9, current: 5","metadata":{},"reason":"Timeout","status":"Failure"}"#
        ]],
    );
    let errors = vec![Error::required(&Path::new("spec"), "")];
    check_status(
        Status::invalid(&GroupKind::new("batch", "Job"), "x", &errors),
        expect![[
            r#"{"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec","message":"Required value","reason":"FieldValueRequired"}],"group":"batch","kind":"Job","name":"x"},"kind":"Status","message":"Job.batch \"x\" is invalid: spec: Required value","metadata":{},"reason":"Invalid","status":"Failure"}"#
        ]],
    );
    check_status(
        Status::generic_server_response(404, "GET", &GroupResource::default(), "", "", 0),
        expect![[
            r#"{"apiVersion":"v1","code":404,"details":{},"kind":"Status","message":"the server could not find the requested resource","metadata":{},"reason":"NotFound","status":"Failure"}"#
        ]],
    );
    check_status(
        Status::success(Some(Details { name: "x".into(), ..Details::default() })),
        expect![[
            r#"{"apiVersion":"v1","details":{"name":"x"},"kind":"Status","metadata":{},"status":"Success"}"#
        ]],
    );
}

#[test]
fn reasons_and_codes() {
    let unknown = Status { code: 404, ..Status::default() };
    assert!(unknown.is_not_found());
    let gone = Status::expired("old");
    assert!(gone.is(reason::EXPIRED) && !gone.is(reason::GONE));
    assert!(Status::too_many_requests("", 1).is(reason::TOO_MANY_REQUESTS));
}
