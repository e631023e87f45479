//! Decisions, texts and checks of RBAC.

use super::*;
use crate::UserInfo;
use expect_test::{Expect, expect};

fn tree(json: &str) -> Value {
    value::json::parse(json.as_bytes()).unwrap()
}

/// Roles and bindings in one line each: `KIND NAMESPACE/NAME …`.
fn rbac() -> Rbac {
    let mut rbac = Rbac::new();
    let mut put = |resource: &str, json: &str| rbac.upsert(resource, &tree(json));
    put(
        "clusterroles",
        r#"{"metadata":{"name":"viewer"},"rules":[{"verbs":["get","list"],"apiGroups":["","apps"],"resources":["pods","*/scale"]},{"verbs":["get"],"nonResourceURLs":["/healthz","/api/*"]}]}"#,
    );
    put(
        "clusterroles",
        r#"{"metadata":{"name":"root"},"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]},{"verbs":["*"],"nonResourceURLs":["*"]}]}"#,
    );
    put(
        "roles",
        r#"{"metadata":{"name":"named","namespace":"a"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["secrets"],"resourceNames":["s","t"]},{"verbs":["create"],"apiGroups":[""],"resources":["pods/log"]}]}"#,
    );
    put(
        "clusterrolebindings",
        r#"{"metadata":{"name":"all"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"viewer"},"subjects":[{"kind":"User","name":"bob"},{"kind":"Group","name":"devs"},{"kind":"ServiceAccount","name":"robot","namespace":"a"},{"kind":"ServiceAccount","name":"nowhere"}]}"#,
    );
    put(
        "rolebindings",
        r#"{"metadata":{"name":"here","namespace":"a"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"named"},"subjects":[{"kind":"ServiceAccount","name":"robot"},{"kind":"User","name":"ann"}]}"#,
    );
    put(
        "rolebindings",
        r#"{"metadata":{"name":"boss","namespace":"b"},"roleRef":{"kind":"ClusterRole","name":"root"},"subjects":[{"kind":"User","name":"ann"}]}"#,
    );
    put(
        "rolebindings",
        r#"{"metadata":{"name":"gone","namespace":"c"},"roleRef":{"kind":"Role","name":"no"},"subjects":[{"kind":"User","name":"ann"}]}"#,
    );
    put(
        "rolebindings",
        r#"{"metadata":{"name":"gone2","namespace":"c"},"roleRef":{"kind":"ClusterRole","name":"no"},"subjects":[{"kind":"User","name":"ann"}]}"#,
    );
    rbac
}

/// `USER[+GROUP] VERB NAMESPACE GROUP RESOURCE[/SUBRESOURCE] NAME`, with `-` for empty; or `USER VERB /PATH`.
fn ask(rbac: &Rbac, question: &str) -> String {
    let words: Vec<&str> = question.split(' ').map(|w| if w == "-" { "" } else { w }).collect();
    let (name, group) = words[0].split_once('+').unwrap_or((words[0], ""));
    let user = UserInfo::new(name, &[group]);
    let verdict = match words.as_slice() {
        [_, verb, path] => rbac.authorize(&Attributes::path(&user, verb, path)),
        [_, verb, namespace, api_group, resource, name] => {
            let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
            let attributes = Attributes::resource(&user, verb, api_group, resource);
            rbac.authorize(&attributes.named(namespace, name).sub(sub))
        }
        _ => panic!("{question}"),
    };
    format!("{} {}", if verdict.allowed() { "yes" } else { "no" }, verdict.reason)
}

