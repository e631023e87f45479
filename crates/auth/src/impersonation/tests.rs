//! Headers, modes and refusals.

use super::*;
use http::HeaderValue;

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

#[test]
fn headers_are_read_and_taken_out() {
    let mut map = headers(&[
        ("Impersonate-User", "u"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-Scopes", "x"),
        ("Impersonate-Extra-x%2fy", "z"),
        ("Accept", "json"),
    ]);
    let user = wanted_user(&mut map).unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.groups.len(), map.len()), ("u", 2, 1));
    assert_eq!(user.extra.keys().map(Str::as_str).collect::<Vec<_>>(), ["scopes", "x/y"]);
    assert_eq!(wanted_user(&mut map), Ok(None));
    for (header, text) in [
        (
            "Impersonate-Group",
            r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name"#,
        ),
        (
            "Impersonate-Extra-A",
            r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"a":[]string{"g"}}} without impersonating a user name"#,
        ),
        (
            "Impersonate-Uid",
            r#"requested &user.DefaultInfo{Name:"", UID:"g", Groups:[]string(nil), Extra:map[string][]string(nil)} without impersonating a user name"#,
        ),
    ] {
        let status = wanted_user(&mut headers(&[(header, "g")])).unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (400, text));
    }
}

/// `VERB RESOURCE[/SUB] NAMESPACE NAME`, as asked of the authorizer.
fn described(a: &Attributes<'_>) -> String {
    let sub = if a.subresource.is_empty() { String::new() } else { format!("/{}", a.subresource) };
    format!("{} {}.{}{sub} {} {}", a.verb, a.resource, a.api_group, a.namespace, a.name).trim_end().to_owned()
}

fn run(impersonator: &Impersonator, requestor: &UserInfo, wanted: &UserInfo, allowed: &[&str]) -> String {
    let authorize = |a: &Attributes<'_>| {
        if allowed.contains(&described(a).as_str()) { Verdict::allow("") } else { Verdict::no_opinion("") }
    };
    let request = Attributes::resource(requestor, "list", "", "pods").named("ns", "");
    match impersonator.impersonate(&authorize, &request, wanted) {
        Ok(done) => {
            format!("{} {:?} {}", done.user.name, done.user.groups, done.constraint).trim_end().to_owned()
        }
        Err(status) => status.message,
    }
}

#[test]
fn modes() {
    let bob = UserInfo::new("bob", &[]);
    let mut robot = UserInfo::service_account("a", "robot", "1");
    robot.extra.insert(NODE_NAME.into(), vec!["n1".into()]);
    let plain = |name: &str| UserInfo::new(name, &[]);
    let grouped = UserInfo::new("u", &["g", "h"]);
    let mut extra = plain("u");
    extra.extra.insert("k".into(), vec!["v".into()]);
    let u_denied = r#"pods is forbidden: User "bob" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "ns""#;
    let on = "impersonate-on:user-info:list pods. ns";
    let table: &[(&UserInfo, &UserInfo, &[&str], &str)] = &[
        (&bob, &plain("u"), &[], u_denied),
        (
            &bob,
            &plain("u"),
            &[on],
            r#"users.authentication.k8s.io "u" is forbidden: User "bob" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
        (
            &bob,
            &plain("u"),
            &[on, "impersonate:user-info users.authentication.k8s.io  u"],
            r#"u ["system:authenticated"] impersonate:user-info"#,
        ),
        (&bob, &plain("u"), &["impersonate users.  u"], r#"u ["system:authenticated"]"#),
        (
            &bob,
            &plain("system:anonymous"),
            &["impersonate users.  system:anonymous"],
            r#"system:anonymous ["system:unauthenticated"]"#,
        ),
        (&bob, &grouped, &["impersonate users.  u", "impersonate groups.  g"], u_denied),
        (
            &bob,
            &grouped,
            &["impersonate users.  u", "impersonate groups.  g", "impersonate groups.  h"],
            r#"u ["g", "h", "system:authenticated"]"#,
        ),
        (
            &bob,
            &UserInfo::new("u", &["system:masters"]),
            &[on, "impersonate:user-info users.authentication.k8s.io  u"],
            r#"groups.authentication.k8s.io "system:masters" is forbidden: User "bob" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the system:masters group is not allowed"#,
        ),
        (
            &bob,
            &extra,
            &["impersonate users.  u", "impersonate userextras.authentication.k8s.io/k  v"],
            r#"u ["system:authenticated"]"#,
        ),
        (
            &bob,
            &plain("system:serviceaccount:a:b"),
            &["impersonate serviceaccounts. a b"],
            r#"system:serviceaccount:a:b ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"]"#,
        ),
        (
            &bob,
            &plain("system:serviceaccount:a:b"),
            &[],
            r#"pods is forbidden: User "bob" cannot impersonate-on:serviceaccount:list resource "pods" in API group "" in the namespace "ns""#,
        ),
        (
            &bob,
            &plain("system:node:n1"),
            &[
                "impersonate-on:arbitrary-node:list pods. ns",
                "impersonate:arbitrary-node nodes.authentication.k8s.io  n1",
            ],
            r#"system:node:n1 ["system:nodes", "system:authenticated"] impersonate:arbitrary-node"#,
        ),
        (
            &robot,
            &plain("system:node:n1"),
            &[
                "impersonate-on:associated-node:list pods. ns",
                "impersonate:associated-node nodes.authentication.k8s.io  *",
            ],
            r#"system:node:n1 ["system:nodes", "system:authenticated"] impersonate:associated-node"#,
        ),
        (
            &robot,
            &plain("system:node:n2"),
            &[
                "impersonate-on:associated-node:list pods. ns",
                "impersonate:associated-node nodes.authentication.k8s.io  *",
            ],
            r#"pods is forbidden: User "system:serviceaccount:a:robot" cannot impersonate-on:arbitrary-node:list resource "pods" in API group "" in the namespace "ns""#,
        ),
    ];
    for (requestor, wanted, allowed, want) in table {
        assert_eq!(&run(&Impersonator::new(), requestor, wanted, allowed), want);
    }
}

#[test]
fn the_mode_that_helped_last_is_tried_first() {
    let (impersonator, bob) = (Impersonator::new(), UserInfo::new("bob", &[]));
    assert!(run(&impersonator, &bob, &UserInfo::new("u", &[]), &["impersonate users.  u"]).starts_with("u "));
    assert_eq!(
        run(&impersonator, &bob, &UserInfo::new("v", &[]), &["impersonate users.  u"]),
        r#"users "v" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope"#
    );
}
