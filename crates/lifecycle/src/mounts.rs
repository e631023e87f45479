//! Mounts below a directory: found in mountinfo, undone from the innermost outward.

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};
use std::path::{Path, PathBuf};

/// Stacked mounts on one point need several rounds; more than this is no stack but a loop.
const ROUNDS_MAX: usize = 16;

/// One line of proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is seen.
    pub point: PathBuf,
    /// Its type, such as `cgroup2`.
    pub kind: String,
    /// The options of its file system.
    pub options: String,
}

/// Parses a mountinfo file. Lines that are not understood are left out.
pub fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            Some(Mount {
                point: unescape(left.split(' ').nth(4)?).into(),
                kind: right.next()?.to_owned(),
                options: right.nth(1).unwrap_or_default().to_owned(),
            })
        })
        .collect()
}

/// The mounts of the calling process.
pub fn own() -> Result<Vec<Mount>> {
    let text = std::fs::read("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Mount points strictly below any of the directories, innermost first.
pub fn below(mounts: &[Mount], directories: &[&Path]) -> Vec<PathBuf> {
    let inside = |m: &&Mount| directories.iter().any(|d| m.point.starts_with(d) && m.point != *d);
    let mut points: Vec<PathBuf> = mounts.iter().filter(inside).map(|m| m.point.clone()).collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    points
}

/// Unmounts everything below the directories. Returns how many mounts went.
pub fn unmount_below(directories: &[&Path]) -> Result<usize> {
    let mut undone = 0;
    // mountinfo has real paths; a directory that is not there has no mounts.
    let real: Vec<PathBuf> = directories.iter().filter_map(|d| d.canonicalize().ok()).collect();
    let directories: Vec<&Path> = real.iter().map(PathBuf::as_path).collect();
    for _ in 0..ROUNDS_MAX {
        let points = below(&own()?, &directories);
        if points.is_empty() {
            return Ok(undone);
        }
        for point in &points {
            // Detached: a process with a file open there keeps it, the tree is free at once.
            match unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                Ok(()) => undone += 1,
                // An inner mount went together with its outer one.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot unmount {}", point.display()));
                }
            }
        }
    }
    let left = below(&own()?, &directories);
    anyhow::ensure!(left.is_empty(), "{} is still mounted after {ROUNDS_MAX} attempts", left[0].display());
    Ok(undone)
}

/// Blanks, tabs, newlines and backslashes are octal in mountinfo.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.map_or('\\', char::from));
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
31 22 0:27 / /srv/a rw - tmpfs tmpfs rw
32 31 0:28 / /srv/a/b rw - overlay overlay rw,lowerdir=/x
33 32 0:29 / /srv/a/b/my\\040dir\\134 rw - tmpfs tmpfs rw
34 22 0:30 / /srv/ab rw - tmpfs tmpfs rw
nonsense
";

    #[test]
    fn lines_of_mountinfo() {
        let mounts = parse(MOUNTINFO);
        assert_eq!(mounts.len(), 6);
        assert_eq!(
            mounts[1],
            Mount {
                point: "/sys/fs/cgroup/memory".into(),
                kind: "cgroup".into(),
                options: "rw,memory".into()
            }
        );
    }

    #[test]
    fn below_is_innermost_first_and_by_whole_names() {
        let points = below(&parse(MOUNTINFO), &[Path::new("/srv/a")]);
        assert_eq!(points, ["/srv/a/b/my dir\\", "/srv/a/b"].map(PathBuf::from));
        assert_eq!(below(&parse(MOUNTINFO), &[Path::new("/nowhere")]), Vec::<PathBuf>::new());
    }
}