#[test]
fn decisions_and_reasons() {
    let rbac = rbac();
    for (question, answer) in [
        (
            "bob get a - pods x",
            r#"yes RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "viewer" to User "bob""#,
        ),
        (
            "eve+devs list - apps deployments/scale -",
            r#"yes RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "viewer" to Group "devs""#,
        ),
        ("eve+devs list - apps deployments -", "no "),
        ("bob get - batch pods x", "no "),
        ("bob delete a - pods x", "no "),
        (
            "bob get /healthz",
            r#"yes RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "viewer" to User "bob""#,
        ),
        (
            "bob get /api/v1",
            r#"yes RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "viewer" to User "bob""#,
        ),
        ("bob get /api", "no "),
        (
            "system:serviceaccount:a:robot get x - pods x",
            r#"yes RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "viewer" to ServiceAccount "robot/a""#,
        ),
        (
            "system:serviceaccount:a:robot get a - secrets s",
            r#"yes RBAC: allowed by RoleBinding "here/a" of Role "named" to ServiceAccount "robot/a""#,
        ),
        ("system:serviceaccount::nowhere get a - pods s", "no "),
        (
            "ann get a - secrets s",
            r#"yes RBAC: allowed by RoleBinding "here/a" of Role "named" to User "ann""#,
        ),
        ("ann get a - secrets u", "no "),
        ("ann list a - secrets -", "no "),
        (
            "ann create a - pods/log x",
            r#"yes RBAC: allowed by RoleBinding "here/a" of Role "named" to User "ann""#,
        ),
        ("ann create a - pods x", "no "),
        (
            "ann delete b x y z",
            r#"yes RBAC: allowed by RoleBinding "boss/b" of ClusterRole "root" to User "ann""#,
        ),
        ("ann delete - x y z", "no "),
        (
            "ann get c - pods x",
            r#"no RBAC: [role.rbac.authorization.k8s.io "no" not found, clusterrole.rbac.authorization.k8s.io "no" not found]"#,
        ),
        // A namespace's rules on paths are worth nothing: paths have no namespace.
        ("ann get /healthz", "no "),
    ] {
        assert_eq!(ask(&rbac, question), answer, "{question}");
    }
}

