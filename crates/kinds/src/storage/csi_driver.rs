//! CSIDriver.

use crate::check;
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |_, d| {
        if let Some(spec) = d.object_at("spec") {
            spec.remove("preventPodSchedulingIfMissing");
        }
    },
    prepare_update: |_, new, old| {
        // Behind a gate that is off; who has it keeps it.
        if old.at("spec").at("preventPodSchedulingIfMissing").is_null()
            && let Some(spec) = new.object_at("spec")
        {
            spec.remove("preventPodSchedulingIfMissing");
        }
    },
    validate_create: |_, d| validate(d),
    validate_update: |_, new, old| {
        let mut errors = validate(new);
        let (new, old) = (new.at("spec"), old.at("spec"));
        let path = Path::new("spec");
        for (name, shown) in
            [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
        {
            check::immutable(new.at(name), old.at(name), &path.child(shown), &mut errors);
        }
        errors
    },
    warn_create: |_, d| token_warning(d),
    warn_update: |_, new, old| {
        let requests = |v: &Value| v.at("spec").at("tokenRequests").clone();
        if semantic_equal(&requests(new), &requests(old)) { Vec::new() } else { token_warning(new) }
    },
    ..Hooks::NONE
};

fn default(driver: &mut Value) {
    let Some(spec) = driver.object_at("spec") else { return };
    check::default(spec, "attachRequired", true);
    check::default(spec, "podInfoOnMount", false);
    check::default(spec, "storageCapacity", false);
    check::default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.at("volumeLifecycleModes").is_empty() {
        spec.set("volumeLifecycleModes", vec!["Persistent"]);
    }
    check::default(spec, "requiresRepublish", false);
    check::default(spec, "seLinuxMount", false);
}

/// Upstream's bounds.
const TOKEN_MIN_SECONDS: i64 = 600;
const TOKEN_MAX_SECONDS: i64 = 1 << 32;
const UPDATE_PERIOD_MIN_SECONDS: i64 = 10;

fn validate(driver: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (driver.at("spec"), Path::new("spec"));
    let required = |name: &str, shown: &str, errors: &mut ErrorList| {
        if spec.at(name).is_null() {
            errors.push(Error::required(&path.child(shown), ""));
        }
    };
    required("attachRequired", "attachedRequired", &mut errors);
    required("podInfoOnMount", "podInfoOnMount", &mut errors);
    required("storageCapacity", "storageCapacity", &mut errors);
    let policy = spec.at("fsGroupPolicy");
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    if !policy.is_null() && !policies.contains(&policy.str()) {
        errors.push(Error::not_supported_in_order(&path.child("fsGroupPolicy"), policy.clone(), &policies));
    }
    let requests = spec.at("tokenRequests").items();
    validate_tokens(requests, &path.child("tokenRequests"), &mut errors);
    for mode in spec.at("volumeLifecycleModes").items() {
        if !["Persistent", "Ephemeral"].contains(&mode.str()) {
            let path = path.child("volumeLifecycleModes");
            let known = ["Persistent", "Ephemeral"];
            errors.push(Error::not_supported_in_order(&path, mode.clone(), &known));
        }
    }
    required("seLinuxMount", "seLinuxMount", &mut errors);
    let period = spec.at("nodeAllocatableUpdatePeriodSeconds");
    if !period.is_null() && period.int() < UPDATE_PERIOD_MIN_SECONDS {
        let path = path.child("nodeAllocatableUpdatePeriodSeconds");
        errors.push(Error::invalid(&path, period.clone(), "must be greater than or equal to 10 seconds"));
    }
    let in_secrets = spec.at("serviceAccountTokenInSecrets");
    if !in_secrets.is_null() && requests.is_empty() {
        let path = path.child("serviceAccountTokenInSecrets");
        let text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(Error::invalid(&path, in_secrets.clone(), text));
    }
    errors
}

fn validate_tokens(requests: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    let mut audiences = HashSet::new();
    for (i, request) in requests.iter().enumerate() {
        let path = path.index(i);
        let audience = request.at("audience").str();
        if !audiences.insert(audience) {
            errors.push(Error::duplicate(&path.child("audience"), audience));
            continue;
        }
        let (seconds, path) = (request.at("expirationSeconds"), path.child("expirationSeconds"));
        if seconds.is_null() {
            continue;
        }
        if seconds.int() < TOKEN_MIN_SECONDS {
            let text = "may not specify a duration less than 10 minutes";
            errors.push(Error::invalid(&path, seconds.clone(), text));
        }
        if seconds.int() > TOKEN_MAX_SECONDS {
            let text = "may not specify a duration larger than 2^32 seconds";
            errors.push(Error::invalid(&path, seconds.clone(), text));
        }
    }
}

fn token_warning(driver: &Value) -> Vec<String> {
    let spec = driver.at("spec");
    if spec.at("tokenRequests").is_empty() || !spec.at("serviceAccountTokenInSecrets").is_null() {
        return Vec::new();
    }
    vec![
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent \
         possible logging of tokens in volume attributes"
            .into(),
    ]
}
