//! A webhook of a configuration, ready to be called.

use crate::admission::compiled::Objects;
use crate::admission::expressions::Conditions;
use crate::admission::matching::Match;
use crate::webhook::Endpoint;
use std::time::Duration;
use value::{Str, Value};

/// How long a webhook has when its configuration does not say, as upstream's default.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Hook {
    pub(super) configuration: Str,
    pub(super) name: Str,
    /// Configuration, name and place: unique among the webhooks of one kind.
    pub(super) uid: String,
    pub(super) matches: Match,
    pub(super) conditions: Conditions,
    pub(super) ignores_failure: bool,
    pub(super) timeout: Duration,
    /// Whether it may be asked in a dry run.
    pub(super) allows_dry_run: bool,
    pub(super) reinvoked_if_needed: bool,
    /// The version of AdmissionReview that it is sent: the first one of its list that is known.
    pub(super) review_version: Option<&'static str>,
    pub(super) endpoint: Result<Endpoint, String>,
}

/// All webhooks of all configurations, in order.
pub(super) fn compile(objects: &Objects) -> Vec<Hook> {
    let configurations = objects.iter().flatten();
    configurations
        .flat_map(|configuration| {
            let name = configuration.at("metadata").at("name").str();
            let hooks = configuration.at("webhooks").items().iter().enumerate();
            hooks.map(move |(i, webhook)| hook(name, i, webhook))
        })
        .collect()
}

fn hook(configuration: &str, place: usize, webhook: &Value) -> Hook {
    let name = webhook.at("name").str();
    let seconds = webhook.at("timeoutSeconds").as_i64().and_then(|s| u64::try_from(s).ok());
    let versions = webhook.at("admissionReviewVersions").items().iter().map(Value::str);
    Hook {
        configuration: configuration.into(),
        name: name.into(),
        uid: format!("{configuration}/{name}/{place}"),
        matches: Match::of_webhook(webhook),
        conditions: Conditions::new(webhook.at("matchConditions"), false, None),
        ignores_failure: webhook.at("failurePolicy").str() == "Ignore",
        timeout: seconds.filter(|s| *s > 0).map_or(TIMEOUT, Duration::from_secs),
        allows_dry_run: matches!(webhook.at("sideEffects").str(), "None" | "NoneOnDryRun"),
        reinvoked_if_needed: webhook.at("reinvocationPolicy").str() == "IfNeeded",
        review_version: versions
            .filter_map(|v| ["v1", "v1beta1"].into_iter().find(|known| *known == v))
            .next(),
        endpoint: Endpoint::new(webhook.at("clientConfig")),
    }
}
