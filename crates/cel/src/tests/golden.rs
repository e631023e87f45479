//! Expressions that a real server was asked, and what it said.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;

fn object(fields: &[(&str, DeclType)]) -> Arc<DeclType> {
    let fields: BTreeMap<value::Str, Arc<DeclType>> =
        fields.iter().map(|(n, t)| ((*n).into(), Arc::new(copy(t)))).collect();
    Arc::new(DeclType::object("selfType1", fields, |_| false))
}

fn copy(t: &DeclType) -> DeclType {
    match &*t.name {
        "int" => DeclType::integer(),
        "string" => DeclType::string(None, None),
        "list" => DeclType::list(Arc::new(DeclType::integer()), ListKind::Atomic, Some(t.max_elements)),
        _ => DeclType::map(Arc::new(DeclType::integer()), None),
    }
}

fn spec() -> Arc<DeclType> {
    object(&[
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
    o.insert("b", 3);
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
        "timestamp(self.a) > 1",
        "self.a == 'x'",
        "self.nope == 1",
        "self.a.frob()",
        "self.m.all(k, self.m[k] > 1)",
        "cidr('10.0.0.0/8').containsIP(self.s)",
        "self.?s.orValue(\"none\") != \"none\"",
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
            = "x1" : string [7]
            estimate 7..1844674407370955270
        self.l.all(x, self.l.all(y, x == y))
            = false : bool [25]
            estimate 3..45018003
        self.a >
            = ERROR: <input>:1:9: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
         | self.a >
         | ........^
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
        self.m.all(k, self.m[k] > 1)
            = false : bool [10]
            estimate 3..3595115
        cidr('10.0.0.0/8').containsIP(self.s)
            = error: no such overload [5]
            estimate 4..314580
        self.?s.orValue("none") != "none"
            = true : bool [3]
            estimate 4..4
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
