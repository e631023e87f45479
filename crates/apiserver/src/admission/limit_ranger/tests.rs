use super::{check_claim, check_pod, set_defaults};
use expect_test::{Expect, expect};
use value::{Value, json};

fn tree(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

fn check(limit: &str, spec: &str, want: Expect) {
    let (limit, spec) = (tree(limit), tree(spec));
    let mut errors = Vec::new();
    match limit.at("type").str() {
        "PersistentVolumeClaim" => check_claim(&limit, &spec, &mut errors),
        _ => check_pod(&limit, &spec, &mut errors),
    }
    want.assert_eq(&errors.join("\n"));
}

#[test]
fn bounds() {
    let pod = r#"{"initContainers":[{"name":"i","restartPolicy":"Always","resources":{"requests":{"cpu":"1"},"limits":{"cpu":"1"}}}],
        "containers":[{"name":"a","resources":{"requests":{"cpu":"500m"},"limits":{"cpu":"2"}}}]}"#;
    check(
        r#"{"type":"Container","min":{"cpu":"600m"},"max":{"cpu":"1500m","memory":"1Gi"}}"#,
        pod,
        expect![[r#"
            minimum cpu usage per Container is 600m, but request is 500m
            maximum cpu usage per Container is 1500m, but limit is 2
            maximum memory usage per Container is 1Gi.  No limit is specified
            maximum memory usage per Container is 1Gi.  No limit is specified"#]],
    );
    check(
        r#"{"type":"Pod","max":{"cpu":"2"},"min":{"cpu":"1"}}"#,
        pod,
        expect!["maximum cpu usage per Pod is 2, but limit is 3"],
    );
    check(
        r#"{"type":"Container","maxLimitRequestRatio":{"cpu":"3","memory":"2"}}"#,
        pod,
        expect![[r#"
        cpu max limit to request ratio per Container is 3, but provided ratio is 4.000000
        memory max limit to request ratio per Container is 2, but no request is specified or request is 0
        memory max limit to request ratio per Container is 2, but no request is specified or request is 0"#]],
    );
    check(
        r#"{"type":"PersistentVolumeClaim","max":{"storage":"1Gi"},"min":{"storage":"1Mi"}}"#,
        r#"{"resources":{"requests":{"storage":"2Gi"}}}"#,
        expect!["maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"],
    );
}

#[test]
fn defaults() {
    let mut pod = tree(
        r#"{"metadata":{},"spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}},{"name":"b"}]}}"#,
    );
    let range = tree(
        r#"{"spec":{"limits":[{"type":"Container","default":{"cpu":"2","memory":"1Gi"},"defaultRequest":{"cpu":"1","memory":"1Mi"}}]}}"#,
    );
    set_defaults(&mut pod, &range);
    expect![[r#"{"metadata":{"annotations":{"kubernetes.io/limit-ranger":"LimitRanger plugin set: memory request for container a; cpu, memory limit for container a; cpu, memory request for container b; cpu, memory limit for container b"}},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"2","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Mi"}}},{"name":"b","resources":{"limits":{"cpu":"2","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Mi"}}}]}}"#]].assert_eq(&String::from_utf8(json::to_vec(&pod)).unwrap());
}
