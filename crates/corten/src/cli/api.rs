//! Options of the API server that are a number, a range or a name each: `kube-apiserver`'s.

use anyhow::{Result, ensure};
use apiserver::settings::{PortRange, Settings};
use auth::Anonymous;
use clap::{ArgAction, Args};
use http::Uri;
use std::time::Duration;

/// The shortest and the longest `--service-account-max-token-expiration`
/// (`pkg/controlplane/apiserver/options/options.go`).
const TOKEN_EXPIRATION: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_secs(1 << 32));

/// What the API server may be told besides.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApiArgs {
    /// Ports that Services of type NodePort get theirs of; a node's own programs must not use them
    #[arg(long, default_value = "30000-32767", value_parser = PortRange::parse)]
    service_node_port_range: PortRange,
    /// How long events are kept; 0 for ever
    #[arg(long, default_value = "1h0m0s", value_parser = duration)]
    event_ttl: Duration,
    /// How long a request may take, unless it is one that runs for long by nature, such as a watch
    #[arg(long, default_value = "1m0s", value_parser = duration)]
    request_timeout: Duration,
    /// How long pods that do not say otherwise stay on a node that is not ready
    #[arg(long, default_value_t = 300)]
    default_not_ready_toleration_seconds: i64,
    /// How long pods that do not say otherwise stay on a node that nobody hears of
    #[arg(long, default_value_t = 300)]
    default_unreachable_toleration_seconds: i64,
    /// Requests without credentials are of the user `system:anonymous`; else they are refused
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    anonymous_auth: bool,
    /// Who issues tokens of service accounts: an https URL; of several the first issues, all are believed. If unset, it
    /// is the Service `kubernetes` by its name
    #[arg(long, value_delimiter = ',')]
    service_account_issuer: Vec<String>,
    /// Where the issuer's keys are, for those who read its description; if unset, at this server
    #[arg(long, value_name = "URL")]
    service_account_jwks_uri: Option<String>,
    /// The longest life of a token that somebody asks for
    #[arg(long, value_parser = duration)]
    service_account_max_token_expiration: Option<Duration>,
    /// Tokens in pods live for a year, so that programs that read them once go on
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    service_account_extend_token_expiration: bool,
    /// Audiences of tokens that this server answers to; if unset, the issuers
    #[arg(long, value_delimiter = ',')]
    api_audiences: Vec<String>,
}

impl ApiArgs {
    /// Refuses what no server can go by.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.request_timeout.is_zero(), "invalid --request-timeout 0: no request could be answered");
        for (option, seconds) in [
            ("--default-not-ready-toleration-seconds", self.default_not_ready_toleration_seconds),
            ("--default-unreachable-toleration-seconds", self.default_unreachable_toleration_seconds),
        ] {
            ensure!(seconds >= 0, "invalid {option} {seconds}: it cannot be negative");
        }
        for (i, issuer) in self.service_account_issuer.iter().enumerate() {
            ensure!(!issuer.is_empty(), "invalid --service-account-issuer: it should not be an empty string");
            let before = self.service_account_issuer.iter().take(i);
            ensure!(
                before.into_iter().all(|other| other != issuer),
                "invalid --service-account-issuer: {issuer} is already specified"
            );
        }
        // Of those that issue no more, tokens of old are believed, whatever they are called.
        if let Some(issuer) = self.service_account_issuer.first() {
            ensure!(
                is_https(issuer) && !issuer.contains(['?', '#']),
                "invalid --service-account-issuer {issuer}: others could not find its keys, it must be an https URL \
                 without query and fragment"
            );
        }
        if let Some(uri) = &self.service_account_jwks_uri {
            ensure!(is_https(uri), "invalid --service-account-jwks-uri {uri}: it must be an https URL");
        }
        let (least, most) = TOKEN_EXPIRATION;
        ensure!(
            self.service_account_max_token_expiration.is_none_or(|max| least <= max && max <= most),
            "invalid --service-account-max-token-expiration: it must be between 1 hour and 2^32 seconds"
        );
        Ok(())
    }

    /// The numbers and ranges.
    pub(crate) fn settings(&self) -> Settings {
        let seconds = |life: Duration| i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
        Settings {
            node_ports: self.service_node_port_range,
            event_ttl: self.event_ttl,
            request_timeout: self.request_timeout,
            not_ready_toleration_seconds: self.default_not_ready_toleration_seconds,
            unreachable_toleration_seconds: self.default_unreachable_toleration_seconds,
            jwks_uri: self.service_account_jwks_uri.clone(),
            token_expiration_max_seconds: self.service_account_max_token_expiration.map(seconds),
            extends_token_expiration: self.service_account_extend_token_expiration,
        }
    }

    /// Who issues tokens, first, and whose are believed; `usual` if nobody was named.
    pub(crate) fn issuers(&self, usual: String) -> Vec<String> {
        if self.service_account_issuer.is_empty() { vec![usual] } else { self.service_account_issuer.clone() }
    }

    /// The audiences that the server answers to.
    pub(crate) fn audiences(&self, issuers: &[String]) -> Vec<String> {
        if self.api_audiences.is_empty() { issuers.to_vec() } else { self.api_audiences.clone() }
    }

    /// Who may come without credentials.
    pub(crate) fn anonymous(&self) -> Anonymous {
        if self.anonymous_auth { Anonymous::Everywhere } else { Anonymous::Nowhere }
    }
}

