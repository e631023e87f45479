//! PriorityLevelConfiguration.

use crate::check;
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use value::{Value, json};

pub(super) const HOOKS: Hooks = Hooks {
    default,
    validate_create: |_, level| validate(level),
    validate_update: |_, level, _| validate(level),
    ..super::COMMON
};

const FORBIDDEN_ANNOTATION: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

/// Upstream's bounds.
const QUEUES_MAX: i64 = 10_000_000;
const HASH_BITS_MAX: i64 = 60;

fn default(level: &mut Value) {
    let Some(spec) = level.object_at("spec") else { return };
    if let Some(exempt) = spec.get_mut("exempt").filter(|v| !v.is_null()) {
        check::default(exempt, "nominalConcurrencyShares", 0);
        check::default(exempt, "lendablePercent", 0);
    }
    let Some(limited) = spec.get_mut("limited").filter(|v| !v.is_null()) else { return };
    check::default(limited, "nominalConcurrencyShares", 30);
    check::default(limited, "lendablePercent", 0);
    let queuing = limited.get_mut("limitResponse").and_then(|r| r.get_mut("queuing"));
    if let Some(queuing) = queuing.filter(|q| !q.is_null()) {
        for (name, n) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
            if queuing.at(name).int() == 0 {
                queuing.set(name, n);
            }
        }
    }
}

fn validate(level: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let metadata = level.at("metadata");
    if metadata.at("annotations").get(FORBIDDEN_ANNOTATION).is_some() {
        let path = Path::new("metadata");
        let text = format!("annotation '{FORBIDDEN_ANNOTATION}' is forbidden");
        errors.push(Error::forbidden(&path.child("annotations"), text));
    }
    let (spec, path) = (level.at("spec"), Path::new("spec"));
    let name = metadata.at("name").str();
    validate_spec(name, spec, &path, &mut errors);
    validate_mandatory(name, spec, &path, &mut errors);
    super::validate_status(level.at("status"), &mut errors);
    errors
}

fn validate_spec(name: &str, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = spec.at("type").str();
    if (name == "exempt") != (kind == "Exempt") {
        let text = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(Error::invalid(&path.child("type"), kind, text));
    }
    let (limited, exempt) = (spec.at("limited"), spec.at("exempt"));
    let (limited_path, exempt_path) = (path.child("limited"), path.child("exempt"));
    match kind {
        "Exempt" => {
            if !limited.is_null() {
                errors.push(Error::forbidden(&limited_path, "must be nil if the type is not Limited"));
            }
            validate_shares(exempt, &exempt_path, errors);
            validate_lendable(exempt, &exempt_path, errors);
        }
        "Limited" => {
            if !exempt.is_null() {
                errors.push(Error::forbidden(&exempt_path, "must be nil if the type is Limited"));
            }
            if limited.is_null() {
                errors.push(Error::required(&limited_path, "must not be empty when type is Limited"));
            } else {
                validate_limited(limited, &limited_path, errors);
            }
        }
        _ => {
            let known = ["Exempt", "Limited"];
            errors.push(Error::not_supported_in_order(&path.child("type"), kind, &known));
        }
    }
}

fn validate_shares(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let shares = v.at("nominalConcurrencyShares");
    if shares.int() < 0 {
        let path = path.child("nominalConcurrencyShares");
        errors.push(Error::invalid(&path, shares.clone(), "must be a non-negative integer"));
    }
}

fn validate_lendable(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let percent = v.at("lendablePercent");
    if !(0..=100).contains(&percent.int()) {
        let text = "must be between 0 and 100, inclusive";
        errors.push(Error::invalid(&path.child("lendablePercent"), percent.clone(), text));
    }
}

fn validate_limited(limited: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    validate_shares(limited, path, errors);
    let (response, response_path) = (limited.at("limitResponse"), path.child("limitResponse"));
    let (queuing, queuing_path) = (response.at("queuing"), response_path.child("queuing"));
    match response.at("type").str() {
        "Reject" => {
            if !queuing.is_null() {
                let text = "must be nil if limited.limitResponse.type is not Limited";
                errors.push(Error::forbidden(&queuing_path, text));
            }
        }
        "Queue" => {
            if queuing.is_null() {
                let text = "must not be empty if limited.limitResponse.type is Limited";
                errors.push(Error::required(&queuing_path, text));
            } else {
                validate_queuing(queuing, &queuing_path, errors);
            }
        }
        other => {
            let known = ["Queue", "Reject"];
            errors.push(Error::not_supported_in_order(&response_path.child("type"), other, &known));
        }
    }
    validate_lendable(limited, path, errors);
    let borrowing = limited.at("borrowingLimitPercent");
    if borrowing.int() < 0 {
        let text = "if specified, must be a non-negative integer";
        errors.push(Error::invalid(&path.child("borrowingLimitPercent"), borrowing.clone(), text));
    }
}

fn validate_queuing(queuing: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let n = |name: &str| queuing.at(name).int();
    let mut refuse = |name: &str, text: String| errors.push(Error::invalid(&path.child(name), n(name), text));
    if n("queueLengthLimit") <= 0 {
        refuse("queueLengthLimit", "must be positive".into());
    }
    let (queues, hand) = (n("queues"), n("handSize"));
    if queues <= 0 {
        refuse("queues", "must be positive".into());
    } else if queues > QUEUES_MAX {
        refuse("queues", format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand <= 0 {
        refuse("handSize", "must be positive".into());
    } else if hand > queues {
        refuse("handSize", format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS_MAX as f64 {
        refuse(
            "handSize",
            format!(
                "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than \
                 {HASH_BITS_MAX}"
            ),
        );
    }
}

/// How many bits of a hash shuffle sharding takes.
fn entropy_bits(deck: i64, hand: i64) -> f64 {
    ((deck as f64).log2() * hand as f64).ceil()
}

fn validate_mandatory(name: &str, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let text = match name {
        "exempt" => {
            // Its shares may be set.
            let mut rest = spec.clone();
            rest.remove("exempt");
            if semantic_equal(&rest, &constant(r#"{"type":"Exempt"}"#)) {
                return;
            }
            "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
        }
        "catch-all" => {
            let fixed = r#"{"type":"Limited","limited":{"nominalConcurrencyShares":5,"lendablePercent":0,"limitResponse":{"type":"Reject"}}}"#;
            if semantic_equal(spec, &constant(fixed)) {
                return;
            }
            "spec of 'catch-all' must equal the fixed value"
        }
        _ => return,
    };
    errors.push(internal::invalid(path, "flowcontrol.PriorityLevelConfigurationSpec", spec, text));
}

fn constant(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("a constant of this file is valid JSON")
}
