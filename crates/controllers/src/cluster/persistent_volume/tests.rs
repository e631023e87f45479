use super::bind;
use super::plan::{self, ClaimPlan, VolumePlan, World};
use api::Object;
use api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api::storage::v1::StorageClass;
use serde_json::{Value, json};
use std::sync::Arc;

fn volume(name: &str, size: &str, spec: &Value) -> Arc<PersistentVolume> {
    let mut volume = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Available"}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        match key.as_str() {
            "phase" => volume["status"]["phase"] = value.clone(),
            "annotations" | "labels" => volume["metadata"][key] = value.clone(),
            _ => volume["spec"][key] = value.clone(),
        }
    }
    Arc::new(serde_json::from_value(volume).expect("a volume"))
}

fn claim(spec: &Value) -> PersistentVolumeClaim {
    let mut claim = json!({"metadata": {"name": "c", "namespace": "n", "uid": "c-uid", "resourceVersion": "1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}, "storageClassName": ""}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        match key.as_str() {
            "annotations" => claim["metadata"][key] = value.clone(),
            _ => claim["spec"][key] = value.clone(),
        }
    }
    serde_json::from_value(claim).expect("a claim")
}

fn class(name: &str, more: &Value) -> Arc<StorageClass> {
    let mut class = json!({"metadata": {"name": name}, "provisioner": "csi.example.com", "volumeBindingMode": "Immediate"});
    for (key, value) in more.as_object().into_iter().flatten() {
        match key.as_str() {
            "annotations" => class["metadata"][key] = value.clone(),
            _ => class[key] = value.clone(),
        }
    }
    Arc::new(serde_json::from_value(class).expect("a class"))
}

fn shown(
    claim: &PersistentVolumeClaim,
    volumes: &[Arc<PersistentVolume>],
    classes: &[Arc<StorageClass>],
) -> String {
    let world = World {
        volumes,
        volume: &|name| volumes.iter().find(|v| v.name() == name).cloned(),
        class: &|name| classes.iter().find(|c| c.name() == name).cloned(),
        classes,
        waiting_pods: &|| vec!["p".into()],
    };
    match plan::claim(claim, &world).expect("a plan") {
        ClaimPlan::Bind(volume) => format!("bind {}", volume.name()),
        ClaimPlan::Phase { phase, note } => {
            format!("{phase} {}", note.map(|n| n.reason.to_owned()).unwrap_or_default())
        }
        ClaimPlan::Class(name) => format!("class {name}"),
        ClaimPlan::Provision { annotations, .. } => format!("provision {}", annotations.is_some()),
    }
}

fn reference(name: &str, uid: &str) -> Value {
    json!({"claimRef": {"namespace": "n", "name": name, "uid": uid}})
}

#[test]
fn claims_find_volumes() {
    let none = json!({});
    let big = volume("big", "100Gi", &none);
    let fits = volume("fits", "5Gi", &none);
    let small = volume("small", "1Gi", &none);
    let many = volume("many", "5Gi", &json!({"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}));
    let kept = volume("kept", "50Gi", &reference("c", ""));
    let others = volume("others", "5Gi", &reference("other", "x"));
    let block = volume("block", "5Gi", &json!({"volumeMode": "Block"}));
    let classy = volume("classy", "5Gi", &json!({"storageClassName": "fast"}));
    let released = volume("released", "5Gi", &json!({"phase": "Released"}));
    let red = volume("red", "9Gi", &json!({"labels": {"color": "red"}}));
    let cases: Vec<(Value, Vec<&Arc<PersistentVolume>>, &str)> = vec![
        (json!({}), vec![], "Pending FailedBinding"),
        (json!({}), vec![&big, &fits, &small], "bind fits"),
        (json!({}), vec![&small, &block, &others, &released, &classy], "Pending FailedBinding"),
        (json!({}), vec![&many, &big], "bind big"),
        (json!({"accessModes": ["ReadWriteMany"]}), vec![&many, &big], "bind many"),
        (json!({}), vec![&fits, &kept], "bind kept"),
        (json!({"volumeMode": "Block"}), vec![&fits, &block], "bind block"),
        (json!({"storageClassName": "fast"}), vec![&fits, &classy], "bind classy"),
        (json!({"selector": {"matchLabels": {"color": "red"}}}), vec![&fits, &red], "bind red"),
        (json!({"volumeName": "fits"}), vec![&fits], "bind fits"),
        (json!({"volumeName": "small"}), vec![&small], "Pending VolumeMismatch"),
        (json!({"volumeName": "gone"}), vec![], "Pending "),
        (json!({"volumeName": "others"}), vec![&others], "Pending FailedBinding"),
    ];
    for (spec, volumes, expected) in cases {
        let volumes: Vec<_> = volumes.into_iter().cloned().collect();
        assert_eq!(shown(&claim(&spec), &volumes, &[]), expected, "{spec}");
    }
}

#[test]
fn claims_of_classes() {
    let fits = [volume("fits", "5Gi", &json!({"storageClassName": "late"}))];
    let classes = [
        class("now", &json!({})),
        class("late", &json!({"volumeBindingMode": "WaitForFirstConsumer"})),
        class("local", &json!({"provisioner": "kubernetes.io/no-provisioner"})),
        class("usual", &json!({"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}})),
    ];
    let provisioned = json!({"volume.kubernetes.io/storage-provisioner": "csi.example.com",
        "volume.beta.kubernetes.io/storage-provisioner": "csi.example.com"});
    for (spec, expected) in [
        (json!({"storageClassName": "now"}), "provision true"),
        (json!({"storageClassName": "now", "annotations": provisioned}), "provision false"),
        (json!({"storageClassName": "late"}), "Pending WaitForPodScheduled"),
        (
            json!({"storageClassName": "late", "annotations": {"volume.kubernetes.io/selected-node": "n1"}}),
            "provision true",
        ),
        (json!({"storageClassName": "local"}), "Pending ProvisioningFailed"),
        (json!({"storageClassName": "missing"}), "Pending ProvisioningFailed"),
        (json!({"storageClassName": null}), "class usual"),
        (json!({"storageClassName": ""}), "Pending FailedBinding"),
    ] {
        assert_eq!(shown(&claim(&spec), &fits, &classes), expected, "{spec}");
    }
}

#[test]
fn bound_claims_are_kept_or_lost() {
    let done = json!({"pv.kubernetes.io/bind-completed": "yes"});
    let ours = volume("v", "5Gi", &reference("c", "c-uid"));
    let free = volume("v", "5Gi", &json!({}));
    let theirs = volume("v", "5Gi", &reference("c", "older"));
    for (volumes, name, expected) in [
        (vec![ours], "v", "bind v"),
        (vec![free], "v", "bind v"),
        (vec![theirs], "v", "Lost ClaimMisbound"),
        (vec![], "v", "Lost ClaimLost"),
        (vec![], "", "Lost ClaimLost"),
    ] {
        let claim = claim(&json!({"volumeName": name, "annotations": done}));
        assert_eq!(shown(&claim, &volumes, &[]), expected);
    }
}

#[test]
fn a_binding_is_four_writes_and_then_none() {
    let claim = claim(&json!({}));
    let volume = volume("v", "8Gi", &json!({}));
    let first = bind::volume_to_claim(&volume, &claim).expect("a write");
    assert_eq!(first["spec"]["claimRef"]["uid"], "c-uid");
    assert_eq!(first["metadata"]["annotations"][bind::BOUND_BY_CONTROLLER], "yes");
    assert_eq!(
        bind::volume_status(&volume, "Bound", ""),
        Some(json!({"status": {"phase": "Bound", "message": null}}))
    );
    let third = bind::claim_to_volume(&claim, &volume).expect("a write");
    assert_eq!(third["spec"]["volumeName"], "v");
    let fourth = bind::claim_status(&claim, "Bound", Some(&volume)).expect("a write");
    assert_eq!(
        fourth,
        json!({"status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "8Gi"}}})
    );
    let mut bound = serde_json::to_value(&claim).expect("JSON");
    bound["spec"]["volumeName"] = "v".into();
    bound["metadata"]["annotations"] = json!({bind::BIND_COMPLETED: "yes", bind::BOUND_BY_CONTROLLER: "yes"});
    bound["status"] = fourth["status"].clone();
    let bound: PersistentVolumeClaim = serde_json::from_value(bound).expect("a claim");
    let mut taken = reference("c", "c-uid");
    taken["phase"] = "Bound".into();
    let taken = self::volume("v", "8Gi", &taken);
    assert_eq!(bind::volume_to_claim(&taken, &bound), None);
    assert_eq!(bind::volume_status(&taken, "Bound", ""), None);
    assert_eq!(bind::claim_to_volume(&bound, &taken), None);
    assert_eq!(bind::claim_status(&bound, "Bound", Some(&taken)), None);
}

#[test]
fn volumes() {
    let own = claim(&json!({"volumeName": "v"}));
    let elsewhere = claim(&json!({"volumeName": "w"}));
    let unbound = claim(&json!({}));
    let with = |more: &Value| {
        let mut spec = reference("c", "c-uid");
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        volume("v", "5Gi", &spec)
    };
    let shown = |volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>| match plan::volume(
        volume, claim,
    ) {
        VolumePlan::Nothing => "nothing".to_owned(),
        VolumePlan::Phase { phase, note, .. } => {
            format!("{phase} {}", note.map(|n| n.reason).unwrap_or_default())
        }
        VolumePlan::Unbind(patch) => format!("unbind {patch}"),
        VolumePlan::Tell { .. } => "tell".to_owned(),
    };
    let driver = json!({"annotations": {"pv.kubernetes.io/provisioned-by": "csi.example.com"},
        "persistentVolumeReclaimPolicy": "Delete"});
    let mut gone = driver.clone();
    gone["phase"] = "Released".into();
    assert_eq!(shown(&volume("v", "1Gi", &json!({})), None), "Available ");
    assert_eq!(shown(&volume("v", "1Gi", &reference("c", "")), Some(&own)), "Available ");
    assert_eq!(shown(&with(&json!({})), Some(&own)), "Bound ");
    assert_eq!(shown(&with(&json!({})), Some(&unbound)), "nothing");
    assert_eq!(shown(&with(&json!({"volumeMode": "Block"})), Some(&unbound)), "tell");
    assert_eq!(shown(&with(&json!({})), None), "Released ");
    assert_eq!(shown(&with(&json!({"phase": "Released"})), None), "nothing");
    assert_eq!(shown(&with(&driver), None), "Released ");
    assert_eq!(shown(&with(&gone), None), "nothing");
    let by_hand = json!({"persistentVolumeReclaimPolicy": "Delete", "phase": "Released"});
    assert_eq!(shown(&with(&by_hand), None), "Failed VolumeFailedDelete");
    assert_eq!(shown(&with(&driver), Some(&elsewhere)), "Released ");
    let ours = json!({"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}});
    assert!(shown(&with(&ours), Some(&elsewhere)).contains(r#""claimRef":null"#));
    assert!(shown(&with(&json!({})), Some(&elsewhere)).contains(r#""uid":null"#));
}
