//! What an operator may set besides: options of `kube-apiserver` that are a number or a range each, with upstream's
//! defaults (`pkg/controlplane/apiserver/options`, `apiserver/pkg/server/config.go`).

use std::fmt;
use std::time::Duration;

/// A port is one of 16 bits.
const PORT_MAX: i64 = 65_535;

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--service-node-port-range`: whence Services get their node ports.
    pub node_ports: PortRange,
    /// `--event-ttl`: how long an Event is kept; zero for ever.
    pub event_ttl: Duration,
    /// `--request-timeout`: how long a request may take, unless it runs for long by nature.
    pub request_timeout: Duration,
    /// `--default-not-ready-toleration-seconds`: how long a pod stays on a node that is not ready.
    pub not_ready_toleration_seconds: i64,
    /// `--default-unreachable-toleration-seconds`: how long a pod stays on a node that nobody hears of.
    pub unreachable_toleration_seconds: i64,
    /// `--service-account-jwks-uri`: where the description of the issuer says that its keys are; `None` for this server.
    pub jwks_uri: Option<String>,
    /// `--service-account-max-token-expiration`: the longest life of a token that somebody asks for.
    pub token_expiration_max_seconds: Option<i64>,
    /// `--service-account-extend-token-expiration`: tokens in pods live for a year.
    pub extends_token_expiration: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_ports: PortRange { first: 30_000, last: 32_767 },
            event_ttl: Duration::from_secs(3_600),
            request_timeout: Duration::from_secs(60),
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
            jwks_uri: None,
            token_expiration_max_seconds: None,
            extends_token_expiration: true,
        }
    }
}

/// Ports from one to another, both included. It is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: i64,
    last: i64,
}

impl PortRange {
    /// Reads `30000-32767`, `30000+2767` (the number of ports that follow) or `30000`
    /// (`apimachinery/pkg/util/net/port_range.go`).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.trim().parse::<u32>() {
            Ok(number) => Ok(i64::from(number)),
            Err(error) => Err(format!("{text:?} is no number of a port: {error}")),
        };
        let text = text.trim();
        let (first, last) = if let Some((first, more)) = text.split_once('+') {
            let first = number(first)?;
            // Upstream ends the range at the last port.
            (first, (first + number(more)?).min(PORT_MAX))
        } else if let Some((first, last)) = text.split_once('-') {
            (number(first)?, number(last)?)
        } else {
            (number(text)?, number(text)?)
        };
        if first > PORT_MAX || last > PORT_MAX {
            return Err(format!("the port range cannot be greater than {PORT_MAX}: {text}"));
        }
        if last < first {
            return Err(format!("end port cannot be less than start port: {text}"));
        }
        if first == 0 {
            return Err(format!("there is no port 0: {text}"));
        }
        Ok(Self { first, last })
    }

    /// The first port.
    pub const fn first(self) -> i64 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> i64 {
        self.last
    }

    /// Whether a port is of it.
    pub const fn contains(self, port: i64) -> bool {
        self.first <= port && port <= self.last
    }

    /// How many ports at its beginning are left for people to choose from, so that the server takes them last
    /// (KEP-3668): a 32nd of them, at least 16 and at most 128; none of a range of 16 or fewer.
    pub fn static_ports(self) -> i64 {
        let ports = self.last - self.first + 1;
        if ports <= 16 { 0 } else { (ports / 32).clamp(16, 128) }
    }
}

impl fmt::Display for PortRange {
    /// As a RangeAllocation has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports() {
        for (text, read, static_ports) in [
            ("30000-32767", "30000-32767", 86),
            (" 80 - 32767 ", "80-32767", 128),
            ("30000+100", "30000-30100", 16),
            ("65000+1000", "65000-65535", 16),
            ("1-16", "1-16", 0),
            ("1-17", "1-17", 16),
            ("443", "443-443", 0),
        ] {
            let range = PortRange::parse(text).unwrap();
            assert_eq!((range.to_string().as_str(), range.static_ports()), (read, static_ports), "{text}");
            assert!(range.contains(range.first()) && range.contains(range.last()), "{text}");
            assert!(!range.contains(range.first() - 1) && !range.contains(range.last() + 1), "{text}");
        }
        for (text, error) in [
            ("", "\"\" is no number of a port: cannot parse integer from empty string"),
            ("a-b", "\"a\" is no number of a port: invalid digit found in string"),
            ("-5", "\"\" is no number of a port: cannot parse integer from empty string"),
            ("1-2-3", "\"2-3\" is no number of a port: invalid digit found in string"),
            (
                "1-99999999999",
                "\"99999999999\" is no number of a port: number too large to fit in target type",
            ),
            ("1-65536", "the port range cannot be greater than 65535: 1-65536"),
            ("2-1", "end port cannot be less than start port: 2-1"),
            ("0-10", "there is no port 0: 0-10"),
        ] {
            assert_eq!(PortRange::parse(text), Err(error.to_owned()), "{text}");
        }
    }
}
