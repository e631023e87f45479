//! Kinds of core beyond what recorded cases reach: errors and warnings of creates, updates and subresources, in
//! upstream's words and order.

use super::golden::{Target, decode, normalize};
use expect_test::{Expect, expect};
use kinds::Table;
use kinds::hooks::Context;
use value::{Value, json};

fn object(kind: &str, text: &str) -> (Target<'static>, Value) {
    let (plural, sub) = kind.split_once(':').unwrap_or((kind, ""));
    let row = Table::builtin().get("", "v1", plural).expect("a built-in row");
    let mut value = json::parse(text.as_bytes()).expect("valid JSON");
    let metadata = value.object_at("metadata").expect("an object");
    if metadata.at("name").is_null() {
        metadata.set("name", "x");
    }
    metadata.set("uid", "u");
    metadata.set("namespace", if row.namespaced { "ns" } else { "" });
    metadata.set("creationTimestamp", "2026-11-21T04:51:23Z");
    let mut value = decode(row, &value).expect("decodes");
    (row.hooks.default)(&mut value);
    normalize(row, &mut value);
    (Target { row, namespace: "ns".into(), subresource: sub.into() }, value)
}

fn context(target: &Target<'_>) -> Context {
    Context {
        now: "2026-11-21T04:51:23Z".into(),
        subresource: target.subresource.as_str().into(),
        ..Context::default()
    }
}

fn show(errors: &[meta::field::Error], warnings: &[String]) -> String {
    let errors = errors.iter().map(|e| format!("{e}\n"));
    errors.chain(warnings.iter().map(|w| format!("warning: {w}\n"))).collect()
}

/// Creates; `kind` is the plural.
fn create(kind: &str, body: &str, want: Expect) {
    let (target, mut new) = object(kind, body);
    let (row, context) = (target.row, context(&target));
    row.prepare_create(&context, &mut new);
    normalize(row, &mut new);
    let errors = (row.hooks.validate_create)(&context, &new);
    let warnings =
        [(row.hooks.warn_prepared)(&context, &new), (row.hooks.warn_create)(&context, &new)].concat();
    want.assert_eq(&show(&errors, &warnings));
}

/// Updates; `kind` is `plural` or `plural:subresource`.
fn update(kind: &str, old: &str, new: &str, want: Expect) {
    let (target, old) = object(kind, old);
    let (_, mut new) = object(kind, new);
    let (row, context) = (target.row, context(&target));
    let (errors, warnings) = if target.subresource.is_empty() {
        row.prepare_update(&context, &mut new, &old);
        normalize(row, &mut new);
        ((row.hooks.validate_update)(&context, &new, &old), (row.hooks.warn_update)(&context, &new, &old))
    } else {
        row.prepare_subresource(&context, &mut new, &old);
        normalize(row, &mut new);
        (
            (row.hooks.validate_subresource)(&context, &new, &old),
            (row.hooks.warn_subresource)(&context, &new, &old),
        )
    };
    want.assert_eq(&show(&errors, &warnings));
}

