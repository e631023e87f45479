//! Which secrets a pod names, and which of them its service account lets it.

use crate::admission::{Attributes, objects};
use meta::status::Status;
use value::Value;

/// Mirror pods stand for what runs anyway: they name no accounts and no secrets.
pub(super) fn check_mirror(a: &Attributes, pod: &Value) -> Result<(), Status> {
    let spec = pod.at("spec");
    if !spec.at("serviceAccountName").str().is_empty() {
        return Err(a.forbidden("a mirror pod may not reference service accounts"));
    }
    if names_secrets(spec) {
        return Err(a.forbidden("a mirror pod may not reference secrets"));
    }
    let projects_token = |v: &Value| {
        v.at("projected").at("sources").items().iter().any(|s| !s.at("serviceAccountToken").is_null())
    };
    if spec.at("volumes").items().iter().any(projects_token) {
        return Err(a.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

fn names_secrets(spec: &Value) -> bool {
    let in_env = |c: &Value| {
        c.at("env").items().iter().any(|e| !e.at("valueFrom").at("secretKeyRef").is_null())
            || c.at("envFrom").items().iter().any(|e| !e.at("secretRef").is_null())
    };
    let in_volume = |v: &Value| {
        !v.at("secret").is_null()
            || !v.at("azureFile").is_null()
            || ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"]
                .iter()
                .any(|source| !v.at(source).at("secretRef").is_null())
            || !v.at("csi").at("nodePublishSecretRef").is_null()
            || v.at("projected").at("sources").items().iter().any(|s| !s.at("secret").is_null())
    };
    !spec.at("imagePullSecrets").items().is_empty()
        || objects::containers(spec).any(in_env)
        || spec.at("volumes").items().iter().any(in_volume)
}

/// Refuses a pod that names secrets its account does not list.
pub(super) fn check_pod(pod: &Value, account: &Value) -> Result<(), String> {
    let spec = pod.at("spec");
    let name = account.at("metadata").at("name").str();
    for volume in spec.at("volumes").items() {
        let secret = volume.at("secret");
        let wanted = secret.at("secretName").str();
        if !secret.is_null() && !lists(account, "secrets", wanted) {
            return Err(format!(
                "volume with secret.secretName=\"{wanted}\" is not allowed because service account {name} does not reference that secret"
            ));
        }
    }
    check_env(spec.at("initContainers"), "init container", account)?;
    check_env(spec.at("containers"), "container", account)?;
    for (i, pull) in spec.at("imagePullSecrets").items().iter().enumerate() {
        let wanted = pull.at("name").str();
        if !lists(account, "imagePullSecrets", wanted) {
            return Err(format!(
                "imagePullSecrets[{i}].name=\"{wanted}\" is not allowed because service account {name} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

/// The same for containers that are added to a running pod.
pub(super) fn check_ephemeral(pod: &Value, account: &Value) -> Result<(), String> {
    check_env(pod.at("spec").at("ephemeralContainers"), "ephemeral container", account)
}

fn lists(account: &Value, field: &str, name: &str) -> bool {
    account.at(field).items().iter().any(|s| s.at("name").str() == name)
}

fn check_env(containers: &Value, kind: &str, account: &Value) -> Result<(), String> {
    let account_name = account.at("metadata").at("name").str();
    for container in containers.items() {
        let name = container.at("name").str();
        for env in container.at("env").items() {
            let secret = env.at("valueFrom").at("secretKeyRef");
            let wanted = secret.at("name").str();
            if !secret.is_null() && !lists(account, "secrets", wanted) {
                return Err(format!(
                    "{kind} {name} with envVar {} referencing secret.secretName=\"{wanted}\" is not allowed because service account {account_name} does not reference that secret",
                    env.at("name").str()
                ));
            }
        }
        for source in container.at("envFrom").items() {
            let secret = source.at("secretRef");
            let wanted = secret.at("name").str();
            if !secret.is_null() && !lists(account, "secrets", wanted) {
                return Err(format!(
                    "{kind} {name} with envFrom referencing secret.secretName=\"{wanted}\" is not allowed because service account {account_name} does not reference that secret"
                ));
            }
        }
    }
    Ok(())
}
