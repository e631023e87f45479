//! The relations, and the authorizer's decisions and texts.

use super::*;
use crate::{Attributes, Selection, UserInfo};
use meta::fields::Selector;
use value::Value;

fn tree(json: &str) -> Value {
    value::json::parse(json.as_bytes()).unwrap()
}

/// A pod that refers to something of each kind.
fn pod(name: &str, node: &str) -> Value {
    tree(&format!(
        r#"{{"metadata":{{"namespace":"ns","name":"{name}"}},"spec":{{"nodeName":"{node}","serviceAccountName":"account",
        "imagePullSecrets":[{{"name":"pull"}}],
        "containers":[{{"envFrom":[{{"secretRef":{{"name":"from"}}}},{{"configMapRef":{{"name":"from"}}}}],
          "env":[{{"name":"A","valueFrom":{{"secretKeyRef":{{"name":"key","key":"k"}}}}}},{{"name":"B","valueFrom":{{"configMapKeyRef":{{"name":"key","key":"k"}}}}}},{{"name":"C","value":"x"}}]}}],
        "initContainers":[{{"envFrom":[{{"secretRef":{{"name":"init"}}}}]}}],
        "ephemeralContainers":[{{"envFrom":[{{"secretRef":{{"name":"ephemeral"}}}}]}}],
        "volumes":[{{"name":"a","secret":{{"secretName":"volume"}}}},{{"name":"b","configMap":{{"name":"volume"}}}},
          {{"name":"c","projected":{{"sources":[{{"secret":{{"name":"projected"}}}},{{"configMap":{{"name":"projected"}}}}]}}}},
          {{"name":"d","persistentVolumeClaim":{{"claimName":"claim"}}}},{{"name":"e","ephemeral":{{"volumeClaimTemplate":{{}}}}}},
          {{"name":"f","csi":{{"driver":"x","nodePublishSecretRef":{{"name":"csi"}}}}}},{{"name":"g","rbd":{{"secretRef":{{"name":"rbd"}}}}}}],
        "resourceClaims":[{{"name":"r","resourceClaimName":"direct"}},{{"name":"t","resourceClaimTemplateName":"template"}},{{"name":"u","resourceClaimTemplateName":"template"}}]}},
        "status":{{"resourceClaimStatuses":[{{"name":"t","resourceClaimName":"made"}}],"extendedResourceClaimStatus":{{"resourceClaimName":"extended"}}}}}}"#
    ))
}

const OF_POD: &[(Related, &[&str])] = &[
    (Related::Secret, &["pull", "from", "key", "init", "ephemeral", "volume", "projected", "csi", "rbd"]),
    (Related::ConfigMap, &["from", "key", "volume", "projected"]),
    (Related::ServiceAccount, &["account"]),
    (Related::Claim, &["claim", "p1-e"]),
    (Related::ResourceClaim, &["direct", "made", "extended"]),
    (Related::Pod, &["p1"]),
];

#[test]
fn pods_relate_what_they_refer_to() {
    let mut graph = Graph::new();
    graph.upsert("pods", &pod("p1", "n1"));
    graph.upsert("pods", &pod("p2", "n1"));
    graph.upsert("pods", &pod("p3", ""));
    for (kind, names) in OF_POD {
        for name in *names {
            assert!(graph.is_related("n1", *kind, "ns", name), "{kind:?} {name}");
            assert!(!graph.is_related("n2", *kind, "ns", name), "{kind:?} {name}");
            assert!(!graph.is_related("n1", *kind, "other", name), "{kind:?} {name}");
        }
    }
    assert!(!graph.is_related("n1", Related::ResourceClaim, "ns", "template"));
    assert!(!graph.is_related("", Related::Pod, "ns", "p3"));
    // The relation lives as long as one pod has it.
    graph.remove("pods", "ns", "p1");
    assert!(graph.is_related("n1", Related::Secret, "ns", "pull"));
    assert!(!graph.is_related("n1", Related::Claim, "ns", "p1-e"));
    // A pod of the same name on another node.
    graph.upsert("pods", &pod("p2", "n2"));
    assert!(!graph.is_related("n1", Related::Secret, "ns", "pull"));
    assert!(graph.is_related("n2", Related::Secret, "ns", "pull"));
    graph.remove("pods", "ns", "p2");
    assert_eq!(format!("{graph:?}"), format!("{:?}", Graph::new()));
}

