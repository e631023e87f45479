//! What this process uses, from `/proc`. What cannot be read is left out.

use std::fmt::Write as _;
use std::fs;

/// Ticks per second in `/proc`; the same on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Writes the `process_…` families.
pub(super) fn write(out: &mut String) {
    let mut family = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            super::family(out, name, kind, help);
            _ = writeln!(out, "{name} {value}");
        }
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/self/stat");
    let status = read("/proc/self/status");
    let limits = read("/proc/self/limits");
    let boot = read("/proc/stat");
    family(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        cpu_seconds(&stat),
    );
    let max = limits.lines().find_map(|l| l.strip_prefix("Max open files"));
    family(
        "process_max_fds",
        "gauge",
        "Maximum number of open file descriptors.",
        max.and_then(first_number),
    );
    let open = fs::read_dir("/proc/self/fd").ok().map(|dir| dir.count() as f64);
    family("process_open_fds", "gauge", "Number of open file descriptors.", open);
    family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        kibibytes(&status, "VmRSS:"),
    );
    family(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        start_time(&stat, &boot),
    );
    family(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        kibibytes(&status, "VmSize:"),
    );
}

fn first_number(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    first_number(line).map(|kib| kib * 1024.0)
}

/// A field of `stat` by its number in proc(5); the name in parentheses may hold anything.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn start_time(stat: &str, boot: &str) -> Option<f64> {
    let boot = first_number(boot.lines().find_map(|l| l.strip_prefix("btime "))?)?;
    Some(boot + field(stat, 22)? / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1000 1 2";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(start_time(stat, "cpu 1\nbtime 1700000000\n"), Some(1_700_000_010.0));
        assert_eq!(kibibytes("VmSize:\t 10 kB\nVmRSS:\t    4 kB\n", "VmRSS:"), Some(4096.0));
        assert_eq!(cpu_seconds(""), None);
    }
}