/// A pod with this spec beside one container, and members of that container.
fn pod(spec: &str, container: &str) -> String {
    let (spec, container) = (spec.trim_matches(','), container.trim_matches(','));
    let spec = if spec.is_empty() { String::new() } else { format!(",{spec}") };
    let container = if container.is_empty() { String::new() } else { format!(",{container}") };
    format!(r#"{{"spec":{{"containers":[{{"name":"c","image":"i"{container}}}]{spec}}}}}"#)
}

#[test]
fn pods_volumes() {
    create(
        "pods",
        &pod(
            r#""volumes":[{"name":"A","hostPath":{"path":"/a/../b","type":"X"},"gitRepo":{"directory":"/x"}},{"name":"b","iscsi":{"iqn":"iqn.bad","lun":300,"chapAuthSession":true,"initiatorName":"x"}},{"name":"b2","azureDisk":{"kind":"Managed","cachingMode":"Z"}},{"name":"d","cephfs":{},"rbd":{}},{"name":"e","ephemeral":{"volumeClaimTemplate":{"metadata":{"name":"n","finalizers":["a"]},"spec":{"accessModes":["ReadWriteOncePod","ReadWriteOnce","Z"]}}}},{"name":"f","csi":{"driver":"","nodePublishSecretRef":{"name":"_"}}},{"name":"g","image":{"reference":""}},{"name":"h","quobyte":{"registry":"a,b:1"}},{"name":"k","fc":{"wwids":["a"],"targetWWNs":["b"]}},{"name":"l","flexVolume":{"driver":"","options":{"kubernetes.io/a":"b"}}},{"name":"m","storageos":{"volumeName":"-","secretRef":{}}},{"name":"n","configMap":{"items":[{"key":"","path":"/a"},{"key":"a","path":"..a"}]}},{"name":"o","downwardAPI":{"items":[{"path":"p"},{"path":"q","fieldRef":{"fieldPath":"metadata.zz"}},{"path":"r","fieldRef":{"fieldPath":"spec.nodeName"}},{"path":"s","fieldRef":{"fieldPath":"metadata.labels['a b']"}},{"path":"t","resourceFieldRef":{"resource":"limits.cpu","divisor":"2","containerName":"c"}}]}},{"name":"p","projected":{"sources":[{"secret":{"name":""},"configMap":{"name":"c"}},{"serviceAccountToken":{"path":"/t","expirationSeconds":5}},{}]}}]"#,
            "",
        ),
        expect![[r#"
        spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain '..'
        spec.volumes[0].hostPath.type: Unsupported value: "X": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
        spec.volumes[0].gitRepo: Forbidden: may not specify more than 1 volume type
        spec.volumes[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.volumes[1].iscsi.targetPortal: Required value
        spec.volumes[1].iscsi.iqn: Invalid value: "iqn.bad": must be valid format
        spec.volumes[1].iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive
        spec.volumes[1].iscsi.secretRef: Required value
        spec.volumes[1].iscsi.initiatorname: Invalid value: "x": must be valid format starting with iqn, eui, or naa
        spec.volumes[2].azureDisk.diskName: Required value
        spec.volumes[2].azureDisk.diskURI: Required value
        spec.volumes[2].azureDisk.cachingMode: Unsupported value: "Z": supported values: "None", "ReadOnly", "ReadWrite"
        spec.volumes[2].azureDisk.diskURI: Unsupported value: "": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        spec.volumes[3].rbd.monitors: Required value
        spec.volumes[3].rbd.image: Required value
        spec.volumes[3].cephFS: Forbidden: may not specify more than 1 volume type
        spec.volumes[4].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set
        spec.volumes[4].ephemeral.volumeClaimTemplate.metadata.finalizers: Forbidden: cannot be set
        spec.volumes[4].ephemeral.volumeClaimTemplate.spec.accessModes: Unsupported value: "Z": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
        spec.volumes[4].ephemeral.volumeClaimTemplate.spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes
        spec.volumes[4].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value
        spec.volumes[5].csi.driver: Required value
        spec.volumes[5].csi.name: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.volumes[6].image.reference: Required value
        spec.volumes[7].quobyte.registry: Invalid value: "a,b:1": must be a host:port pair or multiple pairs separated by commas
        spec.volumes[7].quobyte.volume: Required value
        spec.volumes[8].fc.targetWWNs: Invalid value: ["b"]: targetWWNs and wwids can not be specified simultaneously
        spec.volumes[8].fc.lun: Required value: lun is required if targetWWNs is specified
        spec.volumes[9].flexVolume.driver: Required value
        spec.volumes[9].flexVolume.options[kubernetes.io/a]: Invalid value: "kubernetes.io/a": kubernetes.io and k8s.io namespaces are reserved
        spec.volumes[10].storageos.volumeName: Invalid value: "-": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.volumes[10].storageos.secretRef.name: Required value
        spec.volumes[11].configMap.name: Required value
        spec.volumes[11].configMap.items[0].key: Required value
        spec.volumes[11].configMap.items[0].path: Invalid value: "/a": must be a relative path
        spec.volumes[11].configMap.items[1].path: Invalid value: "..a": must not start with '..'
        spec.volumes[12].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required
        spec.volumes[12].downwardAPI.fieldRef.fieldPath: Invalid value: "metadata.zz": error converting fieldPath: field label not supported: metadata.zz
        spec.volumes[12].downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"
        spec.volumes[12].downwardAPI.fieldRef: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.volumes[12].downwardAPI.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource
        spec.volumes[13].projected.sources[0].secret.name: Required value
        spec.volumes[13].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source
        spec.volumes[13].projected.sources[1].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes
        spec.volumes[13].projected.path: Invalid value: "/t": must be a relative path
        spec.volumes[13].projected.sources[1].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set
        warning: spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+
        warning: spec.volumes[3].cephfs: deprecated in v1.28, non-functional in v1.31+
        warning: spec.volumes[3].rbd: deprecated in v1.28, non-functional in v1.31+
        warning: spec.volumes[7].quobyte: deprecated in v1.22, non-functional in v1.25+
        warning: spec.volumes[10].storageOS: deprecated in v1.22, non-functional in v1.25+
        warning: volume "p" (Projected) has no sources provided
    "#]],
    );
}

#[test]
fn pods_containers() {
    create(
        "pods",
        &pod(
            r#""initContainers":[{"name":"c","image":"i","livenessProbe":{"exec":{}},"resizePolicy":[{"resourceName":"cpu","restartPolicy":"RestartContainer"}]},{"name":"s","image":"i","restartPolicy":"Always","startupProbe":{"successThreshold":2,"httpGet":{"port":0,"scheme":"X","httpHeaders":[{"name":"a b"}]}},"lifecycle":{"preStop":{"sleep":{"seconds":100}},"postStart":{"exec":{"command":["a"]},"tcpSocket":{"port":"x!"}}}},{"name":"t","image":"i","restartPolicy":"Sometimes","restartPolicyRules":[{"action":"X"}]}],"ephemeralContainers":[{"name":"c","image":" i","targetContainerName":"zz","ports":[{"containerPort":1}],"resources":{"limits":{"cpu":"1"}},"volumeMounts":[{"name":"v","mountPath":"/a","subPath":"b"}]}]"#,
            r#""ports":[{"containerPort":0,"name":"A","protocol":"X"},{"containerPort":80,"hostPort":70000},{"containerPort":81,"hostPort":90,"name":"a"},{"containerPort":81,"hostPort":90,"name":"a"}],"env":[{"name":"=","valueFrom":{}},{"name":"A","value":"v","valueFrom":{"secretKeyRef":{"name":"_","key":"a b"},"fileKeyRef":{"volumeName":"v","path":"../a","key":""}}}],"envFrom":[{"prefix":"=","configMapRef":{"name":""}},{}],"volumeMounts":[{"name":"v","mountPath":""},{"name":"w","mountPath":"/a","mountPropagation":"Bidirectional","recursiveReadOnly":"Enabled"}],"volumeDevices":[{"name":"v","devicePath":"../x"}],"imagePullPolicy":"X","terminationMessagePolicy":"Y","resources":{"limits":{"cpu":"1","x":"1","a.b/c":"1500m","hugepages-2Mi":"3Mi"},"requests":{"cpu":"2","a.b/d":"1","memory":"-1"},"claims":[{"name":"q"},{"name":"q"}]},"resizePolicy":[{"resourceName":"x","restartPolicy":"Y"},{"resourceName":"x"}],"securityContext":{"allowPrivilegeEscalation":false,"privileged":true,"runAsUser":-1,"procMount":"Unmasked","seccompProfile":{"type":"Unconfined","localhostProfile":"x"},"appArmorProfile":{"type":"Localhost"},"windowsOptions":{"runAsUserName":"a\\b\\c"}}"#,
        ),
        expect![[r#"
        spec.containers[0].terminationMessagePolicy: Unsupported value: "Y": supported values: "File", "FallbackToLogsOnError"
        spec.containers[0].ports[0].name: Invalid value: "A": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
        spec.containers[0].ports[0].name: Invalid value: "A": must contain at least one letter (a-z)
        spec.containers[0].ports[0].containerPort: Required value
        spec.containers[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
        spec.containers[0].ports[1].hostPort: Invalid value: 70000: must be between 1 and 65535, inclusive
        spec.containers[0].ports[3].name: Duplicate value: "a"
        spec.containers[0].env[0].name: Invalid value: "=": a valid environment variable name must consist only of printable ASCII characters other than '='
        spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`
        spec.containers[0].env[1].valueFrom.secretKeyRef.name: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.containers[0].env[1].valueFrom.secretKeyRef.key: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
        spec.containers[0].env[1].valueFrom.fileKeyRef.key: Required value
        spec.containers[0].env[1].valueFrom.fileKeyRef.path: Invalid value: "../a": must not contain '..'
        spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty
        spec.containers[0].envFrom[0].prefix: Invalid value: "=": a valid environment variable name must consist only of printable ASCII characters other than '='
        spec.containers[0].envFrom[0].configMapRef.name: Required value
        spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`
        spec.containers[0].volumeMounts[0].name: Not found: "v"
        spec.containers[0].volumeMounts[0].mountPath: Required value
        spec.containers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices
        spec.containers[0].volumeMounts[1].name: Not found: "w"
        spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true
        spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified
        spec.containers[0].volumeDevices[0].name: Not found: "v"
        spec.containers[0].volumeDevices[0].devicePath: Invalid value: "../x": can not contain backsteps ('..')
        spec.containers[0].volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts
        spec.containers[0].imagePullPolicy: Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never"
        spec.containers[0].resources.limits[a.b/c]: Invalid value: "1500m": must be an integer
        spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi
        spec.containers[0].resources.limits[x]: Invalid value: "x": must be a standard resource type or fully qualified
        spec.containers[0].resources.limits[x]: Invalid value: "x": must be a standard resource for containers
        spec.containers[0].resources.requests[a.b/c]: Invalid value: "1500m": must be an integer
        spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources
        spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
        spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi
        spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0
        spec.containers[0].resources.requests[x]: Invalid value: "x": must be a standard resource type or fully qualified
        spec.containers[0].resources.requests[x]: Invalid value: "x": must be a standard resource for containers
        spec.containers[0].resources.claims[0]: Not found: "q": must be one of the names in pod.spec.resourceClaims which is empty
        spec.containers[0].resources.claims[1]: Duplicate value: "q"
        spec.containers[0].resources.claims[1]: Not found: "q": must be one of the names in pod.spec.resourceClaims which is empty
        spec.containers[0].resizePolicy: Unsupported value: "x": supported values: "cpu", "memory"
        spec.containers[0].resizePolicy: Unsupported value: "Y": supported values: "NotRequired", "RestartContainer"
        spec.containers[0].resizePolicy[1]: Duplicate value: "x"
        spec.containers[0].resizePolicy: Unsupported value: "x": supported values: "cpu", "memory"
        spec.containers[0].resizePolicy: Required value
        spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive
        spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`
        spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: {"Type":"Unconfined","LocalhostProfile":"x"}: can only be set when seccomp type is Localhost
        spec.containers[0].securityContext: Invalid value: {"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":{"GMSACredentialSpecName":null,"GMSACredentialSpec":null,"RunAsUserName":"a\\b\\c","HostProcess":null},"RunAsUser":-1,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":"Unmasked","SeccompProfile":{"Type":"Unconfined","LocalhostProfile":"x"},"AppArmorProfile":{"Type":"Localhost","LocalhostProfile":null}}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true
        spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid value: "a\\b\\c": runAsUserName cannot contain more than one backslash
        spec.containers[0].securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost
        spec.containers[0].ports[3].hostPort: Duplicate value: "TCP//90"
        spec.initContainers[0].name: Duplicate value: "c"
        spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
        spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: "RestartContainer": must not be set to 'RestartContainer' for non-sidecar initContainers
        spec.initContainers[1].lifecycle.postStart.tcpSocket: Forbidden: may not specify more than 1 handler type
        spec.initContainers[1].lifecycle.preStop.sleep: Invalid value: 100: must be non-negative and less than terminationGracePeriodSeconds (30)
        spec.initContainers[1].startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive
        spec.initContainers[1].startupProbe.httpGet.scheme: Unsupported value: "X": supported values: "HTTP", "HTTPS"
        spec.initContainers[1].startupProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')
        spec.initContainers[1].startupProbe.successThreshold: Invalid value: 2: must be 1
        spec.initContainers[2].restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"
        spec.initContainers[2].restartPolicyRules[0].action: Unsupported value: "X": supported values: "Restart", "RestartAllContainers"
        spec.initContainers[2].restartPolicyRules[0].exitCodes: Required value: must be specified
        spec.ephemeralContainers[0].volumeMounts[0].name: Not found: "v"
        spec.ephemeralContainers[0].image: Invalid value: " i": must not have leading or trailing whitespace
        spec.ephemeralContainers[0].name: Duplicate value: "c"
        spec.ephemeralContainers[0].targetContainerName: Not found: "zz"
        spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container
        spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container
        spec.ephemeralContainers[0].volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container
        spec.containers[0].env[1].valueFrom.fileKeyRef.volumeName: Not found: "v"
        spec.ephemeralContainers: Forbidden: cannot be set on create
        warning: spec.containers[0].ports[3]: duplicate port definition with spec.containers[0].ports[2]
        warning: spec.containers[0].ports[3]: duplicate port name "a" with spec.containers[0].ports[2], services and probes that select ports by name will use spec.containers[0].ports[2]
    "#]],
    );
}

#[test]
fn pods_spec() {
    create(
        "pods",
        &pod(
            r#""restartPolicy":"X","dnsPolicy":"None","nodeSelector":{"a b":"-"},"hostNetwork":true,"hostUsers":false,"hostnameOverride":"A","terminationGracePeriodSeconds":-5,"activeDeadlineSeconds":0,"hostname":"A","subdomain":"B","nodeName":"_","serviceAccountName":"_","priorityClassName":"_","runtimeClassName":"","preemptionPolicy":"Z","overhead":{"cpu":"-1"},"os":{"name":"bsd"},"schedulerName":"","securityContext":{"sysctls":[{"name":"net/ipv4.x","value":"1"},{"name":"A"}],"fsGroupChangePolicy":"Q","seLinuxChangePolicy":"MountOption","supplementalGroups":[-1]},"tolerations":[{"operator":"Equal"},{"key":"a","operator":"Gt"},{"key":"a","operator":"Z","effect":"E","tolerationSeconds":1},{"key":"b","operator":"Exists","value":"v"}],"readinessGates":[{"conditionType":"a b"}],"schedulingGates":[{"name":"a"},{"name":"a"}],"topologySpreadConstraints":[{"maxSkew":0,"topologyKey":"","whenUnsatisfiable":"X"},{"maxSkew":1,"topologyKey":"k","whenUnsatisfiable":"ScheduleAnyway","minDomains":0,"matchLabelKeys":["a"],"nodeAffinityPolicy":"Z"},{"maxSkew":1,"topologyKey":"k","whenUnsatisfiable":"ScheduleAnyway","labelSelector":{"matchLabels":{"a":"b"}},"matchLabelKeys":["a"]}],"hostAliases":[{"ip":"01.2.3.4","hostnames":["_"]}],"resourceClaims":[{"name":"a"},{"name":"a","resourceClaimName":"_","resourceClaimTemplateName":"b"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Gt","values":["1","2"]},{"key":"a","operator":"Z"}],"matchFields":[{"key":"x","operator":"In"}]}]},"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0,"preference":{"matchExpressions":[{"key":"beta.kubernetes.io/os","operator":"In","values":["-"]}]}}]},"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"","namespaces":["_"],"matchLabelKeys":["a"],"mismatchLabelKeys":["a"]}]}}"#,
            r#""ports":[{"containerPort":80,"hostPort":81}]"#,
        ),
        expect![[r#"
        spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`
        spec.resourceClaims[1].name: Duplicate value: "a"
        spec.resourceClaims[1]: Invalid value: {"Name":"a","ResourceClaimName":"_","ResourceClaimTemplateName":"b"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified
        spec.resourceClaims[1].resourceClaimName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true
        spec.restartPolicy: Unsupported value: "X": supported values: "Always", "OnFailure", "Never"
        spec.nodeSelector: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.nodeSelector: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        spec.securityContext.supplementalGroups[0]: Invalid value: -1: must be between 0 and 2147483647, inclusive
        spec.securityContext.sysctls[0].name: Invalid value: "net/ipv4.x": may not be specified when 'hostNetwork' is true
        spec.securityContext.sysctls[1].name: Invalid value: "A": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$
        spec.securityContext.fsGroupChangePolicy: Unsupported value: "Q": supported values: "Always", "OnRootMismatch"
        spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"
        spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'
        spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].operator: Invalid value: "Z": not a valid selector operator
        spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field selector
        spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key: Invalid value: "x": not a valid field selector key
        spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100
        spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespace: Invalid value: "_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set
        spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set
        spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and mismatchLabelKeys
        spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty
        spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must be non-empty
        spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None
        spec.readinessGates[0].conditionType: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.schedulingGates[1]: Duplicate value: "a"
        spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero
        spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty
        spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "X": supported values: "DoNotSchedule", "ScheduleAnyway"
        spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}: Duplicate value: "{k, ScheduleAnyway}"
        spec.topologySpreadConstraints[1].minDomains: Invalid value: 0: must be greater than zero
        spec.topologySpreadConstraints[1].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway
        spec.topologySpreadConstraints[1].nodeAffinityPolicy: Unsupported value: "Z": supported values: "Honor", "Ignore"
        spec.topologySpreadConstraints[1].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set
        spec.hostNetwork: Forbidden: when `hostUsers` is false
        spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true
        spec.hostnameOverride: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.serviceAccountName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.nodeName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive
        spec.hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.subdomain: Invalid value: "B": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"
        spec.tolerations[1].operator: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"
        spec.tolerations[2].effect: Invalid value: "E": effect must be 'NoExecute' when `tolerationSeconds` is set
        spec.tolerations[2].operator: Unsupported value: "Z": supported values: "Equal", "Exists"
        spec.tolerations[2].effect: Unsupported value: "E": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"
        spec.tolerations[3].operator: Invalid value: "v": value must be empty when `operator` is 'Exists'
        spec.hostAliases[0].ip: Invalid value: "01.2.3.4": must not have leading 0s
        spec.hostAliases[0].hostnames[0]: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.priorityClassName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.runtimeClassName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.preemptionPolicy: Unsupported value: "Z": supported values: "PreemptLowerPriority", "Never"
        spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0
        spec.os: Unsupported value: "bsd": supported values: "linux", "windows"
        spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared
        warning: spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead
        warning: spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]: - is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        warning: spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod
        warning: spec.topologySpreadConstraints[1].labelSelector: a null labelSelector results in matching no pod
        warning: spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod
        warning: spec.hostAliases[0].ip: non-standard IP address "01.2.3.4" is invalid: use "1.2.3.4"
    "#]],
    );
}

#[test]
fn pods_windows() {
    create(
        "pods",
        &pod(
            r#""os":{"name":"windows"},"hostPID":true,"securityContext":{"runAsUser":1,"windowsOptions":{"hostProcess":true}},"resources":{"limits":{"cpu":"1"}}"#,
            r#""securityContext":{"privileged":true,"windowsOptions":{"hostProcess":false}}"#,
        ),
        expect![[r#"
        spec.resources: Forbidden: may not be set for a windows pod
        spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are specified, was true
        spec.hostPID: Forbidden: cannot be set for a windows pod
        spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod
        spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod
    "#]],
    );
}

#[test]
fn pods_pod_resources() {
    create(
        "pods",
        &pod(
            r#""resources":{"limits":{"cpu":"1","storage":"1"},"requests":{"memory":"1Gi"},"claims":[]},"initContainers":[{"name":"i","image":"i","resources":{"requests":{"memory":"3Gi"}}}]"#,
            r#""resources":{"limits":{"cpu":"2","memory":"2Gi"}}"#,
        ),
        expect![[r#"
        spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level
        spec.resources.limits[storage]: Unsupported value: "storage": supported values: "cpu", "hugepages-", "memory"
        spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
        spec.resources.requests[memory]: Invalid value: "1Gi": must be greater than or equal to aggregate container requests of 3Gi
        spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1
    "#]],
    );
}

#[test]
fn pods_resize_resize_ok() {
    let (old, new) = (
        &pod("", r#""resources":{"requests":{"cpu":"1"}}"#),
        &pod("", r#""resources":{"requests":{"cpu":"2"}}"#),
    );
    update("pods:resize", old, new, expect![[""]]);
}

#[test]
fn pods_resize_resize_bad() {
    let (old, new) = (
        &pod(
            r#""initContainers":[{"name":"i","image":"i"}]"#,
            r#""resources":{"requests":{"cpu":"1","memory":"1"}}"#,
        ),
        &pod(
            r#""initContainers":[{"name":"j","image":"i"}]"#,
            r#""resources":{"requests":{"cpu":"2"},"limits":{"ephemeral-storage":"1"}}"#,
        ),
    );
    update(
        "pods:resize",
        old,
        new,
        expect![[r#"
        spec.initContainers[0].name: Forbidden: initContainers may not be renamed or reordered on resize
    "#]],
    );
}

#[test]
fn pods_resize_resize_removed() {
    let (old, new) = (
        &pod("", r#""resources":{"requests":{"cpu":"1","memory":"1"}}"#),
        &pod("", r#""resources":{"requests":{"cpu":"2","a.b/c":"1"},"limits":{"a.b/c":"1"}}"#),
    );
    update(
        "pods:resize",
        old,
        new,
        expect![[r#"
        spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed
        spec: Forbidden: only cpu and memory resources are mutable
    "#]],
    );
}

#[test]
fn pods_resize_resize_pod_level() {
    let (old, new) = (
        &pod(r#""resources":{"requests":{"cpu":"1"},"limits":{"cpu":"2"}}"#, ""),
        &pod(r#""resources":{"requests":{"cpu":"2"},"limits":{"cpu":"3"}}"#, ""),
    );
    update("pods:resize", old, new, expect![[""]]);
}

#[test]
fn pods_ephemeralcontainers_ephemeral_ok() {
    let (old, new) = (&pod("", ""), &pod(r#""ephemeralContainers":[{"name":"e","image":"i"}]"#, ""));
    update("pods:ephemeralcontainers", old, new, expect![[""]]);
}

#[test]
fn pods_ephemeralcontainers_ephemeral_changed() {
    let (old, new) = (
        &pod(r#""ephemeralContainers":[{"name":"e","image":"i"},{"name":"f","image":"i"}]"#, ""),
        &pod(r#""ephemeralContainers":[{"name":"e","image":"j"}]"#, ""),
    );
    update(
        "pods:ephemeralcontainers",
        old,
        new,
        expect![[r#"
        spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed
        @@ -1,6 +1,6 @@
         {
          "Name": "e",
        - "Image": "i",
        + "Image": "j",
          "Command": null,
          "Args": null,
          "WorkingDir": "",

        spec.ephemeralContainers: Forbidden: existing ephemeral containers "f" may not be removed

    "#]],
    );
}

#[test]
fn pods_status_status() {
    let (old, new) = (
        r#"{"spec":{"restartPolicy":"Never","nodeName":"n","containers":[{"name":"c","image":"i"}]},"status":{"qosClass":"BestEffort","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":1}}}]}}"#,
        r#"{"spec":{"containers":[]},"status":{"qosClass":"Guaranteed","nominatedNodeName":"_","observedGeneration":-1,"podIPs":[{"ip":"1.2.3.4"},{"ip":"1.2.3.5"}],"hostIP":"a","hostIPs":[{"ip":"01.1.1.1"}],"conditions":[{"type":"a b","status":"True","observedGeneration":-2}],"containerStatuses":[{"name":"c","state":{"running":{}},"allocatedResourcesStatus":[{"name":"x","resources":[{"resourceID":"a","health":"Z"},{"resourceID":"a","health":"Healthy","message":""}]}],"user":{"linux":{"uid":-1,"gid":0}}}],"resourceClaimStatuses":[{"name":"q"}],"extendedResourceClaimStatus":{"requestMappings":[{"containerName":"c","resourceName":"r","requestName":"_"}],"resourceClaimName":""}}}"#,
    );
    update(
        "pods:status",
        old,
        new,
        expect![[r#"
        status.conditions[0].observedGeneration: Invalid value: -2: must be a non-negative integer
        status.conditions[0].Type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        status.nominatedNodeName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node
        status.observedGeneration: Invalid value: -1: must be a non-negative integer
        status.qosClass: Invalid value: "Guaranteed": field is immutable
        status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state
        status.resourceClaimStatuses[0].name: Invalid value: "q": must match the name of an entry in `spec.resourceClaims`
        status.extendedResourceClaimStatus.requestMappings[0].resourceName: Invalid value: "r": must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests
        status.extendedResourceClaimStatus.requestName: Invalid value: "_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        status.extendedResourceClaimStatus.resourceClaimName: Required value
        status.podIPs: Invalid value: [{"IP":"1.2.3.4"},{"IP":"1.2.3.5"}]: may specify no more than one IP for each IP family
        status.hostIPs[0].ip: Invalid value: "01.1.1.1": must be equal to `hostIP`
        status.hostIPs[0]: Invalid value: "01.1.1.1": must not have leading 0s
        status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive
        status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: "x": must match one of the container's resource requests
        status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health: Unsupported value: "Z": supported values: "Healthy", "Unhealthy", "Unknown"
        status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].message: Required value: must be non-empty if specified
        status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].resourceID: Duplicate value: "a"
        warning: status.hostIPs[0].ip: non-standard IP address "01.1.1.1" is invalid: use "1.1.1.1"
    "#]],
    );
}

#[test]
fn pods_gated() {
    let (old, new) = (
        &pod(
            r#""schedulingGates":[{"name":"g"}],"nodeSelector":{"a":"b"},"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}}}"#,
            "",
        ),
        &pod(
            r#""schedulingGates":[{"name":"h"}],"nodeSelector":{"a":"c"},"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"b","operator":"Exists"}]}]}}}"#,
            "",
        ),
    );
    update(
        "pods",
        old,
        new,
        expect![[r#"
        spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'
        spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)
        spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: Invalid value: {"MatchExpressions":[{"Key":"b","Operator":"Exists","Values":null}],"MatchFields":null}: only additions are allowed (no mutations or deletions)
    "#]],
    );
}

#[test]
fn pods_gated_ok() {
    let (old, new) = (
        &pod(r#""schedulingGates":[{"name":"g"}]"#, ""),
        &pod(
            r#""nodeSelector":{"a":"c"},"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"b","operator":"Exists"}]}]}}}"#,
            "",
        ),
    );
    update("pods", old, new, expect![[""]]);
}

#[test]
fn services_create() {
    create(
        "services",
        r#"{"spec":{"type":"ExternalName","clusterIP":"1.2.3.4","externalName":"_","ports":[{"port":0,"protocol":"X","nodePort":30000},{"port":80,"name":"A"},{"port":80,"name":"a"},{"port":80,"name":"a"}],"externalIPs":["127.0.0.1","1.2.3"],"loadBalancerSourceRanges":["1.2.3.4/33"],"sessionAffinity":"X","loadBalancerClass":"a b","healthCheckNodePort":1,"externalTrafficPolicy":"Local","internalTrafficPolicy":"Q","trafficDistribution":"PreferClose","allocateLoadBalancerNodePorts":true,"ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack"}}"#,
        expect![[r#"
        spec.clusterIPs: Forbidden: may not be set for ExternalName services
        spec.ipFamilies: Forbidden: may not be set for ExternalName services
        spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services
        spec.externalName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.ports[0].name: Required value
        spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
        spec.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
        spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive
        spec.ports[1].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        spec.ports[3].name: Duplicate value: "a"
        spec.sessionAffinity: Unsupported value: "X": supported values: "ClientIP", "None"
        spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
        spec.externalIPs[1]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        spec.ports[2]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}
        spec.ports[3]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}
        spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'
        spec.LoadBalancerSourceRanges[0]: Invalid value: "1.2.3.4/33": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
        spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'
        spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'
        spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services
        spec.healthCheckNodePort: Invalid value: 1: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'
        spec.internalTrafficPolicy: Unsupported value: "Q": supported values: "Cluster", "Local"
        warning: spec.externalIPs is ignored when spec.type is "ExternalName"
        warning: spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"
    "#]],
    );
}

#[test]
fn services_create2() {
    create(
        "services",
        r#"{"spec":{"type":"LoadBalancer","clusterIP":"None","clusterIPs":["None","1.2.3.4"],"ipFamilies":["IPv4","IPv4","IPv5"],"ipFamilyPolicy":"Q","externalTrafficPolicy":"Local","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":0}}}}"#,
        expect![[r#"
        spec.ports: Required value
        spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400
        spec.ipFamilies[1]: Duplicate value: "IPv4"
        spec.ipFamilies[2]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"
        spec.ipFamilyPolicy: Unsupported value: "Q": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"
        spec.clusterIPs: Invalid value: ["None","1.2.3.4"]: 'None' must be the first and only value
        spec.healthCheckNodePort: Required value
    "#]],
    );
}

#[test]
fn nodes_create() {
    create(
        "nodes",
        r#"{"metadata":{"annotations":{"scheduler.alpha.kubernetes.io/preferAvoidPods":"{\"preferAvoidPods\":[{}]}"}},"spec":{"podCIDR":"10.0.0.0/24","podCIDRs":["10.0.0.0/24","10.1.0.0/24","x"],"taints":[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoSchedule"},{"key":"b b"}],"externalID":"x","configSource":{}},"status":{"capacity":{"pods":"1500m","cpu":"-1"},"declaredFeatures":["B","a","A"]}}"#,
        expect![[r#"
        metadata.annotations.scheduler.alpha.kubernetes.io/preferAvoidPods[0].PodSignature: Required value
        metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair
        metadata.taints[2].key: Invalid value: "b b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        metadata.taints[2].effect: Required value
        status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0
        status.capacity.pods: Invalid value: "1500m": must be an integer
        status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0
        status.allocatable.pods: Invalid value: "1500m": must be an integer
        status.declaredFeatures[1]: Invalid value: "a": invalid feature name "a": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes
        status.declaredFeatures[2]: Invalid value: "A": list must be sorted alphabetically
        spec.podCIDRs[2]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
        spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[2]: <nil> (invalid CIDR address: x)
        spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.1.0.0/24","x"]: may specify no more than one CIDR for each IP family
        warning: spec.externalID: this field is deprecated, and is unused by Kubernetes
    "#]],
    );
}

#[test]
fn limitranges_create() {
    create(
        "limitranges",
        r#"{"spec":{"limits":[{"type":"Container","max":{"cpu":"1","a.b/c":"1"},"min":{"cpu":"2"},"default":{"a.b/c":"2"},"defaultRequest":{"cpu":"3"},"maxLimitRequestRatio":{"cpu":"500m"}},{"type":"Container"},{"type":"Pod","default":{"cpu":"1"}},{"type":"PersistentVolumeClaim"},{"type":"X"},{"type":"Pod","max":{"cpu":"4"},"min":{"cpu":"1"},"maxLimitRequestRatio":{"cpu":"5"}}]}}"#,
        expect![[r#"
        spec.limits[0].defaultRequest[a.b/c]: Invalid value: "2": default request value 2 is greater than max value 1
        spec.limits[0].default[a.b/c]: Invalid value: "1": default value 2 is greater than max value 1
        spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1
        spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 1
        spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than default limit value 1
        spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1
        spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1
        spec.limits[1].type: Duplicate value: "Container"
        spec.limits[2].default: Forbidden: may not be specified when `type` is 'Pod'
        spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided
        spec.limits[4].type: Invalid value: "X": must be a standard limit type or fully qualified
        spec.limits[5].type: Duplicate value: "Pod"
        spec.limits[5].maxLimitRequestRatio[cpu]: Invalid value: "5": ratio 5 is greater than max/min = 4.000000
    "#]],
    );
}

#[test]
fn resourcequotas_create() {
    create(
        "resourcequotas",
        r#"{"spec":{"hard":{"pods":"1500m","x":"1","count/pods":"-1","services":"1","requests.cpu":"2","limits.cpu":"1"},"scopes":["BestEffort","NotBestEffort","Q"],"scopeSelector":{"matchExpressions":[{"scopeName":"Terminating","operator":"In"},{"scopeName":"Z","operator":"Y"},{"scopeName":"PriorityClass","operator":"Exists","values":["a"]}]}}}"#,
        expect![[r#"
        spec.hard[count/pods]: Invalid value: "-1": must be greater than or equal to 0
        spec.hard[pods]: Invalid value: "1500m": must be an integer
        spec.hard[x]: Invalid value: "x": must be a standard resource type or fully qualified
        spec.hard[x]: Invalid value: "x": must be a standard resource for quota
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Q"]: unsupported scope applied to resource
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Q"]: unsupported scope applied to resource
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Q"]: unsupported scope applied to resource
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Q"]: unsupported scope applied to resource
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Q"]: unsupported scope
        spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Q"]: conflicting scopes
        spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"Terminating","Operator":"In","Values":null},{"ScopeName":"Z","Operator":"Y","Values":null},{"ScopeName":"PriorityClass","Operator":"Exists","Values":["a"]}]}: unsupported scope applied to resource
        spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity
        spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector
        spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Z": unsupported scope
        spec.scopeSelector.matchExpressions.operator: Invalid value: "Y": not a valid selector operator
        spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"Terminating","Operator":"In","Values":null},{"ScopeName":"Z","Operator":"Y","Values":null},{"ScopeName":"PriorityClass","Operator":"Exists","Values":["a"]}]}: unsupported scope applied to resource
        spec.scopeSelector.matchExpressions.values: Invalid value: ["a"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector
        warning: ResourceQuota requests.cpu (2) should be less than limits.cpu (1)
    "#]],
    );
}

#[test]
fn replicationcontrollers_create() {
    create(
        "replicationcontrollers",
        r#"{"spec":{"replicas":-1,"minReadySeconds":-1,"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"restartPolicy":"Never","activeDeadlineSeconds":1,"containers":[]}}}}"#,
        expect![[r#"
        spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0
        spec.replicas: Invalid value: -1: must be greater than or equal to 0
        spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`
        spec.template.spec.containers: Required value
        spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
        spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported
    "#]],
    );
}

#[test]
fn endpoints_create() {
    create(
        "endpoints",
        r#"{"subsets":[{"ports":[{"port":0},{"port":1,"name":"A"}]},{"addresses":[{"ip":"127.0.0.1","hostname":"_","nodeName":"_"},{"ip":"x"},{"ip":"224.0.0.1"},{"ip":"::ffff:1.2.3.4"},{"ip":"fe80::1"}]}]}"#,
        expect![[r#"
        subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`
        subsets[0].ports[0].name: Required value
        subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
        subsets[0].ports[1].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        subsets[1].addresses[0].hostname: Invalid value: "_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        subsets[1].addresses[0].nodeName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        subsets[1].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)
        subsets[1].addresses[1].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)
        subsets[1].addresses[1].ip: Invalid value: "x": must be a valid IP address
        subsets[1].addresses[2].ip: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)
        subsets[1].addresses[3].ip: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address
        subsets[1].addresses[4].ip: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)
        warning: subsets[1].addresses[3].ip: non-standard IP address "::ffff:1.2.3.4" is invalid: use "1.2.3.4"
    "#]],
    );
}

#[test]
fn namespaces_create() {
    create(
        "namespaces",
        r#"{"metadata":{"finalizers":["a"]},"spec":{"finalizers":["x","a.b/c","_"]}}"#,
        expect![[r#"
        metadata.finalizers[0]: Invalid value: "a": name is neither a standard finalizer name nor is it fully qualified
        spec.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified
        spec.finalizers: Invalid value: "_": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        spec.finalizers: Invalid value: "_": name is neither a standard finalizer name nor is it fully qualified
    "#]],
    );
}

#[test]
fn persistentvolumes_create() {
    create(
        "persistentvolumes",
        r#"{"metadata":{"annotations":{"volume.beta.kubernetes.io/mount-options":"x"}},"spec":{"capacity":{"cpu":"0"},"accessModes":["X"],"persistentVolumeReclaimPolicy":"Recycle","hostPath":{"path":"/a/.."},"local":{"path":"../a"},"storageClassName":"_","volumeMode":"Q","volumeAttributesClassName":"","nodeAffinity":{}}}"#,
        expect![[r#"
        spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
        spec.capacity: Unsupported value: {"cpu":"0"}: supported values: "storage"
        spec.capacity[cpu]: Invalid value: "0": must be greater than zero
        spec.nodeAffinity.required: Required value: must specify required node constraints
        spec.hostPath.path: Invalid value: "/a/..": must not contain '..'
        spec.local: Forbidden: may not specify more than 1 volume type
        spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'
        spec.storageClassName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.volumeMode: Unsupported value: "Q": supported values: "Block", "Filesystem"
        spec.volumeAttributesClassName: Required value: an empty string is disallowed
        spec.csi: Required value: has to be specified when using volumeAttributesClassName
        metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for this volume type
        warning: metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use "mountOptions" attribute instead
        warning: spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.
    "#]],
    );
}

#[test]
fn persistentvolumes_create2() {
    create(
        "persistentvolumes",
        r#"{"spec":{"capacity":{"storage":"1"},"accessModes":["ReadWriteOnce"],"csi":{"driver":"A_","nodeExpandSecretRef":{"name":"_","namespace":""}}}}"#,
        expect![[r#"
        spec.csi.driver: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.csi.volumeHandle: Required value
        spec.csi.nodeExpandSecretRef.name: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.csi.nodeExpandSecretRef.namespace: Required value
    "#]],
    );
}

#[test]
fn persistentvolumeclaims_create() {
    create(
        "persistentvolumeclaims",
        r#"{"spec":{"accessModes":[],"resources":{"requests":{"storage":"1500m"},"limits":{"storage":"1m"}},"selector":{"matchExpressions":[{"key":"a","operator":"X"}]},"dataSourceRef":{"kind":"X","name":"","apiGroup":"_"},"volumeMode":"Q","storageClassName":"_"}}"#,
        expect![[r#"
        spec.accessModes: Required value: at least 1 access mode is required
        spec.selector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator
        spec.storageClassName: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.volumeMode: Unsupported value: "Q": supported values: "Block", "Filesystem"
        spec.dataSource.name: Required value
        spec.dataSource.apiGroup: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        spec.dataSourceRef.name: Required value
        spec.dataSourceRef.apiGroup: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
        warning: spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer
        warning: spec.resources.limits[storage]: fractional byte value "1m" is invalid, must be an integer
    "#]],
    );
}

#[test]
fn configmaps_create() {
    create(
        "configmaps",
        r#"{"data":{"a b":"c","d":"e"},"binaryData":{"d":"AAEC"}}"#,
        expect![[r#"
        data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
        data[d]: Invalid value: "d": duplicate of key present in binaryData
    "#]],
    );
}

#[test]
fn secrets_create() {
    create(
        "secrets",
        r#"{"type":"kubernetes.io/dockerconfigjson","stringData":{".dockerconfigjson":"[1]"}}"#,
        expect![[r#"
        data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go value of type map[string]interface {}
    "#]],
    );
}

#[test]
fn serviceaccounts_create() {
    create(
        "serviceaccounts",
        r#"{"metadata":{"annotations":{"kubernetes.io/enforce-mountable-secrets":"true"}},"secrets":[{"name":"a","kind":"X"}]}"#,
        expect![[r#"
        warning: metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets
    "#]],
    );
}

/// Bytes of the errors and warnings about an object, on create and on an update of something else.
fn answer_bytes(kind: &str, body: &str) -> usize {
    let (target, mut new) = object(kind, body);
    let (row, context) = (target.row, context(&target));
    row.prepare_create(&context, &mut new);
    let created =
        show(&(row.hooks.validate_create)(&context, &new), &(row.hooks.warn_create)(&context, &new));
    let mut old = new.clone();
    old.object_at("spec").expect("an object").set("hostname", "before");
    let updated = show(&(row.hooks.validate_update)(&context, &new, &old), &[]);
    created.len() + updated.len()
}

#[test]
fn hostile_lists() {
    let list = |n: usize, f: &dyn Fn(usize) -> String| (0..n).map(f).collect::<Vec<_>>().join(",");
    let ports = list(20_000, &|i| format!(r#"{{"containerPort":80,"hostPort":{}}}"#, i + 1));
    let same = list(20_000, &|_| r#"{"containerPort":80}"#.to_owned());
    let capabilities = list(20_000, &|_| r#""CAP_SYS_ADMIN""#.to_owned());
    let claims = list(20_000, &|i| format!(r#"{{"name":"z","request":"r{i}"}}"#));
    let hard = list(20_000, &|i| format!(r#""requests.hugepages-{i}":"1""#));
    let scopes = list(20_000, &|i| format!(r#""s{i}","BestEffort""#));
    let ips = list(20_000, &|i| format!(r#""10.0.{}.{}""#, i / 256, i % 256));
    let limits = r#""securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"add":["#;
    for (kind, body) in [
        ("pods", pod("", &format!(r#""ports":[{ports}]"#))),
        ("pods", pod("", &format!(r#""ports":[{same}]"#))),
        ("pods", pod("", &format!("{limits}{capabilities}]}}}}"))),
        ("pods", pod("", &format!(r#""resources":{{"claims":[{claims}]}}"#))),
        ("resourcequotas", format!(r#"{{"spec":{{"hard":{{{hard}}},"scopes":[{scopes}]}}}}"#)),
        ("services", format!(r#"{{"spec":{{"clusterIPs":[{ips}],"externalIPs":[{ips}]}}}}"#)),
    ] {
        let bytes = answer_bytes(kind, &body);
        assert!(bytes < 30 << 20, "{bytes} bytes about {} of a {kind}", body.len());
    }
}
