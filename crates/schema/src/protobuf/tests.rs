use super::*;
use crate::{TypeId, Types, Unknown, decode_json, stored_form};
use value::{Value, json};

fn kind(group: &str, version: &str, kind: &str) -> (&'static Types, TypeId) {
    let types = Types::builtin();
    (types, types.by_kind(group, version, kind).expect("a built-in kind"))
}

fn tree(of: (&'static Types, TypeId), text: &str) -> Value {
    decode_json(of.0, of.1, text.as_bytes(), Unknown::Report).expect("decodes").value
}

/// The error of decoding bytes as a bare message.
fn error(of: (&'static Types, TypeId), bytes: &[u8]) -> String {
    decode_message(of.0, of.1, bytes).expect_err("does not decode").to_string()
}

#[test]
fn malformed_messages() {
    let pod = kind("", "v1", "Pod");
    for (bytes, want) in [
        (&[0x0a][..], "unexpected EOF"),
        (&[0x0a, 5, 1], "unexpected EOF"),
        (&[0x08, 0], "proto: wrong wireType = 0 for field ObjectMeta"),
        (&[0x0c], "proto: Pod: wiretype end group for non-group"),
        (&[0x02], "proto: Pod: illegal tag 0 (wire type 2)"),
        (&[0x7f, 0], "proto: illegal wireType 7"),
        (&[0xff; 12], "proto: integer overflow"),
        (
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            "proto: negative length found during unmarshaling",
        ),
        (&[0x0a, 2, 0x0a, 9], "unexpected EOF"),
        (&[0x7b, 0x7b], "unexpected EOF"),
    ] {
        assert_eq!(error(pod, bytes), want, "{bytes:x?}");
    }
    let quota = kind("", "v1", "ResourceQuota");
    let quantity = b"\x12\x0c\x0a\x0a\x0a\x01a\x12\x05\x0a\x03xyz";
    assert!(error(quota, quantity).starts_with("quantities must match"));
}

#[test]
fn envelopes() {
    for (bytes, want) in [
        (&b""[..], "empty data"),
        (b"xxxx", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"k8s\0", "empty body"),
        (b"k8s\0garbage", "proto: illegal wireType 7"),
    ] {
        assert_eq!(read_envelope(bytes).unwrap_err().to_string(), want);
    }
    let mut out = Vec::new();
    wrap_message("apps/v1", "Deployment", b"abc", &mut out);
    let envelope = read_envelope(&out).unwrap();
    assert_eq!(
        (&*envelope.api_version, &*envelope.kind, envelope.raw),
        ("apps/v1", "Deployment", &b"abc"[..])
    );
}

#[test]
fn messages_that_come_again_are_put_together() {
    let (types, ty) = kind("", "v1", "ConfigMap");
    let mut bytes = Vec::new();
    for part in
        [r#"{"metadata":{"name":"a","labels":{"x":"1"}},"data":{"k":"1"}}"#, r#"{"data":{"l":"2","k":"3"}}"#]
    {
        encode_message(types, ty, &tree((types, ty), part), &mut bytes);
    }
    // The second part says that the name is empty, but nothing of labels.
    assert_eq!(
        json::to_string(&decode_message(types, ty, &bytes).unwrap()),
        r#"{"data":{"k":"3","l":"2"},"metadata":{"labels":{"x":"1"}}}"#
    );
    let again = b"\x0a\x00".repeat(100_000);
    assert_eq!(error((types, ty), &again), "proto: too many repetitions of messages");
}

#[test]
fn depth_is_bounded() {
    let of = kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let (types, schema) = (of.0, of.0.by_go_name("apiextensions/v1.JSONSchemaProps").unwrap());
    // `not` in `not` in `not` …
    let mut bytes = Vec::new();
    for _ in 0..1_000 {
        let inner = std::mem::take(&mut bytes);
        bytes.extend([0xe2, 0x01]);
        encode::write_varint(inner.len() as u64, &mut bytes);
        bytes.extend(inner);
    }
    assert_eq!(decode_message(types, schema, &bytes).unwrap_err().to_string(), "proto: exceeded max depth");
}

#[test]
fn resource_version_is_spliced_in() {
    let (types, ty) = kind("", "v1", "ConfigMap");
    for labels in [
        "{}".to_owned(),
        format!(r#"{{"a":"{}"}}"#, "b".repeat(110)),
        format!(r#"{{"a":"{}"}}"#, "b".repeat(20_000)),
    ] {
        for rv in [1_u64, 1_234_567_890, u64::MAX] {
            let mut object = tree(
                (types, ty),
                &format!(r#"{{"metadata":{{"name":"n","labels":{labels}}},"data":{{"x":"y"}}}}"#),
            );
            let mut message = b"before".to_vec();
            let splice = encode_message_spliced(types, ty, &object, &mut message).unwrap();
            let message = &message[6..];
            let mut out = Vec::new();
            splice_message(message, splice, rv, &mut out);
            assert_eq!(out.len(), spliced_message_len(message.len(), splice, rv));
            object.object_at("metadata").unwrap().set("resourceVersion", rv.to_string());
            let mut want = Vec::new();
            encode_message(types, ty, &object, &mut want);
            assert_eq!(out, want);
        }
    }
}

#[test]
fn lists_are_put_together_of_pieces() {
    let (types, item) = kind("", "v1", "ConfigMap");
    let (_, list) = kind("", "v1", "ConfigMapList");
    let object = tree(
        (types, list),
        r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"abc","remainingItemCount":3},
            "items":[{"metadata":{"name":"a"},"data":{"x":"y"}},{"metadata":{"name":"b"}}]}"#,
    );
    let messages: Vec<Vec<u8>> = object
        .at("items")
        .items()
        .iter()
        .map(|i| {
            let mut out = Vec::new();
            encode_message(types, item, i, &mut out);
            out
        })
        .collect();
    let mut out = Vec::new();
    let items_len = messages.iter().map(|m| item_len(m.len())).sum();
    list_head(types, "v1", "ConfigMapList", object.at("metadata"), items_len, &mut out);
    for m in &messages {
        item_head(m.len(), &mut out);
        out.extend(m);
    }
    out.extend(LIST_TAIL);
    let mut want = Vec::new();
    encode_protobuf(types, list, &object, &mut want);
    assert_eq!(out, want);
    assert_eq!(decode_protobuf(types, list, &out).unwrap(), object);
}

#[test]
fn stored_form_is_what_protobuf_leaves() {
    for ((group, version, name), text) in [
        (("", "v1", "Pod"), r#"{"spec":{"containers":[],"nodeSelector":{},"tolerations":[]}}"#),
        (("rbac.authorization.k8s.io", "v1", "ClusterRole"), r#"{"rules":[{"verbs":[],"apiGroups":[]}]}"#),
        (("", "v1", "Secret"), r#"{"data":{"a":null,"b":""}}"#),
        (
            ("authorization.k8s.io", "v1", "SubjectAccessReview"),
            r#"{"spec":{"extra":{"a":null,"b":[],"c":["d"]}}}"#,
        ),
        (
            ("networking.k8s.io", "v1", "NetworkPolicy"),
            r#"{"spec":{"podSelector":{},"ingress":[{}],"egress":[]}}"#,
        ),
    ] {
        let (types, ty) = kind(group, version, name);
        let object = tree((types, ty), text);
        let mut bytes = Vec::new();
        encode_message(types, ty, &object, &mut bytes);
        let mut stored = object.clone();
        stored_form(types, ty, &mut stored);
        assert_eq!(json::to_string(&stored), json::to_string(&decode_message(types, ty, &bytes).unwrap()));
    }
}

#[test]
fn truncated_messages_never_panic() {
    let (types, ty) = kind("", "v1", "Pod");
    let object = tree((types, ty), include_str!("../../benches/pod.json"));
    let mut bytes = Vec::new();
    encode_message(types, ty, &object, &mut bytes);
    for end in 0..bytes.len() {
        _ = decode_message(types, ty, &bytes[..end]);
    }
}
