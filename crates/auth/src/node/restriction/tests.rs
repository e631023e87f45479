//! What a node may write, and how it is told off.

use super::*;
use crate::lookup::Objects;

fn objects() -> Objects {
    let mut objects = Objects::default();
    objects.put("nodes", r#"{"metadata":{"name":"n1","uid":"9"}}"#);
    objects.put("pods", r#"{"metadata":{"namespace":"a","name":"mine","uid":"1"},"spec":{"nodeName":"n1","volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"audience":"vault"}}]}},{"name":"c","csi":{"driver":"drv"}},{"name":"p","persistentVolumeClaim":{"claimName":"pvc"}}]}}"#);
    objects
        .put("pods", r#"{"metadata":{"namespace":"a","name":"theirs","uid":"2"},"spec":{"nodeName":"n2"}}"#);
    objects.put("csidrivers", r#"{"metadata":{"name":"drv"},"spec":{"tokenRequests":[{"audience":"aud"}]}}"#);
    objects.put(
        "csidrivers",
        r#"{"metadata":{"name":"ebs.csi.aws.com"},"spec":{"tokenRequests":[{"audience":"aws"}]}}"#,
    );
    objects.put(
        "persistentvolumeclaims",
        r#"{"metadata":{"namespace":"a","name":"pvc"},"spec":{"volumeName":"pv"}}"#,
    );
    objects.put("persistentvolumes", r#"{"metadata":{"name":"pv"},"spec":{"awsElasticBlockStore":{}}}"#);
    objects
}

/// `OPERATION GROUP/RESOURCE[/SUB] NAMESPACE NAME` with new and old object; the message, or nothing.
fn check_write(what: &str, object: &str, old: &str, want: &str) {
    let words: Vec<&str> = what.split(' ').map(|w| if w == "-" { "" } else { w }).collect();
    let mut path = words[1].split('/');
    let mut next = || path.next().unwrap_or_default();
    let user = UserInfo::new("system:node:n1", &["system:nodes"]);
    let tree =
        |json: &str| if json.is_empty() { Value::Null } else { value::json::parse(json.as_bytes()).unwrap() };
    let (object, old) = (tree(object), tree(old));
    let write = Write {
        user: &user,
        operation: match words[0] {
            "create" => Operation::Create,
            "update" => Operation::Update,
            _ => Operation::Delete,
        },
        group: next(),
        resource: next(),
        subresource: next(),
        namespace: words[2],
        name: words[3],
        object: &object,
        old: &old,
    };
    let authorize = |a: &Attributes<'_>| match (a.verb, a.resource) {
        ("request-serviceaccounts-token-audience", "granted") => Verdict::allow(""),
        _ => Verdict::no_opinion(""),
    };
    let got =
        check(&write, &objects(), &authorize).err().map(|r| r.status(&write).message).unwrap_or_default();
    assert_eq!(got, want, "{what}");
}

#[test]
fn pods() {
    let mirror = |more: &str, spec: &str| {
        format!(
            r#"{{"metadata":{{"name":"x","annotations":{{"kubernetes.io/config.mirror":"m"}}{more}}},"spec":{{"nodeName":"n1"{spec}}}}}"#
        )
    };
    let owner = |more: &str| {
        format!(r#","ownerReferences":[{{"apiVersion":"v1","kind":"Node","name":"n1","uid":"9"{more}}}]"#)
    };
    let good = owner(r#","controller":true"#);
    for (pod, want) in [
        (mirror(&good, ""), ""),
        (
            r#"{"metadata":{"name":"x"}}"#.to_owned(),
            r#"pods "x" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods"#,
        ),
        (
            mirror(&good, r#","nodeName":"n2""#),
            r#"pods "x" is forbidden: node "n1" can only create pods with spec.nodeName set to itself"#,
        ),
        (
            mirror("", ""),
            r#"pods "x" is forbidden: node "n1" can only create pods with an owner reference set to itself"#,
        ),
        (
            mirror(r#","ownerReferences":[{},{}]"#, ""),
            r#"pods "x" is forbidden: node "n1" can only create pods with a single owner reference set to itself"#,
        ),
        (
            mirror(&owner(""), ""),
            r#"pods "x" is forbidden: node "n1" can only create pods with a controller owner reference set to itself"#,
        ),
        (
            mirror(&owner(r#","controller":true,"blockOwnerDeletion":true"#), ""),
            r#"pods "x" is forbidden: node "n1" must not set blockOwnerDeletion on an owner reference"#,
        ),
        (
            mirror(&good.replace('9', "8"), ""),
            r#"pods "x" is forbidden: node n1 UID mismatch: expected 8 got 9"#,
        ),
        (
            mirror(&good, r#","serviceAccountName":"s""#),
            r#"pods "x" is forbidden: node "n1" can not create pods that reference serviceaccounts"#,
        ),
        (
            mirror(
                &good,
                r#","volumes":[{"name":"h","hostPath":{}},{"name":"v","secret":{"secretName":"s"}}]"#,
            ),
            r#"pods "x" is forbidden: node "n1" can not create pods that reference secrets"#,
        ),
        (
            mirror(&good, r#","volumes":[{"name":"v","csi":{"driver":"d"}}]"#),
            r#"pods "x" is forbidden: node "n1" can not create pods that reference csidrivers (via CSI volumes)"#,
        ),
        (
            mirror(
                &good,
                r#","volumes":[{"name":"v","projected":{"sources":[{"downwardAPI":{}},{"serviceAccountToken":{}}]}}]"#,
            ),
            r#"pods "x" is forbidden: node "n1" can not create pods that reference serviceaccounts (via projected volumes)"#,
        ),
        (
            mirror(&good, r#","volumes":[{"name":"v"}]"#),
            r#"pods "x" is forbidden: error checking mirror pod for API references: unknown volume type for volume  "v""#,
        ),
    ] {
        check_write("create /pods a x", &pod, "", want);
    }
    check_write("delete /pods a mine", "", "", "");
    check_write(
        "delete /pods a theirs",
        "",
        "",
        r#"pods "theirs" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself"#,
    );
    check_write("delete /pods a gone", "", "", r#"pod "gone" not found"#);
    check_write(
        "update /pods a mine",
        "{}",
        "{}",
        r#"pods "mine" is forbidden: unexpected operation "UPDATE", node "n1" can only create and delete mirror pods"#,
    );
    check_write(
        "create /pods/exec a mine",
        "{}",
        "",
        r#"pods "mine" is forbidden: unexpected pod subresource "exec", only 'status' and 'eviction' are allowed"#,
    );
    check_write("create /pods/eviction a mine", "{}", "", "");
    check_write(
        "create /pods/eviction a -",
        r#"{"metadata":{"name":"theirs"}}"#,
        "",
        r#"pods "theirs" is forbidden: node n1 can only evict pods with spec.nodeName set to itself"#,
    );
    check_write(
        "create /pods/eviction a -",
        "{}",
        "",
        "pods is forbidden: could not determine pod from request data",
    );
    let old = r#"{"metadata":{"name":"mine"},"spec":{"nodeName":"n1"},"status":{}}"#;
    check_write(
        "update /pods/status a mine",
        r#"{"metadata":{"name":"mine","labels":null},"status":{"phase":"x"}}"#,
        old,
        "",
    );
    check_write(
        "update /pods/status a mine",
        r#"{"metadata":{"name":"mine","labels":{"a":"b"}}}"#,
        old,
        r#"pods "mine" is forbidden: node "n1" cannot update labels through pod status"#,
    );
    check_write(
        "update /pods/status a mine",
        r#"{"metadata":{"name":"mine"},"status":{"resourceClaimStatuses":[{"name":"a"}]}}"#,
        old,
        r#"pods "mine" is forbidden: node "n1" cannot update resource claim statues"#,
    );
    check_write(
        "update /pods/status a mine",
        r#"{"metadata":{"name":"mine"},"status":{"extendedResourceClaimStatus":{"resourceClaimName":"a"}}}"#,
        old,
        r#"pods "mine" is forbidden: node "n1" cannot update extended resource claim status"#,
    );
    check_write(
        "update /pods/status a x",
        "{}",
        "{}",
        r#"pods "x" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself"#,
    );
}

#[test]
fn nodes() {
    let labels =
        |labels: &str| format!(r#"{{"metadata":{{"name":"n1","labels":{{{labels}}}}},"spec":{{}}}}"#);
    let old = labels(r#""foo.k8s.io/old":"1""#);
    check_write(
        "create /nodes - n1",
        &labels(r#""kubernetes.io/hostname":"h","x.node.kubernetes.io/y":"1","any":"1","example.com/a":"1""#),
        "",
        "",
    );
    check_write(
        "create /nodes - n1",
        &labels(r#""node-restriction.kubernetes.io/b":"","a.k8s.io/a":"""#),
        "",
        r#"nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: a.k8s.io/a, node-restriction.kubernetes.io/b"#,
    );
    check_write(
        "create /nodes - n2",
        r#"{"metadata":{"name":"n2"}}"#,
        "",
        r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#,
    );
    check_write("update /nodes - n1", &old, &old, "");
    check_write(
        "update /nodes - n1",
        &labels(""),
        &old,
        r#"nodes "n1" is forbidden: is not allowed to modify labels: foo.k8s.io/old"#,
    );
    check_write(
        "update /nodes - n1",
        r#"{"spec":{"taints":[{"key":"a"}]}}"#,
        "{}",
        r#"nodes "n1" is forbidden: node "n1" is not allowed to modify taints"#,
    );
    check_write("update /nodes - n1", r#"{"spec":{"taints":[]}}"#, "{}", "");
    check_write(
        "update /nodes - n1",
        r#"{"metadata":{"ownerReferences":[{}]}}"#,
        "{}",
        r#"nodes "n1" is forbidden: node "n1" is not allowed to modify ownerReferences"#,
    );
    check_write(
        "update /nodes - n1",
        r#"{"spec":{"configSource":{}}}"#,
        "{}",
        r#"nodes "n1" is forbidden: node "n1" is not allowed to update configSource to a new non-nil configSource"#,
    );
}

#[test]
fn tokens() {
    let request = |reference: &str, audiences: &str| {
        format!(
            r#"{{"spec":{{"boundObjectRef":{{"apiVersion":"v1","kind":"Pod",{reference}}},"audiences":[{audiences}]}}}}"#
        )
    };
    let mine = r#""name":"mine","uid":"1""#;
    let text = |text: &str| format!(r#"serviceaccounts "sa" is forbidden: {text}"#);
    for (object, want) in [
        (request(mine, r#""vault""#), String::new()),
        (request(mine, r#""aud""#), String::new()),
        (request(mine, r#""aws""#), String::new()),
        (request(mine, r#""granted""#), String::new()),
        (
            request(mine, r#""other""#),
            text(
                r#"audience "other" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience"#,
            ),
        ),
        (request(mine, r#""a","b""#), text("node may only request 0 or 1 audiences")),
        (request(r#""name":"mine""#, ""), text("node requested token with a pod binding without a uid")),
        (request(r#""name":"""#, ""), text("node requested token not bound to a pod")),
        (r#"{"spec":{}}"#.to_owned(), text("node requested token not bound to a pod")),
        (
            request(r#""name":"mine","uid":"2""#, ""),
            text(
                "the UID in the bound object reference (2) does not match the UID in record. The object might have been deleted and then recreated",
            ),
        ),
        (
            request(r#""name":"theirs","uid":"2""#, ""),
            text("node requested token bound to a pod scheduled on a different node"),
        ),
        (request(r#""name":"gone","uid":"2""#, ""), r#"pod "gone" not found"#.to_owned()),
    ] {
        check_write("create /serviceaccounts/token a sa", &object, "", &want);
    }
}

#[test]
fn the_rest() {
    let lease = "can only access node lease with the same name as the requesting node";
    let named = |name: &str| format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{name}"}}}}"#);
    check_write("create coordination.k8s.io/leases kube-node-lease n1", &named("n1"), "", "");
    check_write(
        "create coordination.k8s.io/leases kube-node-lease n2",
        &named("n2"),
        "",
        &format!(r#"leases.coordination.k8s.io "n2" is forbidden: {lease}"#),
    );
    check_write(
        "delete coordination.k8s.io/leases kube-node-lease n2",
        "",
        "",
        &format!(r#"leases.coordination.k8s.io "n2" is forbidden: {lease}"#),
    );
    check_write(
        "create coordination.k8s.io/leases a n1",
        &named("n1"),
        "",
        r#"leases.coordination.k8s.io "n1" is forbidden: can only access leases in the "kube-node-lease" system namespace"#,
    );
    check_write(
        "update storage.k8s.io/csinodes - n2",
        &named("n2"),
        "",
        r#"csinodes.storage.k8s.io "n2" is forbidden: can only access CSINode with the same name as the requesting node"#,
    );
    check_write("create resource.k8s.io/resourceslices - s", &named("n1"), "", "");
    check_write(
        "create resource.k8s.io/resourceslices - n2",
        &named("n2"),
        "",
        r#"resourceslices.resource.k8s.io "n2" is forbidden: can only create ResourceSlice with the same NodeName as the requesting node"#,
    );
    check_write(
        "delete resource.k8s.io/resourceslices - n2",
        "",
        &named("n2"),
        r#"resourceslices.resource.k8s.io "n2" is forbidden: can only delete ResourceSlice with the same NodeName as the requesting node"#,
    );
    let claim = r#"{"metadata":{"name":"c","resourceVersion":"1"},"spec":{"volumeName":"v"},"status":{"capacity":{"storage":"1"}}}"#;
    check_write("update /persistentvolumeclaims/status a c", &claim.replace(r#":"1""#, r#":"2""#), claim, "");
    check_write(
        "update /persistentvolumeclaims/status a c",
        &claim.replace(r#":"v""#, r#":"w""#),
        claim,
        r#"persistentvolumeclaims "c" is forbidden: node "n1" is not allowed to update fields other than status.quantity and status.conditions: "#,
    );
    check_write(
        "update /persistentvolumeclaims a c",
        claim,
        claim,
        r#"persistentvolumeclaims "c" is forbidden: may only update PVC status"#,
    );
    check_write(
        "create certificates.k8s.io/certificatesigningrequests - c",
        r#"{"metadata":{"name":"c"},"spec":{"signerName":"kubernetes.io/kubelet-serving","request":"eA=="}}"#,
        "",
        r#"certificatesigningrequests.certificates.k8s.io "c" is forbidden: unable to parse csr: PEM block type must be CERTIFICATE REQUEST"#,
    );
    check_write(
        "create certificates.k8s.io/certificatesigningrequests - c",
        r#"{"spec":{"signerName":"x/y"}}"#,
        "",
        "",
    );
    check_write("create apps/deployments a d", "{}", "", "");
}