fn is_https(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some())
}

/// Go's form: `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let nanos = meta::time::Duration::parse(text).map_err(|error| error.to_string())?.nanos();
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| "it cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    fn parse(words: &[&str]) -> Result<ApiArgs> {
        let command = ApiArgs::augment_args(Command::new("corten").no_binary_name(true));
        let args = ApiArgs::from_arg_matches(&command.try_get_matches_from(words)?)?;
        args.check().map(|()| args)
    }

    #[test]
    fn the_usual_is_upstreams() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.settings(), Settings::default());
        assert_eq!(args.issuers("https://a".into()), ["https://a"]);
        assert_eq!(args.audiences(&["https://a".into()]), ["https://a"]);
        assert!(matches!(args.anonymous(), Anonymous::Everywhere));
    }

    #[test]
    fn what_is_told_counts() {
        let args = parse(&[
            "--service-node-port-range=80-90",
            "--event-ttl=15m",
            "--default-not-ready-toleration-seconds=0",
            "--anonymous-auth=false",
            "--service-account-issuer=https://b/c,kubernetes/serviceaccount",
            "--service-account-issuer=https://a",
            "--service-account-max-token-expiration=24h",
            "--service-account-extend-token-expiration=false",
            "--api-audiences=x,y",
        ])
        .unwrap();
        let settings = args.settings();
        assert_eq!(settings.node_ports.to_string(), "80-90");
        assert_eq!(settings.event_ttl, Duration::from_secs(900));
        assert_eq!(settings.not_ready_toleration_seconds, 0);
        assert_eq!(settings.token_expiration_max_seconds, Some(86_400));
        assert!(!settings.extends_token_expiration);
        let issuers = args.issuers("https://usual".into());
        assert_eq!(issuers, ["https://b/c", "kubernetes/serviceaccount", "https://a"]);
        assert_eq!(args.audiences(&issuers), ["x", "y"]);
        assert!(matches!(args.anonymous(), Anonymous::Nowhere));
    }

    #[test]
    fn what_no_server_can_go_by() {
        for (option, why) in [
            ("--service-node-port-range=9-8", "end port cannot be less than start port: 9-8"),
            ("--event-ttl=1", "time: missing unit in duration \"1\""),
            ("--event-ttl=-1h", "it cannot be negative"),
            ("--request-timeout=0", "no request could be answered"),
            ("--default-unreachable-toleration-seconds=-1", "it cannot be negative"),
            ("--service-account-issuer=http://a", "it must be an https URL"),
            ("--service-account-issuer=https://a?b", "without query and fragment"),
            ("--service-account-issuer=https://a,", "it should not be an empty string"),
            ("--service-account-issuer=https://a,https://a", "https://a is already specified"),
            ("--service-account-jwks-uri=a", "it must be an https URL"),
            ("--service-account-max-token-expiration=59m", "between 1 hour and 2^32 seconds"),
        ] {
            let error = parse(&[option]).unwrap_err().to_string();
            assert!(error.contains(why), "{option}: {error}");
        }
    }
}
