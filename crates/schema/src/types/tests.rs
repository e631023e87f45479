use super::*;
use expect_test::{Expect, expect};
use std::fmt::Write as _;

fn check(name: &str, expect: Expect) {
    let types = Types::builtin();
    let id = types.by_go_name(name).expect("type is in the table");
    let mut out = String::new();
    for f in &types.structure(id).expect("is a struct").fields {
        let _ = writeln!(
            out,
            "{} {} {}{} {} {:?} [{}] k={} s={}",
            f.json,
            f.go,
            if f.pointer { "*" } else { "" },
            types.name(f.ty),
            f.number,
            f.list_type,
            f.list_map_keys.join(","),
            f.patch_merge_key,
            f.patch_strategy
        );
    }
    expect.assert_eq(&out);
}

#[test]
fn fields_in_go_order_with_markers() {
    check(
        "k8s.io/api/core/v1.Pod",
        expect![[r#"
        kind Kind string 1 Unset [] k= s=
        apiVersion APIVersion string 2 Unset [] k= s=
        metadata ObjectMeta v1.ObjectMeta 1 Unset [] k= s=
        spec Spec v1.PodSpec 2 Unset [] k= s=
        status Status v1.PodStatus 3 Unset [] k= s=
    "#]],
    );
    check(
        "k8s.io/api/core/v1.Probe",
        expect![[r#"
        exec Exec *v1.ExecAction 1 Unset [] k= s=
        httpGet HTTPGet *v1.HTTPGetAction 2 Unset [] k= s=
        tcpSocket TCPSocket *v1.TCPSocketAction 3 Unset [] k= s=
        grpc GRPC *v1.GRPCAction 4 Unset [] k= s=
        initialDelaySeconds InitialDelaySeconds int32 2 Unset [] k= s=
        timeoutSeconds TimeoutSeconds int32 3 Unset [] k= s=
        periodSeconds PeriodSeconds int32 4 Unset [] k= s=
        successThreshold SuccessThreshold int32 5 Unset [] k= s=
        failureThreshold FailureThreshold int32 6 Unset [] k= s=
        terminationGracePeriodSeconds TerminationGracePeriodSeconds *int64 7 Unset [] k= s=
    "#]],
    );
    check(
        "core/v1.ResourceRequirements",
        expect![[r#"
        limits Limits v1.ResourceList 1 Unset [] k= s=
        requests Requests v1.ResourceList 2 Unset [] k= s=
        claims Claims []v1.ResourceClaim 3 Map [name] k= s=
    "#]],
    );
    check(
        "admissionregistration/v1.NamedRuleWithOperations",
        expect![[r#"
        resourceNames ResourceNames []string 1 Atomic [] k= s=
        operations Operations []v1.OperationType 1 Atomic [] k= s=
        apiGroups APIGroups []string 1 Atomic [] k= s=
        apiVersions APIVersions []string 2 Atomic [] k= s=
        resources Resources []string 3 Atomic [] k= s=
        scope Scope *v1.ScopeType 4 Unset [] k= s=
    "#]],
    );
}

#[test]
fn names() {
    let types = Types::builtin();
    let pod = types.by_go_name("k8s.io/api/core/v1.Pod").unwrap();
    assert_eq!(types.by_message("k8s.io.api.core.v1.Pod"), Some(pod));
    assert_eq!(types.by_go_name("core/v1.Pod"), Some(pod));
    assert_eq!(types.go_name(pod), "k8s.io/api/core/v1.Pod");
    assert_eq!(types.name(pod), "v1.Pod");
    assert_eq!(types.get(pod).short_name(), "Pod");
    let crd =
        types.by_message("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition");
    assert_eq!(types.name(crd.unwrap()), "v1.CustomResourceDefinition");
    assert_eq!(types.by_go_name("core/v1.Nothing"), None);
    let phase = types.by_go_name("core/v1.PodPhase").unwrap();
    assert_eq!(
        types.get(phase).values().collect::<Vec<_>>().join(" "),
        "Pending Running Succeeded Failed Unknown"
    );
}

#[test]
fn every_field_is_found_by_name() {
    let types = Types::builtin();
    assert!(types.iter().count() > 1_500);
    for (_, ty) in types.iter() {
        let Shape::Struct(s) = &ty.shape else { continue };
        for (i, f) in s.fields.iter().enumerate() {
            assert_eq!(s.index_of(f.json.as_bytes()), Some(i), "{} {}", ty.reference, f.json);
        }
        assert_eq!(s.index_of(b"noSuchField"), None);
        assert!(s.wire.is_sorted_by(|a, b| a.number < b.number), "{}", ty.reference);
        assert!(
            s.sorted.is_sorted_by(|a, b| s.fields[usize::from(*a)].json < s.fields[usize::from(*b)].json)
        );
    }
}

#[test]
fn no_reference_is_open() {
    for (_, ty) in Types::builtin().iter() {
        // `Any` is also what an unread line would stay.
        assert!(ty.reference.is_empty() || !matches!(ty.shape, Shape::Any), "{}", ty.reference);
    }
}