#[test]
fn mirror_pods_relate_nothing_but_themselves() {
    let mut graph = Graph::new();
    let mut mirror = pod("p1", "n1");
    mirror.get_mut("metadata").unwrap().set("annotations", tree(r#"{"kubernetes.io/config.mirror":""}"#));
    graph.upsert("pods", &mirror);
    assert!(graph.is_related("n1", Related::Pod, "ns", "p1"));
    assert!(!graph.is_related("n1", Related::Secret, "ns", "pull"));
}

#[test]
fn volumes_are_related_by_their_claims() {
    let mut graph = Graph::new();
    let volume = |claim: &str| {
        tree(&format!(
            r#"{{"metadata":{{"name":"pv"}},"spec":{{"claimRef":{{"namespace":"ns","name":"{claim}"}},"csi":{{"nodeStageSecretRef":{{"namespace":"x","name":"stage"}},"controllerPublishSecretRef":{{"namespace":"x","name":"controller"}}}},"azureFile":{{"secretName":"azure"}}}}}}"#
        ))
    };
    graph.upsert("pods", &pod("p1", "n1"));
    graph.upsert("persistentvolumes", &volume("claim"));
    assert!(graph.is_related("n1", Related::Volume, "", "pv"));
    assert!(graph.is_related("n1", Related::Secret, "x", "stage"));
    assert!(graph.is_related("n1", Related::Secret, "ns", "azure"));
    assert!(!graph.is_related("n1", Related::Secret, "x", "controller"));
    graph.upsert("persistentvolumes", &volume("other"));
    assert!(!graph.is_related("n1", Related::Volume, "", "pv"));
    assert!(!graph.is_related("n1", Related::Secret, "x", "stage"));
    graph.remove("persistentvolumes", "", "pv");
    graph.remove("pods", "ns", "p1");
    assert_eq!(format!("{graph:?}"), format!("{:?}", Graph::new()));
}

#[test]
fn decisions_and_reasons() {
    let mut graph = Graph::new();
    graph.upsert("pods", &pod("p1", "n1"));
    graph.upsert("volumeattachments", &tree(r#"{"metadata":{"name":"va"},"spec":{"nodeName":"n1"}}"#));
    graph.upsert("resourceslices", &tree(r#"{"metadata":{"name":"slice"},"spec":{"nodeName":"n1"}}"#));
    let none = "no no relationship found between node 'n1' and this object";
    let own = "no can only access node lease with the same name as the requesting node";
    // `VERB NAMESPACE GROUP RESOURCE[/SUB] NAME [FIELD=VALUE]`, `-` for empty.
    for (question, answer) in [
        ("get ns - secrets pull", "yes "),
        ("watch ns - secrets pull", "yes "),
        ("get ns - secrets x", none),
        ("list ns - secrets -", "no No Object name found"),
        ("list - - secrets -", "no can only read namespaced object of this type"),
        ("update ns - secrets pull", "no can only read resources of this type"),
        ("get ns - secrets/status pull", "no cannot read subresource"),
        ("get ns - configmaps volume", "yes "),
        ("get ns - persistentvolumeclaims claim", "yes "),
        ("list ns - persistentvolumeclaims claim", "no can only get individual resources of this type"),
        ("patch ns - persistentvolumeclaims/status claim", "yes "),
        ("get ns - persistentvolumeclaims/status claim", "no can only get/update/patch this type"),
        ("get - - persistentvolumes pv", none),
        ("get ns resource.k8s.io resourceclaims made", "yes "),
        ("get ns resource.k8s.io resourceclaims/status made", "no cannot get subresource"),
        ("get - storage.k8s.io volumeattachments va", "yes "),
        ("get - storage.k8s.io volumeattachments vb", none),
        ("get ns - serviceaccounts account", "yes "),
        ("create ns - serviceaccounts/token account", "yes "),
        ("create ns - serviceaccounts/token other", none),
        ("create ns - serviceaccounts -", "no can only create tokens for individual service accounts"),
        ("create ns - serviceaccounts x", "no can only create token subresource of serviceaccount"),
        ("get kube-node-lease coordination.k8s.io leases n1", "yes "),
        ("create kube-node-lease coordination.k8s.io leases -", "yes "),
        ("get kube-node-lease coordination.k8s.io leases n2", own),
        (
            "list kube-node-lease coordination.k8s.io leases -",
            "no can only get, create, update, patch, or delete a node lease",
        ),
        (
            "get ns coordination.k8s.io leases n1",
            r#"no can only access leases in the "kube-node-lease" system namespace"#,
        ),
        ("get - storage.k8s.io csinodes n1", "yes "),
        (
            "get - storage.k8s.io csinodes n2",
            "no can only access CSINode with the same name as the requesting node",
        ),
        ("get - storage.k8s.io csinodes/x n1", "no cannot authorize CSINode subresources"),
        ("list - storage.k8s.io csinodes -", "no can only get, create, update, patch, or delete a CSINode"),
        ("create - resource.k8s.io resourceslices -", "yes "),
        ("delete - resource.k8s.io resourceslices slice", "yes "),
        ("delete - resource.k8s.io resourceslices other", none),
        ("list - resource.k8s.io resourceslices - spec.nodeName=n1", "yes "),
        (
            "list - resource.k8s.io resourceslices - spec.nodeName!=n1",
            "no can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        (
            "bind - resource.k8s.io resourceslices x",
            "no only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
        ("get - - nodes n1", "yes "),
        ("get - - nodes n2", "no node 'n1' cannot read 'n2', only its own Node object"),
        ("list - - nodes -", "no node 'n1' cannot read all nodes, only its own Node object"),
        ("delete - - nodes n1", "no "),
        ("patch - - nodes/status n1", "yes "),
        ("get ns - pods p1", "yes "),
        ("get ns - pods p2", none),
        ("watch ns - pods p1", "yes "),
        ("list - - pods -", "no can only list/watch pods with spec.nodeName field selector"),
        ("list - - pods - spec.nodeName=n1", "yes "),
        ("list - - pods - spec.nodeName=n2", "no can only list/watch pods with spec.nodeName field selector"),
        ("create ns - pods/eviction p2", "yes "),
        ("create ns - pods/exec p1", "no "),
        ("get ns - services x", "yes "),
        ("create - authentication.k8s.io tokenreviews -", "yes "),
        ("get ns - endpoints x", "yes "),
        ("get ns apps deployments x", "no "),
        ("get ns certificates.k8s.io podcertificaterequests x", "no "),
    ] {
        let words: Vec<&str> = question.split(' ').map(|w| if w == "-" { "" } else { w }).collect();
        let user = UserInfo::new("system:node:n1", &["system:nodes"]);
        let (resource, sub) = words[3].split_once('/').unwrap_or((words[3], ""));
        let selector = words.get(5).map(|s| Selector::parse(s).unwrap());
        let request = Attributes {
            field_selector: selector.as_ref().map_or(Selection::None, Selection::Some),
            ..Attributes::resource(&user, words[0], words[2], resource).named(words[1], words[4]).sub(sub)
        };
        let verdict = authorize(&graph, &request);
        let got = format!("{} {}", if verdict.allowed() { "yes" } else { "no" }, verdict.reason);
        assert_eq!(got, answer, "{question}");
    }
}

#[test]
fn only_nodes_are_nodes() {
    let graph = Graph::new();
    for (name, groups, want) in [
        ("system:node:n1", &["system:nodes"][..], true),
        ("system:node:n1", &[], false),
        ("n1", &["system:nodes"], false),
        ("system:node:", &["system:nodes"], false),
    ] {
        let user = UserInfo::new(name, groups);
        let request = Attributes::resource(&user, "get", "", "services").named("a", "b");
        assert_eq!(authorize(&graph, &request).allowed(), want, "{name}");
    }
    let nameless = UserInfo::new("system:node:", &["system:nodes"]);
    let verdict = authorize(&graph, &Attributes::path(&nameless, "get", "/"));
    assert_eq!(verdict.reason, r#"unknown node for user "system:node:""#);
}
