//! Updates and subresources that the recorded cases do not reach; texts as upstream's validation has them.

use super::golden::{Target, decode, normalize};
use expect_test::{Expect, expect};
use kinds::Table;
use kinds::hooks::Context;
use value::{Value, json};

fn object(kind: &str, text: &str) -> (Target<'static>, Value) {
    let (group_version, rest) = kind.rsplit_once('/').unwrap_or(("", kind));
    let (plural, sub) = rest.split_once(':').unwrap_or((rest, ""));
    let (group, version) = group_version.rsplit_once('/').unwrap_or(("", group_version));
    let row = Table::builtin().get(group, version, plural).expect("a built-in row");
    let mut value = json::parse(text.as_bytes()).expect("valid JSON");
    value.object_at("metadata").expect("an object").set("name", "x");
    let mut value = decode(row, &value).expect("decodes");
    (row.hooks.default)(&mut value);
    row.to_hub(&mut value).expect("converts");
    normalize(row, &mut value);
    (Target { row, namespace: "ns".into(), subresource: sub.into() }, value)
}

/// `kind` is `group/version/plural` or `group/version/plural:subresource`.
fn check(kind: &str, old: &str, new: &str, want: Expect) {
    let (target, mut old) = object(kind, old);
    let (_, mut new) = object(kind, new);
    let row = target.row;
    let context = Context {
        now: "2026-11-21T04:51:23Z".into(),
        subresource: target.subresource.as_str().into(),
        ..Context::default()
    };
    for v in [&mut old, &mut new] {
        v.object_at("metadata").expect("an object").set("uid", "u");
    }
    let errors = if target.subresource.is_empty() {
        row.prepare_update(&context, &mut new, &old);
        (row.hooks.validate_update)(&context, &new, &old)
    } else {
        row.prepare_subresource(&context, &mut new, &old);
        (row.hooks.validate_subresource)(&context, &new, &old)
    };
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    want.assert_eq(&texts.join("\n"));
}

