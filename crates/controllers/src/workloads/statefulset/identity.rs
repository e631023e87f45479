//! Names, pods and claims of a StatefulSet by ordinal. Facts: `pkg/controller/statefulset/stateful_set_utils.go`.

use super::REVISION;
use crate::workloads::pods::from_template;
use api::apps::v1::StatefulSet;
use api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};
use api::{Object, owners};
use std::ops::Range;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinals of the pods wanted.
pub(super) fn ordinals(set: &StatefulSet) -> Range<i32> {
    let spec = set.spec.as_ref();
    let start = spec.and_then(|spec| spec.ordinals.as_ref()?.start).unwrap_or_default();
    start..start.saturating_add(replicas(set))
}

/// How many pods are wanted.
pub(super) fn replicas(set: &StatefulSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// The ordinal of a pod, if by its name it is one of the set's.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let digits = pod.name().strip_prefix(set.name())?.strip_prefix('-')?;
    let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    decimal.then(|| digits.parse().ok())?
}

/// The name of the pod of an ordinal.
pub(super) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.name())
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", template.name(), set.name())
}

fn claim_templates(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten())
}

/// The names of the claims of an ordinal.
pub(super) fn claim_names(set: &StatefulSet, ordinal: i32) -> impl Iterator<Item = String> {
    claim_templates(set).map(move |template| claim_name(set, template, ordinal))
}

/// The claims of an ordinal.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let selected = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    let make = |template: &PersistentVolumeClaim| {
        let mut claim = template.clone();
        claim.metadata.name = Some(claim_name(set, template, ordinal));
        claim.metadata.namespace = set.metadata.namespace.clone();
        claim.metadata.labels.get_or_insert_default().extend(selected.clone());
        claim.status = None;
        claim
    };
    claim_templates(set).map(make).collect()
}

/// The pod of an ordinal, of a template and its revision.
pub(super) fn pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let mut pod = from_template(template, set, owners::controller_reference(set));
    let name = pod_name(set, ordinal);
    pod.metadata.name = Some(name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.extend(identity_labels(set, ordinal));
    labels.insert(REVISION.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain =
        set.spec.as_ref().and_then(|spec| spec.service_name.clone()).filter(|name| !name.is_empty());
    let mut volumes: Vec<Volume> = claim_templates(set)
        .map(|template| Volume {
            name: template.name().to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, template, ordinal),
                read_only: None,
            }),
            ..Default::default()
        })
        .collect();
    let own = spec.volumes.take().unwrap_or_default();
    let claimed = |volume: &Volume| claim_templates(set).any(|template| template.name() == volume.name);
    volumes.extend(own.into_iter().filter(|volume| !claimed(volume)));
    spec.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
    pod
}

/// The labels that a pod has for its name and ordinal.
pub(super) fn identity_labels(set: &StatefulSet, ordinal: i32) -> [(String, String); 2] {
    [(POD_NAME.to_owned(), pod_name(set, ordinal)), (POD_INDEX.to_owned(), ordinal.to_string())]
}

/// Whether the pod has the label of its name; that of its ordinal is newer, and comes along.
pub(super) fn has_identity(pod: &Pod) -> bool {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(POD_NAME)).map(String::as_str)
        == Some(pod.name())
}

#[cfg(test)]
mod tests {
    use super::super::tests::set;
    use super::*;
    use crate::workloads::testing;

    #[test]
    fn ordinals_of_names() {
        let set = set(3, serde_json::json!({ "ordinals": { "start": 5 } }));
        assert_eq!(ordinals(&set), 5..8);
        for (name, expected) in [
            ("db-0", Some(0)),
            ("db-12", Some(12)),
            ("db-", None),
            ("db-a", None),
            ("db-+1", None),
            ("db-1-2", None),
            ("web-0", None),
            ("db-99999999999", None),
        ] {
            assert_eq!(ordinal(&set, &testing::pod(name).build()), expected, "{name}");
        }
    }

    #[test]
    fn pods_have_identity_and_storage() {
        let set = set(1, serde_json::json!({}));
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).expect("a template");
        let pod = pod(&set, &template, "db-abc", 2);
        let labels = pod.metadata.labels.clone().expect("labels");
        let expected = [("app", "db"), (POD_INDEX, "2"), (REVISION, "db-abc"), (POD_NAME, "db-2")];
        assert_eq!(
            labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(),
            expected
        );
        let spec = pod.spec.clone().expect("a spec");
        assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("db-2"), Some("peers")));
        let volumes = serde_json::to_value(spec.volumes).expect("JSON");
        let expected =
            serde_json::json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data-db-2" } }]);
        assert_eq!(volumes, expected);
        assert!(has_identity(&pod));
        let claim = &claims(&set, 2)[0];
        assert_eq!((claim.name(), claim.namespace()), ("data-db-2", "default"));
        assert_eq!(claim.metadata.labels, Some(testing::labels("app=db")));
    }
}
