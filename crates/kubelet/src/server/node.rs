//! What the machine uses, from `/proc`.

use std::time::SystemTime;

/// `USER_HZ`: the unit of `/proc/stat` is a hundredth of a second on every architecture.
const TICK_NANOS: u64 = 10_000_000;

/// What a machine used until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) cpu_nanos: u64,
    pub(super) memory_total: u64,
    pub(super) memory_available: u64,
    pub(super) memory_free: u64,
    pub(super) memory_rss: u64,
    pub(super) page_faults: u64,
    pub(super) major_page_faults: u64,
    pub(super) swap_used: u64,
    pub(super) swap_free: u64,
    /// Seconds since 1970.
    pub(super) started: u64,
    pub(super) processes: u64,
}

impl Node {
    /// Reads the files; what cannot be read is 0.
    pub(super) fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        Self::parse(
            time,
            &text("/proc/stat"),
            &text("/proc/meminfo"),
            &text("/proc/vmstat"),
            &text("/proc/loadavg"),
        )
    }

    fn parse(time: u64, stat: &str, meminfo: &str, vmstat: &str, loadavg: &str) -> Self {
        let number = |text: Option<&str>| text.and_then(|t| t.parse::<u64>().ok()).unwrap_or_default();
        let line = |text: &str, key: &str| -> u64 {
            let line = text.lines().find(|l| l.split([':', ' ']).next() == Some(key)).unwrap_or_default();
            number(line.split_whitespace().nth(1))
        };
        let bytes = |key: &str| line(meminfo, key) << 10;
        let cpu: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .map(|t| number(Some(t)))
            .collect();
        // user nice system idle iowait irq softirq steal: the fourth and fifth are rest; guests count as user.
        let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|i| cpu.get(*i)).sum::<u64>();
        Self {
            time,
            cpu_nanos: busy.saturating_mul(TICK_NANOS),
            memory_total: bytes("MemTotal"),
            memory_available: bytes("MemAvailable"),
            memory_free: bytes("MemFree"),
            memory_rss: bytes("AnonPages"),
            page_faults: line(vmstat, "pgfault"),
            major_page_faults: line(vmstat, "pgmajfault"),
            swap_used: bytes("SwapTotal").saturating_sub(bytes("SwapFree")),
            swap_free: bytes("SwapFree"),
            started: line(stat, "btime"),
            processes: number(loadavg.split_whitespace().nth(3).and_then(|p| p.split('/').nth(1))),
        }
    }

    /// What cannot be taken away without harm.
    pub(super) fn working_set(&self) -> u64 {
        self.memory_total.saturating_sub(self.memory_available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        let got = Node::parse(
            5,
            "cpu  10 2 3 900 50 1 1 0 0 0\ncpu0 1 1 1 1\nbtime 1700000000\n",
            "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    400 kB\nAnonPages:       50 kB\nSwapTotal: 8 kB\nSwapFree: 3 kB\n",
            "pgfault 7\npgmajfault 2\n",
            "0.1 0.2 0.3 1/234 9\n",
        );
        let want = Node {
            time: 5,
            cpu_nanos: 17 * TICK_NANOS,
            memory_total: 1000 << 10,
            memory_available: 400 << 10,
            memory_free: 100 << 10,
            memory_rss: 50 << 10,
            page_faults: 7,
            major_page_faults: 2,
            swap_used: 5 << 10,
            swap_free: 3 << 10,
            started: 1_700_000_000,
            processes: 234,
        };
        assert_eq!((got, got.working_set()), (want, 600 << 10));
        assert_eq!(Node::parse(5, "", "", "", ""), Node { time: 5, ..Node::default() });
    }
}
