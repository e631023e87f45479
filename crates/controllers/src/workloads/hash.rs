//! Names for templates: a hash that is short, stable and free of unlucky words.
//!
//! Upstream hashes what Go's debug printer makes of a template (`controller.ComputeHash`), which nobody can
//! repeat without Go's types; its value changes with Kubernetes' version, so nothing may rest on it. What
//! matters, and is kept: equal templates have equal hashes, the collision count changes it, the alphabet is
//! `SafeEncodeString`'s, and whether a set is *the* set of a template is decided by comparing templates, never
//! hashes. Here FNV-1a (32 bits, as upstream) goes over the template's JSON.

use api::core::v1::PodTemplateSpec;
use serde::Serialize;
use std::collections::BTreeMap;

/// The label that tells pods and ReplicaSets of one template from those of another.
pub(crate) const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// Letters and digits that make no words (`k8s.io/apimachinery/pkg/util/rand`).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The hash of an object, told apart from others that fell on the same value by the count of such falls.
pub(crate) fn hash(object: &impl Serialize, collisions: Option<i32>) -> String {
    let mut state = fnv(0x811c_9dc5, super::patch::tree(object).to_string().as_bytes());
    if let Some(count) = collisions {
        state = fnv(state, &u64::from(count.cast_unsigned()).to_le_bytes());
    }
    safe(&state.to_string())
}

fn fnv(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn safe(text: &str) -> String {
    text.bytes().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

/// Whether two templates are the same but for the label that holds the hash. Both come of the API server, so
/// equal ones are written equally; only maps that this takes the last label of need care.
pub(crate) fn same_template(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    one.spec == other.spec && without_hash(one) == without_hash(other)
}

fn without_hash(template: &PodTemplateSpec) -> api::meta::v1::ObjectMeta {
    let mut meta = template.metadata.clone().unwrap_or_default();
    meta.labels = meta.labels.map(drop_hash).filter(|labels| !labels.is_empty());
    meta.annotations = meta.annotations.filter(|annotations| !annotations.is_empty());
    meta.creation_timestamp = None;
    meta
}

/// Labels without that of the hash.
pub(crate) fn drop_hash(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.remove(POD_TEMPLATE_HASH);
    labels
}

#[cfg(test)]
mod tests {
    use super::super::testing::template;
    use super::*;

    #[test]
    fn fnv_is_as_published() {
        // Test vectors of the FNV authors (draft-eastlake-fnv).
        for (text, value) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(fnv(0x811c_9dc5, text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn hashes_tell_templates_and_collisions_apart() {
        let (one, two) = (template("app=web", "web:1"), template("app=web", "web:2"));
        let hashes = [hash(&one, None), hash(&one, Some(0)), hash(&one, Some(1)), hash(&two, None)];
        for (place, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..place].contains(hash), "{hashes:?}");
            assert!(hash.len() <= 10 && hash.bytes().all(|byte| ALPHABET.contains(&byte)), "{hash}");
        }
        assert_eq!(hash(&one, None), hash(&one.clone(), None));
    }

    #[test]
    fn templates_are_compared_without_their_hash() {
        let plain = template("app=web", "web:1");
        assert!(same_template(&plain, &template("app=web,pod-template-hash=x", "web:1")));
        assert!(same_template(&template("", "web:1"), &template("pod-template-hash=x", "web:1")));
        assert!(!same_template(&plain, &template("app=web", "web:2")));
        assert!(!same_template(&plain, &template("app=db", "web:1")));
    }
}