#[test]
fn changes_and_deletions_take_effect() {
    let mut rbac = rbac();
    rbac.upsert("clusterrolebindings", &tree(r#"{"metadata":{"name":"all"},"roleRef":{"kind":"ClusterRole","name":"root"},"subjects":[{"kind":"Group","name":"ops"}]}"#));
    assert_eq!(ask(&rbac, "bob get a - pods x"), "no ");
    assert!(ask(&rbac, "x+ops get a - pods x").starts_with("yes"));
    rbac.remove("clusterroles", "", "root");
    assert_eq!(
        ask(&rbac, "x+ops get a - pods x"),
        r#"no RBAC: clusterrole.rbac.authorization.k8s.io "root" not found"#
    );
    rbac.remove("clusterrolebindings", "", "all");
    assert_eq!(ask(&rbac, "x+ops get a - pods x"), "no ");
    for (resource, namespace, name) in [
        ("rolebindings", "a", "here"),
        ("roles", "a", "named"),
        ("rolebindings", "b", "boss"),
        ("rolebindings", "c", "gone"),
        ("rolebindings", "c", "gone2"),
        ("roles", "x", "y"),
    ] {
        rbac.remove(resource, namespace, name);
    }
    assert!(rbac.namespaces.is_empty() && rbac.cluster_bindings.is_empty());
}

fn escalate(user: &str, namespace: &str, role: &str, want: Expect) {
    let rbac = rbac();
    let user = UserInfo::new(user, &["system:authenticated"]);
    let deny = |_: &Attributes<'_>| Verdict::no_opinion("");
    let resource = if namespace.is_empty() { "clusterroles" } else { "roles" };
    let result = check_role(&rbac, &deny, &user, resource, namespace, "", &tree(role), None);
    let text = result.err().map(|e| e.status(resource, "r").message).unwrap_or_default();
    want.assert_eq(&text);
}

#[test]
fn nobody_gives_what_they_do_not_have() {
    escalate(
        "bob",
        "a",
        r#"{"rules":[{"verbs":["list"],"apiGroups":["apps",""],"resources":["pods","x/scale"]}]}"#,
        expect![""],
    );
    escalate(
        "bob",
        "a",
        r#"{"rules":[{"verbs":["list","watch","get"],"apiGroups":["","batch"],"resources":["pods","nodes"]},{"verbs":["*"],"apiGroups":[""],"resources":["pods"],"resourceNames":["a","b"]},{"verbs":["get"],"nonResourceURLs":["/healthz","/x"]}]}"#,
        expect![[r#"
            roles.rbac.authorization.k8s.io "r" is forbidden: user "bob" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["nodes"], Verbs:["list" "watch" "get"]}
            {APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["*"]}
            {APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["*"]}
            {APIGroups:[""], Resources:["pods"], Verbs:["watch"]}
            {APIGroups:["batch"], Resources:["nodes"], Verbs:["list" "watch" "get"]}
            {APIGroups:["batch"], Resources:["pods"], Verbs:["list" "watch" "get"]}
            {NonResourceURLs:["/x"], Verbs:["get"]}"#]],
    );
    escalate(
        "ann",
        "c",
        r#"{"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}"#,
        expect![[r#"
            roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["get"]}; resolution errors: [roles.rbac.authorization.k8s.io "no" not found]"#]],
    );
    escalate(
        "bob",
        "",
        r#"{"rules":null,"aggregationRule":{"clusterRoleSelectors":[{}]}}"#,
        expect![[
            r#"clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule"#
        ]],
    );
}

#[test]
fn escalation_has_its_ways_around() {
    let rbac = rbac();
    let role = tree(
        r#"{"metadata":{"name":"r"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["nodes"]}]}"#,
    );
    let check = |user: &UserInfo, allowed: &str, old: Option<&Value>| {
        let authorize = |a: &Attributes<'_>| {
            let asked = format!("{} {} {} {}", a.verb, a.resource, a.namespace, a.name);
            if asked == allowed { Verdict::allow("") } else { Verdict::no_opinion("") }
        };
        check_role(&rbac, &authorize, user, "roles", "a", "", &role, old).is_ok()
    };
    let (bob, master) = (UserInfo::new("bob", &[]), UserInfo::new("x", &["system:masters"]));
    assert!(check(&master, "", None) && check(&bob, "escalate roles a ", None) && !check(&bob, "", None));
    let mut old = role.clone();
    old.get_mut("metadata").unwrap().set("finalizers", vec!["x"]);
    assert!(check(&bob, "", Some(&old)));
    old.set("rules", Value::Null);
    assert!(!check(&bob, "", Some(&old)));
    let bind = |kind: &str, name: &str, allowed: bool| {
        let authorize =
            move |_: &Attributes<'_>| if allowed { Verdict::allow("") } else { Verdict::no_opinion("") };
        let role = RoleRef { api_group: GROUP.into(), kind: kind.into(), name: name.into() };
        let result = check_binding(&rbac, &authorize, &bob, "rolebindings", "a", &role);
        result.err().map(|e| e.status("rolebindings", "b").message).unwrap_or_default()
    };
    assert_eq!(bind("ClusterRole", "viewer", false), "");
    assert_eq!(bind("ClusterRole", "no", false), r#"rolebindings.rbac.authorization.k8s.io "no" not found"#);
    assert_eq!(bind("ClusterRole", "no", true), "");
    assert!(
        bind("Role", "named", false)
            .contains(r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["t"], Verbs:["get"]}"#)
    );
}

/// Ten thousand to the fourth power of parts are not looked at one by one.
#[test]
fn astronomic_roles_are_refused_in_time() {
    let many: Vec<Str> = (0..10_000).map(|i| Str::from(format!("x{i}"))).collect();
    let rule = Rule {
        verbs: many.clone(),
        api_groups: many.clone(),
        resources: many.clone(),
        resource_names: many.clone(),
        non_resource_urls: Vec::new(),
    };
    assert!(!covers(&[], std::slice::from_ref(&rule)).is_empty());
    let all = Rule {
        verbs: vec!["*".into()],
        api_groups: vec!["*".into()],
        resources: vec!["*".into()],
        ..Rule::default()
    };
    assert!(covers(&[all], &[rule]).is_empty());
}

#[test]
fn aggregation_gathers_by_label() {
    let roles = [
        tree(
            r#"{"metadata":{"name":"a","labels":{"to":"x"}},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["a"]},{"verbs":["get"],"apiGroups":[""],"resources":["b"]}]}"#,
        ),
        tree(
            r#"{"metadata":{"name":"b","labels":{"to":"x"}},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["a"]}]}"#,
        ),
        tree(
            r#"{"metadata":{"name":"c","labels":{"to":"y"}},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["c"]}]}"#,
        ),
        tree(
            r#"{"metadata":{"name":"x","labels":{"to":"x"}},"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"to":"x"}}]},"rules":null}"#,
        ),
    ];
    let rules = aggregated_rules(&roles[3], roles.iter()).unwrap();
    assert_eq!(rules.iter().map(|r| r.resources[0].as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let mut done = roles[3].clone();
    done.set("rules", rules.iter().map(Rule::to_value).collect::<Vec<_>>());
    assert_eq!(aggregated_rules(&done, roles.iter()), None);
    assert_eq!(aggregated_rules(&roles[0], roles.iter()), None);
}

#[test]
fn reviews_list_rules() {
    let rbac = rbac();
    let review = |user: &UserInfo| value::json::to_string(&rules_review(&rbac, user, "c").to_value());
    assert_eq!(
        review(&UserInfo::new("bob", &[])),
        r#"{"incomplete":false,"nonResourceRules":[{"nonResourceURLs":["/healthz","/api/*"],"verbs":["get"]}],"resourceRules":[{"apiGroups":["","apps"],"resources":["pods","*/scale"],"verbs":["get","list"]}]}"#
    );
    let node = UserInfo::new("system:node:n", &["system:nodes"]);
    assert_eq!(
        review(&node),
        r#"{"evaluationError":"node authorizer does not support user rule resolution","incomplete":true,"nonResourceRules":[],"resourceRules":[]}"#
    );
}

/// The index against looking at every binding, over random changes: same decisions, same rules.
#[test]
fn the_index_is_as_good_as_looking_at_all() {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut dice = move |sides: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % sides as u64) as usize
    };
    let (verbs, resources, names) =
        (["get", "list", "*"], ["pods", "pods/log", "*/log", "*"], ["a", "b", "c"]);
    let mut rbac = Rbac::new();
    let mut all: std::collections::BTreeMap<String, (String, Value)> = std::collections::BTreeMap::new();
    for round in 0..3000 {
        let namespace = ["", "x", "y"][dice(3)];
        let name = format!("o{}", dice(6));
        let resource = match (namespace, dice(2)) {
            ("", 0) => "clusterroles",
            ("", _) => "clusterrolebindings",
            (_, 0) => "roles",
            _ => "rolebindings",
        };
        let key = format!("{resource}/{namespace}/{name}");
        if dice(4) == 0 {
            rbac.remove(resource, namespace, &name);
            all.remove(&key);
        } else {
            let body = if resource.ends_with("bindings") {
                let kind =
                    if namespace.is_empty() { "ClusterRole" } else { ["Role", "ClusterRole"][dice(2)] };
                let subject = |d: usize, n: &str| match d {
                    0 => format!(r#"{{"kind":"User","name":"{n}"}}"#),
                    1 => format!(r#"{{"kind":"Group","name":"{n}"}}"#),
                    _ => format!(
                        r#"{{"kind":"ServiceAccount","name":"{n}","namespace":"{}"}}"#,
                        ["", "x"][d % 2]
                    ),
                };
                let subjects: Vec<String> = (0..dice(4)).map(|_| subject(dice(4), names[dice(3)])).collect();
                format!(
                    r#""roleRef":{{"kind":"{kind}","name":"o{}"}},"subjects":[{}]"#,
                    dice(6),
                    subjects.join(",")
                )
            } else {
                format!(
                    r#""rules":[{{"verbs":["{}"],"apiGroups":[""],"resources":["{}"]}}]"#,
                    verbs[dice(3)],
                    resources[dice(4)]
                )
            };
            let object =
                tree(&format!(r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}"}},{body}}}"#));
            rbac.upsert(resource, &object);
            all.insert(key, (resource.to_owned(), object));
        }
        if round % 10 != 0 {
            continue;
        }
        let mut fresh = Rbac::new();
        for (resource, object) in all.values() {
            fresh.upsert(resource, object);
        }
        for user in [UserInfo::new("a", &["b", "c"]), UserInfo::new("system:serviceaccount:x:b", &["a"])] {
            for namespace in ["", "x", "y"] {
                assert_eq!(rbac.rules_for(&user, namespace), fresh.rules_for(&user, namespace));
                let naive: Vec<Rule> = naive_rules(&all, &user, namespace);
                for (resource, sub) in [("pods", ""), ("pods", "log"), ("x", "log")] {
                    let request =
                        Attributes::resource(&user, "get", "", resource).named(namespace, "n").sub(sub);
                    let want = naive.iter().any(|r| r.allows(&request));
                    assert_eq!(rbac.authorize(&request).allowed(), want, "{request:?}");
                }
            }
        }
    }
}

type Stored = std::collections::BTreeMap<String, (String, Value)>;

fn naive_rules(all: &Stored, user: &UserInfo, namespace: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (resource, object) in all.values() {
        let own = object.path(&["metadata", "namespace"]).str();
        if !resource.ends_with("bindings") || !(own.is_empty() || own == namespace) {
            continue;
        }
        let named = |s: &Value| {
            let name = s.at("name").str();
            let of = if s.at("namespace").str().is_empty() { own } else { s.at("namespace").str() };
            match s.at("kind").str() {
                "User" => user.name == name,
                "Group" => user.in_group(name),
                _ => !of.is_empty() && user.name == format!("system:serviceaccount:{of}:{name}"),
            }
        };
        if !object.at("subjects").items().iter().any(named) {
            continue;
        }
        let role = object.at("roleRef");
        let key = match role.at("kind").str() {
            "Role" => format!("roles/{own}/{}", role.at("name").str()),
            _ => format!("clusterroles//{}", role.at("name").str()),
        };
        let role = all.get(&key).map(|(_, role)| role.at("rules").items()).unwrap_or_default();
        rules.extend(role.iter().map(Rule::from_value));
    }
    rules
}

/// Not a test of speed but a way to see it: `cargo test --release -p auth -- --ignored --nocapture speed`.
#[test]
#[ignore = "prints a figure"]
fn speed() {
    let mut rbac = Rbac::new();
    for object in crate::policy::objects() {
        rbac.upsert(crate::policy::resource_of(object), object);
    }
    for i in 0..10_000 {
        let json = format!(
            r#"{{"metadata":{{"name":"b","namespace":"n{i}"}},"roleRef":{{"kind":"ClusterRole","name":"system:aggregate-to-edit"}},"subjects":[{{"kind":"ServiceAccount","name":"default"}}]}}"#
        );
        rbac.upsert("rolebindings", &tree(&json));
    }
    let user = UserInfo::new(
        "system:serviceaccount:n77:default",
        &["system:serviceaccounts", "system:serviceaccounts:n77", "system:authenticated"],
    );
    for (verb, resource) in [("get", "secrets"), ("delete", "configmaps"), ("get", "nodes")] {
        let attributes = Attributes::resource(&user, verb, "", resource).named("n77", "x");
        let start = std::time::Instant::now();
        let mut allowed = 0;
        for _ in 0..100_000 {
            allowed += usize::from(rbac.authorize(std::hint::black_box(&attributes)).allowed());
        }
        println!("{verb} {resource}: {:?} each, {allowed} allowed", start.elapsed() / 100_000);
    }
}
