//! Waiting longer each time: for containers that crash and images that cannot be pulled.
//!
//! Upstream counterpart: `k8s.io/client-go/util/flowcontrol/backoff.go`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// The first pause, as upstream.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// The longest pause, as upstream's `MaxCrashLoopBackOff`.
const LONGEST: SignedDuration = SignedDuration::from_secs(300);

/// Pauses by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff(BTreeMap<String, Pause>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: SignedDuration,
    since: Timestamp,
}

impl Backoff {
    /// How long the pause is and when it ends, if `key`, which failed at `failed`, must still wait.
    pub(crate) fn wait(
        &self,
        key: &str,
        failed: Timestamp,
        now: Timestamp,
    ) -> Option<(SignedDuration, Timestamp)> {
        let pause = self.0.get(key)?;
        if pause.is_old(failed) {
            return None;
        }
        let end = failed.checked_add(pause.length).ok()?;
        (now < end).then_some((pause.length, end))
    }

    /// Notes that `key`, which failed at `failed`, is tried again.
    pub(crate) fn next(&mut self, key: &str, failed: Timestamp, now: Timestamp) {
        let length = match self.0.get(key) {
            Some(pause) if !pause.is_old(failed) => (pause.length * 2).min(LONGEST),
            _ => FIRST,
        };
        self.0.insert(key.to_owned(), Pause { length, since: now });
    }

    pub(crate) fn reset(&mut self, key: &str) {
        self.0.remove(key);
    }
}

impl Pause {
    /// Whether it went well for so long that the next failure is a first one.
    fn is_old(self, failed: Timestamp) -> bool {
        failed.duration_since(self.since) > LONGEST * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_are_forgotten() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait("a", at(0), at(0)), None, "the first restart is at once");
        let mut now = 0;
        let mut lengths = Vec::new();
        for _ in 0..7 {
            backoff.next("a", at(now), at(now));
            let (length, end) = backoff.wait("a", at(now), at(now)).unwrap();
            assert_eq!(backoff.wait("a", at(now), end), None, "over at its end");
            lengths.push(length.as_secs());
            now = end.as_second();
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.wait("a", at(now + 601), at(now + 601)), None, "ran well for ten minutes");
        backoff.next("a", at(now + 601), at(now + 601));
        assert_eq!(backoff.wait("a", at(now + 601), at(now + 601)).unwrap().0.as_secs(), 10);
    }
}
