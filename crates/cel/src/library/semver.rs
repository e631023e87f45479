//! Semantic versions.
//!
//! Upstream counterparts: apiserver `pkg/cel/library/semverlib.go`, `github.com/blang/semver/v4`.

use std::cmp::Ordering;
use std::fmt;

use crate::decls::Library;
use crate::eval::Call;
use crate::library::string;
use crate::opaque::Opaque;
use crate::val::{Eval, EvalError, Val};

pub(crate) const LIBRARY: Library = Library {
    since: 33,
    signatures: "
        semver string_to_semver (string) -> kubernetes.Semver
        semver string_bool_to_semver (string, bool) -> kubernetes.Semver
        isSemver is_semver_string (string) -> bool
        isSemver is_semver_string_bool (string, bool) -> bool
        isGreaterThan semver_is_greater_than kubernetes.Semver.(kubernetes.Semver) -> bool
        isLessThan semver_is_less_than kubernetes.Semver.(kubernetes.Semver) -> bool
        compareTo semver_compare_to kubernetes.Semver.(kubernetes.Semver) -> int
        major semver_major kubernetes.Semver.() -> int
        minor semver_minor kubernetes.Semver.() -> int
        patch semver_patch kubernetes.Semver.() -> int
    ",
    runs: &[
        ("semver", |c, a| parse_args(c, a)?.map(|v| Val::opaque(Opaque::Semver(v))).map_err(EvalError::new)),
        ("isSemver", |c, a| Ok(Val::Bool(parse_args(c, a)?.is_ok()))),
        ("major", |c, a| part(c, a, 0)),
        ("minor", |c, a| part(c, a, 1)),
        ("patch", |c, a| part(c, a, 2)),
    ],
};

/// A semantic version.
#[derive(Clone, Debug)]
pub struct Version {
    numbers: [u64; 3],
    pre: Vec<Identifier>,
    build: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

impl Version {
    /// The order of precedence, which build metadata has no part in.
    pub(crate) fn cmp(&self, o: &Self) -> Ordering {
        self.numbers.cmp(&o.numbers).then_with(|| match (self.pre.is_empty(), o.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&o.pre),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.numbers[0], self.numbers[1], self.numbers[2])?;
        for (i, p) in self.pre.iter().enumerate() {
            f.write_str(if i == 0 { "-" } else { "." })?;
            match p {
                Identifier::Number(n) => write!(f, "{n}")?,
                Identifier::Text(t) => f.write_str(t)?,
            }
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build.join("."))?;
        }
        Ok(())
    }
}

fn part<'a>(call: &Call, args: &[Val<'a>], i: usize) -> Eval<Val<'a>> {
    match &args[0] {
        Val::Opaque(o) => match &**o {
            Opaque::Semver(v) => Ok(Val::Int(v.numbers[i] as i64)),
            _ => call.no_overload(args),
        },
        _ => call.no_overload(args),
    }
}

fn parse_args(call: &Call, args: &[Val<'_>]) -> Eval<Result<Version, String>> {
    let text = string(call, args, 0)?;
    match args.get(1) {
        Some(Val::Bool(true)) => Ok(normalize(text).and_then(|t| parse(&t))),
        None | Some(Val::Bool(false)) => Ok(parse(text)),
        _ => call.no_overload(args),
    }
}

/// Without a leading `v` and zeros, and with all three numbers.
fn normalize(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text
        .splitn(3, '.')
        .map(|p| {
            if p.len() < 2 {
                return p.to_owned();
            }
            let trimmed = p.trim_start_matches('0');
            if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
                trimmed.to_owned()
            } else {
                format!("0{trimmed}")
            }
        })
        .collect();
    if parts.len() < 3 {
        if parts.last().is_some_and(|p| p.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".into());
        }
        parts.resize(3, "0".to_owned());
    }
    Ok(parts.join("."))
}

fn parse(text: &str) -> Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".into());
    }
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let &[major, minor, rest] = &parts[..] else {
        return Err("No Major.Minor.Patch elements found".into());
    };
    let number = |p: &str, name: &str| -> Result<u64, String> {
        if let Some(bad) = p.chars().find(|c| !c.is_ascii_digit()) {
            let _ = bad;
            return Err(format!("Invalid character(s) found in {name} number {p:?}"));
        }
        if p.len() > 1 && p.starts_with('0') {
            return Err(format!("{} number must not contain leading zeroes {p:?}", capitalized(name)));
        }
        p.parse().map_err(|_| {
            let why = if p.is_empty() { "invalid syntax" } else { "value out of range" };
            format!("strconv.ParseUint: parsing {p:?}: {why}")
        })
    };
    let major = number(major, "major")?;
    let minor = number(minor, "minor")?;
    let (rest, build) = match rest.split_once('+') {
        Some((r, b)) => (r, Some(b)),
        None => (rest, None),
    };
    let (patch, pre) = match rest.split_once('-') {
        Some((p, pre)) => (p, Some(pre)),
        None => (rest, None),
    };
    let patch = number(patch, "patch")?;
    let valid = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let mut version = Version { numbers: [major, minor, patch], pre: Vec::new(), build: Vec::new() };
    for p in pre.into_iter().flat_map(|p| p.split('.')) {
        if p.is_empty() {
            return Err("Prerelease is empty".into());
        }
        version.pre.push(if p.bytes().all(|b| b.is_ascii_digit()) {
            if p.len() > 1 && p.starts_with('0') {
                return Err(format!("Numeric PreRelease version must not contain leading zeroes {p:?}"));
            }
            Identifier::Number(
                p.parse().map_err(|_| format!("strconv.ParseUint: parsing {p:?}: value out of range"))?,
            )
        } else if valid(p) {
            Identifier::Text(p.to_owned())
        } else {
            return Err(format!("Invalid character(s) found in prerelease {p:?}"));
        });
    }
    for b in build.into_iter().flat_map(|b| b.split('.')) {
        if b.is_empty() {
            return Err("Build meta data is empty".into());
        }
        if !valid(b) {
            return Err(format!("Invalid character(s) found in build meta data {b:?}"));
        }
        version.build.push(b.to_owned());
    }
    Ok(version)
}

fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |c| c.to_ascii_uppercase().to_string() + chars.as_str())
}
