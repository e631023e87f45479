//! Expressions that a real server was asked, and what it said (`golden/` of the shared facts: `crd`,
//! `validation`, `quotas-admission`, `defaults`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::admission::{namespace_type, request_type, variables_type};
use crate::{
    Access, Authorizer, CompileError, Decision, Opaque, Program, Variables, authorizer_type,
    resource_check_type,
};

fn object(fields: impl IntoIterator<Item = (&'static str, DeclType)>) -> Arc<DeclType> {
    let fields: BTreeMap<value::Str, Arc<DeclType>> =
        fields.into_iter().map(|(n, t)| (n.into(), Arc::new(t))).collect();
    Arc::new(DeclType::object("selfType1", fields, |_| false))
}

fn spec() -> Arc<DeclType> {
    object([
        ("a", DeclType::integer()),
        ("b", DeclType::integer()),
        ("s", DeclType::string(None, None)),
        ("m", DeclType::map(Arc::new(DeclType::integer()), None)),
        ("l", DeclType::list(Arc::new(DeclType::integer()), ListKind::Atomic, Some(3000))),
    ])
}

fn tree() -> Value {
    let mut o = Map::new();
    o.insert("a", 5);
    o.insert("b", 0);
    o.insert("s", "here");
    let mut m = Map::new();
    m.insert("x", 1);
    o.insert("m", m);
    o.insert("l", vec![1, 2, 3]);
    Value::Object(o)
}

#[test]
fn rules_of_custom_resources() {
    let ty = spec();
    let env = Env::stored_expressions().variable_decl("self", &ty).variable_optional("oldSelf", &ty);
    let data = tree();
    let self_ = || Val::typed(&data, &ty).unwrap();
    let vars = Activation::new().with("self", self_()).with("oldSelf", Val::Optional(Some(Rc::new(self_()))));
    let mut out = String::new();
    for source in [
        "self.a > 9",
        r#""x" + string(self.a / self.b)"#,
        "self.l.all(x, self.l.all(y, x == y))",
        "self.a >",
        "'a' +",
        "",
        "timestamp(self.a) > 1",
        "self.a == 'x'",
        "self.nope == 1",
        "self.a.frob()",
        "self.a / self.b > 1",
        "self.m.all(k, self.m[k] > 1)",
        "cidr('10.0.0.0/8').containsIP(self.s)",
        "self.?s.orValue(\"none\") != \"none\"",
        "quantity('2Gi').isGreaterThan(quantity('1Gi'))",
        "semver('0.9.0').isGreaterThan(semver('1.0.0'))",
        "self.s.matches('^a+$')",
        "oldSelf.hasValue() || self.b == 1",
        "has(self.s) && self.s.startsWith('h')",
    ] {
        let cost = env.compile(source).map(|p| p.estimate_cost(&DeclSizes(&ty)));
        out.push_str(&format!("{source}\n    = {}\n", run(&env, source, &vars)));
        if let Ok(c) = cost {
            out.push_str(&format!("    estimate {}..{}\n", c.min, c.max));
        }
    }
    expect![[r#"
        self.a > 9
            = false : bool [3]
            estimate 3..3
        "x" + string(self.a / self.b)
            = error: division by zero [7]
            estimate 7..1844674407370955270
        self.l.all(x, self.l.all(y, x == y))
            = false : bool [25]
            estimate 3..45018003
        self.a >
            = ERROR: <input>:1:9: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
         | self.a >
         | ........^
        'a' +
            = ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
         | 'a' +
         | .....^

            = ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
        timestamp(self.a) > 1
            = ERROR: <input>:1:19: found no matching overload for '_>_' applied to '(timestamp, int)'
         | timestamp(self.a) > 1
         | ..................^
        self.a == 'x'
            = ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(int, string)'
         | self.a == 'x'
         | .......^
        self.nope == 1
            = ERROR: <input>:1:5: undefined field 'nope'
         | self.nope == 1
         | ....^
        self.a.frob()
            = ERROR: <input>:1:12: undeclared reference to 'frob' (in container '')
         | self.a.frob()
         | ...........^
        self.a / self.b > 1
            = error: division by zero [6]
            estimate 6..6
        self.m.all(k, self.m[k] > 1)
            = false : bool [10]
            estimate 3..3595115
        cidr('10.0.0.0/8').containsIP(self.s)
            = error: no such overload [5]
            estimate 4..314580
        self.?s.orValue("none") != "none"
            = true : bool [3]
            estimate 4..4
        quantity('2Gi').isGreaterThan(quantity('1Gi'))
            = true : bool [3]
            estimate 3..3
        semver('0.9.0').isGreaterThan(semver('1.0.0'))
            = false : bool [3]
            estimate 3..3
        self.s.matches('^a+$')
            = false : bool [3]
            estimate 3..314575
        oldSelf.hasValue() || self.b == 1
            = true : bool [2]
            estimate 2..4
        has(self.s) && self.s.startsWith('h')
            = true : bool [4]
            estimate 1..4
    "#]].assert_eq(&out);
    let p = env.compile("self.a == oldSelf.value().a").unwrap();
    assert!(p.uses("oldSelf"));
    assert_eq!(*p.output_type(), Type::Bool);
}

/// `crd/bad-cel-cost-total`: each rule is 2.6 times the limit of 10 million, four of them 1.040240 times
/// that of 100 million. `crd/bad-cel-cost`: more than 100 times.
#[test]
fn estimates_against_limits() {
    let rule = "self.l.all(x, self.l.all(y, x != y || 0 == 0))";
    let bounded = DeclType::list(Arc::new(DeclType::string(Some(50), None)), ListKind::Atomic, Some(1000));
    let ty = object([("l", bounded)]);
    let p = Env::stored_expressions().variable_decl("self", &ty).compile(rule).unwrap();
    assert_eq!(p.estimate_cost(&DeclSizes(&ty)).max, 26_006_003);

    let open = DeclType::list(Arc::new(DeclType::string(None, None)), ListKind::Atomic, None);
    let ty = object([("l", open)]);
    let p = Env::stored_expressions().variable_decl("self", &ty).compile(rule).unwrap();
    assert!(p.estimate_cost(&DeclSizes(&ty)).max > 100 * 10_000_000);
}

/// Lets the user list, and nothing else.
struct Lister;

impl Authorizer for Lister {
    fn authorize(&self, access: &Access<'_>) -> Decision {
        let allowed = matches!(access, Access::Resource { verb: "list", check }
            if check.resource == "pods" && check.namespace == "ns");
        Decision { allowed, ..Decision::default() }
    }

    fn service_account<'a>(&self, _: &str, _: &str) -> Rc<dyn Authorizer + 'a> {
        Rc::new(Self)
    }
}

fn admission_env() -> Env {
    Env::stored_expressions()
        .variable_of("object", Type::Dyn)
        .variable_of("oldObject", Type::Dyn)
        .variable_of("params", Type::Dyn)
        .variable_decl("namespaceObject", &namespace_type())
        .variable_decl("request", &request_type())
        .variable_of("authorizer", authorizer_type())
        .variable_of("authorizer.requestResource", resource_check_type())
}

fn json(text: &str) -> Value {
    value::json::parse(text.as_bytes()).unwrap()
}

#[test]
fn admission_policies() {
    let object = json(r#"{"metadata":{"name":"x"},"data":{"n":"5"},"spec":{"replicas":3}}"#);
    let request = json(
        r#"{"operation":"CREATE","resource":{"resource":"configmaps"},"kind":{"kind":"ConfigMap"},
            "dryRun":true,"namespace":"ns","userInfo":{"username":"admin"}}"#,
    );
    let namespace = json(r#"{"metadata":{"name":"ns"}}"#);
    let vars = Activation::new()
        .with("object", Val::tree(&object))
        .with("oldObject", Val::Null)
        .with("params", Val::Null)
        .with("request", Val::tree(&request))
        .with("namespaceObject", Val::tree(&namespace))
        .with("authorizer", Val::Opaque(Rc::new(Opaque::Authorizer(Rc::new(Lister)))))
        .with("authorizer.requestResource", Val::Int(1));
    let env = admission_env();
    let mut out = String::new();
    for source in [
        "authorizer.group('').resource('pods').namespace(request.namespace).check('list').allowed() == false",
        "object.data.n != '5'",
        "object.data.zz != '5'",
        "namespaceObject.metadata.name != request.namespace",
        "namespaceObject.metadata.name",
        "oldObject == null || oldObject.data.n == object.data.n",
        "request.userInfo.username != 'admin'",
        "request.operation + ' ' + request.resource.resource + ' ' + request.kind.kind + ' ' + string(request.dryRun)",
        "object.spec.replicas <= 5",
        "object.",
        "object.spec.nope > 1",
        "x",
        "1",
        "1 + 1",
        "object.metadata.name",
        "authorizer.requestResource",
    ] {
        out.push_str(&format!("{source}\n    = {}\n", run(&env, source, &vars)));
    }
    expect![[r#"
        authorizer.group('').resource('pods').namespace(request.namespace).check('list').allowed() == false
            = false : bool [350008]
        object.data.n != '5'
            = false : bool [4]
        object.data.zz != '5'
            = error: no such key: zz [4]
        namespaceObject.metadata.name != request.namespace
            = false : bool [6]
        namespaceObject.metadata.name
            = "ns" : string [3]
        oldObject == null || oldObject.data.n == object.data.n
            = true : bool [2]
        request.userInfo.username != 'admin'
            = false : bool [4]
        request.operation + ' ' + request.resource.resource + ' ' + request.kind.kind + ' ' + string(request.dryRun)
            = "CREATE configmaps ConfigMap true" : string [26]
        object.spec.replicas <= 5
            = true : bool [4]
        object.
            = ERROR: <input>:1:8: Syntax error: no viable alternative at input '.'
         | object.
         | .......^
        object.spec.nope > 1
            = error: no such key: nope [4]
        x
            = ERROR: <input>:1:1: undeclared reference to 'x' (in container '')
         | x
         | ^
        1
            = 1 : int [0]
        1 + 1
            = 2 : int [1]
        object.metadata.name
            = "x" : dyn [3]
        authorizer.requestResource
            = 1 : kubernetes.authorization.ResourceCheck [1]
    "#]].assert_eq(&out);
}

#[test]
fn variables_are_evaluated_once_and_charged_apart() {
    let object = json(r#"{"data":{"n":"5"}}"#);
    let names = ["v", "w", "bad"];
    let sources = ["int(object.data.n)", "variables.v + 1", "object.nope.x"];
    let mut compiled: Vec<(value::Str, Result<Program, String>)> = Vec::new();
    let env_with = |compiled: &[(value::Str, Result<Program, String>)]| {
        let fields = compiled.iter().map(|(n, p)| (n.clone(), p.as_ref().ok().map(Program::output_type)));
        admission_env().variable_decl("variables", &variables_type(fields))
    };
    for (name, source) in names.iter().zip(sources) {
        let p = env_with(&compiled).compile(source).map_err(|e| e.to_string());
        compiled.push(((*name).into(), p));
    }
    let env = env_with(&compiled);
    let base = Activation::new().with("object", Val::tree(&object));
    let (vars, handle) = Variables::compose(&compiled, &base);
    let mut out = String::new();
    for source in [
        "variables.w > 7",
        "string(variables.v)",
        "variables.v + variables.w",
        "variables.bad == 1",
        "variables.d",
    ] {
        out.push_str(&format!("{source}\n    = {}\n", run(&env, source, &vars)));
        out.push_str(&format!("    variables cost {}\n", handle.take_cost()));
    }
    expect![[r#"
        variables.w > 7
            = false : bool [3]
            variables cost 7
        string(variables.v)
            = "5" : string [3]
            variables cost 0
        variables.v + variables.w
            = 11 : int [5]
            variables cost 0
        variables.bad == 1
            = error: composited variable "bad" fails to evaluate: no such key: nope [3]
            variables cost 2
        variables.d
            = ERROR: <input>:1:10: undefined field 'd'
         | variables.d
         | .........^
            variables cost 0
    "#]]
    .assert_eq(&out);
}

#[test]
fn device_selectors_and_mutations() {
    let env = admission_env().with_mutation().with_json_patch().variable_of("device", Type::Dyn);
    let mut out = String::new();
    let shown = RefCell::new(&mut out);
    let go = |source: &str| {
        let text = match env.compile(source) {
            Err(CompileError::Issues(i)) => i.to_string(),
            Err(e) => format!("plan: {e}"),
            Ok(p) => {
                let (v, cost) = p.eval(&Activation::new(), Budget::default());
                format!("{v:?} : {} [{cost}]", p.output_type().declared_name())
            }
        };
        shown.borrow_mut().push_str(&format!("{source}\n    = {text}\n"));
    };
    go("device.nope +");
    go("Object{nope");
    go("Object{metadata: Object.metadata{labels: {'a': 'b'}}}");
    go(r#"[JSONPatch{op: "add", path: "/x", value: 1}]"#);
    go(r#"JSONPatch{op: 1}"#);
    go(r#"JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("a/b~c")}.path"#);
    go("Object{spec: Object.spec{?replicas: optional.of(3)}}.spec.replicas");
    go("'x'");
    expect![[r#"
        device.nope +
            = ERROR: <input>:1:14: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
         | device.nope +
         | .............^
        Object{nope
            = ERROR: <input>:1:12: Syntax error: mismatched input '<EOF>' expecting ':'
         | Object{nope
         | ...........^
        Object{metadata: Object.metadata{labels: {'a': 'b'}}}
            = Ok(Object{"metadata": Object.metadata{"labels": {"a": "b"}}}) : Object [80]
        [JSONPatch{op: "add", path: "/x", value: 1}]
            = Ok([JSONPatch{"op": "add", "path": "/x", "value": 1}]) : list(JSONPatch) [50]
        JSONPatch{op: 1}
            = ERROR: <input>:1:13: expected type of field 'op' is 'string' but provided type is 'int'
         | JSONPatch{op: 1}
         | ............^
        JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("a/b~c")}.path
            = Ok("/metadata/labels/a~1b~0c") : string [46]
        Object{spec: Object.spec{?replicas: optional.of(3)}}.spec.replicas
            = Ok(3) : dyn [84]
        'x'
            = Ok("x") : string [0]
    "#]].assert_eq(&out);
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Program>();
    shared::<Env>();
    shared::<DeclType>();
}

/// What came with a later version is unknown to an earlier one.
#[test]
fn versions() {
    let first =
        |source: &str| (27..=36).find(|minor| Env::of_version(*minor).compile(source).is_ok()).unwrap_or(0);
    let mut out = String::new();
    for source in [
        "'a'.lowerAscii()",
        "quantity('1').isInteger()",
        "optional.of(1).orValue(2)",
        "'%d'.format([1])",
        "sets.contains([1], [1])",
        "isIP('::1')",
        "format.uuid().validate('x').hasValue()",
        "[1].all(i, v, i < v)",
        "isSemver('1.0.0')",
        "[1].sort()",
        "[1].sortBy(x, x)",
        "base64.decode('')",
    ] {
        out.push_str(&format!("{source}: 1.{}\n", first(source)));
    }
    expect![[r#"
        'a'.lowerAscii(): 1.27
        quantity('1').isInteger(): 1.28
        optional.of(1).orValue(2): 1.28
        '%d'.format([1]): 1.29
        sets.contains([1], [1]): 1.29
        isIP('::1'): 1.30
        format.uuid().validate('x').hasValue(): 1.31
        [1].all(i, v, i < v): 1.32
        isSemver('1.0.0'): 1.33
        [1].sort(): 1.34
        [1].sortBy(x, x): 1.34
        base64.decode(''): 1.0
    "#]]
    .assert_eq(&out);
}
