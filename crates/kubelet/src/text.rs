//! Texts in the form in which Go prints them, because users and tests compare them.

use std::io;
use std::net::IpAddr;

use jiff::SignedDuration;

/// A duration as Go prints it, for whole milliseconds: `10s`, `2m40s`, `5m0s`, `1h0m0s`, `500ms`.
pub(crate) fn go_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let millis = duration.subsec_millis();
    if seconds == 0 && millis != 0 {
        return format!("{millis}ms");
    }
    let fraction =
        if millis == 0 { String::new() } else { format!(".{millis:03}").trim_end_matches('0').to_owned() };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

/// A slice of texts as Go's `%s` prints it: `[a b]`.
pub(crate) fn go_slice(items: &[String]) -> String {
    format!("[{}]", items.join(" "))
}

/// An error of the system as Go prints it: `connection refused`. Go's table is the C library's, in lower case.
pub(crate) fn go_error(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    let text = error.to_string();
    text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text).to_lowercase()
}

/// Host and port as an URL has them: brackets around IPv6.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system() {
        let cases = [
            (111, "connection refused"),
            (113, "no route to host"),
            (101, "network is unreachable"),
            (104, "connection reset by peer"),
            (110, "connection timed out"),
            (22, "invalid argument"),
        ];
        for (number, expected) in cases {
            assert_eq!(go_error(&io::Error::from_raw_os_error(number)), expected);
        }
        assert_eq!(go_error(&io::Error::other("As it is")), "As it is");
    }

    #[test]
    fn durations() {
        let cases = [
            (10_000, "10s"),
            (160_000, "2m40s"),
            (300_000, "5m0s"),
            (3_600_000, "1h0m0s"),
            (500, "500ms"),
            (1500, "1.5s"),
            (0, "0s"),
        ];
        for (millis, expected) in cases {
            assert_eq!(go_duration(SignedDuration::from_millis(millis)), expected);
        }
    }
}