#[test]
fn job_status() {
    let spec = r#""spec":{"completions":3,"parallelism":1,"completionMode":"Indexed","template":{"spec":{"restartPolicy":"Never"}}}"#;
    let job = |status: &str| format!("{{{spec},\"status\":{status}}}");
    let check = |old: &str, new: &str, want| check("batch/v1/jobs:status", &job(old), &job(new), want);
    check(
        r#"{"active":1}"#,
        r#"{"conditions":[{"type":"Complete","status":"True"}],"active":1}"#,
        expect![[r#"
            status.completionTime: Required value: completionTime is required for Complete jobs
            status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition
            status.active: Invalid value: 1: active>0 is invalid for finished job
            status.startTime: Required value: startTime is required for finished job"#]],
    );
    check(
        r#"{"succeeded":2}"#,
        r#"{"succeeded":1,"ready":2,"active":1}"#,
        expect![[r#"
        status.ready: Invalid value: 2: cannot set more ready pods than active
        status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"#]],
    );
    check(
        r#"{}"#,
        r#"{"completedIndexes":"0,2-5"}"#,
        expect![[
            r#"status.completedIndexes: Invalid value: "0,2-5": error parsing completedIndexes: too large index: "5""#
        ]],
    );
    check(
        r#"{"conditions":[{"type":"Failed","status":"True"}]}"#,
        r#"{"startTime":"2026-01-01T00:00:02Z","completionTime":"2026-01-01T00:00:01Z"}"#,
        expect![[r#"
            status.completionTime: Invalid value: "2026-01-01T00:00:01Z": cannot set completionTime when there is no Complete=True condition
            status.completionTime: Invalid value: "2026-01-01T00:00:01Z": must be equal to or after `startTime`
            status.conditions: Invalid value: cannot disable the terminal Failed=True condition"#]],
    );
    check(
        r#"{}"#,
        r#"{"uncountedTerminatedPods":{"succeeded":["a","a",""],"failed":["a"]}}"#,
        expect![[r#"
        status.uncountedTerminatedPods.succeeded[1]: Duplicate value: "a"
        status.uncountedTerminatedPods.succeeded[2]: Invalid value: "": must not be empty
        status.uncountedTerminatedPods.failed[0]: Duplicate value: "a""#]],
    );
}

#[test]
fn certificate_signing_requests() {
    let spec = r#""spec":{"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KQUFFQwotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K","signerName":"example.com/s","usages":["any"]}"#;
    let csr = |status: &str| format!("{{{spec},\"status\":{status}}}");
    let check = |sub: &str, old: &str, new: &str, want| {
        let kind = format!("certificates.k8s.io/v1/certificatesigningrequests{sub}");
        check(&kind, &csr(old), &csr(new), want);
    };
    let approved = r#"{"conditions":[{"type":"Approved","status":"True"}]}"#;
    check(":approval", "{}", approved, expect![[""]]);
    check(
        ":status",
        "{}",
        approved,
        expect![[r#"status.conditions: Forbidden: updates may not add a condition of type "Approved""#]],
    );
    check(
        ":approval",
        approved,
        "{}",
        expect![[r#"status.conditions: Forbidden: updates may not remove a condition of type "Approved""#]],
    );
    check(
        ":approval",
        approved,
        r#"{"conditions":[{"type":"Approved","status":"False"},{"type":"Denied","status":"True"}]}"#,
        expect![[r#"
            status.conditions[0].status: Unsupported value: "False": supported values: "True"
            status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive"#]],
    );
    check(
        ":status",
        "{}",
        r#"{"certificate":"AAEC"}"#,
        expect![[
            r#"status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block"#
        ]],
    );
    check(":approval", "{}", r#"{"certificate":"AAEC"}"#, expect![[""]]);
}

#[test]
fn resource_claim_status() {
    let spec = r#""spec":{"devices":{"requests":[{"name":"r","firstAvailable":[{"name":"s","deviceClassName":"c"}]}]}}"#;
    let claim = |status: &str| format!("{{{spec},\"status\":{status}}}");
    let check = |old: &str, new: &str, want| {
        check("resource.k8s.io/v1/resourceclaims:status", &claim(old), &claim(new), want);
    };
    check(
        "{}",
        r#"{"reservedFor":[{"resource":"pods","name":"p","uid":"u"},{"resource":"","name":"","uid":"u"}]}"#,
        expect![[r#"
            status.reservedFor[1].resource: Required value
            status.reservedFor[1].name: Required value
            status.reservedFor[1]: Duplicate value: "u"
            status.reservedFor: Forbidden: may not be specified when `allocated` is not set"#]],
    );
    check(
        "{}",
        r#"{"allocation":{"devices":{"results":[{"request":"r/t","driver":"D_","pool":"p//q","device":"d","shareID":"x"}],
            "config":[{"source":"X","requests":["r","r"],"opaque":{"driver":"d.example","parameters":[1]}}]}}}"#,
        expect![[r#"
            status.allocation.devices.results[0].request: Invalid value: "r/t": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'
            status.allocation.devices.results[0].driver: Invalid value: "D_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            status.allocation.devices.results[0].pool: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            status.allocation.devices.results[0].shareID: Invalid value: "x": error validating uid: invalid UUID length: 1
            status.allocation.devices.config[0].source: Unsupported value: "X": supported values: "FromClaim", "FromClass"
            status.allocation.devices.config[0].requests[1]: Duplicate value: "r"
            status.allocation.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object"#]],
    );
    check(
        r#"{"allocation":{"devices":{"results":[{"request":"r","driver":"d.example","pool":"p","device":"d"}]}}}"#,
        r#"{"allocation":{"devices":{"results":[{"request":"r/s","driver":"d.example","pool":"p","device":"d"}]}},
            "devices":[{"driver":"d.example","pool":"p","device":"e","networkData":{"ips":["1.2.3.4","10.0.0.1/8"]}}]}"#,
        expect![[r#"
            status.devices[0]: Invalid value: {"Driver":"d.example","Pool":"p","Device":"e","ShareID":""}: must be an allocated device in the claim
            status.devices[0].networkData.ips[0]: Invalid value: "1.2.3.4": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)
            status.allocation: Invalid value: {"Devices":{"Results":[{"Request":"r/s","Driver":"d.example","Pool":"p","Device":"d","AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,"AllocationTimestamp":null}: field is immutable"#]],
    );
}

#[test]
fn resource_slices() {
    let slice = |device: &str| {
        format!(
            r#"{{"spec":{{"driver":"d.example","nodeName":"n","pool":{{"name":"p","resourceSliceCount":1}},"devices":[{device}]}}}}"#
        )
    };
    let check = |new: &str, want| {
        check("resource.k8s.io/v1/resourceslices", &slice(r#"{"name":"d"}"#), &slice(new), want);
    };
    check(
        r#"{"name":"d","attributes":{"a":{"version":"1.02"},"b":{"int":1,"bool":true},"c/":{}}}"#,
        expect![[r#"
            spec.devices[0].attributes[a].version: Invalid value: "1.02": must be a string compatible with semver.org spec 2.0.0
            spec.devices[0].attributes[b]: Invalid value: {"IntValue":1,"BoolValue":true,"StringValue":null,"VersionValue":null,"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}: exactly one value must be specified
            spec.devices[0].attributes: Invalid value: "": the name must not be empty
            spec.devices[0].attributes[c/]: Invalid value: "": exactly one value must be specified"#]],
    );
    check(
        r#"{"name":"d","capacity":{"c":{"value":"4","requestPolicy":{"default":"1","validValues":["1"]}}}}"#,
        expect![
            "spec.devices[0].capacity[c].requestPolicy: Forbidden: allowMultipleAllocations must be true"
        ],
    );
    check(
        r#"{"name":"d","allowMultipleAllocations":true,"capacity":{
            "a":{"value":"4","requestPolicy":{"default":"3","validValues":["2","1","1","8"]}},
            "b":{"value":"4","requestPolicy":{"default":"9","validRange":{"min":"2","max":"1","step":"3"}}},
            "c":{"value":"4","requestPolicy":{"validRange":{"step":"0"}}}}}"#,
        expect![[r#"
            spec.devices[0].capacity[a].requestPolicy.validValues[1]: Invalid value: "1": values must be sorted in ascending order
            spec.devices[0].capacity[a].requestPolicy.validValues[3]: Invalid value: "8": option is larger than capacity value: 4
            spec.devices[0].capacity[a].requestPolicy.validValues[2]: Duplicate value: "1"
            spec.devices[0].capacity[a].requestPolicy.validValues: Invalid value: "3": default value is not valid according to the requestPolicy
            spec.devices[0].capacity[b].requestPolicy.validRange.max: Invalid value: "2": min is larger than max: 1
            spec.devices[0].capacity[b].requestPolicy.validRange.max: Invalid value: "9": default is more than max: 1
            spec.devices[0].capacity[b].requestPolicy.validRange.step: Invalid value: "3": one step 5 is larger than capacity value: 4
            spec.devices[0].capacity[b].requestPolicy.validRange.step: Invalid value: "9": value is not a multiple of a given step (3) from (2)
            spec.devices[0].capacity[b].requestPolicy.validRange.step: Invalid value: "1": value is not a multiple of a given step (3) from (2)
            spec.devices[0].capacity[c].requestPolicy.default: Required value: required when validRange is defined"#]],
    );
    check(
        r#"{"name":"d","bindingConditions":["a","a"],"nodeName":"n"}"#,
        expect![[r#"
        spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec
        spec.devices[0].bindingConditions[1]: Duplicate value: "a"
        spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions"#]],
    );
}

#[test]
fn stateful_sets() {
    let set = |replicas: u8, service: &str| {
        format!(
            r#"{{"spec":{{"replicas":{replicas},"serviceName":"{service}","selector":{{"matchLabels":{{"a":"b"}}}},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"restartPolicy":"Always","containers":[{{"name":"c","image":"i"}}]}}}}}}}}"#
        )
    };
    check("apps/v1/statefulsets", &set(1, "a"), &set(2, "a"), expect![[""]]);
    check(
        "apps/v1/statefulsets",
        &set(1, "a"),
        &set(1, "b"),
        expect![
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        ],
    );
}

#[test]
fn service_cidrs() {
    let cidrs = |list: &str| format!(r#"{{"spec":{{"cidrs":{list}}}}}"#);
    let check = |old: &str, new: &str, want| {
        check("networking.k8s.io/v1/servicecidrs", &cidrs(old), &cidrs(new), want);
    };
    check(r#"["10.0.0.0/8"]"#, r#"["10.0.0.0/8","fd00::/64"]"#, expect![[""]]);
    check(
        r#"["10.0.0.0/8"]"#,
        r#"["10.0.0.0/9","11.0.0.0/8"]"#,
        expect![[r#"
        spec.cidrs[0]: Invalid value: "10.0.0.0/9": field is immutable
        spec.cidrs: Invalid value: ["10.0.0.0/9","11.0.0.0/8"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"#]],
    );
    check(
        r#"["10.0.0.0/8","fd00::/64"]"#,
        r#"["10.0.0.0/8"]"#,
        expect![[r#"spec.cidrs: Invalid value: ["10.0.0.0/8"]: field is immutable"#]],
    );
}

#[test]
fn volume_attachments() {
    let attachment = |node: &str, status: &str| {
        format!(
            r#"{{"spec":{{"attacher":"a.example","nodeName":"{node}","source":{{"persistentVolumeName":"p"}}}},"status":{status}}}"#
        )
    };
    let kind = "storage.k8s.io/v1/volumeattachments";
    check(
        kind,
        &attachment("n", "{}"),
        &attachment("m", "{}"),
        expect![[
            r#"spec: Invalid value: {"Attacher":"a.example","Source":{"PersistentVolumeName":"p","InlineVolumeSpec":null},"NodeName":"m"}: field is immutable"#
        ]],
    );
    let failed = r#"{"attached":false,"attachError":{"errorCode":-1}}"#;
    check(
        &format!("{kind}:status"),
        &attachment("n", "{}"),
        &attachment("m", failed),
        expect![
            "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"
        ],
    );
}

#[test]
fn what_is_empty_is_no_change_and_what_points_to_an_empty_struct_is() {
    let pod = |more: &str| {
        format!(
            r#"{{"metadata":{{"namespace":"ns"}},"spec":{{"containers":[{{"name":"c","image":"i"}}]{more}}}}}"#
        )
    };
    check(
        "v1/pods",
        &pod(""),
        &pod(r#","nodeSelector":{},"overhead":{},"tolerations":[]"#),
        expect![[r#""#]],
    );
    let event = |more: &str| {
        format!(
            r#"{{"eventTime":"2024-01-02T03:04:05.000006Z","reportingController":"c.example/x","reportingInstance":"i","action":"A","reason":"R","type":"Warning","regarding":{{"namespace":"ns"}}{more},"metadata":{{"namespace":"ns","resourceVersion":"1"}}}}"#
        )
    };
    check(
        "events.k8s.io/v1/events",
        &event(""),
        &event(r#","related":{}"#),
        expect![[r#"
            related: Invalid value: {"Kind":"","Namespace":"","Name":"","UID":"","APIVersion":"","ResourceVersion":"","FieldPath":""}: field is immutable"#]],
    );
}
