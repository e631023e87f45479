//! What the labels of a namespace ask for.
//!
//! Upstream: `k8s.io/pod-security-admission/api`.

use meta::field::{Error, ErrorList, Path};
use std::fmt;
use value::Value;

const PREFIX: &str = "pod-security.kubernetes.io/";
/// The newest rules: later versions are checked like this one, as `latest` is.
const NEWEST_MINOR: u64 = 36;

/// How much is forbidden. Ordered: more is forbidden further down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// Which edition of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Latest,
    Minor(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LevelVersion {
    pub(super) level: Level,
    pub(super) version: Version,
}

impl LevelVersion {
    const PRIVILEGED: Self = Self { level: Level::Privileged, version: Version::Latest };

    /// The minor version whose rules count.
    pub(super) fn minor(self) -> u64 {
        match self.version {
            Version::Latest => NEWEST_MINOR,
            Version::Minor(minor) => minor.min(NEWEST_MINOR),
        }
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) enforce: LevelVersion,
    pub(super) audit: LevelVersion,
    pub(super) warn: LevelVersion,
}

/// Whether a label is one of ours; namespaces without any are not looked at further.
pub(super) fn is_label(key: &str) -> bool {
    key.starts_with(PREFIX)
}

fn parse_level(text: &str) -> Result<Level, &'static str> {
    match text {
        "privileged" => Ok(Level::Privileged),
        "baseline" => Ok(Level::Baseline),
        "restricted" => Ok(Level::Restricted),
        _ => Err("must be one of privileged, baseline, restricted"),
    }
}

fn parse_version(text: &str) -> Result<Version, &'static str> {
    const WRONG: &str = "must be \"latest\" or \"v1.x\"";
    if text == "latest" {
        return Ok(Version::Latest);
    }
    let minor = text.strip_prefix("v1.").ok_or(WRONG)?;
    let canonical = minor.bytes().all(|b| b.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    // Go reads an int: 64 bits with a sign.
    let minor = minor.parse::<i64>().ok().filter(|_| canonical).ok_or(WRONG)?;
    Ok(Version::Minor(minor.unsigned_abs()))
}

/// The policy of a namespace with these labels, and what is wrong with them. A level that cannot be read
/// enforces all and tells nothing; a version that cannot be read is the latest.
pub(super) fn policy(labels: &Value) -> (Policy, ErrorList) {
    let none = LevelVersion::PRIVILEGED;
    let mut policy = Policy { enforce: none, audit: none, warn: none };
    let mut errors = ErrorList::new();
    let mut wrong = |key: &str, text: &str, why: &str| {
        let path = Path::new("metadata");
        let path = path.child("labels");
        errors.push(Error::invalid(&path.key(key), text, why));
    };
    let mut enforce_given = false;
    let modes = [
        ("enforce", &mut policy.enforce, Level::Restricted),
        ("audit", &mut policy.audit, Level::Privileged),
        ("warn", &mut policy.warn, Level::Privileged),
    ];
    for (mode, lv, unreadable) in modes {
        let key = format!("{PREFIX}{mode}");
        if let Some(text) = labels.get(&key).and_then(Value::as_str) {
            lv.level = parse_level(text).unwrap_or_else(|why| {
                wrong(&key, text, why);
                unreadable
            });
            enforce_given |= mode == "enforce" && parse_level(text).is_ok();
        }
        let key = format!("{PREFIX}{mode}-version");
        if let Some(text) = labels.get(&key).and_then(Value::as_str) {
            lv.version = parse_version(text).unwrap_or_else(|why| {
                wrong(&key, text, why);
                Version::Latest
            });
        }
    }
    let given = |mode: &str| labels.get(&format!("{PREFIX}{mode}")).is_some();
    if enforce_given && !given("warn") && policy.enforce.level > policy.warn.level {
        policy.warn.level = policy.enforce.level;
        if !given("warn-version") {
            policy.warn.version = policy.enforce.version;
        }
    }
    (policy, errors)
}
