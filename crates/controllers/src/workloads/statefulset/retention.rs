//! Who owns a claim, so that the garbage collector deletes it when the set or the pod goes (KEP-1847). Facts:
//! `isClaimOwnerUpToDate`, `updateClaimOwnerRefForSetAndPod` in `pkg/controller/statefulset`.

use super::identity::{ordinal, ordinals};
use api::apps::v1::StatefulSet;
use api::core::v1::{PersistentVolumeClaim, Pod};
use api::meta::v1::OwnerReference;
use api::{Object, owners};

/// What becomes of claims: whether they go with the set, and with a pod that is scaled away.
fn policy(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    let deletes = |text: Option<&String>| text.is_some_and(|text| text == "Delete");
    (
        deletes(policy.and_then(|policy| policy.when_deleted.as_ref())),
        deletes(policy.and_then(|policy| policy.when_scaled.as_ref())),
    )
}

fn names<K: Object>(reference: &OwnerReference, owner: &K) -> bool {
    reference.api_version == K::API_VERSION && reference.kind == K::KIND && reference.name == owner.name()
}

fn references(claim: &PersistentVolumeClaim) -> &[OwnerReference] {
    claim.metadata.owner_references.as_deref().unwrap_or_default()
}

fn is_owned_by<K: Object>(claim: &PersistentVolumeClaim, owner: &K) -> bool {
    references(claim).iter().any(|reference| reference.uid == owner.uid())
}

/// Whether the claim belongs to a set or pod of this name that is gone: it is about to be deleted.
pub(super) fn is_stale<K: Object>(claim: &PersistentVolumeClaim, owner: &K) -> bool {
    let same = references(claim).iter().find(|reference| names(reference, owner));
    same.is_some_and(|reference| reference.uid != owner.uid())
}

/// Whether somebody else manages the claim, so that the policy cannot hold.
pub(super) fn is_conflicting(claim: &PersistentVolumeClaim, set: &StatefulSet, pod: &Pod) -> bool {
    policy(set) != (false, false)
        && references(claim).iter().any(|reference| {
            if names(reference, set) {
                reference.uid != set.uid()
            } else if names(reference, pod) {
                reference.uid != pod.uid()
            } else {
                reference.controller == Some(true)
            }
        })
}

/// The owners that the claim of a pod is to have; nothing if it has them.
pub(super) fn wanted_owners(
    claim: &PersistentVolumeClaim,
    set: &StatefulSet,
    pod: &Pod,
) -> Option<Vec<OwnerReference>> {
    if is_stale(claim, set) || is_stale(claim, pod) {
        return None;
    }
    let foreign = references(claim).iter().filter(|one| !names(one, set) && !names(one, pod));
    let mut wanted: Vec<OwnerReference> = foreign.cloned().collect();
    let (with_set, when_scaled) = policy(set);
    let scaled_away = !ordinal(set, pod).is_some_and(|ordinal| ordinals(set).contains(&ordinal));
    let (mut by_set, mut by_pod) = (with_set && !(when_scaled && scaled_away), when_scaled && scaled_away);
    if is_conflicting(claim, set, pod) {
        (by_set, by_pod) = (false, false);
    }
    let managing = |uid: &str| {
        references(claim).iter().filter(|one| one.uid == uid).all(|one| one.controller == Some(true))
    };
    if is_owned_by(claim, set) == by_set
        && is_owned_by(claim, pod) == by_pod
        && managing(set.uid())
        && managing(pod.uid())
    {
        return None;
    }
    wanted.extend(by_set.then(|| owners::controller_reference(set)));
    wanted.extend(by_pod.then(|| owners::controller_reference(pod)));
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::super::tests::set;
    use super::*;
    use crate::workloads::testing::{meta, pod};
    use serde_json::json;

    fn owned(references: &[OwnerReference]) -> PersistentVolumeClaim {
        let mut claim = PersistentVolumeClaim { metadata: meta("data-db-0"), ..Default::default() };
        claim.metadata.owner_references = Some(references.to_vec());
        claim
    }

    #[test]
    fn owners_of_claims() {
        let (kept, gone) = (pod("db-0").build(), pod("db-7").build());
        for (deleted, scaled, pod, expected) in [
            ("Retain", "Retain", &kept, &[][..]),
            ("Retain", "Retain", &gone, &[]),
            ("Delete", "Retain", &kept, &["uid-db"]),
            ("Delete", "Retain", &gone, &["uid-db"]),
            ("Retain", "Delete", &kept, &[]),
            ("Retain", "Delete", &gone, &["uid-db-7"]),
            ("Delete", "Delete", &kept, &["uid-db"]),
            ("Delete", "Delete", &gone, &["uid-db-7"]),
        ] {
            let policy = json!({ "whenDeleted": deleted, "whenScaled": scaled });
            let set = set(3, json!({ "persistentVolumeClaimRetentionPolicy": policy }));
            for before in
                [vec![], vec![owners::controller_reference(&set)], vec![owners::controller_reference(&**pod)]]
            {
                let claim = owned(&before);
                let wanted = wanted_owners(&claim, &set, pod).unwrap_or(before);
                let uids: Vec<_> = wanted.iter().map(|one| one.uid.as_str()).collect();
                assert_eq!(uids, expected, "{deleted} {scaled} {}", pod.name());
                assert_eq!(wanted_owners(&owned(&wanted), &set, pod), None);
            }
        }
    }

    #[test]
    fn claims_of_others_are_left() {
        let policy = json!({ "whenDeleted": "Delete", "whenScaled": "Delete" });
        let set = set(3, json!({ "persistentVolumeClaimRetentionPolicy": policy }));
        let pod = pod("db-0").build();
        let other = OwnerReference { controller: Some(true), uid: "other".into(), ..Default::default() };
        let claim = owned(std::slice::from_ref(&other));
        assert!(is_conflicting(&claim, &set, &pod));
        assert_eq!(wanted_owners(&claim, &set, &pod), None);
        let both = owned(&[other.clone(), owners::controller_reference(&set)]);
        assert_eq!(wanted_owners(&both, &set, &pod), Some(vec![other]));
        let mut stale = owners::controller_reference(&*pod);
        stale.uid = "uid-of-before".into();
        assert!(is_stale(&owned(&[stale]), &*pod));
    }
}
