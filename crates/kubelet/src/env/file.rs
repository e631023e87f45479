//! Variables from a file that another container of the pod has written (KEP-3721).
//!
//! Upstream counterparts: `pkg/kubelet/util/env/env_util.go`, `makeEnvironmentVariables` of
//! `pkg/kubelet/kubelet_pods.go`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// How long a file may be.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The value of a variable; `None` if the file has none, or an empty one.
///
/// # Errors
/// The file cannot be read, or is not of the format.
pub(super) fn value(volume: &Path, path: &str, key: &str) -> Result<Option<String>, String> {
    let text = read(volume, path).map_err(|error| format!("cannot read {path:?}: {error}"))?;
    parse(&text, key)
}

/// Whoever wrote the file wrote links, too: the kernel keeps them below the volume.
fn read(volume: &Path, path: &str) -> io::Result<String> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    // What is no file must not make us wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)?);
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// `NAME='value'`, a part of what a shell reads: values in single quotes, over several lines if need be; comments.
fn parse(text: &str, key: &str) -> Result<Option<String>, String> {
    let wrong =
        |line: usize, what: &str| Err(format!("invalid environment variable format at line {line}: {what}"));
    let blank = |c| c == ' ' || c == '\t';
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_start_matches(blank);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { return wrong(number, "missing '='") };
        if name.trim_end_matches(blank).is_empty() {
            return wrong(number, "empty variable name");
        }
        if name.ends_with(blank) {
            return wrong(number, "whitespace before '=' is not allowed");
        }
        if value.starts_with(blank) {
            // As a shell has it, that is the empty value, and something else behind.
            if name == key {
                return Ok(None);
            }
            continue;
        }
        let Some(mut rest) = value.strip_prefix('\'') else {
            return wrong(number, "value must be enclosed in single quotes");
        };
        let mut value = String::new();
        let (behind, last) = loop {
            let at = number + value.matches('\n').count();
            if let Some((part, behind)) = rest.split_once('\'') {
                value.push_str(part);
                break (behind, at);
            }
            value.push_str(rest);
            value.push('\n');
            let Some((next, _)) = lines.next() else {
                let text = "unclosed single quote";
                return Err(format!("invalid environment variable format starting at line {number}: {text}"));
            };
            rest = next;
        };
        let behind = behind.trim_start_matches(blank);
        if !(behind.is_empty() || behind.starts_with('#')) {
            return wrong(last, "unexpected content after closing quote");
        }
        if name == key {
            return Ok(Some(value).filter(|value| !value.is_empty()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_upstream_reads_it() {
        let text =
            "# all of them\n\n  A='1' # one\nB='a\n b=\n'\nEMPTY=''\nLATE= 'x'\nC='$A \"q\" \\'\nA='2'\n";
        let of = |key| parse(text, key).map(|value| value.unwrap_or_default());
        for (key, want) in
            [("A", "1"), ("B", "a\n b=\n"), ("EMPTY", ""), ("LATE", ""), ("C", "$A \"q\" \\"), ("D", "")]
        {
            assert_eq!(of(key).as_deref(), Ok(want), "{key}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, want) in [
            ("A", "at line 1: missing '='"),
            ("\n ='x'", "at line 2: empty variable name"),
            ("A ='x'", "at line 1: whitespace before '=' is not allowed"),
            ("A=x", "at line 1: value must be enclosed in single quotes"),
            ("A=\"x\"", "at line 1: value must be enclosed in single quotes"),
            ("A='x'y", "at line 1: unexpected content after closing quote"),
            ("A='x\ny'z", "at line 2: unexpected content after closing quote"),
            ("\nA='x\ny", "starting at line 2: unclosed single quote"),
        ] {
            assert_eq!(
                parse(text, "A"),
                Err(format!("invalid environment variable format {want}")),
                "{text:?}"
            );
        }
        // What stands behind is not looked at.
        assert_eq!(parse("A='x'\nB", "A"), Ok(Some("x".into())));
    }

    #[test]
    fn links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        std::fs::create_dir_all(volume.join("etc")).unwrap();
        std::fs::write(dir.path().join("secret"), "A='out'").unwrap();
        std::fs::write(volume.join("etc/env"), "A='in'").unwrap();
        std::os::unix::fs::symlink("/etc/env", volume.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../secret", volume.join("up")).unwrap();
        assert_eq!(value(&volume, "etc/env", "A"), Ok(Some("in".into())));
        assert_eq!(value(&volume, "absolute", "A"), Ok(Some("in".into())));
        assert!(value(&volume, "up", "A").is_err());
        assert!(value(&volume, "etc", "A").is_err(), "no file");
    }
}
