//! The whole authorizer, and reviews.

use super::*;

fn rbac() -> Rbac {
    let mut rbac = Rbac::new();
    for object in crate::policy::objects() {
        rbac.upsert(crate::policy::resource_of(object), object);
    }
    rbac
}

/// A spec and the status it gets.
fn check(spec: &str, want: &str) {
    let spec = value::json::parse(spec.as_bytes()).unwrap();
    let access = Access::of_subject(&spec);
    let verdict = authorize(&Graph::new(), &rbac(), &access.attributes());
    assert_eq!(value::json::to_string(&access.status(&verdict)), want);
}

#[test]
fn reviews() {
    let node = r#""user":"system:node:n1","groups":["system:nodes"]"#;
    let ask = |attributes: &str, want: &str| {
        check(&format!(r#"{{{node},"resourceAttributes":{{{attributes}}}}}"#), want);
    };
    ask(r#""verb":"get","resource":"nodes","name":"n1""#, r#"{"allowed":true}"#);
    ask(
        r#""verb":"get","resource":"nodes","name":"n2""#,
        r#"{"allowed":false,"reason":"node 'n1' cannot read 'n2', only its own Node object"}"#,
    );
    ask(
        r#""verb":"get","resource":"secrets","namespace":"a","name":"s""#,
        r#"{"allowed":false,"reason":"no relationship found between node 'n1' and this object"}"#,
    );
    ask(
        r#""verb":"list","resource":"pods""#,
        r#"{"allowed":false,"reason":"can only list/watch pods with spec.nodeName field selector"}"#,
    );
    ask(
        r#""verb":"list","resource":"pods","fieldSelector":{"rawSelector":"spec.nodeName=n1"}"#,
        r#"{"allowed":true}"#,
    );
    ask(
        r#""verb":"list","resource":"pods","fieldSelector":{"requirements":[{"key":"spec.nodeName","operator":"In","values":["n1"]},{"key":"x","operator":"Exists"}]}"#,
        r#"{"allowed":true,"evaluationError":"spec.resourceAttributes.fieldSelector partially ignored due to parse error"}"#,
    );
    ask(
        r#""verb":"list","resource":"pods","fieldSelector":{"rawSelector":"a=b=c"},"labelSelector":{"requirements":[{"key":"a","operator":"Bad"}]}"#,
        r#"{"allowed":false,"evaluationError":"spec.resourceAttributes.fieldSelector ignored due to parse error; spec.resourceAttributes.labelSelector ignored due to parse error","reason":"can only list/watch pods with spec.nodeName field selector"}"#,
    );
    check(
        r#"{"user":"bob","groups":["system:masters"],"resourceAttributes":{"verb":"x","resource":"y"}}"#,
        r#"{"allowed":true}"#,
    );
    check(
        r#"{"user":"u","groups":["system:authenticated"],"nonResourceAttributes":{"verb":"get","path":"/openapi/v2"}}"#,
        r#"{"allowed":true,"reason":"RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\""}"#,
    );
    check(
        r#"{"user":"u","nonResourceAttributes":{"verb":"get","path":"/openapi/v2"}}"#,
        r#"{"allowed":false}"#,
    );
}

#[test]
fn refusals_are_told_as_upstream_tells_them() {
    let user = UserInfo::new("b<b", &[]);
    let told = |a: Attributes<'_>, reason: &str| a.forbidden(reason).message;
    let pods = Attributes::resource(&user, "list", "", "pods");
    assert_eq!(
        told(pods, ""),
        r#"pods is forbidden: User "b&lt;b" cannot list resource "pods" in API group "" at the cluster scope"#
    );
    assert_eq!(
        told(pods.named("n", "x").sub("log"), "no"),
        r#"pods "x" is forbidden: User "b&lt;b" cannot list resource "pods/log" in API group "" in the namespace "n": no"#
    );
    assert_eq!(
        told(Attributes::path(&user, "get", "/metrics"), ""),
        r#"forbidden: User "b&lt;b" cannot get path "/metrics""#
    );
}
