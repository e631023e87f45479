use super::*;
use crate::{DecodeErrorKind, Types, normalize, shown_form};
use value::json;

fn decode(kind: (&str, &str, &str), text: &str) -> Result<Decoded, crate::DecodeError> {
    let types = Types::builtin();
    let ty = types.by_kind(kind.0, kind.1, kind.2).expect("a built-in kind");
    decode_json(types, ty, text.as_bytes(), Unknown::Report)
}

const POD: (&str, &str, &str) = ("", "v1", "Pod");
const CRD: (&str, &str, &str) = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition");

/// What becomes of a document: strict errors and the tree, or the error.
fn outcome(kind: (&str, &str, &str), text: &str) -> String {
    match decode(kind, text) {
        Ok(d) if d.strict_errors.is_empty() => json::to_string(&d.value),
        Ok(d) => format!("{} {}", d.strict_errors.join(", "), json::to_string(&d.value)),
        Err(e) => e.to_string(),
    }
}

fn check(kind: (&str, &str, &str), table: &[(&str, &str)]) {
    for (text, want) in table {
        assert_eq!(outcome(kind, text), *want, "{text}");
    }
}

#[test]
fn zeros_as_go_prints_them() {
    check(
        POD,
        &[
            ("{}", r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#),
            ("null", r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#),
            (
                r#"{"spec":{"containers":[],"nodeName":"","priority":null}}"#,
                r#"{"metadata":{},"spec":{"containers":[]},"status":{}}"#,
            ),
            (
                r#"{"spec":{"containers":[null,{"resources":{"limits":{"cpu":1}}}],"priority":0}}"#,
                r#"{"metadata":{},"spec":{"containers":[{"name":"","resources":{}},{"name":"","resources":{"limits":{"cpu":"1"}}}],"priority":0},"status":{}}"#,
            ),
        ],
    );
    check(("rbac.authorization.k8s.io", "v1", "ClusterRole"), &[("{}", r#"{"metadata":{},"rules":null}"#)]);
    check(("", "v1", "Service"), &[("{}", r#"{"metadata":{},"spec":{},"status":{"loadBalancer":{}}}"#)]);
}

#[test]
fn strict_errors_in_document_order() {
    check(
        POD,
        &[
            (
                r#"{"zpec":1,"spec":{"containers":[{"imagee":"x","name":"a","name":"b"}],"Containers":2},"spec":{}}"#,
                r#"unknown field "zpec", unknown field "spec.containers[0].imagee", duplicate field "spec.containers[0].name", unknown field "spec.Containers", duplicate field "spec" {"metadata":{},"spec":{"containers":[{"name":"b","resources":{}}]},"status":{}}"#,
            ),
            (
                r#"{"metadata":{"labels":{"b":"1","a":"1","b":"2","b":"3"},"foo":1}}"#,
                r#"duplicate field "metadata.labels.b", unknown field "metadata.foo" {"metadata":{"labels":{"a":"1","b":"3"}},"spec":{"containers":null},"status":{}}"#,
            ),
        ],
    );
    // Each text once, at most a hundred.
    let many: Vec<String> = (0..300).map(|i| format!("\"x{}\":0", i / 2)).collect();
    assert_eq!(decode(POD, &format!("{{{}}}", many.join(","))).unwrap().strict_errors.len(), 100);
}

#[test]
fn values_of_a_wrong_type() {
    check(
        POD,
        &[
            ("[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
            (
                r#"{"spec":"x"}"#,
                "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
            ),
            (
                r#"{"spec":{"containers":[{"command":"sh"}],"priority":"x"}}"#,
                "json: cannot unmarshal string into Go struct field Container.spec.containers.command of type []string",
            ),
            (
                r#"{"spec":{"volumes":[{"hostPath":1}]}}"#,
                "json: cannot unmarshal number into Go struct field Volume.spec.volumes.VolumeSource.hostPath of type v1.HostPathVolumeSource",
            ),
            (
                r#"{"spec":{"restartPolicy":1}}"#,
                "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
            ),
            (
                r#"{"spec":{"priority":2147483648}}"#,
                "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
            ),
            (
                r#"{"spec":{"containers":[{"resources":{"limits":1}}]}}"#,
                "json: cannot unmarshal number into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
            ),
            (
                r#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}"#,
                "json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32",
            ),
            (
                r#"{"metadata":{"creationTimestamp":5}}"#,
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
            ),
            (
                r#"{"kind":1}"#,
                "json: cannot unmarshal number into Go struct field Pod.TypeMeta.kind of type string",
            ),
            // A type's own decoder stops all; what was remembered before is forgotten.
            (
                r#"{"spec":{"priority":"x","overhead":{"cpu":"1x"}}}"#,
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            // Syntax comes before anything else.
            (r#"{"spec":"x","#, "unexpected end of JSON input"),
            (
                r#"{"spec":{"overhead":{"cpu":"1x"}},}"#,
                "invalid character '}' looking for beginning of object key string",
            ),
            (r#"{"spec":{"foo":[1,}]}}"#, "invalid character '}' looking for beginning of value"),
            (r#"{"spec":{}}x"#, "invalid character 'x' after top-level value"),
        ],
    );
    check(
        ("", "v1", "Secret"),
        &[
            (r#"{"data":{"a":"!"}}"#, "illegal base64 data at input byte 0"),
            (
                r#"{"data":{"a":"QQ==","b":null,"c":[65]}}"#,
                r#"{"data":{"a":"QQ==","b":null,"c":"QQ=="},"metadata":{}}"#,
            ),
        ],
    );
}

#[test]
fn schemas_of_custom_resources() {
    let wrap =
        |schema: &str| format!(r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{schema}}}}}]}}}}"#);
    let schema_of = |schema: &str| match decode(CRD, &wrap(schema)) {
        Ok(d) => {
            let tree =
                d.value.path(&["spec", "versions"]).items()[0].path(&["schema", "openAPIV3Schema"]).clone();
            format!("{}{}", d.strict_errors.join(", "), json::to_string(&tree))
        }
        Err(e) => e.to_string(),
    };
    for (schema, want) in [
        (r#"{"items":{"type":"string"},"maximum":1e2}"#, r#"{"items":{"type":"string"},"maximum":100}"#),
        (
            r#"{"items":[{"type":"a"}],"additionalProperties":false}"#,
            r#"{"additionalProperties":false,"items":[{"type":"a"}]}"#,
        ),
        // Nothing inside is decoded strictly.
        (
            r#"{"foo":1,"items":{"foo":1}}"#,
            r#"unknown field "spec.versions[0].schema.openAPIV3Schema.foo"{"items":{}}"#,
        ),
        (r#"{"additionalProperties":5}"#, "boolean or JSON schema expected"),
        (
            r#"{"items":{"type":1}}"#,
            "json: cannot unmarshal number into Go struct field JSONSchemaProps.spec.versions.schema.openAPIV3Schema.items.type of type string",
        ),
        (
            r#"{"default":{"b":[1.0],"a":null},"enum":[null,1]}"#,
            r#"{"default":{"a":null,"b":[1.0]},"enum":[null,1]}"#,
        ),
        (
            r#"{"dependencies":{"a":["x"],"b":{"type":"y"},"c":[]}}"#,
            r#"{"dependencies":{"a":["x"],"b":{"type":"y"},"c":null}}"#,
        ),
    ] {
        assert_eq!(schema_of(schema), want, "{schema}");
    }
}

#[test]
fn depth_is_bounded() {
    let nest = |n: usize| {
        let open = r#"{"properties":{"a":"#.repeat(n);
        format!(
            r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{open}{{}}{}}}}}]}}}}"#,
            "}}".repeat(n)
        )
    };
    assert!(decode(CRD, &nest(180)).is_ok());
    assert_eq!(decode(CRD, &nest(300)).unwrap_err().to_string(), "invalid character '{' exceeded max depth");
    let lists = |n: usize| format!(r#"{{"foo":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(decode(POD, &lists(5_000)).is_ok());
    let error = decode(POD, &lists(100_000)).unwrap_err();
    assert_eq!(
        (error.kind, error.to_string().as_str()),
        (DecodeErrorKind::Syntax, "invalid character '[' exceeded max depth")
    );
    let items = format!("{}{}", r#"{"items":"#.repeat(5_000), "}".repeat(5_000));
    assert!(decode(CRD, &nest(0).replace("{}", &items)).is_err());
}

#[test]
fn repeated_fields_take_linear_time() {
    // A large map, and then many small ones of the same name.
    let entries: Vec<String> = (0..20_000).map(|i| format!("\"k{i}\":\"\"")).collect();
    let again = r#","data":{"b":""}"#.repeat(20_000);
    let text = format!(r#"{{"data":{{{}}}{again}}}"#, entries.join(","));
    let decoded = decode(("", "v1", "ConfigMap"), &text).unwrap();
    assert_eq!(decoded.strict_errors, [r#"duplicate field "data""#]);
}

#[test]
fn invalid_utf8_is_replaced_byte_by_byte() {
    let types = Types::builtin();
    let ty = types.by_kind("", "v1", "Pod").unwrap();
    let decoded =
        decode_json(types, ty, b"{\"metadata\":{\"name\":\"a\xe2\x82b\"}}", Unknown::Report).unwrap();
    assert_eq!(decoded.value.path(&["metadata", "name"]).str(), "a\u{fffd}\u{fffd}b");
}

#[test]
fn resource_version_is_spliced_in() {
    let types = Types::builtin();
    let ty = types.by_kind("", "v1", "ConfigMap").unwrap();
    for metadata in ["{}", r#"{"name":"a"}"#, r#"{"name":"a","labels":{"b":"c"}}"#, r#"{"labels":{"b":"c"}}"#]
    {
        for rv in [1_u64, u64::MAX] {
            let text = format!(r#"{{"kind":"ConfigMap","metadata":{metadata},"data":{{"x":"y"}}}}"#);
            let mut tree = decode_json(types, ty, text.as_bytes(), Unknown::Report).unwrap().value;
            for typed in [true, false] {
                let mut bytes = b"before".to_vec();
                let splice = if typed {
                    encode_json_spliced(types, ty, &tree, &mut bytes).unwrap()
                } else {
                    encode_untyped_spliced(&tree, &mut bytes).unwrap()
                };
                let mut out = Vec::new();
                splice_json(&bytes[6..], splice, rv, &mut out);
                tree.object_at("metadata").unwrap().set("resourceVersion", rv.to_string());
                assert_eq!(json::parse(&out).unwrap(), tree, "{metadata}");
                if typed {
                    let mut want = Vec::new();
                    encode_json(types, ty, &tree, &mut want);
                    assert_eq!(out, want);
                }
                tree.object_at("metadata").unwrap().remove("resourceVersion");
            }
        }
    }
}

#[test]
fn normalisation_restores_gos_form() {
    let types = Types::builtin();
    let ty = types.by_kind("", "v1", "Pod").unwrap();
    let text = r#"{"spec":{"containers":[{"name":"a","zzz":1,"env":[],"resources":{"limits":{"cpu":"1000m","m":2}}}],
        "priority":null,"nodeName":"","overhead":{}},"metadata":{"deletionTimestamp":"2020-01-01T00:00:00+01:00"},"aaa":1}"#;
    let mut tree = json::parse(text.as_bytes()).unwrap();
    normalize(types, ty, &mut tree);
    assert_eq!(
        json::to_string(&tree),
        r#"{"metadata":{"deletionTimestamp":"2019-12-31T23:00:00Z"},"spec":{"containers":[{"env":[],"name":"a","resources":{"limits":{"cpu":"1","m":"2"}}}],"overhead":{}},"status":{}}"#
    );
    shown_form(types, ty, &mut tree);
    assert_eq!(
        json::to_string(&tree),
        r#"{"metadata":{"deletionTimestamp":"2019-12-31T23:00:00Z"},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1","m":"2"}}}]},"status":{}}"#
    );
}

#[test]
fn empty_lists_and_maps_are_kept_told_and_not_written() {
    let types = Types::builtin();
    let ty = types.by_kind("", "v1", "Pod").unwrap();
    for (text, has_unshown) in [
        (r#"{"metadata":{"labels":{}},"spec":{"containers":[]},"status":{}}"#, true),
        (r#"{"metadata":{},"spec":{"containers":[{"env":[],"name":"a","resources":{}}]},"status":{}}"#, true),
        // What is printed when it is empty is no secret; neither are empty structs.
        (r#"{"metadata":{},"spec":{"containers":[],"securityContext":{}},"status":{}}"#, false),
        (r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#, false),
    ] {
        let decoded = crate::decode_json(types, ty, text.as_bytes(), crate::Unknown::Report).unwrap();
        assert_eq!(decoded.has_unshown, has_unshown, "{text}");
        assert_eq!(json::to_string(&decoded.value), text);
        let mut out = Vec::new();
        encode_json(types, ty, &decoded.value, &mut out);
        let mut shown = decoded.value;
        shown_form(types, ty, &mut shown);
        assert_eq!(json::parse(&out).unwrap(), shown, "{text}");
        assert_eq!(json::to_string(&shown) == text, !has_unshown);
    }
}

#[test]
fn items_that_are_no_schema_are_not_nil_until_they_are_stored() {
    let types = Types::builtin();
    let ty = types.by_go_name("apiextensions/v1.JSONSchemaProps").unwrap();
    for (text, shown, has_unshown) in [
        (r#"{"items":5}"#, "{}", true),
        (r#"{"items":"a"}"#, "{}", true),
        (r#"{"items":[]}"#, "{}", true),
        (r#"{"items":null}"#, "{}", false),
        (r#"{"items":{}}"#, r#"{"items":{}}"#, false),
    ] {
        let decoded = crate::decode_json(types, ty, text.as_bytes(), crate::Unknown::Report).unwrap();
        assert_eq!(decoded.has_unshown, has_unshown, "{text}");
        assert_eq!(decoded.value.at("items").is_null(), shown == "{}" && !has_unshown, "{text}");
        let mut normal = decoded.value.clone();
        crate::normalize(types, ty, &mut normal);
        assert_eq!(normal, decoded.value, "{text}");
        let mut out = Vec::new();
        encode_json(types, ty, &decoded.value, &mut out);
        assert_eq!(out, shown.as_bytes(), "{text}");
    }
}

#[test]
fn field_names_need_no_escapes() {
    for (_, ty) in Types::builtin().iter() {
        let crate::Shape::Struct(s) = &ty.shape else { continue };
        assert!(s.fields.len() <= 128, "fields are counted in the bits of an u128");
        assert!(
            s.fields.iter().all(|f| f.json.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_$".contains(&b)))
        );
    }
}
