use super::*;

fn labels() -> [(&'static str, &'static str); 3] {
    [("app", "web"), ("tier", ""), ("n", "5")]
}

#[test]
fn matching() {
    let check = |selector: &str, expected: bool| {
        let parsed = Selector::parse(selector).expect("a selector");
        assert_eq!(parsed.matches(&labels()), expected, "{selector}");
        let map: BTreeMap<&str, &str> = labels().into_iter().collect();
        assert_eq!(parsed.matches(&map), expected, "{selector}");
    };
    check("", true);
    check("app", true);
    check("!app", false);
    check("!x", true);
    check("app=web,tier=", true);
    check("app==db", false);
    check("app!=db", true);
    check("x!=db", true);
    check("app in (db,web)", true);
    check("x in (db)", false);
    check("x notin (db)", true);
    check("app notin (web)", false);
    check("n>4", true);
    check("n>5", false);
    check("n<6,n>4", true);
    check("app>1", false);
    check("x<1", false);
}

fn object(entries: &[(&str, Value)]) -> Value {
    Value::Object(entries.iter().map(|(k, v)| (Str::from(*k), v.clone())).collect())
}

#[test]
fn of_objects() {
    let expression = |operator: &str, values: &[&str]| {
        object(&[
            ("key", "tier".into()),
            ("operator", operator.into()),
            ("values", values.iter().map(|v| Value::from(*v)).collect::<Vec<_>>().into()),
        ])
    };
    let selector = object(&[
        ("matchLabels", object(&[("app", "web".into())])),
        ("matchExpressions", vec![expression("NotIn", &["b", "a"]), expression("Exists", &[])].into()),
    ]);
    let parsed = Selector::from_label_selector(&selector).expect("a selector");
    assert_eq!(parsed.to_string(), "app=web,tier notin (a,b),tier");
    assert_eq!(parsed.requires_exact_match("app"), Some("web"));
    assert!(parsed.matches(&labels()));
    assert_eq!(format_label_selector(&selector), "app=web,tier notin (a,b),tier");

    let nothing = Selector::from_label_selector(&Value::Null).expect("a selector");
    assert!(nothing.is_nothing() && !nothing.matches(&labels()));
    let everything = Selector::from_label_selector(&Value::object()).expect("a selector");
    assert!(everything.is_everything() && everything.matches(&labels()));

    let bad = object(&[("matchExpressions", vec![expression("Gt", &["1"])].into())]);
    let error = Selector::from_label_selector(&bad).expect_err("an unknown operator");
    assert_eq!(error.to_string(), "\"Gt\" is not a valid label selector operator");
    assert_eq!(format_label_selector(&bad), "<error>");
    assert_eq!(format_label_selector(&Value::object()), "<none>");
}

#[test]
fn sets() {
    let set = object(&[("b", "2".into()), ("a", "1".into())]);
    assert_eq!(Selector::from_set(&set).to_string(), "a=1,b=2");
    assert_eq!(format_labels(&set), "a=1,b=2");
    assert_eq!(format_labels(&Value::Null), "<none>");
    assert!(conflict(&set, &object(&[("a", "2".into())])));
    assert!(!conflict(&set, &object(&[("c", "2".into())])));
}
