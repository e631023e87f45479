//! When a refused client is told to come again: longer while many are refused.
//!
//! Upstream: `dropped_requests_tracker.go`.

use std::collections::{HashMap, VecDeque};

const SECONDS_MAX: i64 = 32;

/// Per level.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    levels: HashMap<String, Stats>,
}

#[derive(Debug)]
struct Stats {
    /// Refusals by second, before the current one.
    history: VecDeque<(i64, i64)>,
    second: i64,
    count: i64,
    retry_after: i64,
    raised_at: i64,
}

impl Default for Stats {
    fn default() -> Self {
        Self { history: VecDeque::new(), second: 0, count: 0, retry_after: 1, raised_at: 0 }
    }
}

impl Tracker {
    /// Notes a refusal and says how long to stay away.
    pub(super) fn dropped(&mut self, second: i64, level: &str) -> i64 {
        if !self.levels.contains_key(level) {
            self.levels.insert(level.to_owned(), Stats::default());
        }
        self.levels.get_mut(level).map_or(1, |stats| stats.dropped(second))
    }

    /// Forgets levels that are no more.
    pub(super) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.levels.retain(|level, _| known(level));
    }
}

impl Stats {
    fn dropped(&mut self, second: i64) -> i64 {
        if second == self.second {
            self.count += 1;
            return self.retry_after;
        }
        self.history.push_back((self.second, self.count));
        let kept = (2 * self.retry_after).min(SECONDS_MAX);
        self.history.retain(|(then, _)| second - then <= kept);
        (self.second, self.count) = (second, 1);
        let recent =
            self.history.iter().filter(|(then, _)| second - then <= self.retry_after && *then < second);
        let dropped: i64 = recent.map(|(_, n)| n).sum();
        if second - self.raised_at >= self.retry_after && dropped >= 3 * self.retry_after {
            self.retry_after = (2 * self.retry_after).min(SECONDS_MAX);
            self.raised_at = second;
        } else if dropped < self.retry_after && self.retry_after > 1 {
            self.retry_after -= 1;
        }
        self.retry_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_double_it_and_few_shorten_it() {
        let mut tracker = Tracker::default();
        let mut second = 1_000;
        assert_eq!(tracker.dropped(second, "a"), 1);
        let mut highest = 1;
        for _ in 0..200 {
            second += 1;
            for _ in 0..200 {
                highest = highest.max(tracker.dropped(second, "a"));
            }
        }
        assert_eq!(highest, SECONDS_MAX);
        assert_eq!(tracker.dropped(second, "b"), 1);
        for _ in 0..SECONDS_MAX {
            second += 100;
            tracker.dropped(second, "a");
        }
        assert_eq!(tracker.dropped(second, "a"), 1);
        tracker.retain(|level| level == "b");
        assert_eq!(tracker.levels.len(), 1);
    }
}
