//! Entry points for fuzzing: each takes a type and any bytes, and panics only if a promise is broken.

use crate::{
    TypeId, Types, Unknown, decode_json, decode_message, decode_protobuf, decode_value, encode_json,
    encode_message, is_normal, normalize, shown_form, stored_form,
};
use value::Value;

/// JSON: what decodes is in Go's form, and is the same after it was written and read again.
pub fn json(ty: TypeId, text: &[u8]) {
    let types = Types::builtin();
    if let Ok(decoded) = decode_json(types, ty, text, Unknown::Report) {
        let mut shown = decoded.value.clone();
        shown_form(types, ty, &mut shown);
        // A field that came again may have taken the place of what is told.
        assert!(decoded.has_unshown || shown == decoded.value, "what JSON does not show is told");
        check(types, ty, &decoded.value);
    }
    if let Ok(tree) = value::json::parse(text)
        && is_normal(types, ty, &tree)
    {
        let decoded = decode_value(types, ty, &tree, Unknown::Report).expect("a normal tree can be read");
        assert!(decoded.value == tree, "a normal tree is what it is");
        assert!(!decoded.has_unshown, "a normal tree is shown");
        assert!(decoded.strict_errors.is_empty(), "a normal tree is known");
    }
}

/// Protobuf: the same, with and without the envelope.
pub fn protobuf(ty: TypeId, bytes: &[u8]) {
    let types = Types::builtin();
    _ = decode_protobuf(types, ty, bytes);
    if let Ok(value) = decode_message(types, ty, bytes) {
        check(types, ty, &value);
    }
}

/// Both ways round: an object that went through protobuf is in its stored form.
fn check(types: &Types, ty: TypeId, value: &Value) {
    let mut normal = value.clone();
    normalize(types, ty, &mut normal);
    assert!(normal == *value, "a decoded object is in Go's form");
    let mut text = Vec::new();
    encode_json(types, ty, value, &mut text);
    let again = decode_json(types, ty, &text, Unknown::Report).expect("what was written can be read");
    let mut shown = value.clone();
    shown_form(types, ty, &mut shown);
    assert!(again.value == shown, "JSON changes nothing but what it does not show");
    assert!(!again.has_unshown, "what is written is shown");
    assert!(again.strict_errors.is_empty(), "what is written is known");
    let mut bytes = Vec::new();
    encode_message(types, ty, value, &mut bytes);
    let decoded = decode_message(types, ty, &bytes).expect("what was written can be read");
    let mut stored = value.clone();
    stored_form(types, ty, &mut stored);
    // Types that do not travel in protobuf lose what has no number there.
    if types.structure(ty).is_some_and(|s| s.fields.iter().all(|f| f.number > 0 && f.json != "apiVersion")) {
        assert!(decoded == stored, "protobuf leaves the stored form");
    }
}
