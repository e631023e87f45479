//! Which controllers run (`--controllers`).
//!
//! Upstream: `k8s.io/controller-manager/options/generic.go`, `app/helper.go`; the older names are those of
//! `cmd/kube-controller-manager/app`.

use anyhow::{Result, ensure};

/// What controllers were called before Kubernetes 1.28, and may still be.
const ALIASES: [(&str, &str); 33] = [
    ("bootstrapsigner", "bootstrap-signer-controller"),
    ("clusterrole-aggregation", "clusterrole-aggregation-controller"),
    ("cronjob", "cronjob-controller"),
    ("csrapproving", "certificatesigningrequest-approving-controller"),
    ("csrcleaner", "certificatesigningrequest-cleaner-controller"),
    ("csrsigning", "certificatesigningrequest-signing-controller"),
    ("daemonset", "daemonset-controller"),
    ("deployment", "deployment-controller"),
    ("disruption", "disruption-controller"),
    ("endpoint", "endpoints-controller"),
    ("endpointslice", "endpointslice-controller"),
    ("endpointslicemirroring", "endpointslice-mirroring-controller"),
    ("ephemeral-volume", "ephemeral-volume-controller"),
    ("garbagecollector", "garbage-collector-controller"),
    ("horizontalpodautoscaling", "horizontal-pod-autoscaler-controller"),
    ("job", "job-controller"),
    ("namespace", "namespace-controller"),
    ("nodeipam", "node-ipam-controller"),
    ("nodelifecycle", "node-lifecycle-controller"),
    ("persistentvolume-binder", "persistentvolume-binder-controller"),
    ("podgc", "pod-garbage-collector-controller"),
    ("pv-protection", "persistentvolume-protection-controller"),
    ("pvc-protection", "persistentvolumeclaim-protection-controller"),
    ("replicaset", "replicaset-controller"),
    ("replicationcontroller", "replicationcontroller-controller"),
    ("resourcequota", "resourcequota-controller"),
    ("root-ca-cert-publisher", "root-ca-certificate-publisher-controller"),
    ("serviceaccount", "serviceaccount-controller"),
    ("serviceaccount-token", "serviceaccount-token-controller"),
    ("statefulset", "statefulset-controller"),
    ("tokencleaner", "token-cleaner-controller"),
    ("ttl", "ttl-controller"),
    ("ttl-after-finished", "ttl-after-finished-controller"),
];

fn names() -> impl Iterator<Item = &'static str> {
    let rows = controllers::workloads::controllers().iter().chain(controllers::cluster::controllers());
    rows.map(|row| row.name)
}

/// Today's name.
fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// Refuses names that no controller has.
pub(crate) fn check(given: &[String]) -> Result<()> {
    for name in given.iter().map(|name| name.strip_prefix('-').unwrap_or(name)).filter(|name| *name != "*") {
        ensure!(
            names().any(|known| known == canonical(name)),
            "invalid --controllers: {name:?} is not in the list of known controllers"
        );
    }
    Ok(())
}

/// Those that do not run. Of what is said of one, the first counts.
pub(crate) fn without(given: &[String]) -> Vec<String> {
    let runs = |name: &str| {
        let said = given.iter().find_map(|word| match word.strip_prefix('-') {
            Some(other) => (canonical(other) == name).then_some(false),
            None => (canonical(word) == name).then_some(true),
        });
        said.unwrap_or_else(|| given.iter().any(|word| word == "*"))
    };
    names().filter(|name| !runs(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn names_are_known() {
        for (_, name) in ALIASES {
            assert!(names().any(|known| known == name), "{name}");
        }
        for good in ["*", "*,-ttl", "deployment-controller,replicaset", "*,bootstrapsigner,tokencleaner"] {
            assert!(check(&words(good)).is_ok(), "{good}");
        }
        for (bad, name) in [("foo", "foo"), ("*,-foo", "foo"), ("job,Job", "Job")] {
            let error = check(&words(bad)).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("\"{name}\" is not in the list of known controllers")),
                "{error}"
            );
        }
    }

    #[test]
    fn which_run() {
        let all = names().count();
        assert_eq!(without(&words("*")), Vec::<String>::new());
        assert_eq!(without(&words("*,-ttl,-job-controller")), ["job-controller", "ttl-controller"]);
        assert_eq!(without(&words("job,cronjob-controller")).len(), all - 2);
        assert_eq!(without(&words("-job,*,job")), ["job-controller"]);
        assert_eq!(without(&words("-job")).len(), all);
    }
}
