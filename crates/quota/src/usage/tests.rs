use super::Evaluator;
use crate::Amounts;
use expect_test::{Expect, expect};
use meta::time::Time;
use value::json;

fn show(usage: &Amounts) -> String {
    usage.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}

fn check(group: &str, resource: &str, object: &str, want: Expect) {
    let object = json::parse(object.as_bytes()).unwrap();
    let usage = Evaluator::new(group, resource).usage(&object, Time::from_unix(1_000_000_000, 0));
    want.assert_eq(&show(&usage));
}

#[test]
fn usage() {
    check("apps", "deployments", "{}", expect!["count/deployments.apps=1"]);
    check("", "secrets", "{}", expect!["count/secrets=1 secrets=1"]);
    check(
        "",
        "pods",
        r#"{"spec":{"overhead":{"cpu":"100m"},"containers":[{"name":"a","resources":{"requests":{"cpu":"1","x.io/gpu":"2"},"limits":{"memory":"1Gi"}}}]}}"#,
        expect!["count/pods=1 cpu=1100m limits.memory=1Gi pods=1 requests.cpu=1100m requests.x.io/gpu=2"],
    );
    check("", "pods", r#"{"status":{"phase":"Failed"}}"#, expect!["count/pods=1"]);
    check(
        "",
        "services",
        r#"{"spec":{"type":"LoadBalancer","ports":[{},{}]}}"#,
        expect!["count/services=1 services=1 services.loadbalancers=1 services.nodeports=2"],
    );
    check(
        "",
        "persistentvolumeclaims",
        r#"{"spec":{"storageClassName":"fast","resources":{"requests":{"storage":"1500m"}}}}"#,
        expect![
            "count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/requests.storage=2 persistentvolumeclaims=1 requests.storage=2"
        ],
    );
    check(
        "resource.k8s.io",
        "resourceclaims",
        r#"{"spec":{"devices":{"requests":[
            {"exactly":{"deviceClassName":"a","allocationMode":"ExactCount","count":2}},
            {"firstAvailable":[{"deviceClassName":"a","allocationMode":"ExactCount","count":3},{"deviceClassName":"b","allocationMode":"All"}]}]}}}"#,
        expect![
            "a.deviceclass.resource.k8s.io/devices=5 b.deviceclass.resource.k8s.io/devices=32 count/resourceclaims.resource.k8s.io=1"
        ],
    );
}
