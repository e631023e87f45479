use super::super::policy::policy;
use super::{Pod, detail, run};
use expect_test::{Expect, expect};
use value::{Value, json};

/// Checks a pod against what a label of its namespace enforces.
fn check(enforce: &str, version: &str, pod: &str, want: Expect) {
    let mut labels = Value::object();
    labels.set("pod-security.kubernetes.io/enforce", enforce);
    labels.set("pod-security.kubernetes.io/enforce-version", version);
    let (policy, errors) = policy(&labels);
    assert!(errors.is_empty(), "{errors:?}");
    let pod = json::parse(pod.as_bytes()).unwrap();
    let pod = Pod { metadata: pod.at("metadata"), spec: pod.at("spec") };
    let found = run(policy.enforce, &pod);
    want.assert_eq(&found.map_or_else(|| "allowed".into(), |v| detail(&v)));
}

const PLAIN: &str = r#"{"spec":{"containers":[{"name":"a"}]}}"#;
const BAD: &str = r#"{"spec":{"hostNetwork":true,"hostUsers":false,
    "securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem"},{"name":"kernel.msgmax"}],"runAsUser":0},
    "volumes":[{"name":"h","hostPath":{"path":"/"}},{"name":"n","nfs":{}}],
    "initContainers":[{"name":"i","securityContext":{"privileged":true,"procMount":"Unmasked"}}],
    "containers":[{"name":"a","ports":[{"hostPort":80},{"hostPort":443}],
        "livenessProbe":{"httpGet":{"host":"x"}},
        "securityContext":{"capabilities":{"add":["SYS_ADMIN","CHOWN"]},"seLinuxOptions":{"user":"u","type":"t"}}}]}}"#;

#[test]
fn privileged_allows_all() {
    check("privileged", "latest", BAD, expect!["allowed"]);
    check("baseline", "latest", PLAIN, expect!["allowed"]);
}

#[test]
fn restricted_asks_for_more() {
    check(
        "restricted",
        "latest",
        PLAIN,
        expect![[
            r#"allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#
        ]],
    );
    check(
        "restricted",
        "v1.7",
        PLAIN,
        expect![[
            r#"runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)"#
        ]],
    );
}

#[test]
fn baseline_tells_everything() {
    check(
        "baseline",
        "latest",
        BAD,
        expect![[
            r#"non-default capabilities (container "a" must not include "SYS_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true), hostPath volumes (volume "h"), hostPort (container "a" uses hostPorts 443, 80), probe or lifecycle host (container "a" uses probe or lifecycle host "x"), privileged (container "i" must not set securityContext.privileged=true), seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "t"; user may not be set), forbidden sysctls (kernel.msgmax)"#
        ]],
    );
    check(
        "baseline",
        "v1.24",
        BAD,
        expect![[
            r#"non-default capabilities (container "a" must not include "SYS_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true), hostPath volumes (volume "h"), hostPort (container "a" uses hostPorts 443, 80), privileged (container "i" must not set securityContext.privileged=true), procMount (container "i" must not set securityContext.procMount to "Unmasked"), seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "t"; user may not be set), forbidden sysctls (net.ipv4.tcp_rmem, kernel.msgmax)"#
        ]],
    );
    check(
        "restricted",
        "v1.36",
        BAD,
        expect![[
            r#"host namespaces (hostNetwork=true), hostPort (container "a" uses hostPorts 443, 80), probe or lifecycle host (container "a" uses probe or lifecycle host "x"), privileged (container "i" must not set securityContext.privileged=true), seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "t"; user may not be set), forbidden sysctls (kernel.msgmax), allowPrivilegeEscalation != false (containers "i", "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "i", "a" must set securityContext.capabilities.drop=["ALL"]; container "a" must not include "CHOWN", "SYS_ADMIN" in securityContext.capabilities.add), procMount (container "i" must not set securityContext.procMount to "Unmasked"), restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs"), seccompProfile (pod or containers "i", "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#
        ]],
    );
}
