use super::{Place, Scope, Variables, compile, compile_device_selector};
use cel::Type;

fn error(text: &str, place: Place, scope: Scope<'_>) -> String {
    compile(text, place, scope).map_or_else(|e| format!("{e:?}"), |p| format!("ok: {}", p.output_type()))
}

#[test]
fn what_places_offer() {
    let (none, params) = (Scope::default(), Scope { params: true, ..Scope::default() });
    let cases = [
        ("object.metadata.name == request.name", Place::Condition, none, "ok: bool"),
        ("params.x == 1", Place::Condition, params, "ok: bool"),
        ("authorizer.requestResource.check('get').allowed()", Place::Condition, none, "ok: bool"),
        ("namespaceObject.metadata.name", Place::Message, none, "ok: string"),
        ("null", Place::AuditAnnotation, none, "ok: null"),
        ("Object{spec: Object.spec{replicas: 1}}", Place::ApplyConfiguration, none, "ok: Object"),
        ("[JSONPatch{op: 'add', path: '/a', value: 1}]", Place::JsonPatch, none, "ok: list(JSONPatch)"),
        ("1", Place::Condition, none, r#"Invalid("must evaluate to bool but got int")"#),
        ("object", Place::Condition, none, r#"Invalid("must evaluate to bool but got dyn")"#),
        (
            "1",
            Place::AuditAnnotation,
            none,
            r#"Invalid("must evaluate to one of [string null_type] but got int")"#,
        ),
        ("1", Place::JsonPatch, none, r#"Invalid("must evaluate to list(JSONPatch) but got int")"#),
    ];
    for (text, place, scope, want) in cases {
        assert_eq!(error(text, place, scope), want, "{text}");
    }
    for (text, place) in [
        ("params.x == 1", Place::Condition),
        ("variables.x == 1", Place::Condition),
        ("authorizer.requestResource.check('get').reason()", Place::Message),
        ("Object{} == Object{}", Place::Condition),
    ] {
        assert!(compile(text, place, none).is_err(), "{text}");
    }
}

#[test]
fn variables_have_types() {
    let mut variables = Variables::default();
    variables.insert("n", Some(Type::Int));
    variables.insert("broken", None);
    let scope = Scope { variables: Some(&variables), ..Scope::default() };
    assert!(compile("variables.n == 1", Place::Condition, scope).is_ok());
    assert!(compile("variables.broken == 1", Place::Condition, scope).is_ok());
    assert!(compile("variables.n == 'a'", Place::Condition, scope).is_err());
    assert!(compile("variables.other == 1", Place::Condition, scope).is_err());
}

#[test]
fn device_selectors() {
    let cases = [
        ("device.driver == 'd'", true),
        ("device.attributes['a.b'].model == 'x' && device.attributes['a.b'].n > 3", true),
        ("device.attributes['a.b'].isReady", true),
        ("device.capacity['a.b'].memory.compareTo(quantity('1Gi')) >= 0", true),
        ("device.allowMultipleAllocations", true),
        ("device.driver", false),
        ("object.x", false),
        ("device.other == 1", false),
        // Forbidden: too complex.
        (
            "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, \
             device.attributes.all(d, a + b + c + d != ''))))",
            false,
        ),
    ];
    for (text, fine) in cases {
        let result = compile_device_selector(text, false);
        assert_eq!(result.is_ok(), fine, "{text}: {result:?}");
    }
}
